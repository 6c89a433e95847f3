"""Sessions: who has one, how long it lives without a word from its client, and what goes with it.

As in ``SessionTrackerImpl`` and ``ExpiryQueue``, time is counted in ticks: a session ends at the first tick after its timeout.
"""

from __future__ import annotations

import math
import secrets
from collections.abc import Callable, Iterable, Iterator
from typing import Protocol

import attrs
from twisted.internet.interfaces import IDelayedCall
from twisted.logger import Logger


class Clock(Protocol):
    """What is needed of a reactor: ``IReactorTime``'s methods."""

    def seconds(self) -> float:
        """Give the time in seconds."""

    def callLater(self, delay: float, callable: Callable[..., object], *args: object) -> IDelayedCall:
        """Call something later."""


class Transactions(Protocol):
    """Where the begins and ends of sessions are transactions."""

    def begin(self) -> None:
        """A session has begun."""

    def end_session(self, session_id: int) -> None:
        """A session has ended: its ephemeral nodes go."""


class NoTransactions:
    """Where they are none: at a server that nobody hears, which changes nothing."""

    def begin(self) -> None: ...

    def end_session(self, session_id: int) -> None: ...


class SessionConnection(Protocol):
    """A connection that serves a session."""

    def expire(self, reason: str) -> None:
        """The session has ended."""

    def session_moved(self, other: SessionConnection) -> None:
        """The session goes on on another connection."""


@attrs.define(eq=False)
class Session:
    """One session."""

    id: int
    timeout: float
    """In seconds, as negotiated with its latest connection."""
    password: bytes = attrs.field(repr=False)
    connections: list[SessionConnection] = attrs.Factory(list)
    """The latest is the last. Those before it are at other servers, and their client has left them."""
    deadline: float = 0.0
    """When it ends, unless its client is heard from."""

    @property
    def connection(self) -> SessionConnection | None:
        """The connection that serves it at present."""
        return self.connections[-1] if self.connections else None


class Sessions:
    """The sessions that are alive.

    :param clock: what time is taken from.
    :param database: where their begins and ends are transactions.
    :param tick: the length of a tick in seconds; timeouts are between 2 and 20 ticks.
    :ivar tick: the same.
    """

    _log = Logger()

    def __init__(self, clock: Clock, database: Transactions, tick: float) -> None:
        self._clock = clock
        self._database = database
        self.tick = tick
        self._alive: dict[int, Session] = {}
        self._expiring = False
        self._timer: IDelayedCall | None = None
        # The highest byte is the server's number. The rest is random where ZooKeeper takes the time, so that no two servers
        # on one clock give the same id.
        self._next_id = 1 << 56 | secrets.randbits(40) << 16

    @property
    def alive(self) -> frozenset[int]:
        """The ids of the sessions that have not ended."""
        return frozenset(self._alive)

    def __iter__(self) -> Iterator[Session]:
        return iter(self._alive.values())

    @property
    def limits(self) -> tuple[float, float]:
        """The shortest and the longest timeout that a session is given, in seconds."""
        return 2 * self.tick, 20 * self.tick

    def find(self, session_id: int) -> Session | None:
        """Give the session with an id, or None if it has ended or never was."""
        return self._alive.get(session_id)

    def open(self, timeout: int, connection: SessionConnection, password: bytes | None = None) -> Session:
        """Begin a session, which is a transaction.

        :param timeout: what the client asks for, in milliseconds.
        :param password: the session's; None draws one.
        """
        self._database.begin()
        password = secrets.token_bytes(16) if password is None else password
        session = Session(self._next_id, self.negotiate(timeout), password, [connection])
        self._next_id += 1
        self._alive[session.id] = session
        self.touch(session)
        self._log.info("Session {session:#x}: opened, timeout {timeout} s", session=session.id, timeout=session.timeout)
        return session

    def resume(
        self, session_id: int, password: bytes | None, timeout: int, connection: SessionConnection
    ) -> Session | None:
        """Go on with a session on another connection.

        The connection that served it at the same server until now is closed, even where the password is then found to be
        wrong: so ZooKeeper does it.

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
        self._log.info("Session {session:#x}: resumed", session=session.id)
        return session

    def touch(self, session: Session) -> None:
        """Let a session live on: its client was heard from."""
        limit = self._clock.seconds() + session.timeout
        session.deadline = (math.floor(limit / self.tick) + 1) * self.tick
        if self._timer is not None and self._timer.getTime() > session.deadline:
            self._cancel_timer()
        self._set_timer()

    def end(self, session: Session, reason: str, closing: SessionConnection | None = None) -> None:
        """End a session, which is a transaction: its ephemeral nodes go, and its connections.

        :param closing: the one on which it was asked for, which has yet to answer.
        """
        del self._alive[session.id]
        self._log.info("Session {session:#x}: ended, {reason}", session=session.id, reason=reason)
        self._database.end_session(session.id)
        for connection in list(session.connections):
            if connection is not closing:
                connection.expire("its session has ended")

    def start(self) -> None:
        """Let sessions expire from now on, and give each its full timeout: so a restarted server does it."""
        self._expiring = True
        for session in self._alive.values():
            self.touch(session)

    def stop(self) -> None:
        """Let no session expire until :meth:`start`."""
        self._expiring = False
        self._cancel_timer()

    def replace(self, sessions: Iterable[Session]) -> None:
        """Go on with other sessions, without a transaction; each gets its full timeout."""
        self._alive = {session.id: session for session in sessions}
        self._cancel_timer()
        for session in self._alive.values():
            self.touch(session)

    def negotiate(self, milliseconds: int) -> float:
        """Return the timeout in seconds that a session gets whose client asks for this one."""
        shortest, longest = self.limits
        return min(max(milliseconds / 1000, shortest), longest)

    def _set_timer(self) -> None:
        # One timer for all: a session that is touched is only seen to be alive when the timer goes off.
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
            self.end(session, "its client was silent for too long")
        self._set_timer()
