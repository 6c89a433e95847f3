"""A feed over a client that has none: what a mirror stands on where there is no more than IZooKeeperClient and a session's steps.

It is the weaker form of :class:`~txmirror.interfaces.IWatchFeed`:

- Replies do not say as of when they are true. They are taken to be so as of the latest transaction that any stat has shown: in one
  session nothing goes backwards, for replies come in order; a new session may begin at a server that lags.
- Watches are not brought into a new session: everything is read again.
- What was created is read back before it is told of, because the client gives no stat.
- Watches that nobody needs stay until they fire, or the session ends.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Iterable, Sequence
from typing import Any, TypeVar

from twisted.internet.defer import Deferred, fail, succeed
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

from txmirror import paths
from txmirror.errors import (
    NoNodeException,
    ReplyTooLargeException,
    UnimplementedException,
    ZooKeeperException,
)
from txmirror.interfaces import ISessionSteps, IWatchFeed, IZooKeeperClient
from txmirror.mirror.refresher import LOST
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
#: What a watch is on; one on a node's existence is one on its data.
_Key = tuple[WatchKind, str]


def feed_of(client: IZooKeeperClient) -> IWatchFeed:
    """Give a client's feed, or one that stands on what else it has.

    :raises TypeError: it tells nothing of its session.
    """
    feed: IWatchFeed | None = IWatchFeed(client, None)
    if feed is not None:
        return feed
    if ISessionSteps(client, None) is None:
        raise TypeError(
            f"a mirror's client provides IWatchFeed, or at least ISessionSteps; {client!r:.80} does neither"
        )
    return PlainFeed(client)


@implementer(IWatchFeed)
class PlainFeed:
    """All of :class:`~txmirror.interfaces.IWatchFeed`, as far as it goes without a feed of the client's.

    :param client: provides :class:`~txmirror.interfaces.ISessionSteps` too.
    """

    _log = Logger()

    def __init__(self, client: IZooKeeperClient) -> None:
        self._client = client
        self._steps = ISessionSteps(client)
        self._listeners: Observers[News] = Observers(
            lambda listener, news: self._log.failure("The listener {listener} failed.", listener=listener)
        )
        self._watches: dict[_Key, Deferred[WatchedEvent]] = {}
        self._zxid = 0

    @property
    def session(self) -> SessionEvent:
        """The latest step of the session."""
        return self._steps.session

    def add_listener(self, listener: Listener, needs: Callable[[str], bool] | None = None) -> None:
        """See :meth:`~txmirror.interfaces.IWatchFeed.add_listener`."""
        if not self._listeners:
            self._steps.add_listener(self._session_changed)
        self._listeners.add(listener, listener)

    def remove_listener(self, listener: Listener) -> None:
        """See :meth:`~txmirror.interfaces.IWatchFeed.remove_listener`."""
        self._listeners.remove(listener)
        if not self._listeners:
            self._steps.remove_listener(self._session_changed)

    # Reads.

    def read_data(self, path: str) -> Deferred[DataReply]:
        """See :meth:`~txmirror.interfaces.IWatchFeed.read_data`."""
        return self._with_zxid(self._read_data(paths.validate(path)))

    async def _read_data(self, path: str) -> DataReply:
        data, stat = await self._read((WatchKind.DATA, path), self._client.get, self._client.get_and_watch)
        return DataReply(self._note_stat(stat), data, stat)

    def read_existence(self, path: str) -> Deferred[StatReply]:
        """See :meth:`~txmirror.interfaces.IWatchFeed.read_existence`."""
        return self._with_zxid(self._read_existence(paths.validate(path)))

    async def _read_existence(self, path: str) -> StatReply:
        stat = await self._read((WatchKind.DATA, path), self._client.exists, self._client.exists_and_watch)
        return StatReply(self._note_stat(stat), stat)

    def read_children(self, path: str) -> Deferred[ChildrenReply]:
        """See :meth:`~txmirror.interfaces.IWatchFeed.read_children`. The stat is asked for behind the names.

        If anything is different by then, the watch that the names have left tells of it.
        """
        return self._with_zxid(self._read_children(paths.validate(path)))

    async def _read_children(self, path: str) -> ChildrenReply:
        stats: list[Deferred[ZnodeStat | None]] = []

        def read(path: str) -> Deferred[list[str]]:
            names = self._client.get_children(path)
            stats.append(self._client.exists(path))
            return names

        def read_and_watch(path: str) -> tuple[Deferred[list[str]], Deferred[WatchedEvent]]:
            asked = self._client.get_children_and_watch(path)
            stats.append(self._client.exists(path))
            return asked

        try:
            names = await self._read((WatchKind.CHILDREN, path), read, read_and_watch)
            stat = await stats[-1]
        finally:
            for asked in stats:
                asked.addErrback(lambda _: None)
        if stat is None:
            raise NoNodeException(path=path)
        return ChildrenReply(self._note_stat(stat), names, stat)

    async def _read(
        self,
        key: _Key,
        read: Callable[[str], Deferred[_T]],
        read_and_watch: Callable[[str], tuple[Deferred[_T], Deferred[WatchedEvent]]],
    ) -> _T:
        # A client calls everybody who ever asked for a watch: where there is one, it is not asked for again.
        while present := self._watches.get(key):
            answer = await read(key[1])
            if self._watches.get(key) is present:
                return answer
        asked, watch = read_and_watch(key[1])
        watch.addCallbacks(self._fired, self._ended, callbackArgs=(key, watch), errbackArgs=(key, watch))
        try:
            answer = await asked
        except ReplyTooLargeException:
            # Its watch was set all the same.
            self._watches.setdefault(key, watch)
            raise
        self._watches.setdefault(key, watch)
        return answer

    # Writes.

    def write_create(self, path: str, data: bytes, acl: Sequence[ACL], flags: int) -> Deferred[CreateReply]:
        """See :meth:`~txmirror.interfaces.IWatchFeed.write_create`. The node is read back."""
        if not 0 <= flags < 4:
            raise ValueError(
                f"a node is made persistent or ephemeral here, with or without a sequence, not by the flags {flags!r}"
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
        # It is gone or changed already, or cannot be read. It was made before all that is known, and what comes next says more.
        owner = self._client.session_id if ephemeral else 0
        return CreateReply(0, path, ZnodeStat(0, 0, 0, 0, 0, 0, 0, owner, len(data), 0, 0))

    def write_data(self, path: str, data: bytes, version: int) -> Deferred[StatReply]:
        """See :meth:`~txmirror.interfaces.IWatchFeed.write_data`."""
        written = self._client.set(path, data, version)
        return written.addCallbacks(lambda stat: StatReply(self._note_stat(stat), stat), self._failed)

    def write_delete(self, path: str, version: int) -> Deferred[int]:
        """See :meth:`~txmirror.interfaces.IWatchFeed.write_delete`."""
        return self._client.delete(path, version).addCallbacks(lambda _: self._zxid, self._failed)

    # Watches.

    def set_watches(
        self, zxid: int, data: Iterable[str] = (), exist: Iterable[str] = (), children: Iterable[str] = ()
    ) -> Deferred[None]:
        """See :meth:`~txmirror.interfaces.IWatchFeed.set_watches`.

        With nothing to set, it waits for an answer of the server's; else it fails with
        :exc:`~txmirror.errors.UnimplementedException`.
        """
        if any(map(list, (data, exist, children))):
            return fail(UnimplementedException("this client cannot set watches as they stood"))
        return self._client.exists("/").addCallback(lambda _: None)

    def remove_watches(self, path: str, kind: WatchKind) -> Deferred[None]:
        """See :meth:`~txmirror.interfaces.IWatchFeed.remove_watches`. It always fails."""
        return fail(UnimplementedException("this client cannot remove watches", path=path))

    def release(self, path: str) -> Deferred[None]:
        """See :meth:`~txmirror.interfaces.IWatchFeed.release`. All watches are left."""
        return succeed(None)

    def _fired(self, event: WatchedEvent, key: _Key, watch: Deferred[WatchedEvent]) -> None:
        # A node's deletion fires what watches its data and what watches its children, and is one event.
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

    # What is seen, and what happens.

    def _note_stat(self, stat: ZnodeStat | None) -> int:
        """Give the transaction as of which something is true that was just answered."""
        if stat is not None:
            self._zxid = max(self._zxid, stat.mzxid, stat.pzxid)
        return self._zxid

    def _with_zxid(self, work: Coroutine[Deferred[Any], Any, _T]) -> Deferred[_T]:
        return Deferred.fromCoroutine(work).addErrback(self._failed)

    def _failed(self, failure: Failure) -> Failure:
        error = failure.value
        if isinstance(error, ZooKeeperException) and not isinstance(error, LOST):
            error.zxid = self._zxid = max(self._zxid, error.zxid or 0)
        return failure

    def _session_changed(self, step: News) -> None:
        self._listeners.notify(step)
