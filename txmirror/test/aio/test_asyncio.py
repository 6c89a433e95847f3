"""Run the tests that need asyncio's own runner, in a process without trial's reactor."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

_TESTS = sorted(path.stem for path in Path(__file__).parent.glob("on_asyncio_*.py"))


class AsyncioTests(SynchronousTestCase):
    def run_tests(self, *modules: str) -> None:
        names = [f"txmirror.test.aio.{module}" for module in modules]
        # The development mode reports coroutines and files that nobody has closed.
        command = [sys.executable, "-X", "dev", "-bb", "-W", "error::ResourceWarning", "-m", "unittest", *names]
        done = subprocess.run(
            command,
            check=False,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=60,
        )
        self.assertEqual(done.returncode, 0, done.stdout)
        self.assertTrue(re.search(r"(?m)^Ran [1-9]\d* tests? in .*\n\nOK$", done.stdout), done.stdout)

    def test_on_asyncio(self) -> None:
        """All tests pass, and print nothing else."""
        self.assertGreaterEqual(len(_TESTS), 3)
        self.run_tests(*_TESTS)
