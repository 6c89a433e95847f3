"""A ZooKeeper in memory with services, and a catalog of them."""

from __future__ import annotations

import json
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from txmirror.catalog import Catalog, CatalogChange
from txmirror.testing import World

ROOT = "/services"


class CatalogTestCase(SynchronousTestCase):
    """A ZooKeeper in memory, a mirror with a catalog, and another client that registers instances."""

    def setUp(self) -> None:
        self.world = World()
        self.addCleanup(self.end)
        self.other = self.world.client(session_timeout=40.0)
        self.mirror = self.world.mirror()
        self.changes: list[CatalogChange] = []
        self.make_catalog()

    def end(self) -> None:
        self.successResultOf(self.catalog.close())
        self.world.close()

    def make_catalog(self, **options: Any) -> None:
        self.catalog = Catalog(self.mirror, ROOT, **options)
        self.catalog.watch(self, self.changes.append)

    def use(self) -> None:
        """Use the catalog, and wait until it is known."""
        used = self.catalog.use()
        self.world.settle()
        self.world.pass_time(0.1)
        self.successResultOf(used)

    def make(self, service: str, *nodes: str, **facts: object) -> None:
        """Register instances with these facts. An address and a port are added."""
        self.create(f"{ROOT}/{service}")
        data = json.dumps({"address": "10.0.0.1", "port": 80, **facts}).encode()
        for node in nodes:
            self.create(f"{ROOT}/{service}/{node}", data)
        self.flush()

    def create(self, path: str, data: bytes = b"") -> None:
        """Create a node, and those above it, unless it exists."""
        parent = path.rpartition("/")[0]
        if parent and self.world.result(self.other.exists(parent)) is None:
            self.create(parent)
        if self.world.result(self.other.exists(path)) is None:
            self.world.result(self.other.create(path, data))

    def delete(self, *paths: str) -> None:
        """Delete nodes below the root."""
        for path in paths:
            self.world.result(self.other.delete(f"{ROOT}/{path}"))
        self.flush()

    def flush(self) -> None:
        """Let the catalog notify of its changes."""
        self.world.settle()
        self.world.pass_time(0.06)

    def show(self) -> dict[str, dict[str, str]]:
        """Return the states of the entries by service and name."""
        return {
            name: {node: entry.state.value for node, entry in sorted(service.entries.items())}
            for name, service in sorted(self.catalog.services.items())
        }

    def applied(self) -> dict[str, dict[str, str]]:
        """Return what a watcher knows that has applied all changes."""
        known: dict[str, dict[str, str]] = {}
        for change in self.changes:
            if change.gone:
                del known[change.service]
                continue
            entries = known.setdefault(change.service, {})
            for name, entry in change.entries.items():
                if entry is None:
                    del entries[name]
                else:
                    entries[name] = entry.state.value
        return {name: dict(sorted(entries.items())) for name, entries in sorted(known.items())}
