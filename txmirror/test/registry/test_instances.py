"""Instances are read as they were written, in each format, and nothing that stands in a node makes reading raise."""

from __future__ import annotations

import json
from typing import Any

import attrs
from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from txmirror.interfaces import IInstanceCodec
from txmirror.registry import CODECS, PlainCodec, decode_instance, decode_payload, find_codec, with_instances
from txmirror.test.hypothesis_profiles import at_most
from txmirror.test.registry.instances import instances, times
from txmirror.test.registry.plugin import add_plugin
from txmirror.types import Instance, Undecodable

_written = st.sampled_from(sorted(CODECS)).flatmap(instances)


def _encode(instance: Instance, created: float) -> tuple[str, bytes]:
    codec = CODECS[instance.codec]
    data = codec.encode(codec.facts(instance), pid=8364, created=created)
    return codec.node_name(instance), data


def _expected(instance: Instance, name: str, created: float) -> Instance:
    """Return an instance as it is read: with the facts about the registration, and the id that the format has."""
    changes: dict[str, Any] = {"name": name}
    if instance.codec in ("ndsr", "zczk", "merged"):
        changes["pid"] = 8364 if instance.pid is None else instance.pid
    if instance.codec in ("ndsr", "merged", "curator", "curator-spring"):
        changes["created"] = created
    if instance.codec in ("nerve", "nerve-base64", "merged"):
        changes["id"] = instance.name.rpartition("_")[0]
    if instance.codec in ("curator", "curator-spring"):
        changes["id"] = instance.name
    return attrs.evolve(instance, **changes)


class RoundTripTests(SynchronousTestCase):
    @given(_written, times)
    def test_named_codec(self, instance: Instance, created: float) -> None:
        """An instance is read as it was written, in every format."""
        name, data = _encode(instance, created)
        self.assertEqual(decode_instance(name, data, instance.codec), _expected(instance, name, created))

    @given(_written, times)
    def test_recognised(self, instance: Instance, created: float) -> None:
        """The format is recognised, and nothing is lost; only zc.zk's looks like nd_service_registry's."""
        name, data = _encode(instance, created)
        expected = _expected(instance, name, created)
        if instance.codec == "zczk":
            expected = attrs.evolve(expected, codec="ndsr")
            if isinstance(instance.data, str):
                return
        self.assertEqual(decode_instance(name, data), expected)

    @at_most(50)
    @given(_written, times, st.booleans())
    def test_of_answer(self, instance: Instance, created: float, recognise: bool) -> None:
        """The decoded data of a registry's answer has the same instance as the data itself, also after the way to a cache file."""
        name, data = _encode(instance, created)
        codec = None if recognise else instance.codec
        payload = CODECS["ndsr"].decode(data)
        assert not isinstance(payload, Undecodable)
        stored = json.loads(json.dumps(payload))
        self.assertEqual(decode_payload(name, stored, codec), decode_instance(name, data, codec))

    @given(_written, times, times)
    def test_no_write(self, instance: Instance, created: float, later: float) -> None:
        """Data that another process of ours has written is not written again: the time and the process make no
        difference.
        """
        codec = CODECS[instance.codec]
        facts = codec.facts(instance)
        self.assertTrue(codec.says(codec.encode(facts, pid=1, created=created), facts))
        self.assertEqual(codec.facts(instance), facts)

    @given(_written)
    def test_change(self, instance: Instance) -> None:
        """Another address, port or label is a difference, where the format has it."""
        codec = CODECS[instance.codec]
        stored = codec.encode(codec.facts(instance), pid=1, created=0.0)
        assert instance.port is not None
        other = attrs.evolve(instance, port=instance.port % 65535 + 1)
        if instance.codec not in ("ndsr", "zczk"):
            self.assertFalse(codec.says(stored, codec.facts(other)))
        other = attrs.evolve(instance, labels={**instance.labels, "new": "label"})
        if instance.codec not in ("curator", "plain"):
            self.assertFalse(codec.says(stored, codec.facts(other)))


class AnythingTests(SynchronousTestCase):
    @given(
        st.text(max_size=10)
        | st.sampled_from(["a:1", "member_0000000001"])
        | st.text("0123456789_").map("base64_".__add__),
        st.binary()
        | st.recursive(
            st.none() | st.booleans() | st.integers() | st.text(max_size=3),
            lambda values: (
                st.lists(values, max_size=2)
                | st.dictionaries(
                    st.sampled_from(
                        [
                            "host",
                            "port",
                            "name",
                            "weight",
                            "labels",
                            "serviceEndpoint",
                            "additionalEndpoints",
                            "status",
                            "metadata",
                            "address",
                            "serviceType",
                            "payload",
                            "@class",
                            "pid",
                            "created",
                            "created_zone",
                            "health",
                            "sslPort",
                            "enabled",
                            "registrationTimeUTC",
                            "string_value",
                        ]
                    ),
                    values,
                    max_size=6,
                )
            ),
            max_leaves=15,
        ).map(lambda value: json.dumps(value).encode()),
        st.sampled_from([None, *sorted(CODECS)]),
    )
    def test_never_raises(self, name: str, data: bytes, codec: str | None) -> None:
        """Any node is read, or its reason is one line."""
        instance = decode_instance(name, data, codec)
        if isinstance(instance, Undecodable):
            self.assertTrue(instance.reason.isprintable(), instance.reason)
            return
        self.assertEqual(instance.name, name)
        self.assertTrue(instance.port is None or 0 < instance.port < 65536)
        self.assertTrue(instance.weight is None or instance.weight >= 0)
        for label in instance.labels.items():
            self.assertTrue(all(isinstance(each, str) for each in label))

    def test_no_address(self) -> None:
        """Text in a node without an address is unreadable, as is no data; a node of a known codec needs none."""
        for data in (b"", b"hello", b"[1]", b"1:2:3:4"):
            self.assertEqual(
                decode_instance("x", data), Undecodable("it has no address: neither in its data nor in its name")
            )
        self.assertEqual(decode_instance("x", b"hello", "ndsr"), Instance(name="x", data="hello"))
        self.assertEqual(decode_instance("a:1", b"hello"), Instance(name="a:1", address="a", port=1, data="hello"))
        self.assertEqual(decode_instance("x", b'{"a":1}'), Instance(name="x", data={"a": 1}))

    def test_not_utf8(self) -> None:
        """Data that is no text is unreadable, such as old members of a serverset, which are Thrift."""
        undecodable = decode_instance("member_0000000001", b"\x0c\x00\x01\x0b\xff")
        assert isinstance(undecodable, Undecodable)
        self.assertIn("not UTF-8", undecodable.reason)

    def test_nd_with_host_and_port(self) -> None:
        """An object with the process and the time of nd_service_registry is its, whatever other facts it has."""
        data = b'{"pid":1,"created":"2012-12-14 21:17:50","host":"x","port":"y"}'
        instance = decode_instance("a:1", data)
        assert isinstance(instance, Instance)
        self.assertEqual((instance.codec, instance.address, instance.port), ("ndsr", "a", 1))


class PluginTests(SynchronousTestCase):
    def setUp(self) -> None:
        add_plugin(self)
        self.codec = find_codec("reversed-for-test")

    def test_found(self) -> None:
        """A plugin is found by its name, beside the codecs of this package."""
        self.assertEqual(self.codec.encode("abc", pid=1, created=0.0), b"cba")
        self.assertIs(find_codec("ndsr"), CODECS["ndsr"])
        error = self.assertRaises(LookupError, find_codec, "nosuch")
        self.assertIn("'nosuch'", str(error))
        self.assertRaises(LookupError, decode_instance, "a:1", b"", "nosuch")

    def test_reads_instances(self) -> None:
        """A plugin that knows only data reads the address from the name."""
        expected = Instance(name="a:1", address="a", port=1, data="abc", codec="reversed-for-test")
        self.assertEqual(decode_instance("a:1", b"cba", "reversed-for-test"), expected)
        self.assertEqual(
            decode_instance("x", b"cba", self.codec), Instance(name="x", data="abc", codec=self.codec.name)
        )
        self.assertEqual(decode_instance("x", b"bad", self.codec), Undecodable("it is bad"))
        undecodable = decode_instance("x", b"worse", self.codec)
        assert isinstance(undecodable, Undecodable)
        self.assertIn("raised RuntimeError('oops')", undecodable.reason)

    def test_with_instances(self) -> None:
        """It can be used where instances are written."""
        codec = with_instances(self.codec)
        self.assertTrue(verifyObject(IInstanceCodec, codec))
        self.assertEqual(codec.facts(Instance(name="a:1", data="abc")), "abc")
        self.assertEqual(codec.encode("abc", pid=1, created=0.0), b"cba")
        self.assertEqual(
            (codec.decode(b"cba"), codec.says(b"cba", "abc"), codec.says(b"x", "abc")), ("abc", True, False)
        )
        self.assertEqual((codec.node_name(Instance(name="a:1")), codec.node), ("a:1", "{address}:{port}"))
        with self.assertRaisesRegex(ValueError, "cannot store its data"):
            codec.facts(Instance(name="a:1", data={"a": 1}))
        plain = PlainCodec()
        self.assertIs(with_instances(plain), plain)
