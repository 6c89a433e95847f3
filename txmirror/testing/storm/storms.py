"""One storm: a program in a world, with random actions and random faults, all from one seed."""

from __future__ import annotations

import gc
import re
from collections.abc import Callable, Collection, Coroutine, Sequence
from random import Random
from typing import Any, Protocol

import attrs
from twisted.internet.defer import Deferred
from twisted.logger import ILogObserver, LogEvent, LogLevel, formatEvent, globalLogPublisher
from twisted.python.failure import Failure
from zope.interface import implementer

from txmirror.testing.storm.entropy import Replacement, entropy_of
from txmirror.testing.storm.faults import FaultKind
from txmirror.testing.storm.journal import Journal
from txmirror.testing.storm.weather import Weather
from txmirror.testing.world import World

#: The time after the end of all faults until everything must be settled, in seconds.
SETTLING_TIME = 40.0
#: The longest time for the checks then, in seconds.
_CHECKING_TIME = 20.0
_ADDRESS = re.compile(r" at 0x[0-9a-f]+")
#: A world whose reactor runs more calls at one instant is taken for an endless loop.
_PATIENCE = 300_000
#: The servers' sessions, which log their ends.
_SESSIONS = "txmirror.embedded.sessions.Sessions"


class Program(Protocol):
    """A program under test in a storm.

    If it has a method ``close``, that is called in the end, before the world is closed. Like ``check_settled``, it returns None, or a
    Deferred or coroutine that ends within 20 seconds.
    """

    def act(self, random: Random) -> object:
        """Begin one action, chosen at random. It must not wait for its end."""

    def check(self) -> object:
        """Check all that must hold at any moment. It is called after every step.

        :raises AssertionError: it does not hold.
        """

    def check_settled(self) -> Deferred[Any] | Coroutine[Deferred[Any], Any, Any] | None:
        """Check all that must hold when no fault has happened for a while. It may be called several times.

        :returns: None, or a Deferred or coroutine that ends within 20 seconds.
        :raises AssertionError: it does not hold.
        """


@attrs.frozen
class Failed:
    """A violation that a storm has found."""

    step: int
    """The step after which it was found; the number of steps if it was found at the end."""
    reason: str


@attrs.frozen
class Result:
    """The result of one storm."""

    failed: Failed | None
    seed: int
    steps: int
    faults: int
    seconds: float
    """The time that has passed in the world."""
    journal: Journal = attrs.field(repr=False)


@attrs.frozen
class Plan:
    """The parts of a storm that its seed does not decide."""

    world: Callable[[], World]
    """Makes the world. It is called with the seed's entropy."""
    program: Callable[[World, Journal, Random], Program]
    """Makes the program."""
    kinds: Collection[FaultKind] = tuple(FaultKind)
    """The kinds of faults to choose from."""
    spared: Callable[[Any], Collection[int]] = lambda program: ()
    """Returns the sessions of a program that must not expire at a moment's notice."""
    replaced: Sequence[Replacement] = ()
    """Attributes of modules to replace during the storm, such as limits that it would not reach."""


@implementer(ILogObserver)
class _LogWatcher:
    """Adds the messages of the product to a journal, and keeps the exceptions that it has logged."""

    def __init__(self, journal: Journal) -> None:
        self.failures: list[str] = []
        self._journal = journal

    def __call__(self, event: LogEvent) -> None:
        failure: Failure | None = event.get("log_failure")
        if failure is not None:
            self.failures.append(f"{formatEvent(event)}\n{failure.getTraceback()}")
        elif event.get("log_level", LogLevel.debug) >= LogLevel.info:
            self._journal.note("log", _ADDRESS.sub("", formatEvent(event)))
        if event.get("log_namespace") == _SESSIONS and "reason" in event:
            self._journal.ended[event["session"]] = event["reason"]


class Storm:
    """One storm.

    :param plan: the world and the program.
    :param seed: decides everything else.
    :param write: called with each line of the log.
    """

    def __init__(self, plan: Plan, seed: int, write: Callable[[str], object] | None = None) -> None:
        self._plan = plan
        self._seed = seed
        self._write = write

    def run(self, steps: int) -> Result:
        """Take a number of steps, end all faults, and check that everything settles and that nothing is left."""
        with entropy_of(self._seed, self._plan.replaced):
            return self._run(steps)

    def _run(self, steps: int) -> Result:
        world = self._plan.world()
        world.reactor.patience = _PATIENCE
        journal = Journal(world.reactor, self._write)
        watcher = _LogWatcher(journal)
        globalLogPublisher.addObserver(watcher)
        try:
            result = _Course(self._plan, self._seed, world, journal, watcher.failures).run(steps)
            # A failure that nobody has handled is logged when its Deferred is gone.
            del world
            gc.collect()
            if result.failed is None and watcher.failures:
                result = attrs.evolve(result, failed=Failed(steps, _describe_logged(watcher.failures)))
            return result
        finally:
            globalLogPublisher.removeObserver(watcher)


class _Course:
    """The course of one storm."""

    def __init__(self, plan: Plan, seed: int, world: World, journal: Journal, failures: list[str]) -> None:
        self._seed = seed
        self._world = world
        self._journal = journal
        self._failures = failures
        self._random = Random(f"storm {seed}")
        self._program = plan.program(world, journal, Random(f"program {seed}"))
        kinds = list(plan.kinds)
        if self._random.random() < 0.5:
            # Some faults are only found while others do not happen.
            kinds = [kind for kind in kinds if self._random.random() < 0.5]
        self._weather = Weather(world, self._random, journal, kinds, lambda: plan.spared(self._program))
        self._roughness = self._random.choice((0.1, 0.25, 0.5))

    def run(self, steps: int) -> Result:
        failed: Failed | None = None
        try:
            for step in range(1, steps + 1):
                self._journal.step = step
                self._step()
            self._journal.step = steps
            self._calm_down()
            self._finish(getattr(self._program, "close", lambda: None)())
            self._world.close()
            self._check_log()
        except Exception as error:
            # An exception of any kind is a finding.
            known = isinstance(error, AssertionError) and str(error)
            reason = str(error) if known else _ADDRESS.sub("", Failure().getTraceback())
            failed = Failed(self._journal.step, reason)
            self._journal.note("storm", f"failed: {reason}")
        self._journal.note("storm", f"{steps} steps, {self._weather.count} faults")
        return Result(failed, self._seed, steps, self._weather.count, self._world.reactor.seconds(), self._journal)

    def _step(self) -> None:
        random = self._random
        if random.random() < self._roughness:
            self._weather.strike()
        elif random.random() < 0.01:
            self._calm_down()
        else:
            for _ in range(random.choice((1, 1, 2, 4, 8))):
                self._program.act(random)
        self._go_on()
        self._program.check()
        self._check_log()

    def _go_on(self) -> None:
        """Let some calls of the reactor happen, or time pass."""
        random, reactor = self._random, self._world.reactor
        choice = random.random()
        if choice < 0.4:
            reactor.take_turns(random.randrange(12))
        elif choice < 0.6:
            reactor.settle()
        else:
            reactor.pass_time(random.choice((0.01, 0.1, 0.1, 0.5, 0.5, 1.0, 3.0, 8.0)))

    def _calm_down(self) -> None:
        """End all faults, and check that everything settles in time."""
        self._weather.heal()
        self._world.pass_time(SETTLING_TIME)
        self._program.check()
        self._finish(self._program.check_settled())
        self._check_log()
        self._journal.note("storm", "all has settled")

    def _finish(self, begun: Deferred[Any] | Coroutine[Deferred[Any], Any, Any] | None) -> None:
        """Wait for the end of something that the program has begun."""
        if begun is not None:
            done = begun if isinstance(begun, Deferred) else Deferred.fromCoroutine(begun)
            self._world.settle()
            if not done.called:
                self._world.pass_time(_CHECKING_TIME)
            self._world.result(done)

    def _check_log(self) -> None:
        assert not self._failures, _describe_logged(self._failures)


def _describe_logged(failures: list[str]) -> str:
    return "an exception was logged: " + "\n".join(failures[:3])
