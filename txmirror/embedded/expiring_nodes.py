"""Periodically delete empty containers and expired TTL nodes.

The rules are those of ``org.apache.zookeeper.server.ContainerManager``. It spreads many deletions over time; this deletes all at
once.
"""

from __future__ import annotations

from collections.abc import Callable

from twisted.internet.interfaces import IReactorTime

from txmirror.embedded.database import Database
from txmirror.embedded.ephemeral_owners import ttl_of
from txmirror.embedded.tree import Node
from txmirror.timers import Timer

#: The shortest time between two checks, in seconds.
_MOMENT = 1e-6


class NodeExpirer:
    """Deletes empty containers and expired TTL nodes. It runs a timer only while there are containers or TTL nodes.

    :param clock: the source of the time.
    :param interval: the time between two checks, in seconds.
    :param now: returns the time in milliseconds since the epoch, as in stats.
    """

    def __init__(self, clock: IReactorTime, database: Database, interval: float, now: Callable[[], int]) -> None:
        self._clock = clock
        self._database = database
        self._interval = interval
        self._now = now
        self._started: float | None = None
        self._timer = Timer(clock, self._delete_due)
        database.on_expiring_nodes = self._set_timer

    def start(self) -> None:
        """Check after every interval from now on."""
        self._started = self._clock.seconds()
        self._set_timer()

    def stop(self) -> None:
        """Stop checking until :meth:`start`."""
        self._started = None
        self._timer.stop()

    def _set_timer(self) -> None:
        if self._started is not None and self._database.tree.expiring_nodes and not self._timer.running:
            passed = self._clock.seconds() - self._started
            remaining = self._interval - passed % self._interval
            # After a check, rounding can leave a moment that is too short to move the time.
            self._timer.start(remaining if remaining > _MOMENT else self._interval)

    def _delete_due(self) -> None:
        tree = self._database.tree
        # A parent that becomes empty by this is deleted at the next check.
        for path in [path for path in tree.expiring_nodes if self._is_due(tree.nodes[path])]:
            self._database.remove([path])
        self._set_timer()

    def _is_due(self, node: Node) -> bool:
        if node.children:
            return False
        ttl = ttl_of(node.owner)
        if ttl is not None:
            return self._now() - node.mtime > ttl
        # A container that has never had a child may still get its first.
        return node.created_children > 0
