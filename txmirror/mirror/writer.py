"""Writes of several requests: missing parents, whole subtrees, and nodes of every kind."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, TypeAlias

from twisted.internet.defer import Deferred, fail, gatherResults, maybeDeferred
from twisted.python.failure import Failure

from txmirror import paths
from txmirror.creating_paths import create_path
from txmirror.errors import NoNodeException, NotEmptyException, UnimplementedException, ZooKeeperException
from txmirror.interfaces import ICreateModes, IWatchFeed, IZooKeeperClient
from txmirror.types import ACL, CreateReply, StatReply, ZnodeStat
from txmirror.wire import CreateFlag

#: How many nodes below one are deleted at a time.
_DELETIONS = 256

#: The path of the node that was made, and its stat.
Created: TypeAlias = "tuple[str, ZnodeStat] | CreateReply"


class Writer:
    """Writes nodes with a client, whether or not they are cached.

    :param client: sends the requests.
    :param feed: the client's feed.
    """

    def __init__(self, client: IZooKeeperClient, feed: IWatchFeed) -> None:
        self._client = client
        self._feed = feed

    def set(self, path: str, value: bytes, version: int) -> Deferred[StatReply]:
        """Replace a node's data."""
        return maybeDeferred(self._feed.write_data, path, value, version)

    def create(self, send: Callable[[], Deferred[Created]], path: str, *, makepath: bool) -> Deferred[Created]:
        """Create a node.

        :param send: sends the request; see :meth:`creation`.
        :param makepath: create the missing nodes above it too.
        """
        created = maybeDeferred(send)
        if makepath:
            created.addErrback(self._make_parents, send, path)
        return created

    def delete(self, path: str, version: int, *, recursive: bool) -> Deferred[int]:
        """Delete a node, and everything below it if ``recursive``.

        :returns: fires with the zxid of the deletion.
        """
        deleted = maybeDeferred(self._feed.write_delete, path, version)
        if recursive:
            deleted.addErrback(self._delete_below, path, version)
        return deleted

    def creation(
        self,
        path: str,
        value: bytes,
        acl: Sequence[ACL],
        *,
        ephemeral: bool,
        sequence: bool,
        container: bool,
        ttl: float | None,
        protect: bool,
    ) -> Callable[[], Deferred[Any]]:
        """Return a function that sends the request for a new node, and whose Deferred fires with its path and stat.

        :raises ValueError: these modes cannot be combined.
        """
        if container and (ephemeral or sequence or ttl is not None or protect):
            raise ValueError("a container is neither ephemeral nor in a sequence, has no time to live, and no GUID")
        if ttl is not None and (ephemeral or protect):
            raise ValueError("a node with a time to live is not ephemeral, and has no GUID")
        if container or ttl is not None or protect:
            modes: ICreateModes | None = ICreateModes(self._client, None)
            if modes is None:
                why = "this client makes neither containers, nor nodes with a time to live or a GUID"
                return lambda: fail(UnimplementedException(why, path=path))
            if container:
                return partial(modes.create_container, path, value, acl)
            if ttl is not None:
                return partial(modes.create_with_ttl, path, value, acl, ttl=ttl, sequence=sequence)
            return partial(
                modes.create_and_stat, path, value, acl, ephemeral=ephemeral, sequence=sequence, protect=True
            )
        flags = CreateFlag.of(ephemeral=ephemeral, sequence=sequence)
        return partial(self._feed.write_create, path, value, acl, flags)

    def _make_parents(self, failure: Failure, send: Callable[[], Deferred[Created]], path: str) -> Deferred[Created]:
        failure.trap(NoNodeException)
        return Deferred.fromCoroutine(self._make_path(send, path))

    async def _make_path(self, send: Callable[[], Deferred[Created]], path: str) -> Created:
        await create_path(self._client, paths.parent_of(path) or "/")
        return await send()

    def _delete_below(self, failure: Failure, path: str, version: int) -> Deferred[int]:
        failure.trap(NotEmptyException)
        subtree = _Subtree(self._client)
        deleted = Deferred.fromCoroutine(subtree.delete(path, partial(self._feed.write_delete, path, version)))
        return deleted.addErrback(subtree.correct)


class _Subtree:
    """The recursive deletion of a node.

    :param client: deletes the nodes.
    """

    def __init__(self, client: IZooKeeperClient) -> None:
        self._client = client
        #: Whether a node below it was deleted, or may have been.
        self._changed = False

    async def delete(self, path: str, send: Callable[[], Deferred[int]]) -> int:
        """Delete everything below a node, and then the node.

        :param send: sends the request that deletes the node itself.
        """
        while True:
            await self._empty(path)
            try:
                return await send()
            except NotEmptyException:
                pass

    def correct(self, failure: Failure) -> Failure:
        """Note in an exception that the deletion was done in part: a refusal of the last request does not undo it."""
        if self._changed and isinstance(failure.value, ZooKeeperException):
            failure.value.applied = None
        return failure

    async def _empty(self, path: str) -> None:
        """Delete everything below a node, even if others create or delete nodes there meanwhile."""
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
