"""The formats, compared with the documented form of each."""

from __future__ import annotations

import json

from twisted.trial.unittest import SynchronousTestCase

from txmirror.configuration import watches as configuration
from txmirror.configuration.watches import TEMPLATE
from txmirror.formats import (
    FORMATS,
    LiveList,
    reason_against,
    reason_against_text,
    render_envoy,
    render_haproxy_map,
    render_json,
    render_lines,
    render_prometheus,
)
from txmirror.types import Endpoint, Instance, InstanceStatus

FIRST = Instance(name="10.0.0.1:80", address="10.0.0.1", port=80, weight=3, labels={"az": "a"}, codec="nerve")
SECOND = Instance(name="member_0000000001", address="::1", port=81, status=InstanceStatus.WARNING, codec="serverset")
NAMED = Instance(name="web1:80", address="web1.example", port=80, codec="ndsr")
NO_PORT = Instance(name="x", address="10.0.0.2", codec="ndsr")
NO_ADDRESS = Instance(name="y", port=80, codec="ndsr")


def live(*instances: Instance) -> LiveList:
    return LiveList("web", "/services/web", instances)


class NamesTests(SynchronousTestCase):
    def test_names(self) -> None:
        """A configuration may have each format, and no other."""
        self.assertEqual({*FORMATS, TEMPLATE}, set(configuration.FORMATS))


class TextTests(SynchronousTestCase):
    def test_lines(self) -> None:
        """A line has the address and the port; an IPv6 address is in brackets."""
        rendering = render_lines(live(FIRST, SECOND, NAMED))
        self.assertEqual(rendering.content, b"10.0.0.1:80\n[::1]:81\nweb1.example:80\n")
        self.assertEqual(rendering.omitted, {})

    def test_no_endpoint(self) -> None:
        """An instance without an address or a port is omitted, and the reason is given."""
        for render in (render_lines, render_haproxy_map, render_prometheus, render_envoy):
            rendering = render(live(FIRST, NO_PORT, NO_ADDRESS))
            self.assertEqual(rendering.omitted, {"x": "it has no port", "y": "it has no address"}, render)
            self.assertEqual(rendering.content, render(live(FIRST)).content)

    def test_down(self) -> None:
        """An instance that is down is omitted where a program would use it, and Prometheus gets its state as a label."""
        down = Instance(name="d", address="10.0.0.1", port=1, status=InstanceStatus.DOWN)
        for render in (render_lines, render_haproxy_map, render_envoy):
            self.assertEqual(render(live(FIRST, down)).omitted, {"d": "it is down"}, render)
        self.assertIn(b'"__meta_txmirror_status": "down"', render_prometheus(live(down)).content)

    def test_port_zero(self) -> None:
        """A member with the port 0 has no port yet."""
        rendering = render_lines(live(Instance(name="z", address="10.0.0.1", port=0)))
        self.assertEqual((rendering.content, rendering.omitted), (b"", {"z": "it has no port"}))

    def test_forged_line(self) -> None:
        """An address or a name that would make another line, or another column, is omitted."""
        for text in ("a b", "a\nb", "\x00", "a\u2028b", "#a", "a\x85b"):
            address = Instance(name="n", address=text, port=1)
            name = Instance(name=text, address="h", port=1)
            self.assertEqual(render_lines(live(address)).content, b"", repr(text))
            self.assertEqual(render_haproxy_map(live(name)).content, b"", repr(text))
            self.assertEqual(list(render_haproxy_map(live(name)).omitted), [text])

    def test_haproxy_map(self) -> None:
        """The key is the name of the znode, and the value the address with the port."""
        self.assertEqual(
            render_haproxy_map(live(FIRST, SECOND)).content, b"10.0.0.1:80 10.0.0.1:80\nmember_0000000001 [::1]:81\n"
        )

    def test_empty(self) -> None:
        """A list without instances has a content in each format."""
        self.assertEqual(render_lines(live()).content, b"")
        for name in ("json", "prometheus-file-sd", "envoy-eds"):
            json.loads(FORMATS[name](live()).content)

    def test_same_for_same(self) -> None:
        """Two renderings of one list are equal to the byte, so that the file is not replaced."""
        for name, render in FORMATS.items():
            self.assertEqual(render(live(FIRST, SECOND)), render(live(FIRST, SECOND)), name)
            self.assertNotEqual(render(live(FIRST, SECOND)).content, render(live(FIRST)).content, name)

    def test_long_word(self) -> None:
        """A name or an address that is longer than a line for HAProxy is omitted: the rest would be another line."""
        name = Instance(name="n" * 20000, address="h", port=1)
        address = Instance(name="a", address="h" * 20000, port=1)
        self.assertEqual(len(render_haproxy_map(live(name, address)).omitted), 2)


class ReasonTests(SynchronousTestCase):
    def test_unwritable(self) -> None:
        """Data that UTF-8 cannot express is a reason against an instance in any file."""
        for each in (
            Instance(name="a", data={"x": ["\ud800"]}),
            Instance(name="a", labels={"\udfff": "x"}),
            Instance(name="a", address="\ud800"),
            Instance(name="a", endpoints={"x": Endpoint("\ud800", 1)}),
        ):
            self.assertIn("UTF-8", str(reason_against(each)))
        self.assertIsNone(reason_against(FIRST))

    def test_unsafe(self) -> None:
        """Each part that could make another line in a text is a reason against an instance there."""
        for each in (
            Instance(name="a\nb"),
            Instance(name="a", address="1.2.3.4\nglobal"),
            Instance(name="a", address="h evil"),
            Instance(name="a", endpoints={"x": Endpoint("h\r", 1)}),
            Instance(name="a", endpoints={"x\n": Endpoint("h", 1)}),
            Instance(name="a", labels={"x": "y\u2028z"}),
            Instance(name="a", labels={"x\n": "y"}),
            Instance(name="a", service="\x1b"),
            Instance(name="a", id="\x85"),
            Instance(name="a" * 2000),
        ):
            self.assertIsNotNone(reason_against_text(each), each)
        for each in (FIRST, SECOND, NAMED, NO_PORT, NO_ADDRESS, Instance(name="a b", data={"text": "a\nb"})):
            self.assertIsNone(reason_against_text(each))


class JSONTests(SynchronousTestCase):
    def test_all_facts(self) -> None:
        """The object has all that is known, and nothing that is not."""
        odd = Instance(name="é", data={"a": [1, None]}, codec="ndsr")
        self.assertEqual(
            json.loads(render_json(live(FIRST, odd)).content),
            {
                "name": "web",
                "path": "/services/web",
                "instances": [
                    {
                        "name": "10.0.0.1:80",
                        "address": "10.0.0.1",
                        "port": 80,
                        "weight": 3,
                        "labels": {"az": "a"},
                        "status": "up",
                        "codec": "nerve",
                    },
                    {"name": "é", "data": {"a": [1, None]}, "status": "up", "codec": "ndsr"},
                ],
            },
        )

    def test_endpoints(self) -> None:
        """Further endpoints are objects."""
        instance = Instance(name="a", endpoints={"admin": Endpoint("h", 1)})
        (facts,) = json.loads(render_json(live(instance)).content)["instances"]
        self.assertEqual(facts["endpoints"], {"admin": {"address": "h", "port": 1}})

    def test_zero(self) -> None:
        """A weight of 0 is a fact."""
        self.assertIn(b'"weight": 0', render_json(live(Instance(name="a", weight=0))).content)

    def test_lines(self) -> None:
        """Each instance has a line of its own, for people and for programs that compare."""
        for name in ("json", "prometheus-file-sd", "envoy-eds"):
            one, two = (FORMATS[name](live(*each)).content.splitlines() for each in ((FIRST,), (FIRST, NAMED)))
            self.assertEqual(len(two) - len(one), 1 if name != "envoy-eds" else 0, name)
            self.assertIn(b"10.0.0.1", one[1])


class PrometheusTests(SynchronousTestCase):
    def groups(self, *instances: Instance) -> list[dict[str, object]]:
        groups: list[dict[str, object]] = json.loads(render_prometheus(live(*instances)).content)
        return groups

    def test_targets(self) -> None:
        """Each instance is a target with its own labels, and with facts as labels for relabelling."""
        self.assertEqual(
            self.groups(FIRST, SECOND),
            [
                {
                    "targets": ["10.0.0.1:80"],
                    "labels": {
                        "az": "a",
                        "__meta_txmirror_path": "/services/web/10.0.0.1:80",
                        "__meta_txmirror_service": "web",
                        "__meta_txmirror_status": "up",
                        "__meta_txmirror_weight": "3",
                    },
                },
                {
                    "targets": ["[::1]:81"],
                    "labels": {
                        "__meta_txmirror_path": "/services/web/member_0000000001",
                        "__meta_txmirror_service": "web",
                        "__meta_txmirror_status": "warning",
                    },
                },
            ],
        )

    def test_label_names(self) -> None:
        """Characters that a label's name cannot have become underscores."""
        (group,) = self.groups(Instance(name="n", address="h", port=1, labels={"region:b": "", "a-b.c": "é"}))
        labels = group["labels"]
        assert isinstance(labels, dict)
        self.assertEqual(labels["region_b"], "")
        self.assertEqual(labels["a_b_c"], "é")

    def test_hijack(self) -> None:
        """An instance cannot set a label that redirects the scrape, nor one with an invalid name."""
        own = {"__address__": "evil:1", "__scheme__": "https", "--metrics_path": "/x", "1a": "x", "": "x"}
        (group,) = self.groups(Instance(name="n", address="h", port=1, labels=own))
        labels = group["labels"]
        assert isinstance(labels, dict)
        self.assertEqual(
            {name for name in labels if not name.startswith("__meta_txmirror_")}, set(), "a label that is not ours"
        )


class EnvoyTests(SynchronousTestCase):
    def test_cluster(self) -> None:
        """The file is a DiscoveryResponse with one ClusterLoadAssignment, with a locality for each place."""
        other = Instance(name="b", address="10.0.0.2", port=80, labels={"zone": "z"})
        rendering = render_envoy(live(FIRST, other))
        response = json.loads(rendering.content)
        (resource,) = response["resources"]
        self.assertEqual(
            resource,
            {
                "@type": "type.googleapis.com/envoy.config.endpoint.v3.ClusterLoadAssignment",
                "cluster_name": "web",
                "endpoints": [
                    {
                        "lb_endpoints": [
                            {
                                "endpoint": {"address": {"socket_address": {"address": "10.0.0.1", "port_value": 80}}},
                                "load_balancing_weight": 3,
                            }
                        ]
                    },
                    {
                        "locality": {"zone": "z"},
                        "lb_endpoints": [
                            {"endpoint": {"address": {"socket_address": {"address": "10.0.0.2", "port_value": 80}}}}
                        ],
                    },
                ],
            },
        )

    def test_several(self) -> None:
        """Several clusters are in one file, and so are the targets of several services."""
        both = json.loads(render_envoy(live(FIRST), LiveList("db", "/services/db", [SECOND, NAMED])).content)
        self.assertEqual([each["cluster_name"] for each in both["resources"]], ["web", "db"])
        self.assertEqual(both["resources"][0], json.loads(render_envoy(live(FIRST)).content)["resources"][0])
        rendering = render_prometheus(live(FIRST, NO_PORT), LiveList("db", "/services/db", [SECOND]))
        services = [each["labels"]["__meta_txmirror_service"] for each in json.loads(rendering.content)]
        self.assertEqual((services, rendering.omitted), (["web", "db"], {"x": "it has no port"}))

    def test_version(self) -> None:
        """The version changes with the endpoints, and only with them."""
        versions = [json.loads(render_envoy(each).content)["version_info"] for each in (live(FIRST), live(SECOND))]
        self.assertEqual(len(set(versions)), 2)
        self.assertEqual(json.loads(render_envoy(live(FIRST)).content)["version_info"], versions[0])

    def test_name(self) -> None:
        """A host name is omitted: one would make Envoy refuse the whole file."""
        rendering = render_envoy(live(FIRST, NAMED))
        self.assertEqual(rendering.content, render_envoy(live(FIRST)).content)
        self.assertEqual(rendering.omitted, {"web1:80": "its address is a name, not an IP address"})

    def test_weight(self) -> None:
        """Envoy refuses a weight of 0 and one above 32 bits: 0 is draining."""
        for weight, expected, status in ((0, 1, "DRAINING"), (2**40, 2**32 - 1, None)):
            rendering = render_envoy(live(Instance(name="a", address="1.2.3.4", port=1, weight=weight)))
            (endpoint,) = json.loads(rendering.content)["resources"][0]["endpoints"][0]["lb_endpoints"]
            self.assertEqual((endpoint["load_balancing_weight"], endpoint.get("health_status")), (expected, status))

    def test_zone(self) -> None:
        """Envoy knows no zone of an IPv6 address, and would refuse the whole file."""
        scoped = Instance(name="a", address="fe80::1%eth0", port=1)
        self.assertEqual(render_envoy(live(scoped)).omitted, {"a": "its address has a zone"})

    def test_sum_of_weights(self) -> None:
        """The weights in a locality are limited so that their sum is a number of 32 bits: Envoy would refuse the whole file."""
        heavy = [Instance(name=str(each), address="10.0.0.1", port=each + 1, weight=2**32) for each in range(3)]
        (place,) = json.loads(render_envoy(live(*heavy)).content)["resources"][0]["endpoints"]
        weights = [each["load_balancing_weight"] for each in place["lb_endpoints"]]
        self.assertEqual(weights, [(2**32 - 1) // 3] * 3)
