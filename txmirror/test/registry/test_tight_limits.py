"""Registries keep their contract with the tightest limits of their clients: one request in flight, and one in the
queue.
"""

from __future__ import annotations

from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from txmirror.client import Limits
from txmirror.mirror import Mirror, Node
from txmirror.registry import Registration, RegistrationState
from txmirror.test.registry import test_service_registry_contract as contract
from txmirror.testing import World

TIGHT = Limits(in_flight_requests=1, queued_requests=1, queued_bytes=1, max_backoff=1.5)


class RegisteringTests(contract.RegisteringTests):
    limits = TIGHT


class StoringTests(contract.StoringTests):
    limits = TIGHT


class FindingTests(contract.FindingTests):
    limits = TIGHT


class OutageTests(contract.OutageTests):
    limits = TIGHT


class SessionTests(contract.SessionTests):
    limits = TIGHT


class LockTests(contract.LockTests):
    limits = TIGHT


class WithdrawalTests(SynchronousTestCase):
    """A withdrawal does not wait behind a flood of requests."""

    def setUp(self) -> None:
        self.world = World()
        self.addCleanup(self.world.close)
        self.client = self.world.client(limits=Limits(in_flight_requests=2))
        self.mirror = Mirror(client=self.client, reactor=self.world.reactor)
        self.addCleanup(lambda: self.world.result(self.mirror.close()))

    def flood(self) -> list[Deferred[Node]]:
        return [self.mirror.create(f"/{number:04d}") for number in range(1000)]

    def test_registered(self) -> None:
        """The node is deleted before writes are done that were asked for before."""
        registration = Registration(self.mirror, "/services/a:1", {})
        registration.start()
        self.world.settle()
        self.assertIs(registration.state, RegistrationState.REGISTERED)
        made = self.flood()
        done_before: list[int] = []
        registration.stop().addCallback(lambda _: done_before.append(sum(each.called for each in made)))
        for each in made:
            self.world.result(each)
        self.assertLess(done_before[0], 100)
        self.assertIsNone(self.world.result(self.client.exists("/services/a:1")))

    def test_waiting(self) -> None:
        """A registration whose own create still waits is withdrawn at once, and its node is never made."""
        made = self.flood()
        registration = Registration(self.mirror, "/services/a:1", {})
        registration.start()
        self.world.reactor.take_turns(3)
        done_before: list[int] = []
        registration.stop().addCallback(lambda _: done_before.append(sum(each.called for each in made)))
        for each in made:
            self.world.result(each)
        self.assertLess(done_before[0], 100)
        self.assertIs(registration.state, RegistrationState.WITHDRAWN)
        self.assertIsNone(self.world.result(self.client.exists("/services/a:1")))

    def test_many(self) -> None:
        """More registrations than may take steps at a time are all done, and all withdrawn."""
        registrations = [Registration(self.mirror, f"/services/{number:04d}", {}) for number in range(1200)]
        for each in registrations:
            each.start()
        self.world.settle()
        self.assertEqual({each.state for each in registrations}, {RegistrationState.REGISTERED})
        self.assertEqual(len(self.world.result(self.client.get_children("/services"))), 1200)
        stopped = [each.stop() for each in registrations]
        for withdrawn in stopped:
            self.world.result(withdrawn)
        self.assertEqual(self.world.result(self.client.get_children("/services")), [])
