"""A client's sessions, one after another, and the connections of each.

This module decides which session is established, which pending requests fail with a lost connection, and when a session has
expired. ``reconnector`` decides when to connect to which server; the table of the session's states is in ``states``.
"""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import Any

from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger

from txmirror.client.connection.addresses import Server
from txmirror.client.connection.calls import Call
from txmirror.client.connection.connection import Connection
from txmirror.client.connection.endpoints import TLSWrapper
from txmirror.client.connection.sasl import DigestMD5, SaslAuthenticator
from txmirror.client.connection.settings import Limits
from txmirror.client.session.abilities import Abilities
from txmirror.client.session.attempts import Probing
from txmirror.client.session.closing import CLOSE_SESSION, Ending
from txmirror.client.session.connection_log import ConnectionLog, stable_after
from txmirror.client.session.credentials import Identities, SessionCredentials
from txmirror.client.session.dispatch import EventDispatcher
from txmirror.client.session.forks import Generation, other_process
from txmirror.client.session.machine import step
from txmirror.client.session.pending import Outbox, Priority
from txmirror.client.session.persistent_watches import PersistentWatch
from txmirror.client.session.reconnector import Reconnector
from txmirror.client.session.server_list import ServerList
from txmirror.client.session.waiting import Pauses, SessionLease, SessionWaiters, fail_all, fire_all
from txmirror.client.session.watches import SessionWatches, WatchSet
from txmirror.client.session.writable import WritableSearch
from txmirror.errors import (
    AuthFailedException,
    ClosingException,
    ConnectionLossException,
    SessionExpiredException,
    UnimplementedException,
    ZooKeeperException,
)
from txmirror.interfaces import IMetrics
from txmirror.printable import session_name
from txmirror.timers import Timer
from txmirror.types import SessionEvent, SessionState, SessionTicket, WatchedEvent
from txmirror.wire import AuthRequest, CloseSessionRequest, ConnectResponse, Operation


class Session:
    """Keeps one session at a time, and connects and reconnects for it.

    :param servers: the servers of the ensemble.
    :param session_timeout: the timeout to request, in seconds.
    :param reactor: connects, resolves names, and runs every timer.
    :param limits: the bounds and timeouts.
    :param random: shuffles servers, and draws the backoff.
    :param ticket: a session to take over.
    :param read_only: whether the client may use a read-only server.
    :param wrap: wraps connections in TLS; None connects without TLS.
    :param sasl: the credentials for SASL; None does not authenticate.
    :param metrics: called with each request, reply and connection; may be None.
    :ivar event: the latest session event, as listeners were notified of it.
    :ivar session_timeout: the timeout in seconds: as negotiated, or as requested before that.
    :ivar watches: the session's watches.
    :ivar abilities: the operations that the server supports.
    :ivar outbox: sends requests, or queues them.
    :ivar dispatcher: notifies listeners, observers and waiters.
    :ivar lease: the client-side lease of locks.
    :ivar pauses: pauses that fail when the client is closed.
    """

    _log = Logger()

    def __init__(
        self,
        servers: tuple[Server, ...],
        session_timeout: float,
        reactor: IReactorTime,
        limits: Limits,
        random: Random,
        *,
        ticket: SessionTicket | None = None,
        read_only: bool = False,
        wrap: TLSWrapper | None = None,
        sasl: DigestMD5 | None = None,
        metrics: IMetrics | None = None,
    ) -> None:
        self._reactor = reactor
        self._limits = limits
        self._metrics = metrics
        self._asked_timeout = self.session_timeout = session_timeout
        self._credentials = SessionCredentials(session_timeout, read_only, ticket)
        self._server_list = server_list = ServerList(servers, random, limits.longest_pause)
        self._probing = Probing(server_list, self._credentials)
        self._reconnector = Reconnector(reactor, server_list, self._probing, wrap, self)
        self._search = WritableSearch(reactor, server_list, wrap, self.attempt_limit, self._found_writable)
        self._authenticator = SaslAuthenticator(sasl, self.unauthorised)
        self._connection_log = ConnectionLog(reactor)
        self.abilities = Abilities(self._reconnector.server)
        self.outbox = Outbox(reactor, limits, self._live_connection, self._closed_reason)
        self.lease = SessionLease(reactor, self._safe_until)
        self.dispatcher = EventDispatcher(metrics)
        self._identities = Identities()
        self.pauses = Pauses(reactor)
        self.watches = SessionWatches(self._end_persistent, limits.max_request)

        self.event = SessionEvent(SessionState.CONNECTING, 1 if ticket else 0, 0, self._credentials.watch_zxid)
        self._acknowledged = 0.0

        self._started = False
        self._generation = Generation.number
        self._connection: Connection | None = None
        self._established = False
        self._failed_attempts = 0
        self._refused: AuthFailedException | None = None
        self._expiry_timer = Timer(reactor, self._probably_expired)
        self._waiters = SessionWaiters()
        self._ending = Ending(reactor, self._give_up_closing, self._finish)
        self._drain_timer = Timer(reactor, self._give_up_draining)
        self._finished = False

    # Called by the client.

    @property
    def session_id(self) -> int:
        """The id of the session; 0 while there is none."""
        return self._credentials.session_id

    def ticket(self) -> SessionTicket | None:
        """Return a ticket for another client; None without a session, and for a session with a read-only server."""
        return None if self.event.read_only else self._credentials.ticket()

    @property
    def leaving(self) -> bool:
        """True if the client is leaving the session to another client."""
        return self._ending.leaving

    def connect(self) -> Deferred[None]:
        """Start to connect, if that was not done yet, and wait for a session."""
        if not self._started and not self._ending.begun:
            self._started = True
            # A client that is made before a daemon forks, and connects after that, belongs to the child.
            self._generation = Generation.number
            self._reconnector.connect()
        return self._wait_for_session(connecting=True)

    def when_connected(self) -> Deferred[None]:
        """Wait for a session, without starting to connect."""
        return self._wait_for_session(connecting=False)

    def _wait_for_session(self, connecting: bool) -> Deferred[None]:
        closed_reason = self._closed_reason()
        if closed_reason is not None:
            return fail(closed_reason)
        if self.event.state is SessionState.CONNECTED and self._live_connection() is not None:
            return succeed(None)
        return self._waiters.wait(connecting)

    def add_auth(self, scheme: str, credentials: bytes) -> Deferred[None]:
        """Add an identity, and send it on this connection and on each later one."""
        request = AuthRequest(scheme, credentials)
        refusal = self._closed_reason() or self.outbox.over_limit(8 + len(request.encode()))
        if refusal is not None:
            return fail(refusal)
        taken = self._identities.add(request)
        connection = self._live_connection()
        if connection is not None:
            self._identities.send(request, connection.send_auth)
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
        return self._begin_closing(leaving=False).addCallback(lambda _: None)

    def leave(self) -> Deferred[SessionTicket | None]:
        """Close the client and keep the session, within ``limits.close_time``."""
        return self._begin_closing(leaving=True)

    # Called by the reconnector.

    def attempt_limit(self) -> float:
        """Return the timeout of an attempt, in seconds."""
        # A session that has probably expired is no reason to hurry.
        lost = self.event.state is SessionState.LOST
        return self._limits.attempt(self._asked_timeout if lost else self.session_timeout)

    def may_live(self) -> bool:
        """Return whether the session may not have expired yet, or the client is closing: the backoff must be short."""
        return self.event.state is SessionState.SUSPENDED or self._ending.begun

    def make_connection(self) -> Connection:
        """Make the connection of this attempt."""
        self._connection = Connection(self._reactor, self, self._probing.connect_request(), self._limits, self._metrics)
        return self._connection

    def unresolved(self) -> None:
        """Fail the Deferreds of :meth:`connect`: no server's name can be resolved."""
        self._waiters.fail(
            lambda: ConnectionLossException("no server's name can be resolved", applied=False), connecting=True
        )

    def attempt_failed(self) -> None:
        """Fail queued requests, if ``limits.queued_attempts`` attempts have failed in succession."""
        self._failed_attempts += 1
        if self._failed_attempts >= self._limits.queued_attempts:
            for call in self.outbox.take_all():
                call.fail(ConnectionLossException("no server can be reached", path=call.path, applied=False))

    def silent(self) -> None:
        """Abort the connection: its handshake takes too long."""
        if self._connection is not None:
            self._connection.end(ConnectionLossException("no answer to the handshake in time"))

    def _found_writable(self, server: Server) -> None:
        self._server_list.prefer(server)
        if self._connection is not None:
            self._connection.end(ConnectionLossException(f"{server} can be written to"))

    # Called by the connection.

    def handshaken(self, connection: Connection, response: ConnectResponse) -> None:
        """Decide whether the server has resumed the session, has opened a new one, or reports that it has expired."""
        asked = connection.protocol.connect_request.sessionId
        if response.protocolVersion:
            # ClickHouse Keeper without a leader answers with 42, and -1 for the session. Ours may not have expired.
            refusal = f"it refuses sessions at present, with the protocol version {response.protocolVersion}"
            connection.end(ConnectionLossException(refusal))
        elif response.timeOut <= 0 or response.sessionId == 0:
            if asked:
                self._server_list.same_again()
                self._server_list.accepted(self._reconnector.server)
                connection.end(SessionExpiredException())
            else:
                connection.end(ConnectionLossException("a new session was refused"))
        elif self._probing.under_way:
            self._probing.evaluate(connection, self._reconnector.server, lambda: self._wiped(connection, response))
        elif asked and response.sessionId != asked and self._ending.begun:
            # The client is closing. Close the session that ClickHouse Keeper has opened in place of ours.
            closing = Call(CLOSE_SESSION, CloseSessionRequest())
            closing.waited_for().addErrback(lambda _: None)
            connection.send(closing)
            self._end_session()
        elif self._credentials.is_keeper(response) and response.sessionId != asked and self._credentials.seen_zxid:
            self._probing.compare(
                connection,
                lambda: self._go_on(connection, response),
                lambda: self._wiped(connection, response),
            )
        else:
            self._go_on(connection, response)

    def _go_on(self, connection: Connection, response: ConnectResponse) -> None:
        """Use the session that a server has opened or resumed. If it is a new one, ours has expired."""
        if connection.protocol.connect_request.sessionId not in (0, response.sessionId):
            self._end_session()
        self._begin_session(connection, response)

    def _wiped(self, connection: Connection, response: ConnectResponse) -> None:
        """Begin a new data generation: the servers' data was wiped or restored."""
        data_generation = self.event.data_generation + 1
        if self.session_id:
            self._end_session(data_generation)
        else:
            self.event = SessionEvent(self.event.state, self.event.session_number, data_generation, 0)
        self._begin_session(connection, response)

    def _begin_session(self, connection: Connection, response: ConnectResponse) -> None:
        if not self._finished:
            self._authenticator.authenticate(connection, lambda: self._adopt(connection, response))

    def unauthorised(self, error: ZooKeeperException) -> None:
        """Stop for good: the servers refuse the client's SASL credentials, or require some."""
        if self._finished or self._refused is not None:
            return
        self._log.error("Authentication failed: {reason}. Giving up.", reason=str(error))
        self._refused = refused = AuthFailedException(str(error))
        self._reconnector.stop()
        self._search.stop()
        self._connection_log.stop()
        self._expiry_timer.stop()
        self._established = False
        self._credentials.drop_session()
        connection = self._connection
        self._release(SessionState.AUTH_FAILED, lambda path: AuthFailedException(str(refused), path=path))
        self.pauses.end(lambda: AuthFailedException(str(refused)))
        self._identities.close(lambda: AuthFailedException(str(refused)))
        self._waiters.fail(lambda: AuthFailedException(str(refused)))
        if connection is not None:
            connection.end(refused)
        if self._ending.begun:
            self._finish(abruptly=True)

    def has_room(self) -> None:
        """Send queued requests while the window has room; after the last of them send the closing request, if closing."""
        connection = self._live_connection()
        if connection is None:
            return
        if self.outbox.send_waiting(connection):
            self._ending.send_last(connection)

    def replied(self, zxid: int) -> None:
        """Note the zxid of a reply."""
        # The answer to a probe may belong to another data generation.
        if self._established:
            self._credentials.note_zxid(zxid, watches_established=not self.watches.rearming)

    def fired(self, event: WatchedEvent) -> None:
        """Dispatch a watch event, and the event that it implies."""
        if self._established:
            for each in self.watches.with_implied(event):
                self.dispatcher.dispatch_watch_event(each, self.watches)

    def disconnected(self, connection: Connection, reason: Exception) -> None:
        """Suspend the session, or note a failed attempt, and reconnect."""
        if connection is not self._connection:
            connection.fail_pending()
            return
        was_established, self._established = self._established, False
        if was_established and self._was_closed_by_keeper(connection):
            self._finish()
        self._connection = None
        self._reconnector.done()
        if was_established and not self._finished:
            self._suspend(connection, reason)
            self.abilities.disconnected(connection.oldest, connection.loss, connection.protocol.unimplemented)
        connection.fail_pending()
        if self._finished:
            self._gone()
        elif self._refused is not None:
            pass
        elif isinstance(reason, SessionExpiredException):
            self._end_session()
            if not self._finished:
                self._reconnector.connect_soon()
        elif not was_established:
            self._reconnector.note_ended(connection, reason)
        elif self._ending.leaving:
            self._finish()
        elif self.event.read_only:
            # No other server knows a session with a read-only server.
            self._end_session()

    def _was_closed_by_keeper(self, connection: Connection) -> bool:
        """Return whether the server has executed closeSession: ClickHouse Keeper then closes the connection without a reply."""
        oldest = connection.oldest
        return (
            self._credentials.from_keeper
            and oldest is not None
            and oldest.operation is Operation.CLOSE_SESSION
            and connection.loss is not None
        )

    # The session's states.

    def _adopt(self, connection: Connection, response: ConnectResponse) -> None:
        if connection.closing or self._finished:
            return
        self._reconnector.done()
        self._failed_attempts = 0
        self._expiry_timer.stop()
        server = self._reconnector.server
        self._server_list.accepted(server)
        self.abilities.server = server
        session_number = self.event.session_number
        if response.sessionId == self.session_id:
            verb = "resumed"
        else:
            verb = "new"
            session_number += 1
        self._credentials.accept(response)
        self.abilities.keeper = self._credentials.from_keeper
        self.session_timeout = response.timeOut / 1000
        self._established = True
        self._ending.connected()
        self._acknowledged = connection.liveness.acknowledged
        connection.liveness.start(self.session_timeout)
        self._connection_log.connected(
            server, verb, session_name(self.session_id), self.session_timeout, bool(response.readOnly)
        )
        self._identities.send_all(connection.send_auth)
        persistent_too = not self.abilities.hangs_up(Operation.SET_WATCHES2)
        ended = self.watches.rearm(
            lambda call: connection.send(self._noting(call)), self._credentials.watch_zxid, persistent_too
        )
        self.outbox.connected(connection)
        self.has_room()
        waiters = self._waiters.take_all()
        self._enter(SessionState.CONNECTED, session_number, read_only=bool(response.readOnly))
        if response.readOnly:
            self._search.start()
        self.dispatcher.dispatch_session_event(self.event, self.watches)
        self._end_persistent(ended)
        fire_all(waiters, None)

    def _suspend(self, connection: Connection, reason: Exception) -> None:
        now = self._reactor.seconds()
        self._acknowledged = connection.liveness.acknowledged
        assert connection.handshaken_at is not None
        stable = now - connection.handshaken_at >= stable_after(self.session_timeout)
        if stable:
            self._server_list.note_stable()
        else:
            self._server_list.note_unstable()
        self._search.stop()
        self._connection_log.disconnected(
            self._reconnector.server, reason, session_name(self.session_id), self.session_timeout, stable=stable
        )
        # After a stall of the reactor more time than that may have passed: one attempt is still made first.
        self._expiry_timer.start(
            max(connection.liveness.heard + self.session_timeout * 4 / 3 - now, self.attempt_limit())
        )
        self.outbox.disconnected()
        self._enter(SessionState.SUSPENDED, read_only=self.event.read_only)
        # The backoff of a closing client stays short.
        self._reconnector.connect_later(in_contact=not stable and not self._ending.begun)
        self.dispatcher.dispatch_session_event(self.event, self.watches)

    def _probably_expired(self) -> None:
        self._connection_log.probably_expired(session_name(self.session_id), self.session_timeout * 4 / 3)
        calls = self.outbox.take_all()
        self._enter(SessionState.LOST)
        self.dispatcher.dispatch_session_event(self.event, self.watches)
        for call in calls:
            call.fail(
                ConnectionLossException("no connection while the session may live", path=call.path, applied=False)
            )

    def _end_session(self, data_generation: int | None = None) -> None:
        """Note that the session has expired, and fail everything that belonged to it. The reconnector then opens a new one."""
        self._connection_log.expired(session_name(self.session_id))
        self._expiry_timer.stop()
        self._credentials.drop_session()
        self.session_timeout = self._asked_timeout
        self._release(SessionState.EXPIRED, lambda path: SessionExpiredException(path=path), data_generation)
        if self._ending.begun:
            self._finish()

    def _enter(
        self,
        state: SessionState,
        session_number: int | None = None,
        data_generation: int | None = None,
        read_only: bool = False,
    ) -> None:
        self.event = step(self.event, state, self._credentials.watch_zxid, session_number, data_generation, read_only)

    def _release(
        self,
        state: SessionState,
        make_error: Callable[[str | None], ZooKeeperException],
        data_generation: int | None = None,
    ) -> None:
        """Enter a state without a session, dispatch that, and then fail all pending requests and watches."""
        calls = self.outbox.take_all()
        watches = self.watches
        self.watches = SessionWatches(self._end_persistent, self._limits.max_request)
        self._enter(state, data_generation=data_generation)
        self.dispatcher.dispatch_session_event(self.event, watches)
        self.lease.end()
        for call in calls:
            call.fail(make_error(call.path))
        fail_all(watches.established.waiters(), lambda: make_error(None))

    def _noting(self, call: Call[None]) -> Call[None]:
        """Return a request that sets watches, with a callback that notes whether the server supports it."""
        call.on_reply = self.abilities.noting(call.operation, call.on_reply)
        return call

    def _end_persistent(self, ended: list[PersistentWatch]) -> None:
        self.dispatcher.dispatch_removed(ended, self.watches)

    def _safe_until(self) -> float:
        if self._connection is not None and self._established:
            self._acknowledged = self._connection.liveness.acknowledged
        if self.session_id == 0:
            return 0.0
        return self._acknowledged + self.session_timeout * 2 / 3

    def _closed_reason(self, path: str | None = None) -> ZooKeeperException | None:
        """Return an exception if the client takes no more requests, else None."""
        if self._in_other_process():
            return other_process(path)
        if self._ending.begun:
            return ClosingException(path=path, applied=False)
        if self._refused is not None:
            return AuthFailedException(str(self._refused), path=path)
        return None

    def _in_other_process(self) -> bool:
        """Return whether this is a forked child of the process in which the client began to connect."""
        return self._started and self._generation != Generation.number

    def _live_connection(self) -> Connection | None:
        """Return the connection that serves the session, unless there is none or it is being closed."""
        if self._established and self._connection is not None and not self._connection.closing:
            return self._connection
        return None

    # Closing.

    def _begin_closing(self, leaving: bool) -> Deferred[SessionTicket | None]:
        if self.event.state is SessionState.CLOSED or self._in_other_process():
            return succeed(None)
        done = self._ending.wait()
        if not self._ending.begun:
            self._ending.begun = True
            self._ending.leaving = leaving
            self._fail_as_closing(self.outbox.take_unbounded())
            if self.session_id == 0 or not self._started or (leaving and self._live_connection() is None):
                self._finish(abruptly=True)
            else:
                self._ending.allow(self._limits.close_time)
                self._drain_timer.start(self._limits.close_time / 2)
                self._reconnector.skip_backoff()
                self.has_room()
        return done

    def _give_up_draining(self) -> None:
        """Fail queued requests, so that the request that closes the session waits no longer."""
        self._fail_as_closing(self.outbox.take_all())
        self.has_room()

    def _fail_as_closing(self, calls: list[Call[Any]]) -> None:
        for call in calls:
            call.fail(ClosingException(path=call.path, applied=False))

    def _give_up_closing(self) -> None:
        if self._finished:
            # TLS waits for the peer's close_notify.
            if self._connection is not None:
                self._connection.abort()
            return
        if not self._ending.leaving:
            self._log.warn(
                "Session {session} could not be closed at a server within {time:g} s. It expires in about {timeout:g} s.",
                session=session_name(self.session_id),
                time=self._limits.close_time,
                timeout=self.session_timeout,
            )
        self._finish(abruptly=True)

    def _finish(self, abruptly: bool = False) -> None:
        if self._finished:
            return
        self._finished = True
        self._reconnector.stop()
        self._search.stop()
        self._connection_log.stop()
        self._expiry_timer.stop()
        self._drain_timer.stop()
        if self._connection is None:
            self._gone()
        elif abruptly:
            self._connection.end(ClosingException())
        else:
            self._connection.leave(ClosingException())

    def _gone(self) -> None:
        if self.event.state is SessionState.CLOSED:
            # An observer of the disconnection has closed the client.
            return
        self._ending.stop()
        self.pauses.end(lambda: ClosingException(applied=False))
        ticket = self.ticket() if self._ending.leaving else None
        self._credentials.drop_session()
        self._release(SessionState.CLOSED, lambda path: ClosingException(path=path, applied=False))
        self._identities.close(lambda: ClosingException(applied=False))
        self._waiters.fail(lambda: ClosingException(applied=False))
        self._ending.over(ticket)
