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
        "txmirror_http_streams",
        Kind.GAUGE,
        "The number of open event streams.",
        one(lambda daemon: daemon.readers.web.streams),
    ),
    Metric(
        "txmirror_http_waiting",
        Kind.GAUGE,
        "The number of requests that wait for a change.",
        one(lambda daemon: daemon.readers.web.waiting),
    ),
)
