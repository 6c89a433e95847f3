"""The service of a standalone server, for twistd and ``python -m txmirror.embedded``."""

from __future__ import annotations

from twisted.application.service import IService, Service
from twisted.internet.defer import Deferred
from twisted.internet.error import CannotListenError
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger
from zope.interface import implementer

from txmirror.embedded.options import EmbeddedOptions
from txmirror.embedded.standalone import EmbeddedServer
from txmirror.printable import host_and_port


class CannotListenExit(SystemExit, Exception):
    """The server cannot listen at the configured address.

    Uncaught, it ends the program with status 1 and its one line on stderr. It is an ``Exception`` too, so that twistd removes
    its pid file first.
    """


@implementer(IService)
class EmbeddedService(Service):
    """Runs a server, and logs which version it imitates and its address.

    :param options: the parsed command line.
    :param reactor: a provider of ``IReactorTCP`` and ``IReactorTime``.
    """

    _log = Logger()

    def __init__(self, options: EmbeddedOptions, reactor: IReactorTime) -> None:
        self._interface, self._port = options["listen"]
        self._version = options["imitate"]
        self._server = EmbeddedServer(
            reactor, tick_time=options["tick-time"], version=options["imitate"], ttl_nodes=bool(options["ttl-nodes"])
        )

    def startService(self) -> None:
        """Start to listen.

        :raises CannotListenExit: the port is taken, or there is no such address; its message is one line.
        """
        try:
            self._server.listen(self._port, self._interface)
        except CannotListenError as error:
            where = host_and_port(self._interface, self._port)
            reason = getattr(error.socketError, "strerror", None) or error.socketError
            raise CannotListenExit(
                f"txmirror embedded: cannot listen at {where}: {reason}; choose another address with --listen"
            ) from None
        super().startService()
        self._log.info("An in-memory ZooKeeper for tests and demos; all its data is lost when it stops.")
        self._log.info(
            "An imitation of {version}, listening at {address}",
            version="ClickHouse Keeper" if self._version == "keeper" else f"ZooKeeper {self._version}",
            address=self._server.address,
        )

    def stopService(self) -> Deferred[None]:
        """Close the port and every connection.

        :returns: fires when they are closed.
        """
        super().stopService()
        return self._server.stop().addCallback(lambda _: self._log.info("Stopped."))
