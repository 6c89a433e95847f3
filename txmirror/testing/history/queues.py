"""The rule of queues: each item is taken once, after it was put, and none is lost."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from txmirror.testing.history.calls import Put, Take, Taken
from txmirror.testing.history.findings import Finding, Rule, find, name_of
from txmirror.testing.history.operations import Operation, Outcome


class _Queue:
    """The operations of one queue. Each item is put once."""

    def __init__(self) -> None:
        self.puts: dict[str, Operation] = {}
        self.takes: list[tuple[str | None, Operation]] = []
        #: The takes without a result: each may have taken an item.
        self.unknown: list[Operation] = []


def check_queues(operations: Iterable[Operation]) -> Iterator[Finding]:
    """Check each queue."""
    queues: dict[str, _Queue] = {}
    for operation in operations:
        call, answer = operation.call, operation.answer
        if isinstance(call, Put):
            queues.setdefault(call.path, _Queue()).puts[call.item] = operation
        elif isinstance(call, Take):
            queue = queues.setdefault(call.path, _Queue())
            if isinstance(answer, Taken):
                queue.takes.append((answer.item, operation))
            elif operation.outcome is not Outcome.NOT_APPLIED:
                queue.unknown.append(operation)
    for queue in queues.values():
        yield from _check_items(queue)
        yield from _check_lost(queue)


def _check_items(queue: _Queue) -> Iterator[Finding]:
    taken: dict[str, Operation] = {}
    for item, take in queue.takes:
        if item is None:
            continue
        put = queue.puts.get(item)
        if item in taken:
            sentence = f"{name_of(taken[item])} and {name_of(take)} have both taken {item!r}"
            yield find(Rule.QUEUE, sentence, taken[item], take)
        elif put is None:
            yield find(Rule.QUEUE, f"{name_of(take)} has taken {item!r}, which nobody has put", take)
        elif put.outcome is Outcome.NOT_APPLIED:
            sentence = f"{name_of(take)} has taken {item!r}, and {name_of(put)} was reported as not applied"
            yield find(Rule.QUEUE, sentence, take, put)
        elif take.end is not None and take.end < put.begin:
            sentence = f"{name_of(take)} has taken {item!r} before {name_of(put)} began"
            yield find(Rule.QUEUE, sentence, take, put)
        taken.setdefault(item, take)


def _check_lost(queue: _Queue) -> Iterator[Finding]:
    """Check that there is no item left where a take has found the queue empty.

    It is lost if it was put before that take began, no take had begun to take it when that take ended, and no unknown take can have
    taken it.
    """
    taken = {item: take for item, take in queue.takes if item is not None}
    empties = [take for item, take in queue.takes if item is None]
    if not empties:
        return
    last = max(empties, key=lambda each: each.begin)
    lost = [
        put
        for item, put in queue.puts.items()
        if put.outcome is Outcome.APPLIED and put.end is not None and put.end < last.begin
        if item not in taken or (last.end is not None and taken[item].begin > last.end)
    ]
    unknown = [each for each in queue.unknown if last.end is None or each.begin < last.end]
    if len(lost) > len(unknown):
        names = ", ".join(name_of(each) for each in lost[:5])
        sentence = f"{name_of(last)} finds no item, and {names} put some that only {len(unknown)} takes can have taken"
        yield find(Rule.QUEUE, sentence, last, *lost[:5])
