"""The workloads as txzookeeper does them, translated, on the native client: ``txzookeeper_workloads.py W1 127.0.0.1:2181``."""

from __future__ import annotations

import json
import sys
from typing import Any

from clock import Clock
from twisted.internet.defer import Deferred
from twisted.internet.task import react
from txmirror_workloads import ROOT, outstanding

from txmirror.compat import install

install()

from txzookeeper.client import ZookeeperClient  # noqa: E402 - it can be imported from here on

DATA = "x" * 100


async def prepare(client: Any, count: int) -> list[str]:
    """Make nodes, empty the room they stand in first, and give their paths."""
    await clear(client)
    await client.create(ROOT)
    paths = [f"{ROOT}/n{number}" for number in range(count)]
    await outstanding(500, (lambda path=path: client.create(path, DATA) for path in paths))
    return paths


async def clear(client: Any) -> None:
    """Delete what an earlier run has left."""
    if await client.exists(ROOT) is not None:
        names = await client.get_children(ROOT)
        await outstanding(500, (lambda name=name: client.delete(f"{ROOT}/{name}") for name in names))
        await client.delete(ROOT)


async def w1(client: Any, clock: Clock) -> None:
    (path,) = await prepare(client, 1)
    clock.start()
    for _ in range(3000):
        await client.get(path)
    clock.stop()


async def w2(client: Any, clock: Clock) -> None:
    (path,) = await prepare(client, 1)
    clock.start()
    await outstanding(1000, ((lambda: client.get(path)) for _ in range(20_000)))
    clock.stop()


async def w3(client: Any, clock: Clock) -> None:
    await prepare(client, 0)
    clock.start()
    await outstanding(1000, ((lambda n=n: client.create(f"{ROOT}/n{n}", DATA)) for n in range(10_000)))
    clock.stop()


async def w4(client: Any, clock: Clock) -> None:
    paths = await prepare(client, 5000)
    clock.start()
    await outstanding(1000, ((lambda path=path: client.set(path, DATA)) for path in paths * 2))
    clock.stop()


async def w5(client: Any, clock: Clock) -> None:
    paths = await prepare(client, 5000)
    watching = await ZookeeperClient(client.servers, 10_000).connect()
    left = set(paths)
    told: Deferred[None] = Deferred()

    def watch(path: str) -> Deferred[None]:
        """Read a node, now and whenever it has changed."""
        answer, changed = watching.get_and_watch(path)
        # What is closed in the end is no news.
        changed.addCallbacks(lambda _: watch(path), lambda _: None)
        return answer.addCallback(lambda value: read(path, value[0]))

    def read(path: str, value: str) -> None:
        if value == "y" * 100 and path in left:
            left.discard(path)
            if not left:
                told.callback(None)

    await outstanding(500, (lambda path=path: watch(path) for path in paths))
    clock.start()
    await outstanding(1000, ((lambda path=path: client.set(path, "y" * 100)) for path in paths))
    await told
    clock.stop()
    await watching.close()


async def main(reactor: object, workload: str, servers: str) -> None:
    """Run a workload and print its figures."""
    client, clock = ZookeeperClient(servers, 10_000), Clock()
    await client.connect()
    await {"W1": w1, "W2": w2, "W3": w3, "W4": w4, "W5": w5}[workload](client, clock)
    await clear(client)
    await client.close()
    print(json.dumps(clock.figures))


if __name__ == "__main__":
    react(lambda reactor: Deferred.fromCoroutine(main(reactor, *sys.argv[1:])))
