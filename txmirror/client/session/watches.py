"""The watches that a session has at the server, and the Deferreds that wait for each.

A server keeps one-shot watches in two tables, for data (and existence) and for children. This module keeps watches on nodes
that did not exist in a third one, because ``setWatches`` needs them separately.

Servers up to 3.8 keep one mode for each connection and path: of a one-shot and a persistent watch on the same path, the later
one destroys the other (ZOOKEEPER-4466). A path with a persistent watch therefore gets no one-shot watch at the server: the
events of the persistent watch fire the Deferreds of one-shot watches too.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TypeVar

from twisted.internet.defer import CancelledError, Deferred
from twisted.logger import Logger
from twisted.python.failure import Failure

from txmirror import paths
from txmirror.client.connection.calls import Call, RequestKind, decode_nothing
from txmirror.client.session.persistent_watches import PersistentWatch, PersistentWatches
from txmirror.client.session.waiting import fail_all
from txmirror.errors import ClosingException, ConnectionLossException, exception_for
from txmirror.types import EventType, WatchedEvent, WatchKind
from txmirror.wire import LAST_XID, SetWatches2Request, SetWatchesRequest

_T = TypeVar("_T")

#: The longest setWatches packet, in bytes. A single packet with all watches could be over the server's limit, and the server
#: would then close each new connection. The Java client splits at 128 KiB too.
_LONGEST_PACKET = 128 * 1024
#: The bytes of a packet that are not paths, at most.
_NOT_PATHS = 64

_Waiters = list["Deferred[WatchedEvent]"]
#: Paths with a watch, and the Deferreds that wait for each: None for most paths, as there are many.
Table = dict[str, _Waiters | None]
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

    def fire(self, event: WatchedEvent) -> _Waiters:
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

    def take(self, other: WatchSet) -> _Waiters:
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

    def waiters(self) -> _Waiters:
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


def _kind(packet: SetWatchesPacket) -> RequestKind[..., None]:
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
    zxid: int, watches: WatchSet, persistent: PersistentWatches, limit: int = _LONGEST_PACKET
) -> list[SetWatchesPacket]:
    """Return setWatches packets for all watches, each within the server's limit and none empty.

    If a path has both, its one-shot watches go into the packet of the persistent one. The server sets that last in a packet, so
    that the persistent watch remains.

    :param zxid: the zxid as of which the watches were established.
    :param limit: the longest request in bytes, if it is less than 128 KiB.
    """
    tables = (watches.data, watches.exist, watches.child)
    packer = _Packer(zxid, min(limit, _LONGEST_PACKET) - _NOT_PATHS)
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
        """Add paths of a kind. Hot."""
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


class SessionWatches:
    """The watches of one session, established and pending.

    :param notify_ended: called with persistent watches that the server does not support: removes them, and notifies observers.
    :param limit: the longest request in bytes.
    :ivar established: the one-shot watches that the server has, or had when the connection was lost, and those whose place a
        persistent watch takes.
    :ivar persistent: the persistent watches.
    """

    _log = Logger()

    def __init__(self, notify_ended: Callable[[list[PersistentWatch]], None], limit: int = _LONGEST_PACKET) -> None:
        self._notify_ended = notify_ended
        self._limit = limit
        self.established = WatchSet()
        self.persistent = PersistentWatches()
        self._arming: dict[Call[None], WatchSet] = {}
        self._rearming = 0
        self._rearmed: int | None = None
        self._refused: BaseException | None = None

    @property
    def rearming(self) -> bool:
        """True if a setWatches packet of this connection is still unanswered."""
        return self._rearming > 0

    def with_implied(self, event: WatchedEvent) -> list[WatchedEvent]:
        """Return an event, and the event that it implies and that the server does not send.

        A recursive watch has no events of the type CHILD, and there is no one-shot watch for children on its path at the server.
        So the creation or deletion of a child implies such an event for the one-shot watch.
        """
        if event.type in (EventType.CREATED, EventType.DELETED):
            parent = paths.parent_of(event.path)
            if parent is not None and self.persistent.is_recursive(parent) and parent in self.established.child:
                return [event, WatchedEvent(EventType.CHILD, parent, event.zxid)]
        return [event]

    def fire(self, event: WatchedEvent) -> _Waiters:
        """Remove the watches that ``event`` triggers, and return their Deferreds.

        A server processes one packet after another, and sends the events of a setWatches packet before its reply. So of the
        packets in flight only the one that is answered next can have caused this event.
        """
        arming = self._answered_next()
        waiters = arming.fire(event) if arming is not None else []
        return waiters + self.established.fire(event)

    def refuse(self, error: BaseException) -> None:
        """Note that a watch of the feed was lost: the next ``set_watches`` fails with ``error``."""
        self._refused = error

    def waited_for(self, path: str) -> bool:
        """Return whether a Deferred waits for a watch on a path, or a persistent watch on it has observers."""
        tables = [table for watches in (self.established, *self._arming.values()) for table in watches.tables()]
        return any(table.get(path) for table in tables) or self.persistent.has_observers(path)

    def forget(self, path: str, waiter: Deferred[WatchedEvent]) -> None:
        """Remove a Deferred that was cancelled. The watch on ``path``, established or pending, stays."""
        for watches in (self.established, *self._arming.values()):
            watches.forget(path, waiter)

    def rearm(self, send: Callable[[Call[None]], None], zxid: int, persistent_too: bool) -> list[PersistentWatch]:
        """Set all watches again on a new connection.

        :param zxid: the zxid as of which they were established.
        :param persistent_too: whether the server may support persistent watches; if not, this removes them.
        :returns: the persistent watches that were removed, and whose observers the caller must notify.
        """
        self._rearming = 0
        self._refused = None
        # Cancelled requests did not fail with their connection.
        self._arming = {call: arming for call, arming in self._arming.items() if not call.xid}
        self.persistent.disconnected()
        ended = [] if persistent_too else list(self.persistent)
        for watch in ended:
            self.persistent.remove(watch.path)
        for packet in packets(zxid, self.established, self.persistent, self._limit):
            self._rearming += 1
            call = Call(_kind(packet), packet, on_reply=self._rearmed_by(packet))
            call.waited_for().addErrback(self._log_rearming)
            send(call)
        self._rearmed = zxid if self._rearming else None
        return ended

    def bring_over(
        self, zxid: int, watches: WatchSet, submit: Callable[[Call[None]], None], *, barrier: bool = False
    ) -> Deferred[None]:
        """Set the watches of another session. They are established in this one when the replies arrive.

        Without watches it is a barrier behind :meth:`rearm`. A watch that is being set again on this connection, as of the same
        zxid, is not sent twice.

        :param zxid: the zxid as of which they were established.
        :param submit: sends a request.
        :param barrier: whether the server, like ClickHouse Keeper, replies before it sends the events: then one more request
            makes sure that all events have arrived.
        :returns: fires with the last reply. Fails with the first failure, which may be one of :meth:`rearm` on this connection.
            Cancelling abandons all requests.
        """
        if zxid == self._rearmed:
            watches = watches.without(self.established)
        mixed = self.persistent.subset(watches.data, watches.exist, watches.child)
        requests = packets(zxid, watches, mixed, self._limit)
        if barrier or not requests:
            requests.append(SetWatchesRequest(zxid, (), (), ()))
        calls = [self._bring_over(packet, watches.part(packet)) for packet in requests]

        def cancel(_: Deferred[None]) -> None:
            for call in calls:
                if call.deferred is not None:
                    call.deferred.cancel()

        done: Deferred[None] = Deferred(cancel)
        failures: list[Failure | BaseException] = []

        def answered(result: Failure | None, call: Call[None]) -> None:
            if isinstance(result, Failure):
                failures.append(result)
            if call is calls[-1]:
                if self._refused is not None:
                    failures.append(self._refused)
                    self._refused = None
                if failures:
                    done.errback(failures[0])
                else:
                    done.callback(None)

        for call in calls:
            call.waited_for().addBoth(answered, call)
            submit(call)
        return done

    def _bring_over(self, packet: SetWatchesPacket, arming: WatchSet) -> Call[None]:
        def answered(err: int, zxid: int) -> None:
            del self._arming[call]
            if not err:
                self.established.merge(arming)

        def done(result: _T) -> _T:
            # A request that is cancelled after it was sent is established all the same, and events may trigger it before.
            if not (call.xid and isinstance(result, Failure) and isinstance(result.value, CancelledError)):
                self._arming.pop(call, None)
            return result

        call = Call(_kind(packet), packet, on_reply=answered)
        self._arming[call] = arming
        call.waited_for().addBoth(done)
        return call

    def _answered_next(self) -> WatchSet | None:
        """Return the watches of the packet that the server answers next, if it is one of :meth:`bring_over`."""
        sent = [call for call in self._arming if call.xid]
        if self.rearming or not sent:
            return None
        # xids wrap around. The number of requests in flight is far too small for this to be ambiguous.
        somewhere = sent[0].xid + LAST_XID // 2
        return self._arming[min(sent, key=lambda call: (call.xid - somewhere) % LAST_XID)]

    def _rearmed_by(self, packet: SetWatchesPacket) -> Callable[[int, int], None]:
        def answered(err: int, zxid: int) -> None:
            self._rearming -= 1
            # From now on other watches may be established, as of later zxids.
            self._rearmed = None
            if err:
                self.refuse(exception_for(err))
                fail_all(self.established.take(self.established.part(packet)), lambda: exception_for(err))
                if isinstance(packet, SetWatches2Request):
                    lost = {*packet.persistentWatches, *packet.persistentRecursiveWatches}
                    self._notify_ended([watch for watch in self.persistent if watch.path in lost])

        return answered

    def _log_rearming(self, failure: Failure) -> None:
        if not isinstance(failure.value, (ConnectionLossException, ClosingException)):
            self._log.warn("Watches could not be set again: {reason}.", reason=failure.getErrorMessage())
