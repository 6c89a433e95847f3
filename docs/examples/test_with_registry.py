"""Tests of a program that registers itself and finds others, with registries in memory."""

from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from txmirror.errors import NoConnection
from txmirror.interfaces import IServiceRegistry
from txmirror.testing import World
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
        self.world = World()
        self.addCleanup(self.world.close)
        self.registry = self.world.registry()
        self.others = self.world.registry()  # the registry of another process
        self.client = self.world.client()  # reads and writes any node
        self.frontend = Frontend(self.registry, "host1:80")
        self.world.result(self.others.set_node("/services/backend/host2:90"))
        self.world.result(self.frontend.start())

    def test_registered(self) -> None:
        data, _ = self.world.result(self.client.get("/services/frontend/host1:80"))
        self.assertIn(b'"version":3', data)

    def test_backends(self) -> None:
        self.assertEqual(self.frontend.backends, ["host2:90"])
        self.world.result(self.others.set_node("/services/backend/host3:90", {"weight": 5}))
        self.assertEqual(self.frontend.backends, ["host3:90", "host2:90"])
        self.world.result(self.others.unset("/services/backend/host3:90"))
        self.assertEqual(self.frontend.backends, ["host2:90"])

    def test_another_process_ends(self) -> None:
        self.world.result(self.others.stop())
        self.assertEqual(self.frontend.backends, [])

    def test_zookeeper_away(self) -> None:
        self.world.disconnect(self.registry)
        self.world.result(self.others.set_node("/services/backend/host3:90"))
        self.world.pass_time(60)
        self.assertEqual(self.frontend.backends, ["host2:90"])
        self.world.reconnect(self.registry)
        self.world.pass_time(5)
        self.assertEqual(self.frontend.backends, ["host2:90", "host3:90"])

    def test_start_without_zookeeper(self) -> None:
        self.world.disconnect()
        frontend = Frontend(self.world.registry(start=False), "host4:80")
        starting = Deferred.fromCoroutine(frontend.start())
        self.world.pass_time(6)
        self.assertRaises(NoConnection, self.world.result, starting)

    def test_start_later(self) -> None:
        self.world.disconnect()
        frontend = Frontend(self.world.registry(start=False, lazy=True), "host4:80")
        starting = Deferred.fromCoroutine(frontend.start())
        self.world.pass_time(12)
        self.world.result(starting)
        self.world.reconnect()
        self.world.pass_time(10)
        self.assertEqual(frontend.backends, ["host2:90"])
        self.assertIn("host4:80", self.world.result(self.client.get_children("/services/frontend")))

    def test_session_expires(self) -> None:
        _, before = self.world.result(self.client.get("/services/frontend/host1:80"))
        self.world.server.expire_session(before.ephemeralOwner)
        self.world.pass_time(5)
        _, after = self.world.result(self.client.get("/services/frontend/host1:80"))
        self.assertNotEqual(after.ephemeralOwner, before.ephemeralOwner)

    def test_strange_backend(self) -> None:
        self.world.result(self.client.create("/services/backend/host4:90", b"\xff\xfe"))
        self.assertEqual(self.frontend.backends, ["host2:90"])

    def test_somebody_else_cleans_up(self) -> None:
        self.world.result(self.others.acquire_lock("/locks/clean-up"))
        cleaning = Deferred.fromCoroutine(self.frontend.clean_up())
        self.world.pass_time(59)
        self.assertNoResult(cleaning)
        self.world.pass_time(1)
        self.assertIs(self.world.result(cleaning), False)
