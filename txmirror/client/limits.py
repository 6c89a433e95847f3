"""The bounds that a client keeps, in one place."""

from __future__ import annotations

import math

import attrs

from txmirror.wire import DEFAULT_MAX_REPLY, DEFAULT_MAX_REQUEST


@attrs.frozen
class Limits:
    """What a client allows itself. Times are in seconds, sizes in bytes.

    :raises ValueError: one of them is not above 0; the message names it.
    """

    max_request: int = DEFAULT_MAX_REQUEST
    """The longest request; the server closes the connection on one that is over its own limit (``jute.maxbuffer``)."""
    max_reply: int = DEFAULT_MAX_REPLY
    """The longest reply; a longer one is thrown away as it comes in, and its request alone fails."""
    in_flight_requests: int = 10_000
    """How many requests may be with the server, unanswered; those that are asked for beyond that wait in the queue."""
    in_flight_bytes: int = 16 * 1024 * 1024
    """How long those may be together; one request may always be sent."""
    queued_requests: int = 10_000
    """How many requests of the client's own methods may wait for a connection, or for others to be answered; one more fails at
    once with :exc:`~txmirror.errors.TooManyRequestsException`. Requests of a mirror, a registry or the recipes are not counted:
    they wait for room."""
    queued_bytes: int = 64 * 1024 * 1024
    """How long those may be together."""
    queued_time: float = 30.0
    """How long a request may wait for a connection, in seconds. The time does not run while there is one."""
    queued_attempts: int = 10**9
    """How many attempts to connect may fail one after another; all that waits for a connection fails with the last of them, and
    with each that fails after it."""
    close_time: float = 5.0
    """How long ``close()`` may take."""
    longest_pause: float = 5.0
    """The longest pause between attempts where no session may be lost by it; each is of a random length up to it, so that the
    clients of an ensemble that comes back do not come together."""
    attempt_time: float = 4.0
    """The longest that one attempt (connect and handshake) may take; it is never more than a third of the session
    timeout, so that a server that does not answer does not cost the session."""

    def __attrs_post_init__(self) -> None:
        for name, value in attrs.asdict(self).items():
            if not (isinstance(value, (int, float)) and 0 < value < math.inf):
                raise ValueError(f"the limit {name} is a number above 0, not {value!r}")

    def attempt(self, session_timeout: float) -> float:
        """Give the time that one attempt may take."""
        return min(session_timeout / 3, self.attempt_time)
