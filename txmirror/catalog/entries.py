"""The values of the catalog: services, their entries, and changes of them."""

from __future__ import annotations

import enum
from collections.abc import Mapping, Sequence
from typing import Final

import attrs

from txmirror.discovery import Listed, Verdict
from txmirror.types import Instance, InstanceStatus, ZnodeStat


class EntryState(enum.Enum):
    """The state of an instance as readers see it."""

    PASSING = "passing"
    """It can be used."""
    WARNING = "warning"
    """It can be used, and one of its checks warns."""
    DOWN = "down"
    """It is registered as down."""
    NO_WEIGHT = "no-weight"
    """It has the weight 0, and is not to be picked."""
    HELD = "held"
    """It is gone from ZooKeeper just after an outage, and counts as usable for some time."""
    UNREADABLE = "unreadable"
    """Its node cannot be read or decoded, or lacks an address or a port."""


_USABLE: Final = frozenset((EntryState.PASSING, EntryState.WARNING, EntryState.HELD))
_STATES: Final = {
    Verdict.UNREADABLE: EntryState.UNREADABLE,
    Verdict.DOWN: EntryState.DOWN,
    Verdict.NO_WEIGHT: EntryState.NO_WEIGHT,
}


@attrs.frozen
class Entry:
    """A node of a service."""

    name: str
    """The node's name."""
    path: str
    """Its path."""
    instance: Instance | None
    """The instance; None if it is unreadable."""
    state: EntryState
    """Its state."""
    reason: str | None = None
    """The reason why it is unreadable, in one line; None if it is not."""
    stat: ZnodeStat | None = None
    """The node's stat; None if it was never read."""
    cache: dict[str, bytes] = attrs.field(factory=dict, eq=False, repr=False, init=False)
    """The encoded forms of the entry, by format, each made when it is needed for the first time."""

    @property
    def usable(self) -> bool:
        """True if readers may use the instance."""
        return self.state in _USABLE


def make_entry(name: str, path: str, listed: Listed, stat: ZnodeStat | None, *, held: bool) -> Entry:
    """Return the entry for a node of a list.

    :param held: whether the servers do not have the node any more.
    """
    state = _STATES.get(listed.verdict)
    if state is None:
        warns = listed.instance is not None and listed.instance.status is InstanceStatus.WARNING
        state = EntryState.HELD if held else EntryState.WARNING if warns else EntryState.PASSING
    return Entry(name, path, listed.instance, state, listed.reason, stat)


@attrs.define(eq=False)
class CatalogService:
    """A service. Only the catalog changes it."""

    name: str
    """Its name: that of its znode."""
    path: str
    """The path of its znode."""
    index: int
    """The index of its latest change."""
    entries: Mapping[str, Entry]
    """Its nodes by name, in no particular order. It is live."""
    names: Sequence[str]
    """The names of its nodes, sorted. It is live, and not to be changed."""
    reason: str | None = None
    """The reason why its znode or the list of its nodes cannot be read, in one line; None if it can."""

    @property
    def passing(self) -> int:
        """The number of usable instances."""
        return sum(each.usable for each in self.entries.values())


@attrs.frozen
class CatalogChange:
    """A change of one service."""

    service: str
    """The service's name."""
    entries: Mapping[str, Entry | None]
    """The nodes that were added, changed or removed, by name: the new entry, or None if it is gone. At most 200: more changes are
    notified as several."""
    gone: bool
    """True if the service itself is gone. Then there are no entries."""
    index: int
    """The catalog's index with this change."""
