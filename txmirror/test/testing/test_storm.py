from __future__ import annotations

import os
import subprocess
import sys

from twisted.trial.unittest import SynchronousTestCase

from txmirror.testing.storm.command import plan_of
from txmirror.testing.storm.storms import Storm

#: How many storms to run in place of :data:`_STORMS`, each with a new seed.
STORMS = "TXMIRROR_STORMS"
_STORMS = 12
_STEPS = 80


def run_child(*arguments: str, hash_seed: str = "random") -> bytes:
    """Run the command in a child process, and return its output."""
    command = [sys.executable, "-m", "txmirror.testing.storm", *arguments]
    environment = {**os.environ, "PYTHONHASHSEED": hash_seed}
    return subprocess.run(command, env=environment, stdout=subprocess.PIPE, check=True, timeout=60).stdout


class StormTests(SynchronousTestCase):
    def test_fixed_seeds(self) -> None:
        """M1 to M9, rules 3 to 8: whatever happens, no check fails, and in the end all has settled and nothing is left."""
        for seed in range(1, _STORMS + 1):
            result = Storm(plan_of(seed), seed).run(_STEPS)
            self.assertIsNone(result.failed)

    def test_same_bytes(self) -> None:
        """The same seed gives the same log, to the byte, in another process whose strings have other hashes."""
        first = run_child("--seed", "3", "--steps", "60")
        self.assertGreater(len(first.splitlines()), 50)
        self.assertEqual(run_child("--seed", "3", "--steps", "60"), first)
