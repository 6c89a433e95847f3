"""The recording and the judgement of the histories that ``benchmarks/histories.py`` records: false histories are found.

The modules are beside the package, as in a checkout. Elsewhere the tests are skipped.
"""

from __future__ import annotations

import io
import itertools
import json
import sys
import threading
from collections import Counter
from importlib import import_module
from pathlib import Path
from typing import Any
from unittest import SkipTest

from twisted.trial.unittest import SynchronousTestCase

import txmirror
from txmirror.testing.history import (
    Absent,
    Add,
    Block,
    Call,
    Create,
    Fired,
    Get,
    History,
    Hold,
    Number,
    Operation,
    Outcome,
    Pass,
    Set,
    Shown,
    Transaction,
    Unblock,
    to_lines,
)

SECOND = 1_000_000_000
APPLIED = Outcome.APPLIED


def load(name: str) -> Any:
    """Import a module of the benchmarks.

    :raises SkipTest: there are none.
    """
    folder = Path(txmirror.__file__).parents[1] / "benchmarks"
    if not folder.exists():
        raise SkipTest("no benchmarks beside the package")
    sys.path.insert(0, str(folder))
    try:
        return import_module(name)
    finally:
        sys.path.remove(str(folder))


class RecordingTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.recording = load("recording")
        self.folder = Path(self.mktemp())
        self.folder.mkdir()

    def log(self, client: str) -> Any:
        """Return the log of a client."""
        return self.recording.Log(client, self.folder / f"{client}.jsonl")

    def read(self) -> tuple[History, list[dict[str, Any]]]:
        """Read all files."""
        result: tuple[History, list[dict[str, Any]]] = self.recording.read_all(sorted(self.folder.glob("*.jsonl")))
        return result

    def test_one_operation(self) -> None:
        """The begin and the end are one operation, with the moments at which they were recorded."""
        log = self.log("c-1.1")
        ended = log.end(log.begin(3, Set("/a", "x")), APPLIED, Shown(5), 5)
        history, notes = self.read()
        self.assertEqual((history.operations, notes), ((ended,), []))
        operation = history.operations[0]
        self.assertEqual((operation.client, operation.session, operation.zxid), ("c-1.1", 3, 5))
        assert operation.end is not None
        self.assertLessEqual(operation.begin, operation.end)

    def test_killed(self) -> None:
        """Of a process that was killed there is all until then; half of a line does not count."""
        log = self.log("c-1.1")
        log.begin(1, Add("/n"))
        with (self.folder / "c-1.1.jsonl").open("a") as file:
            file.write('{"class": "Operation", "numb')
        operation = self.read()[0].operations[0]
        self.assertEqual((operation.end, operation.outcome), (None, Outcome.UNKNOWN))
        self.assertEqual(len(self.read()[0].operations), 1)

    def test_several_clients(self) -> None:
        """The operations of all have one order, that of their begins, with the watches and holds that belong to them."""
        first, second = self.log("c-1.1"), self.log("c-2.1")
        one = first.begin(1, Get("/a", watch=True))
        two = second.begin(1, Get("/b", watch=True))
        three = first.begin(1, Get("/c", watch=True))
        for log, operation in ((first, three), (second, two), (first, one)):
            log.end(operation, APPLIED, Absent())
        second.fired(two)
        first.fired(three)
        hold = second.acquired("/lock", 5, 7)
        first.left(first.acquired("/lock", 10, 6), 15)
        second.left(hold, 8)
        history, _ = self.read()
        self.assertEqual([each.number for each in history.operations], [0, 1, 2])
        self.assertEqual(
            [each.call.path for each in history.operations if isinstance(each.call, Get)], ["/a", "/b", "/c"]
        )
        self.assertEqual({each.operation for each in history.fired}, {1, 2})
        expected = (Hold(0, "c-2.1", "/lock", 5, 8, 7), Hold(1, "c-1.1", "/lock", 10, 15, 6))
        self.assertEqual(history.holds, expected)

    def test_lost_watch(self) -> None:
        """A read whose watch is lost has none."""
        log = self.log("c-1.1")
        log.watch_lost(log.end(log.begin(1, Get("/a", watch=True)), APPLIED, Absent()))
        (operation,) = self.read()[0].operations
        self.assertEqual((operation.call, operation.answer), (Get("/a"), Absent()))

    def test_notes(self) -> None:
        """Notes have the moment and the client, and are in the order of time."""
        first, second = self.log("c-1.1"), self.log("c-2.1")
        second.note("barrier", event="enter")
        first.note("barrier", event="left", round=3)
        _, notes = self.read()
        self.assertEqual([(each["client"], each["event"]) for each in notes], [("c-2.1", "enter"), ("c-1.1", "left")])
        self.assertEqual(notes, sorted(notes, key=lambda each: each["at"]))

    def test_threads(self) -> None:
        """Threads write whole lines, and operations with numbers of their own."""
        log = self.log("c-1.1")

        def work() -> None:
            for _ in range(50):
                log.end(log.begin(1, Add("/n")), APPLIED)

        threads = [threading.Thread(target=work) for _ in range(4)]
        for each in threads:
            each.start()
        for each in threads:
            each.join()
        history, _ = self.read()
        self.assertEqual(Counter(each.outcome for each in history.operations), {APPLIED: 200})


class JudgingTests(SynchronousTestCase):
    """Each test writes the files of a run, with moments in seconds."""

    def setUp(self) -> None:
        self.judging = load("judging")
        self.folder = Path(self.mktemp())
        self.folder.mkdir()
        self.counts: Counter[str] = Counter()

    def write(self, client: str, line: str) -> None:
        """Write a line to the file of a client."""
        with (self.folder / f"{client}.jsonl").open("a") as file:
            file.write(f"{line}\n")

    # More than 7 parameters: what is known of an operation.
    def do(
        self,
        client: str,
        call: Call,
        begin: float,
        end: float | None = None,
        answer: Any = None,
        session: int = 1,
        zxid: int | None = None,
    ) -> None:
        """Write an operation that was done, or, without an end, one that has not ended."""
        number = self.counts[client]
        self.counts[client] += 1
        outcome = Outcome.UNKNOWN if end is None else APPLIED
        moment = None if end is None else int(end * SECOND)
        operation = Operation(number, client, session, call, int(begin * SECOND), moment, outcome, answer, zxid)
        self.write(client, next(to_lines(History((operation,)))))

    def hold(self, client: str, begin: float, end: float | None, token: int) -> None:
        """Write the time in which a client relied on the lock."""
        number = self.counts[f"{client} holds"]
        self.counts[f"{client} holds"] += 1
        moment = None if end is None else int(end * SECOND)
        hold = Hold(number, client, "/lock", int(begin * SECOND), moment, token)
        self.write(client, next(to_lines(History((), (), (hold,)))))

    def note(self, at: float, note: str, client: str = "harness", **fields: Any) -> None:
        """Write a note."""
        self.write(client, json.dumps({"note": note, "client": client, "at": int(at * SECOND), **fields}))

    def barrier(self, client: str, *events: tuple[str, float], session: int = 1) -> None:
        """Write the notes of a client about one round of a double barrier."""
        for event, at in events:
            self.note(at, "barrier", client, event=event, round=1, session=session)

    def alive(self, *clients: str) -> None:
        """Let clients do something at the begin."""
        for client in clients:
            self.do(client, Get("/other"), 0, 0.1, Absent())

    def judge(self) -> list[str]:
        """Judge the files. Return the lines of the findings. The status agrees with them."""
        output = io.StringIO()
        self.patch(sys, "stdout", output)
        status = self.judging.main(self.folder)
        lines = [line.strip() for line in output.getvalue().splitlines()]
        self.assertEqual(status, 0 if lines[-1] == "nothing was found" else 1)
        self.summary, found = " ".join(lines[:3]), lines[3:]
        return found if status else found[:-1]

    def assert_found(self, *lines: str) -> None:
        """These lines are the findings."""
        self.assertEqual(self.judge(), list(lines))

    def test_nothing(self) -> None:
        """A true history."""
        self.do("c-1.1", Add("/n"), 1, 2, Number(1))
        self.do("c-2.1", Add("/n"), 3, 4, Number(2))
        self.hold("c-1.1", 1, 2, 1)
        self.hold("c-2.1", 3, 4, 2)
        self.note(1, "fault", kind="cut", event="begin", number=0)
        self.note(2, "fault", kind="cut", event="end", number=0)
        self.assert_found()
        self.assertEqual(
            self.summary, "2 operations (2 applied), 2 holds, at most 2 s apart, 0 watches fired, 1 faults of 1 kinds"
        )

    def test_no_history(self) -> None:
        """A folder without files is an error in one line that quotes it."""
        error = self.assertRaises(SystemExit, self.judging.main, self.folder)
        self.assertEqual(str(error), f"there is no history in {str(self.folder)!r}")

    def test_rules(self) -> None:
        """The checker judges the operations of all clients."""
        self.do("c-1.1", Add("/n"), 1, 2, Number(1))
        self.do("c-2.1", Add("/n"), 3, 4, Number(3))
        self.assert_found("COUNTER: 1", "#1 (c-2.1: add /n) shows 3, not 2")

    def test_watches(self) -> None:
        """The watch of each client's read is that of the read, whatever the other clients do."""
        self.do("c-2.1", Get("/a"), 0, 0.1, Absent())
        self.do("c-1.1", Get("/a", watch=True), 1, 2, Shown(5, None, 5, 0, 0))
        self.write("c-1.1", next(to_lines(History((), (Fired(0, 3 * SECOND),)))))
        self.assert_found("TRUE_WATCH: 1", "the watch of #1 (c-1.1: get /a) has fired, and nothing had changed")

    def test_many(self) -> None:
        """Of many findings of a rule the first are printed, and their number."""
        for number in range(7):
            self.do("c-1.1", Get("/a"), number, None)
        found = self.judge()
        self.assertEqual((found[0], len(found)), ("NOT ENDED: 7", 1 + self.judging.PRINTED))

    # Operations that have not ended.

    def test_not_ended(self) -> None:
        """An operation of a living client has not ended, whatever it is."""
        self.do("c-1.1", Transaction((Set("/a", "x"), Set("/b", "y"))), 1)
        self.assert_found("NOT ENDED: 1", "#0 (c-1.1: transaction of set /a 'x', set /b 'y')")

    def test_not_ended_of_the_dead(self) -> None:
        """A process was killed, and so does not end its operations."""
        self.do("c-1.1", Add("/n"), 1)
        self.do("c-1.2", Add("/n"), 3, 4, Number(2))
        self.assert_found()

    def test_not_ended_of_the_dead_without_a_successor(self) -> None:
        """The process that was started again has done nothing yet."""
        self.do("c-1.1", Add("/n"), 1)
        (self.folder / "c-1.2.jsonl").touch()
        self.assert_found()

    def test_tenth_start(self) -> None:
        """The tenth process in a place is later than the ninth."""
        self.do("c-1.9", Add("/n"), 1)
        self.do("c-1.10", Add("/n"), 3, 4, Number(2))
        self.assert_found()

    # Locks.

    def test_two_holders(self) -> None:
        """Two clients rely on the lock at a time."""
        self.alive("c-1.1", "c-2.1")
        self.hold("c-1.1", 1, 3, 1)
        self.hold("c-2.1", 2, 4, 2)
        found = self.judge()
        self.assertEqual((found[0], len(found)), ("EXCLUSION: 1", 2))

    def test_two_holders_after_a_pause(self) -> None:
        """The holder was paused. No client can prevent that, and it is reported as such."""
        self.alive("c-1.1", "c-2.1")
        for at, event in ((1.5, "begin"), (9.0, "end")):
            self.note(at, "fault", kind="pause client", event=event, number=0)
        self.hold("c-1.1", 1, 9.1, 1)
        self.hold("c-2.1", 8, 9.5, 2)
        self.assertEqual(self.judge()[0], "EXCLUSION after a pause of the client: 1")

    def test_pause_of_another(self) -> None:
        """The pause of a third client is no reason."""
        self.alive("c-1.1", "c-2.1")
        for at, event in ((1.5, "begin"), (9.0, "end")):
            self.note(at, "fault", kind="pause client", event=event, number=2)
        self.hold("c-1.1", 1, 9.1, 1)
        self.hold("c-2.1", 8, 9.5, 2)
        self.assertEqual(self.judge()[0], "EXCLUSION: 1")

    def test_hold_of_the_dead(self) -> None:
        """A process that was killed relied on its lock until its last sign of life."""
        self.alive("c-1.1", "c-2.1")
        self.hold("c-1.1", 1, None, 1)
        self.do("c-1.1", Get("/other"), 2, 2.5, Absent())
        self.do("c-1.2", Get("/other"), 3, 4, Absent())
        self.hold("c-2.1", 3, 4, 2)
        self.assert_found()
        self.hold("c-2.1", 2.2, 2.3, 3)
        self.assertEqual(self.judge()[0], "EXCLUSION: 1")

    def test_hold_of_the_living(self) -> None:
        """A hold without an end goes on."""
        self.alive("c-1.1", "c-2.1")
        self.hold("c-1.1", 1, None, 1)
        self.hold("c-2.1", 3, 4, 2)
        self.assertEqual(self.judge()[0], "EXCLUSION: 1")

    def test_idle(self) -> None:
        """Nobody acquires the lock, though all want it, and the ensemble serves."""
        self.hold("c-1.1", 1, 2, 1)
        for number in range(30):
            self.do("c-1.1", Add("/n"), 2 * number, 2 * number + 1, Number(number + 1))
        self.do("c-1.1", Get("/other"), 60, 61, Absent())
        self.assert_found("LOCK IDLE: 1", "nobody has acquired it for 59 s, in which the ensemble served")

    def test_outage(self) -> None:
        """The ensemble does not serve for a part of that time, and then gives all sessions their full timeout."""
        self.hold("c-1.1", 1, 2, 1)
        for number in [*range(10), *range(14, 30)]:
            self.do("c-1.1", Add("/n"), 2 * number, 2 * number + 1)
        self.assert_found()
        self.assertIn("at most 57 s apart", self.summary)

    # Double barriers of three.

    def test_barrier(self) -> None:
        """All enter after all have come, and leave after all have begun to."""
        for number, client in enumerate(("c-1.1", "c-2.1", "c-3.1")):
            self.alive(client)
            times = (1, 2, 3, 4)
            events = zip(("enter", "entered", "leave", "left"), times, strict=True)
            self.barrier(client, *((event, at + number / 10) for event, at in events))
        self.assert_found()

    def test_entered_early(self) -> None:
        """One is inside before the last has come."""
        self.alive("c-1.1")
        self.barrier("c-1.1", ("enter", 1), ("entered", 2), ("leave", 5), ("left", 6))
        self.barrier("c-2.1", ("enter", 1), ("entered", 4), ("leave", 5), ("left", 6))
        self.barrier("c-3.1", ("enter", 3), ("entered", 4), ("leave", 5), ("left", 6))
        self.assert_found("BARRIER: 1", "round 1: c-1.1 has entered when only 2 had come")

    def test_left_early(self) -> None:
        """One is out before another begins to leave; the others have lost their session, and with it their place inside."""
        self.alive("c-1.1")
        self.barrier("c-1.1", ("enter", 1), ("entered", 2), ("leave", 3), ("left", 4))
        self.barrier("c-2.1", ("enter", 1), ("entered", 2), ("leave", 5), ("left", 6))
        self.barrier("c-3.1", ("enter", 1), ("entered", 2))
        self.barrier("c-3.1", ("leave", 5), ("left", 6), session=2)
        self.assert_found("BARRIER: 1", "round 1: c-1.1 has left before c-2.1, which was inside, began to leave")

    def test_never_entered(self) -> None:
        """One waits for ever, or all do."""
        self.alive("c-1.1")
        self.barrier("c-1.1", ("enter", 1), ("entered", 2), ("leave", 3), ("not left", 9))
        self.barrier("c-2.1", ("enter", 1), ("entered", 2), ("leave", 3), ("not left", 9))
        self.barrier("c-3.1", ("enter", 1))
        self.assert_found("BARRIER: 1", "round 1: c-3.1 never entered, and c-1.1, c-2.1 did")

    def test_nobody_entered(self) -> None:
        """All have come."""
        self.alive("c-1.1")
        for client in ("c-1.1", "c-2.1", "c-3.1"):
            self.barrier(client, ("enter", 1))
        self.assert_found("BARRIER: 1", "round 1: all have come, and nobody entered")

    def test_never_left(self) -> None:
        """One waits for ever, though all have begun to leave."""
        self.alive("c-1.1")
        self.barrier("c-1.1", ("enter", 1), ("entered", 2), ("leave", 3))
        for client in ("c-2.1", "c-3.1"):
            self.barrier(client, ("enter", 1), ("entered", 2), ("leave", 3), ("left", 4))
        self.assert_found("BARRIER: 1", "round 1: c-1.1 never left, and all began to")

    def test_barrier_that_fails(self) -> None:
        """A call that reports its failure is no finding, nor is one of a process that was killed."""
        self.alive("c-1.1", "c-2.1", "c-3.1", "c-3.2")
        self.barrier("c-1.1", ("enter", 1), ("not entered", 7))
        self.barrier("c-2.1", ("enter", 1), ("not entered", 7))
        self.barrier("c-3.1", ("enter", 1))
        self.barrier("c-3.2", ("enter", 2), ("not entered", 8))
        self.assert_found()

    # Services.

    def look(self, at: float, *clients: str, end: bool = False) -> None:
        """Write a note about the services that are registered."""
        present = {client.partition(".")[0]: client for client in clients}
        self.note(at, "services at the end" if end else "services", present=present)

    def register(self, *clients: str) -> None:
        """Let clients keep their services registered."""
        self.alive(*clients)
        for client in clients:
            self.note(1, "registers", client)

    def test_services(self) -> None:
        """A service is there again within the bound, and at the end; also that of a process that was started again."""
        self.register("c-1.1", "c-2.1", "c-2.2")
        self.look(1, "c-1.1", "c-2.1")
        self.look(10, "c-2.1")
        self.look(30, "c-1.1")
        self.look(31, "c-1.1", "c-2.2")
        self.look(70, "c-1.1", "c-2.2", end=True)
        self.assert_found()
        self.assertIn("a service not there for at most 20.0 s", self.summary)

    def test_service_is_missing_for_long(self) -> None:
        """A service is not there for longer than any fault explains."""
        self.register("c-1.1")
        self.look(1, "c-1.1")
        self.look(10)
        self.look(50, "c-1.1")
        self.look(70, "c-1.1", end=True)
        self.assert_found("SERVICE: 1", "c-1 was not there for 40 s")

    def test_service_is_missing_at_the_end(self) -> None:
        """A service is not there at the end, or that of a process that was killed stays."""
        self.register("c-1.1", "c-2.1", "c-2.2")
        self.look(1, "c-1.1", "c-2.1")
        self.look(30, "c-2.1")
        self.look(40, "c-2.1", end=True)
        self.assert_found("SERVICE: 2", "c-1.1 is not registered at the end", "c-2.2 is not registered at the end")

    def test_services_are_not_seen(self) -> None:
        """If nobody has seen the end, nothing is proved."""
        self.register("c-1.1")
        self.look(1, "c-1.1")
        self.assert_found("SERVICE: 1", "c-1.1 is not registered at the end")

    # Barriers, parties and shares.

    def pass_gate(self, removed: int, written: int, blocked: float = 2) -> None:
        """Pass a barrier that is there from a moment on, and write at a zxid. It was removed at another."""
        path = "/histories/gate/1/barrier"
        self.do("c-1.1", Block(path), 1, blocked)
        self.do("c-2.1", Pass(path), 3, 5)
        self.do("c-1.1", Unblock(path), 4, 6)
        self.do("c-2.1", Set("/histories/passed", "x"), 6, 7, zxid=written)
        self.note(60, "gates", removed={path: removed})

    def test_gate(self) -> None:
        """A barrier is passed after its removal, or before it was there."""
        self.pass_gate(removed=0x10, written=0x11)
        self.assert_found()

    def test_gate_before_it_was_there(self) -> None:
        """Whoever begins to wait before the barrier is there may pass."""
        self.pass_gate(removed=0x10, written=0x9, blocked=3.5)
        self.assert_found()

    def test_gate_passed_early(self) -> None:
        """A write after a barrier was passed has a lower zxid than the removal."""
        self.pass_gate(removed=0x10, written=0x9)
        self.assert_found(
            "BARRIER: 1",
            "#1 (c-2.1: pass /histories/gate/1/barrier) has passed, and the barrier was removed at 0x10, after 0x9",
        )

    def end_party(self, *present: str) -> None:
        """Some want to be members at the end, and these are."""
        self.alive("c-1.1", "c-2.1", "c-2.2")
        for client in ("c-1.1", "c-2.1", "c-2.2"):
            self.note(50, "stays", client)
        self.note(60, "party at the end", present=list(present))

    def test_party(self) -> None:
        """All are members that were not killed."""
        self.end_party("c-2.2", "c-1.1")
        self.assert_found()

    def test_party_is_wrong(self) -> None:
        """One is missing, and a dead one is there."""
        self.end_party("c-1.1", "c-2.1")
        sentence = "the members at the end are ['c-1.1', 'c-2.1'], not ['c-1.1', 'c-2.2']"
        self.assert_found("PARTY AT THE END: 1", sentence)

    def test_shares(self) -> None:
        """At the end, each item is one living member's."""
        for second in (["item-3", "item-4", "item-5"], ["item-2", "item-3", "item-4", "item-5"], ["item-3", "item-4"]):
            self.setUp()
            self.alive("c-1.1", "c-2.1", "c-2.2")
            self.note(60, "shares", "c-1.1", items=["item-0", "item-1", "item-2"])
            self.note(60, "shares", "c-2.1", items=["item-0"])
            self.note(60, "shares", "c-2.2", items=second)
            found = self.judge()
            self.assertEqual(found[:1], [] if len(second) == 3 else ["SHARES AT THE END: 1"])

    # An ensemble that loses data.

    def lose(self, at: float) -> None:
        """Let the ensemble lose writes after a moment."""
        self.note(at + 1, "lost", since=int(at * SECOND), version=9, now=4)

    def test_lost_data(self) -> None:
        """After the ensemble has lost data, nothing is judged: no client could keep its promises."""
        self.do("c-1.1", Add("/n"), 1, 2, Number(1))
        self.do("c-1.1", Add("/n"), 9, 11, Number(1))
        self.do("c-2.1", Add("/n"), 12, 13, Number(1))
        self.do("c-1.1", Add("/n"), 14)
        self.hold("c-1.1", 8, 12, 1)
        self.hold("c-2.1", 11, 13, 2)
        self.note(1, "registers", "c-1.1")
        self.barrier("c-1.1", ("enter", 8), ("entered", 9), ("leave", 9))
        self.note(90, "left", names=["c-1.1"])
        self.lose(10)
        self.assert_found("the ensemble has lost writes that were done: all is judged until then")

    def test_before_lost_data(self) -> None:
        """All before that is judged."""
        self.do("c-1.1", Add("/n"), 1, 2, Number(1))
        self.do("c-1.1", Add("/n"), 3, 4, Number(3))
        self.lose(10)
        self.assertEqual(self.judge()[1], "COUNTER: 1")

    # Ephemeral nodes.

    def test_missed(self) -> None:
        """A session does not see its own node."""
        self.do("c-1.1", Create("/e", "x", ephemeral=True), 1, 2)
        self.do("c-1.1", Get("/e"), 3, 4, Absent())
        self.assertEqual(self.judge()[0], "EPHEMERAL: 1")

    def test_left_over(self) -> None:
        """Nodes are there after all sessions have ended."""
        self.alive("c-1.1")
        self.note(90, "left", names=["c-1.1"])
        self.assert_found("EPHEMERAL LEFT: 1", "the sessions have ended, and these nodes are still there: c-1.1")

    def test_outlived(self) -> None:
        """A client sees the node of its former session. Another client may see it for some time."""
        self.do("c-1.1", Create("/e", "x", ephemeral=True), 1, 2)
        self.do("c-2.1", Get("/e"), 3, 4, Shown(5, "x", 5, 0, 7), session=2)
        self.assert_found()
        self.do("c-1.1", Get("/e"), 3, 4, Shown(5, "x", 5, 0, 7), session=2)
        self.assert_found("EPHEMERAL LEFT: 1", "#1 (c-1.1: get /e) shows in session 2 a node of session 1")


class PlanTests(SynchronousTestCase):
    def test_same_seed(self) -> None:
        """The plan depends on the seed alone."""
        plan = load("nemesis").plan
        self.assertEqual(plan(1, 60.0, 3), plan(1, 60.0, 3))
        self.assertNotEqual(plan(1, 60.0, 3), plan(2, 60.0, 3))

    def test_every_kind(self) -> None:
        """A long run has every kind of fault; of each sequence one begins after the other has ended."""
        nemesis = load("nemesis")
        plans = nemesis.plan(1, 1000.0, 3)
        kinds = {each.kind for faults in plans for each in faults}
        self.assertEqual(kinds, {*nemesis.LINKS, *nemesis.PROCESSES})
        links = {"cut", "refuse", "half-close to client", "half-close to server", "stall", "stall replies"}
        servers = {"kill leader", "kill follower", "pause leader", "pause follower", "wipe follower", "lag follower"}
        self.assertEqual((links | servers | {"pause client", "kill client"}) - kinds, set())
        for faults in plans:
            for before, after in itertools.pairwise(faults):
                self.assertGreater(after.at, before.at + before.seconds)
