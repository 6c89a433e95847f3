"""Calls that wait for an instance, each with a deadline of its own."""

from __future__ import annotations

from collections.abc import Callable, Collection, Hashable

import attrs
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime

from txmirror.timers import Timer
from txmirror.types import Instance

#: Picks an instance for a key, but for the avoided ones; returns None if there is none.
Pick = Callable[[Hashable | None, Collection[Instance]], Instance | None]


@attrs.frozen(eq=False)
class Waiter:
    """A call that waits."""

    key: Hashable | None
    """The key of the request."""
    avoid: Collection[Instance]
    """The instances that are not wanted."""
    seconds: float
    """The longest wait."""
    deferred: Deferred[Instance]
    """Fires with the instance."""
    timer: Timer
    """The deadline."""


class WaitingCalls:
    """The calls that wait, in the order in which they began.

    :param pick: picks an instance.
    :param make_error: returns the exception for a call with these avoided instances that has waited for so long.
    :param changed: called when a call begins or ends to wait.
    """

    def __init__(
        self,
        pick: Pick,
        make_error: Callable[[Collection[Instance], float], Exception],
        changed: Callable[[], None],
    ) -> None:
        self._pick = pick
        self._make_error = make_error
        self._changed = changed
        self._waiting: dict[Waiter, None] = {}

    def __bool__(self) -> bool:
        return bool(self._waiting)

    def add(
        self, key: Hashable | None, avoid: Collection[Instance], seconds: float, reactor: IReactorTime
    ) -> Deferred[Instance]:
        """Wait for an instance.

        :returns: fails after that time. Cancelling ends the wait.
        """
        waiter = Waiter(
            key,
            avoid,
            seconds,
            Deferred(lambda _: self._end(waiter)),
            Timer(reactor, lambda: self._expire(waiter)),
        )
        self._waiting[waiter] = None
        waiter.timer.start(seconds)
        self._changed()
        return waiter.deferred

    def serve(self) -> None:
        """Pick an instance for each call for which there is one."""
        for waiter in list(self._waiting):
            # A callback of an earlier one may have cancelled it.
            if waiter in self._waiting:
                self._serve_one(waiter)

    def fail_all(self) -> None:
        """Let all calls fail."""
        for waiter in list(self._waiting):
            if waiter in self._waiting:
                self._fail(waiter, self._make_error(waiter.avoid, waiter.seconds))

    def _serve_one(self, waiter: Waiter) -> None:
        try:
            instance = self._pick(waiter.key, waiter.avoid)
        except Exception as error:
            self._fail(waiter, error)
        else:
            if instance is not None:
                self._end(waiter)
                waiter.deferred.callback(instance)

    def _expire(self, waiter: Waiter) -> None:
        # If the reactor was late, there may be an instance already.
        self._serve_one(waiter)
        if waiter in self._waiting:
            self._fail(waiter, self._make_error(waiter.avoid, waiter.seconds))

    def _fail(self, waiter: Waiter, error: Exception) -> None:
        self._end(waiter)
        waiter.deferred.errback(error)

    def _end(self, waiter: Waiter) -> None:
        waiter.timer.stop()
        self._waiting.pop(waiter, None)
        self._changed()
