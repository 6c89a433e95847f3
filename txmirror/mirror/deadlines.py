"""Time limits for many waiters with one timer."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from typing import Any

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.python.failure import Failure

from txmirror.timers import Timer


class Deadlines:
    """Cancels Deferreds that have not fired in time.

    Unlike :meth:`~twisted.internet.defer.Deferred.addTimeout` it has one delayed call for all.

    :param reactor: runs the timer.
    """

    def __init__(self, reactor: IReactorTime) -> None:
        self._reactor = reactor
        #: The waiters by the length of their limit, and in each the one that is due first is the first.
        self._waiting: dict[float, OrderedDict[Deferred[Any], float]] = {}
        self._timer = Timer(reactor, self._timed_out)
        self._next = 0.0

    def limit(self, waiter: Deferred[Any], seconds: float, make_error: Callable[[float], BaseException]) -> None:
        """Cancel a Deferred after a time, unless it has fired.

        :param make_error: called with ``seconds``; returns the error that it fails with then.
        """
        due = self._reactor.seconds() + seconds
        waiting = self._waiting.setdefault(seconds, OrderedDict())
        waiting[waiter] = due
        if not self._timer.running or due < self._next:
            self._start(due)

        def fired(result: Any) -> Any:
            if (
                waiting.pop(waiter, None) is None
                and isinstance(result, Failure)
                and isinstance(result.value, CancelledError)
            ):
                # The timer has cancelled it.
                raise make_error(seconds)
            if not waiting and self._waiting.get(seconds) is waiting:
                del self._waiting[seconds]
                if not self._waiting:
                    self._timer.stop()
            return result

        waiter.addBoth(fired)

    def _start(self, due: float) -> None:
        self._next = due
        self._timer.start(due - self._reactor.seconds())

    def _timed_out(self) -> None:
        now = self._reactor.seconds()
        late: list[Deferred[Any]] = []
        for seconds, waiting in list(self._waiting.items()):
            while waiting and next(iter(waiting.values())) <= now:
                late.append(waiting.popitem(last=False)[0])
            if not waiting:
                del self._waiting[seconds]
        if self._waiting:
            self._start(min(next(iter(waiting.values())) for waiting in self._waiting.values()))
        for waiter in late:
            waiter.cancel()
