"""What happens to a registry when things come at an awkward moment, in an awkward order, or with awkward arguments."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from twisted.internet.defer import Deferred

from txmirror.errors import NoConnection
from txmirror.mirror import Mirror
from txmirror.registry import ServiceRegistry
from txmirror.test.registry.case import NODE, PATH, RegistryTestCase


class GivenMirrorCase(RegistryTestCase):
    """Registries on a mirror that somebody else has."""

    def given(self, session_timeout: float = 30.0, **options: Any) -> tuple[Mirror, ServiceRegistry]:
        """Make a mirror that is connected, and a registry on it."""
        mirror = Mirror(self.world.connection_string, session_timeout=session_timeout, reactor=self.reactor)
        self.world.result(mirror.connect())
        registry = ServiceRegistry(mirror=mirror, timeout=self.timeout, **options)
        self.mirrors.append(mirror)
        self.registries.append(registry)
        return mirror, registry

    def setUp(self) -> None:
        self.mirrors: list[Mirror] = []
        super().setUp()

    def end(self) -> None:
        self.come_back()
        stopped = [registry.stop() for registry in self.registries]
        self.world.pass_time(10)
        closed = [mirror.close() for mirror in self.mirrors]
        self.world.settle()
        for each in stopped + closed:
            self.successResultOf(each)
        self.world.close()


class StateCallbackTests(GivenMirrorCase):
    """State callbacks that start and stop the registry."""

    def test_stop(self) -> None:
        """One that is told that there is a connection may stop the registry, which then has none, and follows nothing."""
        _, registry = self.given()
        stopped: list[Deferred[None]] = []
        registry.get_state(lambda up: stopped.append(registry.stop()) if up else None)
        self.failure(registry.get(PATH), NoConnection)
        self.successResultOf(stopped[0])
        self.make(NODE)
        self.world.settle()
        self.assertTrue(registry.stale(PATH))


class CancelledTests(RegistryTestCase):
    """Cancelling ends a wait, and nothing else."""

    def cancel(self, waiting: Deferred[Any]) -> None:
        """End a wait that is not over yet."""
        self.assertNoResult(waiting)
        waiting.addErrback(lambda _: None)
        waiting.cancel()
        self.world.settle()

    def test_stop(self) -> None:
        """A stop goes on: the cache file is written, and no timer is left."""
        path = self.mktemp()
        registry = self.started(cachefile=path)
        self.world.result(registry.get("/"))
        self.cancel(registry.stop())
        self.assertTrue(Path(path).exists())
        self.world.result(self.other.close())
        self.assertEqual([call for call in self.reactor.getDelayedCalls() if call.getTime() > 30], [])

    def test_rebuild(self) -> None:
        """What was to be begun anew is, and has what it had before."""
        registry = self.started()
        self.world.result(registry.set_node(NODE))
        self.cancel(registry.rebuild())
        self.assertIsNotNone(self.stat())

    def test_start(self) -> None:
        """So is what was to be started, when the last connection is closed."""
        registry = self.started()
        self.world.result(registry.set_node(NODE))
        registry.stop()
        self.cancel(registry.start())
        self.assertIsNotNone(self.stat())
