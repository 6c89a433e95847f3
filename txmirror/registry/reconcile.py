"""A reconcile loop: take one step towards the desired state at a time, each time that something may have changed."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.python.failure import Failure

from txmirror.registry.admission import AdmissionQueue
from txmirror.retrying import Backoff
from txmirror.timers import Timer

#: The shortest and the longest pause before a failed step is retried, in seconds.
FIRST_PAUSE, LONGEST_PAUSE = 0.5, 60.0


class ReconcileLoop:
    """Takes a step each time that it is woken, one at a time.

    :param step: takes one step.
    :param failed: called with the failure of a step that raises, or was cancelled.
    :param queue: limits how many loops take a step at a time.
    :param reactor: runs the timer.
    :ivar active: whether to take steps.
    :ivar urgent: whether to take the next step without waiting for the steps of other loops.
    """

    def __init__(
        self,
        step: Callable[[], Coroutine[Deferred[Any], Any, None]],
        failed: Callable[[Failure], None],
        queue: AdmissionQueue,
        reactor: IReactorTime,
    ) -> None:
        self.active: bool = False
        self.urgent: bool = False
        self._take_step = step
        self._failed = failed
        self._queue = queue
        self._reactor = reactor
        self._running = self._woken = False
        self._step: Deferred[None] | None = None
        # Most loops never pause.
        self._timer: Timer | None = None
        self._backoff: Backoff | None = None

    @property
    def running(self) -> bool:
        """True if a step is under way."""
        return self._running

    @property
    def pausing(self) -> bool:
        """True if the timer is to wake the loop."""
        return self._timer is not None and self._timer.running

    def wake(self) -> None:
        """Take a step as soon as possible; if one is under way, take another one after it."""
        self._woken = True
        if self._running or not self.active:
            return
        if self.urgent or self._queue.has_room(self):
            self._running = True
            self._queue.began()
            self._woken = False
            self._step = step = Deferred.fromCoroutine(self._take_step())
            step.addCallbacks(self._stepped, self._step_failed)

    def admitted(self) -> None:
        """Take a step. The queue calls this when there is room."""
        self.wake()

    def _step_failed(self, failure: Failure) -> None:
        try:
            self._failed(failure)
        finally:
            self._stepped(None)

    def _stepped(self, _: object) -> None:
        self._running = False
        self._step = None
        self._queue.ended()
        if self._woken:
            self.wake()

    def cancel_step(self) -> None:
        """Cancel the step that is under way, if there is one."""
        if self._step is not None:
            self._step.cancel()

    def pause(self, seconds: float) -> None:
        """Wake the loop after a pause."""
        if self._timer is None:
            self._timer = Timer(self._reactor, self.wake)
        self._timer.start(seconds)

    def retry(self) -> None:
        """Wake the loop after a pause that grows from one failure to the next."""
        if self._backoff is None:
            self._backoff = Backoff(FIRST_PAUSE, LONGEST_PAUSE)
        self.pause(self._backoff.next_pause())

    def succeeded(self) -> None:
        """Begin with the shortest pause again."""
        self._backoff = None

    def end_pause(self) -> None:
        """Stop the timer."""
        if self._timer is not None:
            self._timer.stop()

    def stop(self) -> None:
        """Take no more steps."""
        self.active = False
        self.end_pause()
        self._queue.discard(self)
