"""The number of steps of the checker grows with that of the operations, not with its square: counted in lines, not in time."""

from __future__ import annotations

import sys
from collections.abc import Callable
from types import FrameType
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from txmirror.test.history.histories import Script
from txmirror.testing.history import (
    Absent,
    Add,
    Children,
    Count,
    Create,
    Created,
    Delete,
    Get,
    History,
    Names,
    Number,
    Put,
    Refusal,
    Refused,
    Set,
    Shown,
    Take,
    Taken,
    judge,
)

_FEW, _MANY = 30, 240


def lines_of(function: Callable[[], object]) -> int:
    """Return the number of lines that a function runs."""
    count = 0

    def trace(frame: FrameType, event: str, argument: Any) -> Any:
        nonlocal count
        count += event == "line"
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        function()
    finally:
        sys.settrace(before)
    return count


def known(count: int) -> Script:
    """Return a history of one node and its children: writes, reads, watches and refusals."""
    return nodes(count, lost=False)


def nodes(count: int, *, lost: bool = True) -> Script:
    """Return the same history, with writes without a result."""
    script = Script("c1")
    script.do("c1", Create("/a", "0"), 1)
    for number in range(count):
        zxid = 10 * number + 10
        client = f"c{number % 3}"
        script.do(client, Set("/a", f"{number}"), zxid)
        read = script.do(client, Get("/a", watch=True), zxid, Shown(zxid, f"{number}"))
        if lost:
            script.lose(client, Set("/a", f"lost {number}"))
            script.lose(client, Delete(f"/b/{number}", recursive=True))
        script.do(client, Get(f"/a/{number}"), None, Absent())
        script.refuse(client, Set("/a", "x", 7), Refused(Refusal.BAD_VERSION))
        script.do(client, Create(f"/a/{number}"), zxid + 1)
        children = script.do(client, Children("/a", watch=True), zxid + 1, Names(frozenset({f"{number}"})))
        script.do(client, Delete(f"/a/{number}"), zxid + 2)
        script.fire(read)
        script.fire(children)
    return script


def recipes(count: int) -> Script:
    """Return a history of a queue, a counter, a lock and sequence numbers."""
    script = Script()
    for number in range(count):
        script.do("c1", Put("/q", f"{number}"))
        script.do("c2", Take("/q"), None, Taken(f"{number}"))
        script.do("c3", Take("/q"), None, Taken(None))
        script.do("c1", Add("/n"))
        script.do("c2", Count("/n"), None, Number(number + 1))
        script.hold("c1", 100 * number, 100 * number + 50, number + 1)
        script.do("c1", Create("/s/n-", sequential=True), 2 * number + 1, Created(f"/s/n-{number:010d}"))
    return script


class ComplexityTests(SynchronousTestCase):
    def check(self, make: Callable[[int], Script]) -> None:
        few, many = (self.count(make(number).history) for number in (_FEW, _MANY))
        # Sorting takes no lines of Python. The logarithms of what remains are small.
        self.assertLess(many / few, 1.5 * _MANY / _FEW)

    def count(self, history: History) -> int:
        return lines_of(lambda: judge(history))

    def test_nodes(self) -> None:
        self.check(nodes)

    def test_known(self) -> None:
        self.check(known)

    def test_recipes(self) -> None:
        self.check(recipes)
