"""A server that a test controls step by step, and the world in which a real client meets it.

Nothing here decides anything: the embedded server is for that. A test reads the client's requests, and answers them
with any header, record or bytes, or not at all.
"""

from __future__ import annotations

from collections.abc import Callable, MutableSequence
from random import Random
from typing import Any, NamedTuple, Protocol, TypeVar, cast

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IAddress, IListeningPort, ITCPTransport
from twisted.internet.protocol import Protocol as TwistedProtocol
from twisted.internet.protocol import ServerFactory, connectionDone
from twisted.logger import ILogObserver, LogEvent, LogLevel, formatEvent, globalLogPublisher
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from txmirror.client import Limits, ZooKeeperClient
from txmirror.testing import MemoryReactor
from txmirror.types import EventType, SessionEvent, SessionState, WatchedEvent, ZnodeStat
from txmirror.wire import (
    AUTH_XID,
    EVENT_XID,
    HARD_FRAME_LIMIT,
    PING_XID,
    AuthRequest,
    CloseSessionRequest,
    ConnectRequest,
    ConnectResponse,
    Cursor,
    FrameDecoder,
    GetDataRequest,
    GetDataResponse,
    Operation,
    ReplyHeader,
    RequestHeader,
    WatcherEvent,
    encode_frame,
)

_T = TypeVar("_T")
_RecordT_co = TypeVar("_RecordT_co", bound="Record", covariant=True)

#: The session timeout of these tests in seconds: its third, its half and its twelfth are exact numbers.
S = 12.0
SESSION = 0x1234
PASSWORD = b"the 16 b secret!"
STAT = ZnodeStat(1, 2, 3, 4, 5, 6, 7, 0, 4, 0, 11)


class Encodable(Protocol):
    """A record that can be sent."""

    def encode(self) -> bytes: ...


class Record(Encodable, Protocol):
    """A request's record."""

    @property
    def operation(self) -> Operation: ...


class RecordType(Protocol[_RecordT_co]):
    """The class of a request's record."""

    operation: Operation

    def decode(self, cursor: Cursor) -> _RecordT_co: ...


class Packet(NamedTuple):
    """The requests that a client has sent after the handshake."""

    xid: int
    operation: int
    body: bytes
    length: int


class LongestPauses(Random):
    """Leaves an order as it is, and draws the longest pause that may be."""

    def shuffle(self, x: MutableSequence[Any], *_: Any) -> None:
        pass

    def uniform(self, a: float, b: float) -> float:
        return b


def reply(xid: int, record: Encodable | bytes = b"", *, zxid: int = 100, err: int = 0) -> bytes:
    """Make a reply's frame."""
    body = record if isinstance(record, bytes) else record.encode()
    return encode_frame(ReplyHeader(xid, zxid, err).encode() + body)


def event(kind: int, path: str, *, zxid: int = -1) -> bytes:
    """Make an event's frame."""
    return reply(EVENT_XID, WatcherEvent(kind, 3, path), zxid=zxid)


class Peer(TwistedProtocol):
    """The server's side of one connection.

    When a method returns, the client has received the sent data, and has done everything that follows from it.

    :ivar answers_pings: whether pings are answered automatically; true at first.
    :ivar ping_zxid: the zxid in the answers to pings.
    :ivar pings: the times of the pings, in the reactor's seconds.
    :ivar hello: the client's handshake, once it has arrived.
    :ivar lost: whether the connection is lost.
    """

    def __init__(self, server: Server) -> None:
        self._server = server
        self._reactor = server.reactor
        self._decoder = FrameDecoder(HARD_FRAME_LIMIT)
        self._packets: list[Packet] = []
        self._hello: ConnectRequest | None = None
        self.answers_pings = True
        self.ping_zxid = 100
        self.pings: list[float] = []
        self.lost = False

    # What the client has sent.

    @property
    def hello(self) -> ConnectRequest:
        """The client's handshake."""
        self._reactor.settle()
        assert self._hello is not None, "the client has not begun its handshake"
        return self._hello

    def hello_now(self) -> ConnectRequest:
        """The client's handshake, for ``on_handshake``, which runs within a turn of the reactor."""
        assert self._hello is not None
        return self._hello

    @property
    def greeted(self) -> bool:
        """True if the client has begun its handshake."""
        self._reactor.settle()
        return self._hello is not None

    @property
    def packets(self) -> list[Packet]:
        """The requests after the handshake that were not taken yet, without pings that were answered."""
        self._reactor.settle()
        return self._packets

    @property
    def operations(self) -> list[int]:
        """The operations of :attr:`packets`."""
        return [packet.operation for packet in self.packets]

    def take(self, expected: RecordType[_RecordT_co]) -> tuple[int, _RecordT_co]:
        """Take the next packet, which must be of this kind.

        :returns: its xid and its record.
        """
        assert self.packets, f"the client has not sent {expected}"
        packet = self._packets.pop(0)
        assert packet.operation == expected.operation, f"expected {expected}, and got {packet}"
        return packet.xid, expected.decode(Cursor(packet.body))

    # What the server sends.

    def send(self, *frames: bytes) -> None:
        """Send bytes, all at once."""
        cast(ITCPTransport, self.transport).write(b"".join(frames))
        self._reactor.settle()

    def accept(
        self,
        session_id: int = SESSION,
        timeout: float = S,
        password: bytes | None = PASSWORD,
        read_only: bool | None = False,
    ) -> None:
        """Answer the handshake."""
        assert self.greeted
        self.send(encode_frame(ConnectResponse(round(timeout * 1000), session_id, password, read_only).encode()))

    def expire(self) -> None:
        """Answer the handshake as a server does that does not know the session: and close."""
        self.accept(0, 0.0, bytes(16))
        self.close()

    def reply(self, xid: int, record: Encodable | bytes = b"", *, zxid: int = 100, err: int = 0) -> None:
        """Send a reply."""
        self.send(reply(xid, record, zxid=zxid, err=err))

    def answer(
        self, expected: RecordType[_RecordT_co], record: Encodable | bytes = b"", *, zxid: int = 100, err: int = 0
    ) -> _RecordT_co:
        """Take the next packet, which must be of this kind, and answer it."""
        xid, request = self.take(expected)
        self.reply(xid, record, zxid=zxid, err=err)
        return request

    def answer_auth(self, err: int = 0) -> AuthRequest:
        """Take the next packet, which must be an identity, and answer it."""
        xid, request = self.take(cast("RecordType[AuthRequest]", AuthRequest))
        assert xid == AUTH_XID
        self.reply(AUTH_XID, zxid=0, err=err)
        return request

    def event(self, kind: EventType, path: str, *, zxid: int = -1) -> None:
        """Send an event."""
        self.send(event(kind, path, zxid=zxid))

    def pong(self, *, zxid: int = 100) -> None:
        """Answer a ping."""
        self.reply(PING_XID, zxid=zxid)

    def close(self) -> None:
        """Close the connection in an orderly way."""
        cast(ITCPTransport, self.transport).loseConnection()
        self._reactor.settle()

    def drop(self) -> None:
        """Let the connection go, with all that travels on it."""
        cast(ITCPTransport, self.transport).abortConnection()
        self._reactor.settle()

    # What the transport says.

    def connectionMade(self) -> None:
        self._server.made(self)

    def dataReceived(self, data: bytes) -> None:
        for frame in self._decoder.feed(data):
            assert isinstance(frame, bytes)
            cursor = Cursor(frame)
            if self._hello is None:
                self._hello = ConnectRequest.decode(cursor)
                self._server.greeted(self)
                continue
            header = RequestHeader.decode(cursor)
            if header.type == Operation.PING:
                self.pings.append(self._reactor.seconds())
                assert header.xid == PING_XID
                if self.answers_pings:
                    cast(ITCPTransport, self.transport).write(reply(PING_XID, zxid=self.ping_zxid))
                    continue
            self._packets.append(Packet(header.xid, header.type, frame[cursor.offset :], len(frame)))

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self.lost = True


class Server(ServerFactory):
    """The port of one server of an ensemble, and the connections to it.

    :ivar peers: all connections so far, the oldest first.
    :ivar times: the time of each connection.
    :ivar on_connection: called with each new connection, before any data has arrived.
    :ivar on_handshake: called with the connection when a client's handshake has arrived.
    """

    noisy = False

    def __init__(self, reactor: MemoryReactor, host: str, port: int = 2181) -> None:
        self.reactor = reactor
        self.host = host
        self.port = port
        self.peers: list[Peer] = []
        self.times: list[float] = []
        self.on_connection: Callable[[Peer], object] = lambda peer: None
        self.on_handshake: Callable[[Peer], object] = lambda peer: None
        self._listening: IListeningPort | None = None
        self.start()

    def start(self) -> None:
        """Begin to listen."""
        self._listening = self.reactor.listenTCP(self.port, self, interface=self.host)

    def stop(self) -> None:
        """Refuse connections from now on, and drop those that there are."""
        assert self._listening is not None
        self._listening.stopListening()
        for peer in self.peers:
            if not peer.lost:
                peer.drop()
        self.reactor.settle()

    @property
    def address(self) -> str:
        return f"{self.host}:{self.port}"

    @property
    def peer(self) -> Peer:
        """The latest connection."""
        self.reactor.settle()
        return self.peers[-1]

    @property
    def count(self) -> int:
        """The number of connections so far."""
        self.reactor.settle()
        return len(self.peers)

    def made(self, peer: Peer) -> None:
        self.peers.append(peer)
        self.times.append(self.reactor.seconds())
        self.on_connection(peer)

    def greeted(self, peer: Peer) -> None:
        self.on_handshake(peer)

    def buildProtocol(self, addr: IAddress | None) -> Peer:
        return Peer(self)


def write(peer: Peer, *frames: bytes) -> None:
    """Send bytes from within ``on_connection`` or ``on_handshake``, which run within a turn of the reactor."""
    cast(ITCPTransport, peer.transport).write(b"".join(frames))


def hang_up(peer: Peer) -> None:
    """Close a connection from within ``on_connection`` or ``on_handshake``."""
    cast(ITCPTransport, peer.transport).loseConnection()


class ClientTestCase(SynchronousTestCase):
    """A real client in a world of its own, with one scripted server, or several.

    After each test every client is closed, and nothing of it may be left. Time begins at 1000 s.
    """

    def setUp(self) -> None:
        self.reactor = MemoryReactor()
        self.reactor.advance(1000.0)
        self.server = Server(self.reactor, "10.0.0.1")
        self.servers = [self.server]
        self._clients: list[ZooKeeperClient] = []
        self.addCleanup(self._close_clients)
        self._log_events: list[LogEvent] = []
        observer = cast(ILogObserver, self._log_events.append)
        globalLogPublisher.addObserver(observer)
        self.addCleanup(globalLogPublisher.removeObserver, observer)

    def settle(self) -> None:
        self.reactor.settle()

    def pass_time(self, seconds: float) -> None:
        self.reactor.pass_time(seconds)

    def stall_reactor(self, seconds: float) -> None:
        """Stall the reactor for a time: overdue calls are made late, and before any data is read."""
        self.reactor.rightNow += seconds

    def add_server(self) -> Server:
        """Add another server to the ensemble, before the client is made."""
        server = Server(self.reactor, f"10.0.0.{len(self.servers) + 1}")
        self.servers.append(server)
        return server

    def make_client(
        self,
        servers: str | None = None,
        *,
        session_timeout: float = S,
        limits: Limits | None = None,
        random: Random | None = None,
        chroot: str = "",
        **options: Any,
    ) -> ZooKeeperClient:
        """Make a client of all servers, which tries them in their order, with the longest pauses that there may be.

        :param options: further arguments.
        """
        if servers is None:
            servers = ",".join(server.address for server in self.servers)
        client = ZooKeeperClient(
            servers + chroot,
            session_timeout=session_timeout,
            limits=limits,
            random=random or LongestPauses(),
            reactor=self.reactor,
            **options,
        )
        self.feed: list[SessionEvent | WatchedEvent] = []
        client.add_listener(self.feed.append)
        self._clients.append(client)
        return client

    def make_connected(
        self, limits: Limits | None = None, chroot: str = "", **options: Any
    ) -> tuple[ZooKeeperClient, Peer]:
        """Make a client, and accept its first handshake."""
        client = self.make_client(limits=limits, chroot=chroot, **options)
        connected = client.connect()
        peer = self.server.peer
        peer.accept()
        self.successResultOf(connected)
        return client, peer

    def reconnect(self, old: Peer, server: Server | None = None, *, accept: bool = True) -> Peer:
        """Drop a connection, and return the next one, its handshake accepted."""
        server = server or self.server
        count = server.count
        if not old.lost:
            old.drop()
        # After connections that did not live a client waits for longer, but it does not wait for so long.
        for _ in range(10):
            if server.count == count:
                self.pass_time(0.5)
        self.assertEqual(server.count, count + 1)
        if accept:
            server.peer.accept()
        return server.peer

    def next_peer(self, server: Server, within: float = 6.0) -> Peer:
        """Let time pass until a client connects to a server again, and return that connection."""
        count = server.count
        for _ in range(round(within / 0.1)):
            if server.count > count:
                break
            self.pass_time(0.1)
        self.assertEqual(server.count, count + 1)
        return server.peer

    def show_zxid(self, client: ZooKeeperClient, peer: Peer, zxid: int) -> None:
        """Let the client see an ordered reply with this zxid."""
        answer = client.get("/zxid")
        peer.answer(GetDataRequest, GetDataResponse(b"", STAT), zxid=zxid)
        self.successResultOf(answer)

    def states(self) -> list[SessionState]:
        """The states in the feed, in order."""
        return [step.state for step in self.feed if isinstance(step, SessionEvent)]

    def watch_events(self) -> list[WatchedEvent]:
        """The watch events in the feed, in order."""
        return [step for step in self.feed if isinstance(step, WatchedEvent)]

    def log_lines(self, *levels: LogLevel) -> list[str]:
        """The messages logged so far, of these levels; of all levels if there is none."""
        return [formatEvent(logged) for logged in self._log_events if not levels or logged.get("log_level") in levels]

    def result_of(self, deferred: Deferred[_T]) -> _T:
        """Run all calls that are due, and return the result of a Deferred."""
        self.settle()
        return self.successResultOf(deferred)

    def assert_nothing_left(self) -> None:
        """No timer is left, and no link of the client's."""
        self.assertEqual(self.reactor.getDelayedCalls(), [])
        self.assertEqual([link for link in self.reactor.links if link.client.connected], [])

    def close_fast(self, client: ZooKeeperClient, peer: Peer) -> None:
        """Close a client, its server playing along."""
        closed = client.close()
        peer.answer(CloseSessionRequest)
        self.successResultOf(closed)

    def keep(self, deferred: Deferred[_T]) -> Deferred[_T]:
        """Let a Deferred be looked at until the test is over, and then fail without a word."""
        self.addCleanup(ignore, deferred)
        return deferred

    def _close_clients(self) -> None:
        closed = [client.close() for client in self._clients]
        self.pass_time(5.0)
        for deferred in closed:
            self.successResultOf(deferred)
        self.assert_nothing_left()


def ignore(deferred: Deferred[Any]) -> None:
    """Let a Deferred fail without a word: the test is about something else."""
    deferred.addErrback(lambda _: None)
