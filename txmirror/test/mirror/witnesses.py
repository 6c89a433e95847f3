"""Witnesses of a tree or a node that check each notification, and the state to compare with."""

from __future__ import annotations

from collections.abc import Callable

from twisted.internet.defer import gatherResults

from txmirror import paths
from txmirror.client import ZooKeeperClient
from txmirror.mirror import Change, ChangeKind, Node, Tree
from txmirror.test.mirror.world import Shown, Value, read


class TreeWitness:
    """Watches a tree, replays its changes, and checks each step.

    :ivar told: the kinds and paths of the changes since :meth:`take`.
    :ivar faults: the violations.
    """

    def __init__(self, tree: Tree) -> None:
        self.tree = tree
        self.told: list[tuple[ChangeKind, str]] = []
        self.replayed = {path: tree[path] for path in tree}
        self.faults: list[str] = []
        tree.watch(self.take_in)

    def take_in(self, change: Change) -> None:
        """Record and check a change."""
        kind, path, old, new = change
        self.told.append((kind, path))
        known = self.replayed.get(path)
        if kind in (ChangeKind.SETTLED, ChangeKind.STALE, ChangeKind.HIDDEN, ChangeKind.READABLE):
            return
        parent = path.rpartition("/")[0] or "/"
        if known != old and (known is None or old is None or known[1].mzxid != old[1].mzxid):
            self.faults.append(f"{change}, with {known} told before")
        if kind is ChangeKind.ADDED and not (known is None and (path == self.tree.path or parent in self.replayed)):
            self.faults.append(f"{change} of what was known, or without its parent")
        if kind is ChangeKind.REMOVED and any(other.startswith(path + "/") for other in self.replayed):
            self.faults.append(f"{change}, and something is below it")
        if kind is ChangeKind.CHANGED and (known is None or new is None or known[1][:4] == new[1][:4]):
            self.faults.append(f"{change} is none")
        if new is None:
            self.replayed.pop(path, None)
        else:
            self.replayed[path] = new

    def take(self) -> list[tuple[ChangeKind, str]]:
        """Return the notifications since the last call."""
        told, self.told = self.told, []
        return told

    def complaints(self) -> list[str]:
        """Return the errors so far: of a step, or of the state that all steps lead to."""
        replayed = {path: value[1].mzxid for path, value in self.replayed.items()}
        shown = {path: value[1].mzxid for path, value in self.tree.items()}
        return self.faults + ([] if replayed == shown else [f"{self.tree} was told as {replayed}, and shows {shown}"])


class NodeWitness:
    """Watches a node, and checks that its values never go backwards and are never reported twice.

    :param history: returns the data generation of the node.
    :ivar faults: the violations.
    """

    def __init__(self, node: Node, history: Callable[[], int]) -> None:
        self.node = node
        self.faults: list[str] = []
        self._history = history
        state = node.state
        self._value = None if state.value is None or state.stat is None else (state.value, state.stat)
        self._names = None if state.children is None else list(state.children)
        self._told: tuple[int, tuple[bytes, int, int] | None] | None = None
        self._newest: tuple[int, int] = (-1, -1)
        node.addValueWatcher(self, self.value_told)
        node.addChildWatcher(self, self.children_told)

    def value_told(self, value: Value | None) -> None:
        """Record and check a value."""
        history = self._history()
        told = (history, None if value is None else (value[0], value[1].czxid, value[1].mzxid))
        if told == self._told:
            self.faults.append(f"{self.node} was told twice: {value}")
        if value is not None:
            newest = (history, value[1].mzxid)
            if newest <= self._newest:
                self.faults.append(f"{self.node} went back from {self._newest} to {value}")
            self._newest = newest
        self._told, self._value = told, value

    def children_told(self, names: list[str] | None) -> None:
        """Record and check the children."""
        if names is not None and names != sorted(names):
            self.faults.append(f"{self.node} has unsorted children: {names}")
        self._names = names

    def complaints(self) -> list[str]:
        """Return the errors so far: of a step, or of the state that all steps lead to."""
        state = self.node.state
        told = (
            None if self._value is None else (self._value[0], self._value[1].czxid, self._value[1].mzxid),
            self._names,
        )
        shown = (
            None if state.value is None or state.stat is None else (state.value, state.stat.czxid, state.stat.mzxid),
            None if state.children is None else list(state.children),
        )
        return self.faults + ([] if told == shown else [f"{self.node} was told as {told}, and shows {shown}"])


def shown_below(tree: Tree) -> dict[str, Shown]:
    """Return the content of a tree, as far as it claims to agree with the server."""
    return {
        path: (data, stat.czxid, stat.mzxid, stat.version, stat.ephemeralOwner, tree.children(path))
        for path, (data, stat) in tree.items()
    }


async def read_below(
    client: ZooKeeperClient, path: str, depth: int | None = None, keep: Callable[[str], bool] | None = None
) -> dict[str, Shown]:
    """Read the same data from the server that :func:`shown_below` has for a tree of this path, depth and filter."""
    found: dict[str, Shown] = {}
    level, wanted = 0, [path]
    while wanted:
        answers = await gatherResults([read(client, each) for each in wanted])
        below: list[str] = []
        for each, answer in zip(wanted, answers, strict=True):
            if answer is not None:
                children = [] if level == depth else [paths.join(each, name) for name in answer[-1]]
                kept = [child for child in children if keep is None or keep(child)]
                found[each] = (*answer[:-1], [paths.name_of(child) for child in kept])
                below += kept
        level, wanted = level + 1, below
    return found
