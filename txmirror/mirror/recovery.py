"""How a cache finds out what has changed while it had no connection, or in a new session.

The persistent watches of trees stand first. Then setWatches, as of the zxid of the lost connection, sets one-shot watches on
all nodes that need them, and the server fires those of the nodes that have changed. Where a persistent watch covers a node, its
one-shot watch is removed afterwards, a few at a time: a recovery leaves no watches behind.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure

from txmirror.interfaces import IWatchFeed
from txmirror.mirror.watch_removal import WatchRemoval
from txmirror.timers import Timer
from txmirror.types import EventType, WatchedEvent

#: The removal of one-shot watches begins after a random pause of up to so many seconds, so that the clients of an ensemble that
#: was restarted do not do it all at the same time.
_JITTER = 2.0


class RecoverySource(Protocol):
    """The nodes that are to be recovered; it is notified of the recovery.

    :ivar zxid: the zxid of the latest reply of the connection before this one.
    :ivar all_watches_decided: whether no persistent watch is still to be set.
    """

    @property
    def zxid(self) -> int: ...

    @property
    def all_watches_decided(self) -> bool: ...

    def restorable(self, *, covered_only: bool) -> tuple[list[str], list[str], list[str]]:
        """Return the nodes whose watches are to be restored: on data, on existence, and on children.

        :param covered_only: only those that a persistent watch covers: the client itself restores the others.
        """

    def needs_watches(self, path: str) -> bool:
        """Return whether the session's watches on a path are needed."""

    def restored(self) -> None:
        """Note that all nodes that have changed are known to have changed."""

    def not_restored(self) -> None:
        """Read everything again: the server cannot restore the watches."""

    def is_over(self, error: BaseException | None = None) -> bool:
        """Return whether a reply comes too late, or does not come: the connection was lost, or is about to be closed."""


class Recovery:
    """Restores watches after each connection.

    :param feed: sets the watches.
    :param source: has the nodes.
    :param removal: removes watches.
    :param reactor: runs the timer.
    :param random: returns a random number from 0 to 1.
    """

    _log = Logger()

    def __init__(
        self,
        feed: IWatchFeed,
        source: RecoverySource,
        removal: WatchRemoval,
        reactor: IReactorTime,
        random: Callable[[], float],
    ) -> None:
        self._feed = feed
        self._source = source
        self._removal = removal
        self._random = random
        self._zxid: int | None = None
        self._all = False
        self._parents: frozenset[str] = frozenset()
        self._leftovers: dict[str, None] = {}
        self._removal_timer = Timer(reactor, self.remove_leftovers)

    @property
    def pending(self) -> bool:
        """True if watches are still to be restored."""
        return self._zxid is not None

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
        """Note that the connection was lost."""
        self._removal_timer.stop()

    def restore(self) -> None:
        """Restore the watches. The reply is awaited even without any watch to set: by then the server has sent all events that
        were due.
        """
        groups: tuple[list[str], list[str], list[str]] = ([], [], [])
        zxid = self._source.zxid
        if self._zxid is not None:
            zxid = self._zxid
            groups = self._source.restorable(covered_only=not self._all)
        self._parents = frozenset(groups[2])
        for group in groups:
            self._leftovers.update(dict.fromkeys(group))
        restored = self._feed.set_watches(zxid, *groups)
        restored.addCallbacks(lambda _: self._restored(), self._not_restored)
        restored.addErrback(lambda failure: self._log.failure("Recovery failed.", failure=failure))

    def implied(self, event: WatchedEvent) -> bool:
        """Note a watch event.

        :returns: whether the names of the node's children may have changed too: until our watches are restored, ClickHouse
            Keeper reports a changed list of children as changed data.
        """
        if event.type is EventType.DELETED:
            # It has used up both watches.
            self._leftovers.pop(event.path, None)
        return event.type is EventType.CHANGED and event.path in self._parents

    def _restored(self) -> None:
        if self._source.is_over():
            return
        self._parents = frozenset()
        if self._source.all_watches_decided:
            self._zxid = None
            self._all = False
        if self._leftovers:
            self._removal_timer.start(self._random() * _JITTER)
        self._source.restored()

    def _not_restored(self, failure: Failure) -> None:
        if self._source.is_over(failure.value):
            return
        self._log.info(
            "Watches cannot be restored ({reason}): reading everything again.", reason=failure.getErrorMessage()
        )
        self._source.not_restored()
        self._restored()

    def remove_leftovers(self) -> None:
        """Remove the one-shot watches that were only needed for the recovery."""
        leftovers: Sequence[str]
        leftovers, self._leftovers = list(self._leftovers), {}
        for path in leftovers:
            if not self._source.needs_watches(path):
                self._removal.add(path)
