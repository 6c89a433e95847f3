"""The wrapper around a server's connections: transports and protocols notice nothing of it."""

from __future__ import annotations

from typing import Any

from twisted.internet.interfaces import IHalfCloseableProtocol, IHandshakeListener, IProtocolNegotiationFactory
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.internet.testing import StringTransport
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer

from txmirror.endpoints.connections import ConnectionsFactory


@implementer(IHalfCloseableProtocol, IHandshakeListener)
class Noting(Protocol):
    """Notes what it is notified of."""

    def __init__(self) -> None:
        self.seen: list[str] = []

    def connectionMade(self) -> None:
        self.seen.append("made")

    def dataReceived(self, data: bytes) -> None:
        self.seen.append(data.decode())

    def readConnectionLost(self) -> None:
        self.seen.append("read")

    def writeConnectionLost(self) -> None:
        self.seen.append("write")

    def handshakeCompleted(self) -> None:
        self.seen.append("handshake")

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self.seen.append("lost")


@implementer(IProtocolNegotiationFactory)
class Negotiating(Factory):
    """Refuses all connections, and knows a protocol."""

    def buildProtocol(self, addr: object) -> None:
        return None

    def acceptableProtocols(self) -> list[bytes]:
        return [b"h2"]


class ConnectionsTests(SynchronousTestCase):
    def build(self, factory: Factory) -> Any:
        self.factory = ConnectionsFactory(factory)
        address: Any = None
        return self.factory.buildProtocol(address)

    def test_passed_on(self) -> None:
        """Everything that a transport has for a protocol is passed on, and only to those that want it."""
        connection = self.build(Factory.forProtocol(Noting))
        noting = connection.wrappedProtocol
        connection.makeConnection(StringTransport())
        self.assertTrue(IHalfCloseableProtocol.providedBy(connection))
        self.assertTrue(IHandshakeListener.providedBy(connection))
        connection.handshakeCompleted()
        connection.dataReceived(b"data")
        connection.readConnectionLost()
        connection.writeConnectionLost()
        connection.connectionLost(Failure(ConnectionError()))
        self.assertEqual(noting.seen, ["made", "handshake", "data", "read", "write", "lost"])
        connection = self.build(Factory.forProtocol(Protocol))
        connection.makeConnection(StringTransport())
        self.assertFalse(IHalfCloseableProtocol.providedBy(connection))
        self.assertFalse(IProtocolNegotiationFactory.providedBy(self.factory))

    def test_factory(self) -> None:
        """A factory may refuse connections, and negotiate the protocol."""
        self.assertIsNone(self.build(Negotiating()))
        self.assertTrue(IProtocolNegotiationFactory.providedBy(self.factory))
        self.assertEqual(self.factory.acceptableProtocols(), [b"h2"])

    def test_all_closed(self) -> None:
        """It is known when the last connection is closed."""
        one = self.build(Factory.forProtocol(Protocol))
        other = self.factory.buildProtocol(None)
        assert other is not None
        for connection in (one, other):
            connection.makeConnection(StringTransport())
        waiting, cancelled = self.factory.when_all_closed(), self.factory.when_all_closed()
        cancelled.addErrback(lambda _: None)
        cancelled.cancel()
        one.connectionLost(Failure(ConnectionError()))
        self.assertNoResult(waiting)
        other.connectionLost(Failure(ConnectionError()))
        self.successResultOf(waiting)
        self.successResultOf(self.factory.when_all_closed())

    def test_prefix(self) -> None:
        """The log has the names of the program's own classes."""
        connection = self.build(Factory.forProtocol(Noting))
        self.assertEqual((self.factory.logPrefix(), connection.logPrefix()), ("Factory", "Noting"))
