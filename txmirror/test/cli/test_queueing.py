"""``queue`` puts entries into a queue, and takes them; an entry stays until it is consumed."""

from __future__ import annotations

import signal

from txmirror.errors import NoAuthException
from txmirror.recipes import LockingQueue, TakenEntry
from txmirror.test.cli.case import Command, CommandTestCase

PATH = "/jobs"
#: All bytes there are, with line ends of all kinds.
BINARY = bytes(range(256)) + b"\r\n\n\0"


class QueueTestCase(CommandTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.queue = LockingQueue(self.other, PATH, name="them", reactor=self.reactor)

    def put(self, *values: bytes) -> None:
        self.world.result(self.queue.put_all(values))

    def take(self) -> TakenEntry | None:
        return self.world.result(self.queue.get(wait=0))

    def take_all(self) -> list[bytes]:
        """Consume all entries that can be taken, and return their values."""
        values = []
        while (entry := self.take()) is not None:
            values.append(entry.data)
            self.world.result(entry.consume())
        return values

    def length(self) -> int:
        return self.world.result(self.queue.length())


class PutTests(QueueTestCase):
    def test_put(self) -> None:
        """The data is an argument, or the standard input, and is not changed."""
        self.assertEqual(self.done("queue", "put", PATH, "one").out, "")
        self.done("queue", "put", PATH, "-", stdin=BINARY)
        self.done("queue", "put", PATH, stdin=b"")
        self.done("queue", "put", PATH, "a\udcff")
        self.assertEqual(self.take_all(), [b"one", BINARY, b"", b"a\xff"])

    def test_priority(self) -> None:
        self.done("queue", "put", PATH, "late")
        self.done("queue", "put", PATH, "early", "--priority", "5")
        self.assertEqual(self.take_all(), [b"early", b"late"])

    def test_lines(self) -> None:
        """With --lines each line is an entry, also an empty one. Only the line ends are no part of the entries."""
        for stdin, values in (
            (b"a\nb\r\n\n\xff\0", [b"a", b"b\r", b"", b"\xff\0"]),
            (b"a\n", [b"a"]),
            (b"\n", [b""]),
            (b"", []),
        ):
            self.done("queue", "put", PATH, "--lines", stdin=stdin)
            self.assertEqual(self.take_all(), values)

    def test_many(self) -> None:
        """As many lines as there are: each transaction has as many as fit."""
        lines = [b"%d" % number for number in range(1200)] + [b"x" * 400_000, b"y" * 400_000, b"z"]
        self.done("queue", "put", PATH, "--lines", stdin=b"\n".join(lines))
        self.assertEqual(self.length(), len(lines))
        names = self.world.result(self.other.get_children(f"{PATH}/entries"))
        self.assertEqual([self.data(f"{PATH}/entries/{name}") for name in sorted(names)], lines)

    def test_too_large(self) -> None:
        """An entry that is too large is refused, and the message says how many were put before."""
        self.assertIn("is over the limit", self.refused_input(b"x" * 2_000_000))
        text = self.refused_input(b"\n".join([b"a"] * 500 + [b"x" * 2_000_000]), "--lines")
        self.assertRegex(text, "500 of 501 entries were put: .*over the limit")
        self.assertEqual(self.length(), 500)

    def refused_input(self, stdin: bytes, *options: str) -> str:
        command = self.start("queue", "put", PATH, *options, stdin=stdin)
        self.assert_ended(command, 1)
        self.assertRegex(command.err, r"\Atxmirror: [^\n]+\n\Z")
        return command.err

    def test_refused(self) -> None:
        self.world.server.fail_next("create", NoAuthException())
        self.assertIn("ACL", self.refused(77, "queue", "put", PATH, "one"))

    def test_lost_reply(self) -> None:
        """After a lost reply the entry is put once."""
        self.put(b"zero")
        fault = self.world.server.lose_reply("transaction")
        command = self.start("queue", "put", PATH, "one")
        self.world.pass_time(1.0)
        self.assertTrue(fault.happened)
        self.assert_ended(command, 0)
        self.assertEqual(command.err, "")
        self.assertEqual(self.take_all(), [b"zero", b"one"])

    def test_away(self) -> None:
        """Without ZooKeeper the command gives up after the timeout; nothing was put."""
        self.stop_server()
        command = self.start("queue", "put", PATH, "one", "--timeout", "3")
        self.world.pass_time(3.0)
        self.assertEqual(command.status, 69)
        self.assertRegex(command.err, r"\Atxmirror: no session with [^\n]+ within 3 s: [^\n;]+\n\Z")
        self.start_server()
        self.world.pass_time(60.0)
        self.assertEqual(self.length(), 0)

    def test_goes_away(self) -> None:
        """If ZooKeeper goes in the middle, the message says what is unknown."""
        self.put(b"zero")
        for stdin, text in ((b"a", "the entry may have been put"), (b"a\nb", "2 entries may have been put")):
            self.world.server.delay_next("transaction", 1.0)
            command = self.start("queue", "put", PATH, "--lines", "--timeout", "3", stdin=stdin)
            self.stop_server()
            self.world.pass_time(5.0)
            self.assertEqual(command.status, 69)
            self.assertRegex(command.err, rf"\Atxmirror: [^\n]+ was out of reach for 3 s; {text}\n\Z")
            self.start_server()
            self.world.pass_time(60.0)

    def test_interrupted(self) -> None:
        for number in (signal.SIGINT, signal.SIGTERM):
            self.world.server.delay_next("transaction", 1.0)
            command = self.start("queue", "put", PATH, "one")
            command.interrupt(number)
            self.world.pass_time(1.0)
            self.assert_ended(command, 128 + number)
            self.assertEqual(command.err, "")


class PrintTests(QueueTestCase):
    def test_get(self) -> None:
        """The first entry is printed as it is, and consumed."""
        self.put(BINARY, b"two")
        command = self.done("queue", "get", PATH)
        self.assertEqual((command.data, self.take_all()), (BINARY, [b"two"]))

    def test_count(self) -> None:
        """So many are taken at most: one after another, with --lines one in each line."""
        self.put(b"one", b"two", b"three", b"four")
        self.assertEqual(self.done("queue", "get", PATH, "--count", "2").data, b"onetwo")
        self.assertEqual(
            self.done("queue", "get", PATH, "--count", "9", "--wait", "0", "--lines").data, b"three\nfour\n"
        )
        self.put(b"five")
        self.assertEqual(self.done("queue", "get", PATH, "--count", "0", "--wait", "0").data, b"five")

    def test_empty(self) -> None:
        """Without an entry in time the status says so."""
        self.assertEqual(self.refused(75, "queue", "get", PATH, "--wait", "0"), f"{PATH!r} has no entry")
        command = self.start("queue", "get", PATH, "--wait", "5")
        self.world.pass_time(4.99)
        self.assertTrue(command.running)
        self.world.pass_time(0.01)
        self.assert_ended(command, 75)
        self.assertEqual(command.err, f"txmirror: {PATH!r} had no entry within 5 s\n")

    def test_waits(self) -> None:
        """Without a limit it waits, through outages too, and an entry that another has taken is not there."""
        self.put(b"one")
        theirs = self.take()
        assert theirs is not None
        command = self.start("queue", "get", PATH, "-q")
        self.world.pass_time(100.0)
        self.stop_server()
        self.world.pass_time(5.0)
        self.start_server()
        self.world.pass_time(5.0)
        self.assertEqual((command.running, command.data), (True, b""))
        self.world.result(theirs.release())
        self.world.settle()
        self.assertEqual((command.status, command.data, self.length()), (0, b"one", 0))

    def test_interrupted(self) -> None:
        """Interrupted while it waits, it leaves nothing."""
        for number in (signal.SIGINT, signal.SIGTERM):
            command = self.start("queue", "get", PATH)
            command.interrupt(number)
            self.assert_ended(command, 128 + number)
            self.assertEqual(command.err, "")
        self.put(b"one")
        self.assertEqual(self.take_all(), [b"one"])

    def test_reader_gone(self) -> None:
        """An entry that cannot be printed is not consumed."""
        for error, status, text in (
            (BrokenPipeError(), 141, ""),
            (
                OSError(28, "No space left on device"),
                74,
                "txmirror: the output cannot be written: No space left on device\n",
            ),
        ):
            command = self.start("queue", "get", PATH)
            command.break_output(error)
            self.put(b"one")
            self.world.settle()
            self.assertEqual((command.status, command.err), (status, text))
            self.assertEqual(self.take_all(), [b"one"])

    def test_away(self) -> None:
        """Before its first session, the command gives up after the timeout."""
        self.stop_server()
        command = self.start("queue", "get", PATH, "--timeout", "3")
        self.world.pass_time(3.0)
        self.assertEqual((command.status, command.data), (69, b""))
        self.assertRegex(command.err, r"\Atxmirror: no session with [^\n]+\n\Z")

    def test_lost_before_consumed(self) -> None:
        """An entry that is lost after it was printed is reported."""
        self.put(b"one")
        taken = self.take()
        assert taken is not None
        self.world.result(taken.release())
        # One transaction takes the entry, and the next one consumes it.
        self.world.server.delay_next("transaction", 1.0)
        self.world.server.delay_next("transaction", 1.0)
        command = self.start("queue", "get", PATH)
        self.world.pass_time(1.0)
        self.assertEqual((command.running, command.data), (True, b"one"))
        self.world.result(self.other.delete(f"{PATH}/taken/{taken.name}"))
        self.world.pass_time(1.0)
        self.assertEqual(command.status, 69)
        self.assertEqual(
            command.err,
            f"txmirror: {PATH!r}: the entry {taken.name} was lost before it was consumed: another can take it\n",
        )
        self.assertEqual(self.take_all(), [b"one"])


class ConsumeTests(QueueTestCase):
    def get(self, *options: str, terminal: bool = False) -> Command:
        return self.start("queue", "get", PATH, "--consume-with", "sh -c 'a job'", *options, terminal=terminal)

    def test_consumed(self) -> None:
        """The program has the entry as its standard input. When it has succeeded, the entry is consumed."""
        self.put(BINARY)
        command = self.get()
        self.assertEqual((self.process.arguments, self.process.stdin), ([b"sh", b"-c", b"a job"], BINARY))
        (name,) = self.world.result(self.other.get_children(f"{PATH}/taken"))
        stat = self.world.result(self.other.exists(f"{PATH}/taken/{name}"))
        assert stat is not None
        self.assertEqual(self.process.environment[b"TXMIRROR_ENTRY"], name.encode())
        self.assertEqual(self.process.environment[b"TXMIRROR_TOKEN"], str(stat.czxid).encode())
        self.assertIs(self.take(), None)
        self.process.end()
        self.assert_ended(command, 0)
        self.assertEqual((command.data, command.err, self.length()), (b"", "", 0))

    def test_failed(self) -> None:
        """When it has failed, its status is the command's, no further entry is taken, and the entry is back at its place."""
        self.put(b"one", b"two")
        command = self.get("--count", "0")
        self.process.end(3)
        self.assert_ended(command, 3)
        self.assertEqual((len(self.reactor.processes), self.take_all()), (1, [b"one", b"two"]))

    def test_died(self) -> None:
        """So it is when a signal has killed it."""
        self.put(b"one")
        command = self.get()
        self.process.end(signal=signal.SIGKILL)
        self.assert_ended(command, 137)
        self.assertEqual(self.take_all(), [b"one"])

    def test_many(self) -> None:
        """One entry after another, with one program each."""
        self.put(b"one", b"two", b"three")
        command = self.get("--count", "2")
        self.process.end()
        self.world.settle()
        first, second = self.reactor.processes
        self.assertEqual((first.stdin, second.stdin, self.length()), (b"one", b"two", 2))
        second.end()
        self.assert_ended(command, 0)
        self.assertEqual(self.take_all(), [b"three"])

    def test_signals(self) -> None:
        """Signals are the program's. If it was asked to end, and succeeds, its entry is consumed, and no further one is taken."""
        self.put(b"one", b"two")
        command = self.get("--count", "0")
        command.interrupt(signal.SIGTERM)
        self.assertEqual((self.process.signals, command.running), (["TERM"], True))
        self.process.end()
        self.assert_ended(command, 0)
        self.assertEqual(self.take_all(), [b"two"])

    def test_ended_by_signal(self) -> None:
        """If it ends by the signal, its entry is back."""
        self.put(b"one")
        command = self.get("--count", "0")
        command.interrupt(signal.SIGINT)
        self.process.end(signal=signal.SIGINT)
        self.assert_ended(command, 130)
        self.assertEqual(self.take_all(), [b"one"])

    def test_interrupted_between(self) -> None:
        """While it waits for the next entry, a signal ends the command."""
        self.put(b"one")
        command = self.get("--count", "0")
        command.interrupt(signal.SIGHUP)
        self.process.end()
        self.world.settle()
        self.assertTrue(command.running)
        command.interrupt(signal.SIGTERM)
        self.assert_ended(command, 143)
        self.assertEqual((self.process.signals, self.length()), (["HUP"], 0))

    def test_lost(self) -> None:
        """When the entry is lost, the program is ended, and killed; even if it succeeds, the entry is not consumed."""
        self.put(b"one")
        for killed in (False, True):
            self.reactor.processes.clear()
            command = self.get("--grace", "2")
            (name,) = self.world.result(self.other.get_children(f"{PATH}/taken"))
            self.world.result(self.other.delete(f"{PATH}/taken/{name}"))
            self.assertEqual(self.process.signals, ["TERM"])
            self.assertEqual(command.err, f"txmirror: {PATH!r}: the entry {name} was lost: ending sh\n")
            if killed:
                self.world.pass_time(2.01)
                self.assertEqual(self.process.signals, ["TERM", "KILL"])
            self.process.end()
            self.assert_ended(command, 69)
            self.assertEqual(self.length(), 1)

    def test_out_of_reach(self) -> None:
        """With ZooKeeper out of reach the program is killed before another can take the entry."""
        self.put(b"one")
        command = self.get("-q")
        waiting = self.queue.get()
        assert command.run is not None
        self.world.server.connection_of(command.run.client.session_id).stall()
        self.reactor.black_hole("127.0.0.1", self.port)
        killed_at = None
        for _ in range(200):
            self.world.pass_time(0.1)
            if killed_at is None and self.process.signals == ["TERM", "KILL"]:
                killed_at = self.reactor.seconds()
            if waiting.called:
                break
        assert killed_at is not None
        self.assertTrue(waiting.called)
        self.assertLess(killed_at, self.reactor.seconds())
        self.process.end(signal=signal.SIGKILL)
        self.world.pass_time(5.0)
        self.assertEqual(command.status, 69)
        self.assertTrue(self.world.result(self.world.result(waiting).consume()))

    def test_outage_that_passes(self) -> None:
        """An outage that ends in time costs nothing: the entry is consumed afterwards."""
        self.put(b"one")
        command = self.get("-q")
        self.stop_server()
        self.process.end()
        self.world.pass_time(3.0)
        self.assertTrue(command.running)
        self.start_server()
        self.world.pass_time(3.0)
        self.assert_ended(command, 0)
        self.assertEqual(self.length(), 0)

    def test_interrupted_while_consuming(self) -> None:
        """With ZooKeeper away, a signal ends the wait for the consumption."""
        self.put(b"one")
        command = self.get("-q")
        self.stop_server()
        self.process.end()
        command.interrupt(signal.SIGTERM)
        self.world.pass_time(4.0)
        self.assertEqual(command.status, 143)

    def test_cannot_start(self) -> None:
        """If a program cannot be started, the entry is back."""
        self.put(b"one")
        self.reactor.refuses = OSError(8, "Exec format error")
        command = self.get()
        self.assert_ended(command, 126)
        self.assertEqual(self.take_all(), [b"one"])


class LookTests(QueueTestCase):
    def test_peek(self) -> None:
        """The first entry is printed as it is, and stays, also if it is taken."""
        self.assertEqual(self.refused(75, "queue", "peek", PATH), f"{PATH!r} has no entry")
        self.put(BINARY, b"two")
        self.assertEqual(self.done("queue", "peek", PATH).data, BINARY)
        self.take()
        self.assertEqual(self.done("queue", "peek", PATH).data, BINARY)
        self.assertEqual(self.length(), 2)

    def test_length(self) -> None:
        self.assertEqual(self.done("queue", "length", PATH).out, "0\n")
        self.put(b"one", b"two")
        self.take()
        self.assertEqual(self.done("queue", "length", PATH).out, "2\n")

    def test_reader_gone(self) -> None:
        self.put(b"one")
        for name in ("peek", "length"):
            self.world.server.delay_next("sync", 1.0)
            command = self.start("queue", name, PATH)
            command.break_output(BrokenPipeError())
            self.world.pass_time(1.0)
            self.assertEqual((command.status, command.err), (141, ""))

    def test_away(self) -> None:
        self.stop_server()
        for name in ("peek", "length"):
            command = self.start("queue", name, PATH, "--timeout", "3")
            self.world.pass_time(3.0)
            self.assertEqual(command.status, 69)
            self.assertRegex(command.err, r"\Atxmirror: no session with [^\n]+\n\Z")
