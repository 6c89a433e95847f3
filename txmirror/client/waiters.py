"""Many who wait for one thing, and are told of it one after another: what one of them does may be to let another go."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TypeVar

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall, IReactorTime

_T = TypeVar("_T")


def fire_all(waiters: Iterable[Deferred[_T]], result: _T) -> None:
    """Tell everybody who still waits."""
    for waiter in waiters:
        if not waiter.called:
            waiter.callback(result)


def fail_all(waiters: Iterable[Deferred[_T]], make_error: Callable[[], Exception]) -> None:
    """Fail everybody who still waits, each with an exception of their own."""
    for waiter in waiters:
        if not waiter.called:
            waiter.errback(make_error())


class Pauses:
    """Pauses that somebody makes, which end early when all does.

    :param clock: runs the timers.
    """

    def __init__(self, clock: IReactorTime) -> None:
        self._clock = clock
        self._pauses: dict[Deferred[None], IDelayedCall] = {}

    def wait(self, seconds: float) -> Deferred[None]:
        """Wait for so long."""
        pause: Deferred[None] = Deferred(self._forget)
        self._pauses[pause] = self._clock.callLater(seconds, self._over, pause)
        return pause

    def end(self, make_error: Callable[[], Exception]) -> None:
        """Fail everybody who waits."""
        pauses, self._pauses = self._pauses, {}
        for timer in pauses.values():
            timer.cancel()
        fail_all(pauses, make_error)

    def _over(self, pause: Deferred[None]) -> None:
        del self._pauses[pause]
        pause.callback(None)

    def _forget(self, pause: Deferred[None]) -> None:
        timer = self._pauses.pop(pause, None)
        if timer is not None:
            timer.cancel()
