"""A clock that jumps of the wall clock do not affect."""

from __future__ import annotations

import threading
from collections.abc import Callable

from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import Clock
from twisted.logger import globalLogPublisher
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from txmirror.checks import SteadyClock, steady_clock
from txmirror.test.checks.case import RecordedLog


class WallReactor(Clock):
    """A reactor that measures time by a wall clock, which can be set.

    :ivar passed: the time that has really passed.
    """

    def __init__(self) -> None:
        super().__init__()
        self.rightNow = 1000.0
        self.passed = 50.0
        self.woken = threading.Event()

    def pass_time(self, seconds: float) -> None:
        """Let time pass for both clocks."""
        self.passed += seconds
        self.advance(seconds)

    def jump(self, seconds: float) -> None:
        """Set the wall clock forward or back."""
        self.rightNow += seconds
        self.advance(0)

    def callFromThread(self, callable: Callable[..., object], *args: object, **kwargs: object) -> None:
        self.woken.set()


class SteadyClockTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.reactor = WallReactor()
        self.clock = SteadyClock(self.reactor, lambda: self.reactor.passed)
        self.called: list[object] = []
        recorded = RecordedLog()
        self.log = recorded.texts
        globalLogPublisher.addObserver(recorded)
        self.addCleanup(globalLogPublisher.removeObserver, recorded)
        self.clock.start()
        self.addCleanup(self.clock.stop)

    def test_calls(self) -> None:
        """Calls are made in the order of their times, with their arguments."""
        self.assertTrue(verifyObject(IReactorTime, self.clock))

        def called(*args: object, **options: object) -> None:
            self.called.append((args, options))

        for delay in (3, 1, 2, 1):
            self.clock.callLater(delay, called, delay, key=delay)
        self.assertEqual(len(self.clock.getDelayedCalls()), 4)
        self.reactor.pass_time(1)
        self.assertEqual(self.called, [((1,), {"key": 1})] * 2)
        self.reactor.pass_time(1)
        self.reactor.pass_time(1)
        self.assertEqual(self.called[2:], [((2,), {"key": 2}), ((3,), {"key": 3})])
        self.assertEqual((self.clock.getDelayedCalls(), self.reactor.getDelayedCalls()), ([], []))
        self.assertEqual(self.log, [])

    def test_forward(self) -> None:
        """If the wall clock is set forward, no call is made early."""
        self.clock.callLater(5, self.called.append, 5)
        self.reactor.jump(3600)
        self.assertEqual(self.called, [])
        self.assertEqual(self.log, ["The wall clock has jumped by +3600.0 s; pauses and timeouts are not affected."])
        self.reactor.pass_time(4.5)
        self.assertEqual(self.called, [])
        self.reactor.pass_time(0.5)
        self.assertEqual(self.called, [5])

    def test_back(self) -> None:
        """If it is set back, the next wake-up sets the reactor's timer anew, and no call is late."""
        self.clock.callLater(5, self.called.append, 5)
        self.reactor.jump(-3600)
        self.reactor.pass_time(1)
        self.clock.tick()
        self.assertEqual(self.log, ["The wall clock has jumped by -3600.0 s; pauses and timeouts are not affected."])
        self.reactor.pass_time(4)
        self.assertEqual(self.called, [5])

    def test_cancel_and_move(self) -> None:
        """Calls can be cancelled, and moved in both directions; nothing is left on the reactor."""
        cancelled = self.clock.callLater(1, self.called.append, "cancelled")
        later = self.clock.callLater(1, self.called.append, "later")
        earlier = self.clock.callLater(9, self.called.append, "earlier")
        cancelled.cancel()
        later.reset(4)
        earlier.reset(2)
        self.reactor.pass_time(2)
        self.assertEqual(self.called, ["earlier"])
        self.reactor.pass_time(2)
        self.assertEqual(self.called, ["earlier", "later"])
        self.clock.callLater(1, self.called.append, "last").cancel()
        self.assertEqual((self.clock.getDelayedCalls(), self.reactor.getDelayedCalls()), ([], []))

    def test_within_a_call(self) -> None:
        """A call may cancel another that is due, and schedule one."""
        self.clock.callLater(
            1,
            lambda: other.cancel(),  # noqa: PLW0108 - it is not there yet
        )
        other = self.clock.callLater(1, self.called.append, "other")
        self.clock.callLater(1, lambda: self.clock.callLater(0, self.called.append, "next"))
        self.reactor.pass_time(1)
        self.reactor.pass_time(0)
        self.assertEqual(self.called, ["next"])

    def test_raises(self) -> None:
        """A call that raises is logged, and the others are made."""
        self.clock.callLater(1, lambda: 1 / 0)
        self.clock.callLater(1, self.called.append, 1)
        self.reactor.pass_time(1)
        self.assertEqual(self.called, [1])
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)

    def test_thread(self) -> None:
        """A thread wakes the reactor until the clock is stopped."""
        self.clock.stop()
        self.patch(steady_clock, "_PERIOD", 0.001)
        before = set(threading.enumerate())
        self.clock.start()
        self.clock.start()
        (thread,) = set(threading.enumerate()) - before
        self.assertTrue(self.reactor.woken.wait(10))
        self.clock.stop()
        thread.join(10)
        self.assertFalse(thread.is_alive())
