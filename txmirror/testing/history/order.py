"""The rules of the one order: of writes in time, and of each session."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from txmirror.testing.history.calls import Sync
from txmirror.testing.history.findings import Finding, Rule, find, name_of
from txmirror.testing.history.floors import Floor, witness
from txmirror.testing.history.operations import Operation, Outcome
from txmirror.testing.history.segments import Segment
from txmirror.testing.history.timeline import parts_of


def check_time(segment: Segment, zxids: Mapping[int, int], floors: Mapping[int, Floor]) -> Iterator[Finding]:
    """Check that no write is older than anything that was seen before it began, and that no sync is.

    :param floors: see :func:`floors_of_time`.
    """
    for operation in segment.operations:
        seen, other = floors[operation.number]
        zxid = zxids.get(operation.number)
        if zxid is not None and zxid <= seen:
            sentence = f"{name_of(operation)} was done at {zxid:#x}, after {name_of(other)} had seen {seen:#x}"
            yield find(Rule.ONE_ORDER, sentence, operation, other)
        if isinstance(operation.call, Sync) and operation.outcome is Outcome.APPLIED and operation.zxid is not None:
            yield from _check_sync(operation, operation.zxid, seen, other)


def _check_sync(operation: Operation, zxid: int, seen: int, other: Operation | None) -> Iterator[Finding]:
    if zxid < seen:
        sentence = f"{name_of(operation)} has seen {zxid:#x}, after {name_of(other)} had seen {seen:#x}"
        yield find(Rule.SYNC, sentence, operation, other)


def check_sessions(segment: Segment, zxids: Mapping[int, int], floors: Mapping[int, Floor]) -> Iterator[Finding]:
    """Check that no reply is older than another that its client has seen before.

    :param floors: see :func:`floors_of_clients`.
    """
    for operation in segment.operations:
        seen, other = floors[operation.number]
        zxid = zxids.get(operation.number, operation.zxid)
        if zxid is None or other is None:
            continue
        writes = operation.number in zxids
        if zxid < seen or (writes and zxid == seen):
            verb = "was done at" if parts_of(operation) else "shows"
            sentence = (
                f"{name_of(operation)} {verb} {zxid:#x}, after {name_of(other)} had seen {witness(other, zxids):#x}"
            )
            yield find(Rule.NO_STEP_BACK, sentence, operation, other)
