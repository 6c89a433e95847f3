"""The interfaces for executing requests: the caller, and the record of the reply."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from txmirror.embedded.acl import Identity
from txmirror.types import EventType


class Caller(Protocol):
    """The client that sends a request and sets watches: a connection with a session."""

    @property
    def identities(self) -> Sequence[Identity]:
        """The authenticated identities of the connection."""

    @property
    def session_id(self) -> int:
        """The session's id."""

    def notify(self, kind: EventType, path: str, zxid: int = -1) -> None:
        """Send a watch event of one transaction, or (zxid -1) of possibly several."""


class Encodable(Protocol):
    """The record of a reply."""

    def encode(self) -> bytes:
        """Return the encoded record."""
