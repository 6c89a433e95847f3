"""Answer some requests in each turn of the reactor, and the others in later turns."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Final

from twisted.internet.interfaces import IReactorTime

from txmirror.timers import Timer

#: The requests that are answered in one turn: some 10 milliseconds.
_IN_TURN: Final = 20


class RequestTurns:
    """Spreads requests that arrive at once over several turns of the reactor, in order.

    A connection has at most one request here, so that there are no more than connections.

    :param reactor: the reactor.
    """

    def __init__(self, reactor: IReactorTime) -> None:
        self._count = 0
        self._waiting: deque[Callable[[], object]] = deque()
        self._turn = Timer(reactor, self._begin_turn)

    def __len__(self) -> int:
        return len(self._waiting)

    def run(self, answer: Callable[[], object]) -> None:
        """Call a function at once, or in a later turn. It must not raise."""
        if not self._turn.running:
            self._turn.start(0)
        if self._waiting or self._count >= _IN_TURN:
            self._waiting.append(answer)
        else:
            self._count += 1
            answer()

    def _begin_turn(self) -> None:
        self._count = 0
        while self._waiting and self._count < _IN_TURN:
            self._count += 1
            self._waiting.popleft()()
        if self._count:
            self._turn.start(0)
