"""The workloads of histories as aiozk does them. ``histories.py`` starts it.

By default aiozk repeats each request until it has an answer. Its documentation says of each refusal that the write has failed.
"""

from __future__ import annotations

import asyncio
import logging
import sys
from collections.abc import Callable
from typing import Any, cast

from aiozk import WatchEvent, ZKClient, exc
from history_workloads import WORKLOADS, Calls, Run, arguments
from recording import Log

from txmirror.testing.history import Create, Delete, Outcome, Refusal, Set, Shown
from txmirror.testing.history.calls import Part

REFUSALS = {
    exc.BadVersion: Refusal.BAD_VERSION,
    exc.NoNode: Refusal.NO_NODE,
    exc.NodeExists: Refusal.NODE_EXISTS,
    exc.NotEmpty: Refusal.NOT_EMPTY,
    exc.TransactionFailed: Refusal.OTHER,
}
log = logging.getLogger(__name__)
#: Seconds for entering and for leaving a double barrier.
LIMIT = 6.0


def shown(stat: Any, data: bytes | None = None) -> Shown:
    text = None if data is None else data.decode()
    return Shown(stat.last_modified_zxid, text, stat.created_zxid, stat.version, stat.ephemeral_owner)


class Adapter:
    """The calls. A server's refusal had no effect; any other error leaves it unknown."""

    def __init__(self, client: ZKClient) -> None:
        self._client = client
        self._sessions: dict[int, int] = {}
        self._watching: set[asyncio.Future[None]] = set()

    def session(self) -> int:
        session_id = self._client.session.session_id
        return 0 if session_id is None else self._sessions.setdefault(session_id, len(self._sessions) + 1)

    def outcome(self, error: Exception) -> tuple[Outcome, Refusal | None]:
        refusal = REFUSALS.get(type(error))
        return Outcome.UNKNOWN if refusal is None else Outcome.NOT_APPLIED, refusal

    async def pause(self, seconds: float) -> None:
        await asyncio.sleep(max(0, seconds))

    async def get(self, path: str, watch: Callable[[bool], None] | None = None) -> Shown:
        if watch is None:
            data, stat = await self._client.get(path)
            return shown(stat, data)
        # As its own recipes do: the event must not come before somebody waits for it.
        changed = self._client.wait_for_events([WatchEvent.DATA_CHANGED, WatchEvent.DELETED], path)
        data, stat = await self._client.get(path, watch=True)
        if changed.done():
            # The event of an earlier watch has come in between.
            watch(False)
        else:
            self._watching.add(changed)
            changed.add_done_callback(self._watching.discard)
            changed.add_done_callback(lambda _: watch(True))
        return shown(stat, data)

    async def children(self, path: str) -> list[str]:
        return list(await self._client.get_children(path))

    async def set(self, path: str, data: str, version: int) -> Shown:
        return shown(await self._client.set(path, data.encode(), version))

    async def create(self, path: str, data: str, sequential: bool, ephemeral: bool) -> tuple[str, int | None]:
        return await self._client.create(path, data.encode(), sequential=sequential, ephemeral=ephemeral), None

    async def delete(self, path: str, version: int) -> None:
        await self._client.delete(path, force=version < 0)

    async def transact(self, parts: tuple[Part, ...]) -> int | None:
        async with self._client.begin_transaction() as transaction:
            for part in parts:
                if isinstance(part, Create):
                    transaction.create(part.path, part.data.encode())
                elif isinstance(part, Set):
                    transaction.set_data(part.path, part.data.encode(), part.version)
                elif isinstance(part, Delete):
                    transaction.delete(part.path, part.version)
                else:
                    transaction.check_version(part.path, part.version)
        return None

    async def add(self, path: str, amount: int) -> int | None:
        counter = self._client.recipes.Counter(path)
        await counter.start()
        await counter.incr(amount)
        return int(counter.value)

    def lock(self, path: str) -> AiozkLock:
        return AiozkLock(self._client, path)

    def barrier(self, path: str, parties: int) -> AiozkBarrier:
        return AiozkBarrier(self._client.recipes.DoubleBarrier(path, min_participants=parties))


class AiozkLock:
    """A lock. Its only sign of a loss would be ``locked``."""

    def __init__(self, client: ZKClient, path: str) -> None:
        self._client = client
        self._lock = client.recipes.Lock(path)

    async def acquire(self) -> bool:
        try:
            await self._lock.acquire()
        except exc.ZKError:
            return False
        return True

    async def token(self) -> int | None:
        _, stat = await self._client.get(self._lock.owned_paths["lock"])
        return int(stat.created_zxid)

    def held(self) -> bool:
        return bool(self._lock.locked())

    async def release(self) -> None:
        await self._lock.release()


class AiozkBarrier:
    """A double barrier, with timeouts as in the README."""

    def __init__(self, barrier: Any) -> None:
        self._barrier = barrier

    async def enter(self) -> bool:
        return await self._succeeds(self._barrier.enter(timeout=LIMIT))

    async def leave(self) -> bool:
        return await self._succeeds(self._barrier.leave(timeout=LIMIT))

    async def _succeeds(self, call: Any) -> bool:
        try:
            await call
        except Exception:
            log.exception("The double barrier has failed.")
            return False
        return True


async def main(*argv: str) -> None:
    """Run the workloads."""
    servers, name, seed, until, workloads, path = arguments(list(argv))
    logging.basicConfig(level=logging.ERROR)
    client = ZKClient(servers, session_timeout=10)
    await client.start()
    run = Run(cast(Calls, Adapter(client)), Log(name, path), seed, until)
    await asyncio.gather(*(WORKLOADS[each](run) for each in workloads))
    await client.close()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
