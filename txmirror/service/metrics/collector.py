"""A collector for prometheus_client: it reads the daemon's state and counts when it is asked, and only then."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice

from prometheus_client import CollectorRegistry
from prometheus_client.core import Metric as Family
from prometheus_client.registry import Collector

from txmirror.service.daemon import Daemon
from txmirror.service.metrics.table import METRICS


class DaemonCollector(Collector):
    """Collects the metrics of a daemon.

    :param daemon: the daemon.
    :param at_once: the most samples in a family, where a histogram is one. A metric with more comes as several families with the same
        name, one after another, each of which is read when it is asked for. None sets no limit.
    """

    def __init__(self, daemon: Daemon, at_once: int | None = None) -> None:
        self._daemon = daemon
        self._at_once = at_once

    def describe(self) -> Iterator[Family]:
        """Yield the families without samples."""
        for metric in METRICS:
            yield metric.family(())

    def collect(self) -> Iterator[Family]:
        """Yield the families with the present samples."""
        for metric in METRICS:
            samples = iter(metric.read(self._daemon))
            part = list(islice(samples, self._at_once))
            yield metric.family(part)
            while self._at_once is not None and (part := list(islice(samples, self._at_once))):
                yield metric.family(part)


def make_registry(daemon: Daemon, at_once: int | None = None) -> CollectorRegistry:
    """Return a registry for the metrics of a daemon, of its own: the global one of prometheus_client is not used.

    :param at_once: see :class:`DaemonCollector`.
    """
    registry = CollectorRegistry()
    registry.register(DaemonCollector(daemon, at_once))
    return registry
