"""The ports: UDP and TCP, clients that are hostile or do not read, and the start, the reload and the stop."""

from __future__ import annotations

import struct
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.address import IPv4Address
from twisted.internet.defer import Deferred
from twisted.internet.error import CannotListenError, ConnectionDone
from twisted.internet.testing import StringTransport
from twisted.names import dns
from twisted.python.failure import Failure

from txmirror.dns import responding
from txmirror.dns.responding import DatagramServer, Responder, StreamFactory, StreamServer
from txmirror.dns.service import DNSService
from txmirror.dns.settings import DNSSettings
from txmirror.dns.wire import Query, Reply
from txmirror.test.dns.case import DNSTestCase, ask, decode
from txmirror.test.hypothesis_profiles import at_most
from txmirror.testing import MemoryReactor

_PEER = ("127.0.0.1", 5353)
_WEB = "web.service.mirror"


class _UDP:
    """A port that keeps what is sent."""

    def __init__(self, error: Exception | None = None) -> None:
        self.sent: list[tuple[bytes, object]] = []
        self.error = error

    def write(self, data: bytes, address: object) -> None:
        if self.error is not None:
            raise self.error
        self.sent.append((data, address))


def _framed(data: bytes) -> bytes:
    return struct.pack("!H", len(data)) + data


class DatagramTests(DNSTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.make("web", *[f"10.0.0.{number}:80" for number in range(1, 101)])
        self.server = DatagramServer(self.responder)
        self.port = _UDP()
        self.server.transport = self.port  # type: ignore[assignment]

    def receive(self, data: bytes, address: object = _PEER) -> list[bytes]:
        """Return the replies to a datagram."""
        self.port.sent.clear()
        self.server.datagramReceived(data, address)
        self.world.settle()
        return [each for each, _ in self.port.sent]

    def test_truncated(self) -> None:
        """A long list is truncated for UDP, and whole for TCP."""
        (data,) = self.receive(ask(_WEB, dns.SRV, size=4096))
        self.assertTrue(decode(data).trunc)
        self.assertLessEqual(len(data), 1232)
        reply = self.respond(ask(_WEB, dns.SRV, size=4096), by_tcp=True)
        self.assertEqual((reply.trunc, len(reply.answers)), (0, 100))

    def test_no_reply(self) -> None:
        """Replies of others, short datagrams, and those from port 0 are not answered."""
        self.receive(ask(_WEB))
        for data, address in ((ask(_WEB, answer=True), _PEER), (b"abc", _PEER), (ask(_WEB), ("127.0.0.1", 0))):
            self.assertEqual(self.receive(data, address), [])

    def test_counted(self) -> None:
        """Each reply is passed on for counts: its code, whether it was truncated, and its time."""
        seen: list[tuple[int, bool, float]] = []
        self.responder._replied = lambda *each: seen.append(each)
        self.responder._seconds = iter(range(100)).__next__
        for data in (ask(_WEB), ask(_WEB, dns.SRV, size=1232), ask("no.service.mirror"), b"abc", ask("a.example")):
            self.receive(data)
        self.assertEqual(
            [each[:2] for each in seen],
            [(dns.OK, True), (dns.OK, True), (dns.ENAME, False), (dns.EREFUSED, False)],
        )
        self.assertEqual({each[2] for each in seen}, {1})

    def test_error(self) -> None:
        """A reply that cannot be sent is lost, without an entry in the log."""
        self.port.error = PermissionError(1, "not permitted")
        self.assertEqual(self.receive(ask(_WEB)), [])

    def test_stopped(self) -> None:
        """A reply that is ready after the stop is not sent."""
        waiting: Deferred[Reply] = Deferred()
        server = DatagramServer(Responder(lambda _: waiting))
        server.transport = self.port  # type: ignore[assignment]
        server.datagramReceived(ask(_WEB), _PEER)
        server.transport = None
        waiting.callback(Reply())
        self.assertEqual(self.port.sent, [])

    def test_not_amplified(self) -> None:
        """Errors are hardly longer than the query: by the SOA record and EDNS at the most."""
        for name, kind, more in (("example.com", dns.A, 0), ("no.service.mirror", dns.A, 60), (_WEB, 255, 40)):
            query = ask(name, kind, size=1232)
            (data,) = self.receive(query)
            self.assertLessEqual(len(data), len(query) + more)

    @at_most(40)
    @given(st.binary(max_size=300), st.integers(0, 200), st.binary(max_size=4))
    def test_hostile(self, data: bytes, place: int, patch: bytes) -> None:
        """No datagram raises an exception, or is answered with one that is longer than the bound; a damaged query neither."""
        query = ask(_WEB, dns.SRV, size=1232)
        for each in (data, query[:12] + data, query[:place] + patch + query[place + len(patch) :], query[:place]):
            for reply in self.receive(each):
                decode(reply)
                self.assertLessEqual(len(reply), 1232)
        self.assertEqual(self.flushLoggedErrors(), [])

    def test_bug(self) -> None:
        """An exception in the server is logged, and the client gets a code."""

        def fail(_: Query) -> Reply:
            raise ZeroDivisionError

        self.responder.answer = fail
        self.assertEqual(decode(self.receive(ask(_WEB))[0]).rCode, dns.ESERVER)
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)

    def test_too_many(self) -> None:
        """If too many questions wait, further ones fail at once."""
        self.patch(responding, "_MOST_WAITING", 2)
        waiting: list[Deferred[Reply]] = []

        def wait(_: Query) -> Deferred[Reply]:
            waiting.append(Deferred())
            return waiting[-1]

        self.responder.answer = wait
        self.assertEqual([len(self.receive(ask(_WEB))) for _ in range(3)], [0, 0, 1])
        waiting[0].callback(Reply())
        self.assertEqual([len(self.receive(ask(_WEB))) for _ in range(2)], [0, 1])
        # A question that need not wait is answered all the same.
        self.responder.answer = lambda _: Reply()
        self.assertEqual(decode(self.receive(ask(_WEB))[0]).rCode, dns.OK)


class StreamTests(DNSTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.make("web", "10.0.0.1:80")
        self.respond(ask(_WEB))
        self.factory = StreamFactory(self.responder, self.world.reactor)

    def connect(self) -> tuple[StreamServer, StringTransport]:
        """Return a connection, and its transport."""
        protocol: StreamServer = self.factory.buildProtocol(IPv4Address("TCP", "127.0.0.1", 1))
        transport = StringTransport()
        protocol.makeConnection(transport)
        self.addCleanup(self.disconnect, protocol)
        return protocol, transport

    def disconnect(self, protocol: StreamServer) -> None:
        """Lose a connection."""
        protocol.connectionLost(Failure(ConnectionDone()))

    def test_queries(self) -> None:
        """Several queries at once, in any pieces, are answered in order."""
        protocol, transport = self.connect()
        stream = _framed(ask(_WEB)) + _framed(ask("no.mirror")) + _framed(ask("example.com"))
        for index in range(len(stream)):
            protocol.dataReceived(stream[index : index + 1])
        codes, data = [], transport.value()
        while data:
            length = int.from_bytes(data[:2], "big")
            codes.append(decode(data[2 : 2 + length]).rCode)
            data = data[2 + length :]
        self.assertEqual(codes, [dns.OK, dns.ENAME, dns.EREFUSED])

    def test_waiting(self) -> None:
        """A query waits for the answer of the one before it, and nothing is sent after the end of the connection."""
        waiting: list[Deferred[Reply]] = []

        def wait(_: Query) -> Deferred[Reply]:
            waiting.append(Deferred())
            return waiting[-1]

        self.responder.answer = wait
        protocol, transport = self.connect()
        protocol.dataReceived(_framed(ask(_WEB)) * 3)
        self.assertEqual((len(waiting), transport.producerState), (1, "paused"))
        waiting[0].callback(Reply())
        self.assertEqual(len(waiting), 2)
        self.assertGreater(len(transport.value()), 0)
        transport.clear()
        self.disconnect(protocol)
        waiting[1].callback(Reply())
        self.assertEqual((transport.value(), len(waiting)), (b"", 2))

    def test_full(self) -> None:
        """While the client does not read, no further query is answered; the connection is aborted after some time."""
        protocol, transport = self.connect()
        protocol.pauseProducing()
        protocol.dataReceived(_framed(ask(_WEB)))
        self.assertEqual((transport.value(), transport.producerState), (b"", "paused"))
        protocol.resumeProducing()
        self.assertGreater(len(transport.value()), 0)
        self.assertEqual(transport.producerState, "producing")
        protocol.pauseProducing()
        self.world.pass_time(10)
        self.assertTrue(transport.disconnecting)

    def test_silence(self) -> None:
        """A connection without queries is aborted."""
        _, transport = self.connect()
        self.world.pass_time(9)
        self.assertFalse(transport.disconnecting)
        self.world.pass_time(1)
        self.assertTrue(transport.disconnecting)

    def test_bad(self) -> None:
        """A reply of another, and a query that is too long, abort the connection."""
        for data in (_framed(ask(_WEB, answer=True)), b"\xff\xff", b"\0\0"):
            protocol, transport = self.connect()
            protocol.dataReceived(data)
            self.assertTrue(transport.disconnecting, data)

    def test_too_many(self) -> None:
        """Further connections are aborted at once."""
        self.patch(responding, "_MOST_CONNECTIONS", 1)
        first, _ = self.connect()
        self.assertTrue(self.connect()[1].disconnecting)
        for each in list(self.factory.connections):
            self.disconnect(each)
        self.assertFalse(self.connect()[1].disconnecting)
        self.assertNotIn(first, self.factory.connections)


class _Port:
    def __init__(self, open_ports: list[Any], name: tuple[Any, ...]) -> None:
        self.open, self.name = open_ports, name
        open_ports.append(name)

    def stopListening(self) -> None:
        self.open.remove(self.name)


class PortsReactor(MemoryReactor):
    """A reactor whose ports are only noted."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[Any] = []
        self.refused = False
        self.protocol: Any = None

    def listenUDP(self, port: int, protocol: Any, interface: str = "", maxPacketSize: int = 8192) -> Any:
        self.protocol = protocol
        return _Port(self.open, ("udp", interface, port))

    def listenTCP(self, port: int, factory: Any, backlog: int = 50, interface: str = "") -> Any:
        if self.refused:
            raise CannotListenError(interface, port, OSError(98, "in use"))
        return _Port(self.open, ("tcp", interface, port))


class ServiceTests(DNSTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.ports = PortsReactor()
        self.service = DNSService(reactor=self.ports)

    def code(self, name: str) -> int:
        """Return the code of the answer to a question at the port."""
        port = _UDP()
        self.ports.protocol.transport = port
        self.ports.protocol.datagramReceived(ask(name), _PEER)
        self.world.settle()
        return decode(port.sent[0][0]).rCode

    def test_life(self) -> None:
        """It listens from the start to the stop, and answers once it has a mirror."""
        self.make("web", "10.0.0.1:80")
        self.service.apply(DNSSettings(), ("127.0.0.1", 8600))
        self.assertEqual(self.ports.open, [])
        self.service.startService()
        self.assertEqual(self.ports.open, [("udp", "127.0.0.1", 8600), ("tcp", "127.0.0.1", 8600)])
        self.assertEqual(self.code(_WEB), dns.ESERVER)
        self.service.use(self.catalog)
        self.world.settle()
        self.assertEqual(self.code(_WEB), dns.OK)
        self.successResultOf(self.service.stopService())
        self.assertEqual(self.ports.open, [])

    def test_reload(self) -> None:
        """A new domain is served at the same port, a new address opens others, and without settings there are none."""
        self.service.use(self.catalog)
        self.service.startService()
        self.assertEqual(self.ports.open, [])
        self.service.apply(DNSSettings(), ("127.0.0.1", 8600))
        self.world.settle()
        opened = list(self.ports.open)
        self.assertEqual((len(opened), self.code("mirror"), self.code("other")), (2, dns.OK, dns.EREFUSED))
        self.service.apply(DNSSettings(domain="other"), ("127.0.0.1", 8600))
        self.world.settle()
        self.assertEqual((self.ports.open, self.code("mirror"), self.code("other")), (opened, dns.EREFUSED, dns.OK))
        self.service.apply(DNSSettings(domain="other"), ("127.0.0.1", 8601))
        self.assertEqual([port for _, _, port in self.ports.open], [8601, 8601])
        self.assertEqual(self.code("other"), dns.OK)
        self.service.apply(None, None)
        self.assertEqual(self.ports.open, [])
        self.successResultOf(self.service.stopService())

    def test_in_use(self) -> None:
        """A port that is in use is tried again."""
        self.ports.refused = True
        self.service.apply(DNSSettings(), ("127.0.0.1", 8600))
        self.service.startService()
        self.assertEqual([kind for kind, _, _ in self.ports.open], ["udp"])
        self.ports.advance(60)
        self.ports.refused = False
        self.ports.pump([10] * 200)
        self.assertEqual([kind for kind, _, _ in self.ports.open], ["udp", "tcp"])
        self.successResultOf(self.service.stopService())
        self.assertEqual((self.ports.open, self.ports.getDelayedCalls()), ([], []))
