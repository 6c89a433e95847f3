"""Run the ``txmirror`` command, as ``python -m txmirror``."""

import sys

from txmirror.cli import main

if __name__ == "__main__":
    sys.exit(main())
