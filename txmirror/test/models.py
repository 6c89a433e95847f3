"""What the models share: turns of the reactor that are taken one by one, and the failures that were logged meanwhile."""

from __future__ import annotations

from twisted.logger import ILogObserver, LogEvent, formatEvent
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


def take_turns(reactor: MemoryReactor, count: int) -> None:
    """Let so many turns happen, at this instant, and no more."""
    calls = reactor.calls
    for _ in range(count):
        if not calls or calls[0].getTime() > reactor.seconds():
            return
        call = calls.pop(0)
        call.called = 1
        call.func(*call.args, **call.kw)
