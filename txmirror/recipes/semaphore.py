"""Semaphores: locks with several holders at a time."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger

from txmirror import paths
from txmirror.creating_paths import create_path
from txmirror.errors import (
    BadVersionException,
    LockMismatchError,
    NoAuthException,
    NoNodeException,
    ZooKeeperException,
)
from txmirror.interfaces import IZooKeeperClient
from txmirror.mirror import Mirror
from txmirror.recipes.acquirable import Acquirable
from txmirror.recipes.clients import connecting
from txmirror.recipes.contender import Contender, Held, LockNodeGone
from txmirror.recipes.lock import Lock, names_in
from txmirror.recipes.lock_node import LockNode, occupant
from txmirror.recipes.lock_order import LockOrder
from txmirror.recipes.lock_style import KAZOO
from txmirror.recipes.meter import SILENT
from txmirror.recipes.other_users import OtherUsers
from txmirror.recipes.retry_policy import discard
from txmirror.types import ACL


class Semaphore(Acquirable):
    """A number of leases that processes anywhere share. Each holder has one. They are acquired in the order of the requests.

    A lease is an ephemeral node below the semaphore's. Contenders queue at a :class:`Lock` beside it, and only the holder of
    that lock looks for a free lease. All is named as kazoo's ``Semaphore`` does it (the lock is ``<path>-__lock__``, and the
    number of leases is the data of the semaphore's node), so that both count one another.

    Not re-entrant, as :class:`Lock`. Fencing tokens of leases are in no order. Do not use a :class:`Lock` or
    :class:`Election` on the same path, as :class:`Lock` says.

    :param client: its session holds the lease; as for :class:`Lock`.
    :param path: the semaphore's node, with the leases as its children. If it and those above it are missing, they are
        created, persistent.
    :param leases: the number of leases. The same for all that share the semaphore: the first stores it. Where another number
        is stored and nobody holds or waits for a lease, ours replaces it, with a warning in the log.
    :param name: our name, which others see.
    :param acl: the access control list of the leases, of the queue's nodes, and of the nodes that these are below, if they
        are created here; otherwise as for :class:`Lock`. Changing the number of leases needs permission to write.
    :param reactor: the reactor; the global one if None.
    :ivar leases: the number of leases.
    :raises PathError: ``path`` is no znode path, or the root.
    :raises TypeError: ``client`` or ``acl`` is of a wrong type, as for :class:`Lock`.
    :raises ValueError: ``leases`` is no whole number above 0.
    """

    def __init__(
        self,
        client: IZooKeeperClient | Mirror,
        path: str,
        *,
        leases: int = 1,
        name: str = "",
        acl: Sequence[ACL] | None = None,
        reactor: IReactorTime | None = None,
    ) -> None:
        contender = Contender(client, path, name, acl, reactor, type(self).__name__)
        if type(leases) is not int or leases < 1:
            raise ValueError(f"the number of leases is a whole number above 0, not {leases!r:.60}")
        self.leases = leases
        self._queue_lock = Lock(client, f"{path}-__lock__", name=name, acl=acl, reactor=contender.reactor)
        self._queue_lock.measure_as(SILENT)
        self._leases = Leases(contender, leases, self._queue_lock)
        super().__init__(contender, self._leases)

    def acquire(self, *, wait: float | None = None) -> Deferred[bool]:
        """Join the queue, and wait until a lease is held. In all else it is as :meth:`Lock.acquire`.

        :param wait: with 0, False also means that another contender was just looking for a lease.
        :returns: fires with True when a lease is held and our node in the queue is deleted. Fails with
            :exc:`~txmirror.errors.LockMismatchError` where others use the semaphore with another number of leases, or hold a
            lock at its path.
        """
        return super().acquire(wait=wait)

    def contenders(self) -> Deferred[list[str]]:
        """Return the names of those that wait for a lease, the first in the queue first. See :meth:`Lock.contenders`."""
        return self._queue_lock.contenders()

    def holders(self) -> Deferred[list[str]]:
        """Return the names of those that hold a lease, in no order. See :meth:`Lock.contenders`."""
        return connecting(self._contender.client, lambda: Deferred.fromCoroutine(self._leases.holders()))


class Leases:
    """The leases of a semaphore, of which we take one.

    :param contender: the contender.
    :param leases: the number of leases.
    :param queue_lock: the lock of the contender that may look for a free lease.
    """

    _log = Logger()

    def __init__(self, contender: Contender, leases: int, queue_lock: Lock) -> None:
        self.leases = leases
        self.path: str = contender.path
        self._contender = contender
        self._client = contender.client
        self._retry_policy = contender.retry_policy
        self._queue_lock = queue_lock
        self._order = LockOrder()
        self._others = OtherUsers(self._client, self._retry_policy, self.path, self._order)

    async def holders(self) -> list[str]:
        """Return the names of the holders, in no order."""
        try:
            children = await self._client.get_children(self.path)
        except NoNodeException:
            return []
        return await names_in(self._client, self.path, children)

    async def obtain(self, blocking: bool) -> Held | None:
        """Join the queue, and take a lease at its head. See :meth:`.Way.obtain`."""
        self._queue_lock.acl = self._contender.acl
        leases, _ = await self._stored_leases()
        if leases != self.leases:
            await self._refuse_others(leases, in_queue=0)
        try:
            if not await self._queue_lock.acquire(wait=None if blocking else 0):
                return None
            await self._store_leases()
            node = await self._take_lease(blocking)
        except LockMismatchError:
            await self._leave_queue()
            raise
        except BaseException:
            # :meth:`leave` waits for it.
            self._queue_lock.release().addErrback(lambda _: None)
            raise
        await self._leave_queue()
        if node is None:
            return None
        await self._refuse_lock()
        return await self._contender.hold(node)

    async def _leave_queue(self) -> None:
        """Delete our node in the queue. If a server refused that, it was logged, and the node is deleted with the session."""
        with contextlib.suppress(ZooKeeperException):
            await self._queue_lock.release()

    async def _take_lease(self, blocking: bool) -> LockNode | None:
        """Wait for a free lease, as the first in the queue, and create a node for it, the contender's node.

        No other contender can do that while our session lives. A request that is pending when the session ends has no effect.

        :returns: the node; None if there is no free lease, and ``blocking`` is False.
        :raises LockMismatchError: a lock is held at our path.
        :raises LockNodeGone: our node in the queue is gone, or the semaphore's node.
        """
        while True:
            try:
                names, change = await self._retry_policy.send_and_watch(
                    lambda: self._client.get_children_and_watch(self.path)
                )
            except NoNodeException:
                raise LockNodeGone from None
            try:
                if not self._queue_lock.held:
                    raise LockNodeGone
                await self._refuse_other_users(names)
                contenders = self._order.in_order(names)
                # While a lease is held, contenders for a lock fail, and delete their nodes.
                if contenders and (len(names) < self.leases or len(names) == len(contenders)):
                    await self._refuse_contenders(contenders)
                    # They have gone meanwhile.
                    continue
                if len(names) < self.leases:
                    return await self._contender.make_node(KAZOO.unique(), sequence=False)
                if not blocking:
                    return None
                await change
            finally:
                discard(change)

    async def _refuse_lock(self) -> None:
        """Fail if a lock is held at our path. Our lease exists by now: later contenders for a lock see it.

        :raises LockMismatchError: a lock is held; then our lease is gone.
        """
        try:
            names = await self._contender.children(self.path)
        except NoNodeException:
            raise LockNodeGone from None
        await self._refuse_contenders(self._order.in_order(names))
        await self._refuse_other_users(names)

    async def _refuse_other_users(self, names: list[str]) -> None:
        """Fail if another implementation uses our path.

        :param names: the names of the node's children.
        :raises LockMismatchError: it does; then we have no lease.
        """
        other = await self._others.find(names)
        if other is not None:
            await self._contender.delete_node()
            raise LockMismatchError(other, path=self.path)

    async def _refuse_contenders(self, contenders: list[str]) -> None:
        """Fail if there are contenders for a lock at our path.

        :param contenders: the names of their nodes.
        :raises LockMismatchError: there are; then we have no lease.
        """
        for name in contenders:
            where = paths.join(self.path, name)
            holder = await occupant(self._client, self._retry_policy, where, ephemeral=False)
            if holder is not None:
                await self._contender.delete_node()
                raise LockMismatchError(
                    f"{self.path!r} is used as a lock, held by {holder}, and cannot be used as a semaphore"
                    " (as a service registry's locks are): use another path, or a lock",
                    path=self.path,
                )

    # The number of leases.

    async def _stored_leases(self) -> tuple[int, int]:
        """Read the number of leases from the semaphore's node, and create the node if it is missing.

        :returns: the number, which is ours where the node holds none, and the node's version.
        """
        while True:
            try:
                data, stat = await self._retry_policy.send(lambda: self._client.get(self.path))
            except NoNodeException:
                await create_path(
                    self._client,
                    self.path,
                    self._contender.acl,
                    str(self.leases).encode(),
                    send=self._retry_policy.send,
                )
                continue
            try:
                return int(data.decode()), stat.version
            except ValueError:
                # The data is not a number; kazoo ignores it too.
                return self.leases, stat.version

    async def _store_leases(self) -> None:
        """Write our number of leases, as the first in the queue, if another is stored and unused.

        :raises LockMismatchError: the other number is in use, or we may not write.
        :raises LockNodeGone: our node in the queue is gone.
        """
        while True:
            leases, version = await self._stored_leases()
            if leases == self.leases:
                return
            await self._refuse_others(leases, in_queue=1)
            if not self._queue_lock.held:
                raise LockNodeGone
            number = str(self.leases).encode()
            try:
                await self._retry_policy.send(lambda: self._client.set(self.path, number, version))  # noqa: B023
            except (BadVersionException, NoNodeException):
                # Another contender was faster, or our write succeeded but its reply was lost.
                continue
            except NoAuthException:
                raise LockMismatchError(
                    f"the semaphore {self.path!r} has {leases} leases, not {self.leases}, and its ACL does not let us change that:"
                    f" ask for {leases}, or have the node changed",
                    path=self.path,
                ) from None
            self._log.warn(
                "Changed the semaphore {path} from {former} to {leases} leases, because nobody used it.",
                path=self.path,
                leases=self.leases,
                former=leases,
            )

    async def _refuse_others(self, leases: int, in_queue: int) -> None:
        """Fail if the semaphore is in use with another number of leases.

        :param leases: that number.
        :param in_queue: how many nodes at the head of the queue are ours.
        :raises LockMismatchError: it is in use.
        """
        holders = await self._children(self.path)
        waiting = self._order.in_order(await self._children(self._queue_lock.path))[in_queue:]
        for parent, names in ((self.path, holders), (self._queue_lock.path, waiting)):
            for name in names:
                other = await occupant(self._client, self._retry_policy, paths.join(parent, name))
                if other is not None:
                    does = "holds" if parent == self.path else "waits for"
                    raise LockMismatchError(
                        f"the semaphore {self.path!r} has {leases} leases, not {self.leases}, and {other} {does} one: ask for"
                        f" {leases}, or ask again when nobody uses it, which writes the new number",
                        path=self.path,
                    )

    async def _children(self, path: str) -> list[str]:
        try:
            return await self._contender.children(path)
        except NoNodeException:
            return []

    async def leave(self) -> None:
        """Delete our node in the queue too."""
        await self._queue_lock.release()
