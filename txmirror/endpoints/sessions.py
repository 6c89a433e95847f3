"""The sessions that a process's endpoints share: one for each ensemble with its credentials and timeout, counted by its users."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol
from weakref import WeakKeyDictionary

import attrs
from twisted.internet.defer import Deferred, fail, gatherResults, succeed
from twisted.internet.interfaces import IReactorCore, IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure

from txmirror.access import Access, read_access, read_access_file
from txmirror.client import Limits, ZooKeeperClient, parse_servers
from txmirror.deferreds import Waiters, follow
from txmirror.durations import check_seconds
from txmirror.errors import ClosingException
from txmirror.mirror import Mirror
from txmirror.registry import ServiceRegistry
from txmirror.threads import run_in_thread
from txmirror.timers import reactor_or_global

#: As that of a registry: it recovers within two seconds of ZooKeeper's return.
_LIMITS = Limits(max_backoff=1.5)

Withdraw = Callable[[], Deferred[None]]
"""Withdraws what a user has registered. Its Deferred fires in a bounded time, and never fails."""


class Lease(Protocol):
    """The right to use a service registry, until it is released."""

    def registry(self) -> Deferred[ServiceRegistry[bool]]:
        """Return the registry.

        :returns: fires at once, unless the credentials must be read from a file first. Fails with ``ValueError`` if that file
            cannot be used: another call reads it again; and with :exc:`~txmirror.errors.ClosingException` after the release, and
            when the reactor stops. Cancelling ends the wait.
        """

    def release(self) -> Deferred[None]:
        """Do not use the registry any more. The last release of a shared session closes it.

        :returns: fires in a bounded time, when the session is closed if that was the last release; it never fails. A second call
            does nothing.
        """


def _check_timeout(_: object, attribute: attrs.Attribute[float], value: float) -> None:
    check_seconds(attribute.name, value, positive=True)


@attrs.frozen
class SharedSession:
    """A session that all endpoints of the process with equal settings share. It is opened for the first of them, and closed after the
    last, or when the reactor stops: then after all that they have registered is withdrawn.

    :param servers: as for :class:`txmirror.client.ZooKeeperClient`.
    :param credentials: a file with the command's variables, such as ``TXMIRROR_USERNAME=web``, one in a line, which is read when the
        session is opened; None for the variables of the process's environment.
    :param session_timeout: the session timeout to request, in seconds.
    :param reactor: the reactor; the global one if None.
    :raises ValueError: an argument is invalid; the message quotes it. No file is read.
    """

    servers: str = attrs.field(default="localhost:2181", validator=lambda _, __, value: parse_servers(value))
    credentials: str | None = None
    session_timeout: float = attrs.field(default=10.0, validator=_check_timeout)
    reactor: IReactorTime = attrs.field(default=None, converter=reactor_or_global, kw_only=True, repr=False)


def lease_registry(registry: ServiceRegistry[bool] | SharedSession, withdraw: Withdraw | None = None) -> Lease:
    """Lease a registry.

    :param registry: a program's own registry, which the program stops; or a shared session.
    :param withdraw: called when the reactor stops. A shared session is closed after its Deferred has fired.
    """
    if isinstance(registry, SharedSession):
        return _table_of(registry.reactor).lease(registry, withdraw)
    return _Own(registry)


def keep_registry(registry: ServiceRegistry[bool] | SharedSession) -> Deferred[ServiceRegistry[bool]]:
    """Return a registry, for a user that has no end. A shared session stays open until the reactor stops, or :func:`close_sessions`.

    :param registry: as for :func:`lease_registry`.
    :returns: as :meth:`Lease.registry`.
    """
    if isinstance(registry, SharedSession):
        return _table_of(registry.reactor).keep(registry)
    return succeed(registry)


def close_sessions(reactor: IReactorTime) -> Deferred[None]:
    """Withdraw all that was registered in shared sessions, and close them. A use that begins later opens another session.

    A reactor that stops does this by itself. Tests that share a reactor call it when they end.

    :param reactor: the reactor of the sessions.
    :returns: fires in a bounded time, when all is closed; it never fails.
    """
    table = _tables.get(reactor)
    return succeed(None) if table is None else table.close()


class _Own:
    """The lease of a program's own registry."""

    def __init__(self, registry: ServiceRegistry[bool]) -> None:
        self._registry = registry

    def registry(self) -> Deferred[ServiceRegistry[bool]]:
        return succeed(self._registry)

    def release(self) -> Deferred[None]:
        return succeed(None)


class _Shared:
    """A lease of a shared session."""

    def __init__(self, table: _Table, session: _Session, withdraw: Withdraw | None) -> None:
        self.withdraw = withdraw
        self._table = table
        self._session = session
        self._released = False

    def registry(self) -> Deferred[ServiceRegistry[bool]]:
        return fail(ClosingException(applied=False)) if self._released else self._session.registry()

    def release(self) -> Deferred[None]:
        if self._released:
            return succeed(None)
        self._released = True
        return self._table.release(self, self._session)


class _Session:
    """One session, and the registry in it.

    :ivar leases: those who use it.
    :ivar kept: whether it stays open without them.
    """

    _log = Logger()

    def __init__(self, settings: SharedSession) -> None:
        self.leases: dict[_Shared, None] = {}
        self.kept = False
        self.settings = settings
        self._open: tuple[ZooKeeperClient, Mirror, ServiceRegistry[bool]] | None = None
        self._reading: Deferred[Access] | None = None
        self._waiting: Waiters[ServiceRegistry[bool]] = Waiters()
        self._closed = False

    def registry(self) -> Deferred[ServiceRegistry[bool]]:
        if self._closed:
            return fail(ClosingException(applied=False))
        if self._open is not None:
            return succeed(self._open[2])
        waiter = self._waiting.wait()
        if self._reading is None:
            self._reading = reading = run_in_thread(self.settings.reactor, _read, self.settings.credentials)
            reading.addBoth(self._read)
        return waiter

    def _read(self, result: Access | Failure) -> None:
        self._reading = None
        if isinstance(result, Failure):
            self._waiting.fail(lambda: ValueError(result.getErrorMessage()))
        elif not self._closed:
            self._open = opened = _open(self.settings, result)
            self._waiting.fire(opened[2])

    def close(self) -> Deferred[None]:
        self._closed = True
        self._waiting.fail(lambda: ClosingException(applied=False))
        opened, self._open = self._open, None
        return succeed(None) if opened is None else Deferred.fromCoroutine(self._close(*opened))

    async def _close(self, client: ZooKeeperClient, mirror: Mirror, registry: ServiceRegistry[bool]) -> None:
        try:
            # The end of the session removes what may be left of registrations, so nothing waits for them.
            stopped = registry.stop()
            await mirror.close()
            await client.close()
            await stopped
        except Exception:
            self._log.failure("The session with {servers} could not be closed.", servers=self.settings.servers)


class _Table:
    """The shared sessions on one reactor."""

    def __init__(self, reactor: IReactorTime) -> None:
        self._sessions: dict[SharedSession, _Session] = {}
        self._closing: dict[Deferred[None], None] = {}
        self._stopping = False
        self._core: Any = IReactorCore(reactor, None)
        if self._core is not None:
            self._wait_for_stop()

    def lease(self, settings: SharedSession, withdraw: Withdraw | None) -> Lease:
        session = self._session(settings)
        lease = _Shared(self, session, withdraw)
        session.leases[lease] = None
        return lease

    def release(self, lease: _Shared, session: _Session) -> Deferred[None]:
        del session.leases[lease]
        return succeed(None) if session.leases or session.kept else self._close(session)

    def keep(self, settings: SharedSession) -> Deferred[ServiceRegistry[bool]]:
        session = self._session(settings)
        session.kept = True
        return session.registry()

    def close(self) -> Deferred[None]:
        return Deferred.fromCoroutine(self._withdraw_and_close())

    def _session(self, settings: SharedSession) -> _Session:
        session = self._sessions.get(settings)
        if session is None:
            session = _Session(settings)
            if self._stopping:
                session.close()
            else:
                self._sessions[settings] = session
        return session

    def _close(self, session: _Session) -> Deferred[None]:
        if self._sessions.get(session.settings) is session:
            del self._sessions[session.settings]
        closed = session.close()
        self._closing[closed] = None
        closed.addCallback(self._closed, closed)
        return follow(closed)

    def _closed(self, _: None, closed: Deferred[None]) -> None:
        del self._closing[closed]

    def _wait_for_stop(self) -> None:
        # Triggers of one phase run side by side. So this one does both, in order.
        self._core.addSystemEventTrigger("before", "shutdown", self._stop)

    def _stop(self) -> Deferred[None]:
        self._stopping = True
        self._core.addSystemEventTrigger("after", "shutdown", self._stopped)
        return self.close()

    def _stopped(self) -> None:
        # The worker processes of trial fire the event after each test, and use the reactor again.
        self._stopping = False
        self._wait_for_stop()

    async def _withdraw_and_close(self) -> None:
        # A use that begins meanwhile gets another session.
        sessions, self._sessions = list(self._sessions.values()), {}
        leases = [lease for session in sessions for lease in session.leases]
        await gatherResults([lease.withdraw() for lease in leases if lease.withdraw is not None])
        for session in sessions:
            self._close(session)
        await gatherResults(list(self._closing))


_tables: WeakKeyDictionary[IReactorTime, _Table] = WeakKeyDictionary()


def _table_of(reactor: IReactorTime) -> _Table:
    table = _tables.get(reactor)
    if table is None:
        table = _tables[reactor] = _Table(reactor)
    return table


def _read(credentials: str | None) -> Access:
    return read_access({}) if credentials is None else read_access_file(credentials)


def _open(settings: SharedSession, access: Access) -> tuple[ZooKeeperClient, Mirror, ServiceRegistry[bool]]:
    client = ZooKeeperClient(
        settings.servers,
        session_timeout=settings.session_timeout,
        tls=access.tls,
        sasl=access.sasl,
        limits=_LIMITS,
        reactor=settings.reactor,
    )
    mirror = Mirror(client=client, reactor=settings.reactor)
    digest = access.sasl is None
    registry = ServiceRegistry(
        lazy=True,
        session_timeout=settings.session_timeout,
        mirror=mirror,
        username=access.username if digest else None,
        password=access.password if digest else None,
        acl=access.acl,
    )
    return client, mirror, registry
