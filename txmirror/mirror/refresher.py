"""Read the nodes of a tree: many in one request, or each in a request of its own that leaves a watch.

A read waits for the next turn of the reactor, so that a storm of events becomes a few requests. The number of pending
requests is bounded, so that other users of the connection get their turn.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Protocol

import attrs
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure

from txmirror.deferreds import Pump
from txmirror.errors import (
    AuthFailedException,
    ClosingException,
    ConnectionLossException,
    NoAuthException,
    NoNodeException,
    ReplyTooLargeException,
    RequestTooLargeException,
    SessionClosedRequireSaslAuthException,
    SessionExpiredException,
    UnimplementedException,
    ZooKeeperException,
)
from txmirror.interfaces import IBatchedReads, IWatchFeed
from txmirror.types import BatchReply, ChildrenReply, DataReply, StatReply, ZnodeStat

#: How many nodes one request reads: at first, and at most. A server builds the whole reply in memory.
_FIRST_BATCH = 4
_BATCH = 128
#: The size of a reply to aim for, in bytes of data and names. The last replies determine how many nodes that is.
_REPLY_BYTES = 1024 * 1024
#: The maximum size of the paths in one request, in bytes.
_BATCH_BYTES = 64 * 1024
#: How many requests are pending, at most: of many nodes each, or of one.
_BATCHES_IN_FLIGHT = 6
_SINGLES_IN_FLIGHT = 768

#: The failures after which a request waits for the next connection, unless the connection stands.
LOST = (ConnectionLossException, SessionExpiredException, ClosingException)
#: The failures that are about the node. Every other failure is about the server or the connection.
REFUSALS = (
    NoAuthException,
    ReplyTooLargeException,
    RequestTooLargeException,
    AuthFailedException,
    SessionClosedRequireSaslAuthException,
    UnimplementedException,
)


class RefreshSink(Protocol):
    """Receives the results of reads."""

    def data_read(self, path: str, value: tuple[bytes, ZnodeStat] | None, zxid: int) -> None:
        """Accept a node's data and stat, or None if there is no such node, as of a transaction."""

    def absent(self, path: str, zxid: int) -> None:
        """Accept that there is no such node. A watch reports its creation."""

    def names_read(self, path: str, names: Sequence[str], zxid: int) -> None:
        """Accept the names of a node's children."""

    def data_refused(self, path: str, error: ZooKeeperException) -> None:
        """Accept that a node's data cannot be read."""

    def names_refused(self, path: str, error: ZooKeeperException) -> None:
        """Accept that the names of a node's children cannot be read."""

    def failed(self, path: str, error: ZooKeeperException) -> None:
        """Accept that a read of a node, or of its children, has failed for a reason that has nothing to do with the node."""

    def read_finished(self) -> None:
        """Note that a read has ended; it may have been the last one."""


@attrs.define(eq=False)
class PendingRead:
    """A pending request."""

    data: tuple[str, ...] = ()
    names: tuple[str, ...] = ()
    existence: tuple[str, ...] = ()
    batch: bool = False
    """Whether it is a batched read, even if it has one node only."""


class Refresher:
    """A queue of nodes to read, for a tree. It sends requests while there is a connection.

    :param feed: sends reads that leave watches.
    :param batches: sends reads of many nodes without watches; None where the client cannot.
    :param clock: runs the turns.
    :param sink: receives the results.
    :ivar watching: whether each node is read with a watch on it, because no persistent watch covers it.
    """

    _log = Logger()

    def __init__(self, feed: IWatchFeed, batches: IBatchedReads | None, clock: IReactorTime, sink: RefreshSink) -> None:
        self._feed = feed
        self._batches = batches
        self._clock = clock
        self._sink = sink
        # To find its first key, an ordinary dict would skip the slot of every key removed before.
        self._data: OrderedDict[str, None] = OrderedDict()
        self._names: OrderedDict[str, None] = OrderedDict()
        self._existence: OrderedDict[str, None] = OrderedDict()
        self._pending: dict[PendingRead, None] = {}
        self._batch = _FIRST_BATCH
        self._running = False
        # A request that is answered or fails at once re-enters the function.
        self._pump = Pump(self._send_all)
        self._turn: IDelayedCall | None = None
        self.watching = True

    @property
    def idle(self) -> bool:
        """True if no read is queued or pending."""
        return not (self._pending or self._data or self._names or self._existence)

    def has_pending(self, path: str) -> bool:
        """Return whether a node's data is still to be read."""
        return path in self._data or any(path in read.data or path in read.existence for read in self._pending)

    def data(self, path: str) -> None:
        """Read a node's data and stat."""
        self._data[path] = None
        self._schedule()

    def data_of(self, paths: Iterable[str]) -> None:
        """Read the data and stat of several nodes."""
        self._data.update(dict.fromkeys(paths))
        self._schedule()

    def names(self, path: str) -> None:
        """Read the names of a node's children."""
        self._names[path] = None
        self._schedule()

    def existence(self, path: str) -> None:
        """Leave a watch on a node that does not exist; if it exists by now, read it."""
        self._existence[path] = None
        self._schedule()

    def start(self) -> None:
        """Begin to send requests: there is a connection."""
        self._running = True
        self._schedule()

    def stop(self) -> None:
        """Send no requests for now. Pending reads are queued again, because their replies will not come."""
        self._running = False
        if self._turn is not None:
            self._turn.cancel()
            self._turn = None
        for read in reversed(self._pending):
            self._requeue(read)
        self._pending.clear()

    def forget(self) -> None:
        """Clear the queue, and ignore replies."""
        self.stop()
        self._data.clear()
        self._names.clear()
        self._existence.clear()

    def _schedule(self) -> None:
        if self._running and self._turn is None:
            self._turn = self._clock.callLater(0, self._run_turn)

    def _run_turn(self) -> None:
        self._turn = None
        self._pump()

    def _send_all(self) -> None:
        while self._running and self._turn is None and (self._existence or self._data or self._names):
            batches = self._batches if not (self.watching or self._existence) else None
            if len(self._pending) >= (_SINGLES_IN_FLIGHT if batches is None else _BATCHES_IN_FLIGHT):
                return
            if batches is None:
                self._send_one()
            else:
                data = self._take(self._data, self._batch)
                read = PendingRead(data, self._take(self._names, self._batch - len(data)), batch=True)
                self._send(read, batches.read_many(read.data, read.names), self._batch_read)

    def _take(self, wanted: OrderedDict[str, None], count: int) -> tuple[str, ...]:
        taken: list[str] = []
        size = 0
        for path in wanted:
            size += len(path)
            if len(taken) >= count or (taken and size > _BATCH_BYTES):
                break
            taken.append(path)
        for path in taken:
            del wanted[path]
        return tuple(taken)

    def _send_one(self) -> None:
        if self._existence:
            (path,) = self._take(self._existence, 1)
            self._send(PendingRead(existence=(path,)), self._feed.read_existence(path), self._existence_read)
        elif self._data:
            (path,) = self._take(self._data, 1)
            self._send(PendingRead(data=(path,)), self._feed.read_data(path), self._data_read)
        else:
            (path,) = self._take(self._names, 1)
            self._send(PendingRead(names=(path,)), self._feed.read_children(path), self._names_read)

    def _send(self, read: PendingRead, answer: Deferred[Any], take: Callable[[PendingRead, Any], None]) -> None:
        self._pending[read] = None

        def answered(result: Any) -> None:
            if read not in self._pending:
                # The read was abandoned.
                return
            del self._pending[read]
            if isinstance(result, Failure):
                self._failed(read, result)
            else:
                take(read, result)
            if self._running:
                self._pump_on()
                self._sink.read_finished()

        answer.addBoth(answered).addErrback(lambda failure: self._log.failure("Reading failed.", failure=failure))

    def _pump_on(self) -> None:
        # The replies are handled already. Keep the pipeline full without waiting for a turn.
        if self._turn is None:
            self._pump()

    def _batch_read(self, read: PendingRead, reply: BatchReply) -> None:
        self._note_size(read, _size(reply))
        sink, zxid = self._sink, reply.zxid
        for path, result in zip(read.data, reply.data, strict=True):
            if isinstance(result, tuple):
                sink.data_read(path, result, zxid)
            else:
                self._refused(path, result, zxid, sink.data_refused)
        for path, names in zip(read.names, reply.children, strict=True):
            if isinstance(names, list):
                sink.names_read(path, names, zxid)
            else:
                self._refused(path, names, zxid, sink.names_refused)

    def _note_size(self, read: PendingRead, size: int) -> None:
        """Note how large a reply was, in bytes, and adapt the number of nodes in the next request to it."""
        count = len(read.data) + len(read.names)
        if size > _REPLY_BYTES:
            self._batch = max(1, min(self._batch, count * _REPLY_BYTES // size))
        elif 2 * size <= _REPLY_BYTES:
            self._batch = max(self._batch, min(count * 2, _BATCH))

    def _data_read(self, read: PendingRead, reply: DataReply) -> None:
        self._sink.data_read(read.data[0], (reply.data, reply.stat), reply.zxid)

    def _names_read(self, read: PendingRead, reply: ChildrenReply) -> None:
        self._sink.names_read(read.names[0], reply.children, reply.zxid)

    def _existence_read(self, read: PendingRead, reply: StatReply) -> None:
        (path,) = read.existence
        if reply.stat is not None:
            self.data(path)
        else:
            self._sink.absent(path, reply.zxid)

    def _failed(self, read: PendingRead, failure: Failure) -> None:
        error = failure.value
        several = len(read.data) + len(read.names) > 1
        if isinstance(error, ClosingException):
            self._requeue(read)
            self.stop()
        elif isinstance(error, UnimplementedException) and read.batch:
            self._batches = None
            self._requeue(read)
        elif isinstance(error, ReplyTooLargeException) and several:
            self._note_size(read, max(error.size or 0, 2 * _REPLY_BYTES))
            self._requeue(read)
        elif isinstance(error, ZooKeeperException):
            for path in (*read.data, *read.existence):
                self._refused(path, error, error.zxid or 0, self._sink.data_refused)
            for path in read.names:
                self._refused(path, error, error.zxid or 0, self._sink.names_refused)
        else:
            failure.raiseException()

    def _refused(
        self, path: str, error: ZooKeeperException, zxid: int, refuse: Callable[[str, ZooKeeperException], None]
    ) -> None:
        if isinstance(error, NoNodeException):
            self._sink.data_read(path, None, zxid)
        elif isinstance(error, REFUSALS):
            refuse(path, error)
        else:
            self._sink.failed(path, error)

    def _requeue(self, read: PendingRead) -> None:
        # Before the reads that were queued later: a parent is read before its children.
        for wanted, paths in (
            (self._data, read.data),
            (self._names, read.names),
            (self._existence, read.existence),
        ):
            for path in reversed(paths):
                wanted[path] = None
                wanted.move_to_end(path, last=False)


def _size(reply: BatchReply) -> int:
    """Return how many bytes of data and names a reply has, more or less."""
    data = sum(len(result[0]) for result in reply.data if isinstance(result, tuple))
    return data + sum(len(name) for names in reply.children if isinstance(names, list) for name in names)
