"""The time of a world in memory: delayed calls, each at its own time."""

from __future__ import annotations

from bisect import insort_right
from collections.abc import Callable
from operator import attrgetter

from twisted.internet.base import DelayedCall
from twisted.internet.interfaces import IDelayedCall
from twisted.internet.task import Clock


class _Call(DelayedCall):
    """A delayed call whose attribute ``time`` is always its time. When it changes, the call takes its new place at once."""

    def reset(self, secondsFromNow: float) -> None:
        super().reset(secondsFromNow)
        self._move()

    def delay(self, secondsLater: float) -> None:
        super().delay(secondsLater)
        self._move()

    def _move(self) -> None:
        self.activate_delay()
        self.resetter(self)


#: The key of the order of calls.
_due: Callable[[DelayedCall], float] = attrgetter("time")


class MemoryClock(Clock):
    """A clock that a test controls. See :class:`~txmirror.testing.MemoryReactor`.

    :cvar patience: the number of calls after which :meth:`settle` fails, because it takes them for an endless loop.
    """

    patience = 1_000_000

    def callLater(self, delay: float, callable: Callable[..., object], *args: object, **kw: object) -> IDelayedCall:
        # The base class sorts all calls again for each new one.
        call = _Call(self.rightNow + delay, callable, args, kw, self.calls.remove, self._place, self.seconds)
        insort_right(self.calls, call, key=_due)
        return call

    def _place(self, call: DelayedCall) -> None:
        """Move a call to its new place: its time has changed."""
        self.calls.remove(call)
        insort_right(self.calls, call, key=_due)

    def settle(self) -> None:
        """Run all calls that are due at this instant, and the calls that those schedule for it, until there are none.

        :raises RuntimeError: there is no end to them; the message names the next call.
        """
        self.take_turns(self.patience)
        if not self.calls or self.calls[0].time > self.rightNow:
            return
        raise RuntimeError(
            f"an endless loop: {self.patience} calls at the instant {self.seconds()}, and the next is {self.calls[0]}"
        )

    def take_turns(self, count: int) -> None:
        """Run at most ``count`` of the calls that are due at this instant, so that a test stops between them."""
        calls = self.calls
        for _ in range(count):
            if not calls or calls[0].time > self.rightNow:
                return
            call = calls.pop(0)
            call.called = 1
            call.func(*call.args, **call.kw)

    def pass_time(self, seconds: float) -> None:
        """Advance the time, and run each delayed call at its own time.

        (``advance`` of many seconds at once would show each call the time at the end.)

        :param seconds: the time to pass, in seconds.
        :raises ValueError: it is negative.
        :raises RuntimeError: see :meth:`settle`.
        """
        if seconds < 0:
            raise ValueError(f"the time to pass is negative: {seconds!r}")
        end = self.seconds() + seconds
        self.settle()
        while self.calls and self.calls[0].time <= end:
            self.rightNow: float = max(self.rightNow, self.calls[0].time)
            self.settle()
        self.rightNow = end
