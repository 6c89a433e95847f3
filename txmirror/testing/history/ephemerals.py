"""The rule of ephemeral nodes: they are there while their session lives.

They go with it, but a history does not show when a session has ended: ClickHouse Keeper opens another, and the former one ends later.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import defaultdict
from collections.abc import Iterable, Iterator

from txmirror.paths import parent_of
from txmirror.testing.history.calls import Absent, Create, Created, Delete, Exists, Get, Shown
from txmirror.testing.history.findings import Finding, Rule, find, name_of
from txmirror.testing.history.intervals import Intervals
from txmirror.testing.history.operations import Operation, Outcome
from txmirror.testing.history.segments import Segment
from txmirror.testing.history.timeline import parts_of


def check_ephemerals(segment: Segment) -> Iterator[Finding]:
    """Check that no session misses an ephemeral node of its own that nobody can have deleted."""
    created = _Creations(segment.operations)
    deleted = _Deletions(segment.operations)
    for read in segment.operations:
        call = read.call
        if not isinstance(call, (Get, Exists)) or read.outcome is not Outcome.APPLIED:
            continue
        creation = created.last(call.path, read)
        missed = creation is not None and _is_missed(creation, read.answer)
        if creation is not None and missed and not deleted.any_between(call.path, creation.begin, read.end):
            sentence = (
                f"{name_of(read)} does not show the ephemeral node of {name_of(creation)} in the same session, and nobody"
                " has deleted it"
            )
            yield find(Rule.EPHEMERAL, sentence, read, creation)


class _Creations:
    """The ephemeral nodes that were certainly created, of which the path is known."""

    def __init__(self, operations: Iterable[Operation]) -> None:
        #: By path, client and session, in the order of their ends.
        self._by_session: dict[tuple[str, str, int], list[tuple[int, Operation]]] = defaultdict(list)
        for operation in operations:
            path = _path_of(operation)
            if path is not None and operation.outcome is Outcome.APPLIED and operation.end is not None:
                self._by_session[path, operation.client, operation.session].append((operation.end, operation))
        for each in self._by_session.values():
            each.sort(key=lambda pair: pair[0])

    def last(self, path: str, read: Operation) -> Operation | None:
        """Return the last creation of a node in the session of a read that had ended before the read began."""
        found = self._by_session.get((path, read.client, read.session), [])
        index = bisect_right(found, read.begin - 1, key=lambda pair: pair[0])
        return found[index - 1][1] if index else None


class _Deletions:
    """The deletions that were done, or may have been."""

    def __init__(self, operations: Iterable[Operation]) -> None:
        self._single: dict[str, Intervals] = defaultdict(Intervals)
        self._recursive: dict[str, Intervals] = defaultdict(Intervals)
        for operation in operations:
            if operation.outcome is Outcome.NOT_APPLIED:
                continue
            end = operation.end if operation.outcome is Outcome.APPLIED else None
            for part in parts_of(operation):
                if isinstance(part, Delete):
                    (self._recursive if part.recursive else self._single)[part.path].add(operation.begin, end)

    def any_between(self, path: str, since: int, until: int | None) -> bool:
        """Return whether the node may have been deleted between two moments."""
        if path in self._single and self._single[path].any_between(since, until):
            return True
        above: str | None = path
        while above is not None:
            if above in self._recursive and self._recursive[above].any_between(since, until):
                return True
            above = parent_of(above)
        return False


def _path_of(operation: Operation) -> str | None:
    """Return the path of the ephemeral node that an operation has created; None if it has created none, or the path is not known."""
    call = operation.call
    if not isinstance(call, Create) or not call.ephemeral:
        return None
    if isinstance(operation.answer, Created):
        return operation.answer.path
    return None if call.sequential else call.path


def _is_missed(creation: Operation, answer: object) -> bool:
    if isinstance(answer, Shown):
        return creation.zxid is not None and answer.czxid is not None and answer.czxid != creation.zxid
    return isinstance(answer, Absent)
