"""A collector for prometheus_client: it reads the daemon's state and counts when it is asked, and only then."""

from __future__ import annotations

from collections.abc import Iterator

from prometheus_client import CollectorRegistry
from prometheus_client.core import Metric as Family
from prometheus_client.registry import Collector

from txmirror.service.daemon import Daemon
from txmirror.service.metrics.table import METRICS


class DaemonCollector(Collector):
    """Collects the metrics of a daemon.

    :param daemon: the daemon.
    """

    def __init__(self, daemon: Daemon) -> None:
        self._daemon = daemon

    def describe(self) -> Iterator[Family]:
        """Yield the families without samples."""
        for metric in METRICS:
            yield metric.family(())

    def collect(self) -> Iterator[Family]:
        """Yield the families with the present samples."""
        for metric in METRICS:
            yield metric.family(metric.read(self._daemon))


def make_registry(daemon: Daemon) -> CollectorRegistry:
    """Return a registry for the metrics of a daemon, of its own: the global one of prometheus_client is not used."""
    registry = CollectorRegistry()
    registry.register(DaemonCollector(daemon))
    return registry
