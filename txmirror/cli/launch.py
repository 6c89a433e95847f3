"""Run a program on the reactor, with the process's streams and signals."""

from __future__ import annotations

import io
import os
import shutil
import signal
import sys
from collections.abc import Mapping
from typing import Any, cast

from twisted.internet.interfaces import IReactorTime
from twisted.logger import globalLogBeginner

from txmirror.cli.console import Console
from txmirror.cli.run import Program, Run
from txmirror.cli.settings import Settings
from txmirror.cli.start import end_at_once, signals_to_handle
from txmirror.cli.statuses import Status
from txmirror.cli.streams import abandon_output, fill_standard_descriptors


def launch(settings: Settings, program: Program) -> int:
    """Run a program on the reactor, and stop the reactor when the program has ended.

    Each signal interrupts the run. While a write of output blocks, the reactor cannot handle signals: then a signal ends
    the process, the first one if the session has ended, else the second.

    :returns: the exit status.
    """
    fill_standard_descriptors()
    from twisted.internet import reactor as global_reactor

    reactor = cast(Any, global_reactor)
    # Without this, Twisted writes critical events to stderr itself, with tracebacks.
    globalLogBeginner.beginLoggingTo([], discardBuffer=True, redirectStandardIO=False)
    console = make_console(settings)
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
        # These replace the reactor's own handlers, which would stop it before the session has ended.
        for number in signals:
            signal.signal(number, received)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, signals)
        run.perform(program).addCallback(ended)

    reactor.callWhenRunning(begin)
    signal.pthread_sigmask(signal.SIG_BLOCK, signals)
    reactor.run()
    # While Python exits, the handlers no longer work.
    for number in signals:
        signal.signal(number, signal.SIG_IGN)
    if console.broken is not None:
        abandon_output()
    return statuses[0] if statuses else Status.BUG


def make_console(settings: Settings) -> Console:
    """Return a console on the standard streams."""
    out, err = sys.stdout or io.StringIO(), sys.stderr or io.StringIO()
    width = shutil.get_terminal_size().columns if out.isatty() else None
    return Console(out, err, quiet=settings.quiet, width=width, ascii_only=in_c_locale(os.environ))


def in_c_locale(environment: Mapping[str, str]) -> bool:
    """Return whether the environment asks for the locale C, which has ASCII only. Python itself uses UTF-8 then."""
    if environment.get("PYTHONIOENCODING") or environment.get("PYTHONUTF8") == "1":
        return False
    kind = environment.get("LC_CTYPE", "")
    if kind in ("C.UTF-8", "C.utf8", "UTF-8"):
        # Python may have set it by itself.
        kind = ""
    locale = environment.get("LC_ALL") or kind or environment.get("LANG") or "C"
    return locale in ("C", "POSIX")
