"""Checks of files: the process of a pid file, and the age of a file."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from twisted.internet.defer import Deferred, succeed
from twisted.internet.threads import deferToThreadPool
from twisted.python.failure import Failure
from zope.interface import implementer

from txmirror.checks.interfaces import ICheck
from txmirror.checks.results import Result, Status
from txmirror.durations import check_seconds

#: A pid file is read up to this size in bytes.
_PID_FILE_SIZE: Final = 64
#: The seconds by which a process may begin after its pid file: the clocks of /proc and of file systems are coarse.
_SLACK: Final = 2.0


class FileReader:
    """Examines a file in a thread, because a file system may hang. While one call hangs, further ones fail at once.

    :param reactor: runs the thread.
    """

    def __init__(self, reactor: Any) -> None:
        self._reactor = reactor
        self._busy = False

    def examine(self, path: str, function: Callable[[], Result]) -> Deferred[Result]:
        """Call a function in a thread, and return its result.

        :param path: the file's path, for messages.
        :param function: examines the file. An ``OSError`` makes a failed result.
        :returns: fires with the result. Cancelling ends the wait; the thread cannot be ended.
        """
        if self._busy:
            return succeed(Result(Status.FAIL, f"{path}: the file system has not answered an earlier request"))
        self._busy = True
        result: Deferred[Result] = Deferred()
        examined = deferToThreadPool(self._reactor, self._reactor.getThreadPool(), function)
        examined.addErrback(_to_result, path)
        examined.addBoth(self._examined)
        # After a cancellation, a Deferred without a canceller ignores its result.
        examined.addCallbacks(result.callback, result.errback)
        return result

    def _examined(self, value: Any) -> Any:
        self._busy = False
        return value


@implementer(ICheck)
class FileAgeCheck:
    """A check that fails if a file is missing, or was not modified for too long.

    :param path: the path of the file.
    :param max_age: the greatest valid age in seconds.
    :param reactor: runs a thread; its ``seconds()`` is the time of day.
    :raises TypeError: ``max_age`` is no number.
    :raises ValueError: ``max_age`` is out of range.
    """

    kind = "file"
    pushed = False

    def __init__(self, path: str, *, max_age: float, reactor: Any) -> None:
        check_seconds("max_age", max_age, positive=True)
        self.description: str = f"file {path}"
        self._path = path
        self._max_age = max_age
        self._wall_time: Callable[[], float] = reactor.seconds
        self._reader = FileReader(reactor)

    def run(self) -> Deferred[Result]:
        """Examine the file's time of modification. A time in the future is a warning. Cancelling ends the wait."""
        return self._reader.examine(self._path, self._examine)

    def _examine(self) -> Result:
        age = self._wall_time() - Path(self._path).stat().st_mtime
        if age < -_SLACK:
            return Result(Status.WARN, f"{self._path} was modified {-age:.0f} s in the future")
        status = Status.OK if age <= self._max_age else Status.FAIL
        return Result(status, f"{self._path} was modified {max(age, 0.0):.0f} s ago, of at most {self._max_age:g} s")


@implementer(ICheck)
class ProcessCheck:
    """A check that fails if the process of a pid file does not run.

    Where ``/proc`` shows when a process began, a process that began after its pid file was written counts as another one.

    :param pid_file: the path of a file with a process id on its first line.
    :param reactor: runs a thread.
    :param proc: the folder of the proc file system.
    :ivar pid: the process that was found last; None before that.
    :ivar pid_changed: called when another process is found; None, the default, calls nothing.
    """

    kind = "process"
    pushed = False

    def __init__(self, pid_file: str, *, reactor: Any, proc: str = "/proc") -> None:
        self.description: str = f"process {pid_file}"
        self.pid: int | None = None
        self.pid_changed: Callable[[], object] | None = None
        self._path = pid_file
        self._proc = Path(proc)
        #: Set in the thread.
        self._found: int | None = None
        self._reader = FileReader(reactor)

    def run(self) -> Deferred[Result]:
        """Look for the process. Cancelling ends the wait."""
        return self._reader.examine(self._path, self._examine).addCallback(self._note_process)

    def _note_process(self, result: Result) -> Result:
        if result.status is Status.OK and self._found != self.pid:
            self.pid = self._found
            if self.pid_changed is not None:
                self.pid_changed()
        return result

    def _examine(self) -> Result:
        with Path(self._path).open("rb") as file:
            written = os.fstat(file.fileno()).st_mtime
            lines = file.read(_PID_FILE_SIZE).splitlines()
        text = lines[0].strip().decode("ascii", "backslashreplace") if lines else ""
        if not (text.isdecimal() and text.isascii() and int(text) > 0):
            return Result(Status.FAIL, f"{self._path} has no process id on its first line")
        self._found = pid = int(text)
        try:
            os.kill(pid, 0)
        except PermissionError:
            # It runs, as another user.
            pass
        except (ProcessLookupError, OverflowError):
            return Result(Status.FAIL, f"there is no process {pid}")
        return self._compare(pid, written)

    def _compare(self, pid: int, written: float) -> Result:
        """Compare a process with its pid file, as far as ``/proc`` has the facts."""
        try:
            # The name of the program in parentheses may contain anything.
            fields = (self._proc / str(pid) / "stat").read_text("utf-8", "replace").rpartition(")")[2].split()
            system = (self._proc / "stat").read_text("ascii").splitlines()
            state, ticks = fields[0], int(fields[19])
            booted = next(int(line.split()[1]) for line in system if line.startswith("btime "))
        except (OSError, ValueError, IndexError, StopIteration):
            return Result(Status.OK, f"process {pid} runs")
        if state == "Z":
            return Result(Status.FAIL, f"process {pid} has ended, and its parent has not noticed")
        late = booted + ticks / os.sysconf("SC_CLK_TCK") - written
        if late > _SLACK:
            text = f"process {pid} is another one: it began {late:.0f} s after {self._path} was written"
            return Result(Status.FAIL, text)
        return Result(Status.OK, f"process {pid} runs")


def _to_result(failure: Failure, path: str) -> Result:
    failure.trap(OSError)
    error = failure.value
    assert isinstance(error, OSError)
    return Result(Status.FAIL, f"{path}: {error.strerror or error}")
