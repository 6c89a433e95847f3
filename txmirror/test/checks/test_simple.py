"""Checks that open nothing: noop, alias, function, and ttl."""

from __future__ import annotations

from functools import partial

from twisted.internet.defer import CancelledError, Deferred
from zope.interface.verify import verifyObject

from txmirror.checks import (
    AliasCheck,
    FunctionCheck,
    ICheck,
    NoopCheck,
    Result,
    ServiceCheck,
    ServiceHealth,
    State,
    Status,
    TTLCheck,
)
from txmirror.test.checks.case import SETTINGS, ChecksTestCase, ControlledCheck


def _same(value: object) -> object:
    return value


class SimpleTests(ChecksTestCase):
    def test_noop(self) -> None:
        self.assertTrue(verifyObject(ICheck, NoopCheck()))
        self.assertIs(self.successResultOf(NoopCheck().run()).status, Status.OK)

    def test_alias(self) -> None:
        """An alias has the state of another service."""
        check = AliasCheck("web", self.service.state_of)
        self.assertTrue(verifyObject(ICheck, check))
        self.assertEqual(self.successResultOf(check.run()), Result(Status.FAIL, "there is no service web"))
        other = ControlledCheck(self.reactor, Status.OK)
        self.started(other)
        self.assertEqual(self.successResultOf(check.run()), Result(Status.UNKNOWN, "service web is not decided yet"))
        for answer, state in ((Status.OK, "up"), (Status.WARN, "warn"), (Status.FAIL, "down")):
            other.answer = answer
            self.reactor.pass_time(20)
            self.assertEqual(self.successResultOf(check.run()), Result(answer, f"service web is {state}"))

    def test_alias_waits(self) -> None:
        """As long as the other service is not decided, the alias is not either."""
        other = ControlledCheck(self.reactor, Status.UNKNOWN)
        self.started(other)
        alias = ServiceHealth("alias", [ServiceCheck("a", AliasCheck("web", self.service.state_of), SETTINGS)])
        self.service.add(alias)
        self.reactor.pass_time(30)
        self.assertIs(alias.state, State.UNKNOWN)
        other.answer = Status.FAIL
        self.reactor.pass_time(30)
        self.assertIs(alias.state, State.DOWN)

    def test_function(self) -> None:
        """A function of the program returns a result, a bool or None, at once or later."""
        later: Deferred[object] = Deferred()
        for value, status in (
            (None, Status.OK),
            (True, Status.OK),
            (False, Status.FAIL),
            (Result(Status.WARN, "full"), Status.WARN),
        ):
            check = FunctionCheck(partial(_same, value))
            self.assertTrue(verifyObject(ICheck, check))
            self.assertIs(self.successResultOf(check.run()).status, status)
        waiting = FunctionCheck(lambda: later, "later").run()
        self.assertNoResult(waiting)
        later.callback(False)
        self.assertIs(self.successResultOf(waiting).status, Status.FAIL)

    def test_function_fails(self) -> None:
        """Other results, and exceptions, are errors; cancelling cancels the Deferred of the function."""
        self.failureResultOf(FunctionCheck(lambda: 1 / 0).run(), ZeroDivisionError)
        self.failureResultOf(FunctionCheck(lambda: "ok").run(), TypeError)
        never: Deferred[object] = Deferred()
        running = FunctionCheck(lambda: never).run()
        running.cancel()
        self.failureResultOf(running, CancelledError)


class TTLTests(ChecksTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.check = TTLCheck(30.0, clock=self.reactor)
        self.service.add(ServiceHealth("web", [ServiceCheck("ttl", self.check, SETTINGS)]))
        self.service.startService()

    def state(self, seconds: float = 0.0) -> State | None:
        """Return the state after some seconds."""
        self.reactor.pass_time(seconds)
        return self.service.state_of("web")

    def test_pushed(self) -> None:
        """Each push is a result; the state is unknown before the first ones."""
        self.assertTrue(verifyObject(ICheck, self.check))
        self.assertIs(self.state(10), State.UNKNOWN)
        self.check.push(Status.OK, "ready")
        self.assertIs(self.state(10), State.UNKNOWN)
        self.check.push(Status.OK, "ready")
        self.assertIs(self.state(), State.UP)
        self.assertEqual(self.service.services["web"].transitions[0].output, "ready")
        for _ in range(3):
            self.check.push(Status.FAIL, "out of memory")
            self.reactor.settle()
        self.assertIs(self.state(), State.DOWN)

    def test_expires(self) -> None:
        """Without a push in time it fails, again and again."""
        for _ in range(2):
            self.check.push(Status.OK)
            self.reactor.settle()
        self.assertIs(self.state(89), State.UP)
        self.assertIs(self.state(2), State.DOWN)
        self.assertEqual(
            self.service.services["web"].why(), "Check ttl failed 3 times in a row (nothing was pushed for 30 s)."
        )

    def test_never_pushed(self) -> None:
        """The time begins with the start."""
        self.assertIs(self.state(89), State.UNKNOWN)
        self.assertIs(self.state(2), State.DOWN)

    def test_refreshed(self) -> None:
        """Each push begins the time anew."""
        for _ in range(5):
            self.check.push(Status.OK)
            self.assertIsNot(self.state(29), State.DOWN)
        self.assertEqual(self.service.services["web"].checks[0].failed, 0)

    def test_age(self) -> None:
        """The time of a push from before a restart ends earlier."""
        self.check.push(Status.OK, age=25.0)
        self.reactor.pass_time(4)
        self.assertEqual(self.service.services["web"].checks[0].failed, 0)
        self.reactor.pass_time(2)
        self.assertEqual(self.service.services["web"].checks[0].failed, 1)

    def test_latest_counts(self) -> None:
        """Of several pushes before the next look, the latest counts, and the time ends after it."""
        self.successResultOf(self.service.stopService())
        self.reactor.pass_time(100)
        self.check.push(Status.OK, "first")
        self.check.push(Status.FAIL, "second")
        self.assertEqual(self.successResultOf(self.check.run()), Result(Status.FAIL, "second"))
        waiting = self.check.run()
        self.reactor.pass_time(29)
        self.assertNoResult(waiting)
        self.reactor.pass_time(1)
        self.assertIs(self.successResultOf(waiting).status, Status.FAIL)

    def test_invalid(self) -> None:
        self.assertRaises(ValueError, TTLCheck, 0, clock=self.reactor)
