"""A child process with the streams and the terminal of the command."""

from __future__ import annotations

import os
import shutil
import signal
from collections.abc import Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryFile
from typing import BinaryIO

import attrs
from twisted.internet.defer import Deferred
from twisted.internet.error import ProcessExitedAlready, ProcessTerminated
from twisted.internet.interfaces import IReactorProcess, IReactorTime
from twisted.internet.protocol import ProcessProtocol
from twisted.python.failure import Failure

from txmirror.cli.statuses import CommandError, Status, status_of_signal
from txmirror.timers import Timer


@attrs.frozen
class ChildProgram:
    """A program with its arguments, which can be run once or several times."""

    path: str
    arguments: Sequence[str]
    """Its own name first."""
    terminal: bool
    """True if it shares our terminal."""

    def child(self, reactor: IReactorTime, *more: str) -> Child:
        """Return a new run of it, which is not started yet.

        :param more: further arguments.
        """
        return Child(reactor, self.path, [*self.arguments, *more], terminal=self.terminal)


def find_program(arguments: Sequence[str], stdin: BinaryIO) -> ChildProgram:
    """Find a program as a shell does.

    :param arguments: its name and its arguments.
    :param stdin: our standard input.
    :raises CommandError: there is none.
    """
    name = arguments[0]
    found = shutil.which(name)
    if found is not None:
        return ChildProgram(found, arguments, stdin.isatty())
    if os.sep in name and Path(name).exists():
        raise CommandError(f"{name!r} cannot be run", Status.NOT_RUNNABLE)
    raise CommandError(f"{name!r}: no such program", Status.NO_PROGRAM)


class Child(ProcessProtocol):
    """One run of a program.

    :param reactor: starts the process, reports its end, and runs a timer.
    :param program: the path of the program.
    :param arguments: its arguments, its own name first.
    :param terminal: whether it shares our terminal, which then sends it SIGINT, SIGQUIT and SIGHUP itself.
    :ivar name: its own name.
    :ivar asked_to_end: the last signal that asked us for the end, and not only the program, as SIGUSR1 or a reload by SIGHUP; None if
        there was none.
    :ivar ended: fires with its exit status, numbered as in a shell, when it has ended. Cancelling ends the wait.
    """

    def __init__(self, reactor: IReactorTime, program: str, arguments: Sequence[str], *, terminal: bool) -> None:
        self.name: str = arguments[0]
        self._reactor = reactor
        self._program = program
        self._arguments = arguments
        self._terminal = terminal
        self._killing = Timer(reactor, lambda: self._send(signal.SIGKILL))
        self._over = False
        self.asked_to_end: int | None = None
        self.ended: Deferred[int] = Deferred()

    def start(self, more: Mapping[str, str] | None = None, *, stdin: bytes | None = None) -> None:
        """Start the process.

        :param more: variables to add to our environment.
        :param stdin: the contents of a file that is its standard input; None for ours.
        :raises CommandError: the system refuses; the message contains the reason.
        """
        if stdin is None:
            self._spawn(more, 0)
            return
        # A file and no pipe: nobody has to write to a program that does not read.
        try:
            with TemporaryFile() as file:
                file.write(stdin)
                file.seek(0)
                self._spawn(more, file.fileno())
        except OSError as error:
            raise CommandError(f"a temporary file cannot be written: {error.strerror}", Status.IO_ERROR) from None

    def _spawn(self, more: Mapping[str, str] | None, stdin: int) -> None:
        # As bytes, because Twisted does not encode surrogate escapes.
        environment = {**os.environb, **{os.fsencode(name): os.fsencode(value) for name, value in (more or {}).items()}}
        arguments = [os.fsencode(each) for each in self._arguments]
        try:
            IReactorProcess(self._reactor).spawnProcess(
                self, self._program, arguments, env=environment, childFDs={0: stdin, 1: 1, 2: 2}
            )
        except OSError as error:
            raise CommandError(f"{self._program!r} cannot be run: {error.strerror}", Status.NOT_RUNNABLE) from None

    def interrupt(self, number: int) -> None:
        """Forward a signal, unless the terminal has sent it already."""
        if number in (signal.SIGINT, signal.SIGTERM, signal.SIGQUIT) or (self._terminal and number == signal.SIGHUP):
            self.asked_to_end = number
        if not (self._terminal and number in (signal.SIGINT, signal.SIGQUIT, signal.SIGHUP)):
            self._send(number)

    def end(self, grace: float) -> None:
        """Send SIGTERM; after ``grace`` seconds, send SIGKILL."""
        self._send(signal.SIGTERM)
        if not self._over:
            self._killing.start(grace)

    def processEnded(self, reason: Failure) -> None:
        """Fire :attr:`ended` with the exit status."""
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
                # Twisted knows only five signals by name, but all by number.
                self.transport.signalProcess(int(number))
        except ProcessExitedAlready:
            # processEnded is about to be called.
            pass
