"""Counts of the results of a check, for metrics."""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Sequence
from itertools import accumulate
from typing import Final

from txmirror.checks.results import Result, Status

#: The upper bounds for the durations of probes, in seconds.
_BOUNDS: Final = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)


class Durations:
    """Counts durations by upper bounds: a histogram.

    :param bounds: the upper bounds in seconds, in ascending order.
    :ivar total: the sum of the durations in seconds.
    """

    __slots__ = ("_bounds", "_counts", "total")

    def __init__(self, bounds: Sequence[float]) -> None:
        self.total: float = 0.0
        self._bounds = tuple(bounds)
        self._counts = [0] * (len(bounds) + 1)

    def add(self, seconds: float) -> None:
        """Count a duration."""
        self._counts[bisect_left(self._bounds, seconds)] += 1
        self.total += seconds

    @property
    def cumulative(self) -> Sequence[tuple[float, int]]:
        """The number of durations up to each bound, and at last up to infinity: all."""
        return tuple(zip((*self._bounds, math.inf), accumulate(self._counts), strict=True))


class ResultCounts:
    """Counts the results of one check.

    :ivar by_status: the number of results with each status.
    :ivar durations: the durations of the probes.
    """

    __slots__ = ("by_status", "durations")

    def __init__(self) -> None:
        self.by_status: dict[Status, int] = dict.fromkeys(Status, 0)
        self.durations: Durations = Durations(_BOUNDS)

    def add(self, result: Result, *, timed: bool) -> None:
        """Count a result.

        :param timed: whether to count its duration too. That of a pushed result is only the time since the former one.
        """
        self.by_status[result.status] += 1
        if timed:
            self.durations.add(result.seconds)
