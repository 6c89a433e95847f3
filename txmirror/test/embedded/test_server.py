"""The server as a whole: its port, its controls, and invalid input."""

from __future__ import annotations

from twisted.internet.error import CannotListenError
from twisted.internet.interfaces import IListeningPort
from twisted.logger import ILogObserver, LogEvent, LogLevel, formatEvent, globalLogPublisher
from zope.interface import implementer
from zope.interface.verify import verifyObject

from txmirror.embedded import EmbeddedServer
from txmirror.errors import (
    BadVersionException,
    MarshallingErrorException,
    ReconfigDisabledException,
    UnimplementedException,
)
from txmirror.test.embedded.peer import Peer, ServerTestCase
from txmirror.testing import MemoryReactor
from txmirror.types import OPEN_ACL
from txmirror.wire import (
    CheckVersionRequest,
    CreateRequest,
    ExistsRequest,
    PingRequest,
    ReconfigRequest,
    RequestHeader,
    SaslRequest,
    SaslResponse,
    encode_frame,
)


class PortTests(ServerTestCase):
    def test_address(self) -> None:
        """A server knows where it listens."""
        self.assertEqual(self.server.address, "127.0.0.1:2181")

    def test_free_port(self) -> None:
        """Port 0 takes a free one."""
        server = EmbeddedServer(self.reactor)
        server.listen()
        self.assertNotEqual(server.address, "127.0.0.1:0")
        self.settle(server.stop())

    def test_ipv6(self) -> None:
        """An IPv6 address is written in brackets."""
        server = EmbeddedServer(self.reactor)
        server.listen(2181, "::1")
        self.assertEqual(server.address, "[::1]:2181")
        self.settle(server.stop())

    def test_no_address(self) -> None:
        """A server that never listened has no address."""
        server = EmbeddedServer(self.reactor)
        self.assertIn("listen()", str(self.assertRaises(RuntimeError, lambda: server.address)))

    def test_twice(self) -> None:
        """A server listens once."""
        self.assertIn("127.0.0.1:2181", str(self.assertRaises(ValueError, self.server.listen)))

    def test_port_taken(self) -> None:
        """A port that is taken is no port for a second server, which can then take another."""
        server = EmbeddedServer(self.reactor)
        self.assertRaises(CannotListenError, server.listen, 2181)
        server.listen(2182)
        self.settle(server.stop())

    def test_bad_arguments(self) -> None:
        """An invalid argument is refused with a message that quotes it."""
        for name in ("tick_time", "container_check_interval"):
            for seconds in (0, -1, float("nan")):
                error = self.assertRaises(ValueError, EmbeddedServer, self.reactor, **{name: seconds})
                self.assertIn(f"{name} is {seconds!r}", str(error))
        server = EmbeddedServer(self.reactor)
        self.assertIn("65536", str(self.assertRaises(ValueError, server.listen, 65536)))

    def test_tick_time(self) -> None:
        """Timeouts follow the tick."""
        self.settle(self.server.stop())
        self.server = EmbeddedServer(self.reactor, tick_time=2)
        self.server.listen(2181)
        peer = self.peer(timeout=1)
        assert peer.welcome is not None
        self.assertEqual(peer.welcome.timeOut, 4000)


class RestartTests(ServerTestCase):
    def test_restart(self) -> None:
        """A restart keeps data and sessions, however long it takes, and every session gets its full timeout again."""
        peer = self.peer(timeout=2000)
        peer.create("/e", flags=1)
        self.settle(self.server.stop_listening())
        self.assertIsNotNone(peer.lost)
        self.assertEqual(self.reactor.getDelayedCalls(), [])
        self.reactor.pass_time(60)
        self.server.listen(2181)
        self.reactor.pass_time(1.9)
        again = self.peer(resume=peer)
        self.assertEqual(again.get("/e").stat.ephemeralOwner, peer.session)

    def test_nobody_returns(self) -> None:
        """Sessions that nobody comes back to end after the restart."""
        self.peer(timeout=1000)
        self.settle(self.server.stop_listening())
        self.server.listen(2181)
        self.reactor.pass_time(1.6)
        self.assertEqual(self.server.sessions, frozenset())

    def test_down(self) -> None:
        """While it does not listen, nobody gets in."""
        self.settle(self.server.stop_listening())
        peer = self.connect()
        self.assertIsNone(peer.transport)

    def test_stop(self) -> None:
        """A server that is stopped has no sessions, no connections and no timers."""
        peer = self.peer()
        self.settle(self.server.stop())
        self.assertIsNotNone(peer.lost)
        self.assertEqual(self.server.sessions, frozenset())
        self.assertEqual(self.reactor.getDelayedCalls(), [])

    def test_stop_twice(self) -> None:
        """A second stop is no error."""
        self.settle(self.server.stop())
        self.settle(self.server.stop())
        self.settle(self.server.stop_listening())


class NonsenseTests(ServerTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.lines: list[str] = []

        @implementer(ILogObserver)
        def observe(event: LogEvent) -> None:
            if event["log_level"] is LogLevel.warn:
                self.lines.append(formatEvent(event))

        globalLogPublisher.addObserver(observe)
        self.addCleanup(globalLogPublisher.removeObserver, observe)
        self.witness = self.peer()

    def assert_closed(self, peer: Peer, why: str) -> None:
        """Assert that the peer lost its connection, that one line has the reason, and that another client is not
        affected.
        """
        self.reactor.settle()
        self.assertIsNotNone(peer.lost)
        (line,) = self.lines
        self.assertIn(why, line)
        self.witness.ping()

    def test_http(self) -> None:
        """A client of another protocol gets no reply."""
        peer = self.connect()
        peer.raw(b"GET / HTTP/1.1\r\n\r\n")
        self.assert_closed(peer, "announces a length of")
        self.assertEqual(peer.text, b"")

    def test_negative_length(self) -> None:
        """A negative length ends the connection."""
        peer = self.peer()
        peer.raw(b"\xff\xff\xff\xff")
        self.assert_closed(peer, "announces a length of -1")

    def test_short_handshake(self) -> None:
        """A handshake that ends too early ends the connection."""
        peer = self.connect()
        peer.raw(encode_frame(b"\0\0\0\0"))
        self.assert_closed(peer, "ends within")

    def test_short_header(self) -> None:
        """A request without a whole header ends the connection."""
        peer = self.peer()
        peer.raw(encode_frame(b"\0\0\0\0"))
        self.assert_closed(peer, "ends within")

    def test_nothing_after_nonsense(self) -> None:
        """The server ignores bytes after an invalid frame in the same piece."""
        peer = self.peer()
        create = CreateRequest("/a", b"", (), 0)
        peer.raw(encode_frame(b"") + encode_frame(RequestHeader(1, create.operation).encode() + create.encode()))
        self.assert_closed(peer, "ends within")
        self.assertEqual(self.server.zxid, 2)

    def test_largest_request(self) -> None:
        """A request of ``jute.maxbuffer`` bytes is served; one byte more costs the connection."""
        peer = self.peer()
        room = 0xFFFFF - 8 - len(CreateRequest("/a", b"", OPEN_ACL, 0).encode())
        peer.create("/a", b"x" * room)
        with self.assertRaises(ValueError):
            peer.create("/b", b"x" * (room + 1))
        self.assert_closed(peer, "1048576 bytes")

    def test_unknown_operation(self) -> None:
        """An operation that 3.8.0 does not know gets an answer without a zxid, and ends the connection."""
        peer = self.peer()
        peer.raw(encode_frame(RequestHeader(7, 999).encode()))
        (reply,) = peer.take()
        self.assertEqual(reply, (7, -1, UnimplementedException.code, b""))
        self.assert_closed(peer, "999")

    def test_unreadable_request(self) -> None:
        """A request that ends too early is refused, and the connection stands."""
        peer = self.peer()
        for operation in (1, 4, 13, 14, 21, 22, 103, 105, 106):
            peer.raw(encode_frame(RequestHeader(7, operation).encode() + b"\0"))
            (reply,) = peer.take()
            self.assertEqual(reply, (7, self.server.zxid, MarshallingErrorException.code, b""))
        self.assertEqual(len(self.lines), 9)

    def test_check_alone(self) -> None:
        """A check that stands alone has an answer only if it fails: so the real server has it."""
        peer = self.peer()
        before = self.server.zxid
        peer.send(CheckVersionRequest("/", -1))
        self.assertEqual(peer.take(), [])
        self.assertEqual(peer.ask(CheckVersionRequest("/", 7)).err, BadVersionException.code)
        self.assertEqual(self.server.zxid, before + 2)

    def test_reconfiguration(self) -> None:
        """The members of the ensemble cannot be changed; the failed request uses up a zxid."""
        peer = self.peer()
        before = self.server.zxid
        reply = peer.ask(ReconfigRequest("server.2=host:1:2;3", None, None, -1))
        self.assertEqual((reply.err, reply.zxid), (ReconfigDisabledException.code, before + 1))

    def test_sasl(self) -> None:
        """A client that begins a SASL exchange gets a null token, as from a server that is not configured for SASL."""
        reply = self.witness.ask(SaslRequest(b"token"))
        self.assertEqual((reply.zxid, reply.err, reply.read(SaslResponse).token), (0, 0, None))
        peer = self.peer()
        peer.send(SaslRequest(None))
        self.assert_closed(peer, "SASL")

    def test_stream_in_pieces(self) -> None:
        """Requests may come byte by byte, or many at once."""
        self.reactor.piece = 1
        peer = self.peer()
        self.assertTrue(peer.exists("/"))
        self.reactor.piece = None
        ping = encode_frame(RequestHeader(-2, PingRequest.operation).encode())
        peer.raw(ping * 3)
        self.assertEqual(len(peer.take()), 3)

    def test_unanswered(self) -> None:
        """The server executes a request whose connection has closed, and drops its reply."""
        peer = self.peer()
        create = CreateRequest("/a", b"", OPEN_ACL, 0)
        self.reactor.links[-1].cut_after(to_client=0)
        peer.raw(encode_frame(RequestHeader(1, create.operation).encode() + create.encode()))
        self.assertIsNotNone(peer.lost)
        self.assertEqual(peer.received, [])
        self.assertEqual(self.witness.ask(ExistsRequest("/a", False)).err, 0)


class ReactorTests(ServerTestCase):
    def test_port_interface(self) -> None:
        """``listen`` returns a port like a reactor's."""
        server = EmbeddedServer(MemoryReactor())
        verifyObject(IListeningPort, server.listen())
