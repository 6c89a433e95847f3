"""The state of the daemon and its services as values of JSON. They have no secrets."""

from __future__ import annotations

import os
from typing import Any, Final

import attrs
from twisted.internet.task import deferLater

from txmirror import __version__
from txmirror.checks import CheckHealth
from txmirror.interfaces import IWatchCount
from txmirror.output_files import OutputFile
from txmirror.printable import host_and_port, session_name
from txmirror.service.daemon import Daemon
from txmirror.service.session import Session
from txmirror.service.summary import summarise

#: The services that are described in one turn of the reactor: some milliseconds.
_SERVICES_IN_TURN: Final = 100


async def describe_daemon(daemon: Daemon) -> dict[str, Any]:
    """Return the state of the daemon, with its services and its session. Many services take several turns of the reactor."""
    services: list[dict[str, Any]] = []
    for number, name in enumerate(list(daemon.supervisor.services), 1):
        if name in daemon.supervisor.services:
            services.append(describe_service(daemon, name))
        if number % _SERVICES_IN_TURN == 0:
            await deferLater(daemon.registrations.reactor, 0)
    session = daemon.registrations.session
    return {
        "version": __version__,
        "pid": os.getpid(),
        "started": daemon.started_at,
        "summary": f"{summarise(daemon)}.",
        "servers": daemon.configuration.zookeeper.servers,
        "connected": session is not None and session.mirror.is_connected(),
        "refused": session is not None and session.refused,
        "session": _name(session),
        "session_timeout": None if session is None else session.client.session_timeout,
        "stopping": daemon.stopping,
        "drained": daemon.supervisor.drained,
        "maintenance": describe_maintenance(daemon),
        "stuck_checks": list(daemon.checks.stuck()),
        "files": list(daemon.configuration.sources),
        "output_files": [_describe_output_file(file) for file in daemon.output_files.files.values()],
        "readers": describe_readers(daemon),
        "services": services,
        "zookeeper": describe_zookeeper(daemon),
    }


def describe_maintenance(daemon: Daemon) -> dict[str, Any]:
    """Return all that is in maintenance."""
    return {name: attrs.asdict(flag) for name, flag in daemon.supervisor.maintenance.flags.items()}


def describe_zookeeper(daemon: Daemon) -> dict[str, Any]:
    """Return the state of the session and its connection."""
    session = daemon.registrations.session
    client = None if session is None else session.client
    counting = None if client is None else IWatchCount(client, None)
    connected = session is not None and session.mirror.is_connected()
    return {
        "servers": daemon.configuration.zookeeper.servers,
        "server": getattr(client, "server", None) if connected else None,
        "session": _name(session),
        "session_timeout": None if client is None else client.session_timeout,
        "latency": getattr(client, "round_trip", None),
        "watches": 0 if counting is None else counting.watch_count,
        "connected": connected,
        "stale": not connected,
        "age": daemon.history.age,
        "outages": daemon.history.describe(),
    }


def describe_readers(daemon: Daemon) -> dict[str, Any]:
    """Return the state of the servers for readers; None for one that is not configured."""
    readers, counts = daemon.readers, daemon.counts
    dns, http = readers.dns, readers.http
    described: dict[str, Any] = {"http": None, "dns": None, "refused": readers.session.refused}
    if http.table is not None:
        described["http"] = {
            "address": http.address or str(http.table.listen),
            "listening": http.address is not None,
            "problem": http.problem,
            "replies": sum(counts.http.by_code.values()),
            "streams": readers.web.streams,
        }
    if dns.address is not None:
        described["dns"] = {
            "address": host_and_port(*dns.address),
            "listening": dns.problem is None,
            "problem": dns.problem,
            "replies": sum(counts.dns.by_code.values()),
        }
    return described


def describe_service(daemon: Daemon, service_id: str, *, whole: bool = False) -> dict[str, Any]:
    """Return the state of a service.

    :param whole: with its transitions, and the whole output of its checks.
    :raises KeyError: there is none.
    """
    supervision = daemon.supervisor.services[service_id]
    health, changes = supervision.health, supervision.transitions
    described = {
        "id": service_id,
        "name": supervision.service.name,
        "condition": supervision.condition.value,
        "since": changes[-1].time if changes else None,
        "why": supervision.why(),
        "next": supervision.next_action(),
        "path": supervision.service.znode_path,
        "znodes": supervision.znodes.describe(),
        "session": _name(daemon.registrations.session) if supervision.registered else None,
        "health": health.state.value,
        "held_for": health.held_for,
        "checks": [_describe_check(check, whole=whole) for check in health.checks],
    }
    if whole:
        described["transitions"] = [
            {
                "time": change.time,
                "before": None if change.before is None else change.before.value,
                "after": change.after.value,
                "reason": change.reason,
            }
            for change in changes
        ]
    return described


def _describe_output_file(file: OutputFile) -> dict[str, Any]:
    return {
        "file": file.watch.output,
        "name": file.watch.name,
        "path": file.watch.path,
        "format": file.watch.format,
        "state": file.state.value,
        "instances": file.instances,
        "omitted": dict(file.omitted),
        "writes": file.writes,
        "problem": file.problem,
    }


def _name(session: Session | None) -> str | None:
    return session_name(session.client.session_id) if session is not None and session.client.session_id else None


def _describe_check(check: CheckHealth, *, whole: bool) -> dict[str, Any]:
    last = check.last
    return {
        "name": check.name,
        "type": check.check.kind,
        "state": check.state.value,
        "passed": check.passed,
        "failed": check.failed,
        "time": check.last_time,
        "status": None if last is None else last.status.value,
        "seconds": None if last is None else last.seconds,
        "output": None if last is None else last.output if whole else last.line,
        "stuck": check.stuck,
    }
