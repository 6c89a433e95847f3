"""The registry in memory keeps the contract of registries, and does what only it does."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Any, TypeVar

from twisted.internet.defer import Deferred, succeed
from twisted.internet.task import Clock
from twisted.trial.unittest import TestCase

from txmirror.interfaces import IServiceRegistry
from txmirror.test.registry.contract import TIMEOUT, Place, fired
from txmirror.test.registry.contract_locks import LockContract, LockOutageContract
from txmirror.test.registry.contract_nodes import FindingContract, RegisteringContract, StoringContract
from txmirror.test.registry.contract_outages import OutageContract, SessionContract
from txmirror.testing import MemoryNodes, MemoryRegistry
from txmirror.types import ACL, ZnodeStat

_T = TypeVar("_T")


class _Stranger:
    def __init__(self, nodes: MemoryNodes) -> None:
        self._nodes = nodes

    async def create(
        self, path: str, data: bytes = b"", *, ephemeral: bool = False, acl: Sequence[ACL] | None = None
    ) -> None:
        self._nodes.create(path, data, ephemeral=ephemeral, acl=acl)

    async def set(self, path: str, data: bytes) -> None:
        self._nodes.set(path, data)

    async def delete(self, path: str) -> None:
        self._nodes.delete(path)

    async def get(self, path: str) -> tuple[bytes, ZnodeStat]:
        return self._nodes.get(path)


class MemoryPlace:
    """Registries in memory that share nodes."""

    step, patience = 0.1, 0.0

    def __init__(self) -> None:
        self.clock = Clock()
        self.nodes = MemoryNodes(self.clock)
        self.stranger = _Stranger(self.nodes)
        self.registries: list[MemoryRegistry] = []

    def make(self, **options: Any) -> IServiceRegistry:
        options.setdefault("timeout", TIMEOUT)
        registry = MemoryRegistry(shared=self.nodes, **options)
        self.registries.append(registry)
        return registry

    async def done(self, awaited: Awaitable[_T]) -> _T:
        if isinstance(awaited, Deferred):
            assert fired(awaited), "it takes time"
        return await awaited

    async def in_time(self, awaited: Deferred[_T], seconds: float) -> _T:
        if not fired(awaited):
            self.clock.advance(seconds)
        return await self.done(awaited)

    async def pass_time(self, seconds: float) -> None:
        self.clock.advance(seconds)

    async def quiet(self) -> None:
        self.clock.advance(20)

    async def leave(self, registry: IServiceRegistry, *, session_ends: bool = False) -> None:
        memory = _memory(registry)
        memory.disconnect()
        if session_ends:
            memory.end_session()

    async def come_back(self, registry: IServiceRegistry) -> None:
        _memory(registry).reconnect()

    async def blink(self, registry: IServiceRegistry, meanwhile: Callable[[], Awaitable[object]]) -> None:
        _memory(registry).disconnect()
        await meanwhile()
        _memory(registry).reconnect()

    async def end_session(self, registry: IServiceRegistry) -> None:
        _memory(registry).end_session()


def _memory(registry: IServiceRegistry) -> MemoryRegistry:
    assert isinstance(registry, MemoryRegistry)
    return registry


class MemoryRegistryTests(
    RegisteringContract,
    StoringContract,
    FindingContract,
    OutageContract,
    SessionContract,
    LockContract,
    LockOutageContract,
    TestCase,
):
    """The whole contract but for outages that are shorter than ``timeout``, of which there are none here."""

    def make_place(self) -> Deferred[Place]:
        place = MemoryPlace()

        async def stop() -> None:
            for registry in place.registries:
                await registry.stop()
            self.assertEqual(place.clock.getDelayedCalls(), [])

        self.addCleanup(lambda: Deferred.fromCoroutine(stop()))
        return succeed(place)
