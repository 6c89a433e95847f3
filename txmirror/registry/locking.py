"""The locks that a registry gives: semaphores with a limit on the wait."""

from __future__ import annotations

from types import TracebackType
from typing import TypeVar

from twisted.internet.defer import Deferred, succeed
from twisted.internet.interfaces import IReactorTime
from zope.interface import implementer

from txmirror.interfaces import IRegistryLock, IZooKeeperClient
from txmirror.recipes import Semaphore

_T = TypeVar("_T")


@implementer(IRegistryLock)
class RegistryLock:
    """A place among those who may hold a path at once: a :class:`~txmirror.recipes.Semaphore` that waits only so long.

    :param client: whose session holds it.
    :param path: the path.
    :param name: who wants it, for those who look.
    :param simultaneous: how many may hold it at once.
    :param wait: for how many seconds :meth:`acquire` waits; it may be set to something else.
    :param clock: the reactor.
    :ivar released: whether it was released, and not wanted since.
    :raises ValueError: ``path``, ``simultaneous`` or ``wait`` will not do; the message quotes it.
    """

    def __init__(
        self, client: IZooKeeperClient, path: str, name: str, simultaneous: int, wait: float, clock: IReactorTime
    ) -> None:
        if not wait >= 0:
            raise ValueError(f"wait is {wait!r}: not a number of seconds from 0")
        self.path = path
        self.simultaneous = simultaneous
        self.wait = wait
        self.released = False
        self._acquiring = False
        self._semaphore = Semaphore(client, path, leases=simultaneous, name=name, clock=clock)

    def __repr__(self) -> str:
        return f"<RegistryLock {self.path!r} {'held' if self.held else 'not held'}>"

    @property
    def held(self) -> bool:
        """Whether it is held, and may be relied upon at this moment."""
        return self._semaphore.held

    @property
    def in_use(self) -> bool:
        """Whether it is held, or waited for, or was lost and not released."""
        return self._acquiring or self._semaphore.token != 0

    @property
    def lost(self) -> Deferred[None]:
        """See :attr:`~txmirror.interfaces.IRegistryLock.lost`."""
        return self._semaphore.lost

    @property
    def token(self) -> int:
        """See :attr:`~txmirror.interfaces.IRegistryLock.token`."""
        return self._semaphore.token

    def acquire(self) -> Deferred[bool]:
        """See :meth:`~txmirror.interfaces.IRegistryLock.acquire`.

        :raises RuntimeError: it is waited for already, or was lost and not released.
        """
        if self.held:
            return succeed(True)
        acquired = self._semaphore.acquire(wait=self.wait)
        self._acquiring = True
        self.released = False

        def done(result: _T) -> _T:
            self._acquiring = False
            return result

        return acquired.addBoth(done)

    def release(self) -> Deferred[bool]:
        """See :meth:`~txmirror.interfaces.IRegistryLock.release`."""
        self.released = True
        return self._semaphore.release().addCallback(lambda _: True)

    def __aenter__(self) -> Deferred[bool]:
        return self.acquire()

    def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> Deferred[None]:
        return self.release().addCallback(lambda _: None)
