"""Follow all services below a path with one tree, and read their lists in steps."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Final

from txmirror import paths
from txmirror.catalog.audit import TreeAudit
from txmirror.catalog.service_list import ServiceList
from txmirror.mirror import Change, ChangeKind, Mirror
from txmirror.printable import on_one_line
from txmirror.timers import Timer

#: The number of nodes after which the lists of further services are read in a later turn of the reactor.
_NODES_IN_TURN: Final = 200


class Following:
    """Follows the services below a path, until :meth:`end`.

    :param mirror: the mirror.
    :param root: the path.
    :param hold_for: how long a list that has collapsed after an outage is held back, in seconds.
    :param changed: called when services or entries may have changed.
    :param connection_changed: called when the connection was lost, or everything is current again.
    :ivar lists: the services by name, in no particular order.
    :ivar gone: the services that are gone since the last call of :meth:`take_gone`.
    :ivar dirty: the services whose entries may have changed.
    """

    # It has more than 12 attributes: its arguments and its state.

    def __init__(
        self,
        mirror: Mirror,
        root: str,
        hold_for: float,
        changed: Callable[[], None],
        connection_changed: Callable[[bool], None],
    ) -> None:
        self.lists: dict[str, ServiceList] = {}
        self.gone: dict[str, None] = {}
        self.dirty: dict[ServiceList, None] = {}
        self.tree: Final = mirror.tree(root, depth=2)
        self._root = self.tree.path
        self._prefix = self._root.rstrip("/") + "/"
        self._hold_for = hold_for
        self._reactor = mirror.reactor
        self._changed = changed
        self._connection_changed = connection_changed
        self._ready = self._ended = False
        self._lost_since: float | None = None
        #: True from the moment at which the tree is current again until its changes were shown.
        self._settling = False
        self._to_begin: deque[ServiceList] = deque()
        self._long: ServiceList | None = None
        self._next = Timer(mirror.reactor, self._begin_lists)
        self._audit = TreeAudit(self.tree, mirror.reactor)
        self._waiting = self.tree.ready()
        # It fails when the mirror is closed before.
        self._waiting.addCallbacks(lambda _: self._begin(), lambda _: None)

    @property
    def known(self) -> bool:
        """True if the services and their nodes were read, except for those that cannot be read."""
        return self._ready and not self._to_begin and all(each.known for each in self.lists.values())

    @property
    def lost_since(self) -> float | None:
        """When the connection was lost (in the reactor's seconds); None if everything is current."""
        return self._lost_since if self._lost_since is not None else self.tree.stale_since

    @property
    def reason(self) -> str | None:
        """The reason why the services cannot be read, in one line; None if they can."""
        error = self.tree.unreadable.get(self._root)
        return None if error is None else on_one_line(str(error))

    def take_gone(self) -> list[str]:
        """Return the names of the services that are gone since the last call."""
        gone, self.gone = list(self.gone), {}
        return gone

    def note_shown(self) -> None:
        """Note that all changes so far were shown: after a lost connection, everything is current then."""
        if self._settling:
            self._settling = False
            self._lost_since = None
            self._connection_changed(False)

    def end(self) -> None:
        """Follow nothing any longer."""
        self._ended = True
        self._next.stop()
        self._audit.stop()
        self._waiting.cancel()
        self.tree.unwatch(self._tree_changed)
        for each in self.lists.values():
            each.end()
        self.tree.close()

    # The tree.

    def _begin(self) -> None:
        if self._ended:
            return
        tree, self._ready = self.tree, True
        tree.watch(self._tree_changed)
        self._audit.start()
        for name in tree.children(self._root) if self._root in tree else ():
            self._add(name)
        for path in list(tree.unreadable):
            self._dispatch(Change(ChangeKind.HIDDEN, path, None, None))
        self._changed()

    def _tree_changed(self, change: Change) -> None:
        kind = change.kind
        if kind in (ChangeKind.STALE, ChangeKind.SETTLED):
            lost = kind is ChangeKind.STALE
            self._settling = not lost
            if lost and self._lost_since is None:
                self._lost_since = self.tree.stale_since
            for each in list(self.lists.values()):
                each.dispatch(change)
            if lost:
                self._connection_changed(True)
            else:
                # The changes of the outage are shown first.
                self._changed()
        else:
            self._dispatch(change)

    def _dispatch(self, change: Change) -> None:
        name, _, node = change.path[len(self._prefix) :].partition("/")
        if not name:
            # The root: it cannot be read, or can be read again.
            self._changed()
            return
        found = self.lists.get(name)
        if found is None:
            if change.new is None and change.kind is not ChangeKind.HIDDEN:
                return
            found = self._add(name)
        if not node:
            found.missing = change.kind is ChangeKind.REMOVED or (
                change.kind is ChangeKind.READABLE and change.path not in self.tree
            )
        found.dispatch(change)

    def _add(self, name: str) -> ServiceList:
        path = paths.join(self._root, name)
        added = ServiceList(name, path, self.tree, self._hold_for, self._list_changed, self._reactor)
        self.lists[name] = added
        self._to_begin.append(added)
        if not self._next.running and self._long is None:
            self._next.start(0)
        return added

    # The lists.

    def _begin_lists(self) -> None:
        count = 0
        while self._to_begin and count < _NODES_IN_TURN:
            each = self._to_begin.popleft()
            if self.lists.get(each.name) is each:
                count += 1 + each.begin()
                self._list_changed(each)
                if not each.known:
                    # A long list, which is read in parts: the next one begins afterwards.
                    self._long = each
                    return
        if self._to_begin:
            self._next.start(0)
        self._changed()

    def _list_changed(self, changed: ServiceList) -> None:
        if changed is self._long and (changed.known or changed.missing):
            self._long = None
            self._next.start(0)
        if self.lists.get(changed.name) is not changed:
            return
        if changed.missing and changed.empty:
            del self.lists[changed.name]
            self.dirty.pop(changed, None)
            self.gone[changed.name] = None
            changed.end()
        else:
            self.dirty[changed] = None
        self._changed()
