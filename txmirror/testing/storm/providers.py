"""Providers in a storm: the instances that they pick from are those of the servers."""

from __future__ import annotations

from random import Random

from twisted.internet.defer import CancelledError
from twisted.python.failure import Failure

from txmirror.discovery import ServiceProvider
from txmirror.errors import NoInstanceException
from txmirror.registry import ServiceRegistry, decode_instance
from txmirror.testing.storm.parts import Pending, Scene
from txmirror.types import Instance


class ProviderChecks:
    """The provider of one registry.

    :param scene: the world.
    :param name: the name of the registry in the log.
    :param registry: the registry.
    :param path: the path of the service.
    :param pending: expects the results.
    """

    def __init__(self, scene: Scene, name: str, registry: ServiceRegistry[bool], path: str, pending: Pending) -> None:
        self._scene = scene
        self._name = name
        self._path = path
        self._pending = pending
        self._provider = ServiceProvider(registry, path, random=Random(name))
        self._notified: list[Instance] = []
        self._provider.watch(self._changed)

    def _check_that(self, holds: bool, complaint: str) -> None:
        self._scene.check(holds, f"{self._name}: {complaint}")

    def _changed(self, instances: list[Instance]) -> None:
        self._check_that(instances != self._notified, f"the same instances twice: {instances}")
        self._notified = instances

    def pick(self, random: Random) -> None:
        """Pick an instance."""
        picking = self._provider.instance(wait=random.choice((0, 1.0, 10.0)))

        def picked(result: Instance | Failure) -> None:
            if isinstance(result, Failure):
                result.trap(NoInstanceException, CancelledError)
            else:
                listed = result in self._provider.instances()
                self._check_that(listed, f"{result.name} was picked, and is not among the instances")

        self._pending.add(picking.addBoth(picked), "pick")

    def check_settled(self) -> None:
        """Check that the instances are those of the servers, and that the watcher knows them."""
        there = self._scene.truth.tree.nodes.get(self._path)
        expected: dict[str, Instance] = {}
        for name in () if there is None else sorted(there.children):
            found = decode_instance(name, self._scene.truth.tree.nodes[f"{self._path}/{name}"].data or b"")
            if isinstance(found, Instance):
                expected[name] = found
        instances = self._provider.instances()
        shown = {instance.name: instance for instance in instances}
        self._check_that(shown == expected, f"the provider has {shown}, and there are {expected}")
        self._check_that(self._notified == instances, f"the watcher has seen {self._notified}, not {instances}")

    def close(self) -> None:
        """Close the provider."""
        self._provider.close()
