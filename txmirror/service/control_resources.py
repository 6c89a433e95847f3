"""The resources of the control socket: their paths and methods."""

from __future__ import annotations

from twisted.internet.defer import Deferred
from twisted.web.http import Request
from twisted.web.resource import Resource

from txmirror.service import control_requests
from txmirror.service.daemon import Daemon
from txmirror.service.json_resource import JSONResource, Missing
from txmirror.service.maintenance import HOST
from txmirror.service.metrics import add_pages
from txmirror.service.report import describe_daemon, describe_service


def make_root(daemon: Daemon) -> Resource:
    """Return the resources of the control socket, for a site of another program too.

    ========  ==============================================  =========================================================
    GET       ``/v1/daemon``                                  the daemon, and its session
    GET       ``/v1/services``                                the services, by their ids
    GET       ``/v1/services/ID``                             one of them, with checks and transitions
    PUT       ``/v1/services/ID/checks/CHECK``                a push for a ttl check: ``{"status": "ok", "note": ""}``
    PUT       ``/v1/maintenance``, ``/v1/maintenance/ID``     ``{"reason": "...", "until": null}``
    DELETE    the same                                        the end of the maintenance
    PUT       ``/v1/drain``                                   withdraw all services; answered when they are gone
    DELETE    the same                                        register them again
    PUT       ``/v1/reload``                                  read the configuration again
    GET       ``/metrics``, ``/healthz``, ``/readyz``         see :func:`~txmirror.service.make_metrics_root`
    ========  ==============================================  =========================================================

    Ids are percent-encoded. Errors have the status 400, 404, 405, 413 or 422, and a JSON object with ``errors``, a list of lines.
    """
    root, version = Missing(), Missing()
    root.putChild(b"v1", version)
    version.putChild(b"daemon", JSONResource(GET=lambda _: describe_daemon(daemon)))
    version.putChild(b"services", _Services(daemon))
    version.putChild(b"maintenance", _MaintenanceOf(daemon, HOST))
    version.putChild(
        b"drain",
        JSONResource(
            PUT=lambda _: control_requests.drain(daemon), DELETE=lambda _: control_requests.undo_drain(daemon)
        ),
    )
    version.putChild(
        b"reload", JSONResource(PUT=lambda _: daemon.reload().addCallback(control_requests.describe_difference))
    )
    add_pages(root, daemon)
    return root


class _Services(JSONResource):
    """All services."""

    def __init__(self, daemon: Daemon) -> None:
        super().__init__(
            GET=lambda _: {"services": [describe_service(daemon, each) for each in daemon.supervisor.services]}
        )
        self._daemon = daemon

    def getChild(self, path: bytes, request: Request) -> Resource:
        """Return the resource of a service."""
        return _Service(self._daemon, _segment(path))


class _Service(JSONResource):
    """One service."""

    def __init__(self, daemon: Daemon, name: str) -> None:
        super().__init__(GET=lambda _: Deferred.fromCoroutine(control_requests.describe_whole(daemon, name)))
        self.putChild(b"checks", _Checks(daemon, name))


class _Checks(Missing):
    """The checks of a service."""

    def __init__(self, daemon: Daemon, name: str) -> None:
        super().__init__()
        self._daemon = daemon
        self._name = name

    def getChild(self, path: bytes, request: Request) -> Resource:
        """Return the resource of a check."""
        return JSONResource(PUT=lambda body: control_requests.push(self._daemon, self._name, _segment(path), body))


class _MaintenanceOf(JSONResource):
    """The maintenance of this host, or of a service."""

    def __init__(self, daemon: Daemon, name: str) -> None:
        super().__init__(
            PUT=lambda body: control_requests.set_maintenance(daemon, name, body),
            DELETE=lambda _: control_requests.end_maintenance(daemon, name),
        )
        self._daemon = daemon
        self._name = name

    def getChild(self, path: bytes, request: Request) -> Resource:
        """Return the resource of a service's maintenance."""
        return Missing() if self._name != HOST else _MaintenanceOf(self._daemon, _segment(path))


def _segment(path: bytes) -> str:
    return path.decode("utf-8", "replace")
