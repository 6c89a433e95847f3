"""Intervals of time in which something may have happened."""

from __future__ import annotations

from bisect import bisect_left
from itertools import accumulate

_NEVER = float("inf")


class Intervals:
    """A set of intervals, which answers in O(log n) whether one of them overlaps another interval."""

    def __init__(self) -> None:
        self._added: list[tuple[int, float]] = []
        self._begins: list[int] = []
        self._latest_ends: list[float] = []
        self._closed = True

    def __len__(self) -> int:
        return len(self._added)

    def add(self, begin: int, end: int | None) -> None:
        """Add an interval; ``end`` is None if it does not end."""
        self._added.append((begin, _NEVER if end is None else end))
        self._closed = False

    @property
    def first(self) -> float:
        """The earliest begin."""
        return min((begin for begin, _ in self._added), default=_NEVER)

    def any_between(self, since: int | None, until: int | None) -> bool:
        """Return whether an interval begins before ``until``, and ends at ``since`` or later. None is no limit."""
        if not self._closed:
            self._added.sort()
            self._begins = [begin for begin, _ in self._added]
            self._latest_ends = list(accumulate((end for _, end in self._added), max))
            self._closed = True
        count = len(self._begins) if until is None else bisect_left(self._begins, until)
        return count > 0 and (since is None or self._latest_ends[count - 1] >= since)
