"""A TCP proxy in front of a server, whose connections a test can cut, and whose door it can shut."""

from __future__ import annotations

from typing import Any, cast

from twisted.internet.defer import Deferred, maybeDeferred
from twisted.internet.interfaces import IListeningPort, ITCPTransport
from twisted.internet.protocol import Protocol, connectionDone
from twisted.protocols import portforward
from twisted.python.failure import Failure


class _Side(portforward.ProxyServer):
    """The side of the client. It looks for the server only while the door is open."""

    factory: _Factory

    def connectionMade(self) -> None:
        if self.factory.proxy.shut:
            _abort(self)
        else:
            self.factory.proxy.sides.add(self)
            super().connectionMade()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self.factory.proxy.sides.discard(self)
        super().connectionLost(reason)


class _Factory(portforward.ProxyFactory):
    noisy = False
    protocol = _Side

    def __init__(self, proxy: Proxy, port: int) -> None:
        super().__init__("127.0.0.1", port)
        self.proxy = proxy


class Proxy:
    """Listens on a free port of loopback, and passes everything on to another.

    :param reactor: the real one.
    :param port: where the server listens, on loopback.
    :ivar shut: whether whoever connects is turned away at once.
    :ivar sides: the connections that are alive.
    """

    def __init__(self, reactor: Any, port: int) -> None:
        self.shut = False
        self.sides: set[_Side] = set()
        self._port: IListeningPort = reactor.listenTCP(0, _Factory(self, port), interface="127.0.0.1")

    @property
    def address(self) -> str:
        """What a client connects to."""
        host: Any = self._port.getHost()
        return f"127.0.0.1:{host.port}"

    def cut(self) -> None:
        """Break every connection, and turn away whoever comes, until :meth:`open`."""
        self.shut = True
        for side in list(self.sides):
            _abort(side)
            if side.peer is not None:
                _abort(side.peer)

    def open(self) -> None:
        """Let clients through again."""
        self.shut = False

    def close(self) -> Deferred[Any]:
        """Break every connection and stop listening."""
        self.cut()
        return maybeDeferred(self._port.stopListening)


def _abort(side: Protocol) -> None:
    cast(ITCPTransport, side.transport).abortConnection()
