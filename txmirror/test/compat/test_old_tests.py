"""txzookeeper's own tests pass as documented: the tables in docs/txzookeeper are compared with a run.

The tests are those that pip installs with the package. They run in a process of their own, because they patch global
objects. With ``TXMIRROR_OLD_TESTS=all`` the slow ones are run too.
"""

from __future__ import annotations

import csv
import json
import os
import subprocess
import sys
from collections import Counter
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from txmirror.test.compat.available import install_or_skip
from txmirror.test.compat.old_tests import SLOW
from txmirror.test.test_examples import find_examples
from txmirror.test.zookeeper import ZooKeeperProcess

_HEADER = ["tests of", "all", "passed", "failed"]


def read_table(name: str) -> list[list[str]]:
    """Read one of the tables in the documents."""
    with (find_examples().parent / "txzookeeper" / name).open(encoding="utf-8", newline="") as file:
        return list(csv.reader(file))


class OldTestsTests(SynchronousTestCase):
    def test_run(self) -> None:
        """The number of passed tests is that of the table, and the failed ones are those that it explains."""
        install_or_skip()
        slow = os.environ.get("TXMIRROR_OLD_TESTS") == "all"
        # They know what sessions such a server grants.
        server = ZooKeeperProcess(configuration=["tickTime=2000"])
        self.addCleanup(server.cleanup)
        server.start()
        command = [
            sys.executable,
            "-m",
            "txmirror.test.compat.old_tests",
            str(server.port),
            *(["slow"] if slow else []),
        ]
        with Path(self.mktemp()).open("w+", encoding="utf-8") as errors:
            done = subprocess.run(command, stdout=subprocess.PIPE, stderr=errors, text=True, check=False, timeout=300)
            errors.seek(0)
            self.assertEqual(done.returncode, 0, errors.read())
        outcomes = {name: outcome for name, (outcome, _) in json.loads(done.stdout).items()}
        classes = {name.rpartition(".")[0] for name in outcomes}
        counts = {
            each: Counter(outcome for name, outcome in outcomes.items() if name.rpartition(".")[0] == each)
            for each in classes
        }
        rows = [
            [each, str(count.total()), str(count["passed"]), str(count["failed"])]
            for each, count in sorted(counts.items())
        ]
        table = [row for row in read_table("own_tests.csv")[1:-1] if slow or row[0] not in SLOW]
        failures = {row[0] for row in read_table("own_tests_failures.csv")[1:]}
        self.assertEqual({name for name, outcome in outcomes.items() if outcome != "passed"}, failures)
        self.assertEqual(rows, table)

    def test_sum(self) -> None:
        """The table's last line is the sum of the others, and is no less than was promised."""
        header, *rows, last = read_table("own_tests.csv")
        self.assertEqual(header, _HEADER)
        self.assertEqual(last, ["all", *(str(sum(int(row[column]) for row in rows)) for column in (1, 2, 3))])
        self.assertGreaterEqual(int(last[2]), 241)
        self.assertEqual(int(last[3]), len(read_table("own_tests_failures.csv")) - 1)
