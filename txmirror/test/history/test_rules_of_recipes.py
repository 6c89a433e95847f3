"""The rules of locks, queues and counters."""

from __future__ import annotations

from txmirror.test.history.histories import RulesCase, Script
from txmirror.testing.history import Add, Count, Number, Put, Rule, Take, Taken


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
        """Queues and counters are not checked if data was lost."""
        script = Script()
        script.do("c1", Add("/n"), None, Number(7))
        script.do("c1", Take("/q"), None, Taken("a"))
        script.reset()
        self.assert_true(script)
