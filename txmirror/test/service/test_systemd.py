"""The messages to systemd: they reach a socket of any kind, and an unusable socket does no harm."""

from __future__ import annotations

import os
import subprocess
import sys

from twisted.internet.task import Clock
from twisted.logger import globalLogPublisher
from twisted.trial.unittest import SynchronousTestCase

from txmirror.service.systemd import Notifier, SystemdVariables
from txmirror.test.service.case import Log
from txmirror.test.service.systemd_socket import SystemdSocket


class _LogCase(SynchronousTestCase):
    def setUp(self) -> None:
        self.log = Log()
        globalLogPublisher.addObserver(self.log)
        self.addCleanup(globalLogPublisher.removeObserver, self.log)


class VariablesTests(_LogCase):
    def take(self, **environment: str) -> SystemdVariables:
        """Take the variables, of which none may be left."""
        environment["PATH"] = "/bin"
        taken = SystemdVariables.take(environment, 42)
        self.assertEqual(environment, {"PATH": "/bin"})
        return taken

    def test_taken(self) -> None:
        """The variables are read, and removed."""
        taken = self.take(NOTIFY_SOCKET="/run/systemd/notify", WATCHDOG_USEC="30000000", WATCHDOG_PID="42")
        self.assertEqual(taken, SystemdVariables("/run/systemd/notify", 30.0))
        self.assertEqual(self.take(NOTIFY_SOCKET="@a", WATCHDOG_USEC="1500000"), SystemdVariables("@a", 1.5))
        self.assertEqual(self.take(), SystemdVariables())
        self.assertEqual(self.take(NOTIFY_SOCKET="", WATCHDOG_USEC="", WATCHDOG_PID=""), SystemdVariables())
        self.assertEqual(self.log.lines, [])

    def test_other_process(self) -> None:
        """The watchdog of another process is none of this one's; nor is one without a socket."""
        taken = self.take(NOTIFY_SOCKET="/a", WATCHDOG_USEC="30000000", WATCHDOG_PID="43")
        self.assertEqual(taken, SystemdVariables("/a"))
        self.assertEqual(self.take(WATCHDOG_USEC="30000000", WATCHDOG_PID="42"), SystemdVariables())
        self.assertEqual(self.log.lines, [])

    def test_invalid_time(self) -> None:
        """An invalid time is logged, and there is no watchdog."""
        for text in ("soon", "-1", "0", "1.5", "1_000", "٣", "9" * 5000):
            self.assertEqual(self.take(NOTIFY_SOCKET="/a", WATCHDOG_USEC=text), SystemdVariables("/a"))
            self.assertIn("The watchdog is not notified: WATCHDOG_USEC is ", self.log.lines.pop())
            self.assertEqual(self.log.lines, [])

    def test_invalid_address(self) -> None:
        """An address of another kind is logged, and nothing is sent."""
        for address in ("vsock:2:1234", "notify", " /a"):
            self.assertEqual(self.take(NOTIFY_SOCKET=address), SystemdVariables())
            self.assertEqual(len(self.log.about(f"NOTIFY_SOCKET is {address!r}")), 1)


class NotifierTests(_LogCase):
    def setUp(self) -> None:
        super().setUp()
        self.clock = Clock()

    def make(self, address: str) -> Notifier:
        notifier = Notifier(address, self.clock)
        self.addCleanup(notifier.close)
        return notifier

    def listen(self, *, abstract: bool = False) -> SystemdSocket:
        systemd = SystemdSocket(abstract=abstract)
        self.addCleanup(systemd.close)
        return systemd

    def test_kinds(self) -> None:
        """Each message is one datagram, to a path or to an abstract name."""
        for abstract in (False, True):
            systemd = self.listen(abstract=abstract)
            notifier = self.make(systemd.address)
            notifier.send("READY=1", "STATUS=größer")
            notifier.send("WATCHDOG=1")
            self.assertEqual(systemd.messages(), ["READY=1\nSTATUS=größer", "WATCHDOG=1"])
        self.assertEqual(self.log.lines, [])

    def test_not_inherited(self) -> None:
        """A child process has not got the socket."""
        systemd = self.listen()
        notifier = self.make(systemd.address)
        notifier.send("READY=1")
        descriptor = notifier._socket.fileno()  # type: ignore[union-attr]
        program = f"import os; os.fstat({descriptor})"
        done = subprocess.run(
            [sys.executable, "-c", program], close_fds=False, capture_output=True, text=True, check=False, timeout=60
        )
        self.assertIn("Bad file descriptor", done.stderr)

    def test_missing(self) -> None:
        """A socket that is missing, or that nobody reads, is one line of the log."""
        systemd = SystemdSocket()
        notifier = self.make(systemd.address)
        systemd.socket.close()
        for _ in range(3):
            notifier.send("WATCHDOG=1")
            notifier.send("READY=1", keep=True)
        self.assertEqual(self.log.lines, [f"systemd could not be notified at {systemd.address}: Connection refused."])
        systemd.close()
        for _ in range(3):
            notifier.send("WATCHDOG=1")
        self.assertEqual(len(self.log.about("No such file or directory")), 1)
        self.assertEqual(len(self.log.lines), 2)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_unusable(self) -> None:
        """No address makes it raise."""
        for address in ("/" + "a" * 500, "@" + "a" * 500, "/", "/dev/null", "@"):
            self.make(address).send("READY=1", keep=True)
        self.assertGreaterEqual(len(self.log.lines), 4)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_no_descriptors(self) -> None:
        """After the first message, no file needs to be opened."""
        systemd = self.listen()
        notifier = self.make(systemd.address)
        notifier.send("READY=1")
        held = []
        import resource

        limits = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (systemd.socket.fileno() + 64, limits[1]))
        try:
            while True:
                held.append(os.open(os.devnull, os.O_RDONLY))
        except OSError:
            notifier.send("WATCHDOG=1")
        finally:
            for each in held:
                os.close(each)
            resource.setrlimit(resource.RLIMIT_NOFILE, limits)
        self.assertEqual(systemd.messages(), ["READY=1", "WATCHDOG=1"])

    def fill(self, notifier: Notifier) -> int:
        """Send messages until there is no room, and return the number that have arrived."""
        count = 0
        while not self.log.lines:
            notifier.send(f"X={count}")
            count += 1
        return count - 1

    def test_full(self) -> None:
        """With no room, a message is lost, or sent again if it is important; that is one line of the log."""
        systemd = self.listen()
        notifier = self.make(systemd.address)
        filled = self.fill(notifier)
        notifier.send("READY=1", keep=True)
        notifier.send("WATCHDOG=1")
        notifier.send("STOPPING=1", keep=True)
        self.clock.advance(0.2)
        self.assertEqual(len(systemd.messages()), filled)
        notifier.send("X_LAST=1", keep=True)
        self.clock.advance(0.2)
        self.assertEqual(systemd.messages(), ["READY=1", "STOPPING=1", "X_LAST=1"])
        self.assertEqual(self.clock.getDelayedCalls(), [])
        self.assertEqual(len(self.log.about("Resource temporarily unavailable")), 1)

    def test_closed_while_full(self) -> None:
        """Notifications that wait for room are bounded, and are dropped when it is closed."""
        systemd = self.listen()
        notifier = self.make(systemd.address)
        self.fill(notifier)
        for number in range(100):
            notifier.send(f"X={number}", keep=True)
        self.assertEqual(len(notifier._waiting), 16)
        notifier.close()
        self.assertEqual(self.clock.getDelayedCalls(), [])
        self.assertEqual(len(notifier._waiting), 0)
