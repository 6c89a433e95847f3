"""Locks work with the tightest limits of a client: one request in flight, and one in the queue."""

from __future__ import annotations

from txmirror.client import Limits
from txmirror.test.recipes import test_election, test_lock, test_losing, test_semaphore
from txmirror.test.recipes.case import RecipeCase

TIGHT = Limits(in_flight_requests=1, queued_requests=1, queued_bytes=1)


class LockTests(test_lock.LockTests):
    limits = TIGHT


class LineTests(test_lock.LineTests):
    limits = TIGHT


class SemaphoreTests(test_semaphore.SemaphoreTests):
    limits = TIGHT


class ElectionTests(test_election.ElectionTests):
    limits = TIGHT


class LostTests(test_losing.LostTests):
    limits = TIGHT


class ReleaseTests(RecipeCase):
    """A release does not wait behind a flood of requests."""

    limits = Limits(in_flight_requests=2)

    def test_lock(self) -> None:
        """A lock is free again before a thousand requests of the same client are answered that were sent before."""
        client = self.client()
        lock = self.lock(client)
        self.done(lock.acquire())
        read = [client.get("/") for _ in range(1000)]
        answered_before: list[int] = []
        lock.release().addCallback(lambda _: answered_before.append(sum(each.called for each in read)))
        for each in read:
            self.done(each)
        self.assertLess(answered_before[0], 100)
        self.assertEqual(self.nodes(), [])
