"""Run storms with daemons by hand."""

from __future__ import annotations

import sys

from txmirror.test.service.storms.program import plan_of
from txmirror.testing.storm.command import run_command

if __name__ == "__main__":
    sys.exit(run_command(sys.argv[1:], "txmirror.test.service.storms", "Daemons under random faults.", plan_of))
