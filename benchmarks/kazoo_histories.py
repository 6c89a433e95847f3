"""The workloads of histories as kazoo does them, each in a thread. ``histories.py`` starts it.

Its documentation says that operations raise an exception when the connection is lost, and that whoever holds a lock should watch for
the states SUSPENDED and LOST. Its recipes retry by themselves.
"""

from __future__ import annotations

import json
import logging
import sys
import threading
from collections.abc import Callable, Coroutine, Sequence
from contextlib import suppress
from typing import Any, cast

from history_workloads import LOCKING_QUEUE, WORKLOADS, Calls, NothingTakenError, Run, arguments
from kazoo import exceptions
from kazoo.client import KazooClient, KazooState
from kazoo.protocol.states import EventType, ZnodeStat
from kazoo.recipe.barrier import DoubleBarrier
from kazoo.recipe.partitioner import SetPartitioner
from kazoo.recipe.party import Party
from kazoo.retry import KazooRetry
from recording import Log

from txmirror.testing.history import Create, Delete, Outcome, Refusal, Set, Shown
from txmirror.testing.history.calls import Part

REFUSALS = {
    exceptions.BadVersionError: Refusal.BAD_VERSION,
    exceptions.NoNodeError: Refusal.NO_NODE,
    exceptions.NodeExistsError: Refusal.NODE_EXISTS,
    exceptions.NotEmptyError: Refusal.NOT_EMPTY,
}


def shown(stat: ZnodeStat, data: bytes | None = None) -> Shown:
    return Shown(stat.mzxid, None if data is None else data.decode(), stat.czxid, stat.version, stat.ephemeralOwner)


class Adapter:
    """The calls. A server's refusal had no effect; any other error leaves it unknown."""

    def __init__(self, client: KazooClient) -> None:
        self.client = client
        self.troubles = 0
        self._sessions: dict[int, int] = {}
        self._locking_queue = client.LockingQueue(LOCKING_QUEUE)
        self._party: Party | None = None
        # It is set by the connection's thread, and nothing that is recorded waits for it.
        client.add_listener(self._state_changed)

    def _state_changed(self, state: str) -> None:
        if state != KazooState.CONNECTED:
            self.troubles += 1

    def session(self) -> int:
        client_id = self.client.client_id
        return 0 if client_id is None else self._sessions.setdefault(client_id[0], len(self._sessions) + 1)

    def outcome(self, error: Exception) -> tuple[Outcome, Refusal | None]:
        refusal = Refusal.OTHER if isinstance(error, Rejected) else REFUSALS.get(type(error))
        return Outcome.UNKNOWN if refusal is None else Outcome.NOT_APPLIED, refusal

    async def pause(self, seconds: float) -> None:
        threading.Event().wait(max(0, seconds))

    async def get(self, path: str, watch: Callable[[bool], None] | None = None) -> Shown:
        changed = None if watch is None else lambda event: watch(event.type != EventType.NONE)
        data, stat = self.client.get(path, watch=changed)
        return shown(stat, data)

    async def children(self, path: str) -> list[str]:
        return list(self.client.get_children(path))

    async def set(self, path: str, data: str, version: int) -> Shown:
        return shown(self.client.set(path, data.encode(), version))

    async def create(self, path: str, data: str, sequential: bool, ephemeral: bool) -> tuple[str, int | None]:
        created, stat = self.client.create(
            path, data.encode(), ephemeral=ephemeral, sequence=sequential, include_data=True
        )
        return created, stat.czxid

    async def delete(self, path: str, version: int) -> None:
        self.client.delete(path, version)

    async def transact(self, parts: tuple[Part, ...]) -> int | None:
        transaction = self.client.transaction()
        for part in parts:
            if isinstance(part, Create):
                transaction.create(part.path, part.data.encode())
            elif isinstance(part, Set):
                transaction.set_data(part.path, part.data.encode(), part.version)
            elif isinstance(part, Delete):
                transaction.delete(part.path, part.version)
            else:
                transaction.check(part.path, part.version)
        results = transaction.commit()
        errors = [each for each in results if isinstance(each, Exception)]
        if errors:
            raise Rejected(errors)
        return next((each.mzxid for each in results if isinstance(each, ZnodeStat)), None)

    async def register(self, path: str, data: dict[str, str]) -> None:
        """Create an ephemeral node, and again after the state LOST, as its documentation of the states recommends."""
        text = json.dumps(data).encode()
        lost = False

        def changed(state: str) -> None:
            nonlocal lost
            lost = lost or state == KazooState.LOST
            if lost and state == KazooState.CONNECTED:
                lost = False
                self.client.handler.spawn(self._retry, self._place, path, text)

        self.client.add_listener(changed)
        self._retry(self._place, path, text)

    async def block(self, path: str) -> None:
        self.client.Barrier(path).create()

    async def unblock(self, path: str) -> None:
        self.client.Barrier(path).remove()

    async def pass_barrier(self, path: str) -> None:
        self.client.Barrier(path).wait()

    async def join(self, path: str, name: str) -> None:
        """Join, and again after the state LOST, as its documentation of the states recommends for ephemeral nodes."""
        if self._party is not None:
            self._party.join()
            return
        self._party = joined = self.client.Party(path, name)
        lost = False

        def changed(state: str) -> None:
            nonlocal lost
            lost = lost or state == KazooState.LOST
            if lost and state == KazooState.CONNECTED:
                lost = False
                if joined.participating:
                    self.client.handler.spawn(self._retry, joined.join)

        self.client.add_listener(changed)
        joined.join()

    async def leave(self, path: str) -> None:
        if self._party is not None:
            self._party.leave()

    async def members(self, path: str) -> list[str]:
        return list(self.client.Party(path))

    def sharing(self, path: str, items: Sequence[str], name: str) -> KazooSharing:
        return KazooSharing(self.client, path, items, name)

    def _retry(self, function: Callable[..., None], *arguments: Any) -> None:
        KazooRetry(max_tries=-1, ignore_expire=True, max_delay=5.0)(function, *arguments)

    def _place(self, path: str, data: bytes) -> None:
        try:
            self.client.create(path, data, ephemeral=True)
        except exceptions.NodeExistsError:
            stat = self.client.exists(path)
            if stat is None or stat.ephemeralOwner != self.client.client_id[0]:
                with suppress(exceptions.NoNodeError):
                    self.client.delete(path)
                self.client.create(path, data, ephemeral=True)

    async def add(self, path: str, amount: int) -> int | None:
        counter = self.client.Counter(path)
        counter += amount
        total: int | None = counter.post_value
        return total

    def lock(self, path: str) -> KazooLock:
        return KazooLock(self, path)

    def barrier(self, path: str, parties: int) -> KazooBarrier:
        return KazooBarrier(self.client.DoubleBarrier(path, parties))

    async def put(self, path: str, item: str) -> None:
        self.client.Queue(path).put(item.encode())

    async def take(self, path: str) -> str | None:
        item = self.client.Queue(path).get()
        return None if item is None else item.decode()

    async def put_locked(self, path: str, item: str) -> None:
        self.client.LockingQueue(path).put(item.encode())

    async def consume(self, path: str) -> str:
        """Consume an item with one queue for the process, which holds one item at a time."""
        item = self._locking_queue.get(timeout=1)
        if item is None or not self._locking_queue.consume():
            raise NothingTakenError
        return str(item, "utf-8")


class Rejected(Exception):
    """A transaction was not done. ``commit`` returns the errors of all its parts."""


class KazooLock:
    """A lock, and the states SUSPENDED and LOST since it was acquired."""

    def __init__(self, adapter: Adapter, path: str) -> None:
        self._adapter = adapter
        self._lock = adapter.client.Lock(path)
        self._troubles = 0

    async def acquire(self) -> bool:
        self._troubles = self._adapter.troubles
        try:
            return bool(self._lock.acquire())
        except exceptions.KazooException:
            return False

    async def token(self) -> int | None:
        stat = self._adapter.client.exists(f"{self._lock.path}/{self._lock.node}")
        return None if stat is None else stat.czxid

    def held(self) -> bool:
        return self._adapter.troubles == self._troubles

    async def release(self) -> None:
        self._lock.release()


class KazooBarrier:
    """A double barrier. It has no timeout, and reports by ``participating`` whether it was entered."""

    def __init__(self, barrier: DoubleBarrier) -> None:
        self._barrier = barrier

    async def enter(self) -> bool:
        self._barrier.enter()
        return bool(self._barrier.participating)

    async def leave(self) -> bool:
        self._barrier.leave()
        return True


class KazooSharing:
    """A loop over the states of its partitioner, as its documentation shows it. A failed one is replaced by another."""

    def __init__(self, client: KazooClient, path: str, items: Sequence[str], name: str) -> None:
        self._arguments = client, path, tuple(items)
        self._name = name
        self._partitioner: SetPartitioner | None = None

    def held(self) -> dict[str, int | None]:
        partitioner = self._partitioner
        if partitioner is None or not partitioner.acquired:
            return {}
        items = list(partitioner)
        return dict.fromkeys(items) if partitioner.acquired else {}

    async def step(self) -> None:
        try:
            if self._partitioner is None:
                # By default, it waits until the members have not changed for 30 s, which hardly happens here.
                client, path, items = self._arguments
                self._partitioner = SetPartitioner(client, path, items, identifier=self._name, time_boundary=2)
            elif self._partitioner.failed:
                self._partitioner = None
            elif self._partitioner.release:
                self._partitioner.release_set()
            elif self._partitioner.allocating:
                self._partitioner.wait_for_acquire(1)
        except exceptions.KazooException:
            self._finish()

    async def stop(self) -> None:
        self._finish()

    def _finish(self) -> None:
        if self._partitioner is not None:
            with suppress(exceptions.KazooException):
                self._partitioner.finish()
            self._partitioner = None


def block(workload: Coroutine[Any, Any, None]) -> None:
    """Run a coroutine that never waits for another."""
    try:
        workload.send(None)
    except StopIteration:
        return
    raise AssertionError("it waits")


def main(*argv: str) -> None:
    """Run the workloads."""
    servers, name, seed, until, workloads, path = arguments(list(argv))
    logging.basicConfig(level=logging.ERROR)
    client = KazooClient(servers, timeout=10)
    client.start(60)
    run = Run(cast(Calls, Adapter(client)), Log(name, path), seed, until)
    threads = [threading.Thread(target=block, args=(WORKLOADS[each](run),), name=each) for each in workloads]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    client.stop()


if __name__ == "__main__":
    main(*sys.argv[1:])
