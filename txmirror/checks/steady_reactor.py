"""A reactor whose time is that of another clock."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from twisted.internet.interfaces import IDelayedCall, IReactorTime
from zope.interface import directlyProvides, providedBy


class SteadyReactor:
    """A reactor with the time and the delayed calls of a clock, as a :class:`SteadyClock`. All else is the reactor's.

    A client on it keeps its session when the wall clock is set: set back, a reactor would send the next ping too late.

    :param reactor: the reactor.
    :param clock: the clock.
    """

    def __init__(self, reactor: Any, clock: IReactorTime) -> None:
        self._reactor = reactor
        self.seconds: Callable[[], float] = clock.seconds
        self.callLater: Callable[..., IDelayedCall] = clock.callLater
        self.getDelayedCalls: Callable[[], Sequence[IDelayedCall]] = clock.getDelayedCalls
        directlyProvides(self, providedBy(reactor))

    def __getattr__(self, name: str) -> Any:
        return getattr(self._reactor, name)
