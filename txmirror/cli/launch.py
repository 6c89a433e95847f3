"""A run in a process of its own: on the reactor, with the process' streams and signals."""

from __future__ import annotations

import io
import os
import signal
import sys
from contextlib import suppress
from typing import Any, cast

from twisted.internet.interfaces import IReactorTime
from twisted.logger import globalLogBeginner

from txmirror.cli.console import Console
from txmirror.cli.run import Program, Run
from txmirror.cli.settings import Settings
from txmirror.cli.statuses import Status

#: What ends a run.
_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def launch(settings: Settings, program: Program) -> int:
    """Run a program on the reactor, which is stopped when it has ended.

    :returns: the status to exit with.
    """
    fill_standard_descriptors()
    from twisted.internet import reactor as global_reactor

    reactor = cast(Any, global_reactor)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    # Without this, Twisted writes what it thinks critical to stderr by itself, with tracebacks.
    globalLogBeginner.beginLoggingTo([], discardBuffer=True, redirectStandardIO=False)
    console = Console(sys.stdout or io.StringIO(), sys.stderr or io.StringIO(), quiet=settings.quiet)
    run = Run(settings, console, IReactorTime(reactor))
    statuses: list[int] = []

    def ended(status: int) -> None:
        statuses.append(status)
        reactor.stop()

    def begin() -> None:
        # The reactor has set its own handlers by now, which would stop it before the session has ended.
        for number in _SIGNALS:
            signal.signal(number, lambda number, _: reactor.callFromThread(run.interrupt, number))
        run.perform(program).addCallback(ended)

    reactor.callWhenRunning(begin)
    reactor.run()
    if console.broken is not None:
        abandon_output()
    return statuses[0] if statuses else Status.BUG


def fill_standard_descriptors() -> None:
    """Open in place of standard streams that are closed what takes everything and gives nothing: or else the reactor's own
    descriptors would take their numbers, and be written to.
    """
    for number in (0, 1, 2):
        try:
            os.fstat(number)
        except OSError:
            # The lowest number that is free.
            os.open(os.devnull, os.O_RDWR)


def abandon_output() -> None:
    """Throw away what could not be written: at its exit, Python would try once more, and complain."""
    with suppress(OSError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
