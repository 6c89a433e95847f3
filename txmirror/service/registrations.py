"""The registrations of a program's services, as a service of its own: one session for all, handed over from process to process."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Protocol, TypeVar

import attrs
from twisted.application.service import IService, Service
from twisted.internet.defer import Deferred, succeed
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

from txmirror.deferreds import Waiters
from txmirror.errors import ClosingException, ZooKeeperException
from txmirror.interfaces import IPayloadCodec
from txmirror.mirror import Mirror, MirrorState
from txmirror.registry import CODECS, Registration, RegistrationState
from txmirror.service.handover import Claim
from txmirror.service.session import Session
from txmirror.service.session_settings import SessionSettings
from txmirror.service.state import StateService
from txmirror.timers import Timer
from txmirror.withdrawal import wait_for_withdrawals

_T = TypeVar("_T")

#: The time that a changed registration's new znode has to be registered, before the old one is withdrawn all the same, in seconds.
_OVERLAP = 10.0


@attrs.frozen
class Offer:
    """A service as others find it."""

    path: str
    """The full path of its znode."""
    data: Mapping[str, object] | str | None = None
    """Facts for programs that find it."""
    codec: IPayloadCodec = CODECS["ndsr"]
    """Encodes them."""
    wait: bool = False
    """True waits for another session's znode even if it is known to be one of a former process of this machine."""
    tolerated: tuple[Mapping[str, object] | str | None, ...] = ()
    """Other facts that may stay in a znode that is there."""


class IRegistrationsUser(Protocol):
    """Decides what to register, and is notified."""

    def is_undecided(self, service_id: str) -> bool:
        """Return whether it is not known yet if a service is to be registered."""

    def resumed(self, service_ids: frozenset[str]) -> None:
        """Note that the last process's session was resumed, and that these services are registered in it."""

    def session_ended(self) -> None:
        """Note that the session has expired."""

    def registered(self, service_id: str) -> None:
        """Note that a service is registered."""

    def changed(self, service_id: str) -> None:
        """Note that another session's znode is in a service's place, or that ZooKeeper is out of reach."""


@implementer(IService)
class RegistrationsService(Service):
    """Registers services in one session. An outage of ZooKeeper never prevents it from starting or stopping.

    It has more than 12 attributes because a service may be offered, awaited, refused and left at its former place, each by itself; and
    more than 25 methods, and its module more than 350 lines, because it is the heir of the hand-over, the user of the session, and a
    service, too.

    :param settings: the settings of the session.
    :param splay: the longest random pause before the first write in a new session, in seconds.
    :param reactor: the reactor.
    :ivar session: the session; None before the start.
    :ivar splay: as the parameter; it may be set.
    :ivar user: is notified; None, the default, lets :meth:`keep` and :meth:`withdraw` decide alone.
    :ivar reactor: the reactor.
    """

    _log = Logger()

    def __init__(
        self,
        settings: SessionSettings,
        *,
        splay: float = 0.0,
        reactor: IReactorTime,
    ) -> None:
        self.session: Session | None = None
        self.splay = splay
        self.user: IRegistrationsUser | None = None
        self.reactor = reactor
        self._settings = settings
        self._declared: Mapping[str, str] = {}
        self._offers: dict[str, Offer] = {}
        self._registrations: dict[str, Registration] = {}
        #: Registrations whose znodes may exist.
        self._live: set[Registration] = set()
        #: The paths that were registered before: an earlier registration may have left its znode to the next one.
        self._paths: set[str] = set()
        #: ZooKeeper's refusals, by services' ids, until they are registered.
        self._refusals: dict[str, str] = {}
        #: Registrations that are waited for, until they are registered.
        self._awaited: set[Registration] = set()
        self._connecting: Waiters[Mirror] = Waiters()
        self._lost = Timer(reactor, self._note_lost)
        #: Registrations in place whose data are being replaced.
        self._rewritten: set[Registration] = set()
        #: Registrations that are withdrawn when their services are registered elsewhere.
        self._leaving: set[Registration] = set()

    # The services.

    def declare(self, paths: Mapping[str, str]) -> None:
        """Set the znodes that may be registered from now on, by their services' ids.

        The state file has them, and also those that are still being withdrawn.
        """
        self._declared = dict(paths)
        self._declare_all()

    def _declare_all(self) -> None:
        if self.session is not None:
            known = set(self._declared.values())
            former = {f"{each.path} (former)": each.path for each in self._live if each.path not in known}
            self.session.handover.declare({**former, **self._declared})

    def keep(self, service_id: str, offer: Offer) -> None:
        """Keep a service registered from now on. If it is registered otherwise, the new znode comes before the old one goes."""
        former = self._offers.get(service_id)
        if former == offer:
            return
        self._offers[service_id] = offer
        registration = self._registrations.get(service_id)
        if (
            registration is not None
            and former is not None
            and (attrs.evolve(former, data=offer.data, tolerated=offer.tolerated) == offer)
        ):
            self._rewrite(service_id, registration, offer)
        elif self.session is not None:
            self._register(service_id, offer, self.session)

    def withdraw(self, service_id: str, timeout: float | None = 5.0) -> Deferred[None]:
        """Withdraw a service.

        :param timeout: the number of seconds to wait; None waits without limit.
        :returns: fires when its znode is gone, or after the timeout, which is logged. It never fails.
        """
        self._refusals.pop(service_id, None)
        offer = self._offers.pop(service_id, None)
        if offer is not None:
            self.release(offer.path)
        registration = self._registrations.pop(service_id, None)
        return succeed(None) if registration is None else self._stop(registration, timeout)

    def _stop(self, registration: Registration, timeout: float | None) -> Deferred[None]:
        registration.stop(timeout=None).addCallback(lambda _: self._withdrawn(registration))
        return registration.stop(timeout)

    def _withdrawn(self, registration: Registration) -> None:
        self._live.discard(registration)
        self._declare_all()

    def withdraw_all(self, service_ids: Iterable[str]) -> Deferred[None]:
        """Withdraw services because of a stop.

        :returns: fires when their znodes are gone, or after two seconds, which is logged: the rest goes with the session. It never
            fails.
        """
        withdrawals = [self.withdraw(service_id, timeout=None) for service_id in service_ids]
        return wait_for_withdrawals(withdrawals, self.reactor, self._not_withdrawn)

    def _not_withdrawn(self, result: object, timeout: float) -> None:
        if isinstance(result, Failure):
            self._log.warn(
                "ZooKeeper is out of reach, and the services could not be withdrawn. Their znodes are deleted when the session expires."
            )

    def release(self, path: str) -> None:
        """Delete a znode that the last process's session owns, if it is known to be there."""
        if self.session is not None:
            self.session.handover.release(path)

    def state(self, service_id: str) -> RegistrationState:
        """Return the state of a service's registration."""
        registration = self._registrations.get(service_id)
        if registration is None:
            return RegistrationState.PENDING if service_id in self._offers else RegistrationState.WITHDRAWN
        if registration in self._rewritten:
            return RegistrationState.REGISTERED
        return registration.state

    def refusal(self, service_id: str) -> str | None:
        """Return the reason why ZooKeeper has refused a service; None if it has not, or the service is registered now."""
        return self._refusals.get(service_id)

    def _register(self, service_id: str, offer: Offer, session: Session) -> None:
        self._refusals.pop(service_id, None)
        session.handover.release(offer.path)
        former = self._registrations.get(service_id)
        registration = Registration(
            session.mirror,
            offer.path,
            offer.data,
            codec=offer.codec,
            acl=self._settings.access.acl,
            writes=session.handover,
            inherited=offer.path in self._paths or session.handover.may_have(offer.path),
            container=self._settings.container,
        )
        self._paths.add(offer.path)
        for other in (*self._registrations.values(), *self._leaving):
            if other.path == offer.path:
                # The new registration takes over its znode.
                self._stop(other, None)
        self._registrations[service_id] = registration
        self._live.add(registration)
        self._keep(service_id, registration, offer)
        if former is not None and former.path != offer.path:
            self._leaving.add(former)
            overlap = registration.when_registered().addTimeout(_OVERLAP, self.reactor)
            overlap.addBoth(lambda _: self._leave_old(former))

    def _rewrite(self, service_id: str, registration: Registration, offer: Offer) -> None:
        """Replace the data of a registration."""
        if registration.state is RegistrationState.REGISTERED:
            self._rewritten.add(registration)
        self._keep(service_id, registration, offer)

    def _keep(self, service_id: str, registration: Registration, offer: Offer) -> None:
        def end(result: _T) -> _T:
            self._rewritten.discard(registration)
            return result

        outcome = registration.keep(offer.data, tolerated=offer.tolerated)
        outcome.addBoth(end)
        outcome.addCallback(self._decided, service_id, registration)
        outcome.addErrback(self._not_registered, service_id, registration)
        self._await_registered(service_id, registration)

    def _leave_old(self, registration: Registration) -> None:
        self._leaving.discard(registration)
        # It may have been stopped, because another service has its place.
        self._stop(registration, None)

    def _is_current(self, service_id: str, registration: Registration) -> bool:
        return self._registrations.get(service_id) is registration

    def _decided(self, state: RegistrationState, service_id: str, registration: Registration) -> None:
        if state is RegistrationState.BLOCKED and self._is_current(service_id, registration) and self.user is not None:
            self.user.changed(service_id)

    def _not_registered(self, failure: Failure, service_id: str, registration: Registration) -> None:
        if failure.check(ClosingException) or not self._is_current(service_id, registration):
            return
        if failure.check(ZooKeeperException):
            self._refusals[service_id] = failure.getErrorMessage()
            self._log.error(
                "Service {service} cannot be registered at {path}: {reason}. Retrying.",
                service=service_id,
                path=registration.path,
                reason=failure.getErrorMessage(),
            )
        else:
            self._log.failure(
                "Service {service} cannot be registered because of a bug.", failure=failure, service=service_id
            )

    def _await_registered(self, service_id: str, registration: Registration) -> None:
        if registration in self._awaited:
            return
        self._awaited.add(registration)

        def end(result: object) -> object:
            self._awaited.discard(registration)
            return result

        registered = registration.when_registered().addBoth(end)
        registered.addCallback(lambda _: self._note_registered(service_id, registration))
        registered.addErrback(lambda failure: failure.trap(ClosingException) and None)

    def _reach_changed(self, state: MirrorState) -> None:
        if state is MirrorState.DISCONNECTED:
            self._rewritten.clear()
            # When the registrations know it, too.
            self._lost.start(0)

    def _note_lost(self) -> None:
        for service_id, registration in list(self._registrations.items()):
            if self.user is not None:
                self.user.changed(service_id)
            self._await_registered(service_id, registration)

    def _note_registered(self, service_id: str, registration: Registration) -> None:
        if self._is_current(service_id, registration):
            self._refusals.pop(service_id, None)
            if self.user is not None:
                self.user.registered(service_id)

    # Start and stop.

    def startService(self) -> None:
        """Read the state file, if there is one; then connect, and register. It never fails."""
        super().startService()
        if self._settings.state is not None:
            self._settings.state.use()
        Deferred.fromCoroutine(self._start()).addErrback(
            lambda failure: self._log.failure("The session could not be opened because of a bug.", failure=failure)
        )

    async def _start(self) -> None:
        state = self._settings.state
        former = None if state is None else await state.load()
        if not self.running:
            return
        self.session = session = Session(
            self._settings,
            self,
            former,
            pause=lambda: self.splay * self._settings.random.random(),
            reactor=self.reactor,
        )
        session.mirror.addStateWatcher(self, self._reach_changed)
        session.start(self._declared)
        self._connecting.fire(session.mirror)
        for service_id, offer in self._offers.items():
            self._register(service_id, offer, session)

    def when_connecting(self) -> Deferred[Mirror]:
        """Wait for the mirror of the session.

        :returns: fires with it when the session begins to connect, after the start; at once if it has begun. It never fails.
            Cancelling ends the wait.
        """
        return self._connecting.wait() if self.session is None else succeed(self.session.mirror)

    def stopService(self) -> Deferred[None]:
        """Withdraw all services, and close the session.

        :returns: fires when the session is closed, in a bounded time; it never fails.
        """
        return self.finish(leave=False)

    def finish(self, *, leave: bool) -> Deferred[None]:
        """Stop.

        :param leave: whether to leave the session, with the services that are still registered, to the next process.
        :returns: fires in a bounded time; it never fails.
        """
        state = self._settings.state if self.running else None
        super().stopService()
        return Deferred.fromCoroutine(self._finish(leave, state))

    async def _finish(self, leave: bool, state: StateService | None) -> None:
        try:
            await self._close(leave)
        finally:
            if state is not None:
                state.release()

    async def _close(self, leave: bool) -> None:
        if self.session is None:
            return
        self.session.mirror.delStateWatcher(self)
        self._lost.stop()
        if not leave:
            await self.withdraw_all(list(self._registrations))
        await self.session.finish(leave=leave)

    # Called by the session.

    def resumed(self, paths: Mapping[str, str]) -> None:
        """Note that the last process's session was resumed. See :meth:`.handover.IHeir.resumed`."""
        if self.user is not None:
            found = set(paths.values())
            self.user.resumed(frozenset(name for name, path in self._declared.items() if path in found))

    def session_ended(self) -> None:
        """Note that the session has expired."""
        if self.user is not None:
            self.user.session_ended()

    def claim(self, path: str) -> Claim:
        """Return the interest in a znode. See :meth:`.handover.IHeir.claim`."""
        for service_id, declared in self._declared.items():
            if declared == path:
                offer = self._offers.get(service_id)
                if offer is not None and offer.path == path:
                    return Claim.WAITING if offer.wait else Claim.WANTED
                if self.user is not None and self.user.is_undecided(service_id):
                    return Claim.UNDECIDED
        return Claim.UNWANTED
