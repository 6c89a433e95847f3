"""What the checker must accept, and what it must not accept in its place: the causes that nobody has seen."""

from __future__ import annotations

from txmirror.test.history.histories import RulesCase, Script
from txmirror.testing.history import (
    Absent,
    Add,
    Check,
    Children,
    Count,
    Create,
    Created,
    Delete,
    Exists,
    Get,
    Names,
    Number,
    Outcome,
    Refusal,
    Refused,
    Rule,
    Set,
    Shown,
    Transaction,
)


class SeenTests(RulesCase):
    def test_write_that_another_has_seen(self) -> None:
        """The zxid of a write without one is that which a read shows, also for those that come after the write."""
        script = Script()
        script.do("c1", Create("/a", "x"))
        script.do("c2", Create("/b", "y"), 6)
        script.do("c3", Get("/a"), None, Shown(7, "x"))
        sentence = "#1 (c2: create /b 'y') was done at 0x6, after #0 (c1: create /a 'x') had seen 0x7"
        self.assert_found(script, Rule.ONE_ORDER, sentence, 1, 0)

    def test_state_that_was_seen(self) -> None:
        """A read without a zxid has seen the mzxid that it shows."""
        script = Script()
        script.do("c1", Get("/a"), None, Shown(7, ""))
        script.do("c2", Create("/b", "y"), 6)
        sentence = "#1 (c2: create /b 'y') was done at 0x6, after #0 (c1: get /a) had seen 0x7"
        self.assert_found(script, Rule.ONE_ORDER, sentence, 1, 0)

    def test_set_meanwhile(self) -> None:
        """A write of data is no reason for the absence of a node."""
        script = Script()
        script.do("c1", Create("/a", "x"), 5)
        script.do("c1", Get("/a"), None, Absent(), at=(20, 90))
        script.do("c2", Set("/a", "y"), 6)
        self.assertEqual(self.rules(script), [Rule.TRUE_READ])

    def test_first_read(self) -> None:
        """The state that the first read shows may be older than the history."""
        script = Script()
        script.do("c1", Get("/a"), 5, Shown(5, "older", 5))
        self.assert_true(script)

    def test_deleted_as_of(self) -> None:
        script = Script()
        script.do("c1", Create("/a", "x"), 5)
        script.do("c1", Delete("/a"), 6)
        script.do("c2", Exists("/a"), 6, Shown(6))
        sentence = "#2 (c2: exists /a) shows None as of 0x6, where #1 (c1: delete /a) has deleted it"
        self.assert_found(script, Rule.TRUE_READ, sentence, 2, 1)

    def test_wrong_creation(self) -> None:
        for czxid, true in ((5, True), (6, False), (4, False)):
            script = Script()
            script.do("c1", Create("/b", "w"), 3)
            script.do("c1", Create("/a", "x"), 5)
            script.do("c1", Set("/a", "y"), 6)
            script.do("c2", Get("/a"), 7, Shown(6, "y", czxid))
            if true:
                self.assert_true(script)
            else:
                cause = ", by #2 (c1: set /a 'y')" if czxid == 6 else ", which nobody has done"
                sentence = f"#3 (c2: get /a) shows that /a was created at {czxid:#x}{cause}"
                self.assertIn(sentence, [str(each) for each in self.found(script)])

    def test_creation_without_zxid(self) -> None:
        """A czxid may be that of a creation of which nobody knows the zxid."""
        script = Script()
        script.do("c1", Create("/b", "w"), 3)
        script.lose("c1", Create("/a", "x"))
        script.do("c1", Set("/a", "y"), 6)
        script.do("c2", Get("/a"), 7, Shown(6, "y", 4))
        self.assert_true(script)

    def test_older_data_after_reset(self) -> None:
        """After a loss of data a node may be as it was in a snapshot, also if another server lags behind that."""
        script = Script()
        script.do("c1", Create("/a", "x"), 5)
        script.reset()
        script.do("c1", Get("/b"), 3, Absent())
        script.do("c2", Get("/a"), 9, Shown(7, "x", 6))
        self.assert_true(script)

    def test_older_creation(self) -> None:
        script = Script()
        script.do("c1", Set("/a", "y"), 6)
        script.do("c2", Get("/a"), 7, Shown(6, "y", 4))
        self.assert_true(script)

    def test_transaction_seen_by_another_path(self) -> None:
        """A lost transaction is known by the data of one path, and so explains the state of another, whose data nobody has read."""
        script = Script()
        script.do("c1", Create("/a", "x"), 4, Shown(4, "x", 4, 0))
        script.do("c1", Create("/b", "y"), 5)
        script.lose("c1", Transaction((Set("/a", "v"), Set("/b", "w"))))
        script.do("c2", Exists("/a"), 9, Shown(7, None, 4, 1))
        script.do("c2", Get("/b"), 9, Shown(7, "w", 5, 1))
        self.assert_true(script)

    def test_older_writes(self) -> None:
        """Between the creation of a node and the first write of the history there may be any number of older writes."""
        for reset in (False, True):
            script = Script()
            if reset:
                script.do("c1", Create("/a", "x"), 4)
                script.reset()
            script.do("c1", Set("/a", "y"), 7, Shown(7, None, 4, 18))
            script.do("c1", Set("/a", "z"), 8, Shown(8, None, 4, 19))
            self.assert_true(script)
            script.do("c1", Set("/a", "z"), 9, Shown(9, None, 4, 21))
            self.assertEqual(self.rules(script), [Rule.TRUE_WRITE])

    def test_older_writes_after_reset(self) -> None:
        """A server may lag behind the snapshot, and so show an older state than that which the next write finds."""
        for call, zxid, answer in (
            (Get("/a"), 9, Absent()),
            (Create("/a", "z"), 9, None),
            (Set("/a", "z"), 9, Shown(9, None, 2, 3)),
            (Transaction((Check("/a", 3), Set("/b", "z"))), 9, None),
            (Children("/"), 9, Names(frozenset())),
        ):
            for reset in (False, True):
                script = Script()
                script.do("c1", Create("/b", "x"), 1)
                if reset:
                    script.reset()
                script.do("c1", Get("/a"), 3, Shown(2, "", 2, 0, 0))
                script.do("c2", call, zxid, answer)
                self.assertEqual(bool(self.rules(script)), not reset, f"{call}")

    def test_sequential(self) -> None:
        script = Script()
        script.do("c1", Create("/b", "w"), 3)
        script.lose("c1", Create("/q/n-", "x", sequential=True))
        script.do("c2", Get("/q/n-0000000004"), 9, Shown(7, "x"))
        self.assert_true(script)

    def test_checked_afterwards(self) -> None:
        """A check is no write."""
        script = Script()
        script.do("c1", Create("/a", "x"), 5)
        script.do("c1", Transaction((Set("/a", "y"), Check("/a", 1))), 7)
        script.do("c2", Get("/a"), 7, Shown(7, "y"))
        self.assert_true(script)

    def test_older_owner(self) -> None:
        """Only an ephemeral node, or one of which the owner is not known, goes by itself."""
        for owner, true in ((0, False), (7, True), (None, True)):
            script = Script()
            script.do("c1", Get("/a"), 5, Shown(5, "older", 5, 0, owner))
            script.do("c1", Get("/a"), 6, Absent())
            self.assertEqual(self.rules(script), [] if true else [Rule.TRUE_READ])

    def test_owner_of_a_creation(self) -> None:
        for owner, true in ((0, False), (7, True)):
            script = Script()
            script.do("c1", Set("/a", "y"), 6)
            script.do("c2", Get("/a"), 6, Shown(6, "y", 4, 1, owner))
            script.do("c2", Get("/a"), 7, Absent())
            self.assertEqual(self.rules(script), [] if true else [Rule.TRUE_READ])

    def test_perhaps_ephemeral(self) -> None:
        script = Script()
        script.do("c1", Delete("/a"), 3)
        script.lose("c1", Create("/a", "x", ephemeral=True))
        script.do("c2", Set("/a", "y"), 6)
        script.do("c2", Get("/a"), 7, Absent())
        self.assert_true(script)

    def test_late_effect(self) -> None:
        """A request of which the outcome is unknown may be done after the client has given up waiting."""
        script = Script()
        script.lose("c1", Delete("/a"), at=(3, 9))
        script.do("c2", Create("/a", "x"), 5, at=(20, 25))
        script.do("c2", Get("/a"), 7, Absent(), at=(40, 45))
        self.assert_true(script)

    def test_same_moment(self) -> None:
        """Of two operations, one of which ends at the moment in which the other begins, none is first."""
        for end, true in ((5, True), (4, False)):
            script = Script()
            script.do("c1", Delete("/a"), at=(3, end))
            script.do("c2", Create("/a", "x"), 5, at=(5, 8))
            script.do("c2", Get("/a"), 7, Absent(), at=(40, 45))
            self.assertEqual(self.rules(script), [] if true else [Rule.TRUE_READ])


class ResetTests(RulesCase):
    def test_deletion(self) -> None:
        """A deletion from before a loss of data explains something after it, if it may have been done then."""
        for unknown, at, true in ((True, (1, 2), True), (False, (1, 100), True), (False, (1, 2), False)):
            script = Script()
            script.do("c1", Delete("/a"), at=at, outcome=Outcome.UNKNOWN if unknown else Outcome.APPLIED)
            script.reset()
            script.do("c2", Create("/a", "x"), 5, at=(200, 205))
            script.do("c2", Get("/a"), 7, Absent(), at=(210, 215))
            self.assertEqual(self.rules(script), [] if true else [Rule.TRUE_READ])

    def test_refused(self) -> None:
        script = Script()
        script.refuse("c1", Delete("/a"), at=(1, 300))
        script.reset()
        script.do("c2", Create("/a", "x"), 5, at=(200, 205))
        script.do("c2", Get("/a"), 7, Absent(), at=(210, 215))
        self.assertEqual(self.rules(script), [Rule.TRUE_READ])


class ListTests(RulesCase):
    def test_older_parent(self) -> None:
        """A node that is older than the history may have any children."""
        script = Script()
        script.do("c1", Set("/a", "x"), 5)
        script.do("c2", Children("/a"), 6, Names(frozenset("z")))
        self.assert_true(script)

    def test_created_again(self) -> None:
        script = Script()
        script.do("c1", Create("/a/x"), 5)
        script.do("c1", Delete("/a/x"), 6)
        script.do("c1", Create("/a/x"), 7)
        script.do("c2", Children("/a"), 8, Names(frozenset("x")))
        self.assert_true(script)

    def test_created_by_nobody_knows(self) -> None:
        script = Script()
        script.do("c1", Create("/a"), 5)
        script.lose("c1", Create("/a/x"))
        script.do("c2", Children("/a"), 8, Names(frozenset("x")))
        self.assert_true(script)


class VersionTests(RulesCase):
    def anew(self) -> Script:
        """Return a history of a node that may have been created anew."""
        script = Script()
        script.do("c1", Create("/a", "x"), 5)
        script.do("c1", Set("/a", "y", 0), 6)
        script.lose("c1", Delete("/a"))
        script.lose("c1", Create("/a", "z"))
        return script

    def test_required(self) -> None:
        script = self.anew()
        script.do("c2", Set("/a", "w", 0), 9)
        self.assert_true(script)

    def test_shown(self) -> None:
        script = self.anew()
        script.do("c2", Set("/a", "w"), 9, Shown(9, None, None, 1))
        self.assert_true(script)

    def test_of_a_new_node(self) -> None:
        """A new node has the version 0, whatever else may have been done."""
        for version in (0, 1):
            script = Script()
            script.do("c1", Create("/a", "x"), 5)
            script.lose("c1", Set("/a", "y"))
            script.do("c2", Get("/a"), 5, Shown(5, "x", 5, version))
            self.assertEqual(self.rules(script), [Rule.TRUE_WRITE] if version else [])

    def test_refusal_without_node(self) -> None:
        """An ephemeral node may have gone with its session, and another one by a deletion without a result."""
        for ephemeral, lost, true in ((True, False, True), (False, True, True), (False, False, False)):
            script = Script()
            script.do("c1", Create("/a", "x", ephemeral), 5)
            if lost:
                script.lose("c1", Delete("/a"))
            script.refuse("c2", Set("/a", "y"), Refused(Refusal.NO_NODE))
            self.assertEqual(self.rules(script), [] if true else [Rule.TRUE_REFUSAL])

    def test_checked_and_written(self) -> None:
        """A check is of the state before the transaction."""
        script = Script()
        script.do("c1", Create("/a", "x"), 5)
        script.do("c1", Transaction((Check("/a", 0), Set("/a", "y"))), 7)
        script.do("c2", Get("/a"), 7, Shown(7, "y", 5, 1))
        self.assert_true(script)

    def test_checked_after_a_loose_write(self) -> None:
        script = Script()
        script.do("c1", Create("/a", "x"), 5)
        script.lose("c1", Set("/a", "y"))
        script.do("c1", Transaction((Check("/a", 1), Set("/b", "y"))), 7)
        self.assert_true(script)


class WatchTests(RulesCase):
    def test_later_session(self) -> None:
        script = Script()
        script.do("c1", Get("/a", watch=True), 6, Shown(5, "x"), session=2)
        script.do("c2", Set("/a", "y"), 7)
        script.do("c1", Get("/b"), 7, Absent(), session=2)
        self.assertEqual(self.rules(script), [Rule.WATCH_FIRST])

    def test_created_and_gone(self) -> None:
        """A node that may be gone again when the client returns fires no watch."""
        for ephemeral, lost, true in ((True, False, True), (False, True, True), (False, False, False)):
            script = Script()
            script.do("c1", Exists("/a", watch=True), 4, Absent())
            script.do("c2", Create("/a", "x", ephemeral), 5)
            if lost:
                script.lose("c2", Delete("/a"))
            script.do("c1", Get("/b"), 6, Absent())
            self.assertEqual(self.rules(script), [] if true else [Rule.WATCH_FIRST])


class RecipeTests(RulesCase):
    def test_shared_tokens(self) -> None:
        script = Script()
        script.hold("c1", 10, 40, 8, shared=True)
        script.hold("c2", 20, 40, 7, shared=True)
        self.assert_true(script)

    def test_numbers_of_a_new_parent(self) -> None:
        script = Script()
        script.do("c1", Create("/q/n-", sequential=True), 5, Created("/q/n-0000000000"))
        script.lose("c1", Delete("/q", recursive=True))
        script.do("c1", Create("/q/n-", sequential=True), 9, Created("/q/n-0000000000"))
        self.assertNotIn(Rule.SEQUENCE, self.rules(script))

    def test_refused_creation(self) -> None:
        """A creation that was refused has taken no number."""
        script = Script()
        call = Create("/q/n-", sequential=True)
        script.do("c1", call, 5, Created("/q/n-0000000000"))
        script.refuse("c1", call)
        script.do("c1", call, 9, Created("/q/n-0000000002"))
        self.assertEqual(self.rules(script), [Rule.SEQUENCE])

    def test_same_values(self) -> None:
        """Two reads may show the same value, and so may two additions of which one takes back another."""
        script = Script()
        script.do("c1", Add("/n"), None, Number(1))
        script.do("c1", Count("/n"), None, Number(1))
        script.do("c1", Count("/n"), None, Number(1))
        script.do("c1", Add("/n", -1), None, Number(0))
        script.do("c1", Add("/n"), None, Number(1))
        self.assert_true(script)

    def test_subtraction(self) -> None:
        for value in (-2, 0):
            script = Script()
            script.do("c1", Add("/n", -2))
            script.do("c1", Count("/n"), None, Number(value))
            self.assertEqual(self.rules(script), [Rule.COUNTER] if value == 0 else [])
