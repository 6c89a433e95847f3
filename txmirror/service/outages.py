"""Log outages of ZooKeeper: the beginning, again at growing intervals, and the end."""

from __future__ import annotations

from collections.abc import Callable

from twisted.logger import Logger

from txmirror.mirror import Mirror, MirrorState
from txmirror.retrying import RetryTimer
from txmirror.timers import Timer

#: The first and the longest interval at which an outage is logged again, in seconds.
_FIRST, _LONGEST = 60.0, 3600.0


class OutageLog:
    """Logs each outage. After a short connection, the next one ends an outage only if it lasts.

    At the beginning, ZooKeeper is out of reach when there is no session within a third of the session timeout.

    :param mirror: the mirror to watch.
    :param registers: returns whether there are services to register; otherwise there are only readers.
    """

    _log = Logger()

    def __init__(self, mirror: Mirror, registers: Callable[[], bool] = lambda: True) -> None:
        self._mirror = mirror
        self._registers = registers
        #: The beginning of the outage; None while ZooKeeper is in reach.
        self._since: float | None = None
        self._settled_at = float("-inf")
        #: Whether there was a session in this process.
        self._had_session = False
        self._short = False
        self._stable = Timer(mirror.reactor, self._log_end)
        self._again = RetryTimer(mirror.reactor, self._log_again, first=_FIRST, longest=_LONGEST)
        self._first = Timer(mirror.reactor, lambda: self._state_changed(MirrorState.DISCONNECTED))
        mirror.addStateWatcher(self, self._state_changed)

    def start(self) -> None:
        """Begin to measure the time until the first session."""
        self._first.start(self._mirror.client.session_timeout / 3)

    @property
    def ongoing(self) -> bool:
        """True from the beginning of an outage to its end."""
        return self._since is not None

    def stop(self) -> None:
        """Log nothing more."""
        self._mirror.delStateWatcher(self)
        self._first.stop()
        self._stable.stop()
        self._again.stop()

    def _state_changed(self, state: MirrorState) -> None:
        now = self._mirror.reactor.seconds()
        lasts = self._mirror.client.session_timeout / 3
        self._first.stop()
        self._had_session = self._had_session or state in (MirrorState.CONNECTED, MirrorState.SETTLED)
        if state is MirrorState.DISCONNECTED:
            self._stable.stop()
            self._short = now - self._settled_at < lasts
            if self._since is None:
                self._since = now
                self._log_beginning()
            self._again.start()
        elif state is MirrorState.SETTLED:
            self._settled_at = now
            self._again.stop()
            if self._since is not None:
                self._stable.start(lasts if self._short else 0)

    def _log_beginning(self) -> None:
        if not self._registers():
            self._log.warn("ZooKeeper is out of reach. Readers get what was read last.")
        elif self._had_session:
            self._log.warn(
                "ZooKeeper is out of reach. Registrations stay until the session expires; if it does, they are restored as soon as"
                " ZooKeeper is back."
            )
        else:
            self._log.warn("ZooKeeper is out of reach. Services are registered as soon as it can be reached.")

    def _log_again(self) -> None:
        assert self._since is not None
        minutes = round((self._mirror.reactor.seconds() - self._since) / 60)
        if self._registers():
            self._log.warn(
                "ZooKeeper has been out of reach for {minutes} min. Checks go on; services are registered as soon as it can be reached.",
                minutes=minutes,
            )
        else:
            self._log.warn(
                "ZooKeeper has been out of reach for {minutes} min. Readers get what was read last.", minutes=minutes
            )
        self._again.start()

    def _log_end(self) -> None:
        self._since = None
        self._again.reset()
        self._log.info("ZooKeeper is in reach again.")
