"""Sequential models of a node, a counter, a queue and a shared value, for :func:`~txmirror.testing.history.search.search`."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable
from typing import Any

import attrs

from txmirror.testing.history.calls import (
    Absent,
    Add,
    Change,
    Changed,
    Count,
    Create,
    Delete,
    Exists,
    Get,
    Look,
    Number,
    Put,
    Refusal,
    Refused,
    Set,
    Shown,
    Take,
    Taken,
    Value,
)
from txmirror.testing.history.operations import Operation


@attrs.frozen
class Model:
    """The behaviour of one object without concurrency."""

    initial: Hashable
    """The state at the start."""
    step: Callable[[Any, Operation], Iterable[Hashable]]
    """Returns the states that an operation may lead to from a state; none if its answer does not agree with the state."""


def _step_counter(state: int, operation: Operation) -> Iterable[int]:
    call, answer = operation.call, operation.answer
    if isinstance(call, Add):
        state += call.amount
    elif not isinstance(call, Count):
        return ()
    return (state,) if not isinstance(answer, Number) or answer.value == state else ()


def _step_ordered(state: tuple[str, ...], operation: Operation) -> Iterable[tuple[str, ...]]:
    call, answer = operation.call, operation.answer
    if isinstance(call, Put):
        return ((*state, call.item),)
    head = state[0] if state else None
    if not isinstance(call, Take) or (isinstance(answer, Taken) and answer.item != head):
        return ()
    return (state[1:],)


def _step_unordered(state: frozenset[str], operation: Operation) -> Iterable[frozenset[str]]:
    call, answer = operation.call, operation.answer
    if isinstance(call, Put):
        return (state | {call.item},)
    if not isinstance(call, Take):
        return ()
    if not isinstance(answer, Taken):
        return [state - {item} for item in sorted(state)] or [state]
    if answer.item is None:
        return () if state else (state,)
    return (state - {answer.item},) if answer.item in state else ()


def _step_value(state: str, operation: Operation) -> Iterable[str]:
    call, answer = operation.call, operation.answer
    if isinstance(call, Look):
        return (state,) if answer is None or answer == Value(state) else ()
    if not isinstance(call, Change):
        return ()
    expected = call.expected in {None, state}
    if isinstance(answer, Refused):
        return () if expected else (state,)
    return (call.value,) if expected and (answer is None or answer == Changed(state)) else ()


#: The data and the version; None if there is no node.
_NodeState = tuple[str, int] | None


def _step_node(state: _NodeState, operation: Operation) -> Iterable[_NodeState]:
    call, answer = operation.call, operation.answer
    if isinstance(answer, Refused):
        return (state,) if _is_refused(state, call, answer.reason) else ()
    if isinstance(call, (Get, Exists)):
        return (state,) if answer is None or _shows(state, answer) else ()
    if isinstance(call, Create):
        return ((call.data, 0),) if state is None else ()
    if not isinstance(call, (Set, Delete)) or state is None or call.version not in {-1, state[1]}:
        return ()
    if isinstance(call, Delete):
        return (None,)
    after = call.data, state[1] + 1
    return (after,) if answer is None or _shows(after, answer) else ()


def _is_refused(state: _NodeState, call: object, reason: Refusal) -> bool:
    if reason is Refusal.NODE_EXISTS:
        return state is not None and isinstance(call, Create)
    if reason is Refusal.NO_NODE:
        return state is None or isinstance(call, Create)
    if reason is Refusal.BAD_VERSION:
        return state is not None and isinstance(call, (Set, Delete)) and call.version not in {-1, state[1]}
    return True


def _shows(state: _NodeState, answer: object) -> bool:
    if state is None or not isinstance(answer, Shown):
        return state is None and isinstance(answer, Absent)
    data, version = state
    return answer.data in {None, data} and answer.version in {None, version}


#: A counter that begins at 0.
COUNTER = Model(0, _step_counter)
#: A queue that returns the items in the order in which they were put.
ORDERED_QUEUE = Model((), _step_ordered)
#: A queue that returns the items in any order. Each is put once.
QUEUE = Model(frozenset(), _step_unordered)
#: A persistent node, which is not there at first. Its reads must show the present state: pass only those behind a sync.
NODE = Model(None, _step_node)
#: A shared value, which is empty at first.
VALUE = Model("", _step_value)
