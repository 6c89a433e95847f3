"""Discovery: nodes are read once, kept true by reading changes, believed with care, and remembered."""

from __future__ import annotations

import os
from typing import Any

from txmirror import paths
from txmirror.client import Limits
from txmirror.embedded.reads import Reads
from txmirror.embedded.requests import Caller
from txmirror.embedded.tree import Node as ServersNode
from txmirror.errors import NoAuthException, ReplyTooLargeException
from txmirror.mirror import Mirror
from txmirror.registry import PlainCodec, ServiceRegistry
from txmirror.registry.following import Following
from txmirror.test.registry.case import NODE, PATH, RegistryTestCase
from txmirror.types import ACL, READ_ACL, Answer, Payload, Permission, Undecodable, digest_acl

#: How many services of how many nodes there are where reads are counted; the soak environment has more.
_SERVICES = int(os.environ.get("TXMIRROR_SERVICES", "40"))
_NODES = int(os.environ.get("TXMIRROR_SERVICE_NODES", "10"))


class CountingTests(RegistryTestCase):
    """Reads are counted at the server, also where many come in one request."""

    def setUp(self) -> None:
        super().setUp()
        self.reads = 0
        readable = Reads._readable

        def counting(reads: Reads, path: str, caller: Caller) -> ServersNode:
            self.reads += caller.session_id != self.other.session_id
            return readable(reads, path, caller)

        self.patch(Reads, "_readable", counting)
        tree = self.world.server._state.database.tree
        acl = tree.nodes["/"].acl
        tree.begin()
        tree.create("/services", b"", acl, 0, 0)
        for service in range(_SERVICES):
            tree.create(f"/services/s{service}", b"", acl, 0, 0)
            for number in range(_NODES):
                tree.create(f"/services/s{service}/host{number}:80", b'{"a":1}', acl, 0, 0)
        self.subject = self.started()
        for service in range(_SERVICES):
            self.assertEqual(len(self.names(self.subject, f"/services/s{service}")), _NODES)
        self.warm, self.reads = self.reads, 0

    def test_warm_up(self) -> None:
        """At first each node is read once, and each list."""
        self.assertLessEqual(self.warm, _SERVICES * (_NODES + 2))

    def test_change(self) -> None:
        """A node that has changed is read, and no other."""
        self.world.result(self.other.set("/services/s7/host3:80", b'{"a":2}'))
        self.assertEqual(self.answer(self.subject, "/services/s7")["children"]["host3:80"], {"a": 2})
        self.assertEqual(self.reads, 1)

    def test_new(self) -> None:
        """A node that is new is read, and no other but its parent, for the stat."""
        self.make("/services/s8/new:80", b'{"a":3}')
        self.assertEqual(self.answer(self.subject, "/services/s8")["children"]["new:80"], {"a": 3})
        self.assertLessEqual(self.reads, 2)

    def test_gone(self) -> None:
        """For a node that has gone no other is read but its parent, for the stat."""
        self.world.result(self.other.delete("/services/s9/host1:80"))
        self.assertNotIn("host1:80", self.names(self.subject, "/services/s9"))
        self.assertLessEqual(self.reads, 2)

    def test_reconnection(self) -> None:
        """After a reconnection, and in a new session, changed nodes are read."""
        for ends in (False, True):
            self.reads = 0
            session = self.session_of(self.subject)
            self.go_away()
            if ends:
                self.world.server.expire_session(session)
            self.world.result(self.other.set("/services/s3/host1:80", b'{"a":%d}' % (5 + ends)))
            self.come_back()
            self.world.pass_time(2)
            self.assertEqual(self.session_of(self.subject) != session, ends)
            self.assertEqual(self.answer(self.subject, "/services/s3")["children"]["host1:80"], {"a": 5 + ends})
            self.assertLessEqual(self.reads, 4)

    def test_idle(self) -> None:
        """In an idle minute nothing is read, and nothing is written."""
        before = self.world.server._state.database.tree.zxid
        self.world.pass_time(60)
        self.assertEqual(self.reads, 0)
        self.assertEqual(self.world.server._state.database.tree.zxid, before)

    def test_audit(self) -> None:
        """In ten minutes that are idle all is read once or twice: a fifth of the children at each look, every two minutes, with
        the node itself; and each list once, the first time."""
        self.world.pass_time(600)
        looks = range(4, 8)
        self.assertGreaterEqual(self.reads, looks[0] * _SERVICES * (1 + _NODES // 5))
        self.assertLessEqual(self.reads, _SERVICES * (1 + looks[-1] * (1 + -(-_NODES // 5))))
        self.reads = 0
        self.world.pass_time(89)
        self.assertLess(self.reads, _SERVICES * (1 + -(-_NODES // 5)))

    def test_audit_spread(self) -> None:
        """Not all paths are looked at at once."""
        times: list[float] = []
        reads = self.reads
        for _ in range(180):
            self.world.pass_time(1)
            if self.reads != reads:
                times.append(self.reactor.seconds())
            reads = self.reads
        self.assertGreater(len(times), min(_SERVICES, 50) // 3)


class AuditTests(RegistryTestCase):
    """Changes for which servers send no event: the audit finds them."""

    def following(self, registry: ServiceRegistry) -> Following:
        """Return the part of the registry that follows the path."""
        discovery = registry._finder.get(PATH)
        assert discovery is not None
        assert discovery._following is not None
        return discovery._following

    def protect(self, path: str) -> None:
        self.world.result(self.other.add_auth("digest", b"bob:secret"))
        self.world.result(self.other.set_acl(path, (digest_acl("bob", "secret"),)))

    def test_deleted(self) -> None:
        """An instance that was protected and deleted is gone within two minutes and a half, by default."""
        self.make(NODE, b"{}")
        registry = self.started()
        self.assertEqual(self.names(registry), ["server1:22"])
        self.protect(NODE)
        self.world.result(self.other.delete(NODE))
        self.assertEqual(self.names(registry), ["server1:22"])
        self.world.pass_time(151)
        self.assertEqual(self.names(registry), [])
        self.assertFalse(registry.stale(PATH))

    def test_protected(self) -> None:
        """A protected node among many is found within five audits, and no other."""
        for number in range(23):
            self.make(f"{PATH}/host{number}", b"{}")
        registry = self.started(audit=10)
        self.answer(registry)
        self.protect(f"{PATH}/host9")
        self.world.pass_time(5 * 12.5)
        self.assertEqual(list(registry.unreadable(PATH)), [f"{PATH}/host9"])
        self.assertTrue(registry.stale(PATH))
        self.world.result(self.other.delete(f"{PATH}/host9"))
        # Its reads are tried again with growing pauses, of a minute at most; the list of children is sooner.
        self.world.pass_time(13)
        self.assertEqual(registry.unreadable(PATH), {})
        self.assertFalse(registry.stale(PATH))
        self.assertEqual(len(self.names(registry)), 22)

    def test_never(self) -> None:
        """Without an audit such a change is never noticed."""
        self.make(NODE, b"{}")
        registry = self.started(audit=None)
        self.answer(registry)
        self.protect(NODE)
        self.world.result(self.other.delete(NODE))
        self.world.pass_time(3600)
        self.assertEqual(self.names(registry), ["server1:22"])

    def test_outage(self) -> None:
        """The audit continues after an outage of any length, and after a stop and a start of the registry."""
        self.make(NODE, b"{}")
        registry = self.started(audit=10)
        self.answer(registry)
        self.go_away()
        self.world.pass_time(100)
        self.come_back()
        self.world.pass_time(5)
        self.world.result(registry.stop())
        self.world.pass_time(100)
        self.world.result(registry.start())
        self.protect(NODE)
        self.world.pass_time(13)
        self.assertEqual(list(registry.unreadable(PATH)), [NODE])
        self.world.result(self.other.delete(NODE))
        self.world.pass_time(13)
        self.assertEqual(self.names(registry), [])

    def test_cut_off(self) -> None:
        """If the connection is cut during an audit, at any turn, the audit is repeated afterwards."""
        self.make(NODE, b"{}")
        registry = self.started(audit=10)
        self.answer(registry)
        for turns in range(12):
            self.following(registry)._audit.run()
            self.reactor.take_turns(turns)
            self.go_away()
            self.come_back()
            self.world.pass_time(2)
            self.make(f"{PATH}/b", b"{}")
            self.protect(f"{PATH}/b")
            self.world.result(self.other.delete(f"{PATH}/b"))
            self.world.pass_time(13)
            self.assertEqual(self.names(registry), ["server1:22"])
            self.assertFalse(registry.stale(PATH))

    def test_large(self) -> None:
        """A node with much data is not read again whenever a child comes or goes: the stat is as of the last look then."""
        self.make(PATH, b'"%b"' % (b"x" * 20_000))
        registry = self.started()
        told: list[Answer] = []
        self.world.result(registry.get(PATH, callback=told.append))
        self.make(NODE, b"{}")
        self.world.settle()
        assert told[-1]["stat"] is not None
        self.assertEqual((list(told[-1]["children"]), told[-1]["stat"].numChildren), (["server1:22"], 0))
        self.world.pass_time(151)
        assert told[-1]["stat"] is not None
        self.assertEqual(told[-1]["stat"].numChildren, 1)

    def test_told_in_an_outage(self) -> None:
        """A change that was known when the connection was lost is reported, even though its stat has not arrived."""
        self.make(NODE, b"{}")
        registry = self.started()
        told: list[Answer] = []
        self.world.result(registry.get(PATH, callback=told.append))
        for turns in range(10):
            name = f"host{turns}"
            self.other.create(f"{PATH}/{name}", b"{}")
            self.reactor.take_turns(turns)
            self.go_away()
            self.world.pass_time(1)
            known = [paths.name_of(path) for path in self.following(registry)._payloads if path != PATH]
            self.assertEqual(sorted(told[-1]["children"]), sorted(known))
            self.come_back()
            self.world.pass_time(3)
            self.assertIn(name, told[-1]["children"])
            self.assertEqual(told[-1]["stat"], self.stat(PATH))


class AnswerTests(RegistryTestCase):
    def test_own_copy(self) -> None:
        """A caller or a callback may change its answer; nobody else sees that."""
        self.make(NODE, b'{"deep":{"list":[1,{"a":1}]}}')
        registry = self.started()
        told: list[Answer] = []

        def spoil(answer: Answer) -> None:
            facts = answer["children"]["server1:22"]
            assert isinstance(facts, dict)
            facts["deep"]["list"][1]["a"] = 99  # type: ignore[index]  # JSON's
            answer["children"].clear()

        self.world.result(registry.get(PATH, callback=spoil))
        self.world.result(registry.get(PATH, callback=told.append))
        spoil(self.answer(registry))
        expected = {"server1:22": {"deep": {"list": [1, {"a": 1}]}}}
        self.assertEqual(self.answer(registry)["children"], expected)
        self.assertEqual(told[0]["children"], expected)

    def test_told_together(self) -> None:
        """Many changes that arrive together are reported in one call."""
        self.make(NODE, b"{}")
        registry = self.started()
        told: list[Answer] = []
        self.world.result(registry.get(PATH, callback=told.append))
        transaction = self.other.transaction()
        for number in range(50):
            transaction.create(f"{PATH}/host{number}:22", b"{}")
        self.world.result(transaction.commit())
        self.assertLessEqual(len(told), 3)
        self.assertEqual(len(told[-1]["children"]), 51)

    def test_new_path(self) -> None:
        """A path that appears together with a child is reported with the child, without a pause."""
        registry = self.started()
        told: list[Answer] = []
        self.world.result(registry.get(PATH, callback=told.append))
        begun = self.reactor.seconds()
        for path in ("/services", PATH, NODE):
            self.other.create(path, b"{}")
        self.world.settle()
        self.assertEqual((self.reactor.seconds(), list(told[-1]["children"])), (begun, ["server1:22"]))
        self.assertEqual(told[-1]["stat"], self.stat(PATH))

    def test_number_of_children(self) -> None:
        """The stat has the number of children that there are."""
        self.make(NODE, b"{}")
        registry = self.started()
        self.answer(registry)
        for number in range(3):
            self.make(f"{PATH}/host{number}:22")
            stat = self.answer(registry)["stat"]
            assert stat is not None
            self.assertEqual(stat.numChildren, number + 2)

    def test_codec(self) -> None:
        """Another codec encodes and decodes the data of nodes."""
        registry = self.started(codec=PlainCodec())
        self.world.result(registry.set_node(NODE, "10.0.0.1:22"))
        data, _ = self.world.result(self.other.get(NODE))
        self.assertEqual(data, b"10.0.0.1:22")
        self.assertEqual(self.answer(registry)["children"], {"server1:22": "10.0.0.1:22"})

    def test_codec_raises(self) -> None:
        """A codec of one's own that raises has not read that node; the others are found, and nothing is logged as a bug."""

        class Fussy(PlainCodec):
            def decode(self, data: bytes) -> Payload | Undecodable:
                if data == b"odd":
                    raise RecursionError("too\ndeep")
                return super().decode(data)

        registry = self.started(codec=Fussy())
        for name, data in (("a", b"1"), ("b", b"odd"), ("c", b"2")):
            self.make(f"{PATH}/{name}", data)
        self.assertEqual(self.answer(registry)["children"], {"a": "1", "c": "2"})
        (text,) = self.warnings.texts
        self.assertIn(f"{PATH}/b", text)
        self.assertIn("RecursionError", text)
        self.assertNotIn("\n", text)
        self.world.result(self.other.set(f"{PATH}/b", b"3"))
        self.assertEqual(self.names(registry), ["a", "b", "c"])

    def test_decodable_again(self) -> None:
        """A node that cannot be decoded is left out until it can be, and that is logged once."""
        self.make(NODE, b"\xff\xfe")
        registry = self.started()
        self.assertEqual(self.names(registry), [])
        self.assertEqual(len(self.warnings.texts), 1)
        self.assertIn(repr(NODE)[1:-1], self.warnings.texts[0])
        self.world.result(self.other.set(NODE, b'{"a":1}'))
        self.assertEqual(self.answer(registry)["children"], {"server1:22": {"a": 1}})
        self.world.result(self.other.set(NODE, b"\xff"))
        self.assertEqual(self.names(registry), [])
        self.assertEqual(len(self.warnings.texts), 2)

    def test_unreadable_child(self) -> None:
        """A child that may not be read is left out, and the others are there."""
        self.make(NODE, b'{"a":1}')
        self.world.result(self.other.create(PATH + "/secret", b"{}", (digest_acl("a", "b"),)))
        registry = self.started()
        self.assertEqual(self.names(registry), ["server1:22"])

    def test_unreadable_until(self) -> None:
        """A path that may not be read is an error, and read after all once that is allowed."""
        self.world.result(self.other.create("/secret", b"{}", (digest_acl("amy", "pw"),)))
        registry = self.started()
        for _ in range(2):
            text = self.failure(registry.get("/secret"), NoAuthException)
            self.assertIn("'/secret'", text)
        self.world.result(registry.set_username("amy"))
        self.world.result(registry.set_password("pw"))
        self.assertEqual(self.answer(registry, "/secret")["data"], {})

    def test_read_no_longer(self) -> None:
        """A node that becomes unreadable keeps its known data."""
        self.make(NODE, b'{"a":1}')
        registry = self.started()
        self.answer(registry)
        self.world.result(self.other.set_acl(NODE, (ACL(Permission.ALL, "ip", "10.0.0.1"),)))
        self.go_away()
        self.come_back()
        self.world.pass_time(3)
        self.assertEqual(self.names(registry), ["server1:22"])


class TooLargeTests(RegistryTestCase):
    """Data and lists of children over the client's limit for a reply."""

    def with_limit(self, **options: Any) -> ServiceRegistry:
        """Return a registry whose client takes replies of up to 2,000 bytes."""
        mirror = Mirror(self.world.connect_string, limits=Limits(max_reply=2_000), reactor=self.reactor)
        self.mirrors.append(mirror)
        return self.registry(mirror=mirror, **options)

    def setUp(self) -> None:
        super().setUp()
        self.mirrors: list[Mirror] = []

    def end(self) -> None:
        self.come_back()
        for registry in self.registries:
            self.world.result(registry.stop())
        for mirror in self.mirrors:
            self.world.result(mirror.close())
        super().end()

    def make_many(self, count: int) -> list[str]:
        """Create so many nodes with names of 60 bytes."""
        names = [f"{'n' * 57}{number:03}" for number in range(count)]
        for name in names:
            self.make(f"{PATH}/{name}", b"{}")
        return names

    def test_list(self) -> None:
        """``get()`` fails while the children cannot be listed, and succeeds once they can be."""
        names = self.make_many(40)
        registry = self.with_limit()
        for _ in range(2):
            self.assertIn(repr(PATH), self.failure(registry.get(PATH), ReplyTooLargeException))
            self.assertTrue(registry.stale(PATH))
        for name in names[5:]:
            self.world.result(self.other.delete(f"{PATH}/{name}"))
        self.assertEqual(self.names(registry), names[:5])
        self.assertFalse(registry.stale(PATH))

    def test_list_later(self) -> None:
        """A list that can no longer be read stays as it was, stale and named, until it can be read again."""
        self.make_many(5)
        registry = self.with_limit()
        told: list[Answer] = []
        self.world.result(registry.get(PATH, callback=told.append))
        for number in range(40):
            self.make(f"{PATH}/{'m' * 60}{number}", b"{}")
        self.go_away()
        self.world.result(self.other.delete(f"{PATH}/{'m' * 60}0"))
        self.come_back()
        self.world.pass_time(3)
        self.assertTrue(registry.stale(PATH))
        self.assertIsInstance(registry.unreadable(PATH)[PATH], ReplyTooLargeException)
        for number in range(1, 40):
            self.world.result(self.other.delete(f"{PATH}/{'m' * 60}{number}"))
        self.world.pass_time(61)
        self.assertEqual((registry.unreadable(PATH), registry.stale(PATH)), ({}, False))
        self.assertEqual(len(told[-1]["children"]), 5)

    def test_remembered(self) -> None:
        """An answer from the cache file stays stale while the children cannot be listed, and is replaced once they can be."""
        cachefile = self.mktemp()
        self.make(NODE, b'{"a":1}')
        first = self.started(lazy=True, cachefile=cachefile)
        self.answer(first)
        self.world.result(first.stop())
        names = self.make_many(40)
        registry = self.with_limit(lazy=True, cachefile=cachefile)
        self.reactor.black_hole("127.0.0.1", self._port)
        reading = registry.get(PATH)
        self.world.pass_time(6)
        answer = self.successResultOf(reading)
        self.assertIsNot(answer, False)
        self.assertEqual(list(answer["children"]), ["server1:22"])
        self.come_back()
        self.world.pass_time(20)
        self.assertTrue(registry.stale(PATH))
        self.assertEqual(list(registry.unreadable(PATH)), [PATH])
        self.assertEqual(self.names(registry), ["server1:22"])
        # The list can be read then, and says nothing new.
        for name in names:
            self.world.result(self.other.delete(f"{PATH}/{name}"))
        self.world.pass_time(61)
        self.assertEqual((self.names(registry), registry.stale(PATH)), (["server1:22"], False))
        stat = self.answer(registry)["stat"]
        assert stat is not None
        self.assertEqual(stat.numChildren, 1)

    def test_child_grows(self) -> None:
        """A child that has grown over the limit keeps its old data, is named, and makes the answer stale; another registry
        leaves it out and names it too.
        """
        self.make(NODE, b'{"a":1}')
        registry = self.with_limit()
        self.answer(registry)
        self.world.result(self.other.set(NODE, b'{"a":"%b"}' % (b"x" * 3_000)))
        for subject, names in ((registry, ["server1:22"]), (self.with_limit(), [])):
            self.assertEqual(self.names(subject), names)
            self.assertEqual(list(subject.unreadable(PATH)), [NODE])
            self.assertIsInstance(subject.unreadable(PATH)[NODE], ReplyTooLargeException)
            self.assertTrue(subject.stale(PATH))
        self.world.result(self.other.set(NODE, b'{"a":2}'))
        self.world.settle()
        for subject in self.registries:
            self.assertEqual(self.answer(subject)["children"], {"server1:22": {"a": 2}})
            self.assertEqual((subject.unreadable(PATH), subject.stale(PATH)), ({}, False))

    def test_child_stays_in_cache(self) -> None:
        """The cache file keeps the data of a child that a new process cannot read."""
        cachefile = self.mktemp()
        self.make(NODE, b'{"a":1}')
        first = self.started(lazy=True, cachefile=cachefile)
        self.answer(first)
        self.world.result(first.stop())
        self.world.result(self.other.set(NODE, b'{"a":"%b"}' % (b"x" * 3_000)))
        second = self.with_limit(lazy=True, cachefile=cachefile)
        self.assertEqual(self.names(second), [])
        self.make(f"{PATH}/another:22", b"{}")
        self.assertEqual(self.names(second), ["another:22"])
        self.world.result(second.stop())
        self.world.result(self.mirrors.pop().close())
        self.go_away()
        third = self.registry(lazy=True, cachefile=cachefile)
        reading = third.get(PATH)
        self.world.pass_time(6)
        answer = self.successResultOf(reading)
        self.assertIsNot(answer, False)
        self.assertEqual(answer["children"], {"another:22": {}, "server1:22": {"a": 1}})
        self.assertTrue(third.stale(PATH))

    def test_own_data(self) -> None:
        """``get()`` fails while the node's own data is over the limit."""
        self.make(NODE, b"{}")
        self.world.result(self.other.set(PATH, b"x" * 3_000))
        registry = self.with_limit()
        self.failure(registry.get(PATH), ReplyTooLargeException)
        self.world.result(self.other.set(PATH, b"x"))
        self.assertEqual(self.answer(registry)["data"], {"string_value": "x"})


class HoldTests(RegistryTestCase):
    """A list that has collapsed is not believed right after a reconnection, for so long."""

    def setUp(self) -> None:
        super().setUp()
        # Those who register do it in a session that the others' absence does not touch.
        for number in range(4):
            self.make(f"{PATH}/host{number}:22", b"{}")

    def subject(self, hold_for: float = 10.0) -> tuple[ServiceRegistry, list[int]]:
        """Return a registry that has the list, and a list to which it adds the number of children at each notification."""
        registry = self.started(hold_for=hold_for)
        told: list[int] = []
        self.world.result(registry.get(PATH, callback=lambda answer: told.append(len(answer["children"]))))
        self.assertEqual(told, [4])
        return registry, told

    def lose(self, count: int) -> None:
        """Let so many go while the registry is away, and let that come back."""
        self.go_away()
        for number in range(count):
            self.world.result(self.other.delete(f"{PATH}/host{number}:22"))
        self.come_back()
        self.world.pass_time(3)

    def test_off(self) -> None:
        """Without hold_for nothing is held."""
        registry, told = self.subject(hold_for=0.0)
        self.lose(4)
        self.assertEqual(told, [4, 0])
        self.assertFalse(registry.stale(PATH))

    def test_held(self) -> None:
        """The last list is kept, and is stale, until the time is over; then the new one is reported."""
        registry, told = self.subject()
        self.lose(3)
        self.assertEqual((told, len(self.names(registry)), registry.stale(PATH)), ([4], 4, True))
        self.world.pass_time(7.5)
        self.assertEqual((told, len(self.names(registry)), registry.stale(PATH)), ([4, 1], 1, False))

    def test_plausible(self) -> None:
        """A list that has lost no more than half is believed."""
        registry, told = self.subject()
        self.lose(2)
        self.assertEqual((told, registry.stale(PATH)), ([4, 2], False))

    def test_recovers(self) -> None:
        """When enough are there again the list is believed, before the time is over."""
        registry, told = self.subject()
        self.lose(4)
        self.make(f"{PATH}/host0:22")
        self.world.settle()
        self.assertEqual((told, registry.stale(PATH)), ([4], True))
        self.make(f"{PATH}/host1:22")
        self.world.settle()
        self.assertEqual((told, registry.stale(PATH)), ([4, 2], False))

    def test_collapses_later(self) -> None:
        """A list that collapses within the time is held for the rest of it: sessions end some time after a return."""
        registry, told = self.subject()
        self.lose(0)
        for number in range(4):
            self.world.result(self.other.delete(f"{PATH}/host{number}:22"))
        self.world.settle()
        self.assertEqual(told[-1], 2)
        self.assertEqual(len(self.names(registry)), 2)
        self.world.pass_time(10)
        self.assertEqual(told[-1], 0)

    def test_connected(self) -> None:
        """Without a reconnection before it every list is believed."""
        registry, told = self.subject()
        self.world.pass_time(20)
        for number in range(4):
            self.world.result(self.other.delete(f"{PATH}/host{number}:22"))
        self.world.settle()
        self.assertEqual(told[-1], 0)
        self.assertFalse(registry.stale(PATH))

    def test_second_return(self) -> None:
        """Another reconnection in between restarts the time, and the list from before is still kept."""
        registry, told = self.subject()
        self.lose(4)
        self.world.pass_time(5)
        self.go_away()
        self.come_back()
        self.world.pass_time(9)
        self.assertEqual((told, len(self.names(registry))), ([4], 4))
        self.world.pass_time(3)
        self.assertEqual(told, [4, 0])

    def test_stopped_meanwhile(self) -> None:
        """A registry that is stopped while it holds a list leaves no timer, and keeps the list."""
        registry, told = self.subject()
        self.lose(4)
        stopped = registry.stop()
        self.world.pass_time(1)
        self.successResultOf(stopped)
        self.assertEqual((told, len(self.names(registry))), ([4], 4))


class StaleTests(RegistryTestCase):
    def test_stale(self) -> None:
        """An answer is stale before it is read, while ZooKeeper is out of reach, and after the close; not in between."""
        self.make(NODE)
        registry = self.registry(acl=READ_ACL)
        self.assertTrue(registry.stale(PATH))
        reading = registry.get(PATH)
        self.assertTrue(registry.stale(PATH))
        self.world.result(reading)
        self.assertFalse(registry.stale(PATH))
        self.assertTrue(registry.stale("/other"))
        self.go_away()
        self.assertTrue(registry.stale(PATH))
        self.come_back()
        self.world.pass_time(2)
        self.assertFalse(registry.stale(PATH))
        registry.stop()
        self.assertTrue(registry.stale(PATH))
