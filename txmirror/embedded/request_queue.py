"""Serve one client's requests in order, and in turns with the other clients."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from twisted.internet.interfaces import IDelayedCall

from txmirror.embedded.output import MAX_UNREAD, Output
from txmirror.wire import FrameQueue

#: The limit for the number of waiting requests of one client.
_MAX_PENDING: Final = 10_000
#: The limits of one client in one turn of the reactor, in requests and in bytes of replies. Then the other clients are served.
_REQUESTS_PER_TURN: Final = 250
_BYTES_PER_TURN: Final = 256 * 1024


class RequestQueue:
    """The requests that wait: for the client's next turn, for a delayed request before them, or until the client reads.

    :param frames: the requests that have arrived.
    :param output: the replies.
    :param serve_next: serves the next request.
    :param proceed: called when requests may be served again; it calls :meth:`serve`.
    :param next_turn: calls a function in the next turn of the reactor.
    :ivar delayed: whether the first request is delayed.
    """

    def __init__(
        self,
        frames: FrameQueue,
        output: Output,
        serve_next: Callable[[], None],
        proceed: Callable[[], None],
        next_turn: Callable[[Callable[[], None]], IDelayedCall],
    ) -> None:
        self._frames = frames
        self._output = output
        self._serve_next = serve_next
        self._proceed = proceed
        self._next_turn = next_turn
        self._turn: IDelayedCall | None = None
        self._rest: Callable[[], None] | None = None
        """The rest of the delayed request."""
        self.delayed: bool = False

    @property
    def empty(self) -> bool:
        """True if no request waits."""
        return not self._frames.size and self._rest is None

    @property
    def full(self) -> bool:
        """True if the client must wait before it sends more."""
        return (
            self._output.throttled
            or self._turn is not None
            or self._frames.size > MAX_UNREAD
            or len(self._frames) > _MAX_PENDING
        )

    def serve(self) -> None:
        """Serve the waiting requests, up to the limits of one turn of the reactor."""
        output = self._output
        served = output.written = 0
        while not (self.empty or self.delayed or output.throttled or self._turn is not None):
            if served >= _REQUESTS_PER_TURN or output.written >= _BYTES_PER_TURN:
                self._turn = self._next_turn(self._start_turn)
            elif self._rest is not None:
                rest, self._rest = self._rest, None
                rest()
            else:
                self._serve_next()
            served += 1

    def end_turn(self) -> None:
        """End the client's turn after the present request."""
        self._output.written = _BYTES_PER_TURN

    def delay(self, rest: Callable[[], None]) -> Callable[[], None]:
        """Delay the rest of the present request, and all requests after it. Return the function that ends the delay."""
        self._rest = rest
        self.delayed = True
        return self._end_delay

    def clear(self) -> None:
        """Drop all requests: the connection closes."""
        self._rest = None
        self._frames.clear()
        if self._turn is not None:
            self._turn.cancel()
            self._turn = None

    def _end_delay(self) -> None:
        self.delayed = False
        self._proceed()

    def _start_turn(self) -> None:
        self._turn = None
        self._proceed()
