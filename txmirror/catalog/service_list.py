"""One service of the catalog: its list of instances, and the nodes whose entries are to be made anew."""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Callable
from itertools import islice
from typing import Final

from twisted.internet.interfaces import IReactorTime

from txmirror import paths
from txmirror.catalog.entries import Entry, make_entry
from txmirror.catalog.nodes import ServiceNodes
from txmirror.discovery import InstanceList, Judge, ListUser
from txmirror.mirror import Change, Tree
from txmirror.printable import on_one_line

#: The most nodes that are looked at in one step.
MOST_IN_STEP: Final = 200


class ServiceList:
    """Follows the instances of a service, and finds out which entries have changed.

    :param name: the service's name.
    :param path: its path.
    :param tree: the tree of all services.
    :param hold_for: how long a list that has collapsed after an outage is held back, in seconds.
    :param changed: called with this object when entries may have changed.
    :param reactor: measures the time.
    :ivar entries: the entries by name, as of the latest :meth:`take`.
    :ivar names: their names, sorted.
    :ivar missing: whether the service's node does not exist any more.
    """

    def __init__(
        self,
        name: str,
        path: str,
        tree: Tree,
        hold_for: float,
        changed: Callable[[ServiceList], object],
        reactor: IReactorTime,
    ) -> None:
        self.name = name
        self.path = path
        self.entries: dict[str, Entry] = {}
        self.names: list[str] = []
        self.missing = False
        self._nodes = ServiceNodes(tree, path)
        self._changed = changed
        self._dirty: dict[str, None] = {}
        #: Whether the changes are those of one node, whose name is known.
        self._dispatching = False
        user = ListUser(Judge(path, None, None).judge, self._replaced, self._list_changed)
        self._list = InstanceList(path, hold_for, user, reactor)

    @property
    def known(self) -> bool:
        """True if the nodes were read, or cannot be listed."""
        return self._list.known or self.path in self._nodes.unreadable

    @property
    def dirty(self) -> int:
        """The number of nodes whose entries are to be made anew."""
        return len(self._dirty)

    @property
    def empty(self) -> bool:
        """True if there are no nodes, also none that are held back."""
        return not self._list.nodes

    @property
    def reason(self) -> str | None:
        """The reason why the service cannot be read, in one line; None if it can."""
        error = self._nodes.unreadable.get(self.path)
        return None if error is None else on_one_line(str(error))

    def begin(self) -> int:
        """Read the nodes from the tree from now on.

        :returns: the number of nodes.
        """
        self._list.follow(self._nodes)
        return len(self._nodes)

    def end(self) -> None:
        """Read nothing any longer."""
        self._list.leave()

    def dispatch(self, change: Change) -> None:
        """Note a change of the service's node, of one below it, or of the whole tree."""
        path = change.path
        below = len(path) > len(self.path)
        if below:
            self._dirty[paths.name_of(path)] = None
        # Those that are no longer held back are noted as replaced.
        self._dispatching = True
        try:
            self._nodes.dispatch(change)
        finally:
            self._dispatching = False
        if below or path == self.path or self._dirty:
            self._changed(self)

    def take(self) -> dict[str, tuple[Entry | None, Entry | None]]:
        """Make some of the entries anew.

        :returns: those that differ: the former and the new entry by name, each None if there is none.
        """
        changes: dict[str, tuple[Entry | None, Entry | None]] = {}
        for name in list(islice(self._dirty, MOST_IN_STEP)):
            del self._dirty[name]
            known, entry = self.entries.get(name), self._make(name)
            if entry == known:
                continue
            changes[name] = known, entry
            if entry is None:
                del self.entries[name]
                del self.names[bisect_left(self.names, name)]
                continue
            self.entries[name] = entry
            if known is None:
                insort(self.names, name)
        return changes

    def _make(self, name: str) -> Entry | None:
        listed = self._list.nodes.get(name)
        if listed is None:
            return None
        path = paths.join(self.path, name)
        if not self._list.is_held(name):
            return make_entry(name, path, listed, self._nodes.stat(path), held=False)
        known = self.entries.get(name)
        entry = make_entry(name, path, listed, None if known is None else known.stat, held=True)
        # One that could not be used does not count any more.
        return entry if entry.usable else None

    def _replaced(self, name: str) -> None:
        self._dirty[name] = None

    def _list_changed(self) -> None:
        if not self._dispatching:
            self._dirty.update(dict.fromkeys(self._list.nodes))
            self._dirty.update(dict.fromkeys(self.entries))
            self._changed(self)
