"""``python -m txmirror`` is the ``txmirror`` command."""

import sys

from txmirror.cli import main

if __name__ == "__main__":
    sys.exit(main())
