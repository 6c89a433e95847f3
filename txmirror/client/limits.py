"""The bounds that a client keeps, in one place."""

from __future__ import annotations

import attrs

from txmirror.wire import DEFAULT_MAX_REPLY, DEFAULT_MAX_REQUEST


@attrs.frozen
class Limits:
    """What a client allows itself. Times are in seconds, sizes in bytes."""

    max_request: int = DEFAULT_MAX_REQUEST
    """The longest request; the server closes the connection on one that is over its own limit (``jute.maxbuffer``)."""
    max_reply: int = DEFAULT_MAX_REPLY
    """The longest reply; a longer one is thrown away as it comes in, and its request alone fails."""
    in_flight_requests: int = 10_000
    """How many requests may be with the server, unanswered; those that are asked for beyond that wait in the queue."""
    in_flight_bytes: int = 16 * 1024 * 1024
    """How long those may be together; one request may always be sent."""
    queued_requests: int = 10_000
    """How many requests may wait for a connection, or for others to be answered; one more fails at once."""
    queued_bytes: int = 64 * 1024 * 1024
    """How long those may be together."""
    queued_time: float = 30.0
    """How long a request may wait so."""
    close_time: float = 5.0
    """How long ``close()`` may take."""
    attempt_time: float = 4.0
    """The longest that one attempt (connect and handshake) may take; it is never more than a third of the session
    timeout, so that a server that does not answer does not cost the session."""

    def attempt(self, session_timeout: float) -> float:
        """Give the time that one attempt may take."""
        return min(session_timeout / 3, self.attempt_time)
