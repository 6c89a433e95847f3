"""Waiters, pumps, ordered callbacks, and one backoff."""

from __future__ import annotations

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from txmirror.deferreds import Pump, Waiters, follow
from txmirror.durations import check_seconds, parse_seconds, read_duration, show_seconds
from txmirror.errors import (
    AuthFailedException,
    ClosingException,
    ConnectionLossException,
    InvalidStateException,
    NoNodeException,
    SessionExpiredException,
    SystemErrorException,
    TooManyRequestsException,
    ZooKeeperException,
)
from txmirror.observers import Observers
from txmirror.printable import process_name, session_name
from txmirror.retrying import Backoff, RetryTimer


class WaitersTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.waiters: Waiters[str] = Waiters()

    def test_fire(self) -> None:
        """All that wait get the result, in order, and later ones wait for the next."""
        order: list[int] = []
        for number in range(3):
            self.waiters.wait().addCallback(lambda _, number: order.append(number), number)
        self.assertEqual(len(self.waiters), 3)
        self.waiters.fire("a")
        self.assertEqual((order, len(self.waiters)), ([0, 1, 2], 0))
        later = self.waiters.wait()
        self.assertNoResult(later)
        self.waiters.fire("b")
        self.assertEqual(self.successResultOf(later), "b")

    def test_fail(self) -> None:
        """Each gets an exception of its own."""
        waiting = [self.waiters.wait() for _ in range(2)]
        self.waiters.fail(NoNodeException)
        first, second = (self.failureResultOf(each, NoNodeException).value for each in waiting)
        self.assertIsNot(first, second)

    def test_cancelled(self) -> None:
        """A cancelled one is removed; the others stay."""
        first, second = self.waiters.wait(), self.waiters.wait()
        first.cancel()
        self.failureResultOf(first, CancelledError)
        self.assertEqual(len(self.waiters), 1)
        self.waiters.fire("a")
        self.assertEqual(self.successResultOf(second), "a")

    def test_from_within(self) -> None:
        """A callback may cancel one that comes after it, and wait again."""
        again: list[Deferred[str]] = []
        first, second = self.waiters.wait(), self.waiters.wait()

        def cancel_and_wait(_: object) -> None:
            second.cancel()
            again.append(self.waiters.wait())

        first.addCallback(cancel_and_wait)
        self.waiters.fire("a")
        self.failureResultOf(second, CancelledError)
        self.assertNoResult(again[0])
        self.assertEqual(len(self.waiters), 1)


class FollowTests(SynchronousTestCase):
    def test_followers(self) -> None:
        """Each follower fires with the result, before or after the other has fired; one that is cancelled affects nobody."""
        awaited: Deferred[int] = Deferred()
        first, cancelled, second = (follow(awaited) for _ in range(3))
        cancelled.cancel()
        self.failureResultOf(cancelled, CancelledError)
        self.assertFalse(awaited.called)
        awaited.callback(3)
        for each in (first, second, follow(awaited), awaited):
            self.assertEqual(self.successResultOf(each), 3)


class PumpTests(SynchronousTestCase):
    def test_from_within(self) -> None:
        """Asked for from within, the function runs once more afterwards, however often it was asked for."""
        depths: list[int] = []
        depth = 0

        def work() -> None:
            nonlocal depth
            depth += 1
            depths.append(depth)
            if len(depths) < 3:
                pump()
                pump()
            depth -= 1

        pump = Pump(work)
        pump()
        self.assertEqual(depths, [1, 1, 1])

    def test_raises(self) -> None:
        """An exception passes, and the pump can be used again."""
        calls: list[int] = []

        def work() -> None:
            calls.append(1)
            if len(calls) == 1:
                raise ValueError("once")

        pump = Pump(work)
        self.assertRaises(ValueError, pump)
        pump()
        self.assertEqual(len(calls), 2)


class ObserversTests(SynchronousTestCase):
    def test_order(self) -> None:
        """Every callback sees an event before any sees the next, which one of them causes."""
        seen: list[tuple[str, int]] = []
        observers: Observers[int] = Observers(lambda key, event: None)

        def first(event: int) -> None:
            seen.append(("first", event))
            if event == 1:
                observers.notify(2)

        observers.add("first", first)
        observers.add("second", lambda event: seen.append(("second", event)))
        observers.notify(1)
        self.assertEqual(seen, [("first", 1), ("second", 1), ("first", 2), ("second", 2)])

    def test_raises(self) -> None:
        """An observer that raises is reported by its key, and the others are called."""
        failed: list[tuple[object, int]] = []
        seen: list[int] = []
        observers: Observers[int] = Observers(lambda key, event: failed.append((key, event)))
        observers.add("bad", lambda event: [][event])
        observers.add("good", seen.append)
        observers.notify(1)
        self.assertEqual((failed, seen), ([("bad", 1)], [1]))

    def test_removed_from_within(self) -> None:
        """An observer that an earlier one removes is not called."""
        seen: list[int] = []
        observers: Observers[int] = Observers(lambda key, event: None)
        observers.add("first", lambda event: observers.remove("second"))
        observers.add("second", seen.append)
        observers.notify(1)
        self.assertEqual((seen, "second" in observers, bool(observers)), ([], False, True))


class RetryingTests(SynchronousTestCase):
    def test_backoff(self) -> None:
        """Pauses double up to the longest, and start again after a success."""
        backoff = Backoff(0.5, 3.0)
        self.assertEqual([backoff.next_pause() for _ in range(5)], [0.5, 1.0, 2.0, 3.0, 3.0])
        backoff.reset()
        self.assertEqual(backoff.next_pause(), 0.5)

    def test_timer(self) -> None:
        """The function is called after growing pauses, once for each start, and not after a stop."""
        clock, calls = Clock(), []
        timer = RetryTimer(clock, lambda: calls.append(clock.seconds()), first=1.0, longest=60.0)
        timer.start()
        timer.start()
        clock.advance(1.0)
        self.assertEqual((calls, timer.running), ([1.0], False))
        timer.start()
        clock.advance(1.9)
        self.assertEqual((len(calls), timer.running), (1, True))
        timer.stop()
        clock.advance(10)
        self.assertEqual((len(calls), clock.getDelayedCalls()), (1, []))
        timer.reset()
        timer.start()
        clock.advance(1.0)
        self.assertEqual(len(calls), 2)
        timer.stop()


class ErrorTests(SynchronousTestCase):
    def test_session_over(self) -> None:
        """An exception knows whether the session is over, and whether a retry may help."""
        cases: dict[type[ZooKeeperException], tuple[bool, bool]] = {
            SessionExpiredException: (True, False),
            ClosingException: (True, False),
            AuthFailedException: (True, False),
            InvalidStateException: (True, False),
            ConnectionLossException: (False, True),
            SystemErrorException: (False, True),
            NoNodeException: (False, False),
            TooManyRequestsException: (False, False),
        }
        for error, expected in cases.items():
            self.assertEqual((error.session_over, error.retryable), expected, error)


class PrintableTests(SynchronousTestCase):
    def test_session(self) -> None:
        """A session's id is printed without a sign."""
        self.assertEqual((session_name(0x1234), session_name(-1)), ("0x1234", "0xffffffffffffffff"))

    def test_process(self) -> None:
        """A process has the name of its host and its pid."""
        self.assertRegex(process_name(), r"^[^:]+:\d+$")


class DurationTests(SynchronousTestCase):
    def test_arguments(self) -> None:
        """A finite number of seconds is accepted; anything else is refused, with a message that quotes it."""
        for value in (0, 0.0, 3, 2.5):
            check_seconds("wait", value)
        check_seconds("wait", 0.1, positive=True)
        check_seconds("wait", None, optional=True)
        for wrong in (-1, -0.5, float("inf"), float("nan")):
            error: Exception = self.assertRaises(ValueError, check_seconds, "wait", wrong)
            self.assertEqual(str(error), f"wait is {wrong!r}: not a number of seconds from 0")
        error = self.assertRaises(ValueError, check_seconds, "wait", 0, positive=True, optional=True)
        self.assertEqual(str(error), "wait is 0: not a number of seconds above 0, or None")
        for kind in ("5", True, None, b"1", [1]):
            error = self.assertRaises(TypeError, check_seconds, "wait", kind)
            self.assertEqual(str(error), f"wait is {kind!r}: not a number of seconds from 0")
        error = self.assertRaises(TypeError, check_seconds, "wait", "1" * 1000)
        self.assertLess(len(str(error)), 120)

    def test_durations(self) -> None:
        """A duration has a unit, and a reader gets the largest one in which it is whole."""
        self.assertEqual([read_duration(each) for each in ("500ms", "1.5m", "2 h")], [0.5, 90.0, 7200.0])
        self.assertEqual([read_duration(each) for each in ("", "5", "-1s", "1e3s", "1s ", "1w")], [None] * 6)
        self.assertEqual([show_seconds(each) for each in (0.5, 90.0, 7200.0)], ["500 ms", "90 s", "2 h"])

    def test_texts(self) -> None:
        """An option's text is read; one that is no number, or out of bounds, is refused, with a message that quotes it."""
        self.assertEqual([parse_seconds(text, 0.5, 60) for text in ("0.5", "60", "1e1")], [0.5, 60.0, 10.0])
        error = self.assertRaises(ValueError, parse_seconds, "soon", 0.5, 60)
        self.assertEqual(str(error), "'soon' is no number of seconds")
        for text in ("0.4", "61", "inf", "nan", "-1"):
            error = self.assertRaises(ValueError, parse_seconds, text, 0.5, 60)
            self.assertEqual(str(error), f"{text!r} is not between 0.5 and 60 seconds")
