"""A reconcile loop: take one step towards the desired state at a time, each time that something may have changed."""

from __future__ import annotations

from collections.abc import Coroutine
from typing import Any, Protocol

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.python.failure import Failure

from txmirror.mirror.admission import AdmissionQueue
from txmirror.retrying import Backoff
from txmirror.timers import Timer

#: The shortest and the longest pause before a failed step is retried, in seconds.
FIRST_PAUSE, LONGEST_PAUSE = 0.5, 60.0


class Subject(Protocol):
    """The owner of a loop, which knows what is wanted and what is there."""

    @property
    def active(self) -> bool:
        """True if there is something to reconcile."""

    @property
    def urgent(self) -> bool:
        """True if the next step does not wait for the steps of other loops."""

    def step(self) -> Coroutine[Deferred[Any], Any, None]:
        """Take one step."""

    def step_failed(self, failure: Failure) -> None:
        """Note that a step has raised an exception, or was cancelled."""


class ReconcileLoop:
    """Calls its subject's ``step`` each time that it is woken, one step at a time.

    :param subject: takes the steps.
    :param queue: limits how many loops take a step at a time.
    :param reactor: runs the timer.
    """

    __slots__ = ("_backoff", "_queue", "_reactor", "_running", "_step", "_subject", "_timer", "_woken")

    def __init__(self, subject: Subject, queue: AdmissionQueue, reactor: IReactorTime) -> None:
        self._subject = subject
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
        if self._running or not self._subject.active:
            return
        if self._subject.urgent or self._queue.has_room(self):
            self._running = True
            self._queue.began()
            self._woken = False
            self._step = step = Deferred.fromCoroutine(self._subject.step())
            step.addErrback(self._subject.step_failed)
            step.addBoth(self._stepped)

    def admitted(self) -> None:
        """Take a step. The queue calls this when there is room."""
        self.wake()

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
        """Stop the timer, and do not wait for admission any more."""
        self.end_pause()
        self._queue.discard(self)
