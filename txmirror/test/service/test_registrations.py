"""The registrations alone, as a part of another program."""

from __future__ import annotations

from twisted.application.service import IService, MultiService
from twisted.internet.defer import Deferred
from zope.interface.verify import verifyObject

from txmirror.client import ZooKeeperClient
from txmirror.registry import RegistrationState
from txmirror.service import Offer, RegistrationsService, SessionSettings, StateService
from txmirror.test.service.case import DaemonTestCase
from txmirror.types import SessionTicket


class AloneTests(DaemonTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.server.listen(2181)
        self.client()

    def make(self, state: StateService | None = None) -> RegistrationsService:
        def make_client(session: SessionTicket | None) -> ZooKeeperClient:
            return ZooKeeperClient(
                "127.0.0.1:2181", session=session, session_timeout=4.0, random=self.chance, reactor=self.reactor
            )

        settings = SessionSettings(make_client, "127.0.0.1:2181", state=state, random=self.chance)
        service = RegistrationsService(settings, reactor=self.reactor)
        self.assertTrue(verifyObject(IService, service))
        return service

    def test_in_a_tree(self) -> None:
        """A program registers and withdraws as it likes, before and after the start; the stop withdraws the rest."""
        application = MultiService()
        service = self.make()
        service.setServiceParent(application)
        service.keep("web", Offer("/services/web:1", {"n": 1}))
        self.assertIs(service.state("web"), RegistrationState.PENDING)
        application.startService()
        service.keep("db", Offer("/services/db:1"))
        self.reactor.settle()
        self.assertEqual(list(self.registered()), ["db", "web"])
        self.assertIs(service.state("web"), RegistrationState.REGISTERED)
        withdrawn = service.withdraw("db")
        self.reactor.settle()
        self.successResultOf(withdrawn)
        self.assertIs(service.state("db"), RegistrationState.WITHDRAWN)
        stopped: Deferred[object] = application.stopService()
        self.reactor.settle()
        self.successResultOf(stopped)
        self.assertEqual(self.registered(), {})

    def test_handed_over(self) -> None:
        """With a state file the session is left to the next one."""
        for number in range(2):
            state = StateService(str(self.state_file), self.reactor)
            service = self.make(state)
            state.startService()
            service.declare({"web": "/services/web:1"})
            service.keep("web", Offer("/services/web:1", {"n": 1}))
            service.startService()
            self.reactor.settle()
            if number == 0:
                before = self.stat("web")
            self.assertEqual(self.stat("web"), before)
            finished = service.finish(leave=number == 0)
            self.reactor.pass_time(0.1)
            self.successResultOf(finished)
            self.successResultOf(state.stopService())
        self.assertEqual(self.registered(), {})

    def test_stopped_at_once(self) -> None:
        """A program may stop state file and registrations at once: the file is unlocked when the session has ended."""
        application = MultiService()
        state = StateService(str(self.state_file), self.reactor)
        service = self.make(state)
        for part in (state, service):
            part.setServiceParent(application)
        service.keep("web", Offer("/services/web:1"))
        application.startService()
        self.reactor.settle()
        self.assertTrue(self.state_file.exists())
        # The server answers no more.
        for link in self.reactor.links:
            link.stall()
        stopped: Deferred[object] = application.stopService()
        self.reactor.pass_time(1)
        self.assertNoResult(stopped)
        self.assertTrue(state.locked)
        for link in self.reactor.links:
            link.resume()
        self.reactor.pass_time(1)
        self.successResultOf(stopped)
        self.assertFalse(state.locked)
        self.assertFalse(self.state_file.exists())
        self.assertEqual(self.registered(), {})

    def test_stopped_alone(self) -> None:
        """A state file whose registrations are not stopped is unlocked after a while."""
        state = StateService(str(self.state_file), self.reactor)
        service = self.make(state)
        state.startService()
        service.startService()
        self.reactor.settle()
        stopped = state.stopService()
        self.reactor.pass_time(29)
        self.assertNoResult(stopped)
        self.reactor.pass_time(2)
        self.successResultOf(stopped)
        self.assertFalse(state.locked)
        finished = service.stopService()
        self.reactor.pass_time(1)
        self.successResultOf(finished)
