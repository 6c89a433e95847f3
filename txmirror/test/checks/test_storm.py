"""Services come and go, and probes end, fail, hang and raise, in any order: the promises hold at every step."""

from __future__ import annotations

from collections.abc import Callable

from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from txmirror.checks import (
    CheckSettings,
    ChecksService,
    FlapHold,
    ServiceCheck,
    ServiceHealth,
    State,
    Status,
    Transition,
)
from txmirror.test.checks.case import ControlledCheck
from txmirror.testing.reactor import MemoryReactor

_SETTINGS = CheckSettings(interval=4.0, timeout=2.0, jitter=0.5, rise=2, fall=2)
_HOLD = FlapHold(downs=2, window=60.0, hold=20.0)


class Storm:
    """Three services with commands and other checks, of which at most two commands and three others may run at a time."""

    def __init__(self) -> None:
        self.reactor = MemoryReactor()
        self.service = ChecksService(
            reactor=self.reactor,
            clock=self.reactor,
            random=lambda: (self.reactor.seconds() * 0.37) % 1,
            commands_at_once=2,
            probes_at_once=3,
            stop_timeout=5.0,
        )
        self.checks: dict[str, list[ControlledCheck]] = {}
        self.stopping: list[Deferred[None]] = []
        self.states: dict[str, State] = {}
        for name in ("a", "b", "c"):
            self.add(name)
        self.service.startService()

    def add(self, name: str) -> None:
        """Add a service, if there is none with this name."""
        if name in self.service.services:
            return
        kinds = ("command", "command", "other", "other")
        checks = [ControlledCheck(self.reactor, kind=kind) for kind in kinds]
        checks.append(ControlledCheck(self.reactor, pushed=True))
        self.checks.setdefault(name, []).extend(checks)
        items = [ServiceCheck(str(number), check, _SETTINGS) for number, check in enumerate(checks)]
        health = ServiceHealth(name, items, require="any" if name == "b" else "all", flap_hold=_HOLD)
        self.states[name] = health.state
        health.watch("storm", lambda transition: self.changed(name, health, transition))
        self.service.add(health)

    def changed(self, name: str, health: ServiceHealth, transition: Transition) -> None:
        """Transitions follow each other, and nothing becomes unknown again."""
        assert transition.before is self.states[name]
        assert transition.after is health.state
        assert transition.after not in (State.UNKNOWN, transition.before)
        assert transition.reason
        self.states[name] = transition.after

    def remove(self, name: str) -> None:
        """Remove a service, if it is there."""
        if name in self.service.services:
            self.stopping.append(self.service.remove(name))

    def running(self) -> list[ControlledCheck]:
        """Return the checks with a probe."""
        return [check for checks in self.checks.values() for check in checks if check.running]

    def end(self, number: int, how: str) -> None:
        """End one of the probes."""
        running = self.running()
        if not running:
            return
        check = running[number % len(running)]
        if how == "raise":
            check.fail(ValueError("a bug"))
        elif how == "hang":
            check.stubborn = True
            check.end(Status.OK)
        else:
            check.stubborn = False
            check.end(Status(how))

    def answer(self, name: str, status: Status | None) -> None:
        """Let the checks of a service answer at once from now on; None lets their probes wait."""
        for check in self.checks[name]:
            check.answer = None if check.pushed else status

    def look(self) -> None:
        """Look at the promises."""
        for kind, most in (("command", 2), ("other", 3)):
            assert len([check for check in self.running() if check.kind == kind]) <= most
        for health in self.service.services.values():
            assert health.why().endswith("."), health.why()
            assert health.decided is (health.state is not State.UNKNOWN)

    def finish(self) -> None:
        """Stop; nothing is left once the probes that ignore their cancellation have ended."""
        stopped = self.service.stopService()
        self.reactor.pass_time(6)
        assert stopped.called
        assert all(each.called for each in self.stopping)
        for check in self.running():
            check.end(Status.OK)
        self.reactor.settle()
        assert self.reactor.getDelayedCalls() == []
        assert not self.running()
        assert not any(health.probing for health in self.service.services.values())


_NAMES = st.sampled_from(["a", "b", "c"])
_STEPS = st.one_of(
    st.builds(lambda seconds: lambda storm: storm.reactor.pass_time(seconds), st.sampled_from([0.1, 0.7, 2.0, 5.0])),
    st.builds(
        lambda number, how: lambda storm: storm.end(number, how),
        st.integers(0, 20),
        st.sampled_from(["ok", "ok", "ok", "fail", "fail", "warn", "unknown", "raise", "hang"]),
    ),
    st.builds(
        lambda name, status: lambda storm: storm.answer(name, status),
        _NAMES,
        st.sampled_from([Status.OK, Status.OK, Status.WARN, Status.FAIL, None]),
    ),
    st.builds(lambda name: lambda storm: storm.add(name), _NAMES),
    st.builds(lambda name: lambda storm: storm.remove(name), _NAMES),
)


class StormTests(SynchronousTestCase):
    @given(st.lists(_STEPS, max_size=80))
    def test_storm(self, steps: list[Callable[[Storm], None]]) -> None:
        """At every step: bounded probes, none of which overlap; consistent transitions; and nothing is left in the end."""
        storm = Storm()
        for each in steps:
            each(storm)
            storm.look()
        storm.finish()
        self.flushLoggedErrors(ValueError)
