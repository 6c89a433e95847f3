"""Unneeded watches are removed a few at a time, however many there are and whichever replies come."""

from __future__ import annotations

from twisted.internet.defer import Deferred, fail, succeed
from twisted.trial.unittest import SynchronousTestCase

from txmirror.errors import ClosingException, ConnectionLossException
from txmirror.mirror.watch_removal import WatchRemoval


class RemovalsTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.asked: list[str] = []
        self.answers: list[Deferred[None]] = []
        self.possible: bool | None = True
        self.removals = WatchRemoval(self.ask, lambda: self.possible)

    def ask(self, path: str) -> Deferred[None]:
        self.asked.append(path)
        answer: Deferred[None] = Deferred()
        self.answers.append(answer)
        return answer

    def add(self, count: int) -> None:
        for number in range(count):
            self.removals.add(f"/{number}")

    def test_in_flight(self) -> None:
        """There are never more than 64 in flight, and in the end all were asked for once."""
        self.removals.start()
        self.add(350)
        self.assertEqual(len(self.asked), 64)
        while self.answers:
            self.answers.pop(0).callback(None)
            self.assertLessEqual(len(self.answers), 64)
        self.assertEqual(sorted(self.asked), sorted(f"/{number}" for number in range(350)))

    def test_one_until_known(self) -> None:
        """As long as nobody knows whether the server can, there is one in flight; where it cannot, none is asked for."""
        self.possible = None
        self.removals.start()
        self.add(10)
        self.assertEqual(len(self.asked), 1)
        self.possible = False
        self.answers.pop().callback(None)
        self.assertEqual(len(self.asked), 1)

    def test_at_once(self) -> None:
        """Any number may be answered, or fail, at once."""
        for fails in (False, True):
            asked: list[str] = []

            def ask(path: str, asked: list[str] = asked, fails: bool = fails) -> Deferred[None]:
                asked.append(path)
                return fail(ClosingException(applied=False)) if fails else succeed(None)

            removals = WatchRemoval(ask, lambda: True)
            for number in range(5000):
                removals.add(f"/{number}")
            removals.start()
            self.assertEqual(len(asked), 5000)

    def test_lost(self) -> None:
        """A removal that a lost connection interrupted is sent again on return; after the session's end nothing is sent."""
        self.removals.start()
        self.add(3)
        self.removals.stop()
        for answer in self.answers[:2]:
            answer.errback(ConnectionLossException())
        self.answers[2].errback(ClosingException(applied=False))
        self.assertEqual(len(self.asked), 3)
        self.removals.start()
        self.assertEqual(self.asked[3:], ["/0", "/1"])
        self.removals.stop()
        self.answers[3].errback(ConnectionLossException())
        self.removals.forget()
        self.removals.start()
        self.assertEqual(len(self.asked), 5)
