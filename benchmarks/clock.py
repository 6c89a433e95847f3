"""Takes the time of a workload."""

from __future__ import annotations

import resource
import time


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
