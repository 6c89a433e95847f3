"""The open connections of a listening port, which a drain waits for."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import CancelledError, Deferred, maybeDeferred, succeed
from twisted.internet.interfaces import (
    IAddress,
    IHalfCloseableProtocol,
    IHandshakeListener,
    IProtocolFactory,
    IProtocolNegotiationFactory,
    IReactorTime,
)
from twisted.internet.protocol import connectionDone
from twisted.internet.task import deferLater
from twisted.logger import Logger
from twisted.protocols.policies import ProtocolWrapper, WrappingFactory
from twisted.python.failure import Failure
from zope.interface import alsoProvides, directlyProvides, providedBy

from txmirror.deferreds import Waiters
from txmirror.interfaces import IDraining

#: The interfaces of a protocol that its transport looks for.
_OF_PROTOCOLS = (IHalfCloseableProtocol, IHandshakeListener)


class Connection(ProtocolWrapper):
    """A connection: it passes on everything, and is counted while it is open."""

    _log = Logger()
    wrappedProtocol: Any
    _draining: Deferred[None] | None = None

    def makeConnection(self, transport: Any) -> None:
        """Connect the protocol."""
        super().makeConnection(transport)
        for interface in _OF_PROTOCOLS:
            if interface.providedBy(self.wrappedProtocol):
                alsoProvides(self, interface)

    def finish(self) -> None:
        """Let the connection end after its next request, if it is one of Twisted's web server: the response says so to the client,
        which then sends its further requests elsewhere. Other protocols have no such thing.
        """
        request_factory = getattr(self.wrappedProtocol, "requestFactory", None)
        if not callable(request_factory):
            return
        from twisted.web.iweb import IRequest  # noqa: PLC0415 - servers of other protocols do not load twisted.web

        def make_last(*args: Any, **kwargs: Any) -> Any:
            request = request_factory(*args, **kwargs)
            if IRequest.providedBy(request):
                # As if the client had asked for it.
                request.requestHeaders.addRawHeader(b"Connection", b"close")
            return request

        directlyProvides(make_last, providedBy(request_factory))
        self.wrappedProtocol.requestFactory = make_last

    def drain(self, reactor: IReactorTime) -> None:
        """Close the connection when its protocol permits, if that provides :class:`~txmirror.interfaces.IDraining`. A second call
        does nothing.
        """
        if self._draining is None and IDraining.providedBy(self.wrappedProtocol):
            self._draining = Deferred.fromCoroutine(self._drain(reactor))

    async def _drain(self, reactor: IReactorTime) -> None:
        try:
            await maybeDeferred(self.wrappedProtocol.drain)
            # The answer for which it has waited may be written after this.
            await deferLater(reactor, 0.0)
        except CancelledError:
            return
        except Exception:
            self._log.failure("The drain() of {protocol} raised an exception.", protocol=self.wrappedProtocol)
        else:
            self.loseConnection()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """Note that the connection is lost."""
        super().connectionLost(reason)
        if self._draining is not None:
            self._draining.cancel()

    def logPrefix(self) -> str:
        """Return the protocol's own prefix."""
        return _prefix(self.wrappedProtocol)

    def readConnectionLost(self) -> None:
        """Note that the peer sends no more."""
        self.wrappedProtocol.readConnectionLost()

    def writeConnectionLost(self) -> None:
        """Note that the peer receives no more."""
        self.wrappedProtocol.writeConnectionLost()

    def handshakeCompleted(self) -> None:
        """Note that TLS is set up."""
        self.wrappedProtocol.handshakeCompleted()


class ConnectionsFactory(WrappingFactory):
    """Counts the connections that another factory serves.

    :param wrappedFactory: the other factory.
    """

    noisy = False
    protocol: type[Connection] = Connection

    def __init__(self, wrappedFactory: IProtocolFactory) -> None:
        super().__init__(wrappedFactory)
        self._all_closed: Waiters[None] = Waiters()
        self._finishing = False
        if IProtocolNegotiationFactory.providedBy(wrappedFactory):
            alsoProvides(self, IProtocolNegotiationFactory)

    def logPrefix(self) -> str:
        """Return the other factory's prefix."""
        return _prefix(self.wrappedFactory)

    def acceptableProtocols(self) -> Any:
        """Return the protocols to offer in TLS."""
        return self.wrappedFactory.acceptableProtocols()

    def buildProtocol(self, addr: IAddress | None) -> Connection | None:  # type: ignore[override]  # as any factory may
        """Return a protocol for a connection; None if the other factory refuses it."""
        factory: Any = self
        built = self.wrappedFactory.buildProtocol(addr)
        if built is None:
            return None
        connection = Connection(factory, built)
        if self._finishing:
            connection.finish()
        return connection

    def finish(self) -> None:
        """Let open connections, and those to come, end as soon as their protocol permits."""
        self._finishing = True
        for connection in list(self.protocols):
            connection.finish()

    def drain(self, reactor: IReactorTime) -> None:
        """Let the protocols of the open connections close them, where they can. See :meth:`Connection.drain`."""
        for connection in list(self.protocols):
            connection.drain(reactor)

    def unregisterProtocol(self, p: Connection) -> None:
        """Note that a connection is closed."""
        super().unregisterProtocol(p)
        if not self.protocols:
            self._all_closed.fire(None)

    def when_all_closed(self) -> Deferred[None]:
        """Wait until no connection is open. Cancelling ends the wait."""
        return self._all_closed.wait() if self.protocols else succeed(None)


def _prefix(of: Any) -> str:
    own = getattr(of, "logPrefix", None)
    return type(of).__name__ if own is None else str(own())
