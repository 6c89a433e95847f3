"""The rule of reads: each shows the state as of its zxid."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from txmirror.paths import join
from txmirror.testing.history.calls import Absent, Children, Exists, Get, Names, Shown
from txmirror.testing.history.findings import Finding, Rule, find, name_of
from txmirror.testing.history.floors import Floor
from txmirror.testing.history.operations import Operation, Outcome
from txmirror.testing.history.segments import Segment
from txmirror.testing.history.timeline import Effect, Path, Timeline


def check_reads(segment: Segment, timeline: Timeline, floors: Mapping[int, Floor]) -> Iterator[Finding]:
    """Check each read.

    :param floors: the state that a read without a zxid must show at least; see :func:`floors_of_clients`.
    """
    lists: dict[str, list[Operation]] = {}
    for read in segment.operations:
        if read.outcome is not Outcome.APPLIED or not isinstance(read.call, (Get, Exists, Children)):
            continue
        path = timeline.paths[read.call.path]
        floor = floors[read.number].zxid
        if isinstance(read.answer, Shown):
            yield from _check_shown(read, read.answer, path, floor)
        elif isinstance(read.answer, Absent):
            yield from _check_absent(read, path, floor)
        elif isinstance(read.answer, Names) and read.zxid is not None:
            lists.setdefault(read.call.path, []).append(read)
    for parent, reads in lists.items():
        yield from _check_lists(parent, reads, timeline)


def _check_shown(read: Operation, shown: Shown, path: Path, floor: int) -> Iterator[Finding]:
    if shown.mzxid is None:
        return
    zxid = floor if read.zxid is None else read.zxid
    if read.zxid is not None and shown.mzxid > read.zxid:
        sentence = f"{name_of(read)} shows a state of {shown.mzxid:#x} as of {read.zxid:#x}"
        yield find(Rule.TRUE_READ, sentence, read)
        return
    last = path.last(zxid)
    if last is not None and last.zxid > shown.mzxid:
        sentence = (
            f"{name_of(read)} shows the state of {shown.mzxid:#x}, as of {zxid:#x}, and {_done(last)} at {last.zxid:#x}"
        )
        yield find(Rule.TRUE_READ, sentence, read, last.operation)


def _check_absent(read: Operation, path: Path, floor: int) -> Iterator[Finding]:
    zxid = floor if read.zxid is None else read.zxid
    last = path.last(zxid)
    if last is None or not last.present or last.fleeting or path.may_vanish(last.since, read.end):
        return
    if read.zxid is None and path.changes_after(zxid, read.end, deletions=True):
        return
    sentence = f"{name_of(read)} shows no node as of {zxid:#x}, and {_done(last)} at {last.zxid:#x}"
    yield find(Rule.TRUE_READ, sentence, read, last.operation)


def _check_lists(parent: str, reads: list[Operation], timeline: Timeline) -> Iterator[Finding]:
    """Check the names of a node's children, in one sweep over the zxids."""
    effects = sorted(
        (effect for child in timeline.below[parent] for effect in timeline.paths[child].effects),
        key=lambda each: each.zxid,
    )
    certain: dict[str, Effect] = {}
    absent: dict[str, Effect] = {}
    seen: set[str] = set()
    position = 0
    for read in sorted(reads, key=lambda each: each.zxid or 0):
        while position < len(effects) and effects[position].zxid <= (read.zxid or 0):
            effect = effects[position]
            position += 1
            seen.add(effect.path)
            certain.pop(effect.path, None)
            absent.pop(effect.path, None)
            if not effect.present:
                absent[effect.path] = effect
            elif not effect.fleeting:
                certain[effect.path] = effect
        assert isinstance(read.answer, Names)
        paths = {join(parent, name) for name in read.answer.names}
        for wrong in sorted(each for each in paths if each in absent):
            effect = absent[wrong]
            if not timeline.paths[wrong].may_appear(effect.since, read.end):
                sentence = (
                    f"{name_of(read)} shows {wrong} as of {read.zxid:#x}, and {_done(effect)} at {effect.zxid:#x}"
                )
                yield find(Rule.TRUE_READ, sentence, read, effect.operation)
        yield from _check_unborn(read, parent, paths - seen, timeline)
        if sum(each in certain for each in paths) < len(certain):
            yield from _check_missing(read, [each for path, each in certain.items() if path not in paths], timeline)


def _check_unborn(read: Operation, parent: str, paths: set[str], timeline: Timeline) -> Iterator[Finding]:
    """Check that nobody sees a child before its creation, if the node itself was created by the history."""
    first = next(iter(timeline.paths[parent].effects), None)
    if first is None or not first.creates or first.operation is None or first.zxid > (read.zxid or 0):
        return
    if parent in timeline.sequential:
        return
    for path in sorted(paths):
        later = timeline.paths[path].effects
        if not timeline.paths[path].may_appear(None, read.end):
            after = f"{_done(later[0])} at {later[0].zxid:#x}" if later else "nobody has created it"
            sentence = f"{name_of(read)} shows {path} as of {read.zxid:#x}, and {after}"
            yield find(Rule.TRUE_READ, sentence, read, later[0].operation if later else None)


def _check_missing(read: Operation, missing: list[Effect], timeline: Timeline) -> Iterator[Finding]:
    for effect in missing:
        if not timeline.paths[effect.path].may_vanish(effect.since, read.end):
            sentence = (
                f"{name_of(read)} does not show {effect.path} as of {read.zxid:#x}, and {_done(effect)} at"
                f" {effect.zxid:#x}"
            )
            yield find(Rule.TRUE_READ, sentence, read, effect.operation)


def _done(effect: Effect) -> str:
    return f"{name_of(effect.operation)} was done"
