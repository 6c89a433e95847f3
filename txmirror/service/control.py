"""The control socket: HTTP and JSON on a UNIX socket, for operators on this machine."""

from __future__ import annotations

from typing import Any

from txmirror.service.daemon import Daemon
from txmirror.service.daemon_application import make_root
from txmirror.web.site import AccessRules, AccessSite, Listener, UNIXSocket


class ControlService(Listener):
    """Listens at the control socket.

    Only this user may connect to it, or also the members of a group. A socket that a killed process has left is replaced; one
    that another process listens at is not. If it cannot listen, that is logged, and tried again: the daemon goes on without.

    :param daemon: the daemon.
    :param path: the path of the socket.
    :param group: the name of a group; None for this user alone.
    :param reactor: a provider of ``IReactorUNIX`` and ``IReactorTime``.
    """

    def __init__(self, daemon: Daemon, path: str, group: str | None, reactor: Any) -> None:
        site = AccessSite(make_root(daemon), AccessRules(hosts=None, changing=True), reactor=reactor)
        super().__init__(UNIXSocket(path, group), site, "The control socket", reactor)
