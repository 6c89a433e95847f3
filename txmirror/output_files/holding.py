"""Hold back a list that has suddenly become much shorter: after an outage, readers see an empty list before writers are back."""

from __future__ import annotations

from collections.abc import Callable

from twisted.internet.interfaces import IReactorTime

from txmirror.timers import Timer


class Hold:
    """Decides for each list whether it is good.

    A list is held back if it has no instances, or fewer than a part of the longest good list of the last time: so it makes no
    difference whether the instances go together or one after another.

    :param below: the part, from 0 to 1; 0 never holds back.
    :param keep_for: that time, in seconds. It is also the longest time to hold back.
    :param ended: called when a list that was held back may be good now; :meth:`permits` decides.
    :param reactor: measures the time.
    :ivar last_good: the length of the last good list; None if there was none.
    :ivar since: the time from which on lists are held back, in the reactor's seconds; None if none is.
    """

    def __init__(self, below: float, keep_for: float, ended: Callable[[], None], reactor: IReactorTime) -> None:
        self.last_good: int | None = None
        self.since: float | None = None
        self._below = below
        self._keep_for = keep_for
        self._reactor = reactor
        self._timer = Timer(reactor, ended)
        #: Good lists that were replaced by shorter ones, or are held back from that: the time of this, by length.
        self._former: dict[int, float] = {}

    @property
    def longest(self) -> int:
        """The length of the longest list that counts now."""
        return max(self._former, default=self.last_good or 0)

    def permits(self, length: int) -> bool:
        """Return whether a list with this length is good. If so, it is the last good one from now on."""
        now = self._reactor.seconds()
        self._former = {each: time for each, time in self._former.items() if time + self._keep_for > now}
        if self.last_good is not None and length < self.last_good and self.since is None and self._keep_for:
            self._former[self.last_good] = now
        if self._former and (length == 0 or length < self._below * max(self._former)) and self._below:
            if self.since is None:
                self.since = now
            self._timer.start(self._former[max(self._former)] + self._keep_for - now)
            return False
        self.last_good, self.since = length, None
        self._timer.stop()
        return True

    def stop(self) -> None:
        """Stop the timer."""
        self._timer.stop()
