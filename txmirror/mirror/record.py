"""The cached state of one znode.

Programs hold :class:`~txmirror.mirror.Node` objects, which they may drop and get again. A record stays as long as it is
needed, and for some time afterwards.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable, Sequence
from typing import Any, Final, Protocol

from twisted.internet.defer import Deferred

from txmirror.errors import ClosingException
from txmirror.mirror.cached_value import CachedValue
from txmirror.mirror.changes import Value
from txmirror.mirror.interest import ViewedCache
from txmirror.mirror.state import Existence, NodeState, without_value
from txmirror.mirror.store import DATA, NAMES, PartState
from txmirror.types import EventType, ZnodeStat


class ShownNode(Protocol):
    """The object that programs hold.

    :ivar state: the snapshot.
    """

    state: NodeState


class Record:
    """The cached data and children of one znode.

    :param cache: reads them.
    :param path: the znode's path.
    :ivar closed: whether nothing more is read.
    :ivar marked_data: the nodes whose data is not up to date: one look is faster than a call.
    :ivar value: its data and stat.
    :ivar names: the names of its children; None as long as nobody has asked for them.
    :ivar state: a snapshot for programs.
    """

    __slots__ = ("_kept", "_node", "cache", "closed", "marked_data", "names", "path", "state", "value")

    def __init__(self, cache: ViewedCache, path: str) -> None:
        self.path: str = path
        self.cache: ViewedCache = cache
        self.marked_data: Final = cache.store.marked_data
        self.value: CachedValue[Value] = CachedValue(path)
        self.names: CachedValue[tuple[str, ...]] | None = None
        self._node: Callable[[], Any] = _no_node
        self._kept: ShownNode | None = None
        self.closed: bool = False
        self.update_state()

    def __repr__(self) -> str:
        return f"<Record {self.path!r} {self.state.existence.value}>"

    # References.

    @property
    def node(self) -> Any:
        """The object that programs hold; None if there is none."""
        return self._node()

    def attach(self, node: ShownNode, released: Callable[[NodeReference], object]) -> None:
        """Keep a node's snapshot up to date.

        :param released: called with a reference that has the path, in any thread, once the node is no longer referenced.
        """
        self._node = NodeReference(node, released, self.path)

    @property
    def parts(self) -> tuple[CachedValue[Any], ...]:
        """The parts that somebody wants."""
        return (self.value,) if self.names is None else (self.value, self.names)

    @property
    def needed(self) -> bool:
        """True if a program holds the node, or waits for it."""
        return self.node is not None or any(part.awaited for part in self.parts)

    def watchers_changed(self) -> None:
        """Note that a watcher was added or removed. A node with watchers stays, even if no program holds it."""
        self._kept = self.node if any(part.watchers for part in self.parts) else None

    def update_state(self) -> None:
        """Make a new snapshot: the cached state has changed, or the connection was made or lost."""
        stale_since = self.cache.status.disconnected_since
        if not self.value.known:
            self.state: NodeState = without_value(Existence.UNKNOWN, stale_since)
        elif self.value.value is None:
            self.state = without_value(Existence.ABSENT, stale_since)
        else:
            data, stat = self.value.value
            names = None if self.names is None else self.names.value
            self.state = NodeState(Existence.PRESENT, data, stat, names, stale_since)
        node = self._node()
        if node is not None:
            # Reading an attribute takes a tenth of the time that a property takes.
            node.state = self.state

    # States of the parts.

    def is_current(self, part: int, cached: CachedValue[Any]) -> bool:
        """Return whether a part can be used without another read."""
        return cached.known and self.cache.store.state(part, self.path) is PartState.CURRENT

    def is_settled(self, part: int) -> bool:
        """Return whether a part shows everything that has happened so far, or cannot be read."""
        return self.cache.store.state(part, self.path) in (PartState.CURRENT, PartState.REFUSED)

    # Interest.

    def want_names(self) -> CachedValue[tuple[str, ...]]:
        """Read the names of the children, and follow them from now on."""
        if self.names is None:
            self.names = CachedValue(self.path)
            if self.value.value is None and self.is_current(DATA, self.value):
                self.names.show(None, None, self.value.zxid, self.update_state)
            elif not self.closed:
                self.cache.invalidate(NAMES, self.path)
        if self.closed and self.names.problem is None:
            self.names.problem = ClosingException(path=self.path)
        return self.names

    def invalidate(self) -> None:
        """Read everything again."""
        self.cache.invalidate(DATA, self.path)
        self.invalidate_names()

    def invalidate_names(self) -> None:
        """Read the names of the children again, if anybody wants them."""
        if self.names is not None:
            self.cache.invalidate(NAMES, self.path)

    def restorable(self) -> tuple[bool, bool, bool]:
        """Return which watches are to be restored, for the parts that are up to date: on data, existence, and children."""
        value = self.is_current(DATA, self.value)
        absent = self.value.value is None
        names = self.names is not None and self.names.value is not None and self.is_current(NAMES, self.names)
        return value and not absent, value and absent, names

    # Events.

    def watch_fired(self, kind: EventType) -> None:
        """Read the parts again that an event concerns."""
        if kind is EventType.CHILD:
            self.invalidate_names()
            return
        self.cache.invalidate(DATA, self.path)
        if kind is not EventType.CHANGED:
            self.invalidate_names()

    def disconnected(self) -> None:
        """Answer readers with the last known state."""
        self.update_state()
        for part in self.parts:
            part.answer_readers()

    def forget(self) -> None:
        """Discard the cached state: it is of another data generation."""
        for part in self.parts:
            part.forget()
        self.update_state()

    def close(self) -> None:
        """Fail all waiters. The last known state stays readable."""
        self.closed = True
        problem = ClosingException(path=self.path)
        for part in self.parts:
            part.fail(problem)

    # Results of reads.

    def data_read(self, value: Value, zxid: int) -> None:
        """Show data and stat, as of a transaction."""
        stat, names = value[1], self.names
        if names is not None and names.value is None and self.is_current(NAMES, names):
            # The node was created while the connection was lost, and was not known to be absent: no event names its children.
            self.cache.invalidate(NAMES, self.path)
        elif names is not None and self.value.value is None and names.value is not None and stat.czxid <= names.zxid:
            # A batched read has shown the names before the data, and so without the czxid.
            names.identify((0, names.value), (stat.czxid, names.value))
        self.value.show((stat.czxid, stat.mzxid), value, zxid, self.update_state)

    def names_read(self, names: Sequence[str], stat: ZnodeStat | None, zxid: int) -> None:
        """Show the names of the children, and the stat if the reply has it."""
        known = self.value.value
        if self.names is not None:
            # A batched read has no stat with the names.
            latest = known[1] if stat is None and known is not None else stat
            czxid = 0 if latest is None else latest.czxid
            shown = tuple(sorted(names))
            self.names.show((czxid, shown), shown, zxid, self.update_state)
        if stat is None or known is None or not self.is_current(DATA, self.value):
            return
        if (known[1].czxid, known[1].mzxid) == (stat.czxid, stat.mzxid):
            # The data's watch does not announce numChildren, cversion and pzxid.
            self.data_read((known[0], stat), zxid)

    def absent(self, zxid: int) -> None:
        """Show that the node does not exist."""
        for part in self.parts:
            part.show(None, None, zxid, self.update_state)

    def part(self, part: int) -> CachedValue[Any] | None:
        """Return a part; None if nobody wants it."""
        return self.value if part == DATA else self.names

    # Writes.

    def was_written(self, data: bytes, stat: ZnodeStat) -> Deferred[None] | None:
        """Show data that was written here: its event came before the reply, but only the writer has the data.

        :param stat: its stat; all zeros if a server before 3.5 has not reported it. Then everything is read.
        :returns: fires when it shows; None if it does already.
        """
        self.cache.found(self.path)
        if not stat.mzxid and not self.closed:
            self.invalidate()
            return self.value.when_settled()
        self.data_read((data, stat), stat.mzxid)
        if self.names is not None and stat.czxid == stat.mzxid == stat.pzxid:
            self.names.show((stat.czxid, ()), (), stat.czxid, self.update_state)
        if not self.cache.status.recovered and not self.closed:
            # The watch of a former session may not stand yet: later changes could go unseen.
            self.invalidate()
        return None

    def was_deleted(self, zxid: int) -> None:
        """Show that the node was deleted here. Another read leaves a watch for its creation."""
        self.absent(zxid)
        store = self.cache.store
        if not self.closed and store.state(DATA, self.path) not in (PartState.READING, PartState.OUTDATED):
            store.maybe_absent.add(self.path)
            self.cache.invalidate(DATA, self.path)

    def children_shown(self) -> Deferred[None] | None:
        """Wait until the children show everything that has happened so far, or cannot be read; None if they do already, or if
        nobody wants them.
        """
        if self.names is None or self.closed:
            return None
        if not self.cache.status.recovered:
            # The watch of a former session may not stand yet.
            self.invalidate_names()
        return None if self.is_settled(NAMES) else self.names.when_settled()


class NodeReference(weakref.ref[Any]):
    """A weak reference to a :class:`~txmirror.mirror.Node` that knows its path when the node is gone.

    :ivar path: the znode's path.
    """

    __slots__ = ("path",)

    path: str

    def __new__(  # noqa: PYI034  # Self came with Python 3.11
        cls, node: ShownNode, released: Callable[[NodeReference], object], path: str
    ) -> NodeReference:
        """Make a reference. ``released`` is called with it when the node is gone."""
        reference: NodeReference = super().__new__(cls, node, released)
        reference.path = path
        return reference

    def __init__(self, node: ShownNode, released: Callable[[NodeReference], object], path: str) -> None:
        super().__init__(node, released)  # type: ignore[call-arg]


def _no_node() -> None:
    return None
