"""The contract of registries, kept by :class:`ServiceRegistry` in a world in memory."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

from twisted.internet.defer import Deferred, succeed
from twisted.trial.unittest import TestCase

from txmirror.client import Limits
from txmirror.interfaces import IServiceRegistry
from txmirror.registry import ServiceRegistry
from txmirror.test.registry.contract import TIMEOUT, ClientStranger, Place, RegistryCase, fired
from txmirror.test.registry.contract_locks import (
    LockContract,
    LockOutageContract,
    LockSessionContract,
    LockWaitContract,
)
from txmirror.test.registry.contract_nodes import FindingContract, RegisteringContract, StoringContract
from txmirror.test.registry.contract_outages import BriefOutageContract, OutageContract, SessionContract
from txmirror.testing import World

_T = TypeVar("_T")
_PORT = 2181


class WorldPlace:
    """Registries in a world in memory, each with an address of its own at which it finds the server.

    :param version: which server it imitates.
    :param resumes_sessions: whether that lets a session outlive its connection.
    """

    step, patience = 0.1, 30.0

    def __init__(self, limits: Limits | None = None, version: str = "3.8", resumes_sessions: bool = True) -> None:
        self._limits = limits
        self._world = World(version=version)
        self._resumes_sessions = resumes_sessions
        self._left_to_their_time: set[int] = set()
        self._world.result(self._world.server.stop_listening())
        self._world.server.listen(_PORT, interface="")
        self._hosts: dict[IServiceRegistry, str] = {}
        client = self._world.client(f"10.0.0.1:{_PORT}", session_timeout=10.0)
        self._others = self._world.server.sessions
        self.stranger = ClientStranger(client, self.done)

    def make(self, **options: Any) -> IServiceRegistry:
        host = f"10.0.1.{len(self._hosts)}"
        options = {"timeout": TIMEOUT, "limits": self._limits, **options}
        registry = ServiceRegistry(f"{host}:{_PORT}", reactor=self._world.reactor, **options)
        self._hosts[registry] = host
        return registry

    async def done(self, awaited: Awaitable[_T]) -> _T:
        assert isinstance(awaited, Deferred)
        result: _T = self._world.result(awaited)
        return result

    async def in_time(self, awaited: Deferred[_T], seconds: float) -> _T:
        self._world.settle()
        end = self._world.reactor.seconds() + seconds
        while not fired(awaited) and self._world.reactor.seconds() < end:
            self._world.pass_time(self.step)
        return await self.done(awaited)

    async def pass_time(self, seconds: float) -> None:
        self._world.pass_time(seconds)

    async def quiet(self) -> None:
        self._world.pass_time(20)

    async def leave(self, registry: IServiceRegistry, *, session_ends: bool = False) -> None:
        host = self._hosts[registry]
        before = self._world.server.sessions
        if not self._resumes_sessions:
            self._left_to_their_time.add(session_of(registry))
        self._world.reactor.black_hole(host, _PORT)
        for link in [link for link in self._world.reactor.links if link.server_address.host == host]:
            link.cut()
        self._world.settle()
        if session_ends:
            self._world.pass_time(2 * TIMEOUT)
            assert len(self._world.server.sessions) == len(before) - 1, "its session lives"

    async def come_back(self, registry: IServiceRegistry, *, connects: bool = True) -> None:
        self._world.reactor.undo_black_hole(self._hosts[registry], _PORT)
        waited = 0.0
        while connects and not await self.done(registry.get_state()):
            assert waited < self.patience, "it does not come back"
            self._world.pass_time(self.step)
            waited += self.step
        self._world.settle()

    async def blink(self, registry: IServiceRegistry, meanwhile: Callable[[], Awaitable[object]]) -> None:
        before = self._world.server.sessions
        await self.leave(registry)
        await meanwhile()
        await self.come_back(registry)
        resumed = self._world.server.sessions == before
        assert resumed is self._resumes_sessions, f"resumed: {resumed}"

    async def end_session(self, registry: IServiceRegistry) -> None:
        await self.leave(registry, session_ends=True)
        await self.come_back(registry)

    async def close(self) -> None:
        """Stop all registries, and see that nothing is left of them."""
        for registry in self._hosts:
            await self.come_back(registry, connects=False)
            await self.in_time(registry.stop(), 4 * TIMEOUT)
        left = self._world.server.sessions - self._others - self._left_to_their_time
        self._world.close()
        assert not left, f"sessions that were not ended: {left}"


def session_of(registry: IServiceRegistry) -> int:
    """Return the id of a registry's session; 0 if there is none."""
    assert isinstance(registry, ServiceRegistry)
    connection = registry._connections.current
    return 0 if connection is None else connection.mirror.client.session_id


class InWorld(RegistryCase):
    """Where the tests take place. Each part of the contract is a case of its own: their tests may have the same names."""

    limits: Limits | None = None
    """The limits of the registries' clients."""
    version = "3.8"
    """The server's."""

    def make_place(self) -> Deferred[Place]:
        place = WorldPlace(self.limits, self.version, self.resumes_sessions)
        self.addCleanup(lambda: Deferred.fromCoroutine(place.close()))
        return succeed(place)


class InKeeper(InWorld):
    """Where ClickHouse Keeper takes the place of ZooKeeper: a connection that blinks costs the session."""

    version = "keeper"
    resumes_sessions = False


class RegisteringTests(InWorld, RegisteringContract, TestCase):
    pass


class StoringTests(InWorld, StoringContract, TestCase):
    pass


class FindingTests(InWorld, FindingContract, TestCase):
    pass


class OutageTests(InWorld, OutageContract, TestCase):
    pass


class SessionTests(InWorld, SessionContract, TestCase):
    pass


class BriefOutageTests(InWorld, BriefOutageContract, TestCase):
    pass


class LockTests(InWorld, LockContract, TestCase):
    pass


class LockOutageTests(InWorld, LockOutageContract, TestCase):
    pass


class LockSessionTests(InWorld, LockSessionContract, TestCase):
    pass


class LockWaitTests(InWorld, LockWaitContract, TestCase):
    pass


class KeeperRegisteringTests(InKeeper, RegisteringContract, TestCase):
    pass


class KeeperStoringTests(InKeeper, StoringContract, TestCase):
    pass


class KeeperFindingTests(InKeeper, FindingContract, TestCase):
    pass


class KeeperOutageTests(InKeeper, OutageContract, TestCase):
    pass


class KeeperSessionTests(InKeeper, SessionContract, TestCase):
    pass


class KeeperBriefOutageTests(InKeeper, BriefOutageContract, TestCase):
    pass


class KeeperLockTests(InKeeper, LockContract, TestCase):
    pass


class KeeperLockOutageTests(InKeeper, LockOutageContract, TestCase):
    pass


class KeeperLockSessionTests(InKeeper, LockSessionContract, TestCase):
    pass


class KeeperLockWaitTests(InKeeper, LockWaitContract, TestCase):
    pass
