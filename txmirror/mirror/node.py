"""One znode, as programs use it: read from memory, written at the servers."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from typing import Protocol, TypeVar

from twisted.internet.defer import Deferred, succeed
from twisted.python.failure import Failure

from txmirror.errors import NoNodeException
from txmirror.mirror import reading
from txmirror.mirror.cached_value import CachedValue
from txmirror.mirror.changes import Value
from txmirror.mirror.record import Record
from txmirror.mirror.state import NodeState
from txmirror.mirror.store import DATA, NAMES
from txmirror.mirror.stream import Values
from txmirror.mirror.writer import Created, Writer
from txmirror.types import ACL, OPEN_ACL, CreateReply, StatReply, ZnodeStat

_T = TypeVar("_T")


class NodeFamily(Protocol):
    """All nodes of a mirror, as each of them needs it.

    :ivar writer: writes nodes.
    """

    writer: Writer

    def get(self, path: str) -> Node:
        """Return the node at a path."""

    def parent_shows(self, path: str) -> Deferred[None] | None:
        """Wait until the parent of a node that was written shows it; None if there is nothing to wait for."""

    def when_closed(self) -> Deferred[None]:
        """Wait until the mirror is closed. Cancelling ends the wait."""


class Node:
    """A znode of a mirror, whether or not it exists and whether or not ZooKeeper can be reached.

    There is one object for each path and mirror: :meth:`Mirror.get` makes it. When it is no longer referenced, has no
    watchers and nothing waits for it, its mirror keeps the cached state for a while (``linger``). Then it evicts the state
    and removes its watches at the server.

    :ivar path: the znode's path.
    :ivar state: a snapshot of the node, a :class:`~txmirror.mirror.NodeState`. Reading it costs no round trip.
    """

    __slots__ = ("__weakref__", "_family", "_record", "path", "state")

    def __init__(self, family: NodeFamily, record: Record) -> None:
        self.path: str = record.path
        self.state: NodeState = record.state
        self._family = family
        self._record = record

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
        record = self._record
        cached = record.value
        if not fresh and cached.value is not None and self.path not in record.marked_data:
            return succeed(cached.value)
        return self._read(DATA, cached, timeout, fresh)

    def children(self, timeout: float | None = 5.0, *, fresh: bool = False) -> Deferred[list[str]]:
        """Read the names of the node's children, sorted; otherwise as :meth:`value`.

        They are read, and followed from then on, when this or :meth:`addChildWatcher` is called for the first time.
        """
        return self._read(NAMES, self._record.want_names(), timeout, fresh).addCallback(list)

    def exists(self, timeout: float | None = 5.0, *, fresh: bool = False) -> Deferred[ZnodeStat | None]:
        """Read the node's stat, or None if there is no such node; otherwise as :meth:`value`."""
        return self._read(DATA, self._record.value, timeout, fresh).addCallbacks(_stat_of, _none_if_missing)

    def values(self) -> Values:
        """Return an asynchronous iterator for ``async for`` over the node's value: the current one, and then each new one.

        Each step returns ``(data, stat)``, or None while the node is absent. A loop whose body takes longer than the next
        change gets the latest value, and misses those between. The first step waits until a value is known. The iterator ends
        when the mirror is closed. A loop that ends early leaves nothing behind.
        """
        return Values(self, self._family.when_closed)

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
        writer = self._family.writer
        send = writer.creation(
            self.path,
            value,
            OPEN_ACL if acl is None else acl,
            ephemeral=ephemeral,
            sequence=sequence,
            container=container,
            ttl=ttl,
            protect=protect,
        )
        return writer.create(send, self.path, makepath=makepath).addCallback(self._created, value)

    def set(self, value: bytes, version: int = -1) -> Deferred[ZnodeStat]:
        """Replace the znode's data, and wait until this object shows it.

        Writes reach ZooKeeper in the order in which they were called.

        :param version: the version that the znode must be at; -1 takes any.
        :returns: fires with the new stat. Fails as :meth:`~txmirror.interfaces.IZooKeeperClient.set`; where ``applied`` is
            None, this object shows the result of the write as soon as it is known. Cancelling abandons the wait, not a write
            that was sent.
        """
        return self._family.writer.set(self.path, value, version).addCallback(self._written, value)

    def delete(self, version: int = -1, *, recursive: bool = False) -> Deferred[None]:
        """Delete the znode, and wait until this object, and its parent's if there is one, shows it.

        :param version: the version that the znode must be at; -1 takes any.
        :param recursive: delete everything below it first, at any version.
        :returns: fires when it is gone. Fails as :meth:`~txmirror.interfaces.IZooKeeperClient.delete`; where ``applied`` is
            None, this object shows the result of the write as soon as it is known, or only a part of the nodes below it
            was deleted. Cancelling abandons the wait, not a write that was sent.
        """
        return self._family.writer.delete(self.path, version, recursive=recursive).addCallback(self._deleted)

    # Watching.

    def addValueWatcher(self, key: Hashable, function: Callable[[tuple[bytes, ZnodeStat] | None], object]) -> None:
        """Call ``function`` with each new value from now on: the data and stat, or None once the node is absent.

        Changes come in order, each once. Several changes in quick succession may be seen as one. The first value that becomes
        known is a change; adding a watcher is none. A watcher that raises is logged, and stays.

        :param key: removes the watcher again; a watcher with the same key is replaced.
        """
        self._record.value.watch(key, function)
        self._record.watchers_changed()

    def delValueWatcher(self, key: Hashable) -> None:
        """Remove the value watcher with this key; silent if there is none."""
        self._record.value.unwatch(key)
        self._record.watchers_changed()

    def addChildWatcher(self, key: Hashable, function: Callable[[list[str] | None], object]) -> None:
        """Call ``function`` with each new list of children, sorted, or None; otherwise as :meth:`addValueWatcher`."""
        names = self._record.want_names()
        names.watch(key, lambda value: function(None if value is None else list(value)))
        self._record.watchers_changed()

    def delChildWatcher(self, key: Hashable) -> None:
        """Remove the child watcher with this key; silent if there is none."""
        if self._record.names is not None:
            self._record.names.unwatch(key)
            self._record.watchers_changed()

    # Implementation.

    def _read(self, part: int, cached: CachedValue[_T], timeout: float | None, fresh: bool) -> Deferred[_T]:
        if fresh:
            return Deferred.fromCoroutine(reading.read_fresh(self._record, part, cached, timeout))
        return reading.read(self._record, part, cached, timeout)

    def _created(self, created: Created, value: bytes) -> Node | Deferred[Node]:
        path, stat = (created.path, created.stat) if isinstance(created, CreateReply) else created
        node = self if path == self.path else self._family.get(path)
        shown = node._record.was_written(value, stat)
        if shown is None:
            shown = self._family.parent_shows(path)
        else:
            shown.addCallback(lambda _: self._family.parent_shows(path))
        return node if shown is None else shown.addCallback(lambda _: node)

    def _written(self, reply: StatReply, value: bytes) -> ZnodeStat:
        assert reply.stat is not None
        self._record.was_written(value, reply.stat)
        return reply.stat

    def _deleted(self, zxid: int) -> Deferred[None] | None:
        self._record.was_deleted(zxid)
        return self._family.parent_shows(self.path)


def _stat_of(value: Value) -> ZnodeStat:
    return value[1]


def _none_if_missing(failure: Failure) -> None:
    failure.trap(NoNodeException)
