"""A registry's life: from one connection to the next, through starts, stops, forks, and ZooKeeper being out of reach."""

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
from txmirror.errors import ClosingException, InvalidStateException, NoConnection
from txmirror.mirror import Mirror, MirrorState
from txmirror.observers import Observers
from txmirror.registry.link import Link
from txmirror.registry.reach import when_connected
from txmirror.registry.turns import Turn
from txmirror.types import SessionTicket

_T = TypeVar("_T")

#: Within two seconds of ZooKeeper's return all is to be as it should be, however long it was away.
_LIMITS = Limits(longest_pause=1.5)


class Life(Service):
    """What :class:`ServiceRegistry` is, apart from what it is for: it has a :class:`Link` between a start and a stop.

    What is done with one is the subclass's to say, by the methods that raise ``NotImplementedError`` here.

    :param server: as for :class:`txmirror.client.ZooKeeperClient`.
    :param timeout: after how many seconds without a session ZooKeeper is out of reach.
    :param lazy: whether calls go on then.
    :param mirror: the mirror to use; None makes one for each link.
    :param limits: the bounds of the client of such a mirror; None for those of a client, with shorter pauses.
    :param reactor: the reactor; the mirror's, or the global one, if None.
    :ivar reactor: what it runs on.
    :raises ValueError: an argument will not do; the message quotes it.
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
        if type(timeout) not in (int, float) or not 0 < timeout < float("inf"):
            raise ValueError(f"timeout is {timeout!r}: not a number of seconds above 0")
        parse_servers(server)
        if mirror is not None and reactor not in (None, mirror.reactor):
            raise ValueError(f"the mirror that is given does not run on {reactor!r}")
        if reactor is None:
            reactor = mirror.reactor if mirror is not None else _global_reactor()
        self.reactor = reactor
        self.timeout = timeout
        self.lazy = lazy
        self._server = server
        self._given = mirror
        self._limits = _LIMITS if limits is None else limits
        self._pid = os.getpid()
        self._link: Link | None = None
        self._stopped = False
        self._turn = Turn()
        self._former: SessionTicket | None = None
        self._inherited: list[object] = []
        self._connected = False
        self._state_callbacks: Observers[bool] = Observers(
            lambda callback, _: self._log.failure("The state callback {callback} failed.", callback=callback)
        )

    # What a subclass says.

    def _make_helpers(self) -> None:
        """Make what runs on the reactor, in place of what there was."""
        raise NotImplementedError

    def _make_link(self, mirror: Mirror, *, owned: bool) -> Link:
        raise NotImplementedError

    def _take_up(self, link: Link) -> None:
        """Do over a new link what is wanted."""
        raise NotImplementedError

    def _leave(self) -> None:
        """Use the link no more: it is about to be closed."""
        raise NotImplementedError

    def _closed(self) -> Deferred[None]:
        """The link is closed."""
        raise NotImplementedError

    def _abandon(self) -> object:
        """Forget what belongs to the process that forked this one, and give it, to be kept as it is."""
        raise NotImplementedError

    @property
    def _busy(self) -> bool:
        """Whether there is something to be done over a link."""
        raise NotImplementedError

    # What programs use.

    def start(self) -> Deferred[bool]:
        """See :meth:`~txmirror.interfaces.IServiceRegistry.start`."""
        self._check_process()
        self._stopped = False
        return self._do(self._start())

    def stop(self) -> Deferred[None]:
        """See :meth:`~txmirror.interfaces.IServiceRegistry.stop`."""
        self._check_process()
        self._stopped = True
        return self._end()

    def rebuild(self, reactor: IReactorTime | None = None) -> Deferred[bool]:
        """See :meth:`~txmirror.interfaces.IServiceRegistry.rebuild`.

        :raises ValueError: another reactor is named, and the mirror was given.
        """
        self._stopped = False
        if self._forked:
            self._leave_to_parent()
            self._change_reactor(_another_like(self.reactor) if reactor is None else reactor)
            return self._do(self._start())
        if self._given is not None and reactor not in (None, self.reactor):
            raise ValueError(f"the registry's mirror was given, and does not run on {reactor!r}")
        return self._do(self._rebuild(reactor))

    def startService(self) -> None:
        """Start. If ZooKeeper is out of reach, that is only logged."""
        super().startService()
        self.start().addErrback(lambda failure: self._log.warn("{reason}.", reason=failure.getErrorMessage()))

    def stopService(self) -> Deferred[None]:
        """Stop."""
        super().stopService()
        return self.stop()

    def get_state(self, callback: Callable[[bool], object] | None = None) -> Deferred[bool]:
        """See :meth:`~txmirror.interfaces.IServiceRegistry.get_state`."""
        self._check_process()
        if callback is not None:
            self._state_callbacks.add_and_notify(callback, callback, self._connected)
        return succeed(self._connected)

    # How it is done.

    async def _start(self) -> bool:
        return await self._has_session(await self._standing())

    async def _rebuild(self, reactor: IReactorTime | None) -> bool:
        return await self._has_session(await self._shielded(self._renew(reactor)))

    async def _renew(self, reactor: IReactorTime | None) -> Link:
        await self._end()
        if reactor is not None:
            self._change_reactor(reactor)
        return await self._standing()

    async def _has_session(self, link: Link) -> bool:
        return await self._reached(link, when_connected(link.mirror), "what is asked of it") is not False

    def _standing(self) -> Deferred[Link]:
        """Give the connection; make it, if there is none, even if the wait is cancelled.

        :returns: fails with :exc:`~txmirror.errors.NoConnection` if the registry was stopped.
        """
        return succeed(self._link) if self._link is not None else self._shielded(self._stand())

    async def _stand(self) -> Link:
        # The last one may still be closing.
        async with self._turn:
            if not self._stopped and self._link is None:
                self._open()
            # Those who were told of it may have stopped it.
            link = self._link
        if link is None or link is not self._link:
            raise NoConnection("the registry was stopped: it is not connected to ZooKeeper")
        return link

    def _shielded(self, work: Coroutine[Deferred[Any], Any, _T]) -> Deferred[_T]:
        """Do something that goes on when the wait for it is cancelled."""

        def done(result: _T | Failure) -> None:
            if not waiter.called:
                waiter.callback(result)
            elif isinstance(result, Failure) and not result.check(NoConnection):
                self._log.failure("What nobody waits for any more has failed.", failure=result)

        waiter: Deferred[_T] = Deferred()
        Deferred.fromCoroutine(work).addBoth(done)
        return waiter

    def _open(self) -> None:
        mirror = self._given or Mirror(
            self._server, session_timeout=self.timeout, limits=self._limits, reactor=self.reactor
        )
        link = self._link = self._make_link(mirror, owned=self._given is None)
        mirror.addStateWatcher(self, lambda _: self._state_changed(mirror.is_connected()))
        self._take_up(link)
        if self._former is not None:
            ticket, self._former = self._former, None
            link.end_session(Mirror(self._server, session=ticket, reactor=self.reactor))
        # It fails when a name cannot be resolved; attempts go on, and the log has it.
        mirror.connect().addErrback(lambda _: None)
        self._state_changed(mirror.is_connected())

    def _end(self) -> Deferred[None]:
        """Use the connection no more, and close it, even if the wait is cancelled."""
        ended = self._shielded(self._shut(self._detach()))
        # It closes by now: whoever begins anew on being told waits until it is closed.
        self._state_changed(connected=False)
        return ended

    def _detach(self) -> Link | None:
        """Use the connection no more, and give it, to be closed."""
        link, self._link = self._link, None
        if link is not None:
            link.mirror.delStateWatcher(self)
            self._leave()
        return link

    async def _shut(self, link: Link | None) -> None:
        async with self._turn:
            if link is not None:
                self._former = await link.close()
                await self._closed()

    def _do(self, work: Coroutine[Deferred[Any], Any, _T]) -> Deferred[_T]:
        """Do something; where ZooKeeper is out of reach, and nothing was kept that needs it, try no more."""

        def failed(failure: Failure) -> Failure:
            if isinstance(failure.value, NoConnection) and not self._busy:
                self._end().addErrback(self._not_shut)
            return failure

        return Deferred.fromCoroutine(work).addErrback(failed)

    def _not_shut(self, failure: Failure) -> None:
        self._log.failure("The connection could not be closed.", failure=failure)

    async def _reached(self, link: Link, awaited: Deferred[_T], what: str) -> _T | Literal[False]:
        """Wait for something as long as ZooKeeper can be reached.

        :param what: what is done later, then; for the log.
        :returns: what it fires with; False if ZooKeeper is out of reach and that may be.
        :raises NoConnection: it is, and may not be.
        """
        try:
            return await link.reach.within(awaited)
        except ClosingException as error:
            if link.mirror.state is not MirrorState.CLOSED:
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
        """Forget what the parent has, without touching it: its socket, and what its reactor waits with, are shared."""
        self._inherited += [self._link, self._abandon()]
        if self._given is not None:
            self._server, self._given = self._given.connstr(), None
        self._link = None
        self._former = None
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


def _another_like(reactor: IReactorTime) -> IReactorTime:
    kind: Any = type(reactor)
    return IReactorTime(kind())


def _global_reactor() -> IReactorTime:
    from twisted.internet import reactor

    return IReactorTime(reactor)
