"""One-shot watches: who is told, once, of what happens at a path.

As in ``org.apache.zookeeper.server.watch.WatchManager`` there are two tables, for data (with existence) and for children;
a watch belongs to a connection, not to a session, and one connection has at most one of a kind on a path.
"""

from __future__ import annotations

from collections.abc import Container, Sequence
from typing import Protocol

from txmirror.embedded.acl import Identity, permits
from txmirror.types import ACL, EventType, Permission, WatchKind


class Watcher(Protocol):
    """A connection, as watches know it."""

    @property
    def identities(self) -> Sequence[Identity]:
        """What was proved on it."""

    def notify(self, kind: EventType, path: str) -> None:
        """Send the event."""


class WatchTable:
    """The watches of one kind."""

    def __init__(self) -> None:
        # Dicts for their order: events go out in the order in which watches were set.
        self._by_path: dict[str, dict[Watcher, None]] = {}
        self._by_watcher: dict[Watcher, dict[str, None]] = {}

    def add(self, path: str, watcher: Watcher) -> None:
        """Set a watch; the second of a connection on a path is the first."""
        self._by_path.setdefault(path, {})[watcher] = None
        self._by_watcher.setdefault(watcher, {})[path] = None

    def remove(self, path: str, watcher: Watcher) -> bool:
        """Take a watch away, and tell whether it was there."""
        watchers = self._by_path.get(path, {})
        if watcher not in watchers:
            return False
        del watchers[watcher]
        if not watchers:
            del self._by_path[path]
        paths = self._by_watcher[watcher]
        del paths[path]
        if not paths:
            del self._by_watcher[watcher]
        return True

    def remove_all(self, watcher: Watcher) -> None:
        """Take away all watches of a connection."""
        for path in list(self._by_watcher.get(watcher, ())):
            self.remove(path, watcher)

    def trigger(
        self, path: str, kind: EventType, acl: Sequence[ACL], told_already: Container[Watcher] = ()
    ) -> list[Watcher]:
        """Use up the watches of a path.

        :param acl: that of the znode. Debian's 3.8.0 tells of it only those who may read it (CVE-2024-23944); the
            others' watches are used up all the same.
        :param told_already: who has got an event of this path and transaction, and gets no other.
        :returns: whose watches they were.
        """
        watchers = list(self._by_path.get(path, ()))
        for watcher in watchers:
            self.remove(path, watcher)
        for watcher in watchers:
            if watcher not in told_already and permits(acl, Permission.READ, watcher.identities):
                watcher.notify(kind, path)
        return watchers


class Watches:
    """The watches of both kinds, triggered in the order in which ``DataTree`` does it."""

    def __init__(self) -> None:
        self.data = WatchTable()
        self.children = WatchTable()

    def created(self, path: str, acl: Sequence[ACL], parent_acl: Sequence[ACL]) -> None:
        """Tell that a znode was created."""
        self.data.trigger(path, EventType.CREATED, acl)
        self.children.trigger(_parent(path), EventType.CHILD, parent_acl)

    def changed(self, path: str, acl: Sequence[ACL]) -> None:
        """Tell that a znode's data was replaced."""
        self.data.trigger(path, EventType.CHANGED, acl)

    def deleted(self, path: str, acl: Sequence[ACL], parent_acl: Sequence[ACL]) -> None:
        """Tell that a znode was deleted."""
        told = self.data.trigger(path, EventType.DELETED, acl)
        self.children.trigger(path, EventType.DELETED, acl, told)
        self.children.trigger(_parent(path), EventType.CHILD, parent_acl)

    def remove(self, path: str, kind: WatchKind, watcher: Watcher) -> bool:
        """Take a connection's watches of a kind from a path, and tell whether there was one."""
        children = kind is not WatchKind.DATA and self.children.remove(path, watcher)
        data = kind is not WatchKind.CHILDREN and self.data.remove(path, watcher)
        return children or data

    def remove_all(self, watcher: Watcher) -> None:
        """Take away all watches of a connection: it is gone."""
        self.data.remove_all(watcher)
        self.children.remove_all(watcher)


def _parent(path: str) -> str:
    return path[: path.rindex("/")] or "/"
