"""The zxids that clients have seen, as the witness of the order: in O(n log n), by two sweeps over begins and ends."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import NamedTuple

from txmirror.testing.history.calls import Shown
from txmirror.testing.history.operations import Operation, Outcome


class Floor(NamedTuple):
    """The highest zxid that was seen before an operation, and the operation that saw it."""

    zxid: int
    operation: Operation | None


NO_FLOOR = Floor(0, None)


def witness(operation: Operation, resolved: Mapping[int, int] | None = None) -> int:
    """Return the highest zxid that the reply to an operation proves; 0 if there is none.

    :param resolved: the zxids of writes that others have seen, by the numbers of the operations.
    """
    if operation.end is None:
        return 0
    shown = operation.answer.mzxid if isinstance(operation.answer, Shown) else None
    known = 0
    if operation.outcome is Outcome.APPLIED and resolved is not None:
        known = resolved.get(operation.number, 0)
    return max(operation.zxid or 0, shown or 0, known)


def floors_of_time(operations: Iterable[Operation], resolved: Mapping[int, int]) -> dict[int, Floor]:
    """Return, for each operation, the highest zxid of all that ended before it began."""
    floors: dict[int, Floor] = {}
    highest = NO_FLOOR
    for operation, begins in _events(operations):
        if begins:
            floors[operation.number] = highest
        else:
            highest = _higher(highest, operation, witness(operation, resolved))
    return floors


def floors_of_clients(
    operations: Iterable[Operation], resolved: Mapping[int, int], pipelined: frozenset[str]
) -> dict[int, Floor]:
    """Return, for each operation, the highest zxid that its client had to have seen before the reply.

    :param pipelined: see :class:`~txmirror.testing.history.operations.History`.
    """
    floors: dict[int, Floor] = {}
    highest: dict[str, Floor] = {}
    sent: dict[tuple[str, int], Floor] = {}
    for operation, begins in _events(operations):
        client = operation.client
        proof = witness(operation, resolved)
        if begins:
            floor = highest.get(client, NO_FLOOR)
            if client in pipelined:
                session = client, operation.session
                earlier = sent.get(session, NO_FLOOR)
                sent[session] = _higher(earlier, operation, proof)
                floor = max(floor, earlier, key=lambda each: each.zxid)
            floors[operation.number] = floor
        else:
            highest[client] = _higher(highest.get(client, NO_FLOOR), operation, proof)
    return floors


def _higher(floor: Floor, operation: Operation, zxid: int) -> Floor:
    return Floor(zxid, operation) if zxid > floor.zxid else floor


def _events(operations: Iterable[Operation]) -> Iterator[tuple[Operation, bool]]:
    """Yield the begins, with True, and the ends, with False, in the order of time; of one moment, the begins first."""
    events = [(each.begin, 0, each.number, each) for each in operations]
    events += [(each.end, 1, each.number, each) for each in operations if each.end is not None]
    for _, is_end, _, operation in sorted(events, key=lambda each: each[:3]):
        yield operation, not is_end
