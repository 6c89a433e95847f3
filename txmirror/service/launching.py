"""The service that twistd runs: it makes the daemon when it starts, after twistd has forked and changed its user."""

from __future__ import annotations

import os
from collections.abc import Callable
from random import Random
from typing import Any, cast

import attrs
from twisted.application.service import IService, MultiService, Service
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger
from zope.interface import implementer

from txmirror.configuration import Configuration, ConfigurationError
from txmirror.embedded import EmbeddedServer, EmbeddedService
from txmirror.service.clients import make_txzookeeper_client
from txmirror.service.control import ControlService
from txmirror.service.daemon import Daemon
from txmirror.service.daemon_application import make_root
from txmirror.service.display import Display
from txmirror.service.event_states import EventStates
from txmirror.service.exiting import EX_CONFIG, exit_with
from txmirror.service.loading import load_usable
from txmirror.service.metrics import MetricsService
from txmirror.service.notifications import Notifications
from txmirror.service.options import CLIENTS, Options
from txmirror.service.session_settings import MakeClient
from txmirror.service.signals import SignalService
from txmirror.service.state_file import StateFileHeldError
from txmirror.service.systemd import SystemdVariables

#: The exit status if another process holds the state file (``EX_TEMPFAIL`` of BSD's sysexits).
EX_TEMPFAIL = 75


@implementer(IService)
class RegistrationService(Service):
    """Runs a daemon, and an in-memory server for demonstrations if there is to be one.

    An outage of ZooKeeper never prevents it from starting or stopping. It has more than 12 attributes because it makes the parts when it
    starts, by arguments that it keeps until then.

    :param configuration: the configuration.
    :param reload: reads it again, at the start and for a reload; None if it has no files.
    :param embedded: whether to start an in-memory server in this process, and to log what is registered there.
    :param or_any_port: whether HTTP takes a free port if that of the configuration is taken.
    :param client: the client to use, ``native`` or ``txzookeeper``.
    :param random: the random numbers of the daemon; its own if None.
    :param reactor: the reactor.
    :ivar daemon: the daemon; None before the start.
    """

    _log = Logger()

    def __init__(
        self,
        configuration: Configuration,
        *,
        reload: Callable[[], Configuration] | None = None,
        embedded: bool = False,
        or_any_port: bool = False,
        client: str = "native",
        random: Random | None = None,
        reactor: IReactorTime,
    ) -> None:
        self.daemon: Daemon | None = None
        self._configuration = configuration
        self._reload = reload
        self._with_server = embedded
        self._or_any_port = or_any_port
        self._client = client
        self._random = random
        self._reactor = reactor
        self._embedded: EmbeddedServer | None = None
        self._control: ControlService | None = None
        self._metrics: MetricsService | None = None
        self._notifications: Notifications | None = None
        self._states: EventStates | None = None

    def startService(self) -> None:
        """Start the embedded server, if there is to be one; then the daemon.

        :raises SystemExit: the configuration has become invalid, or another process holds the state file. The reason is printed.
        """
        variables = SystemdVariables.take(os.environ, os.getpid())
        configuration = self._configuration
        if self._reload is not None:
            # The pid has changed by a fork, and the user by --uid.
            try:
                configuration = self._reload()
            except ConfigurationError as error:
                exit_with(EX_CONFIG, error.lines)
        if self._with_server:
            zookeeper = attrs.evolve(configuration.zookeeper, servers=self._start_embedded())
            configuration = attrs.evolve(configuration, zookeeper=zookeeper)
        self.daemon = Daemon(
            configuration,
            load=self._reload,
            make_client=self._client_maker(configuration),
            random=self._random,
            reactor=self._reactor,
        )
        try:
            self.daemon.startService()
        except StateFileHeldError as error:
            exit_with(EX_TEMPFAIL, [f"{error}, and only one daemon can use it"])
        super().startService()
        self._states = EventStates(self.daemon, self._reactor)
        self._states.start()
        self.daemon.readers.http.serve(make_root(self.daemon), or_any_port=self._or_any_port)
        settings = configuration.daemon
        if settings.control is not None:
            self._control = ControlService(self.daemon, settings.control, settings.control_group, self._reactor)
            self._control.startService()
        if settings.metrics is not None:
            self._metrics = MetricsService(self.daemon, settings.metrics, self._reactor)
            self._metrics.startService()
        self._notifications = Notifications(self.daemon, variables, self.daemon.checks.clock)
        self._notifications.start()
        session = self.daemon.registrations.session
        if self._embedded is not None and session is not None:
            Display(session.mirror)

    def stopService(self) -> Deferred[None]:
        """Stop the daemon, and then the embedded server.

        :returns: fires when all is stopped, in a bounded time; it never fails.
        """
        super().stopService()
        return Deferred.fromCoroutine(self._stop())

    async def _stop(self) -> None:
        if self.daemon is not None:
            await self.daemon.stopService()
        if self._states is not None:
            self._states.stop()
        if self._control is not None:
            # Until now an operator could see the stop.
            await self._control.stopService()
        if self._metrics is not None:
            await self._metrics.stopService()
        if self._embedded is not None:
            await self._embedded.stop()
        if self._notifications is not None:
            self._notifications.stop()

    def reload(self) -> None:
        """Reload the configuration. Errors are logged."""
        if self.daemon is not None:
            self.daemon.reload().addErrback(lambda _: None)

    def hurry(self) -> None:
        """Stop without waiting for anything."""
        if self.daemon is not None:
            self.daemon.hurry()

    def _client_maker(self, configuration: Configuration) -> MakeClient | None:
        """Return the maker of another client than the daemon makes by itself; None if there is to be none."""
        zookeeper = configuration.zookeeper
        if self._client == "txzookeeper":
            return lambda _: make_txzookeeper_client(zookeeper.servers, zookeeper.session_timeout)
        return None

    def _start_embedded(self) -> str:
        self._embedded = EmbeddedServer(cast(Any, self._reactor))
        self._embedded.listen()
        address = self._embedded.address
        self._log.info(
            "An in-memory ZooKeeper, for demonstrations and tests (it keeps nothing), listens on {address}."
            " Any ZooKeeper client can connect to it there.",
            address=address,
        )
        return address


def makeService(options: Options) -> IService:
    """Make the service for a command line. It opens nothing before it starts."""
    from twisted.internet import reactor

    services = MultiService()
    if options.configuration is None:
        SignalService(reactor, log_file(options), ends_with_terminal=True).setServiceParent(services)
        EmbeddedService(options.subOptions, cast(Any, reactor)).setServiceParent(services)
        return services
    path = options["config"]
    service = RegistrationService(
        options.configuration,
        reload=None if path is None else lambda: load_usable(path),
        embedded=bool(options["embedded"]),
        or_any_port=bool(options["embedded"]) and options["http"] is None,
        client=options["client"] or CLIENTS[0],
        reactor=IReactorTime(reactor),
    )
    # Without a file the reload fails, and systemd is notified of that, too.
    signals = SignalService(
        reactor, log_file(options), reload=service.reload, hurry=service.hurry, ends_with_terminal=path is None
    )
    signals.setServiceParent(services)
    service.setServiceParent(services)
    return services


def log_file(options: Options) -> str | None:
    """Return the name of the file that twistd logs to; None if twistd does not rotate it."""
    twistd = getattr(options, "parent", None)
    if twistd is None or twistd.get("syslog") or twistd.get("logger"):
        return None
    name = twistd.get("logfile") or ("-" if twistd.get("nodaemon") else "twistd.log")
    return None if name == "-" else str(name)
