"""``register`` keeps a service registered until it is interrupted, or for as long as a program runs."""

from __future__ import annotations

import json
import signal
from pathlib import Path
from typing import Any

from txmirror.errors import NoAuthException
from txmirror.test.cli.case import CommandTestCase
from txmirror.types import READ_ACL, digest_acl

PATH = "/services/ssh/server1:22"
PROGRAM = ("--", "sh", "-c", "exit 3")


class RegisterTestCase(CommandTestCase):
    @property
    def registered(self) -> dict[str, Any] | None:
        if self.world.result(self.other.exists(PATH)) is None:
            return None
        found: dict[str, Any] = json.loads(self.data(PATH))
        return found


class AloneTests(RegisterTestCase):
    def test_until_interrupted(self) -> None:
        """The command logs the registration, withdraws it at the end, and exits with 0."""
        for number in (signal.SIGINT, signal.SIGTERM):
            command = self.start("register", PATH, "-d", "foo=bar", "--data", "n=1=2")
            assert self.registered is not None
            self.assertEqual((self.registered["foo"], self.registered["n"]), ("bar", "1=2"))
            self.assertEqual(command.err, f"txmirror: registered: {PATH}\n")
            command.interrupt(number)
            self.assert_ended(command, 0)
            self.assertIsNone(self.registered)

    def test_username(self) -> None:
        """With a user, only that user may write the registered node."""
        password = self.mktemp()
        Path(password).write_text("pw\n")
        command = self.start("register", PATH, "-u", "app", "--password-file", password)
        failure = self.world.result(self.other.set(PATH, b"2").addErrback(lambda failure: failure.type))
        self.assertIs(failure, NoAuthException)
        self.assertIsNotNone(self.registered)
        self.world.result(self.other.add_auth("digest", b"app:pw"))
        acl, _ = self.world.result(self.other.get_acl(PATH))
        self.assertEqual(tuple(acl), (digest_acl("app", "pw"), *READ_ACL))
        command.interrupt()
        self.assert_ended(command, 0)
        self.assertIsNone(self.registered)

    def test_blocked_by(self) -> None:
        """If another session owns the node, the message names that session and the node's data."""
        self.make("/services")
        self.make("/services/ssh")
        self.make(PATH, b'{"host":"other"}', ephemeral=True)
        command = self.start("register", PATH)
        (line,) = command.err.splitlines()
        self.assertIn(f'another session, {self.other.session_id:#x}, with the data {{"host":"other"}}: ', line)
        command.interrupt()
        self.assert_ended(command, 0)

    def test_missing_chroot(self) -> None:
        """The command logs that the chroot is missing, and registers once another client has created it."""
        servers = self.world.connect_string + "/missing"
        command = self.start("register", PATH, "-s", servers)
        self.assertIn(f"{servers!r} has a chroot that does not exist", command.err)
        self.make("/missing")
        self.world.pass_time(2.0)
        self.assertIn(f"registered: {PATH}", command.err)
        command.interrupt()
        self.assert_ended(command, 0)

    def test_put_back(self) -> None:
        command = self.start("register", PATH, "-q")
        self.world.result(self.other.delete(PATH))
        self.world.pass_time(1.0)
        self.assertIsNotNone(self.registered)
        command.interrupt()
        self.assert_ended(command, 0)
        self.assertEqual(command.err, "")

    def test_session_timeout(self) -> None:
        command = self.start("register", PATH, "-q", "--session-timeout", "4")
        assert command.run is not None
        self.assertEqual(command.run.client.session_timeout, 4.0)
        command.interrupt()

    def test_outage(self) -> None:
        """The command continues in an outage and logs it; the registration is restored after it."""
        command = self.start("register", PATH)
        self.stop_server()
        self.world.pass_time(60.0)
        self.assertTrue(command.running)
        self.assertIn("Could not connect to", command.err)
        self.assertNotIn("was out of reach", command.err)
        self.start_server()
        self.world.pass_time(12.0)
        self.assertIsNotNone(self.registered)
        last = command.err.splitlines()[-1]
        self.assertEqual(last, f"txmirror: {self.world.connect_string} is in reach again")
        self.assertEqual(command.err.count("in reach again"), 1)
        for _ in range(20):
            self.stop_server()
            self.world.pass_time(2.0)
            self.start_server()
            self.world.pass_time(2.0)
        self.assertLessEqual(command.err.count("in reach again"), 1)
        command.interrupt()
        self.assert_ended(command, 0)

    def test_ended_in_an_outage(self) -> None:
        """An outage does not delay the command's end for long."""
        command = self.start("register", PATH)
        self.stop_server()
        command.interrupt()
        self.world.pass_time(4.0)
        self.assertEqual(command.status, 0)

    def test_blocked(self) -> None:
        """The command logs that another node is in place, and registers once it is deleted."""
        for path in ("/services", "/services/ssh"):
            self.make(path)
        self.make(PATH, b"{}")
        command = self.start("register", PATH)
        line = f"{PATH} is a persistent node: it cannot be registered until that node is deleted."
        self.assertEqual(command.err, f"txmirror: {line}\n")
        self.world.result(self.other.delete(PATH))
        self.assertIsNotNone(self.registered)
        command.interrupt()
        self.assert_ended(command, 0)

    def test_no_server(self) -> None:
        """There must have been a session."""
        command = self.start("register", PATH, "-s", "127.0.0.1:1", "--timeout", "2")
        self.world.pass_time(2.0)
        self.assertEqual(command.status, 69)


class ProgramTests(RegisterTestCase):
    def test_while_it_runs(self) -> None:
        """With a program it is registered while that runs, and the status is the program's."""
        for status in (0, 3):
            self.reactor.processes.clear()
            command = self.start("register", PATH, *PROGRAM)
            self.assertEqual(self.process.arguments, [b"sh", b"-c", b"exit 3"])
            self.assertIn(b"PATH", self.process.environment)
            self.assertIsNotNone(self.registered)
            self.process.end(status)
            self.assert_ended(command, status)
            self.assertIsNone(self.registered)

    def test_killed(self) -> None:
        """A program that a signal has ended has a shell's status for that."""
        command = self.start("register", PATH, *PROGRAM)
        self.process.end(signal=signal.SIGKILL)
        self.assert_ended(command, 137)

    def test_signals(self) -> None:
        """Signals are the program's, and it stays registered until that has ended."""
        command = self.start("register", PATH, *PROGRAM)
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT, signal.SIGUSR1, signal.SIGUSR2):
            command.interrupt(number)
        self.assertEqual(self.process.signals, ["TERM", "INT", "HUP", "QUIT", "USR1", "USR2"])
        self.assertIsNotNone(self.registered)
        self.process.end(signal=signal.SIGTERM)
        self.assert_ended(command, 143)

    def test_signals_at_a_terminal(self) -> None:
        """At a terminal the keys signal the program directly: it gets one SIGTERM only."""
        command = self.start("register", PATH, *PROGRAM, terminal=True)
        for number in (signal.SIGINT, signal.SIGQUIT, signal.SIGHUP, signal.SIGTERM):
            command.interrupt(number)
        self.assertEqual(self.process.signals, ["TERM"])
        self.process.end(signal=signal.SIGTERM)
        self.assert_ended(command, 143)

    def test_signal_too_late(self) -> None:
        """A signal that comes when the program has just ended disturbs nothing."""
        command = self.start("register", PATH, *PROGRAM)
        self.process.pid, pid = None, self.process.pid
        command.interrupt(signal.SIGTERM)
        self.process.pid = pid
        self.process.end()
        self.assert_ended(command, 0)

    def test_no_server(self) -> None:
        """The program runs even while ZooKeeper is unreachable."""
        self.stop_server()
        command = self.start("register", PATH, "--timeout", "1", *PROGRAM)
        self.world.pass_time(60.0)
        self.assertTrue(command.running)
        self.start_server()
        self.world.pass_time(12.0)
        self.assertIsNotNone(self.registered)
        self.process.end()
        self.assert_ended(command, 0)

    def test_unknown_server(self) -> None:
        """The program runs even if the server's name cannot be resolved, and the command logs that."""
        command = self.start("register", PATH, "-s", "nowhere:1", *PROGRAM)
        self.assertIn("no session with nowhere:1", command.err)
        self.process.end(2)
        self.world.pass_time(4.0)
        self.assertEqual(command.status, 2)

    def test_cannot_start(self) -> None:
        """A program that the system refuses to start is the reason that is given."""
        self.reactor.refuses = OSError(8, "Exec format error")
        command = self.start("register", PATH, *PROGRAM)
        self.assertRegex(command.err, r"\Atxmirror: '/[^']*/sh' cannot be run: Exec format error\n\Z")
        self.assert_ended(command, 126)
        self.assertIsNone(self.registered)
