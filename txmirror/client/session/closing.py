"""Closing a client: close its session at a server, or leave the session to another client."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.python.failure import Failure

from txmirror.client.connection.calls import Call, RequestKind, decode_nothing
from txmirror.client.connection.connection import Connection
from txmirror.deferreds import Waiters
from txmirror.errors import ConnectionLossException
from txmirror.timers import Timer
from txmirror.types import SessionTicket
from txmirror.wire import CloseSessionRequest, ExistsRequest, StatResponse

CLOSE_SESSION = RequestKind(CloseSessionRequest, decode_nothing)
_EXISTS = RequestKind(ExistsRequest, lambda cursor, call: StatResponse.decode(cursor).stat)


class Ending:
    """The progress of closing, and the Deferreds that wait for its end.

    :param clock: runs the timer.
    :param give_up: called when closing takes too long.
    :param finish: called when the last request is answered.
    :ivar begun: whether closing has begun.
    :ivar leaving: whether the session is left to another client.
    """

    def __init__(self, clock: IReactorTime, give_up: Callable[[], None], finish: Callable[[], None]) -> None:
        self._timer = Timer(clock, give_up)
        self._finish = finish
        self._waiters: Waiters[SessionTicket | None] = Waiters()
        self.begun = False
        self.leaving = False
        self._sent = False

    def wait(self) -> Deferred[SessionTicket | None]:
        """Return a Deferred that fires when closing is over, with the session's ticket if it was left."""
        return self._waiters.wait()

    def allow(self, seconds: float) -> None:
        """Start the timeout."""
        self._timer.start(seconds)

    def connected(self) -> None:
        """Note that there is a new connection, on which the last request was not sent yet."""
        self._sent = False

    def send_last(self, connection: Connection) -> None:
        """Send the last request, if closing has begun and it was not sent on this connection yet.

        If the connection is lost before the answer, it is sent again on the next one: that shows whether the session is closed.
        """
        if not self.begun or self._sent:
            return
        self._sent = True
        call: Call[Any] = Call(CLOSE_SESSION, CloseSessionRequest())
        if self.leaving:
            # Any answer will do: it shows that every request before it was answered.
            call = Call(_EXISTS, ExistsRequest("/", False))
        call.waited_for().addCallbacks(lambda _: self._finish(), self._refused)
        connection.send(call)

    def stop(self) -> None:
        """Stop the timeout."""
        self._timer.stop()

    def over(self, ticket: SessionTicket | None) -> None:
        """Fire the Deferreds that wait."""
        self._waiters.fire(ticket)

    def _refused(self, failure: Failure) -> None:
        if self.leaving and not isinstance(failure.value, ConnectionLossException):
            # A refusal is an answer too: every request before it was answered.
            self._finish()
