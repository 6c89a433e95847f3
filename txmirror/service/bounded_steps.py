"""Steps of a stop, one after another, in a limited time; an operator who asks again is not kept waiting."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.defer import TimeoutError as DeferredTimeout
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger

#: The time that each step has after :meth:`BoundedSteps.hurry`, in seconds.
_HURRIED = 1.0


class BoundedSteps:
    """Waits for steps, for a limited time in all.

    :param seconds: the time for all steps.
    :param reactor: runs the timers.
    :ivar hurried: whether there is no time any more.
    """

    _log = Logger()

    def __init__(self, seconds: float, reactor: IReactorTime) -> None:
        self.hurried: bool = False
        self._reactor = reactor
        self._deadline = reactor.seconds() + seconds
        self._waiting: Deferred[Any] | None = None

    def hurry(self) -> None:
        """End the present wait. Each later step has one second."""
        if not self.hurried:
            self.hurried = True
            self._log.warn("Asked to stop again: not waiting for anything any more.")
            if self._waiting is not None:
                self._waiting.cancel()

    async def wait(self, step: Deferred[Any], what: str) -> None:
        """Wait for a step; cancel it when the time is over.

        :param what: names the step in the log, as in "the drain".
        """
        left = max(0.0, self._deadline - self._reactor.seconds())
        self._waiting = step.addTimeout(min(left, _HURRIED) if self.hurried else left, self._reactor)
        try:
            await self._waiting
        except (DeferredTimeout, CancelledError):
            if not self.hurried:
                self._log.warn("The time for the stop is over: not waiting for {what} any more.", what=what)
        finally:
            self._waiting = None
