"""Find the writes that make a subtree equal to an export."""

from __future__ import annotations

import enum
from collections.abc import AsyncIterator, Callable

import attrs

from txmirror.cli.subtrees.merging import side_by_side
from txmirror.cli.subtrees.records import Item, Place, Record, Source, Unreadable, path_of
from txmirror.cli.subtrees.writes import Write


class Existing(enum.Enum):
    """The treatment of a node that exists and differs."""

    FAIL = "fail"
    SKIP = "skip"
    OVERWRITE = "overwrite"


# More than 7 parameters: a number for each result.
@attrs.define
class Counts:
    """The numbers of nodes of an import."""

    created: int = 0
    changed: int = 0
    deleted: int = 0
    equal: int = 0
    """Existing nodes that are equal to the export's."""
    kept: int = 0
    """Existing nodes that differ and were kept."""
    ephemeral: int = 0
    """Ephemeral nodes of the export, which were not created."""
    unknown: int = 0
    """Nodes that could not be read when they were exported."""
    failed: int = 0
    """Writes that ZooKeeper refused."""

    def describe(self) -> str:
        """Return the numbers as text."""
        parts = [
            f"{self.created} created",
            f"{self.changed} changed",
            f"{self.deleted} deleted",
            f"{self.equal} equal already",
        ]
        if self.kept:
            parts.append(f"{self.kept} differ and were kept")
        if self.ephemeral:
            parts.append(f"{self.ephemeral} ephemeral ones left out")
        if self.unknown:
            parts.append(f"{self.unknown} were unreadable when they were exported")
        if self.failed:
            parts.append(f"{self.failed} of these failed")
        return ", ".join(parts)


@attrs.define
class _Surplus:
    """A node that is not in the export."""

    place: Place
    kept: bool = False
    """True if it cannot be deleted: there is an ephemeral or unreadable node below it."""


class Plan:
    """The writes of an import.

    :param wanted: the nodes of the export.
    :param there: the nodes of the subtree, with ephemeral ones.
    :param root: the path of the subtree.
    :param existing: the treatment of nodes that exist and differ.
    :param prune: whether to delete nodes that are not in the export. Ephemeral nodes, and those above them, stay.
    :param ephemerals: whether to create the export's ephemeral nodes, as persistent ones.
    :param conflict: called with the path of each node that cannot be as in the export, and the reason.
    :ivar counts: the numbers so far.
    """

    # It has 7 parameters: four are options of the command.

    def __init__(
        self,
        wanted: Source,
        there: Source,
        root: str,
        *,
        existing: Existing,
        prune: bool,
        ephemerals: bool,
        conflict: Callable[[str, str], None],
    ) -> None:
        self._wanted = wanted
        self._there = there
        self._root = root
        self._existing = existing
        self._prune = prune
        self._ephemerals = ephemerals
        self._conflict = conflict
        self._surplus: list[_Surplus] = []
        self.counts: Counts = Counts()

    async def writes(self) -> AsyncIterator[Write]:
        """Return the writes, in an order in which they can be done."""
        async for wanted, there in side_by_side(self._wanted, self._there):
            item = wanted or there
            for write in self._leave(None if item is None else item.place):
                yield write
            for write in self._compare(wanted, there):
                yield write
        for write in self._leave(None):
            yield write

    def _compare(self, wanted: Item | None, there: Item | None) -> list[Write]:
        if wanted is None:
            assert there is not None
            self._note_surplus(there)
            return []
        path = path_of(self._root, wanted.place)
        if isinstance(wanted, Unreadable):
            self.counts.unknown += 1
            return []
        if wanted.ephemeral is not None and not self._ephemerals:
            self.counts.ephemeral += 1
            return []
        if there is None:
            self.counts.created += 1
            return [Write("create", path, wanted.data, wanted.acl, wanted.container, wanted.ttl)]
        if isinstance(there, Record) and there.ephemeral is None:
            return self._differences(path, wanted, there)
        self.counts.kept += 1
        if self._existing is not Existing.SKIP:
            if isinstance(there, Unreadable):
                self._conflict(path, f"it exists and cannot be compared: {there.reason}")
            else:
                self._conflict(path, f"an ephemeral znode of session {there.ephemeral} is in its place")
        return []

    def _differences(self, path: str, wanted: Record, there: Record) -> list[Write]:
        writes = []
        if wanted.data != there.data:
            writes.append(Write("set", path, wanted.data))
        if wanted.acl is not None and there.acl is not None and sorted(wanted.acl) != sorted(there.acl):
            writes.append(Write("set-acl", path, acl=wanted.acl))
        if not writes:
            self.counts.equal += 1
        elif self._existing is Existing.OVERWRITE:
            self.counts.changed += 1
            return writes
        else:
            self.counts.kept += 1
            if self._existing is Existing.FAIL:
                what = " and ".join("data" if write.action == "set" else "ACL" for write in writes)
                self._conflict(path, f"it exists with other {what}")
        return []

    def _note_surplus(self, there: Item) -> None:
        if not self._prune:
            return
        self._surplus.append(_Surplus(there.place))
        if isinstance(there, Unreadable) or there.ephemeral is not None:
            for each in self._surplus:
                each.kept = True

    def _leave(self, place: Place | None) -> list[Write]:
        """Return the deletions of all nodes that are not above a place, the lowest first."""
        writes = []
        while self._surplus and (place is None or place[: len(self._surplus[-1].place)] != self._surplus[-1].place):
            surplus = self._surplus.pop()
            if surplus.kept:
                self.counts.kept += 1
            else:
                self.counts.deleted += 1
                writes.append(Write("delete", path_of(self._root, surplus.place)))
        return writes
