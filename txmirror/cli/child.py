"""A program that runs as a child, with the streams and the terminal of the command that has started it."""

from __future__ import annotations

import os
import shutil
import signal
from collections.abc import Mapping, Sequence
from pathlib import Path

from twisted.internet.defer import Deferred
from twisted.internet.error import ProcessExitedAlready, ProcessTerminated
from twisted.internet.interfaces import IReactorProcess, IReactorTime
from twisted.internet.protocol import ProcessProtocol
from twisted.python.failure import Failure

from txmirror.cli.statuses import CannotDo, Status, status_of_signal
from txmirror.timers import Timer


def find_program(name: str) -> str:
    """Find a program as a shell does.

    :raises CannotDo: there is none.
    """
    found = shutil.which(name)
    if found is not None:
        return found
    if os.sep in name and Path(name).exists():
        raise CannotDo(f"{name!r} cannot be run", Status.NOT_RUNNABLE)
    raise CannotDo(f"{name!r}: no such program", Status.NO_PROGRAM)


class Child(ProcessProtocol):
    """One run of a program.

    :param reactor: starts it, tells of its end, and runs a timer.
    :param program: where it is.
    :param arguments: its arguments, its own name first.
    :param terminal: whether it is at the terminal that we are at, which then sends it SIGINT, SIGQUIT and SIGHUP by itself.
    :ivar name: its own name.
    :ivar ended: fires with its status, as a shell gives it, when it has ended. Cancelling ends the wait.
    """

    def __init__(self, reactor: IReactorTime, program: str, arguments: Sequence[str], *, terminal: bool) -> None:
        self.name = arguments[0]
        self._reactor = reactor
        self._program = program
        self._arguments = arguments
        self._terminal = terminal
        self._killing = Timer(reactor, lambda: self._send(signal.SIGKILL))
        self._over = False
        self.ended: Deferred[int] = Deferred()

    def start(self, more: Mapping[str, str] | None = None) -> None:
        """Start it.

        :param more: what its environment has beside ours.
        :raises CannotDo: the system does not let it; the message says why.
        """
        # As bytes, because Twisted does not encode what Python took from the system undecoded.
        environment = {**os.environb, **{os.fsencode(name): os.fsencode(value) for name, value in (more or {}).items()}}
        arguments = [os.fsencode(each) for each in self._arguments]
        try:
            IReactorProcess(self._reactor).spawnProcess(
                self, self._program, arguments, env=environment, childFDs={0: 0, 1: 1, 2: 2}
            )
        except OSError as error:
            raise CannotDo(f"{self._program!r} cannot be run: {error.strerror}", Status.NOT_RUNNABLE) from None

    def interrupt(self, number: int) -> None:
        """Pass a signal on, unless it has had it already."""
        if not (self._terminal and number in (signal.SIGINT, signal.SIGQUIT, signal.SIGHUP)):
            self._send(number)

    def end(self, grace: float) -> None:
        """Ask it to end; after so many seconds, end it."""
        self._send(signal.SIGTERM)
        if not self._over:
            self._killing.start(grace)

    def processEnded(self, reason: Failure) -> None:
        """Take note of its end."""
        self._over = True
        self._killing.stop()
        error = reason.value
        status = 0
        if isinstance(error, ProcessTerminated):
            status = error.exitCode if error.signal is None else status_of_signal(error.signal)
        if not self.ended.called:
            self.ended.callback(status)

    def _send(self, number: int) -> None:
        try:
            if self.transport is not None:
                # Twisted knows five signals by name, and all by number.
                self.transport.signalProcess(int(number))
        except ProcessExitedAlready:
            # Its end is about to be told.
            pass
