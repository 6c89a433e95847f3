"""The state that the servers of one ensemble share: data, sessions, clock, and expiry of nodes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Protocol

import attrs
from twisted.internet.interfaces import IReactorTime

from txmirror.durations import check_seconds
from txmirror.embedded.arguments import check_kind
from txmirror.embedded.database import Database
from txmirror.embedded.expiring_nodes import NodeExpirer
from txmirror.embedded.sessions import Session, Sessions
from txmirror.embedded.tree import Tree


class _Server(Protocol):
    def drop_connections(self) -> None: ...


@attrs.frozen(eq=False)
class Snapshot:
    """A copy of all data and sessions at one moment."""

    zxid: int
    """The last transaction in it."""
    _tree: Tree = attrs.field(repr=False)
    _sessions: tuple[Session, ...] = attrs.field(repr=False)
    _state: EnsembleState = attrs.field(repr=False)


class EnsembleState:
    """Data and sessions. Sessions and nodes expire only while a server listens.

    For the parameters see :class:`~txmirror.embedded.EmbeddedServer`.

    :ivar servers: the servers that share this state.
    """

    def __init__(
        self, clock: IReactorTime, *, tick_time: float, ttl_nodes: bool, container_check_interval: float
    ) -> None:
        for name, seconds in (("tick_time", tick_time), ("container_check_interval", container_check_interval)):
            check_seconds(name, seconds, positive=True)
        check_kind("ttl_nodes", ttl_nodes, bool, "True or False")
        if not IReactorTime.providedBy(clock):
            raise TypeError(f"{clock!r} does not provide IReactorTime")
        self.clock = clock
        self.database: Database = Database(self._now, ttl_nodes)
        self.sessions: Sessions = Sessions(clock, self.database, tick_time)
        self.servers: list[_Server] = []
        self._node_expirer = NodeExpirer(clock, self.database, container_check_interval, self._now)
        self._serving = 0

    @property
    def serving(self) -> bool:
        """True while any server listens and has a quorum."""
        return self._serving > 0

    def begin(self) -> None:
        """Count a server that has begun to listen with a quorum, and let sessions and nodes expire."""
        self._serving += 1
        if self._serving == 1:
            self.sessions.start()
            self._node_expirer.start()

    def end(self) -> None:
        """Discount a server that has stopped listening or lost its quorum. Without servers nothing expires."""
        self._serving -= 1
        if not self._serving:
            self.sessions.stop()
            self._node_expirer.stop()

    def wipe(self) -> None:
        """Delete all data and sessions, and begin at zxid 0 again."""
        self._replace(Tree(), ())

    def snapshot(self) -> Snapshot:
        """Return a copy of all data and sessions."""
        tree = self.database.tree
        return Snapshot(tree.zxid, tree.copy(), tuple(self._without_connections(self.sessions)), self)

    def roll_back(self, snapshot: Snapshot) -> None:
        """Restore data and sessions from a snapshot.

        :raises ValueError: the snapshot is of another state.
        :raises TypeError: ``snapshot`` is no snapshot.
        """
        check_kind("the snapshot", snapshot, Snapshot, "a result of snapshot()")
        if snapshot._state is not self:
            raise ValueError(f"{snapshot} is of another server's data")
        self._replace(snapshot._tree.copy(), self._without_connections(snapshot._sessions))

    def _replace(self, tree: Tree, sessions: Iterable[Session]) -> None:
        for server in self.servers:
            server.drop_connections()
        self.sessions.replace(sessions)
        self.database.replace(tree)

    def _without_connections(self, sessions: Iterable[Session]) -> Iterator[Session]:
        return (attrs.evolve(session, connections=[]) for session in sessions)

    def _now(self) -> int:
        return int(self.clock.seconds() * 1000)
