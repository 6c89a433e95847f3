"""Two kinds of interest in nodes, as the cache sees them, and the cache as those see it.

A *record* wants one node's data, and the names of its children if somebody asks for them. A *branch* wants a node and everything
below it. Neither knows the other, nor a mirror.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from twisted.internet.defer import Deferred

from txmirror.errors import NoNodeException, ZooKeeperException
from txmirror.mirror.changes import Value
from txmirror.mirror.deadlines import Deadlines
from txmirror.mirror.status import Status
from txmirror.mirror.store import CountsUnsettled, Store
from txmirror.types import WatchedEvent


class ViewedCache(Protocol):
    """The cache, as far as records and branches need it.

    :ivar status: the state of the connection.
    :ivar store: the marks of parts that are not up to date.
    :ivar deadlines: the time limits of readers.
    """

    status: Status
    store: Store
    deadlines: Deadlines

    @property
    def servers(self) -> str:
        """The servers and the chroot of the client, for messages."""

    def invalidate(self, part: int, path: str) -> None:
        """Read a part of a node as soon as possible."""

    def found(self, path: str) -> None:
        """Note that a node exists, or may exist again. The names of its children may have waited for that."""

    def read_children(self, parent: str, children: Sequence[str]) -> None:
        """Read the data of several children of one node as soon as possible."""

    def leave(self, branch: FollowedBranch) -> None:
        """Follow a subtree no longer, and remove the watches that only it needed."""

    def sync(self, path: str) -> Deferred[str]:
        """Wait until the server has caught up with its leader."""

    def absence(self, path: str, zxid: int) -> NoNodeException:
        """Return the error for a node that does not exist as of a transaction."""


class FollowedBranch(CountsUnsettled, Protocol):
    """A subtree that is followed.

    :ivar path: its root.
    :ivar persistent: whether a persistent watch reports its changes; None while that is not known.
    :ivar begun: whether its root was read, or is to be read.
    :ivar unreadable: the nodes that cannot be read, with the reason.
    """

    path: str
    persistent: bool | None
    begun: bool
    unreadable: dict[str, ZooKeeperException]

    def begin(self) -> None:
        """Read the root for the first time."""

    def watch_fired(self, event: WatchedEvent) -> None:
        """Read the nodes again that an event concerns. Its path is one that the branch covers."""

    def data_read(self, path: str, value: Value) -> None:
        """Store a node's data and stat."""

    def absent(self, path: str) -> None:
        """Remove a node that does not exist."""

    def names_read(self, path: str, names: Sequence[str]) -> None:
        """Compare a node's children with the known ones."""

    def refused(self, part: int, path: str, error: ZooKeeperException) -> bool:
        """Note that a part of a node cannot be read.

        :returns: whether the node was readable before.
        """

    def restorable(self) -> tuple[Sequence[str], Sequence[str], Sequence[str]]:
        """Return the nodes whose watches are to be restored: on data, on existence, and on children."""

    def read_all(self) -> None:
        """Read everything again."""

    def check_settled(self) -> None:
        """Note that nothing is unsettled any more."""

    def disconnected(self) -> None:
        """Note that the connection was lost."""

    def end(self) -> None:
        """Fail all waiters. The last known state stays readable."""
