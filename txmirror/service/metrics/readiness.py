"""The health and the readiness of the daemon, for load balancers and supervisors: a sentence for each reason against it."""

from __future__ import annotations

from collections.abc import Iterator

from txmirror.service.daemon import Daemon
from txmirror.service.watchdog import find_standstill


def faults(daemon: Daemon) -> Iterator[str]:
    """Yield a sentence for each part of the daemon that makes no progress: the reasons of the watchdog. Only a restart helps.

    An outage of ZooKeeper is not a fault of the daemon.
    """
    for clause in find_standstill(daemon):
        yield f"{clause[:1].upper()}{clause[1:]}."


def obstacles(daemon: Daemon) -> Iterator[str]:
    """Yield a sentence for each reason why the daemon is not ready: its services may not be registered as they should be.

    It is ready when the configuration is applied, there is a session, and the checks of each service have decided.
    """
    if daemon.stopping:
        yield "The daemon is stopping."
    elif not daemon.running:
        yield "The daemon has not started."
    if not daemon.counts.sessions.stands:
        yield "There is no session with ZooKeeper."
    for name, supervision in daemon.supervisor.services.items():
        if not supervision.health.decided:
            yield f"The checks of service {name} have not decided yet."
