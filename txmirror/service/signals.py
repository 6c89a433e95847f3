"""Signal handlers of ``twistd txmirror``: no signal ends it before it has withdrawn its registrations."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

from twisted.application.service import Service
from twisted.internet.interfaces import IReactorCore
from twisted.logger import Logger

from txmirror.signals import StopSignals, handle


class SignalService(Service):
    """Handles signals until the process ends.

    Before the reactor runs, nothing is registered yet: SIGTERM, SIGINT and SIGQUIT end the process at once, without a traceback.
    The other signals wait until the reactor runs.

    From then on, SIGTERM, SIGINT and SIGQUIT stop the reactor once; another one hurries the stop. SIGHUP reloads. SIGUSR2 is logged, and does
    nothing else. On SIGUSR1 twistd rotates its log file; a failure of that is logged. A signal that is ignored at the start, or has
    another handler, keeps its handler.

    Without a file, SIGHUP also stops the reactor if the terminal is gone in which the program was started. Otherwise a demonstration
    would go on unseen when its window is closed.

    :param reload: called on SIGHUP.
    :param hurry: called on a signal to stop, while the reactor is stopping.
    :param ends_with_terminal: whether there is no file to reload.
    :param reactor: a provider of ``IReactorCore`` and ``IReactorFromThreads``, which runs in the main thread.
    :param log_file: the file that twistd logs to; None if twistd does not rotate it.
    """

    _log = Logger()

    def __init__(
        self,
        reactor: Any,
        log_file: str | None,
        *,
        reload: Callable[[], object] | None = None,
        hurry: Callable[[], object] | None = None,
        ends_with_terminal: bool = False,
    ) -> None:
        self._reactor = reactor
        self._in_terminal = ends_with_terminal and _has_terminal()
        self._reload = reload
        self._hurry = hurry
        self._log_file = None if log_file is None else Path(log_file).absolute()
        self._inode: int | None = None
        #: The signals that have arrived too early.
        self._early: list[signal.Signals] = []
        self._quiet = False

    def privilegedStartService(self) -> None:
        """Defer the signals that would end the process, but have another meaning later."""
        for number in (signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2):
            if self._is_free(number):
                signal.signal(number, self._defer)
        if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
            # Python's handler would write a traceback.
            self._quiet = True
            signal.signal(signal.SIGINT, signal.SIG_DFL)

    def _defer(self, number: int, _: object) -> None:
        self._early.append(signal.Signals(number))

    def startService(self) -> None:
        """Install the handlers as soon as the reactor runs, because it sets its own when it starts."""
        super().startService()
        IReactorCore(self._reactor).callWhenRunning(self._install)

    def _install(self) -> None:
        if self._quiet and signal.getsignal(signal.SIGINT) is signal.SIG_DFL:
            # The reactor sets its handler only in place of Python's.
            signal.signal(signal.SIGINT, self._reactor.sigInt)
        StopSignals(self._reactor, again=self._hurry).install()
        for number, function in ((signal.SIGHUP, self._hung_up), (signal.SIGUSR2, self._ignored)):
            if self._is_free(number):
                handle(self._reactor, number, function)
        rotate = signal.getsignal(signal.SIGUSR1)
        if self._is_free(signal.SIGUSR1):
            handle(self._reactor, signal.SIGUSR1, self._nothing_to_rotate)
        elif callable(rotate) and self._log_file is not None:
            self._rotate = rotate
            handle(self._reactor, signal.SIGUSR1, self._rotates)
        for number in dict.fromkeys(self._early):
            signal.raise_signal(number)

    def _is_free(self, number: signal.Signals) -> bool:
        """Return whether only this service has handled a signal."""
        return signal.getsignal(number) in (signal.SIG_DFL, self._defer)

    def _hung_up(self, _: int) -> None:
        if self._in_terminal and not _has_terminal():
            self._log.info("Received SIGHUP: the terminal is gone.")
            signal.raise_signal(signal.SIGTERM)
        elif self._reload is None:
            self._log.info("Received SIGHUP: there is no file to read again.")
        else:
            self._log.info("Received SIGHUP: reading the configuration again.")
            self._reload()

    def _ignored(self, _: int) -> None:
        self._log.info("Received SIGUSR2, which does nothing.")

    def _nothing_to_rotate(self, _: int) -> None:
        self._log.warn("Received SIGUSR1: the log is not a file that twistd could rotate.")

    def _rotates(self, number: int) -> None:
        # twistd's handler schedules the rotation in the reactor. The rotation is silent if it is not permitted.
        self._inode = self._current_inode()
        self._rotate(number, None)
        self._reactor.callFromThread(self._rotated)

    def _rotated(self) -> None:
        if self._current_inode() in (None, self._inode):
            self._log.warn(
                "Received SIGUSR1: the log file {path} could not be rotated: it or its folder is gone, or cannot be written.",
                path=str(self._log_file),
            )
        else:
            self._log.info("Received SIGUSR1: rotated the log file {path}.", path=str(self._log_file))

    def _current_inode(self) -> int | None:
        assert self._log_file is not None
        try:
            return self._log_file.stat().st_ino
        except OSError:
            return None


def _has_terminal() -> bool:
    """Return whether the standard input is a terminal. It is none any more once its window is closed."""
    try:
        return os.isatty(0)
    except OSError:
        return False
