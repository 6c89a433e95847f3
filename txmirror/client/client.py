"""The public client: every method of its interfaces, as a thin form of the table of operations or of its session."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from random import Random

from twisted.internet.defer import Deferred, succeed
from twisted.internet.interfaces import IReactorTime
from zope.interface import implementer

from txmirror.client.arguments import check_acl, check_bytes, check_optional, check_paths, check_version, check_zxid
from txmirror.client.connection.calls import Chroot
from txmirror.client.connection.endpoints import TLS
from txmirror.client.connection.sasl import DigestMD5
from txmirror.client.connection.settings import GuardedMetrics, Limits, parse_servers
from txmirror.client.creating import Creates
from txmirror.client.operations import (
    COUNT_BELOW,
    CREATE_CONTAINER,
    CREATE_TTL,
    DELETE,
    EXISTS,
    GET_ACL,
    GET_CHILDREN,
    GET_CONFIG,
    GET_DATA,
    GET_EPHEMERALS,
    MULTI_READ,
    RECONFIG,
    SET_ACL,
    SET_DATA,
    SYNC,
    WHO_AM_I,
    operation_of,
)
from txmirror.client.requests import Requests
from txmirror.client.session.core import SessionSettings
from txmirror.client.session.pending import Priority
from txmirror.client.session.session import Session
from txmirror.client.transactions import Transaction
from txmirror.client.watching import Watching
from txmirror.durations import check_seconds
from txmirror.errors import ZooKeeperException
from txmirror.interfaces import (
    IBackpressure,
    IBatchedReads,
    IChroot,
    ICreateModes,
    IEnsemble,
    IMetrics,
    IMetricsHolder,
    IPersistentWatches,
    IProgress,
    IQueries,
    IServerAbilities,
    ISessionHolder,
    ISessionLease,
    ISideSessions,
    ITransaction,
    ITransactions,
    IWatchCount,
    IWatchFeed,
    IZooKeeperClient,
)
from txmirror.timers import reactor_or_global
from txmirror.types import (
    ACL,
    OPEN_ACL,
    BatchReply,
    ChildrenReply,
    CreateReply,
    DataReply,
    EnsembleConfig,
    Listener,
    SessionEvent,
    SessionTicket,
    StatReply,
    WatchedEvent,
    WatchKind,
    ZnodeStat,
)
from txmirror.wire import CreateFlag

#: The longest session timeout that a client can request, in seconds: milliseconds of 31 bits.
_LONGEST_TIMEOUT = (2**31 - 1) / 1000
#: The longest time to live that a server accepts, in seconds (``EphemeralType.TTL`` has 40 bits of milliseconds).
_LONGEST_TTL = 0xFFFFFFFFFF / 1000
#: The node with the ensemble's configuration.
_CONFIG = "/zookeeper/config"


@implementer(
    IZooKeeperClient,
    ISessionHolder,
    IWatchFeed,
    IPersistentWatches,
    ICreateModes,
    IQueries,
    IEnsemble,
    IChroot,
    IServerAbilities,
    IBackpressure,
    ITransactions,
    IBatchedReads,
    ISessionLease,
    IProgress,
    IWatchCount,
    ISideSessions,
    IMetricsHolder,
)
class ZooKeeperClient:
    """A ZooKeeper client in pure Twisted: it connects, reconnects, and opens a new session when one has expired.

    :param servers: ``host:port,host:port/chroot``, or a list of ``host:port`` strings or (host, port) pairs. With a
        chroot, all paths are below it, and it must exist before they can. It may also follow every server.
    :param session_timeout: the time after which the ensemble expires a session that it does not hear from, in seconds; a
        server may negotiate another.
    :param session: a session to take over, from :meth:`leave` of another client. If it has expired, a new one is opened.
    :param read_only: whether the client may use a read-only server, which is cut off from most others. A session with one
        ends with its connection; meanwhile the client searches for a server that can write. A session that can write is
        never exchanged for a read-only one.
    :param tls: the TLS settings; None connects without TLS.
    :param sasl: the credentials for SASL; None does not authenticate.
    :param limits: the client's bounds and timeouts.
    :param metrics: called with each request, reply and connection, for counting; and by recipes, if it provides
        :class:`~txmirror.interfaces.IRecipeMetrics`.
    :param random: shuffles the servers, and draws the backoff and GUIDs.
    :param reactor: the reactor; the global one if None.
    :raises ValueError: an address is malformed, the timeout is not above 0, or a file of ``tls`` is invalid; the message
        quotes it.
    """

    # The class has more than 25 methods, and this module more than 350 lines, because the interfaces have so many methods: each is a
    # few lines, and the work is done elsewhere. It has more than 7 parameters because programs make it: all are optional.

    def __init__(
        self,
        servers: str | Sequence[str | tuple[str, int]] = "localhost:2181",
        *,
        session_timeout: float = 10.0,
        session: SessionTicket | None = None,
        read_only: bool = False,
        tls: TLS | None = None,
        sasl: DigestMD5 | None = None,
        limits: Limits | None = None,
        metrics: IMetrics | None = None,
        random: Random | None = None,
        reactor: IReactorTime | None = None,
    ) -> None:
        check_seconds("session_timeout", session_timeout, positive=True)
        if not 0.001 <= session_timeout <= _LONGEST_TIMEOUT:
            raise ValueError(f"session_timeout is {session_timeout!r}: not between 0.001 and {_LONGEST_TIMEOUT:.0f}")
        check_optional("session", session, SessionTicket)
        check_optional("tls", tls, TLS)
        check_optional("sasl", sasl, DigestMD5)
        check_optional("limits", limits, Limits)
        parsed = parse_servers(servers)
        random = random or Random()
        settings = SessionSettings(
            parsed.servers,
            session_timeout,
            limits or Limits(),
            random,
            ticket=session,
            read_only=read_only,
            wrap=None if tls is None else tls.prepare(),
            sasl=sasl,
            metrics=None if metrics is None else GuardedMetrics(metrics),
        )
        servers = ",".join(map(str, parsed.servers))
        self._set_up(Session(reactor_or_global(reactor), settings), servers, parsed.chroot, Priority.BOUNDED, random)

    def _set_up(self, session: Session, servers: str, chroot: str, priority: Priority, random: Random) -> None:
        """Set up a client on a session.

        :param servers: the connection string without the chroot.
        :param chroot: the node that all paths are below, without a trailing slash; empty for the root.
        """
        self._session = session
        self._servers = servers
        self._random = random
        self.connect_string: str = servers + chroot
        self._requests = Requests(session, Chroot(chroot, self.connect_string), priority)
        self._creates = Creates(self._requests, random)
        self._watching = Watching(self._requests)
        self._listeners: dict[Listener, Listener] = {}

    def __repr__(self) -> str:
        return f"<ZooKeeperClient {self.connect_string} {self._session.event.state.value}>"

    # Other clients on the same session.

    def chroot(self, path: str) -> ZooKeeperClient:
        """Return a client with the chroot ``path``, on the same session. See :meth:`.IChroot.chroot`."""
        full = self._requests.chroot.full(path)
        return self._on_same_session("" if full == "/" else full, self._requests.priority)

    def waiting(self) -> ZooKeeperClient:
        """Return a client with an unbounded queue, on the same session. See :meth:`.IBackpressure.waiting`."""
        return self._with_priority(Priority.WAITING)

    def urgent(self) -> ZooKeeperClient:
        """Return a client that sends ahead of the queue, on the same session. See :meth:`.IBackpressure.urgent`."""
        return self._with_priority(Priority.URGENT)

    def _with_priority(self, priority: Priority) -> ZooKeeperClient:
        if self._requests.priority is priority:
            return self
        return self._on_same_session(self._requests.chroot.path, priority)

    def _on_same_session(self, chroot: str, priority: Priority) -> ZooKeeperClient:
        return _SharingClient(self._session, self._servers, chroot, priority, self._random)

    # The session.

    @property
    def reactor(self) -> IReactorTime:
        """The reactor."""
        return self._session.reactor

    @property
    def metrics(self) -> IMetrics | None:
        """The program's metrics. See :class:`~txmirror.interfaces.IMetricsHolder`."""
        return self._session.metrics

    @property
    def session_key(self) -> object:
        """An object that is equal for all clients on the same session. See :class:`~txmirror.interfaces.IChroot`."""
        return self._session

    @property
    def session(self) -> SessionEvent:
        """The latest event of the session."""
        return self._session.event

    @property
    def session_id(self) -> int:
        """The id of the session, as ``ephemeralOwner`` has it; 0 while there is none."""
        return self._session.session_id

    @property
    def server(self) -> str:
        """The server of the connection, ``host:port``; without a connection, that of the latest attempt."""
        return str(self._session.server)

    @property
    def round_trip(self) -> float | None:
        """The seconds between the latest request or ping and its answer; None without a connection, and before the first answer."""
        connection = self._session.live_connection()
        return None if connection is None else connection.liveness.round_trip

    @property
    def loss(self) -> str | None:
        """The reason why the latest connection was lost, for people; None if none was."""
        return self._session.log.loss

    @property
    def session_timeout(self) -> float:
        """The session's timeout in seconds: as negotiated, or as requested before that."""
        return self._session.session_timeout

    @property
    def session_ticket(self) -> SessionTicket | None:
        """The ticket with which another client can take over the session now; None while there is no session. A secret."""
        return self._session.ticket()

    @property
    def stuck(self) -> bool:
        """True if the client does nothing for its session, because of a bug. See :class:`~txmirror.interfaces.IProgress`."""
        return self._session.stuck

    @property
    def watch_count(self) -> int:
        """The number of watches of the session. See :class:`~txmirror.interfaces.IWatchCount`."""
        return self._session.watches.count

    def connect(self) -> Deferred[None]:
        """Start connecting, and wait for a session. See :meth:`~txmirror.interfaces.IZooKeeperClient.connect`."""
        return self._session.connect()

    def when_connected(self) -> Deferred[None]:
        """Wait for a session. See :meth:`~txmirror.interfaces.ISessionHolder.when_connected`."""
        return self._session.when_connected()

    def close(self) -> Deferred[None]:
        """Close the session and the client, within ``limits.close_time`` seconds. See :meth:`.IZooKeeperClient.close`."""
        return self._session.close()

    def leave(self) -> Deferred[SessionTicket | None]:
        """Close the client but not the session, within ``limits.close_time`` seconds. See :meth:`.ISessionHolder.leave`."""
        return self._session.leave()

    def add_auth(self, scheme: str, credentials: bytes) -> Deferred[None]:
        """Add an identity to the session. See :meth:`~txmirror.interfaces.IZooKeeperClient.add_auth`."""
        if not isinstance(scheme, str):
            raise TypeError(f"a scheme is a str, not {scheme!r:.60}")
        if not isinstance(credentials, bytes):
            raise TypeError(f"credentials are bytes, not {type(credentials).__name__}")
        return self._session.add_auth(scheme, credentials)

    def server_can(self, method: str) -> bool | None:
        """Return whether the server supports a method. See :meth:`~txmirror.interfaces.IServerAbilities.server_can`."""
        return self._session.abilities.can(operation_of(method))

    def may_cost_session(self, method: str) -> bool:
        """Return whether a method might end the session. See :meth:`.IServerAbilities.may_cost_session`."""
        return self._session.abilities.may_cost_session(operation_of(method))

    def when_lease_expires(self) -> Deferred[None]:
        """Wait until the client-side lease expires. See :meth:`~txmirror.interfaces.ISessionLease.when_lease_expires`."""
        return self._session.lease.when_lease_expires()

    # Reads.

    def exists(self, path: str) -> Deferred[ZnodeStat | None]:
        """Read a node's stat; None if there is no node. See :meth:`~txmirror.interfaces.IZooKeeperClient.exists`."""
        return self._requests.send(EXISTS, path, False)

    def exists_and_watch(self, path: str) -> tuple[Deferred[ZnodeStat | None], Deferred[WatchedEvent]]:
        """Read a node's stat, and watch it. See :meth:`~txmirror.interfaces.IZooKeeperClient.exists_and_watch`."""
        return self._watching.read_and_watch(EXISTS, path)

    def get(self, path: str) -> Deferred[tuple[bytes, ZnodeStat]]:
        """Read a node's data and stat. See :meth:`~txmirror.interfaces.IZooKeeperClient.get`."""
        return self._requests.send(GET_DATA, path, False)

    def get_and_watch(self, path: str) -> tuple[Deferred[tuple[bytes, ZnodeStat]], Deferred[WatchedEvent]]:
        """Read a node's data and stat, and watch it. See :meth:`~txmirror.interfaces.IZooKeeperClient.get_and_watch`."""
        return self._watching.read_and_watch(GET_DATA, path)

    def get_children(self, path: str) -> Deferred[list[str]]:
        """Read the names of a node's children. See :meth:`~txmirror.interfaces.IZooKeeperClient.get_children`."""
        return self._requests.send(GET_CHILDREN, path, False).addCallback(_names)

    def get_children_and_watch(self, path: str) -> tuple[Deferred[list[str]], Deferred[WatchedEvent]]:
        """Read the names of a node's children, and watch them. See :meth:`.IZooKeeperClient.get_children_and_watch`."""
        answer, watch = self._watching.read_and_watch(GET_CHILDREN, path)
        return answer.addCallback(_names), watch

    def get_children_and_stat(self, path: str) -> Deferred[tuple[list[str], ZnodeStat]]:
        """Read the names of a node's children, and its stat. See :meth:`.IQueries.get_children_and_stat`."""
        return self._requests.send(GET_CHILDREN, path, False)

    def get_acl(self, path: str) -> Deferred[tuple[list[ACL], ZnodeStat]]:
        """Read a node's access control list. See :meth:`~txmirror.interfaces.IZooKeeperClient.get_acl`."""
        return self._requests.send(GET_ACL, path)

    def sync(self, path: str = "/") -> Deferred[str]:
        """Let the server catch up with the leader. See :meth:`~txmirror.interfaces.IZooKeeperClient.sync`."""
        return self._requests.send(SYNC, path)

    def get_many(self, paths: Sequence[str]) -> Deferred[list[tuple[bytes, ZnodeStat] | ZooKeeperException]]:
        """Read the data of several nodes in one request. See :meth:`~txmirror.interfaces.IBatchedReads.get_many`."""
        return self.read_many(paths).addCallback(lambda reply: reply.data)

    def get_children_many(self, paths: Sequence[str]) -> Deferred[list[list[str] | ZooKeeperException]]:
        """Read the children of several nodes in one request. See :meth:`.IBatchedReads.get_children_many`."""
        return self.read_many((), paths).addCallback(lambda reply: reply.children)

    def read_many(self, data: Sequence[str], children: Sequence[str] = ()) -> Deferred[BatchReply]:
        """Read data and children of several nodes in one request. See :meth:`.IBatchedReads.read_many`."""
        data, children = check_paths(data), check_paths(children)
        if not data and not children:
            return succeed(BatchReply(0, [], []))
        full_each = self._requests.chroot.full_each
        record = MULTI_READ.record(full_each(data), full_each(children))
        call = self._requests.call(MULTI_READ, record, (data or children)[0])
        answer = call.result_as(lambda zxid, results: BatchReply(zxid, *results))
        self._requests.submit(call)
        return answer

    def get_ephemerals(self, path: str = "/") -> Deferred[list[str]]:
        """Return the session's ephemeral nodes below a path. See :meth:`~txmirror.interfaces.IQueries.get_ephemerals`."""
        return self._requests.send(GET_EPHEMERALS, path)

    def count_below(self, path: str) -> Deferred[int]:
        """Count the nodes below a node. See :meth:`~txmirror.interfaces.IQueries.count_below`."""
        return self._requests.send(COUNT_BELOW, path)

    def who_am_i(self) -> Deferred[list[tuple[str, str]]]:
        """Return the session's identities at the server. See :meth:`~txmirror.interfaces.IQueries.who_am_i`."""
        return self._requests.send_record(WHO_AM_I, WHO_AM_I.record(), None)

    # Writes.

    def create(
        self,
        path: str,
        data: bytes = b"",
        acl: Sequence[ACL] = OPEN_ACL,
        *,
        ephemeral: bool = False,
        sequence: bool = False,
        protect: bool = False,
    ) -> Deferred[str]:
        """Create a node, and return its path. See :meth:`~txmirror.interfaces.IZooKeeperClient.create`."""
        flags = CreateFlag.of(ephemeral=ephemeral, sequence=sequence)
        return self._creates.create(path, check_bytes(data), check_acl(acl), flags, protect)

    def create_and_stat(
        self,
        path: str,
        data: bytes = b"",
        acl: Sequence[ACL] = OPEN_ACL,
        *,
        ephemeral: bool = False,
        sequence: bool = False,
        protect: bool = False,
    ) -> Deferred[tuple[str, ZnodeStat]]:
        """Create a node, and return its path and stat. See :meth:`~txmirror.interfaces.ICreateModes.create_and_stat`."""
        flags = CreateFlag.of(ephemeral=ephemeral, sequence=sequence)
        return self._creates.create_and_stat(path, check_bytes(data), check_acl(acl), flags, protect)

    def create_container(
        self, path: str, data: bytes = b"", acl: Sequence[ACL] = OPEN_ACL
    ) -> Deferred[tuple[str, ZnodeStat]]:
        """Create a container. See :meth:`~txmirror.interfaces.ICreateModes.create_container`."""
        return self._requests.send(CREATE_CONTAINER, path, check_bytes(data), check_acl(acl), CreateFlag.CONTAINER)

    def create_with_ttl(
        self, path: str, data: bytes = b"", acl: Sequence[ACL] = OPEN_ACL, *, ttl: float, sequence: bool = False
    ) -> Deferred[tuple[str, ZnodeStat]]:
        """Create a node with a time to live. See :meth:`~txmirror.interfaces.ICreateModes.create_with_ttl`."""
        if not 0.001 <= ttl <= _LONGEST_TTL:
            raise ValueError(f"a time to live is from 0.001 to {_LONGEST_TTL} seconds, not {ttl!r}")
        full = self._requests.chroot.full(path, sequence=sequence)
        flags = CreateFlag.TTL_SEQUENCE if sequence else CreateFlag.TTL
        record = CREATE_TTL.record(full, check_bytes(data), check_acl(acl), flags, round(ttl * 1000))
        return self._requests.send_record(CREATE_TTL, record, path)

    def delete(self, path: str, version: int = -1) -> Deferred[None]:
        """Delete a node. See :meth:`~txmirror.interfaces.IZooKeeperClient.delete`."""
        return self._requests.send(DELETE, path, check_version(version))

    def set(self, path: str, data: bytes, version: int = -1) -> Deferred[ZnodeStat]:
        """Replace a node's data. See :meth:`~txmirror.interfaces.IZooKeeperClient.set`."""
        return self._requests.send(SET_DATA, path, check_bytes(data), check_version(version))

    def set_acl(self, path: str, acl: Sequence[ACL], version: int = -1) -> Deferred[ZnodeStat]:
        """Replace a node's access control list. See :meth:`~txmirror.interfaces.IZooKeeperClient.set_acl`."""
        return self._requests.send(SET_ACL, path, check_acl(acl), check_version(version))

    def transaction(self) -> ITransaction:
        """Return a new transaction. See :meth:`~txmirror.interfaces.ITransactions.transaction`."""
        return Transaction(self._requests)

    # The feed.

    def add_listener(self, listener: Listener, needs: Callable[[str], bool] | None = None) -> None:
        """Call ``listener`` with every event. See :meth:`~txmirror.interfaces.IWatchFeed.add_listener`."""
        if listener not in self._listeners:
            chroot = self._requests.chroot
            self._listeners[listener] = below = chroot.listener_below(listener)
            self._session.dispatcher.add(below, None if needs is None else chroot.predicate_below(needs))

    def remove_listener(self, listener: Listener) -> None:
        """Stop calling ``listener``. See :meth:`~txmirror.interfaces.IWatchFeed.remove_listener`."""
        below = self._listeners.pop(listener, None)
        if below is not None:
            self._session.dispatcher.remove(below)

    def read_data(self, path: str) -> Deferred[DataReply]:
        """Read a node's data and stat, and leave a watch. See :meth:`~txmirror.interfaces.IWatchFeed.read_data`."""
        return self._watching.read_for_feed(_data_reply, GET_DATA, path)

    def read_children(self, path: str) -> Deferred[ChildrenReply]:
        """Read the names of a node's children, and leave a watch. See :meth:`.IWatchFeed.read_children`."""
        return self._watching.read_for_feed(_children_reply, GET_CHILDREN, path)

    def read_existence(self, path: str) -> Deferred[StatReply]:
        """Read a node's stat, if it exists, and leave a watch. See :meth:`.IWatchFeed.read_existence`."""
        return self._watching.read_for_feed(StatReply, EXISTS, path)

    def write_create(self, path: str, data: bytes, acl: Sequence[ACL], flags: int) -> Deferred[CreateReply]:
        """Create a node. See :meth:`~txmirror.interfaces.IWatchFeed.write_create`."""
        if not 0 <= flags < 4:
            raise ValueError(
                f"write_create makes persistent and ephemeral nodes, with or without a sequence: the flags are 0 to 3, not {flags!r}"
            )
        return self._creates.create_for_reply(path, check_bytes(data), check_acl(acl), flags)

    def write_data(self, path: str, data: bytes, version: int) -> Deferred[StatReply]:
        """Replace a node's data. See :meth:`~txmirror.interfaces.IWatchFeed.write_data`."""
        return self._requests.send_as(StatReply, SET_DATA, path, check_bytes(data), check_version(version))

    def write_delete(self, path: str, version: int) -> Deferred[int]:
        """Delete a node. See :meth:`~txmirror.interfaces.IWatchFeed.write_delete`."""
        return self._requests.send_as(lambda zxid, _: zxid, DELETE, path, check_version(version))

    def set_watches(
        self, zxid: int, data: Iterable[str] = (), exist: Iterable[str] = (), children: Iterable[str] = ()
    ) -> Deferred[None]:
        """Set watches as of a zxid. See :meth:`~txmirror.interfaces.IWatchFeed.set_watches`."""
        return self._watching.set_watches(zxid, data, exist, children)

    def report_changes(
        self,
        zxid: int,
        listener: Listener,
        data: Iterable[str] = (),
        exist: Iterable[str] = (),
        children: Iterable[str] = (),
    ) -> Deferred[None]:
        """Ask which nodes have changed since a zxid. See :meth:`~txmirror.interfaces.ISideSessions.report_changes`."""
        return self._watching.report_changes(zxid, listener, data, exist, children)

    def remove_watches(self, path: str, kind: WatchKind) -> Deferred[None]:
        """Remove the watches of a kind on a path. See :meth:`~txmirror.interfaces.IWatchFeed.remove_watches`."""
        return self._watching.remove_watches(path, kind)

    def release(self, path: str) -> Deferred[None]:
        """Remove all watches on a path that nothing needs. See :meth:`~txmirror.interfaces.IWatchFeed.release`."""
        return self._watching.release(path)

    def add_watch(self, path: str, listener: Listener | None = None, *, recursive: bool = False) -> Deferred[None]:
        """Add a persistent watch. See :meth:`~txmirror.interfaces.IPersistentWatches.add_watch`."""
        return self._watching.add_watch(path, listener, recursive=recursive)

    def check_watches(self, path: str, kind: WatchKind) -> Deferred[bool]:
        """Return whether the server has a watch of a kind on a path. See :meth:`.IPersistentWatches.check_watches`."""
        return self._watching.check_watches(path, kind)

    # The ensemble's configuration, which is outside any chroot.

    def get_config(self) -> Deferred[tuple[EnsembleConfig, ZnodeStat]]:
        """Read the ensemble's configuration. See :meth:`~txmirror.interfaces.IEnsemble.get_config`."""
        return self._requests.send_record(GET_CONFIG, GET_CONFIG.record(_CONFIG, False), _CONFIG)

    def get_config_and_watch(self) -> tuple[Deferred[tuple[EnsembleConfig, ZnodeStat]], Deferred[WatchedEvent]]:
        """Read the ensemble's configuration, and watch it. See :meth:`.IEnsemble.get_config_and_watch`."""
        return self._watching.read_and_watch(GET_CONFIG, _CONFIG, _CONFIG)

    def reconfig(
        self,
        *,
        joining: Sequence[str] = (),
        leaving: Sequence[int] = (),
        members: Sequence[str] = (),
        version: int = -1,
    ) -> Deferred[tuple[EnsembleConfig, ZnodeStat]]:
        """Change the ensemble's configuration. See :meth:`~txmirror.interfaces.IEnsemble.reconfig`."""
        joining, leaving, members = check_paths(joining), list(leaving), check_paths(members)
        if bool(members) is bool(joining or leaving):
            raise ValueError("reconfig takes either joining and leaving, or members")
        come, go, all_ = (",".join(map(str, each)) or None for each in (joining, leaving, members))
        record = RECONFIG.record(come, go, all_, check_zxid(version))
        return self._requests.send_record(RECONFIG, record, _CONFIG)


class _SharingClient(ZooKeeperClient):
    """A client on the session of another one, with a chroot and a priority of its own."""

    def __init__(self, session: Session, servers: str, chroot: str, priority: Priority, random: Random) -> None:
        self._set_up(session, servers, chroot, priority, random)


def _names(value: tuple[list[str], ZnodeStat]) -> list[str]:
    return value[0]


def _data_reply(zxid: int, value: tuple[bytes, ZnodeStat]) -> DataReply:
    return DataReply(zxid, *value)


def _children_reply(zxid: int, value: tuple[list[str], ZnodeStat]) -> ChildrenReply:
    return ChildrenReply(zxid, *value)
