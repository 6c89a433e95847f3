"""Witnesses: listeners of a node or a tree that check their notifications and compare them with the server."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Protocol

from twisted.python.failure import Failure

from txmirror import paths
from txmirror.embedded.tree import Node as ServersNode
from txmirror.embedded.tree import Tree as ServersTree
from txmirror.errors import NoAuthException, NoNodeException, OperationTimeoutException, ZooKeeperException
from txmirror.mirror import Change, ChangeKind, Existence, Node, Tree
from txmirror.mirror.changes import Value

Promised = tuple[bytes, int, int, int, int]


class Model(Protocol):
    """The part of the model that a witness needs."""

    @property
    def history(self) -> int:
        """Which data generation the mirror has seen last."""

    def likely(self, path: str, repetitions: int) -> bool:
        """Return whether a node was created so often that equal children may have been reported so many times."""

    def check_that(self, holds: bool, complaint: str) -> None:
        """Record a violation."""


def hidden(node: ServersNode) -> bool:
    """Return whether the mirror may not read a node."""
    return all(acl.scheme != "world" for acl in node.acl)


def _is_below(path: str, above: str) -> bool:
    return path == above or path.startswith("/" if above == "/" else above + "/")


def _identity(value: Value | None) -> tuple[bytes, int, int] | None:
    return None if value is None else (value[0], value[1].czxid, value[1].mzxid)


def _promised(value: Value) -> Promised:
    data, stat = value
    return data, stat.czxid, stat.mzxid, stat.version, stat.ephemeralOwner


class Obscured:
    """The nodes that may be shown in an old state for ever, because the server sends no events about them.

    It filters events by ACL. So a node that was made unreadable may be shown as it was before, until a read finds that,
    and a later read succeeds.

    :ivar paths: these nodes.
    """

    def __init__(self) -> None:
        self.paths: set[str] = set()
        self._found: set[str] = set()

    def add(self, path: str) -> None:
        """Note that a client may have made a node unreadable."""
        self.paths.add(path)
        self._found.discard(path)

    def covers(self, path: str) -> bool:
        """Return whether a node is one of them, or below one."""
        return any(_is_below(path, each) for each in self.paths)

    def look(self, there: ServersTree, refused: Callable[[str], bool], known: Callable[[str], bool]) -> None:
        """Note, while nothing changes, which of them were found to be unreadable.

        :param refused: returns whether a node is known to be unreadable.
        :param known: returns whether it is known at all.
        """
        for path in sorted(self.paths):
            node = there.nodes.get(path)
            if node is None and not known(path) and not refused(path):
                self.paths.discard(path)
            elif node is not None and hidden(node):
                if refused(path):
                    self._found.add(path)
            elif path in self._found:
                self.paths.discard(path)
        self._found &= self.paths

    def forget(self) -> None:
        """All was read again."""
        self.paths.clear()
        self._found.clear()


class NodeWitness:
    """Watches one node, and checks each value.

    :ivar values: the calls of the value watcher: the data generation, and the value.
    :ivar children: the calls of the watcher of the children, likewise.
    """

    def __init__(self, model: Model, node: Node) -> None:
        self.model = model
        self.node = node
        self.obscured: Obscured = Obscured()
        self.values: list[tuple[int, Value | None]] = []
        self.children: list[tuple[int, list[str] | None]] = []
        self.repetitions: int = 0
        state = node.state
        if state.existence is not Existence.UNKNOWN:
            # It was known before it was watched, and no watcher is called for that.
            known = None if state.value is None or state.stat is None else (state.value, state.stat)
            self.values.append((model.history, known))
            self.children.append((model.history, None if state.children is None else list(state.children)))
        node.addValueWatcher("witness", self.value_told)
        node.addChildWatcher("witness", self.children_told)

    def value_told(self, value: Value | None) -> None:
        history = self.model.history
        if self.values and self.values[-1][0] == history:
            before = self.values[-1][1]
            self.model.check_that(_identity(before) != _identity(value), f"{self.node} was told twice: {value}")
        if value is not None:
            newest = self.newest()
            self.model.check_that(value[1].mzxid > newest, f"{self.node} went back from {newest} to {value}")
        self.values.append((history, value))

    def children_told(self, names: list[str] | None) -> None:
        self.model.check_that(names is None or names == sorted(names), f"{self.node} has unsorted children: {names}")
        if self.children and self.children[-1] == (self.model.history, names):
            # Another node with the same children is another state.
            self.repetitions += 1
            likely = names is not None and self.model.likely(self.node.path, self.repetitions)
            self.model.check_that(likely, f"{self.node} was told twice that its children are {names}")
        self.children.append((self.model.history, names))

    def newest(self) -> int:
        """Return the highest mzxid of a notification in this data generation; -1 if there was none."""
        told = [value[1].mzxid for history, value in self.values if history == self.model.history and value]
        return max(told, default=-1)

    def was_read(self, result: Value | Failure) -> None:
        """Check the result of a read."""
        if isinstance(result, Failure):
            kind = result.check(NoNodeException, OperationTimeoutException)
            if kind is None:
                # Once it may not be read: that is no news of what is there.
                assert result.check(ZooKeeperException) and self.obscured.covers(self.node.path), result.getTraceback()
            elif kind is NoNodeException:
                assert self.node.state.existence is Existence.ABSENT, f"{self.node} is not absent, and was read so"
        else:
            newest = self.newest()
            assert result[1].mzxid >= newest, f"{self.node} was read as {result}, with {newest} known"

    def difference(self, there: ServersTree) -> str | None:
        """Return the differences between the node and the server."""
        path, state = self.node.path, self.node.state
        node = there.nodes.get(path)
        if self.obscured.covers(path) or (node is not None and hidden(node)):
            return None
        shown: object = state.existence
        if state.existence is Existence.ABSENT:
            shown = None
        elif state.existence is Existence.PRESENT:
            assert state.value is not None and state.stat is not None and state.children is not None
            shown = (_promised((state.value, state.stat)), self._sure(state.children))
        has: object = None
        if node is not None:
            has = (_promised((node.data or b"", node.stat())), self._sure(node.children))
        return None if shown == has else f"{path} is {has} at the server, and {shown} in the mirror"

    def _sure(self, names: Iterable[str]) -> list[str]:
        # A persistent watch on this very node tells of children, and is not told of those that are hidden.
        return sorted(name for name in names if not self.obscured.covers(paths.join(self.node.path, name)))

    def look(self, there: ServersTree) -> None:
        """Note at a quiet moment whether it was found out that the node is hidden."""
        reading = self.node.value()
        refused: list[bool] = []
        reading.addCallbacks(lambda _: None, lambda failure: refused.append(bool(failure.check(NoAuthException))))
        present = self.node.state.existence is Existence.PRESENT
        self.obscured.look(there, lambda _: refused == [True], lambda _: present)

    def replay(self) -> None:
        """The notifications, replayed, lead to the present state."""
        state = self.node.state
        if state.existence is Existence.UNKNOWN:
            return
        value = None if state.value is None or state.stat is None else (state.value, state.stat)
        assert self.values, f"{self.node} was told nothing"
        assert _identity(self.values[-1][1]) == _identity(value), f"{self.node} was told {self.values[-1]} at last"
        names = None if state.children is None else list(state.children)
        if self.children or names is not None:
            assert self.children[-1][1] == names, f"{self.node} was told to have {self.children[-1]}, not {names}"


class TreeWitness:
    """Watches one tree, replays its changes, and checks each step.

    :param depth: the depth of the tree; None for all.
    :param keep: the tree's filter of nodes.
    """

    def __init__(self, model: Model, tree: Tree, depth: int | None, keep: Callable[[str], bool] | None) -> None:
        self.model = model
        self.tree = tree
        self.obscured: Obscured = Obscured()
        self.closed = False
        self._depth = depth
        self._keep = keep
        self._replayed: dict[str, Value] = {}
        self._newest: dict[str, int] = {}
        self._history = model.history
        self._told_settled = False
        tree.watch(self.told)

    def told(self, change: Change) -> None:
        """Record and check a change."""
        complaint = self._complaint(change)
        self.model.check_that(complaint is None, f"{self.tree} told {change}: {complaint}")
        kind, path, _, new = change
        if kind in (ChangeKind.SETTLED, ChangeKind.STALE):
            self._told_settled = kind is ChangeKind.SETTLED
        elif new is not None:
            self._replayed[path] = new
            if kind not in (ChangeKind.HIDDEN, ChangeKind.READABLE):
                self._newest[path] = new[1].mzxid
        else:
            self._replayed.pop(path, None)

    def _complaint(self, change: Change) -> str | None:
        kind, path, old, new = change
        known = self._replayed.get(path)
        if self._history != self.model.history:
            self._history = self.model.history
            self._newest.clear()
        if self.closed:
            return "it is closed"
        if kind in (ChangeKind.SETTLED, ChangeKind.STALE):
            return None if self._told_settled is (kind is ChangeKind.STALE) else "that was told before"
        if _identity(old) != _identity(known):
            return f"what it was before was told as {known}"
        if kind in (ChangeKind.HIDDEN, ChangeKind.READABLE):
            return None if old == new else f"{kind.value} is no change"
        if new is not None and new[1].mzxid <= self._newest.get(path, -1):
            return f"{self._newest[path]} was told before"
        if kind is ChangeKind.ADDED:
            above = path == self.tree.path or paths.parent_of(path) in self._replayed
            return None if above and new is not None and known is None else "it was known, or its parent is not"
        if kind is ChangeKind.CHANGED:
            return None if known is not None and new is not None else "it was not known"
        below = [other for other in self._replayed if other != path and _is_below(other, path)]
        return None if known is not None and new is None and not below else f"it was not known, or {below} are below"

    def expected(self, there: ServersTree) -> tuple[dict[str, Promised], set[str], dict[str, list[str]]]:
        """Return the expected content of the tree, from the server: nodes, unreadable ones, and the names of their children."""
        values: dict[str, Promised] = {}
        holes: set[str] = set()
        names: dict[str, list[str]] = {}
        for path, node in self._walk(there):
            if hidden(node):
                holes.add(path)
            else:
                values[path] = _promised((node.data or b"", node.stat()))
                names[path] = []
                parent = paths.parent_of(path)
                if path != self.tree.path and parent is not None:
                    names[parent].append(paths.name_of(path))
        return values, holes, {path: sorted(each) for path, each in names.items()}

    def _walk(self, there: ServersTree) -> Iterator[tuple[str, ServersNode]]:
        waiting = [(self.tree.path, 0)]
        for path, level in waiting:
            node = there.nodes.get(path)
            if node is None or self.obscured.covers(path):
                continue
            yield path, node
            if not hidden(node) and (self._depth is None or level < self._depth):
                below = (paths.join(path, name) for name in node.children)
                waiting += [(child, level + 1) for child in below if self._keep is None or self._keep(child)]

    def difference(self, there: ServersTree) -> str | None:
        """Return the differences between the tree and the server."""
        values, holes, names = self.expected(there)
        tree, covered = self.tree, self.obscured.covers
        shown = {path: _promised(value) for path, value in tree.items() if not covered(path)}
        shown_holes = {path for path in tree.unreadable if not covered(path)}
        shown_names = {
            path: [name for name in tree.children(path) if not covered(paths.join(path, name))] for path in shown
        }
        for what, here, has in (
            ("nodes", shown, values),
            ("holes", shown_holes, holes),
            ("children", shown_names, names),
        ):
            if here != has:
                return f"{tree} has the {what} {here}, and the server {has}"
        return None

    def look(self, there: ServersTree) -> None:
        """Note, while nothing changes, which hidden nodes were found to be unreadable."""
        self.obscured.look(there, self.tree.unreadable.__contains__, self.tree.__contains__)

    def replay(self) -> None:
        """The notifications, replayed, lead to the present state."""
        told = {path: _identity(value) for path, value in self._replayed.items()}
        shown = {path: _identity(value) for path, value in self.tree.items()}
        assert told == shown, f"{self.tree} told {told}, and shows {shown}"
        assert self.closed or self._told_settled, f"{self.tree} did not tell that it has settled"
