"""A timer that can be started again and stopped at any time."""

from __future__ import annotations

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from txmirror.timers import Timer


class TimerTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.fired: list[float] = []
        self.timer = Timer(self.clock, lambda: self.fired.append(self.clock.seconds()))

    def test_idle(self) -> None:
        """A timer that was not started does nothing."""
        self.assertFalse(self.timer.running)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_fires_once(self) -> None:
        """A timer that was started calls once, when its time is over, and rests then."""
        self.timer.start(2)
        self.assertTrue(self.timer.running)
        self.clock.pump([1.5, 0.5, 5])
        self.assertEqual(self.fired, [2])
        self.assertFalse(self.timer.running)

    def test_start_again(self) -> None:
        """Starting a timer that runs puts the new time in the old one's place."""
        self.timer.start(2)
        self.clock.advance(1)
        self.timer.start(2)
        self.clock.pump([1, 1, 1])
        self.assertEqual(self.fired, [3])

    def test_start_sooner(self) -> None:
        """The new time may be before the old one."""
        self.timer.start(5)
        self.timer.start(1)
        self.clock.pump([1, 9])
        self.assertEqual(self.fired, [1])

    def test_stop(self) -> None:
        """A timer that was stopped calls nothing, and leaves nothing with the reactor."""
        self.timer.start(1)
        self.timer.stop()
        self.assertFalse(self.timer.running)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_stop_idle(self) -> None:
        """Stopping a timer that does not run is harmless, before and after it has fired."""
        self.timer.stop()
        self.timer.start(1)
        self.clock.advance(1)
        self.timer.stop()
        self.assertEqual(self.fired, [1])

    def test_time_that_is_over_already(self) -> None:
        """A delay below 0 is as soon as possible, but never within the call."""
        self.timer.start(-3)
        self.assertEqual(self.fired, [])
        self.clock.advance(0)
        self.assertEqual(self.fired, [0])

    def test_start_from_within(self) -> None:
        """The callback may start the timer again."""

        def fire() -> None:
            self.fired.append(self.clock.seconds())
            again.start(1)

        again = Timer(self.clock, fire)
        again.start(1)
        self.clock.pump([1, 1, 1])
        self.assertEqual(self.fired, [1, 2, 3])
        again.stop()
