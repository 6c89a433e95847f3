"""Several locks together: all or none."""

from __future__ import annotations

from collections.abc import Iterable
from types import TracebackType

from twisted.internet.defer import CancelledError, Deferred, DeferredList
from twisted.internet.interfaces import IReactorTime

from txmirror.durations import check_seconds
from txmirror.recipes.lock import Lock
from txmirror.recipes.semaphore import Semaphore
from txmirror.timers import reactor_or_global


class MultiLock:
    """Locks and semaphores that are held all together, or not at all.

    They are acquired one after another, in the order of their paths and not of ``locks``: so two programs with the same locks
    never wait for each other. If one is lost while others are still being acquired, all are released, and it begins
    again. ::

        async with MultiLock([Lock(client, "/locks/a"), Lock(client, "/locks/b")]) as both:
            both.lost.addCallback(lambda _: work.abort())

    :param locks: the locks, each at a path of its own. Nothing else may acquire or release them meanwhile.
    :param reactor: the reactor; the global one if None.
    :ivar locks: the locks, in the order of their paths.
    :raises ValueError: there are none, or two have the same path.
    :raises TypeError: one is no lock or semaphore.
    """

    def __init__(self, locks: Iterable[Lock | Semaphore], *, reactor: IReactorTime | None = None) -> None:
        found = list(locks)
        for lock in found:
            if not isinstance(lock, (Lock, Semaphore)):
                raise TypeError(f"a MultiLock has locks and semaphores, not {lock!r:.60}")
        self.locks: list[Lock | Semaphore] = sorted(found, key=lambda lock: lock.path)
        if not self.locks:
            raise ValueError("a MultiLock needs at least one lock")
        for one, other in zip(self.locks, self.locks[1:]):  # noqa: B905 - the second is shorter
            if one.path == other.path:
                raise ValueError(f"a MultiLock has two locks at {one.path!r}")
        self._reactor = reactor_or_global(reactor)
        self._work: Deferred[bool] | None = None
        self._acquired = self._cancelled = False

    def __repr__(self) -> str:
        state = (
            "held" if self.held else "lost" if self._acquired else "free" if self._work is None else "being acquired"
        )
        return f"<MultiLock {', '.join(lock.describe() for lock in self.locks)} {state}>"

    @property
    def held(self) -> bool:
        """True if all are held at this moment, and that is safe to rely on."""
        return self._acquired and all(lock.held for lock in self.locks)

    @property
    def tokens(self) -> tuple[int, ...]:
        """The fencing tokens of the locks, in the order of their paths: see :attr:`Lock.token`."""
        return tuple(lock.token for lock in self.locks)

    @property
    def lost(self) -> Deferred[None]:
        """Fires when the first of them is no longer safe to rely on, or at once if they are not held. See :attr:`Lock.lost`."""
        return _first([lock.lost for lock in self.locks])

    def acquire(self, *, wait: float | None = None) -> Deferred[bool]:
        """Acquire all.

        :param wait: the limit for all together, in seconds; None sets no limit. With 0 it does not wait for other contenders.
        :returns: fires with True when all are held; with False when they cannot be had in time, and then those that were held are
            released. Fails as :meth:`Lock.acquire`, likewise. Cancelling gives up, and releases them.
        :raises RuntimeError: they are held, or lost and not released yet, or being acquired already.
        :raises TypeError, ValueError: ``wait`` is not a finite number of seconds from 0, or None.
        """
        check_seconds("the time to wait", wait, optional=True)
        if self._work is not None or self._acquired:
            raise RuntimeError(f"{self!r} is not re-entrant: release it before it is acquired again")
        acquired: Deferred[bool] = Deferred(lambda _: self._cancel())
        self._cancelled = False

        def ended(outcome: object) -> None:
            self._work = None
            acquired.callback(outcome)  # type: ignore[arg-type]  # a failure, too

        self._work = work = Deferred.fromCoroutine(self._acquire(wait))
        work.addBoth(ended)
        return acquired

    def release(self) -> Deferred[None]:
        """Release all, the last first; or stop acquiring them, and then that Deferred fails with ``CancelledError``.

        :returns: fires when none of our nodes can exist any more; fails as :meth:`Lock.release`. Cancelling ends the wait, and
            nothing else.
        """
        self._acquired = False
        if self._work is not None:
            self._cancel()
        releases = [lock.release() for lock in reversed(self.locks)]
        # Only the first failure is reported; each lock has logged its own.
        return DeferredList(releases, consumeErrors=True).addCallback(
            lambda results: next((outcome for done, outcome in results if not done), None)
        )

    def __aenter__(self) -> Deferred[MultiLock]:
        return self.acquire().addCallback(lambda _: self)

    def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> Deferred[None]:
        return self.release()

    def _cancel(self) -> None:
        self._cancelled = True
        if self._work is not None:
            self._work.cancel()

    async def _acquire(self, wait: float | None) -> bool:
        deadline = None if not wait else self._reactor.seconds() + wait
        while True:
            try:
                done = await self._try(wait, deadline)
            except BaseException:
                self._give_up()
                raise
            if done:
                self._acquired = True
                return True
            self._give_up()
            if done is False:
                return False

    async def _try(self, wait: float | None, deadline: float | None) -> bool | None:
        """Acquire one after another.

        :returns: False if the time is over; None if one was lost meanwhile.
        """
        for number, lock in enumerate(self.locks):
            left = wait if deadline is None else max(deadline - self._reactor.seconds(), 0.0)
            acquiring = lock.acquire(wait=left)
            lost = _first([held.lost for held in self.locks[:number]])
            lost.addCallbacks(lambda _, acquiring=acquiring: acquiring.cancel(), lambda _: None)
            try:
                if not await acquiring:
                    return False
            except CancelledError:
                if lost.called and not self._cancelled:
                    return None
                raise
            finally:
                lost.cancel()
        return True if all(lock.held for lock in self.locks) else None

    def _give_up(self) -> None:
        for lock in reversed(self.locks):
            # The next acquisition waits for it, and a failure is logged by the lock.
            lock.release().addErrback(lambda _: None)


def _first(waits: list[Deferred[None]]) -> Deferred[None]:
    """Return a Deferred that fires with the first of some, and then cancels the others. Cancelling it cancels all."""

    def cancel(_: object) -> None:
        for wait in waits:
            wait.cancel()

    first: Deferred[None] = Deferred(cancel)

    def fire(_: object) -> None:
        if not first.called:
            first.callback(None)
            cancel(None)

    for wait in waits:
        wait.addCallbacks(fire, lambda _: None)
    return first
