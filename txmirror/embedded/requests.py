"""Who asks, and what an answer is: what all that serves requests has in common."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from txmirror.embedded.acl import Identity
from txmirror.types import EventType


class Caller(Protocol):
    """Whoever asks, and watches: a connection with a session."""

    @property
    def identities(self) -> Sequence[Identity]:
        """What was proved on it."""

    @property
    def session_id(self) -> int:
        """The session's id."""

    def notify(self, kind: EventType, path: str, zxid: int = -1) -> None:
        """Send a watch event, which is about a transaction, or (-1) about what may be many."""


class Record(Protocol):
    """What answers a request."""

    def encode(self) -> bytes:
        """Give the record's bytes."""
