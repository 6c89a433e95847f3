"""How long locks held by this session are safe: the client-side lease."""

from __future__ import annotations

from collections.abc import Callable

from twisted.internet.defer import Deferred, succeed
from twisted.internet.interfaces import IReactorTime

from txmirror.client.waiters import fire_all
from txmirror.timers import Timer


class SessionLease:
    """Fires the Deferreds of lock holders when the session may expire.

    :param clock: the reactor.
    :param safe_until: returns the time before which the session certainly does not expire, in the reactor's seconds.
    """

    def __init__(self, clock: IReactorTime, safe_until: Callable[[], float]) -> None:
        self._clock = clock
        self._safe_until = safe_until
        self._holders: dict[Deferred[None], None] = {}
        self._timer = Timer(clock, self._check)

    def when_lease_expires(self) -> Deferred[None]:
        """Return a Deferred that fires when the lease expires; at once, if it has expired. Cancelling removes it."""
        left = self._left()
        if left <= 0:
            # The timer may be late; it fires the others.
            return succeed(None)
        holder: Deferred[None] = Deferred(self._unhook)
        self._holders[holder] = None
        if not self._timer.running:
            self._timer.start(left)
        return holder

    def end(self) -> None:
        """Fire all Deferreds now: the session has expired or is closed."""
        self._timer.stop()
        holders, self._holders = self._holders, {}
        fire_all(holders, None)

    def _left(self) -> float:
        return self._safe_until() - self._clock.seconds()

    def _check(self) -> None:
        left = self._left()
        if left <= 0:
            self.end()
        elif self._holders:
            self._timer.start(left)

    def _unhook(self, holder: Deferred[None]) -> None:
        self._holders.pop(holder, None)
        if not self._holders:
            self._timer.stop()
