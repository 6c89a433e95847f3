"""The state of the daemon in one sentence."""

from __future__ import annotations

from collections import Counter

from txmirror.service.daemon import Daemon
from txmirror.service.supervision import Condition

#: The conditions in which a service is to be registered, and is not.
_PENDING = (Condition.REGISTERING, Condition.BLOCKED)


def summarise(daemon: Daemon) -> str:
    """Return a sentence about the services and ZooKeeper, without its period.

    A service that was registered before ZooKeeper was out of reach counts as registered, until the session expires.
    """
    services = daemon.supervisor.services.values()
    counts: Counter[str] = Counter()
    for each in services:
        condition = each.condition
        if condition is Condition.REGISTERED or (condition is Condition.REGISTERING and each.registered):
            counts["registered"] += 1
        else:
            counts["pending" if condition in _PENDING else "held back"] += 1
    total = len(services)
    text = f"{counts['registered']} of {total} {'service' if total == 1 else 'services'} registered"
    for kind in ("held back", "pending"):
        if counts[kind]:
            text += f", {counts[kind]} {kind}"
    return f"{text}; {_describe_zookeeper(daemon)}"


def _describe_zookeeper(daemon: Daemon) -> str:
    session = daemon.registrations.session
    if session is not None and session.refused:
        return "ZooKeeper refuses the credentials"
    if session is not None and session.mirror.is_connected():
        return "connected to ZooKeeper"
    if session is None or not session.outages.ongoing:
        return "connecting to ZooKeeper"
    return "ZooKeeper is out of reach"
