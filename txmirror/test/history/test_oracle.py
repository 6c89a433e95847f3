"""The checker against a search through all possible courses, on histories of one node or shared value with a few operations.

A history that some course explains must pass. One that none explains must not, if all outcomes are known: where some are not, the
checker may be milder.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping
from random import Random
from typing import NamedTuple

import attrs
from hypothesis import given, note
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from txmirror.test.hypothesis_profiles import at_most
from txmirror.testing.history import (
    VALUE,
    Absent,
    Answer,
    Call,
    Change,
    Changed,
    Create,
    Delete,
    Get,
    History,
    Look,
    Operation,
    Outcome,
    Refusal,
    Refused,
    Set,
    Shown,
    Value,
    Verdict,
    judge,
    search,
)

PATH = "/a"
_REFUSED = {Refusal.NODE_EXISTS, Refusal.NO_NODE, Refusal.BAD_VERSION}


class State(NamedTuple):
    data: str
    czxid: int
    mzxid: int
    version: int


def apply(state: State | None, call: Call, zxid: int) -> State | Refusal | None:
    """Return the state after a write, or the reason of its refusal."""
    if isinstance(call, Create):
        return Refusal.NODE_EXISTS if state else State(call.data, zxid, zxid, 0)
    assert isinstance(call, (Set, Delete))
    if state is None:
        return Refusal.NO_NODE
    if call.version not in {-1, state.version}:
        return Refusal.BAD_VERSION
    return None if isinstance(call, Delete) else State(call.data, state.czxid, zxid, state.version + 1)


def show(state: State | None) -> Answer:
    return Absent() if state is None else Shown(state.mzxid, state.data, state.czxid, state.version, 0)


class Course:
    """A random course of a node, which clients write, and read from servers that may lag."""

    def __init__(self, random: Random) -> None:
        self._random = random
        #: The first transaction makes sure that there is no node.
        self.operations = [Operation(0, "c0", 1, Delete(PATH), 0, 1, Outcome.APPLIED, None, 1)]
        self._states: list[State | None] = [None, None]
        self._seen = {"c1": 0, "c2": 0}

    def go(self, count: int) -> list[Operation]:
        for number in range(1, count + 1):
            self._begin(number)
        return self.operations

    def _begin(self, number: int) -> None:
        random, moment = self._random, 100 * number
        client = random.choice(["c1", "c2"])
        begin, end = max(2, moment - random.randrange(250)), moment + random.randrange(250)
        operation = Operation(number, client, 1, Get(PATH), begin, end)
        act = self._read if random.random() < 0.4 else self._write
        self.operations.append(act(operation))

    def _floor(self, operation: Operation) -> int:
        mine = [each for each in self.operations if each.client == operation.client]
        return max((each.zxid or 1 for each in mine if each.end is not None and each.end < operation.begin), default=1)

    def _read(self, operation: Operation) -> Operation:
        zxid = self._random.randint(self._floor(operation), len(self._states) - 1)
        return attrs.evolve(operation, outcome=Outcome.APPLIED, answer=show(self._states[zxid]), zxid=zxid)

    def _write(self, operation: Operation) -> Operation:
        random = self._random
        version = random.choice([-1, -1, 0, 1])
        data = f"data {operation.number}"
        calls: list[Call] = [Create(PATH, data), Set(PATH, data, version), Delete(PATH, version)]
        call = random.choice(calls)
        zxid = len(self._states)
        after = apply(self._states[-1], call, zxid)
        if random.random() < 0.2:
            if random.random() < 0.5 and not isinstance(after, Refusal):
                self._states.append(after)
            return attrs.evolve(operation, call=call)
        if isinstance(after, Refusal):
            return attrs.evolve(operation, call=call, outcome=Outcome.NOT_APPLIED, answer=Refused(after))
        self._states.append(after)
        answer = Shown(zxid, None, after.czxid, after.version) if after and isinstance(call, Set) else None
        return attrs.evolve(operation, call=call, outcome=Outcome.APPLIED, answer=answer, zxid=zxid)


def mutate(random: Random, operations: list[Operation]) -> None:
    """Change something in one of the operations."""
    index = random.randrange(1, len(operations))
    operation = operations[index]
    answer = operation.answer
    choice = random.randrange(6)
    if choice == 0 and operation.zxid is not None:
        zxid = max(1, operation.zxid + random.choice([-1, 1, 2]))
        if isinstance(answer, Shown) and not isinstance(operation.call, Get):
            answer = attrs.evolve(answer, mzxid=zxid)
        operation = attrs.evolve(operation, zxid=zxid, answer=answer)
    elif choice == 1 and isinstance(operation.call, Get):
        shown = [each.answer for each in operations if isinstance(each.call, Get)]
        operation = attrs.evolve(operation, answer=random.choice([Absent(), *shown]))
    elif choice == 2 and isinstance(answer, Shown) and isinstance(operation.call, Get):
        name = random.choice(["mzxid", "version", "czxid"])
        operation = attrs.evolve(operation, answer=attrs.evolve(answer, **{name: getattr(answer, name) + 1}))
    elif choice == 3:
        delay = random.randrange(-300, 300)
        begin = max(2, operation.begin + delay)
        operation = attrs.evolve(operation, begin=begin, end=begin + random.randrange(200))
    elif choice == 4:
        operation = attrs.evolve(operation, client="c1" if operation.client == "c2" else "c2")
    elif not isinstance(operation.call, Get):
        operation = attrs.evolve(operation, outcome=Outcome.NOT_APPLIED, zxid=None, answer=None)
    operations[index] = operation


def changes(random: Random, count: int) -> list[Operation]:
    """Return a random course of a shared value, in which each operation is done at a moment of its own."""
    value, operations = "", list[Operation]()
    for number in range(count):
        moment = 100 * number + 300
        begin, end = moment - random.randrange(250), moment + random.randrange(250)
        written = str(number)
        former = random.choice([value, *map(str, range(number))])
        operation = Operation(number, "c1", 1, Look("/v"), begin, end, Outcome.APPLIED, Value(value))
        kind = random.random()
        if kind < 0.6 or former == value:
            call = Change("/v", written, value if kind < 0.2 else None)
            lost = random.random() < 0.2
            outcome, answer = (Outcome.UNKNOWN, None) if lost else (Outcome.APPLIED, Changed(value))
            if not lost or random.random() < 0.5:
                value = written
            operation = attrs.evolve(operation, call=call, outcome=outcome, answer=answer)
        elif kind < 0.75:
            refused = Refused(Refusal.OTHER_VALUE)
            operation = attrs.evolve(
                operation, call=Change("/v", written, former), outcome=Outcome.NOT_APPLIED, answer=refused
            )
        operations.append(operation)
    return operations


def mutate_changes(random: Random, operations: list[Operation]) -> None:
    """Change the answer or the time of one of the operations."""
    index = random.randrange(len(operations))
    operation = operations[index]
    value = random.choice(["", *map(str, range(len(operations)))])
    if random.random() < 0.4:
        begin = max(1, operation.begin + random.randrange(-300, 300))
        operation = attrs.evolve(operation, begin=begin, end=begin + random.randrange(200))
    elif isinstance(operation.answer, Value):
        operation = attrs.evolve(operation, answer=Value(value))
    elif isinstance(operation.answer, Changed) and isinstance(operation.call, Change):
        call = attrs.evolve(operation.call, expected=None)
        operation = attrs.evolve(operation, call=call, answer=Changed(value))
    elif isinstance(operation.answer, Refused) and isinstance(operation.call, Change):
        operation = attrs.evolve(operation, call=attrs.evolve(operation.call, expected=value))
    operations[index] = operation


# The oracle.


def is_explained(operations: list[Operation]) -> bool:
    """Return whether some course explains a history."""
    unknown = [each for each in operations if each.outcome is Outcome.UNKNOWN and not isinstance(each.call, Get)]
    known = {
        each.number: each.zxid
        for each in operations
        if each.zxid is not None and not isinstance(each.call, Get) and each.outcome is Outcome.APPLIED
    }
    slots = [None, *(zxid for zxid in range(1, 2 * len(operations) + 3) if zxid not in known.values())]
    if len(set(known.values())) < len(known):
        return False
    for chosen in itertools.product(slots, repeat=len(unknown)):
        done = [zxid for zxid in chosen if zxid is not None]
        if len(set(done)) == len(done):
            places = {each.number: zxid for each, zxid in zip(unknown, chosen, strict=True) if zxid is not None}
            if explains(operations, {**known, **places}):
                return True
    return False


def proof(operation: Operation) -> int:
    shown = operation.answer.mzxid if isinstance(operation.answer, Shown) else None
    return max(operation.zxid or 0, shown or 0)


def explains(operations: list[Operation], zxids: Mapping[int, int]) -> bool:
    """Return whether a course explains a history: all answers, and the order of time and of each client."""
    by_zxid = {zxid: operations[number] for number, zxid in zxids.items()}
    states: dict[int, State | None] = {0: None}
    state: State | None = None
    for zxid in range(1, max(map(proof, operations)) + 2 * len(operations) + 3):
        if zxid in by_zxid and zxid > 1:
            after = apply(state, by_zxid[zxid].call, zxid)
            if isinstance(after, Refusal):
                return False
            state = after
        states[zxid] = state
    return all(
        answers_agree(operation, states, zxids) and times_agree(operation, operations, zxids)
        for operation in operations
    ) and all(refusals_agree(operations, states, zxids))


def answers_agree(operation: Operation, states: Mapping[int, State | None], zxids: Mapping[int, int]) -> bool:
    answer, zxid = operation.answer, operation.zxid
    if isinstance(operation.call, Get):
        return zxid is None or answer == show(states[zxid])
    if isinstance(answer, Shown):
        state = states[zxids[operation.number]]
        return state is not None and (answer.version, answer.czxid) == (state.version, state.czxid)
    return True


def times_agree(operation: Operation, operations: list[Operation], zxids: Mapping[int, int]) -> bool:
    before = [each for each in operations if each.end is not None and each.end < operation.begin]
    if operation.number in zxids and any(proof(each) >= zxids[operation.number] for each in before):
        return False
    mine = [each for each in before if each.client == operation.client]
    return operation.zxid is None or all(proof(each) <= operation.zxid for each in mine)


def refusals_agree(
    operations: list[Operation], states: Mapping[int, State | None], zxids: Mapping[int, int]
) -> Iterator[bool]:
    """Yield whether each refusal was true as of a zxid that agrees with time."""
    for operation in operations:
        if isinstance(operation.answer, Refused):
            low = max(
                (proof(each) for each in operations if each.end is not None and each.end < operation.begin), default=0
            )
            after = [each for each in operations if operation.end is not None and each.begin > operation.end]
            high = min((zxids[each.number] for each in after if each.number in zxids), default=max(states) + 1)
            yield any(
                apply(states[zxid], operation.call, zxid) is operation.answer.reason
                for zxid in range(low, high)
                if zxid in states
            )


class OracleTests(SynchronousTestCase):
    @at_most(100)
    @given(st.randoms(use_true_random=False), st.integers(0, 3))
    def test_one_node(self, random: Random, mutations: int) -> None:
        operations = Course(random).go(random.randint(1, 5))
        for _ in range(mutations):
            mutate(random, operations)
        found = judge(History(tuple(operations)))
        explained = is_explained(operations)
        for each in operations:
            note(str(each))
        if not mutations:
            self.assertTrue(explained)
        if explained:
            self.assertEqual([str(each) for each in found], [])
        elif all(each.outcome is Outcome.APPLIED for each in operations):
            self.assertNotEqual(found, [])

    @at_most(300)
    @given(st.randoms(use_true_random=False), st.integers(0, 3))
    def test_shared_value(self, random: Random, mutations: int) -> None:
        operations = changes(random, random.randint(1, 6))
        for _ in range(mutations):
            mutate_changes(random, operations)
        found = [str(each) for each in judge(History(tuple(operations)))]
        explained = search(operations, VALUE).verdict is Verdict.LINEARIZABLE
        for each in operations:
            note(str(each))
        if not mutations:
            self.assertTrue(explained)
        if explained:
            self.assertEqual(found, [])
        elif all(each.outcome is Outcome.APPLIED for each in operations):
            self.assertNotEqual(found, [])
