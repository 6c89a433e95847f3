"""Pending requests: one :class:`Call` for each, and the queue of those that were not sent yet."""

from __future__ import annotations

import enum
from collections import OrderedDict
from collections.abc import Callable
from math import inf
from typing import Any, Generic, TypeVar

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime

from txmirror.client.connection.settings import Limits
from txmirror.errors import (
    ConnectionLossException,
    NoNodeException,
    TooManyRequestsException,
    ZooKeeperException,
    exception_for,
    missing_node,
)
from txmirror.timers import Timer
from txmirror.wire import Cursor, Operation, Request

_T = TypeVar("_T")
#: Called with a reply's error code and zxid.
OnReply = Callable[[int, int], None]

#: If one of these fails with NoNode, it is the parent that is missing.
_CREATIONS = frozenset((Operation.CREATE, Operation.CREATE2, Operation.CREATE_CONTAINER, Operation.CREATE_TTL))


class Priority(enum.Enum):
    """The place in the queue of a request that cannot be sent at once."""

    BOUNDED = "bounded"
    """At the end of the queue. If the queue holds the most that it may of this priority, the request fails."""
    WAITING = "waiting"
    """At the end of the queue, whatever its length."""
    URGENT = "urgent"
    """Ahead of the queue. It is sent even if the window of requests in flight is full."""


def decode_nothing(cursor: Cursor, zxid: int) -> None:
    """Read an empty reply."""


class Call(Generic[_T]):
    """One pending request, from the caller's call until its Deferred fires.

    :param path: the path as the caller spelt it, for errors.
    :param decode: makes the result from the reply's record and the zxid in its header.
    :param on_missing: makes the result if the server has no such node; None lets the request fail then.
    :param on_reply: called with the error code and zxid of the reply, before the Deferred fires: keeps the table of watches.
    :param connect_string: the servers and the chroot, for the error if that is missing; empty without a chroot.
    :ivar deferred: the Deferred that the caller waits for; None after it has fired or was cancelled.
    :ivar sent: the time at which it was written to the transport.
    :ivar bounded: whether it counts against the bounds of its queue.
    """

    __slots__ = (
        "body",
        "bounded",
        "connect_string",
        "decode",
        "deferred",
        "on_missing",
        "on_reply",
        "operation",
        "path",
        "queue",
        "sent",
        "xid",
    )

    def __init__(
        self,
        request: Request,
        path: str | None,
        decode: Callable[[Cursor, int], _T],
        on_missing: Callable[[int], _T] | None = None,
        on_reply: OnReply | None = None,
        connect_string: str = "",
    ) -> None:
        self.connect_string = connect_string
        self.operation = request.operation
        self.body = request.encode()
        self.path = path
        self.decode = decode
        self.on_missing = on_missing
        self.on_reply = on_reply
        self.deferred: Deferred[_T] | None = Deferred(self._abandon)
        self.bounded = False
        self.queue: RequestQueue | None = None
        self.sent = 0.0
        self.xid = 0

    def waited_for(self) -> Deferred[_T]:
        """Return the Deferred that the caller waits for. Call this before the request is submitted."""
        assert self.deferred is not None
        return self.deferred

    def succeed(self, result: _T) -> None:
        """Fire the Deferred with a result, unless it was cancelled."""
        deferred, self.deferred = self.deferred, None
        if deferred is not None:
            deferred.callback(result)

    def fail(self, error: ZooKeeperException) -> None:
        """Fail the Deferred, unless it was cancelled."""
        deferred, self.deferred = self.deferred, None
        if deferred is not None:
            deferred.errback(error)

    def refuse(self, code: int, zxid: int) -> None:
        """Fail the Deferred with the server's error code, or fire it if a missing node is a valid result."""
        if code == NoNodeException.code and self.on_missing is not None:
            self.succeed(self.on_missing(zxid))
        elif code == NoNodeException.code:
            creating = self.operation in _CREATIONS
            self.fail(missing_node(self.path, self.connect_string, creating=creating, zxid=zxid))
        else:
            self.fail(exception_for(code, path=self.path, zxid=zxid))

    def _abandon(self, _: Deferred[_T]) -> None:
        self.deferred = None
        if self.queue is not None:
            self.queue.discard(self)


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
        # Each request asks for it.
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

    def _too_many(self, call: Call[Any], why: str) -> TooManyRequestsException:
        return TooManyRequestsException(f"not sent: {why}", path=call.path)

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
            why = f"not sent: it has waited for {limit:g} s without a connection"
            call.fail(ConnectionLossException(why, path=call.path, applied=False))
