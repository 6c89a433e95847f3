"""What goes out to the servers, and what has to wait: for a connection, or for others to be answered."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.internet.interfaces import IReactorTime

from txmirror.client.calls import Call, Priority, RequestQueue
from txmirror.client.connection import Connection
from txmirror.client.limits import Limits
from txmirror.errors import RequestTooLargeException, ZooKeeperException


class Outbox:
    """Sends requests in the order in which they were asked for, as many at a time as may be in flight.

    :param clock: runs the timer of those that wait.
    :param limits: the bounds.
    :param live_connection: gives the connection that serves the session, if there is one.
    :param closed_reason: tells why nothing can be asked any more, of the path that it is asked for, if that is so.
    """

    def __init__(
        self,
        clock: IReactorTime,
        limits: Limits,
        live_connection: Callable[[], Connection | None],
        closed_reason: Callable[[str | None], ZooKeeperException | None],
    ) -> None:
        self._limits = limits
        self._queue = RequestQueue(clock, limits)
        self._live_connection = live_connection
        self._closed_reason = closed_reason

    def __len__(self) -> int:
        return len(self._queue)

    def submit(self, call: Call[Any], priority: Priority) -> None:
        """Send a request, or let it wait as its priority says."""
        refusal = self._closed_reason(call.path) or self.over_limit(8 + len(call.body), call.path)
        connection = self._live_connection()
        if refusal is not None:
            call.fail(refusal)
        elif connection is None:
            self._queue.add(call, priority)
        elif priority is Priority.URGENT or not (connection.full or self._queue):
            connection.send(call)
        else:
            self._queue.add(call, priority)

    def over_limit(self, size: int, path: str | None = None) -> RequestTooLargeException | None:
        """Tell that a request of so many bytes, without its length, is too large, if it is."""
        limit = self._limits.max_request
        if size <= limit:
            return None
        return RequestTooLargeException(f"a request of {size} bytes is over the limit of {limit}", path=path)

    def connected(self, connection: Connection) -> None:
        """Send the urgent requests that wait, and let the others wait for room only."""
        self._queue.connected()
        while self._queue.urgent:
            connection.send(self._queue.take())

    def disconnected(self) -> None:
        """Let requests wait for a connection, for a limited time."""
        self._queue.disconnected()

    def send_waiting(self, connection: Connection) -> bool:
        """Send the requests that wait, as far as there is room.

        :returns: whether none waits any more.
        """
        while self._queue and not connection.full:
            connection.send(self._queue.take())
        return not self._queue

    def take_unbounded(self) -> list[Call[Any]]:
        """Remove and return the requests of :attr:`Priority.WAITING`, in order."""
        return self._queue.take_unbounded()

    def take_all(self) -> list[Call[Any]]:
        """Take out all that waits, in order."""
        return self._queue.take_all()
