"""A timer that can be started again and stopped at any time."""

from __future__ import annotations

from collections.abc import Callable

from twisted.internet.interfaces import IDelayedCall, IReactorTime


class Timer:
    """One delayed call at a time.

    :param clock: the reactor.
    :param expired: what to call when the time is over.
    :ivar late: how many seconds after it was due the latest call was made. The reactor was busy for so long, or stopped:
        what came in meanwhile is not read yet.
    """

    __slots__ = ("_call", "_clock", "_due", "_expired", "late")

    def __init__(self, clock: IReactorTime, expired: Callable[[], None]) -> None:
        self._clock = clock
        self._expired = expired
        self._call: IDelayedCall | None = None
        self._due = 0.0
        self.late = 0.0

    @property
    def running(self) -> bool:
        """Whether it was started, and is neither stopped nor over."""
        return self._call is not None

    def start(self, delay: float) -> None:
        """Call once after ``delay`` seconds from now, and not when it was to be before."""
        self.stop()
        delay = max(0.0, delay)
        self._due = self._clock.seconds() + delay
        self._call = self._clock.callLater(delay, self._fire)

    def stop(self) -> None:
        """Call no more, if that was still to come."""
        if self._call is not None:
            self._call.cancel()
            self._call = None

    def _fire(self) -> None:
        self._call = None
        self.late = self._clock.seconds() - self._due
        self._expired()
