"""The lease of a session: how long locks held by it are safe."""

from __future__ import annotations

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from txmirror.client.session.waiting import SessionLease


class SessionLeaseTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.safe_until = 4.0
        self.lease = SessionLease(self.clock, lambda: self.safe_until)
        self.addCleanup(lambda: self.assertEqual(self.clock.getDelayedCalls(), []))

    def test_told_in_time(self) -> None:
        """The Deferred fires at the moment when the lease ends, and not before."""
        told = self.lease.when_lease_expires()
        self.clock.pump([3.9])
        self.assertNoResult(told)
        self.clock.advance(0.1)
        self.assertIsNone(self.successResultOf(told))

    def test_safety_extended(self) -> None:
        """The Deferred does not fire while the end moves on."""
        told = self.lease.when_lease_expires()
        for _ in range(5):
            self.clock.advance(3)
            self.safe_until = self.clock.seconds() + 4
        self.assertNoResult(told)
        self.clock.advance(4)
        self.successResultOf(told)

    def test_unsafe_already(self) -> None:
        """After the end of the lease, the Deferred fires at once."""
        self.clock.advance(4)
        self.successResultOf(self.lease.when_lease_expires())

    def test_late_reactor(self) -> None:
        """If the lease has expired and the timer is late, a new Deferred fires at once; the timer fires the others."""
        told = self.lease.when_lease_expires()
        self.clock.rightNow += 4
        self.successResultOf(self.lease.when_lease_expires())
        self.assertNoResult(told)
        self.clock.advance(0)
        self.successResultOf(told)

    def test_end(self) -> None:
        """The session's end fires all Deferreds at once."""
        holders = [self.lease.when_lease_expires() for _ in range(3)]
        self.lease.end()
        for told in holders:
            self.successResultOf(told)

    def test_many_holders_one_timer(self) -> None:
        """Any number of holders needs one timer, and all are notified."""
        holders = [self.lease.when_lease_expires() for _ in range(10)]
        self.assertEqual(len(self.clock.getDelayedCalls()), 1)
        self.clock.advance(4)
        for told in holders:
            self.successResultOf(told)

    def test_cancelling_one(self) -> None:
        """A cancelled Deferred is removed; the others still fire."""
        gone, stays = self.lease.when_lease_expires(), self.lease.when_lease_expires()
        gone.cancel()
        self.failureResultOf(gone, CancelledError)
        self.clock.advance(4)
        self.successResultOf(stays)

    def test_cancelling_the_last(self) -> None:
        """Without holders no timer is left."""
        told = self.lease.when_lease_expires()
        told.cancel()
        self.failureResultOf(told, CancelledError)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_asking_again_when_told(self) -> None:
        """A new Deferred from within the callback waits, if the lease is valid again."""

        def hold_again(_: None) -> None:
            self.safe_until = self.clock.seconds() + 4
            again.append(self.lease.when_lease_expires())

        again: list[Deferred[None]] = []
        self.lease.when_lease_expires().addCallback(hold_again)
        self.clock.advance(4)
        (told,) = again
        self.assertNoResult(told)
        self.clock.advance(4)
        self.successResultOf(told)
