"""The findings of the checker: a rule that a history breaks, in a sentence with the operations."""

from __future__ import annotations

import enum

import attrs

from txmirror.testing.history.calls import Call, Transaction
from txmirror.testing.history.operations import Hold, Operation


class Rule(enum.Enum):
    """The rules of a history."""

    ONE_ORDER = "the writes have one order, that of their zxids, and it agrees with time"
    NO_STEP_BACK = "no session sees an older state than before, nor one without its own writes"
    SYNC = "a sync sees all that was written before it"
    TRUE_READ = "a read shows the state as of its zxid"
    TRUE_OUTCOME = "a write is done once, or not at all if that is what the client reports"
    TRUE_WRITE = "a write succeeds only where the node is there, or not, and at the version that it requires"
    TRUE_REFUSAL = "a write is refused only for a reason that is true"
    WHOLE_TRANSACTION = "a transaction is done as a whole, at one zxid"
    WATCH_FIRST = "a watch fires before a reply that shows its change"
    TRUE_WATCH = "a watch fires only after a change, and once"
    EPHEMERAL = "an ephemeral node is there while its session lives"
    SEQUENCE = "sequence numbers are unique, without gaps, and in the order of time"
    EXCLUSION = "a lock has no more holders than its capacity"
    FENCING = "fencing tokens grow with each holder"
    QUEUE = "each item of a queue is taken once, and after it was put"
    COUNTER = "a counter is the sum of what was added"
    VALUE = "each change of a shared value is done once, and replaces the value that it depends on"
    BARRIER = "nobody passes a barrier that is there"
    MEMBERS = "the members of a group are those that have joined and not left"
    LINEARIZABLE = "the operations have one order that agrees with time and with their results"


@attrs.frozen
class Finding:
    """A rule that is broken."""

    rule: Rule
    """The rule."""
    sentence: str
    """A sentence that names the operations."""
    operations: tuple[int, ...]
    """The numbers of the operations, or of the holds."""

    def __str__(self) -> str:
        return self.sentence


def name_of(record: Operation | Hold | None) -> str:
    """Return the name of an operation or a hold in a sentence."""
    if record is None:
        return "somebody"
    if isinstance(record, Hold):
        return f"hold {record.number} ({record.client})"
    return f"#{record.number} ({record.client}: {_name_of_call(record.call)})"


def _name_of_call(call: Call) -> str:
    if isinstance(call, Transaction):
        return "transaction of " + ", ".join(_name_of_call(each) for each in call.parts)
    data = getattr(call, "data", None)
    return f"{type(call).__name__.lower()} {call.path}" + ("" if data is None else f" {data!r}")


def find(rule: Rule, sentence: str, *records: Operation | Hold | None) -> Finding:
    """Return a finding about some operations or holds."""
    return Finding(rule, sentence, tuple(each.number for each in records if each is not None))
