"""The metrics of the daemon itself."""

from __future__ import annotations

import platform
from collections.abc import Iterator
from typing import Final

import twisted
from txmirror import __version__
from txmirror.service.daemon import Daemon
from txmirror.service.metrics.definition import Kind, Metric, Sample, one


def _build(daemon: Daemon) -> Iterator[Sample]:
    yield (__version__, platform.python_version(), twisted.__version__), 1


def _state_file_failures(daemon: Daemon) -> Iterator[Sample]:
    if daemon.state is not None:
        yield (), daemon.state.failures


DAEMON: Final = (
    Metric(
        "txmirror_build_info",
        Kind.INFO,
        "The versions of txmirror, Python and Twisted; the value is 1.",
        _build,
        ("version", "python", "twisted"),
    ),
    Metric(
        "txmirror_start_time_seconds",
        Kind.GAUGE,
        "The time of the daemon's start, in seconds since the Unix epoch.",
        one(lambda daemon: daemon.started_at),
    ),
    Metric(
        "txmirror_reloads_total",
        Kind.COUNTER,
        "The number of reloads of the configuration, with those that have failed.",
        one(lambda daemon: daemon.counts.reloads),
    ),
    Metric(
        "txmirror_reload_failures_total",
        Kind.COUNTER,
        "The number of reloads that have changed nothing, because the configuration was invalid.",
        one(lambda daemon: daemon.counts.failed_reloads),
    ),
    Metric(
        "txmirror_last_reload_failed",
        Kind.GAUGE,
        "1 if the last reload has failed, else 0.",
        one(lambda daemon: daemon.counts.last_reload_failed),
    ),
    Metric(
        "txmirror_state_file_failures_total",
        Kind.COUNTER,
        "The number of times that the state file could not be locked, read, written or deleted, or was set aside. It is missing"
        " without a state file.",
        _state_file_failures,
    ),
    Metric(
        "txmirror_maintenance_file_failures_total",
        Kind.COUNTER,
        "The number of times that the maintenance file could not be read or written, or was set aside.",
        one(lambda daemon: daemon.supervisor.maintenance.failures),
    ),
)
