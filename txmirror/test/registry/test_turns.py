"""However many writes wait for their turns, and however many of them end at once, all of them end, and the registry lives on."""

from __future__ import annotations

from collections import Counter

from twisted.internet.defer import Deferred
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from txmirror.mirror import Mirror
from txmirror.registry import ServiceRegistry
from txmirror.testing import World

#: More than calls may be nested in Python, when each of them takes three or more.
_MANY = 600


class ManyWritesTests(SynchronousTestCase):
    """A failure of one of ours that is only logged would fail the test."""

    def setUp(self) -> None:
        self.world = world = World()
        self.addCleanup(world.close)
        self.client = world.client()
        self.mirror = Mirror(client=self.client, reactor=world.reactor)
        self.addCleanup(lambda: world.result(self.mirror.close()))
        self.registry = ServiceRegistry(mirror=self.mirror)
        self.assertIs(world.result(self.registry.start()), True)

    def write(self, registry: ServiceRegistry, path: str = "/{}") -> list[Deferred[bool]]:
        return [registry.set_data(path.format(number), str(number)) for number in range(_MANY)]

    def outcomes(self, written: list[Deferred[bool]]) -> Counter[object]:
        found: list[object] = []
        for each in written:
            each.addBoth(lambda result: found.append(type(result.value) if isinstance(result, Failure) else result))
        return Counter(getattr(each, "__name__", each) for each in found)

    def test_one_path(self) -> None:
        """Of many writes to one path the first and the latest are done, and all fire."""
        written = self.write(self.registry, "/settings")
        self.world.settle()
        self.assertEqual(self.outcomes(written), {True: _MANY})
        data, stat = self.world.result(self.client.get("/settings"))
        self.assertIn(f'"string_value":"{_MANY - 1}"'.encode(), data)
        self.assertLessEqual(stat.version, 1)

    def test_cancelled(self) -> None:
        """Cancelled waiters do not delay the others."""
        written = self.write(self.registry, "/settings") + self.write(self.registry)
        for each in written[1::2]:
            each.cancel()
        self.world.settle()
        self.assertEqual(self.outcomes(written), {True: _MANY, "CancelledError": _MANY})

    def test_stopped(self) -> None:
        """A registry that is stopped lets all of them go, and can be started again."""
        for path in ("/settings", "/{}"):
            written = self.write(self.registry, path)
            self.world.result(self.registry.stop())
            self.assertEqual(sum(self.outcomes(written).values()), _MANY)
            self.assertIs(self.world.result(self.registry.start()), True)
            self.assertIs(self.world.result(self.registry.set_data("/after", "all")), True)

    def test_mirror_closed(self) -> None:
        """The end of the mirror lets all of them go, and the registry can be stopped."""
        written = self.write(self.registry)
        self.world.result(self.mirror.close())
        self.assertEqual(self.outcomes(written), {"NoConnection": _MANY})
        self.world.result(self.registry.stop())

    def test_out_of_reach(self) -> None:
        """If ZooKeeper is out of reach, all of them fail, and later calls of the registry are completed."""
        registry = ServiceRegistry(self.world.connect_string, timeout=2.0, reactor=self.world.reactor)
        self.world.result(registry.start())
        host, _, port = self.world.server.address.rpartition(":")
        self.world.reactor.black_hole(host, int(port))
        for link in self.world.reactor.links:
            link.cut()
        written = self.write(registry)
        self.world.pass_time(10.0)
        self.assertEqual(self.outcomes(written), {"NoConnection": _MANY})
        self.world.reactor.undo_black_hole(host, int(port))
        again = registry.start()
        self.world.pass_time(5.0)
        self.assertIs(self.world.result(again), True)
        self.assertIs(self.world.result(registry.set_node("/services/a:1")), True)
        self.world.result(registry.stop())

    def test_started(self) -> None:
        """Many calls that wait until the registry's last connection is closed are all done over the next one."""
        registry = ServiceRegistry(self.world.connect_string, timeout=2.0, reactor=self.world.reactor)
        self.world.result(registry.start())
        stopped = registry.stop()
        started = registry.start()
        written = self.write(registry)
        self.world.pass_time(5.0)
        self.world.result(stopped)
        self.assertIs(self.world.result(started), True)
        self.assertEqual(self.outcomes(written), {True: _MANY})
        self.world.result(registry.stop())
