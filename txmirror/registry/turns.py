"""A queue of writes without nested calls, for any number of writes that end at once.

Twisted's semaphores release the next waiter from within the call that ends the last one. If a few hundred waiters end at once,
that exceeds the depth of Python's stack, and the semaphore is never released.
"""

from __future__ import annotations

from collections.abc import Callable

from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from txmirror.deferreds import fire_all
from txmirror.mirror import Mirror
from txmirror.registry.admission import AdmissionQueue
from txmirror.registry.reachability import when_connected

#: Starts a write.
Write = Callable[[], Deferred[None]]


class Turns:
    """A queue of writes: one at a time to each path, and a limited number in all.

    :param mirror: the mirror. Writes wait for its connection.
    :param limit: the most paths that are written at a time.
    """

    def __init__(self, mirror: Mirror, limit: int) -> None:
        self._mirror = mirror
        self._queue = AdmissionQueue(limit)
        self._paths: dict[str, _Path] = {}

    def take(self, path: str, write: Write) -> Deferred[None]:
        """Write to a path, after earlier writes to it.

        A later write to the path supersedes this one, unless the later one is cancelled: then this Deferred fires in its turn, and
        nothing is written.

        :param write: called in its turn; the Deferred that it returns is cancelled if the caller cancels.
        :returns: fires as ``write`` does. Fails with :exc:`~txmirror.errors.ClosingException` when the mirror is closed
            before. Cancelling ends the wait, or the write.
        """
        turns = self._paths.get(path)
        if turns is None:
            turns = self._paths[path] = _Path(self._mirror, self._queue, lambda: self._paths.pop(path))
        return turns.add(write)


class _Path:
    """The writes to one path.

    :param mirror: the mirror. Writes wait for its connection.
    :param queue: limits the number of paths that are written at a time.
    :param idle: called when no write is left.
    """

    def __init__(self, mirror: Mirror, queue: AdmissionQueue, idle: Callable[[], object]) -> None:
        self._mirror = mirror
        self._queue = queue
        self._idle: Callable[[], object] | None = idle
        self._waiting: dict[Deferred[None], Write] = {}
        self._step: Deferred[None] | None = None
        #: The waiter for the current write.
        self._current: Deferred[None] | None = None

    def add(self, write: Write) -> Deferred[None]:
        """Write when the current write is done."""
        waiter: Deferred[None] = Deferred(self._cancel)
        self._waiting[waiter] = write
        self._start_next()
        return waiter

    def admitted(self) -> None:
        """Start the next write. The queue calls this when there is room."""
        self._queue.began()
        self._step = step = when_connected(self._mirror)
        step.addCallback(self._write)
        step.addBoth(self._written)

    def _start_next(self) -> None:
        if self._step is None and self._waiting and self._queue.has_room(self):
            self.admitted()

    def _write(self, _: None) -> Deferred[None] | None:
        self._current, write = self._waiting.popitem()
        superseded, self._waiting = self._waiting, {}
        fire_all(superseded, None)
        # The callback of a superseded write may have cancelled this one.
        return None if self._current.called else write()

    def _written(self, result: Failure | None) -> None:
        self._step = None
        current, self._current = self._current, None
        if current is not None:
            done = [current]
        else:
            # The mirror is closed: all waiters fail.
            done, self._waiting = list(self._waiting), {}
        fire_all(done, result)
        self._start_next()
        self._note_idle()
        self._queue.ended()

    def _cancel(self, waiter: Deferred[None]) -> None:
        self._waiting.pop(waiter, None)
        if self._step is None:
            self._note_idle()
        elif waiter is self._current or not (self._current or self._waiting):
            self._step.cancel()

    def _note_idle(self) -> None:
        if self._step is None and not self._waiting and self._idle is not None:
            self._queue.discard(self)
            idle, self._idle = self._idle, None
            idle()
