"""The workloads as txzookeeper does them, translated, on the native client: ``txzookeeper_workloads.py W1 127.0.0.1:2181``."""

from __future__ import annotations

import json
import sys
from functools import partial
from typing import Any

from clock import Clock
from twisted.internet.defer import Deferred
from twisted.internet.task import react
from txmirror_workloads import clear, outstanding, prepare, w1, w2, w3, w4

from txmirror.compat import install

install()

from txzookeeper.client import ZookeeperClient  # noqa: E402 - it can be imported from here on

DATA = "x" * 100


async def w5(client: Any, clock: Clock, data: str) -> None:
    paths = await prepare(client, 5000, data)
    watching = await ZookeeperClient(client.servers, 10_000).connect()
    left = set(paths)
    told: Deferred[None] = Deferred()

    def watch(path: str) -> Deferred[None]:
        """Read a node, now and whenever it has changed."""
        answer, changed = watching.get_and_watch(path)
        # What is closed in the end is no news.
        changed.addCallbacks(lambda _: watch(path), lambda _: None)
        seen: Deferred[None] = answer.addCallback(lambda value: read(path, value[0]))
        return seen

    def read(path: str, value: str) -> None:
        if value == "y" * 100 and path in left:
            left.discard(path)
            if not left:
                told.callback(None)

    await outstanding(500, (partial(watch, path) for path in paths))
    clock.start()
    await outstanding(1000, (partial(client.set, path, "y" * 100) for path in paths))
    await told
    clock.stop()
    await watching.close()


async def main(reactor: object, workload: str, servers: str) -> None:
    """Run a workload and print its figures."""
    client, clock = ZookeeperClient(servers, 10_000), Clock()
    await client.connect()
    await {"W1": w1, "W2": w2, "W3": w3, "W4": w4, "W5": w5}[workload](client, clock, DATA)
    await clear(client)
    await client.close()
    print(json.dumps(clock.figures))


if __name__ == "__main__":
    react(lambda reactor: Deferred.fromCoroutine(main(reactor, *sys.argv[1:])))
