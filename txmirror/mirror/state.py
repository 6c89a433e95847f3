"""Snapshots of a mirror and of its nodes."""

from __future__ import annotations

import enum
from functools import lru_cache
from typing import NamedTuple

from txmirror.types import ZnodeStat


class Existence(enum.Enum):
    """The existence of a node, as far as is known."""

    UNKNOWN = "unknown"
    ABSENT = "absent"
    PRESENT = "present"


class NodeState(NamedTuple):
    """A snapshot of a node."""

    existence: Existence
    """The existence of the node: present, absent, or unknown."""
    value: bytes | None
    """The data; None unless the node is present."""
    stat: ZnodeStat | None
    """The stat; None unless the node is present."""
    children: tuple[str, ...] | None
    """The names of the children, sorted; None unless the node is present and they were read."""
    stale_since: float | None
    """The time (in the reactor's seconds) at which the connection was lost, so that the snapshot may be old; None if there
    is a connection. Then a change that the server announces is shown within a round trip or two."""


@lru_cache(maxsize=16)
def without_value(existence: Existence, stale_since: float | None) -> NodeState:
    """Return the state of a node that is unknown or absent. Many nodes share it."""
    return NodeState(existence, None, None, None, stale_since)


class MirrorState(enum.Enum):
    """The state of a mirror, as state watchers get it."""

    DISCONNECTED = "disconnected"
    """There is no connection: everything stays readable as it was last read."""
    CONNECTED = "connected"
    """There is a connection (again), or a server failed to answer a read: the nodes that have changed are being read."""
    SETTLED = "settled"
    """Every node shows the server's state."""
    CLOSED = "closed"
    """The mirror was closed. No other state follows."""
