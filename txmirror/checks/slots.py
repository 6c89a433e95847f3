"""A bounded number of probes at a time."""

from __future__ import annotations

from twisted.internet.defer import Deferred

from txmirror.deferreds import Pump


class Slots:
    """A number of slots, acquired in order.

    Unlike ``DeferredSemaphore``, a release within a release does not nest: any number of probes that end at once may wait.

    :param count: the number of slots.
    """

    __slots__ = ("_free", "_grant", "_paused", "_waiting")

    def __init__(self, count: int) -> None:
        self._free = count
        self._paused = False
        self._waiting: dict[Deferred[None], None] = {}
        self._grant = Pump(self._grant_free)

    def acquire(self) -> Deferred[None]:
        """Acquire a slot.

        :returns: fires when the slot is acquired. Cancelling ends the wait.
        """
        acquired: Deferred[None] = Deferred(self._waiting.pop)
        self._waiting[acquired] = None
        self._grant()
        return acquired

    def release(self) -> None:
        """Release a slot that was acquired."""
        self._free += 1
        self._grant()

    def pause(self) -> None:
        """Grant no slot until :meth:`resume`."""
        self._paused = True

    def resume(self) -> None:
        """Grant slots again."""
        self._paused = False
        self._grant()

    def _grant_free(self) -> None:
        while self._free and self._waiting and not self._paused:
            self._free -= 1
            acquired = next(iter(self._waiting))
            del self._waiting[acquired]
            acquired.callback(None)
