from __future__ import annotations

import itertools
from collections.abc import Hashable, Sequence

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from txmirror.test.history.histories import Script
from txmirror.test.hypothesis_profiles import at_most
from txmirror.testing.history import (
    COUNTER,
    NODE,
    ORDERED_QUEUE,
    QUEUE,
    Absent,
    Add,
    Answer,
    Call,
    Count,
    Create,
    Delete,
    Get,
    Model,
    Number,
    Operation,
    Outcome,
    Put,
    Refusal,
    Refused,
    Set,
    Shown,
    Take,
    Taken,
    Verdict,
    search,
)

TRUE, FALSE = Verdict.LINEARIZABLE, Verdict.NOT_LINEARIZABLE
#: A call, its answer, and the times at which it begins and ends. Without an end its outcome is unknown.
Line = tuple[Call, Answer | None, int, int | None]


def operations_of(lines: Sequence[Line]) -> list[Operation]:
    return [
        Operation(
            number,
            f"c{number}",
            1,
            call,
            begin,
            end,
            Outcome.UNKNOWN if end is None else Outcome.NOT_APPLIED if isinstance(answer, Refused) else Outcome.APPLIED,
            answer,
        )
        for number, (call, answer, begin, end) in enumerate(lines)
    ]


class SearchTests(SynchronousTestCase):
    def check(self, model: Model, verdict: Verdict, *lines: Line) -> None:
        self.assertEqual(search(operations_of(lines), model).verdict, verdict)

    def test_lost_update(self) -> None:
        """A counter to which both of two clients at once have added one is two."""
        for value, verdict in ((2, TRUE), (1, FALSE)):
            self.check(
                COUNTER,
                verdict,
                (Add("/n"), None, 1, 3),
                (Add("/n"), None, 2, 4),
                (Count("/n"), Number(value), 5, 6),
            )

    def test_results(self) -> None:
        for second, verdict in ((2, TRUE), (1, FALSE)):
            self.check(COUNTER, verdict, (Add("/n"), Number(1), 1, 3), (Add("/n"), Number(second), 2, 4))

    def test_unknown(self) -> None:
        """An unknown operation may be done at any time, once, or not."""
        for values, verdict in (((0, 0), TRUE), ((0, 3), TRUE), ((3, 3), TRUE), ((3, 0), FALSE), ((3, 6), FALSE)):
            self.check(
                COUNTER,
                verdict,
                (Add("/n", 3), None, 1, None),
                (Count("/n"), Number(values[0]), 2, 3),
                (Count("/n"), Number(values[1]), 4, 5),
            )

    def test_queue_order(self) -> None:
        """Items are taken in the order in which they were put, if the queue has an order."""
        lines: list[Line] = [
            (Put("/q", "a"), None, 1, 2),
            (Put("/q", "b"), None, 3, 4),
            (Take("/q"), Taken("b"), 5, 6),
            (Take("/q"), Taken("a"), 7, 8),
        ]
        self.check(ORDERED_QUEUE, FALSE, *lines)
        self.check(QUEUE, TRUE, *lines)

    def test_queue_lost(self) -> None:
        for taker, verdict in (((7, None), TRUE), ((9, None), FALSE)):
            for model in (QUEUE, ORDERED_QUEUE):
                lines: list[Line] = [(Put("/q", "a"), None, 1, 2), (Take("/q"), None, *taker)]
                self.check(model, verdict, *lines, (Take("/q"), Taken(None), 7, 8))

    def test_queue_twice(self) -> None:
        for model in (QUEUE, ORDERED_QUEUE):
            lines: list[Line] = [(Put("/q", "a"), None, 1, 2), (Take("/q"), Taken("a"), 3, 9)]
            self.check(model, TRUE, *lines)
            self.check(model, FALSE, *lines, (Take("/q"), Taken("a"), 4, 8))

    def test_node(self) -> None:
        """One of two writes at once that require the same version is refused."""
        created: Line = Create("/a", "x"), None, 1, 2
        refused = Refused(Refusal.BAD_VERSION)
        for answer, verdict in ((refused, TRUE), (None, FALSE)):
            self.check(NODE, verdict, created, (Set("/a", "y", 0), None, 3, 6), (Set("/a", "z", 0), answer, 3, 6))
        self.check(NODE, FALSE, created, (Set("/a", "y", 0), refused, 3, 4), (Set("/a", "z", 0), refused, 3, 4))
        for shown, verdict in ((Shown(None, "x", None, 0), TRUE), (Shown(None, "y"), FALSE), (Absent(), FALSE)):
            self.check(NODE, verdict, created, (Get("/a"), shown, 3, 4))
        deleted: Line = Delete("/a"), None, 3, 4
        ends: Sequence[tuple[Call, Answer | None, Verdict]] = (
            (Create("/a", "y"), Refused(Refusal.NODE_EXISTS), FALSE),
            (Create("/a", "y"), None, TRUE),
            (Set("/a", "y"), Refused(Refusal.NO_NODE), TRUE),
            (Set("/a", "y"), None, FALSE),
            (Get("/a"), Absent(), TRUE),
        )
        for call, end, verdict in ends:
            self.check(NODE, verdict, created, deleted, (call, end, 5, 6))

    def test_not_applied(self) -> None:
        """An operation that was not sent has no effect."""
        operations = operations_of([(Add("/n"), None, 1, 2), (Count("/n"), Number(0), 3, 4)])
        self.assertEqual(search(operations, COUNTER).verdict, FALSE)
        script = Script()
        script.refuse("c1", Add("/n"))
        script.do("c1", Count("/n"), None, Number(0))
        self.assertEqual(search(script.history.operations, COUNTER).order, (1,))

    def test_sentence(self) -> None:
        """The finding names the operation that has no place after as many others as possible."""
        operations = operations_of(
            [(Add("/n"), None, 1, 2), (Add("/n"), None, 3, 4), (Count("/n"), Number(1), 5, 6), (Add("/n"), None, 7, 8)]
        )
        finding = search(operations, COUNTER).finding
        assert finding is not None
        self.assertEqual(finding.sentence, "#2 (c2: count /n) has no place in any order, after 2 other operations")
        self.assertEqual(finding.operations, (2,))

    def test_nothing(self) -> None:
        self.assertEqual(search([], COUNTER).verdict, TRUE)

    def test_most_open(self) -> None:
        """With more than 50 open operations it is undecided; those that follow each other are not open at once."""
        one_after_another: list[Line] = [(Add("/n"), Number(each), 2 * each, 2 * each + 1) for each in range(1, 200)]
        self.check(COUNTER, TRUE, *one_after_another)
        at_once: list[Line] = [(Add("/n"), None, 1, 9)] * 50
        self.check(COUNTER, TRUE, *at_once)
        searched = search(operations_of([*at_once, (Add("/n"), None, 9, None)]), COUNTER)
        self.assertEqual(searched.verdict, Verdict.UNDECIDED)
        self.assertEqual(searched.reason, "51 operations are open at once, and 50 are the most")

    def test_unknown_with_end(self) -> None:
        """An operation of which the client knows nothing may be done after its end."""
        script = Script()
        script.lose("c1", Add("/n"), at=(1, 2))
        script.do("c1", Count("/n"), None, Number(0), at=(3, 4))
        script.do("c1", Count("/n"), None, Number(1), at=(5, 6))
        self.assertEqual(search(script.history.operations, COUNTER).verdict, TRUE)

    def test_each_place_once(self) -> None:
        """A set of operations with the same state after them is tried once: all orders of twelve would be 479,001,600."""
        steps = itertools.count()
        lines: list[Line] = [(Add("/n", 1 << each), None, 1, 9) for each in range(12)]
        operations = operations_of([*lines, (Count("/n"), Number(-1), 10, 11)])
        searched = search(operations, COUNTER, seconds=20_000.0, clock=lambda: float(next(steps)))
        self.assertEqual(searched.verdict, FALSE)

    def test_time_limit(self) -> None:
        """After the time limit it is undecided. No order leads to the result: there are too many to try all."""
        lines: list[Line] = [(Put("/q", f"{each}"), None, 1, 9) for each in range(20)]
        operations = operations_of([*lines, (Take("/q"), Taken("nothing"), 10, 11)])
        seconds = itertools.count()
        searched = search(operations, ORDERED_QUEUE, seconds=300.0, clock=lambda: float(next(seconds)))
        self.assertEqual((searched.verdict, searched.reason), (Verdict.UNDECIDED, "the time limit is over"))
        self.assertEqual(next(seconds), 302)


def exists_order(operations: Sequence[Operation], model: Model) -> bool:
    """Try all orders."""
    unknown = [each for each in operations if each.end is None]
    known = [each for each in operations if each.end is not None]
    return any(
        agrees(order, model)
        for count in range(len(unknown) + 1)
        for done in itertools.combinations(unknown, count)
        for order in itertools.permutations([*known, *done])
    )


def agrees(order: Sequence[Operation], model: Model) -> bool:
    for before, after in itertools.combinations(order, 2):
        if after.end is not None and after.end < before.begin:
            return False
    states: set[Hashable] = {model.initial}
    for operation in order:
        states = {after for state in states for after in model.step(state, operation)}
    return bool(states)


def lines_of(calls: st.SearchStrategy[tuple[Call, Answer | None]]) -> st.SearchStrategy[list[Line]]:
    def line(each: tuple[tuple[Call, Answer | None], int, int | None]) -> Line:
        (call, answer), begin, length = each
        # The answer of an unknown operation is not known.
        return (call, None, begin, None) if length is None else (call, answer, begin, begin + length)

    lengths = st.none() | st.integers(0, 4)
    return st.lists(st.tuples(calls, st.integers(0, 6), lengths).map(line), min_size=2, max_size=5)


COUNTS = st.one_of(
    st.tuples(
        st.builds(Add, st.just("/n"), st.sampled_from([1, 2, -1])), st.none() | st.builds(Number, st.integers(0, 3))
    ),
    st.tuples(st.just(Count("/n")), st.builds(Number, st.integers(0, 3))),
)
ITEMS = st.sampled_from("ab")
QUEUED = st.one_of(
    st.tuples(st.builds(Put, st.just("/q"), ITEMS), st.none()),
    st.tuples(st.just(Take("/q")), st.builds(Taken, st.none() | ITEMS)),
)


class OracleTests(SynchronousTestCase):
    """The search finds an order where trying all orders does."""

    def check(self, lines: list[Line], model: Model) -> None:
        operations = operations_of(lines)
        searched = search(operations, model)
        self.assertEqual(searched.verdict, TRUE if exists_order(operations, model) else FALSE)
        if searched.order:
            self.assertTrue(agrees([operations[number] for number in searched.order], model))

    @at_most(60)
    @given(lines_of(COUNTS))
    def test_counter(self, lines: list[Line]) -> None:
        self.check(lines, COUNTER)

    @at_most(60)
    @given(lines_of(QUEUED), st.sampled_from([QUEUE, ORDERED_QUEUE]))
    def test_queue(self, lines: list[Line], model: Model) -> None:
        self.check(lines, model)
