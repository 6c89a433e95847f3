"""The formats of other programs, by examples from their own sources, and by rules that their readers have."""

from __future__ import annotations

import base64
import json
import string
from typing import Any

import attrs
from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from txmirror.errors import UnsupportedInstanceError
from txmirror.registry import CODECS, decode_instance
from txmirror.test.registry.instances import instances
from txmirror.types import Endpoint, Instance, InstanceStatus, Undecodable

#: 2012-12-14 21:17:50 in Greenwich.
CREATED = 1355519870.0
WEB = Instance(name="10.0.0.7:8080", address="10.0.0.7", port=8080)
MEMBER = attrs.evolve(WEB, name="member_0000000042")
UUID = "06c0af4c-03c4-4cc1-a702-050303b41b8b"
CURATOR = attrs.evolve(WEB, name=UUID, service="web")
SPRING = "org.springframework.cloud.zookeeper.discovery.ZookeeperInstance"


def encode(codec: str, instance: Instance) -> bytes:
    """Return the data of a node for an instance."""
    found = CODECS[codec]
    return found.encode(found.facts(instance), pid=8364, created=CREATED)


def read(name: str, data: str | bytes, codec: str | None = None) -> Instance:
    """Return the instance that a node describes."""
    instance = decode_instance(name, data.encode() if isinstance(data, str) else data, codec)
    assert isinstance(instance, Instance), instance
    return instance


class Case(SynchronousTestCase):
    def refused(self, codec: str, instance: Instance, key: str, text: str) -> None:
        """Check that a codec does not write an instance, with the attribute and the reason."""
        with self.assertRaises(UnsupportedInstanceError) as raised:
            CODECS[codec].node_name(instance)
            CODECS[codec].facts(instance)
        self.assertEqual(raised.exception.key, key)
        self.assertIn(text, str(raised.exception))


class NDSRTests(Case):
    def test_write(self) -> None:
        """The bytes are those of nd_service_registry's README, with the zone, and the registered program's process."""
        self.assertEqual(
            encode("ndsr", attrs.evolve(WEB, data={"foo": "bar"}, pid=17)),
            b'{"pid":17,"created":"2012-12-14 21:17:50","created_zone":"UTC","foo":"bar"}',
        )

    def test_read(self) -> None:
        """nd_service_registry's README has this node; its time has no zone, so it stays one of the other facts."""
        instance = read("server1:22", '{"foo":"bar","created":"2014-06-03 13:37:53","pid":8364}')
        expected = Instance(
            name="server1:22",
            address="server1",
            port=22,
            pid=8364,
            data={"foo": "bar", "created": "2014-06-03 13:37:53"},
            codec="ndsr",
        )
        self.assertEqual(instance, expected)

    def test_extras(self) -> None:
        """Weight, labels and a warning have keys among the facts, which take precedence."""
        web = attrs.evolve(WEB, weight=3, labels={"az": "a"}, status=InstanceStatus.WARNING, data={"weight": "heavy"})
        self.assertTrue(
            encode("ndsr", web).endswith(b',"labels":{"az":"a"},"health":"warning","weight":"heavy"}'),
            encode("ndsr", web),
        )

    def test_ipv6_name(self) -> None:
        """An IPv6 address in a name is in brackets."""
        instance = read("[fe80::1]:80", "")
        self.assertEqual((instance.address, instance.port), ("fe80::1", 80))
        self.assertEqual(read("[fe80::1]:65536", "{}").address, None)


class ZcZkTests(Case):
    def test_write(self) -> None:
        """The bytes are those of zc.zk's encode() for the properties that its register() writes."""
        self.assertEqual(encode("zczk", attrs.evolve(WEB, data={"a": 1})), b'{"a":1,"pid":8364}')
        self.assertEqual(encode("zczk", attrs.evolve(WEB, data={"a": 1}, pid=9999)), b'{"pid":9999,"a":1}')

    def test_names(self) -> None:
        """zc.zk's parse_addr() unpacks ``addr.split(':')``: a name with another number of colons is refused."""
        for name in ("[::1]:80", "web", "a:b", ":80"):
            self.refused("zczk", attrs.evolve(WEB, name=name), "name", "host:port")
        self.assertEqual(CODECS["zczk"].node_name(WEB), "10.0.0.7:8080")

    def test_not_recognised(self) -> None:
        """An object of zc.zk is read as one of nd_service_registry, unless the codec is named."""
        self.assertEqual(read("a:1", b'{"a":1,"pid":9999}').codec, "ndsr")
        self.assertEqual(read("a:1", b'{"a":1,"pid":9999}', "zczk").codec, "zczk")


class NerveTests(Case):
    def setUp(self) -> None:
        # From spec/lib/nerve/reporter_zookeeper_spec.rb of airbnb/nerve.
        self.host = Instance(
            name="i-xxxxxx_0000000003",
            address="127.0.0.1",
            port=3000,
            labels={"region": "us-east-1", "az": "us-east-1a"},
        )

    def test_write(self) -> None:
        """The keys have the order of get_service_data() in lib/nerve/reporter/base.rb, and missing values are left out."""
        self.assertEqual(
            encode("nerve", self.host),
            b'{"host":"127.0.0.1","port":3000,"name":"i-xxxxxx","labels":{"region":"us-east-1","az":"us-east-1a"}}',
        )
        whole = attrs.evolve(self.host, weight=10, data={"haproxy_server_options": "backup", "more": 1}, labels={})
        self.assertEqual(
            encode("nerve", whole),
            b'{"host":"127.0.0.1","port":3000,"name":"i-xxxxxx","weight":10,"haproxy_server_options":"backup","more":1}',
        )

    def test_base64_name(self) -> None:
        """The name contains the same JSON, as encode_child_name() in lib/nerve/reporter/zookeeper.rb makes it."""
        name = CODECS["nerve-base64"].node_name(self.host)
        data = encode("nerve-base64", self.host)
        # The spec cuts the first 12 characters, with a slash, and the last one, before the server adds the number.
        prefix = f"/{name.removesuffix('0000000003')}"
        self.assertEqual(base64.urlsafe_b64decode(prefix[12:-1]), data)
        self.assertEqual(prefix[:12], "/base64_136_")
        plain = attrs.evolve(self.host, labels={}, name="web1_0000000003", address="10.0.0.7", port=8080)
        self.assertEqual(
            CODECS["nerve-base64"].node_name(plain),
            "base64_60_eyJob3N0IjoiMTAuMC4wLjciLCJwb3J0Ijo4MDgwLCJuYW1lIjoid2ViMSJ9_0000000003",
        )

    def test_long_record(self) -> None:
        """A record of more than 65536 characters is not in the name."""
        long = attrs.evolve(self.host, labels={"a": "x" * 65536})
        self.assertEqual(CODECS["nerve-base64"].node_name(long), self.host.name)

    def test_read_base64_name(self) -> None:
        """The name counts, and not the data."""
        name = CODECS["nerve-base64"].node_name(self.host)
        instance = read(name, b"junk")
        self.assertEqual(instance, attrs.evolve(self.host, name=name, id="i-xxxxxx", codec="nerve-base64"))
        self.assertEqual(read(name, b"junk", "nerve").address, "127.0.0.1")
        # Synapse accepts one without the number, too.
        self.assertEqual(read(name.rpartition("_")[0], b"").port, 3000)

    def test_invalid_base64_name(self) -> None:
        """A name that only begins so is unreadable."""
        record = base64.urlsafe_b64encode(b'{"host":"a","port":1}').decode()
        size = len(record)
        for name in (
            "base64_",
            "base64__x",
            f"base64_{size + 1}_{record}_1",
            f"base64_{size - 4}_{record}_1",
            f"base64_{size + 4}_{record}",
            f"base64_{size}_{record}x",
            "base64_4_****_1",
            "base64_4_YQ==_1",
            f"base64_99999999999_{record}_1",
        ):
            self.assertIsInstance(decode_instance(name, b'{"host":"a","port":1}'), Undecodable, name)

    def test_no_other_codec(self) -> None:
        """No other name begins so, and a base64 name needs the sequence number."""
        for codec in CODECS.keys() - {"zczk", "serverset"}:
            self.refused(codec, attrs.evolve(CURATOR, name="base64_1_"), "name", "base64_")
        self.refused("nerve-base64", WEB, "name", "number")

    def test_refused(self) -> None:
        """The record needs an address and a port; other facts have none of its keys, in any case; the options are a text."""
        self.refused("nerve", attrs.evolve(WEB, port=None), "port", "needs a port")
        self.refused("nerve", attrs.evolve(WEB, address=None), "address", "needs an address")
        for key in ("host", "Port", "NAME", "ho\u017ft", "weight", "HAPROXY_server_options"):
            self.refused("nerve", attrs.evolve(WEB, data={key: "1"}), "data", "has a meaning")
        self.refused("nerve", attrs.evolve(WEB, data={"haproxy_server_options": 1}), "data", "is no text")
        self.refused("nerve", attrs.evolve(WEB, data="text"), "data", "no place for a string")
        self.assertRaises(TypeError, encode, "nerve", attrs.evolve(WEB, data={"a": object()}))
        for wrong in ({}, {"host": "a", "port": "1", "name": "n"}, {"host": "a", "port": 1, "name": "n", "weight": -1}):
            self.assertRaises(ValueError, CODECS["nerve"].encode, wrong, pid=1, created=0.0)

    def test_read_texts(self) -> None:
        """nerve passes a port on as it is configured, so it may be a text; a strange weight is none."""
        instance = read("i_1", '{"host":"a","port":"3000","name":"i","weight":"x"}')
        self.assertEqual((instance.port, instance.weight, instance.data), (3000, None, {"weight": "x"}))
        self.assertEqual(read("i_1", '{"host":"a","port":1,"weight":"7"}').weight, 7)
        # A float has no such number, so that no strategy could calculate with it.
        self.assertIsNone(read("i_1", f'{{"host":"a","port":1,"weight":{10**400}}}').weight)

    def test_unreadable(self) -> None:
        """A record without host and port is unreadable, such as synapse's own configuration, and so is no data."""
        for data in (
            b"",
            b" ",
            b"{}",
            b'{"haproxy":{}}',
            b"\xff",
            b"[]",
            b'{"host":"a","port":0}',
            b'{"host":1,"port":1}',
        ):
            self.assertIsInstance(decode_instance("i_1", data, "nerve"), Undecodable, data)


class ServersetTests(Case):
    #: From ServerSetImplTest.java of twitter/commons.
    java = (
        b'{"serviceEndpoint":{"host":"foo","port":1000},"additionalEndpoints":{"http":{"host":"foo","port":8080}},'
        b'"status":"ALIVE","shard":42}'
    )
    #: From EntryTest.scala of twitter/finagle.
    scala = (
        '{"status": "ALIVE", "additionalEndpoints": {"aurora": {"host": "10.0.0.1", "port": 80}, "http": {"host": "10.0.0.2",'
        ' "port": 80}}, "serviceEndpoint": {"host": "10.0.0.3", "port": 80}, "shard": 0, "metadata": {"keyA":"valueA"}}'
    )

    def test_write(self) -> None:
        """The bytes are those of twitter.commons' Java, and those of Finagle with metadata."""
        foo = attrs.evolve(
            MEMBER, address="foo", port=1000, endpoints={"http": Endpoint("foo", 8080)}, data={"shard": 42}
        )
        self.assertEqual(encode("serverset", foo), self.java)
        self.assertEqual(
            encode("serverset", attrs.evolve(MEMBER, labels={"az": "us-east-1a"}, weight=3)),
            b'{"serviceEndpoint":{"host":"10.0.0.7","port":8080},"additionalEndpoints":{},"status":"ALIVE",'
            b'"metadata":{"az":"us-east-1a"}}',
        )

    def test_read(self) -> None:
        """Members of both are read."""
        instance = read("member_0000000001", self.scala)
        expected = Instance(
            name="member_0000000001",
            address="10.0.0.3",
            port=80,
            labels={"keyA": "valueA"},
            endpoints={"aurora": Endpoint("10.0.0.1", 80), "http": Endpoint("10.0.0.2", 80)},
            data={"shard": 0},
            codec="serverset",
        )
        self.assertEqual(instance, expected)
        self.assertEqual(read("member_1", self.java).data, {"shard": 42})

    def test_status(self) -> None:
        """Only ALIVE is written, because Finagle uses no other; a warning is in the metadata. All are read."""
        warning = attrs.evolve(MEMBER, status=InstanceStatus.WARNING)
        self.assertIn(b'"status":"ALIVE","metadata":{"health":"warning"}', encode("serverset", warning))
        for word, status in (
            ("ALIVE", InstanceStatus.UP),
            ("WARNING", InstanceStatus.WARNING),
            ("STOPPING", InstanceStatus.DOWN),
            ("alive", InstanceStatus.DOWN),
        ):
            data = self.scala.replace("ALIVE", word)
            self.assertIs(read("member_1", data).status, status)
        self.assertIs(read("member_1", '{"serviceEndpoint":{"host":"a","port":1}}').status, InstanceStatus.DOWN)

    def test_names(self) -> None:
        """Finagle ignores other names than member_..., and twitter.commons needs digits behind that."""
        for name in ("10.0.0.7:8080", "member_1", "member_00000000x1"):
            self.refused("serverset", attrs.evolve(MEMBER, name=name), "name", "ten digits")

    def test_refused(self) -> None:
        """The port is a number."""
        self.refused("serverset", attrs.evolve(MEMBER, port=None), "port", "needs a port")
        self.refused("serverset", attrs.evolve(MEMBER, data={"shard": "1"}), "data", "'shard' is no number")
        self.refused("serverset", attrs.evolve(MEMBER, data={"Status": "1"}), "data", "'Status' has a meaning")
        self.refused(
            "serverset", attrs.evolve(MEMBER, endpoints={"a": Endpoint("a", 0)}), "data", "no port that is a number"
        )

    def test_unreadable(self) -> None:
        """A member whose port is a text, which Finagle and Prometheus drop, or not allocated yet, is unreadable."""
        for endpoint, reason in (
            ('{"host":"a","port":"1"}', "no endpoint"),
            ('{"host":"a","port":0}', "not allocated"),
            ('{"host":"a"}', "no endpoint"),
            ("[]", "no endpoint"),
        ):
            undecodable = decode_instance("member_1", b'{"serviceEndpoint":%s,"status":"ALIVE"}' % endpoint.encode())
            assert isinstance(undecodable, Undecodable)
            self.assertIn(reason, undecodable.reason)


class CuratorTests(Case):
    def test_write(self) -> None:
        """The keys have the order of OldServiceInstance.java, which readers of all versions know, and there is no other."""
        self.assertEqual(
            encode("curator", attrs.evolve(CURATOR, tls_port=8443)),
            b'{"name":"web","id":"06c0af4c-03c4-4cc1-a702-050303b41b8b","address":"10.0.0.7","port":8080,"sslPort":8443,'
            b'"payload":null,"registrationTimeUTC":1355519870000,"serviceType":"DYNAMIC","uriSpec":null}',
        )

    def test_spring(self) -> None:
        """The payload is of Spring Cloud's class, and the URI's parts are those of a live node (spring-cloud-zookeeper #107)."""
        web = attrs.evolve(CURATOR, weight=3, labels={"az": "a"}, data={"v": "1"}, status=InstanceStatus.WARNING)
        self.assertEqual(
            encode("curator-spring", web),
            b'{"name":"web","id":"06c0af4c-03c4-4cc1-a702-050303b41b8b","address":"10.0.0.7","port":8080,"sslPort":null,'
            b'"payload":{"@class":"org.springframework.cloud.zookeeper.discovery.ZookeeperInstance",'
            b'"id":"06c0af4c-03c4-4cc1-a702-050303b41b8b","name":"web",'
            b'"metadata":{"instance_status":"UP","weight":"3","az":"a","health":"warning","v":"1"}},'
            b'"registrationTimeUTC":1355519870000,"serviceType":"DYNAMIC",'
            b'"uriSpec":{"parts":[{"value":"scheme","variable":true},{"value":"://","variable":false},'
            b'{"value":"address","variable":true},{"value":":","variable":false},{"value":"port","variable":true}]}}',
        )

    def test_read(self) -> None:
        """The example of curator-x-discovery-server's README is read, whose payload is a text."""
        data = (
            '{"name": "test", "id": "ca2fff8e-d756-480c-b59e-8297ff88624b", "address": "10.20.30.40", "port": 1234,'
            ' "payload": "From Test", "registrationTimeUTC": 1325129459728, "serviceType": "STATIC"}'
        )
        expected = Instance(
            name="x",
            address="10.20.30.40",
            port=1234,
            service="test",
            id="ca2fff8e-d756-480c-b59e-8297ff88624b",
            created=1325129459.728,
            data={"payload": "From Test"},
            codec="curator",
        )
        self.assertEqual(read("x", data), expected)

    def test_read_spring(self) -> None:
        """A live node of Spring Cloud is read (spring-cloud-zookeeper #107); only the status UP is used."""
        record: dict[str, Any] = {
            "payload": {
                "@class": SPRING,
                "metadata": {"groupId": "WGQ", "role": "TestApp-LRJ", "instance_status": "UP"},
                "name": "TestApp",
                "id": "TestApp-1",
            },
            "registrationTimeUTC": 1635852567130,
            "serviceType": "DYNAMIC",
            "sslPort": None,
            "uriSpec": {"parts": [{"variable": True, "value": "scheme"}]},
            "address": "localhost",
            "name": "TestApp",
            "id": "TestApp-1",
            "port": 8084,
        }
        expected = Instance(
            name="x",
            address="localhost",
            port=8084,
            service="TestApp",
            id="TestApp-1",
            created=1635852567.13,
            labels={"groupId": "WGQ", "role": "TestApp-LRJ"},
            codec="curator-spring",
        )
        self.assertEqual(read("x", json.dumps(record)), expected)
        record["payload"]["metadata"]["instance_status"] = "OUT_OF_SERVICE"
        self.assertIs(read("x", json.dumps(record)).status, InstanceStatus.DOWN)
        record["payload"]["metadata"]["instance_status"] = "up"
        self.assertIs(read("x", json.dumps(record)).status, InstanceStatus.UP)
        del record["payload"]["metadata"]["instance_status"]
        self.assertIs(read("x", json.dumps(record)).status, InstanceStatus.UP)
        record["enabled"] = False
        self.assertIs(read("x", json.dumps(record)).status, InstanceStatus.DOWN)

    def test_payload(self) -> None:
        """A payload of another class is passed on, and read."""
        web = attrs.evolve(CURATOR, data={"@class": "com.example.Payload", "val": "x"})
        self.assertIn(b'"payload":{"@class":"com.example.Payload","val":"x"}', encode("curator", web))
        self.assertEqual(read(UUID, encode("curator", web)).data, web.data)

    def test_refused(self) -> None:
        """Curator's reader casts the payload to a class, and Spring Cloud's needs texts, a port, and an address for a URI."""
        self.refused("curator", attrs.evolve(CURATOR, data={"a": 1}), "data", "@class")
        self.refused("curator", attrs.evolve(CURATOR, data="text"), "data", "string")
        self.refused("curator", attrs.evolve(CURATOR, port=None), "port", "needs a port")
        self.refused("curator", attrs.evolve(CURATOR, address=None), "address", "needs an address")
        self.refused("curator", attrs.evolve(CURATOR, service=None), "service", "name")
        self.refused("curator-spring", attrs.evolve(CURATOR, data={"a": 1}), "data", "texts")
        self.refused("curator-spring", attrs.evolve(CURATOR, port=None, tls_port=1), "port", "needs a port")
        self.refused("curator-spring", attrs.evolve(CURATOR, address="::1"), "address", "IPv6")
        encode("curator", attrs.evolve(CURATOR, port=None, tls_port=1))

    def test_unreadable(self) -> None:
        """An instance without an address or a port is unreadable."""
        for text in (
            '"address":null,"port":1',
            '"address":"a"',
            '"address":"a","port":null,"sslPort":null',
            '"port":1',
        ):
            undecodable = decode_instance("x", b'{"serviceType":"DYNAMIC",%s}' % text.encode(), "curator")
            self.assertIsInstance(undecodable, Undecodable)


class PlainTests(Case):
    def test_write(self) -> None:
        """The text is host:port:weight, as Armeria's ServerSets-free format has it, or the service's own."""
        self.assertEqual(encode("plain", WEB), b"10.0.0.7:8080")
        self.assertEqual(encode("plain", attrs.evolve(WEB, weight=500)), b"10.0.0.7:8080:500")
        self.assertEqual(encode("plain", attrs.evolve(WEB, address="::1")), b"[::1]:8080")
        self.assertEqual(encode("plain", attrs.evolve(WEB, data="x")), b"x")

    def test_read(self) -> None:
        """It is read; else the name may be the address."""
        self.assertEqual(read("x", "[::1]:80:5\n"), Instance(name="x", address="::1", port=80, weight=5, codec="plain"))
        self.assertEqual(read("x", "a:80"), Instance(name="x", address="a", port=80, codec="plain"))
        self.assertEqual(
            read("a:80", "text", "plain"), Instance(name="a:80", address="a", port=80, data="text", codec="plain")
        )
        self.assertEqual(read("x", "text", "plain"), Instance(name="x", data="text", codec="plain"))

    def test_refused(self) -> None:
        """It has no place for a table, and without a text it needs an address."""
        self.refused("plain", attrs.evolve(WEB, data={"a": 1}), "data", "no table")
        self.refused("plain", attrs.evolve(WEB, port=None), "port", "needs a port")


class MergedTests(Case):
    def setUp(self) -> None:
        self.web = attrs.evolve(
            WEB,
            weight=10,
            labels={"az": "a"},
            endpoints={"admin": Endpoint("10.0.0.7", 8081)},
            data={"version": "1.4", "shard": 2, "haproxy_server_options": "backup"},
        )

    def test_write(self) -> None:
        """One object has the keys of all three."""
        self.assertEqual(
            encode("merged", self.web),
            b'{"pid":8364,"created":"2012-12-14 21:17:50","created_zone":"UTC","host":"10.0.0.7","port":8080,'
            b'"name":"10.0.0.7:8080","weight":10,"haproxy_server_options":"backup","labels":{"az":"a"},'
            b'"serviceEndpoint":{"host":"10.0.0.7","port":8080},'
            b'"additionalEndpoints":{"admin":{"host":"10.0.0.7","port":8081}},"status":"ALIVE","shard":2,'
            b'"metadata":{"az":"a"},"version":"1.4"}',
        )

    def test_each_reader(self) -> None:
        """Each codec reads its part, and nothing is lost where the format is recognised."""
        data = encode("merged", self.web)
        self.assertEqual(read(WEB.name, data).weight, 10)
        self.assertEqual(read(WEB.name, data).endpoints, self.web.endpoints)
        self.assertEqual(read(WEB.name, data).labels, {"az": "a"})
        nerve, member = read(WEB.name, data, "nerve"), read(WEB.name, data, "serverset")
        self.assertEqual((nerve.address, nerve.port, nerve.weight, nerve.labels), ("10.0.0.7", 8080, 10, {"az": "a"}))
        self.assertEqual(
            (member.address, member.endpoints, member.labels), ("10.0.0.7", self.web.endpoints, {"az": "a"})
        )
        facts = CODECS["ndsr"].decode(data)
        assert isinstance(facts, dict)
        self.assertEqual((facts["pid"], facts["version"]), (8364, "1.4"))

    def test_refused(self) -> None:
        """Other facts have no key of any of them."""
        for key in ("host", "metadata", "serviceendpoint", "Weight"):
            self.refused("merged", attrs.evolve(WEB, data={key: "1"}), "data", "has a meaning")


def unmarshal(record: dict[str, Any], fields: dict[str, type]) -> dict[str, Any]:
    """Decode an object as Go's encoding/json does: a field takes each key that is equal apart from the case, the last one counts, and
    a value of another type fails.
    """
    found: dict[str, Any] = {name: kind() for name, kind in fields.items()}
    for key, value in record.items():
        for name, kind in fields.items():
            if key.casefold() == name.casefold() and value is not None:
                if type(value) is not kind:
                    raise ValueError(f"{key} is no {kind}")
                found[name] = value
    return found


def parse_nerve_member(data: bytes) -> tuple[str, int, str]:
    """Do as parseNerveMember in discovery/zookeeper/zookeeper.go of prometheus/prometheus."""
    member = unmarshal(json.loads(data), {"host": str, "port": int, "name": str})
    return member["host"], member["port"], member["name"]


def parse_serverset_member(data: bytes) -> tuple[str, int, str, int, dict[str, tuple[str, int]]]:
    """Do as parseServersetMember in discovery/zookeeper/zookeeper.go of prometheus/prometheus."""

    def endpoint(table: dict[str, Any]) -> tuple[str, int]:
        found = unmarshal(table, {"Host": str, "Port": int})
        return found["Host"], found["Port"]

    fields: dict[str, type] = {"ServiceEndpoint": dict, "AdditionalEndpoints": dict, "status": str, "shard": int}
    member = unmarshal(json.loads(data), fields)
    additional = {name: endpoint(each) for name, each in member["AdditionalEndpoints"].items()}
    return *endpoint(member["ServiceEndpoint"]), member["status"], member["shard"], additional


def unpack_json(data: bytes) -> tuple[str, int]:
    """Do as ServiceInstance.unpack_json in serverset/endpoint.py of twitter/commons, which Aurora's readers use."""
    blob = json.loads(data)
    for key in ("status", "serviceEndpoint", "additionalEndpoints"):
        assert key in blob, key
    assert blob["status"] in ("DEAD", "STARTING", "ALIVE", "STOPPING", "STOPPED", "WARNING")
    for each in (blob["serviceEndpoint"], *blob["additionalEndpoints"].values()):
        assert isinstance(each["host"], str) and isinstance(each["port"], int)
    assert blob.get("shard") is None or isinstance(blob["shard"], int)
    return blob["serviceEndpoint"]["host"], blob["serviceEndpoint"]["port"]


#: The properties of OldServiceInstance.java: readers before CURATOR-275 refuse others.
CURATOR_PROPERTIES = {
    "name",
    "id",
    "address",
    "port",
    "sslPort",
    "payload",
    "registrationTimeUTC",
    "serviceType",
    "uriSpec",
}


class ReadersTests(SynchronousTestCase):
    """The readers' own rules hold for all instances that a codec writes."""

    @given(instances("nerve") | instances("merged"))
    def test_prometheus_nerve(self, instance: Instance) -> None:
        """``nerve_sd_configs`` finds the target."""
        host, port, name = parse_nerve_member(encode(instance.codec, instance))
        self.assertEqual((host, port), (instance.address, instance.port))
        self.assertTrue(name)

    @given(instances("serverset") | instances("merged"))
    def test_prometheus_serverset(self, instance: Instance) -> None:
        """``serverset_sd_configs`` finds the target, its endpoints, and its status."""
        host, port, status, shard, additional = parse_serverset_member(encode(instance.codec, instance))
        self.assertEqual((host, port, status), (instance.address, instance.port, "ALIVE"))
        self.assertEqual(additional, dict(instance.endpoints))
        data = instance.data
        self.assertEqual(shard, data.get("shard", 0) if not isinstance(data, str) else 0)

    @given(instances("serverset") | instances("merged"))
    def test_twitter_commons(self, instance: Instance) -> None:
        """The readers in Python find the endpoint."""
        self.assertEqual(unpack_json(encode(instance.codec, instance)), (instance.address, instance.port))

    @given(instances("curator") | instances("curator-spring"))
    def test_old_curator(self, instance: Instance) -> None:
        """Old readers find no property that they do not know, and the payload has its class."""
        record = json.loads(encode(instance.codec, instance))
        self.assertEqual(record.keys(), CURATOR_PROPERTIES)
        self.assertTrue(record["payload"] is None or isinstance(record["payload"]["@class"], str))
        self.assertEqual(record["id"], instance.name)

    @given(instances("nerve") | instances("serverset") | instances("merged"), st.text(string.ascii_letters, min_size=1))
    def test_other_keys(self, instance: Instance, key: str) -> None:
        """No other fact hides one that Prometheus reads, whatever its key."""
        data = {} if isinstance(instance.data, str) else instance.data
        for each in (key, "port", "Port", "\u212aey", "STATUS", "shard"):
            try:
                written = encode(instance.codec, attrs.evolve(instance, data={**data, each: "x"}))
            except UnsupportedInstanceError:
                continue
            if instance.codec != "serverset":
                self.assertEqual(parse_nerve_member(written)[:2], (instance.address, instance.port))
            if instance.codec != "nerve":
                self.assertEqual(parse_serverset_member(written)[:2], (instance.address, instance.port))
