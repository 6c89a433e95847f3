"""The changes of an ensemble, as its data shows them: the standard that clients and mirrors are compared with."""

from __future__ import annotations

from bisect import bisect_right
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

from txmirror.embedded.ensemble_state import EnsembleState
from txmirror.embedded.tree import Node, Tree
from txmirror.embedded.watches import Change
from txmirror.paths import parent_of
from txmirror.types import EventType

#: Above all zxids.
FOREVER = 2**63


class Shown(NamedTuple):
    """The part of a node's state that a read shows."""

    data: bytes
    czxid: int
    mzxid: int
    version: int
    owner: int


class _History:
    """The states of one path, each from a zxid on.

    :param state: the first.
    """

    def __init__(self, state: Any) -> None:
        self._zxids = [0]
        self._states = [state]

    def add(self, zxid: int, state: Any) -> None:
        """Add the state from a zxid on."""
        if self._zxids[-1] == zxid:
            self._states[-1] = state
        else:
            self._zxids.append(zxid)
            self._states.append(state)

    def at(self, zxid: int) -> Any:
        """Return the state as of a zxid."""
        return self._states[bisect_right(self._zxids, zxid) - 1]

    def changed(self, since: int, until: int) -> bool:
        """Return whether a state began after a zxid, up to another."""
        return self.count(since, until) > 0

    def count(self, since: int, until: int) -> int:
        """Return the number of states that began after a zxid, up to another."""
        return bisect_right(self._zxids, until) - bisect_right(self._zxids, since)

    def backwards(self, until: int = FOREVER) -> Iterator[tuple[int, Any]]:
        """Yield the states up to a zxid, each with the zxid of its begin, the last one first."""
        for index in range(bisect_right(self._zxids, until) - 1, -1, -1):
            yield self._zxids[index], self._states[index]

    def pairs(self, since: int, until: int) -> Iterator[tuple[Any, Any]]:
        """Yield these states, each with the one before it."""
        for index in range(bisect_right(self._zxids, since), bisect_right(self._zxids, until)):
            yield self._states[index - 1], self._states[index]


class Truth:
    """Records every change of the data.

    :param state: the data of the servers.
    :param notify: called when the data is replaced.
    :ivar generation: the number of times that the data was replaced.
    :ivar written: the number of times that each data was written to a node.
    :ivar creations: the number of times that each path was created.
    :ivar deletions: the number of deletions.
    """

    def __init__(self, state: EnsembleState, notify: Callable[[], object]) -> None:
        self.generation: int = 0
        self._notify = notify
        self.written: Counter[bytes] = Counter()
        self.creations: Counter[str] = Counter()
        self.deletions: int = 0
        self._database = state.database
        self._nodes: dict[str, _History] = {}
        self._children: dict[str, _History] = {}
        self._begin()
        state.database.followers.append(self)

    @property
    def tree(self) -> Tree:
        """The present data."""
        return self._database.tree

    @property
    def zxid(self) -> int:
        """The last transaction."""
        return self._database.tree.zxid

    # Called by the database.

    def changed(self, changes: Sequence[Change]) -> None:
        """Record the changes of a transaction."""
        nodes = self.tree.nodes
        for change in changes:
            path, node = change.path, nodes.get(change.path)
            self._nodes_of(path).add(change.zxid, None if node is None else _shown(node))
            if change.kind is not EventType.CHANGED:
                for each in (path, parent_of(path) or "/"):
                    there = nodes.get(each)
                    names = None if there is None else tuple(sorted(there.children))
                    self._children_of(each).add(change.zxid, names)
            if change.kind is EventType.CREATED:
                self.creations[path] += 1
            if change.kind is EventType.DELETED:
                self.deletions += 1
            elif node is not None and node.data:
                self.written[node.data] += 1

    def replaced(self) -> None:
        """Begin a new generation."""
        self.generation += 1
        self._notify()
        self._begin()

    def _begin(self) -> None:
        self._nodes.clear()
        self._children.clear()
        for path, node in self.tree.nodes.items():
            self._nodes_of(path).add(node.mzxid, _shown(node))
            self._children_of(path).add(node.pzxid, tuple(sorted(node.children)))

    def _nodes_of(self, path: str) -> _History:
        if path not in self._nodes:
            self._nodes[path] = _History(None)
        return self._nodes[path]

    def _children_of(self, path: str) -> _History:
        if path not in self._children:
            self._children[path] = _History(None)
        return self._children[path]

    # Questions.

    def at(self, path: str, zxid: int) -> Shown | None:
        """Return the state of a path as of a zxid; None if there was no node."""
        shown: Shown | None = self._nodes_of(path).at(zxid)
        return shown

    def children_at(self, path: str, zxid: int) -> tuple[str, ...] | None:
        """Return the sorted names of the children of a path as of a zxid; None if there was no node."""
        names: tuple[str, ...] | None = self._children_of(path).at(zxid)
        return names

    def node_changed(self, path: str, since: int, until: int = FOREVER) -> bool:
        """Return whether a node was created, deleted or changed after a zxid, up to another."""
        return self._nodes_of(path).changed(since, until)

    def children_changed(self, path: str, since: int, until: int = FOREVER) -> bool:
        """Return whether the children of a node were created or deleted, or the node itself, likewise."""
        return self._children_of(path).changed(since, until)

    def was_absent(self, path: str, since: int) -> bool:
        """Return whether there was a moment without a node since a zxid."""
        for zxid, shown in self._nodes_of(path).backwards():
            if shown is None:
                return True
            if zxid <= since:
                break
        return False

    def children_backwards(self, path: str) -> Iterator[tuple[int, tuple[str, ...] | None]]:
        """Yield the names of the children of a path, each with the zxid of the change, the last one first; None if there was no
        node.
        """
        return self._children_of(path).backwards()

    def count_changes(self, path: str, since: int, until: int) -> int:
        """Return how often a node was created, deleted or changed after a zxid, up to another."""
        return self._nodes_of(path).count(since, until)

    def count_changes_of_children(self, path: str, since: int, until: int) -> int:
        """Return how often a child of a node was created or deleted, likewise."""
        pairs = self._children_of(path).pairs(since, until)
        return sum(before is not None and after is not None for before, after in pairs)


def _shown(node: Node) -> Shown:
    return Shown(node.data or b"", node.czxid, node.mzxid, node.version, node.stat().ephemeralOwner)
