"""One side of a connection in memory: it delivers written data, and ends the connection."""

from __future__ import annotations

import enum
from collections.abc import Callable, Iterable
from typing import Protocol

import attrs
from twisted.internet.error import ConnectionAborted, ConnectionDone, ConnectionLost
from twisted.internet.interfaces import (
    IConsumer,
    IDelayedCall,
    IProducer,
    IProtocol,
    IPushProducer,
    ITCPTransport,
)
from twisted.python.failure import Failure
from zope.interface import implementer

from txmirror.testing.producers import RegisteredProducer
from txmirror.testing.receiver import Address, Receiver


class TransportReactor(Protocol):
    """The reactor of transports."""

    @property
    def piece(self) -> int | None:
        """The most bytes that arrive at once."""

    def callLater(self, delay: float, callable: Callable[..., object], *args: object) -> IDelayedCall:
        """Call a function on a later turn."""


class TransportLink(Protocol):
    """The link to which a transport belongs."""

    def cut(self) -> None:
        """Cut the connection."""

    def ended(self) -> None:
        """Note that one side is disconnected."""


@attrs.define
class _Socket:
    """The addresses of a connection, and the options that its protocol has set."""

    host: Address
    peer: Address
    no_delay: bool = False
    keep_alive: bool = False


class _Writing(enum.Enum):
    OPEN = "data can be written"
    HALF_CLOSING = "no more data can be written; when all is delivered, the connection is half-closed"
    HALF_CLOSED = "the connection is half-closed"
    DISCARDING = "all data is dropped: the connection is about to be lost, or is lost"


class _Undelivered:
    """Data that was written and not delivered, with the faults of a test.

    :ivar held: whether the test has stalled it.
    :ivar allowed: the number of bytes after which the link is cut; None if it is not.
    """

    def __init__(self) -> None:
        self.held = False
        self._data = bytearray()
        self.allowed: int | None = None

    def __len__(self) -> int:
        return len(self._data)

    def add(self, data: bytes) -> None:
        self._data += data

    def clear(self) -> None:
        self._data.clear()

    def take(self, piece: int | None) -> tuple[bytes, bool]:
        """Return the next data to deliver, and whether the link is to be cut after it."""
        if piece is None and self.allowed is None:
            # Nearly always.
            data = bytes(self._data)
            self._data.clear()
            return data, False
        size = min(size for size in (len(self._data), piece, self.allowed) if size is not None)
        data = bytes(self._data[:size])
        del self._data[:size]
        if self.allowed is not None:
            self.allowed -= size
        return data, self.allowed == 0


@implementer(ITCPTransport, IConsumer, IPushProducer)
class MemoryTransport:  # More than 25 methods: sixteen are those of the three interfaces.
    """One side of a link: the transport of its protocol.

    :ivar connected: False once the protocol's ``connectionLost`` was called.
    :ivar disconnecting: whether the protocol has closed the connection.
    """

    def __init__(self, reactor: TransportReactor, link: TransportLink, host: Address, peer: Address) -> None:
        self.connected: bool = True
        self.disconnecting: bool = False
        self._reactor = reactor
        self._link = link
        self._socket = _Socket(host, peer)
        self._receiver = Receiver(host, self._failed)
        self._undelivered = _Undelivered()
        self._producer = RegisteredProducer()
        self._writing = _Writing.OPEN
        self._pending_end: Exception | None = None
        self._call: IDelayedCall | None = None

    def join(self, other: MemoryTransport) -> None:
        """Connect this side with the other side."""
        self._other = other
        other._other = self

    def begin(self, protocol: IProtocol, when_lost: Callable[[Failure], object] | None = None) -> None:
        """Connect a protocol to this transport.

        :param when_lost: called after the protocol's ``connectionLost``.
        """
        self._receiver.begin(protocol, when_lost)
        protocol.makeConnection(self)

    @property
    def undelivered(self) -> int:
        """The number of bytes that were written here and not delivered."""
        return len(self._undelivered)

    @property
    def allowed(self) -> int | None:
        """The number of bytes after which the link is cut; None if it is not."""
        return self._undelivered.allowed

    # Faults.

    def hold(self, held: bool) -> None:
        """Stall the data that was written here, or resume it."""
        self._undelivered.held = held
        self._pump()

    def allow(self, count: int) -> None:
        """Deliver ``count`` more bytes before the link is cut."""
        self._undelivered.allowed = count

    def lose(self) -> None:
        """Lose the connection on a later turn, and all undelivered data at once."""
        self._undelivered.clear()
        self._pending_end = None
        if self.connected and not self._discarding:
            self._writing = _Writing.DISCARDING
            self._reactor.callLater(0, self._end, ConnectionLost(), False)

    # Called by the protocol.

    def write(self, data: bytes) -> None:
        if not isinstance(data, bytes):
            raise TypeError(f"data must be bytes, not {type(data).__name__}")
        if data and self.connected and self._other.connected and self._writing is _Writing.OPEN:
            self._undelivered.add(data)
            if self._producer:
                self._producer.throttle(len(self._undelivered))
            self._pump()

    def writeSequence(self, data: Iterable[bytes]) -> None:
        self.write(b"".join(data))

    def loseConnection(self) -> None:
        if self.connected and not self.disconnecting:
            self.disconnecting = True
            self._pump()

    def loseWriteConnection(self) -> None:
        if self._writing is _Writing.OPEN:
            self._writing = _Writing.HALF_CLOSING
            self._pump()

    def abortConnection(self) -> None:
        if not self.connected or self._discarding:
            return
        self.disconnecting = True
        self._writing = _Writing.DISCARDING
        self._undelivered.clear()
        self._other._undelivered.clear()
        self._pending_end = ConnectionLost()
        self._reactor.callLater(0, self._end, ConnectionAborted(), True)

    def getHost(self) -> Address:
        return self._socket.host

    def getPeer(self) -> Address:
        return self._socket.peer

    def getTcpNoDelay(self) -> bool:
        return self._socket.no_delay

    def setTcpNoDelay(self, enabled: bool) -> None:
        self._socket.no_delay = bool(enabled)

    def getTcpKeepAlive(self) -> bool:
        return self._socket.keep_alive

    def setTcpKeepAlive(self, enabled: bool) -> None:
        self._socket.keep_alive = bool(enabled)

    def pauseProducing(self) -> None:
        self._receiver.paused = True

    def resumeProducing(self) -> None:
        self._receiver.paused = False
        self._other._pump()

    def stopProducing(self) -> None:
        self.loseConnection()

    def registerProducer(self, producer: IProducer, streaming: bool) -> None:
        if not (self.connected or self._producer):
            producer.stopProducing()
            return
        self._producer.register(producer, streaming)

    def unregisterProducer(self) -> None:
        self._producer.unregister()
        self._pump()

    # Delivery.

    @property
    def _discarding(self) -> bool:
        return self._writing is _Writing.DISCARDING

    def _pump(self) -> None:
        if self._call is None:
            self._call = self._reactor.callLater(0, self._advance)

    def _advance(self) -> None:
        """Take one step: deliver a piece, or, if there is none, resume a producer or deliver the end of the connection."""
        self._call = None
        stuck = self._undelivered.held or (self._other._receiver.paused and self._other.connected)
        if self._undelivered and self._other.connected:
            if not stuck:
                self._deliver()
        elif self._producer.wants_more and self._other.connected:
            self._producer.resume()
        elif self.disconnecting and self.connected and not self._discarding and not self._producer:
            self._pending_end = ConnectionDone()
            self._end(ConnectionDone(), True)
        elif self._writing is _Writing.HALF_CLOSING and self.connected:
            self._writing = _Writing.HALF_CLOSED
            self._pending_end = ConnectionDone()
            self._receiver.write_closed()
            self._pump()
        elif self._pending_end is not None and not stuck:
            reason, self._pending_end = self._pending_end, None
            self._other._receive_end(reason)

    def _deliver(self) -> None:
        data, last = self._undelivered.take(self._reactor.piece)
        if data and not self._other._discarding:
            self._other._receiver.receive(data)
        if last:
            self._link.cut()
        else:
            self._pump()

    def _receive_end(self, reason: Exception) -> None:
        if not self.connected or self._discarding:
            return
        if isinstance(reason, ConnectionDone) and self._receiver.read_closed():
            return
        self._pending_end = ConnectionDone()
        self._end(reason, True)

    def _failed(self, error: Exception) -> None:
        self._pending_end = ConnectionDone()
        self._end(error, True)

    def _end(self, reason: Exception, notify_peer: bool) -> None:
        """Call the protocol's ``connectionLost``.

        :param notify_peer: whether the other side's connection is still to be lost.
        """
        if not self.connected:
            return
        self.connected = False
        self._writing = _Writing.DISCARDING
        self._undelivered.clear()
        self._link.ended()
        self._producer.stop()
        self._receiver.lost(reason)
        if notify_peer:
            self._pump()
