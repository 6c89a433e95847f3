"""Which znodes have had their day, and when it is looked for them: containers, and nodes with a time to live.

The rules are those of ``org.apache.zookeeper.server.ContainerManager``. It takes a while over many; here all go at once.
"""

from __future__ import annotations

from collections.abc import Callable

from twisted.internet.interfaces import IDelayedCall

from txmirror.embedded.database import Database
from txmirror.embedded.ephemeral_owners import ttl_of
from txmirror.embedded.sessions import Clock
from txmirror.embedded.tree import Node


class NodeExpirer:
    """Takes away, every so often, what has had its day. It has a timer only while there is what may have it.

    :param clock: what time is taken from.
    :param interval: how often, in seconds.
    :param now: gives the time in milliseconds since the epoch, as stats have it.
    """

    def __init__(self, clock: Clock, database: Database, interval: float, now: Callable[[], int]) -> None:
        self._clock = clock
        self._database = database
        self._interval = interval
        self._now = now
        self._started: float | None = None
        self._timer: IDelayedCall | None = None
        database.on_expiring_nodes = self._set_timer

    def start(self) -> None:
        """Look when the interval is over, and then again and again."""
        self._started = self._clock.seconds()
        self._set_timer()

    def stop(self) -> None:
        """Look no more until :meth:`start`."""
        self._started = None
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _set_timer(self) -> None:
        if self._timer is None and self._started is not None and self._database.tree.expiring_nodes:
            passed = self._clock.seconds() - self._started
            self._timer = self._clock.callLater(self._interval - passed % self._interval, self._delete_due)

    def _delete_due(self) -> None:
        self._timer = None
        tree = self._database.tree
        # A parent that is left without children by this has to wait for the next time.
        for path in [path for path in tree.expiring_nodes if self._is_due(tree.nodes[path])]:
            self._database.remove([path])
        self._set_timer()

    def _is_due(self, node: Node) -> bool:
        if node.children:
            return False
        ttl = ttl_of(node.owner)
        if ttl is not None:
            return self._now() - node.mtime > ttl
        # One that never had children may be waiting for its first.
        return node.created_children > 0
