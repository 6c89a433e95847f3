"""Requests on their way: one :class:`Call` each, and the queue of those that were not sent yet."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from typing import Any, Generic, TypeVar

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime

from txmirror.client.limits import Limits
from txmirror.errors import ConnectionLossException, NoNodeException, ZooKeeperException, exception_for
from txmirror.timers import Timer
from txmirror.wire import Cursor, Request

_T = TypeVar("_T")
#: Told of a reply's error code and zxid.
OnReply = Callable[[int, int], None]


def decode_nothing(cursor: Cursor, zxid: int) -> None:
    """Read an empty reply."""


class Call(Generic[_T]):
    """One request, from the call that asked for it until its Deferred fires.

    :param path: the path as the caller gave it, for errors.
    :param decode: makes the result from the reply's record and the zxid in its header.
    :param on_missing: makes the result where the server has no such node, if that is an answer and no failure.
    :param on_reply: told of every reply before the Deferred fires, with its error code and zxid: keeps the table of watches.
    :ivar deferred: what the caller waits for; None once they do not any more.
    :ivar sent: when it was handed to the transport.
    """

    __slots__ = ("body", "decode", "deferred", "on_missing", "on_reply", "operation", "path", "queue", "sent", "xid")

    def __init__(
        self,
        request: Request,
        path: str | None,
        decode: Callable[[Cursor, int], _T],
        on_missing: Callable[[int], _T] | None = None,
        on_reply: OnReply | None = None,
    ) -> None:
        self.operation = request.operation
        self.body = request.encode()
        self.path = path
        self.decode = decode
        self.on_missing = on_missing
        self.on_reply = on_reply
        self.deferred: Deferred[_T] | None = Deferred(self._abandon)
        self.queue: RequestQueue | None = None
        self.sent = 0.0
        self.xid = 0

    def waited_for(self) -> Deferred[_T]:
        """Give what the caller waits for, before the call is on its way."""
        assert self.deferred is not None
        return self.deferred

    def succeed(self, result: _T) -> None:
        """Give the caller the result, if they still wait for one."""
        deferred, self.deferred = self.deferred, None
        if deferred is not None:
            deferred.callback(result)

    def fail(self, error: ZooKeeperException) -> None:
        """Give the caller a failure, if they still wait for a result."""
        deferred, self.deferred = self.deferred, None
        if deferred is not None:
            deferred.errback(error)

    def refuse(self, code: int, zxid: int) -> None:
        """Give the caller what the server answered in place of a result."""
        if code == NoNodeException.code and self.on_missing is not None:
            self.succeed(self.on_missing(zxid))
        else:
            self.fail(exception_for(code, path=self.path, zxid=zxid))

    def _abandon(self, _: Deferred[_T]) -> None:
        self.deferred = None
        if self.queue is not None:
            self.queue.discard(self)


class RequestQueue:
    """Calls that wait to be sent, in order, bounded in number, in bytes and in age.

    :param clock: runs the one timer.
    :param limits: the bounds.
    """

    def __init__(self, clock: IReactorTime, limits: Limits) -> None:
        self._clock = clock
        self._limits = limits
        # An ordinary dict would walk over all that were taken before to find the first.
        self._calls: OrderedDict[Call[Any], float] = OrderedDict()
        self._bytes = 0
        self._timer = Timer(clock, self._expire)

    def __len__(self) -> int:
        return len(self._calls)

    def add(self, call: Call[Any]) -> None:
        """Let a call wait; if too many do already, it fails at once."""
        limits = self._limits
        if len(self._calls) >= limits.queued_requests:
            self._refuse(call, f"{limits.queued_requests} requests wait to be sent already")
        elif self._calls and self._bytes + len(call.body) > limits.queued_bytes:
            self._refuse(call, f"requests of {self._bytes} bytes wait to be sent already")
        else:
            self._calls[call] = self._clock.seconds() + limits.queued_time
            self._bytes += len(call.body)
            call.queue = self
            if not self._timer.running:
                self._timer.start(limits.queued_time)

    def discard(self, call: Call[Any]) -> None:
        """Take a call out that nobody waits for any more."""
        if self._calls.pop(call, None) is not None:
            self._bytes -= len(call.body)
        if not self._calls:
            self._timer.stop()

    def take(self) -> Call[Any]:
        """Take the first call out; there must be one."""
        call, _ = self._calls.popitem(last=False)
        self._bytes -= len(call.body)
        call.queue = None
        if not self._calls:
            self._timer.stop()
        return call

    def take_all(self) -> list[Call[Any]]:
        """Take all calls out, in order."""
        calls = list(self._calls)
        self._calls.clear()
        self._bytes = 0
        self._timer.stop()
        for call in calls:
            call.queue = None
        return calls

    def _refuse(self, call: Call[Any], why: str) -> None:
        call.fail(ConnectionLossException(f"not sent: {why}", path=call.path, applied=False))

    def _expire(self) -> None:
        now = self._clock.seconds()
        late = [call for call, until in self._calls.items() if until <= now]
        for call in late:
            del self._calls[call]
            self._bytes -= len(call.body)
            call.queue = None
        if self._calls:
            self._timer.start(next(iter(self._calls.values())) - now)
        for call in late:
            self._refuse(call, f"it has waited for {self._limits.queued_time:g} s")
