"""What servers of one ensemble share: the data, the sessions, the time, and what goes by itself."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Protocol

import attrs
from twisted.internet.interfaces import IReactorTime

from txmirror.embedded.arguments import check_kind, check_seconds
from txmirror.embedded.database import Database
from txmirror.embedded.expiring_nodes import NodeExpirer
from txmirror.embedded.sessions import Clock, Session, Sessions
from txmirror.embedded.tree import Tree


class _Server(Protocol):
    def drop_connections(self) -> None: ...


@attrs.frozen(eq=False)
class Snapshot:
    """All that a server holds, as it was at some moment."""

    zxid: int
    """The last transaction."""
    _tree: Tree = attrs.field(repr=False)
    _sessions: tuple[Session, ...] = attrs.field(repr=False)
    _state: EnsembleState = attrs.field(repr=False)


class EnsembleState:
    """Data and sessions, and when what is in them goes by itself: while a server listens.

    For the parameters see :class:`~txmirror.embedded.EmbeddedServer`.

    :ivar servers: those that share them.
    """

    def __init__(self, clock: Clock, *, tick_time: float, ttl_nodes: bool, container_check_interval: float) -> None:
        for name, seconds in (("tick_time", tick_time), ("container_check_interval", container_check_interval)):
            check_seconds(name, seconds, positive=True)
        check_kind("ttl_nodes", ttl_nodes, bool, "True or False")
        if not IReactorTime.providedBy(clock):
            raise TypeError(f"{clock!r} provides no IReactorTime, to take the time from")
        self.clock = clock
        self.database = Database(self._now, ttl_nodes)
        self.sessions = Sessions(clock, self.database, tick_time)
        self.servers: list[_Server] = []
        self._node_expirer = NodeExpirer(clock, self.database, container_check_interval, self._now)
        self._serving = 0

    @property
    def serving(self) -> bool:
        """Whether any server is there for the sessions."""
        return self._serving > 0

    def begin(self) -> None:
        """A server has begun to listen, with a quorum."""
        self._serving += 1
        if self._serving == 1:
            self.sessions.start()
            self._node_expirer.start()

    def end(self) -> None:
        """A server listens no more, or has no quorum any more."""
        self._serving -= 1
        if not self._serving:
            self.sessions.stop()
            self._node_expirer.stop()

    def wipe(self) -> None:
        """Begin with nothing, and with the first transaction."""
        self._replace(Tree(), ())

    def snapshot(self) -> Snapshot:
        """Remember all that is here."""
        tree = self.database.tree
        return Snapshot(tree.zxid, tree.copy(), tuple(self._unserved(self.sessions)), self)

    def roll_back(self, snapshot: Snapshot) -> None:
        """Be again as it was.

        :raises ValueError: it was elsewhere.
        :raises TypeError: it is none.
        """
        check_kind("the snapshot", snapshot, Snapshot, "what snapshot() has given")
        if snapshot._state is not self:
            raise ValueError(f"{snapshot} is of another server's data")
        self._replace(snapshot._tree.copy(), self._unserved(snapshot._sessions))

    def _replace(self, tree: Tree, sessions: Iterable[Session]) -> None:
        for server in self.servers:
            server.drop_connections()
        self.sessions.replace(sessions)
        self.database.replace(tree)

    def _unserved(self, sessions: Iterable[Session]) -> Iterator[Session]:
        return (attrs.evolve(session, connections=[]) for session in sessions)

    def _now(self) -> int:
        return int(self.clock.seconds() * 1000)
