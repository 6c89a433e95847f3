"""Waiters that cancel cleanly, and a loop that does not re-enter itself."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, Generic, TypeVar

from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

_T = TypeVar("_T")


def fire_all(waiters: Iterable[Deferred[_T]], result: _T | Failure) -> None:
    """Fire every Deferred that the callbacks of an earlier one have not cancelled."""
    for waiter in waiters:
        if not waiter.called:
            waiter.callback(result)


def fail_all(waiters: Iterable[Deferred[_T]], make_error: Callable[[], BaseException]) -> None:
    """Fail every Deferred, likewise, each with an exception of its own."""
    for waiter in waiters:
        if not waiter.called:
            waiter.errback(make_error())


class Waiters(Generic[_T]):
    """Deferreds that wait for one event.

    Cancelling a Deferred removes it. All are removed before the first is fired, and fired in the order in which they were added,
    so that a callback may wait again, fire or cancel others.
    """

    __slots__ = ("_waiting",)

    def __init__(self) -> None:
        # There are many of these, and most have no waiters.
        self._waiting: dict[Deferred[_T], None] | None = None

    def __len__(self) -> int:
        return len(self._waiting or ())

    def wait(self) -> Deferred[_T]:
        """Return a Deferred that fires or fails with the next :meth:`fire` or :meth:`fail`. Cancelling it ends the wait."""
        waiter: Deferred[_T] = Deferred(self._forget)
        if self._waiting is None:
            self._waiting = {}
        self._waiting[waiter] = None
        return waiter

    def fire(self, result: _T) -> None:
        """Fire all waiting Deferreds."""
        fire_all(self._take(), result)

    def fail(self, make_error: Callable[[], BaseException]) -> None:
        """Fail all waiting Deferreds, each with an exception of its own."""
        fail_all(self._take(), make_error)

    def _take(self) -> Iterable[Deferred[_T]]:
        waiting, self._waiting = self._waiting, None
        return waiting or ()

    def _forget(self, waiter: Deferred[_T]) -> None:
        if self._waiting is not None:
            self._waiting.pop(waiter, None)


def follow(awaited: Deferred[_T]) -> Deferred[_T]:
    """Return a Deferred that fires with the result of another, which never fails. Cancelling it does not affect the other."""

    def fired(result: _T) -> _T:
        follower.callback(result)
        return result

    follower: Deferred[_T] = Deferred()
    awaited.addCallback(fired)
    return follower


class Pump:
    """A function without re-entrancy: a call while it runs makes it run once more afterwards.

    :param function: does as much as can be done now.
    """

    __slots__ = ("_again", "_function", "_running")

    def __init__(self, function: Callable[[], None]) -> None:
        self._function = function
        self._running = False
        self._again = False

    def __call__(self) -> None:
        if self._running:
            self._again = True
            return
        self._running = self._again = True
        try:
            while self._again:
                self._again = False
                self._function()
        finally:
            self._running = False


def shield(work: Deferred[_T], abandoned: Callable[[_T | Failure], object]) -> Deferred[_T]:
    """Return a Deferred that fires or fails as another. Cancelling it does not cancel that.

    :param abandoned: called with the result or the failure of ``work``, if the returned Deferred was cancelled before.
    """

    def ended(outcome: _T | Failure) -> None:
        if shielded.called:
            abandoned(outcome)
        else:
            shielded.callback(outcome)

    shielded: Deferred[Any] = Deferred()
    work.addBoth(ended)
    return shielded
