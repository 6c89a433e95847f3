"""The settings of a client that its connections use: the bounds and timeouts, and the program's metrics."""

from __future__ import annotations

import math
from typing import Any

import attrs
from twisted.logger import Logger
from zope.interface import implementer

from txmirror.interfaces import IMetrics
from txmirror.types import SessionEvent
from txmirror.wire import DEFAULT_MAX_REPLY, DEFAULT_MAX_REQUEST


@attrs.frozen
class Limits:
    """The bounds and timeouts of a client. Times are in seconds, sizes in bytes.

    :raises ValueError: one of them is not above 0; the message names it.
    """

    max_request: int = DEFAULT_MAX_REQUEST
    """The longest request. A server closes the connection on a request over its own limit (``jute.maxbuffer``)."""
    max_reply: int = DEFAULT_MAX_REPLY
    """The longest reply. A longer one is discarded as it arrives, and only its request fails."""
    in_flight_requests: int = 10_000
    """The number of requests that may be in flight (sent and not answered). Further requests wait in the queue."""
    in_flight_bytes: int = 16 * 1024 * 1024
    """The total length of the requests in flight; one request may always be sent."""
    queued_requests: int = 10_000
    """The number of requests of the client's own methods that may wait in the queue, for a connection or for others to be
    answered. One more fails at once with :exc:`~txmirror.errors.TooManyRequestsException`. Requests of a mirror, a registry or
    the recipes are not counted: they wait."""
    queued_bytes: int = 64 * 1024 * 1024
    """The total length of those."""
    queued_time: float = 30.0
    """The timeout of a request that waits for a connection. It does not run while there is a connection."""
    queued_attempts: int = 10**9
    """The number of attempts to connect that may fail in succession. The last of them fails all requests that wait for a
    connection, and so does each failed attempt after it."""
    close_time: float = 5.0
    """The timeout of ``close()``."""
    longest_pause: float = 5.0
    """The longest backoff between attempts to connect while no session can expire by it. Each pause has a random length up to
    the current backoff, so that the clients of a restarted ensemble do not all connect at once."""
    attempt_time: float = 4.0
    """The timeout of one attempt (connect and handshake). It is never more than a third of the session timeout, so that the
    session does not expire because one server does not answer."""

    def __attrs_post_init__(self) -> None:
        for name, value in attrs.asdict(self).items():
            if not (isinstance(value, (int, float)) and 0 < value < math.inf):
                raise ValueError(f"the limit {name} is a number above 0, not {value!r}")

    def attempt(self, session_timeout: float) -> float:
        """Return the timeout of one attempt to connect, in seconds."""
        return min(session_timeout / 3, self.attempt_time)


@implementer(IMetrics)
class GuardedMetrics:
    """Passes every call on to a program's metrics, and logs the exceptions that those raise.

    :param metrics: the program's.
    """

    _log = Logger()

    def __init__(self, metrics: IMetrics) -> None:
        self._metrics = metrics

    def sent(self, operation: str, size: int) -> None:
        """Count a request. See :class:`~txmirror.interfaces.IMetrics`."""
        self._call("sent", operation, size)

    def answered(self, operation: str, seconds: float, error: int, size: int) -> None:
        """Count a reply. See :class:`~txmirror.interfaces.IMetrics`."""
        self._call("answered", operation, seconds, error, size)

    def lost(self, operation: str, seconds: float) -> None:
        """Count a request that was lost with its connection. See :class:`~txmirror.interfaces.IMetrics`."""
        self._call("lost", operation, seconds)

    def received(self, size: int) -> None:
        """Count received bytes. See :class:`~txmirror.interfaces.IMetrics`."""
        self._call("received", size)

    def connected(self, event: SessionEvent) -> None:
        """Count an established connection. See :class:`~txmirror.interfaces.IMetrics`."""
        self._call("connected", event)

    def disconnected(self, event: SessionEvent) -> None:
        """Count a lost connection. See :class:`~txmirror.interfaces.IMetrics`."""
        self._call("disconnected", event)

    def _call(self, name: str, *arguments: Any) -> None:
        try:
            getattr(self._metrics, name)(*arguments)
        except Exception:
            # The program's code may raise any exception.
            self._log.failure("The metrics {metrics} failed.", metrics=self._metrics)
