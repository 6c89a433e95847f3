"""One cached part of a node: its data, or the names of its children.

A cached value knows nothing of ZooKeeper. It guarantees to readers and watchers that nothing goes backwards, that each
watcher is called once for each change, and that no watcher is called with change N+1 before all were called with change
N.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import Any, Generic, TypeVar

from twisted.internet.defer import Deferred
from twisted.logger import Logger

from txmirror.deferreds import Waiters
from txmirror.errors import ZooKeeperException
from txmirror.observers import Observers

_T = TypeVar("_T")


class CachedValue(Generic[_T]):
    """The cached data or children of a node, with the readers and watchers that wait for it.

    :param path: the node's path, for the log.
    :param render: converts the value for watchers; None stands for an absent node.
    :param unsettled: a set that this object adds itself to for as long as it has to be read.
    :param on_change: called when the value has changed, before any watcher.

    :ivar known: whether there is a value.
    :ivar value: the value; None if the node is absent.
    :ivar zxid: the transaction as of which the value is true.
    :ivar stale: whether it has to be read again.
    :ivar reading: whether a read is pending.
    :ivar watched: whether the session has a watch for it; without meaning while it is stale or being read.
    :ivar postponed: whether the next read has to wait, because a server lagged behind the value.
    :ivar problem: the error that prevents reading; None if there is none, as far as is known.
    """

    _log = Logger()

    # There are two for each node, and the garbage collector visits every object. So nothing is created before it is needed.
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
        self._read_waiters: Waiters[None] | None = None
        self._settle_waiters: Waiters[None] | None = None
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

    # Changes and reads.

    def invalidate(self) -> None:
        """Mark it stale: it has changed, or may have."""
        self.stale = True
        self.postponed = False
        self.problem = None
        self._unsettled.add(self)

    def begin_read(self) -> None:
        """Note that a read is pending. An event that comes from now on is another change."""
        self.reading = True
        self.stale = False
        self.problem = None
        self._unsettled.add(self)

    def interrupt(self) -> None:
        """Note that the pending read was lost."""
        self.reading = False
        self.invalidate()

    def postpone(self) -> None:
        """Note that the read was in vain, because the server lagged behind the value."""
        self.interrupt()
        self.postponed = True

    def show(self, identity: object, value: _T | None, zxid: int) -> None:
        """Store a value that was read or written, unless a later one is known.

        :param identity: equal for values that watchers see as the same; not None unless the node is absent.
        :param value: the new value; None if the node is absent.
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
        """Note that a read has succeeded and left a watch. If nothing has happened since, all waiters fire."""
        self.reading = False
        self.watched = True
        if not self.stale:
            self._unsettled.discard(self)
            self.answer_readers()
            _fire(self._settle_waiters)

    def fail(self, problem: ZooKeeperException) -> None:
        """Note that it cannot be read. It stays stale, so that it is retried, but all waiters fire."""
        self.reading = False
        self.stale = True
        self.problem = problem
        self._unsettled.discard(self)
        self.answer_readers()
        _fire(self._settle_waiters)

    def forget(self) -> None:
        """Discard the value, which is of another data generation."""
        self.known = False
        self.value = None
        self.zxid = 0
        self._identity = None
        self._on_change()
        self.invalidate()

    def discard(self) -> None:
        """Remove it from the set of those that have to be read."""
        self._unsettled.discard(self)

    def answer_readers(self) -> None:
        """Fire all waiting readers, if there is a value or a problem."""
        if self.known or self.problem is not None:
            _fire(self._read_waiters)

    def close(self, problem: ZooKeeperException) -> None:
        """Fire all waiters: no more changes will come."""
        self.problem = problem
        _fire(self._read_waiters)
        _fire(self._settle_waiters)

    # Readers and watchers.

    @property
    def current(self) -> bool:
        """True if the value can be used without another read."""
        return self.known and not self.stale and not self.reading

    @property
    def needs_read(self) -> bool:
        """True if a read is to begin: it is stale, no read is pending, and none is postponed."""
        return self.stale and not self.reading and not self.postponed and self.problem is None

    @property
    def settled(self) -> bool:
        """True if it shows everything that has happened so far, or cannot."""
        return self.problem is not None or not (self.stale or self.reading)

    def readable(self, connected: bool) -> bool:
        """Return whether a reader can be answered now."""
        return self.current or self.problem is not None or (self.known and not connected)

    def when_readable(self) -> Deferred[None]:
        """Wait until it is readable: current, or with a problem, or known while disconnected."""
        if self._read_waiters is None:
            self._read_waiters = Waiters()
        return self._read_waiters.wait()

    def when_settled(self) -> Deferred[None]:
        """Wait until it shows everything that has happened so far, or cannot."""
        if self._settle_waiters is None:
            self._settle_waiters = Waiters()
        return self._settle_waiters.wait()

    @property
    def awaited(self) -> bool:
        """True if there are waiters."""
        return bool(self._read_waiters or self._settle_waiters)

    @property
    def watchers(self) -> bool:
        """True if there are watchers."""
        return bool(self._watchers)

    def watch(self, key: Hashable, function: Callable[..., object]) -> None:
        """Call ``function`` with each change, in place of the former one with this key, if there was one."""
        if self._watchers is None:
            self._watchers = Observers(self._log_failure)
        self._watchers.add(key, lambda value: function(self._render(value)))

    def unwatch(self, key: Hashable) -> None:
        """Remove the watcher with this key; silent if there is none."""
        if self._watchers is not None:
            self._watchers.remove(key)

    def _log_failure(self, key: Hashable, _: object) -> None:
        self._log.failure("The watcher {key} of {path} failed.", key=key, path=self._path)


def _fire(waiters: Waiters[None] | None) -> None:
    if waiters:
        waiters.fire(None)
