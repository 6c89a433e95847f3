"""The tables of a session's one-shot watches by kind, and the packets that set all watches again.

A server keeps one-shot watches in two tables, for data (and existence) and for children. This module keeps watches on nodes
that did not exist in a third one, because ``setWatches`` needs them separately.
"""

from __future__ import annotations

from collections.abc import Iterable

from twisted.internet.defer import Deferred

from txmirror.client.connection.calls import RequestKind, decode_nothing
from txmirror.client.session.persistent_watches import PersistentWatches
from txmirror.types import EventType, WatchedEvent, WatchKind
from txmirror.wire import SetWatches2Request, SetWatchesRequest

#: The longest setWatches packet, in bytes. A single packet with all watches could be over the server's limit, and the server
#: would then close each new connection. The Java client splits at 128 KiB too.
LONGEST_PACKET = 128 * 1024
#: The bytes of a packet that are not paths, at most.
_NOT_PATHS = 64

Waiters = list["Deferred[WatchedEvent]"]
#: Paths with a watch, and the Deferreds that wait for each: None for most paths, as there are many.
Table = dict[str, Waiters | None]
SetWatchesPacket = SetWatchesRequest | SetWatches2Request
SET_WATCHES = RequestKind(SetWatchesRequest, decode_nothing)
SET_WATCHES2 = RequestKind(SetWatches2Request, decode_nothing)


class WatchSet:
    """Paths with a one-shot watch, by kind, and the Deferreds that wait for each."""

    def __init__(self) -> None:
        self.data: Table = {}
        self.exist: Table = {}
        self.child: Table = {}

    def __len__(self) -> int:
        return len(self.data) + len(self.exist) + len(self.child)

    def __contains__(self, path: object) -> bool:
        return path in self.data or path in self.exist or path in self.child

    def fire(self, event: WatchedEvent) -> Waiters:
        """Remove the watches that ``event`` triggers, and return their Deferreds.

        The kinds that an event triggers are those of the Java client's ``ZKWatchManager``.
        """
        kind, path = event.type, event.path
        if kind is EventType.CHILD:
            tables: tuple[Table, ...] = (self.child,)
        elif kind is EventType.DELETED:
            tables = (self.data, self.exist, self.child)
        elif kind in (EventType.CREATED, EventType.CHANGED):
            tables = (self.data, self.exist)
        else:
            tables = ()
        return [waiter for table in tables for waiter in table.pop(path, None) or ()]

    def merge(self, other: WatchSet) -> None:
        """Add all watches of ``other``."""
        for mine, theirs in ((self.data, other.data), (self.exist, other.exist), (self.child, other.child)):
            for path, waiters in theirs.items():
                enter(mine, path, waiters)

    def remove(self, path: str, kind: WatchKind) -> bool:
        """Remove the watches of a kind on a path, with their Deferreds.

        :returns: whether there were any.
        """
        tables = {
            WatchKind.DATA: (self.data, self.exist),
            WatchKind.CHILDREN: (self.child,),
            WatchKind.ANY: (self.data, self.exist, self.child),
        }
        found = [table for table in tables[kind] if path in table]
        for table in found:
            del table[path]
        return bool(found)

    def take(self, other: WatchSet) -> Waiters:
        """Remove all watches that are in ``other``, and return their Deferreds."""
        pairs = ((self.data, other.data), (self.exist, other.exist), (self.child, other.child))
        return [waiter for mine, theirs in pairs for path in theirs for waiter in mine.pop(path, None) or ()]

    def forget(self, path: str, waiter: Deferred[WatchedEvent]) -> None:
        """Remove a Deferred that was cancelled. The watch on ``path`` stays."""
        for table in (self.data, self.exist, self.child):
            waiters = table.get(path)
            if waiters and waiter in waiters:
                waiters.remove(waiter)

    def tables(self) -> tuple[Table, ...]:
        """Return the tables of all kinds."""
        return self.data, self.exist, self.child

    def waiters(self) -> Waiters:
        """Return the Deferreds of all watches."""
        return [waiter for table in self.tables() for waiters in table.values() if waiters for waiter in waiters]

    def without(self, other: WatchSet) -> WatchSet:
        """Return the watches that are not in ``other``, and those with Deferreds."""
        left = WatchSet()
        left.data = _without(self.data, other.data)
        left.exist = _without(self.exist, other.exist)
        left.child = _without(self.child, other.child)
        return left

    def part(self, packet: SetWatchesPacket) -> WatchSet:
        """Return the watches that a packet sets, with their Deferreds."""
        part = WatchSet()
        part.data = {path: self.data.get(path) for path in packet.dataWatches}
        part.exist = {path: self.exist.get(path) for path in packet.existWatches}
        part.child = {path: self.child.get(path) for path in packet.childWatches}
        return part


def kind_of(packet: SetWatchesPacket) -> RequestKind[..., None]:
    """Return the kind of request of a packet."""
    return SET_WATCHES2 if isinstance(packet, SetWatches2Request) else SET_WATCHES


def enter(table: Table, path: str, waiters: Iterable[Deferred[WatchedEvent]] | None) -> None:
    """Add a watch to a table, and add Deferreds to those that wait for it."""
    there = table.setdefault(path, None)
    if waiters:
        if there is None:
            table[path] = list(waiters)
        else:
            there.extend(waiters)


def _without(table: Table, other: Table) -> Table:
    return {path: waiters for path, waiters in table.items() if waiters or path not in other}


def packets(
    zxid: int, watches: WatchSet, persistent: PersistentWatches, limit: int = LONGEST_PACKET
) -> list[SetWatchesPacket]:
    """Return setWatches packets for all watches, each within the server's limit and none empty.

    If a path has both, its one-shot watches go into the packet of the persistent one. The server sets that last in a packet, so
    that the persistent watch remains.

    :param zxid: the zxid as of which the watches were established.
    :param limit: the longest request in bytes, if it is less than 128 KiB.
    """
    tables = (watches.data, watches.exist, watches.child)
    packer = _Packer(zxid, min(limit, LONGEST_PACKET) - _NOT_PATHS)
    mixed = {watch.path for watch in persistent}
    for kind, table in enumerate(tables):
        packer.add(kind, [path for path in table if path not in mixed] if mixed else table)
    packer.flush()
    for watch in persistent:
        kinds = [kind for kind, table in enumerate(tables) if watch.path in table]
        packer.add_together(watch.path, [*kinds, 4 if watch.recursive else 3])
    packer.flush()
    return packer.packets


class _Packer:
    """Collects paths by kind (data, exist, child, persistent, persistent recursive) in packets, each as full as possible."""

    def __init__(self, zxid: int, room: int) -> None:
        self._zxid = zxid
        self._room = room
        self._groups: tuple[list[str], ...] = ([], [], [], [], [])
        self._size = 0
        self.packets: list[SetWatchesPacket] = []

    def add(self, kind: int, paths: Iterable[str]) -> None:
        """Add paths of a kind: in a large mirror, hundreds of thousands."""
        append, size, room = self._groups[kind].append, self._size, self._room
        for path in paths:
            length = 4 + (len(path) if path.isascii() else len(path.encode()))
            if size + length > room:
                self._size = size
                self.flush()
                size = 0
            size += length
            append(path)
        self._size = size

    def add_together(self, path: str, kinds: list[int]) -> None:
        """Add a path to several lists of the same packet."""
        length = (4 + len(path.encode())) * len(kinds)
        if self._size + length > self._room:
            self.flush()
        self._size += length
        for kind in kinds:
            self._groups[kind].append(path)

    def flush(self) -> None:
        """Make a packet of the collected paths, if there are any."""
        if not self._size:
            return
        data, exist, child, persistent, recursive = map(tuple, self._groups)
        if persistent or recursive:
            self.packets.append(SetWatches2Request(self._zxid, data, exist, child, persistent, recursive))
        else:
            self.packets.append(SetWatchesRequest(self._zxid, data, exist, child))
        self._size = 0
        for group in self._groups:
            group.clear()
