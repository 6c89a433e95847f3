"""Backoff: the pauses before a retry."""

from __future__ import annotations

from collections.abc import Callable

from twisted.application.internet import backoffPolicy
from twisted.internet.interfaces import IReactorTime

from txmirror.timers import Timer


class Backoff:
    """Pauses that double from a first one up to a longest one.

    :param first: the first pause, in seconds.
    :param longest: the longest pause, in seconds.
    """

    __slots__ = ("_failures", "_pause")

    def __init__(self, first: float, longest: float) -> None:
        self._pause = backoffPolicy(initialDelay=first, maxDelay=longest, factor=2.0, jitter=lambda: 0.0)
        self._failures = 0

    def next_pause(self) -> float:
        """Count a failure, and return the pause after it in seconds."""
        pause: float = self._pause(self._failures)
        self._failures += 1
        return pause

    def reset(self) -> None:
        """Start again with the first pause: there was a success."""
        self._failures = 0


class RetryTimer:
    """A timer that calls a function after growing pauses.

    :param reactor: runs the timer.
    :param retry: the function to call.
    :param first: the first pause, in seconds.
    :param longest: the longest pause, in seconds.
    """

    __slots__ = ("_backoff", "_timer")

    def __init__(self, reactor: IReactorTime, retry: Callable[[], None], *, first: float, longest: float) -> None:
        self._timer = Timer(reactor, retry)
        self._backoff = Backoff(first, longest)

    @property
    def running(self) -> bool:
        """True if a retry is scheduled."""
        return self._timer.running

    def start(self) -> None:
        """Retry after the next pause, unless a retry is scheduled already."""
        if not self._timer.running:
            self._timer.start(self._backoff.next_pause())

    def stop(self) -> None:
        """Cancel the scheduled retry. The pauses go on growing."""
        self._timer.stop()

    def reset(self) -> None:
        """Start again with the first pause: there was a success. A scheduled retry stays."""
        self._backoff.reset()
