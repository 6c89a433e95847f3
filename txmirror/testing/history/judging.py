"""The checker of histories."""

from __future__ import annotations

from collections.abc import Iterator

from txmirror.testing.history.attribution import Attribution
from txmirror.testing.history.barriers import check_barriers
from txmirror.testing.history.counters import check_counters
from txmirror.testing.history.ephemerals import check_ephemerals
from txmirror.testing.history.findings import Finding
from txmirror.testing.history.floors import floors_of_clients, floors_of_time
from txmirror.testing.history.groups import check_members
from txmirror.testing.history.holds import check_holds
from txmirror.testing.history.operations import History
from txmirror.testing.history.order import check_sessions, check_time
from txmirror.testing.history.queues import check_queues
from txmirror.testing.history.reads import check_reads
from txmirror.testing.history.segments import Segment, split
from txmirror.testing.history.sequences import check_sequences
from txmirror.testing.history.values import check_values
from txmirror.testing.history.watches import check_watches
from txmirror.testing.history.writes import check_checks, check_refusals, check_writes


def judge(history: History) -> list[Finding]:
    """Return the rules that a history breaks, in O(n log n): the zxids are the witness of the order.

    Queues, counters, shared values, barriers and groups are checked only if no data was lost.
    """
    findings = [finding for segment in split(history) for finding in _judge(segment)]
    if not history.resets:
        findings += check_queues(history.operations)
        findings += check_counters(history.operations)
        findings += check_values(history.operations)
        findings += check_barriers(history.operations)
        findings += check_members(history.operations)
    return findings


def _judge(segment: Segment) -> Iterator[Finding]:
    attribution = Attribution(segment)
    yield from attribution.findings
    timeline, zxids, facts = attribution.timeline, attribution.zxids, attribution.facts
    of_time = floors_of_time(segment.operations, zxids)
    of_clients = floors_of_clients(segment.operations, zxids, segment.pipelined)
    yield from check_time(segment, zxids, of_time)
    yield from check_sessions(segment, zxids, of_clients)
    yield from check_reads(segment, timeline, of_clients)
    yield from check_writes(timeline, facts, inherits=segment.inherits)
    yield from check_refusals(segment, timeline, facts, of_time)
    yield from check_checks(segment, timeline, zxids, facts)
    yield from check_watches(segment, timeline, zxids)
    yield from check_ephemerals(segment)
    yield from check_holds(segment.holds)
    yield from check_sequences(segment)
