"""A file of the commands that run, so that the next process can end those that a killed one has left behind."""

from __future__ import annotations

import contextlib
import os
import re
import signal
from itertools import count
from pathlib import Path
from typing import Final

from twisted.internet.defer import CancelledError, Deferred, succeed
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import deferLater
from twisted.logger import Logger
from twisted.python.failure import Failure

from txmirror.checks.descendants import VARIABLE, Descendants
from txmirror.checks.processes import read_variable
from txmirror.durations import check_seconds
from txmirror.files import open_lock, read_all
from txmirror.printable import on_one_line

#: The most bytes of such a file; thousands of commands at a time have fewer.
_LARGEST: Final = 2**18
#: The time limit for commands to end, after SIGKILL, and the interval for polling them, in seconds.
_KILL_TIME, _POLL_INTERVAL = 5.0, 0.05
#: A line of the file: a mark and a pid, or spaces. All lines have this length.
_LINE: Final = "{mark:16} {pid:>20}\n"
_LENGTH: Final = len(_LINE.format(mark="", pid=""))
_PATTERN: Final = re.compile(r"([0-9a-f]{16}) +([1-9][0-9]{0,9})")


class CommandsFile:
    """Keeps the commands that run in a file, and ends those that a killed process has left behind.

    A process that is killed with SIGKILL leaves the commands of its checks running. The next process with this file ends them: those
    that still run, with all their descendants. Commands that have exited meanwhile, and children that they have left in sessions of
    their own, are not touched.

    The file has a line for each command at a time. It is written without waiting for the disk, because the commands of another boot do
    not run any more. If it cannot be used, that is logged once, and nothing else changes.

    :param path: the file. Its folder must exist, and only one process may use it at a time.
    :param boot: the id of the machine's boot; another one has another text.
    :param grace: the seconds between SIGTERM and SIGKILL.
    :param clock: measures them.
    :raises ValueError: ``grace`` is out of range.
    """

    _log = Logger()

    def __init__(self, path: str, boot: str, *, grace: float = 1.0, clock: IReactorTime) -> None:
        check_seconds("grace", grace)
        self._path = Path(path).absolute()
        self._head = f"txmirror commands 1 {boot}\n".encode()
        self._grace = grace
        self._clock = clock
        self._descriptor: int | None = None
        self._used: set[int] = set()
        self._ending: Deferred[None] | None = None
        self._failed = False

    def start(self) -> Deferred[None]:
        """Open the file, and end the commands that the last process has left. It blocks for a moment.

        :returns: fires when none of them is left, or cannot be killed, or :meth:`stop` was called. It never fails.
        """
        try:
            self._descriptor, notes = open_lock(self._path)
            left = self._read(self._descriptor)
        except OSError as error:
            self._note_failure(error)
            self.stop()
            return succeed(None)
        for note in notes:
            self._log.warn("File of commands: {note}.", note=on_one_line(note))
        if not left:
            self._clear()
            return succeed(None)
        self._log.warn(
            "Ending {count} {commands} of checks that the last process left running.",
            count=len(left),
            commands="command" if len(left) == 1 else "commands",
        )
        self._ending = Deferred.fromCoroutine(self._end(left))
        return self._ending.addCallbacks(self._ended, self._not_ended)

    def stop(self) -> None:
        """Close the file; delete it, unless commands are left behind. After this, nothing is noted any more."""
        ending, self._ending = self._ending, None
        if ending is not None:
            ending.cancel()
        descriptor, self._descriptor = self._descriptor, None
        if descriptor is not None:
            os.close(descriptor)
            if ending is None and not self._used:
                with contextlib.suppress(OSError):
                    self._path.unlink()
        self._used.clear()

    def add(self, mark: str, pid: int) -> int:
        """Note that a command has started.

        :param mark: the value of ``TXMIRROR_CHECK`` in its environment.
        :param pid: its pid.
        :returns: the number for :meth:`remove`.
        """
        line = next(number for number in count() if number not in self._used)
        self._used.add(line)
        self._write(line, mark, str(pid))
        return line

    def remove(self, line: int) -> None:
        """Note that a command has ended."""
        self._used.discard(line)
        self._write(line, "", "")

    def _read(self, descriptor: int) -> list[str]:
        """Return the marks of the commands that run, of those in the file.

        :raises OSError: it cannot be read.
        """
        content = read_all(self._path, descriptor, _LARGEST)
        if not content.startswith(self._head):
            # It is new, damaged, or of another boot.
            return []
        text = content[len(self._head) :].decode("ascii", "replace")
        lines = (text[begin : begin + _LENGTH - 1] for begin in range(0, len(text), _LENGTH))
        found = [match.groups() for match in map(_PATTERN.fullmatch, lines) if match is not None]
        # The command itself has the mark as well as the pid.
        return [mark for mark, pid in found if read_variable(int(pid), VARIABLE.encode()) == mark.encode()]

    def _clear(self) -> None:
        if self._descriptor is not None:
            try:
                os.ftruncate(self._descriptor, 0)
                os.pwrite(self._descriptor, self._head, 0)
            except OSError as error:
                self._note_failure(error)

    async def _end(self, marks: list[str]) -> None:
        left = Descendants(marks)
        try:
            left.signal(signal.SIGTERM)
            deadline = self._clock.seconds() + self._grace
            while left.are_alive():
                late = self._clock.seconds() - deadline
                if late >= _KILL_TIME:
                    pids = sorted({pid for pid, _ in left.find()})
                    self._log.error(
                        "The processes {pids} of the last process's checks cannot be killed; they are left running.",
                        pids=", ".join(map(str, pids)),
                    )
                    break
                if late >= 0:
                    left.signal(signal.SIGKILL)
                await deferLater(self._clock, _POLL_INTERVAL)
        finally:
            left.close()

    def _ended(self, _: None) -> None:
        self._ending = None
        self._clear()

    def _not_ended(self, failure: Failure) -> None:
        if not failure.check(CancelledError):
            self._log.failure("The commands of the last process could not be ended because of a bug.", failure=failure)

    def _write(self, line: int, mark: str, pid: str) -> None:
        if self._descriptor is not None:
            try:
                text = _LINE.format(mark=mark, pid=pid).encode()
                os.pwrite(self._descriptor, text, len(self._head) + line * _LENGTH)
            except OSError as error:
                self._note_failure(error)

    def _note_failure(self, error: OSError) -> None:
        if not self._failed:
            self._failed = True
            self._log.warn(
                "The file of running commands, {path}, cannot be used: {reason}. If this process is killed, the commands of its"
                " checks keep running.",
                path=str(self._path),
                reason=on_one_line(str(error)),
            )
