"""The common part of both sides of ``memory.py``: count replies and refusals, and measure their time and the peak of memory."""

from __future__ import annotations

import json
import select
import sys
import time
from collections.abc import Callable

from clock import memory

DATA = b"x" * 100
ROOT = "/txmirror-benchmark"


def ready() -> None:
    """Say that all is prepared, and wait until the server is in the state that is wanted."""
    print("ready", flush=True)
    sys.stdin.readline()


class Flood:
    """Many gets, and their results.

    :param count: the number of gets.
    :param most: the number at a time.
    :param slow: the time of processing each answer, in seconds.
    :param ask: sends one, and calls :meth:`answered` or :meth:`refused`.
    :param over: called when the last is answered.
    """

    def __init__(self, count: int, most: int, slow: float, ask: Callable[[], None], over: Callable[[], None]) -> None:
        self._count, self._most, self._slow, self._ask, self._over = count, most, slow, ask, over
        self._asked = self._answered = self._refused = self._at_once = 0
        self._beginning = False

    def begin(self) -> None:
        """Ask for the first ones, in one go."""
        self._before, self._began, self._beginning = memory("VmRSS"), time.perf_counter(), True
        for _ in range(min(self._most, self._count)):
            self._next()
        self._beginning = False
        self._took = time.perf_counter() - self._began
        self._end_perhaps()

    def answered(self, *_: object) -> None:
        """Count an answer, after a look at it."""
        if self._slow:
            select.select([], [], [], self._slow)
        self._answered += 1
        self._go_on()

    def refused(self, *_: object) -> None:
        """Count a failure."""
        self._refused += 1
        self._at_once += self._beginning
        self._go_on()

    def figures(self) -> str:
        """Return the figures as JSON: the growth of memory in MiB, times in seconds."""
        return json.dumps(
            {
                "peak": memory("VmHWM") - self._before,
                "answered": self._answered,
                "refused at once": self._at_once,
                "refused": self._refused,
                "asking": self._took,
                "wall": time.perf_counter() - self._began,
            }
        )

    def _next(self) -> None:
        self._asked += 1
        self._ask()

    def _go_on(self) -> None:
        if not self._beginning:
            if self._asked < self._count:
                self._next()
            self._end_perhaps()

    def _end_perhaps(self) -> None:
        if self._answered + self._refused == self._count:
            self._over()
