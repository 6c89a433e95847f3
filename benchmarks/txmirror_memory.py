"""A flood of gets as txmirror bears it: ``txmirror_memory.py 127.0.0.1:2181 100000 1000 0``; see ``memory.py``."""

from __future__ import annotations

import sys

from flooding import DATA, ROOT, Flood, ready
from twisted.internet.defer import Deferred
from twisted.internet.task import react

from txmirror.client import ZooKeeperClient


async def main(servers: str, count: str, most: str, slow: str) -> None:
    """Flood, and print the figures."""
    client = ZooKeeperClient(servers)
    await client.connect()
    if await client.exists(ROOT) is None:
        await client.create(ROOT, DATA)
    await client.get(ROOT)
    over: Deferred[None] = Deferred()

    def ask() -> None:
        client.get(ROOT).addCallbacks(flood.answered, flood.refused)

    flood = Flood(int(count), int(most), float(slow), ask, lambda: over.callback(None))
    ready()
    flood.begin()
    await over
    print(flood.figures())
    await client.delete(ROOT)
    await client.close()


if __name__ == "__main__":
    react(lambda reactor: Deferred.fromCoroutine(main(*sys.argv[1:])))
