"""A TCP proxy between clients and a ZooKeeper server, in the hands of a test: it breaks what the test tells it to.

This module knows how connections are passed on and hurt, and as much of ZooKeeper's protocol as it takes to tell one frame
from another. What is not ZooKeeper's protocol (TLS, the four-letter words) it passes on as it comes.
"""

from __future__ import annotations

import enum
from collections import Counter, deque
from collections.abc import Callable
from typing import Any, NamedTuple, cast

from twisted.internet.address import IPv4Address
from twisted.internet.defer import Deferred, DeferredList, maybeDeferred
from twisted.internet.endpoints import TCP4ClientEndpoint, connectProtocol
from twisted.internet.error import ConnectionDone
from twisted.internet.interfaces import IHalfCloseableProtocol, IReactorTCP, ITCPTransport
from twisted.internet.protocol import Protocol, ServerFactory, connectionDone
from twisted.python.failure import Failure
from zope.interface import implementer

from txmirror.errors import ProtocolError
from txmirror.timers import Timer
from txmirror.wire import (
    EVENT_XID,
    HARD_FRAME_LIMIT,
    Cursor,
    FrameDecoder,
    Operation,
    ReplyHeader,
    RequestHeader,
    encode_frame,
)


class _Door(enum.Enum):
    OPEN = "comers are passed on"
    SHUT = "comers are turned away"
    HELD = "comers are let in, and nobody talks to them"


class _End(enum.Enum):
    """How a stream ends, once what is before it was written."""

    FINISHED = "its source has no more to say"
    BROKEN = "its source is gone, and so is what was on the way"
    PARTED = "the proxy closes the connection"


class _Frame(NamedTuple):
    """What the proxy knows of a frame with a header."""

    xid: int
    operation: int | None
    """What the request is, or was that this answers; None for an event."""


class _Fault:
    """Something that is to happen once, at a frame to a client.

    :ivar struck: fires when it has happened; cancelled, it never does.
    """

    def __init__(self, faults: list[_Fault], strikes: Callable[[_Frame], bool], swallows: bool) -> None:
        self.strikes = strikes
        self.swallows = swallows
        self.struck: Deferred[None] = Deferred(lambda _: faults.remove(self))
        faults.append(self)


class FaultProxy:
    """Listens on a free port of loopback, passes on what comes to a server on loopback, and does it all the harm it is
    told to.

    It needs a real reactor. Everything here takes effect at once, on the connections that are there and on those to come,
    unless it says otherwise. What a method cuts can come back at once, if the door is open; only :meth:`cut` shuts it.

    :param port: where the server listens.
    :param reactor: the reactor; the global one if None.
    :ivar accepted: how many clients have come, those that were turned away not counted.
    :ivar bytes_to_client: how many bytes were passed on to clients.
    :ivar bytes_to_server: how many bytes were passed on to the server.
    :ivar requests: how many requests were passed on to the server, by operation.
    :ivar replies: how many replies were passed on to clients, by the operation that they answer.
    :ivar events: how many watch events were passed on to clients.
    """

    def __init__(self, port: int, *, reactor: IReactorTCP | None = None) -> None:
        if reactor is None:
            from twisted.internet import reactor as global_reactor

            reactor = IReactorTCP(global_reactor)
        self._reactor: Any = reactor
        self._server = TCP4ClientEndpoint(reactor, "127.0.0.1", port)
        self._door = _Door.OPEN
        self._links: list[_Link] = []
        self._faults: list[_Fault] = []
        self._stalled = {True: False, False: False}
        self._allowance: dict[bool, tuple[int, Deferred[None]]] = {}
        self._piece: int | None = None
        self.accepted = 0
        self.bytes_to_client = 0
        self.bytes_to_server = 0
        self.requests: Counter[int] = Counter()
        self.replies: Counter[int] = Counter()
        self.events = 0
        factory = _Clients(self)
        self._listening = self._reactor.listenTCP(0, factory, interface="127.0.0.1")

    @property
    def address(self) -> str:
        """What a client connects to, as ``127.0.0.1:port``."""
        return f"127.0.0.1:{cast(IPv4Address, self._listening.getHost()).port}"

    @property
    def connections(self) -> int:
        """How many connections there are, those that are held and those of which one side is gone among them."""
        return len(self._links)

    # The door.

    def cut(self) -> None:
        """Abort every connection, and turn away whoever comes (accept and close), until :meth:`open`."""
        self._door = _Door.SHUT
        self.drop()

    def drop(self) -> None:
        """Abort every connection on both sides, with what was on its way. Whoever comes is received as before."""
        for link in list(self._links):
            link.abort()

    def hold(self) -> None:
        """Be a black hole to whoever comes: accept the connection, take what is sent, and say nothing, until :meth:`open`.
        Connections that are there go on.
        """
        self._door = _Door.HELD

    def open(self) -> None:
        """Let clients through again, those that were held first, with what they have said meanwhile."""
        self._door = _Door.OPEN
        for link in list(self._links):
            link.dial()

    def close(self) -> Deferred[None]:
        """Abort every connection and stop listening. Faults that have not struck never will.

        :returns: fires when every socket is gone.
        """
        waited_for: list[Deferred[Any]] = [link.over for link in self._links]
        self.cut()
        waited_for.append(maybeDeferred(self._listening.stopListening))
        return DeferredList(waited_for).addCallback(lambda _: None)

    # The stream.

    def stall(self, *, to_client: bool = True, to_server: bool = True) -> None:
        """Pass nothing on any more, neither bytes nor an end, until :meth:`resume`: both sides think that all is well.

        :param to_client: whether to keep what travels to clients.
        :param to_server: whether to keep what travels to the server.
        """
        self._stalled[True] |= to_client
        self._stalled[False] |= to_server

    def resume(self, *, to_client: bool = True, to_server: bool = True) -> None:
        """Pass on what was kept, in order, and go on. What a side has sent that has broken its connection meanwhile is
        gone; the other side learns of the break now.

        :param to_client: whether to let go what travels to clients.
        :param to_server: whether to let go what travels to the server.
        """
        self._stalled[True] &= not to_client
        self._stalled[False] &= not to_server
        for link in list(self._links):
            link.pump()

    def half_close(self, *, to_client: bool = False, to_server: bool = False) -> None:
        """Tell one side of each connection that is there that the other has no more to say (FIN). What that one says from
        now on is thrown away; what the side that was told says is passed on.

        :param to_client: whether to tell the clients.
        :param to_server: whether to tell the server.
        """
        for link in list(self._links):
            if to_client:
                link.to_client.stop()
            if to_server:
                link.to_server.stop()

    def split(self, size: int | None) -> None:
        """Pass everything on in pieces of so many bytes, each with time to arrive before the next, in both directions.

        :param size: the most bytes of a piece; None for whatever comes.
        :raises ValueError: it is not above 0.
        """
        if size is not None and size < 1:
            raise ValueError(f"a piece has a byte at least, not {size!r}")
        self._piece = size

    # What strikes once. The connection is closed then, with what was passed on arriving for certain.

    def cut_after(self, *, to_client: int | None = None, to_server: int | None = None) -> Deferred[None]:
        """Pass on so many more bytes of a direction, then close the connection on which the last one travelled; for 0, the
        one on which the next byte would have.

        The bytes of all connections count together, those to come too. Of each direction one count runs: a new one
        replaces it.

        :param to_client: how many bytes clients still get.
        :param to_server: how many bytes the server still gets.
        :returns: fires when the connection was closed. Cancelling disarms it.
        :raises ValueError: not one of both is given, or it is negative.
        """
        if (to_client is None) == (to_server is None):
            raise ValueError("one direction has a number of bytes, and not both")
        direction = to_client is not None
        count = (to_client if direction else to_server) or 0
        if count < 0:
            raise ValueError(f"a number of bytes is negative: {count!r}")

        def disarm(cancelled: Deferred[None]) -> None:
            if direction in self._allowance and self._allowance[direction][1] is cancelled:
                del self._allowance[direction]

        struck: Deferred[None] = Deferred(disarm)
        self._allowance[direction] = (count, struck)
        return struck

    def cut_after_reply(self, xid: int) -> Deferred[None]:
        """Close a connection as soon as the next reply with this xid was passed on.

        :param xid: the client's number of the request; -2 is a ping's.
        :returns: fires when it was closed. Cancelling disarms it.
        """
        return self._arm(lambda frame: frame.operation is not None and frame.xid == xid, swallows=False)

    def cut_after_event(self, count: int = 1) -> Deferred[None]:
        """Close a connection as soon as a watch event was passed on.

        :param count: which event, counted from now over all connections.
        :returns: fires when it was closed. Cancelling disarms it.
        """
        left = iter(range(count - 1, -1, -1))
        return self._arm(lambda frame: frame.xid == EVENT_XID and next(left) == 0, swallows=False)

    def swallow_reply(self, xid: int) -> Deferred[None]:
        """Close a connection in place of passing on the next reply with this xid: the server has done what it was asked,
        and the client never learns.

        :param xid: as for :meth:`cut_after_reply`.
        :returns: fires when the connection was closed. Cancelling disarms it.
        """
        return self._arm(lambda frame: frame.operation is not None and frame.xid == xid, swallows=True)

    def swallow_reply_to(self, operation: Operation) -> Deferred[None]:
        """Close a connection in place of passing on the next reply to a request of this operation, as
        :meth:`swallow_reply`.

        :returns: fires when the connection was closed. Cancelling disarms it.
        """
        return self._arm(lambda frame: frame.operation == operation, swallows=True)

    # What the connections ask and tell.

    def _arm(self, strikes: Callable[[_Frame], bool], *, swallows: bool) -> Deferred[None]:
        return _Fault(self._faults, strikes, swallows).struck

    def came(self, link: _Link) -> None:
        """Note a client, and pass it on or not."""
        self.accepted += 1
        self._links.append(link)
        if self._door is _Door.OPEN:
            link.dial()

    def left(self, link: _Link) -> None:
        """Note that both sides of a connection are gone."""
        self._links.remove(link)

    @property
    def shut(self) -> bool:
        """Whether comers are turned away."""
        return self._door is _Door.SHUT

    @property
    def piece(self) -> int | None:
        """How many bytes are written at once, at most."""
        return self._piece

    def stalled(self, to_client: bool) -> bool:
        """Tell whether nothing is passed on in a direction."""
        return self._stalled[to_client]

    def fault_at(self, frame: _Frame) -> _Fault | None:
        """Take out the fault that strikes at a frame, if one does."""
        for fault in self._faults:
            if fault.strikes(frame):
                self._faults.remove(fault)
                return fault
        return None

    def passed(self, to_client: bool, frame: _Frame) -> None:
        """Count a frame that was passed on."""
        if not to_client:
            self.requests[frame.operation or 0] += 1
        elif frame.operation is None:
            self.events += 1
        else:
            self.replies[frame.operation] += 1

    def allow(self, to_client: bool, size: int) -> tuple[int, Deferred[None] | None]:
        """Tell how many of so many bytes may be passed on, and whom to tell if they are the last."""
        passed, struck = size, None
        if to_client in self._allowance:
            left, waiting = self._allowance[to_client]
            passed = min(left, size)
            if left <= size:
                del self._allowance[to_client]
                struck = waiting
            else:
                self._allowance[to_client] = (left - passed, waiting)
        if to_client:
            self.bytes_to_client += passed
        else:
            self.bytes_to_server += passed
        return passed, struck


class _Clients(ServerFactory):
    noisy = False

    def __init__(self, proxy: FaultProxy) -> None:
        self._proxy = proxy

    def buildProtocol(self, addr: object) -> Protocol | None:
        """Receive a client, or turn it away."""
        return None if self._proxy.shut else _Link(self._proxy).client


class _Link:
    """A client's connection and the one to the server that belongs to it.

    :ivar over: fires when both are gone.
    """

    def __init__(self, proxy: FaultProxy) -> None:
        self._proxy = proxy
        self._reactor: Any = proxy._reactor
        self._dialling: Deferred[Any] | None = None
        self._server_expected = False
        self.over: Deferred[None] = Deferred()
        self.operations: dict[int, int] = {}
        self.client = _Side(self)
        self.server = _Side(self)
        self.to_client = _Stream(proxy, self, True, self.client)
        self.to_server = _Stream(proxy, self, False, self.server)
        self.client.stream, self.server.stream = self.to_server, self.to_client

    def dial(self) -> None:
        """Connect to the server, if that was not done yet."""
        if self._dialling is None:
            self._dialling = connectProtocol(self._proxy._server, self.server)
            self._server_expected = True
            self._dialling.addErrback(self._undialled)

    def pump(self) -> None:
        """Pass on what can be."""
        self.to_client.pump()
        self.to_server.pump()

    def part(self) -> None:
        """Close both connections, once what was passed on is written."""
        self.to_client.end(_End.PARTED)
        self.to_server.end(_End.PARTED)

    def abort(self) -> None:
        """Break both connections."""
        self.to_client.end(_End.PARTED)
        self.to_server.end(_End.PARTED)
        self.client.abort()
        self.server.abort()
        if self._dialling is not None:
            self._dialling.cancel()

    def made(self, side: _Side) -> None:
        """Note that a side is there."""
        if side is self.client:
            self._proxy.came(self)
        self.pump()

    def lost(self, side: _Side, reason: Failure) -> None:
        """Note that a side is gone."""
        clean = isinstance(reason.value, ConnectionDone)
        side.stream.end(_End.FINISHED if clean else _End.BROKEN)
        # Nobody reads any more what travels the other way; but whoever sends it need not know that yet.
        (self.to_client if side is self.client else self.to_server).pump()
        if self.client.gone and (self.server.gone or not self._server_expected) and not self.over.called:
            self._proxy.left(self)
            self.over.callback(None)

    def _undialled(self, failure: Failure) -> None:
        self._server_expected = False
        self.client.abort()
        if self.client.gone:
            self.lost(self.client, failure)


@implementer(IHalfCloseableProtocol)
class _Side(Protocol):
    """One side of a link.

    :ivar stream: what comes from here.
    :ivar gone: whether it was there, and is not any more.
    """

    stream: _Stream

    def __init__(self, link: _Link) -> None:
        self._link = link
        self.gone = False

    @property
    def there(self) -> bool:
        """Whether it can be written to."""
        return bool(self.connected) and not self.gone

    @property
    def tcp(self) -> ITCPTransport:
        """Its transport."""
        return cast(ITCPTransport, self.transport)

    def abort(self) -> None:
        """Break the connection, if there is one."""
        if self.there:
            self.tcp.abortConnection()

    def connectionMade(self) -> None:
        """See ``IProtocol``."""
        self.tcp.setTcpNoDelay(True)
        self._link.made(self)

    def dataReceived(self, data: bytes) -> None:
        """See ``IProtocol``."""
        self.stream.take(data)

    def readConnectionLost(self) -> None:
        """See ``IHalfCloseableProtocol``."""
        self.stream.end(_End.FINISHED)

    def writeConnectionLost(self) -> None:
        """See ``IHalfCloseableProtocol``."""

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """See ``IProtocol``."""
        self.gone = True
        self._link.lost(self, reason)


class _Stream:
    """One direction of a link: what waits to be passed on, and what was and waits to be written."""

    def __init__(self, proxy: FaultProxy, link: _Link, to_client: bool, target: _Side) -> None:
        self._proxy = proxy
        self._link = link
        self._to_client = to_client
        self._target = target
        self._decoder: FrameDecoder | None = FrameDecoder(HARD_FRAME_LIMIT)
        self._tail = bytearray()
        self._greeted = False
        self._waiting: deque[tuple[bytes, bool]] = deque()
        self._written = bytearray()
        self._timer = Timer(link._reactor, self._write_next)
        self._resting = False
        self._end: _End | None = None
        self._deaf = False
        self._closed = False

    # What comes from the source.

    def take(self, data: bytes) -> None:
        """Take what has come, and pass it on frame by frame as soon as that can be."""
        if self._deaf or self._end is not None:
            return
        if self._decoder is None:
            self._waiting.append((data, False))
        else:
            self._tail += data
            for frame in self._decoder.feed(data):
                assert isinstance(frame, bytes)  # the limit is the highest that there is
                whole = encode_frame(frame)
                del self._tail[: len(whole)]
                self._waiting.append((whole, True))
            if self._decoder.fault is not None:
                self._decoder = None
                self._flush_tail()
        self.pump()

    def end(self, end: _End) -> None:
        """End, behind what has come before. What ends in two ways ends in the harder one."""
        if self._end is _End.PARTED or (self._end is _End.BROKEN and end is _End.FINISHED):
            return
        if end is _End.FINISHED:
            self._flush_tail()
        else:
            self._waiting.clear()
        self._end = end
        self.pump()

    def stop(self) -> None:
        """Tell the target that there is no more, and throw away what still comes."""
        self._deaf = True
        self._waiting.clear()
        self._close_half()

    # What goes to the target.

    def pump(self) -> None:
        """Pass on what can be: not while stalled, nor before there is a target."""
        if self._target.gone:
            self._waiting.clear()
            self._written.clear()
            self._timer.stop()
            self._settle()
            return
        if self._end is not _End.PARTED and (self._proxy.stalled(self._to_client) or not self._target.there):
            return
        while self._waiting:
            self._pass_on(*self._waiting.popleft())
        self._settle()

    def _pass_on(self, data: bytes, framed: bool) -> None:
        frame = self._recognise(data) if framed else None
        fault = self._proxy.fault_at(frame) if frame is not None and self._to_client else None
        struck: Deferred[None] | None = None
        if fault is None or not fault.swallows:
            passed, struck = self._proxy.allow(self._to_client, len(data))
            self._write(data[:passed])
            if frame is not None and passed == len(data):
                self._proxy.passed(self._to_client, frame)
        if fault is not None or struck is not None:
            self._link.part()
        if fault is not None:
            fault.struck.callback(None)
        if struck is not None:
            struck.callback(None)

    def _recognise(self, data: bytes) -> _Frame | None:
        """Tell what a frame is; None for a handshake, and for what has no header."""
        if not self._greeted:
            self._greeted = True
            return None
        cursor = Cursor(data[4:])
        operations = self._link.operations
        try:
            if not self._to_client:
                request = RequestHeader.decode(cursor)
                operations[request.xid] = request.type
                return _Frame(request.xid, request.type)
            xid = ReplyHeader.decode(cursor).xid
        except ProtocolError:
            return None
        return _Frame(xid, None if xid == EVENT_XID else operations.pop(xid, 0))

    def _write(self, data: bytes) -> None:
        if self._proxy.piece is None and not self._timer.running:
            self._target.tcp.write(data)
        else:
            self._written += data
            if not self._timer.running:
                self._timer.start(0)

    def _write_next(self) -> None:
        # What is written from a timer is sent later in that turn of the reactor. Whoever reads it, if the same reactor serves
        # them, does so in the next one.
        self._resting = not self._resting
        if self._resting and self._written:
            size = self._proxy.piece or len(self._written)
            self._target.tcp.write(bytes(self._written[:size]))
            del self._written[:size]
        if self._resting or self._written:
            self._timer.start(0)
        else:
            self._settle()

    def _settle(self) -> None:
        """End, if that is due and nothing is before it."""
        if self._end is None or self._waiting or self._timer.running:
            return
        if self._end is _End.FINISHED:
            self._close_half()
        elif self._target.there:
            if self._end is _End.BROKEN:
                self._target.abort()
            else:
                self._target.tcp.loseConnection()

    def _close_half(self) -> None:
        self._closed = True
        other = self._link.to_server if self._to_client else self._link.to_client
        if not self._target.there:
            return
        if other._closed:
            self._link.part()
        else:
            self._target.tcp.loseWriteConnection()

    def _flush_tail(self) -> None:
        if self._tail:
            self._waiting.append((bytes(self._tail), False))
            self._tail.clear()
