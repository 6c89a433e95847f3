"""How a client's life ends: by ending its session at a server, or by leaving it to another."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime

from txmirror.client.calls import Call, decode_nothing
from txmirror.timers import Timer
from txmirror.types import SessionTicket
from txmirror.wire import CloseSessionRequest, Cursor, ExistsRequest, StatResponse


class Ending:
    """Keeps how far the end has come, and who waits for it.

    :param clock: runs the timer.
    :param give_up: called when it takes too long.
    :ivar begun: whether it was asked for.
    :ivar leaving: whether the session is to go on.
    :ivar sent: whether the last request has gone out on the present connection.
    """

    def __init__(self, clock: IReactorTime, give_up: Callable[[], None]) -> None:
        self._timer = Timer(clock, give_up)
        self._waiters: list[Deferred[SessionTicket | None]] = []
        self.begun = False
        self.leaving = False
        self.sent = False

    def wait(self) -> Deferred[SessionTicket | None]:
        """Wait until all is over."""
        done: Deferred[SessionTicket | None] = Deferred()
        self._waiters.append(done)
        return done

    def allow(self, seconds: float) -> None:
        """Let it take so long."""
        self._timer.start(seconds)

    def last_call(self) -> Call[Any]:
        """Give the request to be sent after all others."""
        self.sent = True
        if self.leaving:
            # Only its answer counts: then everything before it was answered too.
            return Call(ExistsRequest("/", False), None, _decode_stat)
        return Call(CloseSessionRequest(), None, decode_nothing)

    def stop(self) -> None:
        """Let it take as long as it takes: there is nothing more to be done about it."""
        self._timer.stop()

    def over(self, ticket: SessionTicket | None) -> None:
        """Tell everybody who waits."""
        waiters, self._waiters = self._waiters, []
        for done in waiters:
            done.callback(ticket)


def _decode_stat(cursor: Cursor, zxid: int) -> None:
    StatResponse.decode(cursor)
