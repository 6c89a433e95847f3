"""kazoo reads one service in the formats whose own readers cannot run here, as their sources parse them."""

from __future__ import annotations

import base64
import json
import re
from datetime import datetime

from kazoo.protocol.states import ZnodeStat

from txmirror.test.neighbours.case import NeighboursTestCase

_CONFIGURATION = """
[[service]]
name = "web"
port = 8080
advertise = "127.0.0.51"
path = "/ndsr"
data = { version = "1.4.2" }
weight = 7
labels = { az = "a" }
[[service.also]]
path = "/zczk"
codec = "zczk"
[[service.also]]
path = "/nerve"
codec = "nerve-base64"
[[service.also]]
path = "/plain"
codec = "plain"
[[service.also]]
path = "/spring/web"
codec = "curator-spring"
"""
_PATHS = ("/ndsr", "/zczk", "/nerve", "/plain", "/spring/web")
_ADDRESS = "127.0.0.51:8080"


class KazooTests(NeighboursTestCase):
    def nodes(self) -> dict[str, tuple[str, bytes, ZnodeStat]] | None:
        """Return the name, the data and the stat of the node below each path; None while one is missing."""
        found = {}
        for path in _PATHS:
            names = self.client.get_children(path) if self.client.exists(path) else []
            if len(names) != 1:
                return None
            data, stat = self.client.get(f"{path}/{names[0]}")
            found[path] = (names[0], data, stat)
        return found

    def test_formats(self) -> None:
        """Each node is of the same session, has the name and the data that its readers need, and goes with the others."""
        self.connect("/test_kazoo_reads")
        twistd = self.daemon(_CONFIGURATION)
        nodes = self.wait(self.nodes, "all nodes are registered")
        self.assertEqual(len({stat.ephemeralOwner for _, _, stat in nodes.values()}), 1)
        # nd_service_registry and zc.zk have the address in the name.
        for path in ("/ndsr", "/zczk"):
            name, data, _ = nodes[path]
            facts = json.loads(data)
            self.assertEqual((name, facts["version"], facts["pid"]), (_ADDRESS, "1.4.2", twistd.process.pid))
        _, data, stat = nodes["/ndsr"]
        created = datetime.strptime(json.loads(data)["created"] + "+0000", "%Y-%m-%d %H:%M:%S%z")
        self.assertLess(abs(created.timestamp() - stat.ctime / 1000), 60)
        # synapse: the length and the record are in the name, before the number.
        match = re.fullmatch("base64_([0-9]+)_([A-Za-z0-9_=-]+)_([0-9]{10})", nodes["/nerve"][0])
        assert match is not None
        self.assertEqual(len(match[2]), int(match[1]))
        record = json.loads(base64.urlsafe_b64decode(match[2]))
        self.assertEqual((record["host"], record["port"], record["weight"]), ("127.0.0.51", 8080, 7))
        self.assertEqual(record["labels"], {"az": "a"})
        self.assertEqual(nodes["/plain"][1], f"{_ADDRESS}:7".encode())
        # Spring Cloud reads the name of the node as the id, and its own class as the payload.
        name, data, _ = nodes["/spring/web"]
        instance = json.loads(data)
        self.assertEqual((instance["id"], instance["name"], instance["port"]), (name, "web", 8080))
        self.assertEqual(
            instance["payload"]["@class"], "org.springframework.cloud.zookeeper.discovery.ZookeeperInstance"
        )
        self.end(twistd)
        self.assertEqual([self.client.get_children(path) for path in _PATHS], [[]] * len(_PATHS))
