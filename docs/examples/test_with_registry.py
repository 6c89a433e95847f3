"""A program that registers itself and finds others, tested with a registry in memory: no server, and no reactor."""

from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from txmirror.testing import MemoryNodes, MemoryRegistry


class Frontend:
    """Can be found, and knows the backends, the heaviest first."""

    def __init__(self, registry, address):
        self._registry = registry
        self._address = address
        self.backends = []

    async def start(self):
        await self._registry.get("/services/backend", self._changed)
        await self._registry.set_node(f"/services/frontend/{self._address}", {"version": 3})

    def _changed(self, answer):
        weights = {name: data.get("weight", 1) for name, data in answer["children"].items()}
        self.backends = sorted(weights, key=weights.get, reverse=True)

    async def clean_up(self):
        """Do what one of all the frontends has to do; tell whether it was this one."""
        if not await self._registry.acquire_lock("/locks/clean-up", wait=60):
            return False
        await self._registry.release_lock("/locks/clean-up")
        return True


class FrontendTests(SynchronousTestCase):
    def setUp(self):
        self.nodes = MemoryNodes()
        self.registry = MemoryRegistry(shared=self.nodes)
        self.others = MemoryRegistry(shared=self.nodes)
        self.frontend = Frontend(self.registry, "host1:80")
        self.others.set_node("/services/backend/host2:90")
        self.successResultOf(Deferred.fromCoroutine(self.frontend.start()))

    def test_registered(self):
        data, _ = self.nodes.get("/services/frontend/host1:80")
        self.assertIn(b'"version":3', data)

    def test_backends(self):
        self.assertEqual(self.frontend.backends, ["host2:90"])
        self.others.set_node("/services/backend/host3:90", {"weight": 5})
        self.assertEqual(self.frontend.backends, ["host3:90", "host2:90"])

    def test_zookeeper_away(self):
        self.registry.disconnect()
        self.others.set_node("/services/backend/host3:90")
        self.assertEqual(self.frontend.backends, ["host2:90"])
        self.registry.reconnect()
        self.assertEqual(self.frontend.backends, ["host2:90", "host3:90"])

    def test_session_ends(self):
        _, before = self.nodes.get("/services/frontend/host1:80")
        self.registry.end_session()
        _, after = self.nodes.get("/services/frontend/host1:80")
        self.assertNotEqual(after.ephemeralOwner, before.ephemeralOwner)

    def test_strange_backend(self):
        self.nodes.create("/services/backend/host4:90", b"\xff\xfe")
        self.assertEqual(self.frontend.backends, ["host2:90"])

    def test_somebody_else_cleans_up(self):
        self.others.acquire_lock("/locks/clean-up")
        cleaning = Deferred.fromCoroutine(self.frontend.clean_up())
        self.nodes.clock.advance(59)
        self.assertNoResult(cleaning)
        self.nodes.clock.advance(1)
        self.assertIs(self.successResultOf(cleaning), False)
