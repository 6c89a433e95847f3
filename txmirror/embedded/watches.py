"""Watches: who is told of what happens at a path, once or for as long as their connection lasts.

As in ``org.apache.zookeeper.server.watch.WatchManager`` there are two tables, for data (with existence) and for children;
a lasting watch stands in both. A watch belongs to a connection, not to a session, and until 3.8 one connection has one
watch in a table on a path: another of another mode takes its place (``WatcherModeManager``).
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


class WatchMode(enum.Enum):
    """How long a watch lasts, and how far it reaches."""

    ONE_SHOT = "one-shot"
    """Until it has fired."""
    PERSISTENT = "persistent"
    """Until it is taken away."""
    RECURSIVE = "persistent, recursive"
    """Until it is taken away, and for all that is below the path too."""


class WatchTable:
    """The watches of one kind.

    :ivar by_path: those who watch a path, and how.
    :ivar by_watcher: the paths that each watches. Whose last watch has fired stays here with none.
    """

    def __init__(self) -> None:
        # Dicts for their order: events go out in the order in which watches were set.
        self.by_path: dict[str, dict[Caller, WatchMode]] = {}
        self.by_watcher: dict[Caller, dict[str, None]] = {}

    def add(self, path: str, watcher: Caller, mode: WatchMode = WatchMode.ONE_SHOT) -> None:
        """Set a watch, in the place of the one that this connection has on this path."""
        self.by_path.setdefault(path, {})[watcher] = mode
        self.by_watcher.setdefault(watcher, {})[path] = None

    def remove(self, path: str, watcher: Caller) -> bool:
        """Take a watch away, and tell whether it was there."""
        watchers = self.by_path.get(path, {})
        if watcher not in watchers:
            return False
        del watchers[watcher]
        if not watchers:
            del self.by_path[path]
        del self.by_watcher[watcher][path]
        return True

    def remove_all(self, watcher: Caller) -> None:
        """Take away all watches of a connection."""
        for path in list(self.by_watcher.get(watcher, ())):
            self.remove(path, watcher)
        self.by_watcher.pop(watcher, None)

    def count(self) -> int:
        """Tell how many watches there are."""
        return sum(map(len, self.by_path.values()))

    def trigger(
        self, path: str, kind: EventType, acl: Sequence[ACL], zxid: int, told_already: Container[Caller] = ()
    ) -> Container[Caller]:
        """Tell those who watch a path, and recursively those above it, and use up the watches that are not to last.

        A recursive watch is not told of children that come and go: it is told of themselves.

        :param acl: that of the znode. Debian's 3.8.0 tells of it only those who may read it (CVE-2024-23944); the
            others' watches are used up all the same.
        :param told_already: who has got an event of this path and transaction, and gets no other.
        :returns: whose watches they were.
        """
        if not self.by_path:
            return ()
        watchers: dict[Caller, None] = {}
        for place in _upwards(path):
            for watcher, mode in list(self.by_path.get(place, {}).items()):
                if mode is WatchMode.RECURSIVE:
                    if kind is not EventType.CHILD:
                        watchers[watcher] = None
                elif place == path:
                    watchers[watcher] = None
                    if mode is WatchMode.ONE_SHOT:
                        self.remove(path, watcher)
        for watcher in watchers:
            if watcher not in told_already and permits(acl, Permission.READ, watcher.identities):
                watcher.notify(kind, path, zxid)
        return watchers


class Watches:
    """The watches of both kinds, triggered in the order in which ``DataTree`` does it."""

    def __init__(self) -> None:
        self.data = WatchTable()
        self.children = WatchTable()

    def tell(self, change: Change) -> None:
        """Tell those who watch it of a change."""
        kind, path, acl, parent_acl, zxid = change
        told = self.data.trigger(path, kind, acl, zxid)
        if kind is EventType.DELETED:
            self.children.trigger(path, kind, acl, zxid, told)
        if kind is not EventType.CHANGED:
            self.children.trigger(_parent(path), EventType.CHILD, parent_acl, zxid)

    def add(self, path: str, mode: WatchMode, watcher: Caller) -> None:
        """Set a watch that lasts."""
        self.data.add(path, watcher, mode)
        self.children.add(path, watcher, mode)

    def remove(self, path: str, kind: WatchKind, watcher: Caller) -> bool:
        """Take a connection's watches of a kind from a path, and tell whether there was one."""
        removed = [table.remove(path, watcher) for table in self._tables(kind)]
        return any(removed)

    def check(self, path: str, kind: WatchKind) -> bool:
        """Tell what 3.8.0 answers when a connection asks whether it has a watch of a kind on a path.

        That is whether anybody has one: ``WatchManager.containsWatcher`` does not look at whose it is.
        """
        return any(path in table.by_path for table in self._tables(kind))

    def count(self) -> int:
        """Tell how many watches there are, those that last twice."""
        return self.data.count() + self.children.count()

    def remove_all(self, watcher: Caller) -> None:
        """Take away all watches of a connection: it is gone."""
        self.data.remove_all(watcher)
        self.children.remove_all(watcher)

    def _tables(self, kind: WatchKind) -> list[WatchTable]:
        tables = {WatchKind.DATA: [self.data], WatchKind.CHILDREN: [self.children]}
        return tables.get(kind, [self.children, self.data])


def _upwards(path: str) -> Iterator[str]:
    """Give a path, and those of the znodes that it is below."""
    yield path
    while path != "/":
        path = _parent(path)
        yield path


def _parent(path: str) -> str:
    return path[: path.rindex("/")] or "/"
