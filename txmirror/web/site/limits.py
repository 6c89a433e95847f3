"""A limit on the connections of a listener."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import CancelledError, Deferred, succeed
from twisted.internet.defer import TimeoutError as DeferredTimeout
from twisted.internet.interfaces import IAddress, IReactorTime
from twisted.logger import Logger
from twisted.protocols.policies import ProtocolWrapper, WrappingFactory
from twisted.python.failure import Failure

from txmirror.deferreds import Waiters

#: The time for open connections to end, in seconds.
_CLOSING = 1.0


class ConnectionLimit(WrappingFactory):
    """A factory with at most some connections: further ones are closed. That is logged once, until most of them are gone.

    :param factory: the factory of the connections.
    :param most: the most connections at a time.
    :param name: the name of the listener for the log.
    """

    protocol: type[ProtocolWrapper] = ProtocolWrapper
    noisy = False
    _log = Logger()

    def __init__(self, factory: Any, most: int, name: str) -> None:
        super().__init__(factory)
        self._most = most
        self._name = name
        self._logged = False
        self._gone: Waiters[None] = Waiters()

    def logPrefix(self) -> str:
        """Return the name."""
        return self._name

    def buildProtocol(self, addr: IAddress | None) -> Any:
        """Accept a connection; None closes it."""
        count = len(self.protocols)
        if count >= self._most:
            if not self._logged:
                self._logged = True
                self._log.warn(
                    "{name}: there are {count} connections, as many as are allowed. New ones are closed.",
                    name=self._name,
                    count=count,
                )
            return None
        if count < self._most / 2:
            self._logged = False
        return super().buildProtocol(addr)

    def unregisterProtocol(self, p: ProtocolWrapper) -> None:
        """Forget a connection that is closed."""
        super().unregisterProtocol(p)
        if not self.protocols:
            self._gone.fire(None)

    def close_all(self, reactor: IReactorTime) -> Deferred[None]:
        """Close all connections. Answers that are written have a second until they are cut.

        :returns: fires when all are closed, or aborted.
        """
        if not self.protocols:
            return succeed(None)
        for protocol in list(self.protocols):
            protocol.loseConnection()
        gone = self._gone.wait() if self.protocols else succeed(None)
        return gone.addTimeout(_CLOSING, reactor).addErrback(self._abort_all)

    def _abort_all(self, failure: Failure) -> None:
        failure.trap(DeferredTimeout, CancelledError)
        for protocol in list(self.protocols):
            protocol.abortConnection()
