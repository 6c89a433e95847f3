"""Reconnect: try one server after another, each attempt with a timeout, until a server opens or resumes a session.

Each client shuffles the servers once, so that the clients of an ensemble spread over it. The first round has no backoff; then
the backoff grows, with full jitter, so that the clients do not all connect to a restarted server at once.

A server that accepts the session and then drops the connection keeps the session alive: then the backoff may grow further.
"""

from __future__ import annotations

import enum
from collections.abc import Sequence
from random import Random
from typing import Any, Protocol

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.error import ConnectingCancelledError, DNSLookupError
from twisted.internet.interfaces import IReactorTime
from twisted.internet.protocol import Factory
from twisted.logger import Logger
from twisted.python.failure import Failure

from txmirror.client.connection.connection import Connection
from txmirror.client.connection.endpoints import TLSWrapper, connect_to_server
from txmirror.client.connection.settings import Server
from txmirror.errors import ProtocolError
from txmirror.timers import Timer

#: The first backoff, in seconds.
_FIRST_BACKOFF = 0.1
#: The longest backoff while the session may not have expired, in seconds; it is at most a twentieth of the session timeout.
_SESSION_BACKOFF = 0.5
#: The least value of that maximum, in seconds, however short the session timeout.
_LEAST_SESSION_BACKOFF = 0.02
#: The most failures of one kind, with different details, that are reported until a server has answered.
_MOST_DETAILS = 5


class ConnectFailure(enum.Enum):
    """The reason why an attempt to connect to a server failed."""

    UNRESOLVED = "its name cannot be resolved"
    UNREACHABLE = "it cannot be reached"
    REFUSED = "it closed the handshake without an answer"
    FAILED = "it failed the handshake"
    FOREIGN = "it does not speak ZooKeeper's protocol"


class ServerList:
    """The order of the servers, the latest failure of each, and the backoff.

    :param servers: the servers of the ensemble.
    :param random: shuffles the servers, and draws the jitter.
    :param max_backoff: the longest backoff while no session can expire by it, in seconds.
    """

    def __init__(self, servers: Sequence[Server], random: Random, max_backoff: float = 5.0) -> None:
        self._order = list(servers)
        random.shuffle(self._order)
        self._random = random
        self._max_backoff = max_backoff
        self._next = 0
        self._attempts = 0
        self._unstable = 0
        #: The kind of each server's last failure, and the time of the first of them that follow one another.
        self._failures: dict[Server, tuple[ConnectFailure, float]] = {}
        #: The details of these failures.
        self._details: dict[Server, set[str]] = {}

    @property
    def servers(self) -> Sequence[Server]:
        """The servers in the order in which they are tried."""
        return self._order

    def prefer(self, server: Server) -> None:
        """Make this the next server."""
        self._next = self._order.index(server)

    def next_server(self) -> Server:
        """Return the server to connect to now, and count the attempt."""
        server = self._order[self._next]
        self._next = (self._next + 1) % len(self._order)
        self._attempts += 1
        return server

    def same_again(self) -> None:
        """Make the latest server the next one again, and do not count the latest attempt."""
        self._next = (self._next - 1) % len(self._order)
        self._attempts -= 1

    def backoff(self, session_timeout: float, may_live: bool, in_contact: bool = False) -> float:
        """Return the backoff before the next attempt, with jitter, in seconds.

        :param session_timeout: the session's timeout in seconds.
        :param may_live: whether there is a session that may not have expired yet.
        :param in_contact: whether the session had an established connection until just now.
        """
        longest = self._max_backoff
        if may_live:
            longest = max(min(session_timeout / 20, _SESSION_BACKOFF), _LEAST_SESSION_BACKOFF)
        pause = self._grown_backoff(self._attempts, longest)
        if in_contact:
            # Nearly all of the session timeout is left.
            pause = max(pause, self._grown_backoff(self._unstable, min(session_timeout / 3, self._max_backoff)))
        return self._random.uniform(0, pause) if pause else 0.0

    def _grown_backoff(self, count: int, longest: float) -> float:
        """Return the backoff without jitter after ``count`` attempts: 0 in the first round, then doubled with each round."""
        rounds = count // len(self._order)
        return min(longest, _FIRST_BACKOFF * 2.0 ** min(rounds - 1, 16)) if rounds else 0.0

    def note_stable(self) -> None:
        """Reset the backoff: there was a stable connection."""
        self._attempts = 0
        self._unstable = 0

    def note_unstable(self) -> None:
        """Count a connection that served the session and was not stable."""
        self._unstable += 1

    def note_failure(self, server: Server, failure: ConnectFailure, now: float, details: str = "") -> bool:
        """Note the failure of an attempt.

        :param details: a text that tells failures of one kind apart: a timeout must not hide a certificate that is refused later.
        :returns: whether the failure is of another kind than the server's last one, or its details are new for this kind.
        """
        before = self._failures.get(server)
        if before is None or before[0] is not failure:
            self._failures[server] = (failure, now)
            self._details[server] = {details}
            return True
        known = self._details[server]
        if details in known or len(known) == _MOST_DETAILS:
            return False
        known.add(details)
        return True

    def accepted(self, server: Server) -> None:
        """Note that a server has answered a handshake."""
        self._failures.pop(server, None)

    def all_unresolved(self) -> bool:
        """Return whether no server's name can be resolved."""
        return all(self._is(server, ConnectFailure.UNRESOLVED) for server in self._order)

    def refused_since(self) -> float | None:
        """Return the time since which every server has closed each handshake without an answer; None if one has not."""
        if not all(self._is(server, ConnectFailure.REFUSED) for server in self._order):
            return None
        return max(self._failures[server][1] for server in self._order)

    def _is(self, server: Server, failure: ConnectFailure) -> bool:
        return server in self._failures and self._failures[server][0] is failure


class ServesAgain(Exception):
    """The reason of a connection's end: the server was only not serving for a while. It is tried again at once."""


class ReconnectorOwner(Protocol):
    """The callbacks of a reconnector."""

    @property
    def session_timeout(self) -> float:
        """The session's timeout, in seconds."""

    def make_connection(self) -> Connection:
        """Make the protocol of a connection."""

    def attempt_limit(self) -> float:
        """Return the timeout of an attempt, in seconds."""

    def may_live(self) -> bool:
        """Return whether there is a session that may not have expired yet, so that the backoff must be short."""

    def blank_is_due(self, failure: ConnectFailure, now: float) -> bool:
        """Return whether the next attempt is a blank one at the same server, after this failure."""

    def unresolved(self) -> None:
        """Handle that no server's name can be resolved."""

    def attempt_failed(self) -> None:
        """Handle an attempt that failed."""

    def handshake_timed_out(self) -> None:
        """Handle a handshake that took too long."""


class Reconnector:
    """Connects to one server at a time. It checks that the handshake is answered in time, and does not read the answer.

    :param reactor: connects, resolves names, and runs the timers.
    :param server_list: the order of the servers, the backoff, and the failures of the latest attempts.
    :param wrap: wraps a connection in TLS; None connects without TLS.
    :param owner: the callbacks.
    :ivar server: the server of the latest attempt.
    """

    _log = Logger()

    def __init__(
        self, reactor: IReactorTime, server_list: ServerList, wrap: TLSWrapper | None, owner: ReconnectorOwner
    ) -> None:
        self._reactor = reactor
        self._server_list = server_list
        self._wrap = wrap
        self._owner = owner
        self._connecting: Deferred[Any] | None = None
        self._attempt_timer = Timer(reactor, self._attempt_timed_out)
        self._backoff_timer = Timer(reactor, self.connect)
        self.server: Server = server_list.servers[0]

    @property
    def idle(self) -> bool:
        """True if no attempt is under way, and none is scheduled."""
        return self._connecting is None and not (self._attempt_timer.running or self._backoff_timer.running)

    def connect(self) -> None:
        """Connect to the next server now."""
        self.server = self._server_list.next_server()
        limit = self._owner.attempt_limit()
        self._attempt_timer.start(limit)
        factory = Factory.forProtocol(self._owner.make_connection)
        factory.noisy = False
        self._connecting = Deferred.fromCoroutine(
            connect_to_server(self._reactor, self.server, factory, limit, self._wrap)
        )
        self._connecting.addCallbacks(self._reached, self._not_reached)

    def connect_soon(self) -> None:
        """Connect to the next server in the reactor's next iteration."""
        self._backoff_timer.start(0)

    def connect_later(self, *, in_contact: bool = False) -> None:
        """Connect to the next server after the backoff.

        :param in_contact: whether the session had an established connection until just now.
        """
        owner = self._owner
        self._backoff_timer.start(self._server_list.backoff(owner.session_timeout, owner.may_live(), in_contact))

    def skip_backoff(self) -> None:
        """Cut the backoff short, if it is running."""
        if self._backoff_timer.running:
            self.connect_soon()

    def done(self) -> None:
        """Stop the timeout of the attempt: the session is established, or the connection is lost."""
        self._attempt_timer.stop()

    def note_ended(self, connection: Connection, reason: Exception) -> None:
        """Note why a connection was lost before a session was established, and retry."""
        if isinstance(reason, ServesAgain):
            self.connect_soon()
        elif isinstance(reason, ProtocolError):
            self._failed(ConnectFailure.FOREIGN, str(reason))
        elif connection.loss is not None and not connection.protocol.answered:
            self._failed(ConnectFailure.REFUSED, str(reason))
        else:
            self._failed(ConnectFailure.FAILED, str(reason))

    def stop(self) -> None:
        """Stop for good, and cancel the attempt that is under way."""
        self._attempt_timer.stop()
        self._backoff_timer.stop()
        connecting, self._connecting = self._connecting, None
        if connecting is not None:
            connecting.cancel()

    def _reached(self, _: object) -> None:
        self._connecting = None

    def _not_reached(self, failure: Failure) -> None:
        if self._connecting is None:
            # It was stopped.
            return
        self._connecting = None
        self._attempt_timer.stop()
        if isinstance(failure.value, (CancelledError, ConnectingCancelledError)):
            self._unreachable(ConnectFailure.UNREACHABLE, "no connection in time")
        else:
            unresolved = isinstance(failure.value, DNSLookupError)
            kind = ConnectFailure.UNRESOLVED if unresolved else ConnectFailure.UNREACHABLE
            self._unreachable(kind, failure.getErrorMessage().rstrip("."))

    def _unreachable(self, kind: ConnectFailure, details: str) -> None:
        self._failed(kind, details)
        if self._server_list.all_unresolved():
            self._owner.unresolved()

    def _failed(self, kind: ConnectFailure, details: str) -> None:
        now = self._reactor.seconds()
        if self._server_list.note_failure(self.server, kind, now, details):
            self._log.warn(
                "Could not connect to {server}: {reason}. Retrying.",
                server=str(self.server),
                reason=f"{kind.value} ({details})",
            )
        if self._owner.blank_is_due(kind, now):
            self._server_list.same_again()
            self.connect_soon()
        else:
            self.connect_later()
        self._owner.attempt_failed()

    def _attempt_timed_out(self) -> None:
        limit = self._owner.attempt_limit()
        if self._attempt_timer.late > limit / 4:
            # The reactor has stalled. The answer may be in the socket's buffer: allow some time to read it.
            self._attempt_timer.start(limit / 4)
        elif self._connecting is not None:
            self._connecting.cancel()
        else:
            self._owner.handshake_timed_out()
