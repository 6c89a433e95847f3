"""The workloads of histories as txmirror does them. ``histories.py`` starts it."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Sequence
from typing import Any

from history_workloads import (
    COUNTER,
    LOCKING_QUEUE,
    QUEUE,
    VALUE,
    WORKLOADS,
    NothingTakenError,
    OtherValueError,
    Run,
    arguments,
)
from recording import Log
from twisted.internet.defer import Deferred, gatherResults
from twisted.internet.task import deferLater, react

from txmirror.client import ZooKeeperClient
from txmirror.errors import (
    BadVersionException,
    NodeExistsException,
    NoNodeException,
    NotEmptyException,
    ZooKeeperException,
)
from txmirror.mirror import Mirror
from txmirror.recipes import (
    Barrier,
    Counter,
    DoubleBarrier,
    Lock,
    LockingQueue,
    Partitioner,
    Party,
    Queue,
    Share,
    SharedValue,
)
from txmirror.registry import ServiceRegistry
from txmirror.testing.history import Create, Delete, Outcome, Refusal, Set, Shown
from txmirror.testing.history.calls import Part
from txmirror.types import ZnodeStat

#: The session timeout in seconds, for which a take waits for the servers.
TIMEOUT = 10.0
#: Seconds for entering and for leaving a double barrier.
LIMIT = 6.0
REFUSALS: dict[type[Exception], Refusal] = {
    BadVersionException: Refusal.BAD_VERSION,
    NoNodeException: Refusal.NO_NODE,
    NodeExistsException: Refusal.NODE_EXISTS,
    NotEmptyException: Refusal.NOT_EMPTY,
}


def shown(stat: ZnodeStat, data: bytes | None = None) -> Shown:
    return Shown(stat.mzxid, None if data is None else data.decode(), stat.czxid, stat.version, stat.ephemeralOwner)


class Adapter:
    """The calls. An error has ``applied``, and that is the outcome."""

    def __init__(self, reactor: Any, client: ZooKeeperClient) -> None:
        self._reactor = reactor
        self._client = client
        self._counter = Counter(client, COUNTER)
        self._queue = Queue(client, QUEUE)
        self._locking_queue = LockingQueue(client, LOCKING_QUEUE)
        self._value = SharedValue(client, VALUE)
        self._registry: ServiceRegistry | None = None
        self._party: Party | None = None

    def session(self) -> int:
        return self._client.session.session_number

    def outcome(self, error: Exception) -> tuple[Outcome, Refusal | None]:
        applied = error.applied if isinstance(error, ZooKeeperException) else None
        return Outcome.UNKNOWN if applied is None else Outcome.NOT_APPLIED, REFUSALS.get(type(error))

    async def pause(self, seconds: float) -> None:
        await deferLater(self._reactor, seconds)

    async def get(self, path: str, watch: Callable[[bool], None] | None = None) -> Shown:
        if watch is None:
            data, stat = await self._client.get(path)
            return shown(stat, data)
        answer, changed = self._client.get_and_watch(path)
        changed.addCallbacks(lambda _: watch(True), lambda _: watch(False))
        data, stat = await answer
        return shown(stat, data)

    async def children(self, path: str) -> list[str]:
        return await self._client.get_children(path)

    async def set(self, path: str, data: str, version: int) -> Shown:
        return shown(await self._client.set(path, data.encode(), version))

    async def create(self, path: str, data: str, sequential: bool, ephemeral: bool) -> tuple[str, int | None]:
        created, stat = await self._client.create_and_stat(
            path, data.encode(), sequence=sequential, ephemeral=ephemeral
        )
        return created, stat.czxid

    async def delete(self, path: str, version: int) -> None:
        await self._client.delete(path, version)

    async def transact(self, parts: tuple[Part, ...]) -> int | None:
        transaction = self._client.transaction()
        for part in parts:
            if isinstance(part, Create):
                transaction.create(part.path, part.data.encode())
            elif isinstance(part, Set):
                transaction.set(part.path, part.data.encode(), part.version)
            elif isinstance(part, Delete):
                transaction.delete(part.path, part.version)
            else:
                transaction.check(part.path, part.version)
        results = await transaction.commit()
        return next((each.mzxid for each in results if isinstance(each, ZnodeStat)), None)

    async def register(self, path: str, data: dict[str, str]) -> None:
        self._registry = ServiceRegistry(mirror=Mirror(client=self._client))
        await self._registry.start()
        await self._registry.set_node(path, data)

    async def add(self, path: str, amount: int) -> int | None:
        return await self._counter.add(amount)

    async def put(self, path: str, item: str) -> None:
        await self._queue.put(item.encode())

    async def take(self, path: str) -> str | None:
        begin = time.monotonic()
        item = await self._queue.get(wait=0)
        if item is None and time.monotonic() - begin > TIMEOUT * 0.9:
            raise TimeoutError("no answer came in time: the queue need not be empty")
        return None if item is None else item.decode()

    async def put_locked(self, path: str, item: str) -> None:
        await self._locking_queue.put(item.encode())

    async def consume(self, path: str) -> str:
        entry = await self._locking_queue.get(wait=1.0)
        if entry is None:
            raise NothingTakenError
        await entry.consume()
        return entry.data.decode()

    async def block(self, path: str) -> None:
        await Barrier(self._client, path).create()

    async def unblock(self, path: str) -> None:
        await Barrier(self._client, path).remove()

    async def pass_barrier(self, path: str) -> None:
        await Barrier(self._client, path).wait()

    async def join(self, path: str, name: str) -> None:
        if self._party is None:
            self._party = Party(self._client, path, name=name)
        await self._party.join()

    async def leave(self, path: str) -> None:
        if self._party is not None:
            await self._party.leave()

    async def members(self, path: str) -> list[str]:
        return await Party(self._client, path).members()

    def sharing(self, path: str, items: Sequence[str], name: str) -> OurSharing:
        return OurSharing(self._client, path, items, name)

    async def update(self, path: str, value: str) -> str:
        formers: list[bytes] = []

        def change(former: bytes) -> bytes:
            formers.append(former)
            return value.encode()

        await self._value.update(change)
        return formers[-1].decode()

    async def try_set(self, path: str, value: str, expected: str) -> None:
        if not await self._value.try_set(value.encode(), expected.encode()):
            raise OtherValueError

    async def look(self, path: str) -> str:
        return (await self._value.get()).decode()

    def lock(self, path: str) -> OurLock:
        return OurLock(Lock(self._client, path))

    def barrier(self, path: str, parties: int) -> OurBarrier:
        return OurBarrier(DoubleBarrier(self._client, path, count=parties))


class OurLock:
    """A lock, which itself says whether it is safe."""

    def __init__(self, lock: Lock) -> None:
        self._lock = lock

    async def acquire(self) -> bool:
        return await self._lock.acquire()

    async def token(self) -> int | None:
        return self._lock.token

    def held(self) -> bool:
        return self._lock.held

    async def release(self) -> None:
        await self._lock.release()


class OurBarrier:
    """A double barrier, with timeouts."""

    def __init__(self, barrier: DoubleBarrier) -> None:
        self._barrier = barrier

    async def enter(self) -> bool:
        return await self._barrier.enter(timeout=LIMIT)

    async def leave(self) -> bool:
        return await self._barrier.leave(timeout=LIMIT)


class OurSharing:
    """A member whose jobs end at once when they are cancelled. The partitioner itself says which items are safe."""

    def __init__(self, client: ZooKeeperClient, path: str, items: Sequence[str], name: str) -> None:
        self._tokens: dict[str, int] = {}
        self._partitioner = Partitioner(client, path, items, self._work, name=name)
        self._partitioner.start().addErrback(lambda failure: failure.trap(ZooKeeperException))

    def _work(self, share: Share) -> Deferred[None]:
        self._tokens[share.item] = share.token
        return Deferred()

    def held(self) -> dict[str, int | None]:
        return {item: self._tokens[item] for item in self._partitioner.shares}

    async def step(self) -> None:
        """Nothing: it runs by itself."""

    async def stop(self) -> None:
        await self._partitioner.stop()


async def main(reactor: Any, *argv: str) -> None:
    """Run the workloads."""
    servers, name, seed, until, workloads, path = arguments(list(argv))
    client = ZooKeeperClient(servers, session_timeout=TIMEOUT)
    await client.connect()
    run = Run(Adapter(reactor, client), Log(name, path), seed, until)
    await gatherResults([Deferred.fromCoroutine(WORKLOADS[each](run)) for each in workloads], consumeErrors=True)
    await client.close()


if __name__ == "__main__":
    react(lambda reactor, *argv: Deferred.fromCoroutine(main(reactor, *argv)), sys.argv[1:])
