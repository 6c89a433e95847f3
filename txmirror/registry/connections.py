"""The connections of a registry, one after another, through starts, stops, forks and outages of ZooKeeper."""

from __future__ import annotations

import os
from collections.abc import Callable, Coroutine, Sequence
from random import Random
from typing import Any, Literal, Protocol, TypeVar

import attrs
from twisted.internet.defer import Deferred, succeed
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure

from txmirror.client import Limits, parse_servers
from txmirror.deferreds import Waiters
from txmirror.durations import check_seconds
from txmirror.errors import ClosingException, InvalidStateException, NoConnection
from txmirror.mirror import Mirror, MirrorState
from txmirror.observers import Observers
from txmirror.registry.connection import RegistryConnection
from txmirror.registry.reachability import when_connected
from txmirror.registry.registration import Registration
from txmirror.timers import reactor_or_global
from txmirror.types import SessionTicket

_T = TypeVar("_T")

#: A registry recovers within two seconds of ZooKeeper's return, after an outage of any length.
_LIMITS = Limits(max_backoff=1.5)


class ConnectionUser(Protocol):
    """The work that is done on the connections of a registry."""

    @property
    def busy(self) -> bool:
        """True if a connection is needed."""

    def connect(self, mirror: Mirror, *, owned: bool) -> RegistryConnection:
        """Return a new connection, which uses a mirror, and closes it if it is owned."""

    def opened(self, connection: RegistryConnection) -> None:
        """Resume all work on a new connection."""

    def state_changed(self, connected: bool) -> None:
        """Note that a session was established, or that there is none any more."""

    def leave(self) -> Sequence[Registration]:
        """Stop using the connection, which is about to be closed, and return the registrations to withdraw."""

    def closed(self) -> Deferred[None]:
        """Clean up after the connection is closed."""

    def abandon(self) -> object:
        """Forget the objects of the parent process, and return them, so that nothing finalises them."""

    def change_reactor(self, reactor: IReactorTime) -> None:
        """Make the objects that run on the reactor anew."""


@attrs.define
class ConnectionOptions:
    """The servers, and when they are out of reach."""

    servers: str | Sequence[str | tuple[str, int]]
    """As for :class:`txmirror.client.ZooKeeperClient`."""
    timeout: float
    """The number of seconds without a session after which ZooKeeper is out of reach."""
    lazy: bool
    """True if calls succeed while ZooKeeper is out of reach, and are done later."""
    mirror: Mirror | None
    """The mirror to use; None makes one for each connection."""
    limits: Limits | None
    """The limits of the client of such a mirror; None for a client's defaults, with shorter pauses."""
    random: Random
    """The random numbers of such mirrors."""

    @property
    def connect_string(self) -> str:
        """The servers and the chroot, in one string."""
        return str(parse_servers(self.servers)) if self.mirror is None else self.mirror.connstr()

    def check(self, reactor: IReactorTime | None) -> IReactorTime:
        """Return the reactor to use: the one that is passed, the mirror's, or the global one.

        :raises TypeError, ValueError: an option is invalid; the message quotes it.
        """
        check_seconds("timeout", self.timeout, positive=True)
        parse_servers(self.servers)
        if self.mirror is not None and reactor not in (None, self.mirror.reactor):
            raise ValueError(f"the mirror that was passed does not run on {reactor!r}")
        return reactor_or_global(reactor if self.mirror is None else self.mirror.reactor)


class Connections:
    """Opens and closes the connections of a registry; there is one between a start and a stop.

    :param options: the servers.
    :param reactor: the reactor.
    :ivar user: the user of the connections, to be set before any is opened.
    :ivar options: the servers.
    :ivar reactor: the reactor.
    :ivar current: the connection; None if there is none.
    :ivar stopped: whether the registry was stopped, and not started again.
    """

    _log = Logger()

    user: ConnectionUser

    def __init__(self, options: ConnectionOptions, reactor: IReactorTime) -> None:
        self.reactor: IReactorTime = reactor
        self.current: RegistryConnection | None = None
        self.stopped: bool = False
        self.options = options
        self._pid = os.getpid()
        self._closing = False
        self._close_waiters: Waiters[None] = Waiters()
        self._former_session: SessionTicket | None = None
        self._inherited: list[object] = []
        self._connected = False
        self._state_callbacks: Observers[bool] = Observers(
            lambda callback, _: self._log.failure("The state callback {callback} failed.", callback=callback)
        )

    def start(self) -> Deferred[bool]:
        """Connect to ZooKeeper. See :meth:`~txmirror.interfaces.IServiceRegistry.start`."""
        self.check_process()
        self.stopped = False
        return self.do(self._start())

    def stop(self) -> Deferred[None]:
        """Withdraw registrations and disconnect. See :meth:`~txmirror.interfaces.IServiceRegistry.stop`."""
        self.check_process()
        self.stopped = True
        return self._end()

    def rebuild(self, reactor: IReactorTime | None = None) -> Deferred[bool]:
        """Reconnect with a new session, also after a fork. See :meth:`~txmirror.interfaces.IServiceRegistry.rebuild`.

        :raises ValueError: another reactor is named, and the mirror was passed by the application.
        """
        self.stopped = False
        if self._forked:
            self._leave_to_parent()
            self._change_reactor(_new_reactor_like(self.reactor) if reactor is None else reactor)
            return self.do(self._start())
        if self.options.mirror is not None and reactor not in (None, self.reactor):
            raise ValueError(f"the registry's mirror was passed to it, and does not run on {reactor!r}")
        return self.do(self._rebuild(reactor))

    def get_state(self, callback: Callable[[bool], object] | None = None) -> Deferred[bool]:
        """Return whether there is a session. See :meth:`~txmirror.interfaces.IServiceRegistry.get_state`."""
        self.check_process()
        if callback is not None:
            self._state_callbacks.add_and_notify(callback, callback, self._connected)
        return succeed(self._connected)

    # Connections.

    async def _start(self) -> bool:
        return await self._has_session(await self.established())

    async def _rebuild(self, reactor: IReactorTime | None) -> bool:
        return await self._has_session(await self.shielded(self._renew(reactor)))

    async def _renew(self, reactor: IReactorTime | None) -> RegistryConnection:
        await self._end()
        if reactor is not None:
            self._change_reactor(reactor)
        return await self.established()

    async def _has_session(self, connection: RegistryConnection) -> bool:
        return await self.while_reachable(connection, when_connected(connection.mirror), "any request") is not False

    def established(self) -> Deferred[RegistryConnection]:
        """Return the connection; make one if there is none. Cancelling ends the wait, and the connection is made all the same.

        :returns: fails with :exc:`~txmirror.errors.NoConnection` if the registry was stopped.
        """
        return succeed(self.current) if self.current is not None else self.shielded(self._establish())

    async def _establish(self) -> RegistryConnection:
        await self._wait_while_closing()
        if not self.stopped and self.current is None:
            self._open()
        # A state callback may have stopped the registry.
        if self.current is None:
            raise NoConnection("the registry was stopped: it is not connected to ZooKeeper")
        return self.current

    async def _wait_while_closing(self) -> None:
        while self._closing:
            await self._close_waiters.wait()

    def shielded(self, work: Coroutine[Deferred[Any], Any, _T]) -> Deferred[_T]:
        """Run a coroutine that continues when the wait for it is cancelled."""

        def failed(failure: Failure) -> None:
            if not isinstance(failure.value, NoConnection):
                self._log.failure("An operation whose caller no longer waits has failed.", failure=failure)

        return shield(Deferred.fromCoroutine(work), failed)

    def _open(self) -> None:
        mirror = self.options.mirror or Mirror(
            self.options.servers,
            session_timeout=self.options.timeout,
            limits=self.options.limits or _LIMITS,
            random=self.options.random,
            reactor=self.reactor,
        )
        connection = self.current = self.user.connect(mirror, owned=self.options.mirror is None)
        mirror.addStateWatcher(self, lambda _: self._state_changed(mirror.is_connected()))
        self.user.opened(connection)
        if self._former_session is not None:
            ticket, self._former_session = self._former_session, None
            former = Mirror(self.options.servers, session=ticket, random=self.options.random, reactor=self.reactor)
            connection.end_session(former)
        # It fails when a name cannot be resolved; that is logged, and the client retries.
        mirror.connect().addErrback(lambda _: None)
        self._state_changed(mirror.is_connected())

    def _end(self) -> Deferred[None]:
        """Close the connection. Cancelling ends the wait, and the connection is closed all the same."""
        ended = self.shielded(self._close_connection(*self._detach()))
        # The connection is closing now: a state callback that starts again waits until it is closed.
        self._state_changed(connected=False)
        return ended

    def _detach(self) -> tuple[RegistryConnection | None, Sequence[Registration]]:
        """Stop using the connection, and return it for closing, with the registrations to withdraw."""
        connection, self.current = self.current, None
        if connection is None:
            return None, ()
        connection.mirror.delStateWatcher(self)
        return connection, self.user.leave()

    async def _close_connection(
        self, connection: RegistryConnection | None, registrations: Sequence[Registration]
    ) -> None:
        await self._wait_while_closing()
        if connection is not None:
            self._closing = True
            try:
                self._former_session = await connection.close(registrations)
                await self.user.closed()
            finally:
                self._closing = False
                self._close_waiters.fire(None)

    def do(self, work: Coroutine[Deferred[Any], Any, _T]) -> Deferred[_T]:
        """Run a coroutine. If it fails with NoConnection, and nothing needs a connection, stop reconnecting."""

        def failed(failure: Failure) -> Failure:
            if isinstance(failure.value, NoConnection) and not self.user.busy:
                self._end().addErrback(self._close_failed)
            return failure

        return Deferred.fromCoroutine(work).addErrback(failed)

    def _close_failed(self, failure: Failure) -> None:
        self._log.failure("The connection could not be closed.", failure=failure)

    async def while_reachable(
        self, connection: RegistryConnection, awaited: Deferred[_T], what: str, path: str = ""
    ) -> _T | Literal[False]:
        """Wait for a Deferred while ZooKeeper can be reached.

        :param what: names the operation in the log, as in ``the reading of {!r}``.
        :param path: the path in ``what``.
        :returns: the result of the Deferred; False if ZooKeeper is out of reach and the registry is lazy.
        :raises NoConnection: ZooKeeper is out of reach and the registry is not lazy.
        """
        try:
            return await connection.reachability.fail_when_unreachable(awaited)
        except ClosingException as error:
            if connection.mirror.state is not MirrorState.CLOSED:
                raise
            raise NoConnection("the mirror of this registry was closed") from error
        except NoConnection as error:
            if not self.options.lazy or self.stopped:
                raise
            self._log.warn("{reason}: {what} is done when it is back.", reason=str(error), what=what.format(path))
            return False

    # Forks.

    @property
    def _forked(self) -> bool:
        return os.getpid() != self._pid

    def check_process(self) -> None:
        """Check that this process did not fork from that of the registry.

        :raises InvalidStateException: it did.
        """
        if self._forked:
            raise InvalidStateException(
                f"this registry belongs to process {self._pid}, which forked this one: call rebuild() first",
                applied=False,
            )

    def _leave_to_parent(self) -> None:
        """Forget the parent's objects without closing them: the parent shares its socket and its reactor's descriptors."""
        self._inherited += [self.current, self.user.abandon()]
        if self.options.mirror is not None:
            self.options.servers, self.options.mirror = self.options.mirror.connstr(), None
        self.current = None
        self._former_session = None
        self._closing = False
        self._close_waiters = Waiters()
        self._pid = os.getpid()
        self._state_changed(connected=False)

    def _change_reactor(self, reactor: IReactorTime) -> None:
        self.reactor = reactor
        self.user.change_reactor(reactor)

    def _state_changed(self, connected: bool) -> None:
        if connected != self._connected:
            self._connected = connected
            self.user.state_changed(connected)
            self._state_callbacks.notify(connected)


def shield(awaited: Deferred[_T], failed: Callable[[Failure], object]) -> Deferred[_T]:
    """Wait for a Deferred that continues when the wait is cancelled.

    :param failed: called with the failure of one whose wait was cancelled.
    """

    def done(result: _T | Failure) -> None:
        if not waiter.called:
            waiter.callback(result)
        elif isinstance(result, Failure):
            failed(result)

    waiter: Deferred[_T] = Deferred()
    awaited.addBoth(done)
    return waiter


def _new_reactor_like(reactor: IReactorTime) -> IReactorTime:
    kind: Any = type(reactor)
    return IReactorTime(kind())
