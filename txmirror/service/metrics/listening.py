"""The TCP port of the metrics."""

from __future__ import annotations

import io
from typing import Any, cast

from twisted.application.service import IService, Service
from twisted.internet.defer import Deferred, maybeDeferred, succeed
from twisted.internet.error import CannotListenError
from twisted.internet.interfaces import IListeningPort, IReactorTCP
from twisted.logger import Logger
from twisted.protocols.policies import ThrottlingFactory
from twisted.web.server import Request, Site
from zope.interface import implementer

from txmirror.configuration import SocketAddress
from txmirror.retrying import RetryTimer
from txmirror.service.daemon import Daemon
from txmirror.service.metrics.resources import make_metrics_root

#: The first and the longest pause before it is tried again to listen, in seconds.
_FIRST, _LONGEST = 10.0, 600.0
#: The most connections at a time, and the time of silence after which one is closed, in seconds.
_MOST_CONNECTIONS, _SILENCE = 64, 30


class _RequestWithoutBody(Request):
    """A request whose body is ignored: it may be long, and would be kept on the disk."""

    def gotLength(self, length: int | None) -> None:
        """Prepare for the body."""
        self.content = io.BytesIO()

    def handleContentChunk(self, data: bytes) -> None:
        """Ignore a part of the body."""


@implementer(IService)
class MetricsService(Service):
    """Listens at a TCP port, for GET of ``/metrics``, ``/healthz`` and ``/readyz``.

    If it cannot listen, that is logged once, and tried again at growing intervals: the daemon goes on without.

    :param daemon: the daemon.
    :param address: the address and the port to listen at.
    :param reactor: a provider of ``IReactorTCP`` and ``IReactorTime``.
    """

    _log = Logger()

    def __init__(self, daemon: Daemon, address: SocketAddress, reactor: Any) -> None:
        site: Any = cast(Any, Site(make_metrics_root(daemon), _RequestWithoutBody, timeout=_SILENCE, reactor=reactor))
        site.noisy = False
        site.log = lambda _: None
        self._factory: Any = cast(Any, ThrottlingFactory(site, maxConnectionCount=_MOST_CONNECTIONS))
        self._factory.noisy = False
        # The reactor's port logs its beginning with this prefix.
        self._factory.logPrefix = lambda: "Metrics"
        self._address = address
        self._reactor = reactor
        self._port: IListeningPort | None = None
        self._failed = False
        self._again = RetryTimer(reactor, self._listen, first=_FIRST, longest=_LONGEST)

    def startService(self) -> None:
        """Begin to listen. It never fails."""
        super().startService()
        self._listen()

    def _listen(self) -> None:
        address = self._address
        try:
            self._port = IReactorTCP(self._reactor).listenTCP(address.port, self._factory, interface=address.host)
        except CannotListenError as error:
            if not self._failed:
                self._failed = True
                self._log.error(
                    "The metrics cannot be served at {address}: {reason}. The daemon runs without them, and tries again.",
                    address=str(address),
                    reason=getattr(error.socketError, "strerror", None) or str(error.socketError),
                )
            self._again.start()
        else:
            self._log.info("The metrics are at http://{address}/metrics.", address=str(address))

    def stopService(self) -> Deferred[None]:
        """Stop listening.

        :returns: fires then.
        """
        super().stopService()
        self._again.stop()
        port, self._port = self._port, None
        stopped: Deferred[Any] = succeed(None) if port is None else maybeDeferred(port.stopListening)
        return stopped.addCallback(lambda _: None)
