"""The server: its port, and the controls for tests."""

from __future__ import annotations

from typing import Final, cast

from twisted.internet.defer import Deferred, gatherResults
from twisted.internet.interfaces import IListeningPort, IReactorTCP, IReactorTime

from txmirror.embedded.arguments import check_kind, check_whole
from txmirror.embedded.connection import Connection
from txmirror.embedded.connections import Connections
from txmirror.embedded.ensemble_state import EnsembleState, Snapshot
from txmirror.embedded.faults import Effect, Fault
from txmirror.embedded.replica import Replica
from txmirror.embedded.server_state import Access, ServerState
from txmirror.embedded.sessions import Session
from txmirror.embedded.versions import Version
from txmirror.errors import ZooKeeperException
from txmirror.printable import host_and_port

#: The listen backlog. Clients that exceed the kernel's limit retry after one second, and then after two.
_BACKLOG: Final = 1024


# It has more than 25 methods because all but six are properties and controls that tests look for here.
class Server:
    """One server, standalone or of an ensemble, with controls for tests.

    Data and sessions outlast :meth:`stop_listening`: followed by :meth:`listen` on the same port, it looks like a restart of the
    server to the clients.

    :param reactor: listens, and schedules the clients' turns.
    :param ensemble: data and sessions, which several servers may share.
    :param version: the version of ZooKeeper to imitate.
    :param mode: the mode that the server reports: ``standalone``, ``leader`` or ``follower``.
    """

    def __init__(self, reactor: IReactorTime, ensemble: EnsembleState, version: Version, mode: str) -> None:
        if not IReactorTCP.providedBy(reactor):
            raise TypeError(f"{reactor!r} does not provide IReactorTCP")
        self._reactor = cast(IReactorTCP, reactor)
        self._state = ensemble
        self._replica = Replica(ensemble.database, version)
        self._own_state = ServerState(ensemble.clock, self._replica, ensemble.sessions, version)
        self._connections = Connections(reactor, self._own_state, mode)
        self._port: IListeningPort | None = None
        self._address: str | None = None
        ensemble.servers.append(self)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self._address or 'that has not listened'}>"

    @property
    def listening(self) -> bool:
        """True while the server listens."""
        return self._port is not None

    @property
    def address(self) -> str:
        """The address at which the server listens, or listened last: ``host:port``.

        :raises RuntimeError: the server has never listened.
        """
        if self._address is None:
            raise RuntimeError("the server has no address before listen()")
        return self._address

    @property
    def sessions(self) -> frozenset[int]:
        """The ids of the live sessions, including those of disconnected clients until their timeout."""
        return self._state.sessions.alive | self._own_state.local_sessions.alive

    @property
    def zxid(self) -> int:
        """The last transaction that this server has applied."""
        return self._replica.tree.zxid

    @property
    def lagging(self) -> bool:
        """True while the server lags behind the others: see :meth:`lag`."""
        return self._replica.lagging

    @property
    def connections(self) -> tuple[Connection, ...]:
        """The open connections, the oldest first. Tests can drop, stall and resume them."""
        return tuple(connection for connection in self._connections.live if not connection.closing)

    def connection_of(self, session_id: int) -> Connection:
        """Return the connection of a session at this server.

        :raises ValueError: there is none.
        :raises TypeError: ``session_id`` is no whole number.
        """
        check_kind("the session's id", session_id, int, "a whole number, as a client's session_id is")
        for connection in reversed(self.connections):
            if connection.session_id == session_id:
                return connection
        raise ValueError(f"no connection serves a session with the id {session_id!r}")

    def listen(self, port: int = 0, interface: str = "127.0.0.1") -> IListeningPort:
        """Start to serve clients. Every session gets its full timeout again.

        :param port: the TCP port; 0 takes any free one.
        :param interface: the IP address to listen at.
        :raises ValueError: the server listens already, or ``port`` is no port.
        :raises TypeError: ``port`` is no whole number, or ``interface`` no str.
        :raises twisted.internet.error.CannotListenError: the port is taken.
        """
        if self._port is not None:
            raise ValueError(f"the server listens already, at {self.address}")
        check_whole("the TCP port", port, 0, 65535)
        check_kind("the interface", interface, str, "an IP address as a str")
        self._port = self._reactor.listenTCP(port, self._connections, _BACKLOG, interface)
        host = self._port.getHost()
        # A port's address has both, but an IAddress need not.
        name, number = host.host, host.port  # type: ignore[attr-defined]
        self._address = host_and_port(name, number)
        self._own_state.port = number
        self._begin()
        return self._port

    def stop_listening(self) -> Deferred[None]:
        """Close the port and abort every connection, like a killed server. Sessions and data are kept.

        While none of the servers that share them listens, neither sessions nor containers nor TTL nodes expire.

        :returns: fires when the port and the connections are closed; at once if the server does not listen. Cancelling ends the
            wait.
        """
        port, self._port = self._port, None
        gone = [self._connections.drop_all("the server stops")]
        if port is not None:
            self._end()
            closed = port.stopListening()
            if closed is not None:
                gone.append(closed)
        return gatherResults(gone).addCallback(lambda _: None)

    def stop(self) -> Deferred[None]:
        """Close the port, abort every connection, and end every session. No timers are left.

        If other servers of the ensemble still serve, the sessions live on there.

        :returns: as :meth:`stop_listening`.
        """
        stopped = self.stop_listening()
        if not self._state.serving:
            for session_id in self.sessions:
                self.expire_session(session_id)
        return stopped

    def expire_session(self, session_id: int) -> None:
        """Expire a session now: delete its ephemeral nodes and close its connection.

        :raises ValueError: there is no such session.
        :raises TypeError: ``session_id`` is no whole number.
        """
        session = self._session(session_id)
        sessions = self._own_state.local_sessions
        if sessions.find(session_id) is None:
            sessions = self._state.sessions
        sessions.end(session, "expired by expire_session()")

    def drop_connections(self) -> None:
        """Abort every connection. The port stays open, and sessions live on until their timeouts."""
        self._connections.drop_all("drop_connections() was called")

    def wipe(self) -> None:
        """Delete all data and sessions and begin at zxid 0 again, like a server that has lost its disk.

        The server aborts all connections. The end of the sessions is no transaction here, and no watches fire. This applies to
        all servers that share the data; one that lagged has caught up.
        """
        self._state.wipe()

    def snapshot(self) -> Snapshot:
        """Return a copy of all data and sessions, for :meth:`roll_back`."""
        return self._state.snapshot()

    def roll_back(self, snapshot: Snapshot) -> None:
        """Restore data and sessions from a snapshot, like a server whose disk was restored from a copy.

        The server aborts all connections, and no watches fire. A session of the snapshot is alive again, with its full timeout;
        one that was opened since has never existed. This applies to all servers that share the data; one that lagged has
        caught up.

        :param snapshot: a result of :meth:`snapshot`; it may be used again.
        :raises ValueError: it is of another server's data.
        :raises TypeError: it is no snapshot.
        """
        self._state.roll_back(snapshot)

    def lag(self) -> None:
        """Stop applying transactions until :meth:`catch_up`.

        The server replies to reads from the data of this moment, with its zxid, and sends no events. A write, a ``sync``, the
        begin of a session and its end wait until the server has caught up; so do all later requests of the same client,
        including its pings. The server rejects a client that has seen a later transaction.

        :raises ValueError: the server lags already.
        """
        if self._replica.lagging:
            raise ValueError("the server lags already")
        self._replica.lag()

    def catch_up(self) -> None:
        """Apply the missed transactions: send their events in order, then execute the pending requests.

        :raises ValueError: the server does not lag, or it has no quorum.
        """
        if not self._replica.lagging:
            raise ValueError("the server does not lag")
        if self._replica.partitioned:
            raise ValueError("the server has no quorum, and cannot catch up before regain_quorum()")
        self._replica.catch_up()

    @property
    def has_quorum(self) -> bool:
        """True while the server can reach a majority of the ensemble: see :meth:`lose_quorum`."""
        return not self._replica.partitioned

    def lose_quorum(self, *, read_only: bool = False) -> None:
        """Partition the server from so many others that it has no majority, until :meth:`regain_quorum`.

        The server aborts all connections, and lags. Sessions do not expire while no server has a quorum. A standalone server
        can do this too.

        :param read_only: how the server answers handshakes. With False it closes the connection without an answer. With True
            it behaves as with ``readonlymode.enabled`` and ``localSessionsEnabled``: it accepts clients that allow a read-only
            server (``read_only=True``), and opens a local session for each, which no other server resumes; the reply to the
            handshake says that it is read-only. It rejects a client that presents an earlier session, which the
            client can resume later. Reads and watches work as usual; writes and ``sync`` fail with NotReadOnly.
        :raises ValueError: the server has no quorum already.
        :raises TypeError: ``read_only`` is no bool.
        """
        check_kind("read_only", read_only, bool, "True or False")
        if self._replica.partitioned:
            raise ValueError("the server has no quorum already")
        self._connections.drop_all("the server has lost its quorum")
        if self.listening:
            self._end()
        self._replica.partitioned = True
        if not self._replica.lagging:
            self._replica.lag()
        self._own_state.access = Access.READ_ONLY if read_only else Access.NONE
        if self.listening:
            self._begin()

    def regain_quorum(self) -> None:
        """End the partition and apply the missed transactions. The server aborts all connections.

        Its local sessions end. The other sessions get their full timeouts again, if no server had a quorum.

        :raises ValueError: the server has a quorum.
        """
        if not self._replica.partitioned:
            raise ValueError("the server has its quorum")
        self._connections.drop_all("the server has its quorum again")
        if self.listening:
            self._end()
        self._replica.partitioned = False
        self._replica.catch_up()
        self._own_state.access = Access.READ_WRITE
        if self.listening:
            self._begin()

    def _begin(self) -> None:
        if self._replica.partitioned:
            self._own_state.local_sessions.start()
        else:
            self._state.begin()

    def _end(self) -> None:
        if self._replica.partitioned:
            self._own_state.local_sessions.stop()
            self._own_state.local_sessions.replace(())
        else:
            self._state.end()

    def delay_next(self, kind: str, seconds: float, *, path: str | None = None, session_id: int | None = None) -> Fault:
        """Delay the next request of a kind, and with it all later requests of its client.

        :param kind: the name of the client's method: ``create`` (all kinds of create), ``delete``, ``exists``, ``get``,
            ``get_children``, ``set``, ``get_acl``, ``set_acl``, ``sync``, ``transaction``, ``get_many`` (all batches of
            reads), ``set_watches``, ``add_watch``, ``check_watches``, ``remove_watches``, ``get_ephemerals``,
            ``count_below``, ``who_am_i``, ``reconfig``; or ``ping`` or ``close``.
        :param path: the path of the request's znode, as the client sends it (without a sequence number); None for any.
        :param session_id: the session that sends the request; None for any.
        :returns: the planned fault, which says whether it has happened, and can be cancelled. Several faults that match the same
            requests happen to one request each, in the order in which they were planned.
        :raises ValueError: ``kind`` is unknown or has no path, ``path`` is invalid, there is no such session, or ``seconds`` is
            negative or infinite.
        :raises TypeError: an argument has the wrong type.
        """
        return self._plan(Fault(Effect.DELAYED, kind, path, session_id, delay=seconds))

    def fail_next(
        self, kind: str, error: ZooKeeperException, *, path: str | None = None, session_id: int | None = None
    ) -> Fault:
        """Reply to the next request of a kind with an error, and do not execute it. For the rest see :meth:`delay_next`.

        :param error: the error, of a class with a code, such as ``NoAuthException()``; or ``UnknownServerException(-200)``
            for an error of a future or a faulty server (-4 is the code of a lost connection).
        :raises ValueError: as there; or no server replies with that error.
        :raises TypeError: as there; or ``error`` is no instance of a ZooKeeperException.
        """
        check_kind("the error", error, ZooKeeperException, "an instance of a ZooKeeperException")
        return self._plan(Fault(Effect.REFUSED, kind, path, session_id, error=error))

    def lose_request(self, kind: str, *, path: str | None = None, session_id: int | None = None) -> Fault:
        """Close the connection instead of executing the next request of a kind. For the rest see :meth:`delay_next`."""
        return self._plan(Fault(Effect.REQUEST_LOST, kind, path, session_id))

    def lose_reply(self, kind: str, *, path: str | None = None, session_id: int | None = None) -> Fault:
        """Execute the next request of a kind, send its events, and close the connection in place of the reply.

        For the rest see :meth:`delay_next`.
        """
        return self._plan(Fault(Effect.REPLY_LOST, kind, path, session_id))

    def _plan(self, fault: Fault) -> Fault:
        if fault.session_id is not None:
            self._session(fault.session_id)
        return self._own_state.faults.plan(fault)

    def _session(self, session_id: int) -> Session:
        check_kind("the session's id", session_id, int, "a whole number, as a client's session_id is")
        session = self._own_state.local_sessions.find(session_id) or self._state.sessions.find(session_id)
        if session is None:
            raise ValueError(f"no session has the id {session_id!r}")
        return session
