"""The counts of a check's results, and the histogram of its probes' durations."""

from __future__ import annotations

import math

import attrs
from twisted.trial.unittest import SynchronousTestCase

from txmirror.checks import Durations, FlapHold, ServiceHealth, Status
from txmirror.test.checks.case import SETTINGS, ChecksTestCase, ControlledCheck

AT_ONCE = attrs.evolve(SETTINGS, rise=1, fall=1)


class DurationsTests(SynchronousTestCase):
    def test_cumulative(self) -> None:
        """Each bound counts the durations up to it and including it; the last one counts all."""
        durations = Durations((0.5, 1.0))
        self.assertEqual(durations.cumulative, ((0.5, 0), (1.0, 0), (math.inf, 0)))
        for seconds in (0.0, 0.5, 0.75, 1.0, 1.25, 64.0):
            durations.add(seconds)
        self.assertEqual(durations.cumulative, ((0.5, 2), (1.0, 4), (math.inf, 6)))
        self.assertEqual(durations.total, 67.5)


class ResultCountsTests(ChecksTestCase):
    def run_checks(self, *checks: ControlledCheck, flap_hold: FlapHold | None = None) -> ServiceHealth:
        health = self.health(*checks, settings=AT_ONCE, flap_hold=flap_hold)
        self.service.add(health)
        self.service.startService()
        return health

    def test_results(self) -> None:
        """Each result counts once, by its status, with the duration of its probe."""
        check = ControlledCheck(self.reactor)
        health = self.run_checks(check)
        for status in (Status.OK, Status.FAIL, Status.FAIL, Status.WARN, Status.UNKNOWN):
            while not check.running:
                self.reactor.pass_time(0.5)
            began = check.begun[-1]
            self.reactor.pass_time(began + 1.5 - self.reactor.seconds())
            check.end(status)
        counts = health.checks[0].counts
        self.assertEqual(counts.by_status, {Status.OK: 1, Status.WARN: 1, Status.FAIL: 2, Status.UNKNOWN: 1})
        by_bound = dict(counts.durations.cumulative)
        self.assertEqual((by_bound[1.0], by_bound[2.5], by_bound[math.inf]), (0, 5, 5))
        self.assertAlmostEqual(counts.durations.total, 7.5)

    def test_pushed(self) -> None:
        """The time until a push is no duration of a probe."""
        check = ControlledCheck(self.reactor, pushed=True)
        health = self.run_checks(check)
        self.reactor.pass_time(3)
        check.end(Status.OK)
        counts = health.checks[0].counts
        self.assertEqual((counts.by_status[Status.OK], counts.durations.total), (1, 0.0))
        self.assertEqual(counts.durations.cumulative[-1], (math.inf, 0))

    def test_holds(self) -> None:
        """Each hold of a service that goes down too often counts once."""
        check = ControlledCheck(self.reactor, pushed=True)
        health = self.run_checks(check, flap_hold=FlapHold(downs=2, window=60.0, hold=10.0))
        for status, holds in (
            (Status.OK, 0),
            (Status.FAIL, 0),
            (Status.OK, 0),
            (Status.FAIL, 0),
            (Status.OK, 1),
            (Status.OK, 1),
        ):
            self.reactor.settle()
            check.end(status)
            self.assertEqual(health.holds, holds)
        self.reactor.pass_time(11)
        self.assertEqual((health.holds, health.held_for), (1, None))
