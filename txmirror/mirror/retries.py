"""The nodes that could not be read: each is retried after pauses of its own, which grow."""

from __future__ import annotations

from collections.abc import Callable

from twisted.internet.interfaces import IReactorTime

from txmirror.retrying import Backoff
from txmirror.timers import Timer

#: The pauses before a node is retried, in seconds.
_FIRST_PAUSE = 1.0
_LONGEST_PAUSE = 60.0
#: Nodes that are due so many seconds later are retried with the others.
_TOGETHER = 0.1


class Retries:
    """A schedule of nodes to read again, with one timer.

    :param reactor: runs the timer.
    :param retry: called with the path of each node whose pause is over.
    :ivar failing: the nodes that could not be read the last time, with their pauses.
    """

    def __init__(self, reactor: IReactorTime, retry: Callable[[str], object]) -> None:
        self._reactor = reactor
        self._retry = retry
        self.failing: dict[str, Backoff] = {}
        self._due: dict[str, float] = {}
        self._next = 0.0
        self._timer = Timer(reactor, self._timed_out)
        self._running = False

    def later(self, path: str) -> None:
        """Retry a node after its next pause, unless a retry is scheduled already. Without a connection, :meth:`start` retries it."""
        if path in self._due:
            return
        backoff = self.failing.get(path)
        if backoff is None:
            backoff = self.failing[path] = Backoff(_FIRST_PAUSE, _LONGEST_PAUSE)
        self._due[path] = self._reactor.seconds() + backoff.next_pause()
        if self._running and (not self._timer.running or self._due[path] < self._next):
            self._schedule(self._due[path])

    def succeeded(self, path: str) -> None:
        """Forget a node: it was read, or is not wanted any more."""
        if path in self.failing:
            del self.failing[path]
            self._due.pop(path, None)

    def start(self) -> None:
        """Retry all scheduled nodes now, and others when their pauses are over: there is a connection."""
        self._running = True
        self.retry_now()

    def retry_now(self) -> None:
        """Retry all scheduled nodes. Their pauses go on growing."""
        self._timer.stop()
        due, self._due = self._due, {}
        for path in due:
            self._retry(path)

    def stop(self) -> None:
        """Retry nothing for now: there is no connection."""
        self._running = False
        self._timer.stop()

    def _schedule(self, due: float) -> None:
        self._next = due
        self._timer.start(due - self._reactor.seconds())

    def _timed_out(self) -> None:
        until = self._reactor.seconds() + _TOGETHER
        due = [path for path, time in self._due.items() if time <= until]
        for path in due:
            del self._due[path]
        if self._due:
            self._schedule(min(self._due.values()))
        for path in due:
            self._retry(path)
