"""Time limits for many waiters, with one timer."""

from __future__ import annotations

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from txmirror.mirror.deadlines import Deadlines


class LateError(Exception):
    """A waiter was too late."""


class DeadlineTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.deadlines = Deadlines(self.clock)

    def limited(self, seconds: float) -> Deferred[int]:
        waiter: Deferred[int] = Deferred()
        self.deadlines.limit(waiter, seconds, LateError)
        return waiter

    def test_late(self) -> None:
        """A waiter fails when its time is over, and no earlier."""
        waiter = self.limited(2.0)
        self.clock.advance(1.9)
        self.assertNoResult(waiter)
        self.clock.advance(0.1)
        self.assertEqual(self.failureResultOf(waiter, LateError).value.args, (2.0,))
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_many(self) -> None:
        """A thousand waiters have one delayed call; each is cancelled at its own time, in any order of their deadlines."""
        waiters = [self.limited(seconds) for seconds in (5.0, 1.0, 3.0, 1.0) for _ in range(250)]
        self.assertEqual(len(self.clock.getDelayedCalls()), 1)
        left = []
        for _ in range(5):
            self.clock.advance(1.0)
            left.append(sum(not waiter.called for waiter in waiters))
        self.assertEqual(left, [500, 500, 250, 250, 0])
        for waiter in waiters:
            self.failureResultOf(waiter, LateError)

    def test_in_time(self) -> None:
        """A waiter that fires in time leaves nothing behind."""
        waiter = self.limited(1.0)
        waiter.callback(1)
        self.assertEqual(self.successResultOf(waiter), 1)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_first_fires(self) -> None:
        """The others keep their time when the first one has fired."""
        first, second = self.limited(1.0), self.limited(1.5)
        first.callback(1)
        self.clock.advance(1.4)
        self.assertNoResult(second)
        self.clock.advance(0.1)
        self.failureResultOf(second, LateError)

    def test_cancelled(self) -> None:
        """A waiter that the program cancels fails as any cancelled Deferred, and leaves nothing behind."""
        waiter = self.limited(1.0)
        waiter.cancel()
        self.failureResultOf(waiter, CancelledError)
        self.assertEqual(self.clock.getDelayedCalls(), [])
