"""Connections in memory: what is written on one side arrives on the other, unless the test has something against it.

This module knows how bytes travel and how connections end. Who connects to whom is the reactor's matter.
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


class World(Protocol):
    """What links need of their reactor."""

    @property
    def piece(self) -> int | None:
        """How many bytes arrive at once, at most."""

    @property
    def links(self) -> list[Link]:
        """The links that are alive; they remove themselves."""

    def callLater(self, delay: float, callable: Callable[..., object], *args: object) -> IDelayedCall:
        """Call something on a later turn."""


class Link:
    """A connection between two programs, in the hands of a test.

    :ivar client_address: where the side that connected is.
    :ivar server_address: where the side that listened is.
    """

    def __init__(self, world: World, client_address: Address, server_address: Address) -> None:
        self.client_address = client_address
        self.server_address = server_address
        self._world = world
        self._client = MemoryTransport(world, self, client_address, server_address)
        self._server = MemoryTransport(world, self, server_address, client_address)
        self._client.join(self._server)
        world.links.append(self)

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
        """Break the connection: what was not delivered is gone, and both sides get ``ConnectionLost`` on a later turn."""
        self._client.sever()
        self._server.sever()

    def stall(self, *, to_client: bool = True, to_server: bool = True) -> None:
        """Deliver nothing any more, neither bytes nor an end, until :meth:`resume`; both sides think that all is well.

        :param to_client: whether to hold what travels to the client.
        :param to_server: whether to hold what travels to the server.
        """
        if to_client:
            self._server.hold(True)
        if to_server:
            self._client.hold(True)

    def resume(self) -> None:
        """Deliver what was held, in order, and go on."""
        self._server.hold(False)
        self._client.hold(False)

    def cut_after(self, *, to_client: int | None = None, to_server: int | None = None) -> None:
        """Let so many more bytes through, and then :meth:`cut`: with the byte that is the last, or, for 0, in place of the
        next one.

        :param to_client: how many bytes the client still gets; None leaves that direction alone.
        :param to_server: how many bytes the server still gets, likewise.
        :raises ValueError: a number is negative.
        """
        if (to_client or 0) < 0 or (to_server or 0) < 0:
            raise ValueError(f"a number of bytes is negative: {to_client!r}, {to_server!r}")
        if to_client is not None:
            self._server.allow(to_client)
        if to_server is not None:
            self._client.allow(to_server)

    def ended(self) -> None:
        """One side is gone; when both are, so is this link."""
        if not (self._client.connected or self._server.connected) and self in self._world.links:
            self._world.links.remove(self)


@implementer(ITCPTransport, IConsumer, IPushProducer)
class MemoryTransport:
    """One side of a link, as its protocol knows it.

    :ivar connected: false once the protocol was told that the connection is gone.
    :ivar disconnecting: whether its protocol has asked for the end.
    """

    _log = Logger()

    def __init__(self, world: World, link: Link, host: Address, peer: Address) -> None:
        self.connected = True
        self.disconnecting = False
        self._world = world
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
        self._deaf = False
        self._paused = False
        self._half_closing = False
        self._half_closed = False
        self._heard_all = False
        self._farewell: Exception | None = None
        self._call: IDelayedCall | None = None
        self._producer: IProducer | None = None
        self._streaming = False
        self._producer_paused = False

    def join(self, other: MemoryTransport) -> None:
        """Make this and ``other`` the two sides of one connection."""
        self._other = other
        other._other = self

    def begin(self, protocol: IProtocol, when_lost: Callable[[Failure], object] | None = None) -> None:
        """Serve a protocol.

        :param when_lost: called after the protocol's ``connectionLost``.
        """
        self._protocol = protocol
        self._when_lost = when_lost
        protocol.makeConnection(self)

    # What a test does to the link.

    def hold(self, held: bool) -> None:
        """Hold what was written here, or let it go."""
        self._held = held
        self._pump()

    def allow(self, count: int) -> None:
        """Let so many more bytes through before the link is cut."""
        self._allowed = count

    def sever(self) -> None:
        """Lose the connection on a later turn, and everything that was to arrive."""
        self._buffer.clear()
        self._farewell = None
        if self.connected and not self._deaf:
            self._deaf = True
            self._world.callLater(0, self._end, ConnectionLost(), False)

    # What a protocol does.

    def write(self, data: bytes) -> None:
        if not isinstance(data, bytes):
            raise TypeError(f"data must be bytes, not {type(data).__name__}")
        if (
            not (data and self.connected and self._other.connected)
            or self._deaf
            or self._half_closing
            or self._half_closed
        ):
            return
        self._buffer += data
        if self._streaming and len(self._buffer) > _BUFFER_SIZE:
            # At each write, as on a socket: it need not have stopped.
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
        if not self.connected or self._deaf:
            return
        self.disconnecting = True
        self._deaf = True
        self._buffer.clear()
        self._other._buffer.clear()
        self._farewell = ConnectionLost()
        self._world.callLater(0, self._end, ConnectionAborted(), True)

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

    # How bytes travel.

    def _pump(self) -> None:
        if self._call is None:
            self._call = self._world.callLater(0, self._advance)

    def _advance(self) -> None:
        """Take one step: deliver a piece, or, when there is none left, what comes after the last."""
        self._call = None
        stuck = self._held or (self._other._paused and self._other.connected)
        if self._buffer and self._other.connected:
            if not stuck:
                self._deliver()
        elif self._wants_more():
            self._producer_paused = False
            self._push_producer().resumeProducing()
        elif self.disconnecting and self.connected and not self._deaf and self._producer is None:
            self._farewell = ConnectionDone()
            self._end(ConnectionDone(), True)
        elif self._half_closing and self.connected:
            self._half_closing, self._half_closed = False, True
            self._farewell = ConnectionDone()
            half_closeable = _half_closeable(self._protocol)
            if half_closeable is not None:
                self._guard(half_closeable.writeConnectionLost)
            self._pump()
        elif self._farewell is not None and not stuck:
            reason, self._farewell = self._farewell, None
            self._other._hear_farewell(reason)

    def _wants_more(self) -> bool:
        """Whether it is a producer's turn."""
        waiting = self._producer is not None and (self._producer_paused or not self._streaming)
        return waiting and self._other.connected

    def _deliver(self) -> None:
        sizes = [len(self._buffer), self._world.piece, self._allowed]
        size = min(size for size in sizes if size is not None)
        if size > 0:
            data = bytes(self._buffer[:size])
            del self._buffer[:size]
            self._other._hear(data)
        if self._allowed is not None:
            self._allowed -= size
            if self._allowed == 0:
                self._link.cut()
                return
        self._pump()

    def _hear(self, data: bytes) -> None:
        if not self._deaf and self._protocol is not None:
            self._guard(self._protocol.dataReceived, data)

    def _hear_farewell(self, reason: Exception) -> None:
        if not self.connected or self._deaf:
            return
        half_closeable = _half_closeable(self._protocol)
        if half_closeable is not None and isinstance(reason, ConnectionDone):
            if not self._heard_all:
                self._heard_all = True
                self._guard(half_closeable.readConnectionLost)
        else:
            self._farewell = ConnectionDone()
            self._end(reason, True)

    def _guard(self, call: Callable[..., object], *args: object) -> None:
        # A protocol that raises loses its connection, and the reactor goes on: as with sockets.
        try:
            call(*args)
        except Exception as error:
            self._log.failure("The protocol of {host} raised", host=self._host)
            self._farewell = ConnectionDone()
            self._end(error, True)

    def _end(self, reason: Exception, tell: bool) -> None:
        """Tell the protocol that the connection is gone.

        :param tell: whether the other side is still to hear of it.
        """
        if not self.connected:
            return
        self.connected = False
        self.disconnecting = True
        self._deaf = True
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
        if tell:
            self._pump()

    def _push_producer(self) -> IPushProducer:
        assert self._producer is not None
        # A pull producer has the one method of it that is used.
        return self._producer  # type: ignore[return-value]


def _half_closeable(protocol: IProtocol | None) -> IHalfCloseableProtocol | None:
    return IHalfCloseableProtocol(protocol, None)
