"""The next server to connect to, and the backoff before that.

Each client shuffles the servers once, so that the clients of an ensemble spread over it. The first round has no backoff; then
the backoff grows, with full jitter, so that the clients do not all connect to a restarted server at once.

A server that accepts the session and then drops the connection keeps the session alive: then the backoff may grow further.
"""

from __future__ import annotations

import enum
from collections.abc import Sequence
from random import Random

from txmirror.client.connection.addresses import Server

#: The first backoff, in seconds.
_FIRST_PAUSE = 0.1
#: The longest backoff while the session may not have expired, in seconds; it is at most a twentieth of the session timeout.
_LIVING_PAUSE = 0.5
#: The least value of that maximum, in seconds, however short the session timeout.
_LEAST_PAUSE = 0.02


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
    :param longest_pause: the longest backoff while no session can expire by it, in seconds.
    """

    def __init__(self, servers: Sequence[Server], random: Random, longest_pause: float = 5.0) -> None:
        self._order = list(servers)
        random.shuffle(self._order)
        self._random = random
        self._longest_pause = longest_pause
        self._next = 0
        self._attempts = 0
        self._unstable = 0
        self._failures: dict[Server, tuple[ConnectFailure, float]] = {}

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
        longest = self._longest_pause
        if may_live:
            longest = max(min(session_timeout / 20, _LIVING_PAUSE), _LEAST_PAUSE)
        pause = self._grown_backoff(self._attempts, longest)
        if in_contact:
            # Nearly all of the session timeout is left.
            pause = max(pause, self._grown_backoff(self._unstable, min(session_timeout / 3, self._longest_pause)))
        return self._random.uniform(0, pause) if pause else 0.0

    def _grown_backoff(self, count: int, longest: float) -> float:
        """Return the backoff without jitter after ``count`` attempts: 0 in the first round, then doubled with each round."""
        rounds = count // len(self._order)
        return min(longest, _FIRST_PAUSE * 2.0 ** min(rounds - 1, 16)) if rounds else 0.0

    def note_stable(self) -> None:
        """Reset the backoff: there was a stable connection."""
        self._attempts = 0
        self._unstable = 0

    def note_unstable(self) -> None:
        """Count a connection that served the session and was not stable."""
        self._unstable += 1

    def note_failure(self, server: Server, failure: ConnectFailure, now: float) -> bool:
        """Note the failure of an attempt.

        :returns: whether it differs from the server's failure before it.
        """
        before = self._failures.get(server)
        if before is not None and before[0] is failure:
            return False
        self._failures[server] = (failure, now)
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
