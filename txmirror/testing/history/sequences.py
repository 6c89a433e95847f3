"""The rule of sequence numbers: unique, without gaps, and in the order of time."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

from txmirror.paths import parent_of
from txmirror.testing.history.calls import Create, Created, Delete
from txmirror.testing.history.findings import Finding, Rule, find, name_of
from txmirror.testing.history.operations import Operation, Outcome
from txmirror.testing.history.segments import Segment
from txmirror.testing.history.timeline import parts_of


class _Parent:
    """The creations below one node."""

    def __init__(self) -> None:
        self.numbered: list[tuple[int, Operation]] = []
        #: The creations without a number that is known: each may have taken one.
        self.others = 0
        self.deleted = False


def check_sequences(segment: Segment) -> Iterator[Finding]:
    """Check the sequence numbers below each node that nobody has deleted."""
    parents: dict[str, _Parent] = {}
    for operation in segment.operations:
        if operation.outcome is Outcome.NOT_APPLIED:
            continue
        for part in parts_of(operation):
            if isinstance(part, Delete):
                parents.setdefault(part.path, _Parent()).deleted = True
            if isinstance(part, Create):
                parent = parents.setdefault(parent_of(part.path) or "/", _Parent())
                number = _number(part, operation)
                if number is not None:
                    parent.numbered.append((number, operation))
                else:
                    parent.others += 1
    for path, parent in parents.items():
        if not parent.deleted and parent.numbered:
            yield from _check_parent(path, parent)


def _number(part: Create, operation: Operation) -> int | None:
    if not part.sequential or not isinstance(operation.answer, Created):
        return None
    return int(operation.answer.path[len(part.path) :])


def _check_parent(path: str, parent: _Parent) -> Iterator[Finding]:
    numbered = sorted(parent.numbered, key=lambda each: each[0])
    gaps = 0
    for (low, before), (high, after) in itertools.pairwise(numbered):
        if low == high:
            sentence = f"{name_of(before)} and {name_of(after)} have the same number {low} in {path}"
            yield find(Rule.SEQUENCE, sentence, before, after)
        gaps += max(high - low - 1, 0)
        if gaps > parent.others:
            sentence = (
                f"no write can have taken a number between {low} of {name_of(before)} and {high} of {name_of(after)}"
            )
            yield find(Rule.SEQUENCE, sentence, before, after)
            break
    yield from _check_time(numbered)


def _check_time(numbered: list[tuple[int, Operation]]) -> Iterator[Finding]:
    """Check that no write with a higher number ended before another began: from the highest number on, by the earliest end."""
    earliest: Operation | None = None
    for number, operation in reversed(numbered):
        if earliest is not None and earliest.end is not None and earliest.end < operation.begin:
            sentence = f"{name_of(operation)} has the number {number}, and {name_of(earliest)} had a higher one before"
            yield find(Rule.SEQUENCE, sentence, operation, earliest)
        if operation.end is not None and (earliest is None or operation.end < (earliest.end or 0)):
            earliest = operation
