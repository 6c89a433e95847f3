"""``watch`` shows every change, through reconnections, until it is interrupted."""

from __future__ import annotations

import json
import os
import shlex
import signal

from txmirror.test.cli.case import Command, CommandTestCase
from txmirror.test.pages.found import tested_blocks
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
        command = self.watch("/a", "-rd", "--output", "jsonl")
        self.set("/a/b", b'{"foo":"bar"}')
        self.delete("/a/b")
        settled, changed, removed = map(json.loads, command.lines)
        self.assertEqual(settled, {"kind": "settled", "path": "/a"})
        self.assertEqual(removed, {"kind": "removed", "path": "/a/b"})
        self.assertEqual(changed["stat"].pop("version"), 1)
        del changed["stat"]
        self.assertEqual(changed, {"kind": "changed", "path": "/a/b", "data": '{"foo":"bar"}'})
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

    def test_quiet_reader(self) -> None:
        """So it is if there are no changes to write."""
        command = self.watch("/a")
        read, write = os.pipe()
        self.addCleanup(os.close, write)
        command.connect_output(write)
        self.world.pass_time(2.0)
        self.assertTrue(command.running)
        os.close(read)
        self.world.pass_time(1.1)
        self.assertEqual((command.status, command.err), (141, ""))

    def test_no_server(self) -> None:
        """There must have been a session."""
        command = self.start("watch", "/a", "-s", "10.0.0.9:1", "--timeout", "3")
        self.world.pass_time(3.0)
        self.assertEqual((command.status, command.out), (69, ""))


class ExecTests(CommandTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.make("/a")
        self.make("/a/b")

    def watch(self, *arguments: str) -> Command:
        command = self.start("watch", "/a", "--exec", "sh -c 'reload it'", *arguments)
        self.assertTrue(command.running, command.err)
        return command

    def set(self, path: str, data: bytes) -> None:
        self.world.result(self.other.set(path, data))

    def runs(self) -> list[tuple[str, str]]:
        """The kind and path of each run so far."""
        return [
            (each.environment[b"TXMIRROR_KIND"].decode(), each.environment[b"TXMIRROR_PATH"].decode())
            for each in self.reactor.processes
        ]

    def end_run(self, status: int = 0) -> None:
        self.reactor.processes[-1].end(status)
        self.world.settle()

    def end(self, command: Command) -> None:
        command.interrupt()
        self.assertEqual((command.status, command.out), (0, ""))
        self.assertEqual(self.world.server.sessions, {self.other.session_id})

    def test_page(self) -> None:
        """The command of the documentation runs its program at the beginning and after a change, two seconds later each time."""
        (block,) = tested_blocks("docs/operations/command.rst", __name__)
        (line,) = block.lines
        dollar, name, *arguments = shlex.split(line)
        self.assertEqual((dollar, name), ("$", "txmirror"))
        self.make("/services")
        self.make("/services/web")
        command = self.start(*arguments)
        self.world.pass_time(2.1)
        self.assertEqual(len(self.reactor.processes), 1)
        self.end_run()
        self.make("/services/web/a:1")
        self.world.pass_time(1.9)
        self.assertEqual(len(self.reactor.processes), 1)
        self.world.pass_time(0.2)
        runs = [each.arguments for each in self.reactor.processes]
        self.assertEqual(runs, [[b"systemctl", b"reload", b"haproxy"]] * 2)
        self.end_run()
        self.end(command)

    def test_change(self) -> None:
        """At each change the program runs, with the change in its environment and the data in its standard input."""
        command = self.watch()
        self.assertEqual(self.reactor.processes, [])
        self.set("/a", b"new")
        self.assertEqual(self.process.arguments, [b"sh", b"-c", b"reload it"])
        self.assertEqual((self.runs(), self.process.stdin), ([("changed", "/a")], b"new"))
        self.assertEqual(self.process.environment[b"TXMIRROR_VERSION"], b"1")
        self.end_run()
        self.end(command)

    def test_one_at_a_time(self) -> None:
        """Changes during a run wait for its end; those of one node are joined into the last."""
        command = self.watch("-r")
        self.set("/a/b", b"1")
        self.set("/a/b", b"2")
        self.make("/a/c")
        self.set("/a/b", b"3")
        self.assertEqual(self.runs(), [("changed", "/a/b")])
        self.assertEqual(self.process.stdin, b"1")
        self.end_run()
        self.assertEqual(self.runs()[1:], [("added", "/a/c")])
        self.end_run()
        self.assertEqual((self.runs()[2:], self.reactor.processes[2].stdin), ([("changed", "/a/b")], b"3"))
        self.end_run()
        self.world.result(self.other.delete("/a/c"))
        self.assertEqual(self.runs()[3:], [("removed", "/a/c")])
        self.end_run()
        self.end(command)

    def test_settle(self) -> None:
        """With ``--settle`` it runs once for all changes, as lines of JSON, when there was none for so long."""
        command = self.watch("-r", "-d", "--settle", "2")
        for number in range(3):
            self.set("/a/b", str(number).encode())
            self.world.pass_time(1.5)
        self.make("/a/c")
        self.assertEqual(self.reactor.processes, [])
        self.world.pass_time(2.1)
        self.assertEqual(self.process.environment[b"TXMIRROR_CHANGES"], b"2")
        assert self.process.stdin is not None
        changes = [json.loads(line) for line in self.process.stdin.splitlines()]
        found = [(each["kind"], each["path"], each["data"]) for each in changes]
        self.assertEqual(found, [("changed", "/a/b", "2"), ("added", "/a/c", "")])
        self.end_run()
        self.world.pass_time(60.0)
        self.assertEqual(len(self.reactor.processes), 1)
        self.end(command)

    def test_restless(self) -> None:
        """Changes without a pause do not put a run off for ever."""
        command = self.watch("--settle", "2")
        for number in range(16):
            self.set("/a", str(number).encode())
            self.world.pass_time(1.3)
        self.assertEqual(len(self.reactor.processes), 1)
        self.end_run()
        self.end(command)

    def test_settle_during_a_run(self) -> None:
        """Changes that settle during a run are for the next run."""
        command = self.watch("--settle", "1")
        self.set("/a", b"1")
        self.world.pass_time(1.1)
        self.set("/a", b"2")
        self.world.pass_time(5.0)
        self.assertEqual(len(self.reactor.processes), 1)
        self.end_run()
        self.assertEqual(len(self.reactor.processes), 2)
        self.end_run()
        self.end(command)

    def test_initial(self) -> None:
        command = self.watch("--initial")
        self.assertEqual(self.runs(), [("settled", "/a")])
        self.end_run()
        self.set("/a", b"1")
        self.assertEqual(self.runs()[1:], [("changed", "/a")])
        self.end_run()
        self.end(command)

    def test_failure(self) -> None:
        """A run that fails is reported, and ends nothing."""
        command = self.watch()
        self.set("/a", b"1")
        self.end_run(3)
        self.assertEqual(command.err, "txmirror: sh has failed, with status 3\n")
        self.set("/a", b"2")
        self.assertEqual(len(self.reactor.processes), 2)
        self.end_run()
        self.end(command)

    def test_interrupted_run(self) -> None:
        """A signal goes to the program, and the command ends after it."""
        command = self.watch()
        self.set("/a", b"1")
        command.interrupt(15)
        self.assertEqual((self.process.signals, command.running), (["TERM"], True))
        self.end_run(143)
        self.assertEqual((command.status, command.err), (0, ""))

    def test_cannot_run(self) -> None:
        command = self.watch()
        self.reactor.refuses = OSError(13, "Permission denied")
        self.set("/a", b"1")
        self.assertEqual(command.status, 126)
        self.assertIn("cannot be run: Permission denied", command.err)

    def test_outage(self) -> None:
        """After an outage it runs for the nodes that have changed meanwhile."""
        command = self.watch("-r", "-q")
        self.stop_server()
        self.world.pass_time(5.0)
        self.start_server()
        self.world.pass_time(6.0)
        self.assertEqual(self.reactor.processes, [])
        self.set("/a/b", b"1")
        self.assertEqual(self.runs(), [("changed", "/a/b")])
        self.end_run()
        self.end(command)


class ReaderTests(CommandTestCase):
    """With ``--exec`` only the program writes to the output."""

    def setUp(self) -> None:
        super().setUp()
        self.make("/a")
        self.command = self.start("watch", "/a", "--exec", "sh -c reload")
        read, write = os.pipe()
        self.addCleanup(os.close, write)
        self.close_reader = lambda: os.close(read)
        self.command.connect_output(write)

    def change(self) -> None:
        self.world.result(self.other.set("/a", b"new"))
        self.world.settle()

    def assert_gone(self) -> None:
        self.assertEqual((self.command.status, self.command.err), (141, ""))
        self.assertEqual(self.world.server.sessions, {self.other.session_id})

    def test_running(self) -> None:
        """A program that runs is ended, and killed if it does not end."""
        self.change()
        self.world.pass_time(2.0)
        self.assertEqual(self.process.signals, [])
        self.close_reader()
        self.world.pass_time(1.1)
        self.assertEqual(self.process.signals, ["TERM"])
        self.world.pass_time(5.0)
        self.assertEqual(self.process.signals, ["TERM", "KILL"])
        self.assertTrue(self.command.running)
        self.process.end(signal=signal.SIGKILL)
        self.world.settle()
        self.assert_gone()

    def test_between(self) -> None:
        """Between two runs the command ends by itself."""
        self.change()
        self.process.end()
        self.close_reader()
        self.world.pass_time(1.1)
        self.assert_gone()

    def test_broken_pipe(self) -> None:
        """A program that the lack of a reader has ended has not failed, and is not run again."""
        self.change()
        self.change()
        self.close_reader()
        self.process.end(signal=signal.SIGPIPE)
        self.world.settle()
        self.assert_gone()
        self.assertEqual(len(self.reactor.processes), 1)
