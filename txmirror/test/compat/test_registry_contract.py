"""The contract of registries over txzookeeper: on the embedded server and on the real one."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import gatherResults
from twisted.internet.threads import deferToThread
from twisted.trial.unittest import TestCase

from txmirror.compat import TxZooKeeperClient
from txmirror.errors import BadArgumentsException
from txmirror.interfaces import IServiceRegistry
from txmirror.mirror import Mirror
from txmirror.registry import ServiceRegistry
from txmirror.test.client.contract import run
from txmirror.test.compat.available import install_or_skip
from txmirror.test.integration.servers import end_session
from txmirror.test.integration.test_registry_contract import LoopbackPlace, OnEmbedded, OnLoopback, OnReal
from txmirror.test.registry.contract import NODE, SERVER, SERVICE, TIMEOUT, Listener
from txmirror.test.registry.contract_locks import LOCK, LockContract, LockSessionContract
from txmirror.test.registry.contract_nodes import FindingContract, RegisteringContract, StoringContract
from txmirror.test.registry.contract_outages import BriefOutageContract, SessionContract
from txmirror.testing import FaultProxy


class TxZooKeeperPlace(LoopbackPlace):
    """Registries on mirrors of clients over txzookeeper."""

    def __init__(self, reactor: Any, port: int, root: str) -> None:
        super().__init__(reactor, port, root)
        self._mirrors: list[Mirror] = []

    def make(self, **options: Any) -> IServiceRegistry:
        from txzookeeper.client import ZookeeperClient

        proxy = FaultProxy(self._port, reactor=self._reactor)
        self._proxies.append(proxy)
        timeout = options.get("timeout", TIMEOUT)
        client = TxZooKeeperClient(ZookeeperClient(proxy.address + self._root, round(timeout * 1000)))
        mirror = Mirror(client=client)
        self._mirrors.append(mirror)
        registry = ServiceRegistry(mirror=mirror, **{"timeout": TIMEOUT, **options})
        self._ways[registry] = proxy
        return registry

    async def leave(self, registry: IServiceRegistry, *, session_ends: bool = False) -> None:
        import zookeeper

        await super().leave(registry)
        if session_ends:
            assert isinstance(registry, ServiceRegistry)
            assert registry._connections.options.mirror is not None
            client: Any = registry._connections.options.mirror.client
            number, password = zookeeper.client_id(client._reconnecting._inner.handle)
            address = f"127.0.0.1:{self._port}"
            await deferToThread(end_session, address, (number, password.encode("utf-8", "surrogateescape")))

    async def close(self) -> None:
        """Stop all."""
        for proxy in self._proxies:
            proxy.open()
        await gatherResults([registry.stop() for registry in self._ways])
        for mirror in self._mirrors:
            await mirror.close()
            await mirror.client.close()
        await super().close()


class OverTxZooKeeper(OnLoopback):
    """The parts of a test's world."""

    place_class = TxZooKeeperPlace

    async def _set_up(self) -> None:
        install_or_skip()
        await super()._set_up()


class EmbeddedFindingTests(OverTxZooKeeper, OnEmbedded, FindingContract, TestCase):
    pass


class OnGivenMirror(SessionContract):
    @run
    async def test_rebuild(self) -> None:
        """Built anew on the mirror that it was given, it has the session of that, and all is registered and followed."""
        registry = await self.registered()
        before = await self.stat(NODE)
        listener = Listener()
        await self.done(registry.get(SERVICE, listener))
        self.assertIs(await self.place.in_time(registry.rebuild(), TIMEOUT), True)
        after = await self.until_facts(NODE, {"foo": "bar"})
        assert before is not None
        self.assertEqual(after.ephemeralOwner, before.ephemeralOwner)
        await self.stranger.create(f"{SERVICE}/theirs", b"{}")
        await self.until(lambda: listener.children[-1] == {SERVER: {"foo": "bar"}, "theirs": {}}, "what is new")


class WithoutHolding(LockSessionContract):
    @run
    async def test_session_ends(self) -> None:
        """Weaker: the loss of the lock is known only when the session is known to have expired, and another client may
        have it before.
        """
        registry = await self.started()
        other = await self.started()
        lock = await self.done(registry.get_lock(LOCK))
        await self.done(lock.acquire())
        lost = lock.lost
        waiting = other.acquire_lock(LOCK, wait=1000)
        await self.place.leave(registry, session_ends=True)
        self.assertIs(await self.place.in_time(waiting, TIMEOUT), True)
        await self.place.come_back(registry)
        await self.place.in_time(lost, TIMEOUT)
        self.assertFalse(lock.held)


class EmbeddedSessionTests(OverTxZooKeeper, OnEmbedded, OnGivenMirror, TestCase):
    pass


class RealRegisteringTests(OverTxZooKeeper, OnReal, RegisteringContract, TestCase):
    # Weaker: the binding has no other word for a request that is over the limit.
    too_large = BadArgumentsException


class RealStoringTests(OverTxZooKeeper, OnReal, StoringContract, TestCase):
    pass


class RealFindingTests(OverTxZooKeeper, OnReal, FindingContract, TestCase):
    pass


class RealSessionTests(OverTxZooKeeper, OnReal, OnGivenMirror, TestCase):
    pass


class RealBriefOutageTests(OverTxZooKeeper, OnReal, BriefOutageContract, TestCase):
    pass


class RealLockTests(OverTxZooKeeper, OnReal, LockContract, TestCase):
    pass


class RealLockSessionTests(OverTxZooKeeper, OnReal, WithoutHolding, TestCase):
    pass
