"""The definition of a metric: its name, type and meaning, and the function that reads its samples from a daemon."""

from __future__ import annotations

import enum
from collections.abc import Callable, Iterable, Iterator

import attrs
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, InfoMetricFamily
from prometheus_client.core import Metric as Family
from prometheus_client.utils import floatToGoString

from txmirror.checks import Durations
from txmirror.service.daemon import Daemon

#: The values of a metric's labels, and its value: for a histogram the durations.
Sample = tuple[tuple[str, ...], float | Durations]


class Kind(enum.Enum):
    """The type of a metric."""

    COUNTER = "counter"
    GAUGE = "gauge"
    HISTOGRAM = "histogram"
    INFO = "info"


@attrs.frozen
class Metric:
    """The definition of a metric. The documentation has a table that is made of these."""

    name: str
    """The name, as Prometheus shows it; a histogram has series with further suffixes."""
    kind: Kind
    """The type."""
    help: str
    """The meaning, one or two sentences."""
    read: Callable[[Daemon], Iterable[Sample]]
    """Returns the present samples of a daemon. It does no I/O."""
    labels: tuple[str, ...] = ()
    """The names of the labels. The configuration bounds the number of their values."""

    def family(self, samples: Iterable[Sample]) -> Family:
        """Return a family of prometheus_client with samples."""
        if self.kind is Kind.INFO:
            info = InfoMetricFamily(self.name.removesuffix("_info"), self.help)
            for values, _ in samples:
                info.add_metric([], dict(zip(self.labels, map(_clean, values), strict=True)))
            return info
        if self.kind is Kind.HISTOGRAM:
            histogram = HistogramMetricFamily(self.name, self.help, labels=self.labels)
            for values, value in samples:
                assert isinstance(value, Durations)
                buckets = [(floatToGoString(bound), count) for bound, count in value.cumulative]
                histogram.add_metric([_clean(each) for each in values], buckets, value.total)
            return histogram
        kind = CounterMetricFamily if self.kind is Kind.COUNTER else GaugeMetricFamily
        family = kind(self.name, self.help, labels=self.labels)
        for values, value in samples:
            assert not isinstance(value, Durations)
            family.add_metric([_clean(each) for each in values], value)
        return family


def one(read: Callable[[Daemon], float | Durations]) -> Callable[[Daemon], Iterator[Sample]]:
    """Return a reader of a metric without labels."""

    def samples(daemon: Daemon) -> Iterator[Sample]:
        yield (), read(daemon)

    return samples


def _clean(value: str) -> str:
    """Return the value of a label in UTF-8: a value from the environment may have other bytes."""
    return value.encode("utf-8", "backslashreplace").decode()
