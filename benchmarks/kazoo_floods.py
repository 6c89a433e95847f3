"""F1 to F4 as kazoo does them: ``kazoo_floods.py F1 127.0.0.1:2181 100000``; see ``flood.py``.

kazoo mirrors no nodes that were asked for one by one: its DataWatch makes its first read before it returns, so that
there is no asking for many at once. So F1 is the reads alone, each with a watch; that something reads again when a
watch fires is left out.
"""

from __future__ import annotations

import logging
import sys
import threading
import time
from collections.abc import Callable
from typing import Any

from flooded import DATA, WRITTEN, Measurement, Warnings, paths, say
from kazoo.client import KazooClient


class Flood:
    """One flood of a client.

    :param count: how many.
    """

    def __init__(self, servers: str, count: int) -> None:
        self._count = count
        self._client: Any = KazooClient(servers, timeout=10.0)
        self._client.start()
        self._over = threading.Event()
        self._answered = 0
        self._results: dict[str, Any] = {}

    def gets(self) -> None:
        """Get many nodes, each with a watch, and keep the results."""

        def changed(event: Any) -> None:
            self._results.pop(event.path)

        self._flood(lambda path: self._client.get_async(path, changed))

    def creates(self) -> None:
        """Create many nodes."""
        self._flood(lambda path: self._client.create_async(path, DATA))

    def registrations(self) -> None:
        """Create many ephemeral nodes, and then stop. They are neither followed nor put back."""
        self._flood(lambda path: self._client.create_async(path, WRITTEN, ephemeral=True))
        sys.stdin.read()
        self._measurement.restart()
        self._client.stop()
        say(self._measurement.figures())

    def writes(self) -> None:
        """Create many persistent nodes."""
        self._flood(lambda path: self._client.create_async(path, WRITTEN))

    def stop(self) -> None:
        self._client.stop()
        self._client.close()

    def _flood(self, ask: Callable[[str], Any]) -> None:
        self._measurement = Measurement()
        logging.getLogger("kazoo").addHandler(Warnings(self._measurement.failed))
        began = time.perf_counter()

        def answered(path: str, result: Any) -> None:
            # One thread calls this, for all.
            if result.successful():
                self._results[path] = result.get_nowait()
            else:
                self._measurement.failed[type(result.exception).__name__] += 1
            self._answered += 1
            if self._answered == self._count:
                self._over.set()

        for path in paths(self._count):
            ask(path).rawlink(lambda result, path=path: answered(path, result))
        asking = time.perf_counter() - began
        self._over.wait()
        say(self._measurement.figures(asking=asking))


def main(workload: str, servers: str, count: str) -> None:
    """Run one flood, and print its figures."""
    flood = Flood(servers, int(count))
    {"F1": flood.gets, "F2": flood.creates, "F3": flood.registrations, "F4": flood.writes}[workload]()
    flood.stop()


if __name__ == "__main__":
    main(*sys.argv[1:])
