"""Run several coroutines at the same time."""

from __future__ import annotations

from collections.abc import Coroutine, Iterable
from typing import Any, TypeVar

from twisted.internet.defer import Deferred

_T = TypeVar("_T")


async def together(works: Iterable[Coroutine[Deferred[Any], Any, _T]]) -> list[_T]:
    """Return the results of all, in order.

    If one fails, or the caller is cancelled, the others are cancelled, and the failure is raised as it is.
    """
    running = [Deferred.fromCoroutine(work) for work in works]
    try:
        return [await each for each in running]
    finally:
        for each in running:
            each.addErrback(lambda _: None)
            each.cancel()
