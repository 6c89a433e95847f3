"""One probe at a time: its time limit, and the exceptions that it may raise."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Final

import attrs
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure

from txmirror.checks.interfaces import ICheck
from txmirror.checks.judgement import CheckSettings
from txmirror.checks.results import Result, Status
from txmirror.timers import Timer

#: The seconds that a cancelled probe has to end.
_END_TIME: Final = 2.0


class Prober:
    """Runs the probes of one check.

    A probe that raises an exception, returns no result or exceeds its timeout counts as failed. It has more than 12 attributes: five
    are its parameters, and the others the times and states of a probe that may hang or end late.

    :param name: the names of service and check, for the log.
    :param check: the check.
    :param settings: its settings.
    :param report: called with each result.
    :param clock: measures the time.
    :ivar raised: whether the latest probe raised an exception.
    :ivar due: the time of the clock by which the probe should end; infinite without a probe or a timeout.
    :ivar result_due: the time of the clock by which there is a result: also while the probe does not end in spite of its
        cancellation. Infinite as above.
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
        self.raised: bool = False
        self.due: float = math.inf
        self.result_due: float = math.inf
        self._name = name
        self._check = check
        self._settings = settings
        self._report = report
        self._clock = clock
        self._timer = Timer(clock, self._time_out)
        self._running: Deferred[Result] | None = None
        self._began = 0.0
        # The number of times that the time was over: at the second time the probe has not ended in spite of its cancellation.
        self._late = 0
        self._stopped = False

    async def probe(self) -> None:
        """Probe once, and report the result. When the time is over, the probe is cancelled, and counts as failed.

        It returns when nothing of the probe is left.

        :raises CancelledError: :meth:`stop` was called.
        :raises Exception: ``report`` has raised it.
        """
        self._began = self._clock.seconds()
        self._late = 0
        if not self._check.pushed:
            self.due = self._began + self._settings.timeout
            self._start_timer(self._settings.timeout)
        try:
            self._running = self._check.run()
            if self._stopped:
                # The check itself has called stop().
                self._running.cancel()
            result = self._accept(await self._running)
        except Exception:
            if self._stopped:
                raise
            # A check may be a plugin's.
            result = self._failed(Failure())
        else:
            self.raised = False
        finally:
            self._timer.stop()
            self._running = None
            self.due = self.result_due = math.inf
        if self._late < 2:
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
        if self._late:
            return self._late_result("")
        if not isinstance(value, Result):
            raise TypeError(f"the check returned {value!r:.100}: not a Result")
        return value

    def _failed(self, failure: Failure) -> Result:
        """Return the result of a probe that raised an exception. The first of several is logged."""
        if self._late:
            error = failure.value
            output = error.args[0] if isinstance(error, CancelledError) and error.args else ""
            return self._late_result(f"\n{output}")
        if not self.raised:
            self._log.failure("A probe of check {name} raised an exception.", failure=failure, name=self._name)
        self.raised = True
        return Result(Status.FAIL, f"the probe failed: {failure.getErrorMessage()}")

    def _start_timer(self, seconds: float) -> None:
        self.result_due = self._clock.seconds() + seconds
        self._timer.start(seconds)

    def _time_out(self) -> None:
        """Cancel the probe. If it does not end, report that, and again whenever a further result would be due."""
        self._late += 1
        if self._late == 1:
            self._start_timer(_END_TIME)
            if self._running is not None:
                self._running.cancel()
            return
        self._start_timer(self._settings.interval + self._settings.timeout)
        passed = self._clock.seconds() - self._began
        self._report_with_time(self._late_result(f"; {passed:.0f} s after its beginning the probe has not ended"))

    def _late_result(self, more: str) -> Result:
        return Result(Status.FAIL, f"no result within {self._settings.timeout:g} s{more}")

    def _report_with_time(self, result: Result) -> None:
        self._report(attrs.evolve(result, seconds=self._clock.seconds() - self._began))
