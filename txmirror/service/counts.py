"""Counts of the daemon's work, for metrics. They cost next to nothing, and do not depend on a reader."""

from __future__ import annotations

from collections import Counter
from typing import Final, TypeVar

from twisted.internet.interfaces import IReactorTime
from twisted.python.failure import Failure
from zope.interface import implementer

from txmirror.checks import Durations
from txmirror.interfaces import IMetrics, IWatchFeed, IZooKeeperClient
from txmirror.types import News, SessionEvent, SessionState

_T = TypeVar("_T")

#: The upper bounds for the times of requests, in seconds.
_BOUNDS: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
#: The names of the codes of DNS that the server replies with, or passes on.
DNS_CODES: Final = {0: "NOERROR", 1: "FORMERR", 2: "SERVFAIL", 3: "NXDOMAIN", 4: "NOTIMP", 5: "REFUSED"}
#: In these states there is no session. After a lost connection it stands until it has probably expired.
_OVER: Final = (SessionState.LOST, SessionState.EXPIRED, SessionState.AUTH_FAILED, SessionState.CLOSED)


@implementer(IMetrics)
class RequestCounts:
    """Counts the requests of a client.

    :ivar sent_by_operation: the number of requests that were sent, by the operation's name.
    :ivar times: the times from request to reply.
    :ivar unanswered: the number of requests that were lost with their connection.
    :ivar sent_bytes: the number of bytes that were sent.
    :ivar received_bytes: the number of bytes that have arrived.
    """

    def __init__(self) -> None:
        self.sent_by_operation: Counter[str] = Counter()
        self.times: Durations = Durations(_BOUNDS)
        self.unanswered: int = 0
        self.sent_bytes: int = 0
        self.received_bytes: int = 0

    def sent(self, operation: str, size: int) -> None:
        """Count a request. See :class:`~txmirror.interfaces.IMetrics`."""
        self.sent_by_operation[operation] += 1
        self.sent_bytes += size

    def answered(self, operation: str, seconds: float, error: int, size: int) -> None:
        """Count a reply. See :class:`~txmirror.interfaces.IMetrics`."""
        self.times.add(seconds)

    def lost(self, operation: str, seconds: float) -> None:
        """Count a request that was lost with its connection. See :class:`~txmirror.interfaces.IMetrics`."""
        self.unanswered += 1

    def received(self, size: int) -> None:
        """Count received bytes. See :class:`~txmirror.interfaces.IMetrics`."""
        self.received_bytes += size

    def connected(self, event: SessionEvent) -> None:
        """Do nothing: :class:`SessionCounts` counts the connections of any client."""

    def disconnected(self, event: SessionEvent) -> None:
        """Do nothing. See :meth:`connected`."""


class SessionCounts:
    """Counts the sessions of a client, and the time without a connection.

    :param clock: measures the time.
    :ivar begun: the number of sessions that were opened. A session that was taken over is not one of them.
    :ivar expired: the number of sessions that have expired.
    :ivar connections: the number of times that a session was established on a connection.
    :ivar connected: whether the session has a connection now.
    :ivar stands: whether there is a session now. Without a connection it stands until it has probably expired.
    """

    def __init__(self, clock: IReactorTime) -> None:
        self.begun: int = 0
        self.expired: int = 0
        self.connections: int = 0
        self.connected: bool = False
        self.stands: bool = False
        self._clock = clock
        self._since = clock.seconds()
        self._former_seconds = 0.0
        self._last_number = 0

    @property
    def disconnected_seconds(self) -> float:
        """The seconds without a connection, from the start on."""
        return self._former_seconds + (0.0 if self.connected else self._clock.seconds() - self._since)

    def start(self) -> None:
        """Measure the time without a connection from now on."""
        self._since = self._clock.seconds()

    def follow(self, client: IZooKeeperClient, *, takes_over: bool) -> None:
        """Count the sessions of a client.

        :param takes_over: whether its first session is one of another client.
        """
        self._last_number = 1 if takes_over else 0
        IWatchFeed(client).add_listener(self._notice)

    def _notice(self, event: News) -> None:
        if not isinstance(event, SessionEvent):
            return
        now, connected = self._clock.seconds(), event.state is SessionState.CONNECTED
        if connected:
            self.connections += 1
            self.stands = True
            self.begun += event.session_number > self._last_number
            self._last_number = max(self._last_number, event.session_number)
        elif event.state in _OVER:
            self.stands = False
            self.expired += event.state is SessionState.EXPIRED
        if connected is not self.connected:
            if connected:
                self._former_seconds += now - self._since
            self.connected, self._since = connected, now


class ReplyCounts:
    """Counts the replies of a server for readers.

    :ivar by_code: the number of replies, by the values of their labels.
    :ivar times: the times from requests to replies.
    :ivar truncated: the number of replies of DNS that were too long for a datagram.
    """

    def __init__(self) -> None:
        self.by_code: Counter[tuple[str, ...]] = Counter()
        self.times: Durations = Durations(_BOUNDS)
        self.truncated: int = 0

    def dns_replied(self, code: int, truncated: bool, seconds: float) -> None:
        """Count a reply of DNS.

        :param code: the code of the reply.
        :param seconds: the time since its query. The clock may have been set back meanwhile.
        """
        self.by_code[DNS_CODES.get(code, str(code)),] += 1
        self.truncated += truncated
        self.times.add(max(seconds, 0.0))

    def http_replied(self, route: str, status: int, seconds: float) -> None:
        """Count an answer of HTTP.

        :param route: the rule of its route; empty if there is none.
        """
        self.by_code[route or "none", str(status)] += 1
        self.times.add(max(seconds, 0.0))


class DaemonCounts:
    """Counts the work of a daemon.

    :param clock: measures the time.
    :param requests: counts the client's requests; None if the client cannot.
    :ivar requests: as the parameter.
    :ivar sessions: counts the client's sessions.
    :ivar dns: counts the replies of DNS.
    :ivar http: counts the answers of HTTP, also those of the control socket.
    :ivar reloads: the number of reloads.
    :ivar failed_reloads: the number of those that have changed nothing, because the configuration was invalid.
    :ivar last_reload_failed: whether the last one was one of those.
    """

    def __init__(self, clock: IReactorTime, requests: RequestCounts | None) -> None:
        self.requests = requests
        self.sessions: SessionCounts = SessionCounts(clock)
        self.dns: ReplyCounts = ReplyCounts()
        self.http: ReplyCounts = ReplyCounts()
        self.reloads: int = 0
        self.failed_reloads: int = 0
        self.last_reload_failed: bool = False

    def note_reload(self, result: _T) -> _T:
        """Count a reload with this result, and return it: a callback and errback."""
        self.reloads += 1
        self.last_reload_failed = isinstance(result, Failure)
        self.failed_reloads += self.last_reload_failed
        return result
