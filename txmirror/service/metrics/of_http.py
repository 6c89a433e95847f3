"""The metrics of HTTP: of the requests at ``[http]`` and at the control socket, and of the event streams."""

from __future__ import annotations

from typing import Final

from txmirror.service.metrics.definition import Kind, Metric, one

HTTP: Final = (
    Metric(
        "txmirror_http_listening",
        Kind.GAUGE,
        "1 if the address of [http] is open, else 0. It is missing without [http].",
        lambda daemon: [] if daemon.readers.http.table is None else [((), daemon.readers.http.address is not None)],
    ),
    Metric(
        "txmirror_http_replies_total",
        Kind.COUNTER,
        "The number of answers with each status, by the route of the request; none stands for a path without a route. Requests that the"
        " rules of access refuse are not among them.",
        lambda daemon: sorted(daemon.counts.http.by_code.items()),
        ("route", "status"),
    ),
    Metric(
        "txmirror_http_duration_seconds",
        Kind.HISTOGRAM,
        "The times from requests to their answers, also of those that wait for a change; for event streams, to their beginning.",
        one(lambda daemon: daemon.counts.http.times),
    ),
    Metric(
        "txmirror_http_open_streams",
        Kind.GAUGE,
        "The number of open event streams.",
        one(lambda daemon: daemon.readers.web.streams),
    ),
    Metric(
        "txmirror_http_streams_total",
        Kind.COUNTER,
        "The number of event streams that were opened.",
        one(lambda daemon: daemon.readers.web.counts.streams),
    ),
    Metric(
        "txmirror_http_snapshots_total",
        Kind.COUNTER,
        "The number of snapshots in event streams: at their beginning, and when a client was too slow or too long away.",
        one(lambda daemon: daemon.readers.web.counts.snapshots),
    ),
    Metric(
        "txmirror_http_streams_sent_bytes_total",
        Kind.COUNTER,
        "The number of bytes of events that were written to event streams.",
        one(lambda daemon: daemon.readers.web.counts.sent_bytes),
    ),
    Metric(
        "txmirror_http_waiting",
        Kind.GAUGE,
        "The number of requests that wait for a change.",
        one(lambda daemon: daemon.readers.web.waiting),
    ),
)
