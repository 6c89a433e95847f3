"""Connections that serve no session: those that have not shaken hands yet, and those that are being closed.

Nothing else would ever end them if their clients said no more, or never read what they were told. The times are those of
``NIOServerCnxnFactory`` (``zookeeper.nio.sessionlessCnxnTimeout``), the reasons are not.
"""

from __future__ import annotations

import math
from typing import Final, Protocol

from twisted.internet.interfaces import IDelayedCall

from txmirror.embedded.sessions import Clock

#: How long they may be silent, in seconds; it is counted in steps of the same length.
SESSIONLESS_TIMEOUT: Final = 10.0


class SessionlessConnection(Protocol):
    """A connection without a session."""

    def time_out(self) -> None:
        """It was silent for too long: close it at once."""


class SessionlessConnections:
    """Those that are there, and until when they are borne. There is a timer only while there are any.

    :param clock: what time is taken from.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._deadlines: dict[SessionlessConnection, float] = {}
        self._timer: IDelayedCall | None = None

    def __len__(self) -> int:
        return len(self._deadlines)

    def touch(self, connection: SessionlessConnection) -> None:
        """Begin to bear a connection, or bear it longer: it was heard from."""
        self._deadlines[connection] = (
            math.floor(self._clock.seconds() / SESSIONLESS_TIMEOUT) + 2
        ) * SESSIONLESS_TIMEOUT
        self._set_timer()

    def remove(self, connection: SessionlessConnection) -> None:
        """It has a session now, or it is gone."""
        if self._deadlines.pop(connection, None) is not None and not self._deadlines and self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _set_timer(self) -> None:
        if self._timer is None and self._deadlines:
            deadline = min(self._deadlines.values())
            self._timer = self._clock.callLater(max(0.0, deadline - self._clock.seconds()), self._close_silent)

    def _close_silent(self) -> None:
        self._timer = None
        now = self._clock.seconds()
        for connection in [connection for connection, deadline in self._deadlines.items() if deadline <= now]:
            connection.time_out()
        self._set_timer()
