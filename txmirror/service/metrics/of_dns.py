"""The metrics of the DNS server. They are missing without ``[dns]``."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Final

from txmirror.service.daemon import Daemon
from txmirror.service.metrics.definition import Kind, Metric, Sample


def _if_served(read: Callable[[Daemon], Iterable[Sample]]) -> Callable[[Daemon], Iterator[Sample]]:
    """Return a reader of a metric that has no value if the daemon serves no DNS."""

    def samples(daemon: Daemon) -> Iterator[Sample]:
        if daemon.readers.dns.address is not None:
            yield from read(daemon)

    return samples


DNS: Final = (
    Metric(
        "txmirror_dns_listening",
        Kind.GAUGE,
        "1 if the ports of DNS are open, else 0.",
        _if_served(lambda daemon: [((), daemon.readers.dns.problem is None)]),
    ),
    Metric(
        "txmirror_dns_replies_total",
        Kind.COUNTER,
        "The number of replies to queries of DNS with each code, such as NOERROR, NXDOMAIN (there is no such name) or SERVFAIL (the daemon"
        " does not know).",
        _if_served(lambda daemon: sorted(daemon.counts.dns.by_code.items())),
        ("code",),
    ),
    Metric(
        "txmirror_dns_truncated_total",
        Kind.COUNTER,
        "The number of replies that were too long for a datagram.",
        _if_served(lambda daemon: [((), daemon.counts.dns.truncated)]),
    ),
    Metric(
        "txmirror_dns_forwarded_total",
        Kind.COUNTER,
        "The number of questions that other resolvers were asked.",
        _if_served(lambda daemon: [((), daemon.readers.dns.forwarded)]),
    ),
    Metric(
        "txmirror_dns_waiting",
        Kind.GAUGE,
        "The number of questions that wait for a list to be read, or for other resolvers.",
        _if_served(lambda daemon: [((), daemon.readers.dns.waiting)]),
    ),
    Metric(
        "txmirror_dns_duration_seconds",
        Kind.HISTOGRAM,
        "The times from queries to their replies.",
        _if_served(lambda daemon: [((), daemon.counts.dns.times)]),
    ),
)
