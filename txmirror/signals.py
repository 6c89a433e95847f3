"""Handling of the signals that stop a program on the reactor."""

from __future__ import annotations

import signal
from collections.abc import Callable
from contextlib import suppress
from types import FrameType
from typing import Any

from twisted.internet.error import ReactorNotRunning
from twisted.logger import Logger

_Handler = Callable[[int, FrameType | None], Any]


class StopSignals:
    """Stop the reactor at the first of SIGTERM, SIGINT and SIGQUIT, and log each that follows.

    The reactor's own handlers would log a traceback for a second signal, and SIGQUIT would end the process with nothing closed. A
    signal that is ignored, or that has a foreign handler (``twistd --debug``), stays as it is.

    :param reactor: a provider of ``IReactorCore`` and ``IReactorFromThreads``. Call :meth:`install` while it runs, in the main
        thread. The handlers stay until the process ends.
    :param again: called on each signal after the first.
    """

    _log = Logger()

    def __init__(self, reactor: Any, *, again: Callable[[], object] | None = None) -> None:
        self._reactor = reactor
        self._again = again
        self._stopping = False
        self._reactors_own: dict[int, _Handler] = {}

    def install(self) -> None:
        """Handle the signals from now on."""
        self._reactor.addSystemEventTrigger("before", "shutdown", self._stops)
        own = (getattr(self._reactor, "sigInt", None), getattr(self._reactor, "sigTerm", None))
        for number in (signal.SIGTERM, signal.SIGINT):
            handler = signal.getsignal(number)
            if callable(handler) and handler in own:
                self._reactors_own[number] = handler
                handle(self._reactor, number, self._received)
        if signal.getsignal(signal.SIGQUIT) is signal.SIG_DFL:
            handle(self._reactor, signal.SIGQUIT, self._received)

    def _stops(self) -> None:
        self._stopping = True

    def _received(self, number: int) -> None:
        name = signal.Signals(number).name
        if self._stopping:
            if self._again is None:
                self._log.info("Received {signal} while stopping; still stopping.", signal=name)
            else:
                self._log.info("Received {signal} while stopping.", signal=name)
                self._again()
            return
        self._stopping = True
        if number in self._reactors_own:
            # This handler also notes the signal, with which twistd ends.
            self._reactors_own[number](number, None)
        else:
            self._log.info("Received {signal}, shutting down.", signal=name)
            with suppress(ReactorNotRunning):
                self._reactor.stop()


def handle(reactor: Any, number: signal.Signals, function: Callable[[int], object]) -> None:
    """Call a function with a signal's number, in the reactor's thread, each time that the signal arrives.

    :param reactor: a provider of ``IReactorFromThreads``.
    """
    signal.signal(number, lambda received, _: reactor.callFromThread(function, received))
