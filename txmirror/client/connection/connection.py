"""One connection to one server: the handshake, replies matched to requests, watch events, and liveness.

A connection knows nothing of the connections before and after it. It calls its owner with each event, and it closes at the
first violation of ZooKeeper's protocol.
"""

from __future__ import annotations

import struct
from collections import deque
from collections.abc import Callable
from typing import Any, Protocol, cast

from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectionDone, ConnectionLost
from twisted.internet.interfaces import IReactorTime, ITCPTransport
from twisted.internet.protocol import Protocol as TwistedProtocol
from twisted.logger import Logger, LogLevel
from twisted.python.failure import Failure

from txmirror.client.connection.calls import Call
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
    UnimplementedException,
    ZooKeeperException,
    exception_for,
)
from txmirror.interfaces import IMetrics
from txmirror.paths import is_path
from txmirror.timers import Timer
from txmirror.types import EventType, WatchedEvent
from txmirror.wire import (
    AUTH_XID,
    EVENT_XID,
    LAST_XID,
    PING_XID,
    AuthRequest,
    ConnectRequest,
    ConnectResponse,
    Cursor,
    FrameDecoder,
    Operation,
    OversizedFrame,
    ReplyHeader,
    WatcherEvent,
    encode_frame,
)

_FRAME_HEADER = struct.Struct(">iii")
#: The error codes of a server that does not, or no longer, serve the session. It has not executed the request.
_NOT_SERVED = frozenset({SessionExpiredException.code, SessionMovedException.code})
_PING = encode_frame(struct.pack(">ii", PING_XID, Operation.PING))


def _is_unknown(header: ReplyHeader) -> bool:
    """Return whether the server refuses the operation because it does not know it.

    It sends such a reply (``UnimplementedRequestProcessor``) ahead of the replies that are due before it, without a zxid, and
    then closes the connection. A reply for an operation that is disabled has a zxid, comes in order, and does not end the
    connection.
    """
    return header.err == UnimplementedException.code and header.zxid <= 0


class Owner(Protocol):
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

    :param clock: the reactor.
    :param owner: the callbacks.
    :param connect_request: the handshake.
    :param limits: the bounds of a reply, and of the requests in flight.
    :param metrics: called with each request and reply; may be None.
    :ivar heard: the time at which the latest bytes arrived.
    :ivar acknowledged: the time at which the latest packet was sent that the server has answered.
    :ivar handshaken_at: the time at which the handshake was answered; None before.
    :ivar answered: whether any bytes have arrived.
    :ivar full: whether the window of requests in flight is full. The connection itself does not enforce it.
    :ivar closed_by_peer: whether the server or the network ended the connection.
    :ivar closed_in_order: whether it was certainly the server.
    :ivar unimplemented: the operations that the server has just refused as unknown; it closes the connection after that.
    """

    _log = Logger()

    def __init__(
        self,
        clock: IReactorTime,
        owner: Owner,
        connect_request: ConnectRequest,
        limits: Limits,
        metrics: IMetrics | None = None,
    ) -> None:
        self._clock = clock
        self._owner = owner
        self._limits = limits
        self._metrics = metrics
        self.connect_request = connect_request
        self._max_reply = limits.max_reply
        self._decoder = FrameDecoder(limits.max_reply)
        self._in_flight: deque[Call[Any]] = deque()
        self._bytes_in_flight = 0
        self._not_served: list[tuple[Call[Any], ZooKeeperException]] = []
        self.full = False
        self._auths: deque[Deferred[None]] = deque()
        self._xid = 0
        self._timeout = 0.0
        self._timer = Timer(clock, self._tick)
        self._ping_sent: float | None = None
        self._on_ping: Callable[[int], None] | None = None
        self._last_sent = 0.0
        self._reason: Exception | None = None
        self._unknown_events = False
        self.handshaken_at: float | None = None
        self.answered = False
        self.closed_by_peer = False
        self.closed_in_order = False
        self.unimplemented: set[Operation] = set()
        self.heard = 0.0
        self.acknowledged = 0.0

    # Called by the owner.

    def send(self, call: Call[Any]) -> None:
        """Send a request. Its Deferred fires with the reply, or fails when the connection is lost."""
        xid = self._xid = self._xid + 1 if self._xid < LAST_XID else 1
        call.xid = xid
        call.sent = self._last_sent = self._clock.seconds()
        self._in_flight.append(call)
        size = 8 + len(call.body)
        self._bytes_in_flight += size
        limits = self._limits
        if self._bytes_in_flight >= limits.in_flight_bytes or len(self._in_flight) >= limits.in_flight_requests:
            self.full = True
        self._write(_FRAME_HEADER.pack(size, xid, call.operation) + call.body)
        if self._metrics is not None:
            self._metrics.sent(call.operation.name, 4 + size)

    def send_auth(self, request: AuthRequest) -> Deferred[None]:
        """Send an identity. The server answers it outside the order of requests.

        :returns: fails with :exc:`AuthFailedException`, after which the server closes the connection, or with
            :exc:`ConnectionLossException`.
        """
        answered: Deferred[None] = Deferred()
        self._auths.append(answered)
        self._last_sent = self._clock.seconds()
        self._write(encode_frame(struct.pack(">ii", AUTH_XID, Operation.AUTH) + request.encode()))
        return answered

    def ask_zxid(self, answer: Callable[[int], None]) -> None:
        """Send a ping, and call ``answer`` with the zxid in the reply: the last one that the server knows."""
        self._on_ping = answer
        self._ping(self._clock.seconds())

    def keep_alive(self, timeout: float) -> None:
        """Start to send pings, and to check that the server answers.

        :param timeout: the session's timeout, as negotiated, in seconds.
        """
        self._timeout = timeout
        self._schedule(self._clock.seconds())

    def end(self, reason: Exception) -> None:
        """Abort the connection at once, and drop unsent bytes."""
        if self._reason is None:
            self._reason = reason
            self._timer.stop()
            cast(ITCPTransport, self.transport).abortConnection()

    def leave(self, reason: Exception) -> None:
        """Close the connection once all bytes are sent, and ignore further replies."""
        if self._reason is None:
            self._reason = reason
            self._timer.stop()
            cast(ITCPTransport, self.transport).loseConnection()

    def abort(self) -> None:
        """Abort a connection after :meth:`leave` has taken too long."""
        cast(ITCPTransport, self.transport).abortConnection()

    @property
    def oldest(self) -> Call[Any] | None:
        """The request that the server must answer next; None if none is in flight."""
        return self._in_flight[0] if self._in_flight else None

    @property
    def closing(self) -> bool:
        """True if the connection is being closed or aborted."""
        return self._reason is not None

    # Called by the transport.

    def connectionMade(self) -> None:
        """Send the handshake, and nothing else before its answer."""
        transport = cast(ITCPTransport, self.transport)
        transport.setTcpNoDelay(True)
        self.heard = self._last_sent = self._clock.seconds()
        transport.write(encode_frame(self.connect_request.encode()))

    def dataReceived(self, data: bytes) -> None:
        """Deliver the frames in the order of arrival, each completely before the next."""
        self.answered = True
        self.heard = self._clock.seconds()
        if self._metrics is not None:
            self._metrics.received(len(data))
        for frame in self._decoder.feed(data):
            if self._reason is not None:
                return
            try:
                self._deliver(frame)
            except ProtocolError as error:
                self.end(error)
        if self._decoder.fault is not None:
            # In the handshake the first bytes show which program the peer is. Later bytes may be secret.
            first_bytes = f", after {data[:16]!r}" if self.handshaken_at is None else ""
            self.end(ProtocolError(f"{self._decoder.fault}{first_bytes}"))

    def connectionLost(self, reason: Failure) -> None:  # type: ignore[override]
        """Notify the owner, which calls :meth:`fail_pending`."""
        self._timer.stop()
        if self._reason is None:
            clean = isinstance(reason.value, ConnectionDone)
            # An error of TLS does not count as closed by the peer.
            self.closed_by_peer = clean or isinstance(reason.value, ConnectionLost)
            self.closed_in_order = clean
            text = _describe(reason.value).rstrip(".")
            self._reason = ConnectionLossException(
                "the server closed the connection" if clean else f"the connection broke: {text:.200}"
            )
        self._owner.disconnected(self, self._reason)

    def fail_pending(self) -> None:
        """Fail all pending requests and identities: the connection is lost."""
        calls, self._in_flight = self._in_flight, deque()
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

    def _deliver(self, frame: bytes | OversizedFrame) -> None:
        if self.handshaken_at is None:
            self._deliver_handshake(frame)
            return
        oversize: int | None = None
        if isinstance(frame, OversizedFrame):
            frame, oversize = frame
        cursor = Cursor(frame)
        header = ReplyHeader.decode(cursor)
        xid = header.xid
        if xid > 0:
            self._deliver_reply(header, cursor, oversize)
        elif oversize is not None:
            raise ProtocolError(f"a packet with xid {xid} is longer than the limit")
        elif xid == EVENT_XID:
            self._deliver_event(header, cursor)
        elif xid == PING_XID:
            self._deliver_pong(header)
        elif xid == AUTH_XID:
            self._deliver_auth(header)
        else:
            raise ProtocolError(f"a reply has the unknown xid {xid}")

    def _deliver_handshake(self, frame: bytes | OversizedFrame) -> None:
        if isinstance(frame, OversizedFrame):
            raise ProtocolError(f"the answer to the handshake is {frame.length} bytes long, after {frame.head!r}")
        cursor = Cursor(frame)
        response = ConnectResponse.decode(cursor)
        cursor.finish()
        self.handshaken_at = self.heard
        self.acknowledged = self._last_sent
        self._owner.handshaken(self, response)

    def _deliver_reply(self, header: ReplyHeader, cursor: Cursor, oversize: int | None) -> None:
        _, zxid, err = header
        call = self._take_call(header)
        self._bytes_in_flight -= 8 + len(call.body)
        self.acknowledged = max(self.acknowledged, call.sent)
        if self._metrics is not None:
            size = 4 + (len(cursor.frame) if oversize is None else oversize)
            self._metrics.answered(call.operation.name, self._clock.seconds() - call.sent, err, size)
        if zxid > 0:
            self._owner.replied(zxid)
        refusal: ZooKeeperException | None = None
        result = None
        try:
            if oversize is not None and not err:
                refusal = ReplyTooLargeException(size=oversize, limit=self._max_reply, path=call.path, zxid=zxid)
            elif not err:
                result, refusal = self._read(call, cursor, zxid)
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
            call.succeed(result)
        if self.full:
            self._make_room()

    def _take_call(self, header: ReplyHeader) -> Call[Any]:
        """Remove the request that a reply answers from those in flight, and return it."""
        in_flight = self._in_flight
        if _is_unknown(header):
            for call in in_flight:
                if call.xid == header.xid:
                    self.unimplemented.add(call.operation)
                    in_flight.remove(call)
                    return call
        elif in_flight and in_flight[0].xid == header.xid:
            if self.unimplemented:
                self.unimplemented.clear()
            return in_flight.popleft()
        expected = self._in_flight[0].xid if self._in_flight else "none"
        raise ProtocolError(f"a reply has the xid {header.xid}; the next that is due: {expected}")

    def _read(self, call: Call[Any], cursor: Cursor, zxid: int) -> tuple[Any, ZooKeeperException | None]:
        try:
            result = call.decode(cursor, zxid)
            cursor.finish()
        except ProtocolError:
            raise
        except ZooKeeperException as error:
            # The header reports success, and the record an error, as in the reply to a transaction.
            return None, error
        return result, None

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
            self.end(reason)
        else:
            call.refuse(err, zxid)

    def _make_room(self) -> None:
        # Wait until half of the window is free, so that queued requests are sent in batches and not one by one.
        limits = self._limits
        if (
            self._bytes_in_flight <= limits.in_flight_bytes // 2
            and len(self._in_flight) <= limits.in_flight_requests // 2
        ):
            self.full = False
            self._owner.has_room()

    def _deliver_event(self, header: ReplyHeader, cursor: Cursor) -> None:
        record = WatcherEvent.decode(cursor)
        cursor.finish()
        if not is_path(record.path):
            raise ProtocolError(f"an event is for {record.path!r:.200}, which is no path")
        try:
            kind = EventType(record.type)
        except ValueError:
            # Warn once a connection: there may be any number of them.
            self._log.emit(
                LogLevel.debug if self._unknown_events else LogLevel.warn,
                "An event of the unknown type {type} for {path} was ignored.",
                type=record.type,
                path=record.path,
            )
            self._unknown_events = True
            return
        self._owner.fired(WatchedEvent(kind, record.path, header.zxid if header.zxid > 0 else None))

    def _deliver_pong(self, header: ReplyHeader) -> None:
        if self._ping_sent is None:
            raise ProtocolError("the server answered a ping that was not sent")
        self.unimplemented.clear()
        self.acknowledged, self._ping_sent = max(self.acknowledged, self._ping_sent), None
        answer, self._on_ping = self._on_ping, None
        if answer is not None:
            answer(header.zxid)
        elif self._timer.running:
            self._schedule(self.heard)

    def _deliver_auth(self, header: ReplyHeader) -> None:
        if not self._auths:
            raise ProtocolError("the server answered an auth packet that was not sent")
        answered = self._auths.popleft()
        if header.err:
            answered.errback(AuthFailedException())
        else:
            answered.callback(None)

    # Liveness (rule 6): send a ping after a third of the timeout without sending. Give the connection up after two thirds
    # without an answer to a request, after a third without an answer to a ping, or after two thirds without any bytes.

    def _schedule(self, now: float) -> None:
        due = self._verdict_due()
        if self._ping_sent is None:
            due = min(due, self._last_sent + self._timeout / 3)
        self._timer.start(due - now)

    def _verdict_due(self) -> float:
        due = self.heard + self._timeout * 2 / 3
        if self._in_flight:
            return min(due, self._in_flight[0].sent + self._timeout * 2 / 3)
        if self._ping_sent is not None:
            # Events may still arrive although the server no longer reads. A third of the timeout is left for another server.
            return min(due, self._ping_sent + self._timeout / 3)
        return due

    def _tick(self) -> None:
        now = self._clock.seconds()
        overdue = now - self._verdict_due()
        if overdue < 0:
            if now >= self._last_sent + self._timeout / 3 and self._ping_sent is None:
                self._ping(now)
            self._schedule(now)
        elif self._timer.late > self._timeout / 12:
            # The reactor has stalled, not necessarily the server. Its answers may still be in the socket's buffer, since
            # timers run before sockets are read: allow some time to read them.
            if self._ping_sent is None:
                self._ping(now)
            self._timer.start(self._timeout / 12)
        else:
            self.end(ConnectionLossException(f"the server was silent for {self._timeout * 2 / 3 + overdue:.1f} s"))

    def _ping(self, now: float) -> None:
        self._ping_sent = self._last_sent = now
        self._write(_PING)

    def _write(self, data: bytes) -> None:
        cast(ITCPTransport, self.transport).write(data)


def _describe(error: BaseException | None) -> str:
    """Return why a connection broke, as text. OpenSSL's errors hold a list of tuples: library, function and reason each."""
    details = error.args[0] if error is not None and error.args else None
    if isinstance(details, list) and all(isinstance(each, tuple) and each for each in details):
        return ", ".join(str(each[-1]) for each in details) or str(error)
    return str(error)
