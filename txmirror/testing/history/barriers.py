"""The rule of barriers: nobody passes while one is there."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Iterator
from operator import attrgetter

from txmirror.testing.history.calls import Block, Pass, Unblock
from txmirror.testing.history.findings import Finding, Rule, find, name_of
from txmirror.testing.history.intervals import Intervals
from txmirror.testing.history.operations import Operation, Outcome


class _Barrier:
    """The operations at one barrier."""

    def __init__(self) -> None:
        self.blocks: list[Operation] = []
        self.passes: list[Operation] = []
        #: The removals that were done, or may have been.
        self.unblocks = Intervals()


def check_barriers(operations: Iterable[Operation]) -> Iterator[Finding]:
    """Check that each call that has passed a barrier may have found a moment without it."""
    barriers: dict[str, _Barrier] = {}
    for operation in operations:
        call, outcome = operation.call, operation.outcome
        if not isinstance(call, (Block, Unblock, Pass)):
            continue
        barrier = barriers.setdefault(call.path, _Barrier())
        if isinstance(call, Unblock) and outcome is not Outcome.NOT_APPLIED:
            barrier.unblocks.add(operation.begin, operation.end if outcome is Outcome.APPLIED else None)
        elif outcome is Outcome.APPLIED and operation.end is not None:
            if isinstance(call, Block):
                barrier.blocks.append(operation)
            elif isinstance(call, Pass):
                barrier.passes.append(operation)
    for each in barriers.values():
        yield from _check_barrier(each)


def _check_barrier(barrier: _Barrier) -> Iterator[Finding]:
    """Check that a removal that may have been done after the last creation began before each pass has ended."""
    blocks = sorted(barrier.blocks, key=attrgetter("end"))
    ends = [block.end or 0 for block in blocks]
    #: Of those up to each, the one that began last.
    latest: list[Operation] = []
    for block in blocks:
        latest.append(max((*latest[-1:], block), key=attrgetter("begin")))
    for each in barrier.passes:
        index = bisect_left(ends, each.begin)
        if not index:
            continue
        block = latest[index - 1]
        if not barrier.unblocks.any_between(block.begin, (each.end or 0) + 1):
            sentence = f"{name_of(each)} has passed, and nobody has removed the barrier since {name_of(block)}"
            yield find(Rule.BARRIER, sentence, each, block)
