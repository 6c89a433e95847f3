"""A lock with more than one holder at a time."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime

from txmirror import paths
from txmirror.errors import (
    BadVersionException,
    LockMismatchError,
    NoAuthException,
    NoNodeException,
    ZooKeeperException,
)
from txmirror.interfaces import IZooKeeperClient
from txmirror.mirror import Mirror
from txmirror.recipes.clients import connecting
from txmirror.recipes.lock import Lock, names_in
from txmirror.recipes.lock_base import LockBase, LockNodeGone
from txmirror.recipes.lock_node import LockNode, ensure
from txmirror.recipes.lock_order import in_order
from txmirror.recipes.occupants import occupant
from txmirror.recipes.retry_policy import discard
from txmirror.types import ACL


class Semaphore(LockBase):
    """So many leases that programs anywhere share: each holder has one, and gets it in the order in which they came.

    A lease is an ephemeral node below the semaphore's; who wants one stands in line at a :class:`Lock` beside it, whose holder
    alone looks for a free one. All is named as kazoo's ``Semaphore`` does it (the lock is ``<path>-__lock__``, and the
    number of leases stands in the semaphore's node), so that both count one another.

    Not re-entrant, as :class:`Lock`. A lease's fencing token is no order among those who hold others. A :class:`Lock` or
    :class:`Election` does not go with a semaphore on the same path, as :class:`Lock` says.

    :param client: whose session holds the lease; as for :class:`Lock`.
    :param path: the semaphore's node, whose children are the leases. It and those above it are made where they are missing,
        persistent.
    :param leases: how many there are. The same for all who share the semaphore: the first writes it down. Where another number
        is there and nobody holds or waits for a lease, ours is written in its place, with a warning in the log.
    :param name: what others see of us.
    :param acl: the access control list of the leases, of the places in line, and of the nodes that these are below, if they are
        made here; otherwise as for :class:`Lock`. Whoever is to change the number of leases needs permission to write.
    :param reactor: the reactor; the global one if None.
    :ivar path: the semaphore's node.
    :ivar name: our name.
    :ivar acl: the access control list of the nodes that are made from now on.
    :ivar leases: how many leases there are.
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
        super().__init__(client, path, name, acl, reactor)
        if type(leases) is not int or leases < 1:
            raise ValueError(f"the number of leases is a whole number above 0, not {leases!r:.60}")
        self.leases = leases
        self._queue_lock = Lock(client, f"{path}-__lock__", name=name, acl=acl, reactor=self._reactor)

    def acquire(self, *, wait: float | None = None) -> Deferred[bool]:
        """Stand in line, and wait until a lease is held. What is not said here is as :meth:`Lock.acquire` has it.

        :param wait: with 0, False also means that somebody else was just looking for a lease.
        :returns: fires with True when a lease is held and our place in line is given up. Fails with
            :exc:`~txmirror.errors.LockMismatchError` where others use the semaphore with another number of leases, or somebody
            holds a lock at its path.
        """
        return super().acquire(wait=wait)

    def contenders(self) -> Deferred[list[str]]:
        """Ask for the names of those who wait for a lease, the first in line first. See :meth:`Lock.contenders`."""
        return self._queue_lock.contenders()

    def holders(self) -> Deferred[list[str]]:
        """Ask for the names of those who hold a lease, in no order. See :meth:`Lock.contenders`."""
        return connecting(self._client, lambda: Deferred.fromCoroutine(self._holders()))

    async def _holders(self) -> list[str]:
        try:
            children = await self._client.get_children(self.path)
        except NoNodeException:
            return []
        return await names_in(self._client, self.path, children)

    async def _obtain(self, blocking: bool) -> bool:
        self._queue_lock.acl = self.acl
        leases, _ = await self._stored_leases()
        if leases != self.leases:
            await self._refuse_others(leases, in_queue=0)
        try:
            if not await self._queue_lock.acquire(wait=None if blocking else 0):
                return False
            await self._store_leases()
            node = await self._take_lease(blocking)
        except LockMismatchError:
            await self._leave_queue()
            raise
        except BaseException:
            # It is waited for where nothing may be left behind.
            self._queue_lock.release().addErrback(lambda _: None)
            raise
        await self._leave_queue()
        if node is None:
            return False
        await self._refuse_lock()
        await self._hold(node)
        return True

    async def _leave_queue(self) -> None:
        """Give up our place in line. What a server refuses was logged: the place then goes with the session."""
        with contextlib.suppress(ZooKeeperException):
            await self._queue_lock.release()

    async def _take_lease(self, blocking: bool) -> LockNode | None:
        """Wait for a free lease, as the first in line, and make a node for it, kept in ``_node``.

        The servers let nobody else do that while the session lives, whose end also ends what is asked in it.

        :returns: the node; None if there is no free lease, and we are not patient.
        :raises LockMismatchError: somebody holds a lock at our path.
        :raises Gone: our place in line is gone, or the semaphore's node.
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
                contenders = in_order(names)
                # Where somebody has a lease, whoever wants a lock is told so, and goes.
                if contenders and (len(names) < self.leases or len(names) == len(contenders)):
                    await self._refuse_contenders(contenders)
                    # They are gone by now.
                    continue
                if len(names) < self.leases:
                    node = self._node = LockNode(self._client, self._retry_policy, self.path, self._data, self.acl)
                    await node.make()
                    return node
                if not blocking:
                    return None
                await change
            finally:
                discard(change)

    async def _refuse_lock(self) -> None:
        """See that nobody holds a lock at our path, where our lease is by now: who comes later sees it.

        :raises LockMismatchError: somebody does; then our lease is gone.
        """
        try:
            names = await self._retry_policy.send(lambda: self._client.get_children(self.path))
        except NoNodeException:
            raise LockNodeGone from None
        await self._refuse_contenders(in_order(names))

    async def _refuse_contenders(self, contenders: list[str]) -> None:
        """Fail if somebody contends for a lock at our path.

        :param contenders: the names of their nodes.
        :raises LockMismatchError: somebody does; then we have no lease.
        """
        for name in contenders:
            where = paths.join(self.path, name)
            holder = await occupant(self._client, self._retry_policy, where, ephemeral=False)
            if holder is not None:
                await self._delete_node()
                raise LockMismatchError(
                    f"{self.path!r} is used as a lock, held by {holder}, and cannot be used as a semaphore"
                    " (as a service registry's locks are): use another path, or a lock",
                    path=self.path,
                )

    # How many leases there are.

    async def _stored_leases(self) -> tuple[int, int]:
        """Ask how many leases the semaphore's node says that there are, and make it if it is missing.

        :returns: the number, which is ours where the node holds none, and the node's version.
        """
        while True:
            try:
                data, stat = await self._retry_policy.send(lambda: self._client.get(self.path))
            except NoNodeException:
                await ensure(self._client, self._retry_policy, self.path, self.acl, str(self.leases).encode())
                continue
            try:
                return int(data.decode()), stat.version
            except ValueError:
                # It has some other use, as far as kazoo is concerned.
                return self.leases, stat.version

    async def _store_leases(self) -> None:
        """Write our number of leases, as the first in line, if another is there and nobody uses that.

        :raises LockMismatchError: somebody does, or the number may not be written.
        :raises Gone: our place in line is gone.
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
                # Somebody was faster, or it was done before an answer was lost.
                continue
            except NoAuthException:
                raise LockMismatchError(
                    f"the semaphore {self.path!r} has {leases} leases, not {self.leases}, and its ACL does not let us change that:"
                    f" ask for {leases}, or have the node changed",
                    path=self.path,
                ) from None
            self._log.warn(
                "The semaphore {path} has {leases} leases now, not {former}: nobody used it.",
                path=self.path,
                leases=self.leases,
                former=leases,
            )

    async def _refuse_others(self, leases: int, in_queue: int) -> None:
        """Fail if anybody uses the semaphore, with another number of leases.

        :param leases: that number.
        :param in_line: how many places at the head of the line are ours.
        :raises LockMismatchError: somebody does.
        """
        holders = await self._children(self.path)
        waiting = in_order(await self._children(self._queue_lock.path))[in_queue:]
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
            return await self._retry_policy.send(lambda: self._client.get_children(path))
        except NoNodeException:
            return []

    async def _remove(self, node: LockNode | None) -> None:
        try:
            await super()._remove(node)
        finally:
            await self._queue_lock.release()
