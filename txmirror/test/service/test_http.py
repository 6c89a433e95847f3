"""The HTTP server by [http]: where it listens, who may ask, and reloads that keep its port."""

from __future__ import annotations

from typing import Any

from twisted.internet.protocol import ClientFactory
from twisted.internet.task import deferLater
from twisted.logger import globalLogPublisher
from twisted.trial.unittest import SynchronousTestCase, TestCase
from twisted.web.static import Data

from txmirror.configuration import HTTPServer, SocketAddress, UNIXAddress
from txmirror.service.http import HTTPService, rules_of
from txmirror.test.service.case import Log
from txmirror.test.service.test_metrics_port import Client
from txmirror.test.zookeeper import free_ports
from txmirror.testing import MemoryReactor

_HERE = SocketAddress("127.0.0.1", 8580)


class HTTPTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.log = Log()
        globalLogPublisher.addObserver(self.log)
        self.addCleanup(globalLogPublisher.removeObserver, self.log)
        self.reactor = MemoryReactor()
        self.http = HTTPService(self.reactor)

    def tearDown(self) -> None:
        stopped = self.http.stopService()
        self.reactor.pass_time(60)
        self.successResultOf(stopped)
        self.assertEqual(self.reactor.getDelayedCalls(), [])

    def serve(self, table: HTTPServer | None, **keys: Any) -> None:
        """Serve a text by a table."""
        self.http.apply(table)
        resource = Data(b"hello", "text/plain")
        resource.isLeaf = True
        self.http.serve(resource, **keys)
        self.http.startService()
        self.reactor.settle()

    def connect(self, port: int = _HERE.port, host: str = "localhost") -> Client:
        """Send a request, and return the client with what it has received."""
        client = Client()
        factory: Any = ClientFactory()
        factory.buildProtocol = lambda _: client
        self.reactor.connectTCP("127.0.0.1", port, factory)
        self.reactor.settle()
        if client.transport is not None:
            client.transport.write(f"GET / HTTP/1.1\r\nHost: {host}\r\n\r\n".encode())
        self.reactor.settle()
        return client

    def test_nothing(self) -> None:
        """Without the table nothing listens."""
        self.serve(None)
        self.assertEqual((self.http.address, self.http.problem), (None, None))
        self.assertIsNone(self.connect().transport)

    def test_address(self) -> None:
        """The address is logged, and the connections are closed in the stop."""
        self.serve(HTTPServer())
        self.assertEqual(self.log.about("The page is at"), ["The page is at http://127.0.0.1:8580/."])
        self.assertEqual(self.http.address, "http://127.0.0.1:8580/")
        client = self.connect()
        self.assertIn(b"hello", client.received)
        stopped = self.http.stopService()
        self.reactor.pass_time(2)
        self.successResultOf(stopped)
        self.assertTrue(client.closed)
        self.assertIsNone(self.http.address)

    def test_reload(self) -> None:
        """Another table at the same port is applied at once, the same table changes nothing, and the last one counts."""
        self.serve(HTTPServer())
        client = self.connect()
        self.http.apply(HTTPServer())
        self.reactor.settle()
        self.assertFalse(client.closed)
        self.assertIn(b" 403 ", self.connect(host="a.example").received)
        self.http.apply(HTTPServer(hosts=("b.example",)))
        self.http.apply(HTTPServer(hosts=("a.example",)))
        self.reactor.pass_time(2)
        self.assertTrue(client.closed)
        self.assertIn(b"hello", self.connect(host="a.example").received)
        self.assertIn(b" 403 ", self.connect(host="b.example").received)
        self.http.apply(None)
        self.reactor.pass_time(2)
        self.assertIsNone(self.connect().transport)
        self.http.apply(HTTPServer(listen=SocketAddress("127.0.0.1", 81)))
        self.reactor.settle()
        self.assertIn(b"hello", self.connect(81).received)

    def test_stop_during_a_reload(self) -> None:
        """A stop while the old port is being closed opens no other one."""
        self.serve(HTTPServer())
        self.connect()
        self.http.apply(HTTPServer(streams=5))
        stopped = self.http.stopService()
        self.reactor.pass_time(2)
        self.successResultOf(stopped)
        self.assertIsNone(self.connect().transport)

    def test_taken(self) -> None:
        """If the port is taken, that is known, and it is tried again; or a free one is taken."""
        factory: Any = ClientFactory()
        port = self.reactor.listenTCP(8580, factory, interface="127.0.0.1")
        self.serve(HTTPServer())
        self.assertIsNone(self.http.address)
        self.assertIsNotNone(self.http.problem)
        port.stopListening()
        self.reactor.pass_time(60)
        self.assertEqual((self.http.address, self.http.problem), ("http://127.0.0.1:8580/", None))

    def test_reload_while_taken(self) -> None:
        """After a reload that ends the attempts at a port that is taken, there is one listener, which the next reload ends."""
        factory: Any = ClientFactory()
        port = self.reactor.listenTCP(8580, factory, interface="127.0.0.1")
        self.serve(HTTPServer())
        self.http.apply(HTTPServer(listen=SocketAddress("127.0.0.1", 81)))
        self.reactor.settle()
        self.assertIn(b"hello", self.connect(81).received)
        self.assertEqual(self.log.about("cannot be served at 127.0.0.1:81"), [])
        self.http.apply(HTTPServer(listen=SocketAddress("127.0.0.1", 82)))
        self.reactor.pass_time(2)
        self.assertIn(b"hello", self.connect(82).received)
        self.assertIsNone(self.connect(81).transport)
        port.stopListening()
        self.reactor.pass_time(1000)
        self.assertIsNone(self.connect(8580).transport)

    def test_any_port(self) -> None:
        """The demonstration takes a free port then."""
        factory: Any = ClientFactory()
        port = self.reactor.listenTCP(8580, factory, interface="127.0.0.1")
        self.serve(HTTPServer(), or_any_port=True)
        address = self.http.address
        assert address is not None
        number = int(address.rstrip("/").rpartition(":")[2])
        self.assertNotIn(number, (0, 8580))
        self.assertIn(b"hello", self.connect(number).received)
        port.stopListening()

    def test_certificates(self) -> None:
        """TLS refuses clients without a certificate, unless they may have a token, or are on this machine."""
        anywhere = SocketAddress("0.0.0.0", 8580)  # noqa: S104 - nothing listens
        for listen, token, required in ((anywhere, None, True), (anywhere, "/t", False), (_HERE, None, False)):
            table = HTTPServer(listen=listen, certificate="/c", client_ca="/a", token_file=token)
            tls = self.http._port(listen, table).tls
            assert tls is not None
            self.assertEqual((tls.client_ca, tls.required), ("/a", required), table)

    def test_rules(self) -> None:
        """This machine may read; others need a token or a certificate; a change needs one everywhere."""
        anywhere = SocketAddress("0.0.0.0", 8580)  # noqa: S104 - nothing listens
        for table, expected in (
            (HTTPServer(), ((), True, False, False, False)),
            (HTTPServer(hosts=("a",), token_file="/t"), (("a",), True, False, True, False)),
            (HTTPServer(listen=anywhere, token_file="/t"), ((), False, False, True, False)),
            (HTTPServer(listen=anywhere, certificate="/c", client_ca="/a"), ((), False, False, False, True)),
            (HTTPServer(listen=UNIXAddress("/s")), (None, True, False, False, False)),
        ):
            rules = rules_of(table, self.reactor)
            found = (rules.hosts, rules.reading, rules.changing, rules.token is not None, rules.certificates)
            self.assertEqual(found, expected, table)


class RealPortTests(TestCase):
    async def test_reload(self) -> None:
        """With other settings for the same port, it is opened again when it is closed: without a failure."""
        from twisted.internet import reactor

        log = Log()
        globalLogPublisher.addObserver(log)
        self.addCleanup(globalLogPublisher.removeObserver, log)
        (port,) = free_ports(1)
        http = HTTPService(reactor)
        self.addCleanup(http.stopService)
        http.apply(HTTPServer(listen=SocketAddress("127.0.0.1", port)))
        http.serve(Data(b"hello", "text/plain"))
        http.startService()
        self.assertIsNotNone(http.address)
        http.apply(HTTPServer(listen=SocketAddress("127.0.0.1", port), streams=5))
        self.assertIsNone(http.address)
        while http.address is None:
            await deferLater(reactor, 0.01)
        self.assertEqual(len(log.about("The page is at")), 2)
        self.assertEqual(log.about("cannot be served"), [])
