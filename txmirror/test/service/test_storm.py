"""Daemons in storms, and bugs that storms find."""

from __future__ import annotations

import os
import re
from random import Random
from typing import Any
from unittest import SkipTest

from twisted.internet.defer import succeed
from twisted.trial.unittest import SynchronousTestCase

from txmirror.configuration import Service
from txmirror.output_files import OutputFile
from txmirror.service import state
from txmirror.service.handover import Claim
from txmirror.service.maintenance import Maintenance
from txmirror.service.registrations import RegistrationsService
from txmirror.service.supervisor import Supervisor
from txmirror.test.pages.found import tested_blocks
from txmirror.test.service.storms.process import bury
from txmirror.test.service.storms.program import plan_of
from txmirror.test.testing.test_storm import run_child
from txmirror.testing.storm.storms import Result, Storm

#: How many storms to run with new seeds, in place of those with fixed ones. Then all bugs are planted, too.
_ASKED = os.environ.get("TXMIRROR_STORMS")
_STORMS = 8
_STEPS = 60


class StormTestCase(SynchronousTestCase):
    def run_storm(self, seed: int) -> Result:
        result = Storm(plan_of(seed), seed).run(_STEPS)
        bury()
        # What waited in processes that were killed was interrupted by the garbage collector.
        self.flushLoggedErrors(ValueError, RuntimeError)
        return result


class StormTests(StormTestCase):
    def test_seeds(self) -> None:
        """Whatever happens, the services that checks and operators want are registered, and no others."""
        first = Random().randrange(10**9) if _ASKED else 1
        faults = 0
        for seed in range(first, first + int(_ASKED or _STORMS)):
            result = self.run_storm(seed)
            self.assertIsNone(result.failed, f"seed {seed}")
            faults += result.faults
        self.assertGreater(faults, 10)

    def test_page(self) -> None:
        """The command of the documentation is valid, and its log is the same in each process."""
        (commands,) = tested_blocks("docs/guides/testing.rst", __name__)
        (line,) = commands.lines
        python, option, module, *arguments = line.split()
        self.assertEqual((python, option, module), ("python", "-m", "txmirror.test.service.storms"))
        logs = []
        for _ in range(2):
            log = run_child(*arguments, "--steps", "20", module=module)
            # The last line has the digest of all others, with the name of the folder, which may differ.
            logs.append(re.sub(rb"\S+/(host\d)", rb"\1", log).splitlines()[:-1])
        self.assertGreater(len(logs[0]), 20)
        self.assertEqual(logs[1], logs[0])


class PlantedTests(StormTestCase):
    """Bugs that are planted are found within a number of seeds."""

    def find(self, target: object, name: str, value: object, count: int) -> None:
        if count > 5 and not _ASKED:
            raise SkipTest("takes long; TXMIRROR_STORMS runs it")
        self.patch(target, name, value)
        for seed in range(1, count + 1):
            if self.run_storm(seed).failed is not None:
                return
        self.fail(f"not found within {count} seeds")

    def test_save_cut_off(self) -> None:
        """A state file that is replaced by an earlier content, because a write was cancelled and went on, is found."""
        self.find(state, "follow", lambda awaited: awaited, 100)

    def test_unwanted_kept(self) -> None:
        """A znode of the last process that nobody wants, and that stays, is found."""
        claim = RegistrationsService.claim

        def keep(self: RegistrationsService, path: str) -> Claim:
            found = claim(self, path)
            return Claim.UNDECIDED if found is Claim.UNWANTED else found

        self.find(RegistrationsService, "claim", keep, 20)

    def test_dependency_ignored(self) -> None:
        """A service that stays registered without the one on which it depends is found."""
        self.find(Supervisor, "_dependency_changed", lambda self, service_id: None, 20)

    def test_begun_anew(self) -> None:
        """A reload that withdraws changed services, and waits for their checks, is found."""

        def begin(self: Any, old: Service, new: Service) -> None:
            self._services.pop(new.id).retire()
            self._checks.remove(new.id)
            self._supervise(new).update()

        self.find(Supervisor, "_replace", begin, 20)

    def test_maintenance_forgotten(self) -> None:
        """A service that is registered although it is in maintenance is found."""
        self.find(Maintenance, "of", lambda self, service_id: None, 5)

    def test_output_not_retried(self) -> None:
        """An output file that is not written again after a failure is found."""
        failed: Any = OutputFile._failed

        def give_up(self: Any, reason: str) -> None:
            failed(self, reason)
            self._retry.stop()

        self.find(OutputFile, "_failed", give_up, 20)

    def test_withdrawal_forgotten(self) -> None:
        """A service that is only withdrawn with its session is found."""
        self.find(RegistrationsService, "withdraw", lambda self, service_id, timeout=5.0: succeed(None), 5)
