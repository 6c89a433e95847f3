"""Watches: who is told of what happens at a path, once or for as long as their connection lasts.

As in ``org.apache.zookeeper.server.watch.WatchManager`` there are two tables, for data (with existence) and for children;
a persistent watch stands in both. A watch belongs to a connection, not to a session, and until 3.8 one connection has one
watch in a table on a path: another of another mode takes its place (``WatcherModeManager``). Since 3.9 watches of all modes
stand side by side (``WatchStats``), and a recursive one stands in the table for data alone.
"""

from __future__ import annotations

import enum
from collections.abc import Container, Iterator, Sequence
from typing import NamedTuple

from txmirror.embedded.acl import permits
from txmirror.embedded.requests import Caller
from txmirror.types import ACL, EventType, Permission, WatchKind


class Change(NamedTuple):
    """What a transaction has done to one znode."""

    kind: EventType
    """``CREATED``, ``CHANGED`` or ``DELETED``."""
    path: str
    acl: Sequence[ACL]
    """The znode's."""
    parent_acl: Sequence[ACL]
    """Its parent's; nobody asks for it where only data has changed."""
    zxid: int


class WatchMode(enum.Flag):
    """How long a watch lasts, and how far it reaches; or those of several."""

    NONE = 0
    ONE_SHOT = enum.auto()
    """Until it has fired."""
    PERSISTENT = enum.auto()
    """Until it is taken away."""
    RECURSIVE = enum.auto()
    """Until it is taken away, and for all that is below the path too."""
    ANY = ONE_SHOT | PERSISTENT | RECURSIVE


class WatchTable:
    """The watches of one kind.

    :param several_modes: whether a connection has watches of several modes on one path.
    :ivar by_path: those who watch a path, and how.
    :ivar by_watcher: the paths that each watches. Whose last watch has fired stays here with none.
    """

    def __init__(self, several_modes: bool) -> None:
        self._several_modes = several_modes
        # Dicts for their order: events go out in the order in which watches were set.
        self.by_path: dict[str, dict[Caller, WatchMode]] = {}
        self.by_watcher: dict[Caller, dict[str, None]] = {}

    def add(self, path: str, watcher: Caller, mode: WatchMode = WatchMode.ONE_SHOT) -> None:
        """Set a watch, in the place of the one that this connection has on this path, or beside it."""
        watchers = self.by_path.setdefault(path, {})
        if self._several_modes:
            mode |= watchers.get(watcher, WatchMode.NONE)
        watchers[watcher] = mode
        self.by_watcher.setdefault(watcher, {})[path] = None

    def has(self, path: str, watcher: Caller, modes: WatchMode) -> bool:
        """Tell whether a connection has a watch of one of these modes on a path."""
        return bool(self.by_path.get(path, {}).get(watcher, WatchMode.NONE) & modes)

    def remove(self, path: str, watcher: Caller, modes: WatchMode = WatchMode.ANY) -> bool:
        """Remove a connection's watches of these modes from a path, and tell whether there was one."""
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
        """Let a connection that has no watch any more not be counted."""
        if self.by_watcher.get(watcher) == {}:
            del self.by_watcher[watcher]

    def remove_all(self, watcher: Caller) -> None:
        """Take away all watches of a connection."""
        for path in list(self.by_watcher.get(watcher, ())):
            self.remove(path, watcher)
        self.by_watcher.pop(watcher, None)

    def count(self) -> int:
        """Tell how many watches there are."""
        return sum(map(len, self.by_path.values()))

    def trigger(
        self, path: str, kind: EventType, acl: Sequence[ACL], zxid: int, already_notified: Container[Caller] = ()
    ) -> Container[Caller]:
        """Tell those who watch a path, and recursively those above it, and use up the watches that are not to last.

        A recursive watch is not told of children that come and go: it is told of themselves.

        :param acl: that of the znode. Debian's 3.8.0 tells of it only those who may read it (CVE-2024-23944); the
            others' watches are used up all the same.
        :param already_notified: who has got an event of this path and transaction, and gets no other.
        :returns: whose watches they were.
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
    """The watches of both kinds, triggered in the order in which ``DataTree`` does it.

    :param several_modes: whether a connection has watches of several modes on one path, as since 3.9.
    """

    def __init__(self, several_modes: bool) -> None:
        self.several_modes = several_modes
        self.data = WatchTable(several_modes)
        self.children = WatchTable(several_modes)

    def dispatch(self, change: Change) -> None:
        """Tell those who watch it of a change."""
        kind, path, acl, parent_acl, zxid = change
        notified = self.data.trigger(path, kind, acl, zxid)
        if kind is EventType.DELETED:
            self.children.trigger(path, kind, acl, zxid, notified)
        if kind is not EventType.CHANGED:
            self.children.trigger(_parent(path), EventType.CHILD, parent_acl, zxid)

    def add(self, path: str, mode: WatchMode, watcher: Caller) -> None:
        """Set a watch that lasts."""
        self.data.add(path, watcher, mode)
        if mode is not WatchMode.RECURSIVE or not self.several_modes:
            self.children.add(path, watcher, mode)

    def remove(self, path: str, kind: WatchKind | WatchMode, watcher: Caller) -> bool:
        """Remove a connection's watches of a kind from a path, and tell whether there was one."""
        modes = self._modes(kind)
        tables = [table for table in self._tables(kind) if table.remove(path, watcher, modes)]
        if self.several_modes:
            for table in tables:
                table.forget(watcher)
        return bool(tables)

    def check(self, path: str, kind: WatchKind | WatchMode, watcher: Caller) -> bool:
        """Tell what a server answers when a connection asks whether it has a watch of a kind on a path.

        In 3.8.0 that is whether anybody has one: ``WatchManager.containsWatcher`` does not look at whose it is.
        """
        if not self.several_modes:
            return any(path in table.by_path for table in self._tables(kind))
        return any(table.has(path, watcher, self._modes(kind)) for table in self._tables(kind))

    def count(self) -> int:
        """Tell how many watches there are, those that last twice."""
        return self.data.count() + self.children.count()

    def remove_all(self, watcher: Caller) -> None:
        """Take away all watches of a connection: it is gone."""
        self.data.remove_all(watcher)
        self.children.remove_all(watcher)

    def _modes(self, kind: WatchKind | WatchMode) -> WatchMode:
        """Return the modes of the watches that are of a kind."""
        if isinstance(kind, WatchMode):
            return kind
        return WatchMode.ONE_SHOT if self.several_modes and kind is not WatchKind.ANY else WatchMode.ANY

    def _tables(self, kind: WatchKind | WatchMode) -> list[WatchTable]:
        """Return the tables in which the watches of a kind stand."""
        if kind is WatchKind.DATA:
            return [self.data]
        if kind is WatchKind.CHILDREN:
            return [self.children]
        return [self.children, self.data]


def _upwards(path: str) -> Iterator[str]:
    """Give a path, and those of the znodes that it is below."""
    yield path
    while path != "/":
        path = _parent(path)
        yield path


def _parent(path: str) -> str:
    return path[: path.rindex("/")] or "/"
