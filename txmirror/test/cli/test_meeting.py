"""``counter`` adds once, and ``barrier`` lets programs wait."""

from __future__ import annotations

import signal

from txmirror.recipes import Barrier, DoubleBarrier
from txmirror.test.cli.case import CommandTestCase


class CounterTests(CommandTestCase):
    def test_count(self) -> None:
        self.assertEqual(self.done("counter", "/hits").out, "0\n")
        self.assertEqual(self.done("counter", "/hits", "--add", "5").out, "5\n")
        self.assertEqual(self.done("counter", "/hits", "--add", "-7").out, "-2\n")
        self.assertEqual((self.done("counter", "/hits").out, self.data("/hits")), ("-2\n", b"-2"))

    def test_no_number(self) -> None:
        self.make("/text", b"a\nb")
        for options in ((), ("--add", "1")):
            self.assertIn(r"holds b'a\nb'", self.refused(1, "counter", "/text", *options))

    def test_lost_reply(self) -> None:
        """After a lost reply the amount counts once."""
        self.done("counter", "/hits", "--add", "1")
        fault = self.world.server.lose_reply("transaction")
        command = self.start("counter", "/hits", "--add", "1")
        self.world.pass_time(1.0)
        self.assertTrue(fault.happened)
        self.assertEqual((command.status, command.out), (0, "2\n"))

    def test_goes_away(self) -> None:
        self.done("counter", "/hits", "--add", "1")
        self.world.server.delay_next("transaction", 1.0)
        command = self.start("counter", "/hits", "--add", "1", "--timeout", "3")
        self.stop_server()
        self.world.pass_time(5.0)
        self.assertEqual(command.status, 69)
        self.assertRegex(command.err, r"\Atxmirror: [^\n]+ out of reach for 3 s; the amount may have been added\n\Z")


class BarrierTests(CommandTestCase):
    def test_create_and_remove(self) -> None:
        for _ in range(2):
            self.done("barrier", "create", "/gate")
        self.done("barrier", "remove", "/gate")
        self.assertEqual(self.refused(1, "barrier", "remove", "/gate"), "there is no barrier at '/gate'")

    def test_wait(self) -> None:
        """It waits until the barrier is gone, through outages too."""
        self.done("barrier", "wait", "/gate")
        barrier = Barrier(self.other, "/gate", reactor=self.reactor)
        self.world.result(barrier.create())
        command = self.start("barrier", "wait", "/gate", "-q")
        self.stop_server()
        self.world.pass_time(8.0)
        self.start_server()
        self.world.pass_time(8.0)
        self.assertTrue(command.running)
        self.world.result(barrier.remove())
        self.assert_ended(command, 0)

    def test_limit_and_signals(self) -> None:
        self.done("barrier", "create", "/gate")
        command = self.start("barrier", "wait", "/gate", "--wait", "5")
        self.world.pass_time(5.0)
        self.assert_ended(command, 75)
        self.assertEqual(command.err, "txmirror: the barrier '/gate' was there for 5 s\n")
        command = self.start("barrier", "wait", "/gate")
        command.interrupt(signal.SIGTERM)
        self.assert_ended(command, 143)


class TogetherTests(CommandTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.theirs = DoubleBarrier(self.other, "/meet", count=2, name="them", reactor=self.reactor)

    def test_together(self) -> None:
        """The program begins when all are there, and the command ends when all have left."""
        command = self.start("barrier", "run", "/meet", "--count", "2", "--", "sh", "-c", "work")
        self.assertEqual((command.running, self.reactor.processes), (True, []))
        self.assertTrue(self.world.result(self.theirs.enter()))
        self.world.settle()
        command.interrupt(signal.SIGTERM)
        self.assertEqual(self.process.signals, ["TERM"])
        self.process.end(3)
        self.world.settle()
        self.assertTrue(command.running)
        self.assertTrue(self.world.result(self.theirs.leave()))
        self.assert_ended(command, 3)

    def test_given_up(self) -> None:
        """Nobody comes in time, or a signal ends the wait."""
        command = self.start("barrier", "run", "/meet", "--count", "2", "--wait", "5", "--", "sh")
        self.world.pass_time(5.0)
        self.assert_ended(command, 75)
        self.assertEqual(command.err, "txmirror: 2 participants did not come to '/meet' within 5 s\n")
        command = self.start("barrier", "run", "/meet", "--count", "2", "--", "sh")
        command.interrupt(signal.SIGINT)
        self.assert_ended(command, 130)
        self.assertEqual((self.reactor.processes, self.world.result(self.other.get_children("/meet"))), ([], []))

    def test_cannot_start(self) -> None:
        self.reactor.refuses = OSError(8, "Exec format error")
        command = self.start("barrier", "run", "/meet", "--count", "1", "--", "sh")
        self.assert_ended(command, 126)
