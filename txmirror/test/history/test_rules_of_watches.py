"""The rules of one-shot watches."""

from __future__ import annotations

from txmirror.test.history.histories import RulesCase, Script
from txmirror.testing.history import (
    Absent,
    Children,
    Create,
    Delete,
    Exists,
    Get,
    Names,
    Outcome,
    Rule,
    Set,
    Shown,
)


class WatchFirstTests(RulesCase):
    def test_data(self) -> None:
        """A watch fires before any reply of its session that has seen the change."""
        for fires in (True, False):
            script = Script()
            script.do("c2", Create("/a", "x"), 5)
            read = script.do("c1", Get("/a", watch=True), 6, Shown(5, "x"))
            script.do("c2", Set("/a", "y"), 7)
            script.do("c1", Get("/b"), 6, Absent())
            if fires:
                script.fire(read)
            script.do("c1", Get("/b"), 7, Absent())
            if fires:
                self.assert_true(script)
            else:
                sentence = "#4 (c1: get /b) shows 0x7 before the watch of #1 (c1: get /a) has fired for #2 (c2: set /a 'y') at 0x7"
                self.assert_found(script, Rule.WATCH_FIRST, sentence, 4, 1, 2)

    def test_too_late(self) -> None:
        script = Script()
        read = script.do("c1", Get("/a", watch=True), None, Shown(5, "x"))
        script.do("c1", Set("/a", "y"), 7)
        script.fire(read)
        sentence = (
            "#1 (c1: set /a 'y') shows 0x7 before the watch of #0 (c1: get /a) has fired for #1 (c1: set /a 'y') at 0x7"
        )
        self.assert_found(script, Rule.WATCH_FIRST, sentence, 1, 0, 1)

    def test_another_session(self) -> None:
        """A watch ends with its session, and says nothing about other clients."""
        for client, session in (("c1", 2), ("c2", 1)):
            script = Script()
            script.do("c1", Get("/a", watch=True), 6, Shown(5, "x"))
            script.do("c3", Set("/a", "y"), 7)
            script.do(client, Get("/b"), 7, Absent(), session=session)
            self.assert_true(script)

    def test_no_watch(self) -> None:
        """A read of a missing node sets no watch, nor one that has failed or asked for none."""
        script = Script()
        script.do("c1", Get("/a", watch=True), 4, Absent())
        script.do("c1", Children("/a", watch=True), 4, Absent())
        script.do("c1", Exists("/a"), 4, Absent())
        script.do("c1", Exists("/a", watch=True), outcome=Outcome.UNKNOWN)
        script.do("c1", Create("/a", "x"), 5)
        self.assert_true(script)

    def test_existence(self) -> None:
        for deleted in (True, False):
            script = Script()
            script.do("c1", Exists("/a", watch=True), 4, Absent())
            script.do("c2", Create("/a", "x"), 5)
            if deleted:
                # The client was away: the server does not notice when it returns.
                script.do("c2", Delete("/a"), 6)
            script.do("c1", Get("/b"), 6, Absent())
            if deleted:
                self.assert_true(script)
            else:
                sentence = "#2 (c1: get /b) shows 0x6 before the watch of #0 (c1: exists /a) has fired for #1 (c2: create /a 'x') at 0x5"
                self.assert_found(script, Rule.WATCH_FIRST, sentence, 2, 0, 1)

    def test_existence_of_the_next(self) -> None:
        """The watch is still there for the next node."""
        script = Script()
        script.do("c1", Exists("/a", watch=True), 4, Absent())
        script.do("c2", Create("/a", "x"), 5)
        script.do("c2", Delete("/a"), 6)
        script.do("c1", Get("/b"), 6, Absent())
        script.do("c2", Create("/a", "y"), 7)
        script.do("c1", Get("/b"), 8, Absent())
        sentence = "#5 (c1: get /b) shows 0x8 before the watch of #0 (c1: exists /a) has fired for #4 (c2: create /a 'y') at 0x7"
        self.assert_found(script, Rule.WATCH_FIRST, sentence, 5, 0, 4)

    def test_children(self) -> None:
        for call, changes in (
            (Create("/a/y"), True),
            (Delete("/a/x"), True),
            (Delete("/a"), True),
            (Set("/a/x", "y"), False),
            (Set("/a", "y"), False),
            (Create("/a/x/z"), False),
        ):
            script = Script()
            script.do("c1", Children("/a", watch=True), 4, Names(frozenset({"x"})))
            script.do("c2", call, 5)
            script.do("c1", Get("/b"), 6, Absent())
            if changes:
                self.assertEqual(self.rules(script), [Rule.WATCH_FIRST])
            else:
                self.assert_true(script)

    def test_ended(self) -> None:
        """A watch that has ended without an event, because a server refuses to set it again, is not owed any more."""
        script = Script()
        read = script.do("c1", Get("/a", watch=True), 6, Shown(5, "x"))
        script.fire(read, event=False)
        script.do("c2", Set("/a", "y"), 7)
        script.do("c1", Get("/b"), 7, Absent())
        self.assert_true(script)


class TrueWatchTests(RulesCase):
    def test_reason(self) -> None:
        """A watch fires only after a change that has begun."""
        for write, begin in ((Set("/a", "y"), 25), (Set("/b", "y"), 25), (Set("/a", "y"), 45)):
            script = Script()
            script.do("c2", Create("/a", "x"), 5, at=(1, 2))
            read = script.do("c1", Get("/a", watch=True), 6, Shown(5, "x"), at=(10, 20))
            script.do("c2", write, 7, at=(begin, 100))
            script.fire(read)
            if write.path == "/a" and begin == 25:
                self.assert_true(script)
            else:
                sentence = "the watch of #1 (c1: get /a) has fired, and nothing had changed"
                self.assert_found(script, Rule.TRUE_WATCH, sentence, 1)

    def test_unknown_reason(self) -> None:
        """A write without a zxid may be the reason, or the end of a session."""
        for first, second in (
            (Create("/a", "x"), Set("/a", "y")),
            (Create("/a", "x"), Delete("/", recursive=True)),
            (Create("/a", "x", ephemeral=True), Set("/b", "y")),
        ):
            script = Script()
            script.do("c2", first, 5)
            read = script.do("c1", Get("/a", watch=True), 6, Shown(5, "x"))
            script.lose("c2", second)
            script.fire(read)
            self.assert_true(script)

    def test_reason_of_children(self) -> None:
        for write in (Create("/a/y"), Set("/a/x", "y")):
            script = Script()
            script.do("c2", Create("/a/x"), 5)
            read = script.do("c1", Children("/a", watch=True), 6, Names(frozenset({"x"})))
            script.do("c2", write, 7)
            script.fire(read)
            self.assertEqual(self.rules(script), [] if isinstance(write, Create) else [Rule.TRUE_WATCH])

    def test_twice(self) -> None:
        script = Script()
        read = script.do("c1", Get("/a", watch=True), 6, Shown(5, "x"))
        script.do("c2", Set("/a", "y"), 7)
        script.fire(read)
        script.fire(read)
        self.assert_found(script, Rule.TRUE_WATCH, "the watch of #0 has fired twice", 0)
