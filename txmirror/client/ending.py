"""How a client's life ends: by ending its session at a server, or by leaving it to another."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.python.failure import Failure

from txmirror.client.calls import Call, decode_nothing
from txmirror.client.connection import Connection
from txmirror.client.replies import decode_stat
from txmirror.errors import ConnectionLossException
from txmirror.timers import Timer
from txmirror.types import SessionTicket
from txmirror.wire import CloseSessionRequest, ExistsRequest


class Ending:
    """Keeps how far the end has come, and who waits for it.

    :param clock: runs the timer.
    :param give_up: called when it takes too long.
    :param finish: called when the last request is answered.
    :ivar begun: whether it was asked for.
    :ivar leaving: whether the session is to go on.
    """

    def __init__(self, clock: IReactorTime, give_up: Callable[[], None], finish: Callable[[], None]) -> None:
        self._timer = Timer(clock, give_up)
        self._finish = finish
        self._waiters: list[Deferred[SessionTicket | None]] = []
        self.begun = False
        self.leaving = False
        self._sent = False

    def wait(self) -> Deferred[SessionTicket | None]:
        """Wait until all is over."""
        done: Deferred[SessionTicket | None] = Deferred()
        self._waiters.append(done)
        return done

    def allow(self, seconds: float) -> None:
        """Let it take so long."""
        self._timer.start(seconds)

    def connected(self) -> None:
        """Note that there is another connection."""
        self._sent = False

    def send_last(self, connection: Connection) -> None:
        """Send the request that comes after all others, if it is time and it was not sent on this connection yet.

        Where its answer is cut off, it goes out on the next: that shows whether the session has ended.
        """
        if not self.begun or self._sent:
            return
        self._sent = True
        call: Call[Any] = Call(CloseSessionRequest(), None, decode_nothing)
        if self.leaving:
            # Only its answer counts: then everything before it was answered too.
            call = Call(ExistsRequest("/", False), None, decode_stat)
        call.waited_for().addCallbacks(lambda _: self._finish(), self._refused)
        connection.send(call)

    def stop(self) -> None:
        """Let it take as long as it takes: there is nothing more to be done about it."""
        self._timer.stop()

    def over(self, ticket: SessionTicket | None) -> None:
        """Tell everybody who waits."""
        waiters, self._waiters = self._waiters, []
        for done in waiters:
            done.callback(ticket)

    def _refused(self, failure: Failure) -> None:
        if self.leaving and not isinstance(failure.value, ConnectionLossException):
            # Refused or not: everything before it was answered.
            self._finish()
