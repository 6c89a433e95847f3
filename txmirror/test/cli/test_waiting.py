"""``wait`` returns when its condition is met, and fails when that takes too long."""

from __future__ import annotations

from txmirror.test.cli.case import Command, CommandTestCase
from txmirror.types import digest_acl


class WaitTests(CommandTestCase):
    def wait(self, *arguments: str) -> Command:
        command = self.start("wait", *arguments)
        self.assertTrue(command.running, command.err)
        return command

    def assert_met(self, command: Command) -> None:
        self.world.settle()
        self.assert_ended(command, 0)
        self.assertEqual(command.err, "")

    def test_exists(self) -> None:
        command = self.wait("/a")
        self.make("/a")
        self.assert_met(command)
        self.done("wait", "/a", "--exists")

    def test_absent(self) -> None:
        self.done("wait", "/a", "--absent")
        self.make("/a")
        command = self.wait("/a", "--absent")
        self.world.result(self.other.delete("/a"))
        self.assert_met(command)

    def test_value(self) -> None:
        """The data are compared as bytes."""
        command = self.wait("/a", "--value", "é")
        self.make("/a", b"other")
        self.world.settle()
        self.assertTrue(command.running)
        self.world.result(self.other.set("/a", "é".encode()))
        self.assert_met(command)
        command = self.start("wait", "/a", "--value", "-", stdin="é".encode())
        self.assertEqual(command.status, 0)

    def test_children(self) -> None:
        """The number of children is exact, a least one, or within bounds; a node that is absent has none to count."""
        commands = [self.wait("/a", "--children", count) for count in ("1", "2+", "2-3")]
        self.make("/a")
        self.assertEqual(self.start("wait", "/a", "--children", "0").status, 0)
        self.assertEqual([each.running for each in commands], [True, True, True])
        self.make("/a/b")
        self.world.settle()
        self.assertEqual([each.running for each in commands], [False, True, True])
        self.make("/a/c")
        for command in commands[1:]:
            self.assert_met(command)

    def test_timeout(self) -> None:
        """When the time is over, the message says what was not so, and the status is 75."""
        for arguments, says in (
            ((), "exists"),
            (("--value", "x"), "has that value"),
            (("--children", "3"), "has 3 children"),
            (("--children", "3+"), "has 3 children or more"),
            (("--children", "3-5"), "has 3 to 5 children"),
        ):
            command = self.wait("/a", "--timeout", "30", *arguments)
            self.world.pass_time(29.0)
            self.assertTrue(command.running)
            self.world.pass_time(1.5)
            self.assertEqual((command.status, command.err), (75, f"txmirror: not within 30 s: '/a' {says}\n"))

    def test_at_once(self) -> None:
        """With a timeout of 0 it looks once."""
        self.assertEqual(self.refused(75, "wait", "/a", "--timeout", "0"), "not within 0 s: '/a' exists")
        self.make("/a")
        self.done("wait", "/a", "--timeout", "0")
        self.assertEqual(self.refused(75, "wait", "/a", "--absent", "--timeout", "0"), "not within 0 s: '/a' is absent")

    def test_outage(self) -> None:
        """It outlives outages, and sees what changed meanwhile."""
        command = self.wait("/a", "-q")
        self.stop_server()
        self.world.pass_time(60.0)
        self.assertTrue(command.running)
        self.start_server()
        self.world.pass_time(10.0)
        self.make("/a")
        self.assert_met(command)

    def test_no_server(self) -> None:
        """There must have been a session, within the timeout, or else within five seconds."""
        for arguments, seconds in (
            (("--timeout", "60"), 60.0),
            (("--timeout", "2"), 2.0),
            (("--timeout", "0"), 5.0),
            ((), 5.0),
        ):
            command = self.start("wait", "/a", "-s", "127.0.0.1:1", *arguments)
            self.world.pass_time(seconds - 0.5)
            self.assertTrue(command.running, arguments)
            self.world.pass_time(0.6)
            self.assertEqual(command.status, 69)
            self.assertIn(f"no session with 127.0.0.1:1 within {seconds:g} s", command.err)

    def test_late_session(self) -> None:
        """The time until there is a session is a part of the timeout."""
        self.stop_server()
        command = self.wait("/a", "--timeout", "30")
        self.world.pass_time(20.0)
        self.start_server()
        self.world.pass_time(9.5)
        self.assertTrue(command.running)
        self.world.pass_time(0.6)
        self.assertEqual((command.status, command.err), (75, "txmirror: not within 30 s: '/a' exists\n"))

    def test_slow_server(self) -> None:
        """A server that does not answer the first request does not extend it."""
        self.world.server.delay_next("exists", 8.0)
        self.world.server.delay_next("get", 8.0)
        self.world.server.delay_next("get_many", 8.0)
        command = self.wait("/a", "--timeout", "3")
        # Then the session is closed, for at most two seconds.
        self.world.pass_time(5.2)
        self.assertEqual(command.status, 75)
        self.world.pass_time(30.0)

    def test_hidden(self) -> None:
        """A node that may not be read is an error, and no endless wait."""
        self.make("/a")
        self.world.result(self.other.set_acl("/a", [digest_acl("somebody", "else")]))
        self.assertEqual(self.refused(77, "wait", "/a", "--value", "x"), "not permitted by the ACL: '/a'")

    def test_interrupted(self) -> None:
        command = self.wait("/a")
        command.interrupt()
        self.assert_ended(command, 130)

    def test_chroot(self) -> None:
        servers = self.world.connect_string + "/missing"
        self.assertIn("a chroot that does not exist", self.refused(1, "wait", "/a", "-s", servers))
