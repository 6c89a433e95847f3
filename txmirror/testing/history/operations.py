"""A history: the operations of some clients, their watches, and the times in which they held locks.

Moments are integers, from any clock that all clients share, such as ``time.monotonic_ns`` or a counter. Of two operations,
one comes before the other only if it ended at an earlier moment than that at which the other began.
"""

from __future__ import annotations

import enum

import attrs

from txmirror.testing.history.calls import Answer, Call


class Outcome(enum.Enum):
    """The effect of an operation, as the client reports it."""

    APPLIED = "applied"
    """It was done. A read has shown something."""
    NOT_APPLIED = "not applied"
    """It was certainly not done. A server has refused it, or it was not sent."""
    UNKNOWN = "unknown"
    """It may have been done, or may be done later. A read without a result is unknown."""


# More than 7 parameters: it is a record of all that is known of an operation.
@attrs.frozen
class Operation:
    """One operation of a client."""

    number: int
    """Its position in the history."""
    client: str
    """The client's name."""
    session: int
    """The number of the client's session in which it was answered, which grows with each new session."""
    call: Call
    """The call."""
    begin: int
    """The moment at which the client made the call."""
    end: int | None = None
    """None if it has not ended."""
    outcome: Outcome = Outcome.UNKNOWN
    """The effect: done, not done, or unknown."""
    answer: Answer | None = None
    """The answer; None if there is none."""
    zxid: int | None = None
    """Of a write, its transaction. Of a read, the transaction as of which the reply shows the data. None if the client
    does not return it."""


@attrs.frozen
class Fired:
    """A one-shot watch has fired."""

    operation: int
    """The number of the read that has set it."""
    at: int
    """The moment at which it fired."""
    event: bool = True
    """False if it has ended without an event: the client reports that it cannot be kept."""


# More than 7 parameters: see Operation.
@attrs.frozen
class Hold:
    """The time in which a client held a lock, a lease of a semaphore, or the leadership, and could rely on it."""

    number: int
    """Its number among the holds."""
    client: str
    """The client's name."""
    path: str
    """The path of the lock, semaphore or election."""
    begin: int
    """The moment from which the client could rely on it."""
    end: int | None = None
    """The moment at which it began to release it, or was told that it is lost; None if it still holds it."""
    token: int | None = None
    """The fencing token, which grows with each holder; None if there is none."""
    capacity: int = 1
    """The number of holders at a time."""
    shared: bool = False
    """True if it may be held together with any number of others that are shared."""


@attrs.frozen
class History:
    """All that was recorded."""

    operations: tuple[Operation, ...]
    """In the order of their numbers, which is that of their begins."""
    fired: tuple[Fired, ...] = ()
    """The watches that fired."""
    holds: tuple[Hold, ...] = ()
    """The times in which clients held locks."""
    resets: tuple[int, ...] = ()
    """The moments at which the data of the ensemble was lost or replaced."""
    pipelined: frozenset[str] = frozenset()
    """The clients whose operations are single requests, sent in the order of their begins and answered in that order."""
