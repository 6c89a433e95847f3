"""Takes the time of a workload, and the memory of its process."""

from __future__ import annotations

import resource
import time
from pathlib import Path


def memory(what: str) -> float:
    """Return one of the kernel's figures about this process, in MiB: ``VmRSS`` is the present memory, ``VmHWM`` the peak."""
    for line in Path("/proc/self/status").read_text().splitlines():
        name, _, value = line.partition(":")
        if name == what:
            return int(value.split()[0]) / 1024
    raise KeyError(what)


class Clock:
    """Takes wall time and this process' CPU time, in seconds.

    :ivar figures: both, once stopped.
    """

    def start(self) -> None:
        """Begin."""
        self._wall, self._cpu = time.perf_counter(), self._used()

    def stop(self) -> None:
        """End."""
        self.figures = {"wall": time.perf_counter() - self._wall, "cpu": self._used() - self._cpu}

    def _used(self) -> float:
        usage = resource.getrusage(resource.RUSAGE_SELF)
        return usage.ru_utime + usage.ru_stime
