"""From the bytes of a query to those of the reply; and the two protocols, UDP and TCP."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.error import MessageLengthError
from twisted.internet.interfaces import IPushProducer, IReactorTime
from twisted.internet.protocol import DatagramProtocol, Factory, Protocol
from twisted.logger import Logger
from twisted.names import dns
from twisted.protocols.policies import TimeoutMixin
from twisted.python.failure import Failure
from zope.interface import implementer

from txmirror.deferreds import Pump
from txmirror.dns.wire import MOST_TCP, BadQuery, Query, Reply, decode_query, encode_reply

#: The most queries that wait for an answer. Further ones that would have to wait fail at once.
_MOST_WAITING = 500
#: The most connections by TCP, the time of silence after which one is closed, in seconds, and the longest query in bytes.
_MOST_CONNECTIONS, _SILENCE, _LONGEST_QUERY = 100, 10, 2048


#: It gets the code of a reply, whether it was truncated, and its time in seconds.
Replied = Callable[[int, bool, float], object]
#: The flag of a truncated reply, in the third byte.
_TRUNCATED = 0x02


class Responder:
    """Answers queries, as bytes.

    :param answer: returns the reply to a query, at once or later.
    :param replied: called with each reply and its time in seconds, for counts; None for no function.
    :param seconds: returns the time in seconds.
    """

    _log = Logger()

    def __init__(
        self,
        answer: Callable[[Query], Reply | Deferred[Reply]],
        *,
        replied: Replied | None = None,
        seconds: Callable[[], float] = lambda: 0.0,
    ) -> None:
        self.answer = answer
        self._replied = replied
        self._seconds = seconds
        self._waiting: set[Deferred[Any]] = set()

    @property
    def waiting(self) -> int:
        """The number of queries that wait for their answers."""
        return len(self._waiting)

    def respond(self, data: bytes, *, by_tcp: bool) -> Deferred[bytes | None]:
        """Answer a query.

        :returns: fires with the reply; with None if there is none. It never fails.
        """
        return Deferred.fromCoroutine(self._respond_and_count(data, by_tcp))

    async def _respond_and_count(self, data: bytes, by_tcp: bool) -> bytes | None:
        began = self._seconds()
        reply = await self._respond(data, by_tcp)
        if reply is not None and self._replied is not None:
            # The codes of EDNS are not told apart from those without it.
            self._replied(reply[3] & 0xF, bool(reply[2] & _TRUNCATED), self._seconds() - began)
        return reply

    async def _respond(self, data: bytes, by_tcp: bool) -> bytes | None:
        try:
            query = decode_query(data)
        except BadQuery as bad:
            return bad.reply
        size = MOST_TCP if by_tcp else query.udp_size
        try:
            return encode_reply(query, await self._answer(query), size)
        except Exception:
            self._log.failure("A DNS query was answered with SERVFAIL because of a bug.")
            return encode_reply(query, Reply(dns.ESERVER), size)

    async def _answer(self, query: Query) -> Reply:
        answering = self.answer(query)
        if isinstance(answering, Reply):
            return answering
        if len(self._waiting) >= _MOST_WAITING:
            # What is known is answered all the same.
            answering.addErrback(lambda _: None)
            answering.cancel()
            return Reply(dns.ESERVER)
        self._waiting.add(answering)
        try:
            return await answering
        finally:
            self._waiting.discard(answering)


class DatagramServer(DatagramProtocol):
    """Answers queries by UDP."""

    noisy = False

    def __init__(self, responder: Responder) -> None:
        self._responder = responder

    def datagramReceived(self, datagram: bytes, addr: Any) -> None:
        """Answer a query."""
        self._responder.respond(datagram, by_tcp=False).addCallback(self._send, addr)

    def _send(self, reply: bytes | None, address: Any) -> None:
        transport: Any = self.transport
        # A datagram can come from port 0, to which nothing can be sent.
        if reply is None or transport is None or not address[1]:
            return
        # As if it was lost on the way: the client asks again.
        with contextlib.suppress(OSError, MessageLengthError):
            transport.write(reply, address)

    def logPrefix(self) -> str:
        """Return the prefix of the reactor's log."""
        return "DNS"


@implementer(IPushProducer)
class StreamServer(Protocol, TimeoutMixin):
    """Answers queries by TCP, one after another. It reads no further ones while the client does not read its replies.

    :ivar factory: the factory.
    """

    factory: StreamFactory
    transport: Any

    def __init__(self, responder: Responder, reactor: IReactorTime) -> None:
        self._responder = responder
        self._reactor = reactor
        self._buffer = b""
        self._answering = self._full = self._paused = False
        self._pump = Pump(self._answer_next)

    def callLater(self, period: float, function: Callable[[], object]) -> Any:
        """Schedule the timeout."""
        return self._reactor.callLater(period, function)

    def connectionMade(self) -> None:
        """Begin, unless there are too many connections."""
        connections = self.factory.connections
        connections.add(self)
        self.transport.registerProducer(self, True)
        if len(connections) > _MOST_CONNECTIONS:
            self._abort()
        else:
            self.setTimeout(_SILENCE)

    def connectionLost(self, reason: Failure) -> None:  # type: ignore[override]  # the default is of no use
        """End."""
        self.factory.connections.discard(self)
        self.setTimeout(None)
        self._buffer = b""

    def timeoutConnection(self) -> None:
        """Close a connection without queries, or whose client does not read."""
        self._abort()

    def dataReceived(self, data: bytes) -> None:
        """Answer the queries that are complete."""
        self._buffer += data
        self._pump()

    def _answer_next(self) -> None:
        # A reply that is ready at once comes back here by _send().
        while not (self._answering or self._full) and len(self._buffer) >= 2:
            length = int.from_bytes(self._buffer[:2], "big")
            if not 0 < length <= _LONGEST_QUERY:
                self._abort()
                return
            if len(self._buffer) < 2 + length:
                break
            query, self._buffer = self._buffer[2 : 2 + length], self._buffer[2 + length :]
            self.resetTimeout()
            self._answering = True
            self._responder.respond(query, by_tcp=True).addCallback(self._send)
        self._read(wanted=not (self._answering or self._full))

    def _send(self, reply: bytes | None) -> None:
        self._answering = False
        if self not in self.factory.connections:
            return
        if reply is None:
            self._abort()
            return
        self.transport.write(len(reply).to_bytes(2, "big") + reply)
        self._pump()

    def _read(self, *, wanted: bool) -> None:
        """Read from the connection, or stop that."""
        if wanted is self._paused:
            self._paused = not wanted
            if wanted:
                self.transport.resumeProducing()
            else:
                self.transport.pauseProducing()

    def _abort(self) -> None:
        self._buffer = b""
        self.transport.abortConnection()

    # The transport calls these.

    def pauseProducing(self) -> None:
        """Read no further queries: the client does not read."""
        self._full = True
        self._pump()

    def resumeProducing(self) -> None:
        """Read further queries."""
        self._full = False
        self._pump()

    def stopProducing(self) -> None:
        """End: the connection is lost."""


class StreamFactory(Factory):
    """Makes the protocols of connections by TCP.

    :ivar connections: the open ones.
    """

    noisy = False

    def __init__(self, responder: Responder, reactor: IReactorTime) -> None:
        self.connections: set[StreamServer] = set()
        self._responder = responder
        self._reactor = reactor

    def buildProtocol(self, addr: object) -> Any:
        """Make a protocol."""
        protocol = StreamServer(self._responder, self._reactor)
        protocol.factory = self
        return protocol

    def logPrefix(self) -> str:
        """Return the prefix of the reactor's log."""
        return "DNS"

    def close(self) -> None:
        """Close the open connections."""
        for each in list(self.connections):
            each.transport.abortConnection()
