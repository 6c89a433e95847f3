"""A client's sessions, one after another: the methods for the client's modules, and the callbacks of the connection.

``machine`` has the states and the table, ``actions`` and ``closing`` the actions, and ``attempts`` establishes sessions.
"""

from __future__ import annotations

from typing import Final

from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.interfaces import IReactorTime

from txmirror.client.connection.calls import Call
from txmirror.client.connection.connection import Connection
from txmirror.client.connection.settings import Server
from txmirror.client.session.actions import SessionActions
from txmirror.client.session.attempts import Attempts
from txmirror.client.session.closing import Closing
from txmirror.client.session.core import SessionCore, SessionSettings
from txmirror.client.session.machine import CONNECTS, Event, State
from txmirror.client.session.missed_changes import MissedChanges
from txmirror.client.session.pending import Priority
from txmirror.client.session.watch_tables import WatchSet
from txmirror.client.session.watches import SessionWatches
from txmirror.deferreds import Waiters
from txmirror.errors import (
    SessionExpiredException,
    UnimplementedException,
    ZooKeeperException,
)
from txmirror.interfaces import IMetrics
from txmirror.types import SessionEvent, SessionState, SessionTicket, WatchedEvent
from txmirror.wire import AuthRequest, ConnectResponse, Operation


# More than 12 attributes: the parts of a session that the client uses.
class Session:
    """Keeps one session at a time, and connects and reconnects for it.

    :param reactor: connects, resolves names, and runs every timer.
    :param settings: the settings.
    :ivar abilities: the operations that the server supports.
    :ivar outbox: sends requests, or queues them.
    :ivar dispatcher: notifies listeners, observers and waiters.
    :ivar lease: the client-side lease of locks.
    :ivar log: logs connections.
    :ivar live_connection: returns the connection that serves the session, unless there is none or it is being closed.
    :ivar pauses: pauses that fail when the client is closed.
    :ivar metrics: the program's metrics.
    :ivar missed_changes: asks servers what has changed, in sessions of their own.
    """

    def __init__(self, reactor: IReactorTime, settings: SessionSettings) -> None:
        self.metrics: IMetrics | None = None if settings.metrics is None else settings.metrics.metrics
        self._core = core = SessionCore(reactor, settings)
        self._machine = core.machine
        self._credentials = core.credentials
        self.abilities: Final = core.abilities
        self.outbox: Final = core.outbox
        self.dispatcher: Final = core.dispatcher
        self.lease: Final = core.lease
        self.log: Final = core.log
        self.live_connection: Final = core.live_connection
        self.pauses: Final = core.pauses
        self._attempts = Attempts(core, settings, self)
        self._closing = Closing(core, self._attempts)
        reconnector = self._attempts.reconnector
        self.missed_changes: MissedChanges = MissedChanges(core, settings, lambda: reconnector.server)
        actions = SessionActions(core, self._attempts, self._closing)
        self._machine.install({**actions.table, **self._closing.table})

    # Called by the client.

    @property
    def reactor(self) -> IReactorTime:
        """The reactor."""
        return self._core.reactor

    @property
    def event(self) -> SessionEvent:
        """The latest session event, as listeners were notified of it."""
        return self._machine.event

    @property
    def server(self) -> Server:
        """The server of the connection; without one, that of the latest attempt."""
        return self._attempts.reconnector.server

    @property
    def session_id(self) -> int:
        """The id of the session; 0 while there is none."""
        return self._credentials.session_id

    @property
    def session_timeout(self) -> float:
        """The timeout in seconds: as negotiated, or as requested before that."""
        return self._credentials.session_timeout

    @property
    def watches(self) -> SessionWatches:
        """The watches of the session."""
        return self._core.watches

    @property
    def leaving(self) -> bool:
        """True if the client is leaving, or has left, the session to another client."""
        return self._closing.leaving

    @property
    def stuck(self) -> bool:
        """True if nothing is scheduled that would lead to a connection, or notice its loss: a bug."""
        connection = self._core.connection
        if connection is not None and connection.closing:
            return False
        if self._machine.state in CONNECTS:
            return self._attempts.reconnector.idle
        return connection is not None and self._machine.served and not connection.liveness.running

    def ticket(self) -> SessionTicket | None:
        """Return a ticket for another client; None without a session, and for a session with a read-only server."""
        return self._closing.ticket()

    def connect(self) -> Deferred[None]:
        """Start to connect, if that was not done yet, and wait for a session."""
        self._machine.handle(Event.RESUME if self.session_id else Event.CONNECT)
        return self._wait_for_session(self._core.connecting)

    def when_connected(self) -> Deferred[None]:
        """Wait for a session, without starting to connect."""
        return self._wait_for_session(self._core.waiting)

    def _wait_for_session(self, waiters: Waiters[None]) -> Deferred[None]:
        closed_reason = self._machine.closed_reason()
        if closed_reason is not None:
            return fail(closed_reason)
        if self.event.state is SessionState.CONNECTED and self._core.live_connection() is not None:
            return succeed(None)
        return waiters.wait()

    def add_auth(self, scheme: str, credentials: bytes) -> Deferred[None]:
        """Add an identity, and send it on this connection and on each later one."""
        request = AuthRequest(scheme, credentials)
        refusal = self._machine.closed_reason() or self.outbox.over_limit(8 + len(request.encode()))
        if refusal is not None:
            return fail(refusal)
        taken = self._core.identities.add(request)
        connection = self._core.live_connection()
        if connection is not None:
            self._core.identities.send(request, connection.send_auth)
        return taken

    def set_watches(self, zxid: int, watches: WatchSet) -> Deferred[None]:
        """Set watches of a former session in this one, ahead of queued requests.

        Without watches it is a barrier: it fires after the server has answered for the watches that the client sets again.
        """

        def send(call: Call[None]) -> None:
            if self.abilities.hangs_up(call.operation):
                call.fail(UnimplementedException(path=call.path))
            else:
                self.outbox.submit(self.abilities.note_reply_of(call), Priority.URGENT)

        return self.watches.bring_over(zxid, watches, send, barrier=self._credentials.from_keeper)

    def close(self) -> Deferred[None]:
        """Close the session and the client, within ``limits.close_time``."""
        return self._end(Event.CLOSE).addCallback(lambda _: None)

    def leave(self) -> Deferred[SessionTicket | None]:
        """Close the client and keep the session, within ``limits.close_time``."""
        return self._end(Event.LEAVE)

    def _end(self, event: Event) -> Deferred[SessionTicket | None]:
        # Both at the same time.
        side_session_gone = self.missed_changes.close()
        ended = self._closing.begin(event)
        return ended.addCallback(lambda ticket: side_session_gone.addCallback(lambda _: ticket))

    # Called by the connection.

    def handshaken(self, connection: Connection, response: ConnectResponse) -> None:
        """Evaluate the answer to the handshake."""
        self._attempts.evaluate(connection, response)

    def unauthorised(self, error: ZooKeeperException) -> None:
        """Stop for good: the servers refuse the client's SASL credentials, or require some."""
        self._machine.handle(Event.UNAUTHORISED, error)

    def has_room(self) -> None:
        """Send queued requests while the window has room."""
        self._closing.send_waiting()

    def replied(self, zxid: int) -> None:
        """Note the zxid of a reply."""
        # The answer to a blank attempt may belong to another data generation.
        if self._machine.served:
            self._credentials.note_zxid(zxid, not self._core.watches.rearming)

    def fired(self, event: WatchedEvent) -> None:
        """Dispatch a watch event, and the event that it implies."""
        if self._machine.served:
            for each in self.watches.with_implied(event):
                self.dispatcher.dispatch_watch_event(each, self.watches)

    def disconnected(self, connection: Connection, reason: Exception) -> None:
        """Handle the loss of a connection, established or not."""
        core = self._core
        if connection is not core.connection:
            connection.fail_pending()
            return
        if self._machine.state is State.CLOSING and self._was_closed_by_keeper(connection):
            self._machine.handle(Event.ANSWERED)
        core.connection = None
        self._attempts.reconnector.done()
        if isinstance(reason, SessionExpiredException):
            connection.fail_pending()
            self._machine.handle(Event.REFUSED)
        else:
            self._machine.handle(Event.DISCONNECTED, connection, reason)

    def _was_closed_by_keeper(self, connection: Connection) -> bool:
        """Return whether the server has executed closeSession: ClickHouse Keeper then closes the connection without a reply."""
        oldest = connection.oldest
        return (
            self._credentials.from_keeper
            and oldest is not None
            and oldest.operation is Operation.CLOSE_SESSION
            and connection.loss is not None
        )
