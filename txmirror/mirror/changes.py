"""What a tree tells those who watch it."""

from __future__ import annotations

import enum
from typing import NamedTuple

from txmirror.types import ZnodeStat

#: A node's data and stat.
Value = tuple[bytes, ZnodeStat]


class ChangeKind(enum.Enum):
    """What has happened."""

    ADDED = "added"
    """A node has come, or is known for the first time."""
    CHANGED = "changed"
    """A node's data was written, or the node was deleted and made anew."""
    REMOVED = "removed"
    """A node is gone; those below it were told of before."""
    HIDDEN = "hidden"
    """A node cannot be read (see ``Tree.unreadable``); if it could be before, the tree keeps what was read then."""
    READABLE = "readable"
    """A node that could not be read can be, or is gone: it is in ``Tree.unreadable`` no more."""
    SETTLED = "settled"
    """The tree shows all that the server has, but for its unreadable nodes: for the first time, or again after it was stale."""
    STALE = "stale"
    """There is no connection any more: the tree shows what was."""


class Change(NamedTuple):
    """One thing that a tree tells."""

    kind: ChangeKind
    path: str
    """The node's; for the last two kinds, the tree's own."""
    old: Value | None
    """The data and stat before; None if the node was not there, or not known."""
    new: Value | None
    """The data and stat now; None if the node is gone. For the last four kinds it is the same as ``old``."""
