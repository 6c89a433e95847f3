"""The public methods of locks and semaphores, with their states: being acquired, held, lost, released."""

from __future__ import annotations

import contextlib
from collections.abc import Coroutine, Sequence
from types import TracebackType
from typing import Any, Protocol, TypeVar

from twisted.internet.defer import CancelledError, Deferred, succeed
from twisted.logger import Logger
from twisted.python.failure import Failure

from txmirror.deferreds import Waiters
from txmirror.durations import check_seconds
from txmirror.errors import SessionExpiredException, ZooKeeperException
from txmirror.recipes.clients import connecting
from txmirror.recipes.contender import Contender, Held, LockNodeGone
from txmirror.recipes.lock_node import LockNode
from txmirror.recipes.meter import Meter
from txmirror.types import ACL

_AcquirableT = TypeVar("_AcquirableT", bound="Acquirable")


class Way(Protocol):
    """A way to acquire a lock."""

    def obtain(self, blocking: bool) -> Coroutine[Deferred[Any], Any, Held | None]:
        """Create the contender's node, and hold the lock when it is its turn.

        :returns: None if it is not its turn, and ``blocking`` is False.
        :raises LockMismatchError: the path is used in another way.
        :raises SessionExpiredException: the session has expired.
        :raises LockNodeGone: the node is gone.
        """

    async def leave(self) -> None:
        """Delete what is left after the contender's node is deleted."""


class Acquirable:
    """A lock that is held by means of an ephemeral node.

    :param contender: the contender.
    :param way: acquires the lock.
    """

    _log = Logger()

    def __init__(self, contender: Contender, way: Way) -> None:
        self._contender = contender
        self._way = way
        self._work: Deferred[bool] | None = None
        self._held: Held | None = None
        self._clearing: Deferred[None] | None = None
        self._cleared_waiters: Waiters[Any] = Waiters()

    @property
    def path(self) -> str:
        """The node of the lock."""
        return self._contender.path

    @property
    def name(self) -> str:
        """Our name, which others see."""
        return self._contender.name

    @property
    def acl(self) -> Sequence[ACL]:
        """The access control list of the nodes that are created from now on. It may be set."""
        return self._contender.acl

    @acl.setter
    def acl(self, acl: Sequence[ACL]) -> None:
        self._contender.acl = acl

    def __repr__(self) -> str:
        if self._held is None:
            state = "free" if self._work is None else "being acquired"
        else:
            state = "held" if self.held else "lost"
        return f"<{type(self).__name__} {self.describe()} {state}>"

    @property
    def held(self) -> bool:
        """True if it is held at this moment, and that is safe to rely on."""
        return self._held is not None and self._contender.relies_on(self._held)

    @property
    def lost(self) -> Deferred[None]:
        """Fires when the lock is no longer safe to rely on, before anybody else can hold it.

        That is when the session has expired, or may expire before the client hears from the servers again
        (:meth:`~txmirror.interfaces.ISessionLease.when_lease_expires`; with a client that does not provide that, only when it
        has expired), or when our node was deleted by others. It never fires after :meth:`release`, and has fired if the lock
        is not held. Each access returns a new Deferred; cancelling it ends the wait, and nothing else.

        A lost lock is not acquired again by itself. Where the session lives on, our node stays, and keeps others out, until
        :meth:`release` is called.
        """
        return succeed(None) if self._held is None else self._held.when_lost()

    @property
    def revocation(self) -> Deferred[None]:
        """Fires when another program asks us to give it up: :meth:`Lock.revoke`, or Curator's ``Revoker``. Nobody enforces that.

        It fires at once if that was asked since it is held. It never fires after :meth:`release`, and while it is not held. Each
        access returns a new Deferred; cancelling it ends the wait, and nothing else.
        """
        return Deferred() if self._held is None else self._held.revocation.when_requested()

    @property
    def token(self) -> int:
        """The fencing token of the lock, held or lost: each holder of a lock has a larger one. 0 if it is neither.

        Send it along with each request that the lock protects: a receiver that has seen a larger one must refuse it. (It is
        the ``czxid`` of our node.)
        """
        return 0 if self._held is None else self._held.token

    def acquire(self, *, wait: float | None = None) -> Deferred[bool]:
        """Join the queue, and wait until the lock is held.

        The client is connected, unless that was begun before; where no name can be resolved, it logs that, and retries. The
        lock survives lost connections and expired sessions while it is being acquired: in a new session it joins the queue
        anew. If a former
        :meth:`release` is not done yet, it waits for that.

        :param wait: the limit for all of that, in seconds; None sets no limit. With 0 it does not wait for other contenders,
            only for the servers' replies, for a session timeout at most.
        :returns: fires with True when it is held. Fires with False when it cannot be had: with 0, once our node is deleted;
            else when the time is over, and then our node is being deleted, until that is done. Fails with
            :exc:`~txmirror.errors.LockMismatchError` where the path is used by another kind of lock, once our node is
            deleted; with :exc:`~txmirror.errors.ClosingException` or :exc:`~txmirror.errors.AuthFailedException`, where there
            will be no session any more, and with a server's refusal, such as :exc:`~txmirror.errors.NoAuthException`.
            Cancelling gives up, and our node is deleted.
        :raises RuntimeError: it is held, or lost and not released yet, or being acquired already: it is not re-entrant.
        :raises TypeError, ValueError: ``wait`` is not a finite number of seconds from 0, or None.
        """
        check_seconds("the time to wait", wait, optional=True)
        if self._work is not None or self._held is not None:
            raise RuntimeError(f"{self!r} is not re-entrant: release it before it is acquired again")
        limit = self._contender.client.session_timeout if wait == 0 else wait
        expired = False

        def expire() -> None:
            nonlocal expired
            expired = True
            work.cancel()

        def ended(outcome: bool | Failure) -> None:
            self._work = None
            if timer is not None and timer.active():
                timer.cancel()
            # If a former node is still being deleted, then no new one was created.
            if self._held is None and self._clearing is None:
                self._clear()
            if expired and isinstance(outcome, Failure) and isinstance(outcome.value, CancelledError):
                outcome = False
            acquired.callback(outcome)

        acquired: Deferred[Any] = Deferred(lambda _: work.cancel())
        self._contender.meter.measure("acquire", acquired, not_done=(False,))
        timer = None if limit is None else self._contender.reactor.callLater(limit, expire)
        self._work = work = connecting(
            self._contender.client, lambda: Deferred.fromCoroutine(self._acquire(blocking=wait != 0))
        )
        work.addBoth(ended)
        return acquired

    def release(self) -> Deferred[None]:
        """Release the lock, held or lost; or stop acquiring it, and then that Deferred fails with ``CancelledError``.

        :returns: fires when none of our nodes can exist any more, because it was deleted or its session has expired: it waits
            while the connection is lost. Fires at once if there is none. Fails with a server's refusal; our node is then
            deleted with the session. Cancelling ends the wait, and nothing else.
        """
        if self._work is not None:
            self._work.cancel()
        elif self._held is not None:
            self._held.end()
            self._held = None
            self._clear()
        return self._when_clear()

    def __aenter__(self: _AcquirableT) -> Deferred[_AcquirableT]:
        return self.acquire().addCallback(lambda _: self)

    def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> Deferred[None]:
        return self.release()

    def describe(self) -> str:
        """Return where we contend, and our name, for a ``repr``.

        :meta private:
        """
        return self._contender.describe()

    def measure_as(self, meter: Meter) -> None:
        """Report to the metrics as the part of another recipe.

        :param meter: that of the other one.
        :meta private:
        """
        self._contender.meter = meter

    # Acquiring.

    async def _acquire(self, blocking: bool) -> bool:
        if self._clearing is not None:
            # If the deletion failed, that was logged, and the old node is in the queue before us.
            with contextlib.suppress(ZooKeeperException):
                await self._when_clear()
        sessions = 0
        while True:
            try:
                self._held = await self._way.obtain(blocking)
                return self._held is not None
            except SessionExpiredException:
                sessions += 1
                await self._contender.retry_policy.pause(sessions)
            except LockNodeGone:
                pass

    # Deleting our node.

    def _clear(self) -> None:
        node, self._contender.node = self._contender.node, None
        self._clearing = clearing = Deferred.fromCoroutine(self._remove(node))
        clearing.addBoth(self._cleared)

    async def _remove(self, node: LockNode | None) -> None:
        try:
            if node is not None:
                await node.remove()
        finally:
            await self._way.leave()

    def _cleared(self, outcome: Failure | None) -> None:
        self._clearing = None
        if outcome is not None:
            self._log.error(
                "{path}: our node could not be deleted: {reason}. It stays until the session ends.",
                path=self.path,
                reason=str(outcome.value),
            )
        self._cleared_waiters.fire(outcome)

    def _when_clear(self) -> Deferred[None]:
        if self._clearing is None:
            return succeed(None)
        return self._cleared_waiters.wait()
