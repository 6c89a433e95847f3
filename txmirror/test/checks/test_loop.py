"""The times of a check's probes, and probes that hang or raise."""

from __future__ import annotations

import attrs
from twisted.internet.defer import CancelledError, Deferred

from txmirror.checks import Result, ServiceCheck, ServiceHealth, State, Status
from txmirror.checks.slots import Slots
from txmirror.test.checks.case import SETTINGS, ChecksTestCase, ControlledCheck


class ScheduleTests(ChecksTestCase):
    def test_intervals(self) -> None:
        """The first probe begins in the first interval; probes are fast until the state is decided, and slow after that."""
        check = ControlledCheck(self.reactor, Status.OK)
        self.started(check)
        self.reactor.pass_time(40)
        self.assertEqual(check.begun, [5, 6, 16, 26, 36])

    def test_fast_while_changing(self) -> None:
        """A result that differs from the state makes the next probes fast."""
        check = ControlledCheck(self.reactor, Status.OK)
        self.started(check)
        self.reactor.pass_time(10)
        check.answer = Status.FAIL
        self.reactor.pass_time(20)
        self.assertEqual(check.begun, [5, 6, 16, 17, 18, 28])

    def test_interval_from_the_end(self) -> None:
        """The pause begins when the probe has ended."""
        check = ControlledCheck(self.reactor)
        self.started(check)
        for _ in range(3):
            while not check.running:
                self.reactor.pass_time(0.5)
            self.reactor.pass_time(1.5)
            check.end(Status.OK)
        self.assertEqual(check.begun, [5, 7.5, 19])

    def test_spread(self) -> None:
        """Checks begin at random times within the first interval, and the jitter spreads them further."""
        chances = iter([0.1, 0.9, 0.0, 1.0] + [0.5] * 20)
        self.service._context = attrs.evolve(self.service._context, random=lambda: next(chances))
        checks = [ControlledCheck(self.reactor, Status.OK) for _ in range(2)]
        self.started(*checks, settings=attrs.evolve(SETTINGS, jitter=0.25, rise=1))
        self.reactor.pass_time(23)
        self.assertEqual(checks[0].begun, [1, 8.5, 21])
        self.assertEqual(checks[1].begun, [9, 19])

    def test_pushed(self) -> None:
        """A check whose results come by themselves probes again at once, without a timeout."""
        check = ControlledCheck(self.reactor, pushed=True)
        health = self.started(check)
        for _ in range(2):
            self.reactor.pass_time(100)
            check.end(Status.OK)
            self.reactor.settle()
        self.assertEqual(check.begun, [0, 100, 200])
        self.assertIs(health.state, State.UP)
        check.fail(ValueError("a bug"))
        self.reactor.pass_time(100)
        self.assertEqual(check.begun, [0, 100, 200, 201])
        self.assertEqual(len(self.flushLoggedErrors(ValueError)), 1)

    def test_seconds(self) -> None:
        """A result has the duration of its probe, and the time of day."""
        check = ControlledCheck(self.reactor)
        health = self.started(check)
        self.reactor.pass_time(5.25)
        check.end(Status.OK, "fine")
        self.assertEqual(health.checks[0].last, Result(Status.OK, "fine", 0.25))
        self.assertEqual(health.checks[0].last_time, 5.25)


class FaultTests(ChecksTestCase):
    def test_timeout(self) -> None:
        """A probe that takes too long is cancelled and counts as failed."""
        check = ControlledCheck(self.reactor)
        health = self.started(check)
        self.reactor.pass_time(7)
        self.assertEqual(health.checks[0].last, Result(Status.FAIL, "no result within 2 s", 2.0))
        self.assertEqual(check.cancelled, 1)
        self.reactor.pass_time(6)
        self.assertEqual(check.begun, [5, 8, 11])
        self.assertIs(health.state, State.DOWN)

    def test_hangs(self) -> None:
        """A probe that ignores its cancellation is not repeated, and goes on counting as failed."""
        check = ControlledCheck(self.reactor)
        check.stubborn = True
        health = self.started(check)
        self.reactor.pass_time(32)
        self.assertEqual((check.begun, health.checks[0].failed), ([5], 2))
        self.reactor.pass_time(1)
        self.assertIs(health.state, State.DOWN)
        self.assertIn("; 28 s after its beginning the probe has not ended", health.why())
        check.end(Status.OK)
        self.assertIs(health.state, State.DOWN)
        check.stubborn = False
        check.answer = Status.OK
        self.reactor.pass_time(11)
        self.assertIs(health.state, State.UP)

    def test_ends_late(self) -> None:
        """A probe that takes some time to end counts once, and its result does not count."""
        check = ControlledCheck(self.reactor)
        check.stubborn = True
        health = self.started(check)
        self.reactor.pass_time(8)
        self.assertIsNone(health.checks[0].last)
        check.end(Status.OK)
        self.assertEqual(health.checks[0].last, Result(Status.FAIL, "no result within 2 s", 3.0))
        self.assertEqual(health.checks[0].failed, 1)

    def test_last_words(self) -> None:
        """The output of a probe that is cancelled because of its timeout is shown."""
        check = ControlledCheck(self.reactor)
        self.patch(check, "run", lambda: Deferred(lambda probe: probe.errback(CancelledError("connecting ...\n"))))
        health = self.started(check)
        self.reactor.pass_time(7)
        self.assertEqual(health.checks[0].last, Result(Status.FAIL, "no result within 2 s\nconnecting ...", 2.0))

    def test_stuck(self) -> None:
        """A loop that makes no progress is named, for a watchdog."""
        check = ControlledCheck(self.reactor)
        check.stubborn = True
        self.started(check)
        self.reactor.pass_time(16)
        self.assertEqual(self.service.stuck(), [])
        self.reactor.pass_time(2)
        self.assertEqual(self.service.stuck(), ["web/a"])
        check.end(Status.OK)
        self.assertEqual(self.service.stuck(), [])

    def test_not_dead(self) -> None:
        """A loop whose probe never ends is not dead: it goes on counting failures."""
        check = ControlledCheck(self.reactor)
        check.stubborn = True
        health = self.started(check)
        for _ in range(100):
            self.reactor.pass_time(1)
            self.assertEqual(self.service.dead(), [])
        self.assertGreater(health.checks[0].failed, 5)
        check.end(Status.OK)

    def test_lost_timer(self) -> None:
        """A loop is dead if the end of a pause, or the timeout of a probe, does not come in time."""
        for pause in (0, 5):
            check = ControlledCheck(self.reactor)
            health = self.started(check)
            self.reactor.pass_time(pause)
            (timer,) = self.reactor.getDelayedCalls()
            due = timer.getTime() - self.reactor.seconds()
            timer.delay(1000)
            self.reactor.pass_time(due + 10)
            self.assertEqual(self.service.dead(), [])
            self.reactor.pass_time(0.5)
            self.assertEqual(self.service.dead(), ["web/a"])
            self.service.remove(health.name)
            self.assertEqual(self.service.dead(), [])

    def test_ended_by_itself(self) -> None:
        """A loop that has ended by itself is dead."""
        check = ControlledCheck(self.reactor)
        self.patch(check, "run", self.end_of_the_world)
        self.started(check)
        self.reactor.pass_time(4)
        self.assertEqual(self.service.dead(), [])
        self.reactor.pass_time(1)
        self.assertEqual(len(self.flushLoggedErrors(GeneratorExit)), 1)
        self.assertEqual(self.service.dead(), ["web/a"])

    def end_of_the_world(self) -> Deferred[Result]:
        raise GeneratorExit

    def test_waits_for_slot(self) -> None:
        """A loop that waits for a slot is neither stuck nor dead, however long it takes."""
        self.service._others = Slots(1)
        checks = [ControlledCheck(self.reactor, pushed=False) for _ in range(2)]
        for each in checks:
            each.stubborn = True
        self.started(*checks)
        self.reactor.pass_time(60)
        self.assertEqual([len(each.begun) for each in checks], [1, 0])
        self.assertEqual(self.service.stuck(), ["web/a"])
        self.assertEqual(self.service.dead(), [])
        for each in checks:
            each.stubborn = False
        checks[0].end(Status.OK)

    def test_raises(self) -> None:
        """A probe that raises counts as failed; the first of several is logged, and again after a success."""
        check = ControlledCheck(self.reactor)
        health = self.started(check)
        for number, ok in enumerate((False, False, True, False)):
            while not check.running:
                self.reactor.pass_time(1)
            if ok:
                check.end(Status.OK)
            else:
                check.fail(ValueError(f"bug {number}"))
        self.assertEqual(self.log, ["A probe of check web/a raised an exception."] * 2)
        self.assertEqual(health.checks[0].last, Result(Status.FAIL, "the probe failed: bug 3"))
        self.assertEqual(len(self.flushLoggedErrors(ValueError)), 2)

    def test_raises_at_once(self) -> None:
        """A check that raises instead of returning a Deferred, or fires with something else than a result, counts as
        failed, too.
        """
        check = ControlledCheck(self.reactor)

        def run() -> Deferred[Result]:
            raise OSError("no file descriptors")

        self.patch(check, "run", run)
        health = self.started(check)
        self.reactor.pass_time(10)
        self.assertIs(health.state, State.DOWN)
        self.patch(check, "run", lambda: Deferred.fromCoroutine(_return_none()))
        self.reactor.pass_time(10)
        last = health.checks[0].last
        self.assertEqual(last and last.output, "the probe failed: the check returned None: not a Result")
        self.assertEqual(len(self.flushLoggedErrors(OSError)), 1)

    def test_cancelled_by_itself(self) -> None:
        """A check that fails with CancelledError counts as failed too."""
        check = ControlledCheck(self.reactor)
        health = self.started(check)
        self.reactor.pass_time(5)
        check.fail(CancelledError())
        self.assertEqual(health.checks[0].failed, 1)
        self.reactor.pass_time(1)
        self.assertEqual(check.begun, [5, 6])
        self.assertEqual(len(self.flushLoggedErrors(CancelledError)), 1)

    def test_loop_survives(self) -> None:
        """An exception in the loop itself is logged, and the loop goes on after an interval."""
        check = ControlledCheck(self.reactor, Status.OK)
        chances: list[float] = [0.5]

        def random() -> float:
            if not chances:
                chances.extend([0.5] * 9)
                raise ZeroDivisionError
            return chances.pop()

        self.service._context = attrs.evolve(self.service._context, random=random)
        self.started(check)
        self.reactor.pass_time(17)
        self.assertEqual(check.begun, [5, 15, 16 + 9][:2] + check.begun[2:])
        self.assertGreater(len(check.begun), 1)
        self.assertIn("The loop of check web/a failed. Restarting it in 10 s.", self.log)
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)


async def _return_none() -> Result:
    nothing: object = None
    return nothing  # type: ignore[return-value]


class SlotsTests(ChecksTestCase):
    def test_bound(self) -> None:
        """At most 16 commands run at a time; the others wait in order, and waiting does not count as time of a probe."""
        checks = [ControlledCheck(self.reactor, kind="command") for _ in range(40)]
        healths = [
            ServiceHealth(str(number), [ServiceCheck("a", check, SETTINGS)]) for number, check in enumerate(checks)
        ]
        for health in healths:
            self.service.add(health)
        self.service.startService()
        self.reactor.pass_time(6)
        self.assertEqual([len(check.begun) for check in checks], [1] * 16 + [0] * 24)
        checks[3].end(Status.OK)
        self.assertEqual([number for number, check in enumerate(checks) if check.begun], list(range(17)))
        self.reactor.pass_time(1)
        # All others ran into their timeout at the same time.
        self.assertEqual([len(check.begun) for check in checks], [1] * 32 + [0] * 8)
        self.assertEqual(healths[3].checks[0].last, Result(Status.OK, "ok", 1.0))
        self.reactor.pass_time(1)
        self.assertIsNone(healths[39].checks[0].last)

    def test_others_do_not_wait(self) -> None:
        """Commands that hang do not keep other checks waiting."""
        for number in range(20):
            check = ControlledCheck(self.reactor, kind="command")
            self.service.add(ServiceHealth(str(number), [ServiceCheck("a", check, SETTINGS)]))
        other = ControlledCheck(self.reactor, Status.OK)
        self.started(other)
        self.reactor.pass_time(6)
        self.assertEqual(other.begun, [5, 6])

    def test_cancelled_while_waiting(self) -> None:
        """A wait that is cancelled takes no slot."""
        slots = Slots(1)
        first, second, third = (slots.acquire() for _ in range(3))
        self.successResultOf(first)
        second.cancel()
        self.failureResultOf(second, CancelledError)
        slots.release()
        self.successResultOf(third)
        slots.release()
        self.successResultOf(slots.acquire())

    def test_many_at_once(self) -> None:
        """Any number of probes that wait may end at once: releases do not nest."""
        slots = Slots(1)
        self.successResultOf(slots.acquire())
        waiting = [slots.acquire() for _ in range(5000)]
        for each in waiting:
            each.addCallback(lambda _: slots.release())
        slots.release()
        for each in waiting:
            self.successResultOf(each)
