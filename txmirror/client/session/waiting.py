"""Deferreds that wait: for a pause, or for the end of the client-side lease."""

from __future__ import annotations

from collections.abc import Callable

from twisted.internet.defer import Deferred, succeed
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.python.failure import Failure

from txmirror.deferreds import Waiters, fail_all
from txmirror.timers import Timer


class Pauses:
    """Pauses that fail early when the client is closed.

    :param clock: runs the timers.
    """

    def __init__(self, clock: IReactorTime) -> None:
        self._clock = clock
        self._pauses: dict[Deferred[None], IDelayedCall] = {}

    def wait(self, seconds: float) -> Deferred[None]:
        """Return a Deferred that fires after ``seconds``. Cancelling ends the wait."""
        pause: Deferred[None] = Deferred(self._forget)
        self._pauses[pause] = self._clock.callLater(seconds, self._over, pause)
        return pause

    def end(self, make_error: Callable[[], Exception]) -> None:
        """Fail all pauses."""
        pauses, self._pauses = self._pauses, {}
        for timer in pauses.values():
            timer.cancel()
        fail_all(pauses, make_error)

    def _over(self, pause: Deferred[None]) -> None:
        del self._pauses[pause]
        pause.callback(None)

    def _forget(self, pause: Deferred[None]) -> None:
        timer = self._pauses.pop(pause, None)
        if timer is not None:
            timer.cancel()


class SessionLease:
    """Fires the Deferreds of lock holders when the session may expire.

    :param clock: the reactor.
    :param safe_until: returns the time before which the session certainly does not expire, in the reactor's seconds.
    """

    def __init__(self, clock: IReactorTime, safe_until: Callable[[], float]) -> None:
        self._clock = clock
        self._safe_until = safe_until
        self._holders: Waiters[None] = Waiters()
        self._timer = Timer(clock, self._check)
        self._revoked = False

    def when_lease_expires(self) -> Deferred[None]:
        """Return a Deferred that fires when the lease expires; at once, if it has expired. Cancelling removes it."""
        left = self._left()
        if left <= 0:
            # The timer may be late; it fires the others.
            return succeed(None)
        if not self._timer.running:
            self._timer.start(left)
        return self._holders.wait().addErrback(self._cancelled)

    def end(self) -> None:
        """Fire all Deferreds now: the session has expired or is closed."""
        self._timer.stop()
        self._holders.fire(None)

    def revoke(self) -> None:
        """Fire all Deferreds now, and each later one at once: the session is about to be closed at a server."""
        self._revoked = True
        self.end()

    def _left(self) -> float:
        return 0.0 if self._revoked else self._safe_until() - self._clock.seconds()

    def _check(self) -> None:
        left = self._left()
        if left <= 0:
            self.end()
        elif self._holders:
            self._timer.start(left)

    def _cancelled(self, failure: Failure) -> Failure:
        if not self._holders:
            self._timer.stop()
        return failure
