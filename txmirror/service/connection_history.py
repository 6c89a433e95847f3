"""The outages of ZooKeeper that the daemon's session has seen, for the page and for /v1/daemon."""

from __future__ import annotations

from collections import deque
from typing import Any, Final

import attrs
from twisted.internet.interfaces import IReactorTime

from txmirror.interfaces import IWatchFeed, IZooKeeperClient
from txmirror.types import News, SessionEvent, SessionState

#: The most outages that are kept.
_MOST: Final = 100
#: The time for the first connection, in seconds. If it takes longer, that is an outage.
_FIRST: Final = 1.0
_NONE_YET: Final = "there was no connection yet"
#: The reasons. A later state of the same outage says more.
_REASONS: Final = {
    SessionState.SUSPENDED: "the connection was lost",
    SessionState.LOST: "the connection was lost, and the session has probably expired",
    SessionState.EXPIRED: "the session has expired",
    SessionState.AUTH_FAILED: "ZooKeeper refuses the credentials",
}
_LOSSES: Final = (SessionState.SUSPENDED, SessionState.LOST)


@attrs.define
class Outage:
    """A time without a connection."""

    began: float
    """Its beginning, in seconds since the Unix epoch."""
    ended: float | None = None
    """Its end; None if it goes on."""
    reason: str | None = None
    """Its reason, as far as it is known."""


class ConnectionHistory:
    """Keeps the latest outages of a client.

    :param reactor: has the time.
    """

    def __init__(self, reactor: IReactorTime) -> None:
        self._reactor = reactor
        self._client: IZooKeeperClient | None = None
        self._outages: deque[Outage] = deque(maxlen=_MOST)
        self._present: Outage | None = None

    def follow(self, client: IZooKeeperClient) -> None:
        """Keep the outages of this client, which has no connection yet."""
        self._client = client
        self._present = Outage(self._reactor.seconds(), None, _NONE_YET)
        IWatchFeed(client).add_listener(self._notice)

    def describe(self) -> list[dict[str, Any]]:
        """Return the outages as values of JSON, in order of time."""
        present = [self._present] if self._present is not None and self._counts(self._present) else []
        return [attrs.asdict(each) for each in [*self._outages, *present][-_MOST:]]

    @property
    def age(self) -> float:
        """The seconds since the connection was lost; 0 while there is one."""
        return 0.0 if self._present is None else max(0.0, self._reactor.seconds() - self._present.began)

    def _counts(self, outage: Outage) -> bool:
        """Return whether an outage is one: the very first connection has some time."""
        return outage.reason != _NONE_YET or self._reactor.seconds() - outage.began > _FIRST

    def _notice(self, event: News) -> None:
        if not isinstance(event, SessionEvent):
            return
        now = self._reactor.seconds()
        if event.state is SessionState.CONNECTED:
            present, self._present = self._present, None
            if present is not None and self._counts(present):
                present.ended = now
                self._outages.append(present)
        elif event.state in _REASONS:
            if self._present is None:
                self._present = Outage(now)
            self._present.reason = _REASONS[event.state]
            # Other clients do not know it.
            loss = getattr(self._client, "loss", None)
            if loss is not None and event.state in _LOSSES:
                self._present.reason += f": {loss}"
