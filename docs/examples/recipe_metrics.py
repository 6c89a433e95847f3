"""Metrics of recipes for Prometheus: waiting, holding and losses."""

import sys

from prometheus_client import CollectorRegistry, Histogram, generate_latest
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import react
from zope.interface import implementer

from txmirror import ZooKeeperClient
from txmirror.interfaces import IMetrics, IRecipeMetrics
from txmirror.recipes import Lock, Queue
from txmirror.types import SessionEvent


@implementer(IMetrics, IRecipeMetrics)
class RecipeMetrics:
    """Two histograms, whose counts are the numbers of operations and of holdings."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.operations = Histogram(
            "recipe_operation_seconds",
            "The times of operations, with all waiting.",
            ["kind", "path", "operation", "outcome"],
            registry=registry,
        )
        self.holdings = Histogram(
            "recipe_holding_seconds",
            "The times for which locks, entries and memberships were held.",
            ["kind", "path", "lost"],
            registry=registry,
        )

    def operation_ended(self, kind: str, path: str, operation: str, outcome: str, seconds: float) -> None:
        self.operations.labels(kind, path, operation, outcome).observe(seconds)

    def holding_ended(self, kind: str, path: str, lost: bool, seconds: float) -> None:
        self.holdings.labels(kind, path, lost).observe(seconds)

    # The client's requests are not counted here.

    def sent(self, operation: str, size: int) -> None: ...
    def answered(self, operation: str, seconds: float, error: int, size: int) -> None: ...
    def lost(self, operation: str, seconds: float) -> None: ...
    def received(self, size: int) -> None: ...
    def connected(self, event: SessionEvent) -> None: ...
    def disconnected(self, event: SessionEvent) -> None: ...


async def main(reactor: IReactorTime, servers: str = "localhost:2181") -> None:
    registry = CollectorRegistry()
    client = ZooKeeperClient(servers, metrics=RecipeMetrics(registry), reactor=reactor)
    await client.connect()

    async with Lock(client, "/locks/report", reactor=reactor) as lock:
        other = Lock(client, "/locks/report", reactor=reactor)
        print("held:", lock.held, "and by another:", await other.acquire(wait=0))
    queue = Queue(client, "/jobs", reactor=reactor)
    await queue.put(b"resize 17")
    await queue.get()

    for line in generate_latest(registry).decode().splitlines():
        if "_count{" in line:
            print(line)
    await client.close()


if __name__ == "__main__":
    react(lambda reactor, *arguments: Deferred.fromCoroutine(main(reactor, *arguments)), sys.argv[1:])
