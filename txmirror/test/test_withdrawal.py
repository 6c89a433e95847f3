"""A bounded wait for withdrawals: its results, its timeout, and cancelling it."""

from __future__ import annotations

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.task import Clock
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from txmirror.withdrawal import wait_for_withdrawals


class WithdrawalTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.late: list[float] = []
        self.withdrawals: list[Deferred[None]] = [Deferred(), Deferred()]
        self.waiting = wait_for_withdrawals(self.withdrawals, self.clock, self.timed_out)

    def timed_out(self, result: Failure | None, timeout: float) -> None:
        self.late.append(timeout)

    def test_done(self) -> None:
        """It fires when all are done."""
        self.withdrawals[0].callback(None)
        self.assertNoResult(self.waiting)
        self.withdrawals[1].callback(None)
        self.assertIsNone(self.successResultOf(self.waiting))
        self.assertEqual((self.late, self.clock.getDelayedCalls()), ([], []))

    def test_none(self) -> None:
        """Without withdrawals it fires at once."""
        self.assertIsNone(self.successResultOf(wait_for_withdrawals([], self.clock, self.timed_out)))

    def test_failed(self) -> None:
        """It fails with the error of the first that fails, not with one about it."""
        self.withdrawals[1].errback(ValueError("refused"))
        self.failureResultOf(self.waiting, ValueError)

    def test_late(self) -> None:
        """After two seconds it cancels the waits, and calls the function."""
        self.clock.advance(1.9)
        self.assertNoResult(self.waiting)
        self.clock.advance(0.2)
        self.assertIsNone(self.successResultOf(self.waiting))
        self.assertEqual(self.late, [2.0])
        self.assertTrue(all(each.called for each in self.withdrawals))

    def test_cancelled(self) -> None:
        """Cancelled, it cancels the waits and fails as any cancelled Deferred."""
        self.waiting.cancel()
        self.failureResultOf(self.waiting, CancelledError)
        self.assertTrue(all(each.called for each in self.withdrawals))
        self.assertEqual((self.late, self.clock.getDelayedCalls()), ([], []))
