"""Several servers over one tree."""

from __future__ import annotations

from collections.abc import Sequence

from twisted.internet.defer import Deferred, gatherResults

from txmirror.embedded.arguments import check_whole
from txmirror.embedded.ensemble_state import EnsembleState, Snapshot
from txmirror.embedded.server import Reactor, Server
from txmirror.embedded.sessions import Clock
from txmirror.embedded.versions import version_named

_MOST = 9


class EmbeddedEnsemble:
    """Some servers in memory with the same data and the same sessions, for tests of failover and of stale reads.

    Each can be stopped, and can be made to lag behind the others (:meth:`~txmirror.embedded.Server.lag`). There are no elections: the leader is
    no process, but the data that they share, and is always there. ``/zookeeper/config`` says nothing of the members.

    :param reactor: a provider of ``IReactorTCP`` and ``IReactorTime``.
    :param size: how many servers there are, 1 to 9.
    :param version: that of all servers; or a sequence with one for each, as in an ensemble that is being upgraded.

    For the other parameters, and failures, see :class:`~txmirror.embedded.EmbeddedServer`.

    :ivar servers: the servers. The first says that it is the leader.
    :raises ValueError: ``size`` is out of bounds, or there are more or fewer versions.
    :raises TypeError: ``size`` is no whole number.
    """

    def __init__(
        self,
        reactor: Reactor,
        size: int = 3,
        *,
        clock: Clock | None = None,
        tick_time: float = 0.5,
        version: str | Sequence[str] = "3.8",
        ttl_nodes: bool = False,
        container_check_interval: float = 60.0,
    ) -> None:
        check_whole("the number of servers", size, 1, _MOST)
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
        self.servers = tuple(
            Server(reactor, self._state, version, "follower" if number else "leader")
            for number, version in enumerate(imitated)
        )

    def __repr__(self) -> str:
        return f"<{type(self).__name__} of {list(self.servers)}>"

    @property
    def connection_string(self) -> str:
        """Where the servers listen, or listened last, as clients want it: ``host:port,host:port``.

        :raises RuntimeError: one of them never listened.
        """
        return ",".join(server.address for server in self.servers)

    @property
    def sessions(self) -> frozenset[int]:
        """The ids of the sessions that are alive."""
        return self._state.sessions.alive

    @property
    def zxid(self) -> int:
        """The last transaction, whichever server knows of it."""
        return self._state.database.tree.zxid

    def listen(self, interface: str = "127.0.0.1") -> None:
        """Let every server that does not listen do so, each at a port that is free.

        A server that listened before gets another port; its own :meth:`~txmirror.embedded.Server.listen` takes the same again.
        """
        for server in self.servers:
            if not server.listening:
                server.listen(interface=interface)

    def stop(self) -> Deferred[None]:
        """Stop all servers, and end every session. No timers are left.

        :returns: fires when all is gone.
        """
        return gatherResults([server.stop() for server in self.servers]).addCallback(lambda _: None)

    def expire_session(self, session_id: int) -> None:
        """See :meth:`~txmirror.embedded.Server.expire_session`. A server that lags learns of it later, and so does its client."""
        self.servers[0].expire_session(session_id)

    def lose_quorum(self, *, read_only: bool = False) -> None:
        """Let every server that has a quorum lose it: see :meth:`~txmirror.embedded.Server.lose_quorum`."""
        for server in self.servers:
            if server.has_quorum:
                server.lose_quorum(read_only=read_only)

    def regain_quorum(self) -> None:
        """Let every server that has no quorum regain it: see :meth:`~txmirror.embedded.Server.regain_quorum`."""
        for server in self.servers:
            if not server.has_quorum:
                server.regain_quorum()

    def wipe(self) -> None:
        """See :meth:`~txmirror.embedded.Server.wipe`."""
        self._state.wipe()

    def snapshot(self) -> Snapshot:
        """See :meth:`~txmirror.embedded.Server.snapshot`."""
        return self._state.snapshot()

    def roll_back(self, snapshot: Snapshot) -> None:
        """See :meth:`~txmirror.embedded.Server.roll_back`."""
        self._state.roll_back(snapshot)
