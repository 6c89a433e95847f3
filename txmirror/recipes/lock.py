"""Locks: one holder at a time, or many readers and one writer."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from twisted.internet.defer import Deferred, gatherResults
from twisted.internet.interfaces import IReactorTime

from txmirror import paths
from txmirror.errors import (
    BadVersionException,
    LockMismatchError,
    NoAuthException,
    NoNodeException,
    ReplyTooLargeException,
)
from txmirror.interfaces import IZooKeeperClient
from txmirror.mirror import Mirror
from txmirror.recipes.acquirable import Acquirable
from txmirror.recipes.clients import connecting
from txmirror.recipes.contender import Contender, Held, LockNodeGone
from txmirror.recipes.lock_node import occupant
from txmirror.recipes.lock_order import LockOrder, leases_in
from txmirror.recipes.lock_style import KAZOO, check_patterns, find_style
from txmirror.recipes.other_users import OtherUsers
from txmirror.recipes.retry_policy import discard
from txmirror.recipes.revocation import marked, name_in
from txmirror.types import ACL


class Lock(Acquirable):
    """A lock that processes anywhere share. It is fair: contenders acquire it in the order in which they asked.

    Each contender has an ephemeral node below the lock's, and watches only its predecessor. The nodes are named as kazoo's
    ``Lock`` and ``WriteLock`` name theirs (``<32 hex>__lock__<10 digits>``), so that both exclude one another. (Only once the
    servers' sequence numbers have wrapped around, after two thousand million contenders, do kazoo's keep no order.) With
    another ``style`` it excludes the locks of another implementation instead. ::

        lock = Lock(client, "/locks/report", name="host1")
        async with lock:
            lock.lost.addCallback(lambda _: report.abort())
            await report.make(lock.token)

    One object is one contender: it is not re-entrant. It can be used again after its release.

    A lock and a :class:`Semaphore` do not exclude one another on the same path, and neither do locks of different styles, or a
    lock and the semaphore of Curator. For the second of them :meth:`acquire` fails with
    :exc:`~txmirror.errors.LockMismatchError`, which names the holder.

    :param client: its session holds the lock: a client, or a :class:`~txmirror.mirror.Mirror` with one. It is connected when
        it is first needed, unless that was begun before.
    :param path: the lock's node. If it and those above it are missing, they are created, persistent.
    :param name: our name, which others see among the contenders.
    :param acl: the access control list of the contenders' nodes, and of the lock's own if that is created here; nodes above
        it are open to everybody, and so are all if it is None. Contenders need permission to read, create and delete.
    :param style: the implementation whose locks take part: ``"kazoo"``, ``"curator-mutex"`` (also ``LeaderSelector``),
        ``"curator-read-write"``, ``"curator-latch"``, or ``"go"``. Our node has its form of name, and its contenders count.
    :param extra_lock_patterns: the texts before the sequence numbers of further contenders, which exclude all others, as
        kazoo's argument of this name. They do not see our node, unless they look for our form of name.
    :param reactor: the reactor; the global one if None.
    :raises PathError: ``path`` is no znode path, or the root.
    :raises TypeError: ``client`` is neither, or ``acl`` holds anything else than :class:`~txmirror.types.ACL`,
        or ``extra_lock_patterns`` is one text.
    :raises ValueError: there is no such style, or it has no readers, or a pattern is no text for a node's name.
    """

    _reader = False

    def __init__(
        self,
        client: IZooKeeperClient | Mirror,
        path: str,
        *,
        name: str = "",
        acl: Sequence[ACL] | None = None,
        style: str = KAZOO.name,
        extra_lock_patterns: Sequence[str] = (),
        reactor: IReactorTime | None = None,
    ) -> None:
        found = find_style(style)
        kind = found.shared if self._reader else found.exclusive
        if kind is None:
            raise ValueError(f"style {style!r} has no locks for readers")
        order = LockOrder(found, check_patterns(extra_lock_patterns))
        contender = Contender(client, path, name, acl, reactor, type(self).__name__)
        self._queue = LockQueue(contender, order, kind)
        super().__init__(contender, self._queue)

    def contenders(self) -> Deferred[list[str]]:
        """Return the names of all that hold the lock or wait for it, the first in the queue first.

        :returns: fires with them; those without a name are ``""``. Fails as
            :meth:`~txmirror.interfaces.IZooKeeperClient.get`, but not for nodes that do not exist. Cancelling ends the wait.
        """
        return connecting(self._contender.client, lambda: Deferred.fromCoroutine(self._queue.names()))

    def revoke(self) -> Deferred[list[str]]:
        """Ask the present holders of the lock to release it: their ``revocation`` fires. It is their decision.

        This changes the data of their nodes, which needs permission to write. In Curator's styles the data is all that Curator's
        ``Revoker`` writes, and the holder's name is lost.

        :returns: fires with the names of the holders; the list is empty if nobody holds it. Fails as
            :meth:`~txmirror.interfaces.IZooKeeperClient.set`, but not for nodes that do not exist. Cancelling ends the wait; holders
            may be asked all the same.
        """
        return connecting(self._contender.client, lambda: Deferred.fromCoroutine(self._queue.revoke()))


class WriteLock(Lock):
    """A :class:`Lock` under the name that it has beside a :class:`ReadLock` on the same path: it excludes all others."""


class ReadLock(Lock):
    """A lock that many hold together, while nobody holds a :class:`WriteLock`, or a :class:`Lock`, on the same path.

    A reader that comes after a waiting writer waits too. In all else it is as :class:`Lock`; it interoperates with kazoo's
    ``ReadLock``. Fencing tokens of readers grow in the order in which they asked, not in which they acquired it.
    """

    _reader = True


async def names_in(client: IZooKeeperClient, parent: str, children: list[str]) -> list[str]:
    """Read the names in contenders' nodes, without those that are gone."""
    reads: list[Deferred[Any]] = [
        client.get(paths.join(parent, child)).addErrback(lambda failure: failure.value) for child in children
    ]
    names = []
    for outcome in await gatherResults(reads):
        if isinstance(outcome, NoNodeException):
            continue
        if isinstance(outcome, Exception):
            raise outcome
        names.append(name_in(outcome[0]))
    return names


class LockQueue:
    """The queue of contenders for a lock: the one at its head holds the lock.

    :param contender: our place in it.
    :param order: the order of the contenders.
    :param kind: the text before the number in the name of our node.
    """

    def __init__(self, contender: Contender, order: LockOrder, kind: str) -> None:
        self._contender = contender
        self._client = contender.client
        self._order = order
        self._kind = kind
        self._others = OtherUsers(contender.client, contender.retry_policy, contender.path, order)

    async def names(self) -> list[str]:
        """Return the names of all contenders, the first in the queue first."""
        path = self._contender.path
        try:
            names = self._order.in_order(await self._client.get_children(path))
        except NoNodeException:
            return []
        return await names_in(self._client, path, names)

    async def revoke(self) -> list[str]:
        """Mark the nodes of the holders, and return their names."""
        path, keep_name = self._contender.path, self._order.style.keeps_name
        try:
            holders = self._order.holders(await self._client.get_children(path))
        except NoNodeException:
            return []
        asked = []
        for node in [paths.join(path, each) for each in holders]:
            while True:
                try:
                    data, stat = await self._client.get(node)
                    await self._client.set(node, marked(data, keep_name=keep_name), stat.version)
                except BadVersionException:
                    # Another program has asked it meanwhile.
                    continue
                except NoNodeException:
                    break
                asked.append(name_in(data))
                break
        return asked

    async def obtain(self, blocking: bool) -> Held | None:
        """Join the queue, and hold the lock when nobody is before us. See :meth:`.Way.obtain`."""
        contender = self._contender
        node = await contender.make_node(self._order.style.unique() + self._kind, sequence=True)
        own = paths.name_of(node.path)
        while True:
            try:
                names = await contender.children(contender.path)
            except NoNodeException:
                raise LockNodeGone from None
            if own not in names:
                raise LockNodeGone
            before = self._order.predecessor(names, own)
            if before is None:
                await self._refuse_others(names)
                return await contender.hold(node)
            if not blocking:
                await contender.delete_node()
                return None
            await self._until_changed(before)

    async def _refuse_others(self, names: list[str]) -> None:
        """Fail if another recipe uses the lock's node. Our node exists by now: holders of leases that come later see it.

        :param names: the names of the node's children.
        :raises LockMismatchError: another recipe uses it; then our node is gone.
        """
        for name in leases_in(names):
            holder = await occupant(self._client, self._contender.retry_policy, paths.join(self._contender.path, name))
            if holder is not None:
                await self._contender.delete_node()
                raise LockMismatchError(
                    f"{self._contender.path!r} is used as a semaphore, held by {holder}, and cannot be used as a lock:"
                    " use another path, or a semaphore (as a service registry's locks are)",
                    path=self._contender.path,
                )
        other = await self._others.find(names)
        if other is not None:
            await self._contender.delete_node()
            raise LockMismatchError(other, path=self._contender.path)

    async def _until_changed(self, before: str) -> None:
        """Wait until something happens to our predecessor."""
        path = paths.join(self._contender.path, before)
        there = True
        try:
            # An exists watch would stay at the server if the node is gone already.
            _, watch = await self._contender.retry_policy.send_and_watch(lambda: self._client.get_and_watch(path))
        except NoNodeException:
            return
        except (NoAuthException, ReplyTooLargeException):
            # We may not read the node, or it is too large. Its parent's watch reports its deletion too.
            names, watch = await self._contender.retry_policy.send_and_watch(
                lambda: self._client.get_children_and_watch(self._contender.path)
            )
            there = before in names
        if there:
            await watch
        else:
            discard(watch)

    async def leave(self) -> None:
        """Do nothing: a contender has one node."""
