"""Closing a client: close its session at a server, or leave the session to another client. These are actions of the machine."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.internet.defer import Deferred, succeed
from twisted.logger import Logger
from twisted.python.failure import Failure

from txmirror.client.connection.calls import Call, RequestKind
from txmirror.client.connection.connection import Connection
from txmirror.client.session.attempts import CLOSE_SESSION, Attempts
from txmirror.client.session.core import SessionCore
from txmirror.client.session.machine import Action, Event, State
from txmirror.deferreds import Waiters
from txmirror.errors import ClosingException, ConnectionLossException
from txmirror.printable import session_name
from txmirror.timers import Timer
from txmirror.types import SessionState, SessionTicket
from txmirror.wire import CloseSessionRequest, ExistsRequest, StatResponse

_LAST_READ = RequestKind(ExistsRequest, lambda cursor, call: StatResponse.decode(cursor))


class Closing:
    """The actions of closing and leaving, and the Deferreds that wait for the end.

    :param core: the session's data.
    :param attempts: the attempts to connect.
    :ivar table: the functions that perform the actions.
    """

    _log = Logger()

    def __init__(self, core: SessionCore, attempts: Attempts) -> None:
        self._core = core
        self._attempts = attempts
        self._handle = core.machine.handle
        self._timer = Timer(core.reactor, lambda: self._handle(Event.CLOSE_TIMEOUT))
        self._drain_timer = Timer(core.reactor, lambda: self._handle(Event.DRAIN_TIMEOUT))
        self._waiters: Waiters[SessionTicket | None] = Waiters()
        self._ticket: SessionTicket | None = None
        # The action END calls back much, and is over after that.
        self._over = False
        self.table: dict[Action, Callable[..., None]] = {
            Action.DRAIN: self._drain,
            Action.DROP_QUEUE: self._drop_queue,
            Action.SEND_CLOSE: self._send_close,
            Action.SEND_LAST_READ: self._send_last_read,
            Action.DISCONNECT: self.disconnect,
            Action.LEAVE: self._leave,
            Action.ABORT: self.abort,
            Action.ABORT_AND_LEAVE: self._abort_and_leave,
            Action.GIVE_UP_CLOSING: self._give_up,
            Action.END: self._end,
        }

    def begin(self, event: Event) -> Deferred[SessionTicket | None]:
        """Close the client, or leave its session, and return a Deferred that fires when that is over.

        :param event: ``CLOSE`` or ``LEAVE``.
        :returns: fires with the session's ticket, if it was left.
        """
        if self._over or self._core.machine.in_other_process:
            return succeed(None)
        done = self._waiters.wait()
        self._handle(event)
        return done

    @property
    def leaving(self) -> bool:
        """True if the client is leaving, or has left, the session to another client."""
        return self._ticket is not None or self._core.machine.state in (State.DRAINING_TO_LEAVE, State.LEAVING)

    def send_waiting(self) -> None:
        """Send queued requests while the window has room."""
        if self._core.outbox.send_waiting():
            self._handle(Event.DRAINED)

    def ticket(self) -> SessionTicket | None:
        """Return a ticket for another client; None without a session, and for a session with a read-only server."""
        return None if self._core.machine.event.read_only else self._core.credentials.ticket()

    # Draining: requests that were made before are sent first.

    def _drain(self) -> None:
        limit = self._core.limits.close_time
        self._fail(self._core.outbox.take_unbounded())
        self._timer.start(limit)
        self._drain_timer.start(limit / 2)
        self._attempts.reconnector.skip_backoff()
        self.send_waiting()

    def _drop_queue(self) -> None:
        """Fail queued requests, so that the request that closes the session waits no longer."""
        self._fail(self._core.outbox.take_all())
        self.send_waiting()

    def _fail(self, calls: list[Call[Any]]) -> None:
        for call in calls:
            call.fail(ClosingException(path=call.path, applied=False))

    # The last request. If the connection is lost before the answer, closeSession is sent again on the next one: that shows
    # whether the session is closed.

    def _send_close(self) -> None:
        # Others may hold our locks before the answer comes, which may be late.
        self._core.lease.revoke()
        if self._core.machine.state is not State.CLOSING:
            return
        call = Call(CLOSE_SESSION, CloseSessionRequest())
        call.result().addCallbacks(self._answered, lambda _: None)
        self._send(call)

    def _send_last_read(self) -> None:
        # Any answer will do: it shows that every request before it was answered.
        call = Call(_LAST_READ, ExistsRequest("/", False))
        call.result().addCallbacks(self._answered, self._last_read_failed)
        self._send(call)

    def _send(self, call: Call[Any]) -> None:
        connection = self._core.live_connection()
        assert connection is not None
        connection.send(call)

    def _answered(self, _: object) -> None:
        self._handle(Event.ANSWERED)

    def _last_read_failed(self, failure: Failure) -> None:
        if not isinstance(failure.value, ConnectionLossException):
            # A refusal is an answer too.
            self._handle(Event.ANSWERED)

    # Disconnecting.

    def disconnect(self) -> None:
        """Close the connection once all bytes are sent."""
        self._stop()
        connection = self._core.connection
        if connection is None:
            self._handle(Event.DISCONNECTED)
        else:
            connection.close(ClosingException())

    def abort(self) -> None:
        """Abort the connection."""
        self._stop()
        connection = self._core.connection
        if connection is None:
            self._handle(Event.DISCONNECTED)
        elif connection.closing:
            connection.abort_close()
        else:
            connection.abort(ClosingException())

    def keep_ticket(self) -> None:
        """Keep the ticket, for the Deferreds of ``leave()``."""
        self._ticket = self.ticket()

    def _leave(self) -> None:
        self.keep_ticket()
        self.disconnect()

    def _abort_and_leave(self) -> None:
        self.keep_ticket()
        self.abort()

    def _give_up(self) -> None:
        self._log.warn(
            "Session {session} could not be closed within {time:g} s. It expires in about {timeout:g} s, and its"
            " ephemeral znodes stay until then.",
            session=session_name(self._core.credentials.session_id),
            time=self._core.limits.close_time,
            timeout=self._core.credentials.session_timeout,
        )
        self.abort()

    def _stop(self) -> None:
        self._drain_timer.stop()
        self._attempts.stop()
        self._core.log.stop()
        self._fail(self._core.outbox.take_unbounded())

    def _end(self, connection: Connection | None = None, reason: Exception | None = None) -> None:
        core = self._core
        if connection is not None:
            connection.fail_pending()
        self._timer.stop()
        core.pauses.end(lambda: ClosingException(applied=False))
        core.release_for_good(SessionState.CLOSED, lambda path: ClosingException(path=path, applied=False))
        self._over = True
        self._waiters.fire(self._ticket)
