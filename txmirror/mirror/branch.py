"""The state of a subtree: its nodes, and how they differ from what was read.

On a server with persistent watches, one on the root reports all changes below it. On other servers each node is read with
watches of its own. Either way an event names a path, the cache reads that path again, and the branch compares and reports
the changes.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

from twisted.logger import Logger

from txmirror import paths
from txmirror.errors import ZooKeeperException
from txmirror.mirror.changes import ChangeKind, Value
from txmirror.mirror.interest import ViewedCache
from txmirror.mirror.notifier import Notifier
from txmirror.mirror.store import DATA, NAMES
from txmirror.types import EventType, WatchedEvent, ZnodeStat


class Selection:
    """The paths of a subtree: a root and what is below it, down to a depth, but for what is left out.

    :param path: the root.
    :param depth: how many levels below the root; None for all.
    :param keep: called with a path below the root; returns False to leave out that node and all below it.
    """

    _log = Logger()

    def __init__(self, path: str, depth: int | None, keep: Callable[[str], bool] | None) -> None:
        self.path = path
        self.everything: bool = depth is None and keep is None
        self._prefix = path.rstrip("/") + "/"
        #: The most names in a path. A path has as many names as slashes, but for the root of everything.
        self._most_names = math.inf if depth is None else _count_names(path) + depth
        self._keep = keep

    def covers(self, path: str) -> bool:
        """Return whether a path is in it, as far as the path alone can say."""
        return path == self.path or (path.startswith(self._prefix) and path.count("/") <= self._most_names)

    def keeps(self, path: str) -> bool:
        """Return whether a path is in it whose parent is."""
        if path.count("/") > self._most_names:
            return False
        if self._keep is None:
            return True
        try:
            return bool(self._keep(path))
        except Exception:
            # The function is the program's.
            self._log.failure("The function that selects nodes failed on {path}: the node is kept.", path=path)
            return True

    def kept(self, parent: str, children: list[str]) -> list[str]:
        """Return the children of a node in it that are in it too."""
        if self._keep is None:
            return [] if self.at_limit(parent) else children
        return [child for child in children if self.keeps(child)]

    def at_limit(self, path: str) -> bool:
        """Return whether the children of a path are too deep."""
        return _count_names(path) >= self._most_names


class Branch:
    """The nodes of a subtree.

    :param cache: reads them.
    :param selection: the paths that belong to it.
    :param notifier: notifies the tree's observers of changes.
    :ivar path: the root.
    :ivar values: the data and stat of each node.
    :ivar unreadable: the nodes that cannot be read, with the reason.
    :ivar unsettled: how many parts of its nodes do not show the server's state.
    :ivar persistent: whether a persistent watch reports its changes; None while that is not known.
    :ivar begun: whether its root was read, or is to be read.
    """

    def __init__(self, cache: ViewedCache, selection: Selection, notifier: Notifier) -> None:
        self.path: str = selection.path
        self.values: dict[str, Value] = {}
        self.unreadable: dict[str, ZooKeeperException] = {}
        self.unsettled = 0
        self.persistent: bool | None = None
        self.begun: bool = False
        self._cache = cache
        self._selection = selection
        self._notifier = notifier
        self._names: dict[str, dict[str, None]] = {}
        self._unlisted: set[str] = set()
        self._closed = False

    def children(self, path: str) -> list[str]:
        """Return the names of a node's children that are in the branch, sorted."""
        return sorted(self._names.get(path, ()))

    def covers(self, path: str) -> bool:
        """Return whether a path is in the subtree, as far as the path alone can say."""
        return self._selection.covers(path)

    def check_settled(self) -> None:
        """Note that nothing is unsettled any more."""
        self._notifier.check_settled()

    def disconnected(self) -> None:
        """Note that the connection was lost."""
        self._notifier.disconnected()

    def begin(self) -> None:
        """Read the root for the first time."""
        self.begun = True
        self._cache.invalidate(DATA, self.path)
        if self.persistent:
            # One request reads both. Below the root, the stat says whether there are children.
            self.read_names(self.path)

    def end(self) -> None:
        """Report nothing any more. The last known state stays readable."""
        self._closed = True
        self._notifier.end()

    # Reading.

    def watch_fired(self, event: WatchedEvent) -> None:
        """Read the nodes again that an event concerns. Its path is one that the branch covers."""
        path = event.path
        if event.type is EventType.CHILD:
            if path in self.values:
                self.read_names(path)
        elif self._has_place(path):
            self._cache.invalidate(DATA, path)

    def read_names(self, path: str) -> None:
        """Read the names of a node's children."""
        if not self._selection.at_limit(path):
            self._cache.invalidate(NAMES, path)

    def read_all(self) -> None:
        """Read everything again."""
        if self.begun:
            self._cache.invalidate(DATA, self.path)
            for path in list(self.values):
                self._cache.invalidate(DATA, path)
                self.read_names(path)

    def restorable(self) -> tuple[Sequence[str], Sequence[str], Sequence[str]]:
        """Return the nodes whose watches are to be restored: on data, on existence, and on children."""
        absent = (self.path,) if self.begun and self.path not in self.values else ()
        parents = [path for path, value in self.values.items() if self._may_have_children(path, value[1])]
        return list(self.values), absent, parents

    # Results of reads.

    def data_read(self, path: str, value: Value) -> None:
        """Store a node's data and stat."""
        if path in self.values:
            self._replace(path, value)
            return
        if path != self.path:
            parent, name = paths.split(path)
            if not self._may_enter(path, parent):
                return
            siblings = self._names.get(parent)
            if siblings is None:
                siblings = self._names[parent] = {}
            siblings[name] = None
        self._add(path, value)

    def absent(self, path: str) -> None:
        """Remove a node that does not exist, and all below it, the lowest first."""
        gone = [] if self._closed else [path]
        for each in gone:
            gone += [paths.join(each, name) for name in self._names.get(each, ())]
        for each in reversed(gone):
            old = self.values.pop(each, None)
            self._names.pop(each, None)
            self._unlisted.discard(each)
            error = self.unreadable.pop(each, None)
            siblings = self._names.get(paths.parent_of(each) or "")
            if siblings is not None and each != self.path:
                siblings.pop(paths.name_of(each), None)
            if old is not None:
                self._notify(ChangeKind.REMOVED, each, old, None)
            if error is not None:
                self._notify(ChangeKind.READABLE, each, None, None)
            if self._closed:
                return

    def names_read(self, path: str, names: Sequence[str]) -> None:
        """Compare a node's children with the known ones: read the new ones, and remove the missing ones."""
        if path not in self.values:
            return
        self._unlisted.discard(path)
        was_unreadable = self._note_readable(path)
        known = self._names.get(path, {})
        if known:
            present = set(names)
            for gone in [name for name in known if name not in present]:
                self.absent(paths.join(path, gone))
        children = paths.join_each(path, [name for name in names if name not in known] if known else names)
        self._cache.read_children(path, self._selection.kept(path, children))
        if was_unreadable and path in self.values:
            self._notify(ChangeKind.READABLE, path, self.values[path], self.values[path])

    def refused(self, part: int, path: str, error: ZooKeeperException) -> bool:
        """Note that a part of a node cannot be read.

        :returns: whether the node was readable before.
        """
        if self._closed or not self._has_place(path):
            return False
        if part == NAMES:
            self._unlisted.add(path)
        known = path in self.unreadable
        self.unreadable[path] = error
        if not known:
            old = self.values.get(path)
            self._notify(ChangeKind.HIDDEN, path, old, old)
        return not known

    def _note_readable(self, path: str) -> bool:
        """Remove a node from the unreadable ones, unless its children still are.

        :returns: whether it was one.
        """
        if not self.unreadable:
            return False
        return path not in self._unlisted and self.unreadable.pop(path, None) is not None

    def _add(self, path: str, value: Value) -> None:
        was_unreadable = self._note_readable(path)
        self.values[path] = value
        # A persistent watch reports children that are created later.
        has_children = (value[1].numChildren or not self.persistent) and self._may_have_children(path, value[1])
        if has_children and not self._cache.store.is_pending(NAMES, path):
            self._cache.invalidate(NAMES, path)
        if self._notifier.observed:
            self._notify(ChangeKind.ADDED, path, None, value)
        if was_unreadable:
            self._notify(ChangeKind.READABLE, path, value, value)

    def _replace(self, path: str, value: Value) -> None:
        was_unreadable = self._note_readable(path)
        old, self.values[path] = self.values[path], value
        before, now = old[1], value[1]
        if before.czxid != now.czxid:
            # The node was deleted and created again, and has other children.
            self.read_names(path)
        # In a new data generation another node may have the numbers of one of the old.
        if _identity(before) != _identity(now) or old[0] != value[0]:
            self._notify(ChangeKind.CHANGED, path, old, value)
        elif before != now:
            self._notifier.stat_changed(path)
        if was_unreadable:
            self._notify(ChangeKind.READABLE, path, value, value)

    def _may_have_children(self, path: str, stat: ZnodeStat) -> bool:
        # Ephemeral nodes have none. Containers and nodes with a time to live have a negative ephemeralOwner.
        return stat.ephemeralOwner <= 0 and not self._selection.at_limit(path)

    def _has_place(self, path: str) -> bool:
        """Return whether a node is in the branch, or may be added."""
        return path in self.values or path == self.path or self._may_enter(path, paths.split(path)[0])

    def _may_enter(self, path: str, parent: str) -> bool:
        """Return whether a node that is not in the branch may be added: its parent is there, or is about to be."""
        if parent not in self.values:
            if self._cache.store.marked(parent):
                # The pending reply may lack this child.
                self.read_names(parent)
            return False
        return self._selection.everything or self._selection.keeps(path)

    def _notify(self, kind: ChangeKind, path: str, old: Value | None, new: Value | None) -> None:
        if not self._closed:
            self._notifier.changed(kind, path, old, new)


def _count_names(path: str) -> int:
    return 0 if path == "/" else path.count("/")


def _identity(stat: ZnodeStat) -> tuple[int, int, int, int]:
    return stat.czxid, stat.mzxid, stat.ctime, stat.mtime
