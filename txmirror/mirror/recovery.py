"""Find the nodes that have changed while a cache had no connection, or in a new session.

The persistent watches of trees stand first. Then setWatches, as of the zxid of the lost connection, sets one-shot watches on
all nodes that need them, and the server fires those of the nodes that have changed. Nodes that a persistent watch covers need no
one-shot watch afterwards. If there are many of them, the same request goes to a server in a side session, and its watches end with
that session. Otherwise it goes to the client's session, and the watches are removed afterwards, a few at a time. Either way, a
recovery leaves no watches behind.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger

from txmirror.errors import ZooKeeperException
from txmirror.interfaces import ISideSessions, IWatchFeed
from txmirror.mirror.watch_removal import WatchRemoval
from txmirror.timers import Timer
from txmirror.types import EventType, News, WatchedEvent

#: The removal of one-shot watches begins after a random pause of up to so many seconds, so that the clients of an ensemble that
#: was restarted do not do it all at the same time.
_JITTER = 2.0

#: From so many covered nodes on, a side session costs the servers and the client less than removing the watches.
SIDE_SESSION_FROM = 1000

#: Nodes whose watches are to be restored: on data, on existence, and on children.
Groups = tuple[Sequence[str], Sequence[str], Sequence[str]]
_NOTHING: Groups = ((), (), ())


class RecoverySource(Protocol):
    """The nodes that are to be recovered; it is notified of the recovery.

    :ivar zxid: the zxid of the latest reply of the connection before this one.
    """

    @property
    def zxid(self) -> int: ...

    def restorable(self, *, covered: bool) -> Groups:
        """Return the nodes whose watches are to be restored.

        :param covered: those that a persistent watch covers; if False, all others.
        """

    def read_roots(self) -> None:
        """Read the roots of all trees with a persistent watch again."""

    def missed(self, event: WatchedEvent) -> None:
        """Read the nodes again that an event concerns. The client's server may not have applied the change yet."""

    def needs_watches(self, path: str) -> bool:
        """Return whether the session's watches on a path are needed."""

    def is_undecided(self, path: str) -> bool:
        """Return whether it is not known yet whether a persistent watch covers a path."""

    def restored(self, watches_lost: bool) -> None:
        """Note that all nodes that have changed are known to have changed.

        :param watches_lost: whether watches of the session may be lost.
        """

    def not_restored(self) -> None:
        """Read everything again: the server cannot restore the watches."""

    def is_over(self, error: BaseException | None = None) -> bool:
        """Return whether a reply comes too late, or does not come: the connection was lost, or is about to be closed."""


class _Run:
    """One restoration, on one connection.

    :ivar asking: waits for the answers of a side session.
    """

    def __init__(self) -> None:
        self.asking: Deferred[None] | None = None
        self._over = False

    def stop(self) -> None:
        """Stop waiting for a side session."""
        self._over = True
        if self.asking is not None:
            self.asking.cancel()

    def listener(self, missed: Callable[[WatchedEvent], None]) -> Callable[[News], None]:
        """Return a listener for the events of a side session."""

        def listener(news: News) -> None:
            if isinstance(news, WatchedEvent) and not self._over:
                missed(news)

        return listener


class Recovery:
    """Restores watches after each connection.

    :param feed: sets the watches.
    :param side_sessions: asks what has changed in a side session; None if the client cannot.
    :param source: has the nodes.
    :param removal: removes watches.
    :param reactor: runs the timer.
    :param random: returns a random number from 0 to 1.
    """

    _log = Logger()

    def __init__(
        self,
        feed: IWatchFeed,
        side_sessions: ISideSessions | None,
        source: RecoverySource,
        removal: WatchRemoval,
        reactor: IReactorTime,
        random: Callable[[], float],
    ) -> None:
        self._feed = feed
        self._side_sessions = side_sessions
        self._source = source
        self._removal = removal
        self._random = random
        self._zxid: int | None = None
        self._all = False
        self._run: _Run | None = None
        self._parents: frozenset[str] = frozenset()
        self._leftovers: dict[str, None] = {}
        self._removal_timer = Timer(reactor, self.remove_leftovers)

    def session_resumed(self, zxid: int) -> None:
        """Note that changes that persistent watches would have reported since a zxid are not known."""
        # Watches that could not be restored yet are still to be restored as of that zxid.
        if self._zxid is None:
            self._zxid = zxid

    def session_changed(self, zxid: int) -> None:
        """Note that the new session has no watches at all."""
        self.session_resumed(zxid)
        self._all = True
        self._leftovers.clear()

    def data_generation_changed(self) -> None:
        """Note that there is nothing to restore: everything is read again."""
        self._zxid = None
        self._all = False
        self._leftovers.clear()

    def disconnected(self) -> None:
        """Note that the connection was lost. What has changed since the same zxid is asked again on the next one."""
        self._removal_timer.stop()
        run, self._run = self._run, None
        if run is not None:
            run.stop()

    def restore(self) -> None:
        """Restore the watches. The reply is awaited even without any watch to set: by then the server has sent all events that
        were due.

        Nodes whose persistent watch is not decided yet get one-shot watches too, and are not restored again when it is.
        """
        run = self._run = _Run()
        restoring = Deferred.fromCoroutine(self._restore(run))
        restoring.addErrback(
            lambda failure: self._log.failure(
                "The recovery after a reconnection failed because of a bug.", failure=failure
            )
        )

    def watch_decided(self) -> None:
        """Note that a persistent watch was set, or cannot be set. Some one-shot watches may not be needed any more."""
        if self._run is None and not self._removal_timer.running:
            self._plan_removal()

    def implied(self, event: WatchedEvent) -> bool:
        """Note a watch event.

        :returns: whether the names of the node's children may have changed too: until our watches are restored, ClickHouse
            Keeper reports a changed list of children as changed data.
        """
        if event.type is EventType.DELETED:
            # It has used up both watches.
            self._leftovers.pop(event.path, None)
        return event.type is EventType.CHANGED and event.path in self._parents

    async def _restore(self, run: _Run) -> None:
        watches_lost = False
        try:
            await self._set_watches(run)
        except ZooKeeperException as error:
            if self._is_over(run, error):
                return
            watches_lost = True
            self._log.info("Could not restore the watches: {reason}. Reading everything again.", reason=str(error))
            self._source.not_restored()
        if not self._is_over(run):
            self._restored(watches_lost)

    async def _set_watches(self, run: _Run) -> None:
        covered, others = _NOTHING, _NOTHING
        zxid = self._source.zxid
        if self._zxid is not None:
            zxid = self._zxid
            covered = self._source.restorable(covered=True)
            if self._all:
                others = self._source.restorable(covered=False)
        self._parents = frozenset(covered[2]).union(others[2])
        count = len(covered[0]) + len(covered[1])
        aside = self._side_sessions is not None and count >= max(1, SIDE_SESSION_FROM)
        await self._set_on_session(zxid, *((others,) if aside else (covered, others)))
        if aside and not self._is_over(run) and not await self._ask_aside(run, zxid) and not self._is_over(run):
            await self._set_on_session(zxid, self._source.restorable(covered=True))

    async def _ask_aside(self, run: _Run, zxid: int) -> bool:
        """Ask what has changed in a side session, now that the persistent watches stand on the client's own.

        :returns: whether that was possible.
        """
        assert self._side_sessions is not None
        self._source.read_roots()
        groups = self._source.restorable(covered=True)
        run.asking = self._side_sessions.report_changes(zxid, run.listener(self._source.missed), *groups)
        try:
            await run.asking
        except (ZooKeeperException, CancelledError) as error:
            if not self._is_over(run):
                self._log.info(
                    "Could not ask for missed changes in a side session: {reason}. Asking in the client's own session.",
                    reason=str(error),
                )
            return False
        return True

    async def _set_on_session(self, zxid: int, *parts: Groups) -> None:
        data, existence, children = ([path for part in parts for path in part[kind]] for kind in range(3))
        for group in (data, existence, children):
            self._leftovers.update(dict.fromkeys(group))
        await self._feed.set_watches(zxid, data, existence, children)

    def _restored(self, watches_lost: bool) -> None:
        self._run = None
        self._zxid = None
        self._all = False
        self._parents = frozenset()
        self._plan_removal()
        self._source.restored(watches_lost)

    def _plan_removal(self) -> None:
        if self._leftovers:
            self._removal_timer.start(self._random() * _JITTER)

    def _is_over(self, run: _Run, error: BaseException | None = None) -> bool:
        return run is not self._run or self._source.is_over(error)

    def remove_leftovers(self) -> None:
        """Remove the one-shot watches that were only needed for the recovery."""
        leftovers, self._leftovers = self._leftovers, {}
        for path in leftovers:
            if self._source.is_undecided(path):
                self._leftovers[path] = None
            elif not self._source.needs_watches(path):
                self._removal.add(path)
