"""What locks and semaphores have in common: to be acquired, held, lost and released."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Sequence
from types import TracebackType
from typing import Any, TypeVar

from twisted.internet.defer import CancelledError, Deferred, succeed
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure

from txmirror import paths
from txmirror.errors import NoNodeException, PathError, SessionExpiredException, ZooKeeperException
from txmirror.interfaces import ISessionLease, IZooKeeperClient
from txmirror.mirror import Mirror
from txmirror.recipes.clients import checked_acl, client_of, connecting
from txmirror.recipes.lock_node import LockNode
from txmirror.recipes.retry_policy import RetryPolicy, discard
from txmirror.types import ACL, EventType, WatchedEvent

_LockT = TypeVar("_LockT", bound="LockBase")


class LockNodeGone(Exception):
    """Our node is not there any more, or not ours: begin again."""


class LockBase:
    """Something that can be held, on the strength of an ephemeral node. A subclass says how that is come by.

    :param client: whose session holds it.
    :param path: the node that stands for it.
    :param name: what is told of us to others.
    :param acl: the access control list of the nodes that are made, but for those above ``path``; None opens them to everybody.
    :param reactor: the reactor; the global one if None.
    :ivar acl: the access control list of the nodes that are made from now on.
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
            raise PathError("'/' is no place for a lock: give it a node of its own")
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
        self._waiting: dict[Deferred[None], None] = {}

    def __repr__(self) -> str:
        if self._held is None:
            state = "free" if self._work is None else "being acquired"
        else:
            state = "held" if self.held else "lost"
        return f"<{type(self).__name__} {self.path!r} {state}>"

    @property
    def held(self) -> bool:
        """Whether it is held, at this moment, and that can be relied upon."""
        if self._held is None or self._held.over:
            return False
        if self._lease is None:
            return True
        # The reactor may be late to tell.
        lease_expired = self._lease.when_lease_expires()
        reliable = not lease_expired.called
        discard(lease_expired)
        return reliable

    @property
    def lost(self) -> Deferred[None]:
        """Fires when what is held now can be relied upon no longer, before anybody else can have it.

        That is when the session has ended, or may end before it is heard from again
        (:meth:`~txmirror.interfaces.ISessionLease.when_lease_expires`; with a client that does not provide that, only when it has), or
        when somebody has deleted our node. It never fires after :meth:`release`, and has fired if nothing is held.
        Whoever asks gets a Deferred of their own; cancelling it ends the wait, and nothing else.

        What is lost is not acquired again by itself, and where the session lives on, our node stays, and keeps others out,
        until :meth:`release` is called.
        """
        return succeed(None) if self._held is None else self._held.when_lost()

    @property
    def token(self) -> int:
        """The fencing token of what is held, lost or not: each holder of a lock has a larger one. 0 if nothing is held.

        Send it along with what you do under the lock: who has seen a larger one must refuse it. (It is the ``czxid`` of our
        node.)
        """
        return 0 if self._held is None else self._held.token

    def acquire(self, *, wait: float | None = None) -> Deferred[bool]:
        """Stand in line, and wait until it is held.

        The client is connected, if nobody has begun to do that; where no name can be resolved, it logs that, and goes on trying.
        Lost connections and ended sessions are got over: in a new session we stand in line anew. If a former
        :meth:`release` is not done yet, that is waited for.

        :param wait: how many seconds that may take in all; None sets no limit. With 0 nobody is waited for, only the
            servers' answers, for a session timeout at most.
        :returns: fires with True when it is held. Fires with False when it is not to be had: with 0, once our node is deleted;
            else when the time is over, and then our node is being deleted, until that is done. Fails with
            :exc:`~txmirror.errors.LockMismatchError` where the path is used by another kind of lock, once our node is deleted;
            with :exc:`~txmirror.errors.ClosingException` or
            :exc:`~txmirror.errors.AuthFailedException`, where there will be no session any more, and with what a server
            refuses, such as :exc:`~txmirror.errors.NoAuthException`. Cancelling gives up, and our node is deleted.
        :raises RuntimeError: it is held, or lost and not released yet, or being acquired already: it is not re-entrant.
        :raises ValueError: ``wait`` is negative or no number.
        """
        limit = _checked(wait)
        if self._work is not None or self._held is not None:
            raise RuntimeError(f"{self!r} is not re-entrant: release it before it is acquired again")
        if limit == 0:
            limit = self._client.session_timeout
        expired = False

        def expire() -> None:
            nonlocal expired
            expired = True
            work.cancel()

        def ended(outcome: bool | Failure) -> None:
            self._work = None
            if timer is not None and timer.active():
                timer.cancel()
            # What was still being cleared was waited for, and nothing begun.
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
        """Let go of it, held or lost; or give up acquiring it, whose Deferred then fails with ``CancelledError``.

        :returns: fires when it is known that no node of ours is there any more, because it was deleted or its session has
            ended: a connection that is lost is waited out. Fires at once if there is none. Fails with what a server refuses;
            our node then goes with the session. Cancelling ends the wait, and nothing else.
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

    # To come by it.

    async def _acquire(self, blocking: bool) -> bool:
        if self._clearing is not None:
            # If it was left behind, that was logged, and it stands in line before us.
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
        """Make a node of our own, keep it in ``_node``, and :meth:`_hold` it when it is its turn.

        :returns: False if it is not, and we are not patient.
        :raises LockMismatchError: the path is used in another way.
        :raises SessionExpiredException: the session has ended.
        :raises Gone: the node is gone.
        """
        raise NotImplementedError

    async def _hold(self, node: LockNode) -> None:
        """Hold what a node of ours stands for, if it is there, and ours.

        :raises Gone: it is not.
        """
        while True:
            try:
                (_, stat), watch = await self._retry_policy.send_and_watch(
                    lambda: self._client.get_and_watch(node.path)
                )
            except NoNodeException:
                raise LockNodeGone from None
            if stat.ephemeralOwner != self._client.session_id:
                # Of a session that we had, and that may live on for somebody else.
                discard(watch)
                await node.remove()
                raise LockNodeGone
            lease_expired: Deferred[None] = Deferred() if self._lease is None else self._lease.when_lease_expires()
            if not lease_expired.called:
                break
            # The answer took so long that it says nothing of now.
            discard(watch)
        self._held = Held(stat.czxid, lease_expired, Deferred.fromCoroutine(self._until_deleted(node.path, watch)))

    async def _until_deleted(self, path: str, watch: Deferred[WatchedEvent]) -> None:
        """Wait until our node is gone; failing means that nobody knows."""
        while (await watch).type is not EventType.DELETED:
            try:
                _, watch = await self._retry_policy.send_and_watch(lambda: self._client.get_and_watch(path))
            except NoNodeException:
                return

    # To leave nothing behind.

    async def _delete_node(self) -> None:
        """Delete our node while it is still being acquired. What a server refuses is tried again, and logged, when that ends."""
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
        while self._waiting:
            self._waiting.popitem()[0].callback(outcome)

    def _when_clear(self) -> Deferred[None]:
        if self._clearing is None:
            return succeed(None)
        waiter: Deferred[None] = Deferred(lambda cancelled: self._waiting.pop(cancelled, None))
        self._waiting[waiter] = None
        return waiter


class Held:
    """One time that something is held.

    :param token: the fencing token.
    :param unsafe: fires when it may not be relied upon.
    :param deleted: fires when our node is gone; fails when that cannot be known.
    :ivar over: whether it was lost or released.
    """

    _log = Logger()

    def __init__(self, token: int, lease_expired: Deferred[None], deleted: Deferred[None]) -> None:
        self.token = token
        self.over = False
        self._lost = False
        self._waiters: dict[Deferred[None], None] = {}
        self._ends = (lease_expired, deleted)
        for end in self._ends:
            end.addErrback(self._failed)
            end.addCallback(self._lose)

    def when_lost(self) -> Deferred[None]:
        """Be told when it is lost."""
        if self._lost:
            return succeed(None)
        holder: Deferred[None] = Deferred(lambda cancelled: self._waiters.pop(cancelled, None))
        self._waiters[holder] = None
        return holder

    def end(self) -> None:
        """It is not held any more, and nobody needs to be told."""
        self.over = True
        for end in self._ends:
            end.cancel()

    def _failed(self, failure: Failure) -> None:
        if not failure.check(ZooKeeperException, CancelledError):
            self._log.failure("What is held cannot be watched.", failure)

    def _lose(self, _: object) -> None:
        if not self.over:
            self.end()
            self._lost = True
            for holder in list(self._waiters):
                # One of those before may have cancelled it.
                if not holder.called:
                    holder.callback(None)


def _checked(wait: float | None) -> float | None:
    if wait is None:
        return None
    if isinstance(wait, bool) or not isinstance(wait, (int, float)):
        raise TypeError(f"the time to wait is a number of seconds or None, not {wait!r:.60}")
    if not 0 <= wait < math.inf:
        raise ValueError(f"the time to wait is a number of seconds, not below 0, or None, not {wait!r}")
    return wait
