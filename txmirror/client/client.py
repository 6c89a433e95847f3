"""The client that programs use: methods in, Deferreds out. What a request means is here; how it travels is not."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from random import Random
from typing import TypeVar

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from zope.interface import implementer

from txmirror import paths
from txmirror.client.calls import Call, decode_nothing
from txmirror.client.limits import Limits
from txmirror.client.servers import parse_servers
from txmirror.client.sessions import Sessions
from txmirror.client.transactions import Asker, Transaction, check_bytes, get_children_many, get_many
from txmirror.client.watches import WatchSet
from txmirror.errors import NoNodeException, ZooKeeperException
from txmirror.interfaces import (
    IBatchedReads,
    ICreateModes,
    IHolding,
    IQueries,
    ITransaction,
    ITransactions,
    IWatchFeed,
    IZooKeeperClient,
)
from txmirror.types import (
    ACL,
    OPEN_ACL,
    ChildrenReply,
    CreateReply,
    DataReply,
    SessionEvent,
    StatReply,
    WatchedEvent,
    WatchKind,
    ZnodeStat,
)
from txmirror.wire import (
    Create2Request,
    Create2Response,
    CreateContainerRequest,
    CreateFlag,
    CreateRequest,
    CreateTTLRequest,
    Cursor,
    DeleteRequest,
    ExistsRequest,
    GetACLRequest,
    GetACLResponse,
    GetAllChildrenNumberRequest,
    GetAllChildrenNumberResponse,
    GetChildren2Request,
    GetChildren2Response,
    GetDataRequest,
    GetDataResponse,
    GetEphemeralsRequest,
    GetEphemeralsResponse,
    PathResponse,
    RemoveWatchesRequest,
    Request,
    SetACLRequest,
    SetDataRequest,
    StatResponse,
    SyncRequest,
    WhoAmIRequest,
    WhoAmIResponse,
)

_T = TypeVar("_T")
#: The longest time to live that a server takes, in seconds (``EphemeralType.TTL`` has 40 bits of milliseconds).
_LONGEST_TTL = 0xFFFFFFFFFF / 1000

_Listener = Callable[["SessionEvent | WatchedEvent"], None]


@implementer(IZooKeeperClient, IWatchFeed, ICreateModes, IQueries, ITransactions, IBatchedReads, IHolding)
class ZooKeeperClient:
    """A ZooKeeper client in pure Twisted: it connects, stays connected, and begins anew when its session has ended.

    :param servers: ``host:port,host:port/chroot``, or a list of ``host:port`` strings or (host, port) pairs. With a
        chroot, all paths are below it, and it must exist before they can.
    :param session_timeout: how long the ensemble keeps the session without hearing from us, in seconds; a server may
        negotiate another.
    :param limits: what the client allows itself.
    :param random: shuffles the servers and draws the pauses between attempts.
    :param reactor: the reactor; the global one if None.
    :raises ValueError: an address is malformed, or the timeout is not above 0; the message quotes it.
    """

    def __init__(
        self,
        servers: str | Sequence[str | tuple[str, int]] = "localhost:2181",
        *,
        session_timeout: float = 10.0,
        limits: Limits | None = None,
        random: Random | None = None,
        reactor: IReactorTime | None = None,
    ) -> None:
        if not 0.001 <= session_timeout < 2**31 / 1000:
            raise ValueError(f"a session timeout is a number of seconds above 0, not {session_timeout!r}")
        if reactor is None:
            from twisted.internet import reactor as global_reactor

            reactor = IReactorTime(global_reactor)
        parsed = parse_servers(servers)
        self.connect_string = str(parsed)
        self._chroot = parsed.chroot
        self._sessions = Sessions(parsed.servers, session_timeout, reactor, limits or Limits(), random or Random())
        self._listeners: dict[_Listener, _Listener] = {}
        self._asker = Asker(self._valid, self._below, self._ask)

    def __repr__(self) -> str:
        return f"<ZooKeeperClient {self.connect_string} {self.session.state.value}>"

    @property
    def session(self) -> SessionEvent:
        """The latest step of the session."""
        return self._sessions.session

    @property
    def session_id(self) -> int:
        """The id of the session, as ``ephemeralOwner`` has it; 0 while there is none."""
        return self._sessions.session_id

    @property
    def session_timeout(self) -> float:
        """The session's timeout in seconds: as negotiated, or as asked for before that."""
        return self._sessions.session_timeout

    def connect(self) -> Deferred[None]:
        """See :meth:`~txmirror.interfaces.IZooKeeperClient.connect`."""
        return self._sessions.connect()

    def close(self) -> Deferred[None]:
        """See :meth:`~txmirror.interfaces.IZooKeeperClient.close`. It takes no longer than ``limits.close_time`` seconds."""
        return self._sessions.close()

    # IZooKeeperClient.

    def create(
        self,
        path: str,
        data: bytes = b"",
        acl: Sequence[ACL] = OPEN_ACL,
        *,
        ephemeral: bool = False,
        sequence: bool = False,
    ) -> Deferred[str]:
        """See :meth:`~txmirror.interfaces.IZooKeeperClient.create`."""
        flags = (CreateFlag.EPHEMERAL if ephemeral else 0) | (CreateFlag.SEQUENCE if sequence else 0)
        request = CreateRequest(self._valid(path, sequence=sequence), check_bytes(data), tuple(acl), flags)
        return self._ask(request, path, self._decode_path)

    def delete(self, path: str, version: int = -1) -> Deferred[None]:
        """See :meth:`~txmirror.interfaces.IZooKeeperClient.delete`."""
        return self._ask(DeleteRequest(self._valid(path), version), path, decode_nothing)

    def exists(self, path: str) -> Deferred[ZnodeStat | None]:
        """See :meth:`~txmirror.interfaces.IZooKeeperClient.exists`."""
        return self._ask(ExistsRequest(self._valid(path), False), path, _decode_stat_or_none, _missing)

    def exists_and_watch(self, path: str) -> tuple[Deferred[ZnodeStat | None], Deferred[WatchedEvent]]:
        """See :meth:`~txmirror.interfaces.IZooKeeperClient.exists_and_watch`."""
        request = ExistsRequest(self._valid(path), True)
        watch = self._watch(request.path)
        stat = self._ask(
            request, path, _decode_stat_or_none, _missing, on_reply=self._watch_existence(request.path, watch)
        )
        return stat, watch

    def get(self, path: str) -> Deferred[tuple[bytes, ZnodeStat]]:
        """See :meth:`~txmirror.interfaces.IZooKeeperClient.get`."""
        return self._ask(GetDataRequest(self._valid(path), False), path, _decode_data)

    def get_and_watch(self, path: str) -> tuple[Deferred[tuple[bytes, ZnodeStat]], Deferred[WatchedEvent]]:
        """See :meth:`~txmirror.interfaces.IZooKeeperClient.get_and_watch`."""
        request = GetDataRequest(self._valid(path), True)
        watch = self._watch(request.path)
        return self._ask(request, path, _decode_data, on_reply=self._watch_data(request.path, watch)), watch

    def get_children(self, path: str) -> Deferred[list[str]]:
        """See :meth:`~txmirror.interfaces.IZooKeeperClient.get_children`."""
        return self._ask(GetChildren2Request(self._valid(path), False), path, _decode_names)

    def get_children_and_watch(self, path: str) -> tuple[Deferred[list[str]], Deferred[WatchedEvent]]:
        """See :meth:`~txmirror.interfaces.IZooKeeperClient.get_children_and_watch`."""
        request = GetChildren2Request(self._valid(path), True)
        watch = self._watch(request.path)
        return self._ask(request, path, _decode_names, on_reply=self._watch_children(request.path, watch)), watch

    def set(self, path: str, data: bytes, version: int = -1) -> Deferred[ZnodeStat]:
        """See :meth:`~txmirror.interfaces.IZooKeeperClient.set`."""
        return self._ask(SetDataRequest(self._valid(path), check_bytes(data), version), path, _decode_stat)

    def get_acl(self, path: str) -> Deferred[tuple[list[ACL], ZnodeStat]]:
        """See :meth:`~txmirror.interfaces.IZooKeeperClient.get_acl`."""
        return self._ask(GetACLRequest(self._valid(path)), path, _decode_acl)

    def set_acl(self, path: str, acl: Sequence[ACL], version: int = -1) -> Deferred[ZnodeStat]:
        """See :meth:`~txmirror.interfaces.IZooKeeperClient.set_acl`."""
        return self._ask(SetACLRequest(self._valid(path), tuple(acl), version), path, _decode_stat)

    def sync(self, path: str = "/") -> Deferred[str]:
        """See :meth:`~txmirror.interfaces.IZooKeeperClient.sync`."""
        return self._ask(SyncRequest(self._valid(path)), path, self._decode_path)

    def add_auth(self, scheme: str, credentials: bytes) -> Deferred[None]:
        """See :meth:`~txmirror.interfaces.IZooKeeperClient.add_auth`."""
        return self._sessions.add_auth(scheme, check_bytes(credentials))

    # IWatchFeed.

    def add_listener(self, listener: _Listener) -> None:
        """See :meth:`~txmirror.interfaces.IWatchFeed.add_listener`."""
        if not self._chroot:
            self._sessions.add_listener(listener)
            return
        if listener in self._listeners:
            return

        def below_chroot(event: SessionEvent | WatchedEvent) -> None:
            listener(self._event_below(event) if isinstance(event, WatchedEvent) else event)

        self._listeners[listener] = below_chroot
        self._sessions.add_listener(below_chroot)

    def remove_listener(self, listener: _Listener) -> None:
        """See :meth:`~txmirror.interfaces.IWatchFeed.remove_listener`."""
        self._sessions.remove_listener(self._listeners.pop(listener, listener))

    def read_data(self, path: str) -> Deferred[DataReply]:
        """See :meth:`~txmirror.interfaces.IWatchFeed.read_data`."""
        request = GetDataRequest(self._valid(path), True)
        return self._ask(request, path, _decode_data_reply, on_reply=self._watch_data(request.path))

    def read_children(self, path: str) -> Deferred[ChildrenReply]:
        """See :meth:`~txmirror.interfaces.IWatchFeed.read_children`."""
        request = GetChildren2Request(self._valid(path), True)
        return self._ask(request, path, _decode_children_reply, on_reply=self._watch_children(request.path))

    def read_existence(self, path: str) -> Deferred[StatReply]:
        """See :meth:`~txmirror.interfaces.IWatchFeed.read_existence`."""
        request = ExistsRequest(self._valid(path), True)
        return self._ask(
            request, path, _decode_stat_reply, _missing_reply, on_reply=self._watch_existence(request.path)
        )

    def write_create(self, path: str, data: bytes, acl: Sequence[ACL], flags: int) -> Deferred[CreateReply]:
        """See :meth:`~txmirror.interfaces.IWatchFeed.write_create`."""
        sequence = bool(flags & CreateFlag.SEQUENCE)
        request = Create2Request(self._valid(path, sequence=sequence), check_bytes(data), tuple(acl), flags)
        return self._ask(request, path, self._decode_created)

    def write_data(self, path: str, data: bytes, version: int) -> Deferred[StatReply]:
        """See :meth:`~txmirror.interfaces.IWatchFeed.write_data`."""
        return self._ask(SetDataRequest(self._valid(path), check_bytes(data), version), path, _decode_stat_reply)

    def write_delete(self, path: str, version: int) -> Deferred[int]:
        """See :meth:`~txmirror.interfaces.IWatchFeed.write_delete`."""
        return self._ask(DeleteRequest(self._valid(path), version), path, _decode_zxid)

    def set_watches(
        self, zxid: int, data: Iterable[str] = (), exist: Iterable[str] = (), children: Iterable[str] = ()
    ) -> Deferred[None]:
        """See :meth:`~txmirror.interfaces.IWatchFeed.set_watches`."""
        watches = WatchSet()
        watches.data = {self._valid(path): [] for path in data}
        watches.exist = {self._valid(path): [] for path in exist}
        watches.child = {self._valid(path): [] for path in children}
        return self._sessions.set_watches(zxid, watches)

    def remove_watches(self, path: str, kind: WatchKind) -> Deferred[None]:
        """See :meth:`~txmirror.interfaces.IWatchFeed.remove_watches`."""
        request = RemoveWatchesRequest(self._valid(path), kind)

        def removed(err: int) -> None:
            if not err:
                self._sessions.watches.standing.remove(request.path, kind)

        return self._ask(request, path, decode_nothing, on_reply=removed)

    # ICreateModes and IQueries.

    def create_and_stat(
        self,
        path: str,
        data: bytes = b"",
        acl: Sequence[ACL] = OPEN_ACL,
        *,
        ephemeral: bool = False,
        sequence: bool = False,
    ) -> Deferred[tuple[str, ZnodeStat]]:
        """See :meth:`~txmirror.interfaces.ICreateModes.create_and_stat`."""
        flags = (CreateFlag.EPHEMERAL if ephemeral else 0) | (CreateFlag.SEQUENCE if sequence else 0)
        request = Create2Request(self._valid(path, sequence=sequence), check_bytes(data), tuple(acl), flags)
        return self._ask(request, path, self._decode_path_and_stat)

    def create_container(
        self, path: str, data: bytes = b"", acl: Sequence[ACL] = OPEN_ACL
    ) -> Deferred[tuple[str, ZnodeStat]]:
        """See :meth:`~txmirror.interfaces.ICreateModes.create_container`."""
        request = CreateContainerRequest(self._valid(path), check_bytes(data), tuple(acl), CreateFlag.CONTAINER)
        return self._ask(request, path, self._decode_path_and_stat)

    def create_with_ttl(
        self, path: str, data: bytes = b"", acl: Sequence[ACL] = OPEN_ACL, *, ttl: float, sequence: bool = False
    ) -> Deferred[tuple[str, ZnodeStat]]:
        """See :meth:`~txmirror.interfaces.ICreateModes.create_with_ttl`."""
        if not 0.001 <= ttl <= _LONGEST_TTL:
            raise ValueError(f"a time to live is from 0.001 to {_LONGEST_TTL} seconds, not {ttl!r}")
        flags = CreateFlag.TTL_SEQUENCE if sequence else CreateFlag.TTL
        full = self._valid(path, sequence=sequence)
        request = CreateTTLRequest(full, check_bytes(data), tuple(acl), flags, round(ttl * 1000))
        return self._ask(request, path, self._decode_path_and_stat)

    def get_ephemerals(self, path: str = "/") -> Deferred[list[str]]:
        """See :meth:`~txmirror.interfaces.IQueries.get_ephemerals`."""
        root = self._valid(path)

        def decode(cursor: Cursor, zxid: int) -> list[str]:
            # The server compares letters, not names: what merely begins alike is not below.
            ours = [
                each
                for each in GetEphemeralsResponse.decode(cursor).ephemerals
                if root in ("/", each) or each.startswith(root + "/")
            ]
            return [self._below(each) for each in ours]

        return self._ask(GetEphemeralsRequest(root), path, decode)

    def count_below(self, path: str) -> Deferred[int]:
        """See :meth:`~txmirror.interfaces.IQueries.count_below`."""
        return self._ask(GetAllChildrenNumberRequest(self._valid(path)), path, _decode_number)

    def who_am_i(self) -> Deferred[list[tuple[str, str]]]:
        """See :meth:`~txmirror.interfaces.IQueries.who_am_i`."""
        return self._ask(WhoAmIRequest(), None, _decode_identities)

    # ITransactions and IBatchedReads.

    def transaction(self) -> ITransaction:
        """See :meth:`~txmirror.interfaces.ITransactions.transaction`."""
        return Transaction(self._asker)

    def get_many(self, paths: Sequence[str]) -> Deferred[list[tuple[bytes, ZnodeStat] | ZooKeeperException]]:
        """See :meth:`~txmirror.interfaces.IBatchedReads.get_many`."""
        return get_many(self._asker, paths)

    def get_children_many(self, paths: Sequence[str]) -> Deferred[list[list[str] | ZooKeeperException]]:
        """See :meth:`~txmirror.interfaces.IBatchedReads.get_children_many`."""
        return get_children_many(self._asker, paths)

    # IHolding.

    def when_unsafe(self) -> Deferred[None]:
        """See :meth:`~txmirror.interfaces.IHolding.when_unsafe`."""
        return self._sessions.when_unsafe()

    # What a request and its reply go through.

    def _ask(
        self,
        request: Request,
        path: str | None,
        decode: Callable[[Cursor, int], _T],
        on_missing: Callable[[int], _T] | None = None,
        on_reply: Callable[[int], None] | None = None,
    ) -> Deferred[_T]:
        call = Call(request, path, decode, on_missing, on_reply)
        answer = call.waited_for()
        self._sessions.submit(call)
        return answer

    def _valid(self, path: str, *, sequence: bool = False) -> str:
        """Check a path, and put the chroot before it."""
        paths.validate(path, sequence=sequence)
        if not self._chroot:
            return path
        return self._chroot if path == "/" and not sequence else self._chroot + path

    def _below(self, path: str) -> str:
        """Take the chroot off a path that a server gave."""
        return path[len(self._chroot) :] or "/"

    def _event_below(self, event: WatchedEvent) -> WatchedEvent:
        return event._replace(path=self._below(event.path))

    def _watch(self, path: str) -> Deferred[WatchedEvent]:
        """Make what a caller waits for who wants to be told of a change."""
        watch: Deferred[WatchedEvent] = Deferred(
            lambda cancelled: self._sessions.watches.standing.forget(path, cancelled)
        )
        return watch.addCallback(self._event_below) if self._chroot else watch

    def _decode_path(self, cursor: Cursor, zxid: int) -> str:
        return self._below(PathResponse.decode(cursor).path)

    def _decode_path_and_stat(self, cursor: Cursor, zxid: int) -> tuple[str, ZnodeStat]:
        path, stat = Create2Response.decode(cursor)
        return self._below(path), stat

    def _decode_created(self, cursor: Cursor, zxid: int) -> CreateReply:
        path, stat = Create2Response.decode(cursor)
        return CreateReply(zxid, self._below(path), stat)

    # A watch stands once the reply says so, of the kind that the reply implies. Which table it goes into is looked up
    # only then, because the session may be another one by the time.

    def _watch_data(self, path: str, waiter: Deferred[WatchedEvent] | None = None) -> Callable[[int], None]:
        def answered(err: int) -> None:
            if not err:
                _record(self._sessions.watches.standing.data, path, waiter)

        return answered

    def _watch_children(self, path: str, waiter: Deferred[WatchedEvent] | None = None) -> Callable[[int], None]:
        def answered(err: int) -> None:
            if not err:
                _record(self._sessions.watches.standing.child, path, waiter)

        return answered

    def _watch_existence(self, path: str, waiter: Deferred[WatchedEvent] | None = None) -> Callable[[int], None]:
        def answered(err: int) -> None:
            if not err:
                _record(self._sessions.watches.standing.data, path, waiter)
            elif err == NoNodeException.code:
                _record(self._sessions.watches.standing.exist, path, waiter)

        return answered


def _record(table: dict[str, list[Deferred[WatchedEvent]]], path: str, waiter: Deferred[WatchedEvent] | None) -> None:
    waiters = table.setdefault(path, [])
    if waiter is not None and not waiter.called:
        waiters.append(waiter)


def _decode_data(cursor: Cursor, zxid: int) -> tuple[bytes, ZnodeStat]:
    data, stat = GetDataResponse.decode(cursor)
    return data or b"", stat


def _decode_data_reply(cursor: Cursor, zxid: int) -> DataReply:
    data, stat = GetDataResponse.decode(cursor)
    return DataReply(zxid, data or b"", stat)


def _decode_names(cursor: Cursor, zxid: int) -> list[str]:
    return GetChildren2Response.decode(cursor).children


def _decode_children_reply(cursor: Cursor, zxid: int) -> ChildrenReply:
    names, stat = GetChildren2Response.decode(cursor)
    return ChildrenReply(zxid, names, stat)


def _decode_stat(cursor: Cursor, zxid: int) -> ZnodeStat:
    return StatResponse.decode(cursor).stat


def _decode_stat_or_none(cursor: Cursor, zxid: int) -> ZnodeStat | None:
    return StatResponse.decode(cursor).stat


def _decode_stat_reply(cursor: Cursor, zxid: int) -> StatReply:
    return StatReply(zxid, StatResponse.decode(cursor).stat)


def _decode_acl(cursor: Cursor, zxid: int) -> tuple[list[ACL], ZnodeStat]:
    acl, stat = GetACLResponse.decode(cursor)
    return acl, stat


def _decode_number(cursor: Cursor, zxid: int) -> int:
    return GetAllChildrenNumberResponse.decode(cursor).totalNumber


def _decode_identities(cursor: Cursor, zxid: int) -> list[tuple[str, str]]:
    return [(info.authScheme, info.user) for info in WhoAmIResponse.decode(cursor).clientInfo]


def _decode_zxid(cursor: Cursor, zxid: int) -> int:
    return zxid


def _missing(zxid: int) -> None:
    return None


def _missing_reply(zxid: int) -> StatReply:
    return StatReply(zxid, None)
