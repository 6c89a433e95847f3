"""Ordered callbacks, with the guard against re-entrancy: every callback sees event N before any sees event N+1."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

_T = TypeVar("_T")


class Observers(Generic[_T]):
    """An ordered set of callbacks. One that raises is reported and does not affect the others.

    :param failed: called with the key of a callback that has raised and with the event, while the exception is being handled.
    """

    __slots__ = ("_callbacks", "_events", "_failed")

    def __init__(self, failed: Callable[[Hashable, _T], object]) -> None:
        self._failed = failed
        self._callbacks: dict[Hashable, Callable[[_T], object]] = {}
        self._events: deque[_T] | None = None

    def add(self, key: Hashable, callback: Callable[[_T], object]) -> None:
        """Add a callback, in place of the former one with this key, if there was one."""
        self._callbacks[key] = callback

    def remove(self, key: Hashable) -> None:
        """Remove the callback with this key; silent if there is none."""
        self._callbacks.pop(key, None)

    def add_and_notify(self, key: Hashable, callback: Callable[[_T], object], event: _T) -> bool:
        """Add a callback and call it at once, unless there is one with this key.

        :returns: whether there was none.
        """
        if key in self._callbacks:
            return False
        self._callbacks[key] = callback
        self._notify_one(key, event)
        return True

    def __contains__(self, key: Hashable) -> bool:
        return key in self._callbacks

    def __bool__(self) -> bool:
        return bool(self._callbacks)

    def notify(self, event: _T) -> None:
        """Call every callback. An event that a callback notifies of is delivered after this one, to all."""
        if self._events is not None:
            self._events.append(event)
            return
        # There are many sets of callbacks, and few that are being notified.
        self._events = deque([event])
        try:
            while self._events:
                self._notify_all(self._events.popleft())
        finally:
            self._events = None

    def _notify_all(self, event: _T) -> None:
        for key in list(self._callbacks):
            # An earlier callback may have removed or replaced it.
            if key in self._callbacks:
                self._notify_one(key, event)

    def _notify_one(self, key: Hashable, event: _T) -> None:
        try:
            self._callbacks[key](event)
        except Exception:
            # The callback may be the program's.
            self._failed(key, event)
