"""A flood of gets as kazoo bears it: ``kazoo_memory.py 127.0.0.1:2181 100000 1000 0``; see ``memory.py``."""

from __future__ import annotations

import sys
import threading
from typing import Any

from flooding import DATA, ROOT, Flood, ready
from kazoo.client import KazooClient


def main(servers: str, count: str, most: str, slow: str) -> None:
    """Flood, and print the figures."""
    client = KazooClient(servers)
    client.start()
    client.ensure_path(ROOT)
    client.set(ROOT, DATA)
    over = threading.Event()

    def ask() -> None:
        client.get_async(ROOT).rawlink(told)

    def told(result: Any) -> None:
        (flood.answered if result.successful() else flood.refused)()

    flood = Flood(int(count), int(most), float(slow), ask, over.set)
    ready()
    flood.begin()
    over.wait()
    print(flood.figures())
    client.delete(ROOT)
    client.stop()


if __name__ == "__main__":
    main(*sys.argv[1:])
