"""Hold back a list that has collapsed after an outage: other services may not have registered again yet."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from twisted.internet.interfaces import IReactorTime

from txmirror.timers import Timer

#: A list has collapsed when it has fewer than this part of its former length.
_COLLAPSED: Final = 0.5


class OutageHold:
    """Decides, for some time after an outage, which lists have collapsed.

    :param hold_for: that time, in seconds; 0 never holds a list back.
    :param ended: called when that time is over.
    :param reactor: measures the time.
    """

    def __init__(self, hold_for: float, ended: Callable[[], None], reactor: IReactorTime) -> None:
        self._hold_for = hold_for
        self._timer = Timer(reactor, ended)
        self._before = 0

    def start(self, before: int) -> None:
        """Note the end of an outage.

        :param before: the length of the list before it.
        """
        if self._hold_for:
            self._before = before
            self._timer.start(self._hold_for)

    def holds_back(self, length: int) -> bool:
        """Return whether a list with this length has collapsed, and is to be held back."""
        return self._timer.running and length < _COLLAPSED * self._before

    def stop(self) -> None:
        """Hold back nothing any more."""
        self._timer.stop()
