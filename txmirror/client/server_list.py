"""Which server to try next, and when.

The order is shuffled once for each client, so that the clients of an ensemble spread over it. The first round goes
without a pause; then the pauses grow, with full jitter, so that a server that comes back is not stormed.

Servers that accept the session and then drop the connection keep the session alive: there is less hurry, and the pauses
grow further.
"""

from __future__ import annotations

import enum
from collections.abc import Sequence
from random import Random

from txmirror.client.servers import Server

#: The pauses between attempts start about here, in seconds.
_FIRST_PAUSE = 0.1
#: The longest pause while the session may live; it is never more than a twentieth of the session timeout either.
_LIVING_PAUSE = 0.5
#: The ceiling is no lower than this, however short a session a server grants.
_LEAST_PAUSE = 0.02


class ConnectFailure(enum.Enum):
    """How the latest attempt at a server ended, without a session."""

    UNRESOLVED = "its name cannot be resolved"
    UNREACHABLE = "it cannot be reached"
    REFUSED = "it closed the handshake without an answer"
    FAILED = "it failed the handshake"
    FOREIGN = "it does not speak ZooKeeper's protocol"


class ServerList:
    """Keeps the order of the servers, how each attempt ended, and the pauses.

    :param servers: the servers of the ensemble.
    :param random: shuffles, and draws the pauses.
    :param longest_pause: the longest pause where no session may be lost by it, in seconds.
    """

    def __init__(self, servers: Sequence[Server], random: Random, longest_pause: float = 5.0) -> None:
        self._order = list(servers)
        random.shuffle(self._order)
        self._random = random
        self._longest_pause = longest_pause
        self._next = 0
        self._attempts = 0
        self._brief = 0
        self._failures: dict[Server, tuple[ConnectFailure, float]] = {}

    @property
    def servers(self) -> Sequence[Server]:
        """Give the servers in the order in which they are tried."""
        return self._order

    def prefer(self, server: Server) -> None:
        """Let the next server be this one."""
        self._next = self._order.index(server)

    def next_server(self) -> Server:
        """Give the server to try now."""
        server = self._order[self._next]
        self._next = (self._next + 1) % len(self._order)
        self._attempts += 1
        return server

    def same_again(self) -> None:
        """Let the next server be the one that was tried last, not counting that try."""
        self._next = (self._next - 1) % len(self._order)
        self._attempts -= 1

    def backoff(self, session_timeout: float, may_live: bool, in_contact: bool = False) -> float:
        """Return the seconds to wait before the next attempt.

        :param session_timeout: the session's timeout in seconds.
        :param may_live: whether there is a session that may still be alive.
        :param in_contact: whether the latest attempt gave a connection that served the session until just now.
        """
        longest = self._longest_pause
        if may_live:
            longest = max(min(session_timeout / 20, _LIVING_PAUSE), _LEAST_PAUSE)
        pause = self._grown_backoff(self._attempts, longest)
        if in_contact:
            # The session has nearly all of its time left.
            pause = max(pause, self._grown_backoff(self._brief, min(session_timeout / 3, self._longest_pause)))
        return self._random.uniform(0, pause) if pause else 0.0

    def _grown_backoff(self, count: int, longest: float) -> float:
        """Return the longest pause after so many attempts: none in the first round, and then twice as much for each round."""
        rounds = count // len(self._order)
        return min(longest, _FIRST_PAUSE * 2.0 ** min(rounds - 1, 16)) if rounds else 0.0

    def lived(self) -> None:
        """Reset the pauses: there was a connection that lived."""
        self._attempts = 0
        self._brief = 0

    def was_brief(self) -> None:
        """Count a connection that served the session and did not live."""
        self._brief += 1

    def note_failure(self, server: Server, failure: ConnectFailure, now: float) -> bool:
        """Note how an attempt ended.

        :returns: whether it ended otherwise than the one before it.
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
        """Tell whether no server's name can be resolved."""
        return all(self._is(server, ConnectFailure.UNRESOLVED) for server in self._order)

    def refused_since(self) -> float | None:
        """Tell since when every server has closed each handshake without an answer; None if they have not."""
        if not all(self._is(server, ConnectFailure.REFUSED) for server in self._order):
            return None
        return max(self._failures[server][1] for server in self._order)

    def _is(self, server: Server, failure: ConnectFailure) -> bool:
        return server in self._failures and self._failures[server][0] is failure
