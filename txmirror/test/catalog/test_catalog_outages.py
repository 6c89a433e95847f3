"""The catalog through outages of ZooKeeper, expired sessions, wiped data, and nodes that cannot be read."""

from __future__ import annotations

from txmirror.test.catalog.case import ROOT, CatalogTestCase
from txmirror.types import ACL, OPEN_ACL, Permission

#: Nobody may read this.
SECRET = (ACL(Permission.ALL & ~Permission.READ, "world", "anyone"),)


class OutageTests(CatalogTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.make("web", "a:1", "b:1", "c:1", "d:1")
        self.use()

    def test_away(self) -> None:
        """Without a connection the last known state is shown, with its age. Then it is current again."""
        self.assertEqual((self.catalog.stale, self.catalog.age), (False, 0.0))
        index = self.catalog.index
        current: list[bool] = []
        stale: list[bool] = []
        self.catalog.watch_state(
            "current", lambda: current.append(self.catalog.stale or "e:1" in self.catalog.services["web"].entries)
        )
        self.catalog.watch("during", lambda _: stale.append(self.catalog.stale))
        self.world.disconnect(self.mirror)
        self.make("web", "e:1")
        self.world.pass_time(10.0)
        self.assertTrue(self.catalog.stale)
        self.assertAlmostEqual(self.catalog.age, 10.06)
        self.assertEqual((max(self.catalog.services["web"].entries), self.catalog.index), ("d:1", index))
        self.world.reconnect(self.mirror)
        self.world.pass_time(12.0)
        self.assertEqual((self.catalog.stale, self.catalog.age), (False, 0.0))
        self.assertEqual(max(self.catalog.services["web"].entries), "e:1")
        # Everything is shown before it counts as current.
        self.assertEqual((set(current), stale), ({True}, [True]))
        self.assertEqual(self.applied(), self.show())

    def test_from_the_beginning(self) -> None:
        """A catalog that begins without a connection fires after two seconds, and shows the services when there is one."""
        self.successResultOf(self.catalog.close())
        self.world.disconnect()
        self.changes.clear()
        self.mirror = self.world.mirror(connect=False)
        self.make_catalog()
        used = self.catalog.use()
        self.world.pass_time(1.9)
        self.assertNoResult(used)
        self.world.pass_time(0.2)
        self.assertIsNone(self.successResultOf(used))
        self.assertEqual((self.catalog.known, self.catalog.stale, self.show()), (False, True, {}))
        self.world.reconnect()
        self.world.pass_time(12.0)
        self.assertEqual((self.catalog.known, self.catalog.stale, len(self.show()["web"])), (True, False, 4))

    def test_held(self) -> None:
        """Instances that are gone just after an outage are held, and are gone 30 seconds later."""
        self.world.disconnect(self.mirror)
        self.delete("web/a:1", "web/b:1", "web/c:1")
        self.world.pass_time(20.0)
        self.world.reconnect(self.mirror)
        self.world.pass_time(12.0)
        self.assertEqual(self.show()["web"], {"a:1": "held", "b:1": "held", "c:1": "held", "d:1": "passing"})
        entry = self.catalog.services["web"].entries["a:1"]
        self.assertEqual((entry.usable, entry.instance is None, entry.stat is None), (True, False, False))
        self.world.pass_time(30.0)
        self.assertEqual(self.show()["web"], {"d:1": "passing"})
        self.assertEqual(self.applied(), self.show())

    def test_held_and_back(self) -> None:
        """An instance that registers again within that time is as before."""
        self.world.disconnect(self.mirror)
        self.delete("web/a:1", "web/b:1", "web/c:1")
        self.world.pass_time(20.0)
        self.world.reconnect(self.mirror)
        self.world.pass_time(12.0)
        self.make("web", "a:1", "b:1")
        self.assertEqual(self.show()["web"], {"a:1": "passing", "b:1": "passing", "d:1": "passing"})
        self.assertEqual(self.applied(), self.show())

    def test_held_service(self) -> None:
        """A service that is gone just after an outage is there as long as its instances are held."""
        self.world.disconnect(self.mirror)
        self.delete(*(f"web/{letter}:1" for letter in "abcd"), "web")
        self.world.pass_time(20.0)
        self.world.reconnect(self.mirror)
        self.world.pass_time(12.0)
        self.assertEqual(set(self.show()["web"].values()), {"held"})
        self.world.pass_time(30.0)
        self.assertEqual(self.show(), {})
        self.assertEqual(self.applied(), {})

    def test_held_down(self) -> None:
        """One that could not be used is not held."""
        self.create(f"{ROOT}/web/e:1")
        self.world.result(self.other.set(f"{ROOT}/web/e:1", b'{"weight": 0}'))
        self.flush()
        self.world.disconnect(self.mirror)
        self.delete(*(f"web/{letter}:1" for letter in "abcde"))
        self.world.pass_time(20.0)
        self.world.reconnect(self.mirror)
        self.world.pass_time(12.0)
        self.assertEqual(self.show()["web"], dict.fromkeys(("a:1", "b:1", "c:1", "d:1"), "held"))
        self.assertEqual(self.applied(), self.show())

    def test_expired(self) -> None:
        """After its session has expired, the catalog shows what has changed meanwhile, in a new one."""
        self.world.disconnect(self.mirror)
        self.delete("web/a:1")
        self.make("web", "b:1", "f:1")
        self.make("db", "g:1")
        self.world.pass_time(60.0)
        self.world.reconnect(self.mirror)
        self.world.pass_time(12.0)
        self.assertEqual(sorted(self.show()["web"]), ["b:1", "c:1", "d:1", "f:1"])
        self.assertEqual(self.show()["db"], {"g:1": "passing"})
        self.assertEqual(self.applied(), self.show())

    def test_wiped(self) -> None:
        """After ZooKeeper has lost its data, the instances are held, and are gone after that time."""
        self.world.result(self.world.server.stop_listening())
        self.world.server.wipe()
        self.world.server.listen(int(self.world.connect_string.rpartition(":")[2]))
        self.world.pass_time(20.0)
        self.assertEqual(set(self.show()["web"].values()), {"held"})
        self.world.pass_time(31.0)
        self.assertEqual((self.show(), self.catalog.known, self.catalog.stale), ({}, True, False))
        self.assertEqual(self.applied(), {})
        self.make("web", "a:1")
        self.assertEqual(self.show(), {"web": {"a:1": "passing"}})

    def test_history(self) -> None:
        """A service's history has its events and those of the connection, in order."""
        self.make("web", "e:1")
        self.world.result(self.other.set(f"{ROOT}/web/e:1", b'{"weight": 0}'))
        self.flush()
        self.world.disconnect(self.mirror)
        self.world.pass_time(10.0)
        self.world.reconnect(self.mirror)
        self.world.pass_time(12.0)
        self.delete("web/e:1")
        events = self.catalog.events("web")
        self.assertEqual(
            [(each.instance, each.event, each.status) for each in events],
            [
                ("e:1", "appeared", "passing"),
                ("e:1", "status", "no-weight"),
                (None, "stale", None),
                (None, "settled", None),
                ("e:1", "gone", None),
            ],
        )
        self.assertEqual([each.time for each in events], sorted(each.time for each in events))


class RefusalTests(CatalogTestCase):
    def test_unreadable_root(self) -> None:
        """A path that cannot be read has no services, and the reason; then it can be read."""
        self.create(ROOT)
        self.make("web", "a:1")
        self.world.result(self.other.set_acl(ROOT, SECRET))
        self.use()
        self.assertEqual((self.show(), self.catalog.known), ({}, True))
        self.assertIn(ROOT, str(self.catalog.reason))

    def test_unreadable_service(self) -> None:
        self.make("web", "a:1")
        self.make("db", "b:1")
        self.world.result(self.other.set_acl(f"{ROOT}/web", SECRET))
        self.use()
        self.assertEqual((self.show(), self.catalog.known), ({"db": {"b:1": "passing"}, "web": {}}, True))
        self.assertIn(f"{ROOT}/web", str(self.catalog.services["web"].reason))
        self.assertIsNone(self.catalog.services["db"].reason)
        self.assertEqual(self.applied(), self.show())

    def test_unreadable_instance(self) -> None:
        """An instance whose node cannot be read is there, with the reason, and can be read later."""
        self.make("web", "a:1")
        self.world.result(self.other.create(f"{ROOT}/web/b:1", b"", acl=SECRET))
        self.use()
        self.assertEqual(self.show()["web"], {"a:1": "passing", "b:1": "unreadable"})
        entry = self.catalog.services["web"].entries["b:1"]
        self.assertEqual((entry.instance, entry.stat), (None, None))
        self.assertIn("b:1", str(entry.reason))
        self.world.result(self.other.set_acl(f"{ROOT}/web/b:1", OPEN_ACL))
        self.world.pass_time(90.0)
        self.assertEqual(self.show()["web"], {"a:1": "passing", "b:1": "passing"})
        self.assertEqual(self.applied(), self.show())

    def test_protected_later(self) -> None:
        """An instance that is protected later, of which servers send no events then, is not shown any longer; nor after its end."""
        self.make("web", "a:1", "b:1", "c:1")
        self.use()
        for name in ("b:1", "c:1"):
            self.world.result(self.other.set_acl(f"{ROOT}/web/{name}", SECRET))
        self.delete("web/c:1")
        self.world.pass_time(90.0)
        self.assertEqual(self.show()["web"], {"a:1": "passing", "b:1": "unreadable"})
        self.delete("web/b:1")
        self.world.pass_time(90.0)
        self.assertEqual(self.show()["web"], {"a:1": "passing"})
        self.assertEqual(self.applied(), self.show())

    def test_created_protected(self) -> None:
        """Protected instances and services that come later, of which servers send no events, are shown as unreadable, until they go."""
        self.make("web", "a:1")
        self.use()
        self.world.result(self.other.create(f"{ROOT}/web/b:1", b"", acl=SECRET))
        self.world.result(self.other.create(f"{ROOT}/db", b"", acl=SECRET))
        self.world.pass_time(60.0)
        self.assertEqual(self.show(), {"db": {}, "web": {"a:1": "passing", "b:1": "unreadable"}})
        self.assertIn(f"{ROOT}/db", str(self.catalog.services["db"].reason))
        self.delete("web/b:1", "db")
        self.world.pass_time(90.0)
        self.assertEqual(self.show(), {"web": {"a:1": "passing"}})
        self.assertEqual(self.applied(), self.show())

    def test_all_are_audited(self) -> None:
        """All nodes of all services are read again in turn, some at a time, and no lists that have not changed."""
        for service in ("a", "b", "c"):
            self.make(service, *[f"n{number:02}:1" for number in range(25)])
        self.make("empty")
        self.use()
        tree = self.catalog._following.tree  # type: ignore[union-attr]
        asked: list[tuple[str, bool]] = []
        looked = tree.look_again

        def look(path: str, *, names: bool = False) -> None:
            asked.append((path, names))
            looked(path, names=names)

        self.patch(tree, "look_again", look)
        self.world.pass_time(15.0 * 9)
        self.assertEqual({path for path, names in asked if not names}, set(tree))
        self.assertLessEqual(len([path for path, names in asked if not names]), 9 * 11)
        self.assertEqual(len([path for path, names in asked if names]), 5)
        asked.clear()
        self.world.pass_time(15.0 * 9)
        self.assertEqual([path for path, names in asked if names], [])
        self.assertEqual({path for path, names in asked}, set(tree))

    def test_undecodable(self) -> None:
        self.create(f"{ROOT}/web/no-port", b"{")
        self.use()
        entry = self.catalog.services["web"].entries["no-port"]
        self.assertEqual((entry.state.value, entry.usable), ("unreadable", False))
        self.assertNotIn("\n", entry.reason or "\n")

    def test_odd_names(self) -> None:
        """Names may have any characters that ZooKeeper allows."""
        service, node = 'a "b" <c> \u20ac%2F', "\N{SNOWMAN} 1:80"
        self.make(service, node)
        self.use()
        self.assertEqual({name: list(nodes) for name, nodes in self.show().items()}, {service: [node]})
