"""The instance that a server endpoint registers: address, name and facts."""

from __future__ import annotations

import os

from twisted.internet.address import IPv4Address, IPv6Address
from twisted.trial.unittest import SynchronousTestCase

from txmirror.endpoints.advertising import Advertised, Advertisement, parse_advertised
from txmirror.machine import Machine
from txmirror.registry import CODECS, ServiceNode
from txmirror.types import Instance, Undecodable

MACHINE = Machine(
    "host1",
    "machine",
    4711,
    {"RACK": "7"},
    find_route=lambda servers: {"zk4": "10.0.0.1", "zk6": "2001:db8::1"}[servers],
    find_interface=lambda name: {"eth1": "10.0.1.1"}[name],
)
EVERYWHERE = IPv4Address("TCP", "0.0.0.0", 8080)  # noqa: S104 - nothing listens there


class AddressTests(SynchronousTestCase):
    def test_found(self) -> None:
        """The address at which a port listens is registered; for every address, that of the route to ZooKeeper."""
        for bound, text, servers, expected in (
            (EVERYWHERE, "auto", "zk4", ("10.0.0.1", 8080)),
            (IPv6Address("TCP", "::", 8080), "auto", "zk6", ("2001:db8::1", 8080)),
            (IPv4Address("TCP", "10.0.0.7", 8080), "auto", "zk4", ("10.0.0.7", 8080)),
            (IPv6Address("TCP", "2001:db8::7", 8080), "auto", "zk4", ("2001:db8::7", 8080)),
            (EVERYWHERE, "interface:eth1", "zk4", ("10.0.1.1", 8080)),
            (IPv4Address("TCP", "10.0.0.7", 8080), "web.example", "zk4", ("web.example", 8080)),
            (EVERYWHERE, "web.example:443", "zk4", ("web.example", 443)),
            (EVERYWHERE, "[2001:db8::9]", "zk4", ("2001:db8::9", 8080)),
            (EVERYWHERE, "[2001:db8::9]:443", "zk4", ("2001:db8::9", 443)),
        ):
            with self.subTest(bound=bound, text=text):
                self.assertEqual(parse_advertised(text).find(bound, servers, MACHINE), expected)


class NameTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.patch(os, "environ", {"RACK": "7"})

    def node(self, bound: IPv4Address | IPv6Address = EVERYWHERE, codec: str = "merged", name: str = "") -> ServiceNode:
        advertisement = Advertisement("/services/web", CODECS[codec], Advertised("auto"), None, name or None)
        return advertisement.node(bound, "zk4", MACHINE)

    def test_placeholders(self) -> None:
        """A name has the placeholders of the daemon's configuration."""
        node = self.node(name="{name}-{host}-{pid}-{address}-{port}-{env:RACK}-{{}}")
        self.assertEqual(node.znode, "/services/web/web-host1-4711-10.0.0.1-8080-7-{}")
        node = self.node(IPv6Address("TCP", "2001:db8::7", 80), name="{address}")
        self.assertEqual(node.znode, "/services/web/[2001:db8::7]")
        self.assertEqual(node.instance.address, "2001:db8::7")
        node = self.node(name="{uuid} {number}")
        self.assertEqual(node.instance.name, f"{MACHINE.instance_id('host1', 'web:8080')} {node.instance.name[-10:]}")

    def test_different(self) -> None:
        """In each format, servers at two ports of a machine have different nodes, and one has the same again."""
        for codec in CODECS:
            with self.subTest(codec=codec):
                one, again = self.node(codec=codec), self.node(codec=codec)
                other = self.node(IPv4Address("TCP", EVERYWHERE.host, 8081), codec)
                self.assertEqual(one.znode, again.znode)
                self.assertNotEqual(one.znode, other.znode)

    def test_read(self) -> None:
        """In each format that has an address, readers find it."""
        for name, codec in CODECS.items():
            with self.subTest(codec=name):
                node = self.node(codec=name)
                instance = codec.read(node.znode.rpartition("/")[2], codec.encode(node.facts(), pid=1, created=0.0))
                assert not isinstance(instance, Undecodable)
                self.assertIsInstance(instance, Instance)
                self.assertEqual((instance.address, instance.port), ("10.0.0.1", 8080))
