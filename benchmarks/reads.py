"""W8: the time of a read of mirrored state, beside the least that any read takes."""

from __future__ import annotations

import json
import time
from collections.abc import Awaitable, Callable
from itertools import repeat

TIMES = 300_000
_ROUNDS = 3


class Holder:
    """Has an attribute, to be read for comparison."""

    def __init__(self) -> None:
        self.attribute = b""


def attribute() -> None:
    holder = Holder()
    for _ in repeat(None, TIMES):
        holder.attribute


def look_up() -> None:
    path = "/txmirror-mirrored/p45/n67"
    values = {path: b""}
    for _ in repeat(None, TIMES):
        values[path]


#: What every read is to be compared with.
PLAIN: dict[str, Callable[[], object]] = {"an attribute": attribute, "values[path]": look_up}


def nanoseconds(reads: dict[str, Callable[[], object]]) -> dict[str, float]:
    """Run functions that each read a number of times; return the CPU time of one read and of one round of the loop, the
    best of three.
    """
    return {what: min(_timed(run) for _ in range(_ROUNDS)) / TIMES * 1e9 for what, run in reads.items()}


async def nanoseconds_awaited(reads: dict[str, Callable[[], Awaitable[object]]]) -> dict[str, float]:
    """Do the same with coroutines."""
    best: dict[str, float] = {}
    for what, run in reads.items():
        for _ in range(_ROUNDS):
            began = time.process_time()
            await run()
            best[what] = min(best.get(what, 1e9), (time.process_time() - began) / TIMES * 1e9)
    return best


def say(figures: dict[str, float]) -> None:
    """Print them."""
    print(json.dumps(figures), flush=True)


def _timed(run: Callable[[], object]) -> float:
    began = time.process_time()
    run()
    return time.process_time() - began
