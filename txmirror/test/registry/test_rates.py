"""Writes are held back by a token bucket: so many at once, then evenly, in order, and nothing ever blocks."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.defer import CancelledError
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from txmirror.registry.rates import TokenBucket


class TokenBucketTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.bucket = TokenBucket(self.clock, 3, 6.0)
        self.let_through: list[tuple[float, int]] = []

    def take(self, count: int) -> None:
        def let_through(_: None, number: int) -> None:
            self.let_through.append((self.clock.seconds(), number))

        for number in range(count):
            self.bucket.take().addCallback(let_through, number)

    def test_burst(self) -> None:
        """As many as are allowed go at once; the others evenly, in the order in which they came."""
        self.take(6)
        self.assertEqual(self.let_through, [(0, 0), (0, 1), (0, 2)])
        self.clock.pump([0.5] * 14)
        later = self.let_through[3:]
        self.assertEqual([number for _, number in later], [3, 4, 5])
        for (at, _), expected in zip(later, (2.0, 4.0, 6.0), strict=True):
            self.assertTrue(expected <= at <= expected + 0.5, at)

    def test_refilled(self) -> None:
        """After a rest as many go at once again, and no more."""
        self.take(3)
        self.clock.advance(1000)
        self.take(4)
        self.assertEqual(len(self.let_through), 6)

    def test_behind_others(self) -> None:
        """No call overtakes waiting ones, even if there is a token."""
        self.take(4)
        self.clock.rightNow += 2.5
        self.bucket.take().addCallback(lambda _: self.let_through.append((self.clock.seconds(), 99)))
        self.assertNotIn(99, [number for _, number in self.let_through])
        self.clock.pump([0.1] * 30)
        self.assertEqual([number for _, number in self.let_through][-2:], [3, 99])

    def test_cancel(self) -> None:
        """A cancelled waiter leaves its turn to the next one, and no timer if there is none."""
        self.take(3)
        first, second = self.bucket.take(), self.bucket.take()
        first.cancel()
        self.failureResultOf(first, CancelledError)
        self.clock.advance(2.1)
        self.successResultOf(second)
        third = self.bucket.take()
        third.cancel()
        self.failureResultOf(third, CancelledError)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_clock_set_back(self) -> None:
        """A clock that is set back neither adds nor removes tokens."""
        self.take(2)
        self.clock.rightNow -= 100
        self.take(1)
        self.assertEqual(len(self.let_through), 3)
        waiting = self.bucket.take()
        self.assertNoResult(waiting)
        self.clock.advance(2.1)
        self.successResultOf(waiting)

    def test_from_within(self) -> None:
        """A waiter whose turn has come may ask again at once, and waits behind the others."""
        order: list[str] = []
        self.take(3)

        def again(_: None) -> None:
            order.append("first")
            self.bucket.take().addCallback(lambda _: order.append("again"))

        self.bucket.take().addCallback(again)
        self.bucket.take().addCallback(lambda _: order.append("second"))
        self.clock.pump([1.0] * 8)
        self.assertEqual(order, ["first", "second", "again"])

    def test_wrong(self) -> None:
        """Numbers that make no sense are refused, and quoted."""
        for calls, seconds in ((0, 1.0), (-1, 1.0), (float("inf"), 1.0), (1, 0.0), (1, -2.0), (1, float("nan"))):
            error = self.assertRaises(ValueError, TokenBucket, self.clock, calls, seconds)
            self.assertTrue(repr(calls) in str(error) or repr(seconds) in str(error), str(error))

    @given(
        st.integers(1, 5),
        st.floats(0.1, 10.0),
        st.lists(st.floats(0.0, 3.0), max_size=40),
    )
    def test_never_more(self, calls: int, seconds: float, pauses: list[float]) -> None:
        """In no stretch of time are there more than twice as many as are allowed in that time, and one by one they all go."""
        clock = Clock()
        bucket = TokenBucket(clock, calls, seconds)
        times: list[float] = []
        for pause in pauses:
            clock.advance(pause)
            bucket.take().addCallback(lambda _: times.append(clock.seconds()))
        while clock.getDelayedCalls():
            clock.advance(clock.getDelayedCalls()[0].getTime() - clock.seconds())
        self.assertEqual(len(times), len(pauses))
        for index, start in enumerate(times):
            for count, end in enumerate(times[index:], 1):
                self.assertLessEqual(count, calls + (end - start) * calls / seconds + 1e-3)
