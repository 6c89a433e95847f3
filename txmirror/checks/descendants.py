"""Finds all processes of commands, also those in sessions of their own, by a variable in their environment (Linux)."""

from __future__ import annotations

import contextlib
import os
import secrets
from collections.abc import Iterable, Iterator
from typing import Final

from txmirror.checks.processes import ProcessHandle, list_pids, read_variable

#: The variable that marks the processes of one run of a command. Children inherit it.
VARIABLE: Final = "TXMIRROR_CHECK"
_NAME: Final = VARIABLE.encode()
#: The most passes over all processes for one signal.
_MOST_PASSES: Final = 10
#: The number of passes in a row without a result after which nothing is left.
_EMPTY_PASSES: Final = 2
#: The most handles of processes to keep open.
_MOST_HANDLES: Final = 16


def make_mark() -> str:
    """Return the value of the variable for one run of a command."""
    return secrets.token_hex(8)


class Descendants:
    """The processes that some runs of commands have started, and their children.

    A process without the variable is not found: one that has cleared its environment, or that runs as another user. Without
    ``/proc`` no process is found.

    One pass over ``/proc`` takes some ten microseconds for each process of the machine. It may miss a process that begins another
    program, and the child of one that ends; therefore no result depends on one pass alone. While a process that was signalled is
    alive, no pass is needed.

    :param marks: the values of the variable.
    """

    def __init__(self, marks: Iterable[str]) -> None:
        self._marks = {mark.encode(): mark for mark in marks}
        self._handles: dict[int, ProcessHandle] = {}

    def are_alive(self) -> bool:
        """Return whether one is left. Zombies do not count."""
        for pid, handle in list(self._handles.items()):
            if handle.alive:
                return True
            handle.close()
            del self._handles[pid]
        return any(next(self.find(), None) is not None for _ in range(_EMPTY_PASSES))

    def signal(self, number: int) -> None:
        """Send a signal to all of them, also to those that start meanwhile."""
        signalled: set[int] = set()
        empty = 0
        for _ in range(_MOST_PASSES):
            new = {pid for pid, _ in self.find()} - signalled
            for pid in new:
                self._signal(pid, number)
            signalled |= new
            empty = 0 if new else empty + 1
            if empty == _EMPTY_PASSES:
                return

    def find(self) -> Iterator[tuple[int, str]]:
        """Yield the pid and the mark of each, in one pass."""
        # The latest first: a chain of short processes is overtaken.
        for pid in list_pids():
            if (mark := self._mark_of(pid)) is not None:
                yield pid, mark

    def close(self) -> None:
        """Look for no process any more."""
        for handle in self._handles.values():
            handle.close()
        self._handles.clear()

    def _mark_of(self, pid: int) -> str | None:
        value = read_variable(pid, _NAME)
        return None if value is None else self._marks.get(value)

    def _signal(self, pid: int, number: int) -> None:
        handle = self._handles.get(pid)
        if handle is None or not handle.alive:
            try:
                handle = ProcessHandle(pid)
            except ProcessLookupError:
                return
            except OSError:
                # The system uses a pid again only after all others.
                with contextlib.suppress(ProcessLookupError, PermissionError):
                    os.kill(pid, number)
                return
            if self._mark_of(pid) is None:
                # The pid has become another process's.
                handle.close()
                return
        with contextlib.suppress(PermissionError):
            handle.signal(number)
        self._keep(pid, handle)

    def _keep(self, pid: int, handle: ProcessHandle) -> None:
        former = self._handles.get(pid)
        if former is handle:
            return
        if former is not None:
            former.close()
            self._handles[pid] = handle
        elif len(self._handles) < _MOST_HANDLES:
            self._handles[pid] = handle
        else:
            handle.close()
