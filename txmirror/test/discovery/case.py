"""A world in memory with a registry and providers in it, and another client that registers instances."""

from __future__ import annotations

from random import Random
from typing import Any

from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from txmirror.discovery import ServiceProvider
from txmirror.errors import NoInstanceException
from txmirror.registry import ServiceRegistry
from txmirror.testing import World
from txmirror.types import Instance

PATH = "/services/web"


def names(instances: list[Instance]) -> str:
    """Return the first letters of the names of instances."""
    return "".join(each.name[0] for each in instances)


class ProviderTestCase(SynchronousTestCase):
    """A ZooKeeper in memory, a registry, and another client. The instances are named a:1, b:1, ..."""

    def setUp(self) -> None:
        self.world = World()
        self.addCleanup(self.end)
        self.other = self.world.client(session_timeout=40.0)
        self.providers: list[ServiceProvider] = []
        self.registry: ServiceRegistry[bool] = self.world.registry()

    def end(self) -> None:
        for each in self.providers:
            each.close()
        self.world.close()

    def provider(self, **options: Any) -> ServiceProvider:
        """Return a provider, which has read the list if there is a connection."""
        options.setdefault("random", Random(0))
        provider = ServiceProvider(options.pop("registry", self.registry), options.pop("path", PATH), **options)
        self.providers.append(provider)
        self.world.settle()
        return provider

    def make(self, letters: str, data: bytes = b"") -> None:
        """Create instances with the same data."""
        for path in ("/services", PATH):
            if self.world.result(self.other.exists(path)) is None:
                self.world.result(self.other.create(path))
        for letter in letters:
            self.world.result(self.other.create(f"{PATH}/{letter}:1", data))

    def remove(self, letters: str) -> None:
        """Delete instances."""
        for letter in letters:
            self.world.result(self.other.delete(f"{PATH}/{letter}:1"))

    def picks(self, provider: ServiceProvider, count: int, **options: Any) -> str:
        """Return the first letters of the instances of some calls."""
        return "".join(self.successResultOf(provider.instance(**options)).name[0] for _ in range(count))

    def reason(self, deferred: Deferred[Instance]) -> str:
        """Return why there was no instance."""
        return str(self.failureResultOf(deferred, NoInstanceException).value)
