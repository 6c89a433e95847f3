"""Which requests are written at once, and which in the reactor's next iteration."""

from __future__ import annotations

from typing import Any

from twisted.internet.interfaces import ISSLTransport, IWriteDescriptor
from twisted.internet.main import CONNECTION_LOST
from twisted.internet.protocol import connectionDone
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import directlyProvides, providedBy

from txmirror.client import Limits
from txmirror.client.connection.calls import Call
from txmirror.client.connection.connection import Connection
from txmirror.client.connection.endpoints import Loss
from txmirror.client.operations import GET_DATA
from txmirror.test.client.peer import STAT, reply
from txmirror.types import WatchedEvent
from txmirror.wire import ConnectRequest, ConnectResponse, GetDataRequest, GetDataResponse, encode_frame


class Transport(StringTransport):
    """A transport with a buffer, like Twisted's: it writes when the reactor calls it, or on request.

    :ivar written: the number of requests to write.
    :ivar failure: the result of a write.
    """

    disconnecting = False

    def __init__(self, *interfaces: Any) -> None:
        super().__init__()
        self.written = 0
        self.failure: Exception | None = None
        directlyProvides(self, providedBy(self), *interfaces)

    def setTcpNoDelay(self, enabled: bool) -> None:
        pass

    def doWrite(self) -> Exception | None:
        self.written += 1
        return self.failure

    def abortConnection(self) -> None:
        pass


class Owner:
    """An owner that does nothing."""

    def has_room(self) -> None:
        pass

    def unauthorised(self, error: object) -> None:
        pass

    def handshaken(self, connection: Connection, response: ConnectResponse) -> None:
        pass

    def replied(self, zxid: int) -> None:
        pass

    def fired(self, event: WatchedEvent) -> None:
        pass

    def disconnected(self, connection: Connection, reason: Exception) -> None:
        pass


class WritingTests(SynchronousTestCase):
    def connect(self, *interfaces: Any) -> tuple[Connection, Transport]:
        """Return a connection after the handshake, over a transport that provides these interfaces."""
        transport = Transport(*interfaces)
        connection = Connection(Clock(), Owner(), ConnectRequest(0, 4000, 0, bytes(16)), Limits())
        connection.makeConnection(transport)
        connection.dataReceived(encode_frame(ConnectResponse(4000, 1, bytes(16)).encode()))
        transport.clear()
        self.assertEqual(transport.written, 0)
        return connection, transport

    def send(self, connection: Connection) -> None:
        connection.send(Call(GET_DATA, GetDataRequest("/a", False), "/a"))

    def test_alone(self) -> None:
        """A request that is alone in flight is written at once, and so is the next one after its reply."""
        connection, transport = self.connect(IWriteDescriptor)
        self.send(connection)
        self.assertEqual(transport.written, 1)
        connection.dataReceived(reply(1, GetDataResponse(b"", STAT)))
        self.send(connection)
        self.assertEqual(transport.written, 2)

    def test_burst(self) -> None:
        """Of a burst only the first request is: the others go together, in one system call."""
        connection, transport = self.connect(IWriteDescriptor)
        for _ in range(10):
            self.send(connection)
        self.assertEqual(transport.written, 1)
        self.assertEqual(len(connection.protocol.in_flight), 10)

    def test_tls(self) -> None:
        """TLS claims to write at once, but collects small writes itself."""
        connection, transport = self.connect(IWriteDescriptor, ISSLTransport)
        self.send(connection)
        self.assertEqual(transport.written, 0)

    def test_other_transports(self) -> None:
        """Other transports are not asked."""
        connection, transport = self.connect()
        self.send(connection)
        self.assertEqual(transport.written, 0)

    def test_broken(self) -> None:
        """A connection on which a write fails counts as broken. The write takes the error from the socket, which then looks as
        if the server had closed it."""
        connection, transport = self.connect(IWriteDescriptor)
        transport.failure = CONNECTION_LOST
        self.send(connection)
        self.assertFalse(connection.closing)
        connection.connectionLost(connectionDone)
        self.assertIs(connection.loss, Loss.BROKEN)

    def test_closed(self) -> None:
        """A connection that the server has closed does not."""
        connection, _ = self.connect(IWriteDescriptor)
        self.send(connection)
        connection.connectionLost(connectionDone)
        self.assertIs(connection.loss, Loss.CLOSED)
