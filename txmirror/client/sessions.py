"""A client's sessions, one after another, and the connections that each of them lives through.

Here is decided which session stands, what a lost connection means for what was asked, and when a session is over. What to
connect to and when is a matter for ``attempts``; which states may follow each is a table in ``states``.
"""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import Any

from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger

from txmirror.client.abilities import Abilities
from txmirror.client.calls import Call, Priority, decode_nothing
from txmirror.client.connection import Connection
from txmirror.client.connection_log import ConnectionLog, time_to_live
from txmirror.client.credentials import SessionCredentials
from txmirror.client.dispatch import EventDispatcher
from txmirror.client.ending import Ending
from txmirror.client.endpoints import TLSWrapper
from txmirror.client.forks import Generation, other_process
from txmirror.client.identities import Identities
from txmirror.client.lease import SessionLease
from txmirror.client.limits import Limits
from txmirror.client.outbox import Outbox
from txmirror.client.persistent_watches import PersistentWatch
from txmirror.client.probing import Probing
from txmirror.client.reconnector import Reconnector
from txmirror.client.sasl import DigestMD5, SaslAuthenticator
from txmirror.client.server_list import ServerList
from txmirror.client.servers import Server
from txmirror.client.states import session_name, step
from txmirror.client.waiters import Pauses, SessionWaiters, fail_all, fire_all
from txmirror.client.watches import SessionWatches, WatchSet
from txmirror.client.writable import WritableSearch
from txmirror.errors import (
    AuthFailedException,
    ClosingException,
    ConnectionLossException,
    SessionExpiredException,
    UnimplementedException,
    ZooKeeperException,
)
from txmirror.interfaces import IMetrics
from txmirror.timers import Timer
from txmirror.types import SessionEvent, SessionState, SessionTicket, WatchedEvent
from txmirror.wire import AuthRequest, CloseSessionRequest, ConnectResponse, Operation


class Sessions:
    """Keeps one session at a time, and a connection for it whenever a server can be had.

    :param servers: the servers of the ensemble.
    :param session_timeout: the timeout to ask for, in seconds.
    :param reactor: connects, resolves names, and runs every timer.
    :param limits: the bounds.
    :param random: shuffles servers and draws pauses.
    :param ticket: a session to take over.
    :param read_only: whether a server that can only be read will do.
    :param wrap: puts TLS around connections, if there is to be any.
    :param sasl: who to prove to be at the start of each connection.
    :param metrics: who counts, if anybody does.
    :ivar session: the latest step, as listeners were told it.
    :ivar session_timeout: its timeout in seconds, as negotiated, or as asked for before that.
    :ivar watches: the session's watches.
    :ivar abilities: what the server has shown that it can do.
    :ivar outbox: sends requests, or lets them wait.
    :ivar dispatcher: tells whoever follows the feed.
    :ivar lease: tells when nothing may be held on the strength of the session any longer.
    :ivar pauses: which end early when the client is closed.
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

        self.session = SessionEvent(SessionState.CONNECTING, 1 if ticket else 0, 0, self._credentials.watch_zxid)
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

    # What the client asks for.

    @property
    def session_id(self) -> int:
        """Give the id of the session; 0 while there is none."""
        return self._credentials.session_id

    def ticket(self) -> SessionTicket | None:
        """Give what another client can take the session over with. A session with a read-only server is nobody else's."""
        return None if self.session.read_only else self._credentials.ticket()

    @property
    def leaving(self) -> bool:
        """Whether the session is being left to another client."""
        return self._ending.leaving

    def connect(self) -> Deferred[None]:
        """Begin, if that was not done yet, and wait for a session."""
        if not self._started and not self._ending.begun:
            self._started = True
            # What is made before a daemon forks, and begins after that, belongs to the child.
            self._generation = Generation.number
            self._reconnector.connect()
        return self._wait_for_session(connecting=True)

    def when_connected(self) -> Deferred[None]:
        """Wait for a session, without beginning anything."""
        return self._wait_for_session(connecting=False)

    def _wait_for_session(self, connecting: bool) -> Deferred[None]:
        closed_reason = self._closed_reason()
        if closed_reason is not None:
            return fail(closed_reason)
        if self.session.state is SessionState.CONNECTED and self._live_connection() is not None:
            return succeed(None)
        return self._waiters.wait(connecting)

    def add_auth(self, scheme: str, credentials: bytes) -> Deferred[None]:
        """Add an identity to this connection and to each that follows it."""
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
        """Set watches of a former session in this one, ahead of the requests that wait.

        With none it is a barrier behind those that were set again.
        """

        def send(call: Call[None]) -> None:
            if self.abilities.hangs_up(call.operation):
                call.fail(UnimplementedException(path=call.path))
            else:
                self.outbox.submit(self._noting(call), Priority.URGENT)

        return self.watches.bring_over(zxid, watches, send, barrier=self._credentials.from_keeper)

    def close(self) -> Deferred[None]:
        """End the session and everything else, within a bounded time."""
        return self._begin_closing(leaving=False).addCallback(lambda _: None)

    def leave(self) -> Deferred[SessionTicket | None]:
        """Let go of the session and end everything else, within a bounded time."""
        return self._begin_closing(leaving=True)

    # What attempts to connect ask for, and tell.

    def attempt_limit(self) -> float:
        """Tell how long an attempt may take."""
        # A session that is lost is not what an attempt must hurry for.
        lost = self.session.state is SessionState.LOST
        return self._limits.attempt(self._asked_timeout if lost else self.session_timeout)

    def may_live(self) -> bool:
        """Tell whether there is reason to hurry."""
        return self.session.state is SessionState.SUSPENDED or self._ending.begun

    def make_connection(self) -> Connection:
        """Make the connection of this attempt."""
        self._connection = Connection(self._reactor, self, self._probing.connect_request(), self._limits, self._metrics)
        return self._connection

    def unresolved(self) -> None:
        """Let those know who wait: no name can be resolved."""
        self._waiters.fail(
            lambda: ConnectionLossException("no server's name can be resolved", applied=False), connecting=True
        )

    def attempt_failed(self) -> None:
        """Let what waits for a connection fail, once as many attempts have failed as it may wait for."""
        self._failed_attempts += 1
        if self._failed_attempts >= self._limits.queued_attempts:
            for call in self.outbox.take_all():
                call.fail(ConnectionLossException("no server can be reached", path=call.path, applied=False))

    def silent(self) -> None:
        """Give the connection up on which the handshake was not over in time."""
        if self._connection is not None:
            self._connection.end(ConnectionLossException("no answer to the handshake in time"))

    def _found_writable(self, server: Server) -> None:
        self._server_list.prefer(server)
        if self._connection is not None:
            self._connection.end(ConnectionLossException(f"{server} can be written to"))

    # What the connection says.

    def handshaken(self, connection: Connection, response: ConnectResponse) -> None:
        """Find out which session stands."""
        asked = connection.connect_request.sessionId
        if response.protocolVersion:
            # ClickHouse Keeper without a leader says 42, and -1 for the session. Of ours that says nothing.
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
            self._probing.judge(connection, self._reconnector.server, lambda: self._wiped(connection, response))
        elif asked and response.sessionId != asked and self._ending.begun:
            # Nobody wants the session that ClickHouse Keeper has opened in place of ours.
            closing = Call(CloseSessionRequest(), None, decode_nothing)
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
        """Take the session that a server has opened, or resumed; another one is the end of ours."""
        if connection.connect_request.sessionId not in (0, response.sessionId):
            self._end_session()
        self._begin_session(connection, response)

    def _wiped(self, connection: Connection, response: ConnectResponse) -> None:
        """Begin a new data generation: nothing of what was seen stands."""
        data_generation = self.session.data_generation + 1
        if self.session_id:
            self._end_session(data_generation)
        else:
            self.session = SessionEvent(self.session.state, self.session.session_number, data_generation, 0)
        self._begin_session(connection, response)

    def _begin_session(self, connection: Connection, response: ConnectResponse) -> None:
        if not self._finished:
            self._authenticator.authenticate(connection, lambda: self._adopt(connection, response))

    def unauthorised(self, error: ZooKeeperException) -> None:
        """Give up: the servers want to know who we are, and do not believe it."""
        if self._finished or self._refused is not None:
            return
        self._log.error("The servers do not let us in: {reason}.", reason=str(error))
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
        """Send the requests that wait, as far as there is room; then the one that ends the session, if that is wanted."""
        connection = self._live_connection()
        if connection is None:
            return
        if self.outbox.send_waiting(connection):
            self._ending.send_last(connection)

    def replied(self, zxid: int) -> None:
        """Note how far the data was seen."""
        # Those to whom a probe speaks may have another data generation.
        if self._established:
            self._credentials.note_zxid(zxid, watches_established=not self.watches.rearming)

    def fired(self, event: WatchedEvent) -> None:
        """Tell everybody of a watch event, and of what follows from it."""
        if self._established:
            for each in self.watches.with_implied(event):
                self.dispatcher.dispatch_watch_event(each, self.watches)

    def disconnected(self, connection: Connection, reason: Exception) -> None:
        """Suspend the session, or note a failed attempt; then try on."""
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
            self.abilities.disconnected(
                connection.oldest, connection.closed_by_peer, connection.closed_in_order, connection.unimplemented
            )
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
        elif self.session.read_only:
            # The session was of this server alone, and nobody else knows of it.
            self._end_session()

    def _was_closed_by_keeper(self, connection: Connection) -> bool:
        """Return whether the server has ended the session as it was asked to: ClickHouse Keeper then closes without an answer."""
        oldest = connection.oldest
        return (
            self._credentials.from_keeper
            and oldest is not None
            and oldest.operation is Operation.CLOSE_SESSION
            and connection.closed_by_peer
        )

    # The session's life.

    def _adopt(self, connection: Connection, response: ConnectResponse) -> None:
        if connection.closing or self._finished:
            return
        self._reconnector.done()
        self._failed_attempts = 0
        self._expiry_timer.stop()
        server = self._reconnector.server
        self._server_list.accepted(server)
        self.abilities.server = server
        session_number = self.session.session_number
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
        self._acknowledged = connection.acknowledged
        connection.keep_alive(self.session_timeout)
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
        self.dispatcher.dispatch_session_event(self.session, self.watches)
        self._end_persistent(ended)
        fire_all(waiters, None)

    def _suspend(self, connection: Connection, reason: Exception) -> None:
        now = self._reactor.seconds()
        self._acknowledged = connection.acknowledged
        assert connection.handshaken_at is not None
        lived = now - connection.handshaken_at >= time_to_live(self.session_timeout)
        if lived:
            self._server_list.lived()
        else:
            self._server_list.was_brief()
        self._search.stop()
        self._connection_log.disconnected(
            self._reconnector.server, reason, session_name(self.session_id), self.session_timeout, lived=lived
        )
        self._expiry_timer.start(connection.heard + self.session_timeout * 4 / 3 - now)
        self.outbox.disconnected()
        self._enter(SessionState.SUSPENDED, read_only=self.session.read_only)
        # A client that ends its session is in a hurry.
        self._reconnector.connect_later(in_contact=not lived and not self._ending.begun)
        self.dispatcher.dispatch_session_event(self.session, self.watches)

    def _probably_expired(self) -> None:
        self._connection_log.probably_expired(session_name(self.session_id), self.session_timeout * 4 / 3)
        calls = self.outbox.take_all()
        self._enter(SessionState.LOST)
        self.dispatcher.dispatch_session_event(self.session, self.watches)
        for call in calls:
            call.fail(
                ConnectionLossException("no connection while the session may live", path=call.path, applied=False)
            )

    def _end_session(self, data_generation: int | None = None) -> None:
        """Let go of everything that was the session's. The next one follows unasked."""
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
        self.session = step(
            self.session, state, self._credentials.watch_zxid, session_number, data_generation, read_only
        )

    def _release(
        self,
        state: SessionState,
        make_error: Callable[[str | None], ZooKeeperException],
        data_generation: int | None = None,
    ) -> None:
        """Enter a state in which nothing of the session's is left; tell of it, then let everything fail that waits."""
        calls = self.outbox.take_all()
        watches = self.watches
        self.watches = SessionWatches(self._end_persistent, self._limits.max_request)
        self._enter(state, data_generation=data_generation)
        self.dispatcher.dispatch_session_event(self.session, watches)
        self.lease.end()
        for call in calls:
            call.fail(make_error(call.path))
        fail_all(watches.established.waiters(), lambda: make_error(None))

    def _noting(self, call: Call[None]) -> Call[None]:
        """Give a request that sets watches, so that what its answer shows is noted."""
        call.on_reply = self.abilities.noting(call.operation, call.on_reply)
        return call

    def _end_persistent(self, ended: list[PersistentWatch]) -> None:
        self.dispatcher.dispatch_removed(ended, self.watches)

    def _safe_until(self) -> float:
        if self._connection is not None and self._established:
            self._acknowledged = self._connection.acknowledged
        if self.session_id == 0:
            return 0.0
        return self._acknowledged + self.session_timeout * 2 / 3

    def _closed_reason(self, path: str | None = None) -> ZooKeeperException | None:
        """Tell why nothing can be asked any more, if that is so."""
        if self._in_other_process():
            return other_process(path)
        if self._ending.begun:
            return ClosingException(path=path, applied=False)
        if self._refused is not None:
            return AuthFailedException(str(self._refused), path=path)
        return None

    def _in_other_process(self) -> bool:
        """Tell whether this is a child of the process in which the client began."""
        return self._started and self._generation != Generation.number

    def _live_connection(self) -> Connection | None:
        """Give the connection that serves the session, if there is one that was not given up."""
        if self._established and self._connection is not None and not self._connection.closing:
            return self._connection
        return None

    # Closing.

    def _begin_closing(self, leaving: bool) -> Deferred[SessionTicket | None]:
        if self.session.state is SessionState.CLOSED or self._in_other_process():
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
                self._reconnector.hurry()
                self.has_room()
        return done

    def _give_up_draining(self) -> None:
        """Let the request that ends the session wait no longer behind others."""
        self._fail_as_closing(self.outbox.take_all())
        self.has_room()

    def _fail_as_closing(self, calls: list[Call[Any]]) -> None:
        for call in calls:
            call.fail(ClosingException(path=call.path, applied=False))

    def _give_up_closing(self) -> None:
        if self._finished:
            # TLS waits for the other side's farewell.
            if self._connection is not None:
                self._connection.abort()
            return
        if not self._ending.leaving:
            self._log.warn(
                "Session {session} could not be ended at a server within {time:g} s. It ends by itself in {timeout:g} s or so.",
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
        if self.session.state is SessionState.CLOSED:
            # Somebody who was told of the disconnection has left or closed.
            return
        self._ending.stop()
        self.pauses.end(lambda: ClosingException(applied=False))
        ticket = self.ticket() if self._ending.leaving else None
        self._credentials.drop_session()
        self._release(SessionState.CLOSED, lambda path: ClosingException(path=path, applied=False))
        self._identities.close(lambda: ClosingException(applied=False))
        self._waiters.fail(lambda: ClosingException(applied=False))
        self._ending.over(ticket)
