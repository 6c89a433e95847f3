"""A whole subtree in memory, kept equal to the server's, as programs use it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, TypeVar

from twisted.internet.defer import Deferred

from txmirror.mirror.branch import Branch
from txmirror.mirror.changes import Change, Value
from txmirror.mirror.decoded import Decoded
from txmirror.mirror.interest import ViewedCache
from txmirror.mirror.live_mapping import LiveMapping
from txmirror.mirror.notifier import Notifier
from txmirror.mirror.store import DATA

_T = TypeVar("_T")


class Tree(LiveMapping[Value]):
    """A node and everything below it, as a mapping of paths to ``(data, stat)``. :meth:`Mirror.tree` makes it.

    It is live: it shows the server's state within a round trip or two. Without a connection it shows the last known state, and
    :attr:`stale_since` says since when. The root may be missing, and may be created and deleted.

    Its nodes are in no particular order. All reads of it are from memory. A closed tree stays readable, and does not change.

    :ivar path: the root's path.
    :ivar unreadable: the nodes that cannot be read, by path, with the reason. They are retried after a second, and then with
        growing pauses of up to a minute; at once after :meth:`Mirror.add_auth`, and after a reconnection. The nodes below
        them are not known.
    """

    def __init__(self, cache: ViewedCache, branch: Branch, notifier: Notifier) -> None:
        super().__init__(branch.values)
        self.path: str = branch.path
        self.unreadable: Final = branch.unreadable
        self._cache = cache
        self._branch = branch
        self._notifier = notifier

    def __repr__(self) -> str:
        state = "closed" if self.closed else "settled" if self.settled else "not settled"
        return f"<Tree {self.path!r} {len(self)} nodes {state}>"

    def children(self, path: str) -> list[str]:
        """Return the names of a node's children that are in the tree, sorted.

        :raises KeyError: the node is not in the tree.
        """
        if path not in self:
            raise KeyError(path)
        return self._branch.children(path)

    def decoded(self, decode: Callable[[str, bytes], _T]) -> Decoded[_T]:
        """Return a view of the tree that keeps the decoded data of each node.

        The nodes that are known are decoded at once, and later ones when they are read.

        :param decode: called with a node's path and data; returns the value. It may raise for data that it cannot decode.
        """
        return Decoded(self, decode)

    @property
    def settled(self) -> bool:
        """True if it shows the server's state, except for its unreadable nodes, as far as is known."""
        return self._notifier.settled

    @property
    def closed(self) -> bool:
        """True if it or its mirror was closed: it does not change any more."""
        return self._notifier.closed

    @property
    def stale_since(self) -> float | None:
        """When the connection was lost (in the reactor's seconds); None if there is one."""
        return self._cache.status.disconnected_since

    def ready(self) -> Deferred[None]:
        """Wait until the tree has settled for the first time.

        :returns: fires at once if it has. Fails with :exc:`~txmirror.errors.ClosingException` when the tree or its mirror is
            closed before. Cancelling ends the wait.
        """
        return self._notifier.ready()

    def caught_up(self) -> Deferred[None]:
        """Wait until all nodes were read that are known to have changed; only while there is a connection.

        :returns: fires at once if they were, and when the connection is lost or the tree closed. Cancelling ends the wait.
        """
        return self._notifier.caught_up()

    def watch(self, function: Callable[[Change], object]) -> None:
        """Call ``function`` with each change from now on, in order, each once. Several changes in quick succession may be
        notified as one.

        Adding a function is no change; existing nodes can be looked up at once. No function is called with change N+1 before
        all were called with change N. One that raises is logged, and stays. It may call anything.
        """
        self._notifier.watch(function)

    def unwatch(self, function: Callable[[Change], object]) -> None:
        """Remove a function; silent if it was not added."""
        self._notifier.unwatch(function)

    def close(self) -> None:
        """Stop following, and remove the watches at the server. It may be called at any time, and twice."""
        if not self.closed:
            self._branch.end()
            self._cache.leave(self._branch)

    # For a registry.

    def look_again(self, path: str, *, names: bool = False) -> None:
        """Read a node that is in the tree again, although it is not known to have changed.

        Servers send no event when an ACL was changed, when an ACL hides a change from us, or for a new number of children. A
        change that is found is notified as any other.

        :param names: read the list of its children too.
        :meta private:
        """
        if path in self and not self.closed:
            self._cache.invalidate(DATA, path)
            if names:
                self._branch.read_names(path)

    def watch_stats(self, function: Callable[[str], object]) -> None:
        """Call ``function`` with the path of a node that was read again with another stat and no change for watchers: another
        number of children, for instance. It replaces the former function.

        :meta private:
        """
        self._notifier.on_stat_changed = function
