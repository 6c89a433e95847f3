"""What nobody holds any more stays for a while: whoever asks for it again soon finds it as it was."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

from twisted.internet.interfaces import IReactorTime

from txmirror.timers import Timer

#: How many times it is looked while something lingers.
_SWEEPS = 4


class Eviction:
    """Keeps the time for what nobody holds.

    :param clock: runs the timer.
    :param linger: how long it stays, in seconds; it may be a quarter longer.
    :param look: called with what has stayed long enough, in the reactor's thread.
    """

    def __init__(self, clock: IReactorTime, linger: float, evict: Callable[[str], object]) -> None:
        self._clock = clock
        self._linger = linger
        self._evict = evict
        # A deque, because what is let go of may be let go of in any thread, and in the middle of anything.
        self._noted: deque[str] = deque()
        self._deadlines: dict[str, float] = {}
        self._timer = Timer(clock, self._sweep)

    def note_unreferenced(self, path: str) -> None:
        """Note that nobody holds something. It does nothing else, so that a finalizer may call it."""
        self._noted.append(path)

    def start(self) -> None:
        """Look from now on."""
        if not self._timer.running:
            self._timer.start(self._linger / _SWEEPS)

    def stop(self) -> None:
        """Look no more."""
        self._timer.stop()

    def _sweep(self) -> None:
        self._timer.start(self._linger / _SWEEPS)
        now = self._clock.seconds()
        while self._noted:
            self._deadlines[self._noted.popleft()] = now + self._linger
        for path in [path for path, deadline in self._deadlines.items() if deadline <= now]:
            del self._deadlines[path]
            self._evict(path)
