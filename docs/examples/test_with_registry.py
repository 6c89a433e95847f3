"""Tests of a program that registers itself and finds others, with a registry in memory: no server, and no reactor."""

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from txmirror.interfaces import IServiceRegistry
from txmirror.testing import MemoryNodes, MemoryRegistry
from txmirror.types import Answer


class Frontend:
    """Registers itself, and keeps the list of backends, the heaviest first."""

    def __init__(self, registry: IServiceRegistry, address: str) -> None:
        self._registry = registry
        self._address = address
        self.backends: list[str] = []

    async def start(self) -> None:
        await self._registry.get("/services/backend", self._changed)
        await self._registry.set_node(f"/services/frontend/{self._address}", {"version": 3})

    def _changed(self, answer: Answer) -> None:
        weights: dict[str, int] = {}
        for name, data in answer["children"].items():
            weight = data.get("weight") if isinstance(data, dict) else None  # other programs may write any data
            weights[name] = weight if isinstance(weight, int) else 1
        self.backends = sorted(weights, key=weights.__getitem__, reverse=True)

    async def clean_up(self) -> bool:
        """Do a task that only one frontend may do at a time. Return whether this frontend did it."""
        if not await self._registry.acquire_lock("/locks/clean-up", wait=60):
            return False
        await self._registry.release_lock("/locks/clean-up")
        return True


class FrontendTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.nodes = MemoryNodes(self.clock)
        self.registry = MemoryRegistry(shared=self.nodes)
        self.others = MemoryRegistry(shared=self.nodes)
        self.frontend = Frontend(self.registry, "host1:80")
        self.others.set_node("/services/backend/host2:90")
        self.successResultOf(Deferred.fromCoroutine(self.frontend.start()))

    def test_registered(self) -> None:
        data, _ = self.nodes.get("/services/frontend/host1:80")
        self.assertIn(b'"version":3', data)

    def test_backends(self) -> None:
        self.assertEqual(self.frontend.backends, ["host2:90"])
        self.others.set_node("/services/backend/host3:90", {"weight": 5})
        self.assertEqual(self.frontend.backends, ["host3:90", "host2:90"])

    def test_zookeeper_away(self) -> None:
        self.registry.disconnect()
        self.others.set_node("/services/backend/host3:90")
        self.assertEqual(self.frontend.backends, ["host2:90"])
        self.registry.reconnect()
        self.assertEqual(self.frontend.backends, ["host2:90", "host3:90"])

    def test_session_ends(self) -> None:
        _, before = self.nodes.get("/services/frontend/host1:80")
        self.registry.end_session()
        _, after = self.nodes.get("/services/frontend/host1:80")
        self.assertNotEqual(after.ephemeralOwner, before.ephemeralOwner)

    def test_strange_backend(self) -> None:
        self.nodes.create("/services/backend/host4:90", b"\xff\xfe")
        self.assertEqual(self.frontend.backends, ["host2:90"])

    def test_somebody_else_cleans_up(self) -> None:
        self.others.acquire_lock("/locks/clean-up")
        cleaning = Deferred.fromCoroutine(self.frontend.clean_up())
        self.clock.advance(59)
        self.assertNoResult(cleaning)
        self.clock.advance(1)
        self.assertIs(self.successResultOf(cleaning), False)
