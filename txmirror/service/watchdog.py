"""A watchdog that is notified while the daemon makes progress, so that a supervisor can restart a daemon that does not."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger

from txmirror.interfaces import IProgress
from txmirror.service.daemon import Daemon
from txmirror.timers import Timer

#: The bounds of the interval, in seconds.
_SHORTEST, _LONGEST = 0.05, 3600.0
#: The longest time until a daemon that made no progress is looked at again, in seconds.
_AGAIN = 1.0


class Watchdog:
    """Notifies a watchdog at half of its timeout, unless the daemon makes no progress: then the reason is logged.

    :param timeout: the watchdog's timeout, in seconds.
    :param standstill: returns the reasons, as clauses, for which the daemon makes no progress.
    :param notify: notifies the watchdog.
    :param clock: runs the timer. Jumps of the wall clock must not affect it.
    :ivar reason: the reason for which the watchdog is not notified now; empty if it is.
    """

    _log = Logger()

    def __init__(
        self,
        timeout: float,
        standstill: Callable[[], Sequence[str]],
        notify: Callable[[], object],
        clock: IReactorTime,
    ) -> None:
        self._interval = min(max(timeout / 2, _SHORTEST), _LONGEST)
        self._standstill = standstill
        self._notify = notify
        self._timer = Timer(clock, self.start)
        self.reason: str = ""

    def start(self) -> None:
        """Notify the watchdog, and go on."""
        reason = "; ".join(self._standstill())
        if reason:
            if reason != self.reason:
                self._log.error("The watchdog is not notified, which leads to a restart: {reason}.", reason=reason)
            self._timer.start(min(self._interval, _AGAIN))
        else:
            if self.reason:
                self._log.info("There is progress again, and the watchdog is notified.")
            self._notify()
            self._timer.start(self._interval)
        self.reason = reason

    def stop(self) -> None:
        """Stop."""
        self._timer.stop()


def find_standstill(daemon: Daemon) -> Sequence[str]:
    """Return the reasons, as clauses, for which a daemon makes no progress, and which a restart removes.

    These are loops of checks that are dead, and a client that does nothing for its session. An outage of ZooKeeper is none. Nor is a
    probe that hangs although it was cancelled: it counts as failed. A stop is progress: its time is bounded by itself.
    """
    return [] if daemon.stopping else list(_find(daemon))


def _find(daemon: Daemon) -> Iterator[str]:
    dead = daemon.checks.dead()
    if dead:
        yield f"the loops of these checks do nothing any more: {', '.join(dead)}"
    session = daemon.registrations.session
    progress = None if session is None else IProgress(session.client, None)
    if progress is not None and progress.stuck:
        yield "the client of ZooKeeper neither has a connection nor tries to get one"
