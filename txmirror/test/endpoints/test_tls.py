"""Client endpoints with TLS, in memory: a connection is established when the certificate of the instance was checked."""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.endpoints import TCP4ServerEndpoint, connectProtocol
from twisted.internet.interfaces import IHandshakeListener, IProtocolNegotiationFactory
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.internet.ssl import (
    Certificate,
    CertificateOptions,
    PrivateCertificate,
    optionsForClientTLS,
    trustRootFromCertificates,
)
from twisted.protocols.tls import TLSMemoryBIOFactory
from twisted.python.failure import Failure
from twisted.trial.unittest import SkipTest, TestCase
from zope.interface import implementer

from txmirror.client import TLS
from txmirror.endpoints import ProviderClientEndpoint
from txmirror.errors import NoInstanceException
from txmirror.test.certificates import Authority
from txmirror.test.endpoints.case import PORT, ConnectCase, Greeter, ListProvider, Recorder, RecorderFactory
from txmirror.types import Instance

A, B = "10.0.0.1", "10.0.0.2"
NAME = "web.example"


@implementer(IHandshakeListener)
class Listener(Recorder):
    """A protocol that notes the order of its calls."""

    def __init__(self) -> None:
        super().__init__()
        self.calls: list[str] = []

    def connectionMade(self) -> None:
        self.calls.append("connection")

    def handshakeCompleted(self) -> None:
        self.calls.append("handshake")


@implementer(IProtocolNegotiationFactory)
class NegotiatingFactory(RecorderFactory):
    def acceptableProtocols(self) -> list[bytes]:
        return [b"web/2", b"web/1"]


def make_context(authority: Authority, name: str, *hosts: str, **options: Any) -> CertificateOptions:
    """Return the context of a server with a certificate for some names."""
    own = PrivateCertificate.loadPEM(authority.vouch(name, *hosts).read_text())
    return CertificateOptions(own.privateKey.original, own.original, **options)


class TLSTests(ConnectCase):
    def setUp(self) -> None:
        super().setUp()
        folder = Path(self.mktemp())
        folder.mkdir()
        self.authority = Authority(folder, "authority")
        self.tls = TLS(self.authority.file)

    def serve_tls(self, host: str, *names: str, protocol: type[Protocol] = Greeter, **options: Any) -> None:
        """Register an instance with a certificate for some names, at a port for TLS only."""
        context = make_context(self.authority, f"of {host}", *names, **options)
        factory: Any = TLSMemoryBIOFactory(context, False, Factory.forProtocol(protocol), self.reactor)
        self.reactor.listenTCP(PORT + 1, factory, interface=host)
        self.register(host, tls_port=PORT + 1)

    def test_connected(self) -> None:
        """The program's protocol is connected after the handshake, and learns of that too."""
        self.factory.protocol = Listener
        self.serve_tls(A, NAME)
        protocol = self.connected(tls=self.tls, hostname=NAME)
        self.assertEqual(protocol.calls, ["connection", "handshake"])
        self.assertIsNotNone(protocol.tcp.getPeerCertificate())
        self.reactor.settle()
        self.assertEqual((protocol.data, self.provider.notes), (A.encode(), [("succeeded", A)]))
        protocol.tcp.loseConnection()
        self.assert_clean()
        self.assertEqual(self.provider.notes, [("succeeded", A)])

    def test_address(self) -> None:
        """Without a hostname, the certificate must have the address of the instance, which may be a name."""
        self.reactor.nameResolver.names[NAME] = [A]  # type: ignore[attr-defined]
        self.serve_tls(A, NAME)
        self.serve_tls(B, NAME)
        self.provider.listed[0] = self.provider.listed.pop()
        self.register(NAME, tls_port=PORT + 1)
        self.assertEqual(self.connected(tls=self.tls).tcp.getPeer().host, A)
        self.assertEqual(self.provider.notes[0], ("failed", B))

    def test_wrong_name(self) -> None:
        """An instance with another name in its certificate is a failure, and the next one is tried. The program does not notice."""
        self.serve_tls(A, "other.example")
        self.serve_tls(B, NAME)
        self.assertEqual(self.connected(tls=self.tls, hostname=NAME).tcp.getPeer().host, B)
        self.assertEqual(self.provider.notes[0], ("failed", A))
        self.assertEqual([each.lost for each in self.factory.made[:-1]], [None])
        self.assertEqual(self.provider.pending, {A: 0, B: 1})
        self.assertEqual(len(self.reactor.links), 1)

    def test_no_instance(self) -> None:
        """The failure says what is wrong with the certificate."""
        self.serve_tls(A, "other.example")
        failed = self.failureResultOf(self.connect(tls=self.tls, hostname=NAME), NoInstanceException).value
        self.assertIn(f"the server's certificate does not name '{NAME}'", str(failed))
        self.assertIn(f"{A}:{PORT + 1}", str(failed))
        self.assert_clean()

    def test_plain_port(self) -> None:
        """Without a port for TLS the only port is used. What answers without TLS has failed."""
        self.serve(A)
        failed = self.failureResultOf(self.connect(tls=self.tls, hostname=NAME), NoInstanceException).value
        self.assertIn(f"{A}:{PORT}", str(failed))
        self.assertEqual(self.provider.notes, [("failed", A)])
        self.assert_clean()

    def test_no_handshake(self) -> None:
        """An instance that accepts the connection, and does not answer, has the same time as a black hole."""
        self.serve(A, Protocol)
        self.serve_tls(B, NAME)
        connecting = self.connect(tls=self.tls, hostname=NAME)
        self.reactor.pass_time(4.9)
        self.assertEqual(self.provider.notes, [])
        self.reactor.pass_time(0.1)
        self.assertEqual(self.successResultOf(connecting).tcp.getPeer().host, B)
        self.assertEqual(len(self.reactor.links), 1)

    def test_closed_after_handshake(self) -> None:
        """An instance that closes the connection after the handshake has failed."""
        self.serve_tls(A, NAME, protocol=Protocol)
        protocol = self.connected(tls=self.tls, hostname=NAME)
        self.reactor.links[0].server.loseConnection()
        self.reactor.settle()
        self.assertIsNotNone(protocol.lost)
        self.assertEqual(self.provider.notes, [("failed", A)])
        self.assert_clean()

    def test_closed_here(self) -> None:
        """A connection that the program closes shows nothing about the instance."""
        self.serve_tls(A, NAME, protocol=Protocol)
        self.connected(tls=self.tls, hostname=NAME).tcp.loseConnection()
        self.assert_clean()
        self.assertEqual(self.provider.notes, [])

    def test_cancelled(self) -> None:
        """Cancelling during the handshake aborts the connection."""
        self.serve(A, Protocol)
        connecting = self.connect(tls=self.tls, hostname=NAME)
        self.assertEqual(len(self.reactor.links), 1)
        connecting.cancel()
        self.failureResultOf(connecting, CancelledError)
        self.assert_clean()
        self.assertEqual(self.provider.notes, [])

    def test_negotiated(self) -> None:
        """The application protocols of the program's factory are negotiated."""
        self.factory = NegotiatingFactory()
        self.serve_tls(A, NAME, acceptableProtocols=[b"web/1"])
        try:
            protocol = self.connected(tls=self.tls, hostname=NAME)
        except ValueError as error:
            # Old releases of Twisted change a context in use, which new ones of pyOpenSSL refuse.
            raise SkipTest(f"this Twisted cannot negotiate with this pyOpenSSL: {error}") from None
        self.assertEqual(protocol.tcp.negotiatedProtocol, b"web/1")

    def test_files(self) -> None:
        """A file that cannot be used fails the connection with one line that quotes it, and is read again for the next."""
        self.serve_tls(A, NAME)
        file = Path(self.mktemp())
        options: dict[str, Any] = {"tls": TLS(file), "hostname": NAME}
        failed = self.failureResultOf(self.connect(**options), ValueError).value
        self.assertIn(repr(str(file)), str(failed))
        self.assertNotIn("\n", str(failed))
        file.write_bytes(self.authority.file.read_bytes())
        self.connected(**options)

    def test_files_read_once(self) -> None:
        """An endpoint reads the files for its first connection."""
        self.serve_tls(A, NAME)
        endpoint = self.endpoint(tls=self.tls, hostname=NAME)
        for _ in range(2):
            connecting: Deferred[Any] = endpoint.connect(self.factory)
            self.reactor.settle()
            self.successResultOf(connecting)
            self.authority.file.unlink(missing_ok=True)


class Upgrading(Listener):
    """The client's side: it requests TLS, and begins it after the answer."""

    def __init__(self, options: Any) -> None:
        super().__init__()
        self.ended: Deferred[None] = Deferred()
        self._options = options

    def connectionMade(self) -> None:
        super().connectionMade()
        self.tcp.write(b"start")

    def dataReceived(self, data: bytes) -> None:
        super().dataReceived(data)
        if self.data == b"go":
            self.tcp.startTLS(self._options)
        elif self.data == b"gosecret":
            self.tcp.loseConnection()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        super().connectionLost(reason)
        self.ended.callback(None)


class StartTLSTests(TestCase):
    """A protocol may begin TLS by itself: on a real transport, which those in memory cannot replace."""

    timeout = 30

    async def test_start_tls(self) -> None:
        from twisted.internet import reactor

        folder = Path(self.mktemp())
        folder.mkdir()
        authority = Authority(folder, "authority")
        context = make_context(authority, "server", NAME)

        class Server(Recorder):
            def dataReceived(self, data: bytes) -> None:
                self.tcp.write(b"go")
                self.tcp.startTLS(context)
                self.tcp.write(b"secret")

        port: Any = TCP4ServerEndpoint(reactor, 0, interface="127.0.0.1")
        port = await port.listen(Factory.forProtocol(Server))
        self.addCleanup(port.stopListening)
        provider = ListProvider(cast(Any, reactor))
        provider.listed.append(Instance(name="one", address="127.0.0.1", port=port.getHost().port))
        trust = trustRootFromCertificates([Certificate.loadPEM(authority.file.read_bytes())])
        protocol = Upgrading(optionsForClientTLS(NAME, trust))
        endpoint = ProviderClientEndpoint(provider, reactor=cast(Any, reactor))
        await connectProtocol(endpoint, protocol)
        self.assertEqual(provider.pending, {"one": 1})
        await protocol.ended
        self.assertEqual((protocol.calls, protocol.data), (["connection", "handshake"], b"gosecret"))
        self.assertEqual((provider.notes, provider.pending), ([("succeeded", "one")], {"one": 0}))
