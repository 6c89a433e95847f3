"""Send requests in order, or queue them: until there is a connection, or until others are answered."""

from __future__ import annotations

import enum
from collections import OrderedDict
from math import inf
from typing import Any

from twisted.internet.interfaces import IReactorTime

from txmirror.client.connection.calls import Call
from txmirror.client.connection.connection import Connection
from txmirror.client.connection.settings import Limits
from txmirror.client.session.machine import Generation, SessionMachine, State
from txmirror.errors import (
    ConnectionLossException,
    RequestTooLargeException,
    TooManyRequestsException,
)
from txmirror.timers import Timer


class Priority(enum.Enum):
    """The place in the queue of a request that cannot be sent at once."""

    BOUNDED = "bounded"
    """At the end of the queue. If the queue holds the most that it may of this priority, the request fails."""
    WAITING = "waiting"
    """At the end of the queue, which may have any length."""
    URGENT = "urgent"
    """Ahead of the queue. It is sent even if the window of requests in flight is full."""


class RequestQueue:
    """The requests that were not sent yet, in order.

    Requests of :attr:`Priority.BOUNDED` are bounded in number and in bytes. All have a timeout, which does not run while
    there is a connection: then they wait for other requests to be answered, however long that takes.

    :param clock: runs the timer.
    :param limits: the bounds.
    """

    def __init__(self, clock: IReactorTime, limits: Limits) -> None:
        self._clock = clock
        self._limits = limits
        # An ordinary dict would step over every entry that was removed before to find the first.
        self._urgent: OrderedDict[Call[Any], float] = OrderedDict()
        self._others: OrderedDict[Call[Any], float] = OrderedDict()
        self._bounded = 0
        self._bounded_bytes = 0
        self._connected = False
        self._disconnected_at = -inf
        self._timer = Timer(clock, self._expire)

    def __len__(self) -> int:
        return len(self._urgent) + len(self._others)

    def __bool__(self) -> bool:
        # Each request evaluates this.
        return bool(self._others or self._urgent)

    @property
    def urgent(self) -> bool:
        """True if urgent requests wait."""
        return bool(self._urgent)

    def add(self, call: Call[Any], priority: Priority) -> None:
        """Add a request. One over the bounds fails at once with :exc:`~txmirror.errors.TooManyRequestsException`."""
        limits, size = self._limits, len(call.body)
        if priority is Priority.BOUNDED:
            if self._bounded >= limits.queued_requests:
                call.fail(self._too_many(call, f"{limits.queued_requests} requests wait to be sent already"))
                return
            if self._bounded and self._bounded_bytes + size > limits.queued_bytes:
                call.fail(self._too_many(call, f"requests of {self._bounded_bytes} bytes wait to be sent already"))
                return
            self._bounded += 1
            self._bounded_bytes += size
            call.bounded = True
        (self._urgent if priority is Priority.URGENT else self._others)[call] = self._clock.seconds()
        call.queue = self
        if not self._connected and not self._timer.running:
            self._timer.start(limits.queued_time)

    def discard(self, call: Call[Any]) -> None:
        """Remove a request that was cancelled."""
        for calls in (self._urgent, self._others):
            if calls.pop(call, None) is not None:
                self._removed(call)
        self._stop_if_empty()

    def take(self) -> Call[Any]:
        """Remove and return the next request to send; there must be one."""
        call, _ = (self._urgent or self._others).popitem(last=False)
        self._removed(call)
        self._stop_if_empty()
        return call

    def take_all(self) -> list[Call[Any]]:
        """Remove and return all requests, in order."""
        calls = [*self._urgent, *self._others]
        self._urgent.clear()
        self._others.clear()
        self._timer.stop()
        for call in calls:
            self._removed(call)
        return calls

    def take_unbounded(self) -> list[Call[Any]]:
        """Remove and return the requests of :attr:`Priority.WAITING`, in order."""
        calls = [call for call in self._others if not call.bounded]
        for call in calls:
            del self._others[call]
            self._removed(call)
        self._stop_if_empty()
        return calls

    def connected(self) -> None:
        """Stop the timeout: there is a connection."""
        self._connected = True
        self._timer.stop()

    def disconnected(self) -> None:
        """Start the timeout: the connection is lost."""
        if self._connected:
            self._connected = False
            self._disconnected_at = self._clock.seconds()
            if self:
                self._timer.start(self._limits.queued_time)

    def _removed(self, call: Call[Any]) -> None:
        call.queue = None
        if call.bounded:
            self._bounded -= 1
            self._bounded_bytes -= len(call.body)

    def _stop_if_empty(self) -> None:
        if not self:
            self._timer.stop()

    def _too_many(self, call: Call[Any], reason: str) -> TooManyRequestsException:
        return TooManyRequestsException(f"not sent: {reason}", path=call.path)

    def _expire(self) -> None:
        now, limit = self._clock.seconds(), self._limits.queued_time
        late: list[Call[Any]] = []
        oldest = inf
        for calls in (self._urgent, self._others):
            for call, added in calls.items():
                since = max(added, self._disconnected_at)
                if since + limit > now:
                    # The rest of this queue is newer.
                    oldest = min(oldest, since)
                    break
                late.append(call)
        for call in late:
            self._urgent.pop(call, None)
            self._others.pop(call, None)
            self._removed(call)
        if self:
            self._timer.start(oldest + limit - now)
        for call in late:
            reason = f"not sent: it has waited for {limit:g} s without a connection"
            call.fail(ConnectionLossException(reason, path=call.path, applied=False))


class Outbox:
    """Sends requests in the order of :meth:`submit`, as many at a time as may be in flight.

    :param clock: runs the timeout of queued requests.
    :param limits: the bounds.
    :param machine: the session's state, which decides whether requests are taken.
    """

    def __init__(self, clock: IReactorTime, limits: Limits, machine: SessionMachine) -> None:
        self._limits = limits
        self._queue = RequestQueue(clock, limits)
        self._machine = machine
        self._connection: Connection | None = None

    def __len__(self) -> int:
        return len(self._queue)

    def submit(self, call: Call[Any], priority: Priority) -> None:
        """Send a request, queue it by its priority, or fail it."""
        machine, connection = self._machine, self._connection
        usual = machine.state is State.CONNECTED and machine.generation == Generation.number
        refusal = None if usual else machine.closed_reason(call.path)
        if refusal is None and len(call.body) > self._limits.max_request - 8:
            refusal = self.over_limit(8 + len(call.body), call.path)
        if refusal is not None:
            call.fail(refusal)
        elif connection is None or connection.closing:
            self._queue.add(call, priority)
        elif not (connection.protocol.full or self._queue) or priority is Priority.URGENT:
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
        """Send the urgent requests of the queue, and stop the timeout of the others: this connection serves the session."""
        self._connection = connection
        self._queue.connected()
        while self._queue.urgent:
            connection.send(self._queue.take())

    def disconnected(self) -> None:
        """Start the timeout of queued requests: there is no connection."""
        self._connection = None
        self._queue.disconnected()

    def send_waiting(self) -> bool:
        """Send queued requests until the window of requests in flight is full.

        :returns: whether there is a connection, and the queue is empty.
        """
        connection = self._connection
        if connection is None or connection.closing:
            return False
        while self._queue and not connection.protocol.full:
            connection.send(self._queue.take())
        return not self._queue

    def take_unbounded(self) -> list[Call[Any]]:
        """Remove and return the requests of :attr:`Priority.WAITING`, in order."""
        return self._queue.take_unbounded()

    def take_all(self) -> list[Call[Any]]:
        """Remove and return all requests, in order."""
        return self._queue.take_all()
