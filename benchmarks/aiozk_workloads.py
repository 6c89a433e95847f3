"""The workloads as aiozk does them: ``aiozk_workloads.py W1 127.0.0.1:2181`` prints its figures as JSON."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Callable, Coroutine, Iterable
from functools import partial
from typing import Any

from aiozk import ZKClient
from clock import Clock

DATA = b"x" * 100
ROOT = "/txmirror-benchmark"


async def outstanding(most: int, requests: Iterable[Callable[[], Coroutine[Any, Any, object]]]) -> None:
    """Make requests, so many at a time; return when all are answered."""
    waiting = iter(requests)

    async def work() -> None:
        # One task for each place in the row, and not one for each request: that is how aiozk is quickest.
        for request in waiting:
            await request()

    await asyncio.gather(*(work() for _ in range(most)))


async def prepare(client: ZKClient, count: int) -> list[str]:
    """Make the nodes, in an empty parent, and return their paths."""
    await clear(client)
    await client.create(ROOT)
    paths = [f"{ROOT}/n{number}" for number in range(count)]
    await outstanding(500, (partial(client.create, path, DATA) for path in paths))
    return paths


async def clear(client: ZKClient) -> None:
    """Delete the nodes of an earlier run."""
    if await client.exists(ROOT):
        names = await client.get_children(ROOT)
        await outstanding(500, (partial(client.delete, f"{ROOT}/{name}", force=True) for name in names))
        await client.delete(ROOT, force=True)


async def w1(client: ZKClient, clock: Clock) -> None:
    (path,) = await prepare(client, 1)
    clock.start()
    for _ in range(3000):
        await client.get(path)
    clock.stop()


async def w2(client: ZKClient, clock: Clock) -> None:
    (path,) = await prepare(client, 1)
    clock.start()
    await outstanding(1000, ((lambda: client.get(path)) for _ in range(20_000)))
    clock.stop()


async def w3(client: ZKClient, clock: Clock) -> None:
    await prepare(client, 0)
    clock.start()
    await outstanding(1000, (partial(client.create, f"{ROOT}/n{n}", DATA) for n in range(10_000)))
    clock.stop()


async def w4(client: ZKClient, clock: Clock) -> None:
    paths = await prepare(client, 5000)
    clock.start()
    await outstanding(1000, (partial(client.set_data, path, DATA, force=True) for path in paths * 2))
    clock.stop()


async def w5(client: ZKClient, clock: Clock) -> None:
    paths = await prepare(client, 5000)
    watching = ZKClient(",".join(f"{host}:{port}" for host, port in client.session.hosts))
    await watching.start()
    watcher = watching.recipes.DataWatcher()
    seen: dict[str, bytes] = {}
    left = set(paths)
    warm, told = asyncio.Event(), asyncio.Event()

    def changed(path: str) -> Callable[[bytes], None]:
        def told_of(data: bytes) -> None:
            seen[path] = data
            if len(seen) == len(paths):
                warm.set()
            if data == b"y" * 100:
                left.discard(path)
                if not left:
                    told.set()

        return told_of

    callbacks = {path: changed(path) for path in paths}
    for path, callback in callbacks.items():
        watcher.add_callback(path, callback)
    await warm.wait()
    clock.start()
    await outstanding(1000, (partial(client.set_data, path, b"y" * 100, force=True) for path in paths))
    await asyncio.wait_for(told.wait(), 120)
    clock.stop()
    # Its tasks swallow a cancellation, and end only when nobody is left to call.
    for path, callback in callbacks.items():
        watcher.remove_callback(path, callback)
    await watching.close()


async def main(workload: str, servers: str) -> None:
    """Run a workload and print its figures."""
    client, clock = ZKClient(servers), Clock()
    await client.start()
    await {"W1": w1, "W2": w2, "W3": w3, "W4": w4, "W5": w5}[workload](client, clock)
    await clear(client)
    await client.close()
    print(json.dumps(clock.figures))


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
