"""Read what is stale: many nodes in one request where a persistent watch covers them, others each with a watch of its own.

A batched read waits for the next turn of the reactor, so that a storm of events becomes a few requests. The number of pending
requests is bounded, so that other users of the connection get their turn, and a flood of reads waits in little memory.
"""

# It has more than 350 lines because the three kinds of reads are sent in turns.

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure

from txmirror.deferreds import Pump
from txmirror.errors import (
    AuthFailedException,
    ClosingException,
    NoAuthException,
    NoNodeException,
    ReplyTooLargeException,
    RequestTooLargeException,
    SessionClosedRequireSaslAuthException,
    UnimplementedException,
    ZooKeeperException,
)
from txmirror.interfaces import IBatchedReads, IWatchFeed
from txmirror.mirror.read_queue import BatchSize, PendingRead, ReadQueue
from txmirror.mirror.store import DATA, NAMES, PARTS, PartState, Store
from txmirror.mirror.watched_reads import WatchedReads
from txmirror.types import BatchReply, ChildrenReply, DataReply, StatReply, ZnodeStat

#: How many requests are pending, at most: of many nodes each, or of one.
_BATCHES_IN_FLIGHT = 6
_SINGLES_IN_FLIGHT = 768

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

    def covers(self, path: str) -> bool | None:
        """Return whether a persistent watch reports a node's changes; None if that is not known yet."""

    def wants(self, path: str) -> bool:
        """Return whether anybody is still interested in a node."""

    def data_read(self, path: str, value: tuple[bytes, ZnodeStat], zxid: int) -> None:
        """Accept a node's data and stat, as of a transaction."""

    def names_read(self, path: str, names: Sequence[str], stat: ZnodeStat | None, zxid: int) -> None:
        """Accept the names of a node's children, and its stat if the reply has it."""

    def existence_read(self, path: str, stat: ZnodeStat | None, zxid: int) -> None:
        """Accept a node's stat, or that there is no such node. A watch reports its creation."""

    def missing(self, part: int, path: str, zxid: int) -> None:
        """Accept that a read has found no such node."""

    def refused(self, part: int, path: str, error: ZooKeeperException) -> None:
        """Accept that a part of a node cannot be read."""

    def failed(self, part: int, path: str, error: ZooKeeperException) -> None:
        """Accept that a read has failed for a reason that has nothing to do with the node."""

    def watches_refused(self) -> None:
        """Note that the server has refused to set watches, these or earlier ones of the feed: read everything again."""

    def read_finished(self) -> None:
        """Note that a request was answered. It may have been the last one."""


class Refresher:
    """Reads the stale parts of nodes while there is a connection. Three kinds of reads have queues: hence more than 12 attributes and more than 25 methods.

    :param feed: sends reads that leave watches.
    :param batches: sends reads of many nodes without watches; None where the client cannot.
    :param reactor: runs the turns.
    :param store: holds the marks.
    :param sink: receives the results.
    :param may_batch: returns whether the server may be sent batches for nodes with watches of their own.
    """

    _log = Logger()

    def __init__(
        self,
        feed: IWatchFeed,
        batches: IBatchedReads | None,
        reactor: IReactorTime,
        store: Store,
        sink: RefreshSink,
        may_batch: Callable[[], bool],
    ) -> None:
        self._feed = feed
        self._batches = batches
        self._reactor = reactor
        self._store = store
        self._sink = sink
        self._singles = ReadQueue()
        self._batched = ReadQueue()
        self._watched = WatchedReads(feed.set_watches, store, sink.wants, may_batch)
        self._queues = (self._singles, self._batched, self._watched.queue)
        self._held: list[tuple[int, str]] = []
        self._batch = BatchSize()
        self._running = False
        #: Whether a queue may have nodes that no persistent watch covers any more.
        self._unsorted = False
        self._ended = False
        # A request that is answered or fails at once re-enters the function.
        self._pump = Pump(self._send_all)
        self._turn: IDelayedCall | None = None

    def add(self, part: int, path: str) -> None:
        """Read a part of a node, which is stale. While there is no connection, :meth:`start` finds it."""
        if not self._running:
            return
        covered = self._sink.covers(path)
        if covered and self._batches is not None:
            self._batched.parts[part].append(path)
            self._start_turn()
        elif covered is None:
            self._held.append((part, path))
        elif part == DATA and self._watched.suits(path, len(self._singles.pending), waiting=self._turn is not None):
            self._watched.queue.parts[DATA].append(path)
            self._start_turn()
        else:
            if part == NAMES and self._watched.queue and self._store.state(DATA, path) is PartState.STALE:
                # A node's names are not read before its data.
                self._singles.parts[DATA].append(path)
            self._singles.parts[part].append(path)
            self._pump()

    def add_children(self, parent: str, part: int, paths: Sequence[str]) -> None:
        """Read a part of several children of one node, which are stale."""
        if not (self._running and self._batches is not None and self._sink.covers(parent)):
            for path in paths:
                self.add(part, path)
            return
        self._batched.parts[part].extend(paths)
        self._start_turn()

    def _start_turn(self) -> None:
        if self._turn is None:
            self._turn = self._reactor.callLater(0, self._run_turn)

    def start(self) -> None:
        """Begin to send requests: there is a connection. What is stale is read."""
        self._running = True
        if self._batches is not None:
            self._watched.start()
        self.sort()

    def sort(self) -> None:
        """Queue again all that is stale: the persistent watches have changed."""
        self._unsorted = False
        for queue in self._queues:
            queue.clear()
        self._held.clear()
        for part in PARTS:
            for path in self._store.stale(part):
                self.add(part, path)

    def coverage_lost(self) -> None:
        """Note that a persistent watch is gone: what waits for a read without a watch of its own may need one now."""
        self._unsorted = True

    def resume(self) -> None:
        """Queue what has waited until it was known whether a persistent watch covers it."""
        held, self._held = self._held, []
        for part, path in held:
            self.add(part, path)

    def finish(self) -> None:
        """Send no more requests. The replies to those that were sent are still handed on."""
        self._running = False
        if self._turn is not None:
            self._turn.cancel()
            self._turn = None

    def stop(self) -> None:
        """Send no requests for now. What is being read stays stale, because the replies will not come."""
        self.finish()
        self._held.clear()
        for queue in self._queues:
            queue.clear()
            pending = list(queue.pending)
            queue.pending.clear()
            for read in pending:
                self._interrupt(read)

    def end(self) -> None:
        """Send no more requests, and ignore all replies."""
        self._ended = True
        self.stop()

    def _interrupt(self, read: PendingRead) -> None:
        for part in PARTS:
            for path in read.paths[part]:
                self._store.interrupt(part, path)

    def _run_turn(self) -> None:
        self._turn = None
        self._pump()
        if self._running:
            self._sink.read_finished()

    def _send_all(self) -> None:
        watched = self._watched.queue
        while self._running:
            if self._singles and len(self._singles.pending) < _SINGLES_IN_FLIGHT:
                self._send_one()
            elif self._batched and len(self._batched.pending) < _BATCHES_IN_FLIGHT and self._turn is None:
                if self._unsorted:
                    self.sort()
                else:
                    self._send_batch()
            elif watched and len(watched.pending) < _BATCHES_IN_FLIGHT and self._turn is None:
                self._send_watched_batch()
            else:
                return

    def _send_batch(self) -> None:
        assert self._batches is not None
        begin_read = self._store.begin_read
        data = self._batched.take(DATA, self._batch.count, begin_read)
        names = self._batched.take(NAMES, self._batch.count - len(data), begin_read)
        read = PendingRead((data, names), True)
        if read.count:
            self._send(self._batched, read, self._batches.read_many(*read.paths), self._batch_read)

    def _send_watched_batch(self) -> None:
        assert self._batches is not None
        read, alone = self._watched.take(self._batch.count)
        self._singles.parts[DATA].extend(alone)
        if read is not None and self._watched.set_watches(read, self._watches_refused):
            self._send(self._watched.queue, read, self._batches.read_many(*read.paths), self._batch_read)

    def _watches_refused(self, read: PendingRead, reason: Failure) -> None:
        self._interrupt(read)
        if isinstance(reason.value, ClosingException):
            self.stop()
            return
        # They may also be watches that the client had lost before.
        self._sink.watches_refused()
        self.sort()

    def _send_one(self) -> None:
        data, names = self._singles.parts
        part = DATA if data else NAMES
        path = (data or names).popleft()
        absent = path in self._store.maybe_absent
        if not self._sink.wants(path):
            # A watch would be left behind.
            self._store.discard(part, path)
            return
        if part == NAMES and absent:
            # The names are not read before the node is known to exist. If a watch reports its creation, there are none to read.
            if self._store.state(DATA, path) is PartState.CURRENT:
                self._sink.missing(NAMES, path, self._store.zxid)
                self._start_turn()
            return
        if not self._store.begin_read(part, path):
            return
        if part == NAMES:
            self._send(
                self._singles, PendingRead(((), (path,)), False), self._feed.read_children(path), self._names_read
            )
        elif absent:
            self._send(
                self._singles, PendingRead(((path,), ()), False), self._feed.read_existence(path), self._existence_read
            )
        else:
            self._send(self._singles, PendingRead(((path,), ()), False), self._feed.read_data(path), self._data_read)

    def _send(
        self, queue: ReadQueue, read: PendingRead, answer: Deferred[Any], take: Callable[[PendingRead, Any], None]
    ) -> None:
        pending = queue.pending
        pending[read] = None

        def answered(result: Any) -> None:
            if read not in pending:
                # The read was abandoned. A session that is refused for good is not read in again.
                if isinstance(result, Failure) and isinstance(result.value, REFUSALS) and not self._ended:
                    self._failed(queue, read, result)
                return
            del pending[read]
            if isinstance(result, Failure):
                self._failed(queue, read, result)
            else:
                take(read, result)
            if self._running:
                # The replies are handled already. Keep the pipeline full without waiting for a turn.
                self._pump()
                self._sink.read_finished()

        answer.addBoth(answered).addErrback(
            lambda failure: self._log.failure("A read failed because of a bug.", failure=failure)
        )

    def _data_read(self, read: PendingRead, reply: DataReply) -> None:
        self._sink.data_read(read.paths[DATA][0], (reply.data, reply.stat), reply.zxid)

    def _names_read(self, read: PendingRead, reply: ChildrenReply) -> None:
        self._sink.names_read(read.paths[NAMES][0], reply.children, reply.stat, reply.zxid)

    def _existence_read(self, read: PendingRead, reply: StatReply) -> None:
        self._sink.existence_read(read.paths[DATA][0], reply.stat, reply.zxid)

    def _batch_read(self, read: PendingRead, reply: BatchReply) -> None:
        self._batch.note_reply(read.count, reply)
        sink, zxid = self._sink, reply.zxid
        for path, result in zip(read.paths[DATA], reply.data, strict=True):
            if isinstance(result, tuple):
                sink.data_read(path, result, zxid)
            else:
                self._refused(DATA, path, result, zxid)
        for path, names in zip(read.paths[NAMES], reply.children, strict=True):
            if isinstance(names, list):
                sink.names_read(path, names, None, zxid)
            else:
                self._refused(NAMES, path, names, zxid)

    def _failed(self, queue: ReadQueue, read: PendingRead, failure: Failure) -> None:
        error = failure.value
        if isinstance(error, ClosingException):
            self._interrupt(read)
            self.stop()
        elif isinstance(error, UnimplementedException) and read.batch:
            self._batches = None
            self._watched.possible = False
            self._interrupt(read)
            self.sort()
        elif isinstance(error, ReplyTooLargeException) and read.count > 1:
            self._batch.note_too_large(read.count, error.size)
            self._requeue(queue, read)
        elif isinstance(error, ZooKeeperException):
            for part in PARTS:
                for path in read.paths[part]:
                    self._refused(part, path, error, error.zxid or 0)
        else:
            failure.raiseException()

    def _refused(self, part: int, path: str, error: ZooKeeperException, zxid: int) -> None:
        if isinstance(error, NoNodeException):
            self._sink.missing(part, path, zxid)
        elif isinstance(error, REFUSALS):
            self._sink.refused(part, path, error)
        else:
            self._sink.failed(part, path, error)

    def _requeue(self, queue: ReadQueue, read: PendingRead) -> None:
        # Before the reads that were queued later: a parent is read before its children.
        for part in PARTS:
            for path in reversed(read.paths[part]):
                if self._store.interrupt(part, path):
                    queue.parts[part].appendleft(path)
