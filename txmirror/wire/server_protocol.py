"""The server's side of the protocol on one connection, as a machine: bytes in, requests out; replies in, bytes out.

It has no clock and no transport, and executes nothing. The first frame is the handshake. Every later frame is a request, and
every request is answered in the order of arrival, except for authentication, which a server answers at once.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Any, Final, NamedTuple

from txmirror.errors import ProtocolError
from txmirror.wire import multi, requests, sessions, watching
from txmirror.wire.framing import FrameQueue, OversizedFrame, encode_frame
from txmirror.wire.headers import RequestHeader, reply_frame
from txmirror.wire.jute import Cursor
from txmirror.wire.operations import EVENT_XID, PING_XID, Operation
from txmirror.wire.responses import ConnectResponse, WatcherEvent
from txmirror.wire.sessions import ConnectRequest

#: The request class of each operation.
REQUESTS: Final[dict[int, Any]] = {
    kind.operation: kind
    for module in (multi, requests, sessions, watching)
    for kind in vars(module).values()
    # A batched read is encoded by a class of its own, and decoded as any MultiReadRequest.
    if isinstance(getattr(kind, "operation", None), Operation) and hasattr(kind, "decode")
}
#: The operations that a server answers at once, ahead of requests that arrived before.
_OUT_OF_ORDER: Final = frozenset({Operation.AUTH, Operation.SASL})


class IncomingRequest(NamedTuple):
    """A request that has arrived."""

    header: RequestHeader
    cursor: Cursor
    """At the request's record: ``REQUESTS[header.type].decode(cursor)`` reads it."""


class ServerProtocol:
    """The state of one connection: the stream of bytes, the handshake, and the requests that wait for their replies.

    The methods that send return the bytes to write.

    :param max_request: the longest request in bytes. A longer one is a protocol error.
    :param cursor: makes the cursor over a frame.
    :ivar frames: the frames that have arrived and that :meth:`next_event` has not read.
    """

    def __init__(self, max_request: int, cursor: Callable[[bytes], Cursor] = Cursor) -> None:
        self._max_request = max_request
        self._cursor = cursor
        self._connected = False
        self._unanswered: deque[RequestHeader] = deque()
        self.frames: FrameQueue = FrameQueue(max_request)

    def receive_data(self, data: bytes) -> None:
        """Take the next bytes from the client."""
        self.frames.feed(data)

    def next_event(self) -> ConnectRequest | IncomingRequest | None:
        """Return the content of the next frame, or None if there is no complete one.

        After the handshake's request, call :meth:`connected` before the next event.

        :raises ProtocolError: the frame is too long or invalid, or the stream is broken. Close the connection.
        """
        frame = self.frames.take()
        if frame is None:
            return None
        if isinstance(frame, OversizedFrame):
            raise ProtocolError(f"a request of {frame.length} bytes, with {self._max_request} allowed (jute.maxbuffer)")
        cursor = self._cursor(frame)
        if not self._connected:
            return ConnectRequest.decode(cursor)
        header = RequestHeader.decode(cursor)
        if header.type not in _OUT_OF_ORDER:
            self._unanswered.append(header)
        return IncomingRequest(header, cursor)

    def connected(self, response: ConnectResponse) -> bytes:
        """Answer the handshake. Requests follow."""
        self._connected = True
        return encode_frame(response.encode())

    def reply(self, header: RequestHeader, zxid: int, err: int = 0, record: bytes = b"") -> bytes:
        """Answer a request.

        :param record: the encoded record; none if ``err`` is not 0.
        :raises ValueError: another request is to be answered before.
        """
        self.skip(header)
        return reply_frame(PING_XID if header.type == Operation.PING else header.xid, zxid, err, record)

    def skip(self, header: RequestHeader) -> None:
        """Skip the reply to a request.

        :raises ValueError: another request is to be answered before.
        """
        if header.type not in _OUT_OF_ORDER:
            if not self._unanswered or self._unanswered[0] is not header:
                raise ValueError(f"the request with the xid {header.xid} is not the next to answer")
            self._unanswered.popleft()

    def event(self, event: WatcherEvent, zxid: int = -1) -> bytes:
        """Send a watch event.

        :param zxid: the transaction of the event, as since 3.9; -1 before.
        """
        return reply_frame(EVENT_XID, zxid, 0, event.encode())
