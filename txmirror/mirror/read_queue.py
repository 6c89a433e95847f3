"""The reads of a refresher that wait, those that are pending, and how large a batch of them is."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence

import attrs

from txmirror.mirror.store import DATA, NAMES
from txmirror.types import BatchReply

#: How many nodes one request reads: at first, and at most. A server builds the whole reply in memory.
_FIRST_BATCH = 4
_BATCH = 128
#: The size of a reply to aim for, in bytes of data and names. The last replies determine how many nodes that is.
_REPLY_BYTES = 1024 * 1024
#: The maximum size of the paths in one request, in bytes.
_BATCH_BYTES = 64 * 1024


@attrs.define(eq=False)
class PendingRead:
    """A pending request, with the nodes whose data it reads, and the nodes whose names of children it reads."""

    paths: tuple[Sequence[str], Sequence[str]]
    batch: bool
    """True for a batched read, even of one node."""

    @property
    def count(self) -> int:
        """The number of parts that it reads."""
        return len(self.paths[DATA]) + len(self.paths[NAMES])


class ReadQueue:
    """The stale parts that are read in one way, in the order in which they became stale.

    :ivar parts: the paths that wait, by part. One that was queued twice is read once: its mark says that it is being read.
    :ivar pending: the requests that are pending.
    """

    def __init__(self) -> None:
        self.parts: tuple[deque[str], deque[str]] = (deque(), deque())
        self.pending: dict[PendingRead, None] = {}

    def __bool__(self) -> bool:
        return bool(self.parts[DATA] or self.parts[NAMES])

    def clear(self) -> None:
        """Remove all parts that wait."""
        for part in self.parts:
            part.clear()

    def take(self, part: int, count: int, begin_read: Callable[[int, str], bool]) -> tuple[str, ...]:
        """Take the next parts that one request reads.

        :param begin_read: called with each; returns False if there is nothing to read any more.
        """
        queue = self.parts[part]
        taken: list[str] = []
        size = 0
        while queue and len(taken) < count and size < _BATCH_BYTES:
            path = queue.popleft()
            if begin_read(part, path):
                taken.append(path)
                size += len(path)
        return tuple(taken)


class BatchSize:
    """How many parts the next request reads, so that the reply is of about a mebibyte.

    :ivar count: their number.
    """

    def __init__(self) -> None:
        self.count: int = _FIRST_BATCH

    def note_reply(self, count: int, reply: BatchReply) -> None:
        """Note how large the reply to a request for so many parts was."""
        size = sum(len(result[0]) for result in reply.data if isinstance(result, tuple))
        size += sum(len(name) for names in reply.children if isinstance(names, list) for name in names)
        if size > _REPLY_BYTES:
            self._shrink(count, size)
        elif 2 * size <= _REPLY_BYTES:
            self.count = max(self.count, min(count * 2, _BATCH))

    def note_too_large(self, count: int, size: int | None) -> None:
        """Note that the reply to a request for so many parts was over the client's limit."""
        self._shrink(count, max(size or 0, 2 * _REPLY_BYTES))

    def _shrink(self, count: int, size: int) -> None:
        self.count = max(1, min(self.count, count * _REPLY_BYTES // size))
