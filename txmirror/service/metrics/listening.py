"""The TCP port of the metrics."""

from __future__ import annotations

from typing import Any

from twisted.logger import Logger

from txmirror.configuration import SocketAddress
from txmirror.service.daemon import Daemon
from txmirror.service.metrics.routes import make_metrics_root
from txmirror.web.site import AccessRules, AccessSite, Listener, TCPPort

_log = Logger()


class MetricsService(Listener):
    """Listens at a TCP port, for GET of ``/metrics``, ``/healthz`` and ``/readyz``. Everybody who reaches it may read.

    If it cannot listen, that is logged once, and tried again at growing intervals: the daemon goes on without.

    :param daemon: the daemon.
    :param address: the address and the port to listen at.
    :param reactor: a provider of ``IReactorTCP`` and ``IReactorTime``.
    """

    def __init__(self, daemon: Daemon, address: SocketAddress, reactor: Any) -> None:
        site = AccessSite(make_metrics_root(daemon), AccessRules(hosts=None, changing=True), reactor=reactor)
        port = TCPPort(address.host, address.port)
        super().__init__(port, site, "The metrics", reactor, listening=_log_address)


def _log_address(address: str) -> None:
    _log.info("The metrics are at http://{address}/metrics.", address=address)
