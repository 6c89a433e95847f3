"""The rule of counters: each value is the sum of what was added before, within the bounds that time sets."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Iterator
from itertools import accumulate

from txmirror.testing.history.calls import Add, Count, Number
from txmirror.testing.history.findings import Finding, Rule, find, name_of
from txmirror.testing.history.operations import Operation, Outcome


def check_counters(operations: Iterable[Operation]) -> Iterator[Finding]:
    """Check the values of each counter, which begins at 0."""
    counters: dict[str, list[Operation]] = {}
    for operation in operations:
        if isinstance(operation.call, (Add, Count)):
            counters.setdefault(operation.call.path, []).append(operation)
    for each in counters.values():
        yield from _check_counter(each)


class _Sums:
    """The sums of some amounts up to each moment."""

    def __init__(self, amounts: Iterable[tuple[int, int]]) -> None:
        ordered = sorted(amounts)
        self._moments = [moment for moment, _ in ordered]
        self._sums = [0, *accumulate(amount for _, amount in ordered)]

    def before(self, moment: int) -> int:
        """Return the sum of all before a moment."""
        return self._sums[bisect_left(self._moments, moment)]


def _check_counter(operations: list[Operation]) -> Iterator[Finding]:
    adds = [each for each in operations if isinstance(each.call, Add) and each.outcome is not Outcome.NOT_APPLIED]
    amounts = {each.number: each.call.amount for each in adds if isinstance(each.call, Add)}
    done = [each for each in adds if each.outcome is Outcome.APPLIED and each.end is not None]
    #: These are surely in the value, or may be, at a moment.
    sure_plus, sure_minus = (
        _Sums((each.end or 0, sign * max(sign * amounts[each.number], 0)) for each in done) for sign in (1, -1)
    )
    may_plus, may_minus = (
        _Sums((each.begin, sign * max(sign * amounts[each.number], 0)) for each in adds) for sign in (1, -1)
    )
    values: dict[int, Operation] = {}
    for operation in operations:
        if not isinstance(operation.answer, Number) or operation.end is None:
            continue
        value = operation.answer.value
        own = amounts.get(operation.number, 0)
        # An addition contains itself.
        low = sure_plus.before(operation.begin) + may_minus.before(operation.end) + max(own, 0)
        high = may_plus.before(operation.end) + sure_minus.before(operation.begin) + min(own, 0)
        if not low <= value <= high:
            bounds = f"{low}" if low == high else f"{low} to {high}"
            sentence = f"{name_of(operation)} shows {value}, not {bounds}"
            yield find(Rule.COUNTER, sentence, operation)
        if own > 0 and all(each > 0 for each in amounts.values()):
            other = values.setdefault(value, operation)
            if other is not operation:
                sentence = f"{name_of(other)} and {name_of(operation)} have both led to {value}"
                yield find(Rule.COUNTER, sentence, other, operation)
