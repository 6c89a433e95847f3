"""The embedded server and the real one behind one interface: connections that use the wire's records, and record all
received data.

Each request is followed by a ping, so that its effects end where the ping's answer comes: a server answers a connection
in order, and sends the events of a transaction before it serves later requests.
"""

from __future__ import annotations

import atexit
import base64
import functools
import hashlib
import socket
import struct
from typing import NamedTuple, Protocol

from twisted.internet.protocol import ClientFactory
from twisted.internet.protocol import Protocol as TwistedProtocol

from txmirror.embedded import EmbeddedServer
from txmirror.test.zookeeper import ZooKeeperProcess
from txmirror.testing import MemoryReactor
from txmirror.wire import (
    AUTH_XID,
    EVENT_XID,
    PING_XID,
    AuthRequest,
    ConnectRequest,
    ConnectResponse,
    Cursor,
    FrameDecoder,
    PingRequest,
    ReplyHeader,
    Request,
    RequestHeader,
    WatcherEvent,
    encode_frame,
)

_TIMEOUT = 10_000
_SUPER = b"super:secret"
_SUPER_DIGEST = "super:" + base64.b64encode(hashlib.sha1(_SUPER, usedforsecurity=False).digest()).decode()
_JVM_OPTIONS = (
    "-Xmx512m",
    "-XX:+UseSerialGC",
    "-XX:TieredStopAtLevel=1",
    "-Dzookeeper.forceSync=no",
    "-Dzookeeper.preAllocSize=1024",
    "-Dzookeeper.extendedTypesEnabled=true",
    f"-Dzookeeper.DigestAuthenticationProvider.superDigest={_SUPER_DIGEST}",
    # Nothing goes away by itself while it is looked at.
    "-Dznode.container.checkIntervalMs=1000000000",
)
_PORT = 2181


class Reply(NamedTuple):
    """One reply."""

    zxid: int
    err: int
    body: bytes


class Event(NamedTuple):
    """One watch event."""

    zxid: int
    """-1 before 3.9."""
    record: WatcherEvent


class Line(Protocol):
    """One connection."""

    def write(self, data: bytes) -> None:
        """Send bytes."""

    def read_frame(self) -> bytes:
        """Return the next frame, which must arrive by itself."""

    def read_all(self) -> bytes:
        """Return all data until the server closes the connection."""

    def close(self) -> None:
        """Close it."""


class Side(Protocol):
    """One server."""

    def connect(self) -> Line:
        """Open a connection."""


class Session:
    """A session on a server, over one connection at a time."""

    def __init__(self, side: Side) -> None:
        self._side = side
        self._xid = 0
        self._line = side.connect()
        self.welcome = self._shake(0, bytes(16))

    def resume(self) -> None:
        """Go on over another connection; the server closes the one before."""
        former, self._line = self._line, self._side.connect()
        self.welcome = self._shake(self.welcome.sessionId, self.welcome.passwd)
        assert self.welcome.timeOut == _TIMEOUT
        former.close()

    def ask(self, request: Request, *, last: bool = False) -> list[Reply | Event]:
        """Send a request, and return all frames that answer it, in order.

        :param last: the server closes the connection behind it.
        """
        self._xid += 1
        self._send(request, AUTH_XID if isinstance(request, AuthRequest) else self._xid)
        if last:
            return self._interpret(self._line.read_all())
        return self.flush()

    def flush(self) -> list[Reply | Event]:
        """Return all data until now."""
        self._send(PingRequest(), PING_XID)
        items: list[Reply | Event] = []
        while True:
            frame = self._line.read_frame()
            if ReplyHeader.decode(Cursor(frame)).xid == PING_XID:
                return items
            items.append(self._item(frame))

    def close(self) -> None:
        """Close the connection; the session stays."""
        self._line.close()

    def _shake(self, session: int, password: bytes | None) -> ConnectResponse:
        self._line.write(encode_frame(ConnectRequest(0, _TIMEOUT, session, password).encode()))
        return ConnectResponse.decode(Cursor(self._line.read_frame()))

    def _send(self, request: Request, xid: int) -> None:
        self._line.write(encode_frame(RequestHeader(xid, request.operation).encode() + request.encode()))

    def _interpret(self, data: bytes) -> list[Reply | Event]:
        frames = list(FrameDecoder(2**24).feed(data))
        return [self._item(frame) for frame in frames if isinstance(frame, bytes)]

    def _item(self, frame: bytes) -> Reply | Event:
        cursor = Cursor(frame)
        header = ReplyHeader.decode(cursor)
        if header.xid == EVENT_XID:
            assert header.err == 0, header
            return Event(header.zxid, WatcherEvent.decode(cursor))
        assert header.xid in {self._xid, AUTH_XID}, header
        return Reply(header.zxid, header.err, frame[cursor.offset :])


def ask_word(side: Side, word: bytes) -> str:
    """Return a server's answer to a four-letter word."""
    line = side.connect()
    line.write(word)
    text = line.read_all().decode()
    line.close()
    return text


class _SocketLine:
    def __init__(self, port: int) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port), timeout=10.0)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._reader = self._socket.makefile("rb")

    def write(self, data: bytes) -> None:
        self._socket.sendall(data)

    def read_frame(self) -> bytes:
        (length,) = struct.unpack(">i", self._read(4))
        return self._read(length)

    def read_all(self) -> bytes:
        return self._reader.read()

    def close(self) -> None:
        self._reader.close()
        self._socket.close()

    def _read(self, size: int) -> bytes:
        data = self._reader.read(size)
        assert len(data) == size, "the server closed the connection"
        return data


@functools.cache
def real_side() -> RealSide:
    """The real server that the comparisons of one run share: no other client changes anything there.

    :raises SkipTest: there is none (see :func:`txmirror.test.zookeeper.check_available`).
    :raises ServerFailed: it is required and missing, or did not start.
    """
    process = ZooKeeperProcess(_JVM_OPTIONS)
    atexit.register(process.cleanup)
    process.start()
    return RealSide(process)


class RealSide:
    """A real server, whose data can be cleared by :meth:`supersede`.

    :ivar version: the first two numbers of its release.
    """

    def __init__(self, process: ZooKeeperProcess) -> None:
        self._process = process
        self.version = ".".join(process.version().split(".")[:2])

    def connect(self) -> Line:
        return _SocketLine(self._process.port)

    def supersede(self) -> Session:
        """Open a session that may do anything to any node."""
        session = Session(self)
        session.ask(AuthRequest("digest", _SUPER))
        return session


class _MemoryLine(TwistedProtocol):
    def __init__(self, reactor: MemoryReactor) -> None:
        self._reactor = reactor
        self._data = b""
        self._decoder = FrameDecoder(2**24)
        self._frames: list[bytes] = []

    def dataReceived(self, data: bytes) -> None:
        self._data += data

    def write(self, data: bytes) -> None:
        assert self.transport is not None
        self.transport.write(data)

    def read_frame(self) -> bytes:
        self._frames += [frame for frame in self._decoder.feed(self.read_all()) if isinstance(frame, bytes)]
        return self._frames.pop(0)

    def read_all(self) -> bytes:
        self._reactor.settle()
        data, self._data = self._data, b""
        return data

    def close(self) -> None:
        assert self.transport is not None
        self.transport.loseConnection()
        self._reactor.settle()


class _Factory(ClientFactory):  # type: ignore[misc,type-arg,unused-ignore]  # it is generic in new Twisted only
    noisy = False

    def __init__(self, line: _MemoryLine) -> None:
        self._line = line

    def buildProtocol(self, addr: object) -> _MemoryLine:
        return self._line


class EmbeddedSide:
    """An embedded server in a world of its own, whose time passes with each connection and :meth:`pass_time`.

    :param version: the version that it imitates.
    :raises ValueError: it cannot imitate that.
    """

    def __init__(self, version: str = "3.8") -> None:
        self._reactor = MemoryReactor()
        self._server = EmbeddedServer(self._reactor, version=version, ttl_nodes=True, container_check_interval=1e6)
        self._server.listen(_PORT)

    def connect(self) -> Line:
        line = _MemoryLine(self._reactor)
        self._reactor.connectTCP("127.0.0.1", _PORT, _Factory(line))
        self._reactor.settle()
        return line

    def pass_time(self) -> None:
        """Let a millisecond pass."""
        self._reactor.pass_time(0.001)
