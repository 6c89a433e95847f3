"""The client's side of the protocol on one connection, as a machine: requests in, bytes out; bytes in, replies and events out.

It has no clock and no transport. The first frame is the handshake. The replies to requests arrive in their order, each with
the xid of its request. Watch events, and the answers to pings and identities, arrive between them.
"""

from __future__ import annotations

from collections import deque
from typing import Final, Generic, NamedTuple, Protocol, TypeVar

from txmirror.errors import ProtocolError, UnimplementedException
from txmirror.paths import is_path
from txmirror.wire.framing import FrameQueue, OversizedFrame, encode_frame
from txmirror.wire.headers import ReplyHeader, request_frame
from txmirror.wire.jute import Cursor
from txmirror.wire.operations import AUTH_XID, EVENT_XID, LAST_XID, PING_XID, Operation
from txmirror.wire.responses import ConnectResponse, WatcherEvent
from txmirror.wire.sessions import AuthRequest, ConnectRequest

_PING: Final = request_frame(PING_XID, Operation.PING)


class OutgoingRequest(Protocol):
    """A request, as the protocol sees it.

    :ivar xid: assigned when the request is sent; 0 before.
    """

    xid: int

    @property
    def operation(self) -> Operation:
        """The operation code."""

    @property
    def body(self) -> bytes:
        """The encoded record."""


_RequestT = TypeVar("_RequestT", bound=OutgoingRequest)


class ReceivedReply(Generic[_RequestT]):
    """The reply to a request.

    :ivar request: the request.
    :ivar zxid: the server's last transaction.
    :ivar err: 0, or the error code.
    :ivar cursor: at the reply's record.
    :ivar oversize: the length of a reply over the limit, whose record was discarded; else None.
    """

    __slots__ = ("cursor", "err", "oversize", "request", "zxid")

    def __init__(self, request: _RequestT, zxid: int, err: int, cursor: Cursor, oversize: int | None) -> None:
        self.request: Final = request
        self.zxid: int = zxid
        self.err: int = err
        self.cursor: Cursor = cursor
        self.oversize: int | None = oversize


class ReceivedEvent(NamedTuple):
    """A watch event."""

    type: int
    path: str
    zxid: int
    """The transaction of the event, as since 3.9; not above 0 before."""


class Pong(NamedTuple):
    """The answer to a ping."""

    zxid: int
    """The server's last transaction; not above 0 where the server does not send it."""


class AuthAnswer(NamedTuple):
    """The answer to the oldest unanswered identity."""

    err: int


class ClientProtocol(Generic[_RequestT]):
    """The state of one connection: the stream of bytes, the handshake, and the requests that wait for their replies.

    The methods that send return the bytes to write. Nothing may be sent between the handshake and its answer. It has more than 12
    attributes because the caller reads many of them for each frame, without a call.

    :param connect_request: the handshake.
    :param max_reply: the longest reply in bytes. The record of a longer one is discarded as it arrives.
    :param most_requests: the number of requests in flight at which the window is full.
    :param most_bytes: their total length at which it is full.
    :ivar max_reply: the longest reply in bytes.
    :ivar connected: whether the handshake was answered.
    :ivar answered: whether any bytes have arrived.
    :ivar in_flight: the requests that were sent and not answered, in order.
    :ivar full: whether the window is full. The caller enforces it.
    :ivar unimplemented: the operations that the server has just refused as unknown; it closes the connection after that.
    """

    def __init__(self, connect_request: ConnectRequest, max_reply: int, most_requests: int, most_bytes: int) -> None:
        self.connect_request = connect_request
        self.max_reply = max_reply
        self.connected: bool = False
        self.answered: bool = False
        self.in_flight: deque[_RequestT] = deque()
        self.full: bool = False
        self.unimplemented: set[Operation] = set()
        self._frames = FrameQueue(max_reply)
        self._window = most_requests, most_bytes
        self._bytes_in_flight = 0
        self._xid = 0
        # Outside the order of requests: the numbers of identities and pings that wait for their answers.
        self._auths = self._pings = 0

    @property
    def buffered(self) -> int:
        """The number of bytes that wait for the rest of their frame."""
        return self._frames.buffered

    @property
    def broken(self) -> bool:
        """True if the stream is broken, and every frame before that was returned."""
        return self._frames.error is not None

    # Sending.

    def handshake(self) -> bytes:
        """Begin the connection."""
        return encode_frame(self.connect_request.encode())

    def send(self, request: _RequestT) -> bytes:
        """Assign an xid to a request, and send it."""
        xid = self._xid = self._xid + 1 if self._xid < LAST_XID else 1
        request.xid = xid
        body = request.body
        size = 8 + len(body)
        self.in_flight.append(request)
        self._bytes_in_flight += size
        most_requests, most_bytes = self._window
        if len(self.in_flight) >= most_requests or self._bytes_in_flight >= most_bytes:
            self.full = True
        return request_frame(xid, request.operation, body)

    def authenticate(self, request: AuthRequest) -> bytes:
        """Send an identity. Its answer is an :class:`AuthAnswer`; identities are answered in order."""
        self._auths += 1
        return request_frame(AUTH_XID, Operation.AUTH, request.encode())

    def ping(self) -> bytes:
        """Send a ping. Its answer is a :class:`Pong`."""
        self._pings += 1
        return _PING

    def reopen_window(self) -> bool:
        """Clear :attr:`full` if half of the window is free, so that queued requests are sent in batches and not one by one.

        :returns: whether it was cleared.
        """
        most_requests, most_bytes = self._window
        if len(self.in_flight) > most_requests // 2 or self._bytes_in_flight > most_bytes // 2:
            return False
        self.full = False
        return True

    def take_unanswered(self) -> list[_RequestT]:
        """Remove and return the requests in flight: the connection is lost."""
        requests = list(self.in_flight)
        self.in_flight.clear()
        return requests

    # Receiving.

    def receive_data(self, data: bytes) -> None:
        """Take the next bytes from the server."""
        self.answered = True
        self._frames.feed(data)

    def next_event(
        self,
    ) -> ConnectResponse | ReceivedReply[_RequestT] | ReceivedEvent | Pong | AuthAnswer | None:
        """Return the content of the next frame, or None if there is no complete one.

        Process each completely before the next call: the request that a reply answers is found by the order.

        :raises ProtocolError: the frame violates the protocol, or the stream is broken. Close the connection.
        """
        frame = self._frames.take()
        if frame is None:
            return None
        if not self.connected:
            return self._read_handshake(frame)
        oversize: int | None = None
        if isinstance(frame, OversizedFrame):
            frame, oversize = frame
        cursor = Cursor(frame)
        xid, zxid, err = ReplyHeader.decode(cursor)
        if xid > 0:
            return ReceivedReply(self._take_request(xid, zxid, err), zxid, err, cursor, oversize)
        if oversize is not None:
            raise ProtocolError(f"a packet with xid {xid} is longer than the limit")
        if xid == EVENT_XID:
            return _read_event(cursor, zxid)
        if xid == PING_XID:
            return self._take_pong(zxid)
        if xid == AUTH_XID:
            return self._take_auth(err)
        raise ProtocolError(f"a reply has the unknown xid {xid}")

    def _read_handshake(self, frame: bytes | OversizedFrame) -> ConnectResponse:
        if isinstance(frame, OversizedFrame):
            raise ProtocolError(f"the answer to the handshake is {frame.length} bytes long, after {frame.head!r}")
        cursor = Cursor(frame)
        response = ConnectResponse.decode(cursor)
        cursor.finish()
        self.connected = True
        return response

    def _take_request(self, xid: int, zxid: int, err: int) -> _RequestT:
        """Remove the request that a reply answers from those in flight, and return it."""
        in_flight = self.in_flight
        if err == UnimplementedException.code and zxid <= 0:
            # The server does not know the operation. It sends such a reply (``UnimplementedRequestProcessor``) ahead of the
            # replies that are due before it, without a zxid, and then closes the connection. A reply for an operation that
            # is disabled has a zxid, comes in order, and does not end the connection.
            for request in in_flight:
                if request.xid == xid:
                    self.unimplemented.add(request.operation)
                    in_flight.remove(request)
                    self._bytes_in_flight -= 8 + len(request.body)
                    return request
        elif in_flight and in_flight[0].xid == xid:
            if self.unimplemented:
                self.unimplemented.clear()
            request = in_flight.popleft()
            self._bytes_in_flight -= 8 + len(request.body)
            return request
        expected = in_flight[0].xid if in_flight else "none"
        raise ProtocolError(f"a reply has the xid {xid}; the next that is due: {expected}")

    def _take_pong(self, zxid: int) -> Pong:
        if not self._pings:
            raise ProtocolError("the server answered a ping that was not sent")
        self._pings -= 1
        self.unimplemented.clear()
        return Pong(zxid)

    def _take_auth(self, err: int) -> AuthAnswer:
        if not self._auths:
            raise ProtocolError("the server answered an auth packet that was not sent")
        self._auths -= 1
        return AuthAnswer(err)


def _read_event(cursor: Cursor, zxid: int) -> ReceivedEvent:
    record = WatcherEvent.decode(cursor)
    cursor.finish()
    if not is_path(record.path):
        raise ProtocolError(f"an event is for {record.path!r:.200}, which is no path")
    return ReceivedEvent(record.type, record.path, zxid)
