"""Bound how many nodes are read at a time, so that a flood of them leaves room for others and waits in little memory."""

from __future__ import annotations

from collections import OrderedDict
from typing import Protocol

#: How many reads are in flight at most. More would not make a server answer sooner.
_IN_FLIGHT = 2_000


class Refreshable(Protocol):
    """Something that reads what it has to read."""

    def refresh(self) -> None:
        """Read it, after asking :meth:`RefreshQueue.has_room`."""


class RefreshQueue:
    """Let nodes read while there is room, and call the others in order as reads are answered."""

    def __init__(self) -> None:
        self._in_flight = 0
        # An ordinary dict would walk over all that were taken before to find the first.
        self._waiting: OrderedDict[Refreshable, None] = OrderedDict()
        self._calling = False

    def has_room(self, node: Refreshable) -> bool:
        """Return whether ``node`` may send reads now; if not, its ``refresh`` is called when there is room."""
        if self._in_flight < _IN_FLIGHT:
            return True
        self._waiting[node] = None
        return False

    def sent(self) -> None:
        """Note that a read was sent."""
        self._in_flight += 1

    def answered(self) -> None:
        """Note that a read was answered, or was lost, and call the nodes that wait."""
        self._in_flight -= 1
        # A read that fails at once comes back to here from within.
        if not self._calling:
            self._calling = True
            try:
                while self._waiting and self._in_flight < _IN_FLIGHT:
                    node, _ = self._waiting.popitem(last=False)
                    node.refresh()
            finally:
                self._calling = False

    def discard(self, node: Refreshable) -> None:
        """Call ``node`` no more."""
        self._waiting.pop(node, None)

    def clear(self) -> None:
        """Call nobody any more: the connection is gone, and on return every node is asked what it lacks."""
        self._waiting.clear()
