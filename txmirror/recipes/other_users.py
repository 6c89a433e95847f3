"""Recognise nodes of other recipes at the path of a lock or a semaphore: neither would exclude the other."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable

from txmirror import paths
from txmirror.errors import NoAuthException, NoNodeException
from txmirror.interfaces import IZooKeeperClient
from txmirror.recipes.lock_node import occupant
from txmirror.recipes.lock_order import LockOrder
from txmirror.recipes.retry_policy import RetryPolicy

#: The children of the node of Curator's ``InterProcessSemaphoreV2``, and the names of the nodes below these.
_CURATOR_SEMAPHORE = {"leases": re.compile(r"-lease-\d{10}\Z"), "locks": re.compile(r"-lock-\d{10}\Z")}


class OtherUsers:
    """Searches for other recipes' nodes.

    :param client: reads them.
    :param policy: sends the requests.
    :param path: the path of the lock or the semaphore.
    :param order: the contenders that are our own kind.
    """

    def __init__(self, client: IZooKeeperClient, policy: RetryPolicy, path: str, order: LockOrder) -> None:
        self._client = client
        self._policy = policy
        self._path = path
        self._order = order

    async def find(self, names: Collection[str]) -> str | None:
        """Return a sentence about another recipe that uses the path now; None if there is none.

        :param names: the names of the node's children.
        """
        for name, style in self._order.foreign(names):
            holder = await occupant(self._client, self._policy, paths.join(self._path, name))
            if holder is not None:
                advice = f"use another path, or a lock with style={style.name!r}"
                return f"{self._path!r} is used as a lock of another kind, {style.user}, by {holder}: {advice}"
        if await self._is_curators_semaphore(names):
            return f"{self._path!r} is used as a semaphore by Curator's InterProcessSemaphoreV2: use another path"
        return None

    async def _is_curators_semaphore(self, names: Collection[str]) -> bool:
        for parent, form in _CURATOR_SEMAPHORE.items():
            if parent in names and any(form.search(name) for name in await self._children(parent)):
                return True
        return False

    async def _children(self, name: str) -> Iterable[str]:
        try:
            return await self._policy.send(lambda: self._client.get_children(paths.join(self._path, name)))
        except (NoNodeException, NoAuthException):
            return ()
