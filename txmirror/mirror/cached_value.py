"""One part of a node that is kept up to date, its value or its children: what is known of it, and who wants to know.

A cell knows nothing of ZooKeeper. It keeps the promises to those who read it and watch it: nothing goes backwards, each
change is told once to everybody, and nobody sees a second change before all have seen the first.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import Any, Generic, TypeVar

from twisted.internet.defer import Deferred
from twisted.logger import Logger

from txmirror.errors import ZooKeeperException
from txmirror.observers import Observers

_T = TypeVar("_T")


class CachedValue(Generic[_T]):
    """What is known of one part of a node.

    :param path: the node's path, for the log.
    :param render: makes what watchers and readers get of what is known; None stands for an absent node.
    :param unsettled: where the cell enters itself for as long as it has to be read.
    :param shown: called when something else is known, before anybody is told.

    :ivar known: whether anything is.
    :ivar value: what is known; None if the node is absent.
    :ivar zxid: the transaction as of which it is known.
    :ivar dirty: whether it has to be read again.
    :ivar reading: whether a read is on its way.
    :ivar armed: whether the session has a watch for it; without meaning while it is dirty or being read.
    :ivar postponed: whether that has to wait, because a server lagged behind what is shown.
    :ivar problem: why it cannot be read; None if it can, for all that is known.
    """

    _log = Logger()

    # There are two for each node, so that nothing is made before it is needed: the garbage collector walks over all of it.
    __slots__ = (
        "_identity",
        "_on_change",
        "_path",
        "_read_waiters",
        "_render",
        "_settle_waiters",
        "_unsettled",
        "_watchers",
        "known",
        "postponed",
        "problem",
        "reading",
        "stale",
        "value",
        "watched",
        "zxid",
    )

    def __init__(
        self,
        path: str,
        render: Callable[[_T | None], object],
        unsettled: set[CachedValue[Any]],
        on_change: Callable[[], object] = lambda: None,
    ) -> None:
        self._path = path
        self._render = render
        self._on_change = on_change
        self._unsettled = unsettled
        self._watchers: Observers[_T | None] | None = None
        self._read_waiters: dict[Deferred[None], None] | None = None
        self._settle_waiters: dict[Deferred[None], None] | None = None
        self._identity: object = None
        self.known = False
        self.value: _T | None = None
        self.zxid = 0
        self.stale = True
        self.reading = False
        self.watched = False
        self.postponed = False
        self.problem: ZooKeeperException | None = None
        unsettled.add(self)

    # What happens to it.

    def invalidate(self) -> None:
        """Note that it has changed, or may have."""
        self.stale = True
        self.postponed = False
        self.problem = None
        self._unsettled.add(self)

    def begin_read(self) -> None:
        """Note that a read is on its way: what happens from now on is another change."""
        self.reading = True
        self.stale = False
        self.problem = None
        self._unsettled.add(self)

    def interrupt(self) -> None:
        """Note that a read was lost."""
        self.reading = False
        self.invalidate()

    def postpone(self) -> None:
        """Note that a read was in vain: the server lagged behind what is shown."""
        self.interrupt()
        self.postponed = True

    def show(self, identity: object, value: _T | None, zxid: int) -> None:
        """Take what was read or written, unless something later is known.

        :param identity: equal for what is no change for a watcher; not None unless the node is absent.
        :param value: what is known now; None if the node is absent.
        :param zxid: the transaction as of which it is true.
        """
        if zxid < self.zxid:
            return
        self.zxid = zxid
        changed = not self.known or identity != self._identity
        self.known = True
        self.problem = None
        self._identity = identity
        self.value = value
        self._on_change()
        if changed and self._watchers is not None:
            self._watchers.notify(value)

    def settle(self) -> None:
        """Note that a read has succeeded and left a watch. If nothing happened since, whoever waits has waited enough."""
        self.reading = False
        self.watched = True
        if not self.stale:
            self._unsettled.discard(self)
            self.answer_readers()
            _fire(self._settle_waiters)

    def fail(self, problem: ZooKeeperException) -> None:
        """Note that it cannot be read. It stays dirty, so that it is tried again, but nobody waits for that."""
        self.reading = False
        self.stale = True
        self.problem = problem
        self._unsettled.discard(self)
        self.answer_readers()
        _fire(self._settle_waiters)

    def forget(self) -> None:
        """Know nothing any more: what was known is of another data generation."""
        self.known = False
        self.value = None
        self.zxid = 0
        self._identity = None
        self._on_change()
        self.invalidate()

    def discard(self) -> None:
        """Be no longer among what has to be read."""
        self._unsettled.discard(self)

    def answer_readers(self) -> None:
        """Let everybody who waits to read have what is known, or the problem, if there is either."""
        if self.known or self.problem is not None:
            _fire(self._read_waiters)

    def close(self, problem: ZooKeeperException) -> None:
        """Let everybody go: there will be no more news."""
        self.problem = problem
        _fire(self._read_waiters)
        _fire(self._settle_waiters)

    # Who wants to know.

    @property
    def current(self) -> bool:
        """Whether nothing is known that would have to be read first."""
        return self.known and not self.stale and not self.reading

    @property
    def needs_read(self) -> bool:
        """Whether a read is to be begun: it is dirty, nothing is on its way, and it is not put off."""
        return self.stale and not self.reading and not self.postponed and self.problem is None

    @property
    def settled(self) -> bool:
        """Whether everything that has happened so far is shown, or cannot be."""
        return self.problem is not None or not (self.stale or self.reading)

    def readable(self, connected: bool) -> bool:
        """Tell whether there is an answer for a reader now."""
        return self.current or self.problem is not None or (self.known and not connected)

    def when_readable(self) -> Deferred[None]:
        """Wait until it can be read: known and current, or a problem, or known and disconnected."""
        if self._read_waiters is None:
            self._read_waiters = {}
        return _waiter(self._read_waiters)

    def when_settled(self) -> Deferred[None]:
        """Wait until everything that has happened so far is shown, or cannot be."""
        if self._settle_waiters is None:
            self._settle_waiters = {}
        return _waiter(self._settle_waiters)

    @property
    def awaited(self) -> bool:
        """Whether anybody waits for it."""
        return bool(self._read_waiters or self._settle_waiters)

    @property
    def watchers(self) -> bool:
        """Whether anybody watches it."""
        return bool(self._watchers)

    def watch(self, key: Hashable, function: Callable[..., object]) -> None:
        """Call ``function`` with each change; in place of the former one with this key, if there was one."""
        if self._watchers is None:
            self._watchers = Observers(self._log_failure)
        self._watchers.add(key, lambda value: function(self._render(value)))

    def unwatch(self, key: Hashable) -> None:
        """Call nothing with this key any more."""
        if self._watchers is not None:
            self._watchers.remove(key)

    def _log_failure(self, key: Hashable, _: object) -> None:
        self._log.failure("The watcher {key} of {path} failed.", key=key, path=self._path)


def _waiter(waiters: dict[Deferred[None], None]) -> Deferred[None]:
    waiter: Deferred[None] = Deferred(lambda cancelled: waiters.pop(cancelled, None))
    waiters[waiter] = None
    return waiter


def _fire(waiters: dict[Deferred[None], None] | None) -> None:
    if waiters:
        fired = list(waiters)
        waiters.clear()
        for waiter in fired:
            # Whoever was told before may have let this one go.
            if not waiter.called:
                waiter.callback(None)
