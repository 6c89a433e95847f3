"""Finds all processes of a command, also those in sessions of their own, by a variable in their environment (Linux)."""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import Final

#: The variable that marks the processes of one run of a command. Children inherit it.
VARIABLE: Final = "TXMIRROR_CHECK"


class Descendants:
    """The processes that one run of a command has started, and their children.

    A process without the variable is not found: one that cleared its environment, or one of another user. Reading ``/proc`` costs
    some milliseconds; without ``/proc`` no process is found.

    :ivar environment: the variable, for the command's environment.
    """

    def __init__(self) -> None:
        mark = secrets.token_hex(8)
        self.environment = {VARIABLE: mark}
        self._entry = f"{VARIABLE}={mark}".encode()

    def are_alive(self) -> bool:
        """Return whether one is left. Zombies do not count."""
        return next(self._find(), None) is not None

    def signal(self, number: int) -> None:
        """Send a signal to all of them."""
        for pid in self._find():
            # The pid cannot belong to another process yet: all other pids are used before.
            try:
                os.kill(pid, number)
            except (ProcessLookupError, PermissionError):
                continue

    def _find(self) -> Iterator[int]:
        for path in Path("/proc").glob("[0-9]*/environ"):
            try:
                # A zombie's is empty.
                variables = path.read_bytes().split(b"\0")
            except OSError:
                # It has ended meanwhile, or is another user's.
                continue
            if self._entry in variables:
                yield int(path.parent.name)
