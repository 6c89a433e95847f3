"""Merge changes that follow one another quickly."""

from __future__ import annotations

from collections.abc import Callable

from twisted.internet.interfaces import IReactorTime

from txmirror.timers import Timer


class Settling:
    """Calls a function for the first change at once, and for those within a window after a call once, at its end.

    :param window: the window in seconds. Each is up to a half longer or shorter, so that many machines do not all act at once.
    :param act: the function.
    :param random: returns random numbers from 0 to 1.
    :param reactor: measures the time.
    """

    def __init__(
        self, window: float, act: Callable[[], None], random: Callable[[], float], reactor: IReactorTime
    ) -> None:
        self._window = window
        self._act = act
        self._random = random
        self._timer = Timer(reactor, self._end)
        self._changed = False

    def note_change(self) -> None:
        """Note a change."""
        if self._timer.running:
            self._changed = True
            return
        if self._window:
            self._timer.start(self._window * (0.5 + self._random()))
        self._act()

    def stop(self) -> None:
        """Forget the changes, and stop the timer."""
        self._changed = False
        self._timer.stop()

    def _end(self) -> None:
        if self._changed:
            self._changed = False
            self.note_change()
