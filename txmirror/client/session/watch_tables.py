"""The tables of a session's watches: persistent watches, one-shot watches by kind, and the packets that set them again.

A server keeps one-shot watches in two tables, for data (and existence) and for children. This module keeps watches on nodes
that did not exist in a third one, because ``setWatches`` needs them separately.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from twisted.internet.defer import Deferred
from twisted.logger import Logger

from txmirror import paths
from txmirror.client.connection.calls import Call, RequestKind, decode_nothing
from txmirror.observers import Observers
from txmirror.types import EventType, News, SessionEvent, WatchedEvent, WatchKind
from txmirror.wire import SetWatches2Request, SetWatchesRequest


class PersistentWatch:
    """The persistent watch on one path, shared by all its observers.

    :param path: the path.
    :param recursive: whether it covers the whole subtree.
    :ivar pending: the number of unanswered requests for it.
    :ivar expected: the number of those with a listener.
    :ivar abandoned: the number of those that were cancelled after they were sent.
    :ivar established: whether the server has it, or had it when the connection was lost.
    :ivar removal: the unanswered request that removes it, if it is the latest one for it.
    :ivar observers: the callbacks.
    """

    _log = Logger()

    def __init__(self, path: str, recursive: bool) -> None:
        self.path = path
        self.recursive = recursive
        self.pending = 0
        self.expected = 0
        self.abandoned = 0
        self.established = False
        self.removal: Call[None] | None = None
        self.forget_observers()

    def forget_observers(self) -> None:
        """Remove all observers."""
        self.observers: Observers[News] = Observers(
            lambda listener, news: self._log.failure(
                "The listener {listener} of the watch on {path} failed on {news}.",
                listener=listener,
                path=self.path,
                news=news,
            )
        )


class PersistentWatches:
    """The persistent watches of one session, established and pending."""

    def __init__(self) -> None:
        self._watches: dict[str, PersistentWatch] = {}

    def __contains__(self, path: object) -> bool:
        return path in self._watches

    def stands(self, path: str) -> bool:
        """Return whether the server has a watch on a path when it processes the next request, as far as that is known.

        While its removal is on the way, it has none: it processes the requests in their order.
        """
        watch = self._watches.get(path)
        return watch is not None and not (watch.removal is not None and watch.removal.xid)

    def __iter__(self) -> Iterator[PersistentWatch]:
        return iter([watch for watch in self._watches.values() if watch.established])

    def request(self, path: str, recursive: bool) -> PersistentWatch:
        """Return the watch on a path, and count a pending request for it.

        :raises ValueError: there is one of the other kind.
        """
        watch = self._watches.setdefault(path, PersistentWatch(path, recursive))
        if watch.recursive is not recursive:
            kinds = ("for the node alone", "for the whole subtree")
            raise ValueError(f"{path!r} has a persistent watch {kinds[watch.recursive]}, and servers keep only one")
        watch.pending += 1
        watch.removal = None
        return watch

    def removing(self, path: str, call: Call[None]) -> None:
        """Note a request that removes the watch on a path, if there is one."""
        watch = self._watches.get(path)
        if watch is not None:
            watch.removal = call

    def removal_answered(self, path: str, call: Call[None]) -> None:
        """Note that such a request was answered."""
        watch = self._watches.get(path)
        if watch is not None and watch.removal is call:
            watch.removal = None

    def answered(self, watch: PersistentWatch) -> None:
        """Note that a request for a watch was answered or has failed."""
        watch.pending -= 1
        self._drop_if_over(watch)

    def disconnected(self) -> None:
        """Note that the server will not answer the requests that were cancelled after they were sent."""
        for watch in list(self._watches.values()):
            watch.pending -= watch.abandoned
            watch.abandoned = 0
            self._drop_if_over(watch)

    def remove(self, path: str) -> PersistentWatch | None:
        """Remove the established watch on a path, and return it, if there was one. Pending requests for it stay."""
        watch = self._watches.get(path)
        if watch is not None:
            watch.established = False
            self._drop_if_over(watch)
        return watch

    def forget_removals(self) -> None:
        """Note that the connection was lost: the watches that were being removed are set again on the next one."""
        for watch in self._watches.values():
            watch.removal = None

    def _drop_if_over(self, watch: PersistentWatch) -> None:
        if not watch.established and not watch.pending and self._watches.get(watch.path) is watch:
            del self._watches[watch.path]

    def subset(self, *tables: Mapping[str, object]) -> PersistentWatches:
        """Return the watches on some paths only, pending or established, for setting them again; not those that are being removed."""
        some = PersistentWatches()
        # There may be very many of either kind. The intersection takes the time of the smaller one.
        for path in sorted(
            {path for each in tables for path in self._watches.keys() & each.keys() if self.stands(path)}
        ):
            some.request(path, self._watches[path].recursive).established = True
        return some

    def has_observers(self, path: str) -> bool:
        """Return whether the watch on a path has a listener besides the feed, or a pending request with one."""
        watch = self._watches.get(path)
        return watch is not None and (watch.expected > 0 or bool(watch.observers))

    def is_recursive(self, path: str) -> bool:
        """Return whether there is a recursive watch on exactly this path."""
        watch = self._watches.get(path)
        return watch is not None and watch.recursive

    def fire(self, event: WatchedEvent) -> None:
        """Notify the observers of every watch that covers the path of an event."""
        if self._watches:
            for watch in list(self._concerned(event)):
                watch.observers.notify(event)

    def notify(self, event: SessionEvent) -> None:
        """Notify all observers of a session event."""
        for watch in list(self._watches.values()):
            watch.observers.notify(event)

    def _concerned(self, event: WatchedEvent) -> Iterator[PersistentWatch]:
        exact = self._watches.get(event.path)
        if exact is not None and exact.established and not exact.recursive:
            yield exact
        if event.type is EventType.CHILD:
            # It comes from a non-recursive watch on this path. A recursive watch has events of the children themselves.
            return
        path: str | None = event.path
        while path is not None:
            watch = self._watches.get(path)
            if watch is not None and watch.established and watch.recursive:
                yield watch
            path = paths.parent_of(path)


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
