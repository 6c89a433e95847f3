"""The rules of locks: no more holders than the capacity, and tokens that grow."""

from __future__ import annotations

from collections.abc import Iterator
from operator import attrgetter

from txmirror.testing.history.findings import Finding, Rule, find, name_of
from txmirror.testing.history.operations import Hold


def check_holds(holds: tuple[Hold, ...]) -> Iterator[Finding]:
    """Check the holds of each lock."""
    locks: dict[str, list[Hold]] = {}
    for hold in sorted(holds, key=attrgetter("begin", "number")):
        locks.setdefault(hold.path, []).append(hold)
    for each in locks.values():
        yield from _check_capacity(each)
        yield from _check_tokens(each)


def _check_capacity(holds: list[Hold]) -> Iterator[Finding]:
    """Check the number of holders at the begin of each hold."""
    present: list[Hold] = []
    for hold in holds:
        present = [each for each in present if each.end is None or each.end > hold.begin]
        others = [each for each in present if not (each.shared and hold.shared)]
        if len(others) >= hold.capacity:
            names = ", ".join(name_of(each) for each in (*others, hold))
            yield find(Rule.EXCLUSION, f"{hold.path} is held by {names} at once", *others, hold)
            # Each wrong holder is reported once, or few times; the number of comparisons stays small.
            present = []
        present.append(hold)


def _check_tokens(holds: list[Hold]) -> Iterator[Finding]:
    """Check that each holder has a higher token than all before it. Those that are shared may have them in any order."""
    highest: Hold | None = None
    for hold in holds:
        if hold.token is None or hold.capacity > 1 or hold.shared:
            continue
        if highest is not None and hold.token <= (highest.token or 0):
            sentence = f"{name_of(hold)} of {hold.path} has the token {hold.token:#x}, after {name_of(highest)} had {highest.token:#x}"
            yield find(Rule.FENCING, sentence, hold, highest)
        else:
            highest = hold
