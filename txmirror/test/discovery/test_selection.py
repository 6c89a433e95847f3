"""The instances that a provider uses: formats, filters, zones, weights and states, and those that cannot be read."""

from __future__ import annotations

import math

import attrs
from twisted.internet.defer import Deferred

from txmirror.discovery.judging import Judge, Where
from txmirror.errors import PathError
from txmirror.registry import CODECS
from txmirror.test.discovery.case import PATH, ProviderTestCase, names
from txmirror.types import ACL, Instance, InstanceStatus, Permission, Undecodable

NERVE = b'{"host": "%s", "port": 80, "labels": {"zone": "%s"}}'


class FormatTests(ProviderTestCase):
    def test_all_at_once(self) -> None:
        """Each node is read in its own format, beside the others under one path."""
        made = {}
        for number, (name, codec) in enumerate(sorted(CODECS.items())):
            instance = Instance(name=f"member_{number:010}", address="h", port=1000 + number, service="web")
            if not name.startswith("curator"):
                instance = attrs.evolve(instance, service=None)
            if name in ("ndsr", "zczk"):
                instance = attrs.evolve(instance, name=f"h:{1000 + number}")
            data = codec.encode(codec.facts(instance), pid=1, created=1.0)
            made[codec.node_name(instance)] = instance.port, data
        self.make("")
        for name, (_, data) in made.items():
            self.world.result(self.other.create(f"{PATH}/{name}", data))
        provider = self.provider()
        self.assertEqual(
            {each.name: each.port for each in provider.instances()}, {name: port for name, (port, _) in made.items()}
        )
        self.assertEqual(len({each.codec for each in provider.instances()}), len(CODECS) - 1)

    def test_one_codec(self) -> None:
        """A codec that is named reads all."""
        self.make("a", b'{"host": "h", "port": 8080}')
        by_format, by_codec = self.provider().instances(), self.provider(codec="ndsr").instances()
        self.assertEqual([(each.address, each.port) for each in by_format], [("h", 8080)])
        self.assertEqual([(each.address, each.port) for each in by_codec], [("a", 1)])

    def test_unknown_codec(self) -> None:
        self.assertIn("'cvs'", str(self.assertRaises(LookupError, self.provider, codec="cvs")))

    def test_changes_format(self) -> None:
        self.make("a", b"h:80")
        provider = self.provider()
        self.world.result(self.other.set(f"{PATH}/a:1", b'{"host": "other", "port": 81}'))
        self.assertEqual([each.address for each in provider.instances()], ["other"])


class Counting:
    """A codec that counts how often it decodes each node."""

    def __init__(self) -> None:
        self.read_names: list[str] = []

    def __getattr__(self, name: str) -> object:
        return getattr(CODECS["ndsr"], name)

    def read(self, name: str, data: bytes) -> Instance | Undecodable:
        self.read_names.append(name)
        return CODECS["ndsr"].read(name, data)


class DecodingTests(ProviderTestCase):
    def test_once(self) -> None:
        """Of 10,000 instances, one changes: one is decoded. After an outage and a new session none is."""
        codec = Counting()
        self.make("")
        created: list[Deferred[str]] = [self.other.create(f"{PATH}/web{number}:80", b"{}") for number in range(10_000)]
        for each in created:
            self.world.result(each)
        provider = self.provider(codec=codec)
        self.assertEqual(len(provider.instances()), 10_000)
        self.assertEqual(len(codec.read_names), 10_000)
        del codec.read_names[:]
        self.world.result(self.other.set(f"{PATH}/web17:80", b'{"weight": 2}'))
        self.assertEqual(len(provider.instances()), 10_000)
        self.assertEqual(codec.read_names, ["web17:80"])
        self.world.result(self.registry.rebuild())
        self.world.result(self.other.delete(f"{PATH}/web1:80"))
        self.assertEqual(len(provider.instances()), 9_999)
        self.assertEqual(codec.read_names, ["web17:80"])


class FilterTests(ProviderTestCase):
    def judged(self, where: Where | None, instance: Instance) -> bool:
        """Return whether a filter accepts an instance."""
        data = CODECS["ndsr"].encode(CODECS["ndsr"].facts(instance), pid=1, created=1.0)
        verdict, _, _ = Judge(PATH, where, "ndsr").judge(instance.name, data)
        return verdict.name == "USABLE"

    def test_by_data(self) -> None:
        """A wanted value is a label's, or that of a key of the data; a text equals what JSON writes so."""
        instance = Instance(
            name="a:1", address="a", port=1, labels={"tier": "gold"}, data={"version": 3, "canary": True, "n": None}
        )
        cases: list[tuple[Where | None, bool]] = [
            ({}, True),
            ({"tier": "gold", "version": 3}, True),
            ({"tier": "gold", "version": 4}, False),
            ({"version": "3", "canary": "true"}, True),
            ({"canary": "True"}, False),
            ({"canary": True}, True),
            ({"missing": "x"}, False),
            ({"missing": None, "n": None}, True),
            (None, True),
        ]
        for where, accepted in cases:
            self.assertIs(self.judged(where, instance), accepted, where)
        text = attrs.evolve(instance, data="text", labels={})
        self.assertFalse(self.judged({"tier": "gold"}, text))

    def test_by_function(self) -> None:
        self.make("abc")
        provider = self.provider(where=lambda each: each.name > "b")
        self.assertEqual(names(provider.instances()), "bc")

    def test_failing(self) -> None:
        """A function that raises leaves the instance out; the log has the exception once."""
        self.make("abc")
        provider = self.provider(where=lambda each: {"a": 1, "b": 0}[each.address])
        self.make("d")
        self.assertEqual(names(provider.instances()), "a")
        self.assertEqual(
            provider.omitted, {"c:1": "the filter raised KeyError('c')", "d:1": "the filter raised KeyError('d')"}
        )
        self.assertEqual(len(self.flushLoggedErrors(KeyError)), 1)

    def test_no_filter(self) -> None:
        self.assertIn("where is 5", str(self.assertRaises(TypeError, self.provider, where=5)))


class ZoneTests(ProviderTestCase):
    def test_preferred(self) -> None:
        """Instances in the zone are picked alone; if there are too few, all are."""
        self.make("ab", NERVE % (b"h", b"near"))
        self.make("cd", NERVE % (b"h", b"far"))
        self.make("e", b'{"host": "h", "port": 80, "zone": "near"}')
        one, three = self.provider(zone="near"), self.provider(zone="near", least_in_zone=3)
        self.assertEqual([names(each.instances()) for each in (one, three)], ["abe", "abe"])
        self.remove("a")
        self.assertEqual([names(each.instances()) for each in (one, three)], ["be", "bcde"])
        self.remove("be")
        self.assertEqual([names(each.instances()) for each in (one, three)], ["cd", "cd"])

    def test_down(self) -> None:
        """Those that are down do not count, and those to be avoided give way to another zone."""
        self.make("a", NERVE % (b"h", b"near"))
        self.make("b", NERVE % (b"h", b"far"))
        provider = self.provider(zone="near")
        (a,) = provider.instances()
        self.assertEqual(self.picks(provider, 1, avoid=[a]), "b")
        for _ in range(2):
            provider.failed(a)
        self.assertEqual(names(provider.instances()), "b")

    def test_unknown_zone(self) -> None:
        self.make("ab")
        self.assertEqual(names(self.provider(zone="nowhere").instances()), "ab")


class StateTests(ProviderTestCase):
    def test_statuses(self) -> None:
        """Those that are registered as down, or have the weight 0, are not picked; those with warnings are."""
        self.make("a", b'{"serviceEndpoint": {"host": "h", "port": 1}, "additionalEndpoints": {}, "status": "DEAD"}')
        codec = CODECS["ndsr"]
        warning = Instance(name="b:1", address="b", port=1, status=InstanceStatus.WARNING)
        self.make("b", codec.encode(codec.facts(warning), pid=1, created=1.0))
        self.make("c", b'{"weight": 0}')
        self.make("d", b'{"weight": 5}')
        provider = self.provider()
        self.assertEqual(names(provider.instances()), "bd")
        self.assertIs(provider.instances()[0].status, InstanceStatus.WARNING)

    def test_unreadable(self) -> None:
        """Nodes that no codec can read, or without an address or a port, are left out, and are readable later."""
        self.make("a", b"\xff")
        self.make("b")
        for name, data in [("nowhere", b"{}"), ("noport", b'{"host": "h", "port": null, "x": 1}')]:
            self.world.result(self.other.create(f"{PATH}/{name}", data))
        provider = self.provider()
        self.assertEqual(names(provider.instances()), "b")
        self.assertEqual(sorted(provider.omitted), ["a:1", "noport", "nowhere"])
        self.assertEqual(provider.omitted["a:1"], "not UTF-8 at byte 0: b'\\xff'")
        self.world.result(self.other.set(f"{PATH}/a:1", b""))
        self.world.result(self.other.delete(f"{PATH}/noport"))
        self.assertEqual((names(provider.instances()), sorted(provider.omitted)), ("ab", ["nowhere"]))

    def test_hidden(self) -> None:
        """A node that may not be read is left out until it may."""
        self.make("b")
        nobody = [ACL(Permission.ALL & ~Permission.READ, "world", "anyone")]
        self.world.result(self.other.create(f"{PATH}/a:1", b"", acl=nobody))
        provider = self.provider()
        self.assertEqual((names(provider.instances()), list(provider.omitted)), ("b", ["a:1"]))
        self.world.result(self.other.set_acl(f"{PATH}/a:1", [ACL(Permission.ALL, "world", "anyone")]))
        self.world.pass_time(70)
        self.assertEqual((names(provider.instances()), provider.omitted), ("ab", {}))

    def test_hidden_path(self) -> None:
        """A path that may not be read has no instances until it may."""
        self.make("a")
        self.world.result(self.other.set_acl(PATH, [ACL(Permission.ADMIN, "world", "anyone")]))
        provider = self.provider()
        self.assertIn("the path cannot be read: ", self.reason(provider.instance(wait=0)))
        self.world.result(self.other.set_acl(PATH, [ACL(Permission.ALL, "world", "anyone")]))
        self.world.pass_time(70)
        self.assertEqual(names(provider.instances()), "a")

    def test_bad_path(self) -> None:
        self.assertRaises(PathError, self.provider, path="/a/../b")

    def test_bad_numbers(self) -> None:
        """Bad arguments raise, and quote the value."""
        for name, value in [("wait", -1), ("down_for", math.nan), ("down_after", 0), ("least_in_zone", 1.5)]:
            message = str(self.assertRaises(ValueError, self.provider, **{name: value}))
            self.assertIn(f"{name} is {value!r}", message)
