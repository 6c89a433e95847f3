"""One cache of znodes: the nodes that programs want, the parts of them that are stale, and the views that show them.

It holds *interest*: a record for each single node, and a branch for each subtree. Whatever makes a part of a node stale (a watch
event, a recovery, a retry) marks it in the store; the refresher reads it; the reply goes to each record and branch of that node.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final, cast

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger

from txmirror import paths
from txmirror.errors import NoChrootException, NoNodeException, ZooKeeperException
from txmirror.interfaces import IBatchedReads, IServerAbilities, IWatchFeed, IZooKeeperClient
from txmirror.mirror.answers import Answers
from txmirror.mirror.deadlines import Deadlines
from txmirror.mirror.interest import FollowedBranch
from txmirror.mirror.interests import Interests
from txmirror.mirror.record import Record
from txmirror.mirror.refresher import Refresher
from txmirror.mirror.retries import Retries
from txmirror.mirror.sessions import Sessions
from txmirror.mirror.state import MirrorState
from txmirror.mirror.status import Status
from txmirror.mirror.store import DATA, NAMES, PARTS, PartState, Store
from txmirror.mirror.watch_removal import WatchRemoval
from txmirror.printable import on_one_line
from txmirror.types import EventType, WatchedEvent


class Cache:
    """Keeps the wanted nodes equal to the server's state.

    It has more than 12 attributes because it is where the parts of the mirror meet, and they call each other through it.

    :param client: sends all requests that are no reads with watches.
    :param feed: the client's feed.
    :param status: the state of the connection.
    :param reactor: runs the timers.
    :param random: returns a random number from 0 to 1.
    :ivar records: the records of single nodes, by path.
    :ivar store: the marks of parts that are not up to date.
    """

    _log = Logger()

    def __init__(
        self,
        client: IZooKeeperClient,
        feed: IWatchFeed,
        status: Status,
        reactor: IReactorTime,
        random: Callable[[], float],
    ) -> None:
        self.status = status
        self.deadlines: Deadlines = Deadlines(reactor)
        self.interests: Interests = Interests()
        self.records: dict[str, Record] = self.interests.records
        self.wants: Final = self.interests.wants
        self.invalidate_all: Final = self.interests.invalidate_all
        self.store: Store = Store(self.interests.trees)
        self.branches: Final = cast("Callable[[int, str], Sequence[FollowedBranch]]", self.store.covering)
        self.retries: Retries = Retries(reactor, self._retry)
        self.removal: WatchRemoval = WatchRemoval(feed.release, self._can_remove_watches)
        self.sessions: Sessions = Sessions(self, client, feed, reactor, random)
        self.covers: Final = self.sessions.coverage.covers
        # The answers use the other parts.
        self._client = client
        self._abilities: IServerAbilities | None = IServerAbilities(client, None)
        self.refresher: Refresher = Refresher(
            feed, IBatchedReads(client, None), reactor, self.store, Answers(self, reactor), self._may_batch
        )
        self._troubles: set[type[BaseException]] = set()

    @property
    def servers(self) -> str:
        """The servers and the chroot of the client, for messages."""
        return self._client.connect_string

    # Interest.

    def record(self, path: str) -> Record:
        """Return the record of a node. It is new if nobody has asked for the node."""
        record = self.records.get(path)
        if record is None:
            record = self.records[path] = Record(self, path)
        return record

    def evict(self, path: str) -> None:
        """Remove a record, and its watches at the server, if the node is no longer needed."""
        record = self.records.get(path)
        if record is not None and not record.needed:
            del self.records[path]
            watched = self._may_be_watched(record)
            record.close()
            self._release(path, watched=watched)
            self.check_settled()

    def _may_be_watched(self, record: Record) -> bool:
        # What was never read has no watch.
        return record.value.known or self.store.state(DATA, record.path) is not PartState.STALE

    def follow(self, branch: FollowedBranch) -> None:
        """Follow a subtree."""
        self.interests.add(branch)
        self.sessions.coverage.follow(branch.path)

    def leave(self, branch: FollowedBranch) -> None:
        """Follow a subtree no longer, and remove the watches that only it needed."""
        if branch not in self.interests.branches:
            return
        self.interests.remove(branch)
        covered = self.covers(branch.path)
        if self.sessions.coverage.leave(branch.path):
            if covered:
                self.refresher.coverage_lost()
                self.interests.reread_uncovered(branch.path, self.covers)
            self.removal.add(branch.path)
        if branch.unsettled or branch.unreadable:
            for path in self.store.marked_paths():
                if branch.covers(path):
                    self._release(path, watched=False)
        if not covered:
            for path in branch.restorable()[0]:
                self._release(path)
        self.sessions.root_left()

    def _release(self, path: str, *, watched: bool = True) -> None:
        """Forget the marks of a node that nobody wants any more, and remove its watches."""
        if self.wants(path):
            return
        for part in PARTS:
            self.store.discard(part, path)
        self.store.maybe_absent.discard(path)
        self.retries.succeeded(path)
        if watched:
            self.removal.add(path)

    def wants_existence(self, path: str) -> bool:
        """Return whether a watch is to report the creation of a missing node that no persistent watch covers."""
        return path in self.records or self.sessions.coverage.is_root(path)

    # Reading.

    def invalidate(self, part: int, path: str) -> None:
        """Read a part of a node as soon as possible."""
        if self.store.invalidate(part, path):
            self.refresher.add(part, path)

    def found(self, path: str) -> None:
        """Note that a node exists, or may exist again. The names of its children may have waited for that."""
        self.store.maybe_absent.discard(path)
        if self.store.state(NAMES, path) is PartState.STALE:
            self.refresher.add(NAMES, path)

    def read_children(self, parent: str, children: Sequence[str]) -> None:
        """Read the data of several children of one node as soon as possible."""
        if children:
            self.refresher.add_children(parent, DATA, self.store.invalidate_siblings(DATA, children))

    def retry_all(self) -> None:
        """Read the parts at once that could not be read the last time."""
        self.retries.retry_now()

    def _retry(self, path: str) -> None:
        self._release(path, watched=False)
        if self.store.state(NAMES, path) is PartState.REFUSED:
            # Its stat may have changed with the list, without an event.
            self.invalidate(DATA, path)
        for part in PARTS:
            if self.store.state(part, path) in (PartState.POSTPONED, PartState.REFUSED):
                self.invalidate(part, path)

    def sync(self, path: str) -> Deferred[str]:
        """Wait until the server has caught up with its leader."""
        return self._client.sync(path)

    def absence(self, path: str, zxid: int) -> NoNodeException:
        """Return the error for a node that does not exist. The root always does, but for a chroot that is missing.

        :param zxid: the transaction as of which it does not exist.
        """
        if path == "/" and "/" in self._client.connect_string:
            return NoChrootException(self._client.connect_string, zxid=zxid)
        return NoNodeException(path=path, zxid=zxid)

    def note_trouble(self, path: str, error: ZooKeeperException) -> None:
        """Note that a read has failed for a reason that has nothing to do with the node. Nothing is settled before it has
        succeeded.

        The reason is logged once, until everything is settled.
        """
        if self.status.state is MirrorState.SETTLED:
            self.status.enter(MirrorState.CONNECTED)
        if type(error) not in self._troubles:
            self._troubles.add(type(error))
            self._log.warn(
                "Could not read {path}: {reason}. Retrying this and similar reads, with growing pauses.",
                path=on_one_line(path),
                reason=str(error),
            )

    def check_settled(self) -> None:
        """Notify the trees and the waiters that are settled now."""
        if not self.status.recovered:
            return
        for branch in self.store.take_finished():
            if branch in self.interests.branches:
                branch.check_settled()
        if self.status.state is MirrorState.CONNECTED and not self.store.unsettled and self.sessions.coverage.decided:
            self._troubles.clear()
            self.status.enter(MirrorState.SETTLED)

    # Events.

    def watch_fired(self, event: WatchedEvent) -> None:
        """Read the nodes again that a watch event concerns."""
        path, kind = event.path, event.type
        if kind is EventType.PERSISTENT_WATCH_REMOVED:
            self.sessions.coverage.removed(path)
            return
        if kind in (EventType.DATA_WATCH_REMOVED, EventType.CHILD_WATCH_REMOVED):
            return
        children_too = self.sessions.recovery.implied(event)
        record = self.records.get(path)
        if record is not None:
            if kind is EventType.DELETED and not self.covers(path):
                self.store.maybe_absent.add(path)
            elif kind is not EventType.CHILD:
                self.found(path)
            record.watch_fired(kind)
            if children_too:
                record.invalidate_names()
        if kind in (EventType.CREATED, EventType.DELETED):
            # A recursive watch has no events for the names of a node's children.
            parent = self.records.get(paths.parent_of(path) or "")
            if parent is not None and parent.names is not None and self.covers(parent.path):
                parent.invalidate_names()
        for branch in self.branches(DATA, path):
            branch.watch_fired(event)
            if children_too:
                branch.watch_fired(WatchedEvent(EventType.CHILD, path))

    def disconnected(self) -> None:
        """Stop reading: there is no connection."""
        self._troubles.clear()
        self.sessions.disconnected()

    def close(self, *, session_stays: bool) -> None:
        """Fail all waiters. The last known state stays readable.

        :param session_stays: remove all watches from the session.
        """
        self.refresher.end()
        branches = list(self.interests.branches)
        self.interests.end()
        self.interests.branches.clear()
        if session_stays:
            self.removal.start()
            for path, record in self.records.items():
                if self._may_be_watched(record):
                    self.removal.add(path)
            for branch in branches:
                self.removal.add(branch.path)
                if not branch.persistent:
                    for path in branch.restorable()[0]:
                        self.removal.add(path)
            self.sessions.recovery.remove_leftovers()

    def _can_remove_watches(self) -> bool | None:
        return None if self._abilities is None else self._abilities.server_can("remove_watches")

    def _may_batch(self) -> bool:
        abilities = self._abilities
        # Persistent watches came with the same version as reads of many nodes. An old ClickHouse Keeper would end the session.
        return (
            abilities is not None
            and abilities.server_can("read_many") is not False
            and abilities.server_can("add_watch") is not False
            and not abilities.may_cost_session("read_many")
        )
