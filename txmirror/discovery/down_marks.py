"""Marks instances down for some time after failures in a row, and then lets one request probe them."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Final

from twisted.internet.interfaces import IReactorTime

from txmirror.timers import Timer

#: The longest time to wait for the result of a probe, in seconds. Then the instance is picked again.
_LONGEST_PROBE: Final = 5.0


class DownMarks:
    """The instances of a service that are down, by name.

    An instance that was down is first picked once, as a probe. It is then withheld until the result of the probe, but for at most
    five seconds. A failure marks it down again; a success, or no result in that time, makes it available.

    :param after: the number of failures in a row that marks an instance down.
    :param seconds: the time for which it is down.
    :param changed: called when an instance becomes available or not.
    :param reactor: measures the time.
    :ivar watched: whether ``changed`` is called in time. Otherwise :meth:`expire` calls it, and no timer runs.
    :ivar probes: the instances that are to be probed, or are being probed, with the time until which they are withheld; None if
        it was not picked yet.
    """

    def __init__(self, after: int, seconds: float, changed: Callable[[], None], reactor: IReactorTime) -> None:
        self.probes: dict[str, float | None] = {}
        self._after = after
        self._seconds = seconds
        self._changed = changed
        self._reactor = reactor
        self._failures: dict[str, int] = {}
        self._until: dict[str, float] = {}
        self._watched = True
        self._next = math.inf
        self._timer = Timer(reactor, self._time_passed)

    @property
    def watched(self) -> bool:
        return self._watched

    @watched.setter
    def watched(self, watched: bool) -> None:
        if watched is not self._watched:
            self._watched = watched
            self._set_timer()

    def failed(self, name: str) -> None:
        """Note a failure of an instance. One that is down stays down for as long as before."""
        if name in self._until:
            return
        failures = self._failures[name] = self._failures.get(name, 0) + 1
        if failures >= self._after:
            self.probes.pop(name, None)
            self._until[name] = self._reactor.seconds() + self._seconds
            self._available_changed()

    def succeeded(self, name: str) -> None:
        """Note that an instance works."""
        if self._failures:
            self.forget(name)

    def forget(self, name: str) -> None:
        """Forget all about an instance."""
        self._failures.pop(name, None)
        withheld = self.withheld(name)
        self._until.pop(name, None)
        self.probes.pop(name, None)
        if withheld:
            self._available_changed()

    def picked(self, name: str) -> None:
        """Note that an instance was picked: if it is to be probed, it is withheld from now on."""
        if name in self.probes and self.probes[name] is None:
            self.probes[name] = self._reactor.seconds() + _LONGEST_PROBE
            self._available_changed()

    def withheld(self, name: str) -> bool:
        """Return whether an instance is not to be picked: it is down, or is being probed."""
        return name in self._until or self.probes.get(name) is not None

    def all_withheld(self) -> set[str]:
        """Return the names of all instances that are not to be picked."""
        return {*self._until, *(name for name, until in self.probes.items() if until is not None)}

    def available_in(self, name: str) -> float:
        """Return the number of seconds after which a withheld instance is available again."""
        until = self._until.get(name, self.probes.get(name))
        return 0.0 if until is None else max(0.0, until - self._reactor.seconds())

    def expire(self) -> None:
        """Make the instances available whose time is over, before something depends on it."""
        if self._next < math.inf and self._next <= self._reactor.seconds():
            self._time_passed()

    def stop(self) -> None:
        """Stop the timer."""
        self._timer.stop()

    def _available_changed(self) -> None:
        withheld = [until for until in self.probes.values() if until is not None]
        self._next = min(*self._until.values(), *withheld, math.inf, math.inf)
        self._set_timer()
        self._changed()

    def _set_timer(self) -> None:
        if self._next < math.inf and self._watched:
            self._timer.start(self._next - self._reactor.seconds())
        else:
            self._timer.stop()

    def _time_passed(self) -> None:
        now = self._reactor.seconds()
        for name in [name for name, until in self._until.items() if until <= now]:
            del self._until[name]
            self.probes[name] = None
        for name in [name for name, until in self.probes.items() if until is not None and until <= now]:
            # One more failure marks it down again.
            del self.probes[name]
        self._available_changed()
