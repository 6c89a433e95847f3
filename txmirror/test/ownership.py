"""Files of other users, for tests."""

from __future__ import annotations

import os
from pathlib import Path
from unittest import SkipTest


def give_away(path: Path) -> None:
    """Let a file belong to another user, by the number of 65534.

    :raises SkipTest: only root can do that.
    """
    if os.geteuid() != 0:
        raise SkipTest("only root can give a file away")
    os.chown(path, 65534, 65534, follow_symlinks=False)
