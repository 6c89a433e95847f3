"""Writes of several requests: missing parents, whole subtrees, and nodes of every kind."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, TypeAlias

from twisted.internet.defer import Deferred, fail, maybeDeferred
from twisted.python.failure import Failure

from txmirror import paths
from txmirror.creating_paths import create_path
from txmirror.deleting_trees import TreeDeletion
from txmirror.errors import NoNodeException, NotEmptyException, UnimplementedException
from txmirror.interfaces import ICreateModes, IWatchFeed, IZooKeeperClient
from txmirror.types import ACL, CreateReply, StatReply, ZnodeStat
from txmirror.wire import CreateFlag

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
        deletion = TreeDeletion(self._client)
        return Deferred.fromCoroutine(deletion.delete(path, partial(self._feed.write_delete, path, version)))
