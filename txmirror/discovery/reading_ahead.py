"""Decode the nodes of a long list before the list is shown, a part in each turn of the reactor."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, Generic, TypeVar

from twisted.internet.interfaces import IReactorTime

from txmirror.timers import Timer

#: The most nodes, and the number of bytes after which no further node, is decoded in one turn: some milliseconds.
MOST_IN_TURN: Final = 200
_BYTES_IN_TURN: Final = 128 * 1024

_T = TypeVar("_T")


class ReadingAhead(Generic[_T]):
    """Decodes nodes, a part in each turn of the reactor.

    :param names: the nodes, in order.
    :param read: decodes the node with a name; returns the result, and the length of its data in bytes.
    :param done: called when all were decoded.
    :param reactor: runs the turns.
    :ivar results: the results by name.
    """

    def __init__(
        self, names: list[str], read: Callable[[str], tuple[_T, int]], done: Callable[[], object], reactor: IReactorTime
    ) -> None:
        self.results: dict[str, _T] = {}
        self._names = names
        self._read = read
        self._done = done
        self._next = 0
        self._timer = Timer(reactor, self._read_some)
        self._read_some()

    def stop(self) -> None:
        """Decode no more. ``done`` is not called any more."""
        self._timer.stop()

    def _read_some(self) -> None:
        end, size = min(self._next + MOST_IN_TURN, len(self._names)), 0
        while self._next < end and size < _BYTES_IN_TURN:
            name = self._names[self._next]
            self._next += 1
            self.results[name], length = self._read(name)
            size += length
        if self._next < len(self._names):
            self._timer.start(0)
        else:
            self._done()
