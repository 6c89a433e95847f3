"""Limit the rate of nodes."""

from __future__ import annotations

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime


class Pace:
    """Limits the number of nodes in a second.

    :param reactor: the source of the time; it runs the pauses.
    :param rate: the number; None does not limit it.
    """

    def __init__(self, reactor: IReactorTime, rate: float | None) -> None:
        self._reactor = reactor
        self._rate = rate
        self._next = reactor.seconds()

    async def turn(self) -> None:
        """Wait until it is the turn of the next node."""
        if self._rate is None:
            return
        now = self._reactor.seconds()
        # A pause of the reader is not made up for.
        self._next = max(self._next, now - 1 / self._rate) + 1 / self._rate
        if self._next > now:
            over: Deferred[None] = Deferred()
            timer = self._reactor.callLater(self._next - now, over.callback, None)
            try:
                await over
            finally:
                if timer.active():
                    timer.cancel()
