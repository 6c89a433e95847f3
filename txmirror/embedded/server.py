"""A server as a whole: where it listens, and the knobs that tests turn."""

from __future__ import annotations

from typing import Final, Protocol

from twisted.internet.defer import Deferred, gatherResults
from twisted.internet.interfaces import IListeningPort, IReactorTCP
from twisted.internet.protocol import ServerFactory

from txmirror.embedded.arguments import check_kind, check_whole
from txmirror.embedded.connection import Connection, Connections
from txmirror.embedded.ensemble_state import EnsembleState, Snapshot
from txmirror.embedded.faults import Effect, Fault
from txmirror.embedded.replica import Replica
from txmirror.embedded.sessions import Clock, Session
from txmirror.embedded.versions import Version, version_named
from txmirror.errors import ZooKeeperException

#: How many clients may knock at once. Those that are too many for the kernel try again after a second, and then after two.
_BACKLOG: Final = 1024


class Listener(Protocol):
    """A provider of ``IReactorTCP``, of which this much is used."""

    def listenTCP(
        self, port: int, factory: ServerFactory, backlog: int = ..., interface: str = ...
    ) -> IListeningPort: ...


class Reactor(Listener, Clock, Protocol):
    """A provider of both ``IReactorTime`` and ``IReactorTCP``."""


class Server:
    """One server, alone or of an ensemble, with its knobs.

    It begins to listen with :meth:`listen`. Data and sessions outlast :meth:`stop_listening`, so that this with another
    :meth:`listen` on the same port is what a restart of a server looks like to its clients.

    :param reactor: listens, and serves one client after another.
    :param state: data and sessions, which others may share.
    :param version: which ZooKeeper it imitates.
    :param mode: what it says that it is: ``standalone``, ``leader`` or ``follower``.
    """

    def __init__(self, reactor: Reactor, state: EnsembleState, version: Version, mode: str) -> None:
        if not IReactorTCP.providedBy(reactor):
            raise TypeError(f"{reactor!r} provides no IReactorTCP, to listen with")
        self._reactor = reactor
        self._state = state
        self._replica = Replica(state.database, version)
        self._connections = Connections(reactor, state.clock, self._replica, state.sessions, version, mode)
        self._port: IListeningPort | None = None
        self._address: str | None = None
        state.servers.append(self)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self._address or 'that has not listened'}>"

    @property
    def listening(self) -> bool:
        """Whether it listens."""
        return self._port is not None

    @property
    def address(self) -> str:
        """Where it listens, or listened last, as clients want it: ``host:port``.

        :raises RuntimeError: it never listened.
        """
        if self._address is None:
            raise RuntimeError("the server has no address before listen()")
        return self._address

    @property
    def sessions(self) -> frozenset[int]:
        """The ids of the sessions that are alive, those of clients that are gone but not yet timed out among them."""
        return self._state.sessions.alive | self._connections.own_sessions.alive

    @property
    def zxid(self) -> int:
        """The last transaction that it knows of."""
        return self._replica.tree.zxid

    @property
    def lagging(self) -> bool:
        """Whether it lags behind the others: see :meth:`lag`."""
        return self._replica.lagging

    @property
    def connections(self) -> tuple[Connection, ...]:
        """Its connections, the oldest first: to drop, to stall, to resume."""
        return tuple(connection for connection in self._connections.live if not connection.leaving)

    def connection_of(self, session_id: int) -> Connection:
        """Give the connection that serves a session here.

        :raises ValueError: none does.
        :raises TypeError: ``session_id`` is no whole number.
        """
        check_kind("the session's id", session_id, int, "a whole number, as a client's session_id is")
        for connection in reversed(self.connections):
            if connection.session_id == session_id:
                return connection
        raise ValueError(f"no connection serves a session with the id {session_id!r}")

    def listen(self, port: int = 0, interface: str = "127.0.0.1") -> IListeningPort:
        """Begin to serve clients; every session gets its full timeout again.

        :param port: the TCP port; 0 takes any that is free.
        :param interface: the IP address to listen at.
        :raises ValueError: it listens already, or ``port`` is no port.
        :raises TypeError: ``port`` is no whole number, or ``interface`` no str.
        :raises twisted.internet.error.CannotListenError: the port is taken.
        """
        if self._port is not None:
            raise ValueError(f"the server listens already, at {self.address}")
        check_whole("the TCP port", port, 0, 65535)
        check_kind("the interface", interface, str, "the IP address of one as a str")
        self._port = self._reactor.listenTCP(port, self._connections, _BACKLOG, interface)
        host = self._port.getHost()
        # A port's address has both, but an IAddress need not.
        name, number = host.host, host.port  # type: ignore[attr-defined]
        self._address = f"[{name}]:{number}" if ":" in name else f"{name}:{number}"
        self._connections.port = number
        self._begin()
        return self._port

    def stop_listening(self) -> Deferred[None]:
        """Close the port and drop every connection, as a server does that is killed. Sessions and data are kept.

        Once no server listens that shares them, sessions do not expire until :meth:`listen`, nor do containers and nodes
        with a time to live go.

        :returns: fires when the port is closed and the connections are gone. Harmless if it does not listen.
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
        """Close the port, drop every connection, and end every session. No timers are left.

        Where others of an ensemble still serve, the sessions are theirs, and live on.

        :returns: fires when all is gone. Harmless if it does not listen.
        """
        stopped = self.stop_listening()
        if not self._state.serving:
            for session_id in self.sessions:
                self.expire_session(session_id)
        return stopped

    def expire_session(self, session_id: int) -> None:
        """End a session now, as if its client had been silent for too long: its ephemeral nodes go, and its connection.

        :raises ValueError: there is no such session.
        :raises TypeError: ``session_id`` is no whole number.
        """
        session = self._session(session_id)
        sessions = self._connections.own_sessions
        if sessions.find(session_id) is None:
            sessions = self._state.sessions
        sessions.end(session, "it was made to expire")

    def drop_connections(self) -> None:
        """Drop every connection. The port stays open, and sessions live on for as long as their timeouts say."""
        self._connections.drop_all("it was made to go")

    def wipe(self) -> None:
        """Forget all data and all sessions, and begin at zxid 0 again, as a server does whose disk was lost.

        Connections are dropped. Ended sessions are no transactions here, and no watches fire. Servers that share the data
        lose it with this one, and those that lagged have caught up.
        """
        self._state.wipe()

    def snapshot(self) -> Snapshot:
        """Remember all data and all sessions as they are, for :meth:`roll_back`."""
        return self._state.snapshot()

    def roll_back(self, snapshot: Snapshot) -> None:
        """Go back to data and sessions as they were, as a server does whose disk was put back from a copy.

        Connections are dropped, and no watches fire. A session that was alive then is alive again, with its full timeout;
        one that was opened since never was. Servers that share the data go back with this one, and those that lagged have
        caught up.

        :param snapshot: what :meth:`snapshot` has given; it may be used again.
        :raises ValueError: it is of another server's data.
        :raises TypeError: it is no snapshot.
        """
        self._state.roll_back(snapshot)

    def lag(self) -> None:
        """Learn of no transaction any more, until :meth:`catch_up`.

        Reads are answered by the data of this moment, with its zxid, and no events are sent. A write waits until the server
        has caught up, and so do a ``sync``, the begin of a session and its end; and all that the same client asks for after
        that, its pings among it. Who has seen a later transaction is not let in.

        :raises ValueError: it lags already.
        """
        if self._replica.lagging:
            raise ValueError("the server lags already")
        self._replica.lag()

    def catch_up(self) -> None:
        """Learn of what was missed: events go out, in order, and then what has waited is done.

        :raises ValueError: it does not lag, or it has no quorum.
        """
        if not self._replica.lagging:
            raise ValueError("the server does not lag")
        if self._replica.partitioned:
            raise ValueError("the server has no quorum to catch up with, until regain_quorum")
        self._replica.catch_up()

    @property
    def has_quorum(self) -> bool:
        """Whether it is in touch with a majority of the others: see :meth:`lose_quorum`."""
        return not self._replica.partitioned

    def lose_quorum(self, *, read_only: bool = False) -> None:
        """Be cut off from the other servers, or from so many that there is no majority, until :meth:`regain_quorum`.

        Connections are dropped, and it knows only what was. Sessions do not expire while no server has a quorum. A server
        that stands alone can do this too.

        :param read_only: what becomes of handshakes. With False they are closed without an answer. With True, as of a server
            with ``readonlymode.enabled`` and ``localSessionsEnabled``, clients that do with a server that can only be read
            (``read_only=True``) are let in: they get a session of this server alone, which no other takes over, and are
            told so. A client with a session of before is not let in with it, and keeps it for later. Reads and
            watches are as ever; all that changes something, and ``sync``, is refused with NotReadOnly.
        :raises ValueError: it has no quorum already.
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
        self._connections.serving = self._connections.read_only = read_only
        if self.listening:
            self._begin()

    def regain_quorum(self) -> None:
        """Be in touch with the others again, and know all that they know. Connections are dropped.

        Sessions that were this server's alone end. The others have their full timeouts again, if no server had a quorum.

        :raises ValueError: it has a quorum.
        """
        if not self._replica.partitioned:
            raise ValueError("the server has its quorum")
        self._connections.drop_all("the server has its quorum again")
        if self.listening:
            self._end()
        self._replica.partitioned = False
        self._replica.catch_up()
        self._connections.serving, self._connections.read_only = True, False
        if self.listening:
            self._begin()

    def _begin(self) -> None:
        if self._replica.partitioned:
            self._connections.own_sessions.start()
        else:
            self._state.begin()

    def _end(self) -> None:
        if self._replica.partitioned:
            self._connections.own_sessions.stop()
            self._connections.own_sessions.replace(())
        else:
            self._state.end()

    def delay_next(self, kind: str, seconds: float, *, path: str | None = None, session_id: int | None = None) -> Fault:
        """Do the next request of a kind only after some seconds. What its client asks for after it waits too.

        :param kind: the name of the client's method: ``create`` (all that create), ``delete``, ``exists``, ``get``,
            ``get_children``, ``set``, ``get_acl``, ``set_acl``, ``sync``, ``transaction``, ``get_many`` (all that read many
            nodes), ``set_watches``, ``add_watch``, ``check_watches``, ``remove_watches``, ``get_ephemerals``,
            ``count_below``, ``who_am_i``, ``reconfig``; or ``ping`` or ``close``.
        :param path: that of the znode that it must be about, as the client asks for it (without a sequence number); None
            for any.
        :param session_id: the session that it must come from; None for any.
        :returns: what to look at to see whether it has happened, and to cancel it. Several that fit the same requests happen
            to one each, in this order.
        :raises ValueError: there is no such kind, it has no path, ``path`` is none, there is no such session, or ``seconds``
            is negative or endless.
        :raises TypeError: an argument is nothing of its type.
        """
        return self._plan(Effect.DELAYED, kind, path, session_id, delay=seconds)

    def fail_next(
        self, kind: str, error: ZooKeeperException, *, path: str | None = None, session_id: int | None = None
    ) -> Fault:
        """Answer the next request of a kind with an error, and do not do it. For the rest see :meth:`delay_next`.

        :param error: the error, of a class with a code, such as ``NoAuthException()``; or ``UnknownServerException(-200)``,
            for what a server of the future may answer, or a broken one (-4 is the code of a lost connection).
        :raises ValueError: as there; or no server answers with that error.
        :raises TypeError: as there; or ``error`` is no instance of a ZooKeeperException.
        """
        check_kind("the error", error, ZooKeeperException, "an instance of a ZooKeeperException")
        return self._plan(Effect.REFUSED, kind, path, session_id, error=error)

    def lose_request(self, kind: str, *, path: str | None = None, session_id: int | None = None) -> Fault:
        """Close the connection in place of doing the next request of a kind. For the rest see :meth:`delay_next`."""
        return self._plan(Effect.REQUEST_LOST, kind, path, session_id)

    def lose_reply(self, kind: str, *, path: str | None = None, session_id: int | None = None) -> Fault:
        """Do the next request of a kind, and close the connection in place of the answer; events that it causes are sent.

        For the rest see :meth:`delay_next`.
        """
        return self._plan(Effect.REPLY_LOST, kind, path, session_id)

    def _plan(
        self,
        effect: Effect,
        kind: str,
        path: str | None,
        session_id: int | None,
        *,
        delay: float = 0.0,
        error: ZooKeeperException | None = None,
    ) -> Fault:
        if session_id is not None:
            self._session(session_id)
        return self._connections.faults.plan(effect, kind, path, session_id, delay=delay, error=error)

    def _session(self, session_id: int) -> Session:
        check_kind("the session's id", session_id, int, "a whole number, as a client's session_id is")
        session = self._connections.own_sessions.find(session_id) or self._state.sessions.find(session_id)
        if session is None:
            raise ValueError(f"no session has the id {session_id!r}")
        return session


class EmbeddedServer(Server):
    """A ZooKeeper server in memory, for tests and demonstrations.

    It speaks the real protocol, knows every operation, and imitates ZooKeeper 3.8.0 as Debian ships it: a server that
    stands alone, with the settings that it has without being told, but for the four-letter words, which it answers. It
    enforces no quotas. All that it holds goes with it.

    Known differences, none of which a client meets that asks for what makes sense: the answer to a ``sync`` of a null path has
    an empty path, where the real one's is null; ``setWatches`` with a null list tells nothing of the lists before it, and takes no
    null among its paths; and errors never have a record, which the real one's ``multi`` and ``multiRead`` sometimes have.

    :param reactor: a provider of ``IReactorTCP`` and ``IReactorTime``.
    :param clock: what all times come from, a provider of ``IReactorTime``; the reactor, if it is None. A
        ``twisted.internet.task.Clock`` lets a test move the time of a server that listens on a real socket.
    :param tick_time: ZooKeeper's tick in seconds: session timeouts are between 2 and 20 of them, and a session ends up to one
        tick after its timeout.
    :param version: ``3.8``; ``3.9``, whose events say which transaction they are about, which gives a node's stat only to those
        who may read it, keeps watches of several modes on one path, and takes no ``check`` alone; ``3.4``, which ends a
        connection that asks for what came later (such as a node's stat at its creation, and watches that last); or ``keeper``,
        which is ClickHouse Keeper: it never resumes a session, but opens another, whatever its client has seen; all its passwords are
        sixteen zero bytes; without a quorum it refuses handshakes by the protocol version 42; when it is asked to end a session, or for
        what it does not know (SASL, ``get_ephemerals``, ``count_below``, ``who_am_i``), it closes the connection without an answer;
        and it answers ``set_watches`` before it tells what has changed, and calls a changed list of children changed data. In all
        else each is like 3.8.
    :param ttl_nodes: whether nodes may have a time to live; otherwise their creation is refused as unimplemented. It is
        ZooKeeper's ``extendedTypesEnabled``.
    :param container_check_interval: how often, in seconds, it takes away the containers that have lost their last child,
        and the nodes whose time to live is over.
    :raises ValueError: ``tick_time`` or ``container_check_interval`` is not positive, or there is no such ``version``.
    :raises TypeError: an argument is nothing of its type.
    """

    def __init__(
        self,
        reactor: Reactor,
        *,
        clock: Clock | None = None,
        tick_time: float = 0.5,
        version: str = "3.8",
        ttl_nodes: bool = False,
        container_check_interval: float = 60.0,
    ) -> None:
        imitated = version_named(version)
        state = EnsembleState(
            reactor if clock is None else clock,
            tick_time=tick_time,
            ttl_nodes=ttl_nodes,
            container_check_interval=container_check_interval,
        )
        super().__init__(reactor, state, imitated, "standalone")
