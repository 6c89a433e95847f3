"""What can be seen of a mirror and its nodes at a moment."""

from __future__ import annotations

import enum
from functools import lru_cache
from typing import NamedTuple

from txmirror.types import ZnodeStat


class Existence(enum.Enum):
    """What is known of whether a node exists."""

    UNKNOWN = "unknown"
    ABSENT = "absent"
    PRESENT = "present"


class NodeState(NamedTuple):
    """What is known of a node."""

    existence: Existence
    value: bytes | None
    """The data; None unless the node is present."""
    stat: ZnodeStat | None
    """The stat; None unless the node is present."""
    children: tuple[str, ...] | None
    """The names of the children, sorted; None unless the node is present and they were read."""
    stale_since: float | None
    """Since when (in the reactor's seconds) there has been no connection, so that this may be old; None if there is
    one. What the server announces is then shown within a round trip or two."""


@lru_cache(maxsize=16)
def without_value(existence: Existence, stale_since: float | None) -> NodeState:
    """Return the state of a node that is unknown or absent. Many nodes share it."""
    return NodeState(existence, None, None, None, stale_since)


class MirrorState(enum.Enum):
    """What a state watcher is told."""

    DISCONNECTED = "disconnected"
    """There is no connection: everything stays readable as it was last seen."""
    CONNECTED = "connected"
    """There is a connection (again), or the server could not answer a read: what has changed meanwhile is being read."""
    SETTLED = "settled"
    """Every node shows what the server has."""
    CLOSED = "closed"
    """The mirror was closed. Nothing follows."""
