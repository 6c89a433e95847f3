"""A check under the control of a test, and a test case on a reactor in memory that leaves nothing behind."""

from __future__ import annotations

from collections.abc import Callable

from twisted.internet.defer import CancelledError, Deferred
from twisted.logger import ILogObserver, LogEvent, LogLevel, formatEvent, globalLogPublisher
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer

from txmirror.checks import CheckSettings, ChecksService, ICheck, Result, ServiceCheck, ServiceHealth, Status
from txmirror.deferreds import Waiters
from txmirror.testing.reactor import MemoryReactor

#: Settings without jitter: a probe each 10 seconds, or each second while the state is about to change.
SETTINGS = CheckSettings(interval=10.0, timeout=2.0, fast_interval=1.0, jitter=0.0, rise=2, fall=3)


@implementer(ICheck)
class ControlledCheck:
    """A check whose probes the test ends, or that answers at once with ``answer``.

    :ivar begun: the time at which each probe began.
    :ivar cancelled: the number of times that a probe was cancelled.
    :ivar stubborn: whether a cancelled probe goes on.
    """

    description = "controlled"

    def __init__(
        self, clock: MemoryReactor, answer: Status | None = None, *, kind: str = "controlled", pushed: bool = False
    ) -> None:
        self.kind = kind
        self.pushed = pushed
        self.answer = answer
        self.begun: list[float] = []
        self.cancelled = 0
        self.stubborn = False
        self.running: list[Deferred[Result]] = []
        self._clock = clock

    def run(self) -> Deferred[Result]:
        assert not self.running, "probes overlap"
        self.begun.append(self._clock.seconds())
        probe: Deferred[Result] = Deferred(self._cancel)
        self.running.append(probe)
        if self.answer is not None:
            self.end(self.answer)
            return probe
        return Deferred.fromCoroutine(self._insist(probe)) if self.stubborn else probe

    def end(self, status: Status, output: str = "") -> None:
        """End the probe with a result."""
        self.running.pop().callback(Result(status, output or status.value))

    def fail(self, error: Exception) -> None:
        """End the probe with an exception."""
        self.running.pop().errback(error)

    async def _insist(self, probe: Deferred[Result]) -> Result:
        """Wait for the end of a probe, even if the wait is cancelled."""
        ended: Waiters[Result] = Waiters()
        probe.addCallbacks(ended.fire, lambda failure: ended.fail(lambda: failure.value))
        while True:
            try:
                return await ended.wait()
            except CancelledError:
                self.cancelled += 1

    def _cancel(self, probe: Deferred[Result]) -> None:
        self.cancelled += 1
        self.running.remove(probe)


@implementer(ILogObserver)
class RecordedLog:
    """Keeps the texts of this package's log, from level info on."""

    def __init__(self) -> None:
        self.texts: list[str] = []

    def __call__(self, event: LogEvent) -> None:
        if event["log_namespace"].startswith("txmirror.checks") and event["log_level"] >= LogLevel.info:
            self.texts.append(formatEvent(event))


def step(reactor: MemoryReactor, steps: int) -> None:
    """Run a number of the calls that are due, or fewer if there are fewer."""
    for _ in range(steps):
        if not reactor.calls or reactor.calls[0].getTime() > reactor.seconds():
            return
        call = reactor.calls.pop(0)
        call.called = 1
        call.func(*call.args, **call.kw)


class ChecksTestCase(SynchronousTestCase):
    """Runs services on a reactor in memory.

    :ivar chance: the number that the service takes for a random one.
    """

    chance = 0.5

    def setUp(self) -> None:
        self.reactor = MemoryReactor()
        self.service = ChecksService(reactor=self.reactor, clock=self.reactor, random=lambda: self.chance)
        recorded = RecordedLog()
        self.log = recorded.texts
        globalLogPublisher.addObserver(recorded)
        self.addCleanup(globalLogPublisher.removeObserver, recorded)
        self.addCleanup(self._end)

    def health(self, *checks: ControlledCheck, settings: CheckSettings = SETTINGS, **options: object) -> ServiceHealth:
        """Return a service with checks a, b and so on; it is not added."""
        items = [ServiceCheck(name, check, settings) for name, check in zip("abcdef", checks, strict=False)]
        make: Callable[..., ServiceHealth] = ServiceHealth
        return make("web", items, **options)

    def started(self, *checks: ControlledCheck, settings: CheckSettings = SETTINGS, **options: object) -> ServiceHealth:
        """Return a service whose checks have started."""
        health = self.health(*checks, settings=settings, **options)
        self.service.add(health)
        if not self.service.running:
            self.service.startService()
        return health

    def _end(self) -> None:
        if self.service.running:
            self.successResultOf(self.service.stopService())
        self.reactor.settle()
        self.assertEqual(self.reactor.getDelayedCalls(), [])
        self.assertEqual(self.reactor.links, [])
