"""The nodes of one service, as a part of the tree of all services."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from twisted.internet.defer import Deferred

from txmirror import paths
from txmirror.errors import ZooKeeperException
from txmirror.mirror import Change, Tree
from txmirror.types import ZnodeStat


class ServiceNodes:
    """A service's node and those below it: a :class:`~txmirror.discovery.service_tree.ServiceTree`.

    One tree for all services costs one watch at the server, and keeps each node once.

    :param tree: the tree of all services.
    :param path: the service's path.
    :ivar unreadable: the nodes that cannot be read, by path. :meth:`dispatch` keeps it.
    """

    def __init__(self, tree: Tree, path: str) -> None:
        self.unreadable: dict[str, ZooKeeperException] = {}
        self._tree = tree
        self._path = path
        self._function: Callable[[Change], object] | None = None

    @property
    def stale_since(self) -> float | None:
        """When the connection was lost (in the reactor's seconds); None if there is one."""
        return self._tree.stale_since

    def __contains__(self, path: object) -> bool:
        return path in self._tree

    def __iter__(self) -> Iterator[str]:
        if self._path not in self._tree:
            return iter(())
        return iter([self._path, *paths.join_each(self._path, self._tree.children(self._path))])

    def __len__(self) -> int:
        return 1 + len(self._tree.children(self._path)) if self._path in self._tree else 0

    def __getitem__(self, path: str) -> tuple[bytes, ZnodeStat]:
        return self._tree[path]

    def stat(self, path: str) -> ZnodeStat | None:
        """Return a node's stat; None if it is not there."""
        value = self._tree.get(path)
        return None if value is None else value[1]

    def ready(self) -> Deferred[None]:
        """Wait until all were read for the first time. Cancelling ends the wait."""
        return self._tree.ready()

    def caught_up(self) -> Deferred[None]:
        """Wait until all were read that are known to have changed. Cancelling ends the wait."""
        return self._tree.caught_up()

    def watch(self, function: Callable[[Change], object]) -> None:
        """Call a function with each change from now on, in place of the former function."""
        self._function = function

    def unwatch(self, function: Callable[[Change], object]) -> None:
        """Call no function any longer."""
        self._function = None

    def dispatch(self, change: Change) -> None:
        """Pass on a change of the service's node, of one below it, or of the whole tree."""
        error = self._tree.unreadable.get(change.path)
        if error is not None:
            self.unreadable[change.path] = error
        elif self.unreadable:
            self.unreadable.pop(change.path, None)
        if self._function is not None:
            self._function(change)
