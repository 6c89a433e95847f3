"""The nodes of a service, on any number of connections: each is decoded once for each change of it."""

from __future__ import annotations

import enum
from collections.abc import Callable

import attrs
from twisted.internet.interfaces import IReactorTime

from txmirror import paths
from txmirror.discovery.reading_ahead import MOST_IN_TURN, ReadingAhead
from txmirror.discovery.service_tree import ServiceTree
from txmirror.mirror import Change, ChangeKind
from txmirror.registry import OutageHold
from txmirror.types import Answer, Instance, Payload

#: The most names of changed nodes that are kept.
_MOST_TOUCHED = 1_000


class Verdict(enum.Enum):
    """Why an instance may be picked or not, as far as its node says."""

    USABLE = enum.auto()
    """It may be picked."""
    UNREADABLE = enum.auto()
    """Its data cannot be read, or lacks an address or a port."""
    FAILED = enum.auto()
    """The filter has raised an exception."""
    FILTERED = enum.auto()
    """The filter has left it out."""
    DOWN = enum.auto()
    """It is registered as down."""
    NO_WEIGHT = enum.auto()
    """It has the weight 0."""


@attrs.frozen
class Listed:
    """A node of a service."""

    data: bytes | Payload
    """Its data; decoded if it comes from an earlier answer."""
    czxid: int | None
    """The transaction that has created it; None if it comes from an earlier answer."""
    verdict: Verdict
    """The verdict: it may be picked or not."""
    instance: Instance | None = None
    """The instance; None if it is unreadable."""
    reason: str | None = None
    """The reason for :attr:`Verdict.UNREADABLE` and :attr:`Verdict.FAILED`."""
    usable: Instance | None = attrs.field(init=False)
    """The instance if it may be picked; None otherwise."""

    @usable.default
    def _(self) -> Instance | None:
        return self.instance if self.verdict is Verdict.USABLE else None


@attrs.frozen
class ListUser:
    """The functions that a list calls."""

    judge: Callable[[str, bytes | Payload], tuple[Verdict, Instance | None, str | None]]
    """Decodes a node with a name; returns whether it may be picked, its instance, and the reason against it."""
    replaced: Callable[[str], object]
    """Notes that the node with a name was deleted, or was deleted and created again."""
    changed: Callable[[], object]
    """Notes that the list may have changed."""


class InstanceList:
    """Keeps the nodes of a service: a :class:`~txmirror.registry.discovery.Follower`.

    A long list is decoded in parts, so that the reactor can do other things meanwhile. It is shown when it is complete: then all nodes
    are compared with the tree in one turn of the reactor, because the list must be that of one moment. That takes about 1.5
    microseconds a node, 15 milliseconds for 10,000, and the names are sorted before, for 10 milliseconds.

    Without a connection it has the last known nodes. After an outage, if the list has shrunk to less than half, it keeps the former
    nodes beside the new ones for some time.

    :param path: the path of the service.
    :param hold_for: the longest time to keep the former nodes after an outage, in seconds.
    :param user: decodes nodes, and is notified of changes.
    :param reactor: measures the time.
    :ivar tree: the tree that is followed; None without one.
    :ivar known: whether there is a list: from the servers, or an earlier one.
    :ivar omitted: the nodes that cannot be read, or on which the filter has failed: the reason by name.
    """

    # It has more than 12 attributes: three are about outages, and two about long lists.

    def __init__(self, path: str, hold_for: float, user: ListUser, reactor: IReactorTime) -> None:
        self.tree: ServiceTree | None = None
        self.known: bool = False
        self._outage = self._complete = False
        self.omitted: dict[str, str] = {}
        self._path = path
        self._hold_for = hold_for
        self._user = user
        self._reactor = reactor
        self._current: dict[str, Listed] = {}
        #: The nodes that are shown instead, during an outage and while the current ones are held back.
        self._kept: dict[str, Listed] | None = None
        self._hold: OutageHold | None = None
        #: The names of the nodes that have changed since the last call of take_touched(); None for all.
        self._touched: set[str] | None = None
        #: The nodes of a long list that were decoded before it is read.
        self._ahead: ReadingAhead[Listed | None] | None = None

    @property
    def nodes(self) -> dict[str, Listed]:
        """The nodes by name, in no particular order; not to be changed."""
        return self._current if self._kept is None else self._kept

    def is_held(self, name: str) -> bool:
        """Return whether a node is shown although the servers do not have it any more."""
        return self._kept is not None and name in self._kept and name not in self._current

    def take_touched(self) -> set[str] | None:
        """Return the names of the nodes that may be others, or gone, since the last call; None if that may be all."""
        touched, self._touched = self._touched, set()
        return touched

    # For the registry.

    def follow(self, tree: ServiceTree) -> None:
        """Read the nodes from a tree from now on."""
        self.tree = tree
        self._complete = False
        self._hold = OutageHold(self._hold_for, self._hold_ended, self._reactor)
        tree.ready().addCallbacks(lambda _: self._begin(tree), lambda _: None)

    def leave(self) -> None:
        """Keep the latest nodes."""
        if self.tree is not None:
            self.tree.unwatch(self._tree_changed)
            self.tree = None
            self._forget_ahead()
            self._outage = True
            self._keep()
        if self._hold is not None:
            self._hold.stop()

    def remember(self, answer: Answer) -> None:
        """Use an earlier answer, unless there is a list."""
        if not self.known and answer["stat"] is not None:
            for name, payload in answer["children"].items():
                self._store(name, payload, None)
            self.known = self._outage = True
            self._user.changed()

    # Changes.

    def _begin(self, tree: ServiceTree) -> None:
        if self.tree is not tree:
            return
        names = sorted(paths.name_of(path) for path in tree if path != self._path)
        if len(names) <= MOST_IN_TURN:
            self._start(tree)
        else:
            self._ahead = ReadingAhead(
                names, lambda name: self._read_ahead(tree, name), lambda: self._start(tree), self._reactor
            )

    def _start(self, tree: ServiceTree) -> None:
        tree.watch(self._tree_changed)
        self._recovered(tree)

    def _read_ahead(self, tree: ServiceTree, name: str) -> tuple[Listed | None, int]:
        """Decode a node, unless it is gone, or was decoded before."""
        path, known = paths.join(self._path, name), self.nodes.get(name)
        if path not in tree:
            return None, 0
        data, stat = tree[path]
        if known is not None and known.data == data:
            return None, 0
        return Listed(data, stat.czxid, *self._user.judge(name, data)), len(data)

    def _forget_ahead(self) -> None:
        if self._ahead is not None:
            self._ahead.stop()
            self._ahead = None

    def _read_all(self, tree: ServiceTree) -> None:
        """Compare all nodes with those of a tree, once; but not while they cannot be listed."""
        if self._complete or self._path in tree.unreadable:
            return
        self._complete, self._touched = True, None
        if self.known:
            self._keep()
        nodes = {paths.name_of(path): path for path in tree if path != self._path}
        hidden = {paths.name_of(path): error for path, error in tree.unreadable.items()}
        for name in [each for each in self._current if each not in nodes and each not in hidden]:
            self._remove(name)
        # Decoded nodes of a first list are taken as they are.
        first, ahead = not self._current and self._kept is None, {} if self._ahead is None else self._ahead.results
        # The pool needs them in order.
        for name in sorted(nodes):
            data, stat = tree[nodes[name]]
            listed = ahead.get(name)
            if first and listed is not None and listed.data is data and listed.czxid == stat.czxid:
                self._current[name] = listed
                if listed.reason is not None:
                    self.omitted[name] = listed.reason
            else:
                self._store(name, data, stat.czxid)
        for name, error in hidden.items():
            self._hide(name, error)
        self.known = True
        self._forget_ahead()
        self._user.changed()

    def _tree_changed(self, change: Change) -> None:
        tree, kind, name = self.tree, change.kind, paths.name_of(change.path)
        if tree is None:
            return
        if kind is ChangeKind.STALE:
            self._outage = True
            self._keep()
        elif kind is ChangeKind.SETTLED:
            self._recovered(tree)
        elif change.path == self._path:
            if kind is ChangeKind.READABLE:
                # The nodes below it are read first.
                tree.caught_up().addCallback(lambda _: self._recovered(tree))
        elif kind is ChangeKind.HIDDEN:
            self._hide(name, tree.unreadable.get(change.path))
        elif change.new is None:
            self._remove(name)
        else:
            self._store(name, change.new[0], change.new[1].czxid)
        self._release_if_good()
        self._user.changed()

    def _store(self, name: str, data: bytes | Payload, czxid: int | None) -> None:
        known = self.nodes.get(name)
        if known is not None and known.czxid is not None:
            if known.czxid != czxid:
                self._user.replaced(name)
            if known.data == data:
                self._put(name, attrs.evolve(known, czxid=czxid))
                return
        listed = None if self._ahead is None else self._ahead.results.get(name)
        if listed is None or listed.data != data or listed.czxid != czxid:
            listed = Listed(data, czxid, *self._user.judge(name, data))
        instance = listed.instance
        if known is not None and known.instance and instance and not is_same(known.instance, instance):
            self._user.replaced(name)
        self._put(name, listed)

    def _hide(self, name: str, error: Exception | None) -> None:
        known = self._current.get(name)
        reason = "it cannot be read" if error is None else str(error)
        self._put(name, Listed(None, None if known is None else known.czxid, Verdict.UNREADABLE, None, reason))

    def _touch(self, name: str) -> None:
        if self._touched is not None:
            self._touched.add(name)
            if len(self._touched) > _MOST_TOUCHED:
                self._touched = None

    def _put(self, name: str, listed: Listed) -> None:
        self._touch(name)
        self._current[name] = listed
        if self._kept is not None:
            self._kept[name] = listed
        if listed.reason is not None:
            self.omitted[name] = listed.reason
        elif self.omitted:
            self.omitted.pop(name, None)

    def _remove(self, name: str) -> None:
        if self._hold is not None and self._hold.holds_back(len(self._current) - 1):
            self._keep()
        if self._current.pop(name, None) is not None:
            self._touch(name)
            self.omitted.pop(name, None)
            # The failures of one that is still shown count.
            if self._kept is None:
                self._user.replaced(name)

    # Outages.

    def _keep(self) -> None:
        """Show the present nodes until they are released, also those that go."""
        if self._kept is None and self._hold_for:
            self._kept = dict(self._current)

    def _recovered(self, tree: ServiceTree) -> None:
        """Note that the tree shows all nodes: for the first time, or again."""
        if self.tree is not tree or tree.stale_since is not None:
            return
        before, outage = len(self.nodes), self._outage
        self._outage = False
        self._read_all(tree)
        if outage and self._hold is not None:
            self._hold.start(before)
        self._release_if_good()

    def _release_if_good(self) -> None:
        held = self._outage or (self._hold is not None and self._hold.holds_back(len(self._current)))
        if self._kept is not None and not held:
            kept, self._kept = self._kept, None
            self._touched = None
            for name in kept.keys() - self._current.keys():
                self._user.replaced(name)

    def _hold_ended(self) -> None:
        self._release_if_good()
        self._user.changed()


def is_same(instance: Instance, other: Instance) -> bool:
    """Return whether two instances of a service are the same one, at the same address, whatever else may differ."""
    return (
        instance.name == other.name
        and instance.address == other.address
        and instance.port == other.port
        and instance.tls_port == other.tls_port
    )
