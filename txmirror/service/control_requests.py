"""The requests of operators: each checks its values, and does one thing with the daemon."""

from __future__ import annotations

from typing import Any, Final

from twisted.internet.defer import TimeoutError as DeferredTimeout

from txmirror.checks import Status
from txmirror.configuration import Difference
from txmirror.errors import ZooKeeperException
from txmirror.printable import session_name
from txmirror.service.daemon import Daemon
from txmirror.service.maintenance import HOST
from txmirror.service.report import describe_maintenance, describe_service
from txmirror.service.supervision import Condition
from txmirror.web import Call, InvalidRequest

#: The time limit for reading the owner of another session's znode, in seconds.
_OWNER_TIMEOUT: Final = 1.0
#: The longest reason for maintenance, in characters.
_LONGEST_REASON: Final = 1000


def _known(daemon: Daemon, name: str) -> str:
    if name not in daemon.supervisor.services:
        raise InvalidRequest(f"there is no service {name!r:.200}", status=404)
    return name


async def describe_whole(daemon: Daemon, name: str) -> Any:
    """Return the state of a service, with its transitions and the owner of its znode.

    :raises InvalidRequest: there is no such service.
    """
    supervision = daemon.supervisor.services[_known(daemon, name)]
    owner = None
    session = daemon.registrations.session
    if supervision.condition is Condition.BLOCKED and session is not None:
        try:
            reading = session.client.exists(supervision.service.znode_path)
            stat = await reading.addTimeout(_OWNER_TIMEOUT, daemon.registrations.reactor)
            owner = None if stat is None else stat.ephemeralOwner
        except (ZooKeeperException, DeferredTimeout):
            # It is not known at the moment.
            pass
    return {**describe_service(daemon, name, whole=True), "owner": None if owner is None else session_name(owner)}


def push(daemon: Daemon, service: str, check: str, call: Call) -> Any:
    """Push the result of a ttl check.

    :raises InvalidRequest: there is no such check, or the body is invalid.
    """
    call.only("status", "note")
    body = call.body
    statuses = {each.value: each for each in (Status.OK, Status.WARN, Status.FAIL)}
    status, note = body.get("status", "ok"), body.get("note", "")
    if status not in statuses or not isinstance(note, str):
        raise InvalidRequest(f"status is one of {', '.join(statuses)}, and note is a string")
    try:
        daemon.supervisor.push(_known(daemon, service), check, statuses[status], note)
    except KeyError:
        raise InvalidRequest(f"service {service} has no ttl check {check!r:.200}", status=404) from None
    return {}


def set_maintenance(daemon: Daemon, name: str, call: Call) -> Any:
    """Set the maintenance of a service, or of this host.

    :returns: fires with all that is in maintenance, when the file is written or cannot be.
    :raises InvalidRequest: there is no such service, or the body is invalid.
    """
    call.only("reason", "until", "for")
    body = call.body
    if name != HOST:
        _known(daemon, name)
    reason, until = body.get("reason"), body.get("until")
    if not isinstance(reason, str) or not reason.isprintable() or not 0 < len(reason) <= _LONGEST_REASON:
        raise InvalidRequest(f"reason is not one line of 1 to {_LONGEST_REASON} characters")
    lasting = body.get("for")
    for name_, value in (("until", until), ("for", lasting)):
        if value is not None and (
            isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 < value < 2**40
        ):
            raise InvalidRequest(f"{name_} is neither null nor a number of seconds")
    if until is None and lasting is not None:
        until = daemon.registrations.reactor.seconds() + lasting
    return daemon.supervisor.maintenance.set(name, reason, until).addCallback(lambda _: _maintenance_answer(daemon))


def end_maintenance(daemon: Daemon, name: str) -> Any:
    """End the maintenance of a service, or of this host. See :func:`set_maintenance`."""
    # A service that a reload has removed may still have a flag.
    if name != HOST and name not in daemon.supervisor.maintenance.flags:
        _known(daemon, name)
    return daemon.supervisor.maintenance.end(name).addCallback(lambda _: _maintenance_answer(daemon))


def _maintenance_answer(daemon: Daemon) -> Any:
    return {"maintenance": describe_maintenance(daemon), "kept": daemon.supervisor.maintenance.kept}


def drain(daemon: Daemon) -> Any:
    """Withdraw all services.

    :returns: fires when they are gone, and their drain is over.
    """
    return daemon.supervisor.drain().addCallback(lambda _: {"drained": True})


def undo_drain(daemon: Daemon) -> Any:
    """Register the services again."""
    daemon.supervisor.undo_drain()
    return {"drained": False}


def describe_difference(difference: Difference) -> Any:
    """Return the changes of a reload."""
    return {
        "added": [service.id for service in difference.added],
        "removed": [service.id for service in difference.removed],
        "changed": {change.new.id: list(change.keys) for change in difference.changed},
        "unchanged": [service.id for service in difference.unchanged],
        "output_files": list(difference.outputs),
        "dns": list(difference.dns),
        "http": list(difference.http),
        "restart": list(difference.restart),
    }
