"""The metrics of the services, their registrations and their checks."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from typing import Final

from txmirror.checks import CheckHealth, State, Status
from txmirror.registry import RegistrationState
from txmirror.service.daemon import Daemon
from txmirror.service.metrics.definition import Kind, Metric, Sample, one
from txmirror.service.supervision import Condition, Supervision

_SERVICE, _CHECK = ("service",), ("service", "check")


def _per_service(read: Callable[[Supervision], float]) -> Callable[[Daemon], Iterator[Sample]]:
    """Return a reader of a metric with the label ``service``."""

    def samples(daemon: Daemon) -> Iterator[Sample]:
        for name, supervision in daemon.supervisor.services.items():
            yield (name,), read(supervision)

    return samples


def _checks(daemon: Daemon) -> Iterator[tuple[str, CheckHealth]]:
    for name, supervision in daemon.supervisor.services.items():
        for check in supervision.health.checks:
            yield name, check


def _services(daemon: Daemon) -> Iterator[Sample]:
    found = Counter(supervision.condition for supervision in daemon.supervisor.services.values())
    for condition in Condition:
        yield (condition.value,), found[condition]


def _conditions(daemon: Daemon) -> Iterator[Sample]:
    for name, supervision in daemon.supervisor.services.items():
        present = supervision.condition
        for condition in Condition:
            yield (name, condition.value), condition is present


def _condition_changes(daemon: Daemon) -> Iterator[Sample]:
    for name, supervision in daemon.supervisor.services.items():
        for condition in Condition:
            yield (name, condition.value), supervision.entered[condition]


def _health(daemon: Daemon) -> Iterator[Sample]:
    for name, supervision in daemon.supervisor.services.items():
        for state in State:
            yield (name, state.value), state is supervision.health.state


def _znodes(daemon: Daemon) -> Iterator[str]:
    """Yield the names of all znodes for the registrations: the services' own, and further ones."""
    for supervision in daemon.supervisor.services.values():
        yield from supervision.znodes.names


def _registrations(daemon: Daemon) -> Iterator[Sample]:
    found = Counter(daemon.registrations.state(name) for name in _znodes(daemon))
    for state in RegistrationState:
        yield (state.value,), found[state]


def _refused(daemon: Daemon) -> float:
    return sum(daemon.registrations.refusal(name) is not None for name in _znodes(daemon))


def _missing(supervision: Supervision) -> int:
    return len(supervision.znodes.missing()) if supervision.condition is Condition.REGISTERED else 0


def _check_states(daemon: Daemon) -> Iterator[Sample]:
    for name, check in _checks(daemon):
        for state in State:
            yield (name, check.name, state.value), state is check.state


def _check_results(daemon: Daemon) -> Iterator[Sample]:
    for name, check in _checks(daemon):
        for status in Status:
            yield (name, check.name, status.value), check.counts.by_status[status]


def _check_durations(daemon: Daemon) -> Iterator[Sample]:
    for name, check in _checks(daemon):
        if not check.check.pushed:
            yield (name, check.name), check.counts.durations


def _check_times(daemon: Daemon) -> Iterator[Sample]:
    for name, check in _checks(daemon):
        if check.last_time is not None:
            yield (name, check.name), check.last_time


SERVICES: Final = (
    Metric(
        "txmirror_services",
        Kind.GAUGE,
        "The number of services in each condition.",
        _services,
        ("condition",),
    ),
    Metric(
        "txmirror_service_condition",
        Kind.GAUGE,
        "1 for the present condition of a service, 0 for the others.",
        _conditions,
        (*_SERVICE, "condition"),
    ),
    Metric(
        "txmirror_service_condition_changes_total",
        Kind.COUNTER,
        "The number of times that a service has changed to a condition.",
        _condition_changes,
        (*_SERVICE, "condition"),
    ),
    Metric(
        "txmirror_service_health",
        Kind.GAUGE,
        "1 for the present state of a service by its checks, 0 for the others.",
        _health,
        (*_SERVICE, "state"),
    ),
    Metric(
        "txmirror_service_flap_holds_total",
        Kind.COUNTER,
        "The number of times that a service was held down because it went down too often.",
        _per_service(lambda supervision: supervision.health.holds),
        _SERVICE,
    ),
    Metric(
        "txmirror_service_flap_held",
        Kind.GAUGE,
        "1 while a service is held down because it went down too often, else 0.",
        _per_service(lambda supervision: supervision.health.held_for is not None),
        _SERVICE,
    ),
    Metric(
        "txmirror_service_missing_znodes",
        Kind.GAUGE,
        "The number of further znodes of a service ([[service.also]]) that are not in place, while its own is.",
        _per_service(_missing),
        _SERVICE,
    ),
    Metric(
        "txmirror_registrations",
        Kind.GAUGE,
        "The number of znodes, the services' own and further ones, whose registration has each state: pending (the znode is not known to be"
        " in place), registered, blocked by another session's znode, or withdrawn.",
        _registrations,
        ("state",),
    ),
    Metric(
        "txmirror_registrations_refused",
        Kind.GAUGE,
        "The number of znodes that ZooKeeper refuses to register, for example because of an ACL.",
        one(_refused),
    ),
    Metric(
        "txmirror_check_state",
        Kind.GAUGE,
        "1 for the present state of a check, 0 for the others.",
        _check_states,
        (*_CHECK, "state"),
    ),
    Metric(
        "txmirror_check_results_total",
        Kind.COUNTER,
        "The number of results of a check with each status.",
        _check_results,
        (*_CHECK, "status"),
    ),
    Metric(
        "txmirror_check_duration_seconds",
        Kind.HISTOGRAM,
        "The durations of a check's probes. Checks of the type ttl have none.",
        _check_durations,
        _CHECK,
    ),
    Metric(
        "txmirror_check_last_result_timestamp_seconds",
        Kind.GAUGE,
        "The time of the latest result of a check, in seconds since the Unix epoch. It is missing before the first one.",
        _check_times,
        _CHECK,
    ),
    Metric(
        "txmirror_checks_stuck",
        Kind.GAUGE,
        "The number of checks that make no progress: a probe does not end although it was cancelled, or the loop does nothing.",
        one(lambda daemon: len(daemon.checks.stuck())),
    ),
)
