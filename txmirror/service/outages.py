"""Log that ZooKeeper is out of reach, and that it is in reach again."""

from __future__ import annotations

from twisted.logger import Logger

from txmirror.mirror import Mirror, MirrorState
from txmirror.timers import Timer


class OutageLog:
    """Logs each outage once. After a short connection, the next one ends an outage only if it lasts.

    :param mirror: the mirror to watch.
    :param lasts: how long a connection must last, in seconds.
    """

    _log = Logger()

    def __init__(self, mirror: Mirror, lasts: float) -> None:
        self._mirror = mirror
        self._lasts = lasts
        self._out_of_reach = False
        self._settled_at = float("-inf")
        self._short = False
        self._stable = Timer(mirror.reactor, self._log_reachable)
        mirror.addStateWatcher(self, self._state_changed)

    def stop(self) -> None:
        """Log nothing more."""
        self._mirror.delStateWatcher(self)
        self._stable.stop()

    def _state_changed(self, state: MirrorState) -> None:
        now = self._mirror.reactor.seconds()
        if state is MirrorState.DISCONNECTED:
            self._stable.stop()
            self._short = now - self._settled_at < self._lasts
            if not self._out_of_reach:
                self._out_of_reach = True
                self._log.warn("ZooKeeper is out of reach. The registrations are restored as soon as it is back.")
        elif state is MirrorState.SETTLED:
            self._settled_at = now
            if self._out_of_reach:
                self._stable.start(self._lasts if self._short else 0)

    def _log_reachable(self) -> None:
        self._out_of_reach = False
        self._log.info("ZooKeeper is in reach again.")
