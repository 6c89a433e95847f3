"""Read the data of many nodes with watches of their own: one request sets the watches of many, and the next one reads them.

A read of one node leaves a watch, a batched read leaves none. So the watches are set before, as after a reconnection. A server
processes the requests of a session in order, so that it reports every change after the read. A missing node gets no watch: the
server reports it as deleted at once, and its existence is read by itself.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from twisted.internet.defer import Deferred
from twisted.logger import Logger
from twisted.python.failure import Failure

from txmirror.mirror.read_queue import PendingRead, ReadQueue
from txmirror.mirror.store import DATA, Store

#: How many reads of one node are pending before others wait for the next turn, and how many of these are read as a batch.
_SINGLES = 32
_FEWEST = 8
#: A zxid later than all: the server sends no events for changes before it when it sets the watches.
_LAST_ZXID = 2**63 - 1


class WatchedReads:
    """The nodes whose data is to be read in batches, with watches of their own.

    :param set_watches: sets watches on the data of nodes as of a zxid.
    :param store: holds the marks.
    :param wants: returns whether anybody is still interested in a node.
    :param may_batch: returns whether the current server may be sent batches.
    :ivar queue: the nodes that wait, and the batches that are pending.
    :ivar possible: whether batches are sent.
    """

    _log = Logger()

    def __init__(
        self,
        set_watches: Callable[[int, Sequence[str]], Deferred[None]],
        store: Store,
        wants: Callable[[str], bool],
        may_batch: Callable[[], bool],
    ) -> None:
        self.queue: ReadQueue = ReadQueue()
        self.possible: bool = False
        self._set_watches = set_watches
        self._store = store
        self._wants = wants
        self._may_batch = may_batch

    def start(self) -> None:
        """Note that there is a connection."""
        self.possible = self._may_batch()

    def suits(self, path: str, pending: int, *, waiting: bool) -> bool:
        """Return whether the data of a node is to be read in a batch.

        :param pending: the number of pending reads of one node.
        :param waiting: whether other reads wait for the next turn of the reactor.
        """
        return self.possible and (waiting or pending >= _SINGLES) and path not in self._store.maybe_absent

    def take(self, count: int) -> tuple[PendingRead | None, list[str]]:
        """Take the next batch from the queue.

        :param count: how many nodes it has at most.
        :returns: the batch, if there is one, and nodes that are to be read by themselves.
        """
        waiting = self.queue.parts[DATA]
        if not self.possible or len(waiting) < _FEWEST:
            alone = list(waiting)
            waiting.clear()
            return None, alone
        alone = []

        def begin_read(part: int, path: str) -> bool:
            if not self._wants(path):
                # A watch would be left behind.
                self._store.discard(part, path)
                return False
            if path in self._store.maybe_absent:
                alone.append(path)
                return False
            return self._store.begin_read(part, path)

        paths = self.queue.take(DATA, count, begin_read)
        return PendingRead((paths, ()), True) if paths else None, alone

    def set_watches(self, read: PendingRead, refused: Callable[[PendingRead, Failure], object]) -> bool:
        """Set the watches of a batch.

        :param refused: called with the batch and the reason if the server refuses. The batch is no longer pending then, and no
            others are sent on this connection.
        :returns: whether the batch is to be read.
        """
        pending = self.queue.pending
        pending[read] = None

        def failed(reason: Failure) -> None:
            # After the end of a connection nothing is pending.
            if read in pending:
                del pending[read]
                self.possible = False
                refused(read, reason)

        done = self._set_watches(_LAST_ZXID, read.paths[DATA])
        done.addErrback(failed)
        done.addErrback(
            lambda failure: self._log.failure("Watches could not be set because of a bug.", failure=failure)
        )
        return read in pending
