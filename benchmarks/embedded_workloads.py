"""The workloads of ``embedded.py``, run with our client in a process of its own: it prints its figures as JSON.

``embedded_workloads.py requests 127.0.0.1:2181 PID`` asks a server, whose CPU time is read from ``/proc``;
``embedded_workloads.py requests memory`` has server and client on one ``MemoryReactor``; ``start`` measures how long
that takes to stand; ``fill 127.0.0.1:2181 PID`` makes nodes.
"""

from __future__ import annotations

import json
import os
import statistics
import sys
import time
from collections.abc import Callable, Coroutine
from functools import partial
from pathlib import Path
from typing import Any

from clock import Clock
from twisted.internet.defer import Deferred
from twisted.internet.task import react
from twisted.python.failure import Failure
from txmirror_workloads import DATA, ROOT, clear, outstanding

from txmirror.client import ZooKeeperClient
from txmirror.embedded import EmbeddedServer
from txmirror.testing import MemoryReactor

SEQUENTIAL, PIPELINED, OUTSTANDING = 2_000, 10_000, 1_000
NODES = 100_000
_TICKS = os.sysconf("SC_CLK_TCK")


def cpu_of(pid: int) -> float:
    """Return the CPU time that a process has used, in seconds; 0 without a process."""
    if not pid:
        return 0.0
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICKS


def memory_of(pid: int) -> float:
    """Return a process's resident memory in MiB."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20


def operations(client: ZooKeeperClient) -> dict[str, Callable[[str], Deferred[Any]]]:
    """Return the functions that send one request for a path, by name."""
    return {
        "create": lambda path: client.create(path, DATA),
        "exists": client.exists,
        "get": client.get,
        "set": lambda path: client.set(path, DATA),
    }


async def requests(client: ZooKeeperClient, pid: int) -> dict[str, dict[str, float]]:
    """Ask for each, one after the other and many at a time."""
    await clear(client)
    await client.create(ROOT)
    figures = {}
    for how, count in (("sequential", SEQUENTIAL), ("pipelined", PIPELINED)):
        paths = [f"{ROOT}/{how}{number}" for number in range(count)]
        for name, ask in operations(client).items():
            clock, before = Clock(), cpu_of(pid)
            clock.start()
            if how == "sequential":
                for path in paths:
                    await ask(path)
            else:
                await outstanding(OUTSTANDING, (partial(ask, path) for path in paths))
            clock.stop()
            figures[f"{name}, {how}"] = {
                "rate": count / clock.figures["wall"],
                "cpu": clock.figures["cpu"] / count,
                "server": (cpu_of(pid) - before) / count,
            }
    await clear(client)
    return figures


async def fill(client: ZooKeeperClient, pid: int) -> dict[str, float]:
    """Make many nodes."""
    await clear(client)
    await client.create(ROOT)
    before, start = memory_of(pid), time.perf_counter()
    await outstanding(OUTSTANDING, (partial(client.create, f"{ROOT}/n{n}", DATA) for n in range(NODES)))
    return {"before": before, "after": memory_of(pid), "wall": time.perf_counter() - start}


async def asking(work: str, client: ZooKeeperClient, pid: int) -> None:
    """Do a work and print its figures."""
    await client.connect()
    figures = await {"requests": requests, "fill": fill}[work](client, pid)
    await client.close()
    print(json.dumps(figures))


class World:
    """A server and a client in memory."""

    def __init__(self) -> None:
        self.reactor = MemoryReactor()
        self.reactor.patience = 100_000_000
        self.server = EmbeddedServer(self.reactor)
        self.server.listen()
        self.client = ZooKeeperClient(self.server.address, reactor=self.reactor)

    def run(self, work: Deferred[Any] | Coroutine[Deferred[Any], Any, None]) -> None:
        """Let something happen, until all is quiet; it must be done by then."""
        done: list[Any] = []
        (work if isinstance(work, Deferred) else Deferred.fromCoroutine(work)).addBoth(done.append)
        self.reactor.settle()
        if not done or isinstance(done[0], Failure):
            raise SystemExit(f"it did not succeed: {done}")


def starts() -> dict[str, float]:
    """Return the time to make a world with a connected client, in seconds."""
    taken = []
    for _ in range(200):
        start = time.perf_counter()
        world = World()
        world.run(world.client.connect())
        taken.append(time.perf_counter() - start)
        world.run(world.client.close())
        world.run(world.server.stop())
    return {"world": statistics.median(taken)}


def main(work: str, servers: str = "memory", pid: str = "0") -> None:
    """Run the workload of the command line."""
    if work == "start":
        print(json.dumps(starts()))
    elif servers == "memory":
        world = World()
        world.run(asking(work, world.client, 0))
    else:
        react(lambda _: Deferred.fromCoroutine(asking(work, ZooKeeperClient(servers), int(pid))))


if __name__ == "__main__":
    main(*sys.argv[1:])
