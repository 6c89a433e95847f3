"""One connection to an instance: it wraps the program's protocol, and reports to the provider whether the instance works."""

from __future__ import annotations

from contextlib import ExitStack
from typing import Any, Final

from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectionAborted, NoProtocol
from twisted.internet.interfaces import (
    IAddress,
    IHalfCloseableProtocol,
    IHandshakeListener,
    ILoggingContext,
    IProtocol,
    IProtocolFactory,
    IProtocolNegotiationFactory,
    IReactorTime,
    ITransport,
)
from twisted.internet.protocol import Protocol, connectionDone
from twisted.python.failure import Failure
from zope.interface import alsoProvides, implementer

from txmirror.interfaces import IServiceProvider
from txmirror.timers import Timer
from txmirror.types import Instance

#: A connection that the other side ends within this time, in seconds, and before it has sent a byte, is a failure of the instance.
QUICK_FAILURE: Final = 2.0


class ProgramError(Exception):
    """The program's own factory or protocol has raised an exception. The instance has not failed, and another one is of no help.

    :param error: the exception.
    """

    def __init__(self, error: Exception) -> None:
        super().__init__(str(error))
        self.error = error


class InstanceUse:
    """The use of an instance by one connection, for the provider: pending until it ends, and either succeeded or failed.

    The instance has succeeded once it has sent a byte, or the connection has lived for :data:`QUICK_FAILURE` seconds.

    :param reactor: the clock.
    """

    def __init__(self, provider: IServiceProvider, instance: Instance, reactor: IReactorTime) -> None:
        self._provider = provider
        self._instance = instance
        self._timer = Timer(reactor, self.succeeded)
        self._decided = False
        self._pending = ExitStack()
        self._pending.enter_context(provider.using(instance))

    def connected(self) -> None:
        """Note that the connection is established."""
        self._timer.start(QUICK_FAILURE)

    def succeeded(self) -> None:
        """Note that the instance works, unless that is noted already."""
        if not self._decided:
            self._decided = True
            self._timer.stop()
            self._provider.succeeded(self._instance)

    def failed(self) -> None:
        """Note that the connection failed, or that the instance ended it. This ends the use."""
        if not self._decided:
            self._decided = True
            self._provider.failed(self._instance)
        self.end()

    def end(self) -> None:
        """End the use, because the program has closed the connection or does not need it. A second call does nothing."""
        self._timer.stop()
        self._pending.close()


class Unreported:
    """The use of an instance by a caller that reports to the provider itself. Its methods do nothing."""

    def connected(self) -> None:
        """Do nothing. See :meth:`InstanceUse.connected`."""

    def succeeded(self) -> None:
        """Do nothing. See :meth:`InstanceUse.succeeded`."""

    def failed(self) -> None:
        """Do nothing. See :meth:`InstanceUse.failed`."""

    def end(self) -> None:
        """Do nothing. See :meth:`InstanceUse.end`."""


class InstanceConnection(Protocol):
    """Wraps a program's protocol, which gets the transport itself: neither of the two depends on this object.

    :param wrapped: the program's protocol.
    :param use: is notified of the connection.
    :param tls: whether to connect the program's protocol after the handshake of TLS. Otherwise it is connected at once.
    :ivar ready: fires with the program's protocol when that is connected. Fails if the connection is lost before, and with
        :exc:`ProgramError`. Cancelling it aborts the connection.
    """

    def __init__(self, wrapped: IProtocol, use: InstanceUse | Unreported, *, tls: bool) -> None:
        self.ready: Deferred[IProtocol] = Deferred(lambda _: self._abort())
        self._wrapped: Any = wrapped
        self._use = use
        self._waiting = tls
        # The transport looks for these interfaces.
        if IHalfCloseableProtocol.providedBy(wrapped):
            alsoProvides(self, IHalfCloseableProtocol)
        if tls or IHandshakeListener.providedBy(wrapped):
            alsoProvides(self, IHandshakeListener)

    def logPrefix(self) -> str:
        if ILoggingContext.providedBy(self._wrapped):
            return str(self._wrapped.logPrefix())
        return type(self._wrapped).__name__

    def makeConnection(self, transport: ITransport) -> None:
        self.transport: ITransport = transport
        if not self._waiting:
            self._begin()

    def handshakeCompleted(self) -> None:
        """Connect the program's protocol, unless the certificate was refused. See ``IHandshakeListener``."""
        if getattr(self.transport, "disconnecting", False):
            # Twisted 24.7 calls this although it has refused the certificate. The loss of the connection follows.
            return
        if self._waiting:
            self._begin()
        if IHandshakeListener.providedBy(self._wrapped):
            self._wrapped.handshakeCompleted()

    def dataReceived(self, data: bytes) -> None:
        self._use.succeeded()
        self._wrapped.dataReceived(data)

    def readConnectionLost(self) -> None:
        """Notify the program's protocol. See ``IHalfCloseableProtocol``."""
        self._wrapped.readConnectionLost()

    def writeConnectionLost(self) -> None:
        """Notify the program's protocol. See ``IHalfCloseableProtocol``."""
        self._wrapped.writeConnectionLost()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        if self._waiting:
            if not self.ready.called:
                self.ready.errback(reason)
            return
        if self._closed_here(reason):
            self._use.end()
        else:
            self._use.failed()
        self._wrapped.connectionLost(reason)

    def _begin(self) -> None:
        self._waiting = False
        self._use.connected()
        try:
            self._wrapped.makeConnection(self.transport)
        except Exception as error:
            self._abort()
            self.ready.errback(ProgramError(error))
        else:
            self.ready.callback(self._wrapped)

    def _closed_here(self, reason: Failure) -> bool:
        """Return whether the program has closed the connection: the instance may have been about to answer."""
        return getattr(self.transport, "disconnecting", False) or reason.check(ConnectionAborted) is not None

    def _abort(self) -> None:
        transport: Any = self.transport
        transport.abortConnection()


@implementer(IProtocolFactory)
class InstanceConnectionFactory:
    """Makes the connection of one attempt.

    :param wrapped: the program's factory.
    :param use: as for :class:`InstanceConnection`.
    :param tls: as for :class:`InstanceConnection`.
    """

    def __init__(self, wrapped: IProtocolFactory, use: InstanceUse | Unreported, *, tls: bool) -> None:
        self._wrapped: Any = wrapped
        self._use = use
        self._tls = tls
        if IProtocolNegotiationFactory.providedBy(wrapped):
            alsoProvides(self, IProtocolNegotiationFactory)

    def acceptableProtocols(self) -> list[bytes]:
        """Return the protocols of the program's factory. See ``IProtocolNegotiationFactory``."""
        return list(self._wrapped.acceptableProtocols())

    def doStart(self) -> None:
        self._wrapped.doStart()

    def doStop(self) -> None:
        self._wrapped.doStop()

    def buildProtocol(self, addr: IAddress) -> InstanceConnection:
        """Make the connection. See ``IProtocolFactory``.

        :raises ProgramError: the program's factory raises, or returns None (``NoProtocol``).
        """
        try:
            protocol = self._wrapped.buildProtocol(addr)
        except Exception as error:
            raise ProgramError(error) from error
        if protocol is None:
            raise ProgramError(NoProtocol())
        return InstanceConnection(protocol, self._use, tls=self._tls)
