"""The parts of a history between which the data of the ensemble was lost or replaced. Each is judged alone."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import attrs

from txmirror.testing.history.calls import Create, Delete, Set, Transaction
from txmirror.testing.history.operations import Fired, History, Hold, Operation, Outcome

#: Later than all moments.
_NEVER = float("inf")


@attrs.frozen
class Segment:
    """A part of a history."""

    operations: tuple[Operation, ...]
    """In the order of their begins. A write that overlaps another part, too, is unknown."""
    fired: tuple[Fired, ...]
    holds: tuple[Hold, ...]
    pipelined: frozenset[str]
    inherits: bool
    """True if the data may be that of an earlier part."""


def split(history: History) -> Iterator[Segment]:
    """Yield the parts of a history."""
    bounds = [-_NEVER, *sorted(history.resets), _NEVER]
    for index, (since, until) in enumerate(itertools.pairwise(bounds)):
        operations = [
            part
            for each in sorted(history.operations, key=lambda each: each.begin)
            if (part := _within(each, since, until)) is not None
        ]
        numbers = {each.number for each in operations if since < each.begin}
        yield Segment(
            tuple(operations),
            tuple(each for each in history.fired if since < each.at < until and each.operation in numbers),
            tuple(each for each in history.holds if since < each.begin and (_end(each.end) < until or until == _NEVER)),
            history.pipelined,
            index > 0,
        )


def _end(end: int | None) -> float:
    return _NEVER if end is None else end


def _within(operation: Operation, since: float, until: float) -> Operation | None:
    """Return an operation as a part of a history sees it; None if it has no effect on it."""
    end = _NEVER if operation.end is None or operation.outcome is Outcome.UNKNOWN else operation.end
    if since < operation.begin and (end < until or until == _NEVER):
        return operation
    if operation.begin > until or end < since or operation.outcome is Outcome.NOT_APPLIED:
        return None
    if not isinstance(operation.call, (Create, Set, Delete, Transaction)):
        return None
    return attrs.evolve(operation, outcome=Outcome.UNKNOWN, answer=None, zxid=None)
