"""Those who are told of something: in order, each thing to all before the next, and none disturbed by another."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

_T = TypeVar("_T")


class Audience(Generic[_T]):
    """Functions to call, each by a key of its own.

    :param failed: called with the key of a function that has raised and with what it was told, while the exception is
        being handled.
    """

    __slots__ = ("_failed", "_functions", "_waiting")

    def __init__(self, failed: Callable[[Hashable, _T], object]) -> None:
        self._failed = failed
        self._functions: dict[Hashable, Callable[[_T], object]] = {}
        self._waiting: deque[_T] | None = None

    def add(self, key: Hashable, function: Callable[[_T], object]) -> None:
        """Call ``function`` from now on, in place of the former one with this key, if there was one."""
        self._functions[key] = function

    def remove(self, key: Hashable) -> None:
        """Call nothing with this key any more; silent if there is nothing."""
        self._functions.pop(key, None)

    def add_and_tell(self, key: Hashable, function: Callable[[_T], object], news: _T) -> bool:
        """Call ``function`` from now on, and at once, unless there is one with this key; tell whether there was none."""
        if key in self._functions:
            return False
        self._functions[key] = function
        self._tell_one(key, news)
        return True

    def __contains__(self, key: Hashable) -> bool:
        return key in self._functions

    def __bool__(self) -> bool:
        return bool(self._functions)

    def tell(self, news: _T) -> None:
        """Call everybody. What is told while that goes on is told to all after it."""
        if self._waiting is not None:
            self._waiting.append(news)
            return
        # There are many audiences, and few that are being told something.
        self._waiting = deque([news])
        try:
            while self._waiting:
                self._tell_all(self._waiting.popleft())
        finally:
            self._waiting = None

    def _tell_all(self, news: _T) -> None:
        for key in list(self._functions):
            # An earlier one may have removed or replaced it.
            if key in self._functions:
                self._tell_one(key, news)

    def _tell_one(self, key: Hashable, news: _T) -> None:
        try:
            self._functions[key](news)
        except Exception:
            self._failed(key, news)
