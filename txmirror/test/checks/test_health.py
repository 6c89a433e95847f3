"""The state of a service: its checks combined, its history, and the sentence that explains it."""

from __future__ import annotations

from typing import Any

import attrs
from hypothesis import given
from hypothesis import strategies as st

from txmirror.checks import FlapHold, Result, ServiceCheck, ServiceHealth, State, Status, Transition
from txmirror.checks.flapping import FlapWatch
from txmirror.test.checks.case import SETTINGS, ChecksTestCase, ControlledCheck
from txmirror.testing.reactor import MemoryReactor

#: One result decides.
AT_ONCE = attrs.evolve(SETTINGS, rise=1, fall=1)


class CombiningTests(ChecksTestCase):
    def states(self, letters: str, require: str) -> tuple[State, bool]:
        """Return the state of a service whose checks have the states of these letters, and whether it is decided."""
        answers = {"o": Status.OK, "w": Status.WARN, "f": Status.FAIL, "u": Status.UNKNOWN}
        checks = [ControlledCheck(self.reactor, answers[letter]) for letter in letters]
        health = self.health(*checks, settings=AT_ONCE, require=require)
        self.service.add(health)
        self.service.startService()
        self.reactor.pass_time(6)
        self.successResultOf(self.service.remove("web"))
        return health.state, health.decided

    def test_all(self) -> None:
        """The worst check decides; one that is down is enough."""
        for letters, state in (("oo", "UP"), ("ow", "WARN"), ("of", "DOWN"), ("uf", "DOWN"), ("uo", "UNKNOWN")):
            self.assertEqual(self.states(letters, "all"), (State[state], state != "UNKNOWN"))

    def test_any(self) -> None:
        """The best check decides; one that is up is enough."""
        for letters, state in (("of", "UP"), ("wf", "WARN"), ("ff", "DOWN"), ("uo", "UP"), ("uf", "UNKNOWN")):
            self.assertEqual(self.states(letters, "any"), (State[state], state != "UNKNOWN"))

    def test_no_checks(self) -> None:
        """A service with no checks is up when it starts."""
        health = self.health()
        self.assertEqual((health.state, health.why()), (State.UNKNOWN, "The checks have not started."))
        self.service.add(health)
        self.service.startService()
        self.assertEqual((health.state, health.why()), (State.UP, "It has no checks."))

    def test_never_unknown_again(self) -> None:
        """Once decided, a service whose checks are not all decided is down: only checks that pass bring it up."""
        checks = [ControlledCheck(self.reactor, status) for status in (Status.FAIL, Status.UNKNOWN)]
        health = self.started(*checks, settings=AT_ONCE, resumed=True)
        self.assertEqual((health.decided, health.wanted), (False, True))
        self.reactor.pass_time(6)
        self.assertEqual((health.decided, health.wanted), (True, False))
        checks[0].answer = Status.OK
        self.reactor.pass_time(10)
        self.assertEqual((health.state, health.decided, health.wanted), (State.DOWN, True, False))
        checks[1].answer = Status.OK
        self.reactor.pass_time(10)
        self.assertEqual((health.state, health.wanted), (State.UP, True))

    def test_resumed(self) -> None:
        """A service from before a restart is wanted until its checks have decided, and a new one is not."""
        for resumed, answer in ((True, Status.OK), (True, Status.FAIL), (False, Status.OK)):
            check = ControlledCheck(self.reactor, answer)
            health = self.started(check, resumed=resumed)
            wanted = []
            for _ in range(10):
                wanted.append(health.wanted)
                self.reactor.pass_time(1)
            self.successResultOf(self.service.remove("web"))
            up = answer is Status.OK
            first_changes = {(True, True): [], (True, False): [7], (False, True): [6]}[resumed, up]
            self.assertEqual([at for at in range(1, 10) if wanted[at] is not wanted[at - 1]], first_changes)

    def test_invalid(self) -> None:
        check = ControlledCheck(self.reactor)
        self.assertRaises(ValueError, self.health, require="most")
        twice = [ServiceCheck("a", check), ServiceCheck("a", check)]
        error = self.assertRaises(ValueError, ServiceHealth, "web", twice)
        self.assertEqual(str(error), "two checks of service 'web' have the name 'a'")


class TransitionTests(ChecksTestCase):
    def test_transitions(self) -> None:
        """Each change of the state is kept, logged and notified, with its time, reason and output."""
        check = ControlledCheck(self.reactor, Status.OK)
        health = self.health(check)
        seen: list[Transition] = []
        health.watch("test", seen.append)
        self.service.add(health)
        self.service.startService()
        self.reactor.pass_time(10)
        check.answer = Status.FAIL
        self.reactor.pass_time(10)
        first = Transition(6.0, State.UNKNOWN, State.UP, "check a passes", "ok")
        second = Transition(18.0, State.UP, State.DOWN, "check a failed 3 times in a row (fail)", "fail")
        self.assertEqual(seen, [first, second])
        self.assertEqual(list(health.transitions), seen)
        self.assertEqual(health.since, 18.0)
        self.assertEqual(
            self.log,
            ["Service web is up: check a passes.", "Service web is down: check a failed 3 times in a row (fail)."],
        )

    def test_bounded(self) -> None:
        """The last 50 are kept."""
        check = ControlledCheck(self.reactor, Status.OK)
        health = self.started(check, settings=AT_ONCE, flap_hold=FlapHold(downs=0))
        for _ in range(60):
            check.answer = Status.OK if check.answer is Status.FAIL else Status.FAIL
            self.reactor.pass_time(10)
        self.assertEqual(len(health.transitions), 50)
        self.assertEqual(health.transitions[-1].time, health.since)

    def test_observer_raises(self) -> None:
        """An observer that raises is logged; the others are called, and the check goes on."""
        check = ControlledCheck(self.reactor, Status.OK)
        health = self.health(check)
        seen: list[Transition] = []

        def bad(_: Transition) -> None:
            raise ValueError("a bug")

        health.watch("bad", bad)
        health.watch("removed", bad)
        health.unwatch("removed")
        health.watch("good", seen.append)
        self.service.add(health)
        self.service.startService()
        self.reactor.pass_time(40)
        self.assertEqual(len(seen), 1)
        self.assertEqual(len(check.begun), 5)
        self.assertEqual(len(self.flushLoggedErrors(ValueError)), 1)

    def test_observer_removes(self) -> None:
        """An observer may remove the service."""
        check = ControlledCheck(self.reactor, Status.OK)
        health = self.started(check)
        health.watch("test", lambda _: self.service.remove("web"))
        self.reactor.pass_time(40)
        self.assertEqual(check.begun, [5, 6])
        self.assertFalse(health.probing)


class FlapTests(ChecksTestCase):
    hold = FlapHold(downs=3, window=300.0, hold=60.0)

    def test_held(self) -> None:
        """A service that went down three times is held down until its checks have passed for a minute."""
        check = ControlledCheck(self.reactor, Status.OK)
        health = self.started(check, settings=AT_ONCE, flap_hold=self.hold)
        self.reactor.pass_time(6)
        for _ in range(3):
            check.answer = Status.FAIL
            self.reactor.pass_time(10)
            self.assertIs(health.state, State.DOWN)
            check.answer = Status.OK
            self.reactor.pass_time(10)
        self.assertIs(health.state, State.DOWN)
        self.assertEqual(
            health.why(), "It went down too often: its checks pass, and it comes up in 59 s if they go on passing."
        )
        self.assertEqual(
            self.log[-1], "Service web goes down too often: it is held down until its checks have passed for 60 s."
        )
        self.reactor.pass_time(58)
        self.assertIs(health.state, State.DOWN)
        self.reactor.pass_time(2)
        self.assertIs(health.state, State.UP)
        self.assertIsNone(health.held_for)
        self.assertEqual(health.transitions[-1].reason, "check a passes, for 60 s")

    def test_fails_while_held(self) -> None:
        """A failure during the hold ends it; the next one begins when the checks pass again."""
        check = ControlledCheck(self.reactor, Status.OK)
        health = self.started(check, settings=AT_ONCE, flap_hold=self.hold)
        self.reactor.pass_time(6)
        for _ in range(4):
            check.answer = Status.FAIL
            self.reactor.pass_time(10)
            check.answer = Status.OK
            self.reactor.pass_time(10)
        self.assertEqual(health.held_for, 59.0)
        self.assertEqual([each.after for each in health.transitions].count(State.DOWN), 3)

    def test_seldom(self) -> None:
        """A service that goes down less often is not held."""
        check = ControlledCheck(self.reactor, Status.OK)
        health = self.started(check, settings=AT_ONCE, flap_hold=attrs.evolve(self.hold, window=39.0))
        self.reactor.pass_time(6)
        for _ in range(6):
            check.answer = Status.FAIL
            self.reactor.pass_time(10)
            check.answer = Status.OK
            self.reactor.pass_time(10)
            self.assertIs(health.state, State.UP)

    def test_stopped(self) -> None:
        """Nothing is left of a hold when the service is stopped."""
        check = ControlledCheck(self.reactor, Status.OK)
        health = self.started(check, settings=AT_ONCE, flap_hold=FlapHold(downs=1))
        self.reactor.pass_time(6)
        check.answer = Status.FAIL
        self.reactor.pass_time(10)
        check.answer = Status.OK
        self.reactor.pass_time(10)
        self.assertIsNotNone(health.held_for)

    @given(st.lists(st.tuples(st.sampled_from([State.UP, State.DOWN]), st.sampled_from([5, 20, 70])), max_size=30))
    def test_bounds(self, steps: list[tuple[State, int]]) -> None:
        """Down follows at once, a hold ends in time, and within a window it comes up a few times only."""
        reactor = MemoryReactor()
        combined, state = State.DOWN, State.UNKNOWN
        ups: list[float] = []

        def update() -> None:
            nonlocal state
            before, state = state, watch.filter(state, combined)
            if state is State.UP and before is State.DOWN:
                ups.append(reactor.seconds())

        watch = FlapWatch(self.hold, reactor, update)
        update()
        for combined, seconds in steps:
            update()
            if combined is State.DOWN:
                self.assertIs(state, State.DOWN)
            reactor.pass_time(seconds)
            if combined is State.UP and seconds > self.hold.hold:
                self.assertIs(state, State.UP)
        for early, late in zip(ups, ups[4:], strict=False):
            self.assertGreater(late - early, self.hold.hold)
        watch.stop()
        self.assertEqual(reactor.getDelayedCalls(), [])

    def test_invalid(self) -> None:
        wrong: list[dict[str, Any]] = [{"downs": -1}, {"window": 0}, {"hold": float("nan")}]
        for each in wrong:
            self.assertIn(next(iter(each)), str(self.assertRaises(ValueError, FlapHold, **each)))
        typed: dict[str, Any] = {"downs": "3"}
        self.assertRaises(TypeError, FlapHold, **typed)


class WhyTests(ChecksTestCase):
    def test_sentences(self) -> None:
        """The sentence names the check, its latest output, and the number of consecutive results."""
        first, second = ControlledCheck(self.reactor), ControlledCheck(self.reactor, Status.OK)
        health = self.started(first, second)
        self.assertEqual(health.why(), "Not decided yet: check a has no result yet; check b has no result yet.")
        self.reactor.pass_time(5.5)
        first.end(Status.FAIL, "connection refused\nsecond line")
        self.assertEqual(
            health.why(),
            "Not decided yet: check a has failed 1 of 3 times in a row (connection refused); "
            "check b has passed 1 of 2 times in a row.",
        )
        for status in (Status.OK, Status.OK):
            self.reactor.pass_time(1)
            first.end(status)
        self.assertEqual(health.why(), "All 2 checks pass.")
        self.reactor.pass_time(10)
        first.end(Status.FAIL, "timed out")
        self.assertEqual(health.why(), "All 2 checks pass; but check a has failed 1 of 3 times in a row (timed out).")
        for _ in range(2):
            self.reactor.pass_time(1)
            first.end(Status.FAIL, "timed out")
        self.assertEqual(health.why(), "Check a failed 3 times in a row (timed out).")
        self.reactor.pass_time(10)
        first.end(Status.OK)
        self.assertEqual(health.why(), "Check a was down; meanwhile check a has passed 1 of 2 times in a row.")

    def test_warning(self) -> None:
        check = ControlledCheck(self.reactor, Status.WARN)
        health = self.started(check)
        self.reactor.pass_time(6)
        self.assertEqual(health.why(), "Check a warns (warn).")

    def test_any(self) -> None:
        checks = [ControlledCheck(self.reactor, status) for status in (Status.OK, Status.FAIL, Status.OK)]
        health = self.started(*checks, require="any")
        self.reactor.pass_time(6)
        self.assertEqual(health.why(), "Check a and check c pass.")

    def test_no_evidence(self) -> None:
        check = ControlledCheck(self.reactor)
        health = self.started(check)
        self.reactor.pass_time(5)
        check.end(Status.UNKNOWN, "service db is not decided yet")
        self.assertEqual(health.why(), "Not decided yet: check a knows nothing yet (service db is not decided yet).")
        self.assertEqual(health.checks[0].last, Result(Status.UNKNOWN, "service db is not decided yet"))
