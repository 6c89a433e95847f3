"""A blocking connection to ZooKeeper that sends requests that were encoded before: for the limit, and to prepare other
measurements.
"""

from __future__ import annotations

import socket
import struct
from collections.abc import Callable, Iterator, Sequence

from txmirror.types import OPEN_ACL
from txmirror.wire import (
    CloseSessionRequest,
    ConnectRequest,
    ConnectResponse,
    CreateRequest,
    Cursor,
    FrameDecoder,
    OversizedFrame,
    Request,
    encode_frame,
)

DATA = b"x" * 100
_CALL = struct.Struct(">ii")
_REPLY = struct.Struct(">iiqi")
_EVENT = -1


def encoded(request: Request) -> bytes:
    """Return a request's frame. The server ignores the xid."""
    return encode_frame(_CALL.pack(1, request.operation) + request.encode())


def create(path: str) -> bytes:
    return encoded(CreateRequest(path, DATA, OPEN_ACL, 0))


def _whole(frame: bytes | OversizedFrame) -> bytes:
    """Return a frame that is within the limit."""
    assert isinstance(frame, bytes)
    return frame


class Server:
    """A connection to a server, that blocks.

    :param servers: ``host:port``.
    :param session: the id and the password of a session to go on with.
    :ivar session: the session's.
    """

    def __init__(self, servers: str, session: tuple[int, bytes] = (0, bytes(16))) -> None:
        host, _, port = servers.partition(":")
        self._socket = socket.create_connection((host, int(port)))
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        answer = self.ask(encode_frame(ConnectRequest(0, 10_000, *session, False).encode()))
        hello = ConnectResponse.decode(Cursor(answer))
        self.session = hello.sessionId, hello.passwd or b""

    def ask(self, request: bytes) -> bytes:
        """Send one request; return the reply's frame."""
        self._socket.sendall(request)
        decoder = FrameDecoder(1 << 24)
        while not (frames := decoder.feed(self._socket.recv(65536))):
            pass
        return _whole(frames[0])

    def outstanding(
        self, most: int, requests: Sequence[bytes], answered: Callable[[bytes], object] | None = None
    ) -> None:
        """Make requests, so many at a time; return when all are answered.

        :param answered: called with each reply, header and all.
        """
        sent = most
        self._socket.sendall(b"".join(requests[:sent]))
        count, rest = 0, b""
        while count < len(requests):
            data = rest + self._socket.recv(65536)
            if not data:
                raise EOFError
            offset, end = 0, len(data)
            before = count
            while end - offset >= _REPLY.size:
                length, _, _, error = _REPLY.unpack_from(data, offset)
                if offset + 4 + length > end:
                    break
                assert not error, error
                if answered is not None:
                    answered(data[offset + 4 : offset + 4 + length])
                offset += 4 + length
                count += 1
            rest = data[offset:]
            room = count - before
            self._socket.sendall(b"".join(requests[sent : sent + room]))
            sent += room

    def close(self) -> None:
        """End the session."""
        self.ask(encoded(CloseSessionRequest()))
        self._socket.close()

    def say(self, requests: bytes) -> None:
        """Send something, and do not wait."""
        self._socket.sendall(requests)

    def frames(self) -> Iterator[tuple[int, bytes]]:
        """Yield the xid and the frame of each packet, until the connection ends."""
        decoder = FrameDecoder(1 << 24)
        while data := self._socket.recv(65536):
            for frame in decoder.feed(data):
                whole = _whole(frame)
                yield struct.unpack_from(">i", whole)[0], whole
