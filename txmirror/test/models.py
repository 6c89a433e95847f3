"""The common part of the models: the next turn of the reactor, and the messages logged meanwhile."""

from __future__ import annotations

from twisted.logger import ILogObserver, LogEvent, LogLevel, formatEvent, globalLogPublisher
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer

from txmirror.testing import MemoryReactor


@implementer(ILogObserver)
class FailureLog:
    """Takes failures that were logged for the model's own."""

    def __init__(self, faults: list[str]) -> None:
        self.faults = faults

    def __call__(self, event: LogEvent) -> None:
        if "log_failure" in event:
            self.faults.append(f"{formatEvent(event)} {event['log_failure'].getTraceback()}")


def record_complaints(case: SynchronousTestCase) -> list[str]:
    """Return a list that fills with each warning, error and failure that is logged during a test."""
    complaints: list[str] = []

    @implementer(ILogObserver)
    def observe(event: LogEvent) -> None:
        failure = event.get("log_failure")
        if failure is not None:
            complaints.append(f"{formatEvent(event)} {failure.getErrorMessage():.200}")
        elif event.get("log_level", LogLevel.info) >= LogLevel.warn:
            complaints.append(formatEvent(event))

    globalLogPublisher.addObserver(observe)
    case.addCleanup(globalLogPublisher.removeObserver, observe)
    return complaints


def run_next(reactor: MemoryReactor) -> None:
    """Let time go by until the next delayed call, if there is one, and run that."""
    if reactor.calls:
        reactor.rightNow = max(reactor.rightNow, reactor.calls[0].getTime())
        reactor.take_turns(1)
