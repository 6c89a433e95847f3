"""The data of a client's session, and the actions that share it: notify observers, fail pending requests and watches."""

from __future__ import annotations

from collections.abc import Callable
from random import Random

import attrs
from twisted.internet.interfaces import IReactorTime

from txmirror.client.connection.connection import Connection
from txmirror.client.connection.endpoints import TLSWrapper
from txmirror.client.connection.sasl import DigestMD5
from txmirror.client.connection.settings import GuardedMetrics, Limits, Server
from txmirror.client.session.abilities import Abilities
from txmirror.client.session.connection_log import ConnectionLog
from txmirror.client.session.credentials import Identities, SessionCredentials
from txmirror.client.session.machine import SessionMachine
from txmirror.client.session.pending import Outbox
from txmirror.client.session.persistent_watches import PersistentWatch
from txmirror.client.session.waiting import Pauses, SessionLease
from txmirror.client.session.watches import EventDispatcher, SessionWatches
from txmirror.deferreds import Waiters, fail_all
from txmirror.errors import ConnectionLossException, ZooKeeperException
from txmirror.types import SessionState, SessionTicket


@attrs.frozen
class SessionSettings:
    """The settings of a session. It has more than 7 parameters because those of the client pass through it as one value."""

    servers: tuple[Server, ...]
    """The servers of the ensemble."""
    session_timeout: float
    """The timeout to request, in seconds."""
    limits: Limits
    """The bounds and timeouts."""
    random: Random
    """Shuffles the servers, and draws the backoff."""
    ticket: SessionTicket | None = None
    """A session to take over."""
    read_only: bool = False
    """True if the client may use a read-only server."""
    wrap: TLSWrapper | None = None
    """Wraps connections in TLS; None connects without TLS."""
    sasl: DigestMD5 | None = None
    """The credentials for SASL; None does not authenticate."""
    metrics: GuardedMetrics | None = None
    """Called with each request, reply and connection; may be None."""


class SessionCore:
    """The data of a client's session.

    It has more than 12 attributes because it is where the parts of a session meet: each is an object with one job.

    :param reactor: the reactor.
    :param settings: the settings.
    :ivar machine: the state.
    :ivar credentials: the session's id, password and timeout, and the last zxid seen.
    :ivar connection: the connection, established or not; None if there is none.
    :ivar abilities: the operations that the server supports.
    :ivar outbox: sends requests, or queues them.
    :ivar watches: the session's watches.
    :ivar dispatcher: notifies listeners, observers and waiters.
    :ivar identities: the identities of ``add_auth``.
    :ivar connecting: the Deferreds of ``connect()``, which wait for a session.
    :ivar waiting: the other Deferreds that wait for a session.
    :ivar pauses: pauses that fail when the client is closed.
    :ivar lease: the client-side lease of locks.
    :ivar log: logs connections.
    """

    def __init__(self, reactor: IReactorTime, settings: SessionSettings) -> None:
        ticket = settings.ticket
        self.reactor = reactor
        self.limits: Limits = settings.limits
        self.credentials: SessionCredentials = SessionCredentials(settings.session_timeout, settings.read_only, ticket)
        self.machine: SessionMachine = SessionMachine(1 if ticket else 0, self.credentials.watch_zxid)
        self.connection: Connection | None = None
        self.abilities: Abilities = Abilities(settings.servers[0])
        self.outbox: Outbox = Outbox(reactor, settings.limits, self.machine)
        self.watches: SessionWatches = self._no_watches()
        self.dispatcher: EventDispatcher = EventDispatcher(settings.metrics)
        self.identities: Identities = Identities()
        self.connecting: Waiters[None] = Waiters()
        self.waiting: Waiters[None] = Waiters()
        self.pauses: Pauses = Pauses(reactor)
        self.lease: SessionLease = SessionLease(reactor, self._safe_until)
        self.log: ConnectionLog = ConnectionLog(reactor)
        self._served_by: Connection | None = None

    def live_connection(self) -> Connection | None:
        """Return the connection that serves the session, unless there is none or it is being closed."""
        connection = self.connection
        return connection if connection is not None and self.machine.served and not connection.closing else None

    def serve(self, connection: Connection) -> None:
        """Note the connection that serves the session, from which the lease is known."""
        self._served_by = connection

    def notify(self, state: SessionState, *, session_number: int | None = None, read_only: bool = False) -> None:
        """Notify all observers of the next session event."""
        zxid = self.credentials.watch_zxid
        event = self.machine.make_event(state, zxid, session_number=session_number, read_only=read_only)
        self.dispatcher.dispatch_session_event(event, self.watches)

    def release(
        self,
        state: SessionState,
        make_error: Callable[[str | None], ZooKeeperException],
        data_generation: int | None = None,
    ) -> None:
        """Notify all observers that there is no session, and then fail all pending requests and watches."""
        calls = self.outbox.take_all()
        watches, self.watches = self.watches, self._no_watches()
        event = self.machine.make_event(state, self.credentials.watch_zxid, data_generation=data_generation)
        self.dispatcher.dispatch_session_event(event, watches)
        self.lease.end()
        for call in calls:
            call.fail(make_error(call.path))
        fail_all(watches.established.waiters(), lambda: make_error(None))

    def release_for_good(self, state: SessionState, make_error: Callable[[str | None], ZooKeeperException]) -> None:
        """Release the session and everything that waits for another one: the client has no session any more."""
        self.credentials.drop_session()
        self.release(state, make_error)
        self.identities.close(lambda: make_error(None))
        self.connecting.fail(lambda: make_error(None))
        self.waiting.fail(lambda: make_error(None))

    def fail_queued(self, reason: str) -> None:
        """Fail all queued requests, which were not sent."""
        for call in self.outbox.take_all():
            call.fail(ConnectionLossException(reason, path=call.path, applied=False))

    def end_persistent(self, ended: list[PersistentWatch]) -> None:
        """Remove persistent watches that the server does not support."""
        self.dispatcher.dispatch_removed(ended, self.watches)

    def _no_watches(self) -> SessionWatches:
        return SessionWatches(self.end_persistent, self.limits.max_request)

    def _safe_until(self) -> float:
        if self.credentials.session_id == 0 or self._served_by is None:
            return 0.0
        return self._served_by.liveness.acknowledged + self.credentials.session_timeout * 2 / 3
