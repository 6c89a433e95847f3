"""One connection to one server: the handshake, replies to requests, watch events, and liveness, over a transport of Twisted.

A connection knows nothing of the connections before and after it. It calls its owner with each event, and it closes at the
first violation of ZooKeeper's protocol.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Any, Protocol

from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectionLost
from twisted.internet.interfaces import IReactorTime, ISSLTransport, ITCPTransport, IWriteDescriptor
from twisted.internet.protocol import Protocol as TwistedProtocol
from twisted.logger import Logger, LogLevel
from twisted.python.failure import Failure

from txmirror.client.connection.calls import Call
from txmirror.client.connection.endpoints import Loss, explain_loss
from txmirror.client.connection.liveness import Liveness
from txmirror.client.connection.settings import Limits
from txmirror.errors import (
    AuthFailedException,
    ClosingException,
    ConnectionLossException,
    InvalidStateException,
    ProtocolError,
    ReplyTooLargeException,
    SessionClosedRequireSaslAuthException,
    SessionExpiredException,
    SessionMovedException,
    ZooKeeperException,
    exception_for,
)
from txmirror.interfaces import IMetrics
from txmirror.types import EventType, WatchedEvent
from txmirror.wire import (
    AuthAnswer,
    AuthRequest,
    ClientProtocol,
    ConnectRequest,
    ConnectResponse,
    Pong,
    ReceivedEvent,
    ReceivedReply,
)

#: The error codes of a server that does not, or no longer, serve the session. It has not executed the request.
_NOT_SERVED = frozenset({SessionExpiredException.code, SessionMovedException.code})


class ConnectionOwner(Protocol):
    """The callbacks of a connection."""

    def has_room(self) -> None:
        """Send more requests: the window of requests in flight has room again."""

    def unauthorised(self, error: ZooKeeperException) -> None:
        """Handle a server that serves only clients that authenticate by SASL."""

    def handshaken(self, connection: Connection, response: ConnectResponse) -> None:
        """Handle the answer to the handshake. Nothing else was sent yet."""

    def replied(self, zxid: int) -> None:
        """Note the zxid of an ordered reply that is about to be delivered."""

    def fired(self, event: WatchedEvent) -> None:
        """Handle a watch event."""

    def disconnected(self, connection: Connection, reason: Exception) -> None:
        """Handle the loss of the connection. Its requests stay pending until :meth:`Connection.fail_pending`."""


class Connection(TwistedProtocol):
    """A connection to one server, from the first byte to the last. All times are in the reactor's seconds.

    It has more than 12 attributes because frames of four kinds arrive in any order, and each kind has its own waiters.

    :param clock: the reactor.
    :param owner: the callbacks.
    :param connect_request: the handshake.
    :param limits: the bounds of a reply, and of the requests in flight.
    :param metrics: called with each request and reply; may be None.
    :ivar protocol: the state of the protocol: the handshake, and the requests in flight.
    :ivar liveness: the times of the latest packets.
    :ivar handshaken_at: the time at which the handshake was answered; None before.
    :ivar loss: the way in which the other side ended the connection; None if it did not, or in an error of TLS.
    """

    _log = Logger()
    transport: ITCPTransport

    def __init__(
        self,
        clock: IReactorTime,
        owner: ConnectionOwner,
        connect_request: ConnectRequest,
        limits: Limits,
        metrics: IMetrics | None = None,
    ) -> None:
        self._clock = clock
        self._owner = owner
        self._metrics = metrics
        self.protocol: ClientProtocol[Call[Any]] = ClientProtocol(
            connect_request, limits.max_reply, limits.in_flight_requests, limits.in_flight_bytes
        )
        self.liveness: Liveness = Liveness(clock, self._oldest_sent, self._send_ping, self._silent)
        self._not_served: list[tuple[Call[Any], ZooKeeperException]] = []
        self._auths: deque[Deferred[None]] = deque()
        self._on_ping: Callable[[int], None] | None = None
        self._reason: Exception | None = None
        self._unknown_events = False
        self._writer: IWriteDescriptor | None = None
        self.handshaken_at: float | None = None
        self.loss: Loss | None = None

    # Called by the owner.

    def send(self, call: Call[Any]) -> None:
        """Send a request. Its Deferred fires with the reply, or fails when the connection is lost."""
        call.sent = self.liveness.last_sent = self._clock.seconds()
        frame = self.protocol.send(call)
        self.transport.write(frame)
        # Twisted writes in the reactor's next iteration. The caller of a request that is alone in flight waits for it, and that
        # iteration is an eighth of the CPU time. In a burst only the first request goes alone.
        if self._writer is not None and len(self.protocol.in_flight) == 1 and self._writer.doWrite() is not None:
            # That took the error from the socket, which now looks as if the server had closed the connection in order.
            self.loss = Loss.BROKEN
        if self._metrics is not None:
            self._metrics.sent(call.operation.name, len(frame))

    def send_auth(self, request: AuthRequest) -> Deferred[None]:
        """Send an identity. The server answers it outside the order of requests.

        :returns: fails with :exc:`AuthFailedException`, after which the server closes the connection, or with
            :exc:`ConnectionLossException`.
        """
        answered: Deferred[None] = Deferred()
        self._auths.append(answered)
        self.liveness.last_sent = self._clock.seconds()
        self.transport.write(self.protocol.authenticate(request))
        return answered

    def request_zxid(self, answer: Callable[[int], None]) -> None:
        """Send a ping, and call ``answer`` with the zxid in the reply: the last one that the server knows."""
        self._on_ping = answer
        self.liveness.ping()

    def abort(self, reason: Exception) -> None:
        """Abort the connection at once, and drop unsent bytes."""
        if self._reason is None:
            self._reason = reason
            self.liveness.stop()
            self.transport.abortConnection()

    def close(self, reason: Exception) -> None:
        """Close the connection once all bytes are sent, and ignore further replies."""
        if self._reason is None:
            self._reason = reason
            self.liveness.stop()
            self.transport.loseConnection()

    def abort_close(self) -> None:
        """Abort the connection if :meth:`close` has taken too long."""
        self.transport.abortConnection()

    @property
    def oldest(self) -> Call[Any] | None:
        """The request that the server must answer next; None if none is in flight."""
        in_flight = self.protocol.in_flight
        return in_flight[0] if in_flight else None

    @property
    def closing(self) -> bool:
        """True if the connection is being closed or aborted."""
        return self._reason is not None

    # Called by the transport.

    def connectionMade(self) -> None:
        """Send the handshake, and nothing else before its answer."""
        self.transport.setTcpNoDelay(True)
        # TLS collects small writes by itself, until the reactor's next iteration.
        writer: object = self.transport
        if IWriteDescriptor.providedBy(writer) and not ISSLTransport.providedBy(writer):
            self._writer = IWriteDescriptor(writer)
        self.liveness.heard = self.liveness.last_sent = self._clock.seconds()
        self.transport.write(self.protocol.handshake())

    def dataReceived(self, data: bytes) -> None:
        """Deliver the frames in the order of arrival, each completely before the next."""
        self.liveness.heard = self._clock.seconds()
        if self._metrics is not None:
            self._metrics.received(len(data))
        protocol = self.protocol
        protocol.receive_data(data)
        try:
            while self._reason is None:
                event = protocol.next_event()
                if event is None:
                    break
                if isinstance(event, ReceivedReply):
                    self._deliver_reply(event)
                else:
                    self._deliver(event)
        except ProtocolError as error:
            # In the handshake the first bytes show which program the peer is. Later bytes may be secret.
            broken = protocol.broken and self.handshaken_at is None
            self.abort(ProtocolError(f"{error}, after {data[:16]!r}") if broken else error)

    def connectionLost(self, reason: Failure) -> None:  # type: ignore[override]
        """Notify the owner, which calls :meth:`fail_pending`."""
        self.liveness.stop()
        if self._reason is None:
            self.loss, explanation = explain_loss(reason.value if self.loss is None else ConnectionLost())
            self._reason = ConnectionLossException(explanation)
        self._owner.disconnected(self, self._reason)

    def fail_pending(self) -> None:
        """Fail all pending requests and identities: the connection is lost."""
        calls = self.protocol.take_unanswered()
        not_served, self._not_served = self._not_served, []
        if self._metrics is not None:
            now = self._clock.seconds()
            for call in calls:
                self._metrics.lost(call.operation.name, now - call.sent)
        auths, self._auths = self._auths, deque()
        kind = ClosingException if isinstance(self._reason, ClosingException) else ConnectionLossException
        for call, error in not_served:
            call.fail(error)
        lost = f"no answer came: {self._reason}"
        for call in calls:
            call.fail(kind(lost, path=call.path))
        for auth in auths:
            auth.errback(kind(lost))

    # Frames.

    def _deliver(self, event: ConnectResponse | ReceivedEvent | Pong | AuthAnswer) -> None:
        if isinstance(event, ReceivedEvent):
            self._deliver_event(event)
        elif isinstance(event, Pong):
            self._deliver_pong(event)
        elif isinstance(event, AuthAnswer):
            answered = self._auths.popleft()
            if event.err:
                answered.errback(AuthFailedException())
            else:
                answered.callback(None)
        else:
            self.handshaken_at = self.liveness.heard
            self.liveness.acknowledged = self.liveness.last_sent
            self._owner.handshaken(self, event)

    def _deliver_reply(self, reply: ReceivedReply[Call[Any]]) -> None:
        call, zxid, err = reply.request, reply.zxid, reply.err
        # Two stores and no call: each reply comes through here.
        liveness = self.liveness
        liveness.acknowledged, liveness.answered_at = max(liveness.acknowledged, call.sent), liveness.heard
        if self._metrics is not None:
            size = 4 + (len(reply.cursor.frame) if reply.oversize is None else reply.oversize)
            self._metrics.answered(call.operation.name, self._clock.seconds() - call.sent, err, size)
        if zxid > 0:
            self._owner.replied(zxid)
        refusal: ZooKeeperException | None = None
        value = None
        call.zxid = zxid
        try:
            if not err:
                if reply.oversize is None:
                    value, refusal = call.read(reply.cursor)
                else:
                    limit = self.protocol.max_reply
                    refusal = ReplyTooLargeException(size=reply.oversize, limit=limit, path=call.path, zxid=zxid)
            if call.on_reply is not None:
                call.on_reply(err, zxid)
        except ProtocolError as error:
            call.fail(ProtocolError(f"the reply cannot be read: {error}", path=call.path))
            raise
        except Exception:
            # A bug of ours. The call is not in flight any more, so nothing else would end the wait for it.
            call.fail(InvalidStateException("the reply could not be processed", path=call.path))
            raise
        if err:
            self._refused(call, err, zxid)
        elif refusal is not None:
            call.fail(refusal)
        else:
            call.succeed(value)
        if self.protocol.full and self.protocol.reopen_window():
            self._owner.has_room()

    def _refused(self, call: Call[Any], err: int, zxid: int) -> None:
        if err == SessionClosedRequireSaslAuthException.code:
            # The server requires SASL authentication.
            self._owner.unauthorised(exception_for(err))
        if err in _NOT_SERVED:
            # Only the next handshake shows whether the session has expired.
            moved = err == SessionMovedException.code
            reason = ConnectionLossException(
                f"the server refused a request: {exception_for(err)}", path=call.path, applied=False
            )
            self._not_served.append((call, exception_for(err, path=call.path, zxid=zxid) if moved else reason))
            self.abort(reason)
        else:
            call.refuse(err, zxid)

    def _deliver_event(self, event: ReceivedEvent) -> None:
        try:
            kind = EventType(event.type)
        except ValueError:
            # Warn once a connection: there may be any number of them.
            self._log.emit(
                LogLevel.debug if self._unknown_events else LogLevel.warn,
                "An event of the unknown type {type} for {path} was ignored.",
                type=event.type,
                path=event.path,
            )
            self._unknown_events = True
            return
        self._owner.fired(WatchedEvent(kind, event.path, event.zxid if event.zxid > 0 else None))

    def _deliver_pong(self, pong: Pong) -> None:
        self.liveness.ponged()
        answer, self._on_ping = self._on_ping, None
        if answer is not None:
            answer(pong.zxid)

    # Liveness.

    def _oldest_sent(self) -> float | None:
        oldest = self.oldest
        return None if oldest is None else oldest.sent

    def _send_ping(self) -> None:
        self.transport.write(self.protocol.ping())

    def _silent(self, seconds: float) -> None:
        self.abort(ConnectionLossException(f"the server was silent for {seconds:.1f} s"))
