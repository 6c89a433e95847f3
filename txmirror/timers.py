"""A timer that can be restarted and stopped at any time, and the default reactor."""

from __future__ import annotations

from collections.abc import Callable

from twisted.internet.interfaces import IDelayedCall, IReactorTime


def reactor_or_global(reactor: IReactorTime | None) -> IReactorTime:
    """Return a reactor; the global one if it is None, which only then is imported, and so installed."""
    if reactor is not None:
        return reactor
    from twisted.internet import reactor as global_reactor

    return IReactorTime(global_reactor)


class Timer:
    """A timer with one delayed call at a time.

    :param reactor: runs the timer.
    :param timed_out: called when the time is over.
    :ivar late: the seconds by which the latest call was late. The reactor was busy or stopped for so long, and has not read
        yet the data that arrived meanwhile.
    """

    __slots__ = ("_call", "_due", "_reactor", "_timed_out", "late")

    def __init__(self, reactor: IReactorTime, timed_out: Callable[[], None]) -> None:
        self._reactor = reactor
        self._timed_out = timed_out
        self._call: IDelayedCall | None = None
        self._due = 0.0
        self.late: float = 0.0

    @property
    def running(self) -> bool:
        """True if the timer was started, and has neither stopped nor fired."""
        return self._call is not None

    def start(self, delay: float) -> None:
        """Call the function once in ``delay`` seconds. A call that was scheduled before is cancelled."""
        self.stop()
        delay = max(0.0, delay)
        self._due = self._reactor.seconds() + delay
        self._call = self._reactor.callLater(delay, self._fire)

    def stop(self) -> None:
        """Cancel the scheduled call, if there is one."""
        if self._call is not None:
            self._call.cancel()
            self._call = None

    def _fire(self) -> None:
        self._call = None
        self.late = self._reactor.seconds() - self._due
        self._timed_out()
