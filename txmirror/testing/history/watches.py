"""The rules of one-shot watches: each fires after a change, before a reply that shows it, and once."""

from __future__ import annotations

import heapq
from bisect import bisect_right
from collections.abc import Iterator, Mapping

from txmirror.testing.history.calls import Absent, Children, Exists, Get, Names, Shown
from txmirror.testing.history.findings import Finding, Rule, find, name_of
from txmirror.testing.history.floors import witness
from txmirror.testing.history.operations import Operation, Outcome
from txmirror.testing.history.segments import Segment
from txmirror.testing.history.timeline import Effect, Timeline


def check_watches(segment: Segment, timeline: Timeline, zxids: Mapping[int, int]) -> Iterator[Finding]:
    """Check the watches of all reads."""
    fired: dict[int, int] = {}
    ended = {each.operation for each in segment.fired if not each.event}
    for each in segment.fired:
        if each.operation in fired:
            sentence = f"the watch of #{each.operation} has fired twice"
            yield Finding(Rule.TRUE_WATCH, sentence, (each.operation,))
        fired.setdefault(each.operation, each.at)
    changes = _Changes(timeline)
    watches: dict[tuple[str, int], list[Operation]] = {}
    for read in segment.operations:
        if _sets_watch(read):
            watches.setdefault((read.client, read.session), []).append(read)
            if read.number in fired and read.number not in ended:
                yield from _check_reason(read, fired[read.number], changes)
    replies: dict[tuple[str, int], list[Operation]] = {}
    for operation in segment.operations:
        session = operation.client, operation.session
        if operation.end is not None and session in watches:
            replies.setdefault(session, []).append(operation)
    for session, reads in watches.items():
        yield from _check_session(reads, replies.get(session, []), zxids, fired, changes)


def _sets_watch(read: Operation) -> bool:
    """Return whether a read has set a watch: of a missing node, only an ``exists`` does."""
    call = read.call
    if read.outcome is not Outcome.APPLIED or not isinstance(call, (Get, Exists, Children)) or not call.watch:
        return False
    return isinstance(read.answer, (Shown, Names)) or isinstance(call, Exists)


def _base(read: Operation) -> int | None:
    """Return the zxid after which a change fires the watch of a read; None if it is not known."""
    if read.zxid is None and isinstance(read.answer, Shown):
        return read.answer.mzxid
    return read.zxid


class _Changes:
    """The changes that fire watches."""

    def __init__(self, timeline: Timeline) -> None:
        self._timeline = timeline
        self._of_children: dict[str, list[Effect]] = {}
        #: By path, and whether its children count too.
        self._hidden_since: dict[tuple[str, bool], float] = {}

    def next(self, read: Operation, zxid: int) -> Effect | None:
        """Return the first change after a zxid that fires the watch of a read."""
        path = read.call.path  # type: ignore[union-attr]  # a read has a path
        if isinstance(read.call, Children):
            changes = self._children(path)
            index = bisect_right(changes, zxid, key=lambda each: each.zxid)
            return changes[index] if index < len(changes) else None
        return next(self._timeline.paths[path].following(zxid), None)

    def _children(self, parent: str) -> list[Effect]:
        if parent not in self._of_children:
            effects = [
                each
                for child in self._timeline.below[parent]
                for each in self._timeline.paths[child].effects
                if each.creates or not each.present
            ]
            effects += [each for each in self._timeline.paths[parent].effects if not each.present]
            self._of_children[parent] = sorted(effects, key=lambda each: each.zxid)
        return self._of_children[parent]

    def is_there(self, read: Operation, zxid: int) -> bool:
        """Return whether a node is certainly there as of a zxid."""
        path = self._timeline.paths[read.call.path]  # type: ignore[union-attr]  # a read has a path
        last = path.last(zxid)
        return last is not None and last.present and not last.fleeting and not path.may_vanish(last.since, None)

    def may_be_hidden(self, read: Operation, moment: int) -> bool:
        """Return whether there may be changes before a moment of which no zxid is known."""
        of_children = isinstance(read.call, Children)
        key = read.call.path, of_children  # type: ignore[union-attr]  # a read has a path
        if key not in self._hidden_since:
            names = [key[0], *(self._timeline.below[key[0]] if of_children else ())]
            self._hidden_since[key] = min(self._timeline.paths[each].hidden_since() for each in names)
        return self._hidden_since[key] < moment


def _check_reason(read: Operation, moment: int, changes: _Changes) -> Iterator[Finding]:
    """Check that a watch that has fired had a reason."""
    base = _base(read)
    if base is None or changes.may_be_hidden(read, moment):
        return
    change = changes.next(read, base)
    if change is None or (change.since is not None and change.since > moment):
        yield find(Rule.TRUE_WATCH, f"the watch of {name_of(read)} has fired, and nothing had changed", read)


def _check_session(
    reads: list[Operation],
    replies: list[Operation],
    zxids: Mapping[int, int],
    fired: Mapping[int, int],
    changes: _Changes,
) -> Iterator[Finding]:
    """Check the watches of one session at each of its replies, in one sweep."""
    watching = {each.number for each in reads}
    #: The watches that have to fire, by the zxid of the change.
    waiting: list[tuple[int, int, Operation, Effect]] = []

    def expect(read: Operation, zxid: int) -> None:
        change = changes.next(read, zxid)
        if change is not None:
            heapq.heappush(waiting, (change.zxid, read.number, read, change))

    for reply in sorted(replies, key=lambda each: each.end or 0):
        seen = witness(reply, zxids)
        while waiting and waiting[0][0] <= seen:
            zxid, _, read, change = heapq.heappop(waiting)
            if isinstance(read.answer, Absent) and not changes.is_there(read, seen):
                # Created and deleted again while the client was away.
                expect(read, seen)
            elif read.number not in fired or fired[read.number] > (reply.end or 0):
                sentence = (
                    f"{name_of(reply)} shows {seen:#x} before the watch of {name_of(read)} has fired for"
                    f" {name_of(change.operation)} at {zxid:#x}"
                )
                yield find(Rule.WATCH_FIRST, sentence, reply, read, change.operation)
        base = _base(reply)
        if reply.number in watching and base is not None:
            expect(reply, base)
