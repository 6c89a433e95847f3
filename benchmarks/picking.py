"""The cost of a provider's ``instance()`` beside a list's ``random.choice``, and of a change among its instances.

    .venv/bin/python benchmarks/picking.py

All is in one process, with ZooKeeper in memory. CPU time in microseconds; the best of several runs.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from itertools import count, cycle
from time import process_time
from typing import Any

from twisted.internet.defer import Deferred, succeed

from txmirror.discovery import STRATEGIES, ServiceProvider
from txmirror.testing import World

PATH = "/services/web"
SIZES = (10, 10_000)
#: The number of calls in a run, and of runs.
CALLS, RUNS = 20_000, 5


def microseconds(call: Callable[[], object], calls: int = CALLS) -> float:
    """Return the CPU time of a call."""
    times = []
    for _ in range(RUNS):
        start = process_time()
        for _ in range(calls):
            call()
        times.append((process_time() - start) / calls * 1e6)
    return min(times)


def show(what: str, results: list[float]) -> None:
    print(f"{what:44}" + "".join(f"{each:14,.2f}" for each in results))


def make_instances(world: World, size: int) -> Any:
    """Register instances, and return the client that has registered them."""
    client = world.client()
    world.result(client.create("/services"))
    world.result(client.create(PATH))
    created: list[Deferred[str]] = [
        client.create(f"{PATH}/10.0.{number // 250}.{number % 250}:80", b'{"weight": %d}' % (number % 3 + 1))
        for number in range(size)
    ]
    for each in created:
        world.result(each)
    return client


def picks(pick: str, provider: ServiceProvider) -> Iterator[tuple[str, Callable[[], object], int]]:
    """Yield a text, a function and the number of calls for each way to use a strategy."""
    if pick == "sticky":
        known, new = cycle(f"user{number}" for number in range(1000)), count()
        yield "instance(key), sticky, known keys", lambda: provider.instance(next(known)), CALLS
        yield "instance(key), sticky, new keys", lambda: provider.instance(f"new{next(new)}"), 200
        return
    yield f"instance(), {pick}", provider.instance, CALLS
    if pick == "least-pending":

        def use() -> None:
            with provider.using(provider.instance().result):  # type: ignore[arg-type]  # it has fired
                pass

        yield f"instance() and using(), {pick}", use, CALLS


def measure(size: int, results: dict[str, list[float]]) -> None:
    def note(what: str, call: Callable[[], object], calls: int = CALLS) -> None:
        results.setdefault(what, []).append(microseconds(call, calls))

    with World() as world:
        client = make_instances(world, size)
        registry = world.registry()
        providers = [ServiceProvider(registry, PATH, pick=pick) for pick in STRATEGIES]
        world.settle()
        found = providers[0].instances()
        assert len(found) == size
        note("random.choice(list)", lambda: random.choice(found))
        note("succeed(random.choice(list))", lambda: succeed(random.choice(found)))
        for pick, provider in zip(STRATEGIES, providers, strict=True):
            for what, call, calls in picks(pick, provider):
                note(what, call, calls)
        note("instance(avoid=[one]), round-robin", lambda: providers[0].instance(avoid=found[:1]), 200)
        for provider in providers[1:]:
            provider.close()
        weights = count(1)

        def change() -> None:
            world.result(client.set(f"{PATH}/{found[0].name}", b'{"weight": %d}' % next(weights)))
            world.settle()
            assert len(providers[0].instances()) == size

        note("one instance changes, and is picked", change, 20)
        for provider in providers:
            provider.close()


def main() -> None:
    results: dict[str, list[float]] = {}
    for size in SIZES:
        measure(size, results)
    print(f"{'microseconds':44}" + "".join(f"{f'{size:,} instances':>14}" for size in SIZES))
    for what, each in results.items():
        show(what, each)


if __name__ == "__main__":
    main()
