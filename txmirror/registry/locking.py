"""The locks that a registry gives: semaphores with a limit on the wait."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from types import TracebackType

from twisted.internet.defer import CancelledError, Deferred, succeed
from twisted.internet.interfaces import IReactorTime
from twisted.python.failure import Failure
from zope.interface import implementer

from txmirror.errors import ZooKeeperException
from txmirror.interfaces import IRegistryLock, IZooKeeperClient
from txmirror.recipes import Semaphore
from txmirror.types import ACL, OPEN_ACL


@implementer(IRegistryLock)
class RegistryLock:
    """A place among those who may hold a path at once: a :class:`~txmirror.recipes.Semaphore` that waits only so long.

    :param client: whose session holds it.
    :param path: the path.
    :param name: who wants it, for those who look.
    :param simultaneous: how many may hold it at once.
    :param wait: for how many seconds :meth:`acquire` waits; it may be set to something else.
    :param acl: returns the access control list of the nodes that :meth:`acquire` makes; None opens them to everybody.
    :param clock: the reactor.
    :ivar released: whether it was released, and not wanted since.
    :raises ValueError: ``path``, ``simultaneous`` or ``wait`` will not do; the message quotes it.
    """

    def __init__(
        self,
        client: IZooKeeperClient,
        path: str,
        name: str,
        simultaneous: int,
        wait: float,
        acl: Callable[[], Sequence[ACL] | None],
        clock: IReactorTime,
    ) -> None:
        if not wait >= 0:
            raise ValueError(f"wait is {wait!r}: not a number of seconds from 0")
        self.path = path
        self.simultaneous = simultaneous
        self.wait = wait
        self.released = False
        self._acl = acl
        self._attempt: Deferred[bool] | None = None
        self._waiting: list[Deferred[bool]] = []
        self._semaphore = Semaphore(client, path, leases=simultaneous, name=name, reactor=clock)

    def __repr__(self) -> str:
        return f"<RegistryLock {self.path!r} {'held' if self.held else 'not held'}>"

    @property
    def held(self) -> bool:
        """Whether it is held, and may be relied upon at this moment."""
        return self._semaphore.held

    @property
    def in_use(self) -> bool:
        """Whether it is held, or waited for, or was lost and not released."""
        return self._attempt is not None or self._semaphore.token != 0

    @property
    def lost(self) -> Deferred[None]:
        """See :attr:`~txmirror.interfaces.IRegistryLock.lost`."""
        return self._semaphore.lost

    @property
    def token(self) -> int:
        """See :attr:`~txmirror.interfaces.IRegistryLock.token`."""
        return self._semaphore.token

    def acquire(self) -> Deferred[bool]:
        """See :meth:`~txmirror.interfaces.IRegistryLock.acquire`. Those who wait at the same time wait together.

        :raises RuntimeError: it was lost, and not released.
        """
        if self.held:
            return succeed(True)
        if self._attempt is None:
            # The registry may go by another name by now.
            acl = self._acl()
            self._semaphore.acl = OPEN_ACL if acl is None else acl
            self._attempt = self._semaphore.acquire(wait=self.wait)
            self.released = False
        waiter: Deferred[bool] = Deferred(self._give_up)
        self._waiting.append(waiter)
        if len(self._waiting) == 1:
            self._attempt.addBoth(self._attempted)
        return waiter

    def _give_up(self, waiter: Deferred[bool]) -> None:
        if waiter in self._waiting:
            self._waiting.remove(waiter)
            if not self._waiting and self._attempt is not None:
                self._attempt.cancel()

    def _attempted(self, result: bool | Failure) -> None:
        self._attempt = None
        waiting, self._waiting = self._waiting, []
        if isinstance(result, Failure) and isinstance(result.value, CancelledError):
            # Those who still wait have not cancelled it: it was released.
            result = False
        for waiter in waiting:
            # An earlier one may have given up for it.
            if not waiter.called:
                waiter.callback(result)

    def release(self) -> Deferred[bool]:
        """See :meth:`~txmirror.interfaces.IRegistryLock.release`."""
        self.released = True
        return self._semaphore.release().addCallbacks(lambda _: True, _not_released)

    def __aenter__(self) -> Deferred[bool]:
        return self.acquire()

    def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> Deferred[None]:
        return self.release().addCallback(lambda _: None)


def _not_released(failure: Failure) -> bool:
    # It was logged, and the session's end lets others in.
    if not isinstance(failure.value, ZooKeeperException):
        failure.raiseException()
    return False
