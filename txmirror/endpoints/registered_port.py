"""The listening port of a registering endpoint: it withdraws and drains before it stops."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred, maybeDeferred
from twisted.internet.error import CannotListenError
from twisted.internet.interfaces import IAddress, IListeningPort, IReactorTime, IReadDescriptor
from twisted.internet.task import deferLater
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

from txmirror.deferreds import follow
from txmirror.endpoints.connections import ConnectionsFactory
from txmirror.endpoints.publication import Publication
from txmirror.endpoints.sessions import Lease

#: The time after which other programs have learnt of a withdrawal, in seconds.
_SPREAD = 1.0
#: The part of the drain for which the port goes on, if there are connections. In the rest it accepts none: those that it has got may
#: end, also if other programs do not know of the withdrawal and go on connecting.
_LISTENING = 2 / 3


class Retirement:
    """Withdraws an instance, and then waits for its connections, once.

    :param publication: registers it.
    :param connections: its connections.
    :param drain: the longest time to wait for them, in seconds: a part of it in :meth:`begin`, and the rest in :meth:`finish`.
    :param reactor: runs the timers.
    """

    _log = Logger()

    def __init__(
        self, publication: Publication, connections: ConnectionsFactory, drain: float, reactor: IReactorTime
    ) -> None:
        self._publication = publication
        self._connections = connections
        self._drain = drain
        self._reactor = reactor
        self._ended: Deferred[None] | None = None

    def begin(self) -> Deferred[None]:
        """Withdraw and drain, if that has not begun.

        :returns: fires when it is done, in a bounded time; it never fails. Cancelling ends the wait.
        """
        if self._ended is None:
            self._ended = Deferred.fromCoroutine(self._retire())
        return follow(self._ended)

    async def _retire(self) -> None:
        await self._publication.withdraw()
        if not self._drain:
            return
        try:
            self._connections.finish()
        except Exception:
            # The program's own protocols can refuse it.
            self._log.failure("Could not let the connections end after their next request.")
        longest = self._drain * _LISTENING
        spread = min(_SPREAD, longest) if self._publication.placed else 0.0
        if spread:
            await deferLater(self._reactor, spread)
        self._connections.drain(self._reactor)
        await self._wait(longest - spread)

    async def finish(self) -> None:
        """Wait for the connections that are left when the port does not listen any more. It never fails."""
        if self._drain:
            self._connections.drain(self._reactor)
        await self._wait(self._drain * (1 - _LISTENING))
        if self._connections.protocols:
            self._log.info(
                "{service}: {count} {connections} still open {drain:g} s after the withdrawal.",
                count=len(self._connections.protocols),
                connections="connection is" if len(self._connections.protocols) == 1 else "connections are",
                service=self._publication.service,
                drain=self._drain,
            )

    async def _wait(self, seconds: float) -> None:
        # A timeout of 0 would end in the next turn.
        if self._connections.protocols and seconds > 0:
            closed = self._connections.when_all_closed()
            await closed.addTimeout(seconds, self._reactor, lambda result, _: None)


@implementer(IListeningPort)
class RegisteredPort:
    """A port that is registered while it listens.

    :param port: the port.
    :param retirement: withdraws and drains.
    :param lease: the registry; it is released after the end of the port.
    :param reactor: the reactor.
    """

    def __init__(self, port: IListeningPort, retirement: Retirement, lease: Lease, reactor: IReactorTime) -> None:
        self._port = port
        self._reactor = reactor
        self._retirement = retirement
        self._lease = lease
        self._stopped: Deferred[None] | None = None

    def startListening(self) -> None:
        """Refuse: the port listens from the beginning, and not again after its end.

        :raises CannotListenError: always.
        """
        raise CannotListenError(None, None, "the port of an endpoint cannot be started: listen at the endpoint again")

    def stopListening(self) -> Deferred[None]:
        """Withdraw the instance, wait for its connections as the endpoint's ``drain`` says, and then stop listening.

        :returns: fires in a bounded time, when the port does not listen any more, and the registry's session is closed if this was its
            last user. Fails as the port itself does. Cancelling ends the wait. A second call only waits.
        """
        if self._stopped is None:
            self._stopped = Deferred.fromCoroutine(self._stop())
        waiter: Deferred[None] = Deferred(lambda _: None)
        self._stopped.addBoth(self._pass_on, waiter)
        return waiter

    @staticmethod
    def _pass_on(result: Failure | None, waiter: Deferred[None]) -> None:
        if not waiter.called:
            waiter.callback(result)

    async def _stop(self) -> None:
        await self._retirement.begin()
        try:
            if IReadDescriptor.providedBy(self._port):
                # The socket closes in the next turn, and resets the connections that the system has accepted until then.
                port: Any = self._port
                self._reactor.callLater(0, port.doRead)
            await maybeDeferred(self._port.stopListening)
            await self._retirement.finish()
        finally:
            await self._lease.release()

    def getHost(self) -> IAddress:
        """Return the address at which the port listens."""
        return self._port.getHost()
