"""The protocol at one side of a connection in memory."""

from __future__ import annotations

from collections.abc import Callable

from twisted.internet.address import IPv4Address, IPv6Address
from twisted.internet.interfaces import IHalfCloseableProtocol, IProtocol
from twisted.logger import Logger
from twisted.python.failure import Failure

Address = IPv4Address | IPv6Address


class Receiver:
    """The protocol of a transport. As with sockets, one that raises loses its connection, and the reactor goes on.

    :param host: its address, for the log.
    :param failed: called with the exception that it has raised.
    :ivar paused: whether it wants no data now.
    """

    _log = Logger()

    def __init__(self, host: Address, failed: Callable[[Exception], object]) -> None:
        self._host = host
        self._failed = failed
        self._protocol: IProtocol | None = None
        self._when_lost: Callable[[Failure], object] | None = None
        self._read_closed = False
        self.paused = False

    def begin(self, protocol: IProtocol, when_lost: Callable[[Failure], object] | None) -> None:
        """Set the protocol, and a function to call after its ``connectionLost``."""
        self._protocol = protocol
        self._when_lost = when_lost

    def receive(self, data: bytes) -> None:
        """Deliver data."""
        if self._protocol is not None:
            self._guard(self._protocol.dataReceived, data)

    def write_closed(self) -> None:
        """Notify a protocol that can be half-closed that it cannot write any more."""
        protocol = self._half_closeable()
        if protocol is not None:
            self._guard(protocol.writeConnectionLost)

    def read_closed(self) -> bool:
        """Notify a protocol that can be half-closed, once, that no more data comes. Return whether it can."""
        protocol = self._half_closeable()
        if protocol is None:
            return False
        if not self._read_closed:
            self._read_closed = True
            self._guard(protocol.readConnectionLost)
        return True

    def lost(self, reason: Exception) -> None:
        """Notify the protocol, and then the function of :meth:`begin`, that the connection is lost."""
        failure = Failure(reason)
        try:
            if self._protocol is not None:
                self._protocol.connectionLost(failure)
        except Exception:
            # The protocol is the program's.
            self._log.failure("The protocol of {host} raised in connectionLost", host=self._host)
        if self._when_lost is not None:
            self._when_lost(failure)

    def _guard(self, call: Callable[..., object], *args: object) -> None:
        try:
            call(*args)
        except Exception as error:
            # Likewise.
            self._log.failure("The protocol of {host} raised", host=self._host)
            self._failed(error)

    def _half_closeable(self) -> IHalfCloseableProtocol | None:
        return IHalfCloseableProtocol(self._protocol, None)
