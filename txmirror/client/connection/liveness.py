"""Liveness: send pings, and detect that the server is silent.

The client sends a ping when it has sent nothing for a third of the session timeout. The server is silent if it has not answered
a request for two thirds of the session timeout, or a ping for a third, or has sent no bytes for two thirds.
"""

from __future__ import annotations

from collections.abc import Callable

from twisted.internet.interfaces import IReactorTime

from txmirror.timers import Timer


class Liveness:
    """The times of one connection, in the reactor's seconds, and the timer that checks them.

    :param clock: the reactor.
    :param oldest_sent: returns the time at which the oldest unanswered request was sent; None if there is none.
    :param send_ping: sends a ping.
    :param silent: called with the seconds of silence if the server is silent for too long.
    :ivar heard: the time at which the latest bytes arrived.
    :ivar last_sent: the time at which the latest packet was sent.
    :ivar acknowledged: the time at which the latest packet was sent that the server has answered.
    :ivar answered_at: the time at which the latest answer arrived; None before the first.
    """

    def __init__(
        self,
        clock: IReactorTime,
        oldest_sent: Callable[[], float | None],
        send_ping: Callable[[], None],
        silent: Callable[[float], None],
    ) -> None:
        self._clock = clock
        self._oldest_sent = oldest_sent
        self._send_ping = send_ping
        self._silent = silent
        self._timeout = 0.0
        self._timer = Timer(clock, self._check)
        self._ping_sent: float | None = None
        self.heard: float = 0.0
        self.last_sent: float = 0.0
        self.acknowledged: float = 0.0
        self.answered_at: float | None = None

    @property
    def round_trip(self) -> float | None:
        """The seconds between the latest request or ping that was answered and its answer; None before the first."""
        return None if self.answered_at is None else self.answered_at - self.acknowledged

    @property
    def running(self) -> bool:
        """True while the next ping, or the next check of the server's silence, is scheduled."""
        return self._timer.running

    def start(self, timeout: float) -> None:
        """Start to send pings, and to check that the server answers.

        :param timeout: the session's timeout, as negotiated, in seconds.
        """
        self._timeout = timeout
        self._schedule(self._clock.seconds())

    def stop(self) -> None:
        """Stop for good."""
        self._timer.stop()

    def ping(self) -> None:
        """Send a ping now."""
        self._ping_sent = self.last_sent = self._clock.seconds()
        self._send_ping()

    def ponged(self) -> None:
        """Note the answer to a ping."""
        if self._ping_sent is not None:
            self.acknowledged, self._ping_sent = max(self.acknowledged, self._ping_sent), None
            self.answered_at = self.heard
        if self._timer.running:
            self._schedule(self.heard)

    def _schedule(self, now: float) -> None:
        due = self._verdict_due()
        if self._ping_sent is None:
            due = min(due, self.last_sent + self._timeout / 3)
        self._timer.start(due - now)

    def _verdict_due(self) -> float:
        due = self.heard + self._timeout * 2 / 3
        oldest = self._oldest_sent()
        if oldest is not None:
            return min(due, oldest + self._timeout * 2 / 3)
        if self._ping_sent is not None:
            # Events may still arrive although the server no longer reads. A third of the timeout is left for another server.
            return min(due, self._ping_sent + self._timeout / 3)
        return due

    def _check(self) -> None:
        now = self._clock.seconds()
        overdue = now - self._verdict_due()
        if overdue < 0:
            if now >= self.last_sent + self._timeout / 3 and self._ping_sent is None:
                self.ping()
            self._schedule(now)
        elif self._timer.late > self._timeout / 12:
            # The reactor has stalled, not necessarily the server. Its answers may still be in the socket's buffer, since
            # timers run before sockets are read: allow some time to read them.
            if self._ping_sent is None:
                self.ping()
            self._timer.start(self._timeout / 12)
        else:
            self._silent(self._timeout * 2 / 3 + overdue)
