"""A short session with a server, beside the client's own: it asks what has changed since a zxid, and leaves nothing behind.

A setWatches request makes the server send an event for each node that has changed since a zxid. It also leaves one-shot watches,
and those end with the session. So a side session costs two transactions, however many nodes it asks for.

The handshake carries the last zxid that the client has seen. A server with older data refuses it: such a server would not know of
all changes that the client's own server no longer reports.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from typing import Any

from twisted.internet.defer import CancelledError, Deferred, succeed
from twisted.internet.protocol import Factory
from twisted.logger import Logger
from twisted.python.failure import Failure

from txmirror.client.connection.calls import Call
from txmirror.client.connection.connection import Connection
from txmirror.client.connection.endpoints import connect_to_server
from txmirror.client.connection.sasl import SaslAuthenticator
from txmirror.client.connection.settings import Server
from txmirror.client.session.attempts import CLOSE_SESSION
from txmirror.client.session.core import SessionCore, SessionSettings
from txmirror.client.session.watch_tables import SetWatchesPacket, kind_of
from txmirror.deferreds import Waiters
from txmirror.errors import ClosingException, ConnectionLossException, ZooKeeperException
from txmirror.timers import Timer
from txmirror.types import WatchedEvent
from txmirror.wire import CloseSessionRequest, ConnectResponse

#: The session timeout to request, in seconds, unless the client's is shorter.
_SESSION_TIMEOUT = 1.0
#: How long closing the session may take, in seconds. If it takes longer, the session expires.
_CLOSE_TIME = 1.0
#: How many setWatches packets are in flight. More are not faster, and each would wait longer for its answer.
_PACKETS_IN_FLIGHT = 2


class SideSession:
    """One session, on one connection. It is never resumed.

    :param core: the data of the client's session.
    :param settings: the settings of the client's session, which this one shares.
    :param fired: called with each event.
    """

    _log = Logger()

    def __init__(self, core: SessionCore, settings: SessionSettings, fired: Callable[[WatchedEvent], None]) -> None:
        self._core = core
        self._settings = settings
        self._on_event = fired
        self._authenticator = SaslAuthenticator(settings.sasl, self.unauthorised)
        self._connection: Connection | None = None
        self._opening: Deferred[Any] | None = None
        self._opened: Deferred[None] = Deferred()
        self._waiting: deque[SetWatchesPacket] = deque()
        self._answer: Deferred[None] | None = None
        self._closing = False
        self._close_timer = Timer(core.reactor, self._abort)
        self._gone: Waiters[None] = Waiters()

    # Called by the owner.

    def ask(self, servers: Sequence[Server], packets: Sequence[SetWatchesPacket]) -> Deferred[None]:
        """Open the session, and send the packets.

        :param servers: each is tried once, in this order, until one opens the session.
        :returns: fires when the last packet is answered: by then all events that are due have been dispatched. Fails with
            :exc:`~txmirror.errors.ZooKeeperException` if no server opens the session, or if it ends early. Cancelling ends the
            session, as :meth:`end`.
        """
        self._waiting.extend(packets)
        answer: Deferred[None] = Deferred(lambda _: self._cancel())
        self._answer = answer
        limit = self._core.limits.attempt(self._core.credentials.session_timeout)
        self._opening = Deferred.fromCoroutine(self._open(servers, limit))
        self._opening.addTimeout(limit, self._core.reactor)
        self._opening.addCallbacks(lambda _: self._begin(), self._not_opened)
        return answer

    def end(self) -> Deferred[None]:
        """Close the session, within a second, and the connection.

        :returns: fires when the connection is gone. Cancelling ends the wait.
        """
        opening, self._opening = self._opening, None
        if not self._closing:
            self._closing = True
            self._fail(ClosingException())
            if opening is not None:
                # There is no session yet that could be closed.
                opening.cancel()
                self._abort()
            elif self._connection is not None:
                self._close_timer.start(_CLOSE_TIME)
                if not self._connection.closing:
                    closing = Call(CLOSE_SESSION, CloseSessionRequest())
                    closing.result().addCallbacks(lambda _: self._disconnect(), lambda _: None)
                    self._connection.send(closing)
        return succeed(None) if self._connection is None else self._gone.wait()

    def _cancel(self) -> None:
        self._answer = None
        self.end()

    # Opening.

    async def _open(self, servers: Sequence[Server], limit: float) -> None:
        problem = ""
        for server in servers:
            self._opened = Deferred()
            factory = Factory.forProtocol(self._make_connection)
            factory.noisy = False
            self._log.debug("Asking {server} for changes in a side session.", server=str(server))
            try:
                await connect_to_server(self._core.reactor, server, factory, limit, self._settings.wrap)
                await self._opened
            except CancelledError:
                raise
            except Exception as error:
                # OpenSSL and the resolver have exceptions of their own.
                problem = str(error)
            else:
                return
        raise ConnectionLossException(f"no server has opened a side session: {problem}", applied=False)

    def _make_connection(self) -> Connection:
        core = self._core
        request = core.credentials.side_connect_request(_SESSION_TIMEOUT)
        self._connection = Connection(core.reactor, self, request, core.limits, self._settings.metrics)
        return self._connection

    def _not_opened(self, failure: Failure) -> None:
        self._opening = None
        self._closing = True
        self._abort()
        if isinstance(failure.value, ZooKeeperException):
            self._fail(failure.value)
        else:
            self._fail(ConnectionLossException("no server has opened a side session in time", applied=False))

    # Asking.

    def _begin(self) -> None:
        self._opening = None
        connection = self._connection
        if connection is None:
            self._fail(ConnectionLossException("the side session's connection was lost", applied=False))
            return
        for request in self._core.identities.requests():
            connection.send_auth(request).addErrback(self._refused)
        for _ in range(_PACKETS_IN_FLIGHT):
            self._send_next()

    def _send_next(self) -> None:
        connection = self._connection
        if self._answer is None or connection is None or connection.closing:
            return
        if self._waiting:
            packet = self._waiting.popleft()
            call = Call(kind_of(packet), packet)
            call.result().addCallbacks(lambda _: self._send_next(), self._refused)
            connection.send(call)
        elif not connection.protocol.in_flight:
            answer, self._answer = self._answer, None
            answer.callback(None)

    def _refused(self, failure: Failure) -> None:
        error = failure.value
        self._fail(error if isinstance(error, ZooKeeperException) else ConnectionLossException(str(error)))

    def _fail(self, error: ZooKeeperException) -> None:
        answer, self._answer = self._answer, None
        if answer is not None:
            answer.errback(error)

    # Disconnecting.

    def _disconnect(self) -> None:
        if self._connection is not None:
            self._connection.close(ClosingException())

    def _abort(self) -> None:
        connection = self._connection
        if connection is not None and connection.closing:
            connection.abort_close()
        elif connection is not None:
            connection.abort(ClosingException())

    # Called by the connection.

    def has_room(self) -> None:
        """Do nothing: the packets in flight are few. See ``ConnectionOwner``."""

    def unauthorised(self, error: ZooKeeperException) -> None:
        """Abort the connection: the server refuses the client's SASL credentials, or requires some."""
        if self._connection is not None:
            self._connection.abort(error)

    def handshaken(self, connection: Connection, response: ConnectResponse) -> None:
        """Evaluate the answer to the handshake."""
        refused = response.protocolVersion or response.timeOut <= 0 or response.sessionId == 0 or response.readOnly
        # ClickHouse Keeper does not compare its data with the zxid of the handshake.
        if refused or self._core.credentials.is_keeper(response):
            connection.abort(ConnectionLossException("a side session was refused"))
            return
        connection.liveness.start(response.timeOut / 1000)
        self._authenticator.authenticate(connection, lambda: self._opened.callback(None))

    def replied(self, zxid: int) -> None:
        """Ignore the zxid: only replies to the client's own session show what it has seen."""

    def fired(self, event: WatchedEvent) -> None:
        """Dispatch an event."""
        self._on_event(event)

    def disconnected(self, connection: Connection, reason: Exception) -> None:
        """Note that the connection is gone."""
        self._connection = None
        self._close_timer.stop()
        connection.fail_pending()
        error = reason if isinstance(reason, ZooKeeperException) else ConnectionLossException(str(reason))
        if not self._opened.called:
            self._opened.errback(error)
        if self._opening is None:
            self._fail(error)
        self._gone.fire(None)
