"""The state of the daemon and its services as values of JSON. They have no secrets."""

from __future__ import annotations

import os
from typing import Any

import attrs

from txmirror import __version__
from txmirror.checks import CheckHealth
from txmirror.output_files import OutputFile
from txmirror.printable import session_name
from txmirror.service.daemon import Daemon
from txmirror.service.session import Session


def describe_daemon(daemon: Daemon) -> dict[str, Any]:
    """Return the state of the daemon."""
    session = daemon.registrations.session
    return {
        "version": __version__,
        "pid": os.getpid(),
        "started": daemon.started_at,
        "servers": daemon.configuration.zookeeper.servers,
        "connected": session is not None and session.mirror.is_connected(),
        "refused": session is not None and session.refused,
        "session": _name(session),
        "session_timeout": None if session is None else session.client.session_timeout,
        "stopping": daemon.stopping,
        "drained": daemon.supervisor.drained,
        "maintenance": {name: attrs.asdict(flag) for name, flag in daemon.supervisor.maintenance.flags.items()},
        "stuck_checks": list(daemon.checks.stuck()),
        "files": list(daemon.configuration.sources),
        "output_files": [_describe_output_file(file) for file in daemon.output_files.files.values()],
    }


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
