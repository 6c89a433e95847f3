"""The output of one connection: write it, hold it for a test, and measure how much of it the client leaves unread."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Final, cast

from twisted.internet.interfaces import IConsumer, IPushProducer, ITCPTransport
from twisted.logger import Logger, LogLevel

#: The limit for bytes that a client has not read, above which its requests wait. A real server reads on until its memory is
#: full. A client that reads at all never comes near this limit.
MAX_UNREAD: Final = 4 * 1024 * 1024


class Output:
    """The bytes for one client.

    :ivar peer: the address of the client, as ``host:port``.
    :ivar throttled: whether the client leaves too much unread.
    :ivar written: the number of bytes written in the present turn of the reactor.
    :ivar held_bytes: the number of bytes that are held.
    """

    _log = Logger()
    _transport: ITCPTransport

    def __init__(self) -> None:
        self._held: list[Callable[[], None]] | None = None
        self.held_bytes: int = 0
        self._buffered: int | None = None
        """The bytes written since the transport's buffer filled up; None while it accepts more."""
        self._unread_events = 0
        self._was_throttled = False
        self.peer: str = ""
        self.throttled: bool = False
        self.written: int = 0

    def connected(self, transport: ITCPTransport, producer: IPushProducer) -> None:
        """Use a transport, which pauses and resumes ``producer``."""
        self._transport = transport
        transport.setTcpNoDelay(True)
        cast(IConsumer, transport).registerProducer(producer, True)
        peer = transport.getPeer()
        self.peer = f"{peer.host}:{peer.port}"

    def write(self, data: bytes) -> None:
        """Write or hold bytes."""
        self.written += len(data)
        if self._held is not None:
            self._held.append(partial(self._transport.write, data))
            self.held_bytes += len(data)
            self._throttle_above_limit(self.held_bytes)
            return
        self._transport.write(data)
        if self._buffered is not None:
            self._buffered += len(data)
            self._throttle_above_limit(self._buffered)

    def count_event(self, size: int) -> int:
        """Count an event that was just written, and return the size of all unread events in bytes."""
        if self._buffered is not None:
            self._unread_events += size
        return self._unread_events

    def buffer_full(self) -> None:
        """Begin to count: the transport's buffer is full. The transport reports this at each write."""
        if self._buffered is None:
            self._buffered = 0

    def buffer_empty(self) -> bool:
        """Stop counting: the client has read everything. Return whether this ends the throttling."""
        self._buffered = None
        self._unread_events = 0
        return self._ends_throttling()

    def hold(self) -> None:
        """Hold everything until :meth:`release`."""
        if self._held is None:
            self._held = []

    def release(self) -> bool:
        """Write the held bytes, in order. Return whether this ends the throttling."""
        held, self._held = self._held, None
        for send in held or ():
            send()
        self.held_bytes = 0
        return self._ends_throttling()

    def close(self) -> None:
        """Close the connection once the client has read everything, or hold this too."""
        cast(IConsumer, self._transport).unregisterProducer()
        self._do(self._transport.loseConnection)

    def discard(self) -> None:
        """Drop the held bytes, and hold nothing more."""
        self._held = None

    def abort(self) -> None:
        """Abort the connection, or hold this too."""
        self._do(self._transport.abortConnection)

    def _do(self, action: Callable[[], None]) -> None:
        if self._held is None:
            action()
        else:
            self._held.append(action)

    def _throttle_above_limit(self, unread: int) -> None:
        if unread > MAX_UNREAD and not self.throttled:
            # A client that is merely slow gets here again and again.
            self._log.emit(
                LogLevel.debug if self._was_throttled else LogLevel.warn,
                "Throttling the connection from {peer} until it reads: {unread} bytes are unread",
                peer=self.peer,
                unread=unread,
            )
            self.throttled = self._was_throttled = True

    def _ends_throttling(self) -> bool:
        if self.throttled and self._buffered is None and self.held_bytes <= MAX_UNREAD:
            self.throttled = False
            return True
        return False
