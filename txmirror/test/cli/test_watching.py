"""``watch`` shows every change, through reconnections, until it is interrupted."""

from __future__ import annotations

import json
import signal

from txmirror.test.cli.case import Command, CommandTestCase
from txmirror.types import digest_acl


class WatchTests(CommandTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.make("/a", b"0")
        self.make("/a/b", b"0")

    def watch(self, *arguments: str) -> Command:
        command = self.start("watch", *arguments)
        self.assertTrue(command.running)
        return command

    def end(self, command: Command, number: int = signal.SIGINT) -> None:
        told = command.out
        command.interrupt(number)
        self.assertEqual((command.status, command.out, command.err), (0, told, ""))
        self.assertEqual(self.world.server.sessions, {self.other.session_id})

    def set(self, path: str, data: bytes) -> None:
        self.world.result(self.other.set(path, data))

    def delete(self, path: str) -> None:
        self.world.result(self.other.delete(path))

    def test_one(self) -> None:
        """Without -r only changes of the node itself are printed; its initial state is none."""
        command = self.watch("/a")
        self.assertEqual(command.lines, ["settled  /a"])
        self.set("/a", b"1")
        self.set("/a/b", b"1")
        self.delete("/a/b")
        self.delete("/a")
        self.make("/a")
        self.assertEqual(command.lines[1:], ["changed  /a", "removed  /a", "added    /a"])
        self.end(command)

    def test_below(self) -> None:
        """With -r it is those of all that is below, and with -d the data are shown, in one line."""
        command = self.watch("/a", "-r", "-d")
        self.make("/a/c", b"two\nlines\x1b")
        self.set("/a/b", b"1")
        self.delete("/a/b")
        expected = ["settled  /a", r"added    /a/c  two\nlines\x1b", "changed  /a/b  1", "removed  /a/b"]
        self.assertEqual(command.lines, expected)
        self.end(command)

    def test_json(self) -> None:
        """As JSON each line is an object."""
        command = self.watch("/a", "-rd", "--output", "json")
        self.set("/a/b", b'{"foo":"bar"}')
        self.delete("/a/b")
        settled, changed, removed = map(json.loads, command.lines)
        self.assertEqual(settled, {"kind": "settled", "path": "/a"})
        self.assertEqual(removed, {"kind": "removed", "path": "/a/b"})
        self.assertEqual(changed["stat"].pop("version"), 1)
        del changed["stat"]
        self.assertEqual(changed, {"kind": "changed", "path": "/a/b", "data": {"foo": "bar"}})
        self.end(command)

    def test_missing(self) -> None:
        """The node need not exist."""
        command = self.watch("/z", "-r")
        self.make("/z")
        self.make("/z/y")
        self.delete("/z/y")
        self.assertEqual(command.lines, ["settled  /z", "added    /z", "added    /z/y", "removed  /z/y"])
        self.end(command)

    def test_outage(self) -> None:
        """An outage is printed, however long it takes; the changes during it are printed after it, once."""
        command = self.watch("/a", "-r", "-d", "-q")
        self.stop_server()
        self.assertEqual(command.lines[1:], ["stale    /a"])
        self.world.pass_time(60.0)
        self.start_server()
        self.world.pass_time(6.0)
        self.set("/a/b", b"1")
        self.assertEqual(command.lines[2:], ["settled  /a", "changed  /a/b  1"])
        self.end(command)

    def test_expiry(self) -> None:
        """The changes during the session's expiry are printed before the settled line."""
        command = self.watch("/a", "-r", "-d", "-q")
        assert command.run is not None
        self.world.server.expire_session(command.run.client.session_id)
        self.set("/a/b", b"1")
        self.world.pass_time(1.0)
        self.set("/a/b", b"2")
        expected = ["stale    /a", "changed  /a/b  1", "settled  /a", "changed  /a/b  2"]
        self.assertEqual(command.lines[1:], expected)
        self.end(command)

    def test_hidden(self) -> None:
        """A node that becomes unreadable is printed, without its data."""
        command = self.watch("/a", "-r", "-d")
        self.world.result(self.other.set_acl("/a/b", [digest_acl("somebody", "else")]))
        self.world.result(self.other.add_auth("digest", b"somebody:else"))
        self.set("/a/b", b"secret")
        self.make("/a/c", b"1")
        self.assertNotIn("secret", command.out)
        self.assertIn("added    /a/c  1", command.lines)
        self.end(command)

    def test_too_large(self) -> None:
        """A node that cannot be read is printed before the settled line, and the message suggests ``--max-reply``."""
        self.make("/a/large", b"x" * 3_000)
        command = self.start("--max-reply", "2k", "watch", "/a", "-r")
        self.assertEqual(command.lines[-2:], ["hidden   /a/large", "settled  /a"])
        self.assertIn("/a/large: --max-reply 1M lets it in", command.err)
        self.assertIn("the reply about '/a/large' is 3", command.err)
        self.set("/a/large", b"1")
        self.assertEqual(command.lines[-2:], ["added    /a/large", "readable  /a/large"])
        command.interrupt()
        self.assertEqual(command.status, 0)

    def test_terminated(self) -> None:
        """The command exits with 0 on either signal."""
        self.end(self.watch("/a"), signal.SIGTERM)

    def test_nobody_reads(self) -> None:
        """When the reader of the pipe is gone, the command ends without a message."""
        command = self.watch("/a")
        command.break_output(BrokenPipeError())
        self.set("/a", b"1")
        self.assertEqual((command.status, command.err), (141, ""))

    def test_no_server(self) -> None:
        """There must have been a session."""
        command = self.start("watch", "/a", "-s", "10.0.0.9:1", "--timeout", "3")
        self.world.pass_time(3.0)
        self.assertEqual((command.status, command.out), (69, ""))
