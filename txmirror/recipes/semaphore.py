"""A lock with more than one holder at a time."""

from __future__ import annotations

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime

from txmirror.errors import NoNodeException
from txmirror.interfaces import IZooKeeperClient
from txmirror.recipes.claim import Claim, Gone
from txmirror.recipes.lock import Lock, names_in
from txmirror.recipes.own_node import OwnNode, ensure
from txmirror.recipes.patience import drop


class Semaphore(Claim):
    """So many leases that programs anywhere share: each holder has one, and gets it in the order in which they came.

    A lease is an ephemeral node below the semaphore's; who wants one stands in line at a :class:`Lock` beside it, whose holder
    alone looks for a free one. All is named as kazoo's ``Semaphore`` does it (the lock is ``<path>-__lock__``, and the
    number of leases stands in the semaphore's node), so that both count one another.

    Not re-entrant, as :class:`Lock`. A lease's fencing token is no order among those who hold others.

    :param client: whose session holds the lease.
    :param path: the semaphore's node, whose children are the leases. It and those above it are made where they are missing,
        persistent and open to everybody.
    :param leases: how many there are. The same for all who share the semaphore: the first writes it down.
    :param name: what others see of us.
    :param clock: the reactor; the global one if None.
    :ivar path: the semaphore's node.
    :ivar name: our name.
    :ivar leases: how many leases there are.
    :raises PathError: ``path`` is no znode path, or the root.
    :raises ValueError: ``leases`` is no whole number above 0.
    """

    def __init__(
        self,
        client: IZooKeeperClient,
        path: str,
        *,
        leases: int = 1,
        name: str = "",
        clock: IReactorTime | None = None,
    ) -> None:
        super().__init__(client, path, name, clock)
        if type(leases) is not int or leases < 1:
            raise ValueError(f"the number of leases is a whole number above 0, not {leases!r:.60}")
        self.leases = leases
        self._turn = Lock(client, f"{path}-__lock__", name=name, clock=self._clock)

    def acquire(self, *, wait: float | None = None) -> Deferred[bool]:
        """Stand in line, and wait until a lease is held. What is not said here is as :meth:`Lock.acquire` has it.

        :param wait: with 0, False also means that somebody else was just looking for a lease.
        :returns: fails with ``ValueError`` where the semaphore's node has another number of leases.
        """
        return super().acquire(wait=wait)

    def contenders(self) -> Deferred[list[str]]:
        """Ask for the names of those who wait for a lease, the first in line first. See :meth:`Lock.contenders`."""
        return self._turn.contenders()

    def holders(self) -> Deferred[list[str]]:
        """Ask for the names of those who hold a lease, in no order. See :meth:`Lock.contenders`."""
        return Deferred.fromCoroutine(self._holders())

    async def _holders(self) -> list[str]:
        try:
            children = await self._client.get_children(self.path)
        except NoNodeException:
            return []
        return await names_in(self._client, self.path, children)

    async def _obtain(self, patient: bool) -> bool:
        await self._agree()
        try:
            if not await self._turn.acquire(wait=None if patient else 0):
                return False
            # The servers let nobody else be here while the session lives, whose end also ends what is asked in it.
            while True:
                try:
                    names, change = await self._patience.ask_and_watch(
                        lambda: self._client.get_children_and_watch(self.path)
                    )
                except NoNodeException:
                    break
                try:
                    if not self._turn.held:
                        break
                    if len(names) < self.leases:
                        node = self._node = OwnNode(self._client, self._patience, self.path, self._data)
                        await node.make()
                        await self._hold(node)
                        return True
                    if not patient:
                        return False
                    await change
                finally:
                    drop(change)
            raise Gone
        finally:
            # It is waited for where nothing may be left behind.
            self._turn.release().addErrback(lambda _: None)

    async def _agree(self) -> None:
        """See that the semaphore's node is there, and has our number of leases.

        :raises ValueError: it has another.
        """
        while True:
            try:
                data, _ = await self._patience.ask(lambda: self._client.get(self.path))
                break
            except NoNodeException:
                await ensure(self._client, self._patience, self.path, str(self.leases).encode())
        try:
            there = int(data.decode())
        except ValueError:
            # It has some other use, as far as kazoo is concerned.
            return
        if there != self.leases:
            raise ValueError(f"the semaphore {self.path!r} has {there} leases, not {self.leases}")

    async def _remove(self, node: OwnNode | None) -> None:
        await super()._remove(node)
        await self._turn.release()
