"""Work on long lists in steps, so that no turn of the reactor takes long."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from itertools import islice
from typing import Final, TypeVar

from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import deferLater

_T = TypeVar("_T")
_R = TypeVar("_R")

#: The items of one step: a few milliseconds, if each takes tens of microseconds.
_MOST_IN_STEP: Final = 100


async def apply_in_steps(function: Callable[[_T], _R], items: Iterable[_T], reactor: IReactorTime) -> list[_R]:
    """Return the results of a function for all items, in order. Other events are handled between the steps.

    :param items: they must not change meanwhile.
    """
    results: list[_R] = []
    remaining = iter(items)
    while step := list(islice(remaining, _MOST_IN_STEP)):
        if results:
            await deferLater(reactor, 0)
        results += map(function, step)
    return results
