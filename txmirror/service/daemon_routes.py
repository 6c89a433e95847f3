"""The routes of the daemon itself: its state, and what operators change."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.internet.defer import Deferred

from txmirror.configuration import ConfigurationError
from txmirror.service import control_requests
from txmirror.service.daemon import Daemon
from txmirror.service.maintenance import HOST
from txmirror.service.report import describe_daemon
from txmirror.web import Application, Call, InvalidRequest, Mount


def mount_daemon(daemon: Daemon) -> Mount:
    """Return a function that adds the routes of a daemon to an application.

    ========  ==============================================  =========================================================
    GET       ``/v1/daemon``                                  the daemon, its services and its session
    GET       ``/v1/daemon/services/ID``                      a service, with checks and transitions
    PUT       ``/v1/daemon/services/ID/checks/CHECK``         a push for a ttl check: ``{"status": "ok", "note": ""}``
    PUT       ``/v1/daemon/maintenance[/ID]``                 ``{"reason": "...", "until": null}``
    DELETE    the same                                        the end of the maintenance
    PUT       ``/v1/daemon/drain``                            withdraw all services; answered when they are gone
    DELETE    the same                                        register them again
    PUT       ``/v1/daemon/reload``                           read the configuration again
    ========  ==============================================  =========================================================
    """

    def mount(application: Application) -> None:
        prefix = "/v1/daemon"
        application.get(prefix, lambda _: describe_daemon(daemon))
        application.get(
            f"{prefix}/services/<id>",
            lambda _, id: control_requests.describe_whole(daemon, id),  # noqa: A006 - the name in the rule
        )
        application.put(
            f"{prefix}/services/<id>/checks/<check>",
            lambda call, id, check: control_requests.push(daemon, id, check, call),  # noqa: A006
        )
        for rule, named in ((f"{prefix}/maintenance", False), (f"{prefix}/maintenance/<id>", True)):
            application.put(rule, _begin_maintenance(daemon, named=named))
            application.delete(rule, _end_maintenance(daemon, named=named))
        application.put(f"{prefix}/drain", _without_body(lambda: control_requests.drain(daemon)))
        application.delete(f"{prefix}/drain", _without_body(lambda: control_requests.undo_drain(daemon)))
        application.put(f"{prefix}/reload", _without_body(lambda: _reload(daemon)))

    return mount


def _begin_maintenance(daemon: Daemon, *, named: bool) -> Callable[..., Any]:
    def begin(call: Call, id: str = HOST) -> Any:
        return control_requests.set_maintenance(daemon, _service_name(id, named=named), call)

    return begin


def _end_maintenance(daemon: Daemon, *, named: bool) -> Callable[..., Any]:
    def end(call: Call, id: str = HOST) -> Any:
        call.only()
        return control_requests.end_maintenance(daemon, _service_name(id, named=named))

    return end


def _service_name(name: str, *, named: bool) -> str:
    # The name that stands for the host is not one of a service.
    if named and name == HOST:
        raise InvalidRequest(f"there is no service {name!r}", status=404)
    return name


def _without_body(change: Callable[[], Any]) -> Callable[[Call], Any]:
    def handle(call: Call) -> Any:
        call.only()
        return change()

    return handle


def _reload(daemon: Daemon) -> Deferred[Any]:
    def refuse(failure: Any) -> None:
        failure.trap(ConfigurationError)
        raise InvalidRequest(*failure.value.lines, status=422)

    return daemon.reload().addCallbacks(control_requests.describe_difference, refuse)
