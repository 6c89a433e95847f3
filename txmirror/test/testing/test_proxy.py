"""The fault proxy forwards, counts and breaks connections, on a real reactor."""

from __future__ import annotations

from collections.abc import Callable
from typing import cast

from twisted.internet.address import IPv4Address
from twisted.internet.defer import CancelledError, Deferred, maybeDeferred
from twisted.internet.endpoints import TCP4ClientEndpoint, connectProtocol
from twisted.internet.error import ConnectionDone, ConnectionLost
from twisted.internet.interfaces import IHalfCloseableProtocol, IReactorTCP, ITCPTransport
from twisted.internet.protocol import Protocol, ServerFactory, connectionDone
from twisted.python.failure import Failure
from twisted.trial.unittest import TestCase
from zope.interface import alsoProvides

from txmirror.testing import FaultProxy
from txmirror.wire import (
    EVENT_XID,
    PING_XID,
    ConnectRequest,
    ConnectResponse,
    Operation,
    ReplyHeader,
    RequestHeader,
    encode_frame,
)

HELLO = encode_frame(ConnectRequest(0, 2000, 0, bytes(16)).encode())
WELCOME = encode_frame(ConnectResponse(2000, 1, bytes(16), False).encode())


def request(xid: int, operation: int = Operation.GET_DATA, body: bytes = b"what is asked") -> bytes:
    return encode_frame(RequestHeader(xid, operation).encode() + body)


def reply(xid: int, body: bytes = b"an answer") -> bytes:
    return encode_frame(ReplyHeader(xid, 1, 0).encode() + body)


class End(Protocol):
    """One end of a connection: keeps the received data, and lets a test wait for it."""

    def __init__(self) -> None:
        self.pieces: list[bytes] = []
        self.finished = False
        self.lost: type[BaseException] | None = None
        self._waiting: list[tuple[Callable[[], bool], Deferred[None]]] = []

    @property
    def data(self) -> bytes:
        return b"".join(self.pieces)

    @property
    def tcp(self) -> ITCPTransport:
        return cast(ITCPTransport, self.transport)

    def send(self, *data: bytes) -> None:
        self.tcp.write(b"".join(data))

    def when(self, condition: Callable[[], bool]) -> Deferred[None]:
        """Return a Deferred that fires when a condition is true."""
        told: Deferred[None] = Deferred()
        self._waiting.append((condition, told))
        self._look()
        return told

    def when_has(self, data: bytes) -> Deferred[None]:
        """Return a Deferred that fires when exactly this data has arrived."""
        return self.when(lambda: self.data == data)

    def when_lost(self) -> Deferred[None]:
        return self.when(lambda: self.lost is not None)

    def when_finished(self) -> Deferred[None]:
        return self.when(lambda: self.finished or self.lost is not None)

    def connectionMade(self) -> None:
        self._look()

    def dataReceived(self, data: bytes) -> None:
        self.pieces.append(data)
        self._look()

    def readConnectionLost(self) -> None:
        self.finished = True
        self._look()

    def writeConnectionLost(self) -> None:
        pass

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self.lost = reason.type
        self._look()

    def _look(self) -> None:
        for waiting in list(self._waiting):
            if waiting[0]():
                self._waiting.remove(waiting)
                waiting[1].callback(None)


class ProxyTestCase(TestCase):
    timeout = 20
    half_closeable = False

    def setUp(self) -> None:
        from twisted.internet import reactor

        self.reactor = IReactorTCP(reactor)
        self.ends: list[End] = []
        self._arrivals: list[End] = []
        self._expecting: list[Deferred[End]] = []
        case = self

        class Servers(ServerFactory):
            noisy = False

            def buildProtocol(self, addr: object) -> End:
                end = case.make_end()
                end.when(lambda: bool(end.connected)).addCallback(lambda _: case._arrived(end))
                return end

        port = self.reactor.listenTCP(0, Servers(), interface="127.0.0.1")
        self.addCleanup(port.stopListening)
        self.proxy = FaultProxy(cast(IPv4Address, port.getHost()).port)
        # The ends learn of it too, before trial looks for what is left.
        self.addCleanup(lambda: Deferred.fromCoroutine(self._ended()))
        self.addCleanup(self.proxy.close)

    def make_end(self) -> End:
        end = End()
        if self.half_closeable:
            alsoProvides(end, IHalfCloseableProtocol)
        self.ends.append(end)
        return end

    async def _ended(self) -> None:
        for end in self.ends:
            if end.connected and end.lost is None:
                end.tcp.abortConnection()
                await end.when_lost()

    def _arrived(self, end: End) -> None:
        if self._expecting:
            self._expecting.pop(0).callback(end)
        else:
            self._arrivals.append(end)

    async def connect(self) -> End:
        """Connect to the proxy."""
        host, port = self.proxy.address.split(":")
        end: End = await connectProtocol(TCP4ClientEndpoint(self.reactor, host, int(port)), self.make_end())
        return end

    async def server(self) -> End:
        """Return the server's end of the next connection."""
        if self._arrivals:
            return self._arrivals.pop(0)
        expected: Deferred[End] = Deferred()
        self._expecting.append(expected)
        return await expected

    async def pair(self) -> tuple[End, End]:
        """Connect through the proxy, and return both ends."""
        client = await self.connect()
        return client, await self.server()

    async def session(self) -> tuple[End, End]:
        """Connect, with handshakes that the proxy recognises; the ends do not keep them."""
        client, server = await self.pair()
        client.send(HELLO)
        await server.when_has(HELLO)
        server.send(WELCOME)
        await client.when_has(WELCOME)
        client.pieces.clear()
        server.pieces.clear()
        return client, server


class PassingTests(ProxyTestCase):
    async def test_both_directions(self) -> None:
        """The data of either side arrives at the other, and nothing else."""
        client, server = await self.session()
        client.send(request(1), request(2))
        await server.when_has(request(1) + request(2))
        server.send(reply(1), reply(2))
        await client.when_has(reply(1) + reply(2))

    async def test_counters(self) -> None:
        """Forwarded data is counted: bytes, connections, requests, replies and events."""
        client, server = await self.session()
        client.send(request(1), request(2, Operation.CREATE), request(PING_XID, Operation.PING, b""))
        await server.when(lambda: len(server.data) >= len(request(1) + request(2)) + 12)
        server.send(reply(EVENT_XID), reply(PING_XID, b""), reply(1), reply(EVENT_XID))
        sent = reply(EVENT_XID) + reply(PING_XID, b"") + reply(1) + reply(EVENT_XID)
        await client.when_has(sent)
        self.assertEqual(self.proxy.requests, {Operation.GET_DATA: 1, Operation.CREATE: 1, Operation.PING: 1})
        self.assertEqual(self.proxy.replies, {Operation.GET_DATA: 1, Operation.PING: 1})
        self.assertEqual(self.proxy.events, 2)
        self.assertEqual(self.proxy.bytes_to_client, len(WELCOME) + len(sent))
        self.assertEqual(self.proxy.bytes_to_server, len(HELLO) + len(server.data))
        self.assertEqual((self.proxy.accepted, self.proxy.connections), (1, 1))

    async def test_a_frame_in_pieces(self) -> None:
        """A frame that arrives in pieces is forwarded whole; a partial frame at the end of the stream is forwarded as
        it is.
        """
        client, server = await self.session()
        client.send(request(1)[:7])
        client.send(request(1)[7:], b"\x00\x00")
        client.tcp.loseConnection()
        await server.when_lost()
        self.assertEqual(server.data, request(1) + b"\x00\x00")
        self.assertIs(server.lost, ConnectionDone)

    async def test_what_is_no_frame(self) -> None:
        """Other protocols than ZooKeeper's are forwarded as they come."""
        client, server = await self.pair()
        client.send(b"srvr")
        await server.when_has(b"srvr")
        server.send(b"Zookeeper version: ")
        await client.when_has(b"Zookeeper version: ")
        server.send(b"3.8.0")
        server.tcp.loseConnection()
        await client.when_lost()
        self.assertEqual(client.data, b"Zookeeper version: 3.8.0")

    async def test_an_end_is_passed_on(self) -> None:
        """When one side closes, the other is notified, and nothing is left."""
        for which in (0, 1):
            ends = await self.pair()
            ends[which].tcp.loseConnection()
            await ends[1 - which].when_lost()
            self.assertIs(ends[1 - which].lost, ConnectionDone)
            await ends[which].when_lost()

    async def test_a_break_is_passed_on(self) -> None:
        """When one side breaks the connection, it breaks for the other."""
        for which in (0, 1):
            ends = await self.pair()
            ends[which].tcp.abortConnection()
            await ends[1 - which].when_lost()
            self.assertIs(ends[1 - which].lost, ConnectionLost)

    async def test_no_server(self) -> None:
        """Without a server the client's connection breaks."""
        port = self.reactor.listenTCP(0, ServerFactory(), interface="127.0.0.1")
        number = cast(IPv4Address, port.getHost()).port
        await maybeDeferred(port.stopListening)
        other = FaultProxy(number)
        self.addCleanup(other.close)
        self.proxy, before = other, self.proxy
        client = await self.connect()
        await client.when_lost()
        self.assertEqual(other.connections, 0)
        self.proxy = before

    async def test_close(self) -> None:
        """close() ends all connections, in any state, and fires when the sockets are closed."""
        client, server = await self.pair()
        self.proxy.stall()
        client.send(b"kept")
        self.proxy.hold()
        held = await self.connect()
        await self.proxy.close()
        self.assertEqual(self.proxy.connections, 0)
        for end in (client, server, held):
            await end.when_lost()


class HalfCloseTests(ProxyTestCase):
    half_closeable = True

    async def test_an_end_of_one_direction(self) -> None:
        """When one side half-closes, the other is notified, and can still answer."""
        for which in (0, 1):
            ends = await self.pair()
            mine, theirs = ends[which], ends[1 - which]
            mine.send(b"stat")
            mine.tcp.loseWriteConnection()
            await theirs.when_finished()
            self.assertIsNone(theirs.lost)
            self.assertEqual(theirs.data, b"stat")
            theirs.send(b"an answer")
            await mine.when_has(b"an answer")
            theirs.tcp.loseConnection()
            await mine.when_finished()

    async def test_half_close(self) -> None:
        """The side that receives a half-close can still send; the proxy discards the data of the other side."""
        for to_client in (True, False):
            ends = await self.pair()
            told, other = ends if to_client else reversed(ends)
            other.send(b"stat")
            await told.when_has(b"stat")
            self.proxy.half_close(to_client=to_client, to_server=not to_client)
            await told.when_finished()
            other.send(b"for nobody")
            told.send(b"stat")
            await other.when_has(b"stat")
            self.assertFalse(other.finished)
            self.assertEqual(told.data, b"stat")
            told.tcp.loseConnection()
            await other.when_finished()


class DoorTests(ProxyTestCase):
    async def test_cut(self) -> None:
        """Every connection breaks on both sides, comers are turned away, and let in again when the door is open."""
        client, server = await self.session()
        self.proxy.cut()
        await client.when_lost()
        await server.when_lost()
        self.assertEqual((client.lost, server.lost), (ConnectionLost, ConnectionLost))
        away = await self.connect()
        await away.when_lost()
        self.proxy.open()
        client, server = await self.pair()
        client.send(b"stat")
        await server.when_has(b"stat")
        self.assertEqual(self.proxy.accepted, 2)

    async def test_shut(self) -> None:
        """New connections are refused, and established ones continue."""
        client, server = await self.pair()
        self.proxy.shut()
        away = await self.connect()
        await away.when_lost()
        client.send(b"stat")
        await server.when_has(b"stat")

    async def test_drop(self) -> None:
        """Every connection breaks, and comers are let in."""
        client, server = await self.pair()
        self.proxy.drop()
        await client.when_lost()
        await server.when_lost()
        await self.pair()

    async def test_hold(self) -> None:
        """A held connection receives nothing, and its data arrives when the hold is over; other connections continue."""
        before, server = await self.session()
        self.proxy.hold()
        held = await self.connect()
        held.send(HELLO)
        before.send(request(1))
        await server.when_has(request(1))
        self.assertEqual(self._arrivals, [])
        self.proxy.open()
        late = await self.server()
        await late.when_has(HELLO)
        late.send(WELCOME)
        await held.when_has(WELCOME)

    async def test_held_and_cut(self) -> None:
        """Held clients are cut off too."""
        self.proxy.hold()
        held = await self.connect()
        # Only when it was accepted is it held.
        while not self.proxy.connections:
            away = await self.connect()
            away.tcp.abortConnection()
            await away.when_lost()
        self.proxy.cut()
        await held.when_lost()


class StallTests(ProxyTestCase):
    async def test_one_direction(self) -> None:
        """A direction that is stalled keeps everything, in order; the other goes on."""
        client, server = await self.session()
        self.proxy.stall(to_client=False)
        client.send(request(1))
        server.send(reply(EVENT_XID))
        await client.when_has(reply(EVENT_XID))
        self.proxy.stall(to_server=False)
        client.send(request(2))
        server.send(reply(EVENT_XID, b"late"))
        self.proxy.resume(to_client=False)
        await server.when_has(request(1) + request(2))
        self.assertEqual(client.data, reply(EVENT_XID))
        self.proxy.resume()
        await client.when_has(reply(EVENT_XID) + reply(EVENT_XID, b"late"))

    async def test_those_to_come(self) -> None:
        """A client that connects during a stall has a connection, and no answer."""
        self.proxy.stall()
        client, server = await self.pair()
        client.send(HELLO)
        server.send(WELCOME)
        self.proxy.resume()
        await server.when_has(HELLO)
        await client.when_has(WELCOME)

    async def test_an_end_is_kept(self) -> None:
        """The end of a stream that is stalled is kept too."""
        client, server = await self.session()
        self.proxy.stall(to_client=False)
        client.send(request(1))
        client.tcp.loseConnection()
        server.send(reply(EVENT_XID))
        self.proxy.resume()
        await server.when_lost()
        self.assertEqual((server.data, server.lost), (request(1), ConnectionDone))

    async def test_a_break_is_kept(self) -> None:
        """The server is notified of a break during a stall when the stall is over; the kept data is discarded."""
        client, server = await self.session()
        self.proxy.stall(to_client=False)
        client.send(request(1))
        client.tcp.abortConnection()
        await client.when_lost()
        second, _ = await self.pair()  # by now the proxy knows of the break too
        second.tcp.abortConnection()
        await second.when_lost()
        self.assertIs(server.lost, None)
        self.proxy.resume()
        await server.when_lost()
        self.assertEqual(server.data, b"")


class SplitTests(ProxyTestCase):
    async def test_pieces(self) -> None:
        """Everything arrives in pieces of the size that was asked for, in order."""
        client, server = await self.session()
        self.proxy.split(3)
        client.send(request(1))
        server.send(reply(1))
        await server.when_has(request(1))
        await client.when_has(reply(1))
        for end, size in ((server, len(request(1))), (client, len(reply(1)))):
            self.assertEqual([len(piece) for piece in end.pieces], [3] * (size // 3) + [size % 3] * bool(size % 3))

    async def test_no_longer(self) -> None:
        """After split(None) the proxy forwards data as it arrives, behind the data that is still in pieces."""
        client, server = await self.session()
        self.proxy.split(1)
        client.send(request(1))
        await server.when(lambda: bool(server.pieces))
        self.proxy.split(None)
        client.send(request(2))
        await server.when_has(request(1) + request(2))
        self.assertLess(len(server.pieces), len(request(1)))

    async def test_the_end_waits(self) -> None:
        """A stream ends behind its last piece."""
        client, server = await self.session()
        self.proxy.split(1)
        client.send(request(1))
        client.tcp.loseConnection()
        await server.when_lost()
        self.assertEqual(server.data, request(1))

    async def test_cut_in_the_middle(self) -> None:
        """A cut while pieces are in transit ends the connection at once."""
        client, server = await self.session()
        self.proxy.split(1)
        client.send(request(1, body=bytes(1000)))
        await server.when(lambda: len(server.data) > 3)
        self.proxy.drop()
        await server.when_lost()
        self.assertLess(len(server.data), 1000)

    async def test_sizes(self) -> None:
        """A piece has a byte at least."""
        for size in (0, -1):
            self.assertRaises(ValueError, self.proxy.split, size)


class CutTests(ProxyTestCase):
    async def test_after_every_byte(self) -> None:
        """Each number of bytes arrives exactly, in either direction, and then the connection closes on both sides."""
        frame = reply(1, b"")
        for count in range(2 * len(frame) + 1):
            for to_client in (True, False):
                client, server = await self.session()
                teller, told = (server, client) if to_client else (client, server)
                struck = self.proxy.cut_after(**{"to_client" if to_client else "to_server": count})
                teller.send(frame, frame, b"\x00")
                await struck
                await told.when_lost()
                await teller.when_lost()
                self.assertEqual(told.data, (frame * 2)[:count])

    async def test_over_connections(self) -> None:
        """The bytes of all connections count."""
        client, server = await self.session()
        struck = self.proxy.cut_after(to_server=len(request(1)) + 2)
        client.send(request(1))
        await server.when_has(request(1))
        client.tcp.loseConnection()
        await server.when_lost()
        client, server = await self.pair()
        client.send(HELLO)
        await struck
        await server.when_lost()
        self.assertEqual(server.data, HELLO[:2])

    async def test_what_else_is_refused(self) -> None:
        """One direction has a number that is not negative."""
        self.assertRaises(ValueError, self.proxy.cut_after)
        self.assertRaises(ValueError, self.proxy.cut_after, to_client=1, to_server=1)
        self.assertRaises(ValueError, self.proxy.cut_after, to_client=-1)

    async def test_disarmed(self) -> None:
        """A cancelled fault does not happen."""
        client, server = await self.session()
        faults = [
            self.proxy.cut_after(to_client=1),
            self.proxy.cut_after_event(),
            self.proxy.cut_after_reply(1),
            self.proxy.swallow_reply(1),
            self.proxy.swallow_reply_to(Operation.GET_DATA),
        ]
        for fault in faults:
            fault.cancel()
            self.failureResultOf(fault, CancelledError)
        client.send(request(1))
        await server.when_has(request(1))
        server.send(reply(1), reply(EVENT_XID))
        await client.when_has(reply(1) + reply(EVENT_XID))

    async def test_replaced(self) -> None:
        """A new count of bytes replaces the former one, and is not disarmed with it."""
        client, server = await self.session()
        former = self.proxy.cut_after(to_client=100)
        struck = self.proxy.cut_after(to_client=2)
        former.cancel()
        self.failureResultOf(former, CancelledError)
        server.send(reply(EVENT_XID))
        await struck
        await client.when_lost()
        self.assertEqual(client.data, reply(EVENT_XID)[:2])

    async def test_after_a_reply(self) -> None:
        """The reply that was chosen is the last thing to arrive."""
        client, server = await self.session()
        struck = self.proxy.cut_after_reply(2)
        client.send(request(1), request(2), request(3))
        await server.when_has(request(1) + request(2) + request(3))
        server.send(reply(1), reply(EVENT_XID), reply(2), reply(3))
        await struck
        await client.when_lost()
        await server.when_lost()
        self.assertEqual(client.data, reply(1) + reply(EVENT_XID) + reply(2))

    async def test_after_an_event(self) -> None:
        """The event that was chosen is the last thing to arrive, and is counted from when the fault was armed."""
        client, server = await self.session()
        server.send(reply(EVENT_XID))
        await client.when_has(reply(EVENT_XID))
        client.pieces.clear()
        struck = self.proxy.cut_after_event(2)
        server.send(reply(EVENT_XID), reply(PING_XID), reply(EVENT_XID, b"the second"), reply(EVENT_XID))
        await struck
        await client.when_lost()
        self.assertEqual(client.data, reply(EVENT_XID) + reply(PING_XID) + reply(EVENT_XID, b"the second"))

    async def test_a_reply_swallowed(self) -> None:
        """Data before the reply arrives; the reply and later data do not. The next connection is not affected."""
        client, server = await self.session()
        struck = self.proxy.swallow_reply(2)
        client.send(request(1), request(2))
        await server.when_has(request(1) + request(2))
        server.send(reply(1), reply(2), reply(EVENT_XID))
        await struck
        await client.when_lost()
        await server.when_lost()
        self.assertEqual(client.data, reply(1))
        self.assertEqual(self.proxy.replies[Operation.GET_DATA], 1)
        client, server = await self.session()
        client.send(request(2))
        await server.when_has(request(2))
        server.send(reply(2))
        await client.when_has(reply(2))

    async def test_the_reply_to_an_operation_swallowed(self) -> None:
        """The reply to swallow is found by the operation of its request."""
        client, server = await self.session()
        struck = self.proxy.swallow_reply_to(Operation.CREATE)
        client.send(request(1), request(2, Operation.CREATE))
        await server.when_has(request(1) + request(2, Operation.CREATE))
        server.send(reply(1), reply(2))
        await struck
        await client.when_lost()
        self.assertEqual(client.data, reply(1))

    async def test_struck_within(self) -> None:
        """A callback of a fault may shut the proxy before any client reconnects."""
        client, server = await self.session()
        self.proxy.cut_after_event().addCallback(lambda _: self.proxy.shut())
        server.send(reply(EVENT_XID))
        await client.when_lost()
        self.assertEqual(client.data, reply(EVENT_XID))
        away = await self.connect()
        await away.when_lost()
