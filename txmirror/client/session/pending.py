"""Send requests in order, or queue them: until there is a connection, or until others are answered."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.internet.interfaces import IReactorTime

from txmirror.client.connection.calls import Call, Priority, RequestQueue
from txmirror.client.connection.connection import Connection
from txmirror.client.connection.settings import Limits
from txmirror.errors import RequestTooLargeException, ZooKeeperException


class Outbox:
    """Sends requests in the order of :meth:`submit`, as many at a time as may be in flight.

    :param clock: runs the timeout of queued requests.
    :param limits: the bounds.
    :param live_connection: returns the connection that serves the session, if there is one.
    :param closed_reason: returns the exception for a request on a path if the client takes no more requests, else None.
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
        """Send a request, queue it by its priority, or fail it."""
        refusal = self._closed_reason(call.path) or self.over_limit(8 + len(call.body), call.path)
        connection = self._live_connection()
        if refusal is not None:
            call.fail(refusal)
        elif connection is None:
            self._queue.add(call, priority)
        elif not (connection.full or self._queue) or priority is Priority.URGENT:
            connection.send(call)
        else:
            self._queue.add(call, priority)

    def over_limit(self, size: int, path: str | None = None) -> RequestTooLargeException | None:
        """Return an exception if a request of ``size`` bytes, without its length, is too large, else None."""
        limit = self._limits.max_request
        if size <= limit:
            return None
        return RequestTooLargeException(f"a request of {size} bytes is over the limit of {limit}", path=path)

    def connected(self, connection: Connection) -> None:
        """Send the urgent requests of the queue, and stop the timeout of the others."""
        self._queue.connected()
        while self._queue.urgent:
            connection.send(self._queue.take())

    def disconnected(self) -> None:
        """Start the timeout of queued requests: there is no connection."""
        self._queue.disconnected()

    def send_waiting(self, connection: Connection) -> bool:
        """Send queued requests until the window of requests in flight is full.

        :returns: whether the queue is empty.
        """
        while self._queue and not connection.full:
            connection.send(self._queue.take())
        return not self._queue

    def take_unbounded(self) -> list[Call[Any]]:
        """Remove and return the requests of :attr:`Priority.WAITING`, in order."""
        return self._queue.take_unbounded()

    def take_all(self) -> list[Call[Any]]:
        """Remove and return all requests, in order."""
        return self._queue.take_all()
