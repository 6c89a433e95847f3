"""No signal ends ``twistd txmirror`` without a withdrawal, but SIGKILL."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from pathlib import Path

from twisted.internet.interfaces import IReactorCore
from twisted.python import usage
from twisted.python.logfile import LogFile
from zope.interface import alsoProvides

from txmirror.service import Options
from txmirror.service.launching import log_file
from txmirror.service.signals import SignalService
from txmirror.test.test_signals import SignalsTestCase


class SignalServiceTests(SignalsTestCase):
    def setUp(self) -> None:
        super().setUp()
        alsoProvides(self.reactor, IReactorCore)

    def begin(
        self,
        log_file: str | None = None,
        *,
        reload: Callable[[], object] | None = None,
        hurry: Callable[[], object] | None = None,
        without_file: bool = False,
    ) -> None:
        """Start the service, and the reactor."""
        service = SignalService(self.reactor, log_file, reload=reload, hurry=hurry, ends_with_terminal=without_file)
        service.startService()
        self.assertIs(signal.getsignal(signal.SIGHUP), signal.SIG_DFL)
        (install,) = self.reactor.when_running
        install()

    def begin_privileged(self, reload: Callable[[], object] | None = None) -> Callable[[], None]:
        """Start the service as twistd does. Return a function that starts the reactor."""
        self.set(signal.SIGINT, signal.default_int_handler)
        service = SignalService(self.reactor, None, reload=reload)
        service.privilegedStartService()
        service.startService()

        def run() -> None:
            if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
                signal.signal(signal.SIGINT, self.reactor.sigInt)
            self.reactor.when_running[0]()
            self.reactor.turn()

        return run

    def test_too_early(self) -> None:
        """Signals that arrive before the reactor runs are handled then, each once."""
        reloads: list[None] = []
        run = self.begin_privileged(reload=lambda: reloads.append(None))
        self.send(signal.SIGHUP, signal.SIGUSR1, signal.SIGHUP, signal.SIGUSR2)
        self.assertEqual((self.log_lines(), reloads), ([], []))
        run()
        self.assertEqual(len(reloads), 1)
        hang_up, rotation, other = self.log_lines()
        self.assertIn("Received SIGHUP", hang_up)
        self.assertIn("Received SIGUSR1", rotation)
        self.assertIn("Received SIGUSR2", other)
        self.send(signal.SIGHUP)
        self.assertEqual(len(reloads), 2)

    def test_interrupted_early(self) -> None:
        """Before the reactor runs, SIGINT has its default action, which leaves no traceback; then it stops the reactor."""
        run = self.begin_privileged()
        self.assertIs(signal.getsignal(signal.SIGINT), signal.SIG_DFL)
        run()
        self.send(signal.SIGINT)
        self.assertTrue(self.reactor.stopped)
        self.assertEqual(self.reactor.exit_signal, signal.SIGINT)

    def test_interrupt_ignored(self) -> None:
        """A SIGINT that a shell ignores for a job in the background stays ignored."""
        self.set(signal.SIGINT, signal.SIG_IGN)
        service = SignalService(self.reactor, None)
        service.privilegedStartService()
        service.startService()
        self.reactor.when_running[0]()
        self.assertIs(signal.getsignal(signal.SIGINT), signal.SIG_IGN)

    def log_to_file(self) -> LogFile:
        """Log to a file, as twistd does it."""
        folder = Path(self.mktemp())
        folder.mkdir()
        file: LogFile = LogFile.fromFullPath(str(folder / "log"))
        self.addCleanup(file.close)
        self.set(signal.SIGUSR1, lambda *_: self.reactor.callFromThread(file.rotate))
        return file

    def test_said(self) -> None:
        """SIGHUP and SIGUSR2 are logged, each time."""
        self.begin()
        self.send(signal.SIGHUP, signal.SIGUSR2)
        self.send(signal.SIGHUP)
        hang_up = "Received SIGHUP: there is no file to read again."
        self.assertEqual(self.log_lines(), [hang_up, "Received SIGUSR2, which does nothing.", hang_up])
        self.assertFalse(self.reactor.stopped)

    def test_reload(self) -> None:
        """SIGHUP reloads, where there is something to reload."""
        reloads: list[None] = []
        self.begin(reload=lambda: reloads.append(None))
        self.send(signal.SIGHUP)
        self.assertEqual(self.log_lines(), ["Received SIGHUP: reading the configuration again."])
        self.assertEqual(len(reloads), 1)

    def open_terminal(self) -> Callable[[], None]:
        """Make the standard input a terminal. Return a function that closes its window."""
        window, terminal = os.openpty()
        former = os.dup(0)
        os.dup2(terminal, 0)
        os.close(terminal)
        self.addCleanup(os.close, former)
        self.addCleanup(os.dup2, former, 0)
        return lambda: os.close(window)

    def test_window_closed(self) -> None:
        """Without a file, SIGHUP after the end of the terminal stops it: nobody would see the demonstration, or could end it."""
        close = self.open_terminal()
        self.set(signal.SIGTERM, self.reactor.sigTerm)
        self.begin(without_file=True, reload=self.fail)
        close()
        self.send(signal.SIGHUP)
        self.assertEqual(self.log_lines(), ["Received SIGHUP: the terminal is gone."])
        self.assertTrue(self.reactor.stopped)
        self.assertEqual(self.reactor.exit_signal, signal.SIGTERM)

    def test_window_open(self) -> None:
        """As long as there is a terminal, SIGHUP is a request to reload."""
        close = self.open_terminal()
        self.addCleanup(close)
        self.begin(without_file=True)
        self.send(signal.SIGHUP)
        self.assertEqual(self.log_lines(), ["Received SIGHUP: there is no file to read again."])
        self.assertFalse(self.reactor.stopped)

    def test_window_closed_with_file(self) -> None:
        """A daemon with a file reloads, whether it has a terminal or not."""
        close = self.open_terminal()
        reloads: list[None] = []
        self.begin(reload=lambda: reloads.append(None))
        close()
        self.send(signal.SIGHUP)
        self.assertEqual(len(reloads), 1)
        self.assertFalse(self.reactor.stopped)

    def test_hurry(self) -> None:
        """A second signal to stop hurries the stop, whichever of them it is."""
        hurries: list[None] = []
        self.begin(hurry=lambda: hurries.append(None))
        self.send(signal.SIGTERM)
        self.assertEqual(hurries, [])
        self.send(signal.SIGINT)
        self.assertEqual(len(hurries), 1)
        self.assertEqual(self.log_lines(), ["Received SIGINT while stopping."])

    def test_stops(self) -> None:
        """SIGQUIT stops it as SIGTERM does, once."""
        self.begin()
        self.send(signal.SIGQUIT)
        self.send(signal.SIGTERM)
        self.assertTrue(self.reactor.stopped)

    def test_nothing_to_rotate(self) -> None:
        """If twistd logs to no file of its own, a line explains that SIGUSR1 does nothing."""
        self.begin()
        self.send(signal.SIGUSR1)
        self.assertEqual(self.log_lines(), ["Received SIGUSR1: the log is not a file that twistd could rotate."])

    def test_rotated(self) -> None:
        """Else twistd rotates the file."""
        file = self.log_to_file()
        self.begin(file.path)
        self.send(signal.SIGUSR1)
        self.assertTrue(Path(f"{file.path}.1").exists())
        path = Path(file.path).absolute()
        self.assertEqual(self.log_lines(), [f"Received SIGUSR1: rotated the log file {path}."])

    def test_not_rotated(self) -> None:
        """If it cannot be rotated, that is logged."""
        file = self.log_to_file()
        self.begin(file.path)
        path = Path(file.path).absolute()
        path.unlink()
        self.send(signal.SIGUSR1)
        reason = "it or its folder is gone, or cannot be written"
        line = f"Received SIGUSR1: the log file {path} could not be rotated: {reason}."
        self.assertEqual(self.log_lines(), [line])

    def test_ignored(self) -> None:
        """Signals that ``nohup`` ignores stay ignored."""
        self.set(signal.SIGHUP, signal.SIG_IGN)
        service = SignalService(self.reactor, None)
        service.startService()
        self.reactor.when_running[0]()
        self.assertIs(signal.getsignal(signal.SIGHUP), signal.SIG_IGN)


class LogFileTests(SignalsTestCase):
    def log_file(self, **given: object) -> str | None:
        options = Options()
        options.parent = usage.Options()
        options.parent.update(given)
        return log_file(options)

    def test_where(self) -> None:
        """twistd's own options say where it logs to."""
        self.assertEqual(self.log_file(logfile="a/log", nodaemon=1), "a/log")
        self.assertEqual(self.log_file(logfile=None, nodaemon=0), "twistd.log")
        self.assertEqual(self.log_file(logfile=None, nodaemon=1), None)
        self.assertEqual(self.log_file(logfile="-", nodaemon=1), None)
        self.assertEqual(self.log_file(logfile="log", syslog=1), None)
        self.assertEqual(self.log_file(logfile="log", logger="my.logger"), None)
        self.assertEqual(log_file(Options()), None)
