"""The workloads of histories as txzookeeper does them, on the native client through ``txmirror.compat``. ``histories.py`` starts it.

A client of txzookeeper has one session. When that has expired, the program makes a new client.
"""

from __future__ import annotations

import sys
from collections.abc import Awaitable, Callable
from typing import Any, cast

from history_workloads import WORKLOADS, Calls, Run, arguments
from recording import Log
from twisted.internet.defer import Deferred, gatherResults
from twisted.internet.task import deferLater, react

from txmirror.compat import install
from txmirror.testing.history import Outcome, Refusal, Shown

install()

import zookeeper  # noqa: E402 - it can be imported from here on
from txzookeeper.client import NotConnectedException, ZookeeperClient  # noqa: E402
from txzookeeper.lock import Lock  # noqa: E402

REFUSALS = {
    zookeeper.BadVersionException: Refusal.BAD_VERSION,
    zookeeper.NoNodeException: Refusal.NO_NODE,
    zookeeper.NodeExistsException: Refusal.NODE_EXISTS,
    zookeeper.NotEmptyException: Refusal.NOT_EMPTY,
}


def shown(stat: Any, data: str | None = None) -> Shown:
    return Shown(stat["mzxid"], data, stat["czxid"], stat["version"], stat["ephemeralOwner"])


class Adapter:
    """The calls. A server's refusal had no effect, nor a call without a connection; any other error leaves it unknown."""

    def __init__(self, reactor: Any, servers: str) -> None:
        self._reactor = reactor
        self._servers = servers
        self._number = 0
        self._connecting: Deferred[Any] | None = None
        self.client: Any = None

    async def connect(self) -> None:
        """Connect a new client, with a new session."""
        while self.client is None or self.client.unrecoverable or self.client.handle is None:
            self._number += 1
            self.client = ZookeeperClient(self._servers, 10_000)
            try:
                await self.client.connect(timeout=10)
            except Exception:
                await self.pause(1)

    def session(self) -> int:
        return self._number

    def outcome(self, error: Exception) -> tuple[Outcome, Refusal | None]:
        refusal = REFUSALS.get(type(error))
        not_done = refusal is not None or isinstance(error, NotConnectedException)
        return Outcome.NOT_APPLIED if not_done else Outcome.UNKNOWN, refusal

    async def pause(self, seconds: float) -> None:
        await deferLater(self._reactor, max(0, seconds))
        client = self.client
        if client is not None and client.connected is False and client.unrecoverable:
            await self._renew()

    async def _renew(self) -> None:
        if self._connecting is None:
            self._connecting = Deferred.fromCoroutine(self.connect())
            self._connecting.addBoth(self._renewed)
        await deferLater(self._reactor, 0.2)

    def _renewed(self, _: object) -> None:
        self._connecting = None

    async def get(self, path: str, watch: Callable[[bool], None] | None = None) -> Shown:
        if watch is None:
            data, stat = await self.client.get(path)
            return shown(stat, data)
        answer, changed = self.client.get_and_watch(path)
        changed.addCallbacks(lambda event: watch(event.type != zookeeper.SESSION_EVENT), lambda _: watch(False))
        data, stat = await answer
        return shown(stat, data)

    async def children(self, path: str) -> list[str]:
        return list(await self.client.get_children(path))

    async def set(self, path: str, data: str, version: int) -> Shown:
        return shown(await self.client.set(path, data, version))

    async def create(self, path: str, data: str, sequential: bool, ephemeral: bool) -> tuple[str, int | None]:
        flags = (zookeeper.SEQUENCE if sequential else 0) | (zookeeper.EPHEMERAL if ephemeral else 0)
        return await self.client.create(path, data, flags=flags), None

    async def delete(self, path: str, version: int) -> None:
        await self.client.delete(path, version)

    async def add(self, path: str, amount: int) -> int | None:
        """Compare and set, as there is no recipe."""
        while True:
            data, stat = await self.client.get(path)
            total = int(data) + amount
            try:
                await self.client.set(path, str(total), stat["version"])
            except zookeeper.BadVersionException:
                continue
            return total

    def lock(self, path: str) -> OldLock:
        return OldLock(self.client, path)


class OldLock:
    """A lock. The program does not rely on it while the client has no connection."""

    def __init__(self, client: Any, path: str) -> None:
        self._client = client
        self._lock = Lock(path, client)

    async def acquire(self) -> bool:
        try:
            await self._lock.acquire()
        except Exception:
            return False
        return True

    async def token(self) -> int | None:
        # No method names its node.
        stat = await self._client.exists(self._lock._candidate_path)
        return None if stat is None else stat["czxid"]

    def held(self) -> bool:
        return bool(self._lock.acquired and self._client.connected)

    def release(self) -> Awaitable[None]:
        released: Awaitable[None] = self._lock.release()
        return released


async def main(reactor: Any, *argv: str) -> None:
    """Run the workloads."""
    servers, name, seed, until, workloads, path = arguments(list(argv))
    adapter = Adapter(reactor, servers)
    await adapter.connect()
    run = Run(cast(Calls, adapter), Log(name, path), seed, until)
    await gatherResults([Deferred.fromCoroutine(WORKLOADS[each](run)) for each in workloads], consumeErrors=True)
    await adapter.client.close()


if __name__ == "__main__":
    react(lambda reactor, *argv: Deferred.fromCoroutine(main(reactor, *argv)), sys.argv[1:])
