"""``elect`` runs a program only while this process leads."""

from __future__ import annotations

import signal

from txmirror.printable import process_name
from txmirror.recipes import Election, Lock
from txmirror.test.cli.case import Command, CommandTestCase
from txmirror.test.cli.processes import Process

PATH = "/election/sweeper"
ELECTED = f"txmirror: elected: {PATH}\n"
LOST = f"txmirror: leadership of {PATH!r} was lost: ending sh\n"


class ElectTestCase(CommandTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.theirs = Lock(self.other, PATH, name="them", reactor=self.reactor)

    def elect(self, *options: str, terminal: bool = False) -> Command:
        return self.start("elect", PATH, *options, "--", "sh", "-c", "work", terminal=terminal)

    def take(self) -> None:
        """Let another client lead."""
        self.assertTrue(self.world.result(self.theirs.acquire(wait=0)))

    def give(self) -> None:
        """End the leadership of the other client."""
        self.world.result(self.theirs.release())

    def candidates(self) -> list[str]:
        return self.world.result(Election(self.other, PATH, reactor=self.reactor).contenders())

    def depose(self) -> None:
        """Delete the leader's node."""
        (node,) = self.world.result(self.other.get_children(PATH))
        self.world.result(self.other.delete(f"{PATH}/{node}"))

    @property
    def latest(self) -> Process:
        """The program that was started last."""
        return self.reactor.processes[-1]


class ElectTests(ElectTestCase):
    def test_leads(self) -> None:
        """The program runs while we lead, has the fencing token, and its exit status is the command's."""
        for status in (0, 7):
            self.reactor.processes.clear()
            command = self.elect()
            self.assertEqual(self.process.arguments, [b"sh", b"-c", b"work"])
            (node,) = self.world.result(self.other.get_children(PATH))
            stat = self.world.result(self.other.exists(f"{PATH}/{node}"))
            assert stat is not None
            self.assertEqual(self.process.environment[b"TXMIRROR_TOKEN"], str(stat.czxid).encode())
            self.assertFalse(self.world.result(self.theirs.acquire(wait=0)))
            self.process.end(status)
            self.assert_ended(command, status)
            self.assertEqual((command.err, self.candidates()), (ELECTED, []))

    def test_quiet(self) -> None:
        command = self.elect("-q")
        self.process.end()
        self.assert_ended(command, 0)
        self.assertEqual(command.err, "")

    def test_name(self) -> None:
        """Others see our name: by default the host and the process."""
        for options, name in (((), process_name()), (("--name", "b1"), "b1"), (("--name", ""), "")):
            self.reactor.processes.clear()
            command = self.elect(*options)
            self.assertEqual(self.candidates(), [name])
            self.process.end()
            self.assert_ended(command, 0)

    def test_waits(self) -> None:
        """Behind another leader no program is started, as long as that takes."""
        self.take()
        command = self.elect()
        self.world.pass_time(1000.0)
        self.assertEqual((command.running, self.reactor.processes, command.err), (True, [], ""))
        self.give()
        self.process.end()
        self.assert_ended(command, 0)

    def test_styles(self) -> None:
        """With a style, the candidates are those of another implementation; others are refused."""
        theirs = Lock(self.other, PATH, name="them", style="curator-latch", reactor=self.reactor)
        self.assertTrue(self.world.result(theirs.acquire()))
        command = self.elect("--style", "curator-latch")
        self.assertEqual((command.running, self.reactor.processes), (True, []))
        refused = self.elect()
        self.assertEqual((refused.status, refused.out), (1, ""))
        self.assertRegex(refused.err, rf"\Atxmirror: {PATH!r} is used [^\n]*LeaderLatch[^\n]*\n\Z")
        self.world.result(theirs.release())
        self.process.end()
        self.assert_ended(command, 0)

    def test_interrupted_while_waiting(self) -> None:
        """Interrupted while another leads, it leaves nothing."""
        self.take()
        for number in (signal.SIGINT, signal.SIGTERM):
            command = self.elect()
            command.interrupt(number)
            self.assert_ended(command, 128 + number)
            self.assertEqual((command.err, self.candidates()), ("", ["them"]))

    def test_signals(self) -> None:
        """While the program runs, signals are its own, and we lead until it has ended."""
        command = self.elect()
        for number in (signal.SIGHUP, signal.SIGTERM):
            command.interrupt(number)
        self.assertEqual((self.process.signals, len(self.candidates())), (["HUP", "TERM"], 1))
        self.process.end(3)
        self.assert_ended(command, 3)
        self.assertEqual(self.candidates(), [])

    def test_cannot_start(self) -> None:
        """If a program cannot be started, we step down."""
        self.reactor.refuses = OSError(8, "Exec format error")
        command = self.elect()
        self.assert_ended(command, 126)
        self.assertEqual(self.candidates(), [])

    def test_no_server(self) -> None:
        command = self.start("elect", PATH, "-s", "127.0.0.1:1", "--timeout", "2", "--", "sh")
        self.world.pass_time(2.0)
        self.assertEqual((command.status, self.reactor.processes), (69, []))
        self.assertRegex(command.err, r"\Atxmirror: no session with 127.0.0.1:1 within 2 s[^\n]*\n\Z")


class LostTests(ElectTestCase):
    def test_stands_again(self) -> None:
        """After a loss the program is asked to end; when it has ended, we stand for election again, and it is started again."""
        command = self.elect()
        first = self.process
        self.depose()
        self.assertEqual((first.signals, command.err), (["TERM"], ELECTED + LOST))
        self.world.pass_time(1.0)
        self.assertEqual(self.reactor.processes, [first])
        first.end(5)
        self.world.settle()
        self.assertEqual(len(self.reactor.processes), 2)
        token = int(self.latest.environment[b"TXMIRROR_TOKEN"])
        self.assertGreater(token, int(first.environment[b"TXMIRROR_TOKEN"]))
        self.latest.end(6)
        self.assert_ended(command, 6)
        self.assertEqual(command.err, ELECTED + LOST + ELECTED)

    def test_behind_others(self) -> None:
        """After a loss, others come first; then signals end the command again."""
        command = self.elect("-q")
        waiting = self.theirs.acquire()
        self.world.settle()
        nodes = self.world.result(self.other.get_children(PATH))
        ours = min(nodes, key=lambda name: name[-10:])
        self.world.result(self.other.delete(f"{PATH}/{ours}"))
        self.process.end(signal=signal.SIGTERM)
        self.assertTrue(self.world.result(waiting))
        self.world.settle()
        self.assertEqual((command.running, len(self.reactor.processes), len(self.candidates())), (True, 1, 2))
        command.interrupt(signal.SIGTERM)
        self.assert_ended(command, 143)
        self.assertEqual((self.process.signals, self.candidates()), (["TERM"], ["them"]))

    def test_once(self) -> None:
        """With --once a loss is the end, and the status is not the program's."""
        command = self.elect("--once", "-q")
        self.depose()
        self.process.end(5)
        self.assert_ended(command, 69)
        self.assertEqual(command.err, LOST)

    def test_killed(self) -> None:
        """A program that does not end is killed after the grace period: by default a third of the session timeout."""
        for options, grace in (((), 10.0 / 3), (("--session-timeout", "6"), 2.0), (("--grace", "60"), 60.0)):
            self.reactor.processes.clear()
            command = self.elect("--once", *options)
            self.depose()
            self.world.pass_time(grace - 0.01)
            self.assertEqual(self.process.signals, ["TERM"])
            self.world.pass_time(0.02)
            self.assertEqual(self.process.signals, ["TERM", "KILL"])
            self.process.end(signal=signal.SIGKILL)
            self.assert_ended(command, 69)

    def test_interrupted_after_loss(self) -> None:
        """A signal while the program ends is forwarded, and we do not stand again."""
        for number in (signal.SIGINT, signal.SIGTERM):
            self.reactor.processes.clear()
            command = self.elect()
            self.depose()
            command.interrupt(number)
            self.assertEqual(self.process.signals, ["TERM", number.name.removeprefix("SIG")])
            self.process.end(0)
            self.assert_ended(command, 128 + number)
            self.assertEqual((len(self.reactor.processes), self.candidates()), (1, []))

    def test_interrupted_before_loss(self) -> None:
        """A program that was asked to end, and ends only after a loss, is not started again."""
        command = self.elect()
        command.interrupt(signal.SIGTERM)
        self.depose()
        self.process.end(0)
        self.assert_ended(command, 143)

    def test_reload_before_loss(self) -> None:
        """SIGHUP is no request for the end, except from a terminal."""
        command = self.elect()
        command.interrupt(signal.SIGHUP)
        self.depose()
        self.process.end(0)
        self.world.settle()
        self.assertEqual((command.running, len(self.reactor.processes)), (True, 2))
        self.latest.end()
        self.assert_ended(command, 0)
        self.reactor.processes.clear()
        command = self.elect(terminal=True)
        command.interrupt(signal.SIGHUP)
        self.depose()
        self.process.end(signal=signal.SIGHUP)
        self.assert_ended(command, 129)

    def test_out_of_reach(self) -> None:
        """With ZooKeeper out of reach the program is killed before another can lead, and started again afterwards."""
        command = self.elect("-q")
        waiting = self.theirs.acquire()
        assert command.run is not None
        self.world.server.connection_of(command.run.client.session_id).stall()
        self.reactor.black_hole("127.0.0.1", self.port)
        killed_at = None
        for _ in range(200):
            self.world.pass_time(0.1)
            if killed_at is None and self.process.signals == ["TERM", "KILL"]:
                killed_at = self.reactor.seconds()
                self.process.end(signal=signal.SIGKILL)
            if waiting.called:
                break
        assert killed_at is not None
        self.assertTrue(waiting.called)
        self.assertLess(killed_at, self.reactor.seconds())
        self.reactor.undo_black_hole("127.0.0.1", self.port)
        self.world.pass_time(10.0)
        self.assertEqual((command.running, len(self.reactor.processes)), (True, 1))
        self.give()
        self.assertEqual(len(self.reactor.processes), 2)
        self.latest.end(4)
        self.assert_ended(command, 4)

    def test_outage_that_passes(self) -> None:
        """An outage that ends in time costs nothing."""
        command = self.elect("-q")
        self.stop_server()
        self.world.pass_time(3.0)
        self.start_server()
        self.world.pass_time(3.0)
        self.assertEqual(self.process.signals, [])
        self.process.end()
        self.assert_ended(command, 0)

    def test_ended_in_an_outage(self) -> None:
        """A program that ends while ZooKeeper is away does not wait for it for long."""
        command = self.elect("-q")
        self.stop_server()
        self.process.end(3)
        self.world.pass_time(4.0)
        self.assertEqual(command.status, 3)

    def test_interrupted_in_an_outage(self) -> None:
        """While the leadership is lost because ZooKeeper is away, a signal ends the command."""
        command = self.elect("-q")
        self.stop_server()
        self.world.pass_time(7.0)
        self.process.end(signal=signal.SIGTERM)
        self.world.pass_time(60.0)
        self.assertTrue(command.running)
        command.interrupt(signal.SIGTERM)
        self.world.pass_time(4.0)
        self.assertEqual(command.status, 143)
