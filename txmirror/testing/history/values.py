"""The rule of shared values: each change is done once, and replaces the value that it depends on.

Each change writes another value, and reports which one it has replaced. So the changes of a value form a chain, which begins with
the empty value and is the witness of their order.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from operator import attrgetter

from txmirror.testing.history.calls import Change, Changed, Look, Refused, Value
from txmirror.testing.history.findings import Finding, Rule, find, name_of
from txmirror.testing.history.operations import Operation, Outcome

_FIRST = ""
_NEVER = float("inf")


def check_values(operations: Iterable[Operation]) -> Iterator[Finding]:
    """Check each shared value."""
    values: dict[str, list[Operation]] = {}
    for operation in operations:
        if isinstance(operation.call, (Change, Look)):
            values.setdefault(operation.call.path, []).append(operation)
    for each in values.values():
        yield from _Chain(each).check()


def _written(change: Operation) -> str:
    return change.call.value if isinstance(change.call, Change) else _FIRST


def _former(change: Operation) -> str | None:
    """Return the value that a change has replaced, if it was done; None if that is not known."""
    if isinstance(change.answer, Changed):
        return change.answer.former
    return change.call.expected if isinstance(change.call, Change) else None


class _Chain:
    """The operations on one shared value."""

    def __init__(self, operations: list[Operation]) -> None:
        self._writers = {_written(each): each for each in operations if isinstance(each.call, Change)}
        self._refused = [each for each in operations if isinstance(each.answer, Refused) and each.end is not None]
        #: What each value was seen by: reads, and changes that have replaced it.
        self._looks: dict[str, list[Operation]] = defaultdict(list)
        for each in operations:
            if isinstance(each.answer, Value) and each.end is not None:
                self._looks[each.answer.value].append(each)
        self._done = [each for each in self._writers.values() if each.outcome is Outcome.APPLIED]
        #: The change that has replaced each value.
        self._next: dict[str, Operation] = {}

    def check(self) -> Iterator[Finding]:
        yield from self._check_seen()
        yield from self._link()
        yield from self._check_order()
        yield from self._check_refused()

    def _check_seen(self) -> Iterator[Finding]:
        """Check that each value that was seen was written. What others have seen was done."""
        done = {each.number for each in self._done}
        seen: list[tuple[str | None, Operation]] = []
        seen += [(value, each) for value, looks in sorted(self._looks.items()) for each in looks]
        seen += [(_former(each), each) for each in self._done]
        while seen:
            value, observer = seen.pop()
            if value is None or value == _FIRST:
                continue
            writer = self._writers.get(value)
            if writer is None:
                sentence = f"{name_of(observer)} has seen {value!r}, which nobody has written"
                yield find(Rule.VALUE, sentence, observer)
            elif writer.outcome is Outcome.NOT_APPLIED:
                sentence = f"{name_of(observer)} has seen {value!r}, and {name_of(writer)} was reported as not applied"
                yield find(Rule.VALUE, sentence, observer, writer)
            elif writer.number not in done:
                done.add(writer.number)
                self._done.append(writer)
                seen.append((_former(writer), writer))

    def _link(self) -> Iterator[Finding]:
        """Note which change has replaced each value. No two have replaced the same one."""
        for change in sorted(self._done, key=attrgetter("begin")):
            former = _former(change)
            if former is None:
                continue
            other = self._next.setdefault(former, change)
            if other is not change:
                sentence = f"{name_of(other)} and {name_of(change)} have both replaced {former!r}"
                yield find(Rule.VALUE, sentence, other, change)

    def _check_order(self) -> Iterator[Finding]:
        """Check that the order of the chain agrees with time."""
        left = {each.number: each for each in sorted(self._done, key=attrgetter("begin"))}
        written = {_written(each) for each in self._done}
        yield from self._check_from(_FIRST, left)
        roots = [each for each in left.values() if _former(each) not in written or not self._is_next(each)]
        for root in roots:
            left.pop(root.number)
            yield from self._check_from(_written(root), left, root)
        while left:
            change = next(iter(left.values()))
            yield find(Rule.VALUE, f"{name_of(change)} has replaced a value that depends on its own", change)
            for _ in self._check_from(_former(change) or _FIRST, left):
                pass

    def _is_next(self, change: Operation) -> bool:
        return self._next.get(_former(change) or _FIRST) is change

    def _check_from(self, value: str, left: dict[int, Operation], root: Operation | None = None) -> Iterator[Finding]:
        """Check the chain from a value on, and take its changes out of those that are left.

        :param root: the change that has written the value.
        """
        #: Of all that come before, the one that began last.
        latest: Operation | None = None
        change = root
        while True:
            # A change comes before the reads of its value.
            for group in ([] if change is None else [change], self._looks.get(value, [])):
                for each in group:
                    ended = each.end is not None and each.outcome is Outcome.APPLIED
                    if latest is not None and ended and (each.end or 0) < latest.begin:
                        sentence = f"{name_of(each)} had ended before {name_of(latest)} began, and has a later value"
                        yield find(Rule.VALUE, sentence, each, latest)
                latest = max([*group, *([] if latest is None else [latest])], key=attrgetter("begin"), default=None)
            change = self._next.get(value)
            if change is None or left.pop(change.number, None) is None:
                return
            value = _written(change)

    def _check_refused(self) -> Iterator[Finding]:
        """Check that each change that was refused had another value at some moment."""
        #: The earliest begins of changes that may have replaced each value; None is any.
        begins: dict[str | None, float] = defaultdict(lambda: _NEVER)
        for each in self._writers.values():
            if each.outcome is not Outcome.NOT_APPLIED:
                begins[_former(each)] = min(begins[_former(each)], each.begin)
        for each in self._refused:
            expected = _former(each)
            writer = None if expected is None else self._writers.get(expected)
            if expected is None:
                yield find(Rule.VALUE, f"{name_of(each)} was refused for its value, and expected none", each)
                continue
            if writer is None:
                surely = expected == _FIRST
            else:
                surely = writer.outcome is Outcome.APPLIED and writer.end is not None and writer.end < each.begin
            if surely and min(begins[expected], begins[None]) > (each.end or _NEVER):
                sentence = f"{name_of(each)} was refused, and the value was {expected!r} all the time"
                yield find(Rule.VALUE, sentence, each, writer)
