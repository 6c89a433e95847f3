"""The catalog: services come, change and go."""

from __future__ import annotations

from txmirror.catalog import CatalogChange
from txmirror.test.catalog.case import ROOT, CatalogTestCase

#: An instance that Curator has registered as disabled.
DOWN = {"name": "db", "id": "c", "payload": None, "registrationTimeUTC": 1, "serviceType": "DYNAMIC", "enabled": False}


class CatalogTests(CatalogTestCase):
    def test_services(self) -> None:
        """It shows all services below the path, each with its instances."""
        self.make("web", "a:1", "b:1")
        self.make("db", "c:1", **DOWN)
        self.make("empty")
        self.use()
        self.assertTrue(self.catalog.known)
        self.assertEqual(self.show(), {"db": {"c:1": "down"}, "empty": {}, "web": {"a:1": "passing", "b:1": "passing"}})
        self.assertEqual(self.applied(), self.show())
        web = self.catalog.services["web"]
        self.assertEqual((web.name, web.path, web.passing), ("web", f"{ROOT}/web", 2))
        entry = web.entries["a:1"]
        assert entry.instance is not None and entry.stat is not None
        self.assertEqual((entry.path, entry.instance.address, entry.stat.version), (f"{ROOT}/web/a:1", "a", 0))

    def test_changes(self) -> None:
        self.make("web", "a:1")
        self.use()
        self.make("web", "b:1")
        self.delete("web/a:1")
        self.make("db")
        self.world.result(self.other.set(f"{ROOT}/web/b:1", b'{"address": "h", "port": 1, "weight": 0}'))
        self.flush()
        self.assertEqual(self.show(), {"db": {}, "web": {"b:1": "no-weight"}})
        self.assertEqual(self.applied(), self.show())
        self.delete("web/b:1", "web")
        self.assertEqual(self.show(), {"db": {}})
        self.assertEqual(self.changes[-1], CatalogChange("web", {}, True, self.catalog.index))
        self.assertEqual([each.index for each in self.changes], sorted({each.index for each in self.changes}))

    def test_root_missing(self) -> None:
        """There are no services without the path. It may be created later."""
        self.use()
        self.assertEqual((self.catalog.known, self.show()), (True, {}))
        self.make("web", "a:1")
        self.assertEqual(self.show(), {"web": {"a:1": "passing"}})
