"""The rules of writes: each succeeds or fails for a reason that is true."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from txmirror.testing.history.attribution import Facts
from txmirror.testing.history.calls import Check, Create, Delete, Refusal, Refused, Set
from txmirror.testing.history.findings import Finding, Rule, find, name_of
from txmirror.testing.history.floors import Floor
from txmirror.testing.history.operations import Operation, Outcome
from txmirror.testing.history.segments import Segment
from txmirror.testing.history.timeline import Effect, Path, Timeline, parts_of


def check_writes(timeline: Timeline, facts: Mapping[tuple[str, int], Facts], *, inherits: bool) -> Iterator[Finding]:
    """Check that each write found its node as it had to be, and that the versions count the writes.

    :param facts: the versions that replies have shown.
    :param inherits: see :class:`~txmirror.testing.history.segments.Segment`.
    """
    for name, path in sorted(timeline.paths.items()):
        before: Effect | None = None
        for effect in path.effects:
            if before is not None:
                yield from _check_presence(path, before, effect)
            before = effect
        yield from _check_versions(name, path, facts, inherits=inherits)


def _check_presence(path: Path, before: Effect, effect: Effect) -> Iterator[Finding]:
    if effect.creates:
        wrong = before.present and not before.fleeting and not path.may_vanish(before.since, _end(effect))
    else:
        known = effect.operation is not None
        wrong = known and not before.present and not path.may_appear(before.since, _end(effect))
    if wrong:
        state = "there" if before.present else "not there"
        sentence = (
            f"{name_of(effect.operation)} was done at {effect.zxid:#x}, and {effect.path} was {state} since"
            f" {before.zxid:#x}, by {name_of(before.operation)}"
        )
        yield find(Rule.TRUE_WRITE, sentence, effect.operation, before.operation)


def _end(effect: Effect) -> int | None:
    return None if effect.operation is None else _end_of(effect.operation)


def _check_versions(
    name: str, path: Path, facts: Mapping[tuple[str, int], Facts], *, inherits: bool
) -> Iterator[Finding]:
    """Check that each write has raised the version by one, and has found the version that it required.

    Between two known writes there may be loose ones: each raises the version, too, or creates the node anew.
    """
    anew = len(path.creates) > 0
    slack = len(path.sets)
    #: The lowest version that it can have; None if it is not known.
    low: int | None = None
    before: Effect | None = None
    for effect in path.effects:
        required = effect.part.version if isinstance(effect.part, (Set, Delete)) else -1
        if low is not None and required >= 0 and not anew and not low <= required <= low + slack:
            yield _wrong_version(effect, f"required the version {required}", low, low + slack, before)
        exact = effect.creates or required >= 0
        if not effect.present:
            low = None
        elif exact:
            low = 0 if effect.creates else required + 1
        elif low is not None:
            low = None if anew else low + 1
        shown = facts.get((name, effect.zxid))
        if shown is not None and shown.version is not None:
            version, high = shown.version, (low or 0) + (0 if exact else slack)
            if low is not None and not low <= version <= high:
                yield _wrong_version(effect, f"has led to the version {version}", low, high, before)
            low = version
        if effect.operation is None and (inherits or shown is None or shown.version is None):
            # It is older than the history, or of an earlier part: nobody has seen how many writes followed it there.
            low = None
        before = effect


def _wrong_version(effect: Effect, text: str, low: int, high: int, before: Effect | None) -> Finding:
    expected = f"{low}" if low == high else f"{low} to {high}"
    last = None if before is None else before.operation
    sentence = f"{name_of(effect.operation)} {text} at {effect.zxid:#x}, not {expected}, after {name_of(last)}"
    return find(Rule.TRUE_WRITE, sentence, effect.operation, last)


def check_refusals(
    segment: Segment, timeline: Timeline, facts: Mapping[tuple[str, int], Facts], floors: Mapping[int, Floor]
) -> Iterator[Finding]:
    """Check that the reason of each refusal may have been true at a moment between begin and end.

    It is certainly false if nothing can have changed the node since before the begin.

    :param floors: see :func:`floors_of_time`.
    """
    for operation in segment.operations:
        call, answer = operation.call, operation.answer
        if not isinstance(answer, Refused) or not isinstance(call, (Create, Set, Delete)):
            continue
        if answer.reason is Refusal.BAD_VERSION and getattr(call, "version", -1) == -1:
            yield find(Rule.TRUE_REFUSAL, f"{name_of(operation)} was refused for its version, and had none", operation)
            continue
        path = timeline.paths[call.path]
        zxid = floors[operation.number].zxid
        effect = path.last(zxid)
        if effect is None or effect.fleeting or path.may_change(operation.end):
            continue
        if path.changes_after(zxid, operation.end):
            continue
        if _is_false(answer.reason, call, effect, facts.get((call.path, effect.zxid))):
            sentence = (
                f"{name_of(operation)} was refused ({answer.reason.value}), and nothing has changed the node since"
                f" {name_of(effect.operation)} was done at {effect.zxid:#x}"
            )
            yield find(Rule.TRUE_REFUSAL, sentence, operation, effect.operation)


def _is_false(reason: Refusal, call: Create | Set | Delete, effect: Effect, facts: Facts | None) -> bool:
    if reason is Refusal.NODE_EXISTS:
        return not effect.present or not isinstance(call, Create)
    if reason is Refusal.NO_NODE:
        return effect.present and not isinstance(call, Create)
    if reason is Refusal.BAD_VERSION and not isinstance(call, Create):
        created = 0 if effect.creates and effect.operation is not None else None
        version = created if facts is None or facts.version is None else facts.version
        return effect.present and version == call.version
    return False


def check_checks(
    segment: Segment, timeline: Timeline, zxids: Mapping[int, int], facts: Mapping[tuple[str, int], Facts]
) -> Iterator[Finding]:
    """Check that the checks of each transaction that was done were true."""
    for operation in segment.operations:
        zxid = zxids.get(operation.number)
        parts = parts_of(operation) if zxid is not None else ()
        written = {each.path for each in parts if not isinstance(each, Check)}
        for part in parts:
            if not isinstance(part, Check) or part.path in written:
                continue
            path = timeline.paths[part.path]
            effect = path.last(zxid or 0)
            if effect is None or path.may_change(_end_of(operation)):
                continue
            if effect.operation is None and segment.inherits:
                continue
            shown = facts.get((part.path, effect.zxid))
            version = 0 if effect.creates and shown is None else None if shown is None else shown.version
            if not effect.present or (part.version >= 0 and version is not None and version != part.version):
                sentence = (
                    f"{name_of(operation)} was done at {zxid:#x}, and {part.path} did not pass its check, since"
                    f" {name_of(effect.operation)} at {effect.zxid:#x}"
                )
                yield find(Rule.WHOLE_TRANSACTION, sentence, operation, effect.operation)


def _end_of(operation: Operation) -> int | None:
    return operation.end if operation.outcome is Outcome.APPLIED else None
