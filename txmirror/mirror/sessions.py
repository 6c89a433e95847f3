"""Lead a cache from one connection to the next: stop reading, restore the watches, and read the stale parts."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final, Protocol

from twisted.internet.interfaces import IReactorTime

from txmirror.errors import ZooKeeperException
from txmirror.interfaces import ISideSessions, IWatchFeed, IZooKeeperClient
from txmirror.mirror.coverage import Coverage
from txmirror.mirror.interest import FollowedBranch
from txmirror.mirror.interests import Interests
from txmirror.mirror.recovery import Recovery
from txmirror.mirror.refresher import Refresher
from txmirror.mirror.retries import Retries
from txmirror.mirror.status import Status
from txmirror.mirror.store import DATA, Store
from txmirror.mirror.watch_removal import WatchRemoval
from txmirror.types import SessionEvent, WatchedEvent


class ReconnectedCache(Protocol):
    """The cache, as far as connections concern it.

    :ivar status: the state of the connection.
    :ivar interests: the records and branches.
    :ivar store: the marks of parts that are not up to date.
    :ivar refresher: reads the stale parts.
    :ivar retries: the parts to read again later.
    :ivar removal: removes watches.
    """

    status: Status
    interests: Interests
    store: Store
    refresher: Refresher
    retries: Retries
    removal: WatchRemoval

    def note_trouble(self, path: str, error: ZooKeeperException) -> None:
        """Note that a request has failed for a reason that has nothing to do with the node."""

    def invalidate(self, part: int, path: str) -> None:
        """Read a part of a node as soon as possible."""

    def watch_fired(self, event: WatchedEvent) -> None:
        """Read the nodes again that a watch event concerns."""

    def check_settled(self) -> None:
        """Notify the trees and the waiters that are settled now."""


class Sessions:
    """Leads a cache through the sessions of a client.

    :param cache: the cache.
    :param client: sets persistent watches.
    :param feed: restores the others.
    :param reactor: runs the timers.
    :param random: returns a random number from 0 to 1.
    :ivar coverage: the persistent watches.
    :ivar recovery: restores watches.
    """

    def __init__(
        self,
        cache: ReconnectedCache,
        client: IZooKeeperClient,
        feed: IWatchFeed,
        reactor: IReactorTime,
        random: Callable[[], float],
    ) -> None:
        self._cache = cache
        self._status = cache.status
        self._interests = cache.interests
        self.coverage: Coverage = Coverage(client, reactor, self)
        self.is_lost: Final = cache.status.is_lost
        side_sessions: ISideSessions | None = ISideSessions(client, None)
        self.recovery: Recovery = Recovery(feed, side_sessions, self, cache.removal, reactor, random)
        self._recovering = False

    def connected(self, event: SessionEvent, before: SessionEvent) -> None:
        """Decide what must be read and watched again in the connected session."""
        new_session = event.session_number != before.session_number
        new_data = event.data_generation != before.data_generation
        self._interests.connected(new_session=new_session, new_data=new_data)
        if new_data:
            self.recovery.data_generation_changed()
            self._cache.store.zxid = 0
            self._interests.invalidate_all()
        elif new_session and before.session_number:
            self.recovery.session_changed(event.zxid)
            self._cache.removal.forget()
        elif self.coverage.any_standing:
            self.recovery.session_resumed(event.zxid)
        if new_session:
            self.coverage.session_changed()

    def resume(self) -> None:
        """Set the watches that are missing, and begin to read: there is a connection."""
        self.coverage.connected()
        if self._status.may_read:
            if self.coverage.decided and not self._recovering:
                self._recover()
            self._cache.removal.start()

    def disconnected(self) -> None:
        """Stop reading: there is no connection."""
        self._cache.refresher.stop()
        self._stop()
        self._recovering = False
        self._status.recovered = False
        self._interests.disconnected()

    def finish(self) -> None:
        """Send no more requests: the session is about to be closed."""
        self._cache.refresher.finish()
        self._stop()
        self._cache.removal.forget()

    def _stop(self) -> None:
        self._cache.retries.stop()
        self.coverage.disconnected()
        self.recovery.disconnected()
        self._cache.removal.stop()

    def _recover(self) -> None:
        self._recovering = True
        for branch in list(self._interests.branches):
            # One that was made meanwhile, at a root that has its watch.
            self._begin(branch)
        self.recovery.restore()
        self._cache.refresher.start()
        self._cache.retries.start()

    def _begin(self, branch: FollowedBranch) -> None:
        branch.persistent = self.coverage.stands(branch.path)
        if not branch.begun and branch.persistent is not None:
            branch.begin()

    # Persistent watches.

    def root_decided(self, path: str) -> None:
        """Note that a root has its persistent watch, or that the server does not support one."""
        if not self._status.may_read:
            return
        decided = list(self._interests.rooted_at(path))
        for branch in decided:
            self._begin(branch)
        self._go_on(decided)

    def root_left(self) -> None:
        """Note that a tree was closed. If its root has no other one, nothing waits for its watch."""
        if self._status.may_read:
            self._go_on()

    def _go_on(self, decided: Sequence[FollowedBranch] = ()) -> None:
        """Recover, if that was waiting for a persistent watch; read what was.

        :param decided: the branches that have waited for it. If nothing of them was to be read, they are settled now.
        """
        if self._recovering:
            self._cache.refresher.resume()
            self.recovery.watch_decided()
            for branch in decided:
                branch.check_settled()
            self._cache.check_settled()
        elif self.coverage.decided:
            self._recover()

    def root_delayed(self, path: str, error: ZooKeeperException) -> None:
        """Note that a server could not set the watch on a root. The other nodes do not wait for it."""
        self._cache.note_trouble(path, error)
        if not self._recovering and self._status.may_read:
            self._recover()

    def watch_lost(self, path: str) -> None:
        """Read each node with a watch of its own: this server does not support the persistent watch that a newer server had
        set in this session.
        """
        for branch in self._interests.rooted_at(path):
            branch.persistent = False
        self._cache.refresher.coverage_lost()
        self._interests.reread_uncovered(path, self.coverage.covers)

    # Recovery.

    @property
    def zxid(self) -> int:
        """The zxid of the latest reply of the connection before this one."""
        return self._status.session.zxid

    def restorable(self, *, covered: bool) -> tuple[list[str], list[str], list[str]]:
        """Return the nodes whose watches are to be restored: on data, on existence, and on children.

        :param covered: those that a persistent watch covers; if False, all others.
        """
        return self._interests.restorable(self.coverage.covers, covered=covered)

    def read_roots(self) -> None:
        """Read the roots of all trees with a persistent watch again."""
        for branch in self._interests.branches:
            if branch.persistent:
                self._cache.invalidate(DATA, branch.path)

    def missed(self, event: WatchedEvent) -> None:
        """Read the nodes again that an event concerns. The client's server may not have applied the change yet."""
        self._cache.watch_fired(event)

    def needs_watches(self, path: str) -> bool:
        """Return whether the session's watches on a path are needed: it has a persistent one, or is wanted and below none."""
        if self.coverage.is_root(path):
            return True
        return not self.coverage.covers(path) and self._interests.wants(path)

    def is_undecided(self, path: str) -> bool:
        """Return whether it is not known yet whether a persistent watch covers a path."""
        return self.coverage.covers(path) is None

    def restored(self, watches_lost: bool) -> None:
        """Note that all nodes that have changed are known to have changed.

        :param watches_lost: whether watches of the session may be lost.
        """
        self._status.enter_recovered(watches_lost)
        self._interests.check_settled()
        self._cache.check_settled()

    def not_restored(self) -> None:
        """Read everything again: the server cannot restore the watches."""
        self._interests.invalidate_all()

    def is_over(self, error: BaseException | None = None) -> bool:
        """Return whether a reply comes too late, or does not come: the connection was lost, or is about to be closed."""
        return not self._status.may_read or (error is not None and self._status.is_lost(error))
