"""One contender for a lock: its name and client, the node that stands for it, and a period of holding the lock."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from typing import Protocol

from twisted.internet.defer import CancelledError, Deferred, succeed
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure

from txmirror import paths
from txmirror.deferreds import Waiters
from txmirror.errors import NoNodeException, PathError, ZooKeeperException
from txmirror.interfaces import ISessionLease, IZooKeeperClient
from txmirror.mirror import Mirror
from txmirror.recipes.clients import checked_acl, client_of, place_and_name
from txmirror.recipes.lock_node import LockNode
from txmirror.recipes.meter import Meter, make_meter
from txmirror.recipes.retry_policy import RetryPolicy, discard
from txmirror.recipes.revocation import Revocation
from txmirror.timers import reactor_or_global
from txmirror.types import ACL, EventType, WatchedEvent


class OwnNode(Protocol):
    """An ephemeral node that stands for us."""

    path: str

    async def remove(self) -> None:
        """Delete it if it was created. See :meth:`LockNode.remove`."""


class LockNodeGone(Exception):
    """Our node does not exist any more, or is not ours: begin again."""


class Contender:
    """A contender for a lock, and the requests about its node.

    :param client: its session holds the lock.
    :param path: the lock's node.
    :param name: our name, which others see.
    :param acl: the access control list of the nodes that are created, but for those above ``path``; None opens them to
        everybody.
    :param reactor: the reactor; the global one if None.
    :param kind: the recipe, for metrics.
    :ivar meter: reports the recipe's work to the program's metrics.
    :ivar acl: the access control list of the nodes that are created from now on.
    :ivar node: the node that stands for us; None if there is none.
    """

    def __init__(
        self,
        client: IZooKeeperClient | Mirror,
        path: str,
        name: str,
        acl: Sequence[ACL] | None,
        reactor: IReactorTime | None,
        kind: str,
    ) -> None:
        self.path: str = paths.validate(path)
        if path == "/":
            raise PathError("'/' cannot be a lock: use a node of its own")
        if not isinstance(name, str):
            raise TypeError(f"a name is a str, not {name!r:.60}")
        self.name = name
        self.acl: Sequence[ACL] = checked_acl(acl)
        self.reactor: IReactorTime = reactor_or_global(reactor)
        self.client: IZooKeeperClient = client_of(client)
        self.retry_policy: RetryPolicy = RetryPolicy(self.client, self.reactor)
        self.lease: ISessionLease | None = ISessionLease(self.client, None)
        self.meter: Meter = make_meter(self.client, kind, path, self.reactor)
        self.node: LockNode | None = None

    def describe(self) -> str:
        """Return where we contend, and our name, for a ``repr``."""
        return place_and_name(self.client, self.path, self.name)

    async def make_node(self, beginning: str, *, sequence: bool) -> LockNode:
        """Create a node that stands for us. The parameters are those of :class:`LockNode`."""
        data = self.name.encode()
        node = self.node = LockNode(self.client, self.retry_policy, self.path, data, self.acl, beginning, sequence)
        await node.make()
        return node

    async def children(self, path: str) -> list[str]:
        """Return the names of a node's children.

        :raises NoNodeException: the node does not exist.
        """
        return await self.retry_policy.send(lambda: self.client.get_children(path))

    async def hold(self, node: OwnNode) -> Held:
        """Hold the lock that a node of ours stands for, if the node exists and is ours.

        :raises LockNodeGone: it does not exist, or is not ours.
        """
        revocation = Revocation()
        while True:
            try:
                (data, stat), watch = await self.retry_policy.send_and_watch(
                    lambda: self.client.get_and_watch(node.path)
                )
            except NoNodeException:
                raise LockNodeGone from None
            if stat.ephemeralOwner != self.client.session_id:
                # It is of a former session of ours, which may live on.
                discard(watch)
                await node.remove()
                raise LockNodeGone
            lease_expired: Deferred[None] = Deferred() if self.lease is None else self.lease.when_lease_expires()
            if not lease_expired.called:
                break
            # The reply took so long that it is out of date.
            discard(watch)
        revocation.note(data)
        deleted = Deferred.fromCoroutine(self._until_deleted(node.path, watch, revocation))
        return Held(stat.czxid, lease_expired, deleted, revocation, self.meter.hold())

    def relies_on(self, held: Held) -> bool:
        """Return whether a period of holding has not ended, and that is safe to rely on."""
        if held.over:
            return False
        if self.lease is None:
            return True
        # The reactor may be late to run the timer of the lease.
        lease_expired = self.lease.when_lease_expires()
        reliable = not lease_expired.called
        discard(lease_expired)
        return reliable

    async def _until_deleted(self, path: str, watch: Deferred[WatchedEvent], revocation: Revocation) -> None:
        """Wait until our node is deleted, and note its data. Failing means that this cannot be known."""
        while (await watch).type is not EventType.DELETED:
            try:
                (data, _), watch = await self.retry_policy.send_and_watch(lambda: self.client.get_and_watch(path))
            except NoNodeException:
                return
            revocation.note(data)

    async def delete_node(self) -> None:
        """Delete our node while the lock is still being acquired. If a server refuses, the end of that tries again, and logs
        it.
        """
        if self.node is not None:
            with contextlib.suppress(ZooKeeperException):
                await self.node.remove()
                self.node = None


class Held:
    """One period of holding a lock.

    :param token: the fencing token.
    :param lease_expired: fires when holding is no longer safe to rely on.
    :param deleted: fires when our node is deleted; fails when that cannot be known.
    :param revocation: the requests of others to give the lock up.
    :param ended: called when the lock is lost (with True) or released, for metrics.
    :ivar over: whether the lock was lost or released.
    """

    _log = Logger()

    def __init__(
        self,
        token: int,
        lease_expired: Deferred[None],
        deleted: Deferred[None],
        revocation: Revocation,
        ended: Callable[[bool], None],
    ) -> None:
        self.token = token
        self.revocation = revocation
        self.over: bool = False
        self._lost = False
        self._ended = ended
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

    def end(self, *, lost: bool = False) -> None:
        """End the period without notifying anybody but the metrics.

        :param lost: whether the lock was lost.
        """
        if not self.over:
            self._ended(lost)
        self.over = True
        for end in self._ends:
            end.cancel()

    def _failed(self, failure: Failure) -> None:
        if not isinstance(failure.value, (ZooKeeperException, CancelledError)):
            self._log.failure("Watching a held lock failed because of a bug.", failure)

    def _lose(self, _: object) -> None:
        if not self.over:
            self.end(lost=True)
            self._lost = True
            self._waiters.fire(None)
