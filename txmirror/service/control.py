"""The control socket: HTTP and JSON on a UNIX socket, for operators on this machine."""

from __future__ import annotations

import grp
import json
import os
import socket
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

from twisted.application.service import IService, Service
from twisted.internet.defer import Deferred, maybeDeferred, succeed
from twisted.internet.defer import TimeoutError as DeferredTimeout
from twisted.internet.interfaces import IListeningPort, IReactorUNIX
from twisted.logger import Logger
from twisted.python.failure import Failure
from twisted.web.http import Request as HTTPRequest
from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET, Request, Site
from zope.interface import implementer

from txmirror.checks import Status
from txmirror.configuration import ConfigurationError, Difference
from txmirror.errors import ZooKeeperException
from txmirror.printable import session_name
from txmirror.service.daemon import Daemon
from txmirror.service.maintenance import HOST
from txmirror.service.report import describe_daemon, describe_service
from txmirror.service.supervision import Condition

#: The longest body of a request, in bytes.
_LONGEST_BODY = 64 * 1024
#: The time limit for reading the owner of another session's znode, in seconds.
_OWNER_TIMEOUT = 1.0
#: The longest reason for maintenance, in characters.
_LONGEST_REASON = 1000


class InvalidRequest(ValueError):
    """A request is invalid. The message says why.

    :param status: the status of the response.
    """

    def __init__(self, message: str, status: int = 400) -> None:
        super().__init__(message)
        self.status = status


@implementer(IService)
class ControlService(Service):
    """Listens at the control socket.

    Only this user may connect to it, or also the members of a group. A socket that a killed process has left is replaced; one
    that another process listens at is not. If it cannot listen, that is logged: the daemon goes on without.

    :param daemon: the daemon.
    :param path: the path of the socket.
    :param group: the name of a group; None for this user alone.
    :param reactor: a provider of ``IReactorUNIX``.
    """

    _log = Logger()

    def __init__(self, daemon: Daemon, path: str, group: str | None, reactor: Any) -> None:
        self._site: Any = cast(Any, Site(make_root(daemon)))
        self._site.noisy = False
        # What a request changes is logged by the part that it changes.
        self._site.log = lambda _: None
        self._path = path
        self._group = group
        self._reactor = reactor
        self._port: IListeningPort | None = None

    def startService(self) -> None:
        """Begin to listen. It never fails."""
        super().startService()
        try:
            self._remove_stale()
            # The mode is set before the first connection is accepted.
            self._port = IReactorUNIX(self._reactor).listenUNIX(self._path, self._site, mode=0o600)
            if self._group is not None:
                os.chown(self._path, -1, grp.getgrnam(self._group).gr_gid)
                Path(self._path).chmod(0o660)
        except KeyError:
            self._log.error("There is no group {group}: only this user can use the control socket.", group=self._group)
        except Exception as error:
            if self._port is None:
                self._site.doStop()
            self._log.error(
                "The control socket {path} cannot be used: {reason}. The daemon runs without it.",
                path=self._path,
                reason=str(getattr(error, "socketError", error)),
            )

    def stopService(self) -> Deferred[None]:
        """Stop listening, and remove the socket.

        :returns: fires then.
        """
        super().stopService()
        port, self._port = self._port, None
        stopped: Any = None if port is None else port.stopListening()
        # The socket may have been deleted.
        return succeed(None) if stopped is None else stopped.addErrback(lambda failure: failure.trap(OSError) and None)

    def _remove_stale(self) -> None:
        """Remove the socket of a process that is gone.

        :raises OSError: another process listens there, or there is something else.
        """
        try:
            status = os.lstat(self._path)
        except FileNotFoundError:
            return
        if not stat.S_ISSOCK(status.st_mode):
            raise FileExistsError("there is a file that is not a socket")
        with socket.socket(socket.AF_UNIX) as probe:
            probe.setblocking(False)
            try:
                probe.connect(self._path)
            except ConnectionRefusedError:
                Path(self._path).unlink()
                return
            except BlockingIOError:
                pass
        raise FileExistsError("another process listens there")


def make_root(daemon: Daemon) -> Resource:
    """Return the resources of the control socket, for a site of another program too.

    ========  ==============================================  =====================================================
    GET       ``/v1/daemon``                                  the daemon, and its session
    GET       ``/v1/services``                                the services, by their ids
    GET       ``/v1/services/ID``                             one of them, with checks and transitions
    PUT       ``/v1/services/ID/checks/CHECK``                a push for a ttl check: ``{"status": "ok", "note": ""}``
    PUT       ``/v1/maintenance``, ``/v1/maintenance/ID``     ``{"reason": "...", "until": null}``
    DELETE    the same                                        the end of the maintenance
    PUT       ``/v1/drain``                                   withdraw all services; answered when they are gone
    DELETE    the same                                        register them again
    PUT       ``/v1/reload``                                  read the configuration again
    ========  ==============================================  =====================================================

    Ids are percent-encoded. Errors have the status 400, 404, 405, 413 or 422, and a JSON object with ``errors``, a list of lines.
    """
    root, version = _Missing(), _Missing()
    root.putChild(b"v1", version)
    version.putChild(b"daemon", _Leaf(GET=lambda _: describe_daemon(daemon)))
    version.putChild(b"services", _Services(daemon))
    version.putChild(b"maintenance", _MaintenanceOf(daemon, HOST))
    version.putChild(b"drain", _Leaf(PUT=lambda _: _drain(daemon), DELETE=lambda _: _undo_drain(daemon)))
    version.putChild(b"reload", _Leaf(PUT=lambda _: daemon.reload().addCallback(_describe_difference)))
    return root


class _Leaf(Resource):
    """Answers requests with JSON.

    :param methods: a function for each method; it takes the decoded body, and returns a value for JSON, also by a Deferred.
    """

    _log = Logger()

    def __init__(self, **methods: Callable[[Any], Any]) -> None:
        super().__init__()
        self._methods = methods

    def getChild(self, path: bytes, request: HTTPRequest) -> Resource:
        """Return the resource of a path that there is not."""
        return _Missing()

    def render(self, request: Request) -> int:
        """Answer a request."""
        answered = maybeDeferred(self._answer, request)
        gone = request.notifyFinish()
        gone.addErrback(lambda _: answered.cancel())
        answered.addErrback(self._failed, request)
        answered.addCallback(lambda value: self._respond(request, value))
        answered.addErrback(lambda failure: self._log.failure("A request could not be answered.", failure=failure))
        return NOT_DONE_YET

    def _answer(self, request: Request) -> Any:
        method = self._methods.get(request.method.decode("ascii", "replace"))
        if method is None:
            raise InvalidRequest(f"only {', '.join(self._methods)} is allowed here", 405)
        return method(_body(request))

    def _failed(self, failure: Failure, request: Request) -> Any:
        error = failure.value
        if isinstance(error, InvalidRequest):
            request.setResponseCode(error.status)
            return {"errors": [str(error)]}
        if isinstance(error, ConfigurationError):
            request.setResponseCode(422)
            return {"errors": list(error.lines)}
        self._log.failure("A request has failed because of a bug.", failure=failure)
        request.setResponseCode(500)
        return {"errors": ["The request has failed because of a bug; the log has more."]}

    def _respond(self, request: Request, value: Any) -> None:
        if request._disconnected:
            return
        request.setHeader(b"content-type", b"application/json")
        request.setHeader(b"cache-control", b"no-store")
        request.write(json.dumps(value).encode() + b"\n")
        request.finish()


class _Missing(_Leaf):
    """Answers that there is no such resource."""

    def _answer(self, request: Request) -> Any:
        raise InvalidRequest("there is no such resource", 404)


class _Services(_Leaf):
    """All services."""

    def __init__(self, daemon: Daemon) -> None:
        super().__init__(
            GET=lambda _: {"services": [describe_service(daemon, each) for each in daemon.supervisor.services]}
        )
        self._daemon = daemon

    def getChild(self, path: bytes, request: HTTPRequest) -> Resource:
        """Return the resource of a service."""
        return _Service(self._daemon, _segment(path))


class _Service(_Leaf):
    """One service."""

    def __init__(self, daemon: Daemon, name: str) -> None:
        super().__init__(GET=lambda _: Deferred.fromCoroutine(_describe_whole(daemon, name)))
        self.putChild(b"checks", _Checks(daemon, name))


class _Checks(_Missing):
    """The checks of a service."""

    def __init__(self, daemon: Daemon, name: str) -> None:
        super().__init__()
        self._daemon = daemon
        self._name = name

    def getChild(self, path: bytes, request: HTTPRequest) -> Resource:
        """Return the resource of a check."""
        return _Leaf(PUT=lambda body: _push(self._daemon, self._name, _segment(path), body))


class _MaintenanceOf(_Leaf):
    """The maintenance of this host, or of a service."""

    def __init__(self, daemon: Daemon, name: str) -> None:
        super().__init__(
            PUT=lambda body: _set_maintenance(daemon, name, body), DELETE=lambda _: _end_maintenance(daemon, name)
        )
        self._daemon = daemon
        self._name = name

    def getChild(self, path: bytes, request: HTTPRequest) -> Resource:
        """Return the resource of a service's maintenance."""
        return _Missing() if self._name != HOST else _MaintenanceOf(self._daemon, _segment(path))


def _segment(path: bytes) -> str:
    return path.decode("utf-8", "replace")


def _body(request: Request) -> Any:
    assert request.content is not None
    content = request.content.read(_LONGEST_BODY + 1)
    if len(content) > _LONGEST_BODY:
        raise InvalidRequest(f"the body has more than {_LONGEST_BODY} bytes", 413)
    if not content:
        return {}
    try:
        body = json.loads(content)
    except (ValueError, RecursionError):
        raise InvalidRequest("the body is not JSON") from None
    if not isinstance(body, dict):
        raise InvalidRequest("the body is not a JSON object")
    return body


def _only(body: dict[str, Any], *keys: str) -> None:
    for key in body:
        if key not in keys:
            raise InvalidRequest(f"unknown key {key!r:.60}")


def _known(daemon: Daemon, name: str) -> str:
    if name not in daemon.supervisor.services:
        raise InvalidRequest(f"there is no service {name!r:.200}", 404)
    return name


async def _describe_whole(daemon: Daemon, name: str) -> Any:
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


def _push(daemon: Daemon, service: str, check: str, body: dict[str, Any]) -> Any:
    _only(body, "status", "note")
    statuses = {each.value: each for each in (Status.OK, Status.WARN, Status.FAIL)}
    status, note = body.get("status", "ok"), body.get("note", "")
    if status not in statuses or not isinstance(note, str):
        raise InvalidRequest(f"status is one of {', '.join(statuses)}, and note is a string")
    try:
        daemon.supervisor.push(_known(daemon, service), check, statuses[status], note)
    except KeyError:
        raise InvalidRequest(f"service {service} has no ttl check {check!r:.200}", 404) from None
    return {}


def _set_maintenance(daemon: Daemon, name: str, body: dict[str, Any]) -> Any:
    _only(body, "reason", "until", "for")
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


def _end_maintenance(daemon: Daemon, name: str) -> Any:
    # A service that a reload has removed may still have a flag.
    if name != HOST and name not in daemon.supervisor.maintenance.flags:
        _known(daemon, name)
    return daemon.supervisor.maintenance.end(name).addCallback(lambda _: _maintenance_answer(daemon))


def _maintenance_answer(daemon: Daemon) -> Any:
    return {"maintenance": describe_daemon(daemon)["maintenance"], "kept": daemon.supervisor.maintenance.kept}


def _drain(daemon: Daemon) -> Any:
    return daemon.supervisor.drain().addCallback(lambda _: {"drained": True})


def _undo_drain(daemon: Daemon) -> Any:
    daemon.supervisor.undo_drain()
    return {"drained": False}


def _describe_difference(difference: Difference) -> Any:
    return {
        "added": [service.id for service in difference.added],
        "removed": [service.id for service in difference.removed],
        "changed": {change.new.id: list(change.keys) for change in difference.changed},
        "unchanged": [service.id for service in difference.unchanged],
        "restart": list(difference.restart),
    }
