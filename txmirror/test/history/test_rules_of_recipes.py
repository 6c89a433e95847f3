"""The rules of locks, queues, counters, shared values, barriers and groups."""

from __future__ import annotations

from typing import Any

from txmirror.test.history.histories import RulesCase, Script
from txmirror.testing.history import (
    Add,
    Block,
    Change,
    Changed,
    Count,
    Get,
    Join,
    Leave,
    Look,
    Members,
    Names,
    Number,
    Outcome,
    Pass,
    Put,
    Refusal,
    Refused,
    Rule,
    Shown,
    Take,
    Taken,
    Unblock,
    Value,
)


class LockTests(RulesCase):
    def test_exclusion(self) -> None:
        for second in (20, 19):
            script = Script()
            script.hold("c1", 10, 20)
            script.hold("c2", second, 30)
            if second == 20:
                self.assert_true(script)
            else:
                sentence = "/lock is held by hold 0 (c1), hold 1 (c2) at once"
                self.assert_found(script, Rule.EXCLUSION, sentence, 0, 1)

    def test_never_left(self) -> None:
        for path in ("/other", "/lock"):
            script = Script()
            script.hold("c1", 10, None)
            script.hold("c2", 20, 30, path=path)
            self.assertEqual(self.rules(script), [] if path == "/other" else [Rule.EXCLUSION])

    def test_capacity(self) -> None:
        for third in (20, 19):
            script = Script()
            script.hold("c1", 10, 40, capacity=2)
            script.hold("c2", 11, 20, capacity=2)
            script.hold("c3", third, 30, capacity=2)
            if third == 20:
                self.assert_true(script)
            else:
                sentence = "/lock is held by hold 0 (c1), hold 1 (c2), hold 2 (c3) at once"
                self.assert_found(script, Rule.EXCLUSION, sentence, 0, 1, 2)

    def test_shared(self) -> None:
        for shared in (True, False):
            script = Script()
            script.hold("c1", 10, 40, shared=True)
            script.hold("c2", 11, 20, shared=True)
            script.hold("c3", 15, 30, shared=shared)
            if shared:
                self.assert_true(script)
            else:
                sentence = "/lock is held by hold 0 (c1), hold 1 (c2), hold 2 (c3) at once"
                self.assert_found(script, Rule.EXCLUSION, sentence, 0, 1, 2)

    def test_tokens(self) -> None:
        for second in (8, 7, 6):
            script = Script()
            script.hold("c1", 10, 20, 7)
            script.hold("c2", 30, 40, second)
            if second == 8:
                self.assert_true(script)
            else:
                sentence = f"hold 1 (c2) of /lock has the token {second:#x}, after hold 0 (c1) had 0x7"
                self.assert_found(script, Rule.FENCING, sentence, 1, 0)

    def test_tokens_of_leases(self) -> None:
        """Several may hold leases at a time, so their tokens have no order."""
        script = Script()
        script.hold("c1", 10, 40, 8, capacity=2)
        script.hold("c2", 20, 40, 7, capacity=2)
        script.hold("c3", 50, 60, None)
        self.assert_true(script)

    def test_reset(self) -> None:
        """After a loss of data, tokens begin anew, and a holder from before may not know of it yet."""
        script = Script()
        script.hold("c1", 1, 2, 8)
        script.hold("c1", 4, 40, 9)
        script.reset()
        script.hold("c2", 20, 30, 1)
        script.hold("c3", 50, None, 2)
        self.assert_true(script)


class QueueTests(RulesCase):
    def test_taken_once(self) -> None:
        for second in ("b", "a"):
            script = Script()
            script.do("c1", Put("/q", "a"))
            script.do("c1", Put("/q", "b"))
            script.do("c2", Take("/q"), None, Taken("a"))
            script.do("c3", Take("/q"), None, Taken(second))
            if second == "b":
                self.assert_true(script)
            else:
                sentence = "#2 (c2: take /q) and #3 (c3: take /q) have both taken 'a'"
                self.assert_found(script, Rule.QUEUE, sentence, 2, 3)

    def test_taken_without_put(self) -> None:
        script = Script()
        script.do("c1", Put("/p", "a"))
        script.do("c2", Take("/q"), None, Taken("a"))
        self.assert_found(script, Rule.QUEUE, "#1 (c2: take /q) has taken 'a', which nobody has put", 1)

    def test_refused(self) -> None:
        for unknown in (True, False):
            script = Script()
            (script.lose if unknown else script.refuse)("c1", Put("/q", "a"))
            script.do("c2", Take("/q"), None, Taken("a"))
            if unknown:
                self.assert_true(script)
            else:
                sentence = "#1 (c2: take /q) has taken 'a', and #0 (c1: put /q) was reported as not applied"
                self.assert_found(script, Rule.QUEUE, sentence, 1, 0)

    def test_taken_before(self) -> None:
        for begin in (20, 21):
            script = Script()
            script.do("c2", Take("/q"), None, Taken("a"), at=(10, 20))
            script.do("c1", Put("/q", "a"), at=(begin, 30))
            if begin == 20:
                self.assert_true(script)
            else:
                sentence = "#0 (c2: take /q) has taken 'a' before #1 (c1: put /q) began"
                self.assert_found(script, Rule.QUEUE, sentence, 0, 1)

    def test_lost(self) -> None:
        """An item is lost if the queue is empty, and nobody can have taken it."""
        for taker in ("known", "unknown", "refused", "later", None):
            script = Script()
            script.do("c1", Put("/q", "a"))
            if taker == "known":
                script.do("c2", Take("/q"), None, Taken("a"))
            elif taker == "unknown":
                script.lose("c2", Take("/q"))
            elif taker == "refused":
                script.refuse("c2", Take("/q"))
            empty = script.do("c3", Take("/q"), None, Taken(None))
            if taker == "later":
                script.do("c2", Take("/q"), None, Taken("a"))
            if taker in {"known", "unknown"}:
                self.assert_true(script)
            else:
                sentence = f"#{empty} (c3: take /q) finds no item, and #0 (c1: put /q) put some that only 0 takes can have taken"
                self.assert_found(script, Rule.QUEUE, sentence, empty, 0)

    def test_put_meanwhile(self) -> None:
        """An item that is put while the queue is found to be empty is not lost, nor one of an unknown put."""
        script = Script()
        script.lose("c1", Put("/q", "b"))
        script.do("c1", Put("/q", "a"), at=(10, 20))
        script.do("c3", Take("/q"), None, Taken(None), at=(20, 30))
        self.assert_true(script)


class CounterTests(RulesCase):
    def test_sum(self) -> None:
        for value in (5, 4, 6):
            script = Script()
            script.do("c1", Add("/n", 2))
            script.do("c1", Add("/n", 3))
            script.refuse("c1", Add("/n", 7))
            script.do("c2", Count("/n"), None, Number(value))
            if value == 5:
                self.assert_true(script)
            else:
                self.assert_found(script, Rule.COUNTER, f"#3 (c2: count /n) shows {value}, not 5", 3)

    def test_unknown(self) -> None:
        for value, true in ((1, True), (4, True), (-4, True), (-5, False), (5, False)):
            script = Script()
            script.do("c1", Add("/n"))
            script.lose("c1", Add("/n", 3))
            script.lose("c1", Add("/n", -5))
            script.do("c2", Count("/n"), None, Number(value))
            if true:
                self.assert_true(script)
            else:
                self.assert_found(script, Rule.COUNTER, f"#3 (c2: count /n) shows {value}, not -4 to 4", 3)

    def test_at_once(self) -> None:
        """What overlaps a read may be in its value."""
        for value in (0, 1, 2):
            script = Script()
            script.do("c1", Add("/n"), at=(10, 20))
            script.do("c2", Count("/n"), None, Number(value), at=(20, 30))
            if value < 2:
                self.assert_true(script)
            else:
                self.assert_found(script, Rule.COUNTER, "#1 (c2: count /n) shows 2, not 0 to 1", 1)

    def test_own_addition(self) -> None:
        for amount, value in ((2, 2), (2, 0), (-2, -2), (-2, 0)):
            script = Script()
            script.do("c1", Add("/n", amount), None, Number(value))
            if value:
                self.assert_true(script)
            else:
                self.assert_found(script, Rule.COUNTER, f"#0 (c1: add /n) shows 0, not {amount}", 0)

    def test_same_result(self) -> None:
        """Of two additions at once, one sees the other: no update is lost."""
        for second in (2, 1):
            script = Script()
            script.do("c1", Add("/n"), None, Number(1), at=(10, 30))
            script.do("c2", Add("/n"), None, Number(second), at=(10, 30))
            if second == 2:
                self.assert_true(script)
            else:
                sentence = "#0 (c1: add /n) and #1 (c2: add /n) have both led to 1"
                self.assert_found(script, Rule.COUNTER, sentence, 0, 1)

    def test_reset(self) -> None:
        """Queues, counters, values, barriers and groups are not checked if data was lost."""
        script = Script()
        script.do("c1", Add("/n"), None, Number(7))
        script.do("c1", Take("/q"), None, Taken("a"))
        script.do("c1", Look("/v"), None, Value("a"))
        script.do("c1", Block("/b"))
        script.do("c1", Pass("/b"))
        script.do("c1", Members("/g"), None, Names(frozenset({"a"})))
        script.reset()
        self.assert_true(script)


class ValueTests(RulesCase):
    def changed(self, script: Script, value: str, former: str, **options: Any) -> int:
        return script.do("c1", Change("/v", value), None, Changed(former), **options)

    def test_chain(self) -> None:
        """Each change replaces the value of the one before it."""
        for second in ("a", ""):
            script = Script()
            self.changed(script, "a", "")
            self.changed(script, "b", second)
            script.do("c2", Look("/v"), None, Value("b"))
            if second == "a":
                self.assert_true(script)
            else:
                sentence = "#0 (c1: change /v) and #1 (c1: change /v) have both replaced ''"
                self.assert_found(script, Rule.VALUE, sentence, 0, 1)

    def test_compare_and_set(self) -> None:
        """An expected value is the one that was replaced."""
        for expected in ("", "a"):
            script = Script()
            self.changed(script, "a", "")
            script.do("c2", Change("/v", "b", expected))
            self.assertEqual(self.rules(script), [Rule.VALUE] if expected == "" else [])

    def test_nobody(self) -> None:
        script = Script()
        self.changed(script, "b", "a")
        self.assert_found(script, Rule.VALUE, "#0 (c1: change /v) has seen 'a', which nobody has written", 0)

    def test_refused_value(self) -> None:
        """A value of a change that was not done is not seen. That of an unknown one may be."""
        for unknown in (True, False):
            script = Script()
            (script.lose if unknown else script.refuse)("c1", Change("/v", "a"))
            script.do("c2", Look("/v"), None, Value("a"))
            self.changed(script, "b", "a")
            if unknown:
                self.assert_true(script)
            else:
                sentence = "#2 (c1: change /v) has seen 'a', and #0 (c1: change /v) was reported as not applied"
                self.assertEqual(self.found(script)[0].sentence, sentence)
                self.assertEqual(self.rules(script), [Rule.VALUE] * 2)

    def test_unknown_twice(self) -> None:
        """An unknown change that was seen has replaced the value that it depends on, and nobody else has."""
        for seen in (True, False):
            script = Script()
            script.do("c1", Change("/v", "a"), None, Changed(""), outcome=Outcome.UNKNOWN)
            if seen:
                script.do("c2", Look("/v"), None, Value("a"))
            self.changed(script, "b", "")
            self.assertEqual(self.rules(script), [Rule.VALUE] if seen else [])

    def test_unknown_former(self) -> None:
        """An unknown change may have its place anywhere that time allows."""
        script = Script()
        self.changed(script, "a", "")
        script.lose("c2", Change("/v", "b"))
        self.changed(script, "c", "b")
        script.do("c2", Look("/v"), None, Value("c"))
        self.assert_true(script)
        script.do("c2", Look("/v"), None, Value("b"))
        sentence = "#2 (c1: change /v) had ended before #4 (c2: look /v) began, and has a later value"
        self.assertIn(sentence, [str(each) for each in self.found(script)])

    def test_stale(self) -> None:
        """A read that began after a change has ended shows it."""
        for begin in (25, 26):
            script = Script()
            self.changed(script, "a", "", at=(10, 15))
            self.changed(script, "b", "a", at=(20, 25))
            script.do("c2", Look("/v"), None, Value("a"), at=(begin, 40))
            if begin == 25:
                self.assert_true(script)
            else:
                sentence = "#1 (c1: change /v) had ended before #2 (c2: look /v) began, and has a later value"
                self.assert_found(script, Rule.VALUE, sentence, 1, 2)

    def test_reads_go_back(self) -> None:
        """A read that follows another does not show an earlier value, even of a change that has not ended."""
        for second in (30, 31):
            script = Script()
            self.changed(script, "a", "", at=(10, 90))
            script.do("c2", Look("/v"), None, Value("a"), at=(20, 30))
            script.do("c3", Look("/v"), None, Value(""), at=(second, 40))
            self.assertEqual(self.rules(script), [] if second == 30 else [Rule.VALUE])

    def test_too_early(self) -> None:
        """Nobody sees a value before it is written, nor replaces it."""
        for begin in (20, 21):
            script = Script()
            script.do("c2", Look("/v"), None, Value("a"), at=(10, 20))
            self.changed(script, "a", "", at=(begin, 30))
            self.assertEqual(self.rules(script), [] if begin == 20 else [Rule.VALUE])

    def test_circle(self) -> None:
        script = Script()
        self.changed(script, "a", "b")
        self.changed(script, "b", "a")
        self.assert_found(script, Rule.VALUE, "#0 (c1: change /v) has replaced a value that depends on its own", 0)

    def test_refusal(self) -> None:
        """A change is refused only if it may have found another value than the expected one."""
        for expected, found in (("b", True), ("a", False), ("", False), (None, True)):
            script = Script()
            self.changed(script, "a", "")
            self.changed(script, "b", "a")
            script.refuse("c2", Change("/v", "x", expected), Refused(Refusal.OTHER_VALUE))
            self.assertEqual(self.rules(script), [Rule.VALUE] if found else [], expected)

    def test_refusal_in_doubt(self) -> None:
        """Whatever may have replaced the value, or may not have written it yet, is a reason."""
        for doubt in ("unknown", "meanwhile", "late", None):
            script = Script()
            self.changed(script, "a", "", at=(10, 20 if doubt != "late" else 40))
            if doubt == "unknown":
                script.lose("c3", Change("/v", "b"), at=(15, 16))
            if doubt == "meanwhile":
                self.changed(script, "b", "a", at=(35, 50))
            script.refuse("c2", Change("/v", "x", "a"), Refused(Refusal.OTHER_VALUE), at=(30, 40))
            if doubt:
                self.assert_true(script)
            else:
                sentence = "#1 (c2: change /v) was refused, and the value was 'a' all the time"
                self.assert_found(script, Rule.VALUE, sentence, 1, 0)


class BarrierTests(RulesCase):
    def test_passed(self) -> None:
        """Nobody passes from the end of a creation to the begin of a removal."""
        for removal in (41, 40):
            script = Script()
            script.do("c1", Block("/b"), at=(10, 20))
            script.do("c2", Pass("/b"), at=(30, 40))
            script.do("c1", Unblock("/b"), at=(removal, 50))
            if removal == 40:
                self.assert_true(script)
            else:
                sentence = "#1 (c2: pass /b) has passed, and nobody has removed the barrier since #0 (c1: block /b)"
                self.assert_found(script, Rule.BARRIER, sentence, 1, 0)

    def test_may_pass(self) -> None:
        """A call may pass that began before a creation has ended, or where an unknown removal may have been done."""
        script = Script()
        script.lose("c3", Unblock("/b"), at=(1, 2))
        script.do("c1", Block("/b"), at=(10, 30))
        script.do("c2", Pass("/b"), at=(30, 40))
        script.do("c2", Pass("/b"), at=(31, 41))
        script.do("c2", Pass("/other"), at=(31, 41))
        self.assert_true(script)

    def test_removed_before(self) -> None:
        """A removal that has ended before the creation began does not count, nor does one that was refused, nor another barrier's."""
        script = Script()
        script.do("c1", Unblock("/b"), at=(1, 9))
        script.do("c1", Block("/b"), at=(10, 20))
        script.refuse("c1", Unblock("/b"), at=(21, 22))
        script.do("c1", Unblock("/other"), at=(21, 22))
        script.do("c3", Block("/b"), at=(5, 25))
        script.do("c2", Pass("/b"), at=(30, 40))
        script.lose("c2", Pass("/b"), at=(30, 40))
        self.assertEqual(self.rules(script), [Rule.BARRIER])


class MemberTests(RulesCase):
    def listing(self, script: Script, *names: str, at: tuple[int, int]) -> int:
        return script.do("c2", Members("/g"), None, Names(frozenset(names)), at=at)

    def test_not_joined(self) -> None:
        for begin in (20, 21):
            script = Script()
            self.listing(script, "a", at=(10, 20))
            script.do("c1", Join("/g", "a"), at=(begin, 30))
            if begin == 20:
                self.assert_true(script)
            else:
                self.assert_found(script, Rule.MEMBERS, "#0 (c2: members /g) shows 'a', which has not joined", 0)

    def test_left(self) -> None:
        """A member that has left is not listed, unless it may have joined again."""
        for again in (None, 40, 41):
            for listing in (30, 31):
                script = Script()
                script.do("c1", Join("/g", "a"), at=(1, 10))
                script.do("c1", Leave("/g", "a"), at=(20, 30))
                self.listing(script, "a", at=(listing, 40))
                if again is not None:
                    script.lose("c1", Join("/g", "a"), at=(again, 50))
                if listing == 30 or again == 40:
                    self.assert_true(script)
                else:
                    sentence = "#2 (c2: members /g) shows 'a', which has left with #1 (c1: leave /g)"
                    self.assert_found(script, Rule.MEMBERS, sentence, 2, 1)

    def test_missing(self) -> None:
        """A member is listed from the end of its join to the begin of its leave, if its session surely lives."""
        for case in ("there", "overlap", "leaves", "unknown leave", "no sign", "sign before", "other session"):
            script = Script()
            script.do("c1", Join("/g", "a"), at=(1, 10))
            self.listing(script, at=(10 if case == "overlap" else 11, 20))
            if case == "leaves":
                script.do("c1", Leave("/g", "a"), at=(20, 30))
            if case == "unknown leave":
                script.lose("c1", Leave("/g", "a"), at=(5, 6))
            if case != "no sign":
                at = (20, 25) if case == "sign before" else (21, 25)
                script.do("c1", Get("/x"), None, Shown(1), at=at, session=2 if case == "other session" else 1)
            if case == "there":
                sentence = "#1 (c2: members /g) does not show 'a', which has joined with #0 (c1: join /g)"
                self.assert_found(script, Rule.MEMBERS, sentence, 1, 0)
            else:
                self.assert_true(script)
