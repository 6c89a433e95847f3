"""The service: it starts and stops the checks of many services."""

from __future__ import annotations

from twisted.application.service import IService, MultiService
from zope.interface.verify import verifyObject

from txmirror.checks import ChecksService, FunctionCheck, ServiceCheck, ServiceHealth, State, Status
from txmirror.test.checks.case import SETTINGS, ChecksTestCase, ControlledCheck


class ChecksServiceTests(ChecksTestCase):
    def test_interface(self) -> None:
        """It is a service for another program's tree."""
        self.assertTrue(verifyObject(IService, self.service))
        parent = MultiService()
        self.service.setServiceParent(parent)
        check = ControlledCheck(self.reactor, Status.OK)
        self.service.add(self.health(check))
        parent.startService()
        self.reactor.pass_time(6)
        self.assertIs(self.service.state_of("web"), State.UP)
        self.assertIsNone(self.service.state_of("db"))
        self.successResultOf(parent.stopService())
        self.assertFalse(self.service.running)

    def test_nothing_before_the_start(self) -> None:
        check = ControlledCheck(self.reactor)
        self.service.add(self.health(check))
        self.assertEqual(self.reactor.getDelayedCalls(), [])
        self.successResultOf(self.service.stopService())

    def test_add_and_remove(self) -> None:
        """Services may come and go while it runs; the others do not notice."""
        first = ControlledCheck(self.reactor, Status.OK)
        self.started(first)
        self.reactor.pass_time(6)
        second = ControlledCheck(self.reactor)
        other = ServiceHealth("db", [ServiceCheck("a", second, SETTINGS)])
        self.service.add(other)
        self.assertRaises(ValueError, self.service.add, ServiceHealth("db", []))
        self.reactor.pass_time(6)
        self.assertEqual(len(second.running), 1)
        self.successResultOf(self.service.remove("db"))
        self.assertEqual((second.cancelled, list(self.service.services)), (1, ["web"]))
        self.assertRaises(KeyError, self.service.remove, "db")
        self.reactor.pass_time(30)
        self.assertEqual(first.begun, [5, 6, 16, 26, 36])
        self.assertEqual(len(second.begun), 1)

    def test_stop_cancels(self) -> None:
        """Stopping cancels the probes, at any step; none of their results counts."""
        checks = [ControlledCheck(self.reactor, kind="command") for _ in range(20)]
        healths = [
            ServiceHealth(str(number), [ServiceCheck("a", check, SETTINGS)]) for number, check in enumerate(checks)
        ]
        for health in healths:
            self.service.add(health)
        pushed = ControlledCheck(self.reactor, pushed=True)
        self.started(pushed)
        sleeping = ControlledCheck(self.reactor, Status.OK)
        self.service.add(ServiceHealth("sleeping", [ServiceCheck("a", sleeping, SETTINGS)]))
        self.reactor.pass_time(6)
        self.successResultOf(self.service.stopService())
        self.assertEqual([check.cancelled for check in checks], [1] * 16 + [0] * 4)
        self.assertEqual(pushed.cancelled, 1)
        self.assertEqual([health.checks[0].last for health in healths], [None] * 20)
        self.assertEqual(self.log, ["Service sleeping is up: check a passes."])

    def test_stop_waits(self) -> None:
        """Stopping waits until the probes have ended; a second call hurries."""
        check = ControlledCheck(self.reactor)
        check.stubborn = True
        self.started(check)
        self.reactor.pass_time(6)
        stopped = self.service.stopService()
        self.assertNoResult(stopped)
        self.assertEqual(check.cancelled, 1)
        again = self.service.stopService()
        self.assertEqual(check.cancelled, 2)
        self.reactor.pass_time(5)
        check.end(Status.OK)
        self.successResultOf(stopped)
        self.successResultOf(again)
        self.assertEqual(self.log, [])

    def test_stop_is_bounded(self) -> None:
        """A probe that does not end is left running, with a line in the log."""
        check = ControlledCheck(self.reactor)
        check.stubborn = True
        self.started(check)
        self.started_other()
        self.reactor.pass_time(6)
        stopped = self.service.stopService()
        self.reactor.pass_time(9.9)
        self.assertNoResult(stopped)
        self.reactor.pass_time(0.2)
        self.successResultOf(stopped)
        self.assertEqual(self.log[-1], "The checks of web did not end within 10 s; their probes are left running.")

    def started_other(self) -> None:
        self.service.add(
            ServiceHealth("other", [ServiceCheck("a", ControlledCheck(self.reactor, Status.OK), SETTINGS)])
        )

    def test_stop_within_a_result(self) -> None:
        """A check may stop the service."""
        stops = []

        def stop() -> bool:
            stops.append(self.service.stopService())
            return True

        self.service.add(ServiceHealth("web", [ServiceCheck("a", FunctionCheck(stop), SETTINGS)]))
        self.service.startService()
        self.reactor.pass_time(30)
        self.assertEqual(len(stops), 1)
        self.successResultOf(stops[0])

    def test_start_again(self) -> None:
        """It can be started again after it has stopped."""
        check = ControlledCheck(self.reactor, Status.OK)
        health = self.started(check)
        self.reactor.pass_time(6)
        self.successResultOf(self.service.stopService())
        self.reactor.pass_time(100)
        self.assertIs(health.state, State.UP)
        check.answer = Status.FAIL
        self.service.startService()
        self.reactor.pass_time(10)
        self.assertEqual(check.begun, [5, 6, 111, 112, 113])
        self.assertIs(health.state, State.DOWN)

    def test_invalid(self) -> None:
        self.assertRaises(ValueError, ChecksService, reactor=self.reactor, commands_at_once=0)
        self.assertRaises(ValueError, ChecksService, reactor=self.reactor, stop_timeout=-1)
        twice = [ServiceHealth("web", []), ServiceHealth("web", [])]
        self.assertRaises(ValueError, ChecksService, twice, reactor=self.reactor)
