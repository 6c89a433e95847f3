"""Marks: ephemeral nodes that show which transactions were done; and those that wait for the next transaction."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Sequence
from typing import Final

import attrs
from twisted.internet.interfaces import IReactorTime

from txmirror import paths
from txmirror.interfaces import ITransaction, IWatchFeed, IZooKeeperClient
from txmirror.timers import Timer
from txmirror.types import ACL, News, SessionEvent, SessionState

#: A mark that is not used for so long is deleted, in seconds; and at the latest after twice as long.
_IDLE: Final = 0.1
#: A mark is used so often. Its version is a Java ``int``.
_USES: Final = 1_000_000
#: In these states, our marks are gone, or will be without us.
_OVER: Final = (SessionState.EXPIRED, SessionState.AUTH_FAILED, SessionState.CLOSED)


@attrs.define(eq=False)
class Mark:
    """A node of ours. A transaction creates it, or changes its version, so that its version shows whether that was done.

    :ivar path: its path, which no other node has.
    :ivar session: the session that it belongs to; 0 if it does not exist yet.
    :ivar version: its version; -1 if it does not exist yet.
    """

    path: str
    session: int = 0
    version: int = -1

    @property
    def exists(self) -> bool:
        """True if it was there when we looked last."""
        return self.version >= 0

    def add_to(self, writes: ITransaction, acl: Sequence[ACL]) -> None:
        """Add the operation to a transaction that shows whether it was done. Of all that are sent, one at most is done."""
        if self.exists:
            writes.set(self.path, b"", self.version)
        else:
            writes.create(self.path, b"", acl, ephemeral=True)

    def was_done(self, session: int) -> None:
        """Note that the transaction was done.

        :param session: the session that has done it.
        """
        self.session = session
        self.version += 1


class SpareMarks:
    """The marks of one session that no transaction uses now. The next one uses them again, so that a program with many transactions
    neither creates nor deletes a mark for each. Those that nobody needs are deleted soon.

    :param client: its session owns the marks.
    :param parent: the parent of the marks.
    :param reactor: runs the timer.
    :param remove: deletes a mark.
    :ivar enabled: whether marks are kept; otherwise each is deleted when it is put here.
    """

    def __init__(
        self, client: IZooKeeperClient, parent: str, reactor: IReactorTime, remove: Callable[[Mark], object]
    ) -> None:
        self._client = client
        self._parent = parent
        self._remove = remove
        self._marks: list[Mark] = []
        #: The least number of spare marks since the timer was started.
        self._unused = 0
        self._timer = Timer(reactor, self._time_out)
        #: A client without a feed does not say when it is closed, and the timer must not outlive it.
        self._feed: IWatchFeed | None = IWatchFeed(client, None)
        self.enabled: bool = self._feed is not None

    def take(self) -> Mark:
        """Return a mark of the present session that is spare, or else a new one."""
        if not self._marks:
            return Mark(paths.join(self._parent, uuid.uuid4().hex))
        mark = self._marks.pop()
        self._unused = min(self._unused, len(self._marks))
        if mark.session == self._client.session_id:
            return mark
        self._clear()
        return self.take()

    def put(self, mark: Mark) -> None:
        """Keep a mark that exists for the next transaction, or delete it."""
        if mark.session != self._client.session_id:
            return
        if not self.enabled or mark.version >= _USES:
            self._remove(mark)
            return
        self._marks.append(mark)
        if not self._timer.running:
            self._start()

    def _start(self) -> None:
        if self._feed is not None:
            self._feed.add_listener(self._notice)
        self._unused = len(self._marks)
        self._timer.start(_IDLE)

    def _time_out(self) -> None:
        unused, self._marks = self._marks[: self._unused], self._marks[self._unused :]
        self._unused = len(self._marks)
        if self._marks:
            self._timer.start(_IDLE)
        else:
            self._ignore()
        for mark in unused:
            self._remove(mark)

    def _notice(self, news: News) -> None:
        if isinstance(news, SessionEvent) and news.state in _OVER:
            self._clear()

    def _clear(self) -> None:
        self._marks.clear()
        self._timer.stop()
        self._ignore()

    def _ignore(self) -> None:
        if self._feed is not None:
            self._feed.remove_listener(self._notice)
