"""A clock that jumps of the wall clock do not affect.

A reactor measures time by the wall clock. When the wall clock is set forward, all timers fire at once. When it is set back, they
fire later by the same time, and the reactor itself sleeps for that time unless a file descriptor wakes it.
"""

from __future__ import annotations

import heapq
import threading
import time
from collections.abc import Callable, Sequence
from itertools import count
from typing import Any, Final

from twisted.internet.base import DelayedCall
from twisted.internet.interfaces import IDelayedCall, IReactorFromThreads, IReactorTime
from twisted.logger import Logger
from zope.interface import implementer

from txmirror.timers import Timer

#: The wall clock has jumped if its difference to this clock has changed by more seconds than this.
_JUMP: Final = 1.0
#: The interval for comparing the clocks, in seconds.
_PERIOD: Final = 1.0


@implementer(IReactorTime)
class SteadyClock:
    """An ``IReactorTime`` that counts the seconds of ``time.monotonic``, on the timers of a reactor.

    It has at most one delayed call of the reactor at a time. Between :meth:`start` and :meth:`stop`, a thread wakes the reactor
    each second; it does nothing else. Delayed calls run in the reactor's thread, also while the clock is stopped.

    :param reactor: an ``IReactorTime`` that is also an ``IReactorFromThreads``, as every reactor is.
    :param monotonic: returns seconds that never go backwards.
    """

    _log = Logger()

    def __init__(self, reactor: Any, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._wall: IReactorTime = reactor
        self._threads: IReactorFromThreads = reactor
        self.seconds = monotonic
        self._calls: list[tuple[float, int, DelayedCall]] = []
        self._order = count()
        self._timer = Timer(reactor, self.tick)
        self._due = 0.0
        self._offset = 0.0
        self._stopped: threading.Event | None = None

    def start(self) -> None:
        """Start watching the wall clock."""
        if self._stopped is None:
            self._offset = self._wall.seconds() - self.seconds()
            self._stopped = threading.Event()
            threading.Thread(target=self._wake, args=(self._stopped,), name="SteadyClock", daemon=True).start()

    def stop(self) -> None:
        """Stop watching the wall clock."""
        if self._stopped is not None:
            self._stopped.set()
            self._stopped = None

    def callLater(self, delay: float, callable: Callable[..., object], *args: object, **kw: object) -> IDelayedCall:
        call = DelayedCall(
            self.seconds() + delay, callable, args, kw, self._cancelled, self._moved, seconds=self.seconds
        )
        self._push(call)
        return call

    def getDelayedCalls(self) -> Sequence[IDelayedCall]:
        return [call for _, _, call in self._calls if call.active()]

    def tick(self) -> None:
        """Run the calls that are due. A jump of the wall clock is logged."""
        self._report_jump()
        # A call that a call schedules runs in a later tick, so that other events are not kept waiting.
        due = []
        now = self.seconds()
        while self._calls and self._calls[0][0] <= now:
            due.append(heapq.heappop(self._calls)[2])
        for call in due:
            if not call.active():
                continue
            if call.getTime() > now:
                # It was delayed meanwhile.
                self._push(call)
                continue
            call.called = 1
            try:
                call.func(*call.args, **call.kw)
            except Exception:
                # As in the reactor: whatever one call raises, the others run.
                self._log.failure("A delayed call raised an exception.")
        self._schedule()

    def _push(self, call: DelayedCall) -> None:
        heapq.heappush(self._calls, (call.getTime(), next(self._order), call))
        self._schedule()

    def _moved(self, call: DelayedCall) -> None:
        """Add a call again that is due earlier than before. Its former entry is skipped."""
        self._push(call)

    def _cancelled(self, call: DelayedCall) -> None:
        call.cancelled = 1
        self._schedule()

    def _schedule(self) -> None:
        """Let the reactor call :meth:`tick` when the next call is due."""
        while self._calls and not self._calls[0][2].active():
            heapq.heappop(self._calls)
        if not self._calls:
            self._timer.stop()
        elif not self._timer.running or self._calls[0][0] != self._due:
            self._due = self._calls[0][0]
            self._timer.start(self._due - self.seconds())

    def _report_jump(self) -> None:
        if self._stopped is None:
            return
        offset = self._wall.seconds() - self.seconds()
        jump, self._offset = offset - self._offset, offset
        if abs(jump) > _JUMP:
            self._log.warn(
                "The wall clock has jumped by {jump:+.1f} s; pauses and timeouts are not affected.", jump=jump
            )
            # The reactor measures the delay of its call by the wall clock.
            self._timer.stop()

    def _wake(self, stopped: threading.Event) -> None:
        """Wake the reactor each second, in a thread: a wait for an event does not depend on the wall clock."""
        while not stopped.wait(_PERIOD):
            self._threads.callFromThread(self._look, stopped)

    def _look(self, stopped: threading.Event) -> None:
        if not stopped.is_set():
            self.tick()
