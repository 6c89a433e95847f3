"""The search for an order of operations of which no zxid is known: the algorithm of Wing and Gong, with Lowe's cache.

It takes exponential time at worst, and it is for one object: a counter or a queue.
"""

from __future__ import annotations

import enum
import time
from collections.abc import Callable, Hashable, Iterable, Iterator

import attrs

from txmirror.testing.history.findings import Finding, Rule, find, name_of
from txmirror.testing.history.models import Model
from txmirror.testing.history.operations import Operation, Outcome

#: The most operations at one moment that have begun and not ended.
MOST_OPEN = 50


class Verdict(enum.Enum):
    """The result of a search."""

    LINEARIZABLE = "linearizable"
    NOT_LINEARIZABLE = "not linearizable"
    UNDECIDED = "undecided"


@attrs.frozen
class Searched:
    """The result of a search."""

    verdict: Verdict
    """The verdict: an order was found, there is none, or undecided."""
    reason: str = ""
    """The reason for which it is undecided."""
    finding: Finding | None = None
    """The operation that has no place in any order."""
    order: tuple[int, ...] = ()
    """The numbers of the operations in an order that explains them. Of unknown operations, it has only those that were done."""


def search(
    operations: Iterable[Operation],
    model: Model,
    *,
    seconds: float = 10.0,
    clock: Callable[[], float] = time.monotonic,
) -> Searched:
    """Search for an order of operations on one object that agrees with time and explains all answers.

    An unknown operation may have been done at any time after its begin, or not. One that was not applied counts only if a server has
    refused it.

    :param seconds: the time limit, after which it is undecided.
    """
    relevant = [each for each in operations if each.outcome is not Outcome.NOT_APPLIED or each.answer is not None]
    most = _most_open(relevant)
    if most > MOST_OPEN:
        return Searched(Verdict.UNDECIDED, f"{most} operations are open at once, and {MOST_OPEN} are the most")
    if not relevant:
        return Searched(Verdict.LINEARIZABLE)
    deadline = clock() + seconds
    return _Search(relevant, model).run(lambda: clock() <= deadline)


def _known(operation: Operation) -> bool:
    return operation.end is not None and operation.outcome is not Outcome.UNKNOWN


def _events(operations: list[Operation]) -> Iterator[tuple[Operation, bool]]:
    """Yield the begins, with True, and the ends of known operations, in the order of time; of one moment, the begins first."""
    events = [(each.begin, 0, each.number, each) for each in operations]
    events += [(each.end or 0, 1, each.number, each) for each in operations if _known(each)]
    for _, is_end, _, operation in sorted(events, key=lambda each: each[:3]):
        yield operation, not is_end


def _most_open(operations: list[Operation]) -> int:
    count = most = 0
    for _, begins in _events(operations):
        count += 1 if begins else -1
        most = max(most, count)
    return most


class _Event:
    """A begin or an end, in a list that is linked both ways.

    :param bit: the bit of its operation in a set of operations.
    """

    def __init__(self, operation: Operation, bit: int, *, begins: bool) -> None:
        self.operation = operation
        self.bit = bit
        self.begins = begins
        #: Of a begin, its end; None if it has none.
        self.end: _Event | None = None
        self.before: _Event | None = None
        self.after: _Event | None = None

    def remove(self) -> None:
        """Remove a begin and its end from the list."""
        for each in (self, self.end):
            if each is not None:
                if each.before is not None:
                    each.before.after = each.after
                if each.after is not None:
                    each.after.before = each.before

    def put_back(self) -> None:
        """Put back a begin and its end that were removed last."""
        for each in (self.end, self):
            if each is not None:
                if each.before is not None:
                    each.before.after = each
                if each.after is not None:
                    each.after.before = each


def _link(operations: list[Operation]) -> _Event:
    """Return the list of all events, behind an event of its own."""
    root = last = _Event(operations[0], 0, begins=False)
    begins: dict[int, _Event] = {}
    for operation, is_begin in _events(operations):
        bit = 1 << len(begins) if is_begin else 0
        event = _Event(operation, bit, begins=is_begin)
        if is_begin:
            begins[operation.number] = event
        else:
            begins[operation.number].end = event
        last.after, event.before = event, last
        last = event
    return root


class _Search:
    """A depth-first search. Each step places one of the operations that begin before the first end among those not yet placed."""

    def __init__(self, operations: list[Operation], model: Model) -> None:
        self._step = model.step
        self._root = _link(operations)
        self._unplaced = sum(map(_known, operations))
        self._done, self._state = 0, model.initial
        self._placed: list[tuple[_Event, int, Hashable]] = []
        self._choices = [self._candidates()]
        #: The places that were tried: the set of placed operations, and the state after them.
        self._tried: set[tuple[int, Hashable]] = {(self._done, self._state)}
        self._most, self._blocking = -1, operations[0]

    def run(self, in_time: Callable[[], bool]) -> Searched:
        while self._unplaced:
            if not in_time():
                return Searched(Verdict.UNDECIDED, "the time limit is over")
            if not self._place() and not self._take_back():
                sentence = f"{name_of(self._blocking)} has no place in any order, after {self._most} other operations"
                return Searched(Verdict.NOT_LINEARIZABLE, "", find(Rule.LINEARIZABLE, sentence, self._blocking))
        return Searched(Verdict.LINEARIZABLE, order=tuple(event.operation.number for event, _, _ in self._placed))

    def _candidates(self) -> Iterator[tuple[_Event, Hashable]]:
        """Yield the operations that may be next, each with the state after it."""
        event = self._root.after
        while event is not None and event.begins:
            for state in self._step(self._state, event.operation):
                yield event, state
            event = event.after
        if event is not None and len(self._placed) > self._most:
            self._most, self._blocking = len(self._placed), event.operation

    def _place(self) -> bool:
        """Place the next operation that was not tried in this place."""
        for event, state in self._choices[-1]:
            place = self._done | event.bit, state
            if place not in self._tried:
                self._tried.add(place)
                self._placed.append((event, self._done, self._state))
                self._done, self._state = place
                event.remove()
                self._unplaced -= _known(event.operation)
                self._choices.append(self._candidates())
                return True
        return False

    def _take_back(self) -> bool:
        """Take back the last operation."""
        self._choices.pop()
        if not self._placed:
            return False
        event, self._done, self._state = self._placed.pop()
        event.put_back()
        self._unplaced += _known(event.operation)
        return True
