"""The service that twistd runs: a mirror, and registrations on it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, cast

from twisted.application.service import IService, MultiService, Service
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

from txmirror.access import Access
from txmirror.client import ZooKeeperClient
from txmirror.compat import TxZooKeeperClient, install
from txmirror.embedded import EmbeddedServer, EmbeddedService
from txmirror.errors import AuthFailedException, ZooKeeperException
from txmirror.interfaces import IZooKeeperClient
from txmirror.mirror import Mirror
from txmirror.registry import Registration
from txmirror.service.display import Display
from txmirror.service.options import Options
from txmirror.service.outages import OutageLog
from txmirror.service.signals import SignalService
from txmirror.types import News, SessionEvent, SessionState
from txmirror.withdrawal import wait_for_withdrawals

#: The path that is registered as an example where none is named.
_SAMPLE = "/services/sample/localhost:8080"


@implementer(IService)
class RegistrationService(Service):
    """Registers services when it starts, and withdraws them before it has stopped.

    An outage of ZooKeeper never prevents it from starting or stopping.

    :param servers: as for :class:`txmirror.client.ZooKeeperClient`; None starts an in-memory server in this process, and
        logs the services that are registered there.
    :param registrations: the paths to register.
    :param data: facts about the services.
    :param session_timeout: in seconds.
    :param client: the client to use, ``native`` or ``txzookeeper``.
    :param access: the credentials, the ACL of new nodes, and the TLS settings.
    :param reactor: the reactor.
    """

    _log = Logger()

    def __init__(
        self,
        servers: str | None,
        registrations: Sequence[str],
        data: Mapping[str, object],
        *,
        session_timeout: float,
        client: str = "native",
        access: Access | None = None,
        reactor: IReactorTime,
    ) -> None:
        self._servers = servers
        self._paths = tuple(dict.fromkeys(registrations))
        self._data = dict(data)
        self._session_timeout = session_timeout
        self._kind = client
        self._access = Access() if access is None else access
        self._reactor = reactor
        self._embedded: EmbeddedServer | None = None
        self._mirror: Mirror | None = None
        self._registrations: list[Registration] = []
        self._outages: OutageLog | None = None
        self._refused = False

    def startService(self) -> None:
        """Start the embedded server, if there is to be one; then register."""
        super().startService()
        servers = self._start_embedded() if self._servers is None else self._servers
        mirror = self._mirror = Mirror(client=self._make_client(servers), reactor=self._reactor)
        self._outages = OutageLog(mirror, self._session_timeout / 3)
        self._log.info("Registering with ZooKeeper at {servers}.", servers=mirror.connstr())
        mirror.startService()
        if self._access.credentials is not None:
            mirror.add_auth("digest", self._access.credentials).addErrback(self._not_authenticated)
        self._registrations = [Registration(mirror, path, self._data, acl=self._access.acl) for path in self._paths]
        for registration in self._registrations:
            registration.start()
        if self._embedded is not None:
            Display(mirror)

    def stopService(self) -> Deferred[None]:
        """Withdraw the registrations, end the session, and stop the embedded server.

        :returns: fires when the session is closed and the server stopped, in a bounded time; it never fails.
        """
        super().stopService()
        return Deferred.fromCoroutine(self._stop())

    async def _stop(self) -> None:
        if self._outages is not None:
            self._outages.stop()
        withdrawals = [registration.stop() for registration in self._registrations]
        try:
            await wait_for_withdrawals(withdrawals, self._reactor, self._not_withdrawn)
        finally:
            if self._mirror is not None:
                await self._mirror.close()
                await self._mirror.client.close()
            if self._embedded is not None:
                await self._embedded.stop()
            self._log.info("Stopped.")

    def _make_client(self, servers: str) -> IZooKeeperClient:
        if self._kind == "txzookeeper":
            install()
            from txzookeeper.client import ZookeeperClient  # noqa: PLC0415 - it can be imported from now on

            return TxZooKeeperClient(ZookeeperClient(servers, round(self._session_timeout * 1000)))
        client = ZooKeeperClient(
            servers,
            session_timeout=self._session_timeout,
            tls=self._access.tls,
            sasl=self._access.sasl,
            reactor=self._reactor,
        )
        client.add_listener(self._session_changed)
        return client

    def _session_changed(self, event: News) -> None:
        if isinstance(event, SessionEvent) and event.state is SessionState.AUTH_FAILED:
            self._log_refused()

    def _log_refused(self) -> None:
        if not self._refused:
            self._refused = True
            self._log.error(
                "Authentication failed: ZooKeeper refuses the credentials of {username!r}; nothing is registered until this"
                " program is restarted.",
                username=self._access.username,
            )

    def _not_authenticated(self, failure: Failure) -> None:
        if failure.check(AuthFailedException):
            self._log_refused()
        elif not failure.check(ZooKeeperException):
            self._log.failure("The credentials could not be sent.", failure=failure)

    def _not_withdrawn(self, result: object, timeout: float) -> None:
        if isinstance(result, Failure):
            self._log.warn("ZooKeeper is out of reach: the registrations go when the session ends.")

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
    SignalService(reactor, log_file(options)).setServiceParent(services)
    service = _make_main_service(options, cast(Any, reactor))
    service.setServiceParent(services)
    return services


def _make_main_service(options: Options, reactor: Any) -> Service:
    if options.subCommand is not None:
        return EmbeddedService(options.subOptions, reactor)
    embedded = options["embedded"]
    return RegistrationService(
        None if embedded else options["servers"] or "localhost:2181",
        options["register"] or [_SAMPLE],
        options["data"],
        session_timeout=options["session-timeout"],
        client=options["client"],
        access=options.access,
        reactor=IReactorTime(reactor),
    )


def log_file(options: Options) -> str | None:
    """Return the name of the file that twistd logs to; None if twistd does not rotate it."""
    twistd = getattr(options, "parent", None)
    if twistd is None or twistd.get("syslog") or twistd.get("logger"):
        return None
    name = twistd.get("logfile") or ("-" if twistd.get("nodaemon") else "twistd.log")
    return None if name == "-" else str(name)
