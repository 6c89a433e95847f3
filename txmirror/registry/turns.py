"""Who may do something now, and who waits. However many wait, and however many of them end at once, no call is nested in
another: Twisted's locks and semaphores hand over from within, so that a few hundred who end at once exceed the depth of Python's
stack, and nobody has a turn any more.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from types import TracebackType

from twisted.internet.defer import Deferred, succeed
from twisted.python.failure import Failure

from txmirror.deferreds import Pump
from txmirror.mirror import Mirror
from txmirror.mirror.admission import AdmissionQueue
from txmirror.registry.reach import when_connected

#: Begins to write.
Write = Callable[[], Deferred[None]]


class Turn:
    """A lock: ``async with`` it waits until no one else has it. Those who wait get it in order."""

    def __init__(self) -> None:
        self._taken = False
        self._waiting: OrderedDict[Deferred[None], None] = OrderedDict()
        self._hand_over = Pump(self._hand_over_once)

    def __aenter__(self) -> Deferred[None]:
        if not self._taken:
            self._taken = True
            return succeed(None)
        waiter: Deferred[None] = Deferred(lambda cancelled: self._waiting.pop(cancelled, None))
        self._waiting[waiter] = None
        return waiter

    def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> Deferred[None]:
        self._taken = False
        self._hand_over()
        return succeed(None)

    def _hand_over_once(self) -> None:
        if self._waiting and not self._taken:
            waiter, _ = self._waiting.popitem(last=False)
            self._taken = True
            # Whoever is done at once comes back to here, but not from within.
            waiter.callback(None)


class Turns:
    """Let writes take turns: those to one path one after another, and so many at a time in all.

    :param mirror: whose connection they wait for.
    :param limit: to how many paths is written at a time.
    """

    def __init__(self, mirror: Mirror, limit: int) -> None:
        self._mirror = mirror
        self._queue = AdmissionQueue(limit)
        self._paths: dict[str, _Path] = {}

    def take(self, path: str, write: Write) -> Deferred[None]:
        """Write to a path, after what was asked for it before.

        What is asked for the same path later makes this superfluous, unless it is cancelled: then this fires when its turn has come,
        and does nothing.

        :param write: called when its turn has come; what it gives is cancelled if the caller cancels.
        :returns: fires as ``write`` does. Fails with :exc:`~txmirror.errors.ClosingException` when the mirror is closed
            before. Cancelling ends the wait, or the write.
        """
        turns = self._paths.get(path)
        if turns is None:
            turns = self._paths[path] = _Path(self._mirror, self._queue, lambda: self._paths.pop(path))
        return turns.add(write)


class _Path:
    """The writes to one path.

    :param mirror: whose connection they wait for.
    :param queue: admits some of many paths.
    :param idle: called when nothing is to be written any more.
    """

    def __init__(self, mirror: Mirror, queue: AdmissionQueue, idle: Callable[[], object]) -> None:
        self._mirror = mirror
        self._queue = queue
        self._idle: Callable[[], object] | None = idle
        self._waiting: dict[Deferred[None], Write] = {}
        self._step: Deferred[None] | None = None
        #: Who waits for the write that is under way.
        self._writer: Deferred[None] | None = None

    def add(self, write: Write) -> Deferred[None]:
        """Write when what was asked for before is done."""
        waiter: Deferred[None] = Deferred(self._cancel)
        self._waiting[waiter] = write
        self._go_on()
        return waiter

    def admitted(self) -> None:
        """Begin: there is room."""
        self._queue.began()
        self._step = step = when_connected(self._mirror)
        step.addCallback(self._write)
        step.addBoth(self._written)

    def _go_on(self) -> None:
        if self._step is None and self._waiting and self._queue.has_room(self):
            self.admitted()

    def _write(self, _: None) -> Deferred[None] | None:
        self._writer, write = self._waiting.popitem()
        superfluous, self._waiting = self._waiting, {}
        for each in superfluous:
            if not each.called:
                each.callback(None)
        # One of those may have cancelled it.
        return None if self._writer.called else write()

    def _written(self, result: Failure | None) -> None:
        self._step = None
        writer, self._writer = self._writer, None
        if writer is not None:
            done = [writer]
        else:
            # There will be no connection, for none of them.
            done, self._waiting = list(self._waiting), {}
        for each in done:
            if not each.called:
                each.callback(result)
        self._go_on()
        self._note_idle()
        self._queue.ended()

    def _cancel(self, waiter: Deferred[None]) -> None:
        self._waiting.pop(waiter, None)
        if self._step is None:
            self._note_idle()
        elif waiter is self._writer or not (self._writer or self._waiting):
            self._step.cancel()

    def _note_idle(self) -> None:
        if self._step is None and not self._waiting and self._idle is not None:
            self._queue.discard(self)
            idle, self._idle = self._idle, None
            idle()
