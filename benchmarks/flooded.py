"""The common part of both sides of ``flood.py``: measure one flood, and communicate with the parent process.

A process prints one line of JSON for each of its phases. Before the second phase, if there is one, it waits until its
input ends.
"""

from __future__ import annotations

import json
import logging
import sys
from collections import Counter
from collections.abc import Mapping
from typing import Any

from clock import Clock, memory

ROOT = "/txmirror-flood"
#: A node whose parent it is: registries give an ACL to a parent too.
BELOW = f"{ROOT}/n"
#: The node that is registered beside the mirrored ones.
REGISTERED = f"{ROOT}-registered/n"
DATA = b"x" * 100
#: What a registration says, and what kazoo writes in its place.
SAID = {"foo": "bar"}
WRITTEN = b'{"foo":"bar","pid":4711,"created":"2026-11-28 12:00:00"}'


def paths(count: int) -> list[str]:
    """Return the paths of so many nodes."""
    return [f"{BELOW}/{number:06}" for number in range(count)]


def say(what: object) -> None:
    """Print one line for the process that started this one."""
    sys.stdout.write(json.dumps(what) + "\n")
    sys.stdout.flush()


class Measurement:
    """Measure the time, the memory and the failures of a flood. Make it when the client has connected, before any other
    work.

    :ivar failed: the number of each failure.
    """

    def __init__(self) -> None:
        self.failed: Counter[str] = Counter()
        self._bare = memory("VmRSS")
        self._clock = Clock()
        self._clock.start()

    def restart(self) -> None:
        """Begin to time a new phase. The memory is still compared with that before the first."""
        self.failed.clear()
        self._clock.start()

    def figures(self, **others: float) -> Mapping[str, Any]:
        """Return the figures of a phase: times in seconds, and the peak in MiB above the memory before the first."""
        self._clock.stop()
        return {**self._clock.figures, "peak": memory("VmHWM") - self._bare, "failed": dict(self.failed), **others}


class Warnings(logging.Handler):
    """Count the warnings and errors that a library logs."""

    def __init__(self, failed: Counter[str]) -> None:
        super().__init__(logging.WARNING)
        self._failed = failed

    def emit(self, record: logging.LogRecord) -> None:
        self._failed["logged warnings"] += 1
