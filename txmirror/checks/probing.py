"""One probe at a time: its time limit, and the exceptions that it may raise."""

from __future__ import annotations

import math
from collections.abc import Callable

import attrs
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure

from txmirror.checks.interfaces import ICheck
from txmirror.checks.judgement import CheckSettings
from txmirror.checks.results import Result, Status
from txmirror.timers import Timer


class Prober:
    """Runs the probes of one check.

    A probe that raises an exception, returns no result or exceeds its timeout counts as failed.

    :param name: the names of service and check, for the log.
    :param check: the check.
    :param settings: its settings.
    :param report: called with each result.
    :param clock: measures the time.
    :ivar raised: whether the latest probe raised an exception.
    :ivar due: the time of the clock by which the probe should end; infinite without a probe or a timeout.
    """

    _log = Logger()

    def __init__(
        self,
        name: str,
        check: ICheck,
        settings: CheckSettings,
        report: Callable[[Result], object],
        clock: IReactorTime,
    ) -> None:
        self.raised = False
        self.due = math.inf
        self._name = name
        self._check = check
        self._settings = settings
        self._report = report
        self._clock = clock
        self._timer = Timer(clock, self._time_out)
        self._running: Deferred[Result] | None = None
        self._began = 0.0
        self._late = False
        self._stopped = False

    async def probe(self) -> None:
        """Probe once, and report the result: when it is there, or when the time is over.

        It returns when nothing of the probe is left. It raises ``CancelledError`` after :meth:`stop`, and whatever
        ``report`` raises.
        """
        self._began = self._clock.seconds()
        self._late = False
        if not self._check.pushed:
            self.due = self._began + self._settings.timeout
            self._timer.start(self._settings.timeout)
        try:
            self._running = self._check.run()
            if self._stopped:
                # The check itself has called stop().
                self._running.cancel()
            result = self._accept(await self._running)
        except Exception:
            if self._stopped:
                raise
            result = self._failed(Failure())
        else:
            self.raised = False
        finally:
            self._timer.stop()
            self._running = None
            self.due = math.inf
        if not self._late:
            self._report_with_time(result)

    def stop(self) -> None:
        """Cancel the probe, and report nothing any more. Calling it again hurries the probe."""
        self._stopped = True
        self._timer.stop()
        if self._running is not None:
            self._running.cancel()

    def _accept(self, value: object) -> Result:
        """Return the result of a check.

        :raises CancelledError: the probe was stopped; the check has returned something all the same.
        :raises TypeError: it is no result.
        """
        if self._stopped:
            raise CancelledError
        if not isinstance(value, Result):
            raise TypeError(f"the check returned {value!r:.100}: not a Result")
        return value

    def _failed(self, failure: Failure) -> Result:
        """Return the result of a probe that raised an exception. The first of several is logged."""
        if not self._late:
            if not self.raised:
                self._log.failure("A probe of check {name} raised an exception.", failure=failure, name=self._name)
            self.raised = True
        return Result(Status.FAIL, f"the probe failed: {failure.getErrorMessage()}")

    def _time_out(self) -> None:
        """Report a failure when the time is over, and again whenever a further result would be due, until the probe has ended."""
        text = f"no result within {self._settings.timeout:g} s"
        first = not self._late
        if not first:
            text += f"; {self._clock.seconds() - self._began:.0f} s after its beginning the probe has not ended"
        self._late = True
        self._timer.start(self._settings.interval + self._settings.timeout)
        try:
            self._report_with_time(Result(Status.FAIL, text))
        finally:
            if first and self._running is not None:
                self._running.cancel()

    def _report_with_time(self, result: Result) -> None:
        self._report(attrs.evolve(result, seconds=self._clock.seconds() - self._began))
