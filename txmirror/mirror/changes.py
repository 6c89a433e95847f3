"""The changes that a tree notifies its watchers of."""

from __future__ import annotations

import enum
from typing import NamedTuple

from txmirror.types import ZnodeStat

#: A node's data and stat.
Value = tuple[bytes, ZnodeStat]


class ChangeKind(enum.Enum):
    """The kind of a change in a tree."""

    ADDED = "added"
    """A node was created, or is known for the first time."""
    CHANGED = "changed"
    """A node's data was written, or the node was deleted and created again."""
    REMOVED = "removed"
    """A node was deleted. The removal of those below it was notified before."""
    HIDDEN = "hidden"
    """A node cannot be read (see ``Tree.unreadable``). If it was read before, the tree keeps that data."""
    READABLE = "readable"
    """A node that could not be read can be read now, or was deleted: it is no longer in ``Tree.unreadable``."""
    SETTLED = "settled"
    """The tree shows the server's state, except for unreadable nodes: for the first time, or again after it was stale."""
    STALE = "stale"
    """The connection was lost: the tree shows the last known state."""


class Change(NamedTuple):
    """One change in a tree."""

    kind: ChangeKind
    """The kind of the change."""
    path: str
    """The node's path; for the last two kinds, the tree's own."""
    old: Value | None
    """The data and stat before; None if the node did not exist, or was not known."""
    new: Value | None
    """The data and stat now; None if the node was deleted. For the last four kinds it is the same as ``old``."""
