"""Finds all processes of a command, also those in sessions of their own, by a variable in their environment (Linux)."""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import Final

#: The variable that marks the processes of one run of a command. Children inherit it.
VARIABLE: Final = "TXMIRROR_CHECK"
#: The most passes over all processes for one signal.
_MOST_PASSES: Final = 10


class Descendants:
    """The processes that one run of a command has started, and their children.

    A process without the variable is not found: one that has cleared its environment, or that runs as another user. Without
    ``/proc`` no process is found. One pass over ``/proc`` costs some milliseconds. It may miss the child of a process that ends
    during the pass; therefore no result depends on one pass alone.

    :ivar environment: the variable, for the command's environment.
    """

    def __init__(self) -> None:
        mark = secrets.token_hex(8)
        self.environment = {VARIABLE: mark}
        self._entry = f"{VARIABLE}={mark}".encode()

    def are_alive(self) -> bool:
        """Return whether one is left. Zombies do not count."""
        return any(next(self._find(), None) is not None for _ in range(2))

    def signal(self, number: int) -> None:
        """Send a signal to all of them, also to those that start meanwhile."""
        signalled: set[int] = set()
        for _ in range(_MOST_PASSES):
            new = set(self._find()) - signalled
            if not new:
                return
            for pid in new:
                # The system uses a pid again only after all others.
                try:
                    os.kill(pid, number)
                except (ProcessLookupError, PermissionError):
                    continue
            signalled |= new

    def _find(self) -> Iterator[int]:
        # The latest first: a chain of short processes is overtaken.
        for pid in sorted((int(path.name) for path in Path("/proc").glob("[0-9]*")), reverse=True):
            try:
                # A zombie's is empty.
                variables = Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
            except OSError:
                # It has ended meanwhile, or is another user's.
                continue
            if self._entry in variables:
                yield pid
