"""Delete everything below a node."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

from twisted.internet.defer import Deferred, gatherResults

from txmirror import paths
from txmirror.errors import NoNodeException, NotEmptyException, ZooKeeperException
from txmirror.interfaces import IZooKeeperClient

_T = TypeVar("_T")

#: How many nodes below one are deleted at a time.
_DELETIONS = 256


class TreeDeletion:
    """The deletion of a node with everything below it, even if others create or delete nodes there meanwhile.

    :param client: deletes the nodes.
    :ivar deleted: the number of nodes below it that were deleted so far.
    """

    def __init__(self, client: IZooKeeperClient) -> None:
        self._client = client
        self.deleted: int = 0
        #: Whether a node below it was deleted, or may have been.
        self._changed = False

    async def delete(self, path: str, send: Callable[[], Awaitable[_T]]) -> _T:
        """Delete everything below a node, and then the node.

        :param send: sends the request that deletes the node itself.
        :raises ZooKeeperException: a request failed. ``applied`` is None if a node below it was deleted, or may have been: a refusal
            of the last request does not undo that.
        """
        try:
            while True:
                await self._empty(path)
                try:
                    return await send()
                except NotEmptyException:
                    pass
        except ZooKeeperException as error:
            if self._changed:
                error.applied = None
            raise

    async def _empty(self, path: str) -> None:
        """Delete everything below a node."""
        waiting: list[tuple[str, list[str] | None]] = [(path, None)]
        while waiting:
            parent, children = waiting.pop()
            if children is None:
                children = [paths.join(parent, name) for name in await self._names_below(parent)]
            full = await self._delete_many(children)
            if full:
                # Delete their children first, and then them.
                waiting.append((parent, full))
                waiting += [(child, None) for child in full]

    async def _delete_many(self, nodes: list[str]) -> list[str]:
        """Delete nodes, many at a time.

        :returns: those that have children, and still exist.
        """
        full: list[str] = []
        for start in range(0, len(nodes), _DELETIONS):
            children = nodes[start : start + _DELETIONS]
            deletions: list[Deferred[Any]] = [
                self._client.delete(child).addErrback(lambda failure: failure.value) for child in children
            ]
            errors = await gatherResults(deletions)
            self.deleted += errors.count(None)
            self._changed |= any(getattr(error, "applied", None) is not False for error in errors)
            for child, error in zip(children, errors, strict=True):
                if isinstance(error, NotEmptyException):
                    full.append(child)
                elif error is not None and not isinstance(error, NoNodeException):
                    raise error
        return full

    async def _names_below(self, path: str) -> list[str]:
        """Return the names of a node's children; none if the node is gone."""
        try:
            return list(await self._client.get_children(path))
        except NoNodeException:
            return []
