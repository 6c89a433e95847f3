"""The connections of a registry, one after another, through starts, stops, forks and outages of ZooKeeper."""

from __future__ import annotations

import os
from collections.abc import Callable, Coroutine, Sequence
from typing import Any, Literal, TypeVar

from twisted.application.service import Service
from twisted.internet.defer import Deferred, succeed
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure

from txmirror.client import Limits, parse_servers
from txmirror.durations import check_seconds
from txmirror.errors import ClosingException, InvalidStateException, NoConnection
from txmirror.mirror import Mirror, MirrorState
from txmirror.observers import Observers
from txmirror.registry.connection import RegistryConnection
from txmirror.registry.reachability import when_connected
from txmirror.registry.turns import Turn
from txmirror.types import SessionTicket

_T = TypeVar("_T")

#: A registry recovers within two seconds of ZooKeeper's return, after an outage of any length.
_LIMITS = Limits(longest_pause=1.5)


class Life(Service):
    """The base class of :class:`ServiceRegistry`: it has a :class:`RegistryConnection` between a start and a stop.

    The subclass uses the connection, in the methods that raise ``NotImplementedError`` here.

    :param server: as for :class:`txmirror.client.ZooKeeperClient`.
    :param timeout: the number of seconds without a session after which ZooKeeper is out of reach.
    :param lazy: whether calls succeed while ZooKeeper is out of reach, and are done later.
    :param mirror: the mirror to use; None makes one for each connection.
    :param limits: the limits of the client of such a mirror; None for a client's defaults, with shorter pauses.
    :param reactor: the reactor; the mirror's, or the global one, if None.
    :ivar reactor: the reactor.
    :raises ValueError: an argument is invalid; the message quotes it.
    """

    _log = Logger()

    def __init__(
        self,
        server: str | Sequence[str | tuple[str, int]],
        timeout: float,
        lazy: bool,
        mirror: Mirror | None,
        limits: Limits | None,
        reactor: IReactorTime | None,
    ) -> None:
        check_seconds("timeout", timeout, positive=True)
        parse_servers(server)
        if mirror is not None and reactor not in (None, mirror.reactor):
            raise ValueError(f"the mirror that was passed does not run on {reactor!r}")
        if reactor is None:
            reactor = mirror.reactor if mirror is not None else _global_reactor()
        self.reactor = reactor
        self.timeout = timeout
        self.lazy = lazy
        self._server = server
        self._given_mirror = mirror
        self._limits = _LIMITS if limits is None else limits
        self._pid = os.getpid()
        self._connection: RegistryConnection | None = None
        self._stopped = False
        self._turn = Turn()
        self._former_session: SessionTicket | None = None
        self._inherited: list[object] = []
        self._connected = False
        self._state_callbacks: Observers[bool] = Observers(
            lambda callback, _: self._log.failure("The state callback {callback} failed.", callback=callback)
        )

    # The subclass defines these.

    def _make_helpers(self) -> None:
        """Make the objects that run on the reactor, in place of the former ones."""
        raise NotImplementedError

    def _make_connection(self, mirror: Mirror, *, owned: bool) -> RegistryConnection:
        raise NotImplementedError

    def _restore(self, connection: RegistryConnection) -> None:
        """Restore registrations, pending writes and followed paths on a new connection."""
        raise NotImplementedError

    def _leave(self) -> None:
        """Stop using the connection, which is about to be closed."""
        raise NotImplementedError

    def _closed(self) -> Deferred[None]:
        """Clean up after the connection is closed."""
        raise NotImplementedError

    def _abandon(self) -> object:
        """Forget the objects of the parent process, and return them, so that nothing finalises them."""
        raise NotImplementedError

    @property
    def _busy(self) -> bool:
        """True if a connection is needed."""
        raise NotImplementedError

    # Public methods.

    def start(self) -> Deferred[bool]:
        """Connect to ZooKeeper. See :meth:`~txmirror.interfaces.IServiceRegistry.start`."""
        self._check_process()
        self._stopped = False
        return self._do(self._start())

    def stop(self) -> Deferred[None]:
        """Withdraw registrations and disconnect. See :meth:`~txmirror.interfaces.IServiceRegistry.stop`."""
        self._check_process()
        self._stopped = True
        return self._end()

    def rebuild(self, reactor: IReactorTime | None = None) -> Deferred[bool]:
        """Reconnect with a new session, also after a fork. See :meth:`~txmirror.interfaces.IServiceRegistry.rebuild`.

        :raises ValueError: another reactor is named, and the mirror was passed by the application.
        """
        self._stopped = False
        if self._forked:
            self._leave_to_parent()
            self._change_reactor(_new_reactor_like(self.reactor) if reactor is None else reactor)
            return self._do(self._start())
        if self._given_mirror is not None and reactor not in (None, self.reactor):
            raise ValueError(f"the registry's mirror was passed to it, and does not run on {reactor!r}")
        return self._do(self._rebuild(reactor))

    def startService(self) -> None:
        """Start. If ZooKeeper is out of reach, log a warning."""
        super().startService()
        self.start().addErrback(lambda failure: self._log.warn("{reason}.", reason=failure.getErrorMessage()))

    def stopService(self) -> Deferred[None]:
        """Stop."""
        super().stopService()
        return self.stop()

    def get_state(self, callback: Callable[[bool], object] | None = None) -> Deferred[bool]:
        """Return whether there is a session. See :meth:`~txmirror.interfaces.IServiceRegistry.get_state`."""
        self._check_process()
        if callback is not None:
            self._state_callbacks.add_and_notify(callback, callback, self._connected)
        return succeed(self._connected)

    # Connections.

    async def _start(self) -> bool:
        return await self._has_session(await self._established())

    async def _rebuild(self, reactor: IReactorTime | None) -> bool:
        return await self._has_session(await self._shielded(self._renew(reactor)))

    async def _renew(self, reactor: IReactorTime | None) -> RegistryConnection:
        await self._end()
        if reactor is not None:
            self._change_reactor(reactor)
        return await self._established()

    async def _has_session(self, connection: RegistryConnection) -> bool:
        return await self._while_reachable(connection, when_connected(connection.mirror), "any request") is not False

    def _established(self) -> Deferred[RegistryConnection]:
        """Return the connection; make one if there is none. Cancelling ends the wait, and the connection is made all the same.

        :returns: fails with :exc:`~txmirror.errors.NoConnection` if the registry was stopped.
        """
        return succeed(self._connection) if self._connection is not None else self._shielded(self._establish())

    async def _establish(self) -> RegistryConnection:
        # The former connection may still be closing.
        async with self._turn:
            if not self._stopped and self._connection is None:
                self._open()
            # A state callback may have stopped the registry.
            connection = self._connection
        if connection is None or connection is not self._connection:
            raise NoConnection("the registry was stopped: it is not connected to ZooKeeper")
        return connection

    def _shielded(self, work: Coroutine[Deferred[Any], Any, _T]) -> Deferred[_T]:
        """Run a coroutine that continues when the wait for it is cancelled."""

        def failed(failure: Failure) -> None:
            if not failure.check(NoConnection):
                self._log.failure("An operation whose caller no longer waits has failed.", failure=failure)

        return shield(Deferred.fromCoroutine(work), failed)

    def _open(self) -> None:
        mirror = self._given_mirror or Mirror(
            self._server, session_timeout=self.timeout, limits=self._limits, reactor=self.reactor
        )
        connection = self._connection = self._make_connection(mirror, owned=self._given_mirror is None)
        mirror.addStateWatcher(self, lambda _: self._state_changed(mirror.is_connected()))
        self._restore(connection)
        if self._former_session is not None:
            ticket, self._former_session = self._former_session, None
            connection.end_session(Mirror(self._server, session=ticket, reactor=self.reactor))
        # It fails when a name cannot be resolved; that is logged, and the client retries.
        mirror.connect().addErrback(lambda _: None)
        self._state_changed(mirror.is_connected())

    def _end(self) -> Deferred[None]:
        """Close the connection. Cancelling ends the wait, and the connection is closed all the same."""
        ended = self._shielded(self._close_connection(self._detach()))
        # The connection is closing now: a state callback that starts again waits until it is closed.
        self._state_changed(connected=False)
        return ended

    def _detach(self) -> RegistryConnection | None:
        """Stop using the connection, and return it for closing."""
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.mirror.delStateWatcher(self)
            self._leave()
        return connection

    async def _close_connection(self, connection: RegistryConnection | None) -> None:
        async with self._turn:
            if connection is not None:
                self._former_session = await connection.close()
                await self._closed()

    def _do(self, work: Coroutine[Deferred[Any], Any, _T]) -> Deferred[_T]:
        """Run a coroutine. If it fails with NoConnection, and nothing needs a connection, stop reconnecting."""

        def failed(failure: Failure) -> Failure:
            if isinstance(failure.value, NoConnection) and not self._busy:
                self._end().addErrback(self._close_failed)
            return failure

        return Deferred.fromCoroutine(work).addErrback(failed)

    def _close_failed(self, failure: Failure) -> None:
        self._log.failure("The connection could not be closed.", failure=failure)

    async def _while_reachable(
        self, connection: RegistryConnection, awaited: Deferred[_T], what: str
    ) -> _T | Literal[False]:
        """Wait for a Deferred while ZooKeeper can be reached.

        :param what: names the operation in the log, as in "the reading of '/services'".
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
            if not self.lazy or self._stopped:
                raise
            self._log.warn("{reason}: {what} is done when it is back.", reason=str(error), what=what)
            return False

    # Forks.

    @property
    def _forked(self) -> bool:
        return os.getpid() != self._pid

    def _check_process(self) -> None:
        if self._forked:
            raise InvalidStateException(
                f"this registry belongs to process {self._pid}, which forked this one: call rebuild() first",
                applied=False,
            )

    def _leave_to_parent(self) -> None:
        """Forget the parent's objects without closing them: the parent shares its socket and its reactor's descriptors."""
        self._inherited += [self._connection, self._abandon()]
        if self._given_mirror is not None:
            self._server, self._given_mirror = self._given_mirror.connstr(), None
        self._connection = None
        self._former_session = None
        self._turn = Turn()
        self._pid = os.getpid()
        self._state_changed(connected=False)

    def _change_reactor(self, reactor: IReactorTime) -> None:
        self.reactor = reactor
        self._make_helpers()

    def _state_changed(self, connected: bool) -> None:
        if connected != self._connected:
            self._connected = connected
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


def _global_reactor() -> IReactorTime:
    from twisted.internet import reactor

    return IReactorTime(reactor)
