"""The locks of a registry: semaphores with a timeout for acquiring."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from types import TracebackType

from twisted.internet.defer import CancelledError, Deferred, succeed
from twisted.internet.interfaces import IReactorTime
from twisted.python.failure import Failure
from zope.interface import implementer

from txmirror.deferreds import Waiters
from txmirror.durations import check_seconds
from txmirror.errors import ZooKeeperException
from txmirror.interfaces import IRegistryLock, IZooKeeperClient
from txmirror.recipes import Semaphore
from txmirror.types import ACL, OPEN_ACL


@implementer(IRegistryLock)
class RegistryLock:
    """A lock that ``simultaneous`` holders may have at once: a :class:`~txmirror.recipes.Semaphore` with a timeout.

    :param client: the client; its session holds the lock.
    :param path: the path.
    :param name: the holder's name, stored in its node for other processes to read.
    :param simultaneous: the number of holders at once.
    :param wait: the timeout of :meth:`acquire`, in seconds; the attribute may be set.
    :param acl: returns the access control list of the nodes that :meth:`acquire` makes; None opens them to everybody.
    :param reactor: the reactor.
    :ivar released: whether it was released, and not acquired since.
    :raises ValueError: ``path``, ``simultaneous`` or ``wait`` is invalid; the message quotes it.
    """

    def __init__(
        self,
        client: IZooKeeperClient,
        path: str,
        name: str,
        simultaneous: int,
        wait: float,
        acl: Callable[[], Sequence[ACL] | None],
        reactor: IReactorTime,
    ) -> None:
        check_seconds("wait", wait)
        self.path = path
        self.simultaneous = simultaneous
        self.wait = wait
        self.released: bool = False
        self._acl = acl
        self._attempt: Deferred[bool] | None = None
        self._waiting: Waiters[bool] = Waiters()
        self._semaphore = Semaphore(client, path, leases=simultaneous, name=name, reactor=reactor)

    def __repr__(self) -> str:
        return f"<RegistryLock {self.path!r} {'held' if self.held else 'not held'}>"

    @property
    def held(self) -> bool:
        """True if the lock is held, and its lease has not expired."""
        return self._semaphore.held

    @property
    def in_use(self) -> bool:
        """True if the lock is held or being acquired, or was lost and not released."""
        return self._attempt is not None or self._semaphore.token != 0

    @property
    def lost(self) -> Deferred[None]:
        """A Deferred that fires when the lock is lost. See :attr:`~txmirror.interfaces.IRegistryLock.lost`."""
        return self._semaphore.lost

    @property
    def token(self) -> int:
        """The fencing token. See :attr:`~txmirror.interfaces.IRegistryLock.token`."""
        return self._semaphore.token

    def acquire(self) -> Deferred[bool]:
        """Acquire the lock. Concurrent calls share one attempt. See :meth:`~txmirror.interfaces.IRegistryLock.acquire`.

        :raises RuntimeError: the lock was lost, and not released.
        """
        if self.held:
            return succeed(True)
        if self._attempt is None:
            # The registry's user may have changed since the last attempt.
            acl = self._acl()
            self._semaphore.acl = OPEN_ACL if acl is None else acl
            self._attempt = self._semaphore.acquire(wait=self.wait)
            self.released = False
        waiter = self._waiting.wait()
        waiter.addErrback(self._failed_or_cancelled)
        if len(self._waiting) == 1:
            self._attempt.addCallbacks(self._attempted, self._attempt_failed)
        return waiter

    def _failed_or_cancelled(self, failure: Failure) -> Failure:
        if not self._waiting and self._attempt is not None:
            self._attempt.cancel()
        return failure

    def _attempted(self, acquired: bool) -> None:
        self._attempt = None
        self._waiting.fire(acquired)

    def _attempt_failed(self, failure: Failure) -> None:
        error = failure.value
        assert error is not None
        if isinstance(error, CancelledError):
            # No waiter has cancelled the attempt: it was released.
            self._attempted(False)
        else:
            self._attempt = None
            self._waiting.fail(lambda: error)

    def release(self) -> Deferred[bool]:
        """Release the lock. See :meth:`~txmirror.interfaces.IRegistryLock.release`."""
        self.released = True
        return self._semaphore.release().addCallbacks(lambda _: True, _not_released)

    def __aenter__(self) -> Deferred[bool]:
        return self.acquire()

    def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> Deferred[None]:
        return self.release().addCallback(lambda _: None)


def _not_released(failure: Failure) -> bool:
    # The semaphore has logged it. The end of the session frees the lock.
    if not isinstance(failure.value, ZooKeeperException):
        failure.raiseException()
    return False
