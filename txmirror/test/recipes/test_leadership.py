"""An election's changes as an asynchronous iterator."""

from __future__ import annotations

from twisted.internet.defer import CancelledError, Deferred

from txmirror.client import ZooKeeperClient
from txmirror.errors import ClosingException
from txmirror.recipes import Election
from txmirror.test.recipes.case import RecipeCase


class LeadershipTests(RecipeCase):
    path = "/election"

    def election(self, client: ZooKeeperClient | None = None) -> Election:
        return Election(client or self.client(), self.path, reactor=self.world.reactor)

    def test_loop(self) -> None:
        """A loop gets True when we are elected, False when the leadership is lost, and ends with the election."""
        client = self.client()
        election = self.election(client)
        seen: list[tuple[bool, bool]] = []

        def note(leads: bool) -> None:
            seen.append((leads, bool(election.leading)))

        async def loop() -> str:
            async for leads in election.leading:
                note(leads)
            return "ended"

        looping = Deferred.fromCoroutine(loop())
        self.settle()
        self.assertEqual(seen, [(True, True)])
        self.expire(client)
        self.assertEqual(seen, [(True, True), (False, False), (True, True)])
        self.done(election.stop())
        self.assertEqual(self.successResultOf(looping), "ended")
        self.assert_clear()

    def test_stands_when_asked(self) -> None:
        """After False the object stands for election again when the program asks for the next change, and not before."""
        client = self.client()
        first, second = self.election(client), self.election()
        changes = aiter(first.leading)
        self.assertIs(self.done(anext(changes)), True)
        lost = anext(changes)
        other = aiter(second.leading)
        elected = anext(other)
        self.expire(client)
        self.assertIs(self.successResultOf(lost), False)
        self.assertIs(self.successResultOf(elected), True)
        self.assertEqual(len(self.nodes()), 1)
        again = anext(changes)
        self.settle()
        self.assertEqual(len(self.nodes()), 2)
        self.assertNoResult(again)
        self.done(second.stop())
        self.assertIs(self.successResultOf(again), True)
        self.done(first.stop())

    def test_not_asked(self) -> None:
        """A term that nobody has taken notice of is not reported; a change waits for the program."""
        client = self.client()
        election = self.election(client)
        changes = aiter(election.leading)
        self.settle()
        self.expire(client)
        self.assertTrue(election.leading)
        self.assertIs(self.successResultOf(anext(changes)), True)
        self.expire(client)
        self.assertFalse(election.leading)
        self.assertIs(self.successResultOf(anext(changes)), False)
        self.done(election.stop())
        self.failureResultOf(anext(changes), StopAsyncIteration)
        self.failureResultOf(anext(changes), StopAsyncIteration)

    def test_stop_after_loss(self) -> None:
        """A stop ends the iteration in each state: while it waits, after True, and after False."""
        for state in ("standing", "leading", "lost"):
            client = self.client()
            leader, election = self.election(), self.election(client)
            if state == "standing":
                self.done(anext(aiter(leader.leading)))
            changes = aiter(election.leading)
            waiting = anext(changes)
            self.settle()
            if state == "lost":
                self.expire(client)
                self.assertIs(self.successResultOf(anext(changes)), False)
            if state != "standing":
                self.assertIs(self.successResultOf(waiting), True)
                waiting = anext(changes) if state == "leading" else Deferred()
            self.done(election.stop())
            if state != "lost":
                self.failureResultOf(waiting, StopAsyncIteration)
            self.failureResultOf(anext(changes), StopAsyncIteration)
            self.done(leader.stop())
            self.assert_clear()

    def test_cancelled_wait(self) -> None:
        """Cancelling a wait ends that alone; the next one gets the change."""
        leader, election = self.election(), self.election()
        self.done(anext(aiter(leader.leading)))
        changes = aiter(election.leading)
        waiting = anext(changes)
        with self.assertRaisesRegex(RuntimeError, "only one can wait"):
            anext(changes)
        waiting.cancel()
        self.failureResultOf(waiting, CancelledError)
        self.settle()
        self.assertEqual(len(self.nodes()), 2)
        self.done(leader.stop())
        self.assertIs(self.done(anext(changes)), True)
        self.done(election.stop())

    def test_closed(self) -> None:
        """A client that is closed ends the loop with its failure, once."""
        for elected in (True, False):
            client = self.client()
            leader, election = self.election(), self.election(client)
            if not elected:
                self.done(anext(aiter(leader.leading)))
            changes = aiter(election.leading)
            waiting = anext(changes)
            self.settle()
            self.done(client.close())
            if elected:
                self.assertIs(self.successResultOf(waiting), True)
                self.assertIs(self.successResultOf(anext(changes)), False)
                waiting = anext(changes)
                self.settle()
            self.failureResultOf(waiting, ClosingException)
            self.failureResultOf(anext(changes), StopAsyncIteration)
            self.done(leader.stop())

    def test_one_at_a_time(self) -> None:
        """One object stands once: for a job, or for one iteration."""
        election = self.election()
        self.done(anext(aiter(election.leading)))
        self.assertRaises(RuntimeError, aiter, election.leading)
        self.assertRaises(RuntimeError, election.run, Deferred)
        self.assertEqual(repr(election.leading), "<Leadership True>")
        self.done(election.stop())
        self.assertEqual(repr(election.leading), "<Leadership False>")
