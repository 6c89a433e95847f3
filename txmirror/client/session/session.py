"""A client's sessions, one after another: what the client's modules use, and the actions of a session that is not closing.

``machine`` has the states and the table, ``closing`` the other actions, and ``attempts`` establishes sessions.
"""

from __future__ import annotations

from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger

from txmirror.client.connection.calls import Call
from txmirror.client.connection.connection import Connection
from txmirror.client.session.attempts import Attempts
from txmirror.client.session.closing import Closing
from txmirror.client.session.connection_log import stable_after
from txmirror.client.session.core import SessionCore, SessionSettings
from txmirror.client.session.machine import CONNECTS, Action, Event, State
from txmirror.client.session.pending import Priority
from txmirror.client.session.waiting import fire_all
from txmirror.client.session.watch_set import WatchSet
from txmirror.client.session.watches import SessionWatches
from txmirror.errors import (
    AuthFailedException,
    ConnectionLossException,
    SessionExpiredException,
    UnimplementedException,
    ZooKeeperException,
)
from txmirror.printable import session_name
from txmirror.types import SessionEvent, SessionState, SessionTicket, WatchedEvent
from txmirror.wire import AuthRequest, ConnectResponse, Operation


class Session:
    """Keeps one session at a time, and connects and reconnects for it.

    :param reactor: connects, resolves names, and runs every timer.
    :param settings: the settings.
    :ivar abilities: the operations that the server supports.
    :ivar outbox: sends requests, or queues them.
    :ivar dispatcher: notifies listeners, observers and waiters.
    :ivar lease: the client-side lease of locks.
    :ivar pauses: pauses that fail when the client is closed.
    """

    _log = Logger()

    def __init__(self, reactor: IReactorTime, settings: SessionSettings) -> None:
        self._core = core = SessionCore(reactor, settings)
        self._machine = core.machine
        self._credentials = core.credentials
        self.abilities = core.abilities
        self.outbox = core.outbox
        self.dispatcher = core.dispatcher
        self.lease = core.lease
        self.pauses = core.pauses
        self._attempts = Attempts(core, settings, self, self.unauthorised)
        self._closing = Closing(core, self._attempts)
        self._machine.install(
            {
                Action.CONNECT: self._attempts.connect,
                Action.ESTABLISH: self._establish,
                Action.RETRY: self._retry,
                Action.SUSPEND: self._suspend,
                Action.SUSPEND_AND_LEAVE: self._suspend_and_leave,
                Action.PRESUME_EXPIRED: self._presume_expired,
                Action.EXPIRE: self._expire,
                Action.EXPIRE_AND_RECONNECT: self._expire_and_reconnect,
                Action.EXPIRE_AND_CLOSE: self._expire_and_close,
                Action.REFUSE: self._refuse,
                Action.REFUSE_AND_CLOSE: self._refuse_and_close,
                Action.FAIL_PENDING: lambda connection, reason: connection.fail_pending(),
                **self._closing.actions,
            }
        )

    # Called by the client.

    @property
    def event(self) -> SessionEvent:
        """The latest session event, as listeners were notified of it."""
        return self._machine.event

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

    def ticket(self) -> SessionTicket | None:
        """Return a ticket for another client; None without a session, and for a session with a read-only server."""
        return self._closing.ticket()

    def connect(self) -> Deferred[None]:
        """Start to connect, if that was not done yet, and wait for a session."""
        self._machine.handle(Event.RESUME if self.session_id else Event.CONNECT)
        return self._wait_for_session(connecting=True)

    def when_connected(self) -> Deferred[None]:
        """Wait for a session, without starting to connect."""
        return self._wait_for_session(connecting=False)

    def _wait_for_session(self, connecting: bool) -> Deferred[None]:
        closed_reason = self._machine.closed_reason()
        if closed_reason is not None:
            return fail(closed_reason)
        if self.event.state is SessionState.CONNECTED and self._core.live_connection() is not None:
            return succeed(None)
        return self._core.waiters.wait(connecting)

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
                self.outbox.submit(self._noting(call), Priority.URGENT)

        return self.watches.bring_over(zxid, watches, send, barrier=self._credentials.from_keeper)

    def close(self) -> Deferred[None]:
        """Close the session and the client, within ``limits.close_time``."""
        return self._closing.begin(Event.CLOSE).addCallback(lambda _: None)

    def leave(self) -> Deferred[SessionTicket | None]:
        """Close the client and keep the session, within ``limits.close_time``."""
        return self._closing.begin(Event.LEAVE)

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
        # The answer to a probe may belong to another data generation.
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
        self._attempts.over()
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

    # The actions of the machine.

    def _establish(self, connection: Connection, response: ConnectResponse) -> None:
        core, credentials, server = self._core, self._credentials, self._attempts.server
        read_only = bool(response.readOnly)
        resumed = response.sessionId == credentials.session_id
        session_number = self.event.session_number + (not resumed)
        self._attempts.established(read_only)
        credentials.accept(response)
        self.abilities.connected(server, keeper=credentials.from_keeper)
        core.serve(connection)
        connection.liveness.start(credentials.session_timeout)
        core.log.connected(
            server,
            "resumed" if resumed else "new",
            session_name(credentials.session_id),
            credentials.session_timeout,
            read_only,
        )
        core.identities.send_all(connection.send_auth)
        persistent_too = not self.abilities.hangs_up(Operation.SET_WATCHES2)
        ended = core.watches.rearm(
            lambda call: connection.send(self._noting(call)), credentials.watch_zxid, persistent_too
        )
        self.outbox.connected(connection)
        self._closing.send_waiting()
        waiters = core.waiters.take_all()
        core.notify(SessionState.CONNECTED, session_number=session_number, read_only=read_only)
        core.end_persistent(ended)
        fire_all(waiters, None)

    def _noting(self, call: Call[None]) -> Call[None]:
        """Return a request that sets watches, with a callback that notes whether the server supports it."""
        call.on_reply = self.abilities.noting(call.operation, call.on_reply)
        return call

    def _retry(self, connection: Connection, reason: Exception) -> None:
        connection.fail_pending()
        if self._machine.state in (*CONNECTS, State.CLOSING_OFFLINE):
            self._attempts.retry(connection, reason)

    def _suspend(self, connection: Connection, reason: Exception) -> None:
        core, timeout = self._core, self._credentials.session_timeout
        assert connection.handshaken_at is not None
        stable = core.reactor.seconds() - connection.handshaken_at >= stable_after(timeout)
        core.log.disconnected(self._attempts.server, reason, session_name(self.session_id), timeout, stable=stable)
        self._attempts.lost(connection, stable)
        self.outbox.disconnected()
        core.notify(SessionState.SUSPENDED, read_only=self.event.read_only)
        self.abilities.disconnected(connection.oldest, connection.loss, connection.protocol.unimplemented)
        connection.fail_pending()
        if self.event.read_only:
            # No other server knows a session with a read-only server.
            self._machine.handle(Event.EXPIRED)

    def _suspend_and_leave(self, connection: Connection, reason: Exception) -> None:
        self._closing.keep_ticket()
        self._suspend(connection, reason)
        self._closing.disconnect()

    def _presume_expired(self) -> None:
        core, timeout = self._core, self._credentials.session_timeout
        core.log.probably_expired(session_name(self.session_id), timeout * 4 / 3)
        calls = self.outbox.take_all()
        core.notify(SessionState.LOST)
        for call in calls:
            why = "no connection while the session may live"
            call.fail(ConnectionLossException(why, path=call.path, applied=False))

    def _expire(self, data_generation: int | None = None) -> None:
        """Fail everything that belonged to the session."""
        self._core.log.expired(session_name(self.session_id))
        self._attempts.expired()
        self._credentials.expire()
        self._core.release(SessionState.EXPIRED, lambda path: SessionExpiredException(path=path), data_generation)

    def _expire_and_reconnect(self) -> None:
        self._expire()
        # An observer may have closed the client.
        if self._machine.state is State.EXPIRED:
            self._attempts.connect_soon()

    def _expire_and_close(self, data_generation: int | None = None) -> None:
        self._expire(data_generation)
        self._closing.disconnect()

    def _refuse(self, error: ZooKeeperException) -> None:
        reason = str(error)
        self._log.error("Authentication failed: {reason}. Giving up.", reason=reason)
        self._machine.refuse_with(reason)
        self._attempts.stop()
        self._core.log.stop()
        connection = self._core.connection
        self._core.release_for_good(SessionState.AUTH_FAILED, lambda path: AuthFailedException(reason, path=path))
        self.pauses.end(lambda: AuthFailedException(reason))
        if connection is not None:
            connection.end(AuthFailedException(reason))

    def _refuse_and_close(self, error: ZooKeeperException) -> None:
        self._refuse(error)
        self._machine.handle(Event.CLOSE)
