"""Backoff: the pauses before a retry."""

from __future__ import annotations

from collections.abc import Callable

from twisted.internet.interfaces import IReactorTime

from txmirror.timers import Timer


class Backoff:
    """Pauses that double from a first one up to a longest one.

    :param first: the first pause, in seconds.
    :param longest: the longest pause, in seconds.
    """

    __slots__ = ("_first", "_longest", "_next")

    # Twisted has backoffPolicy, in a module whose import takes a tenth of a second.
    def __init__(self, first: float, longest: float) -> None:
        self._first = min(first, longest)
        self._longest = longest
        self._next = self._first

    def next_pause(self) -> float:
        """Count a failure, and return the pause after it in seconds."""
        pause = self._next
        self._next = min(2.0 * pause, self._longest)
        return pause

    def reset(self) -> None:
        """Start again with the first pause: there was a success."""
        self._next = self._first


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
