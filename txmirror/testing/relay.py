"""Relays: each forwards data between a client's connection and its connection to the server, frame by frame.

This module knows how bytes are forwarded, how connections end, and as much of ZooKeeper's protocol as it takes to recognise
frames. It forwards other protocols (TLS, the four-letter words) as they come. The proxy's faults decide what is forwarded.
"""

from __future__ import annotations

import enum
from collections import deque
from typing import Protocol as TypingProtocol
from typing import cast

from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectionDone
from twisted.internet.interfaces import IHalfCloseableProtocol, IReactorTime, ITCPTransport
from twisted.internet.protocol import Protocol, connectionDone
from twisted.python.failure import Failure
from zope.interface import implementer

from txmirror.errors import ProtocolError
from txmirror.testing.faults import Faults, Frame
from txmirror.testing.pieces import FrameSplitter, PieceWriter
from txmirror.wire import EVENT_XID, Cursor, ReplyHeader, RequestHeader


class End(enum.Enum):
    """The ways in which a stream ends, once all data before the end was written."""

    FINISHED = "its source has closed the connection"
    BROKEN = "its source has aborted the connection, and the data in transit is lost"
    CLOSED = "the relay closes the connection"


class Relays(TypingProtocol):
    """The relays of a proxy."""

    def connect(self, side: Side) -> Deferred[Side]:
        """Connect a side to the server."""

    def client_connected(self, relay: Relay) -> None:
        """Note a new client, and connect to the server for it if it is forwarded."""

    def relay_closed(self, relay: Relay) -> None:
        """Note that both sides of a relay are disconnected."""


class Relay:
    """A client's connection, and the connection to the server that belongs to it.

    :param reactor: the reactor.
    :param faults: the proxy's faults.
    :param relays: the proxy's relays.
    :ivar client: the client's side.
    :ivar server: the server's side, once :meth:`connect_server` was called.
    :ivar to_client: the stream from the server to the client.
    :ivar to_server: the stream from the client to the server.
    :ivar operations: the operation of each request that was forwarded and not answered, by xid.
    :ivar over: fires when both sides are disconnected.
    """

    def __init__(self, reactor: IReactorTime, faults: Faults, relays: Relays) -> None:
        self._relays = relays
        self._connecting: Deferred[Side] | None = None
        self._server_expected = False
        self.over: Deferred[None] = Deferred()
        self.operations: dict[int, int] = {}
        self.client: Side = Side(self)
        self.server: Side = Side(self)
        self.to_client: Stream = Stream(reactor, faults, self, True, self.client)
        self.to_server: Stream = Stream(reactor, faults, self, False, self.server)
        self.client.stream, self.server.stream = self.to_server, self.to_client

    def connect_server(self) -> None:
        """Connect to the server, unless that was done before."""
        if self._connecting is None:
            self._connecting = self._relays.connect(self.server)
            self._server_expected = True
            self._connecting.addErrback(self._not_connected)

    def pump(self) -> None:
        """Forward all data that can be forwarded now."""
        self.to_client.pump()
        self.to_server.pump()

    def close(self) -> None:
        """Close both connections, once all forwarded data is written."""
        self.to_client.end(End.CLOSED)
        self.to_server.end(End.CLOSED)

    def abort(self) -> None:
        """Abort both connections."""
        self.to_client.end(End.CLOSED)
        self.to_server.end(End.CLOSED)
        self.client.abort()
        self.server.abort()
        if self._connecting is not None:
            self._connecting.cancel()

    def side_connected(self, side: Side) -> None:
        """Note that a side is connected."""
        if side is self.client:
            self._relays.client_connected(self)
        self.pump()

    def side_disconnected(self, side: Side, reason: Failure) -> None:
        """Note that a side is disconnected."""
        clean = isinstance(reason.value, ConnectionDone)
        side.stream.end(End.FINISHED if clean else End.BROKEN)
        # This drops the data for that side. A stalled sender does not notice the disconnection yet.
        (self.to_client if side is self.client else self.to_server).pump()
        if self.client.gone and (self.server.gone or not self._server_expected) and not self.over.called:
            self._relays.relay_closed(self)
            self.over.callback(None)

    def _not_connected(self, failure: Failure) -> None:
        self._server_expected = False
        self.client.abort()
        if self.client.gone:
            self.side_disconnected(self.client, failure)


@implementer(IHalfCloseableProtocol)
class Side(Protocol):
    """One side of a relay.

    :ivar stream: the stream of data from this side.
    :ivar gone: whether it was connected, and is disconnected.
    """

    stream: Stream

    def __init__(self, relay: Relay) -> None:
        self._relay = relay
        self.gone: bool = False

    @property
    def writable(self) -> bool:
        """True if it is connected, so that it can be written to."""
        return bool(self.connected) and not self.gone

    @property
    def tcp(self) -> ITCPTransport:
        """Its transport."""
        return cast(ITCPTransport, self.transport)

    def write(self, data: bytes) -> None:
        """Write data to the connection."""
        self.tcp.write(data)

    def abort(self) -> None:
        """Abort the connection, if there is one."""
        if self.writable:
            self.tcp.abortConnection()

    def connectionMade(self) -> None:
        """Notify the relay that this side is connected. Twisted calls it."""
        self.tcp.setTcpNoDelay(True)
        self._relay.side_connected(self)

    def dataReceived(self, data: bytes) -> None:
        """Take data into the stream. Twisted calls it."""
        self.stream.take(data)

    def readConnectionLost(self) -> None:
        """End the stream: the peer sends no more. Twisted calls it."""
        self.stream.end(End.FINISHED)

    def writeConnectionLost(self) -> None:
        """Do nothing: the relay itself has half-closed the connection. Twisted calls it."""

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """Note that this side is disconnected. Twisted calls it."""
        self.gone = True
        self._relay.side_disconnected(self, reason)


class Stream:
    """One direction of a relay: the data that waits to be forwarded, and the forwarded data that waits to be written."""

    def __init__(self, reactor: IReactorTime, faults: Faults, relay: Relay, to_client: bool, target: Side) -> None:
        self._faults = faults
        self._relay = relay
        self._to_client = to_client
        self._target = target
        self._splitter = FrameSplitter()
        self._handshake_seen = False
        self._waiting: deque[tuple[bytes, bool]] = deque()
        self._writer = PieceWriter(reactor, lambda: faults.piece, target.write, self._settle)
        self._end: End | None = None
        self._discarding = False
        self._closed = False

    # Data from the source.

    def take(self, data: bytes) -> None:
        """Take received data, and forward it frame by frame as soon as possible."""
        if self._discarding or self._end is not None:
            return
        self._waiting.extend(self._splitter.feed(data))
        self.pump()

    def end(self, end: End) -> None:
        """End the stream, after all data that was received before. Of two ways, the harder one wins."""
        if self._end is End.CLOSED or (self._end is End.BROKEN and end is End.FINISHED):
            return
        if end is End.FINISHED:
            self._waiting.extend(self._splitter.finish())
        else:
            self._waiting.clear()
        self._end = end
        self.pump()

    def stop(self) -> None:
        """Half-close the target's connection, and discard all further data for it."""
        self._discarding = True
        self._waiting.clear()
        self._close_half()

    # Data for the target.

    def pump(self) -> None:
        """Forward all data that can be forwarded now: none while stalled, and none before the target is connected."""
        if self._target.gone:
            self._waiting.clear()
            self._writer.stop()
            self._settle()
            return
        if self._end is not End.CLOSED and (self._faults.stalled(self._to_client) or not self._target.writable):
            return
        while self._waiting:
            self._forward(*self._waiting.popleft())
        self._settle()

    def _forward(self, data: bytes, framed: bool) -> None:
        frame = self._parse(data) if framed else None
        fault = self._faults.take(frame) if frame is not None and self._to_client else None
        happened: Deferred[None] | None = None
        if fault is None or not fault.swallows:
            passed, happened = self._faults.allow(self._to_client, len(data))
            self._writer.write(data[:passed])
            if frame is not None and passed == len(data):
                self._faults.count(self._to_client, frame)
        if fault is not None or happened is not None:
            self._relay.close()
        if fault is not None:
            fault.happened.callback(None)
        if happened is not None:
            happened.callback(None)

    def _parse(self, data: bytes) -> Frame | None:
        """Return the xid and operation of a frame; None for a handshake, and for a frame without a header."""
        if not self._handshake_seen:
            self._handshake_seen = True
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

    def _settle(self) -> None:
        """End the connection, if the stream has ended and all data before was written."""
        if self._end is None or self._waiting or self._writer.busy:
            return
        if self._end is End.FINISHED:
            self._close_half()
        elif self._target.writable:
            if self._end is End.BROKEN:
                self._target.abort()
            else:
                self._target.tcp.loseConnection()

    def _close_half(self) -> None:
        self._closed = True
        other = self._relay.to_server if self._to_client else self._relay.to_client
        if not self._target.writable:
            return
        if other._closed:
            self._relay.close()
        else:
            self._target.tcp.loseWriteConnection()
