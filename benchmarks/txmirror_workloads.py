"""The workloads as txmirror does them: ``txmirror_workloads.py W1 127.0.0.1:2181`` prints its figures as JSON."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterable
from functools import partial
from typing import Any

from clock import Clock
from twisted.internet.defer import Deferred
from twisted.internet.task import react

from txmirror.client import ZooKeeperClient
from txmirror.mirror import Mirror
from txmirror.recipes import Queue

DATA = b"x" * 100
ROOT = "/txmirror-benchmark"


def outstanding(most: int, requests: Iterable[Callable[[], Deferred[Any]]]) -> Deferred[None]:
    """Make requests, so many at a time; fires when all are answered."""
    waiting = iter(requests)
    done: Deferred[None] = Deferred()
    running = 0

    def begin() -> bool:
        nonlocal running
        for request in waiting:
            running += 1
            request().addCallbacks(answered, done.errback)
            return True
        return False

    def answered(_: object) -> None:
        nonlocal running
        running -= 1
        if not begin() and running == 0:
            done.callback(None)

    for _ in range(most):
        begin()
    if running == 0:
        done.callback(None)
    return done


async def prepare(client: Any, count: int, data: Any = DATA) -> list[str]:
    """Make nodes, empty the room they stand in first, and give their paths.

    :param client: this package's, or another of the same shape.
    :param data: what stands in them, as that client takes it.
    """
    await clear(client)
    await client.create(ROOT)
    paths = [f"{ROOT}/n{number}" for number in range(count)]
    await outstanding(500, (partial(client.create, path, data) for path in paths))
    return paths


async def clear(client: Any) -> None:
    """Delete what an earlier run has left."""
    if await client.exists(ROOT) is not None:
        names = await client.get_children(ROOT)
        await outstanding(500, (partial(client.delete, f"{ROOT}/{name}") for name in names))
        await client.delete(ROOT)


async def w1(client: Any, clock: Clock, data: Any = DATA) -> None:
    (path,) = await prepare(client, 1, data)
    clock.start()
    for _ in range(3000):
        await client.get(path)
    clock.stop()


async def w2(client: Any, clock: Clock, data: Any = DATA) -> None:
    (path,) = await prepare(client, 1, data)
    clock.start()
    await outstanding(1000, ((lambda: client.get(path)) for _ in range(20_000)))
    clock.stop()


async def w3(client: Any, clock: Clock, data: Any = DATA) -> None:
    await prepare(client, 0, data)
    clock.start()
    await outstanding(1000, (partial(client.create, f"{ROOT}/n{n}", data) for n in range(10_000)))
    clock.stop()


async def w4(client: Any, clock: Clock, data: Any = DATA) -> None:
    paths = await prepare(client, 5000, data)
    clock.start()
    await outstanding(1000, (partial(client.set, path, data) for path in paths * 2))
    clock.stop()


async def w5(client: ZooKeeperClient, clock: Clock) -> None:
    paths = await prepare(client, 5000)
    mirror = Mirror(client.connect_string)
    nodes = [mirror.get(path) for path in paths]
    for node in nodes:
        await node.value(timeout=None)
    left = set(paths)
    told: Deferred[None] = Deferred()

    def changed(path: str, value: tuple[bytes, object]) -> None:
        if value[0] == b"y" * 100:
            left.discard(path)
            if not left:
                told.callback(None)

    for node in nodes:
        node.addValueWatcher("benchmark", partial(changed, node.path))
    clock.start()
    await outstanding(1000, (partial(client.set, path, b"y" * 100) for path in paths))
    await told
    clock.stop()
    await mirror.close()


async def q1(client: ZooKeeperClient, clock: Clock) -> None:
    queue = await empty_queue(client)
    clock.start()
    for _ in range(2000):
        await queue.put(DATA)
    clock.stop()


async def q2(client: ZooKeeperClient, clock: Clock) -> None:
    queue = await empty_queue(client)
    clock.start()
    await outstanding(200, (partial(queue.put, DATA) for _ in range(10_000)))
    clock.stop()


async def empty_queue(client: ZooKeeperClient) -> Queue:
    """Return a queue whose nodes exist, and which is empty."""
    await clear(client)
    queue = Queue(client, ROOT)
    await queue.put(DATA)
    await queue.get()
    return queue


async def main(reactor: object, workload: str, servers: str) -> None:
    """Run a workload and print its figures."""
    client, clock = ZooKeeperClient(servers), Clock()
    await client.connect()
    await {"W1": w1, "W2": w2, "W3": w3, "W4": w4, "W5": w5, "Q1": q1, "Q2": q2}[workload](client, clock)
    await clear(client)
    await client.close()
    print(json.dumps(clock.figures))


if __name__ == "__main__":
    react(lambda reactor: Deferred.fromCoroutine(main(reactor, *sys.argv[1:])))
