"""A command with a process group of its own, which ends as a whole."""

from __future__ import annotations

import os
import shutil
import signal
from collections.abc import Mapping, Sequence
from typing import Any, Final

from twisted.internet.defer import Deferred
from twisted.internet.error import ProcessTerminated
from twisted.internet.interfaces import IReactorTime
from twisted.internet.protocol import ProcessProtocol
from twisted.logger import Logger
from twisted.python.failure import Failure

from txmirror.checks.descendants import VARIABLE, Descendants, make_mark
from txmirror.checks.processes import find_living
from txmirror.checks.results import Output
from txmirror.deferreds import Waiters
from txmirror.timers import Timer

#: A program that writes more bytes than this is killed.
MOST_OUTPUT: Final = 2**20
#: The interval for polling a group that is ending, in seconds.
_POLL_INTERVAL: Final = 0.05
#: The time limit for a killed group to end, in seconds. After it, processes that are still alive are left behind.
_KILL_TIME: Final = 5.0


class ProcessGroup(ProcessProtocol):
    """The processes of one command.

    It has more than 12 attributes because the command, its pipes and its children may end in any order.

    When the command exits, and its children go on, they get the grace to end too. Then they are killed. A child that makes a
    session of its own may go on when the command has exited in time. When the command is killed, these children are killed as well.

    :param grace: the seconds between SIGTERM and SIGKILL.
    :param clock: measures them.
    :ivar mark: the value of the variable by which its processes are found.
    :ivar output: the text on standard output and standard error.
    :ivar status: the exit status of the command; negative for the signal that ended it; None while it runs.
    :ivar left: whether it left children that had to be killed.
    :ivar gone: whether no process is left, or the rest cannot be killed.
    """

    _log = Logger()

    def __init__(self, grace: float, clock: IReactorTime) -> None:
        self.output: Output = Output()
        self.status: int | None = None
        self.left: bool = False
        self._grace = grace
        self._clock = clock
        self._timer = Timer(clock, self._poll)
        self._pid = 0
        self.mark: str = make_mark()
        self._descendants = Descendants([self.mark])
        self._deadline: float | None = None
        self._killing = False
        self._closed = False
        self._empty = False
        #: A process of the group that was alive.
        self._member: int | None = None
        self._ended: Waiters[None] = Waiters()
        self.gone: bool = False

    def spawn(self, reactor: Any, argv: Sequence[str], env: Mapping[str, str], cwd: str | None) -> None:
        """Start the command with ``setsid``, which makes the group.

        :raises OSError: the operating system refuses to start it.
        """
        setsid = shutil.which("setsid")
        if setsid is None:
            raise FileNotFoundError("the program setsid is not installed")
        reactor.spawnProcess(self, setsid, [setsid, *argv], env={**env, VARIABLE: self.mark}, path=cwd)

    @property
    def pid(self) -> int:
        """The pid of the command, and of its group."""
        return self._pid

    def wait(self) -> Deferred[None]:
        """Return a Deferred that fires when no process is left. Cancelling it ends only the wait."""
        waiting = self._ended.wait()
        if self.gone:
            self._ended.fire(None)
        return waiting

    def kill(self) -> None:
        """End the group: by SIGTERM, and after the grace by SIGKILL. A second call sends SIGKILL at once."""
        if self.gone:
            return
        if self._killing:
            self._deadline = self._clock.seconds()
        else:
            self._killing = True
            self._signal(signal.SIGTERM)
            self._begin_to_end()
        self._poll()

    # Called by the reactor.

    def connectionMade(self) -> None:
        transport: Any = self.transport
        # A command that exits at once is reaped before the reactor returns from starting it, and then it has no pid any more.
        self._pid = transport.pid
        transport.closeStdin()

    def childDataReceived(self, childFD: int, data: bytes) -> None:
        self.output.add(data)
        if self.output.total > MOST_OUTPUT and not self._killing:
            assert self.transport is not None
            # A program that writes on gets SIGPIPE.
            self.transport.loseConnection()
            self.kill()

    def processExited(self, reason: Failure) -> None:
        error = reason.value
        self.status = 0
        if isinstance(error, ProcessTerminated):
            self.status = -error.signal if error.signal is not None else error.exitCode
        self._begin_to_end()

    def processEnded(self, reason: Failure) -> None:
        self._closed = True
        self._poll()

    # Until nothing is left.

    def _begin_to_end(self) -> None:
        if self._deadline is None:
            self._deadline = self._clock.seconds() + self._grace
            self._timer.start(_POLL_INTERVAL)

    def _poll(self) -> None:
        """Look for processes that are left; kill them when their time is over."""
        if self.gone or self._deadline is None:
            return
        alive = self._is_alive()
        if self._closed and not alive:
            self._finish()
            return
        late = self._clock.seconds() - self._deadline
        if late >= 0:
            if alive:
                self.left = self.left or (self.status is not None and not self._killing)
                self._killing = True
                self._signal(signal.SIGKILL)
            assert self.transport is not None
            # A process that has left the group may hold the pipes open.
            self.transport.loseConnection()
        if late >= _KILL_TIME:
            self._log.error("Process group {pid} of a check cannot be killed; it is left running.", pid=self._pid)
            self._finish()
        else:
            self._timer.start(_POLL_INTERVAL)

    def _is_alive(self) -> bool:
        """Return whether a process is left. Once the group is empty, its number may belong to others."""
        if self.status is not None and not self._empty:
            self._member = find_living(self._pid, self._member) if self._send(os.killpg, 0) else None
            self._empty = self._member is None
        return not self._empty or (self._killing and self._descendants.are_alive())

    def _finish(self) -> None:
        self.gone = True
        self._timer.stop()
        self._descendants.close()
        self._ended.fire(None)

    def _signal(self, number: int) -> None:
        # The group first, and all of it at once: a shell whose child ends before it writes a line about that.
        if not self._empty and not self._send(os.killpg, number) and self.status is None:
            # The command has not made its group yet.
            self._send(os.kill, number)
        self._descendants.signal(number)

    def _send(self, function: Any, number: int) -> bool:
        """Send a signal. Return False if there is no such process or group."""
        try:
            function(self._pid, number)
        except ProcessLookupError:
            return False
        except PermissionError:
            # It runs as another user.
            return True
        return True
