"""A program on the reactor stops at the first signal, and further ones are logged."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Callable
from typing import Any

from twisted.internet.error import ReactorNotRunning
from twisted.trial.unittest import SynchronousTestCase

from txmirror.signals import StopSignals
from txmirror.test.mirror.world import record_log

#: How long the process may take, in seconds.
_PATIENCE = 20.0

#: Sends itself signals, and takes some time to stop.
_PROGRAM = """
import os, signal, sys
from twisted.internet import reactor, task
from twisted.logger import globalLogBeginner, textFileLogObserver
from txmirror.signals import StopSignals

globalLogBeginner.beginLoggingTo([textFileLogObserver(sys.stdout)], redirectStandardIO=False)
reactor.callWhenRunning(StopSignals(reactor).install)
reactor.addSystemEventTrigger("before", "shutdown", lambda: task.deferLater(reactor, 0.5))
for number, name in enumerate(sys.argv[1:]):
    reactor.callLater(0.1 * number, os.kill, os.getpid(), getattr(signal, name))
reactor.run()
print("stopped")
"""


class FakeReactor:
    """A part of a reactor: it is stopped once, and handles signals as Twisted's do."""

    def __init__(self) -> None:
        self.stopped = False
        self.exit_signal: int | None = None
        self.triggers: list[Callable[[], object]] = []
        self.when_running: list[Callable[[], object]] = []
        self.calls: list[Callable[[], object]] = []

    def callFromThread(self, function: Callable[..., object], *arguments: object) -> None:
        self.calls.append(lambda: function(*arguments))

    def callWhenRunning(self, function: Callable[[], object]) -> None:
        self.when_running.append(function)

    def addSystemEventTrigger(self, phase: str, event: str, function: Callable[[], object]) -> None:
        assert (phase, event) == ("before", "shutdown")
        self.triggers.append(function)

    def sigInt(self, number: int, frame: object = None) -> None:
        self.callFromThread(self.stop)
        self.exit_signal = number

    sigTerm = sigInt

    def stop(self) -> None:
        if self.stopped:
            raise ReactorNotRunning
        self.stopped = True
        for trigger in self.triggers:
            trigger()

    def turn(self) -> None:
        while self.calls:
            self.calls.pop(0)()


class SignalsTestCase(SynchronousTestCase):
    """Tests that set this process' signal handlers; the former handlers are restored."""

    def setUp(self) -> None:
        self.log_lines = record_log(self)
        self.reactor = FakeReactor()
        for number in (signal.SIGHUP, signal.SIGQUIT, signal.SIGUSR1, signal.SIGUSR2):
            self.set(number, signal.SIG_DFL)
        self.set(signal.SIGINT, self.reactor.sigInt)
        self.set(signal.SIGTERM, self.reactor.sigTerm)

    def set(self, number: signal.Signals, handler: Any) -> None:
        self.addCleanup(signal.signal, number, signal.signal(number, handler))

    def send(self, *numbers: signal.Signals) -> None:
        """Have signals come, and all happen that follows."""
        for number in numbers:
            signal.raise_signal(number)
        self.reactor.turn()


class StopSignalsTests(SignalsTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.signals = StopSignals(self.reactor)

    def test_terminate(self) -> None:
        """SIGTERM stops the reactor, which notes by which signal it was ended."""
        self.signals.install()
        self.send(signal.SIGTERM)
        self.assertEqual((self.reactor.stopped, self.reactor.exit_signal), (True, signal.SIGTERM))

    def test_interrupt(self) -> None:
        """SIGINT stops the reactor, too."""
        self.signals.install()
        self.send(signal.SIGINT)
        self.assertEqual((self.reactor.stopped, self.reactor.exit_signal), (True, signal.SIGINT))

    def test_quit(self) -> None:
        """SIGQUIT stops it too, and is logged."""
        self.signals.install()
        self.send(signal.SIGQUIT)
        self.assertTrue(self.reactor.stopped)
        self.assertEqual(self.log_lines(), ["Received SIGQUIT, shutting down."])

    def test_again(self) -> None:
        """Further signals are logged, at once or later."""
        self.signals.install()
        self.send(signal.SIGTERM, signal.SIGTERM)
        self.send(signal.SIGINT)
        self.send(signal.SIGQUIT)
        said = [f"Received {name} while stopping; still stopping." for name in ("SIGTERM", "SIGINT", "SIGQUIT")]
        self.assertEqual(self.log_lines(), said)

    def test_stopped_otherwise(self) -> None:
        """Signals after the program has stopped by itself are logged."""
        self.signals.install()
        self.reactor.stop()
        self.send(signal.SIGTERM, signal.SIGQUIT)
        said = [f"Received {name} while stopping; still stopping." for name in ("SIGTERM", "SIGQUIT")]
        self.assertEqual(self.log_lines(), said)

    def test_others(self) -> None:
        """A signal that is ignored, or has another handler, stays as it is."""
        heard: list[int] = []

        def debug(number: int, _: object) -> None:
            heard.append(number)

        self.set(signal.SIGINT, debug)
        self.set(signal.SIGQUIT, signal.SIG_IGN)
        self.signals.install()
        self.send(signal.SIGINT, signal.SIGQUIT)
        self.assertFalse(self.reactor.stopped)
        self.assertEqual(heard, [signal.SIGINT])

    def test_process(self) -> None:
        """Twisted's own reactor is stopped once, whichever signals arrive while it stops."""
        done = subprocess.run(
            [sys.executable, "-c", _PROGRAM, "SIGTERM", "SIGINT", "SIGTERM", "SIGQUIT"],
            capture_output=True,
            text=True,
            timeout=_PATIENCE,
            check=False,
        )
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        self.assertEqual(done.stdout.count("while stopping; still stopping"), 3, done.stdout)
        self.assertNotIn("Traceback", done.stdout)
        self.assertEqual(done.stdout.splitlines()[-1], "stopped")
