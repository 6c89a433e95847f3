"""Evict nodes that are no longer referenced, some time later. Until then, a program that asks again finds the cached
state.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

from twisted.internet.interfaces import IReactorTime

from txmirror.timers import Timer

#: How many sweeps there are while a node lingers.
_SWEEPS = 4


class Eviction:
    """Calls a function for each path that was noted ``linger`` seconds before.

    :param clock: runs the timer.
    :param linger: how long an unreferenced node stays, in seconds; it may be a quarter longer.
    :param evict: called with the path of each node whose time is over, in the reactor's thread.
    """

    def __init__(self, clock: IReactorTime, linger: float, evict: Callable[[str], object]) -> None:
        self._clock = clock
        self._linger = linger
        self._evict = evict
        # A deque, because a finalizer runs in any thread, and in the middle of anything.
        self._noted: deque[str] = deque()
        self._deadlines: dict[str, float] = {}
        self._timer = Timer(clock, self._sweep)

    def note_unreferenced(self, path: str) -> None:
        """Note that a node is no longer referenced. It does nothing else, so that a finalizer may call it."""
        self._noted.append(path)

    def start(self) -> None:
        """Begin to sweep."""
        if not self._timer.running:
            self._timer.start(self._linger / _SWEEPS)

    def stop(self) -> None:
        """Stop sweeping."""
        self._timer.stop()

    def _sweep(self) -> None:
        self._timer.start(self._linger / _SWEEPS)
        now = self._clock.seconds()
        while self._noted:
            self._deadlines[self._noted.popleft()] = now + self._linger
        for path in [path for path, deadline in self._deadlines.items() if deadline <= now]:
            del self._deadlines[path]
            self._evict(path)
