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
from txmirror.cli.start import end_at_once, signals_to_handle
from txmirror.cli.statuses import Status


def launch(settings: Settings, program: Program) -> int:
    """Run a program on the reactor, which is stopped when it has ended.

    A signal interrupts the run, each time that it comes. While output is written that nobody takes, the reactor does not hear of
    it: then the signal ends the process, at once where the session has ended, else when it comes again.

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
    unheard: list[int] = []
    signals = signals_to_handle()

    def ended(status: int) -> None:
        statuses.append(status)
        reactor.stop()

    def received(number: int, _: object) -> None:
        if console.writing and (run.over or unheard):
            end_at_once(number)
        unheard.append(number)
        reactor.callFromThread(hear)

    def hear() -> None:
        run.interrupt(unheard.pop(0))

    def begin() -> None:
        # The reactor has set its own handlers by now, which would stop it before the session has ended.
        for number in signals:
            signal.signal(number, received)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, signals)
        run.perform(program).addCallback(ended)

    reactor.callWhenRunning(begin)
    signal.pthread_sigmask(signal.SIG_BLOCK, signals)
    reactor.run()
    # All is done. While Python ends, a signal would find no handler any more.
    for number in signals:
        signal.signal(number, signal.SIG_IGN)
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
