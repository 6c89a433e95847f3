"""Hold a service down that goes up and down too often."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Final

import attrs
from twisted.internet.interfaces import IReactorTime

from txmirror.checks.judgement import State, check_positive
from txmirror.timers import Timer

_UP: Final = (State.UP, State.WARN)


@attrs.frozen
class FlapHold:
    """The settings for holding down a service that flaps.

    :ivar downs: a service flaps if it went down this number of times within ``window``; 0 never holds it.
    :ivar window: the time in which they count, in seconds.
    :ivar hold: the time in seconds for which the checks of a service that flaps must pass before it comes up again.
    :raises TypeError: a value has a wrong type.
    :raises ValueError: a value is out of range. Both messages name it.
    """

    downs: int = attrs.field(default=3, validator=[attrs.validators.instance_of(int), attrs.validators.ge(0)])
    window: float = attrs.field(default=300.0, validator=check_positive)
    hold: float = attrs.field(default=60.0, validator=check_positive)


class FlapWatch:
    """Counts how often one service goes down, and holds it.

    :param settings: the settings.
    :param clock: measures the time.
    :param released: called when a hold is over.
    """

    def __init__(self, settings: FlapHold, clock: IReactorTime, released: Callable[[], None]) -> None:
        self._settings = settings
        self._clock = clock
        self._released = released
        self._downs: deque[float] = deque(maxlen=settings.downs)
        self._timer = Timer(clock, self._release)
        self._ends = 0.0
        self._over = False

    @property
    def remaining(self) -> float | None:
        """The seconds to the end of the hold, or None if there is none."""
        return max(0.0, self._ends - self._clock.seconds()) if self._timer.running else None

    def filter(self, current: State, combined: State) -> State:
        """Return the state that the service takes: the combined one, or down while it is held.

        :param current: the state of the service.
        :param combined: its state by the checks alone.
        """
        if combined not in _UP:
            self._timer.stop()
            if combined is State.DOWN and current in _UP:
                self._downs.append(self._clock.seconds())
            return combined
        if current is State.DOWN and not self._over:
            if not self._timer.running and self._flaps():
                self._ends = self._clock.seconds() + self._settings.hold
                self._timer.start(self._settings.hold)
            if self._timer.running:
                return State.DOWN
        return combined

    def stop(self) -> None:
        """End the hold, and do not call ``released``."""
        self._timer.stop()

    def _flaps(self) -> bool:
        settings, downs = self._settings, self._downs
        return len(downs) == settings.downs > 0 and self._clock.seconds() - downs[0] < settings.window

    def _release(self) -> None:
        self._over = True
        try:
            self._released()
        finally:
            self._over = False
