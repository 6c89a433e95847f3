"""The handlers of the daemon's own routes: its state, and the changes that operators make."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.internet.defer import Deferred

from txmirror.configuration import ConfigurationError
from txmirror.service import control_requests
from txmirror.service.daemon import Daemon
from txmirror.service.maintenance import HOST
from txmirror.service.report import describe_daemon
from txmirror.web import Application, Call, Handler, InvalidRequest, Mount
from txmirror.web.api import DAEMON, mount_routes


def mount_daemon(daemon: Daemon) -> Mount:
    """Return a function that adds the routes of a daemon to an application: those of the table ``DAEMON``."""
    handlers: dict[str, Handler] = {
        "getDaemon": lambda _: describe_daemon(daemon),
        "getLocalService": lambda _, **parts: control_requests.describe_whole(daemon, parts["id"]),
        "pushResult": lambda call, **parts: control_requests.push(daemon, parts["id"], parts["check"], call),
        "beginMaintenance": lambda call: control_requests.set_maintenance(daemon, HOST, call),
        "beginMaintenanceOfService": lambda call, **parts: control_requests.set_maintenance(
            daemon, _service_name(parts["id"]), call
        ),
        "endMaintenance": _without_body(lambda: control_requests.end_maintenance(daemon, HOST)),
        "endMaintenanceOfService": _without_body(
            lambda **parts: control_requests.end_maintenance(daemon, _service_name(parts["id"]))
        ),
        "drain": _without_body(lambda: control_requests.drain(daemon)),
        "undoDrain": _without_body(lambda: control_requests.undo_drain(daemon)),
        "reload": _without_body(lambda: _reload(daemon)),
    }

    def mount(application: Application) -> None:
        mount_routes(application, DAEMON, handlers)

    return mount


def _service_name(name: str) -> str:
    # The name that stands for the host is not one of a service.
    if name == HOST:
        raise InvalidRequest(f"there is no service {name!r}", status=404)
    return name


def _without_body(change: Callable[..., Any]) -> Handler:
    def handle(call: Call, **parts: str) -> Any:
        call.only()
        return change(**parts)

    return handle


def _reload(daemon: Daemon) -> Deferred[Any]:
    def refuse(failure: Any) -> None:
        failure.trap(ConfigurationError)
        raise InvalidRequest(*failure.value.lines, status=422)

    return daemon.reload().addCallbacks(control_requests.describe_difference, refuse)
