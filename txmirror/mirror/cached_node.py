"""The cached state of one znode, kept current by the server's watches or by a tree that covers the node.

Programs hold :class:`~txmirror.mirror.Node` objects, which they may drop and get again. A cached node stays as long as it is
needed, and for some time afterwards.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

from twisted.internet.defer import Deferred
from twisted.logger import Logger
from twisted.python.failure import Failure

from txmirror.errors import (
    ClosingException,
    NoNodeException,
    OperationTimeoutException,
    ZooKeeperException,
    ZooServerProblem,
)
from txmirror.interfaces import IBatchedReads
from txmirror.mirror.cached_value import CachedValue
from txmirror.mirror.refresher import REFUSALS
from txmirror.mirror.state import Existence, NodeState, without_value
from txmirror.retrying import RetryTimer
from txmirror.types import BatchReply, ChildrenReply, DataReply, EventType, StatReply, ZnodeStat

if TYPE_CHECKING:
    from txmirror.mirror.mirror import Mirror
    from txmirror.mirror.node import Node

#: The pauses before a node that could not be read is retried, in seconds.
_FIRST_PAUSE = 1.0
_LONGEST_PAUSE = 60.0

_T = TypeVar("_T")


class CachedNode:
    """The cached data and children of one znode, with the reads that keep them current.

    :ivar path: the znode's path.
    :ivar values: its data and stat.
    :ivar names: its children.
    :ivar state: a snapshot for programs.
    :ivar covered: whether it was read without a watch of its own, because a tree's persistent watch reports its changes.
    """

    _log = Logger()

    __slots__ = (
        "_closed",
        "_feed",
        "_kept",
        "_maybe_absent",
        "_mirror",
        "_node",
        "_read_separately",
        "_retry_timer",
        "covered",
        "names",
        "path",
        "state",
        "values",
    )

    def __init__(self, mirror: Mirror, path: str, unsettled: set[CachedValue[Any]]) -> None:
        self.path = path
        self._mirror = mirror
        self._feed = mirror.feed
        update_state = self.update_state
        self.values: CachedValue[tuple[bytes, ZnodeStat]] = CachedValue(path, _render_value, unsettled, update_state)
        self.names: CachedValue[tuple[str, ...]] = CachedValue(path, _render_names, unsettled, update_state)
        self._node: Callable[[], Node | None] = _no_node
        self._kept: Node | None = None
        self._maybe_absent = False
        self._read_separately = False
        self.covered = False
        self._retry_timer: RetryTimer | None = None
        self._closed = False
        self.update_state()

    def __repr__(self) -> str:
        return f"<CachedNode {self.path!r} {self.state.existence.value}>"

    # References.

    @property
    def node(self) -> Node | None:
        """The object that programs hold; None if there is none."""
        return self._node()

    def attach(self, node: Node, released: Callable[[NodeReference], object]) -> None:
        """Keep a node's snapshot up to date.

        :param released: called with a reference that has the path, in any thread, once the node is no longer referenced.
        """
        self._node = NodeReference(node, released, self.path)

    @property
    def needed(self) -> bool:
        """True if a program holds the node, or waits for it."""
        return self.node is not None or self.values.awaited or self.names.awaited

    @property
    def may_have_watches(self) -> bool:
        """True if the server may have watches for it."""
        return any(part.watched or part.reading for part in (self.values, self.names))

    def watchers_changed(self) -> None:
        """Note that a watcher was added or removed. A node with watchers stays, even if no program holds it."""
        self._kept = self.node if self.values.watchers or self.names.watchers else None

    def update_state(self) -> None:
        """Make a new snapshot: the cached state has changed, or the connection was made or lost."""
        stale_since = self._mirror.disconnected_since
        if not self.values.known:
            self.state = without_value(Existence.UNKNOWN, stale_since)
        elif self.values.value is None:
            self.state = without_value(Existence.ABSENT, stale_since)
        else:
            data, stat = self.values.value
            self.state = NodeState(Existence.PRESENT, data, stat, self.names.value, stale_since)
        node = self._node()
        if node is not None:
            # Reading an attribute takes a tenth of the time that a property takes.
            node.state = self.state

    # Events from the mirror.

    def watch_fired(self, kind: EventType) -> None:
        """Invalidate the parts that an event concerns, and read them again."""
        if kind is EventType.CHILD:
            self.names.invalidate()
        else:
            self._maybe_absent = kind is EventType.DELETED
            self.values.invalidate()
            if kind is not EventType.CHANGED:
                self.names.invalidate()
        self.refresh()

    def refresh(self) -> None:
        """Begin all reads that are needed and possible now. Those that have failed wait for the retry."""
        if self._closed or not self._mirror.may_read() or not self._mirror.refreshes.has_room(self):
            return
        batches = None if self._read_separately else self._mirror.batches_for(self.path)
        if batches is not None:
            self._read_without_watches(batches)
            return
        if self.values.needs_read:
            self.values.begin_read()
            if self._maybe_absent:
                self._handle_reply(self.values, self._feed.read_existence(self.path), self._existence_read)
            else:
                self._handle_reply(self.values, self._feed.read_data(self.path), self._value_read)
        if self.names.needs_read and not self._maybe_absent:
            self.names.begin_read()
            self._handle_reply(self.names, self._feed.read_children(self.path), self._children_read)

    def _read_without_watches(self, batches: IBatchedReads) -> None:
        """Read both parts at once: a tree's watch reports all later changes."""
        parts = (self.values, self.names)
        if any(part.reading for part in parts) or not any(part.needs_read for part in parts):
            return
        self.covered = True
        for part in parts:
            part.begin_read()
        self._track(batches.read_many([self.path], [self.path]), self._both_answered)

    def admitted(self) -> None:
        """Begin all reads that are needed: there is room."""
        self.refresh()

    def retry(self) -> None:
        """Read also what could not be read the last time."""
        for part in (self.values, self.names):
            if part.problem is not None or part.postponed:
                part.invalidate()
        self.refresh()

    def disconnected(self) -> None:
        """Answer readers with the last known state."""
        self._stop_retry()
        self.update_state()
        self.values.answer_readers()
        self.names.answer_readers()

    def reconnected(self) -> bool:
        """Note that there was no connection: changes that a tree's watch would have reported meanwhile are not known.

        :returns: whether the node relied on that watch.
        """
        covered, self.covered = self.covered, False
        if covered:
            self.values.watched = self.names.watched = False
        return covered

    def uncover(self) -> None:
        """Note that the tree that reported changes was closed, or has lost its watch."""
        if self.covered:
            self.covered = False
            self.invalidate()

    def session_changed(self) -> None:
        """Note that the new session has none of the former watches."""
        self.covered = False
        self.values.watched = self.names.watched = False

    def data_generation_changed(self) -> None:
        """Discard the cached state: it is of another data generation."""
        self._maybe_absent = False
        self.values.forget()
        self.names.forget()

    def missing_watches(self) -> tuple[bool, bool, bool]:
        """Return which watches the new session needs for the parts that are current: data, existence, children."""
        value = self.values.current and not self.values.watched
        absent = self.values.value is None
        children = self.names.current and not self.names.watched and self.names.value is not None
        return value and not absent, value and absent, children

    def watches_set(self) -> None:
        """Note that the session has the watches that were requested."""
        self.values.watched = self.names.watched = True

    def invalidate(self) -> None:
        """Read everything again: the server cannot restore the watches."""
        self.values.invalidate()
        self.names.invalidate()
        self.refresh()

    def evict(self) -> None:
        """Stop all reads: the node is no longer needed."""
        self._closed = True
        self._stop_retry()
        self.values.discard()
        self.names.discard()

    def close(self) -> None:
        """Fail all waiters. The last known state stays readable."""
        self._closed = True
        self._stop_retry()
        problem = ClosingException(path=self.path)
        self.values.close(problem)
        self.names.close(problem)

    def children_shown(self) -> Deferred[None] | None:
        """Wait until the children show everything that has happened so far, or cannot be read; None if they do already."""
        self._check_watched(self.names)
        # The client may live longer than the mirror, and answer a write after the mirror was closed.
        return None if self._closed or self.names.settled else self.names.when_settled()

    # Reading.

    async def read(self, part: CachedValue[_T], timeout: float | None) -> _T:
        """Return the value of a part, as soon as it is known and current."""
        if not part.readable(self._mirror.is_connected()):
            if self._closed:
                raise ClosingException(path=self.path)
            waiter = part.when_readable()
            if timeout is not None:
                waiter.addTimeout(timeout, self._mirror.reactor, self._timed_out)
            await waiter
        if part.problem is not None and not (part.known and self._mirror.disconnected_since is not None):
            raise part.problem.with_traceback(None)
        if part.value is None:
            raise self._mirror.absence(self.path, part.zxid)
        return part.value

    async def freshen(self, timeout: float | None) -> None:
        """Wait until the cached state shows everything that the servers had when this was called.

        :raises OperationTimeoutException: it takes longer than ``timeout`` seconds.
        """
        waiting = Deferred.fromCoroutine(self._freshen())
        if timeout is not None:
            waiting.addTimeout(timeout, self._mirror.reactor, self._timed_out)
        await waiting

    async def _freshen(self) -> None:
        await self._mirror.client.sync(self.path)
        if self._closed:
            # The client lives on.
            raise ClosingException(path=self.path)
        # A node that was announced before the reply is being read already; reading it again is cheap and safe.
        self.values.invalidate()
        self.names.invalidate()
        self.refresh()
        for part in (self.values, self.names):
            if not part.settled:
                await part.when_settled()

    def _timed_out(self, _: object, timeout: float) -> None:
        raise OperationTimeoutException(
            f"{self.path!r} could not be read within {timeout:g} s", path=self.path, applied=False
        )

    def _handle_reply(self, part: CachedValue[Any], answer: Deferred[_T], take: Callable[[_T], None]) -> None:
        def answered(result: _T | Failure) -> None:
            if self._closed:
                return
            if not isinstance(result, Failure):
                take(result)
            elif self._mirror.is_lost(result.value):
                # It is read again with the next connection.
                part.interrupt()
                return
            elif isinstance(result.value, NoNodeException):
                self._missing(part)
            elif isinstance(result.value, ZooKeeperException):
                self._read_failed(part, result.value)
            else:
                result.raiseException()
            # The reply may lack changes that came while the read was pending.
            self.refresh()
            self._mirror.check_settled()

        self._track(answer, answered)

    def _track(self, answer: Deferred[_T], answered: Callable[[_T | Failure], None]) -> None:
        refreshes = self._mirror.refreshes
        refreshes.began()
        answer.addBoth(answered).addErrback(self._log_failure).addBoth(lambda _: refreshes.ended())

    def _log_failure(self, failure: Failure) -> None:
        self._log.failure("Reading {path} failed.", failure=failure, path=self.path)

    def _both_answered(self, result: BatchReply | Failure) -> None:
        parts = (self.values, self.names)
        if self._closed:
            return
        if not isinstance(result, Failure):
            self._both_read(result)
        elif self._mirror.is_lost(result.value):
            for part in parts:
                part.interrupt()
            return
        elif isinstance(result.value, ZooServerProblem):
            for part in parts:
                self._read_failed(part, result.value)
        elif isinstance(result.value, ZooKeeperException):
            # One of the two may be too large, or the server may not support such reads: read each of them separately.
            self._read_separately = True
            for part in parts:
                part.interrupt()
        else:
            result.raiseException()
        self.refresh()
        self._mirror.check_settled()

    def _both_read(self, reply: BatchReply) -> None:
        (data,), (names,) = reply.data, reply.children
        if isinstance(data, NoNodeException):
            self._absent(reply.zxid)
            return
        if isinstance(data, ZooKeeperException):
            self._read_failed(self.values, data)
            self._read_failed(self.names, data)
            return
        self._value_read(DataReply(reply.zxid, *data))
        if isinstance(names, ZooKeeperException):
            self._read_failed(self.names, names)
        else:
            self._children_read(ChildrenReply(reply.zxid, names, data[1]))

    def _absent(self, zxid: int) -> None:
        if self._up_to_date(self.values, zxid):
            self._maybe_absent = True
            for part in (self.values, self.names):
                part.show(None, None, zxid)
                part.settle()
        else:
            self.names.interrupt()

    def _existence_read(self, reply: StatReply) -> None:
        if reply.stat is not None:
            self._maybe_absent = False
            self.values.interrupt()
            self.names.invalidate()
        elif self._up_to_date(self.values, reply.zxid):
            self.values.show(None, None, reply.zxid)
            self.names.show(None, None, reply.zxid)
            if not self.names.reading:
                self.names.stale = False
                self.names.settle()
            self.values.settle()

    def _value_read(self, reply: DataReply) -> None:
        if self._up_to_date(self.values, reply.zxid):
            stat = reply.stat
            self._maybe_absent = False
            self.values.show((stat.czxid, stat.mzxid), (reply.data, stat), reply.zxid)
            self.values.settle()

    def _children_read(self, reply: ChildrenReply) -> None:
        if self._up_to_date(self.names, reply.zxid):
            stat = reply.stat
            names = tuple(sorted(reply.children))
            self.names.show((stat.czxid, names), names, reply.zxid)
            self._refresh_stat(stat, reply.zxid)
            self.names.settle()

    def _missing(self, part: CachedValue[Any]) -> None:
        """Ask whether the node exists after a read has failed because it does not: only that request leaves a watch."""
        part.interrupt()
        if not self.values.current:
            self._maybe_absent = True
        elif self.values.value is not None:
            self.watch_fired(EventType.DELETED)
        else:
            self.names.stale = False
            self.names.settle()

    def _up_to_date(self, part: CachedValue[Any], zxid: int) -> bool:
        """Return whether a reply may be shown. A reply from a server that lags is discarded, and the read is retried later."""
        if zxid >= part.zxid:
            if self._retry_timer is not None:
                self._retry_timer.reset()
            return True
        part.postpone()
        self._retry_later()
        return False

    def _read_failed(self, part: CachedValue[Any], error: ZooKeeperException) -> None:
        if not isinstance(error, REFUSALS):
            # The server is in trouble, not the node: waiters go on waiting.
            self._mirror.note_trouble(self.path, error)
            part.postpone()
            self._retry_later()
            return
        self._log.warn("{path} cannot be read: {reason}. Retrying.", path=self.path, reason=str(error))
        part.fail(error)
        if self._maybe_absent and self.names.needs_read:
            # The children are not read before the node is known to exist.
            self.names.fail(error)
        self._retry_later()

    def _retry_later(self) -> None:
        if self._retry_timer is None:
            self._retry_timer = RetryTimer(self._mirror.reactor, self.retry, first=_FIRST_PAUSE, longest=_LONGEST_PAUSE)
        self._retry_timer.start()

    def _stop_retry(self) -> None:
        if self._retry_timer is not None:
            self._retry_timer.stop()

    def _refresh_stat(self, stat: ZnodeStat, zxid: int) -> None:
        """Update the parts of the stat that the data's watch does not announce: numChildren, cversion and pzxid."""
        if self.values.current and self.values.value is not None:
            data, before = self.values.value
            if (before.czxid, before.mzxid) == (stat.czxid, stat.mzxid):
                self.values.show((stat.czxid, stat.mzxid), (data, stat), zxid)

    # Writing.

    def was_deleted(self, zxid: int) -> None:
        """Show that the node was deleted."""
        self._maybe_absent = True
        self.values.show(None, None, zxid)
        self.names.show(None, None, zxid)
        if not self.values.reading:
            self.values.invalidate()
            self.refresh()

    def was_written(self, value: bytes, stat: ZnodeStat) -> None:
        """Show data that was written here: its event came before the reply, but only the writer has the data."""
        self._maybe_absent = False
        self.values.show((stat.czxid, stat.mzxid), (value, stat), stat.mzxid)
        if stat.czxid == stat.mzxid == stat.pzxid:
            self.names.show((stat.czxid, ()), (), stat.czxid)
            self._check_watched(self.names)
        self._check_watched(self.values)

    def _check_watched(self, part: CachedValue[Any]) -> None:
        """Read a part again that was written in a session without a watch for it (yet): later changes would go unseen."""
        if part.current and not part.watched:
            part.invalidate()
            self.refresh()


class NodeReference(weakref.ref):  # type: ignore[type-arg]  # a class cannot be subscripted so at run time
    """A weak reference to a :class:`~txmirror.mirror.Node` that knows its path when the node is gone.

    :ivar path: the znode's path.
    """

    __slots__ = ("path",)

    path: str

    def __new__(  # noqa: PYI034  # Self came with Python 3.11
        cls, node: Node, released: Callable[[NodeReference], object], path: str
    ) -> NodeReference:
        """Make a reference. ``released`` is called with it when the node is gone."""
        reference: NodeReference = super().__new__(cls, node, released)
        reference.path = path
        return reference

    def __init__(self, node: Node, released: Callable[[NodeReference], object], path: str) -> None:
        super().__init__(node, released)  # type: ignore[call-arg]


def _no_node() -> None:
    return None


def _render_value(value: tuple[bytes, ZnodeStat] | None) -> tuple[bytes, ZnodeStat] | None:
    return value


def _render_names(names: tuple[str, ...] | None) -> list[str] | None:
    return None if names is None else list(names)
