"""The server's watches, and the dispatch of their events: one-shot, persistent and persistent recursive watches.

As in ``org.apache.zookeeper.server.watch.WatchManager`` there are two tables, for data (with existence) and for children;
a persistent watch is in both. A watch belongs to a connection, not to a session. Until 3.8 a connection has one watch per
table and path: one of another mode replaces it (``WatcherModeManager``). Since 3.9 watches of all modes coexist
(``WatchStats``), and a recursive one is in the table for data only.
"""

from __future__ import annotations

import enum
from collections.abc import Container, Iterator, Sequence
from typing import NamedTuple

from txmirror.embedded.acl import permits
from txmirror.embedded.requests import Caller
from txmirror.types import ACL, EventType, Permission, WatchKind


class Change(NamedTuple):
    """The change of one znode by a transaction."""

    kind: EventType
    """``CREATED``, ``CHANGED`` or ``DELETED``."""
    path: str
    acl: Sequence[ACL]
    """The access control list of the znode."""
    parent_acl: Sequence[ACL]
    """The access control list of the parent; unused if only data has changed."""
    zxid: int


class WatchMode(enum.Flag):
    """The mode of a watch, or a set of modes."""

    NONE = 0
    ONE_SHOT = enum.auto()
    """Removed when it fires."""
    PERSISTENT = enum.auto()
    """Stays until the client removes it."""
    RECURSIVE = enum.auto()
    """Stays until the client removes it, and covers all nodes below the path too."""
    ANY = ONE_SHOT | PERSISTENT | RECURSIVE


class WatchTable:
    """The watches of one kind.

    :param several_modes: whether a connection may have watches of several modes on one path.
    :ivar by_path: the watchers of each path, with their modes.
    :ivar by_watcher: the paths of each watcher. A watcher stays here without paths after its last watch has fired.
    """

    def __init__(self, several_modes: bool) -> None:
        self._several_modes = several_modes
        # Dicts, because they keep the order: events are sent in the order in which the watches were set.
        self.by_path: dict[str, dict[Caller, WatchMode]] = {}
        self.by_watcher: dict[Caller, dict[str, None]] = {}

    def add(self, path: str, watcher: Caller, mode: WatchMode = WatchMode.ONE_SHOT) -> None:
        """Set a watch. It replaces the connection's watch on this path, or coexists with it if ``several_modes`` is set."""
        watchers = self.by_path.setdefault(path, {})
        if self._several_modes:
            mode |= watchers.get(watcher, WatchMode.NONE)
        watchers[watcher] = mode
        self.by_watcher.setdefault(watcher, {})[path] = None

    def has(self, path: str, watcher: Caller, modes: WatchMode) -> bool:
        """Return whether a connection has a watch of one of these modes on a path."""
        return bool(self.by_path.get(path, {}).get(watcher, WatchMode.NONE) & modes)

    def remove(self, path: str, watcher: Caller, modes: WatchMode = WatchMode.ANY) -> bool:
        """Remove a connection's watches of these modes from a path, and return whether there was one."""
        watchers = self.by_path.get(path, {})
        if not self.has(path, watcher, modes):
            return False
        watchers[watcher] &= ~modes
        if not watchers[watcher]:
            del watchers[watcher]
            if not watchers:
                del self.by_path[path]
            del self.by_watcher[watcher][path]
        return True

    def forget(self, watcher: Caller) -> None:
        """Stop counting a connection that has no watch any more."""
        if self.by_watcher.get(watcher) == {}:
            del self.by_watcher[watcher]

    def remove_all(self, watcher: Caller) -> None:
        """Remove all watches of a connection."""
        for path in list(self.by_watcher.get(watcher, ())):
            self.remove(path, watcher)
        self.by_watcher.pop(watcher, None)

    def count(self) -> int:
        """Return the number of watches."""
        return sum(map(len, self.by_path.values()))

    def trigger(
        self, path: str, kind: EventType, acl: Sequence[ACL], zxid: int, already_notified: Container[Caller] = ()
    ) -> Container[Caller]:
        """Notify the watchers of a path and the recursive watchers above it, and remove the one-shot watches.

        A recursive watch gets no events of changed children: it gets the children's own events.

        :param acl: the znode's. Debian's 3.8.0 notifies only watchers that may read the znode (CVE-2024-23944), but
            removes the one-shot watches of the others too.
        :param already_notified: the watchers that have got an event of this path and transaction, and get no other.
        :returns: the watchers.
        """
        if not self.by_path:
            return ()
        watchers: dict[Caller, None] = {}
        for place in _upwards(path):
            for watcher, modes in list(self.by_path.get(place, {}).items()):
                recursive = WatchMode.RECURSIVE in modes and kind is not EventType.CHILD
                if recursive or (place == path and modes & ~WatchMode.RECURSIVE):
                    watchers[watcher] = None
                if place == path:
                    self.remove(path, watcher, WatchMode.ONE_SHOT)
        for watcher in watchers:
            if watcher not in already_notified and permits(acl, Permission.READ, watcher.identities):
                watcher.notify(kind, path, zxid)
        return watchers


class Watches:
    """The watches of both kinds, triggered in the same order as in ``DataTree``.

    :param several_modes: whether a connection may have watches of several modes on one path, as since 3.9.
    """

    def __init__(self, several_modes: bool) -> None:
        self.several_modes = several_modes
        self.data: WatchTable = WatchTable(several_modes)
        self.children: WatchTable = WatchTable(several_modes)

    def dispatch(self, change: Change) -> None:
        """Notify the watchers of a change."""
        kind, path, acl, parent_acl, zxid = change
        notified = self.data.trigger(path, kind, acl, zxid)
        if kind is EventType.DELETED:
            self.children.trigger(path, kind, acl, zxid, notified)
        if kind is not EventType.CHANGED:
            self.children.trigger(_parent(path), EventType.CHILD, parent_acl, zxid)

    def add(self, path: str, mode: WatchMode, watcher: Caller) -> None:
        """Set a persistent watch."""
        self.data.add(path, watcher, mode)
        if mode is not WatchMode.RECURSIVE or not self.several_modes:
            self.children.add(path, watcher, mode)

    def remove(self, path: str, kind: WatchKind | WatchMode, watcher: Caller) -> bool:
        """Remove a connection's watches of a kind from a path, and return whether there was one."""
        modes = self._modes(kind)
        tables = [table for table in self._tables(kind) if table.remove(path, watcher, modes)]
        if self.several_modes:
            for table in tables:
                table.forget(watcher)
        return bool(tables)

    def check(self, path: str, kind: WatchKind | WatchMode, watcher: Caller) -> bool:
        """Return whether the server reports a watch of a kind on a path for a connection.

        3.8.0 reports the watches of any connection: ``WatchManager.containsWatcher`` ignores the watcher.
        """
        if not self.several_modes:
            return any(path in table.by_path for table in self._tables(kind))
        return any(table.has(path, watcher, self._modes(kind)) for table in self._tables(kind))

    def count(self) -> int:
        """Return the number of watches. A persistent watch that is in both tables counts twice."""
        return self.data.count() + self.children.count()

    def remove_all(self, watcher: Caller) -> None:
        """Remove all watches of a closed connection."""
        self.data.remove_all(watcher)
        self.children.remove_all(watcher)

    def _modes(self, kind: WatchKind | WatchMode) -> WatchMode:
        """Return the modes of a kind of watch."""
        if isinstance(kind, WatchMode):
            return kind
        return WatchMode.ONE_SHOT if self.several_modes and kind is not WatchKind.ANY else WatchMode.ANY

    def _tables(self, kind: WatchKind | WatchMode) -> list[WatchTable]:
        """Return the tables that hold watches of a kind."""
        if kind is WatchKind.DATA:
            return [self.data]
        if kind is WatchKind.CHILDREN:
            return [self.children]
        return [self.children, self.data]


def _upwards(path: str) -> Iterator[str]:
    """Yield a path and the paths of its ancestors, up to the root."""
    yield path
    while path != "/":
        path = _parent(path)
        yield path


def _parent(path: str) -> str:
    return path[: path.rindex("/")] or "/"
