"""The contract of registries, kept by :class:`ServiceRegistry` on a real ZooKeeper server, and on the embedded one over
loopback.

Tests that wait until ZooKeeper counts as out of reach run in memory only: no server is involved in that. On the
embedded server over loopback run the tests that involve sockets and the real reactor; the rest runs in memory, too.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

from twisted.internet.defer import Deferred, gatherResults
from twisted.internet.task import deferLater
from twisted.internet.threads import deferToThread
from twisted.trial.unittest import TestCase

from txmirror.client import ZooKeeperClient
from txmirror.embedded import EmbeddedServer
from txmirror.errors import NoNodeException
from txmirror.interfaces import IServiceRegistry, ISessionHolder
from txmirror.registry import ServiceRegistry
from txmirror.test.integration.servers import end_session
from txmirror.test.registry.contract import (
    IDENTITIES,
    TIMEOUT,
    ClientStranger,
    Place,
    RegistryCase,
)
from txmirror.test.registry.contract_locks import LockContract, LockSessionContract
from txmirror.test.registry.contract_nodes import FindingContract, RegisteringContract, StoringContract
from txmirror.test.registry.contract_outages import BriefOutageContract, SessionContract
from txmirror.test.zookeeper import shared_server
from txmirror.testing import FaultProxy

_T = TypeVar("_T")

#: How long a test may wait for one thing.
_PATIENCE = 10.0


class LoopbackPlace:
    """Registries that each have a proxy of their own on the way to a server, and work below a node of one test's own.

    :param port: where the server listens, on 127.0.0.1.
    :param root: the node.
    """

    step, patience = 0.01, _PATIENCE

    def __init__(self, reactor: Any, port: int, root: str) -> None:
        self._reactor = reactor
        self._port = port
        self._root = root
        self._proxies: list[FaultProxy] = []
        self._ways: dict[IServiceRegistry, FaultProxy] = {}
        self._client = ZooKeeperClient(f"127.0.0.1:{port}", session_timeout=4.0)
        self.stranger = ClientStranger(self._client.chroot(root), self.done)

    async def open(self) -> None:
        """Connect the other client, and create the root node."""
        await self.done(self._client.connect())
        await _remove(self._client, self._root)
        await self._client.create(self._root)

    def make(self, **options: Any) -> IServiceRegistry:
        proxy = FaultProxy(self._port, reactor=self._reactor)
        self._proxies.append(proxy)
        options = {"timeout": TIMEOUT, **options}
        registry = ServiceRegistry(proxy.address + self._root, **options)
        self._ways[registry] = proxy
        return registry

    async def done(self, awaited: Awaitable[_T]) -> _T:
        return await self.in_time(_deferred(awaited), _PATIENCE)

    async def in_time(self, awaited: Deferred[_T], seconds: float) -> _T:
        awaited.addTimeout(seconds + 2, self._reactor)
        return await awaited

    async def pass_time(self, seconds: float) -> None:
        await deferLater(self._reactor, seconds)

    async def quiet(self) -> None:
        await deferLater(self._reactor, 0.1)

    async def leave(self, registry: IServiceRegistry, *, session_ends: bool = False) -> None:
        client: Any = _client(registry)
        self._ways[registry].cut()
        await self._until_state(registry, False)
        if session_ends:
            ticket = ISessionHolder(client).session_ticket
            assert ticket is not None
            address = f"127.0.0.1:{self._port}"
            await deferToThread(end_session, address, (ticket.session_id, ticket.password))

    async def come_back(self, registry: IServiceRegistry, *, connects: bool = True) -> None:
        self._ways[registry].open()
        if connects:
            await self._until_state(registry, True)

    async def blink(self, registry: IServiceRegistry, meanwhile: Callable[[], Awaitable[object]]) -> None:
        before = _client(registry).session_id
        await self.leave(registry)
        await meanwhile()
        await self.come_back(registry)
        assert _client(registry).session_id == before, "it is another session"

    async def end_session(self, registry: IServiceRegistry) -> None:
        await self.leave(registry, session_ends=True)
        await self.come_back(registry)

    async def close(self) -> None:
        """Stop all."""
        for proxy in self._proxies:
            proxy.open()
        await gatherResults([registry.stop() for registry in self._ways])
        await gatherResults([proxy.close() for proxy in self._proxies])
        for who in IDENTITIES:
            await self._client.add_auth("digest", who.encode())
        await _remove(self._client, self._root)
        await self._client.close()

    async def _until_state(self, registry: IServiceRegistry, state: bool) -> None:
        waited = 0.0
        while await registry.get_state() is not state:
            assert waited < _PATIENCE, f"its state does not become {state}"
            await self.pass_time(self.step)
            waited += self.step


def _deferred(awaited: Awaitable[_T]) -> Deferred[_T]:
    assert isinstance(awaited, Deferred)
    return awaited


def _client(registry: IServiceRegistry) -> Any:
    assert isinstance(registry, ServiceRegistry)
    connection = registry._connections.current
    return connection and connection.mirror.client


async def _remove(client: Any, path: str) -> None:
    try:
        for name in await client.get_children(path):
            await _remove(client, f"{path}/{name}")
        await client.delete(path)
    except NoNodeException:
        pass


class OnLoopback(RegistryCase):
    """Where the tests take place. Each part of the contract is a case of its own: their tests may have the same names."""

    place_class = LoopbackPlace

    def start_server(self) -> Awaitable[int]:
        """Return the port of a server that the test stops at its end."""
        raise NotImplementedError

    async def make_place(self) -> Place:
        from twisted.internet import reactor

        place = self.place_class(reactor, await self.start_server(), "/" + "-".join(self.id().split(".")[-2:]))
        self.addCleanup(lambda: Deferred.fromCoroutine(place.close()))
        await place.open()
        return place


class OnEmbedded(OnLoopback):
    """An embedded server of one test's own."""

    async def start_server(self) -> int:
        from twisted.internet import reactor

        server = EmbeddedServer(reactor)
        port: Any = server.listen()
        self.addCleanup(server.stop)
        found: int = port.getHost().port
        return found


class OnReal(OnLoopback):
    """The server that all tests share."""

    async def start_server(self) -> int:
        server = await deferToThread(shared_server)
        return server.port


class EmbeddedFindingTests(OnEmbedded, FindingContract, TestCase):
    pass


class EmbeddedSessionTests(OnEmbedded, SessionContract, TestCase):
    pass


class EmbeddedBriefOutageTests(OnEmbedded, BriefOutageContract, TestCase):
    pass


class RealRegisteringTests(OnReal, RegisteringContract, TestCase):
    pass


class RealStoringTests(OnReal, StoringContract, TestCase):
    pass


class RealFindingTests(OnReal, FindingContract, TestCase):
    pass


class RealSessionTests(OnReal, SessionContract, TestCase):
    pass


class RealBriefOutageTests(OnReal, BriefOutageContract, TestCase):
    pass


class RealLockTests(OnReal, LockContract, TestCase):
    pass


class RealLockSessionTests(OnReal, LockSessionContract, TestCase):
    pass
