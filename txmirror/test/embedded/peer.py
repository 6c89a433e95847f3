"""A client of few words: it speaks the wire's records, and keeps all that it gets."""

from __future__ import annotations

from typing import Any, ClassVar, NamedTuple, TypeVar
from typing import Protocol as Typed

from twisted.internet.defer import Deferred
from twisted.internet.protocol import ClientFactory, Protocol, connectionDone
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from txmirror.embedded import EmbeddedServer
from txmirror.testing import MemoryReactor
from txmirror.types import ACL, OPEN_ACL, EventType
from txmirror.wire import (
    AUTH_XID,
    EVENT_XID,
    PING_XID,
    AuthRequest,
    CloseSessionRequest,
    ConnectRequest,
    ConnectResponse,
    Create2Request,
    Create2Response,
    Cursor,
    DeleteRequest,
    ExistsRequest,
    FrameDecoder,
    GetChildren2Request,
    GetChildren2Response,
    GetDataRequest,
    GetDataResponse,
    PingRequest,
    ReplyHeader,
    Request,
    RequestHeader,
    SetDataRequest,
    StatResponse,
    WatcherEvent,
    encode_frame,
)

_RecordT_co = TypeVar("_RecordT_co", covariant=True)


class Decodable(Typed[_RecordT_co]):
    def decode(self, cursor: Cursor) -> _RecordT_co: ...


class Reply(NamedTuple):
    """One reply."""

    xid: int
    zxid: int
    err: int
    body: bytes

    def read(self, record: Decodable[_RecordT_co]) -> _RecordT_co:
        cursor = Cursor(self.body)
        value = record.decode(cursor)
        cursor.finish()
        return value


class Event(NamedTuple):
    """One watch event."""

    type: EventType
    path: str


class Peer(Protocol):
    """One connection to a server, used without a reactor's help: each method runs the world until it is quiet."""

    def __init__(self, reactor: MemoryReactor) -> None:
        self.reactor = reactor
        self.received: list[Reply | Event] = []
        self.event_zxids: list[int] = []
        self.welcome: ConnectResponse | None = None
        self.text = b""
        self.lost: Failure | None = None
        self._decoder = FrameDecoder(2**24)
        self._xid = 0
        self._shaken = False

    # Twisted's side.

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self.lost = reason

    def dataReceived(self, data: bytes) -> None:
        self.text += data
        for frame in self._decoder.feed(data):
            assert isinstance(frame, bytes)
            cursor = Cursor(frame)
            if self.welcome is None and self._shaken:
                self.welcome = ConnectResponse.decode(cursor)
                continue
            header = ReplyHeader.decode(cursor)
            if header.xid == EVENT_XID:
                event = WatcherEvent.decode(cursor)
                assert (header.err, event.state) == (0, 3)
                self.event_zxids.append(header.zxid)
                self.received.append(Event(EventType(event.type), event.path))
            else:
                self.received.append(Reply(*header, frame[cursor.offset :]))

    # A test's side.

    @property
    def session(self) -> int:
        assert self.welcome is not None
        return self.welcome.sessionId

    def raw(self, data: bytes) -> None:
        assert self.transport is not None
        self.transport.write(data)
        self.reactor.settle()

    def shake(self, request: ConnectRequest) -> None:
        self._shaken = True
        self.raw(encode_frame(request.encode()))

    def take(self) -> list[Reply | Event]:
        """Return the replies and events since the last call."""
        self.reactor.settle()
        taken, self.received = self.received, []
        return taken

    def events(self) -> list[Event]:
        """Return the events since the last call; there must be nothing else."""
        taken = self.take()
        events = [item for item in taken if isinstance(item, Event)]
        assert events == taken, taken
        return events

    def send(self, request: Request, xid: int | None = None) -> int:
        if xid is None:
            self._xid += 1
            xid = self._xid
        self.raw(encode_frame(RequestHeader(xid, request.operation).encode() + request.encode()))
        return xid

    def ask(self, request: Request, xid: int | None = None) -> Reply:
        """Send a request and return its reply, which must arrive next."""
        xid = self.send(request, xid)
        (reply,) = self.take()
        assert isinstance(reply, Reply), reply
        assert reply.xid == xid, reply
        return reply

    def create(
        self, path: str, data: bytes | None = b"", flags: int = 0, acl: tuple[ACL, ...] = OPEN_ACL
    ) -> Create2Response:
        return self._accepted(Create2Request(path, data, acl, flags)).read(Create2Response)

    def set(self, path: str, data: bytes = b"", version: int = -1) -> StatResponse:
        return self._accepted(SetDataRequest(path, data, version)).read(StatResponse)

    def delete(self, path: str, version: int = -1) -> None:
        self._accepted(DeleteRequest(path, version))

    def get(self, path: str, watch: bool = False) -> GetDataResponse:
        return self._accepted(GetDataRequest(path, watch)).read(GetDataResponse)

    def children(self, path: str, watch: bool = False) -> GetChildren2Response:
        return self._accepted(GetChildren2Request(path, watch)).read(GetChildren2Response)

    def exists(self, path: str, watch: bool = False) -> bool:
        return self.ask(ExistsRequest(path, watch)).err == 0

    def auth(self, credentials: bytes, scheme: str = "digest") -> Reply:
        return self.ask(AuthRequest(scheme, credentials), AUTH_XID)

    def ping(self) -> Reply:
        return self.ask(PingRequest(), PING_XID)

    def close(self) -> Reply:
        return self.ask(CloseSessionRequest())

    def _accepted(self, request: Request) -> Reply:
        reply = self.ask(request)
        assert reply.err == 0, (request, reply)
        return reply


class Factory(ClientFactory):  # type: ignore[misc,type-arg,unused-ignore]  # it is generic in new Twisted only
    """Connects a peer."""

    noisy = False

    def __init__(self, peer: Peer) -> None:
        self.peer = peer

    def buildProtocol(self, addr: object) -> Peer:
        return self.peer


class ServerTestCase(SynchronousTestCase):
    """A server with a tick of half a second, and any number of peers. At the end no timer of theirs is pending.

    :cvar options: the server's arguments.
    """

    options: ClassVar[dict[str, Any]] = {}

    def setUp(self) -> None:
        self.reactor = MemoryReactor()
        self.server = EmbeddedServer(self.reactor, **self.options)
        self.server.listen(2181)
        self.addCleanup(self.clean_up)

    def clean_up(self) -> None:
        stopped = self.server.stop()
        self.settle(stopped)
        self.assertEqual(self.reactor.getDelayedCalls(), [])
        self.assertEqual(self.reactor.links, [])

    def settle(self, deferred: Deferred[None]) -> None:
        self.reactor.settle()
        self.assertIsNone(self.successResultOf(deferred))

    def connect(self, host: str = "127.0.0.1") -> Peer:
        """Connect without a handshake."""
        peer = Peer(self.reactor)
        self.reactor.connectTCP(host, 2181, Factory(peer))
        self.reactor.settle()
        return peer

    def peer(
        self,
        timeout: int = 4000,
        resume: Peer | None = None,
        password: bytes | None = None,
        zxid: int = 0,
        read_only: bool | None = False,
        host: str = "127.0.0.1",
    ) -> Peer:
        """Connect and shake hands, for a new session or for that of another peer."""
        peer = self.connect(host)
        session = 0
        if resume is not None:
            assert resume.welcome is not None
            session = resume.welcome.sessionId
            password = resume.welcome.passwd if password is None else password
        peer.shake(ConnectRequest(zxid, timeout, session, password or bytes(16), read_only))
        return peer
