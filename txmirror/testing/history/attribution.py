"""The attribution of each state that a reply has shown to the write that made it."""

from __future__ import annotations

from collections import defaultdict

import attrs

from txmirror.paths import parent_of
from txmirror.testing.history.calls import Check, Create, Created, Delete, Part, Set, Shown, Transaction
from txmirror.testing.history.findings import Finding, Rule, find, name_of
from txmirror.testing.history.operations import Operation, Outcome
from txmirror.testing.history.segments import Segment
from txmirror.testing.history.timeline import Effect, Timeline, parts_of


@attrs.define
class Facts:
    """All that replies have shown of a node as of one mzxid."""

    seen_by: Operation
    data: str | None
    czxid: int | None
    version: int | None
    owner: int | None

    def difference(self, shown: Shown) -> str | None:
        """Return the name of a field in which a reply differs from the facts. Add what was not known."""
        for name in ("data", "czxid", "version", "owner"):
            old, new = getattr(self, name), getattr(shown, name)
            if old is None:
                setattr(self, name, new)
            elif new is not None and new != old:
                return name
        return None


class Attribution:
    """Makes the timeline of a segment.

    :param segment: the operations.
    :ivar timeline: the effects of all writes.
    :ivar zxids: the zxids of the writes, by the numbers of the operations.
    :ivar facts: what replies have shown, by path and mzxid.
    :ivar findings: the shown states that no write explains.
    """

    def __init__(self, segment: Segment) -> None:
        self.timeline: Timeline = Timeline()
        self.zxids: dict[int, int] = {}
        self.facts: dict[tuple[str, int], Facts] = {}
        self.findings: list[Finding] = []
        self._segment = segment
        self._writes: dict[int, Operation] = {}
        #: The writes of each data.
        self._writers: dict[str, list[tuple[Operation, Part]]] = defaultdict(list)
        #: The known effects.
        self._known: dict[tuple[str, int], tuple[Operation, Part]] = {}
        #: The states that no write explains so far.
        self._unattributed: list[tuple[str, int]] = []
        #: Anything before this is older than the history, and so may be that which the first read has seen.
        self._beginning = min(
            (each.zxid + (not parts_of(each)) for each in segment.operations if each.zxid is not None), default=0
        )
        self._take_writes()
        self._take_facts()
        for key in sorted(self.facts, key=lambda key: key[1]):
            self._attribute(*key)
        self._check_unique()
        self._fill()

    def _take_writes(self) -> None:
        for operation in self._segment.operations:
            parts = parts_of(operation)
            if not parts:
                continue
            self._writes[operation.number] = operation
            for part in parts:
                if isinstance(part, (Create, Set)):
                    self._writers[part.data].append((operation, part))
            zxid = operation.zxid
            if zxid is None and isinstance(operation.answer, Shown):
                zxid = operation.answer.mzxid
            if operation.outcome is Outcome.APPLIED and zxid is not None:
                self._know(operation, zxid)

    def _know(self, operation: Operation, zxid: int) -> None:
        self.zxids[operation.number] = zxid
        for part in parts_of(operation):
            if not isinstance(part, Check):
                self._known[_path_of(operation, part), zxid] = operation, part

    def _take_facts(self) -> None:
        for operation in self._segment.operations:
            answer, call = operation.answer, operation.call
            if not isinstance(answer, Shown) or answer.mzxid is None or isinstance(call, Transaction):
                continue
            facts = self.facts.setdefault(
                (call.path, answer.mzxid),
                Facts(operation, answer.data, answer.czxid, answer.version, answer.owner),
            )
            field = facts.difference(answer)
            if field is not None:
                sentence = (
                    f"{name_of(operation)} and {name_of(facts.seen_by)} show {call.path} as of {answer.mzxid:#x} with"
                    f" different {field}: {getattr(answer, field)!r} and {getattr(facts, field)!r}"
                )
                self._find(Rule.TRUE_READ, sentence, operation, facts.seen_by)

    def _attribute(self, path: str, mzxid: int) -> None:
        """Find the write of a state, or make an effect of its own."""
        facts = self.facts[path, mzxid]
        reader = facts.seen_by
        known = self._known.get((path, mzxid))
        if known is not None:
            writer, part = known
            written = part.data if isinstance(part, (Create, Set)) else None
            if written is None or facts.data not in {None, written}:
                done = "deleted it" if written is None else f"written {written!r}"
                sentence = (
                    f"{name_of(reader)} shows {facts.data!r} as of {mzxid:#x}, where {name_of(writer)} has {done}"
                )
                self._find(Rule.TRUE_READ, sentence, reader, writer)
            return
        writers = [] if facts.data is None else [each for each in self._writers[facts.data] if _may_be(*each, path)]
        loose = [writer for writer, _ in writers if self._is_loose(writer)]
        if len(writers) == 1 and not loose:
            self._contradict(reader, path, mzxid, writers[0][0])
        elif len(loose) == 1:
            self._know(loose[0], mzxid)
            if (path, mzxid) in self._known:
                return
        elif not writers and facts.data and mzxid >= self._beginning and not self._segment.inherits:
            sentence = f"{name_of(reader)} shows {path} with {facts.data!r} as of {mzxid:#x}, which nobody has written"
            self._find(Rule.TRUE_READ, sentence, reader)
        self._unattributed.append((path, mzxid))

    def _is_loose(self, writer: Operation) -> bool:
        return writer.outcome is not Outcome.NOT_APPLIED and writer.number not in self.zxids

    def _contradict(self, reader: Operation, path: str, mzxid: int, writer: Operation) -> None:
        """Report that a state was written by an operation that was not done, or was done at another zxid."""
        zxid = self.zxids.get(writer.number)
        if zxid is None:
            sentence = f"{name_of(reader)} shows the write of {name_of(writer)}, which was reported as not applied"
            self._find(Rule.TRUE_OUTCOME, sentence, reader, writer)
        elif isinstance(writer.call, Transaction) and (path, zxid) not in self.facts:
            sentence = f"{name_of(writer)} was done at {zxid:#x}, but {name_of(reader)} shows {path} as of {mzxid:#x}"
            self._find(Rule.WHOLE_TRANSACTION, sentence, writer, reader)
        else:
            sentence = f"{name_of(writer)} was done twice: at {zxid:#x}, and at {mzxid:#x}, as {name_of(reader)} shows"
            self._find(Rule.TRUE_OUTCOME, sentence, writer, reader)

    def _check_unique(self) -> None:
        """Check that no two writes have the same zxid."""
        writers: dict[int, Operation] = {}
        for number, zxid in self.zxids.items():
            writer = writers.setdefault(zxid, self._writes[number])
            if writer.number != number:
                sentence = f"{name_of(writer)} and {name_of(self._writes[number])} have the same zxid {zxid:#x}"
                self._find(Rule.ONE_ORDER, sentence, writer, self._writes[number])

    def _fill(self) -> None:
        """Add all writes to the timeline, and the creations that were shown."""
        for number, operation in self._writes.items():
            if number in self.zxids:
                created = operation.answer.path if isinstance(operation.answer, Created) else None
                self.timeline.add_known(operation, self.zxids[number], created)
            elif operation.outcome is not Outcome.NOT_APPLIED:
                self.timeline.add_loose(operation)
            elif not isinstance(operation.call, Delete):
                # A recursive deletion that was done in part has an unknown outcome.
                self.timeline.add_around(operation)
        for path, zxid in self._unattributed:
            # A transaction may have become known by the state of another path.
            if (path, zxid) not in self._known:
                facts = self.facts[path, zxid]
                self._add_effect(path, zxid, facts, creates=facts.czxid == zxid)
        creations = {(path, facts.czxid): facts for (path, _), facts in self.facts.items() if facts.czxid is not None}
        for (path, czxid), facts in creations.items():
            self._take_creation(path, czxid, facts)
        self.timeline.close()

    def _take_creation(self, path: str, czxid: int, facts: Facts) -> None:
        """Find the creation of a node, or make an effect of its own."""
        known = self._known.get((path, czxid))
        if known is not None and not isinstance(known[1], Create):
            sentence = f"{name_of(facts.seen_by)} shows that {path} was created at {czxid:#x}, by {name_of(known[0])}"
            self._find(Rule.TRUE_READ, sentence, facts.seen_by, known[0])
        elif known is None and (path, czxid) not in self.facts:
            if not self._may_be_created(path) and czxid >= self._beginning and not self._segment.inherits:
                sentence = (
                    f"{name_of(facts.seen_by)} shows that {path} was created at {czxid:#x}, which nobody has done"
                )
                self._find(Rule.TRUE_READ, sentence, facts.seen_by)
            self._add_effect(path, czxid, facts, creates=True)

    def _add_effect(self, path: str, zxid: int, facts: Facts, *, creates: bool) -> None:
        """Add an effect of a write that nobody knows."""
        fleeting = facts.owner != 0 or self._segment.inherits
        self.timeline.add(Effect(zxid, path, None, None, True, creates, fleeting))

    def _may_be_created(self, path: str) -> bool:
        """Return whether there is a creation of which no zxid is known."""
        return len(self.timeline.paths[path].creates) > 0 or parent_of(path) in self.timeline.sequential

    def _find(self, rule: Rule, sentence: str, *operations: Operation) -> None:
        self.findings.append(find(rule, sentence, *operations))


def _path_of(operation: Operation, part: Part) -> str:
    """Return the path of a part of a write, with the sequence number if it is known."""
    if isinstance(part, Create) and isinstance(operation.answer, Created):
        return operation.answer.path
    return part.path


def _may_be(operation: Operation, part: Part, path: str) -> bool:
    """Return whether a part of a write may have written a path."""
    if isinstance(part, Create) and part.sequential and not isinstance(operation.answer, Created):
        return path.startswith(part.path)
    return _path_of(operation, part) == path
