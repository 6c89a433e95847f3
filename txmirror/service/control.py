"""The control socket: HTTP and JSON on a UNIX socket, for operators on this machine."""

from __future__ import annotations

import grp
import os
import socket
import stat
from pathlib import Path
from typing import Any, cast

from twisted.application.service import IService, Service
from twisted.internet.defer import Deferred, succeed
from twisted.internet.error import CannotListenError
from twisted.internet.interfaces import IListeningPort, IReactorUNIX
from twisted.logger import Logger
from twisted.web.server import Site
from zope.interface import implementer

from txmirror.service.control_resources import make_root
from txmirror.service.daemon import Daemon


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
        # The reactor's port logs its beginning with this prefix.
        self._site.logPrefix = lambda: "Control socket"
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
        except (OSError, CannotListenError) as error:
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
