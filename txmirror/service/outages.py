"""Log outages of ZooKeeper: the beginning, again at growing intervals, and the end."""

from __future__ import annotations

from collections.abc import Callable

from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger

from txmirror.mirror import MirrorState
from txmirror.retrying import RetryTimer
from txmirror.timers import Timer

#: The first and the longest interval at which an outage is logged again, in seconds.
_FIRST, _LONGEST = 60.0, 3600.0


class OutageLog:
    """Logs the outages of a mirror's ensemble.

    :param session_timeout: returns the session timeout in seconds.
    :param reactor: runs the timers.
    """

    _log = Logger()

    def __init__(self, session_timeout: Callable[[], float], reactor: IReactorTime) -> None:
        self._session_timeout = session_timeout
        self._reactor = reactor
        self._since: float | None = None
        self._settled_at = float("-inf")
        self._short = False
        self._stable = Timer(reactor, self._log_end)
        self._again = RetryTimer(reactor, self._log_again, first=_FIRST, longest=_LONGEST)

    def state_changed(self, state: MirrorState) -> None:
        """Note a new state of the mirror."""
        now = self._reactor.seconds()
        lasts = self._session_timeout() / 3
        if state is MirrorState.DISCONNECTED:
            self._stable.stop()
            self._short = now - self._settled_at < lasts
            if self._since is None:
                self._since = now
                self._log.warn("ZooKeeper is out of reach. The registrations are restored as soon as it is back.")
            self._again.start()
        elif state is MirrorState.SETTLED:
            self._settled_at = now
            self._again.stop()
            if self._since is not None:
                # After a short connection, the next one is logged only if it lasts.
                self._stable.start(lasts if self._short else 0)

    def stop(self) -> None:
        """Log nothing more."""
        self._stable.stop()
        self._again.stop()

    def _log_again(self) -> None:
        assert self._since is not None
        self._log.warn(
            "ZooKeeper has been out of reach for {minutes} min. Checks go on; the registrations are restored as soon as it is back.",
            minutes=round((self._reactor.seconds() - self._since) / 60),
        )
        self._again.start()

    def _log_end(self) -> None:
        self._since = None
        self._again.reset()
        self._log.info("ZooKeeper is in reach again.")
