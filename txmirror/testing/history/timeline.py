"""The effects of all writes on each path, in the order of their zxids, as far as replies show them."""

from __future__ import annotations

from bisect import bisect_right
from collections import defaultdict
from collections.abc import Iterator, Sequence
from itertools import accumulate

import attrs

from txmirror.paths import parent_of
from txmirror.testing.history.calls import Check, Create, Delete, Part, Set, Transaction
from txmirror.testing.history.intervals import Intervals
from txmirror.testing.history.operations import Operation, Outcome

_NEVER = float("inf")


# More than 7 parameters: it is a record of all that is known of an effect.
@attrs.frozen
class Effect:
    """The effect of a write on one path."""

    zxid: int
    path: str
    operation: Operation | None
    """The write; None if a read has shown the effect of an unknown one."""
    part: Part | None
    present: bool
    """False if there is no node afterwards."""
    creates: bool = False
    fleeting: bool = False
    """True if the node may go at any time: with a session, or by a write before the loss of data that a lagging server shows later."""

    @property
    def since(self) -> int | None:
        """The moment at which its operation began; None if there is none."""
        return None if self.operation is None else self.operation.begin


class Path:
    """The effects on one path, and its loose writes: those whose zxid nobody knows. Each of these may have been done or not.

    :ivar effects: in the order of their zxids.
    :ivar creates: the loose creations.
    :ivar sets: the loose writes of data.
    """

    def __init__(self) -> None:
        self.effects: list[Effect] = []
        self.creates: Intervals = Intervals()
        self.sets: Intervals = Intervals()
        self._deletes = [Intervals()]
        self._may_be_ephemeral = False
        self._zxids: list[int] = []
        #: The earliest begins of the effects from each on, and of the deletions among them.
        self._begins: list[float] = []
        self._begins_of_deletions: list[float] = []

    def add_loose(self, part: Part, operation: Operation) -> None:
        """Add a loose write."""
        if isinstance(part, Create):
            self.creates.add(operation.begin, _latest(operation))
            self._may_be_ephemeral |= part.ephemeral
        elif isinstance(part, Set):
            self.sets.add(operation.begin, _latest(operation))
        elif isinstance(part, Delete):
            self._deletes[0].add(operation.begin, _latest(operation))

    def close(self, deletes: list[Intervals]) -> None:
        """Sort the effects, after the last was added.

        :param deletes: recursive deletions of nodes above it.
        """
        self._deletes += deletes
        self.effects.sort(key=lambda each: each.zxid)
        self._zxids = [each.zxid for each in self.effects]
        before: Effect | None = None
        for index, effect in enumerate(self.effects):
            if effect.present and not effect.creates and effect.operation is not None:
                fleeting = self._may_be_ephemeral or before is None or (before.present and before.fleeting)
                self.effects[index] = attrs.evolve(effect, fleeting=fleeting)
            before = self.effects[index]
        self._begins = _earliest(self.effects)
        self._begins_of_deletions = _earliest([each if not each.present else None for each in self.effects])

    def last(self, zxid: int) -> Effect | None:
        """Return the last effect up to a zxid."""
        index = bisect_right(self._zxids, zxid)
        return self.effects[index - 1] if index else None

    def following(self, zxid: int) -> Iterator[Effect]:
        """Yield the effects after a zxid."""
        for index in range(bisect_right(self._zxids, zxid), len(self.effects)):
            yield self.effects[index]

    def changes_after(self, zxid: int, until: int | None, *, deletions: bool = False) -> bool:
        """Return whether an effect after a zxid began before a moment, or only a deletion."""
        begins = self._begins_of_deletions if deletions else self._begins
        index = bisect_right(self._zxids, zxid)
        return index < len(begins) and (until is None or begins[index] < until)

    def may_vanish(self, since: int | None, until: int | None) -> bool:
        """Return whether a loose deletion may have happened between two moments."""
        return any(each.any_between(since, until) for each in self._deletes)

    def may_appear(self, since: int | None, until: int | None) -> bool:
        """Return whether a loose creation may have happened between two moments."""
        return self.creates.any_between(since, until)

    def may_change(self, until: int | None) -> bool:
        """Return whether a loose write may have happened before a moment."""
        return self.may_vanish(None, until) or self.may_appear(None, until) or self.sets.any_between(None, until)

    def hidden_since(self) -> float:
        """Return the moment from which on there may be changes of which no zxid is known."""
        if any(each.fleeting for each in self.effects):
            return -_NEVER
        return min(each.first for each in (*self._deletes, self.creates, self.sets))


def _earliest(effects: Sequence[Effect | None]) -> list[float]:
    """Return, for each effect, the earliest begin of it and all after it."""
    begins = [_NEVER if each is None else -_NEVER if each.since is None else each.since for each in effects]
    return list(accumulate(reversed(begins), min))[::-1]


def _latest(operation: Operation) -> int | None:
    return operation.end if operation.outcome is Outcome.APPLIED else None


def parts_of(operation: Operation) -> tuple[Part, ...]:
    """Return the writes of an operation."""
    call = operation.call
    if isinstance(call, Transaction):
        return call.parts
    return (call,) if isinstance(call, (Create, Set, Delete, Check)) else ()


class Timeline:
    """The effects on all paths.

    :ivar paths: by path.
    :ivar below: the paths below each parent.
    :ivar sequential: the nodes that may have sequential children of which nobody knows the names.
    """

    def __init__(self) -> None:
        self.paths: dict[str, Path] = defaultdict(Path)
        self.below: dict[str, list[str]] = defaultdict(list)
        self.sequential: set[str | None] = set()
        #: The recursive deletions, by their roots.
        self._recursive: dict[str, Intervals] = defaultdict(Intervals)

    def add(self, effect: Effect) -> None:
        """Add an effect. Call :meth:`close` after the last."""
        self.paths[effect.path].effects.append(effect)

    def add_known(self, operation: Operation, zxid: int, created: str | None) -> None:
        """Add the effects of a write that was done.

        :param created: the path of the created node, if it is not that of the call.
        """
        for part in parts_of(operation):
            creates = isinstance(part, Create)
            if not isinstance(part, Check):
                path = created if creates and created is not None else part.path
                fleeting = isinstance(part, Create) and part.ephemeral
                self.add(Effect(zxid, path, operation, part, not isinstance(part, Delete), creates, fleeting))
        self.add_around(operation)

    def add_loose(self, operation: Operation) -> None:
        """Add a write whose zxid is not known."""
        for part in parts_of(operation):
            self.paths[part.path].add_loose(part, operation)
            if isinstance(part, Create) and part.sequential:
                self.sequential.add(parent_of(part.path))
        self.add_around(operation)

    def add_around(self, operation: Operation) -> None:
        """Add the creations of parents, and the deletions of all below: each is done or not."""
        for part in parts_of(operation):
            if isinstance(part, Create) and part.parents:
                above = parent_of(part.path)
                while above is not None:
                    self.paths[above].add_loose(Create(above), operation)
                    above = parent_of(above)
            if isinstance(part, Delete) and part.recursive:
                self._recursive[part.path].add(operation.begin, _latest(operation))

    def close(self) -> None:
        """Sort all, after the last was added."""
        for name, path in sorted(self.paths.items()):
            deletes: list[Intervals] = []
            above = parent_of(name)
            if above is not None:
                self.below[above].append(name)
            while above is not None:
                if above in self._recursive:
                    deletes.append(self._recursive[above])
                above = parent_of(above)
            path.close(deletes)
