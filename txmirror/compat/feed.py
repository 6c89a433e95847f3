"""A feed that is built from the single watches of a client.

It is a weaker form of :class:`~txmirror.interfaces.IWatchFeed`:

- Replies carry no zxid. They are taken to be true as of the latest transaction that any stat has shown: in one session
  nothing goes backwards, for replies come in order; a new session may begin at a server that lags.
- Watches are not restored in a new session: everything is read again.
- A created node is read back first, because the client returns no stat.
- Unneeded watches stay until they fire, or the session ends.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Iterable, Sequence
from typing import Any, Protocol, TypeVar

from twisted.internet.defer import Deferred, fail, succeed
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

from txmirror import paths
from txmirror.errors import (
    ClosingException,
    ConnectionLossException,
    NoNodeException,
    ReplyTooLargeException,
    SessionExpiredException,
    UnimplementedException,
    ZooKeeperException,
)
from txmirror.interfaces import IWatchFeed, IZooKeeperClient
from txmirror.observers import Observers
from txmirror.types import (
    ACL,
    ChildrenReply,
    CreateReply,
    DataReply,
    EventType,
    Listener,
    News,
    SessionEvent,
    StatReply,
    WatchedEvent,
    WatchKind,
    ZnodeStat,
)
from txmirror.wire import CreateFlag

_T = TypeVar("_T")
#: The kind and path of a watch. A watch on a node's existence is one on its data.
_Key = tuple[WatchKind, str]
#: The failures of requests that no server has answered.
_UNANSWERED = (ConnectionLossException, SessionExpiredException, ClosingException)


class SessionEvents(Protocol):
    """Notifies listeners of each event of a session."""

    @property
    def session(self) -> SessionEvent:
        """The latest event."""

    def add_listener(self, listener: Listener) -> None:
        """Call a listener with each event from now on."""

    def remove_listener(self, listener: Listener) -> None:
        """Stop calling a listener."""


@implementer(IWatchFeed)
class SingleWatchFeed:
    """A feed on the other methods of a client.

    :param client: sends the requests.
    :param session_events: notifies of the events of the client's session.
    """

    _log = Logger()

    def __init__(self, client: IZooKeeperClient, session_events: SessionEvents) -> None:
        self._client = client
        self._session_events = session_events
        self._listeners: Observers[News] = Observers(
            lambda listener, news: self._log.failure("The listener {listener} failed.", listener=listener)
        )
        self._watches: dict[_Key, Deferred[WatchedEvent]] = {}
        self._zxid = 0

    @property
    def session(self) -> SessionEvent:
        """The latest event of the session."""
        return self._session_events.session

    def add_listener(self, listener: Listener, needs: Callable[[str], bool] | None = None) -> None:
        """Call a function with each event. See :meth:`~txmirror.interfaces.IWatchFeed.add_listener`."""
        if not self._listeners:
            self._session_events.add_listener(self._session_changed)
        self._listeners.add(listener, listener)

    def remove_listener(self, listener: Listener) -> None:
        """Remove a listener. See :meth:`~txmirror.interfaces.IWatchFeed.remove_listener`."""
        self._listeners.remove(listener)
        if not self._listeners:
            self._session_events.remove_listener(self._session_changed)

    # Reads.

    def read_data(self, path: str) -> Deferred[DataReply]:
        """Read a node's data and stat, and leave a watch. See :meth:`~txmirror.interfaces.IWatchFeed.read_data`."""
        return self._with_zxid(self._read_data(paths.validate(path)))

    async def _read_data(self, path: str) -> DataReply:
        data, stat = await self._read((WatchKind.DATA, path), self._client.get, self._client.get_and_watch)
        return DataReply(self._note_stat(stat), data, stat)

    def read_existence(self, path: str) -> Deferred[StatReply]:
        """Read a node's stat, and leave a watch. See :meth:`~txmirror.interfaces.IWatchFeed.read_existence`."""
        return self._with_zxid(self._read_existence(paths.validate(path)))

    async def _read_existence(self, path: str) -> StatReply:
        stat = await self._read((WatchKind.DATA, path), self._client.exists, self._client.exists_and_watch)
        return StatReply(self._note_stat(stat), stat)

    def read_children(self, path: str) -> Deferred[ChildrenReply]:
        """Read a node's children, and leave a watch. See :meth:`~txmirror.interfaces.IWatchFeed.read_children`.

        The stat is requested after the names. If anything has changed between the two, the watch on the names reports it.
        """
        return self._with_zxid(self._read_children(paths.validate(path)))

    async def _read_children(self, path: str) -> ChildrenReply:
        stats: list[Deferred[ZnodeStat | None]] = []

        def read(path: str) -> Deferred[list[str]]:
            names = self._client.get_children(path)
            stats.append(self._client.exists(path))
            return names

        def read_and_watch(path: str) -> tuple[Deferred[list[str]], Deferred[WatchedEvent]]:
            reading = self._client.get_children_and_watch(path)
            stats.append(self._client.exists(path))
            return reading

        try:
            names = await self._read((WatchKind.CHILDREN, path), read, read_and_watch)
            stat = await stats[-1]
        finally:
            for reading in stats:
                reading.addErrback(lambda _: None)
        if stat is None:
            raise NoNodeException(path=path)
        return ChildrenReply(self._note_stat(stat), names, stat)

    async def _read(
        self,
        key: _Key,
        read: Callable[[str], Deferred[_T]],
        read_and_watch: Callable[[str], tuple[Deferred[_T], Deferred[WatchedEvent]]],
    ) -> _T:
        # A client fires one Deferred for each watch requested. Where there is one already, no other is requested.
        while present := self._watches.get(key):
            answer = await read(key[1])
            if self._watches.get(key) is present:
                return answer
        reading, watch = read_and_watch(key[1])
        watch.addCallbacks(self._fired, self._ended, callbackArgs=(key, watch), errbackArgs=(key, watch))
        try:
            answer = await reading
        except ReplyTooLargeException:
            # The server has set the watch all the same.
            self._watches.setdefault(key, watch)
            raise
        self._watches.setdefault(key, watch)
        return answer

    # Writes.

    def write_create(self, path: str, data: bytes, acl: Sequence[ACL], flags: int) -> Deferred[CreateReply]:
        """Create a node, and read it back. See :meth:`~txmirror.interfaces.IWatchFeed.write_create`."""
        if not 0 <= flags < 4:
            raise ValueError(
                f"write_create makes persistent and ephemeral nodes, with or without a sequence: the flags are 0 to 3, not {flags!r}"
            )
        ephemeral, sequence = bool(flags & CreateFlag.EPHEMERAL), bool(flags & CreateFlag.SEQUENCE)
        created = self._client.create(path, data, acl, ephemeral=ephemeral, sequence=sequence)
        return self._with_zxid(self._read_back(created, data, ephemeral))

    async def _read_back(self, created: Deferred[str], data: bytes, ephemeral: bool) -> CreateReply:
        path = await created
        try:
            there, stat = await self._client.get(path)
        except ZooKeeperException:
            pass
        else:
            if stat.version == 0 and there == data:
                return CreateReply(self._note_stat(stat), path, stat)
        # It was deleted or changed already, or cannot be read. Zxid 0 is older than all that is known; later replies replace it.
        owner = self._client.session_id if ephemeral else 0
        return CreateReply(0, path, ZnodeStat(0, 0, 0, 0, 0, 0, 0, owner, len(data), 0, 0))

    def write_data(self, path: str, data: bytes, version: int) -> Deferred[StatReply]:
        """Replace a node's data. See :meth:`~txmirror.interfaces.IWatchFeed.write_data`."""
        written = self._client.set(path, data, version)
        return written.addCallbacks(lambda stat: StatReply(self._note_stat(stat), stat), self._failed)

    def write_delete(self, path: str, version: int) -> Deferred[int]:
        """Delete a node. See :meth:`~txmirror.interfaces.IWatchFeed.write_delete`."""
        return self._client.delete(path, version).addCallbacks(lambda _: self._zxid, self._failed)

    # Watches.

    def set_watches(
        self, zxid: int, data: Iterable[str] = (), exist: Iterable[str] = (), children: Iterable[str] = ()
    ) -> Deferred[None]:
        """Fail, because this client cannot restore watches. See :meth:`~txmirror.interfaces.IWatchFeed.set_watches`.

        The exception is :exc:`~txmirror.errors.UnimplementedException`. Without paths it waits for a reply of the server.
        """
        if any(map(list, (data, exist, children))):
            return fail(UnimplementedException("this client cannot set watches again"))
        return self._client.exists("/").addCallback(lambda _: None)

    def remove_watches(self, path: str, kind: WatchKind) -> Deferred[None]:
        """Fail: this client cannot remove watches. See :meth:`~txmirror.interfaces.IWatchFeed.remove_watches`."""
        return fail(UnimplementedException("this client cannot remove watches", path=path))

    def release(self, path: str) -> Deferred[None]:
        """Leave all watches at the server. See :meth:`~txmirror.interfaces.IWatchFeed.release`."""
        return succeed(None)

    def _fired(self, event: WatchedEvent, key: _Key, watch: Deferred[WatchedEvent]) -> None:
        # A node's deletion fires its data watch and its child watch, but is one event.
        if self._watches.get(key) is not watch:
            return
        if event.type in (EventType.CHILD, EventType.DELETED):
            self._watches.pop((WatchKind.CHILDREN, event.path), None)
        if event.type is not EventType.CHILD:
            self._watches.pop((WatchKind.DATA, event.path), None)
        self._listeners.notify(event)

    def _ended(self, _: Failure, key: _Key, watch: Deferred[WatchedEvent]) -> None:
        if self._watches.get(key) is watch:
            del self._watches[key]

    # Transactions and session events.

    def _note_stat(self, stat: ZnodeStat | None) -> int:
        """Return the transaction as of which the latest reply is true."""
        if stat is not None:
            self._zxid = max(self._zxid, stat.mzxid, stat.pzxid)
        return self._zxid

    def _with_zxid(self, work: Coroutine[Deferred[Any], Any, _T]) -> Deferred[_T]:
        return Deferred.fromCoroutine(work).addErrback(self._failed)

    def _failed(self, failure: Failure) -> Failure:
        error = failure.value
        if isinstance(error, ZooKeeperException) and not isinstance(error, _UNANSWERED):
            error.zxid = self._zxid = max(self._zxid, error.zxid or 0)
        return failure

    def _session_changed(self, event: News) -> None:
        self._listeners.notify(event)
