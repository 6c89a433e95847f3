"""The agent with TLS, in memory: no byte of a request is sent before the end of the handshake."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.protocol import Factory, Protocol
from twisted.internet.ssl import Certificate, trustRootFromCertificates
from twisted.protocols import tls
from twisted.web.client import BrowserLikePolicyForHTTPS, ResponseNeverReceived
from twisted.web.iweb import IResponse

from txmirror.endpoints import RegistryAgent
from txmirror.test.certificates import Authority
from txmirror.test.endpoints.agent_case import AgentTestCase, Body
from txmirror.test.endpoints.test_tls import make_context
from txmirror.types import Instance

WEB = b"https+mirror://web/"


class Answering(Protocol):
    """A web server that answers with its address, or is silent. (The oldest Twisted and a new pyOpenSSL cannot serve a Site.)"""

    factory: Any

    def dataReceived(self, data: bytes) -> None:
        transport: Any = self.transport
        self.factory.received += data
        if self.factory.answers:
            host = transport.getHost().host.encode()
            transport.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(host), host))


class TLSTests(AgentTestCase):
    def setUp(self) -> None:
        super().setUp()
        # The oldest Twisted has no argument for it.
        self.patch(tls, "_get_default_clock", lambda: self.reactor)
        folder = Path(self.mktemp())
        folder.mkdir()
        self.authority = Authority(folder, "authority")

    def listen(self, host: str, factory: Any) -> None:
        port = self.reactor.listenTCP(443, factory, interface=host)
        self.addCleanup(port.stopListening)
        self.others.append(Instance(name=host, address=host, port=80, tls_port=443))

    def serve_tls(self, host: str, name: str = "web") -> Any:
        """Serve with a certificate for a name."""
        factory: Any = Factory.forProtocol(Answering)
        factory.received, factory.answers = b"", True
        context = make_context(self.authority, f"of {host}", name)
        self.listen(host, tls.TLSMemoryBIOFactory(context, False, factory, self.reactor))
        return factory

    def agent(self, **options: Any) -> RegistryAgent:
        root = Certificate.loadPEM(self.authority.file.read_bytes())
        return super().agent(tls_policy=BrowserLikePolicyForHTTPS(trustRootFromCertificates([root])), **options)

    def post(self, agent: RegistryAgent) -> Deferred[IResponse]:
        requested = agent.request(b"POST", WEB, bodyProducer=Body(b"!"))
        self.reactor.settle()
        return requested

    def test_handshake_fails(self) -> None:
        """A request of any method is sent to the next instance if the handshake fails, and not at all to the first one."""
        one, two = self.serve_tls("10.0.0.1", "other"), self.serve_tls("10.0.0.2")
        self.assertEqual(self.answer(self.post(self.agent())), b"10.0.0.2")
        self.assertEqual(self.web.feedback, ["-10.0.0.1", "+10.0.0.2"])
        self.assertEqual((one.received, two.received.count(b"POST")), (b"", 1))

    def test_lost_in_the_handshake(self) -> None:
        """So it is if the connection is lost in the handshake."""
        self.serve_tls("10.0.0.1")
        self.serve_tls("10.0.0.2")
        agent = self.agent()
        requested = agent.request(b"POST", WEB, bodyProducer=Body(b"!"))
        self.reactor.callLater(0, lambda: self.reactor.links[0].cut_after(to_client=20))
        self.assertEqual(self.answer(requested), b"10.0.0.2")
        self.assertEqual(self.web.feedback, ["-10.0.0.1", "+10.0.0.2"])

    def test_silent(self) -> None:
        """The time for a new connection includes the handshake."""
        self.listen("10.0.0.1", Factory.forProtocol(Protocol))
        self.serve_tls("10.0.0.2")
        requested = self.post(self.agent(connect_timeout=2.0))
        self.reactor.pass_time(1.9)
        self.assertNoResult(requested)
        self.reactor.pass_time(0.2)
        self.assertEqual(self.answer(requested), b"10.0.0.2")
        self.assertEqual([each.server_address.host for each in self.reactor.links], ["10.0.0.2"])

    def test_cancelled_in_the_handshake(self) -> None:
        """Cancelling ends the connection. That is no failure of the instance."""
        self.listen("10.0.0.1", Factory.forProtocol(Protocol))
        requested = self.post(self.agent())
        self.assertEqual(len(self.reactor.links), 1)
        requested.cancel()
        self.error(requested, CancelledError)
        self.assertEqual((self.reactor.links, self.web.feedback), ([], []))

    def test_closed_in_the_handshake(self) -> None:
        """So does the end of the agent."""
        self.listen("10.0.0.1", Factory.forProtocol(Protocol))
        agent = self.agent()
        requested = self.post(agent)
        closed = agent.close()
        self.reactor.settle()
        self.successResultOf(closed)
        self.failureResultOf(requested)
        self.assertEqual(self.reactor.links, [])

    def test_lost_after_the_handshake(self) -> None:
        """A connection that is lost later may have carried the request, which is not repeated."""
        one, two = self.serve_tls("10.0.0.1"), self.serve_tls("10.0.0.2")
        one.answers = False
        requested = self.post(self.agent())
        self.assertIn(b"POST", one.received)
        self.reactor.links[0].cut()
        self.error(requested, ResponseNeverReceived)
        self.assertEqual(two.received, b"")

    def test_kept(self) -> None:
        """A connection is used again after the response."""
        one = self.serve_tls("10.0.0.1")
        agent = self.agent()
        for _ in range(3):
            self.assertEqual(self.answer(self.post(agent)), b"10.0.0.1")
        self.assertEqual((len(self.reactor.links), one.received.count(b"POST")), (1, 3))
