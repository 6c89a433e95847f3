"""Two connections made one: what comes from either side is passed on to the other, frame by frame.

This module knows how bytes travel, as much of ZooKeeper's protocol as it takes to tell one frame from another, and how
connections end. What is not ZooKeeper's protocol (TLS, the four-letter words) it passes on as it comes. What is to be held
or broken it asks its :class:`Rules`.
"""

from __future__ import annotations

import enum
from collections import deque
from collections.abc import Callable
from typing import NamedTuple, cast
from typing import Protocol as TypingProtocol

from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectionDone
from twisted.internet.interfaces import IHalfCloseableProtocol, IReactorTime, ITCPTransport
from twisted.internet.protocol import Protocol, connectionDone
from twisted.python.failure import Failure
from zope.interface import implementer

from txmirror.errors import ProtocolError
from txmirror.timers import Timer
from txmirror.wire import (
    EVENT_XID,
    HARD_FRAME_LIMIT,
    Cursor,
    FrameDecoder,
    ReplyHeader,
    RequestHeader,
    encode_frame,
)


class End(enum.Enum):
    """How a stream ends, once what is before it was written."""

    FINISHED = "its source has no more to say"
    BROKEN = "its source is gone, and so is what was on the way"
    PARTED = "the connection is to be closed"


class Frame(NamedTuple):
    """What is known of a frame with a header."""

    xid: int
    operation: int | None
    """What the request is, or was that this answers; None for an event."""


class Fault(NamedTuple):
    """Something that is to happen once, at a frame to a client: its connection is closed."""

    strikes: Callable[[Frame], bool]
    """Whether it happens at this frame."""
    swallows: bool
    """Whether the frame is not passed on."""
    struck: Deferred[None]
    """Fires when it has happened."""


class Rules(TypingProtocol):
    """What is to happen to what is passed on."""

    @property
    def piece(self) -> int | None:
        """How many bytes are written at once, at most."""

    def connect(self, side: Side) -> Deferred[Side]:
        """Connect a side to the server."""

    def came(self, relay: Relay) -> None:
        """Note a client, and dial for it or not."""

    def left(self, relay: Relay) -> None:
        """Note that both sides of a relay are gone."""

    def stalled(self, to_client: bool) -> bool:
        """Tell whether nothing is passed on in a direction."""

    def fault_at(self, frame: Frame) -> Fault | None:
        """Take out the fault that strikes at a frame, if one does."""

    def allow(self, to_client: bool, size: int) -> tuple[int, Deferred[None] | None]:
        """Tell how many of so many bytes may be passed on, and whom to tell if they are the last."""

    def passed(self, to_client: bool, frame: Frame) -> None:
        """Count a frame that was passed on."""


class Relay:
    """A client's connection and the one to the server that belongs to it.

    :param clock: the reactor.
    :param rules: what is to happen to what is passed on.
    :ivar client: the client's side.
    :ivar server: the server's side, once :meth:`dial` was called.
    :ivar to_client: the stream from the server to the client.
    :ivar to_server: the stream from the client to the server.
    :ivar operations: the operation of each request that was passed on and not answered, by xid.
    :ivar over: fires when both are gone.
    """

    def __init__(self, clock: IReactorTime, rules: Rules) -> None:
        self._rules = rules
        self._dialling: Deferred[Side] | None = None
        self._server_expected = False
        self.over: Deferred[None] = Deferred()
        self.operations: dict[int, int] = {}
        self.client = Side(self)
        self.server = Side(self)
        self.to_client = Stream(clock, rules, self, True, self.client)
        self.to_server = Stream(clock, rules, self, False, self.server)
        self.client.stream, self.server.stream = self.to_server, self.to_client

    def dial(self) -> None:
        """Connect to the server, if that was not done yet."""
        if self._dialling is None:
            self._dialling = self._rules.connect(self.server)
            self._server_expected = True
            self._dialling.addErrback(self._undialled)

    def pump(self) -> None:
        """Pass on what can be."""
        self.to_client.pump()
        self.to_server.pump()

    def part(self) -> None:
        """Close both connections, once what was passed on is written."""
        self.to_client.end(End.PARTED)
        self.to_server.end(End.PARTED)

    def abort(self) -> None:
        """Break both connections."""
        self.to_client.end(End.PARTED)
        self.to_server.end(End.PARTED)
        self.client.abort()
        self.server.abort()
        if self._dialling is not None:
            self._dialling.cancel()

    def made(self, side: Side) -> None:
        """Note that a side is there."""
        if side is self.client:
            self._rules.came(self)
        self.pump()

    def lost(self, side: Side, reason: Failure) -> None:
        """Note that a side is gone."""
        clean = isinstance(reason.value, ConnectionDone)
        side.stream.end(End.FINISHED if clean else End.BROKEN)
        # Nobody reads any more what travels the other way; but whoever sends it need not know that yet.
        (self.to_client if side is self.client else self.to_server).pump()
        if self.client.gone and (self.server.gone or not self._server_expected) and not self.over.called:
            self._rules.left(self)
            self.over.callback(None)

    def _undialled(self, failure: Failure) -> None:
        self._server_expected = False
        self.client.abort()
        if self.client.gone:
            self.lost(self.client, failure)


@implementer(IHalfCloseableProtocol)
class Side(Protocol):
    """One side of a relay.

    :ivar stream: what comes from here.
    :ivar gone: whether it was there, and is not any more.
    """

    stream: Stream

    def __init__(self, relay: Relay) -> None:
        self._relay = relay
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
        self._relay.made(self)

    def dataReceived(self, data: bytes) -> None:
        """See ``IProtocol``."""
        self.stream.take(data)

    def readConnectionLost(self) -> None:
        """See ``IHalfCloseableProtocol``."""
        self.stream.end(End.FINISHED)

    def writeConnectionLost(self) -> None:
        """See ``IHalfCloseableProtocol``."""

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """See ``IProtocol``."""
        self.gone = True
        self._relay.lost(self, reason)


class Stream:
    """One direction of a relay: what waits to be passed on, and what was and waits to be written."""

    def __init__(self, clock: IReactorTime, rules: Rules, relay: Relay, to_client: bool, target: Side) -> None:
        self._rules = rules
        self._relay = relay
        self._to_client = to_client
        self._target = target
        self._decoder: FrameDecoder | None = FrameDecoder(HARD_FRAME_LIMIT)
        self._tail = bytearray()
        self._greeted = False
        self._waiting: deque[tuple[bytes, bool]] = deque()
        self._written = bytearray()
        self._timer = Timer(clock, self._write_next)
        self._resting = False
        self._end: End | None = None
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

    def end(self, end: End) -> None:
        """End, behind what has come before. What ends in two ways ends in the harder one."""
        if self._end is End.PARTED or (self._end is End.BROKEN and end is End.FINISHED):
            return
        if end is End.FINISHED:
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
        if self._end is not End.PARTED and (self._rules.stalled(self._to_client) or not self._target.there):
            return
        while self._waiting:
            self._pass_on(*self._waiting.popleft())
        self._settle()

    def _pass_on(self, data: bytes, framed: bool) -> None:
        frame = self._recognise(data) if framed else None
        fault = self._rules.fault_at(frame) if frame is not None and self._to_client else None
        struck: Deferred[None] | None = None
        if fault is None or not fault.swallows:
            passed, struck = self._rules.allow(self._to_client, len(data))
            self._write(data[:passed])
            if frame is not None and passed == len(data):
                self._rules.passed(self._to_client, frame)
        if fault is not None or struck is not None:
            self._relay.part()
        if fault is not None:
            fault.struck.callback(None)
        if struck is not None:
            struck.callback(None)

    def _recognise(self, data: bytes) -> Frame | None:
        """Tell what a frame is; None for a handshake, and for what has no header."""
        if not self._greeted:
            self._greeted = True
            return None
        cursor = Cursor(data[4:])
        operations = self._relay.operations
        try:
            if not self._to_client:
                request = RequestHeader.decode(cursor)
                operations[request.xid] = request.type
                return Frame(request.xid, request.type)
            xid = ReplyHeader.decode(cursor).xid
        except ProtocolError:
            return None
        return Frame(xid, None if xid == EVENT_XID else operations.pop(xid, 0))

    def _write(self, data: bytes) -> None:
        if self._rules.piece is None and not self._timer.running:
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
            size = self._rules.piece or len(self._written)
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
        if self._end is End.FINISHED:
            self._close_half()
        elif self._target.there:
            if self._end is End.BROKEN:
                self._target.abort()
            else:
                self._target.tcp.loseConnection()

    def _close_half(self) -> None:
        self._closed = True
        other = self._relay.to_server if self._to_client else self._relay.to_client
        if not self._target.there:
            return
        if other._closed:
            self._relay.part()
        else:
            self._target.tcp.loseWriteConnection()

    def _flush_tail(self) -> None:
        if self._tail:
            self._waiting.append((bytes(self._tail), False))
            self._tail.clear()
