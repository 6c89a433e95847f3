"""Close silent connections that have no session: before the handshake, or while the server closes them.

No session timeout applies to them. The times are those of ``NIOServerCnxnFactory`` (``zookeeper.nio.sessionlessCnxnTimeout``),
which applies them for another reason.
"""

from __future__ import annotations

import math
from typing import Final, Protocol

from twisted.internet.interfaces import IReactorTime

from txmirror.timers import Timer

#: The time in seconds that such a connection may be silent, counted in steps of the same length.
SESSIONLESS_TIMEOUT: Final = 10.0


class SessionlessConnection(Protocol):
    """A connection without a session."""

    def time_out(self) -> None:
        """Abort the connection: it was silent for too long."""


class SessionlessConnections:
    """The connections without a session, with their deadlines. It runs a timer only while there are any.

    :param clock: the source of the time.
    """

    def __init__(self, clock: IReactorTime) -> None:
        self._clock = clock
        self._deadlines: dict[SessionlessConnection, float] = {}
        self._timer = Timer(clock, self._close_silent)

    def __len__(self) -> int:
        return len(self._deadlines)

    def touch(self, connection: SessionlessConnection) -> None:
        """Add a connection, or extend its deadline: its client has sent something."""
        self._deadlines[connection] = (
            math.floor(self._clock.seconds() / SESSIONLESS_TIMEOUT) + 2
        ) * SESSIONLESS_TIMEOUT
        self._set_timer()

    def remove(self, connection: SessionlessConnection) -> None:
        """Remove a connection that has a session now, or that is closed."""
        self._deadlines.pop(connection, None)
        if not self._deadlines:
            self._timer.stop()

    def _set_timer(self) -> None:
        if self._deadlines and not self._timer.running:
            self._timer.start(min(self._deadlines.values()) - self._clock.seconds())

    def _close_silent(self) -> None:
        now = self._clock.seconds()
        for connection in [connection for connection, deadline in self._deadlines.items() if deadline <= now]:
            connection.time_out()
        self._set_timer()
