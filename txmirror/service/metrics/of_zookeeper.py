"""The metrics of the session, the connection and the requests."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Final

from txmirror.interfaces import IWatchCount
from txmirror.service.counts import RequestCounts
from txmirror.service.daemon import Daemon
from txmirror.service.metrics.definition import Kind, Metric, Sample, one
from txmirror.service.session import Session
from txmirror.wire import Operation

#: The operations that change data.
_WRITES: Final = tuple(
    each.name
    for each in (
        Operation.CREATE,
        Operation.CREATE2,
        Operation.CREATE_CONTAINER,
        Operation.CREATE_TTL,
        Operation.DELETE,
        Operation.MULTI,
        Operation.SET_ACL,
        Operation.SET_DATA,
    )
)


def _of_session(read: Callable[[Session], float | None]) -> Callable[[Daemon], Iterator[Sample]]:
    """Return a reader of a metric that has no value before the session's client is made, or if the client does not know it."""

    def samples(daemon: Daemon) -> Iterator[Sample]:
        session = daemon.registrations.session
        value = None if session is None else read(session)
        if value is not None:
            yield (), value

    return samples


def _of_requests(read: Callable[[RequestCounts], Iterator[Sample]]) -> Callable[[Daemon], Iterator[Sample]]:
    """Return a reader of a metric that has no value if the client does not count its requests."""

    def samples(daemon: Daemon) -> Iterator[Sample]:
        requests = daemon.counts.requests
        if requests is not None:
            yield from read(requests)

    return samples


def _watches(session: Session) -> float | None:
    counting: IWatchCount | None = IWatchCount(session.client, None)
    return None if counting is None else counting.watch_count


def _requests(requests: RequestCounts) -> Iterator[Sample]:
    for operation, count in sorted(requests.sent_by_operation.items()):
        yield (operation.lower(),), count


def _writes(requests: RequestCounts) -> Iterator[Sample]:
    for operation in _WRITES:
        yield (operation.lower(),), requests.sent_by_operation[operation]


ZOOKEEPER: Final = (
    Metric(
        "txmirror_zookeeper_connected",
        Kind.GAUGE,
        "1 if the session has a connection to ZooKeeper, else 0.",
        one(lambda daemon: daemon.counts.sessions.connected),
    ),
    Metric(
        "txmirror_zookeeper_session_established",
        Kind.GAUGE,
        "1 if there is a session, else 0. Without a connection it is 1 until the session has probably expired.",
        one(lambda daemon: daemon.counts.sessions.stands),
    ),
    Metric(
        "txmirror_zookeeper_session_timeout_seconds",
        Kind.GAUGE,
        "The session timeout: as negotiated, or as requested before that.",
        _of_session(lambda session: session.client.session_timeout),
    ),
    Metric(
        "txmirror_zookeeper_sessions_total",
        Kind.COUNTER,
        "The number of sessions that were opened. A session that was taken over from the last process is not one of them.",
        one(lambda daemon: daemon.counts.sessions.begun),
    ),
    Metric(
        "txmirror_zookeeper_sessions_expired_total",
        Kind.COUNTER,
        "The number of sessions that have expired.",
        one(lambda daemon: daemon.counts.sessions.expired),
    ),
    Metric(
        "txmirror_zookeeper_connections_total",
        Kind.COUNTER,
        "The number of times that a session was established on a connection.",
        one(lambda daemon: daemon.counts.sessions.connections),
    ),
    Metric(
        "txmirror_zookeeper_disconnected_seconds_total",
        Kind.COUNTER,
        "The time without a connection to ZooKeeper since the daemon's start.",
        one(lambda daemon: daemon.counts.sessions.disconnected_seconds),
    ),
    Metric(
        "txmirror_zookeeper_watches",
        Kind.GAUGE,
        "The number of watches that the session holds at ZooKeeper.",
        _of_session(_watches),
    ),
    Metric(
        "txmirror_zookeeper_writes_total",
        Kind.COUNTER,
        "The number of requests to change znodes that were sent, by operation. A multi is a transaction of several changes.",
        _of_requests(_writes),
        ("operation",),
    ),
    Metric(
        "txmirror_zookeeper_requests_total",
        Kind.COUNTER,
        "The number of requests that were sent, by operation, also those of txmirror_zookeeper_writes_total. Pings are not counted.",
        _of_requests(_requests),
        ("operation",),
    ),
    Metric(
        "txmirror_zookeeper_requests_lost_total",
        Kind.COUNTER,
        "The number of requests that were lost with their connection.",
        _of_requests(lambda requests: iter([((), requests.unanswered)])),
    ),
    Metric(
        "txmirror_zookeeper_request_duration_seconds",
        Kind.HISTOGRAM,
        "The times from requests to their replies.",
        _of_requests(lambda requests: iter([((), requests.times)])),
    ),
    Metric(
        "txmirror_zookeeper_sent_bytes_total",
        Kind.COUNTER,
        "The number of bytes of the requests that were sent.",
        _of_requests(lambda requests: iter([((), requests.sent_bytes)])),
    ),
    Metric(
        "txmirror_zookeeper_received_bytes_total",
        Kind.COUNTER,
        "The number of bytes that were received.",
        _of_requests(lambda requests: iter([((), requests.received_bytes)])),
    ),
)
