"""Hand the replies to reads to the records and branches of their nodes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, Protocol

from twisted.internet.interfaces import IReactorTime

from txmirror.errors import ZooKeeperException
from txmirror.mirror.changes import Value
from txmirror.mirror.interest import FollowedBranch
from txmirror.mirror.record import Record
from txmirror.mirror.refresher import Refresher
from txmirror.mirror.refusal_log import RefusalLog
from txmirror.mirror.retries import Retries
from txmirror.mirror.store import DATA, NAMES, PartState, Store
from txmirror.types import ZnodeStat

#: The states of a part whose next value is on its way.
_TO_COME = (PartState.STALE, PartState.READING, PartState.OUTDATED)


class AnsweredCache(Protocol):
    """The cache, as far as the replies concern it.

    :ivar store: the marks of parts that are not up to date.
    :ivar records: the records of single nodes, by path.
    :ivar refresher: reads the stale parts.
    :ivar retries: the parts to read again later.
    """

    store: Store
    records: dict[str, Record]
    refresher: Refresher
    retries: Retries

    def covers(self, path: str) -> bool | None:
        """Return whether a persistent watch reports a node's changes; None if that is not known yet."""

    def wants(self, path: str) -> bool:
        """Return whether anybody is interested in a node."""

    def branches(self, part: int, path: str) -> Sequence[FollowedBranch]:
        """Return the branches that a node belongs to."""

    def wants_existence(self, path: str) -> bool:
        """Return whether a watch is to report the creation of a missing node that no persistent watch covers."""

    def found(self, path: str) -> None:
        """Note that a node exists, or may exist again. The names of its children may have waited for that."""

    def invalidate(self, part: int, path: str) -> None:
        """Read a part of a node as soon as possible."""

    def note_trouble(self, path: str, error: ZooKeeperException) -> None:
        """Note that a read has failed for a reason that has nothing to do with the node."""

    def check_settled(self) -> None:
        """Notify the trees and the waiters that are settled now."""

    def invalidate_all(self) -> None:
        """Read everything again."""


class Answers:
    """Hands each reply to the record and the branches of its node, and moves the node's marks.

    :param cache: the cache.
    :param reactor: measures the time.
    """

    def __init__(self, cache: AnsweredCache, reactor: IReactorTime) -> None:
        self._cache = cache
        self._store = cache.store
        self._refusals = RefusalLog(reactor)
        self._retries = cache.retries
        self._records = cache.records
        self._branches = cache.branches
        self.covers: Final = cache.covers
        self.wants: Final = cache.wants
        self.watches_refused: Final = cache.invalidate_all
        self.read_finished: Final = cache.check_settled

    def data_read(self, path: str, value: Value, zxid: int) -> None:
        """Show a node's data and stat."""
        # All replies in a batch are of one transaction.
        if zxid != self._store.zxid and self._is_late(DATA, path, zxid):
            return
        if path in self._store.maybe_absent:
            self._cache.found(path)
        record = self._records.get(path)
        if record is not None:
            record.data_read(value, zxid)
        for branch in self._branches(DATA, path):
            branch.data_read(path, value)
        self._settle(DATA, path)

    def names_read(self, path: str, names: Sequence[str], stat: ZnodeStat | None, zxid: int) -> None:
        """Show the names of a node's children."""
        if self._is_late(NAMES, path, zxid):
            return
        for branch in self._cache.branches(NAMES, path):
            branch.names_read(path, names)
        record = self._cache.records.get(path)
        if record is not None:
            if stat is None and self._store.state(DATA, path) in _TO_COME:
                # Only the data's stat says to which creation of the node they belong.
                if self._store.interrupt(NAMES, path):
                    self._cache.refresher.add(NAMES, path)
                return
            record.names_read(names, stat, zxid)
        self._settle(NAMES, path)

    def existence_read(self, path: str, stat: ZnodeStat | None, zxid: int) -> None:
        """Show that a node does not exist; read it if it does."""
        if stat is not None:
            self._store.maybe_absent.discard(path)
            if self._store.interrupt(DATA, path):
                self._cache.refresher.add(DATA, path)
            record = self._cache.records.get(path)
            if record is not None:
                record.invalidate_names()
            self._cache.found(path)
        elif not self._is_late(DATA, path, zxid):
            self._absent(path, zxid)
            self._settle(DATA, path)

    def missing(self, part: int, path: str, zxid: int) -> None:
        """Show that a node does not exist, or find out: a read of a missing node leaves no watch for its creation."""
        covered = self._cache.covers(path)
        if covered or not self._cache.wants_existence(path):
            if self._is_late(part, path, zxid):
                return
            self._absent(path, zxid)
            if part == DATA and not covered:
                # The watch on its parent's children reports its creation. The event that has marked it as outdated is older than the reply:
                # a server that is to set a watch on a missing node sends an event, and the next batch would cause another one.
                self._store.discard(DATA, path)
            self._settle(part, path)
        elif part == DATA:
            self._store.maybe_absent.add(path)
            if self._store.interrupt(DATA, path):
                self._cache.refresher.add(DATA, path)
        elif self._store.state(DATA, path) is not PartState.CURRENT:
            self._store.maybe_absent.add(path)
            self._store.interrupt(NAMES, path)
        elif path in self._store.maybe_absent:
            self._settle(NAMES, path)
        else:
            self._store.maybe_absent.add(path)
            self._store.interrupt(NAMES, path)
            self._cache.invalidate(DATA, path)

    def refused(self, part: int, path: str, error: ZooKeeperException) -> None:
        """Show that a part of a node cannot be read, and retry later."""
        self._store.refuse(part, path)
        branches = self._cache.branches(part, path)
        record = self._cache.records.get(path)
        hidden = [branch.refused(part, path, error) for branch in branches]
        if any(hidden) or record is not None:
            self._refusals.refused(path, error)
        self._retries.later(path)
        self._fail(record, part, error)
        if part == DATA and path in self._store.maybe_absent and self._store.state(NAMES, path) is PartState.STALE:
            # The children are not read before the node is known to exist.
            self._store.refuse(NAMES, path)
            self._fail(record, NAMES, error)

    def _fail(self, record: Record | None, part: int, error: ZooKeeperException) -> None:
        cached = None if record is None else record.part(part)
        if cached is not None:
            cached.fail(error)

    def failed(self, part: int, path: str, error: ZooKeeperException) -> None:
        """Retry later: the server was in trouble. Waiters go on waiting."""
        self._cache.note_trouble(path, error)
        self._store.postpone(part, path)
        self._retries.later(path)

    def _absent(self, path: str, zxid: int) -> None:
        record = self._cache.records.get(path)
        if record is not None:
            self._store.maybe_absent.add(path)
            record.absent(zxid)
        for branch in self._cache.branches(DATA, path):
            branch.absent(path)
        if self._store.state(NAMES, path) not in (PartState.READING, PartState.OUTDATED):
            self._settle(NAMES, path)

    def _settle(self, part: int, path: str) -> None:
        if self._store.settle(part, path):
            if self._retries.failing and not self._store.marked(path):
                self._retries.succeeded(path)
            record = self._records.get(path)
            cached = None if record is None else record.part(part)
            if cached is not None:
                cached.settled()
        else:
            self._cache.refresher.add(part, path)

    def _is_late(self, part: int, path: str, zxid: int) -> bool:
        """Return whether a server lagged behind the data that is shown. If so, the node is read again later."""
        if self._store.is_late(zxid):
            self._store.postpone(part, path)
            self._retries.later(path)
            return True
        return False
