"""How often something may be done."""

from __future__ import annotations

from collections import OrderedDict

from twisted.internet.defer import Deferred, succeed
from twisted.internet.interfaces import IReactorTime

from txmirror.timers import Timer


class TokenBucket:
    """Lets so many through in a row, and then no more than as many again in so many seconds, evenly. Others wait in order.

    :param clock: the reactor.
    :param calls: how many.
    :param seconds: in how long.
    :raises ValueError: one of them is not above 0; the message quotes it.
    """

    def __init__(self, clock: IReactorTime, calls: int, seconds: float) -> None:
        if not 0 < calls < float("inf"):
            raise ValueError(f"rate_limit_calls is {calls!r}: not a number above 0")
        if not 0 < seconds < float("inf"):
            raise ValueError(f"rate_limit_time is {seconds!r}: not a number of seconds above 0")
        self._clock = clock
        self._most = float(max(1, calls))
        self._rate = calls / seconds
        self._tokens = self._most
        self._counted_at = clock.seconds()
        self._waiting: OrderedDict[Deferred[None], None] = OrderedDict()
        self._timer = Timer(clock, self._let_through)

    def take(self) -> Deferred[None]:
        """Wait for one's turn.

        :returns: fires when it has come. Cancelling gives it to the next.
        """
        self._count()
        if self._tokens >= 1 and not self._waiting:
            self._tokens -= 1
            return succeed(None)
        waiter: Deferred[None] = Deferred(self._forget)
        self._waiting[waiter] = None
        self._wait()
        return waiter

    def _count(self) -> None:
        now = self._clock.seconds()
        # A clock that was set back gives nothing, and takes nothing.
        self._tokens = min(self._most, self._tokens + max(0.0, now - self._counted_at) * self._rate)
        self._counted_at = now

    def _wait(self) -> None:
        if self._waiting and not self._timer.running:
            # A little more than needed, for what is lost in dividing.
            self._timer.start(max(0.0, 1 - self._tokens) / self._rate + 1e-6)

    def _let_through(self) -> None:
        self._count()
        while self._waiting and self._tokens >= 1:
            self._tokens -= 1
            waiter, _ = self._waiting.popitem(last=False)
            waiter.callback(None)
        self._wait()

    def _forget(self, waiter: Deferred[None]) -> None:
        self._waiting.pop(waiter, None)
        if not self._waiting:
            self._timer.stop()
