"""Responses that report their end."""

from __future__ import annotations

import weakref
from collections.abc import Callable
from typing import Any

from twisted.internet.error import ConnectionAborted
from twisted.internet.interfaces import IProtocol, IPushProducer
from twisted.python.components import proxyForInterface
from twisted.python.failure import Failure
from twisted.web.client import ResponseFailed
from twisted.web.iweb import IResponse
from zope.interface import implementer

_NO_BODY = (204, 304)


@implementer(IProtocol, IPushProducer)
class _ObservedBody:
    """The receiver of a body, and its transport, which it can abort.

    (The transport that Twisted passes to a receiver has no ``abortConnection``, so that cancelling ``readBody`` would leave the
    connection, and log an error when the body ends.)

    :param receiver: the program's receiver.
    :param ended: called before the receiver is notified of the end.
    """

    disconnecting = False

    def __init__(self, receiver: Any, ended: Callable[[], None]) -> None:
        self._receiver = receiver
        self._ended: Callable[[], None] | None = ended
        self._transport: Any = None

    def makeConnection(self, transport: Any) -> None:
        self._transport = transport
        self._receiver.makeConnection(self)

    def connectionMade(self) -> None:
        """Do nothing: :meth:`makeConnection` has done it."""

    def dataReceived(self, data: bytes) -> None:
        if self._ended is not None:
            self._receiver.dataReceived(data)

    def connectionLost(self, reason: Failure) -> None:
        if self._ended is not None:
            ended, self._ended = self._ended, None
            ended()
            self._receiver.connectionLost(reason)

    def pauseProducing(self) -> None:
        self._transport.pauseProducing()

    def resumeProducing(self) -> None:
        self._transport.resumeProducing()

    def stopProducing(self) -> None:
        self._transport.stopProducing()

    def loseConnection(self) -> None:
        """Close the connection, and notify the receiver."""
        self._transport.loseConnection()

    def abortConnection(self) -> None:
        """Close the connection, and notify the receiver at once."""
        self._transport.loseConnection()
        self.connectionLost(Failure(ResponseFailed([Failure(ConnectionAborted())])))


@implementer(IProtocol)
class _DroppedBody:
    """The receiver of a body that the program has not asked for: it closes the connection.

    Without it, the connection would stay open, and its transport paused. One whose response has arrived as a whole stays.
    """

    def makeConnection(self, transport: Any) -> None:
        transport.loseConnection()

    def connectionMade(self) -> None:
        """Do nothing: :meth:`makeConnection` has done it."""

    def dataReceived(self, data: bytes) -> None:
        """Do nothing: nobody wants the body."""

    def connectionLost(self, reason: Failure) -> None:
        """Do nothing, likewise."""


class ObservedResponse(proxyForInterface(IResponse)):  # type: ignore[misc]
    """A response that calls a function once, when its body has ended, or cannot be received any more.

    If the response is garbage before the program has asked for the body, its connection is closed, unless the body has arrived.

    :param original: the response.
    :param ended: called when the body has ended or is cut off; at once if there is none; and when the response is garbage, because
        the program has not asked for the body.
    """

    def __init__(self, original: IResponse, ended: Callable[[], None]) -> None:
        super().__init__(original)
        self._ended = ended
        self._dropped = weakref.finalize(self, _drop, original, ended)
        self._dropped.atexit = False
        if original.length == 0 or original.code in _NO_BODY:
            self._dropped.detach()
            ended()

    def deliverBody(self, protocol: Any) -> None:
        ended = self._ended if self._dropped.detach() is not None else _do_nothing
        self.original.deliverBody(_ObservedBody(protocol, ended))


def _drop(original: IResponse, ended: Callable[[], None]) -> None:
    try:
        original.deliverBody(_DroppedBody())
    finally:
        ended()


def _do_nothing() -> None:
    """Do nothing: the end was noted before."""
