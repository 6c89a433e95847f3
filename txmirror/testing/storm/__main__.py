"""The command ``python -m txmirror.testing.storm``."""

from __future__ import annotations

import sys

from txmirror.testing.storm.command import main

sys.exit(main(sys.argv[1:]))
