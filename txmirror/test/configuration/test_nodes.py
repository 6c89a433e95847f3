"""The znodes of a service: by the codec, and further ones for other readers."""

from __future__ import annotations

import json

from txmirror.configuration import describe, difference
from txmirror.registry import ServiceNode
from txmirror.test.configuration.case import SECRET, WEB, ConfigurationCase
from txmirror.test.registry.plugin import add_plugin
from txmirror.types import Endpoint

_WEB = '[[service]]\nname = "web"\nport = 80\npath = "/services/web"\n'


class Case(ConfigurationCase):
    def nodes(self, text: str, head: str = "") -> tuple[ServiceNode, ...]:
        """Return the znodes of the service ``web`` with these keys."""
        return self.load(f"{head}\n{_WEB}{text}").services[0].nodes

    def record(self, node: ServiceNode, *, warning: bool = False, pid: int | None = None) -> dict[str, object]:
        """Return the record of a znode."""
        facts = node.facts(warning=warning, warn_weight=0.1, pid=pid)
        record: dict[str, object] = json.loads(node.codec.encode(facts, pid=1, created=0.0))
        return record


class NameTests(Case):
    def test_defaults(self) -> None:
        """The default name is by the codec, and always the same on this machine."""
        machine = self.machine
        uuid = machine.instance_id("host1", "web")
        number = machine.instance_number(uuid)
        self.assertRegex(number, "^[0-9]{10}$")
        self.assertNotEqual(number, machine.instance_number(machine.instance_id("host1", "other")))
        for codec, name in (
            ("ndsr", "10.0.0.1:80"),
            ("zczk", "10.0.0.1:80"),
            ("plain", "10.0.0.1:80"),
            ("merged", "10.0.0.1:80"),
            ("serverset", f"member_{number}"),
            ("nerve", f"host1_{number}"),
            ("curator", uuid),
            ("curator-spring", uuid),
        ):
            (node,) = self.nodes(f'codec = "{codec}"')
            self.assertEqual(node.znode, f"/services/web/{name}", codec)
        (node,) = self.nodes('codec = "nerve-base64"')
        self.assertRegex(node.znode, f"^/services/web/base64_[0-9]+_[A-Za-z0-9_=-]+_{number}$")
        self.assertEqual(self.load(f'{_WEB}codec = "nerve-base64"').services[0].znode_path, node.znode)

    def test_own(self) -> None:
        """A service, or [defaults], may have another name."""
        (node,) = self.nodes('codec = "serverset"\nnode = "member_0000000007"')
        self.assertEqual(node.znode, "/services/web/member_0000000007")
        (node,) = self.nodes("", '[defaults]\ncodec = "merged"\nnode = "member_{number}"')
        self.assertTrue(node.znode.startswith("/services/web/member_"))

    def test_also(self) -> None:
        """A further znode has a default of its own, with its own port."""
        nodes = self.nodes(
            'also = [{ path = "/m", codec = "ndsr", port = 9100 }, { path = "/s", codec = "serverset" }]'
        )
        self.assertEqual([node.key for node in nodes], ["", "also[0]", "also[1]"])
        self.assertEqual(nodes[1].znode, "/m/10.0.0.1:9100")
        self.assertTrue(nodes[2].znode.startswith("/s/member_"))

    def test_secret(self) -> None:
        """A name with the record in it shows no environment variable."""
        configuration = self.load(f'{_WEB}codec = "nerve-base64"\nlabels = {{ password = "{{env:SECRET}}" }}')
        (service,) = configuration.services
        secret = service.nodes[0].codec.node_name(service.nodes[0].instance)
        text = "\n".join([*describe(configuration), repr(service.znode_path)])
        self.assertNotIn(SECRET, text)
        self.assertNotIn(secret, text)
        self.assertIn("{env:SECRET}", text)


class RecordTests(Case):
    def test_instance(self) -> None:
        """The keys of a service are the contents of the record."""
        (node,) = self.nodes(
            'codec = "merged"\nweight = 10\nlabels = { az = "a" }\ndata = { v = "1" }\nendpoints = { admin = 81 }\ntls_port = 443'
        )
        self.assertEqual(node.instance.endpoints, {"admin": Endpoint("10.0.0.1", 81)})
        record = self.record(node)
        self.assertEqual((record["host"], record["port"], record["weight"], record["v"]), ("10.0.0.1", 80, 10, "1"))
        self.assertEqual((record["labels"], record["metadata"]), ({"az": "a"}, {"az": "a"}))
        self.assertEqual(node.instance.tls_port, 443)

    def test_address(self) -> None:
        """The address has no brackets, and may be another one than in the name."""
        (node,) = self.nodes('codec = "nerve"\nadvertise = "2001:db8::1"')
        self.assertEqual(self.record(node)["host"], "2001:db8::1")
        (node,) = self.nodes('codec = "merged"\naddress = "web.example"')
        self.assertEqual((node.znode, self.record(node)["host"]), ("/services/web/10.0.0.1:80", "web.example"))

    def test_no_address_needed(self) -> None:
        """Without a codec that writes the address, the machine needs none."""
        text = f'{WEB}advertise = "localhost"\n'
        self.assertEqual(self.load(text).services[0].address, None)
        (error, *_) = self.errors(f'{text}port = 80\ncodec = "nerve"')
        self.assertIn("service[0].address: {address} has no value", error)

    def test_labels_of_defaults(self) -> None:
        """Labels in [defaults] are for all services."""
        (node,) = self.nodes('labels = { b = "2" }', '[defaults]\nlabels = { a = "1", b = "1" }')
        self.assertEqual(node.instance.labels, {"a": "1", "b": "2"})

    def test_curator(self) -> None:
        """The service's name for Curator is the last part of the path, and the id is the znode's name."""
        nodes = self.nodes('data = { v = 1 }\nalso = [{ path = "/discovery/shop", codec = "curator" }]')
        record = self.record(nodes[1])
        self.assertEqual((record["name"], record["id"]), ("shop", nodes[1].instance.name))
        # The service's facts are for the other readers.
        self.assertIsNone(record["payload"])

    def test_data_of_also(self) -> None:
        """A further znode has the service's facts if the codec has a place for any, or its own."""
        nodes = self.nodes(
            'data = { v = 1 }\nalso = [{ path = "/a", codec = "nerve" }, { path = "/b", codec = "nerve", data = { w = 2 } },'
            ' { path = "/c", codec = "nerve", data = {} }, { path = "/d", codec = "plain" }]'
        )
        self.assertEqual([dict(node.instance.data) for node in nodes], [{"v": 1}, {"v": 1}, {"w": 2}, {}, {}])  # type: ignore[arg-type]

    def test_warning(self) -> None:
        """While a check warns, the weight is a part of the normal one, and the record has the warning."""
        for weight, scaled in ((100, 10), (5, 1), (1, 1), (0, 0)):
            (node,) = self.nodes(f'codec = "nerve"\nweight = {weight}')
            self.assertEqual(self.record(node)["weight"], weight)
            record = self.record(node, warning=True)
            self.assertEqual((record["weight"], record["labels"]), (scaled, {"health": "warning"}))
        facts = node.facts(warning=True, warn_weight=0.0)
        assert isinstance(facts, dict)
        self.assertEqual(facts["weight"], 0)

    def test_warning_in_name(self) -> None:
        """A znode whose name has the record is not marked."""
        (node,) = self.nodes('codec = "nerve-base64"\nweight = 100')
        self.assertEqual(self.record(node, warning=True), self.record(node))

    def test_pid(self) -> None:
        """The process of the service's program stands in the codecs that have a place for it."""
        for codec, pid in (("ndsr", 17), ("zczk", 17), ("merged", 17), ("nerve", None)):
            (node,) = self.nodes(f'codec = "{codec}"')
            self.assertEqual(self.record(node, pid=17).get("pid"), pid)

    def test_difference(self) -> None:
        """A changed further znode is a difference of the service."""
        one = self.load(f'{_WEB}also = [{{ path = "/a", codec = "nerve" }}]')
        two = self.load(f'{_WEB}also = [{{ path = "/a", codec = "serverset" }}]')
        (change,) = difference(one, two).changed
        self.assertEqual(change.keys, ("also",))
        self.assertEqual(difference(one, one).changed, ())


class PluginTests(Case):
    def test_plugin(self) -> None:
        """A codec may be a plugin, which knows only data; data that it cannot store is refused."""
        add_plugin(self)
        (node,) = self.nodes('codec = "reversed-for-test"\ndata = "abc"')
        self.assertEqual(node.znode, "/services/web/10.0.0.1:80")
        self.assertEqual(node.codec.encode(node.facts(warning=True, pid=1), pid=1, created=0.0), b"cba")
        self.assertEqual(
            self.errors(f'{_WEB}codec = "reversed-for-test"'),
            ["service[0].data: the codec 'reversed-for-test' cannot write the service 'web': it cannot store its data"],
        )


class RefusedTests(Case):
    def refused(self, text: str, place: str, codec: str, reason: str) -> None:
        """Check that a service is refused once, with place, codec, service and reason."""
        self.assertEqual(
            self.errors(_WEB + text),
            [f"service[0]{place}: the codec '{codec}' cannot write the service 'web': {reason}"],
        )

    def test_ipv6_zczk(self) -> None:
        """A name with an IPv6 address is not for zc.zk."""
        reason = "the name of its node is not host:port, and an IPv6 address has too many colons"
        self.refused('codec = "zczk"\nadvertise = "2001:db8::1"', ".node", "zczk", reason)

    def test_no_port(self) -> None:
        """Without a port there is no member of a serverset."""
        text = '[[service]]\nname = "web"\npath = "/a"\ncodec = "serverset"\n'
        self.assertEqual(
            self.errors(text),
            ["service[0].port: the codec 'serverset' cannot write the service 'web': it needs a port"],
        )
        self.assertEqual(self.errors(f'{text}port = "http"'), ["service[0].port: 'http' is no integer from 1 to 65535"])

    def test_also(self) -> None:
        """The place of an error in a further znode is there."""
        self.refused(
            'also = [{ path = "/a", codec = "ndsr" }, { path = "/b", codec = "serverset", node = "x" }]',
            ".also[1].node",
            "serverset",
            "the name of its node is not member_ and ten digits",
        )
        self.refused(
            'also = [{ path = "/b", codec = "curator", data = { a = 1 } }]',
            ".also[0].data",
            "curator",
            "the payload needs the name of its Java class, '@class'",
        )
        self.refused(
            'also = [{ path = "/", codec = "curator" }]', ".also[0].path", "curator", "it needs the service's name"
        )

    def test_data(self) -> None:
        """Facts that the format has another meaning for, or no place, are refused; no value is quoted."""
        self.refused(
            'codec = "nerve"\ndata = { Host = "{env:SECRET}" }',
            ".data",
            "nerve",
            "'Host' has a meaning of its own there",
        )
        self.refused('codec = "nerve"\ndata = "{env:SECRET}"', ".data", "nerve", "it has no place for a string")
        self.refused(
            'codec = "serverset"\ndata = { shard = "{env:SECRET}" }', ".data", "serverset", "'shard' is no number"
        )

    def test_in_defaults(self) -> None:
        """An error in a value of [defaults] is there."""
        reason = "the name of its node is not member_ and ten digits"
        text = f'[defaults]\ncodec = "serverset"\nnode = "x"\n{_WEB}'
        self.assertEqual(
            self.errors(text),
            [
                f"defaults.node: the codec 'serverset' cannot write the service 'web': {reason}",
            ],
        )

    def test_unknown_codec(self) -> None:
        """A codec that there is not is one error."""
        (error,) = self.errors(f'{_WEB}codec = "curater"')
        self.assertIn("service[0].codec: 'curater' is not one of 'ndsr', ", error)
        self.assertIn("and no plugin has this name; did you mean 'curator'?", error)

    def test_same_znode(self) -> None:
        """A further znode is none of another service, or of its own."""
        text = f'{_WEB}also = [{{ path = "/services/web", codec = "merged" }}]'
        self.assertEqual(
            self.errors(text),
            ["service[0].also[0]: its znode, '/services/web/10.0.0.1:80', is also that of main.toml: service[0]"],
        )

    def test_path_of_curator(self) -> None:
        """No znode of another format is beside those of Curator, in any service; those of one format are."""
        text = f'{_WEB}also = [{{ path = "/services/web", codec = "curator" }}]'
        reason = "the codec 'curator' needs a path of its own, because its readers fail at znodes of 'ndsr'; main.toml: service[0] has the same path"
        self.assertEqual(self.errors(text), [f"service[0].also[0]: {reason}"])
        other = _WEB.replace('"web"', '"b"')
        self.assertEqual(
            self.errors(f'{_WEB}codec = "curator"\n{other}codec = "nerve"'),
            [
                f"service[1]: {reason.replace('ndsr', 'nerve')}",
            ],
        )
        self.load(f'{_WEB}codec = "curator"\n{other}codec = "curator"')
        self.load(f'{_WEB}codec = "nerve"\n{other}codec = "merged"')

    def test_unknown_key(self) -> None:
        """A further znode has only its keys."""
        (error,) = self.errors(f'{_WEB}also = [{{ path = "/a", codec = "nerve", drian = 1 }}]')
        self.assertEqual(error, "service[0].also[0].drian: unknown key")


class DescribeTests(Case):
    def test_nodes(self) -> None:
        """The description has each znode with its record and codec."""
        lines = describe(
            self.load(f'{_WEB}data = {{ v = 1 }}\nalso = [{{ path = "/m", codec = "plain", port = 9100 }}]')
        )
        self.assertIn('  registers /services/web/10.0.0.1:80 with {"v": 1}', lines)
        self.assertIn('  registers /m/10.0.0.1:9100 with "10.0.0.1:9100" (plain)', lines)
