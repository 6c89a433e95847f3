"""Listening on real sockets: TCP, TLS with and without clients' certificates, UNIX sockets, and the end."""

from __future__ import annotations

import os
import socket
import tempfile
from pathlib import Path
from typing import Any

from twisted.application.service import IService
from twisted.internet import ssl
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import TCP4ClientEndpoint, UNIXClientEndpoint, connectProtocol, wrapClientTLS
from twisted.internet.error import ConnectError
from twisted.internet.interfaces import IStreamClientEndpoint
from twisted.internet.protocol import Protocol
from twisted.internet.task import Clock, deferLater
from twisted.logger import globalLogPublisher
from twisted.python.failure import Failure
from twisted.trial.unittest import TestCase
from zope.interface.verify import verifyObject

from txmirror.pem import read_certificates, read_key
from txmirror.test.certificates import Authority
from txmirror.test.service.case import Log
from txmirror.test.web.exchange import Response, parse_response
from txmirror.web import Application, Call
from txmirror.web.site import AccessRules, AccessSite, Listener, ServerTLS, TCPPort, TokenFile, UNIXSocket
from txmirror.web.site.tls import RenewedContext

_TOKEN = "correct-horse-battery"


class Client(Protocol):
    """Sends a request, and keeps the bytes of the answer until the connection is closed."""

    def __init__(self, request: bytes) -> None:
        self.received = b""
        self.closed: Deferred[None] = Deferred()
        self._request = request

    def connectionMade(self) -> None:
        assert self.transport is not None
        self.transport.write(self._request)

    def dataReceived(self, data: bytes) -> None:
        self.received += data

    def connectionLost(self, reason: Failure | None = None) -> None:
        self.closed.callback(None)


class ListenerTestCase(TestCase):
    def setUp(self) -> None:
        from twisted.internet import reactor

        self.reactor: Any = reactor
        self.log = Log()
        globalLogPublisher.addObserver(self.log)
        self.addCleanup(globalLogPublisher.removeObserver, self.log)
        # The path of a socket must be short.
        folder = tempfile.TemporaryDirectory(prefix="txmirror-")
        self.addCleanup(folder.cleanup)
        self.folder = Path(folder.name)
        self.cancelled = 0
        self.waiting: Deferred[object] = Deferred(self.count)
        self.application = Application()
        self.application.get("/a", lambda call: {"secure": call.request.isSecure()})
        self.application.put("/a", lambda call: {})
        self.application.get("/wait", self.wait)
        self.application.get("/long", lambda call: {"text": "x" * 5_000_000})

    def count(self, _: object) -> None:
        self.cancelled += 1

    def wait(self, call: Call) -> Deferred[object]:
        return self.waiting

    def listen(self, address: TCPPort | UNIXSocket, **options: Any) -> Listener:
        rules = AccessRules(**options)
        site = AccessSite(self.application.resource(), rules, reactor=self.reactor)
        listener = Listener(address, site, "The page", self.reactor)
        self.assertTrue(verifyObject(IService, listener))
        listener.startService()
        self.addCleanup(listener.stopService)
        return listener

    def endpoint(self, listener: Listener) -> IStreamClientEndpoint:
        assert listener.port is not None
        host: Any = listener.port.getHost()
        return TCP4ClientEndpoint(self.reactor, "127.0.0.1", host.port)

    async def begin(self, endpoint: IStreamClientEndpoint, request: str) -> Client:
        client = Client(request.encode())
        await connectProtocol(endpoint, client)
        return client

    async def ask(self, endpoint: IStreamClientEndpoint, method: str = "GET", *headers: str) -> Response:
        lines = [f"{method} /a HTTP/1.1", "Host: localhost", "Connection: close", *headers, "", ""]
        client = await self.begin(endpoint, "\r\n".join(lines))
        await client.closed
        return parse_response(client.received)


class TCPTests(ListenerTestCase):
    async def test_answer(self) -> None:
        """Requests are answered, and nobody may change anything."""
        listener = self.listen(TCPPort("127.0.0.1", 0))
        self.assertEqual((await self.ask(self.endpoint(listener))).value, {"secure": False})
        self.assertEqual((await self.ask(self.endpoint(listener), "PUT")).status, 403)

    async def test_any_port(self) -> None:
        """If its port is taken, a listener may take another one."""
        with socket.create_server(("127.0.0.1", 0)) as other:
            taken = other.getsockname()[1]
            listener = self.listen(TCPPort("127.0.0.1", taken, or_any_port=True))
            self.assertEqual((await self.ask(self.endpoint(listener))).status, 200)
            refused = self.listen(TCPPort("127.0.0.1", taken))
            self.assertIsNone(refused.port)
            self.assertEqual(refused.problem, "Address already in use")
            (line,) = self.log.about("The page cannot be served")
            self.assertIn(f"127.0.0.1:{taken}: Address already in use", line)

    async def test_stop(self) -> None:
        """At the end all connections are closed: handlers are cancelled, and a client that does not read is cut."""
        listener = self.listen(TCPPort("127.0.0.1", 0))
        waiting = await self.begin(self.endpoint(listener), "GET /wait HTTP/1.1\r\nHost: localhost\r\n\r\n")
        silent = await self.begin(self.endpoint(listener), "")
        slow = await self.begin(self.endpoint(listener), "GET /long HTTP/1.1\r\nHost: localhost\r\n\r\n")
        slow.transport.pauseProducing()  # type: ignore[union-attr]
        await deferLater(self.reactor, 0.1, lambda: None)
        await listener.stopService()
        self.assertEqual(self.cancelled, 1)
        await waiting.closed
        await silent.closed
        slow.transport.resumeProducing()  # type: ignore[union-attr]
        await slow.closed
        self.assertLess(len(slow.received), 5_000_000)
        self.assertEqual(self.flushLoggedErrors(), [])
        # Once more does no harm.
        await listener.stopService()


class TLSTests(ListenerTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.authority = Authority(self.folder, "authority")
        self.certificate = self.authority.vouch("server", "localhost")

    def secure(self, listener: Listener, certificate: Path | None = None) -> IStreamClientEndpoint:
        options: dict[str, Any] = {}
        if certificate is not None:
            own = ssl.PrivateCertificate.fromCertificateAndKeyPair(
                read_certificates(certificate)[0], ssl.KeyPair(read_key(certificate))
            )
            options["clientCertificate"] = own
        trusted = ssl.trustRootFromCertificates(read_certificates(self.authority.file))
        return wrapClientTLS(ssl.optionsForClientTLS("localhost", trusted, **options), self.endpoint(listener))

    def tls(self, client_ca: Path | None = None, *, required: bool = True) -> TCPPort:
        return TCPPort("127.0.0.1", 0, ServerTLS(self.certificate, None, client_ca, required))

    async def test_server(self) -> None:
        """A listener with a certificate speaks HTTPS, and the origin must be one of HTTPS."""
        listener = self.listen(self.tls(), changing=True)
        self.assertEqual((await self.ask(self.secure(listener))).value, {"secure": True})
        self.assertEqual((await self.ask(self.secure(listener), "PUT", "Origin: https://localhost")).status, 200)
        self.assertEqual((await self.ask(self.secure(listener), "PUT", "Origin: http://localhost")).status, 403)

    async def test_client_certificate(self) -> None:
        """A client with a certificate of the authority may read and change; TLS refuses others."""
        listener = self.listen(self.tls(self.authority.file), reading=False, certificates=True)
        mine = self.authority.vouch("client")
        self.assertEqual((await self.ask(self.secure(listener, mine))).status, 200)
        self.assertEqual((await self.ask(self.secure(listener, mine), "PUT")).status, 200)
        foreign = Authority(self.folder, "foreign").vouch("stranger")
        for certificate in (None, foreign):
            client = await self.begin(self.secure(listener, certificate), "GET /a HTTP/1.0\r\nHost: localhost\r\n\r\n")
            await client.closed
            self.assertEqual(client.received, b"")

    async def test_certificate_or_token(self) -> None:
        """Where there is a token too, either is enough."""
        token = self.folder / "token"
        token.write_text(_TOKEN)
        token.chmod(0o600)
        rules: dict[str, Any] = {"reading": False, "certificates": True, "token": TokenFile(token, self.reactor)}
        listener = self.listen(self.tls(self.authority.file, required=False), **rules)
        mine = self.authority.vouch("client")
        self.assertEqual((await self.ask(self.secure(listener, mine))).status, 200)
        self.assertEqual((await self.ask(self.secure(listener))).status, 401)
        right = f"Authorization: Bearer {_TOKEN}"
        self.assertEqual((await self.ask(self.secure(listener), "PUT", right)).status, 200)

    def test_invalid_files(self) -> None:
        """Files that cannot be used are one line in the log, and the listener tries again."""
        (self.folder / "empty.pem").write_text("")
        fifo = self.folder / "fifo"
        os.mkfifo(fifo)
        key = self.authority.vouch("other")
        for tls, reason in (
            (ServerTLS(self.folder / "missing.pem"), "cannot be read: No such file or directory"),
            (ServerTLS(self.folder / "empty.pem"), "has no certificate in PEM"),
            (ServerTLS(self.certificate, key), "do not belong together"),
            (ServerTLS(self.certificate, None, self.folder / "empty.pem"), "has no certificate in PEM"),
            (ServerTLS(fifo), "cannot be read: it is not a regular file"),
            (ServerTLS(self.certificate, fifo), "cannot be read: it is not a regular file"),
            (ServerTLS(self.folder), "cannot be read: it is not a regular file"),
        ):
            self.log.lines.clear()
            listener = self.listen(TCPPort("127.0.0.1", 0, tls))
            self.assertIsNone(listener.port)
            (line,) = self.log.lines
            self.assertIn(reason, line)

    def test_renewed(self) -> None:
        """A renewed certificate is used from the next connection on. While its files are invalid, the former one stays, with one line."""
        clock: Any = Clock()
        key = self.folder / "own.key"
        first, second = self.certificate.read_text(), self.authority.vouch("server", "localhost").read_text()
        for text in (first, second):
            self.assertIn("PRIVATE KEY", text)
        self.certificate.write_text(first)
        key.write_text(first)
        renewed = RenewedContext(ServerTLS(self.certificate, key), clock)
        contexts = [renewed.context()]

        def look(certificate: str | None = None, of_key: str | None = None) -> bool:
            """Change files, and return whether the context is another one, after the time for which it counts."""
            if certificate is not None:
                self.certificate.write_text(certificate)
            if of_key is not None:
                key.write_text(of_key)
            self.assertIs(renewed.context(), contexts[-1])
            clock.advance(1)
            contexts.append(renewed.context())
            return contexts[-1] is not contexts[-2]

        self.assertFalse(look())
        # The key is written after the certificate.
        self.assertFalse(look(certificate=second))
        self.assertFalse(look())
        (line,) = self.log.lines
        self.assertIn("The former certificate stays in use: ", line)
        self.assertIn("do not belong together", line)
        self.assertTrue(look(of_key=second))
        self.assertEqual(len(self.log.about("was read again.")), 1)
        self.certificate.unlink()
        self.assertFalse(look())
        self.assertEqual(len(self.log.about("No such file")), 1)
        self.assertTrue(look(certificate=first, of_key=first))
        # The wall clock was set back.
        clock.rightNow -= 3600
        self.certificate.write_text(second)
        key.write_text(second)
        self.assertIsNot(renewed.context(), contexts[-1])

    async def test_renewed_connections(self) -> None:
        """New connections get the renewed certificate."""
        listener = self.listen(self.tls())
        self.assertEqual((await self.ask(self.secure(listener))).status, 200)
        self.authority = Authority(self.folder, "authority")
        self.certificate = self.authority.vouch("server", "localhost")
        await deferLater(self.reactor, 1.1)
        self.assertEqual((await self.ask(self.secure(listener))).status, 200)

    async def test_no_tls(self) -> None:
        """A client without TLS gets nothing, and nothing is logged."""
        listener = self.listen(self.tls())
        client = await self.begin(self.endpoint(listener), "GET /a HTTP/1.0\r\nHost: localhost\r\n\r\n")
        await client.closed
        self.assertFalse(client.received.startswith(b"HTTP"))
        self.assertEqual(self.log.lines, [])
        self.assertEqual(self.flushLoggedErrors(), [])


class UNIXTests(ListenerTestCase):
    async def test_answer(self) -> None:
        """At a UNIX socket any host is accepted; changes are not, unless it is the control socket."""
        path = str(self.folder / "socket")
        self.listen(UNIXSocket(path), hosts=None)
        endpoint = UNIXClientEndpoint(self.reactor, path)
        self.assertEqual((await self.ask(endpoint)).status, 200)
        self.assertEqual((await self.ask(endpoint, "PUT")).status, 403)

    async def test_deleted(self) -> None:
        """A socket that somebody has deleted does not hold up the end."""
        path = self.folder / "socket"
        listener = self.listen(UNIXSocket(str(path)))
        path.unlink()
        await listener.stopService()
        with self.assertRaises(ConnectError):
            await self.ask(UNIXClientEndpoint(self.reactor, str(path)))
