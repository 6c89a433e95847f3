"""The reactor in memory behaves as one with sockets does, but for its time and its faults, which are the test's."""

from __future__ import annotations

from typing import cast

from twisted.internet import error
from twisted.internet.address import IPv4Address, IPv6Address
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import HostnameEndpoint, TCP4ServerEndpoint
from twisted.internet.error import (
    CannotListenError,
    ConnectError,
    ConnectingCancelledError,
    ConnectionAborted,
    ConnectionDone,
    ConnectionLost,
    DNSLookupError,
)
from twisted.internet.interfaces import (
    IConnector,
    IConsumer,
    IHalfCloseableProtocol,
    IHostnameResolver,
    IListeningPort,
    IPushProducer,
    IReactorPluggableNameResolver,
    IReactorTCP,
    IReactorTime,
    ITCPTransport,
)
from twisted.internet.protocol import ClientFactory, Factory, Protocol, ServerFactory, connectionDone
from twisted.internet.task import LoopingCall
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer
from zope.interface.verify import verifyObject

from txmirror.testing import Link, MemoryReactor
from txmirror.testing.reactor import MemoryResolver
from txmirror.testing.transport import MemoryTransport


class Recorder(Protocol):
    """Keeps the data and the events that it receives."""

    raises: Exception | None = None

    def __init__(self) -> None:
        self.pieces: list[bytes] = []
        self.ends: list[Failure] = []

    @property
    def data(self) -> bytes:
        return b"".join(self.pieces)

    @property
    def end(self) -> type[BaseException] | None:
        """Why the connection ended; None while it has not."""
        if not self.ends:
            return None
        (failure,) = self.ends
        return failure.type

    @property
    def tcp(self) -> MemoryTransport:
        return cast(MemoryTransport, self.transport)

    def dataReceived(self, data: bytes) -> None:
        self.pieces.append(data)
        if self.raises is not None:
            raise self.raises

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self.ends.append(reason)


class NetworkTestCase(SynchronousTestCase):
    def setUp(self) -> None:
        self.reactor = MemoryReactor()
        self.accepted: list[Recorder] = []
        case = self

        class Accepting(Factory):
            noisy = False

            def buildProtocol(self, addr: object) -> Recorder:
                case.accepted.append(case.make_protocol())
                return case.accepted[-1]

        listening = TCP4ServerEndpoint(self.reactor, 2181, interface="127.0.0.1").listen(Accepting())
        self.port = self.successResultOf(listening)
        self.addCleanup(self.clean_up)

    def make_protocol(self) -> Recorder:
        return Recorder()

    def clean_up(self) -> None:
        for link in list(self.reactor.links):
            link.cut()
        self.port.stopListening()
        self.reactor.settle()
        self.assertEqual(self.reactor.getDelayedCalls(), [])
        self.assertEqual(self.reactor.links, [])

    def dial(self, host: str = "127.0.0.1", port: int = 2181, timeout: float = 10.0) -> Deferred[Recorder]:
        endpoint = HostnameEndpoint(self.reactor, host, port, timeout)
        return cast(Deferred[Recorder], endpoint.connect(Factory.forProtocol(Recorder)))

    def pair(self) -> tuple[Recorder, Recorder, Link]:
        """Return both sides of a new connection, the one that connected first, and the link between them."""
        dialled = self.dial()
        self.reactor.settle()
        return self.successResultOf(dialled), self.accepted[-1], self.reactor.links[-1]


class InterfaceTests(NetworkTestCase):
    def test_interfaces(self) -> None:
        """Each object provides the interfaces that Twisted expects of it."""
        for interface in (IReactorTime, IReactorTCP, IReactorPluggableNameResolver):
            verifyObject(interface, self.reactor)
        verifyObject(IHostnameResolver, self.reactor.nameResolver)
        verifyObject(IListeningPort, self.port)
        client, _, _ = self.pair()
        for interface in (ITCPTransport, IConsumer, IPushProducer):  # type: ignore[assignment]
            verifyObject(interface, client.transport)

    def test_connector(self) -> None:
        """``connectTCP`` returns a connector, which can end the attempt and the connection."""

        class Connecting(ClientFactory):  # type: ignore[misc,type-arg,unused-ignore]
            noisy = False
            lost = False

            def buildProtocol(self, addr: object) -> Recorder:
                return Recorder()

            def clientConnectionLost(self, connector: IConnector, reason: Failure) -> None:
                self.lost = True

        factory = Connecting()
        connector = self.reactor.connectTCP("localhost", 2181, factory)
        verifyObject(IConnector, connector)
        self.reactor.settle()
        connector.disconnect()
        self.reactor.settle()
        self.assertTrue(factory.lost)
        self.assertIs(self.accepted[0].end, ConnectionDone)


class ConnectingTests(NetworkTestCase):
    def assert_fails(self, dialled: Deferred[Recorder], reason: type[Exception]) -> None:
        # The endpoint waits so long before it finds that there is no other address to try.
        self.reactor.pass_time(0.3)
        self.failureResultOf(dialled, reason)

    def test_connected(self) -> None:
        """Both sides know each other's addresses."""
        client, server, link = self.pair()
        self.assertEqual(client.tcp.getPeer(), IPv4Address("TCP", "127.0.0.1", 2181))
        self.assertEqual(server.tcp.getPeer(), client.tcp.getHost())
        self.assertEqual((link.client_address, link.server_address), (server.tcp.getPeer(), server.tcp.getHost()))
        self.assertIn(":2181>", repr(link))

    def test_refused(self) -> None:
        """Without a listening port, the connection is refused."""
        self.assert_fails(self.dial(port=2182), error.ConnectionRefusedError)

    def test_names(self) -> None:
        """A name resolves to the addresses that the test sets."""
        resolver = self.reactor.nameResolver
        assert isinstance(resolver, MemoryResolver)
        self.assert_fails(self.dial("zk.example"), DNSLookupError)
        resolver.names["zk.example"] = ["10.0.0.1", "127.0.0.1"]
        dialled = self.dial("zk.example")
        self.reactor.pass_time(1)
        self.assertEqual(self.successResultOf(dialled).tcp.getPeer().host, "127.0.0.1")

    def test_plain_name(self) -> None:
        """A name that nobody knows is no address for ``connectTCP`` either."""
        failures: list[Failure] = []

        class Connecting(ClientFactory):  # type: ignore[misc,type-arg,unused-ignore]
            noisy = False

            def clientConnectionFailed(self, connector: IConnector, reason: Failure) -> None:
                failures.append(reason)

        self.reactor.connectTCP("zk.example", 2181, Connecting())
        self.reactor.settle()
        (failure,) = failures
        failure.trap(DNSLookupError)

    def test_ipv6(self) -> None:
        """IPv6 addresses work like others."""
        listening = self.reactor.listenTCP(2181, Answering(), interface="::1")
        dialled = self.dial("::1")
        self.reactor.settle()
        self.assertEqual(self.successResultOf(dialled).tcp.getPeer(), IPv6Address("TCP", "::1", 2181))
        listening.stopListening()

    def test_any_interface(self) -> None:
        """A port on any interface is reached at every address, unless another port listens right there."""
        listening = self.reactor.listenTCP(2181, Answering())
        self.assertEqual(listening.getHost(), IPv4Address("TCP", "0.0.0.0", 2181))  # noqa: S104
        for host, accepted in (("10.1.2.3", 0), ("127.0.0.1", 1)):
            dialled = self.dial(host)
            self.reactor.settle()
            self.successResultOf(dialled)
            self.assertEqual(len(self.accepted), accepted)
        listening.stopListening()

    def test_port_taken(self) -> None:
        """A port is listened at by one."""
        factory = Answering()
        self.assertRaises(CannotListenError, self.reactor.listenTCP, 2181, factory, interface="127.0.0.1")

    def test_stop_listening(self) -> None:
        """After a port was closed, connections that stand go on, and new ones are refused until it is opened again."""
        client, server, _ = self.pair()
        self.port.stopListening()
        self.assert_fails(self.dial(), error.ConnectionRefusedError)
        client.tcp.write(b"x")
        self.reactor.settle()
        self.assertEqual(server.data, b"x")
        self.port.startListening()
        self.pair()

    def test_black_hole(self) -> None:
        """A black hole answers nothing until the timeout. Once it is undone, only connections that were pending already
        wait for it.
        """
        self.reactor.black_hole("127.0.0.1", 2181)
        dialled = self.dial(timeout=3)
        self.reactor.pass_time(2.9)
        self.assertNoResult(dialled)
        self.reactor.undo_black_hole("127.0.0.1", 2181)
        self.pair()
        self.assertNoResult(dialled)
        self.reactor.pass_time(0.2)
        self.failureResultOf(dialled, error.TimeoutError)

    def test_cancelled(self) -> None:
        """An attempt can be given up, and leaves nothing behind."""
        self.reactor.black_hole("127.0.0.1", 2181)
        dialled = self.dial()
        self.reactor.settle()
        dialled.cancel()
        self.failureResultOf(dialled, ConnectingCancelledError, ConnectError)

    def test_turned_away(self) -> None:
        """A server that takes no connection closes it at once."""
        listening = self.reactor.listenTCP(2182, TurningAway())
        dialled = self.dial(port=2182)
        self.reactor.settle()
        self.assertIs(self.successResultOf(dialled).end, ConnectionDone)
        listening.stopListening()


class Answering(ServerFactory):
    noisy = False

    def buildProtocol(self, addr: object) -> Recorder:
        return Recorder()


class TurningAway(ServerFactory):
    noisy = False

    def buildProtocol(self, addr: object) -> None:
        return None


class DeliveryTests(NetworkTestCase):
    def test_never_at_once(self) -> None:
        """Written data arrives on a later turn, in order and in one piece, and takes no time."""
        client, server, _ = self.pair()
        client.tcp.write(b"one ")
        client.tcp.writeSequence([b"two ", b"three"])
        self.assertEqual(server.pieces, [])
        self.reactor.settle()
        self.assertEqual(server.pieces, [b"one two three"])
        self.assertEqual(self.reactor.seconds(), 0)

    def test_both_ways(self) -> None:
        """The server can write too."""
        client, server, _ = self.pair()
        server.tcp.write(b"x")
        self.reactor.settle()
        self.assertEqual(client.data, b"x")

    def test_pieces(self) -> None:
        """Pieces can be made as small as wanted."""
        client, server, _ = self.pair()
        self.reactor.piece = 2
        client.tcp.write(b"abcde")
        self.reactor.settle()
        self.assertEqual(server.pieces, [b"ab", b"cd", b"e"])

    def test_piece_of_nothing(self) -> None:
        """A piece has at least a byte."""
        with self.assertRaises(ValueError):
            self.reactor.piece = 0
        self.assertIsNone(self.reactor.piece)

    def test_only_bytes(self) -> None:
        """Text is no data."""
        client, _, _ = self.pair()
        self.assertRaises(TypeError, client.tcp.write, "text")

    def test_paused(self) -> None:
        """A side that reads nothing gets nothing until it reads again."""
        client, server, _ = self.pair()
        server.tcp.pauseProducing()
        client.tcp.write(b"x")
        client.tcp.loseConnection()
        self.reactor.settle()
        self.assertEqual((server.data, server.end), (b"", None))
        server.tcp.resumeProducing()
        self.reactor.settle()
        self.assertEqual((server.data, server.end), (b"x", ConnectionDone))

    def test_options(self) -> None:
        """The options of a socket are kept."""
        tcp = self.pair()[0].tcp
        tcp.setTcpNoDelay(True)
        tcp.setTcpKeepAlive(True)
        self.assertEqual((tcp.getTcpNoDelay(), tcp.getTcpKeepAlive()), (True, True))

    def test_push_producer(self) -> None:
        """A producer is paused while too much waits, and goes on when all is delivered."""
        client, server, link = self.pair()
        producer = Producer()
        client.tcp.registerProducer(producer, True)
        self.assertRaises(RuntimeError, client.tcp.registerProducer, producer, True)
        link.stall()
        client.tcp.write(b"x" * 100_000)
        self.assertEqual(producer.calls, ["pause"])
        link.resume()
        self.reactor.settle()
        self.assertEqual(producer.calls, ["pause", "resume"])
        client.tcp.loseConnection()
        self.reactor.settle()
        self.assertIsNone(client.end)
        client.tcp.unregisterProducer()
        self.reactor.settle()
        self.assertEqual((client.end, len(server.data)), (ConnectionDone, 100_000))

    def test_pull_producer(self) -> None:
        """A pull producer is asked for data whenever all its data is delivered, and is stopped with the connection."""
        client, server, link = self.pair()
        producer = Producer(client.tcp, [b"a", b"b", b"c"])
        client.tcp.registerProducer(producer, False)
        self.reactor.settle()
        self.assertEqual(server.pieces, [b"a", b"b", b"c"])
        client.tcp.registerProducer(producer, True)
        link.cut()
        self.reactor.settle()
        self.assertEqual(producer.calls[-1], "stop")


@implementer(IPushProducer)
class Producer:
    def __init__(self, transport: MemoryTransport | None = None, data: list[bytes] | None = None) -> None:
        self.calls: list[str] = []
        self.transport = transport
        self.data = data or []

    def pauseProducing(self) -> None:
        self.calls.append("pause")

    def resumeProducing(self) -> None:
        self.calls.append("resume")
        if self.transport is not None:
            if self.data:
                self.transport.write(self.data.pop(0))
            else:
                self.transport.unregisterProducer()

    def stopProducing(self) -> None:
        self.calls.append("stop")


class EndTests(NetworkTestCase):
    def test_lose_connection(self) -> None:
        """A connection that is closed delivers the written data first; both sides are notified later."""
        client, server, _ = self.pair()
        client.tcp.write(b"last words")
        client.tcp.loseConnection()
        self.assertTrue(client.tcp.disconnecting)
        self.assertIsNone(client.end)
        self.reactor.settle()
        self.assertEqual((server.data, server.end, client.end), (b"last words", ConnectionDone, ConnectionDone))
        # As with a socket: it has not closed the connection itself.
        self.assertFalse(server.tcp.disconnecting)

    def test_lose_connection_twice(self) -> None:
        """Closing again, or after the end, does nothing; writing then does nothing either."""
        client, _, _ = self.pair()
        client.tcp.loseConnection()
        client.tcp.loseConnection()
        self.reactor.settle()
        client.tcp.loseConnection()
        client.tcp.abortConnection()
        client.tcp.write(b"x")
        self.reactor.settle()
        self.assertIs(client.end, ConnectionDone)

    def test_abort(self) -> None:
        """An aborted connection drops the undelivered data in both directions."""
        client, server, _ = self.pair()
        client.tcp.write(b"x")
        server.tcp.write(b"y")
        client.tcp.abortConnection()
        self.assertIsNone(client.end)
        self.reactor.settle()
        self.assertEqual((client.data, server.data), (b"", b""))
        self.assertEqual((client.end, server.end), (ConnectionAborted, ConnectionLost))

    def test_abort_while_closing(self) -> None:
        """A connection that closes but cannot get rid of its data can be aborted."""
        client, server, link = self.pair()
        link.stall()
        client.tcp.write(b"x")
        client.tcp.loseConnection()
        self.reactor.settle()
        self.assertIsNone(client.end)
        client.tcp.abortConnection()
        self.reactor.settle()
        self.assertEqual((client.end, server.end), (ConnectionAborted, None))

    def test_protocol_raises(self) -> None:
        """A protocol that raises loses its connection, which is logged, and the rest of the world goes on."""
        client, server, _ = self.pair()
        server.raises = ZeroDivisionError()
        client.tcp.write(b"x")
        self.reactor.settle()
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)
        self.assertEqual((client.end, server.end), (ConnectionDone, ZeroDivisionError))

    def test_half_closed(self) -> None:
        """Without half-closing protocols, the end of one direction closes the connection."""
        client, server, _ = self.pair()
        client.tcp.write(b"x")
        client.tcp.loseWriteConnection()
        client.tcp.write(b"y")
        self.reactor.settle()
        self.assertEqual((server.data, server.end, client.end), (b"x", ConnectionDone, ConnectionDone))


@implementer(IHalfCloseableProtocol)
class HalfCloseable(Recorder):
    def __init__(self) -> None:
        super().__init__()
        self.halves: list[str] = []

    def readConnectionLost(self) -> None:
        self.halves.append("read")

    def writeConnectionLost(self) -> None:
        self.halves.append("write")


class HalfClosingTests(NetworkTestCase):
    def make_protocol(self) -> Recorder:
        return HalfCloseable()

    def test_half_closed(self) -> None:
        """A protocol that can be closed by halves goes on writing after the other side has stopped."""
        client, server, _ = self.pair()
        assert isinstance(server, HalfCloseable)
        client.tcp.loseWriteConnection()
        self.reactor.settle()
        self.assertEqual(server.halves, ["read"])
        server.tcp.write(b"still here")
        server.tcp.loseWriteConnection()
        self.reactor.settle()
        self.assertEqual((server.halves, client.data), (["read", "write"], b"still here"))
        self.assertEqual((client.end, server.end), (ConnectionDone, None))
        server.tcp.loseConnection()
        self.reactor.settle()
        self.assertIs(server.end, ConnectionDone)


class FaultTests(NetworkTestCase):
    def test_cut(self) -> None:
        """A cut link loses the data in flight; both sides are notified later."""
        client, server, link = self.pair()
        client.tcp.write(b"x")
        server.tcp.write(b"y")
        link.cut()
        self.assertIsNone(client.end)
        self.reactor.settle()
        self.assertEqual((client.data, server.data), (b"", b""))
        self.assertEqual((client.end, server.end), (ConnectionLost, ConnectionLost))
        self.assertEqual(self.reactor.links, [])

    def test_stall(self) -> None:
        """A stalled link delivers nothing, not even an end, until it is resumed."""
        client, server, link = self.pair()
        link.stall()
        client.tcp.write(b"x")
        server.tcp.write(b"y")
        server.tcp.loseConnection()
        self.reactor.pass_time(100)
        self.assertEqual((client.data, client.end, server.data, server.end), (b"", None, b"", None))
        link.resume()
        self.reactor.settle()
        self.assertEqual(
            (client.data, client.end, server.data, server.end), (b"y", ConnectionDone, b"x", ConnectionDone)
        )

    def test_stall_one_way(self) -> None:
        """One direction can be stalled alone."""
        client, server, link = self.pair()
        link.stall(to_server=False)
        client.tcp.write(b"x")
        server.tcp.write(b"y")
        self.reactor.settle()
        self.assertEqual((client.data, server.data), (b"", b"x"))
        link.resume()
        link.stall(to_client=False)
        client.tcp.write(b"x")
        self.reactor.settle()
        self.assertEqual((client.data, server.data), (b"y", b"x"))

    def test_end_behind_a_stall(self) -> None:
        """Closing a stalled connection without data is done at once; the other side is notified when it is resumed."""
        client, server, link = self.pair()
        link.stall()
        client.tcp.loseConnection()
        self.reactor.settle()
        self.assertEqual((client.end, server.end), (ConnectionDone, None))
        server.tcp.write(b"into the void")
        link.resume()
        self.reactor.settle()
        self.assertIs(server.end, ConnectionDone)

    def test_cut_stalled(self) -> None:
        """A stalled link can be cut."""
        client, server, link = self.pair()
        link.stall()
        link.cut()
        self.reactor.settle()
        self.assertEqual((client.end, server.end), (ConnectionLost, ConnectionLost))

    def test_cut_after(self) -> None:
        """A link can be cut behind any byte."""
        for count in range(1, 5):
            client, server, link = self.pair()
            link.cut_after(to_server=count)
            client.tcp.write(b"abcd")
            self.reactor.settle()
            self.assertEqual((server.data, server.end, client.end), (b"abcd"[:count], ConnectionLost, ConnectionLost))

    def test_cut_before_the_first(self) -> None:
        """With no byte left to deliver, the link is cut when there is one; the other direction is not concerned."""
        client, server, link = self.pair()
        link.cut_after(to_client=0)
        client.tcp.write(b"question")
        self.reactor.settle()
        self.assertEqual((server.data, client.end), (b"question", None))
        server.tcp.write(b"answer")
        self.reactor.settle()
        self.assertEqual((client.data, client.end), (b"", ConnectionLost))

    def test_cut_after_less_than_nothing(self) -> None:
        """A number of bytes is not negative."""
        link = self.pair()[2]
        self.assertRaises(ValueError, link.cut_after, to_client=-1)


class TimeTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.reactor = MemoryReactor()

    def test_settle(self) -> None:
        """settle() makes all calls that are due now, and those that they schedule for now, and no later ones."""
        seen: list[str] = []
        self.reactor.callLater(0, lambda: self.reactor.callLater(0, seen.append, "now"))
        later = self.reactor.callLater(0.1, seen.append, "later")
        self.reactor.settle()
        self.assertEqual(seen, ["now"])
        later.cancel()

    def test_spin(self) -> None:
        """An endless series of calls is an error that names the call."""
        self.reactor.patience = 100

        def spin() -> None:
            self.reactor.callLater(0, spin)

        spin()
        spinning = self.assertRaises(RuntimeError, self.reactor.settle)
        self.assertIn("spin", str(spinning))

    def test_pass_time(self) -> None:
        """Each call that becomes due sees its own time, and afterwards all of the time has passed."""
        seen: list[float] = []
        looping = LoopingCall(lambda: seen.append(self.reactor.seconds()))
        looping.clock = self.reactor
        looping.start(1.5, now=False)
        self.reactor.pass_time(5)
        self.assertEqual(seen, [1.5, 3.0, 4.5])
        self.assertEqual(self.reactor.seconds(), 5)
        looping.stop()

    def test_no_way_back(self) -> None:
        """Time does not pass backwards."""
        self.assertRaises(ValueError, self.reactor.pass_time, -1)

    def test_later_call_is_delayed(self) -> None:
        """A call that is put off does not hold up the others, and one that is brought forward is made at its new time."""
        seen: list[tuple[str, float]] = []

        def note(name: str) -> None:
            seen.append((name, self.reactor.seconds()))

        delayed, reset = (self.reactor.callLater(1, note, name) for name in ("delayed", "reset"))
        self.reactor.callLater(2, note, "other")
        hurried = self.reactor.callLater(9, note, "hurried")
        delayed.delay(4)
        reset.reset(6)
        hurried.reset(1.5)
        self.reactor.pass_time(3)
        self.assertEqual(seen, [("hurried", 1.5), ("other", 2.0)])
        self.reactor.pass_time(4)
        self.assertEqual(seen[2:], [("delayed", 5.0), ("reset", 6.0)])

    def test_order(self) -> None:
        """Calls at the same time are made in the order in which they were scheduled."""
        seen: list[int] = []
        for number, delay in enumerate((2, 1, 2, 1, 1)):
            self.reactor.callLater(delay, seen.append, number)
        self.reactor.pass_time(3)
        self.assertEqual(seen, [1, 3, 4, 0, 2])
