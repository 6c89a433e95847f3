"""One znode, as programs use it: read from memory, written at the servers."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar

from twisted.internet.defer import Deferred, fail, maybeDeferred, succeed
from twisted.python.failure import Failure

from txmirror import paths
from txmirror.creating_paths import create_path
from txmirror.errors import NoNodeException, NotEmptyException, UnimplementedException
from txmirror.interfaces import ICreateModes
from txmirror.mirror.cached_node import CachedNode
from txmirror.mirror.cached_value import CachedValue
from txmirror.mirror.state import NodeState
from txmirror.mirror.stream import Values
from txmirror.types import ACL, OPEN_ACL, CreateReply, StatReply, ZnodeStat
from txmirror.wire import CreateFlag

if TYPE_CHECKING:
    from txmirror.mirror.mirror import Mirror

_T = TypeVar("_T")
#: The path of the node that was made, and its stat.
_Created: TypeAlias = "tuple[str, ZnodeStat] | CreateReply"


class Node:
    """A znode of a mirror, whether or not it exists and whether or not ZooKeeper can be reached.

    There is one object for each path and mirror: :meth:`Mirror.get` makes it. When it is no longer referenced, has no
    watchers and nothing waits for it, its mirror keeps the cached state for a while (``linger``). Then it evicts the state
    and removes its watches at the server.

    :ivar path: the znode's path.
    :ivar state: a snapshot of the node, a :class:`~txmirror.mirror.NodeState`. Reading it costs no round trip.
    """

    __slots__ = ("__weakref__", "_cached", "_mirror", "path", "state")

    def __init__(self, mirror: Mirror, cached: CachedNode) -> None:
        self.path = cached.path
        self.state: NodeState = cached.state
        self._mirror = mirror
        self._cached = cached

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.path!r} {self.state.existence.value}>"

    # Reading.

    def value(self, timeout: float | None = 5.0, *, fresh: bool = False) -> Deferred[tuple[bytes, ZnodeStat]]:
        """Read the node's data and stat: from memory, if they are known and not known to have changed.

        While disconnected, it returns the last known value.

        :param timeout: how long to wait for a value that is not known yet, in seconds; None waits without limit.
        :param fresh: ask the servers, behind a ``sync``: then the result shows every write, by any client, that was done when
            this was called. While disconnected it waits.
        :returns: fires with both. Fails with :exc:`~txmirror.errors.NoNodeException`, with
            :exc:`~txmirror.errors.OperationTimeoutException` if nothing was known in time, with the server's refusal
            (:exc:`~txmirror.errors.NoAuthException`) if it may not be read (any more), or with
            :exc:`~txmirror.errors.ClosingException`; a fresh read also as any request does. Cancelling ends the wait.
        """
        part = self._cached.values
        if not fresh and part.current and part.value is not None:
            return succeed(part.value)
        return Deferred.fromCoroutine(self._read(part, timeout, fresh))

    def children(self, timeout: float | None = 5.0, *, fresh: bool = False) -> Deferred[list[str]]:
        """Read the names of the node's children, sorted; otherwise as :meth:`value`."""
        return Deferred.fromCoroutine(self._read_names(timeout, fresh))

    def exists(self, timeout: float | None = 5.0, *, fresh: bool = False) -> Deferred[ZnodeStat | None]:
        """Read the node's stat, or None if there is no such node; otherwise as :meth:`value`."""
        return Deferred.fromCoroutine(self._read_existence(timeout, fresh))

    def values(self) -> Values:
        """Return an asynchronous iterator for ``async for`` over the node's value: the current one, and then each new one.

        Each step returns ``(data, stat)``, or None while the node is absent. A loop whose body takes longer than the next
        change gets the latest value, and misses those between. The first step waits until a value is known. The iterator ends
        when the mirror is closed. A loop that ends early leaves nothing behind.
        """
        return Values(self, self._mirror.when_closed)

    # Writing.

    def create(
        self,
        value: bytes = b"",
        *,
        ephemeral: bool = False,
        sequence: bool = False,
        container: bool = False,
        ttl: float | None = None,
        protect: bool = False,
        makepath: bool = False,
        acl: Sequence[ACL] | None = None,
    ) -> Deferred[Node]:
        """Create the znode, and wait until this object, and its parent's if there is one, shows it.

        :param value: its data.
        :param ephemeral: the server deletes it when the session ends.
        :param sequence: the server appends ten digits to its name. After a lost connection nobody can know whether an
            unprotected node was created.
        :param container: the server deletes it some time after its last child was deleted.
        :param ttl: the server deletes it when it was not changed, and had no children, for so many seconds.
        :param protect: put a GUID into its name, so that it is found after a lost connection, and not created twice.
        :param makepath: create the missing nodes above it, persistent and open to everybody.
        :param acl: its access control list; open to everybody if None.
        :returns: fires with the created node: this one, or that of the name with digits or a GUID. Fails as
            :meth:`~txmirror.interfaces.IZooKeeperClient.create`; where ``applied`` is None, this object shows the result of
            the write as soon as it is known. Cancelling abandons the wait, not a write that was sent.
        :raises ValueError: these modes cannot be combined.
        """
        send = self._creation(value, OPEN_ACL if acl is None else acl, ephemeral, sequence, container, ttl, protect)
        created = maybeDeferred(send)
        if makepath:
            created.addErrback(self._make_parents, send)
        return created.addCallback(self._created, value)

    def set(self, value: bytes, version: int) -> Deferred[ZnodeStat]:
        """Replace the znode's data, and wait until this object shows it.

        Writes reach ZooKeeper in the order in which they were called.

        :param version: the version that the znode must be at; -1 takes any.
        :returns: fires with the new stat. Fails as :meth:`~txmirror.interfaces.IZooKeeperClient.set`; where ``applied`` is
            None, this object shows the result of the write as soon as it is known. Cancelling abandons the wait, not a write
            that was sent.
        """
        written = maybeDeferred(self._mirror.feed.write_data, self.path, value, version)
        return written.addCallback(self._written, value)

    def delete(self, version: int = -1, *, recursive: bool = False) -> Deferred[None]:
        """Delete the znode, and wait until this object, and its parent's if there is one, shows it.

        :param version: the version that the znode must be at; -1 takes any.
        :param recursive: delete everything below it first, at any version.
        :returns: fires when it is gone. Fails as :meth:`~txmirror.interfaces.IZooKeeperClient.delete`; where ``applied`` is
            None, this object shows the result of the write as soon as it is known. Cancelling abandons the wait, not a write
            that was sent.
        """
        deleted = maybeDeferred(self._mirror.feed.write_delete, self.path, version)
        if recursive:
            deleted.addErrback(self._delete_below, version)
        return deleted.addCallback(self._deleted)

    # Watching.

    def addValueWatcher(self, key: Hashable, function: Callable[[tuple[bytes, ZnodeStat] | None], object]) -> None:
        """Call ``function`` with each new value from now on: the data and stat, or None once the node is absent.

        Changes come in order, each once. Several changes in quick succession may be seen as one. The first value that becomes
        known is a change; adding a watcher is none. A watcher that raises is logged, and stays.

        :param key: removes the watcher again; a watcher with the same key is replaced.
        """
        self._watch(self._cached.values, key, function)

    def delValueWatcher(self, key: Hashable) -> None:
        """Remove the value watcher with this key; silent if there is none."""
        self._unwatch(self._cached.values, key)

    def addChildWatcher(self, key: Hashable, function: Callable[[list[str] | None], object]) -> None:
        """Call ``function`` with each new list of children, sorted, or None; otherwise as :meth:`addValueWatcher`."""
        self._watch(self._cached.names, key, function)

    def delChildWatcher(self, key: Hashable) -> None:
        """Remove the child watcher with this key; silent if there is none."""
        self._unwatch(self._cached.names, key)

    def _watch(self, part: CachedValue[_T], key: Hashable, function: Callable[..., object]) -> None:
        part.watch(key, function)
        self._cached.watchers_changed()

    def _unwatch(self, part: CachedValue[_T], key: Hashable) -> None:
        part.unwatch(key)
        self._cached.watchers_changed()

    # Implementation.

    async def _read(self, part: CachedValue[_T], timeout: float | None, fresh: bool) -> _T:
        if fresh:
            await self._cached.freshen(timeout)
        return await self._cached.read(part, timeout)

    async def _read_names(self, timeout: float | None, fresh: bool) -> list[str]:
        names = await self._read(self._cached.names, timeout, fresh)
        return list(names)

    async def _read_existence(self, timeout: float | None, fresh: bool) -> ZnodeStat | None:
        try:
            _, stat = await self._read(self._cached.values, timeout, fresh)
        except NoNodeException:
            return None
        return stat

    def _creation(
        self,
        value: bytes,
        acl: Sequence[ACL],
        ephemeral: bool,
        sequence: bool,
        container: bool,
        ttl: float | None,
        protect: bool,
    ) -> Callable[[], Deferred[Any]]:
        """Return a function that sends the create, and whose Deferred fires with the node's path and stat."""
        if container and (ephemeral or sequence or ttl is not None or protect):
            raise ValueError("a container is neither ephemeral nor in a sequence, has no time to live, and no GUID")
        if ttl is not None and (ephemeral or protect):
            raise ValueError("a node with a time to live is not ephemeral, and has no GUID")
        path = self.path
        if container or ttl is not None or protect:
            modes: ICreateModes | None = ICreateModes(self._mirror.client, None)
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
        return partial(
            self._mirror.feed.write_create, path, value, acl, CreateFlag.of(ephemeral=ephemeral, sequence=sequence)
        )

    async def _make_path(self, send: Callable[[], Deferred[Any]]) -> _Created:
        await create_path(self._mirror.client, paths.parent_of(self.path) or "/")
        created: _Created = await send()
        return created

    def _make_parents(self, failure: Failure, send: Callable[[], Deferred[Any]]) -> Deferred[_Created]:
        failure.trap(NoNodeException)
        return Deferred.fromCoroutine(self._make_path(send))

    def _created(self, created: _Created, value: bytes) -> Node | Deferred[Node]:
        path, stat = (created.path, created.stat) if isinstance(created, CreateReply) else created
        node = self if path == self.path else self._mirror.get(path)
        node._cached.was_written(value, stat)
        on_change = self._mirror.parent_shows(path)
        return node if on_change is None else on_change.addCallback(lambda _: node)

    def _written(self, reply: StatReply, value: bytes) -> ZnodeStat:
        assert reply.stat is not None
        self._cached.was_written(value, reply.stat)
        return reply.stat

    def _deleted(self, zxid: int) -> Deferred[None] | None:
        self._cached.was_deleted(zxid)
        return self._mirror.parent_shows(self.path)

    def _delete_below(self, failure: Failure, version: int) -> Deferred[int]:
        failure.trap(NotEmptyException)
        return Deferred.fromCoroutine(self._delete_all(version))

    async def _delete_all(self, version: int) -> int:
        while True:
            await self._mirror.delete_below(self.path)
            try:
                return await self._mirror.feed.write_delete(self.path, version)
            except NotEmptyException:
                pass
