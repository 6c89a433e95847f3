"""The faults that a test has injected into a proxy, and the counts of the data that it has forwarded."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import NamedTuple

from twisted.internet.defer import Deferred


class Frame(NamedTuple):
    """A frame with a header."""

    xid: int
    operation: int | None
    """The operation of the request, or of the request that this answers; None for an event."""


class Fault(NamedTuple):
    """A fault that happens once, at a frame to a client: the connection is closed."""

    matches: Callable[[Frame], bool]
    """Returns whether the fault happens at this frame."""
    swallows: bool
    """True if the frame is dropped."""
    happened: Deferred[None]
    """Fires when the fault has happened."""


class Faults:
    """The faults of a proxy, for all its connections together. A direction is named by whether it is the one to clients.

    :ivar piece: the most bytes to write at once; None for no limit.
    :ivar sizes: the number of bytes that were forwarded, by direction.
    :ivar requests: the number of requests that were forwarded, by operation.
    :ivar replies: the number of replies that were forwarded, by the operation that they answer.
    :ivar events: the number of watch events that were forwarded.
    """

    def __init__(self) -> None:
        self.piece: int | None = None
        self.sizes: dict[bool, int] = {True: 0, False: 0}
        self.requests: Counter[int] = Counter()
        self.replies: Counter[int] = Counter()
        self.events: int = 0
        self._stalled = {True: False, False: False}
        self._allowances: dict[bool, tuple[int, Deferred[None]]] = {}
        self._armed: list[Fault] = []

    # For the proxy.

    def stall(self, to_client: bool, stalled: bool) -> None:
        """Stall a direction, or let it go on."""
        self._stalled[to_client] = stalled

    def arm(self, matches: Callable[[Frame], bool], *, swallows: bool) -> Deferred[None]:
        """Close the connection at a frame for a client, in place of it or after it.

        :returns: fires when that has happened. Cancelling disarms the fault.
        """
        happened: Deferred[None] = Deferred(lambda _: self._armed.remove(fault))
        fault = Fault(matches, swallows, happened)
        self._armed.append(fault)
        return happened

    def arm_after(self, to_client: bool, count: int) -> Deferred[None]:
        """Close the connection after a number of bytes in a direction. It replaces an earlier fault of the direction.

        :returns: fires when that has happened. Cancelling disarms the fault.
        """

        def disarm(cancelled: Deferred[None]) -> None:
            if to_client in self._allowances and self._allowances[to_client][1] is cancelled:
                del self._allowances[to_client]

        happened: Deferred[None] = Deferred(disarm)
        self._allowances[to_client] = (count, happened)
        return happened

    # For the streams.

    def stalled(self, to_client: bool) -> bool:
        """Return whether a direction is stalled."""
        return self._stalled[to_client]

    def take(self, frame: Frame) -> Fault | None:
        """Remove and return the fault that matches a frame for a client, if there is one."""
        for fault in self._armed:
            if fault.matches(frame):
                self._armed.remove(fault)
                return fault
        return None

    def allow(self, to_client: bool, size: int) -> tuple[int, Deferred[None] | None]:
        """Return how many of ``size`` bytes may be forwarded, and the Deferred to fire if they are the last."""
        passed, happened = size, None
        if to_client in self._allowances:
            left, waiting = self._allowances[to_client]
            passed = min(left, size)
            if left <= size:
                del self._allowances[to_client]
                happened = waiting
            else:
                self._allowances[to_client] = (left - passed, waiting)
        self.sizes[to_client] += passed
        return passed, happened

    def count(self, to_client: bool, frame: Frame) -> None:
        """Count a frame that was forwarded."""
        if not to_client:
            self.requests[frame.operation or 0] += 1
        elif frame.operation is None:
            self.events += 1
        else:
            self.replies[frame.operation] += 1
