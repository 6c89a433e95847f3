"""Requests that wait for a change: blocking queries."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.interfaces import IReactorTime

from txmirror.timers import Timer

#: The number of waits that end in one turn of the reactor: each of them makes a long answer.
_MOST_IN_TURN: Final = 20


class TooManyWaiting(Exception):
    """As many requests wait for changes as are allowed."""


class Waiting:
    """The requests that wait for a change of a service, or of any.

    :param most: the most of them.
    :param index_of: returns the present index of a service, or of all for None.
    :param reactor: measures the time.
    """

    def __init__(self, most: int, index_of: Callable[[str | None], int], reactor: IReactorTime) -> None:
        self._most = most
        self._index_of = index_of
        self._reactor = reactor
        self._count = 0
        self._by_service: dict[str | None, dict[Deferred[None], Timer]] = {}
        self._ending: dict[Deferred[None], None] = {}
        self._next = Timer(reactor, self._end_some)

    def __len__(self) -> int:
        return self._count

    def wait(self, service: str | None, index: int, seconds: float) -> Deferred[None]:
        """Wait until the index of a service, or of all, is not this one.

        :returns: fires then, or after that time. Fails at once with :exc:`TooManyWaiting`. Cancelling ends the wait.
        """
        if self._index_of(service) != index or seconds <= 0:
            return succeed(None)
        if self._count >= self._most:
            return fail(TooManyWaiting(f"{self._most} requests wait for changes already"))
        waiter: Deferred[None] = Deferred(lambda _: self._forget(service, waiter))
        timer = Timer(self._reactor, lambda: self._time_over(service, waiter))
        self._by_service.setdefault(service, {})[waiter] = timer
        self._count += 1
        timer.start(seconds)
        return waiter

    def changed(self, service: str) -> None:
        """End the waits for a service, and those for any."""
        for each in (service, None):
            for waiter in list(self._by_service.get(each, ())):
                self._end(each, waiter)

    def end_all(self) -> None:
        """End all waits at once."""
        for service, waiters in list(self._by_service.items()):
            for waiter in list(waiters):
                self._end(service, waiter)
        while self._ending:
            self._end_some()
        self._next.stop()

    def _time_over(self, service: str | None, waiter: Deferred[None]) -> None:
        self._forget(service, waiter)
        waiter.callback(None)

    def _end(self, service: str | None, waiter: Deferred[None]) -> None:
        self._by_service[service].pop(waiter).stop()
        if not self._by_service[service]:
            del self._by_service[service]
        self._ending[waiter] = None
        if not self._next.running:
            self._next.start(0)

    def _end_some(self) -> None:
        for waiter in list(self._ending)[:_MOST_IN_TURN]:
            # A callback of an earlier one may have cancelled it.
            if self._ending.pop(waiter, waiter) is None:
                self._count -= 1
                waiter.callback(None)
        if self._ending and not self._next.running:
            self._next.start(0)

    def _forget(self, service: str | None, waiter: Deferred[None]) -> None:
        waiters = self._by_service.get(service, {})
        timer = waiters.pop(waiter, None)
        if timer is not None:
            timer.stop()
            if not waiters:
                del self._by_service[service]
        else:
            self._ending.pop(waiter, None)
        self._count -= 1
