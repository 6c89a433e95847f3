"""A command ends in bounded time; if it fails, with one line and a status for the reason."""

from __future__ import annotations

import signal

from twisted.internet.defer import Deferred, succeed

from txmirror.cli.run import Outcome, Run
from txmirror.errors import AuthFailedException
from txmirror.test.cli.case import Command, CommandTestCase

#: Where no server is.
NOWHERE = "127.0.0.1:1"


class OutageTests(CommandTestCase):
    def assert_ends(self, command: Command, seconds: float, line: str) -> None:
        """Assert that it ends when the time is over, and not before."""
        self.world.pass_time(seconds - 0.01)
        self.assertTrue(command.running)
        self.world.pass_time(0.01)
        self.assertEqual((command.status, command.out, command.err), (69, "", f"txmirror: {line}\n"))

    def test_refused(self) -> None:
        """Without a server, the command fails after the timeout, with the reason."""
        for arguments in (("get", "/"), ("ls", "/", "-r"), ("create", "/a"), ("delete", "/a"), ("watch", "/a")):
            command = self.start(*arguments, "-s", NOWHERE, "--timeout", "2")
            reason = "it cannot be reached (Connection was refused by other side)."
            self.assert_ends(command, 2.0, f"no session with {NOWHERE} within 2 s: {reason}")

    def test_silent(self) -> None:
        """With a silent server, the command fails after the timeout, with the reason."""
        self.world.reactor.black_hole("127.0.0.1", 1)
        command = self.start("get", "/", "-s", NOWHERE, "--timeout", "2")
        self.assert_ends(command, 2.0, f"no session with {NOWHERE} within 2 s")

    def test_unknown_name(self) -> None:
        """If no name can be resolved, the command fails at once."""
        command = self.start("get", "/", "-s", "nowhere:2181")
        line = "no session with nowhere:2181: no server's name can be resolved"
        self.assertEqual((command.status, command.err), (69, f"txmirror: {line}\n"))

    def test_late_server(self) -> None:
        """Until then a server may come."""
        self.stop_server()
        command = self.start("get", "/", "-o", "dir", "--timeout", "30")
        self.world.pass_time(20.0)
        self.start_server()
        self.world.pass_time(9.99)
        self.assertEqual((command.status, command.out, command.err), (0, "/\n", ""))

    def test_slow_answer(self) -> None:
        """An answer may take longer than that, as long as there is a connection."""
        self.world.server.delay_next("get", 4.0)
        command = self.start("get", "/", "-o", "dir", "--timeout", "2")
        self.world.pass_time(4.0)
        self.assertEqual((command.status, command.out, command.err), (0, "/\n", ""))

    def test_lost_read(self) -> None:
        """A connection that goes before the answer came is a failure."""
        fault = self.world.server.lose_reply("get", path="/a")
        self.make("/a")
        command = self.start("get", "/a")
        self.assertTrue(fault.happened)
        line = "no answer came: the server closed the connection"
        self.assertEqual((command.status, command.err), (69, f"txmirror: {line}\n"))

    def test_lost_write(self) -> None:
        """After a lost reply to a write, the message says that the write may have been applied."""
        self.make("/a")
        self.world.server.lose_reply("set", path="/a")
        command = self.start("set", "/a", "1")
        line = "no answer came: the server closed the connection; the write may have been applied"
        self.assertEqual((command.status, command.err), (69, f"txmirror: {line}\n"))
        self.assertEqual(self.data("/a"), b"1")

    def test_gone_in_the_middle(self) -> None:
        """A server that goes while a tree is read may come back in time."""
        self.make("/a")
        for back in (True, False):
            self.world.server.delay_next("get_many", 10.0)
            command = self.start("get", "/a", "-r", "--timeout", "3")
            self.stop_server()
            self.assertTrue(command.running)
            if back:
                self.world.pass_time(1.0)
                self.start_server()
                self.world.pass_time(1.0)
                self.assertEqual((command.status, command.err), (0, ""))
            else:
                line = f"127.0.0.1:{self.port} was out of reach for 3 s"
                self.world.pass_time(2.99)
                self.assertTrue(command.running)
                self.world.pass_time(2.01)
                self.assertEqual((command.status, command.err), (69, f"txmirror: {line}\n"))


class EndTests(CommandTestCase):
    def test_interrupted(self) -> None:
        """Ctrl-C ends the command and its session, without a message."""
        for number in (signal.SIGINT, signal.SIGTERM):
            self.world.server.delay_next("get", 1.0)
            command = self.start("get", "/", "-o", "dir")
            self.assertTrue(command.running)
            command.interrupt(number)
            self.world.pass_time(1.0)
            self.assertEqual((command.status, command.out, command.err), (128 + number, "", ""))
            self.assertEqual(self.world.server.sessions, {self.other.session_id})

    def test_interrupted_without_server(self) -> None:
        command = self.start("get", "/", "-s", NOWHERE)
        command.interrupt()
        self.assertEqual((command.status, command.err), (130, ""))

    def test_close_is_bounded(self) -> None:
        """A server that goes silent does not hold it up for long."""
        self.world.server.delay_next("close", 100.0)
        command = self.start("get", "/", "-o", "dir")
        self.world.pass_time(2.0)
        self.assertEqual((command.status, command.out), (0, "/\n"))

    def test_nobody_reads(self) -> None:
        """A pipe whose other end has closed ends it without a word."""
        self.world.server.delay_next("get", 1.0)
        command = self.start("get", "/", "-o", "dir")
        command.break_output(BrokenPipeError())
        self.world.pass_time(1.0)
        self.assertEqual((command.status, command.err), (141, ""))

    def test_disk_full(self) -> None:
        """An output that cannot be written is an error with the reason."""
        self.world.server.delay_next("get", 1.0)
        command = self.start("get", "/", "-o", "dir")
        command.break_output(OSError(28, "No space left on device"))
        self.world.pass_time(1.0)
        line = "the output cannot be written: No space left on device"
        self.assertEqual((command.status, command.err), (74, f"txmirror: {line}\n"))

    def test_bug_in_lines(self) -> None:
        """A bug in the generator of the output's lines is reported."""
        command = self.perform(lambda _: succeed(Outcome(str(1 // each) for each in (1, 0))))
        self.assertEqual(command.status, 70)
        self.assertIn("ZeroDivisionError", command.err)
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)

    def test_bug(self) -> None:
        """A bug is reported in one line, too."""

        def program(run: Run) -> Deferred[Outcome]:
            raise ZeroDivisionError("of course\nnot")

        command = self.perform(program)
        line = r"The command has failed because of a bug. ZeroDivisionError: of course\nnot"
        self.assertEqual((command.status, command.err), (70, f"txmirror: {line}\n"))
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)

    def test_credentials_refused(self) -> None:
        """A server that refuses the credentials themselves is the reason that is given."""
        self.world.server.fail_next("get", AuthFailedException())
        command = self.start("get", "/", "-o", "dir")
        self.assertEqual((command.status, command.err), (77, "txmirror: the server refused the credentials: '/'\n"))
