"""Locks, semaphores and elections, for asyncio."""

from __future__ import annotations

import asyncio
import contextvars
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import Final, TypeVar

from twisted.internet.defer import CancelledError, Deferred
from twisted.python.failure import Failure

from txmirror import recipes as deferring
from txmirror.aio.calls import Call
from txmirror.aio.client import ZooKeeperClient
from txmirror.aio.mirror import Mirror
from txmirror.aio.running import current_reactor
from txmirror.aio.wrapping import Wrapper, at_exit, awaitable
from txmirror.recipes.acquirable import Acquirable as _Acquirable
from txmirror.types import ACL

_T = TypeVar("_T")
_AcquirableT = TypeVar("_AcquirableT", bound="Acquirable[_Acquirable]")
_MultiLockT = TypeVar("_MultiLockT", bound="MultiLock")
_WrappedT_co = TypeVar("_WrappedT_co", bound=_Acquirable, covariant=True)


class Acquirable(Wrapper[_WrappedT_co]):
    """The methods of locks and semaphores."""

    @property
    def path(self) -> str:
        """The node of the lock."""
        return self.wrapped.path

    @property
    def name(self) -> str:
        """Our name, which others see."""
        return self.wrapped.name

    @property
    def acl(self) -> Sequence[ACL]:
        """The access control list of the nodes that are created from now on. It may be set."""
        return self.wrapped.acl

    @acl.setter
    def acl(self, acl: Sequence[ACL]) -> None:
        self.wrapped.acl = acl

    @property
    def held(self) -> bool:
        """True if it is held at this moment, and that is safe to rely on."""
        return self.wrapped.held

    @property
    def lost(self) -> Call[None]:
        """Wait until the lock is no longer safe to rely on. See :attr:`txmirror.recipes.Lock.lost`."""
        loop = self._check_loop()
        return Call(self.wrapped.lost, loop)

    @property
    def revocation(self) -> Call[None]:
        """Wait until another program asks us to give it up. See :attr:`txmirror.recipes.Lock.revocation`."""
        loop = self._check_loop()
        return Call(self.wrapped.revocation, loop)

    @property
    def token(self) -> int:
        """The fencing token of the lock. See :attr:`txmirror.recipes.Lock.token`."""
        return self.wrapped.token

    def acquire(self, *, wait: float | None = None) -> Call[bool]:
        """Join the queue, and wait until it is held. See :meth:`txmirror.recipes.Lock.acquire`.

        Cancelling gives up, and our node is deleted: also when the lock is acquired in that very moment.
        """
        loop = self._check_loop()
        return Call(self.wrapped.acquire(wait=wait), loop, self._give_back)

    release: Final = awaitable(_Acquirable.release)

    async def __aenter__(self: _AcquirableT) -> _AcquirableT:
        await self.acquire()
        return self

    __aexit__: Final = at_exit(_Acquirable.release)

    def _give_back(self, acquired: bool) -> None:
        if acquired:
            # A failure is logged by the lock.
            self.wrapped.release().addErrback(lambda _: None)


class Lock(Acquirable[deferring.Lock]):
    """:class:`txmirror.recipes.Lock` for asyncio: the same parameters, but for the reactor, and the same methods.

    :param client: a client or mirror for asyncio.
    :raises RuntimeError: as for :class:`~txmirror.aio.Wrapper`.
    """

    _kind = deferring.Lock

    def __init__(
        self,
        client: ZooKeeperClient | Mirror,
        path: str,
        *,
        name: str = "",
        acl: Sequence[ACL] | None = None,
        style: str = "kazoo",
        extra_lock_patterns: Sequence[str] = (),
    ) -> None:
        lock = self._kind(
            client.wrapped,
            path,
            name=name,
            acl=acl,
            style=style,
            extra_lock_patterns=extra_lock_patterns,
            reactor=current_reactor(),
        )
        super().__init__(lock)

    contenders: Final = awaitable(deferring.Lock.contenders)
    revoke: Final = awaitable(deferring.Lock.revoke)


class WriteLock(Lock):
    """:class:`txmirror.recipes.WriteLock` for asyncio, as ``Lock``."""

    _kind = deferring.WriteLock


class ReadLock(Lock):
    """:class:`txmirror.recipes.ReadLock` for asyncio, as ``Lock``."""

    _kind = deferring.ReadLock


class Semaphore(Acquirable[deferring.Semaphore]):
    """:class:`txmirror.recipes.Semaphore` for asyncio: the same parameters, but for the reactor, and the same methods.

    :param client: as for ``Lock``.
    :raises RuntimeError: as for :class:`~txmirror.aio.Wrapper`.
    """

    def __init__(
        self,
        client: ZooKeeperClient | Mirror,
        path: str,
        *,
        leases: int = 1,
        name: str = "",
        acl: Sequence[ACL] | None = None,
    ) -> None:
        super().__init__(
            deferring.Semaphore(client.wrapped, path, leases=leases, name=name, acl=acl, reactor=current_reactor())
        )

    @property
    def leases(self) -> int:
        """The number of leases."""
        return self.wrapped.leases

    contenders: Final = awaitable(deferring.Semaphore.contenders)
    holders: Final = awaitable(deferring.Semaphore.holders)


class MultiLock(Wrapper[deferring.MultiLock]):
    """:class:`txmirror.recipes.MultiLock` for asyncio: the same parameters, but for the reactor, and the same methods.

    :param locks: locks and semaphores for asyncio.
    :raises RuntimeError: as for :class:`~txmirror.aio.Wrapper`.
    """

    def __init__(self, locks: Iterable[Lock | Semaphore]) -> None:
        super().__init__(deferring.MultiLock([lock.wrapped for lock in locks], reactor=current_reactor()))

    @property
    def locks(self) -> list[deferring.Lock | deferring.Semaphore]:
        """The locks for Twisted, in the order of their paths."""
        return self.wrapped.locks

    @property
    def held(self) -> bool:
        """True if all are held at this moment, and that is safe to rely on."""
        return self.wrapped.held

    @property
    def tokens(self) -> tuple[int, ...]:
        """The fencing tokens of the locks, in the order of their paths."""
        return self.wrapped.tokens

    @property
    def lost(self) -> Call[None]:
        """Wait until the first of them is no longer safe to rely on. See :attr:`txmirror.recipes.MultiLock.lost`."""
        loop = self._check_loop()
        return Call(self.wrapped.lost, loop)

    def acquire(self, *, wait: float | None = None) -> Call[bool]:
        """Acquire all. See :meth:`txmirror.recipes.MultiLock.acquire`.

        Cancelling gives up, and releases them: also when they are acquired in that very moment.
        """
        loop = self._check_loop()
        return Call(self.wrapped.acquire(wait=wait), loop, self._give_back)

    release: Final = awaitable(deferring.MultiLock.release)

    async def __aenter__(self: _MultiLockT) -> _MultiLockT:
        await self.acquire()
        return self

    __aexit__: Final = at_exit(deferring.MultiLock.release)

    def _give_back(self, acquired: bool) -> None:
        if acquired:
            # A failure is logged by the lock.
            self.wrapped.release().addErrback(lambda _: None)


class Leadership:
    """:class:`txmirror.recipes.Leadership` for asyncio.

    :param wrapped: the object for Twisted.
    :param loop: the running event loop.
    """

    def __init__(self, wrapped: deferring.Leadership, loop: asyncio.AbstractEventLoop) -> None:
        self._wrapped = wrapped
        self._loop = loop

    def __bool__(self) -> bool:
        return bool(self._wrapped)

    def __aiter__(self) -> LeadershipChanges:
        """Stand for election. See :class:`txmirror.recipes.Leadership`."""
        return LeadershipChanges(self._wrapped, self._loop)


class LeadershipChanges:
    """One iteration over the changes.

    :param leadership: the object for Twisted.
    :param loop: the running event loop.
    """

    def __init__(self, leadership: deferring.Leadership, loop: asyncio.AbstractEventLoop) -> None:
        self._changes = leadership.__aiter__()
        self._loop = loop

    def __aiter__(self) -> LeadershipChanges:
        return self

    def __anext__(self) -> Call[bool]:
        return Call(self._changes.__anext__(), self._loop)


class Election(Wrapper[deferring.Election]):
    """:class:`txmirror.recipes.Election` for asyncio: the same parameters, but for the reactor, and the same methods.

    :param client: as for ``Lock``.
    :raises RuntimeError: as for :class:`~txmirror.aio.Wrapper`.
    """

    def __init__(
        self,
        client: ZooKeeperClient | Mirror,
        path: str,
        *,
        name: str = "",
        acl: Sequence[ACL] | None = None,
        style: str = "kazoo",
        extra_lock_patterns: Sequence[str] = (),
    ) -> None:
        election = deferring.Election(
            client.wrapped,
            path,
            name=name,
            acl=acl,
            style=style,
            extra_lock_patterns=extra_lock_patterns,
            reactor=current_reactor(),
        )
        super().__init__(election)

    @property
    def leading(self) -> Leadership:
        """True while we lead, and that is safe to rely on; and an asynchronous iterable of the changes."""
        return Leadership(self.wrapped.leading, self._check_loop())

    @property
    def token(self) -> int:
        """The fencing token of our term. See :attr:`txmirror.recipes.Lock.token`. 0 if there is none."""
        return self.wrapped.token

    def run(self, job: Callable[[], Awaitable[_T]]) -> Call[_T]:
        """Stand for election, and run ``job`` whenever we are elected, until it ends by itself.

        The job runs as a task, in the context of this call. When leadership is lost, the task is cancelled; when that has
        ended, we stand for election again. Otherwise as :meth:`txmirror.recipes.Election.run`: after :meth:`stop` it fails
        with Twisted's ``CancelledError``.

        :param job: called without arguments; returns a coroutine, or another awaitable.
        :raises RuntimeError: it stands for election already.
        """
        if not callable(job):
            raise TypeError(f"only a function can lead, not {job!r:.60}")
        loop = self._check_loop()
        context = contextvars.copy_context()
        return Call(self.wrapped.run(lambda: context.run(begin_task, job)), loop)

    stop: Final = awaitable(deferring.Election.stop)
    contenders: Final = awaitable(deferring.Election.contenders)


def begin_task(function: Callable[[], Awaitable[_T]]) -> Deferred[_T]:
    """Run a function as a task. Cancelling the Deferred cancels the task, and waits for its end."""
    return Deferred.fromFuture(asyncio.ensure_future(function())).addErrback(_cancelled)


def _cancelled(failure: Failure) -> Failure:
    # asyncio's CancelledError is no Exception, and would cancel the task that awaits the Deferred.
    return Failure(CancelledError()) if failure.check(asyncio.CancelledError) else failure
