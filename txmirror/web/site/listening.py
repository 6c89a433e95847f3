"""Listen at a TCP port or a UNIX socket, and try again if that is not possible yet."""

from __future__ import annotations

import contextlib
import grp
import os
import socket
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import attrs
from twisted.application.service import IService, Service
from twisted.internet.defer import Deferred, maybeDeferred
from twisted.internet.error import CannotListenError
from twisted.internet.interfaces import IListeningPort, IReactorTCP, IReactorUNIX
from twisted.logger import Logger
from zope.interface import implementer

from txmirror.printable import host_and_port
from txmirror.retrying import RetryTimer
from txmirror.web.site.limits import ConnectionLimit
from txmirror.web.site.open_files import connections_within
from txmirror.web.site.tls import RenewedContext, ServerTLS

#: The first and the longest pause before it is tried again to listen, in seconds.
_FIRST, _LONGEST = 10.0, 600.0
#: The most connections at a time, unless a caller sets another limit.
CONNECTIONS: Final = 64


@attrs.frozen
class TCPPort:
    """A TCP port, with or without TLS.

    :ivar host: the IP address.
    :ivar port: the port.
    :ivar tls: the certificates; None without TLS.
    :ivar or_any_port: whether to take a free port if this one is taken.
    """

    host: str
    port: int
    tls: ServerTLS | None = None
    or_any_port: bool = False

    def listen(self, factory: Any, reactor: Any) -> IListeningPort:
        """Listen.

        :raises CannotListenError: the port cannot be used.
        :raises ValueError: a file of TLS is invalid.
        :raises ImportError: there is no TLS.
        """
        if self.tls is not None:
            from twisted.protocols.tls import TLSMemoryBIOFactory  # noqa: PLC0415 - an extra

            wrapped = TLSMemoryBIOFactory(RenewedContext(self.tls, reactor), False, factory.wrappedFactory)
            wrapped.noisy = False
            factory.wrappedFactory = wrapped
        try:
            return IReactorTCP(reactor).listenTCP(self.port, factory, interface=self.host)
        except CannotListenError:
            if not self.or_any_port:
                raise
            return IReactorTCP(reactor).listenTCP(0, factory, interface=self.host)

    def describe(self, port: IListeningPort | None) -> str:
        """Return the address, also that of a port that was free."""
        number = self.port if port is None else getattr(port.getHost(), "port", self.port)
        return host_and_port(self.host, number)


@attrs.frozen
class UNIXSocket:
    """A UNIX socket. One that a killed process has left is replaced; one that another process listens at is not.

    :ivar path: the path.
    :ivar group: the name of a group whose members may connect, too; None for this user alone.
    """

    path: str
    group: str | None = None

    _log = Logger()

    def listen(self, factory: Any, reactor: Any) -> IListeningPort:
        """Listen.

        :raises OSError: another process listens there, or there is something else.
        :raises CannotListenError: the socket cannot be made.
        """
        self._remove_stale()
        # The mode is set before the first connection is accepted.
        port = IReactorUNIX(reactor).listenUNIX(self.path, factory, mode=0o600)
        if self.group is not None:
            self._admit(self.group)
        return port

    def describe(self, port: IListeningPort | None) -> str:
        """Return the path."""
        return self.path

    def _admit(self, group: str) -> None:
        try:
            os.chown(self.path, -1, grp.getgrnam(group).gr_gid)
            Path(self.path).chmod(0o660)
        except KeyError:
            reason = "there is no such group"
        except OSError as error:
            reason = error.strerror or str(error)
        else:
            return
        self._log.error(
            "The group {group} cannot use the socket {path}, only this user can: {reason}.",
            group=group,
            path=self.path,
            reason=reason,
        )

    def _remove_stale(self) -> None:
        """Remove the socket of a process that is gone.

        :raises OSError: another process listens there, or there is something else.
        """
        try:
            status = os.lstat(self.path)
        except FileNotFoundError:
            return
        if not stat.S_ISSOCK(status.st_mode):
            raise FileExistsError("there is a file that is not a socket")
        with socket.socket(socket.AF_UNIX) as probe:
            probe.setblocking(False)
            try:
                probe.connect(self.path)
            except ConnectionRefusedError:
                Path(self.path).unlink()
                return
            except BlockingIOError:
                pass
        raise FileExistsError("another process listens there")


@implementer(IService)
class Listener(Service):
    """Listens at an address.

    If it cannot listen, that is logged once, and tried again at growing intervals.

    :param address: the address.
    :param factory: the factory of the connections: a site.
    :param name: the name for the log, such as ``The metrics``.
    :param reactor: a provider of ``IReactorTime``, and of ``IReactorTCP`` or ``IReactorUNIX``.
    :param connections: the most connections at a time, but at most half of the open files that the process may have. Further ones are
        closed.
    :param listening: called with the address each time that it listens, to log it.
    :ivar problem: the reason why it does not listen; None if it does, or was not started.
    """

    _log = Logger()

    def __init__(
        self,
        address: TCPPort | UNIXSocket,
        factory: Any,
        name: str,
        reactor: Any,
        *,
        connections: int = CONNECTIONS,
        listening: Callable[[str], object] = lambda _: None,
    ) -> None:
        self._address = address
        self._factory = factory
        self._limit: ConnectionLimit | None = None
        self._name = name
        self._reactor = reactor
        self._most = connections
        self._listening = listening
        self._port: IListeningPort | None = None
        self._failed = False
        self.problem: str | None = None
        self._again = RetryTimer(reactor, self._listen, first=_FIRST, longest=_LONGEST)

    @property
    def port(self) -> IListeningPort | None:
        """The port of ``twisted.internet``; None if it does not listen."""
        return self._port

    def startService(self) -> None:
        """Begin to listen. It never fails."""
        super().startService()
        self._listen()

    def _listen(self) -> None:
        self._limit = ConnectionLimit(self._factory, connections_within(self._most), self._name)
        try:
            self._port = self._address.listen(self._limit, self._reactor)
        except (OSError, CannotListenError, ValueError, ImportError) as error:
            self._limit.doStop()
            cause = getattr(error, "socketError", error)
            self.problem = getattr(cause, "strerror", None) or str(cause)
            if not self._failed:
                self._failed = True
                self._log.error(
                    "{name} cannot be served at {address}: {reason}. Retrying; everything else runs.",
                    name=self._name,
                    address=self._address.describe(None),
                    reason=self.problem,
                )
            self._again.start()
        else:
            self._failed, self.problem = False, None
            self._listening(self._address.describe(self._port))

    def stopService(self) -> Deferred[None]:
        """Stop listening, and close all connections.

        :returns: fires when they are closed, after a second at most. It never fails.
        """
        super().stopService()
        self._again.stop()
        return Deferred.fromCoroutine(self._stop())

    async def _stop(self) -> None:
        port, self._port = self._port, None
        if port is not None:
            # The socket may have been deleted.
            with contextlib.suppress(OSError):
                await maybeDeferred(port.stopListening)
        if self._limit is not None:
            await self._limit.close_all(self._reactor)
