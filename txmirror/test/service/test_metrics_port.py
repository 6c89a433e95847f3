"""The TCP port of the metrics: it serves three pages to a bounded number of clients, and does not prevent the daemon's start."""

from __future__ import annotations

import socket
import tempfile
from typing import Any

from twisted.application.service import IService
from twisted.internet.defer import Deferred
from twisted.internet.protocol import ClientFactory, Protocol
from twisted.logger import LogLevel
from twisted.trial.unittest import TestCase
from zope.interface.verify import verifyObject

from txmirror.configuration import SocketAddress
from txmirror.service import Daemon, MetricsService, RegistrationService
from txmirror.test.constant_random import ConstantRandom
from txmirror.test.service.case import service
from txmirror.test.service.metrics_case import MetricsTestCase, Response, parse_response

_PORT = 9145


class Client(Protocol):
    """Keeps the bytes that it receives."""

    def __init__(self) -> None:
        self.received = b""
        self.closed = False

    def dataReceived(self, data: bytes) -> None:
        self.received += data

    def connectionLost(self, reason: object = None) -> None:
        self.closed = True


class PortTestCase(MetricsTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.web = self.daemon(service("web", checks=0))

    def serve(self) -> MetricsService:
        metrics = MetricsService(self.web, SocketAddress("127.0.0.1", _PORT), self.reactor)
        self.assertTrue(verifyObject(IService, metrics))
        metrics.startService()
        self.addCleanup(metrics.stopService)
        self.reactor.settle()
        return metrics

    def connect(self, data: bytes = b"") -> Client:
        client = Client()
        factory: Any = ClientFactory()
        factory.buildProtocol = lambda _: client
        self.reactor.connectTCP("127.0.0.1", _PORT, factory)
        self.reactor.settle()
        if client.transport is not None:
            client.transport.write(data)
        self.reactor.settle()
        return client

    def ask(self, method: str, path: str, body: bytes = b"") -> Response:
        head = f"{method} {path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: {len(body)}\r\n\r\n"
        return parse_response(self.connect(head.encode() + body).received)

    def end(self, daemon: Daemon, seconds: float = 0.0) -> None:
        # Open connections of the clients are closed with their idle time.
        self.reactor.pass_time(60)
        super().end(daemon, seconds)


class PortTests(PortTestCase):
    def test_pages(self) -> None:
        """It serves the metrics, and no operation of the control socket."""
        metrics = self.serve()
        self.assertEqual(
            self.log.about("The metrics are at"), [f"The metrics are at http://127.0.0.1:{_PORT}/metrics."]
        )
        response = self.ask("GET", "/metrics")
        self.assertEqual(response.status, 200)
        self.assertIn('txmirror_services{condition="registering"} 1.0\n', response.text)
        self.assertEqual(self.ask("GET", "/healthz").status, 200)
        self.assertEqual(self.ask("GET", "/readyz").status, 503)
        self.assertEqual(self.ask("PUT", "/v1/daemon/drain").status, 404)
        self.assertEqual(self.ask("POST", "/metrics").status, 405)
        self.assertFalse(self.web.supervisor.drained)
        stopped = metrics.stopService()
        self.reactor.settle()
        self.assertIsNone(self.successResultOf(stopped))
        self.assertIsNone(self.connect().transport)

    def test_bodies(self) -> None:
        """The body of a request is not kept, however long it is."""
        self.serve()

        def refuse() -> Any:
            raise AssertionError("the body is kept on the disk")

        self.patch(tempfile, "TemporaryFile", refuse)
        response = self.ask("GET", "/healthz", b"x" * 1_000_000)
        self.assertEqual(response.status, 200)

    def test_silent(self) -> None:
        """A silent client is disconnected."""
        self.serve()
        client = self.connect()
        self.assertFalse(client.closed)
        self.reactor.pass_time(60)
        self.assertTrue(client.closed)

    def test_many(self) -> None:
        """More clients than the limit are turned away, so that the daemon's own connections have room."""
        self.serve()
        clients = [self.connect() for _ in range(70)]
        self.assertEqual(sum(not client.closed for client in clients), 64)
        self.reactor.pass_time(60)
        self.assertEqual(self.ask("GET", "/healthz").status, 200)

    def test_in_use(self) -> None:
        """A port in use is one line; the metrics are there when it is free."""
        factory: Any = ClientFactory()
        other = self.reactor.listenTCP(_PORT, factory, interface="127.0.0.1")
        self.serve()
        self.reactor.pass_time(100)
        (line,) = self.log.about("The metrics cannot be served")
        self.assertTrue(line.startswith(f"The metrics cannot be served at 127.0.0.1:{_PORT}: "), line)
        self.assertIs(self.log.worst, LogLevel.error)
        other.stopListening()
        self.reactor.pass_time(200)
        self.assertEqual(self.ask("GET", "/healthz").status, 200)


class LaunchTests(PortTestCase):
    """The port of ``[daemon] metrics``, from the start of twistd's service to the end of its stop."""

    def test_launched(self) -> None:
        """The port is there if the configuration has it, until the services are withdrawn and drained."""
        self.server.listen(2181)
        for address, status in (("", None), (f'metrics = "127.0.0.1:{_PORT}"', 200)):
            self.write(service("db", checks=0, drain="5s"), daemon=address)
            launched = RegistrationService(self.load(), random=self.chance, reactor=self.reactor)
            launched.startService()
            self.reactor.settle()
            self.assertEqual(self.status(), status)
            stopped = launched.stopService()
            self.reactor.pass_time(3)
            self.assertEqual(self.status(), None if status is None else 503)
            self.reactor.pass_time(10)
            self.successResultOf(stopped)
            self.assertIsNone(self.status())

    def status(self) -> int | None:
        """Return the status of ``/readyz``; None if nothing listens there."""
        client = self.connect(b"GET /readyz HTTP/1.0\r\n\r\n")
        return parse_response(client.received).status if client.received else None


class SocketTests(TestCase):
    """On real sockets."""

    async def test_in_use(self) -> None:
        """The line has the operating system's reason."""
        from twisted.internet import reactor
        from twisted.logger import globalLogPublisher

        from txmirror.configuration import from_options
        from txmirror.test.service.case import Log

        log = Log()
        globalLogPublisher.addObserver(log)
        self.addCleanup(globalLogPublisher.removeObserver, log)
        configuration = from_options([("register", "/a")], servers="127.0.0.1:1", session_timeout=4.0)
        with socket.create_server(("127.0.0.1", 0)) as other:
            port = other.getsockname()[1]
            daemon = Daemon(configuration, random=ConstantRandom(0.5), reactor=reactor)
            metrics = MetricsService(daemon, SocketAddress("127.0.0.1", port), reactor)
            metrics.startService()
            stopped: Deferred[None] = metrics.stopService()
            await stopped
        (line,) = log.about("cannot be served")
        self.assertIn(f"127.0.0.1:{port}: Address already in use. Retrying; everything else runs", line)
