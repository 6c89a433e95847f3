from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from txmirror.testing.history import (
    Absent,
    Create,
    Created,
    Fired,
    Get,
    Hold,
    Names,
    Operation,
    Outcome,
    Recorder,
    Refusal,
    Refused,
    Set,
    Shown,
    Transaction,
    from_lines,
    to_lines,
)


class RecorderTests(SynchronousTestCase):
    def test_operations(self) -> None:
        """Operations have the order of their begins, and moments that grow with each record."""
        recorder = Recorder()
        read = recorder.begin("c1", 1, Get("/a", watch=True))
        write = recorder.begin("c2", 1, Set("/a", "x", 3))
        recorder.end(write, Outcome.NOT_APPLIED, Refused(Refusal.BAD_VERSION), 12)
        recorder.fired(read)
        recorder.reset()
        history = recorder.history(["c1"])
        self.assertEqual(
            history.operations,
            (
                Operation(0, "c1", 1, Get("/a", watch=True), 1),
                Operation(1, "c2", 1, Set("/a", "x", 3), 2, 3, Outcome.NOT_APPLIED, Refused(Refusal.BAD_VERSION), 12),
            ),
        )
        self.assertEqual((history.fired, history.resets, history.pipelined), ((Fired(0, 4),), (5,), {"c1"}))

    def test_session(self) -> None:
        """An operation that waits for a session is one of the session in which it is answered."""
        recorder = Recorder()
        for session, expected in ((None, 1), (2, 2)):
            number = recorder.begin("c1", 1, Get("/a"))
            recorder.end(number, Outcome.APPLIED, Absent(), 5, session=session)
            self.assertEqual(recorder.operation(number).session, expected)

    def test_holds(self) -> None:
        """A hold that was not left has no end."""
        recorder = Recorder(iter([10, 20, 30]).__next__)
        first, _ = recorder.acquired("c1", "/lock", 5), recorder.acquired("c2", "/leases", capacity=2)
        recorder.left(first)
        self.assertEqual(
            recorder.history().holds,
            (Hold(0, "c1", "/lock", 10, 30, 5), Hold(1, "c2", "/leases", 20, None, None, 2)),
        )

    def test_history_so_far(self) -> None:
        """A history does not change afterwards."""
        recorder = Recorder()
        number = recorder.begin("c1", 1, Get("/a"))
        history = recorder.history()
        recorder.end(number, Outcome.APPLIED, Shown(7, "x"), 8)
        self.assertEqual(history.operations[0].end, None)
        self.assertEqual(recorder.operation(0).zxid, 8)


class LinesTests(SynchronousTestCase):
    def test_round_trip(self) -> None:
        """The lines of a history are that history."""
        recorder = Recorder()
        for call, answer in (
            (Get("/a", watch=True), Shown(5, "x", 3, 0, 0)),
            (Transaction((Create("/b", "y", ephemeral=True), Set("/a", "z"))), Names(frozenset("ab"))),
            (Create("/q/n-", sequential=True), Created("/q/n-0000000001")),
        ):
            recorder.end(recorder.begin("c", 2, call), Outcome.APPLIED, answer, 9)
        recorder.begin("c", 2, Get("/c"))
        recorder.fired(0)
        recorder.left(recorder.acquired("c", "/lock", 4, shared=True))
        recorder.reset()
        history = recorder.history(["c", "d"])
        self.assertEqual(from_lines(to_lines(history)), history)

    def test_invalid(self) -> None:
        """An invalid line is quoted."""
        for line in (
            '{"class": "Nothing"}',
            "[1]",
            "{",
            '{"class": "Fired", "at": 1}',
            '{"class": "Get", "path": "/"}',
        ):
            with self.assertRaises(ValueError) as caught:
                from_lines([line])
            self.assertEqual(str(caught.exception), f"no line of a history: {line!r}")
