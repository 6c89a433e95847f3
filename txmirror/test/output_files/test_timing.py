"""Hold lists back, and merge changes, on a clock."""

from __future__ import annotations

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from txmirror.output_files.holding import Hold
from txmirror.output_files.settling import Settling


class HoldTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.ended = 0

    def hold(self, below: float = 0.5, keep_for: float = 60.0) -> Hold:
        def end() -> None:
            self.ended += 1

        return Hold(below, keep_for, end, self.clock)

    def test_first(self) -> None:
        """The first list is good, also an empty one."""
        for length in (0, 3):
            self.assertTrue(self.hold().permits(length))

    def test_collapse(self) -> None:
        """A list below the part is held back until the time is over; then the next one is good."""
        hold = self.hold()
        hold.permits(10)
        self.assertFalse(hold.permits(2))
        self.clock.advance(40)
        self.assertFalse(hold.permits(1))
        self.assertEqual((hold.last_good, hold.since, hold.longest), (10, 0.0, 10))
        self.clock.advance(19.9)
        self.assertEqual(self.ended, 0)
        self.clock.advance(0.1)
        self.assertEqual(self.ended, 1)
        self.assertTrue(hold.permits(1))
        self.assertEqual((hold.last_good, hold.since), (1, None))
        self.assertFalse(hold.permits(0), "the next collapse is held back again")

    def test_one_after_another(self) -> None:
        """A list that loses its instances one by one is held back as one that loses them together, but not for longer."""
        hold = self.hold()
        hold.permits(10)
        for length in (9, 8, 7, 6, 5):
            self.clock.advance(1)
            self.assertTrue(hold.permits(length))
        self.clock.advance(1)
        self.assertFalse(hold.permits(4))
        permitted = None
        for second in range(7, 100):
            self.clock.advance(1)
            if hold.permits(1):
                permitted = second
                break
        # The list of five was good until the second 6.
        self.assertEqual(permitted, 66)

    def test_slowly(self) -> None:
        """A list that shrinks slowly is never held back, until it is empty."""
        hold = self.hold()
        for length in range(20, 0, -1):
            self.assertTrue(hold.permits(length), length)
            self.clock.advance(61)
        self.assertTrue(hold.permits(1))
        self.assertFalse(hold.permits(0))

    def test_back(self) -> None:
        """A list that is long enough again ends the hold, and the next one has its full time."""
        hold = self.hold()
        hold.permits(10)
        hold.permits(1)
        self.clock.advance(59)
        self.assertTrue(hold.permits(9))
        self.clock.advance(10)
        self.assertEqual(self.ended, 0)
        self.assertFalse(hold.permits(4))
        self.clock.advance(59)
        self.assertEqual(self.ended, 0)

    def test_empty(self) -> None:
        """An empty list is held back, however small the part is; not after an empty one."""
        hold = self.hold(below=0.001)
        hold.permits(0)
        self.assertTrue(hold.permits(0))
        hold.permits(1)
        self.assertFalse(hold.permits(0))

    def test_off(self) -> None:
        """With a part or a time of 0, every list is good."""
        for hold in (self.hold(below=0.0), self.hold(keep_for=0.0)):
            hold.permits(10)
            self.assertTrue(hold.permits(0))
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_stop(self) -> None:
        """After the stop no timer runs."""
        hold = self.hold()
        hold.permits(10)
        hold.permits(1)
        hold.stop()
        self.assertEqual(self.clock.getDelayedCalls(), [])


class SettlingTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.acts: list[float] = []

    def settling(self, window: float = 2.0, random: float = 0.5) -> Settling:
        return Settling(window, lambda: self.acts.append(self.clock.seconds()), lambda: random, self.clock)

    def test_merged(self) -> None:
        """The first change counts at once, and those within the window once, at its end; then a new window begins."""
        settling = self.settling()
        for _ in range(4):
            settling.note_change()
            self.clock.advance(0.5)
        self.clock.pump([0.5] * 20)
        self.assertEqual(self.acts, [0.0, 2.0])
        settling.note_change()
        self.assertEqual(self.acts[2:], [12.0])

    def test_window(self) -> None:
        """The window is a half shorter or longer."""
        for random, end in ((0.0, 1.0), (1.0, 3.0)):
            self.clock, self.acts = Clock(), []
            settling = self.settling(random=random)
            settling.note_change()
            settling.note_change()
            self.clock.pump([0.25] * 16)
            self.assertEqual(self.acts, [0.0, end])

    def test_no_window(self) -> None:
        """Without a window each change counts."""
        settling = self.settling(0.0)
        settling.note_change()
        settling.note_change()
        self.assertEqual(self.acts, [0.0, 0.0])

    def test_stop(self) -> None:
        """After the stop nothing is called."""
        settling = self.settling()
        settling.note_change()
        settling.note_change()
        settling.stop()
        self.clock.advance(10)
        self.assertEqual(self.acts, [0.0])
