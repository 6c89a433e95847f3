"""A rate limit for writes: a token bucket."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from typing import Protocol

from twisted.internet.defer import Deferred, succeed
from twisted.internet.interfaces import IReactorTime

from txmirror.durations import check_seconds
from txmirror.timers import Timer


class IWriteLimit(Protocol):
    """Decides when a registration may write."""

    def take(self) -> Deferred[None]:
        """Wait for the permission for one write. Cancelling ends the wait."""


class TokenBucket:
    """A token bucket: ``calls`` operations at once, then ``calls`` in ``seconds`` seconds, evenly. Further ones wait in order.

    :param reactor: the reactor.
    :param calls: the number of operations.
    :param seconds: the period, in seconds.
    :raises ValueError: ``calls`` or ``seconds`` is not above 0; the message quotes it.
    """

    def __init__(self, reactor: IReactorTime, calls: int, seconds: float) -> None:
        if not 0 < calls < float("inf"):
            raise ValueError(f"rate_limit_calls is {calls!r}: not a number above 0")
        check_seconds("rate_limit_time", seconds, positive=True)
        self._reactor = reactor
        self._capacity = float(max(1, calls))
        self._rate = calls / seconds
        self._tokens = self._capacity
        self._counted_at = reactor.seconds()
        self._waiting: OrderedDict[Deferred[None], None] = OrderedDict()
        self._timer = Timer(reactor, self._fire_waiting)

    def take(self) -> Deferred[None]:
        """Wait for a token.

        :returns: fires when there is one. Cancelling leaves it to the next waiter.
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
        now = self._reactor.seconds()
        # A clock that was set back neither adds nor removes tokens.
        self._tokens = min(self._capacity, self._tokens + max(0.0, now - self._counted_at) * self._rate)
        self._counted_at = now

    def _wait(self) -> None:
        if self._waiting and not self._timer.running:
            # A little more than needed, because of rounding.
            self._timer.start(max(0.0, 1 - self._tokens) / self._rate + 1e-6)

    def _fire_waiting(self) -> None:
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


class Permit:
    """Permits one write at a time, when a limit allows it.

    :param limit: the limit; None permits all writes.
    :param granted: called when a write is allowed that :meth:`take` had to wait for.
    """

    def __init__(self, limit: IWriteLimit | None, granted: Callable[[], object]) -> None:
        self._limit = limit
        self._granted = granted
        self._token: Deferred[None] | None = None

    def take(self) -> bool:
        """Return whether the limit allows a write now. If not, ``granted`` is called when it does."""
        if self._limit is None:
            return True
        if self._token is None:
            self._token = self._limit.take()
            if not self._token.called:
                self._token.addCallbacks(lambda _: self._granted(), lambda _: None)
        if not self._token.called:
            return False
        self._token = None
        return True

    def cancel(self) -> None:
        """Leave the token to others."""
        if self._token is not None:
            self._token.cancel()
            self._token = None
