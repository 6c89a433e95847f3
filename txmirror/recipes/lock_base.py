"""The base of locks and semaphores, with their states: being acquired, held, lost, released."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from types import TracebackType
from typing import Any, TypeVar

from twisted.internet.defer import CancelledError, Deferred, succeed
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure

from txmirror import paths
from txmirror.deferreds import Waiters
from txmirror.durations import check_seconds
from txmirror.errors import NoNodeException, PathError, SessionExpiredException, ZooKeeperException
from txmirror.interfaces import ISessionLease, IZooKeeperClient
from txmirror.mirror import Mirror
from txmirror.recipes.clients import checked_acl, client_of, connecting
from txmirror.recipes.lock_node import LockNode
from txmirror.recipes.retry_policy import RetryPolicy, discard
from txmirror.types import ACL, EventType, WatchedEvent

_LockT = TypeVar("_LockT", bound="LockBase")


class LockNodeGone(Exception):
    """Our node does not exist any more, or is not ours: begin again."""


class LockBase:
    """A lock that is held by means of an ephemeral node. A subclass defines how it is acquired.

    :param client: its session holds the lock.
    :param path: the lock's node.
    :param name: our name, which others see.
    :param acl: the access control list of the nodes that are created, but for those above ``path``; None opens them to
        everybody.
    :param reactor: the reactor; the global one if None.
    :ivar acl: the access control list of the nodes that are created from now on.
    """

    _log = Logger()

    def __init__(
        self,
        client: IZooKeeperClient | Mirror,
        path: str,
        name: str,
        acl: Sequence[ACL] | None,
        reactor: IReactorTime | None,
    ) -> None:
        self.path = paths.validate(path)
        if path == "/":
            raise PathError("'/' cannot be a lock: use a node of its own")
        if not isinstance(name, str):
            raise TypeError(f"a name is a str, not {name!r:.60}")
        if reactor is None:
            from twisted.internet import reactor as global_reactor

            reactor = IReactorTime(global_reactor)
        self.name = name
        self._data = name.encode()
        self.acl: Sequence[ACL] = checked_acl(acl)
        self._client = client = client_of(client)
        self._reactor = reactor
        self._retry_policy = RetryPolicy(client, reactor)
        self._lease: ISessionLease | None = ISessionLease(client, None)
        self._node: LockNode | None = None
        self._work: Deferred[bool] | None = None
        self._held: Held | None = None
        self._clearing: Deferred[None] | None = None
        self._cleared_waiters: Waiters[Any] = Waiters()

    def __repr__(self) -> str:
        if self._held is None:
            state = "free" if self._work is None else "being acquired"
        else:
            state = "held" if self.held else "lost"
        return f"<{type(self).__name__} {self.path!r} {state}>"

    @property
    def held(self) -> bool:
        """True if it is held at this moment, and that is safe to rely on."""
        if self._held is None or self._held.over:
            return False
        if self._lease is None:
            return True
        # The reactor may be late to run the timer of the lease.
        lease_expired = self._lease.when_lease_expires()
        reliable = not lease_expired.called
        discard(lease_expired)
        return reliable

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
        limit = self._client.session_timeout if wait == 0 else wait
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
            if expired and isinstance(outcome, Failure) and outcome.check(CancelledError):
                outcome = False
            acquired.callback(outcome)

        acquired: Deferred[Any] = Deferred(lambda _: work.cancel())
        timer = None if limit is None else self._reactor.callLater(limit, expire)
        self._work = work = connecting(self._client, lambda: Deferred.fromCoroutine(self._acquire(blocking=wait != 0)))
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

    def __aenter__(self: _LockT) -> Deferred[_LockT]:
        return self.acquire().addCallback(lambda _: self)

    def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> Deferred[None]:
        return self.release()

    # Acquiring.

    async def _acquire(self, blocking: bool) -> bool:
        if self._clearing is not None:
            # If the deletion failed, that was logged, and the old node is in the queue before us.
            with contextlib.suppress(ZooKeeperException):
                await self._when_clear()
        sessions = 0
        while True:
            try:
                return await self._obtain(blocking)
            except SessionExpiredException:
                sessions += 1
                await self._retry_policy.pause(sessions)
            except LockNodeGone:
                pass

    async def _obtain(self, blocking: bool) -> bool:
        """Create a node of our own, keep it in ``_node``, and :meth:`_hold` it when it is its turn.

        :returns: False if it is not its turn, and ``blocking`` is False.
        :raises LockMismatchError: the path is used in another way.
        :raises SessionExpiredException: the session has expired.
        :raises LockNodeGone: the node is gone.
        """
        raise NotImplementedError

    async def _hold(self, node: LockNode) -> None:
        """Hold the lock that our node stands for, if the node exists and is ours.

        :raises LockNodeGone: it does not exist, or is not ours.
        """
        while True:
            try:
                (_, stat), watch = await self._retry_policy.send_and_watch(
                    lambda: self._client.get_and_watch(node.path)
                )
            except NoNodeException:
                raise LockNodeGone from None
            if stat.ephemeralOwner != self._client.session_id:
                # It is of a former session of ours, which may live on.
                discard(watch)
                await node.remove()
                raise LockNodeGone
            lease_expired: Deferred[None] = Deferred() if self._lease is None else self._lease.when_lease_expires()
            if not lease_expired.called:
                break
            # The reply took so long that it is out of date.
            discard(watch)
        self._held = Held(stat.czxid, lease_expired, Deferred.fromCoroutine(self._until_deleted(node.path, watch)))

    async def _until_deleted(self, path: str, watch: Deferred[WatchedEvent]) -> None:
        """Wait until our node is deleted. Failing means that this cannot be known."""
        while (await watch).type is not EventType.DELETED:
            try:
                _, watch = await self._retry_policy.send_and_watch(lambda: self._client.get_and_watch(path))
            except NoNodeException:
                return

    # Deleting our node.

    async def _delete_node(self) -> None:
        """Delete our node while the lock is still being acquired. If a server refuses, the end of that tries again, and logs
        it.
        """
        if self._node is not None:
            with contextlib.suppress(ZooKeeperException):
                await self._node.remove()
                self._node = None

    def _clear(self) -> None:
        node, self._node = self._node, None
        self._clearing = clearing = Deferred.fromCoroutine(self._remove(node))
        clearing.addBoth(self._cleared)

    async def _remove(self, node: LockNode | None) -> None:
        if node is not None:
            await node.remove()

    def _cleared(self, outcome: Failure | None) -> None:
        self._clearing = None
        if outcome is not None:
            self._log.error("{path}: our node was left behind: {reason}.", path=self.path, reason=str(outcome.value))
        self._cleared_waiters.fire(outcome)

    def _when_clear(self) -> Deferred[None]:
        if self._clearing is None:
            return succeed(None)
        return self._cleared_waiters.wait()


class Held:
    """One period of holding a lock.

    :param token: the fencing token.
    :param lease_expired: fires when holding is no longer safe to rely on.
    :param deleted: fires when our node is deleted; fails when that cannot be known.
    :ivar over: whether the lock was lost or released.
    """

    _log = Logger()

    def __init__(self, token: int, lease_expired: Deferred[None], deleted: Deferred[None]) -> None:
        self.token = token
        self.over = False
        self._lost = False
        self._waiters: Waiters[None] = Waiters()
        self._ends = (lease_expired, deleted)
        for end in self._ends:
            end.addErrback(self._failed)
            end.addCallback(self._lose)

    def when_lost(self) -> Deferred[None]:
        """Wait until the lock is lost."""
        if self._lost:
            return succeed(None)
        return self._waiters.wait()

    def end(self) -> None:
        """End the period without notifying anybody."""
        self.over = True
        for end in self._ends:
            end.cancel()

    def _failed(self, failure: Failure) -> None:
        if not failure.check(ZooKeeperException, CancelledError):
            self._log.failure("Watching a held lock failed.", failure)

    def _lose(self, _: object) -> None:
        if not self.over:
            self.end()
            self._lost = True
            self._waiters.fire(None)
