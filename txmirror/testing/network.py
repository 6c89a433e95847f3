"""Connections in memory: data that one side writes arrives at the other side, unless the test injects a fault.

This module knows how bytes are delivered and how connections end. The reactor makes the connections.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Protocol

from twisted.internet.address import IPv4Address, IPv6Address
from twisted.internet.error import ConnectionAborted, ConnectionDone, ConnectionLost
from twisted.internet.interfaces import (
    IConsumer,
    IDelayedCall,
    IHalfCloseableProtocol,
    IProducer,
    IProtocol,
    IPushProducer,
    ITCPTransport,
)
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

Address = IPv4Address | IPv6Address

#: A push producer is paused when more bytes than this wait to be delivered: as on a socket.
_BUFFER_SIZE = 2**16


class LinkReactor(Protocol):
    """The reactor of links."""

    @property
    def piece(self) -> int | None:
        """The most bytes that arrive at once."""

    @property
    def links(self) -> list[Link]:
        """The links that are alive; they remove themselves."""

    def callLater(self, delay: float, callable: Callable[..., object], *args: object) -> IDelayedCall:
        """Call a function on a later turn."""


class Link:
    """A connection between two programs, into which a test can inject faults.

    :ivar client_address: the address of the side that connected.
    :ivar server_address: the address of the side that listened.
    """

    def __init__(self, reactor: LinkReactor, client_address: Address, server_address: Address) -> None:
        self.client_address = client_address
        self.server_address = server_address
        self._reactor = reactor
        self._client = MemoryTransport(reactor, self, client_address, server_address)
        self._server = MemoryTransport(reactor, self, server_address, client_address)
        self._client.join(self._server)
        reactor.links.append(self)

    def __repr__(self) -> str:
        client, server = self.client_address, self.server_address
        return f"<Link {client.host}:{client.port} to {server.host}:{server.port}>"

    @property
    def client(self) -> MemoryTransport:
        """The transport of the side that connected."""
        return self._client

    @property
    def server(self) -> MemoryTransport:
        """The transport of the side that listened."""
        return self._server

    def cut(self) -> None:
        """Cut the connection: undelivered data is lost, and both sides get ``ConnectionLost`` on a later turn."""
        self._client.lose()
        self._server.lose()

    def stall(self, *, to_client: bool = True, to_server: bool = True) -> None:
        """Deliver nothing, neither bytes nor the end of the connection, until :meth:`resume`. Both sides notice nothing.

        :param to_client: whether to stall the direction to the client.
        :param to_server: whether to stall the direction to the server.
        """
        if to_client:
            self._server.hold(True)
        if to_server:
            self._client.hold(True)

    def resume(self) -> None:
        """Deliver the stalled data, in order, and go on."""
        self._server.hold(False)
        self._client.hold(False)

    def cut_after(self, *, to_client: int | None = None, to_server: int | None = None) -> None:
        """Deliver a number of bytes, and then :meth:`cut`: with the last of them, or, for 0, in place of the next one.

        :param to_client: the number of bytes for the client; None leaves that direction alone.
        :param to_server: the number of bytes for the server, likewise.
        :raises ValueError: a number is negative.
        """
        if (to_client or 0) < 0 or (to_server or 0) < 0:
            raise ValueError(f"a number of bytes is negative: {to_client!r}, {to_server!r}")
        if to_client is not None:
            self._server.allow(to_client)
        if to_server is not None:
            self._client.allow(to_server)

    def ended(self) -> None:
        """Note that one side is disconnected. When both are, remove this link."""
        if not (self._client.connected or self._server.connected) and self in self._reactor.links:
            self._reactor.links.remove(self)


@implementer(ITCPTransport, IConsumer, IPushProducer)
class MemoryTransport:
    """One side of a link: the transport of its protocol.

    :ivar connected: False once the protocol's ``connectionLost`` was called.
    :ivar disconnecting: whether the protocol has closed the connection.
    """

    _log = Logger()

    def __init__(self, reactor: LinkReactor, link: Link, host: Address, peer: Address) -> None:
        self.connected = True
        self.disconnecting = False
        self._reactor = reactor
        self._link = link
        self._host = host
        self._peer = peer
        self._no_delay = False
        self._keep_alive = False
        self._protocol: IProtocol | None = None
        self._when_lost: Callable[[Failure], object] | None = None
        self._buffer = bytearray()
        self._held = False
        self._allowed: int | None = None
        self._discarding = False
        self._paused = False
        self._half_closing = False
        self._half_closed = False
        self._read_closed = False
        self._pending_end: Exception | None = None
        self._call: IDelayedCall | None = None
        self._producer: IProducer | None = None
        self._streaming = False
        self._producer_paused = False

    def join(self, other: MemoryTransport) -> None:
        """Connect this side with the other side."""
        self._other = other
        other._other = self

    def begin(self, protocol: IProtocol, when_lost: Callable[[Failure], object] | None = None) -> None:
        """Connect a protocol to this transport.

        :param when_lost: called after the protocol's ``connectionLost``.
        """
        self._protocol = protocol
        self._when_lost = when_lost
        protocol.makeConnection(self)

    # Faults.

    def hold(self, held: bool) -> None:
        """Stall the data that was written here, or resume it."""
        self._held = held
        self._pump()

    def allow(self, count: int) -> None:
        """Deliver ``count`` more bytes before the link is cut."""
        self._allowed = count

    def lose(self) -> None:
        """Lose the connection on a later turn, and all undelivered data at once."""
        self._buffer.clear()
        self._pending_end = None
        if self.connected and not self._discarding:
            self._discarding = True
            self._reactor.callLater(0, self._end, ConnectionLost(), False)

    # Called by the protocol.

    def write(self, data: bytes) -> None:
        if not isinstance(data, bytes):
            raise TypeError(f"data must be bytes, not {type(data).__name__}")
        if (
            not (data and self.connected and self._other.connected)
            or self._discarding
            or self._half_closing
            or self._half_closed
        ):
            return
        self._buffer += data
        if self._streaming and len(self._buffer) > _BUFFER_SIZE:
            # At each write, as on a socket: the producer may go on in spite of the pause.
            self._producer_paused = True
            self._push_producer().pauseProducing()
        self._pump()

    def writeSequence(self, data: Iterable[bytes]) -> None:
        self.write(b"".join(data))

    def loseConnection(self) -> None:
        if self.connected and not self.disconnecting:
            self.disconnecting = True
            self._pump()

    def loseWriteConnection(self) -> None:
        self._half_closing = True
        self._pump()

    def abortConnection(self) -> None:
        if not self.connected or self._discarding:
            return
        self.disconnecting = True
        self._discarding = True
        self._buffer.clear()
        self._other._buffer.clear()
        self._pending_end = ConnectionLost()
        self._reactor.callLater(0, self._end, ConnectionAborted(), True)

    def getHost(self) -> Address:
        return self._host

    def getPeer(self) -> Address:
        return self._peer

    def getTcpNoDelay(self) -> bool:
        return self._no_delay

    def setTcpNoDelay(self, enabled: bool) -> None:
        self._no_delay = bool(enabled)

    def getTcpKeepAlive(self) -> bool:
        return self._keep_alive

    def setTcpKeepAlive(self, enabled: bool) -> None:
        self._keep_alive = bool(enabled)

    def pauseProducing(self) -> None:
        self._paused = True

    def resumeProducing(self) -> None:
        self._paused = False
        self._other._pump()

    def stopProducing(self) -> None:
        self.loseConnection()

    def registerProducer(self, producer: IProducer, streaming: bool) -> None:
        if self._producer is not None:
            raise RuntimeError(f"{self._producer!r} is registered, and was not unregistered")
        if not self.connected:
            producer.stopProducing()
            return
        self._producer = producer
        self._streaming = streaming
        self._producer_paused = False
        if not streaming:
            self._push_producer().resumeProducing()

    def unregisterProducer(self) -> None:
        self._producer = None
        self._streaming = False
        self._pump()

    # Delivery.

    def _pump(self) -> None:
        if self._call is None:
            self._call = self._reactor.callLater(0, self._advance)

    def _advance(self) -> None:
        """Take one step: deliver a piece, or, if there is none, resume a producer or deliver the end of the connection."""
        self._call = None
        stuck = self._held or (self._other._paused and self._other.connected)
        if self._buffer and self._other.connected:
            if not stuck:
                self._deliver()
        elif self._wants_more():
            self._producer_paused = False
            self._push_producer().resumeProducing()
        elif self.disconnecting and self.connected and not self._discarding and self._producer is None:
            self._pending_end = ConnectionDone()
            self._end(ConnectionDone(), True)
        elif self._half_closing and self.connected:
            self._half_closing, self._half_closed = False, True
            self._pending_end = ConnectionDone()
            half_closeable = _half_closeable(self._protocol)
            if half_closeable is not None:
                self._guard(half_closeable.writeConnectionLost)
            self._pump()
        elif self._pending_end is not None and not stuck:
            reason, self._pending_end = self._pending_end, None
            self._other._receive_end(reason)

    def _wants_more(self) -> bool:
        """Return whether to resume a producer."""
        waiting = self._producer is not None and (self._producer_paused or not self._streaming)
        return waiting and self._other.connected

    def _deliver(self) -> None:
        sizes = [len(self._buffer), self._reactor.piece, self._allowed]
        size = min(size for size in sizes if size is not None)
        if size > 0:
            data = bytes(self._buffer[:size])
            del self._buffer[:size]
            self._other._receive(data)
        if self._allowed is not None:
            self._allowed -= size
            if self._allowed == 0:
                self._link.cut()
                return
        self._pump()

    def _receive(self, data: bytes) -> None:
        if not self._discarding and self._protocol is not None:
            self._guard(self._protocol.dataReceived, data)

    def _receive_end(self, reason: Exception) -> None:
        if not self.connected or self._discarding:
            return
        half_closeable = _half_closeable(self._protocol)
        if half_closeable is not None and isinstance(reason, ConnectionDone):
            if not self._read_closed:
                self._read_closed = True
                self._guard(half_closeable.readConnectionLost)
        else:
            self._pending_end = ConnectionDone()
            self._end(reason, True)

    def _guard(self, call: Callable[..., object], *args: object) -> None:
        # As with sockets, a protocol that raises loses its connection, and the reactor goes on.
        try:
            call(*args)
        except Exception as error:
            self._log.failure("The protocol of {host} raised", host=self._host)
            self._pending_end = ConnectionDone()
            self._end(error, True)

    def _end(self, reason: Exception, notify_peer: bool) -> None:
        """Call the protocol's ``connectionLost``.

        :param notify_peer: whether the other side's connection is still to be lost.
        """
        if not self.connected:
            return
        self.connected = False
        self.disconnecting = True
        self._discarding = True
        self._buffer.clear()
        self._link.ended()
        failure = Failure(reason)
        producer, self._producer, self._streaming = self._producer, None, False
        if producer is not None:
            producer.stopProducing()
        try:
            if self._protocol is not None:
                self._protocol.connectionLost(failure)
        except Exception:
            self._log.failure("The protocol of {host} raised in connectionLost", host=self._host)
        if self._when_lost is not None:
            self._when_lost(failure)
        if notify_peer:
            self._pump()

    def _push_producer(self) -> IPushProducer:
        assert self._producer is not None
        # A pull producer has the one method that is called, resumeProducing.
        return self._producer  # type: ignore[return-value]


def _half_closeable(protocol: IProtocol | None) -> IHalfCloseableProtocol | None:
    return IHalfCloseableProtocol(protocol, None)
