"""The workloads as kazoo does them: ``kazoo_workloads.py W1 127.0.0.1:2181`` prints its figures as JSON."""

from __future__ import annotations

import json
import sys
import threading
from collections import deque
from collections.abc import Callable, Iterable
from functools import partial
from typing import Any

from clock import Clock
from kazoo.client import KazooClient
from kazoo.recipe.queue import Queue

DATA = b"x" * 100
ROOT = "/txmirror-benchmark"


def outstanding(most: int, requests: Iterable[Callable[[], Any]]) -> None:
    """Make requests, so many at a time; return when all are answered."""
    running: deque[Any] = deque()
    for request in requests:
        if len(running) >= most:
            running.popleft().get()
        running.append(request())
    while running:
        running.popleft().get()


def prepare(client: KazooClient, count: int) -> list[str]:
    """Make the nodes, in an empty parent, and return their paths."""
    clear(client)
    client.create(ROOT)
    paths = [f"{ROOT}/n{number}" for number in range(count)]
    outstanding(500, (partial(client.create_async, path, DATA) for path in paths))
    return paths


def clear(client: KazooClient) -> None:
    """Delete the nodes of an earlier run."""
    if client.exists(ROOT) is not None:
        names = client.get_children(ROOT)
        outstanding(500, (partial(client.delete_async, f"{ROOT}/{name}") for name in names))
        client.delete(ROOT)


def w1(client: KazooClient, clock: Clock) -> None:
    (path,) = prepare(client, 1)
    clock.start()
    for _ in range(3000):
        client.get(path)
    clock.stop()


def w2(client: KazooClient, clock: Clock) -> None:
    (path,) = prepare(client, 1)
    clock.start()
    outstanding(1000, ((lambda: client.get_async(path)) for _ in range(20_000)))
    clock.stop()


def w3(client: KazooClient, clock: Clock) -> None:
    prepare(client, 0)
    clock.start()
    outstanding(1000, (partial(client.create_async, f"{ROOT}/n{n}", DATA) for n in range(10_000)))
    clock.stop()


def w4(client: KazooClient, clock: Clock) -> None:
    paths = prepare(client, 5000)
    clock.start()
    outstanding(1000, (partial(client.set_async, path, DATA) for path in paths * 2))
    clock.stop()


def w5(client: KazooClient, clock: Clock) -> None:
    paths = prepare(client, 5000)
    watching = KazooClient(",".join(f"{host}:{port}" for host, port in client.hosts))
    watching.start()
    left = set(paths)
    told = threading.Event()

    def watcher(path: str) -> Callable[[bytes | None, object], None]:
        def changed(data: bytes | None, stat: object) -> None:
            if data == b"y" * 100:
                left.discard(path)
                if not left:
                    told.set()

        return changed

    for path in paths:
        watching.DataWatch(path, watcher(path))
    clock.start()
    outstanding(1000, (partial(client.set_async, path, b"y" * 100) for path in paths))
    told.wait(120)
    clock.stop()
    watching.stop()


def q1(client: KazooClient, clock: Clock) -> None:
    queue = empty_queue(client)
    clock.start()
    for _ in range(2000):
        queue.put(DATA)
    clock.stop()


def q2(client: KazooClient, clock: Clock) -> None:
    # Its ``put`` waits, so this is the request that it makes.
    path = f"{empty_queue(client).path}/entry-100-"
    clock.start()
    outstanding(200, ((lambda: client.create_async(path, DATA, sequence=True)) for _ in range(10_000)))
    clock.stop()


def empty_queue(client: KazooClient) -> Queue:
    """Return a queue whose node exists, and which is empty."""
    clear(client)
    queue = client.Queue(ROOT)
    queue.put(DATA)
    queue.get()
    return queue


def main(workload: str, servers: str) -> None:
    """Run a workload and print its figures."""
    client, clock = KazooClient(servers), Clock()
    client.start()
    {"W1": w1, "W2": w2, "W3": w3, "W4": w4, "W5": w5, "Q1": q1, "Q2": q2}[workload](client, clock)
    clear(client)
    client.stop()
    print(json.dumps(clock.figures))


if __name__ == "__main__":
    main(*sys.argv[1:])
