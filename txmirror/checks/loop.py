"""The loop of one check: it probes, pauses, and probes again, until it is stopped."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Final

import attrs
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import deferLater
from twisted.logger import Logger
from twisted.python.failure import Failure

from txmirror.checks.interfaces import ICheck
from txmirror.checks.judgement import CheckSettings
from txmirror.checks.probing import Prober
from txmirror.checks.results import Result
from txmirror.checks.slots import Slots
from txmirror.deferreds import Waiters

#: A loop is stuck if it is late by more seconds than this.
_SLACK: Final = 10.0


@attrs.frozen(kw_only=True)
class LoopContext:
    """The environment that loops share.

    :ivar clock: measures pauses, timeouts and durations.
    :ivar slots: returns the slots for the probes of a check.
    :ivar random: returns random numbers from 0 to 1.
    :ivar wall_time: returns the time of day in seconds since the Unix epoch.
    """

    clock: IReactorTime
    slots: Callable[[ICheck], Slots]
    random: Callable[[], float]
    wall_time: Callable[[], float]


class CheckLoop:
    """The loop of one check.

    Two probes never overlap. An exception of the loop itself is logged, and the loop goes on after an interval.

    :param name: the names of service and check, for the log.
    :param check: the check.
    :param settings: its settings.
    :param report: called with each result. It returns False while the state is about to change.
    :param context: the environment.
    """

    _log = Logger()

    def __init__(
        self, name: str, check: ICheck, settings: CheckSettings, report: Callable[[Result], bool], context: LoopContext
    ) -> None:
        self._name = name
        self._check = check
        self._settings = settings
        self._report = report
        self._context = context
        self._prober = Prober(name, check, settings, self._reported, context.clock)
        self._settled = False
        self._due = math.inf
        self._task: Deferred[None] | None = None
        self._awaited: Deferred[None] | None = None
        self._stopping = False
        self._ended: Waiters[None] = Waiters()

    @property
    def running(self) -> bool:
        """True from the start until the stop is complete."""
        return self._task is not None

    @property
    def stuck(self) -> bool:
        """True if the loop makes no progress: the probe that is due has not begun, or not ended."""
        due = min(self._due, self._prober.due)
        return self._task is not None and self._context.clock.seconds() > due + _SLACK

    @property
    def dead(self) -> bool:
        """True if the loop has ended by itself, or does nothing although something is due: a bug.

        A loop whose probe does not end in spite of its cancellation is only stuck: the probe counts as failed again and again.
        """
        if self._stopping or self._task is None:
            return not self._stopping
        return self._context.clock.seconds() > min(self._due, self._prober.result_due) + _SLACK

    def start(self) -> None:
        """Start the loop, once. The first probe begins after a random part of the interval, so that many checks are spread."""
        self._task = task = Deferred.fromCoroutine(self._supervise())
        task.addBoth(self._end)

    def stop(self) -> Deferred[None]:
        """Stop the loop and end its probe. Calling it again hurries the probe.

        :returns: fires when nothing of the probe is left. Cancelling ends only the wait.
        """
        ended = self._ended.wait()
        if self._task is None:
            self._ended.fire(None)
        else:
            self._stopping = True
            self._prober.stop()
            if self._awaited is not None:
                self._awaited.cancel()
        return ended

    def _end(self, result: object) -> None:
        self._task = None
        if isinstance(result, Failure) and not result.check(CancelledError):
            self._log.failure(
                "The loop of check {name} has ended with an exception: the check does not run any more.",
                failure=result,
                name=self._name,
            )
        self._ended.fire(None)

    async def _supervise(self) -> None:
        pause = 0.0 if self._check.pushed else self._settings.interval * self._context.random()
        while True:
            await self._sleep(pause)
            try:
                await self._probe_forever()
            except Exception:
                if self._stopping:
                    raise
                # The program's function that gets the results may raise any exception.
                pause = self._settings.interval
                self._log.failure(
                    "The loop of check {name} failed. Restarting it in {pause:g} s.", name=self._name, pause=pause
                )

    async def _probe_forever(self) -> None:
        while True:
            if self._check.pushed:
                self._due = math.inf
                await self._prober.probe()
            else:
                await self._probe_in_slot()
            at_once = self._check.pushed and not self._prober.raised
            await self._sleep(0.0 if at_once else self._settings.pause(self._settled, self._context.random()))

    async def _probe_in_slot(self) -> None:
        slots = self._context.slots(self._check)
        # A wait for a slot may take long. The loops that hold the slots are watched themselves.
        self._due = math.inf
        await self._wait(slots.acquire())
        try:
            await self._prober.probe()
        finally:
            slots.release()

    async def _sleep(self, seconds: float) -> None:
        self._due = self._context.clock.seconds() + seconds
        await self._wait(deferLater(self._context.clock, seconds))

    async def _wait(self, deferred: Deferred[None]) -> None:
        """Wait for a Deferred, which :meth:`stop` cancels. A probe or a callback for its result may have called that already."""
        self._awaited = deferred
        if self._stopping:
            deferred.cancel()
        try:
            await deferred
        finally:
            self._awaited = None

    def _reported(self, result: Result) -> None:
        self._settled = self._report(result)
