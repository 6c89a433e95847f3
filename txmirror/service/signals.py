"""The signals of ``twistd txmirror``, none of which ends it without the withdrawal of what it has registered."""

from __future__ import annotations

import signal
from pathlib import Path
from typing import Any

from twisted.application.service import Service
from twisted.internet.interfaces import IReactorCore
from twisted.logger import Logger

from txmirror.signals import StopSignals, handle


class SignalService(Service):
    """Handles signals from the moment at which the reactor runs, until the process ends.

    SIGTERM, SIGINT and SIGQUIT stop the reactor once. SIGHUP and SIGUSR2 are logged, and do nothing else. SIGUSR1 lets twistd
    rotate its log file; where it does not, that is logged. A signal that is ignored at the start, or is handled by somebody
    else, stays so.

    :param reactor: a provider of ``IReactorCore`` and ``IReactorFromThreads``, which runs in the main thread.
    :param log_file: where twistd logs to; None where that is no file of its own.
    """

    _log = Logger()

    def __init__(self, reactor: Any, log_file: str | None) -> None:
        self._reactor = reactor
        self._log_file = None if log_file is None else Path(log_file).absolute()
        self._inode: int | None = None

    def startService(self) -> None:
        """Handle signals as soon as the reactor runs: it sets handlers of its own when it begins."""
        super().startService()
        IReactorCore(self._reactor).callWhenRunning(self._install)

    def _install(self) -> None:
        StopSignals(self._reactor).install()
        for number, function in ((signal.SIGHUP, self._nothing_to_reload), (signal.SIGUSR2, self._ignored)):
            if signal.getsignal(number) is signal.SIG_DFL:
                handle(self._reactor, number, function)
        rotate = signal.getsignal(signal.SIGUSR1)
        if rotate is signal.SIG_DFL:
            handle(self._reactor, signal.SIGUSR1, self._nothing_to_rotate)
        elif callable(rotate) and self._log_file is not None:
            self._rotate = rotate
            handle(self._reactor, signal.SIGUSR1, self._rotates)

    def _nothing_to_reload(self, _: int) -> None:
        self._log.info("Received SIGHUP: there is no file to read again.")

    def _ignored(self, _: int) -> None:
        self._log.info("Received SIGUSR2, which does nothing.")

    def _nothing_to_rotate(self, _: int) -> None:
        self._log.warn("Received SIGUSR1: the log is not a file that twistd could rotate.")

    def _rotates(self, number: int) -> None:
        # twistd's handler lets the reactor call what rotates the file, which says nothing where it may not.
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
            self._log.info("Received SIGUSR1: the log file {path} is a new one.", path=str(self._log_file))

    def _current_inode(self) -> int | None:
        assert self._log_file is not None
        try:
            return self._log_file.stat().st_ino
        except OSError:
            return None
