"""An ensemble: several servers with the same data."""

from __future__ import annotations

from collections.abc import Sequence

from twisted.internet.defer import Deferred, gatherResults
from twisted.internet.interfaces import IReactorTime

from txmirror.embedded.arguments import check_whole
from txmirror.embedded.ensemble_state import EnsembleState, Snapshot
from txmirror.embedded.server import Server
from txmirror.embedded.versions import version_named

_MAX_SERVERS = 9


class EmbeddedEnsemble:
    """Several in-memory servers with the same data and sessions, for tests of failover and of stale reads.

    Each server can stop, or lag behind the others (:meth:`~txmirror.embedded.Server.lag`). There are no elections: the leader
    is no process but the shared data, and always available. ``/zookeeper/config`` does not list the members.

    :param reactor: a provider of ``IReactorTCP`` and ``IReactorTime``.
    :param size: the number of servers, 1 to 9.
    :param version: the version of all servers, or a sequence with one for each, as during an upgrade of an ensemble.

    For the other parameters and failures see :class:`~txmirror.embedded.EmbeddedServer`.

    :ivar servers: the servers. The first reports that it is the leader.
    :raises ValueError: ``size`` is out of bounds, or the number of versions differs from it.
    :raises TypeError: ``size`` is no whole number.
    """

    def __init__(
        self,
        reactor: IReactorTime,
        size: int = 3,
        *,
        clock: IReactorTime | None = None,
        tick_time: float = 0.5,
        version: str | Sequence[str] = "3.8",
        ttl_nodes: bool = False,
        container_check_interval: float = 60.0,
    ) -> None:
        check_whole("the number of servers", size, 1, _MAX_SERVERS)
        versions = [version] * size if isinstance(version, str) or not isinstance(version, Sequence) else version
        if len(versions) != size:
            raise ValueError(f"an ensemble of {size} servers with {len(versions)} versions, {versions!r}")
        imitated = [version_named(name) for name in versions]
        self._state = EnsembleState(
            reactor if clock is None else clock,
            tick_time=tick_time,
            ttl_nodes=ttl_nodes,
            container_check_interval=container_check_interval,
        )
        self.servers: tuple[Server, ...] = tuple(
            Server(reactor, self._state, version, "follower" if number else "leader")
            for number, version in enumerate(imitated)
        )

    def __repr__(self) -> str:
        return f"<{type(self).__name__} of {list(self.servers)}>"

    @property
    def connect_string(self) -> str:
        """The addresses at which the servers listen, or listened last: ``host:port,host:port``.

        :raises RuntimeError: one of them has never listened.
        """
        return ",".join(server.address for server in self.servers)

    @property
    def sessions(self) -> frozenset[int]:
        """The ids of the live sessions."""
        return self._state.sessions.alive

    @property
    def zxid(self) -> int:
        """The last transaction, even if no server has applied it yet."""
        return self._state.database.tree.zxid

    def listen(self, interface: str = "127.0.0.1") -> None:
        """Start every server that does not listen, each at a free port.

        A server that listened before gets another port; to reuse a port, call its own :meth:`~txmirror.embedded.Server.listen`.
        """
        for server in self.servers:
            if not server.listening:
                server.listen(interface=interface)

    def stop(self) -> Deferred[None]:
        """Stop all servers and end every session. No timers are left.

        :returns: fires when all ports and connections are closed.
        """
        return gatherResults([server.stop() for server in self.servers]).addCallback(lambda _: None)

    def expire_session(self, session_id: int) -> None:
        """Expire a session; a server that lags learns of it later. See :meth:`~txmirror.embedded.Server.expire_session`."""
        self.servers[0].expire_session(session_id)

    def lose_quorum(self, *, read_only: bool = False) -> None:
        """Partition every server that has a quorum. See :meth:`~txmirror.embedded.Server.lose_quorum`."""
        for server in self.servers:
            if server.has_quorum:
                server.lose_quorum(read_only=read_only)

    def regain_quorum(self) -> None:
        """Reconnect every server that has no quorum. See :meth:`~txmirror.embedded.Server.regain_quorum`."""
        for server in self.servers:
            if not server.has_quorum:
                server.regain_quorum()

    def wipe(self) -> None:
        """Delete all data and sessions. See :meth:`~txmirror.embedded.Server.wipe`."""
        self._state.wipe()

    def snapshot(self) -> Snapshot:
        """Return a copy of all data and sessions. See :meth:`~txmirror.embedded.Server.snapshot`."""
        return self._state.snapshot()

    def roll_back(self, snapshot: Snapshot) -> None:
        """Restore data and sessions from a snapshot. See :meth:`~txmirror.embedded.Server.roll_back`."""
        self._state.roll_back(snapshot)
