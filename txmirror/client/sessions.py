"""A client's sessions, one after another, and the connections that each of them lives through.

Here is decided what to connect to and when, which session stands, what a lost connection means for what was asked, and
when a session is over. The states and what may follow each are a table, :data:`TRANSITIONS`.
"""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import Any

from twisted.internet.defer import CancelledError, Deferred, fail, succeed
from twisted.internet.error import ConnectingCancelledError, DNSLookupError
from twisted.internet.interfaces import IReactorTime
from twisted.internet.protocol import Factory
from twisted.logger import Logger
from twisted.python.failure import Failure

from txmirror.audience import Audience
from txmirror.client.calls import Call, RequestQueue, decode_nothing
from txmirror.client.connection import Connection
from txmirror.client.dialling import Dialler, Outcome
from txmirror.client.holding import Holding
from txmirror.client.identities import Identities
from txmirror.client.limits import Limits
from txmirror.client.reaching import reach
from txmirror.client.servers import Server
from txmirror.client.watches import SessionWatches, WatchSet
from txmirror.errors import (
    ClosingException,
    ConnectionLossException,
    ProtocolError,
    RequestTooLargeException,
    SessionExpiredException,
)
from txmirror.timers import Timer
from txmirror.types import SessionEvent, SessionState, WatchedEvent
from txmirror.wire import (
    AuthRequest,
    CloseSessionRequest,
    ConnectRequest,
    ConnectResponse,
    SetWatchesRequest,
)

#: Which states may follow each.
TRANSITIONS: dict[SessionState, frozenset[SessionState]] = {
    SessionState.CONNECTING: frozenset({SessionState.CONNECTED, SessionState.CLOSED}),
    SessionState.CONNECTED: frozenset({SessionState.SUSPENDED, SessionState.CLOSED}),
    SessionState.SUSPENDED: frozenset(
        {SessionState.CONNECTED, SessionState.LOST, SessionState.ENDED, SessionState.CLOSED}
    ),
    SessionState.LOST: frozenset({SessionState.CONNECTED, SessionState.ENDED, SessionState.CLOSED}),
    SessionState.ENDED: frozenset({SessionState.CONNECTED, SessionState.CLOSED}),
    SessionState.CLOSED: frozenset(),
}

Listener = Callable[["SessionEvent | WatchedEvent"], None]

_NO_PASSWORD = bytes(16)


class _ServesAgain(Exception):
    """The server has shown that it was only not serving: what it is offered next is our session."""


def session_name(session_id: int) -> str:
    """Give a session's id as ZooKeeper's own logs write it."""
    return f"{session_id & 0xFFFFFFFFFFFFFFFF:#x}"


class Sessions:
    """Keeps one session at a time, and a connection for it whenever a server can be had.

    :param servers: the servers of the ensemble.
    :param session_timeout: the timeout to ask for, in seconds.
    :param reactor: connects, resolves names, and runs every timer.
    :param limits: the bounds.
    :param random: shuffles servers and draws pauses.
    :ivar session: the latest step, as listeners were told it.
    :ivar session_id: the id of the session; 0 while there is none.
    :ivar session_timeout: its timeout in seconds, as negotiated, or as asked for before that.
    :ivar watches: the session's watches.
    """

    _log = Logger()

    def __init__(
        self, servers: tuple[Server, ...], session_timeout: float, reactor: IReactorTime, limits: Limits, random: Random
    ) -> None:
        self._reactor = reactor
        self._limits = limits
        self._asked_timeout = self.session_timeout = session_timeout
        self._dialler = Dialler(servers, random)
        self._queue = RequestQueue(reactor, limits.queued_requests, limits.queued_time)
        self._holding = Holding(reactor, self._safe_until)
        self._listeners: Audience[SessionEvent | WatchedEvent] = Audience(
            lambda listener, event: self._log.failure(
                "The listener {listener} failed on {event}.", listener=listener, event=event
            )
        )
        self._identities = Identities()
        self.watches = SessionWatches()

        self.session = SessionEvent(SessionState.CONNECTING, 0, 0, 0)
        self.session_id = 0
        self._password = _NO_PASSWORD
        self._seen_zxid = 0
        self._watch_zxid = 0
        self._acknowledged = 0.0

        self._started = False
        self._server = servers[0]
        self._connecting: Deferred[Any] | None = None
        self._connection: Connection | None = None
        self._standing = False
        self._probing = False
        self._attempt_timer = Timer(reactor, self._attempt_over)
        self._retry_timer = Timer(reactor, self._dial)
        self._lost_timer = Timer(reactor, self._presume_lost)
        self._close_timer = Timer(reactor, self._give_up_closing)
        self._connect_waiters: list[Deferred[None]] = []
        self._close_waiters: list[Deferred[None]] = []
        self._closing = False
        self._finished = False

    # What the client asks for.

    def connect(self) -> Deferred[None]:
        """Begin, if that was not done yet, and wait for a session."""
        if self._closing:
            return fail(ClosingException(applied=False))
        if not self._started:
            self._started = True
            self._dial()
        if self.session.state is SessionState.CONNECTED:
            return succeed(None)
        waiter: Deferred[None] = Deferred()
        self._connect_waiters.append(waiter)
        return waiter

    def submit(self, call: Call[Any]) -> None:
        """Send a request, or let it wait for a connection."""
        size = 8 + len(call.body)
        connection = self._usable()
        if self._closing:
            call.fail(ClosingException(path=call.path, applied=False))
        elif size > self._limits.max_request:
            limit = self._limits.max_request
            call.fail(
                RequestTooLargeException(f"a request of {size} bytes is over the limit of {limit}", path=call.path)
            )
        elif connection is not None:
            connection.send(call)
        else:
            self._queue.add(call)

    def add_auth(self, scheme: str, credentials: bytes) -> Deferred[None]:
        """Add an identity to this connection and to each that follows it."""
        if self._closing:
            return fail(ClosingException(applied=False))
        request = AuthRequest(scheme, credentials)
        taken = self._identities.add(request)
        connection = self._usable()
        if connection is not None:
            self._identities.send(request, connection.send_auth)
        return taken

    def set_watches(self, zxid: int, watches: WatchSet) -> Deferred[None]:
        """Set watches of a former session in this one. With none it is a barrier behind those that were set again."""
        packets = list(watches.packets(zxid)) or [SetWatchesRequest(zxid, (), (), ())]
        calls = [self.watches.bring_over(packet) for packet in packets]
        last = calls[-1]

        def cancel(_: Deferred[None]) -> None:
            for call in calls:
                if call.deferred is not None:
                    call.deferred.cancel()

        done: Deferred[None] = Deferred(cancel)
        failures: list[Failure] = []

        def answered(result: Failure | None, call: Call[None]) -> None:
            if isinstance(result, Failure):
                failures.append(result)
            if call is last:
                if failures:
                    done.errback(failures[0])
                else:
                    done.callback(None)

        for call in calls:
            call.waited_for().addBoth(answered, call)
            self.submit(call)
        return done

    def add_listener(self, listener: Listener) -> None:
        """Tell ``listener`` every step and event from now on."""
        self._listeners.add(listener, listener)

    def remove_listener(self, listener: Listener) -> None:
        """Tell ``listener`` nothing more."""
        self._listeners.remove(listener)

    def when_unsafe(self) -> Deferred[None]:
        """Be told when nothing may be held on the strength of the session any longer."""
        return self._holding.when_unsafe()

    def close(self) -> Deferred[None]:
        """End the session and everything else, within a bounded time."""
        if self.session.state is SessionState.CLOSED:
            return succeed(None)
        done: Deferred[None] = Deferred()
        self._close_waiters.append(done)
        if not self._closing:
            self._closing = True
            if self.session_id == 0:
                self._finish(abruptly=True)
            else:
                self._close_timer.start(self._limits.close_time)
                connection = self._usable()
                if connection is not None:
                    self._send_close(connection)
        return done

    # Connecting.

    def _dial(self) -> None:
        server = self._server = self._dialler.next_server()
        limit = self._limits.attempt(self.session_timeout)
        self._attempt_timer.start(limit)
        factory = Factory.forProtocol(self._make_connection)
        factory.noisy = False
        self._connecting = Deferred.fromCoroutine(reach(self._reactor, server, factory, limit))
        self._connecting.addCallbacks(self._reached, self._unreachable)

    def _make_connection(self) -> Connection:
        if self._probing:
            hello = ConnectRequest(0, round(self._asked_timeout * 1000), 0, _NO_PASSWORD)
        else:
            hello = ConnectRequest(self._seen_zxid, round(self._asked_timeout * 1000), self.session_id, self._password)
        self._connection = Connection(self._reactor, self, hello, self._limits)
        return self._connection

    def _reached(self, connection: Connection) -> None:
        self._connecting = None

    def _unreachable(self, failure: Failure) -> None:
        self._connecting = None
        if self._finished:
            return
        self._attempt_timer.stop()
        if isinstance(failure.value, (CancelledError, ConnectingCancelledError)):
            self._failed(Outcome.UNREACHABLE, "no connection in time")
        else:
            unresolved = isinstance(failure.value, DNSLookupError)
            outcome = Outcome.UNRESOLVED if unresolved else Outcome.UNREACHABLE
            self._failed(outcome, failure.getErrorMessage().rstrip("."))
        if self._dialler.all_unresolved():
            waiters, self._connect_waiters = self._connect_waiters, []
            for waiter in waiters:
                waiter.errback(ConnectionLossException("no server's name can be resolved", applied=False))

    def _attempt_over(self) -> None:
        limit = self._limits.attempt(self.session_timeout)
        if self._attempt_timer.late > limit / 4:
            # The reactor has stalled: the answer may be in the socket's buffer, and gets the time to be read.
            self._attempt_timer.start(limit / 4)
            return
        if self._connecting is not None:
            self._connecting.cancel()
        elif self._connection is not None:
            self._connection.end(ConnectionLossException("no answer to the handshake in time"))

    def _failed(self, outcome: Outcome, reason: str) -> None:
        now = self._reactor.seconds()
        if self._dialler.ended(self._server, outcome, now):
            self._log.warn(
                "No session with {server}: {outcome} ({reason}). Trying on.",
                server=str(self._server),
                outcome=outcome.value,
                reason=reason,
            )
        # Servers that are not serving yet refuse just like those whose data is behind what we have seen. Only a
        # handshake without any claims can tell, so from now on each server gets one of both kinds.
        since = self._dialler.refused_since()
        wiped = since is not None and now - since >= self.session_timeout and self._seen_zxid > 0
        self._probing = wiped and outcome is Outcome.REFUSED and not self._probing
        if self._probing:
            self._dialler.same_again()
        self._retry()

    def _retry(self) -> None:
        may_live = self.session.state is SessionState.SUSPENDED
        self._retry_timer.start(self._dialler.pause(self.session_timeout, may_live))

    # What the connection says.

    def handshaken(self, connection: Connection, response: ConnectResponse) -> None:
        """Find out which session stands."""
        asked = connection.hello.sessionId
        if response.timeOut <= 0 or response.sessionId == 0:
            if asked:
                self._dialler.same_again()
                self._dialler.accepted(self._server)
                connection.end(SessionExpiredException())
            else:
                connection.end(ConnectionLossException("a new session was refused"))
        elif self._probing:
            connection.ask_zxid(lambda zxid: self._probed(connection, response, zxid))
        else:
            if asked and response.sessionId != asked:
                self._end_session()
            if not self._finished:
                self._adopt(connection, response)

    def replied(self, zxid: int) -> None:
        """Note how far the data was seen."""
        if not self._standing:
            # Those to whom a probe speaks may have another history.
            return
        self._seen_zxid = max(self._seen_zxid, zxid)
        if not self.watches.rearming:
            # While watches are being set again, what they are relative to must stay, or a packet that is cut off
            # would be sent again as if it had been there.
            self._watch_zxid = self._seen_zxid

    def fired(self, event: WatchedEvent) -> None:
        """Tell a watch's waiters, then the feed."""
        for waiter in self.watches.fire(event):
            waiter.callback(event)
        self._listeners.tell(event)

    def disconnected(self, connection: Connection, reason: Exception) -> None:
        """Suspend the session, or note a failed attempt; then try on."""
        if connection is not self._connection:
            connection.fail_pending()
            return
        stood, self._standing = self._standing, False
        self._connection = None
        self._attempt_timer.stop()
        if stood and not self._finished:
            self._suspend(connection, reason)
        connection.fail_pending()
        if self._finished:
            self._gone()
        elif not stood:
            self._attempt_ended(connection, reason)

    def _attempt_ended(self, connection: Connection, reason: Exception) -> None:
        if isinstance(reason, SessionExpiredException):
            self._end_session()
            if not self._finished:
                self._retry_timer.start(0)
        elif isinstance(reason, _ServesAgain):
            self._retry_timer.start(0)
        elif isinstance(reason, ProtocolError):
            self._failed(Outcome.FOREIGN, str(reason))
        elif connection.closed_by_peer and not connection.answered:
            self._failed(Outcome.REFUSED, str(reason))
        else:
            self._failed(Outcome.FAILED, str(reason))

    # The session's life.

    def _adopt(self, connection: Connection, response: ConnectResponse) -> None:
        self._attempt_timer.stop()
        self._lost_timer.stop()
        self._dialler.accepted(self._server)
        epoch = self.session.epoch
        if response.sessionId == self.session_id:
            verb = "resumed"
        else:
            verb = "new"
            epoch += 1
        self.session_id = response.sessionId
        self._password = response.passwd or b""
        self.session_timeout = response.timeOut / 1000
        self._standing = True
        self._acknowledged = connection.acknowledged
        connection.keep_alive(self.session_timeout)
        self._log.info(
            "Connected to {server}: {verb} session {session}, timeout {timeout:g} s.",
            server=str(self._server),
            verb=verb,
            session=session_name(self.session_id),
            timeout=self.session_timeout,
        )
        self._identities.send_all(connection.send_auth)
        self.watches.rearm(connection.send, self._watch_zxid)
        for call in self._queue.take_all():
            connection.send(call)
        if self._closing:
            self._send_close(connection)
        waiters, self._connect_waiters = self._connect_waiters, []
        self._enter(SessionState.CONNECTED, epoch)
        self._listeners.tell(self.session)
        for waiter in waiters:
            waiter.callback(None)

    def _suspend(self, connection: Connection, reason: Exception) -> None:
        now = self._reactor.seconds()
        self._acknowledged = connection.acknowledged
        assert connection.handshaken_at is not None
        if now - connection.handshaken_at >= self.session_timeout / 3:
            self._dialler.lived()
        self._log.warn(
            "Disconnected from {server}: {reason}. Session {session} ends if none is reached in time: {timeout:g} s.",
            server=str(self._server),
            reason=str(reason),
            session=session_name(self.session_id),
            timeout=self.session_timeout,
        )
        self._lost_timer.start(connection.heard + self.session_timeout * 4 / 3 - now)
        self._enter(SessionState.SUSPENDED)
        self._retry()
        self._listeners.tell(self.session)

    def _presume_lost(self) -> None:
        self._log.warn(
            "Out of contact for {timeout:.1f} s: session {session} has most likely ended.",
            timeout=self.session_timeout * 4 / 3,
            session=session_name(self.session_id),
        )
        calls = self._queue.take_all()
        self._enter(SessionState.LOST)
        self._listeners.tell(self.session)
        for call in calls:
            call.fail(
                ConnectionLossException("no connection while the session may live", path=call.path, applied=False)
            )

    def _end_session(self, history: int | None = None) -> None:
        """Let go of everything that was the session's. The next one follows unasked."""
        self._log.warn("Session {session} has ended.", session=session_name(self.session_id))
        self._lost_timer.stop()
        self.session_id = 0
        self._password = _NO_PASSWORD
        self.session_timeout = self._asked_timeout
        calls = self._queue.take_all()
        watches, self.watches = self.watches, SessionWatches()
        self._enter(SessionState.ENDED, history=history)
        self._listeners.tell(self.session)
        self._holding.end()
        for call in calls:
            call.fail(SessionExpiredException(path=call.path))
        for waiter in watches.standing.waiters():
            waiter.errback(SessionExpiredException())
        if self._closing:
            self._finish()

    def _probed(self, connection: Connection, response: ConnectResponse, zxid: int) -> None:
        """Judge the servers that have refused us, now that one has opened a session without claims."""
        self._probing = False
        if zxid >= self._seen_zxid:
            # They have our history after all, and were only not serving. Our session may still live.
            self._dialler.accepted(self._server)
            self._dialler.same_again()
            closing = Call(CloseSessionRequest(), None, decode_nothing)
            closing.waited_for().addBoth(lambda _: connection.leave(_ServesAgain()))
            connection.send(closing)
            return
        self._log.warn("The servers' data is older than what was seen: it was wiped or restored. A new history begins.")
        self._seen_zxid = self._watch_zxid = 0
        if self.session_id:
            self._end_session(self.session.history + 1)
        else:
            self.session = SessionEvent(self.session.state, self.session.epoch, self.session.history + 1, 0)
        if not self._finished:
            self._adopt(connection, response)

    def _enter(self, state: SessionState, epoch: int | None = None, history: int | None = None) -> None:
        before = self.session
        if state not in TRANSITIONS[before.state]:
            raise AssertionError(f"a session cannot go from {before.state} to {state}")
        self.session = SessionEvent(
            state,
            before.epoch if epoch is None else epoch,
            before.history if history is None else history,
            self._watch_zxid,
        )

    def _safe_until(self) -> float:
        if self._connection is not None and self._standing:
            self._acknowledged = self._connection.acknowledged
        if self.session_id == 0:
            return 0.0
        return self._acknowledged + self.session_timeout * 2 / 3

    def _usable(self) -> Connection | None:
        """Give the connection that serves the session, if there is one that was not given up."""
        if self._standing and self._connection is not None and not self._connection.closing:
            return self._connection
        return None

    # Closing.

    def _send_close(self, connection: Connection) -> None:
        call = Call(CloseSessionRequest(), None, decode_nothing)
        # Where the answer is cut off, the loop connects again and finds out whether the session has ended.
        call.waited_for().addCallbacks(lambda _: self._finish(), lambda _: None)
        connection.send(call)

    def _give_up_closing(self) -> None:
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
        for timer in (self._attempt_timer, self._retry_timer, self._lost_timer, self._close_timer):
            timer.stop()
        if self._connecting is not None:
            self._connecting.cancel()
        if self._connection is None:
            self._gone()
        elif abruptly:
            self._connection.end(ClosingException())
        else:
            self._connection.leave(ClosingException())

    def _gone(self) -> None:
        calls = self._queue.take_all()
        watches, self.watches = self.watches, SessionWatches()
        connecting, self._connect_waiters = self._connect_waiters, []
        closing, self._close_waiters = self._close_waiters, []
        self.session_id = 0
        self._enter(SessionState.CLOSED)
        self._listeners.tell(self.session)
        self._holding.end()
        for call in calls:
            call.fail(ClosingException(path=call.path, applied=False))
        self._identities.close()
        for waiter in watches.standing.waiters():
            waiter.errback(ClosingException())
        for connect in connecting:
            connect.errback(ClosingException(applied=False))
        for done in closing:
            done.callback(None)
