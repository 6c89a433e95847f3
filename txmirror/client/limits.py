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
    queued_requests: int = 10_000
    """How many requests may wait for a connection."""
    queued_time: float = 30.0
    """How long a request may wait for a connection."""
    close_time: float = 5.0
    """How long ``close()`` may take."""
    attempt_time: float = 4.0
    """The longest that one attempt (connect and handshake) may take; it is never more than a third of the session
    timeout, so that a server that does not answer does not cost the session."""

    def attempt(self, session_timeout: float) -> float:
        """Give the time that one attempt may take."""
        return min(session_timeout / 3, self.attempt_time)
