"""Sessions: open, resume, expire and end them.

As in ``SessionTrackerImpl`` and ``ExpiryQueue``, time is counted in ticks: a session expires at the first tick after its timeout.
"""

from __future__ import annotations

import math
import secrets
from collections.abc import Iterable, Iterator
from typing import Protocol

import attrs
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger

from txmirror.embedded.database import Database

#: The most sessions of clients that are ahead that are remembered, for the log.
_MOST_AHEAD = 1000
#: The reason for the end of a session that its client has closed.
CLOSED_BY_CLIENT = "closed by its client"


class SessionConnection(Protocol):
    """A connection of a session."""

    def expire(self, reason: str) -> None:
        """Close the connection: the session has ended."""

    def session_moved(self, other: SessionConnection) -> None:
        """Handle the session's move to another connection."""


@attrs.define(eq=False)
class Session:
    """One session."""

    id: int
    timeout: float
    """In seconds, as negotiated on the latest connection."""
    password: bytes = attrs.field(repr=False)
    connections: list[SessionConnection] = attrs.Factory(list)
    """The last one is in use. The client has left the others, which are at other servers."""
    deadline: float = 0.0
    """The time at which the session expires, unless its client sends something."""

    @property
    def connection(self) -> SessionConnection | None:
        """The connection in use, or None."""
        return self.connections[-1] if self.connections else None


class Sessions:
    """The live sessions.

    :param clock: the source of the time.
    :param database: applies a transaction when a session begins or ends; None for the local sessions of a read-only server.
    :param tick: the length of a tick in seconds; timeouts are between 2 and 20 ticks.
    :ivar tick: the same.
    """

    _log = Logger()

    def __init__(self, clock: IReactorTime, database: Database | None, tick: float) -> None:
        self._clock = clock
        self._database = database
        self.tick = tick
        self._alive: dict[int, Session] = {}
        self._expiring = False
        self._timer: IDelayedCall | None = None
        #: The sessions whose clients have seen later transactions than this server has.
        self._ahead: set[int] = set()
        # The highest byte is the server's number. ZooKeeper takes the rest from the time; here it is random, so that two
        # servers on one clock do not assign the same id.
        self._next_id = 1 << 56 | secrets.randbits(40) << 16

    @property
    def alive(self) -> frozenset[int]:
        """The ids of the live sessions."""
        return frozenset(self._alive)

    def __iter__(self) -> Iterator[Session]:
        return iter(self._alive.values())

    @property
    def limits(self) -> tuple[float, float]:
        """The shortest and the longest session timeout, in seconds."""
        return 2 * self.tick, 20 * self.tick

    def find(self, session_id: int) -> Session | None:
        """Return the session with an id, or None if it has ended or never existed."""
        return self._alive.get(session_id)

    def note_ahead(self, session_id: int) -> bool:
        """Note that a client has seen later transactions than this server has, and return whether that is new."""
        if session_id in self._ahead:
            return False
        if len(self._ahead) >= _MOST_AHEAD:
            self._ahead.clear()
        self._ahead.add(session_id)
        return True

    def open(self, timeout: int, connection: SessionConnection, password: bytes | None = None) -> Session:
        """Begin a session, by a transaction.

        :param timeout: the requested timeout, in milliseconds.
        :param password: the session's password; None generates one.
        """
        if self._database is not None:
            self._database.begin()
        password = secrets.token_bytes(16) if password is None else password
        session = Session(self._next_id, self.negotiate(timeout), password, [connection])
        self._next_id += 1
        self._alive[session.id] = session
        self.touch(session)
        self._log.info(
            "Session {session:#x}: opened, timeout {timeout} s.", session=session.id, timeout=session.timeout
        )
        return session

    def resume(
        self, session_id: int, password: bytes | None, timeout: int, connection: SessionConnection
    ) -> Session | None:
        """Resume a session on another connection.

        Like ZooKeeper, close the session's connection at the same server even if the password turns out to be wrong.

        :returns: the session, or None if it has ended or the password is wrong.
        """
        session = self._alive.get(session_id)
        if session is None:
            return None
        for former in list(session.connections):
            former.session_moved(connection)
        if password != session.password:
            return None
        session.connections.append(connection)
        session.timeout = self.negotiate(timeout)
        self.touch(session)
        self._log.info("Session {session:#x}: resumed.", session=session.id)
        return session

    def touch(self, session: Session) -> None:
        """Extend a session: its client has sent something."""
        limit = self._clock.seconds() + session.timeout
        session.deadline = (math.floor(limit / self.tick) + 1) * self.tick
        if self._timer is not None and self._timer.getTime() > session.deadline:
            self._cancel_timer()
        self._set_timer()

    def end(self, session: Session, reason: str, closing: SessionConnection | None = None) -> None:
        """End a session by a transaction: delete its ephemeral nodes, and close its connections.

        :param closing: the connection that has requested the end, and that stays open for the reply.
        """
        del self._alive[session.id]
        self._log.info("Session {session:#x}: {reason}.", session=session.id, reason=reason)
        if self._database is not None:
            self._database.end_session(session.id)
        for connection in list(session.connections):
            if connection is not closing:
                connection.expire("its session has ended")

    def start(self) -> None:
        """Let sessions expire from now on, each after its full timeout, as a restarted server does."""
        self._expiring = True
        for session in self._alive.values():
            self.touch(session)

    def stop(self) -> None:
        """Let no session expire until :meth:`start`."""
        self._expiring = False
        self._cancel_timer()

    def replace(self, sessions: Iterable[Session]) -> None:
        """Replace all sessions, without a transaction. Each expires after its full timeout."""
        self._alive = {session.id: session for session in sessions}
        self._cancel_timer()
        for session in self._alive.values():
            self.touch(session)

    def negotiate(self, milliseconds: int) -> float:
        """Return the session timeout in seconds for a requested one in milliseconds."""
        shortest, longest = self.limits
        return min(max(milliseconds / 1000, shortest), longest)

    def _set_timer(self) -> None:
        # One timer serves all sessions: it finds out only when it fires which of them were touched meanwhile.
        if self._expiring and self._timer is None and self._alive:
            deadline = min(session.deadline for session in self._alive.values())
            self._timer = self._clock.callLater(max(0.0, deadline - self._clock.seconds()), self._expire_due)

    def _cancel_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _expire_due(self) -> None:
        self._timer = None
        now = self._clock.seconds()
        for session in [session for session in self._alive.values() if session.deadline <= now]:
            self.end(session, "expired, its client was silent for too long")
        self._set_timer()
