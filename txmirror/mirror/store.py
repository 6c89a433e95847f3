"""The parts of nodes that are not up to date: they are to be read, are being read, or cannot be read.

Each node has two parts, its data (with the stat) and the names of its children. A part that is up to date has no mark here, so
that a large subtree at rest takes no memory but for what it shows. The values themselves are in the views that show them: the
records of nodes, and trees.
"""

from __future__ import annotations

import enum
from collections.abc import Container, Iterator, Sequence
from typing import Protocol

from txmirror import paths

#: The two parts of a node.
DATA, NAMES = 0, 1
PARTS = (DATA, NAMES)


class PartState(enum.Enum):
    """The state of one part of a node."""

    CURRENT = "current"
    """It was read, and a watch reports its changes; or nobody wants it."""
    STALE = "stale"
    """It has changed, or may have. It is to be read."""
    READING = "reading"
    """A read is pending."""
    OUTDATED = "outdated"
    """A read is pending, and the part has changed since: it is to be read again."""
    POSTPONED = "postponed"
    """The server lagged behind or was in trouble. It is to be read later."""
    REFUSED = "refused"
    """It cannot be read. It is retried later; nobody waits for that."""


class CountsUnsettled(Protocol):
    """A subtree that counts its parts that are not up to date.

    :ivar unsettled: their number.
    """

    unsettled: int

    def covers(self, path: str) -> bool:
        """Return whether a node at a path would belong to it."""


class TreeIndex:
    """The subtrees that are followed, by the paths of their roots: an event concerns few of a thousand."""

    def __init__(self) -> None:
        self._at: dict[str, list[CountsUnsettled]] = {}
        self._only: tuple[CountsUnsettled, ...] | None = None
        #: Grows with each tree that is added or removed.
        self.version: int = 0

    def add(self, path: str, tree: CountsUnsettled) -> None:
        """Add a tree with its root at a path."""
        self._at.setdefault(path, []).append(tree)
        self._changed()

    def remove(self, path: str, tree: CountsUnsettled) -> None:
        """Remove a tree."""
        self._at[path].remove(tree)
        if not self._at[path]:
            del self._at[path]
        self._changed()

    def _changed(self) -> None:
        self.version += 1
        # One root is the usual case.
        self._only = None
        if len(self._at) == 1:
            ((_, trees),) = self._at.items()
            self._only = tuple(trees)

    def same_for_siblings(self, siblings: Sequence[str]) -> bool:
        """Return whether several children of one node belong to the same trees, which have the node too."""
        # Only the trees with their roots at one of them differ.
        return self._only is not None or self._at.keys().isdisjoint(siblings)

    def at(self, path: str) -> list[CountsUnsettled]:
        """Return the trees with their roots at a path."""
        return list(self._at.get(path, ()))

    def covering(self, path: str) -> tuple[CountsUnsettled, ...]:
        """Return the trees that a node at a path would belong to, as far as the path alone can say."""
        if self._only is not None:
            covering = [tree for tree in self._only if tree.covers(path)]
            return self._only if len(covering) == len(self._only) else tuple(covering)
        found: tuple[CountsUnsettled, ...] = ()
        above: str | None = path if self._at else None
        while above is not None:
            here = self._at.get(above)
            if here is not None:
                found += tuple(tree for tree in here if tree.covers(path))
            above = paths.parent_of(above)
        return found


class _Mark:
    """The state of parts that are not up to date, shared by all of them that the same trees count."""

    __slots__ = ("group", "state")

    def __init__(self, state: PartState, group: _Group) -> None:
        self.state = state
        self.group = group


class _Group:
    """The marks of the parts that the same trees count. A hundred thousand nodes need five objects."""

    __slots__ = ("outdated", "postponed", "reading", "refused", "stale", "trees", "version")

    def __init__(self, trees: tuple[CountsUnsettled, ...], version: int) -> None:
        self.trees = trees
        self.version = version
        self.stale = _Mark(PartState.STALE, self)
        self.reading = _Mark(PartState.READING, self)
        self.outdated = _Mark(PartState.OUTDATED, self)
        self.postponed = _Mark(PartState.POSTPONED, self)
        self.refused = _Mark(PartState.REFUSED, self)


class Store:
    """The marks, by part and path, with one count of the parts that are not settled, and one for each tree.

    :param trees: the trees.
    :ivar unsettled: the number of parts that do not show the server's state, and are not refused.
    :ivar zxid: the transaction as of which the latest reply was true. Nothing older is shown: see :meth:`is_late`.
    :ivar marked_data: the nodes whose data is not up to date.
    :ivar maybe_absent: the nodes without a persistent watch that probably do not exist: a read of their existence leaves a
        watch, a read of their data would not.
    """

    def __init__(self, trees: TreeIndex) -> None:
        self._trees = trees
        self._marks: tuple[dict[str, _Mark], dict[str, _Mark]] = ({}, {})
        self.marked_data: Container[str] = self._marks[DATA]
        self._groups: dict[tuple[CountsUnsettled, ...], _Group] = {}
        self._version = trees.version
        self._finished: dict[CountsUnsettled, None] = {}
        self.unsettled: int = 0
        self.zxid: int = 0
        self.maybe_absent: set[str] = set()

    def is_late(self, zxid: int) -> bool:
        """Return whether a reply is older than one before it: it comes from a server that lags, and is not shown."""
        if zxid < self.zxid:
            return True
        self.zxid = zxid
        return False

    def state(self, part: int, path: str) -> PartState:
        """Return the state of a part."""
        mark = self._marks[part].get(path)
        return PartState.CURRENT if mark is None else mark.state

    def marked(self, path: str) -> bool:
        """Return whether a node has a part that is not up to date."""
        return path in self._marks[DATA] or path in self._marks[NAMES]

    def marked_paths(self) -> list[str]:
        """Return the nodes that have a part that is not up to date."""
        return list(self._marks[DATA].keys() | self._marks[NAMES].keys())

    def covering(self, part: int, path: str) -> tuple[CountsUnsettled, ...]:
        """Return the trees that a node belongs to."""
        mark = self._marks[part].get(path)
        if mark is None:
            return self._trees.covering(path)
        if mark.group.version != self._trees.version:
            mark = self._recount(part, path, mark)
        return mark.group.trees

    def stale(self, part: int) -> Iterator[str]:
        """Iterate over the nodes with a part that is to be read."""
        return (path for path, mark in list(self._marks[part].items()) if mark.state is PartState.STALE)

    # Transitions.

    def invalidate(self, part: int, path: str) -> bool:
        """Note that a part has changed, or may have.

        :returns: whether it is to be read now, and was not before. If not, a read is pending, and another one follows.
        """
        marks = self._marks[part]
        mark = marks.get(path)
        if mark is None:
            group = self._group(self._trees.covering(path))
            marks[path] = group.stale
            self._count(group, 1)
            return True
        if mark.group.version != self._trees.version:
            mark = self._recount(part, path, mark)
        group = mark.group
        if mark is group.stale or mark is group.outdated:
            return False
        if mark is group.reading:
            marks[path] = group.outdated
            return False
        if mark is group.refused:
            self._count(group, 1)
        marks[path] = group.stale
        return True

    def invalidate_siblings(self, part: int, siblings: Sequence[str]) -> Sequence[str]:
        """Note that a part of several children of one node has changed.

        :returns: those that are to be read now.
        """
        marks = self._marks[part]
        if not (marks.keys().isdisjoint(siblings) and self._trees.same_for_siblings(siblings)):
            return [path for path in siblings if self.invalidate(part, path)]
        group = self._group(self._trees.covering(siblings[0]))
        for path in siblings:
            marks[path] = group.stale
        self._count(group, len(siblings))
        return siblings

    def is_pending(self, part: int, path: str) -> bool:
        """Return whether a part is marked already, and so will be read. Trees that were added since count it too."""
        self.covering(part, path)
        return path in self._marks[part]

    def begin_read(self, part: int, path: str) -> bool:
        """Note that a read begins. An event that comes from now on is another change.

        :returns: False if there is nothing to read any more.
        """
        mark = self._marks[part].get(path)
        if mark is None or mark is not mark.group.stale:
            return False
        self._marks[part][path] = mark.group.reading
        return True

    def interrupt(self, part: int, path: str) -> bool:
        """Note that a pending read has shown nothing.

        :returns: whether the part is to be read again.
        """
        mark = self._marks[part].get(path)
        if mark is None:
            return False
        if mark is mark.group.refused:
            self._count(mark.group, 1)
        self._marks[part][path] = mark.group.stale
        return True

    def settle(self, part: int, path: str) -> bool:
        """Note that a read has succeeded, and that a watch reports what happens from now on.

        :returns: False if the part has changed meanwhile and is to be read again.
        """
        mark = self._marks[part].pop(path, None)
        if mark is None:
            return True
        group = mark.group
        if mark is group.outdated:
            self._marks[part][path] = group.stale
            return False
        if mark is not group.refused:
            self._count(group, -1)
        return True

    def postpone(self, part: int, path: str) -> None:
        """Note that a read was in vain. The part stays unsettled."""
        if self.interrupt(part, path):
            self._marks[part][path] = self._marks[part][path].group.postponed

    def refuse(self, part: int, path: str) -> None:
        """Note that a part cannot be read."""
        mark = self._marks[part].get(path)
        if mark is not None and mark is not mark.group.refused:
            self._count(mark.group, -1)
            self._marks[part][path] = mark.group.refused

    def discard(self, part: int, path: str) -> None:
        """Remove the mark: nobody wants the part any more."""
        mark = self._marks[part].pop(path, None)
        if mark is not None and mark is not mark.group.refused:
            self._count(mark.group, -1)

    def take_finished(self) -> list[CountsUnsettled]:
        """Return the trees that have nothing unsettled any more since the last call."""
        if not self._finished:
            return []
        finished, self._finished = self._finished, {}
        return [tree for tree in finished if not tree.unsettled]

    def _group(self, trees: tuple[CountsUnsettled, ...]) -> _Group:
        if self._version != self._trees.version:
            self._groups.clear()
            self._version = self._trees.version
        group = self._groups.get(trees)
        if group is None:
            group = self._groups[trees] = _Group(trees, self._version)
        return group

    def _recount(self, part: int, path: str, mark: _Mark) -> _Mark:
        """Let the trees count a part that have been added since it was marked, and those no longer that were removed."""
        group = self._group(self._trees.covering(path))
        if mark.state is not PartState.REFUSED:
            self._count(mark.group, -1)
            self._count(group, 1)
        now: _Mark = getattr(group, mark.state.value)
        self._marks[part][path] = now
        return now

    def _count(self, group: _Group, count: int) -> None:
        self.unsettled += count
        for tree in group.trees:
            tree.unsettled += count
            if not tree.unsettled:
                self._finished[tree] = None
