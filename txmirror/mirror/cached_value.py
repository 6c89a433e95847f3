"""One cached part of a node: its data, or the names of its children.

A cached value knows nothing of ZooKeeper. It guarantees to readers and watchers that nothing goes backwards, that each
watcher is called once for each change, and that no watcher is called with change N+1 before all were called with change
N.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

from twisted.internet.defer import Deferred
from twisted.logger import Logger

from txmirror.deferreds import Waiters
from txmirror.errors import ZooKeeperException
from txmirror.observers import Observers

_T = TypeVar("_T")


class CachedValue(Generic[_T]):
    """The cached data or children of a node, with the readers and watchers that wait for it.

    :param path: the node's path, for the log.

    :ivar known: whether there is a value.
    :ivar value: the value; None if the node is absent.
    :ivar zxid: the transaction as of which the value is true.
    :ivar problem: the error of the latest read that was refused.
    """

    _log = Logger()

    # There are one or two for each node, and the garbage collector visits every object. So nothing is created before it is
    # needed.
    __slots__ = (
        "_identity",
        "_path",
        "_read_waiters",
        "_settle_waiters",
        "_watchers",
        "known",
        "problem",
        "value",
        "zxid",
    )

    def __init__(self, path: str) -> None:
        self._path = path
        self._watchers: Observers[_T | None] | None = None
        self._read_waiters: Waiters[None] | None = None
        self._settle_waiters: Waiters[None] | None = None
        self._identity: object = None
        self.known: bool = False
        self.value: _T | None = None
        self.zxid: int = 0
        self.problem: ZooKeeperException | None = None

    # Values.

    def show(self, identity: object, value: _T | None, zxid: int, on_change: Callable[[], object]) -> None:
        """Store a value that was read or written, unless a later one is known.

        :param identity: equal for values that watchers see as the same; not None unless the node is absent.
        :param value: the new value; None if the node is absent.
        :param zxid: the transaction as of which it is true.
        :param on_change: called when it is stored, before any watcher.
        """
        if zxid < self.zxid:
            return
        self.zxid = zxid
        changed = not self.known or identity != self._identity
        self.known = True
        self.problem = None
        self._identity = identity
        self.value = value
        on_change()
        if changed and self._watchers is not None:
            self._watchers.notify(value)

    def identify(self, former: object, identity: object) -> None:
        """Replace the identity of the value, if it is the former one: more is known of it now. No watcher is called."""
        if self._identity == former:
            self._identity = identity

    def forget(self) -> None:
        """Discard the value, which is of another data generation."""
        self.known = False
        self.value = None
        self.zxid = 0
        self._identity = None

    # Readers.

    def when_readable(self) -> Deferred[None]:
        """Wait until it is readable: up to date, or refused, or known while disconnected."""
        if self._read_waiters is None:
            self._read_waiters = Waiters()
        return self._read_waiters.wait()

    def when_settled(self) -> Deferred[None]:
        """Wait until it shows everything that has happened so far, or cannot."""
        if self._settle_waiters is None:
            self._settle_waiters = Waiters()
        return self._settle_waiters.wait()

    def answer_readers(self) -> None:
        """Fire all waiting readers, if there is a value or a problem."""
        if self.known or self.problem is not None:
            # Few are read when many are known: nothing is kept for the next reader.
            waiters, self._read_waiters = self._read_waiters, None
            if waiters is not None:
                waiters.fire(None)

    def settled(self) -> None:
        """Fire all waiters: it shows everything that has happened so far."""
        self.answer_readers()
        waiters, self._settle_waiters = self._settle_waiters, None
        if waiters is not None:
            waiters.fire(None)

    def fail(self, problem: ZooKeeperException) -> None:
        """Fire all waiters: it cannot be read."""
        self.problem = problem
        self.settled()

    @property
    def awaited(self) -> bool:
        """True if there are waiters."""
        return bool(self._read_waiters or self._settle_waiters)

    # Watchers.

    @property
    def watchers(self) -> bool:
        """True if there are watchers."""
        return bool(self._watchers)

    def watch(self, key: Hashable, function: Callable[[_T | None], object]) -> None:
        """Call ``function`` with each change, in place of the former one with this key, if there was one."""
        if self._watchers is None:
            self._watchers = Observers(self._log_failure)
        self._watchers.add(key, function)

    def unwatch(self, key: Hashable) -> None:
        """Remove the watcher with this key; silent if there is none."""
        if self._watchers is not None:
            self._watchers.remove(key)

    def _log_failure(self, key: Hashable, _: object) -> None:
        self._log.failure("The watcher {key} of {path} failed.", key=key, path=self._path)
