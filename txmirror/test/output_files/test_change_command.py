"""The command after a change, as a function on a clock; and once as a real process."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase, TestCase

from txmirror.checks import CommandCheck, FunctionCheck, Result, Status
from txmirror.output_files.change_command import ChangeCommand
from txmirror.test.output_files.case import logged


class ChangeCommandTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.log = logged(self)
        self.clock = Clock()
        self.runs: list[Deferred[Result]] = []
        self.cancelled = 0
        self.successes = 0
        self.command = ChangeCommand(
            FunctionCheck(self._begin, "reload-it"), 30.0, "list.json", self._succeeded, self.clock
        )

    def _begin(self) -> Deferred[Result]:
        def cancel(_: object) -> None:
            self.cancelled += 1

        run: Deferred[Result] = Deferred(cancel)
        self.runs.append(run)
        return run

    def _succeeded(self) -> None:
        self.successes += 1

    def end(self, status: Status = Status.OK, output: str = "") -> None:
        self.runs[-1].callback(Result(status, output))

    def test_one_at_a_time(self) -> None:
        """Asked for while it runs, however often, it runs once more after that; success counts after the last run."""
        for _ in range(3):
            self.command.ask()
        self.assertEqual(len(self.runs), 1)
        self.end()
        self.assertEqual((len(self.runs), self.successes), (2, 0))
        self.end()
        self.assertEqual((len(self.runs), self.successes), (2, 1))
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_fails(self) -> None:
        """A failure is logged with its output, and the command is run again after growing pauses; a warning is a failure too."""
        self.command.ask()
        self.end(Status.FAIL, "no such unit\nmore")
        self.assertEqual(self.command.failure, "no such unit")
        self.clock.advance(1)
        self.end(Status.WARN, "exit status 1")
        self.clock.advance(1.9)
        self.assertEqual(len(self.runs), 2)
        self.clock.advance(0.1)
        self.end()
        self.assertEqual((self.command.failure, self.command.failures, self.successes), (None, 2, 1))
        self.assertEqual(
            self.log.lines,
            [
                "The command reload-it after a change of list.json failed: no such unit. Retrying.",
                "The command reload-it after a change of list.json failed: exit status 1. Retrying.",
                "The command reload-it after a change of list.json succeeded again.",
            ],
        )

    def test_longest_pause(self) -> None:
        """The pauses grow to a minute. A reason is logged once."""
        self.command.ask()
        for _ in range(8):
            self.end(Status.FAIL)
            self.clock.advance(60)
        self.assertEqual((len(self.runs), self.command.failures, len(self.log.lines)), (9, 8, 1))

    def test_change_during_the_pause(self) -> None:
        """Asked for in the pause after a failure, it runs at once, and once."""
        self.command.ask()
        self.end(Status.FAIL)
        self.command.ask()
        self.end()
        self.clock.advance(100)
        self.assertEqual((len(self.runs), self.successes), (2, 1))

    def test_hangs(self) -> None:
        """A command that runs too long is cancelled, and has failed."""
        self.command.ask()
        self.clock.advance(30)
        self.assertEqual(self.cancelled, 1)
        self.assertEqual(self.command.failure, "it was killed, because it ran longer than 30 s")
        self.clock.advance(1)
        self.assertEqual(len(self.runs), 2)

    def test_raises(self) -> None:
        """A command that cannot be run at all has failed."""
        self.command.ask()
        self.runs[-1].errback(ZeroDivisionError("x"))
        self.assertEqual(self.command.failure, "ZeroDivisionError: x")
        self.clock.advance(1)
        self.assertEqual(len(self.runs), 2)

    def test_finish(self) -> None:
        """To finish waits for the present run, and for the one that was asked for meanwhile; not for a repetition after a failure."""
        self.successResultOf(Deferred.fromCoroutine(self.command.finish()))
        self.command.ask()
        self.command.ask()
        finished = Deferred.fromCoroutine(self.command.finish())
        self.end()
        self.assertNoResult(finished)
        self.end(Status.FAIL)
        self.successResultOf(finished)
        self.successResultOf(Deferred.fromCoroutine(self.command.finish()))
        self.successResultOf(self.command.stop())

    def test_stop_while_it_runs(self) -> None:
        """Stopped while it runs, it is cancelled, fires when that has ended, and runs no more."""
        self.command.ask()
        self.command.ask()
        stopped = self.command.stop()
        self.successResultOf(stopped)
        self.assertEqual(self.cancelled, 1)
        self.command.ask()
        self.clock.advance(100)
        self.assertEqual((len(self.runs), self.successes), (1, 0))

    def test_stop_in_the_pause(self) -> None:
        """Stopped in the pause after a failure, it runs no more."""
        self.command.ask()
        self.end(Status.FAIL)
        self.successResultOf(self.command.stop())
        self.assertEqual(self.clock.getDelayedCalls(), [])


class ProcessTests(TestCase):
    def test_process(self) -> Deferred[None]:
        """A real command runs, and its success is reported."""
        done: Deferred[None] = Deferred()
        path = Path(self.mktemp()).absolute()
        from twisted.internet import reactor

        any_reactor: Any = reactor
        command = ChangeCommand(
            CommandCheck(["touch", str(path)], reactor=any_reactor), 10.0, "x", lambda: done.callback(None), any_reactor
        )
        command.ask()
        done.addTimeout(10, any_reactor)
        return done.addCallback(lambda _: self.assertTrue(path.exists()))
