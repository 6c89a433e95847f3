"""The health of a service: its checks combined, and the history of its state."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Hashable, Sequence
from typing import Any, Final, Literal

import attrs
from twisted.internet.defer import Deferred, DeferredList
from twisted.logger import Logger

from txmirror.checks.counts import ResultCounts
from txmirror.checks.flapping import FlapHold, FlapWatch
from txmirror.checks.interfaces import ICheck
from txmirror.checks.judgement import CheckSettings, Judgement, State
from txmirror.checks.loop import CheckLoop, LoopContext
from txmirror.checks.results import Result
from txmirror.checks.sentences import explain, reason_for
from txmirror.observers import Observers

#: The number of transitions that are kept.
_HISTORY: Final = 50


@attrs.frozen
class Transition:
    """A change of a service's state.

    :ivar time: in seconds since the Unix epoch.
    :ivar before: the state before it.
    :ivar after: the state after it.
    :ivar reason: the reason, as a clause: without a capital and a period.
    :ivar output: the output of the probe that caused it.
    """

    time: float
    before: State
    after: State
    reason: str
    output: str


@attrs.frozen
class ServiceCheck:
    """A check of a service.

    :ivar name: its name within the service.
    :ivar check: probes the service.
    :ivar settings: its schedule and thresholds.
    """

    name: str
    check: ICheck
    settings: CheckSettings = attrs.field(factory=CheckSettings)


class CheckHealth:
    """The health of one check of a service.

    :ivar name: the check's name within the service.
    :ivar check: the check.
    :ivar settings: its schedule and thresholds.
    :ivar last: the latest result, or None.
    :ivar last_time: the time of the latest result in seconds since the Unix epoch, or None.
    :ivar counts: the number of results, and the durations of the probes.
    """

    def __init__(self, item: ServiceCheck, service: str, changed: Callable[[CheckHealth], None]) -> None:
        self.name: str = item.name
        self.check: ICheck = item.check
        self.settings: CheckSettings = item.settings
        self.last: Result | None = None
        self.last_time: float | None = None
        self.counts: ResultCounts = ResultCounts()
        self._service = service
        self._changed = changed
        self._judgement = Judgement(item.settings)
        self._context: LoopContext | None = None
        self._loop: CheckLoop | None = None

    @property
    def state(self) -> State:
        """The state of the check."""
        return self._judgement.state

    @property
    def passed(self) -> int:
        """The number of consecutive results, up to the latest one, that are no failures."""
        return self._judgement.passed

    @property
    def failed(self) -> int:
        """The number of consecutive failures up to the latest result."""
        return self._judgement.failed

    @property
    def stuck(self) -> bool:
        """True if the check's loop makes no progress."""
        return self._loop is not None and self._loop.stuck

    @property
    def dead(self) -> bool:
        """True if the check's loop is dead. It is not, if only a probe does not end."""
        return self._loop is not None and self._loop.dead

    @property
    def probing(self) -> bool:
        """True from the start until the stop is complete."""
        return self._loop is not None and self._loop.running

    def start(self, context: LoopContext) -> None:
        """Start probing."""
        self._context = context
        self._loop = CheckLoop(f"{self._service}/{self.name}", self.check, self.settings, self._report, context)
        self._loop.start()

    def stop(self) -> Deferred[None]:
        """Stop probing. The state and the latest result stay. See :meth:`CheckLoop.stop`."""
        assert self._loop is not None
        return self._loop.stop()

    def _report(self, result: Result) -> bool:
        assert self._context is not None
        self.last, self.last_time = result, self._context.wall_time()
        self.counts.add(result, timed=not self.check.pushed)
        self._judgement.add(result)
        self._changed(self)
        return self._judgement.settled


class ServiceHealth:
    """The health of a service.

    A service with no checks is up as soon as it starts. Otherwise its state is unknown until its checks have decided. With
    ``require="all"`` one check that is down makes it down, and one that warns makes it warn; with ``"any"`` the best check decides.
    A service that goes down too often is held down for a while.

    :param name: the service's name.
    :param checks: its checks; their names differ.
    :param require: ``"all"`` or ``"any"``: the checks that must be up.
    :param flap_hold: the settings for holding the service down; the defaults if None.
    :param resumed: whether the service is registered already, from before a restart. Then it stays so until its checks decide.
    :raises ValueError: two checks have the same name, or ``require`` is invalid.

    :ivar name: the service's name.
    :ivar resumed: as the parameter.
    :ivar checks: the health of each check.
    :ivar state: the state.
    :ivar since: the time of the latest transition, or of the start, in seconds since the Unix epoch; None before the start.
    :ivar holds: the number of times that the service was held down.
    """

    _log = Logger()

    def __init__(
        self,
        name: str,
        checks: Sequence[ServiceCheck],
        *,
        require: Literal["all", "any"] = "all",
        flap_hold: FlapHold | None = None,
        resumed: bool = False,
    ) -> None:
        if require not in ("all", "any"):
            raise ValueError(f"require is {require!r}: neither 'all' nor 'any'")
        names = [item.name for item in checks]
        for each in names:
            if names.count(each) > 1:
                raise ValueError(f"two checks of service {name!r} have the name {each!r}")
        self.name = name
        self.resumed = resumed
        self.checks: tuple[CheckHealth, ...] = tuple(CheckHealth(item, name, self._update) for item in checks)
        self.state: State = State.UNKNOWN
        self.since: float | None = None
        self.holds: int = 0
        self._any = require == "any"
        self._flap_hold = FlapHold() if flap_hold is None else flap_hold
        self._context: LoopContext | None = None
        self._flaps: FlapWatch | None = None
        self._transitions: deque[Transition] = deque(maxlen=_HISTORY)
        self._observers: Observers[Transition] = Observers(self._observer_failed)

    @property
    def decided(self) -> bool:
        """True once the state is known."""
        return self.state is not State.UNKNOWN

    @property
    def wanted(self) -> bool:
        """True if the service should be registered: it is up, or it was registered and its checks have not decided yet."""
        return self.state in (State.UP, State.WARN) or (self.resumed and not self.decided)

    @property
    def transitions(self) -> Sequence[Transition]:
        """The last 50 transitions, the oldest first."""
        return tuple(self._transitions)

    @property
    def held_for(self) -> float | None:
        """The seconds for which the service will be held down if its checks go on passing, or None."""
        return None if self._flaps is None else self._flaps.remaining

    @property
    def stuck(self) -> Sequence[str]:
        """The names of the checks whose loops make no progress."""
        return tuple(check.name for check in self.checks if check.stuck)

    @property
    def probing(self) -> bool:
        """True if a check has started, and not stopped completely."""
        return any(check.probing for check in self.checks)

    def why(self) -> str:
        """Return a sentence that explains the state."""
        if self.held_for is not None:
            return f"It went down too often: its checks pass, and it comes up in {self.held_for:.0f} s if they go on passing."
        return explain(self.state, self.checks, require_any=self._any)

    def combined(self) -> State:
        """Return the state by the checks alone: the service may be held down in spite of it."""
        states = {check.state for check in self.checks}
        if not states:
            return State.UP if self._context is not None else State.UNKNOWN
        order = _BEST_FIRST if self._any else _WORST_FIRST
        return next(state for state in order if state in states)

    def watch(self, key: Hashable, function: Callable[[Transition], object]) -> None:
        """Call ``function`` with each transition, in place of the former one with this key. One that raises is logged."""
        self._observers.add(key, function)

    def unwatch(self, key: Hashable) -> None:
        """Remove the function with this key; silent if there is none."""
        self._observers.remove(key)

    def start(self, context: LoopContext) -> None:
        """Start the checks."""
        self._context = context
        self._flaps = FlapWatch(self._flap_hold, context.clock, self._update)
        self.since = context.wall_time()
        for check in self.checks:
            check.start(context)
        self._update()

    def stop(self) -> Deferred[None]:
        """Stop the checks. The state stays as it is. Calling it again hurries.

        :returns: fires when nothing of the probes is left. It never fails. Cancelling ends only the wait.
        """
        if self._flaps is not None:
            self._flaps.stop()
        stops = [] if self._context is None else [check.stop() for check in self.checks]
        stopped: Deferred[Any] = DeferredList(stops, consumeErrors=True)
        return stopped.addCallback(lambda _: None)

    def _update(self, check: CheckHealth | None = None) -> None:
        """Decide again.

        :param check: the check that has a new result; None at the start, and at the end of a hold.
        """
        if self._context is None or self._flaps is None:
            return
        combined = self.combined()
        if combined is State.UNKNOWN and self.decided:
            # Once decided, only checks that pass make it up.
            combined = State.DOWN
        was_held = self.held_for is not None
        state = self._flaps.filter(self.state, combined)
        if state is not self.state:
            self._change(state, check)
        elif self.held_for is not None and not was_held:
            self.holds += 1
            self._log.warn(
                "Service {service} goes down too often: it is held down until its checks have passed for {hold:g} s.",
                service=self.name,
                hold=self._flap_hold.hold,
            )

    def _change(self, state: State, check: CheckHealth | None) -> None:
        assert self._context is not None
        before, self.state = self.state, state
        self.since = self._context.wall_time()
        reason = reason_for(state, self.checks, require_any=self._any)
        if check is None and self.checks:
            reason = f"{reason}, for {self._flap_hold.hold:g} s"
        output = check.last.output if check is not None and check.last is not None else ""
        transition = Transition(self.since, before, state, reason, output)
        self._transitions.append(transition)
        if self.checks:
            # That a service without checks is up is no news.
            self._log.info(
                "Service {service} is {state}: {reason}.",
                service=self.name,
                state=state.value,
                reason=reason,
                transition=transition,
            )
        self._observers.notify(transition)

    def _observer_failed(self, key: Hashable, transition: Transition) -> None:
        self._log.failure(
            "The observer {key!r} of service {service} raised an exception.",
            key=key,
            service=self.name,
            transition=transition,
        )


_WORST_FIRST: Final = (State.DOWN, State.UNKNOWN, State.WARN, State.UP)
_BEST_FIRST: Final = (State.UP, State.WARN, State.UNKNOWN, State.DOWN)
