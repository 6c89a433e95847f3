"""Curator's own service discovery reads the daemon's nodes, and txmirror reads Curator's."""

from __future__ import annotations

import json
import subprocess
from typing import Any

from txmirror.registry import CODECS, decode_instance
from txmirror.test.neighbours.case import NeighboursTestCase
from txmirror.test.neighbours.java import JavaProgram
from txmirror.types import Instance

_READER = """
import java.util.*;
import com.fasterxml.jackson.databind.*;
import org.apache.curator.framework.*;
import org.apache.curator.retry.RetryOneTime;
import org.apache.curator.x.discovery.*;
import org.apache.curator.x.discovery.details.*;
import org.springframework.cloud.zookeeper.discovery.ZookeeperInstance;

public class Curator {
    static final ObjectMapper mapper = new ObjectMapper();

    static <T> void run(Class<T> payload, String[] args) throws Exception {
        CuratorFramework client = CuratorFrameworkFactory.newClient(args[0], 10000, 5000, new RetryOneTime(100));
        client.start();
        ServiceDiscovery<T> discovery =
            ServiceDiscoveryBuilder.builder(payload).basePath(args[1]).client(client).build();
        discovery.start();
        for (ServiceInstance<T> each : discovery.queryForInstances(args[2])) {
            Map<String, Object> found = new LinkedHashMap<>();
            found.put("name", each.getName());
            found.put("id", each.getId());
            found.put("address", each.getAddress());
            found.put("port", each.getPort());
            found.put("sslPort", each.getSslPort());
            found.put("enabled", each.isEnabled());
            found.put("type", each.getServiceType().toString());
            found.put("uri", each.buildUriSpec());
            found.put("metadata", each.getPayload() instanceof ZookeeperInstance
                ? ((ZookeeperInstance) each.getPayload()).getMetadata() : null);
            System.out.println(mapper.writeValueAsString(found));
        }
        discovery.close();
        client.close();
    }

    static void register(String[] args) throws Exception {
        CuratorFramework client = CuratorFrameworkFactory.newClient(args[0], 10000, 5000, new RetryOneTime(100));
        client.start();
        Map<String, String> metadata = new HashMap<>();
        metadata.put("az", "a");
        ServiceInstance<ZookeeperInstance> instance = ServiceInstance.<ZookeeperInstance>builder()
            .name(args[2]).id("c1").address("127.0.0.44").port(8040).registrationTimeUTC(1553592092875L)
            .uriSpec(new UriSpec("{scheme}://{address}:{port}"))
            .payload(new ZookeeperInstance("web-1", "web", metadata)).build();
        ServiceDiscovery<ZookeeperInstance> discovery =
            ServiceDiscoveryBuilder.builder(ZookeeperInstance.class).basePath(args[1]).client(client).build();
        discovery.start();
        discovery.registerService(instance);
        System.out.println("registered");
        System.out.flush();
        System.in.read();
        discovery.close();
        client.close();
    }

    static void serialize() throws Exception {
        System.out.println(new String(new JsonInstanceSerializer<>(Object.class).serialize(new ServiceInstance<Object>(
            "web", "06c0af4c-03c4-4cc1-a702-050303b41b8b", "10.0.0.7", 8080, 8443, null, 1355519870000L,
            ServiceType.DYNAMIC, null)), "UTF-8"));
    }

    public static void main(String[] args) throws Exception {
        String[] rest = Arrays.copyOfRange(args, 1, args.length);
        switch (args[0]) {
            case "read": run(Object.class, rest); break;
            case "read-spring": run(ZookeeperInstance.class, rest); break;
            case "register": register(rest); break;
            default: serialize();
        }
    }
}
"""
#: What Curator needs of Spring Cloud: the class of the payload.
_SPRING = """
package org.springframework.cloud.zookeeper.discovery;

import java.util.*;

public class ZookeeperInstance {
    private String id;
    private String name;
    private Map<String, String> metadata = new HashMap<>();
    private ZookeeperInstance() {}
    public ZookeeperInstance(String id, String name, Map<String, String> metadata) {
        this.id = id;
        this.name = name;
        this.metadata = metadata;
    }
    public String getId() { return id; }
    public String getName() { return name; }
    public void setId(String id) { this.id = id; }
    public void setName(String name) { this.name = name; }
    public Map<String, String> getMetadata() { return metadata; }
    public void setMetadata(Map<String, String> metadata) { this.metadata = metadata; }
}
"""
_SERVICE = """
[[service]]
name = "web"
port = 8080
tls_port = 8443
advertise = "127.0.0.43"
path = "/plain/{name}"
codec = "curator"
labels = { az = "a" }
weight = 5

[[service.also]]
path = "/spring/{name}"
codec = "curator-spring"
"""

_WATCH = """
[[watch]]
path = "/services/web"
output = "web.json"
"""


class CuratorTests(NeighboursTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.java = JavaProgram(self.folder, Curator=_READER, ZookeeperInstance=_SPRING)

    def run_java(self, *arguments: str) -> list[dict[str, Any]]:
        """Run the Java program, and return the objects that it prints."""
        done = subprocess.run(
            self.java.command("Curator", *arguments),
            check=False,
            capture_output=True,
            text=True,
            timeout=60,
        )
        self.assertEqual(done.returncode, 0, done.stderr)
        return [json.loads(line) for line in done.stdout.splitlines()]

    def written(self) -> list[dict[str, Any]] | None:
        """Return the instances in the daemon's file; None before there is one."""
        try:
            instances: list[dict[str, Any]] = json.loads((self.folder / "web.json").read_text())["instances"]
        except FileNotFoundError:
            return None
        return instances or None

    def test_bytes(self) -> None:
        """The bytes are those of Curator's own serializer."""
        codec = CODECS["curator"]
        instance = Instance(
            name="06c0af4c-03c4-4cc1-a702-050303b41b8b", address="10.0.0.7", port=8080, tls_port=8443, service="web"
        )
        data = codec.encode(codec.facts(instance), pid=1, created=1355519870.0)
        done = subprocess.run(
            self.java.command("Curator", "bytes"), capture_output=True, text=True, timeout=60, check=True
        )
        self.assertEqual(done.stdout.strip(), data.decode())

    def test_curator_reads(self) -> None:
        """Curator finds the instance, and Spring Cloud's class its metadata, until the service is gone."""
        self.connect("/test_curator")
        twistd = self.daemon(_SERVICE)
        self.wait(
            lambda: self.client.exists("/spring/web") and self.client.get_children("/spring/web"), "it is registered"
        )
        (identity,) = self.client.get_children("/plain/web")
        expected = {
            "name": "web",
            "id": identity,
            "address": "127.0.0.43",
            "port": 8080,
            "sslPort": 8443,
            "enabled": True,
            "type": "DYNAMIC",
            "uri": "",
            "metadata": None,
        }
        self.assertEqual(self.run_java("read", self.servers, "/plain", "web"), [expected])
        spring = {
            **expected,
            "uri": "https://127.0.0.43:8080",
            "metadata": {"instance_status": "UP", "weight": "5", "az": "a"},
        }
        self.assertEqual(self.run_java("read-spring", self.servers, "/spring", "web"), [spring])
        self.end(twistd)
        self.assertEqual(self.run_java("read", self.servers, "/plain", "web"), [])

    def test_curator_writes(self) -> None:
        """The daemon finds the instances that Curator registers, with everything that Curator has written."""
        self.connect("/test_curator_writes")
        with subprocess.Popen(
            self.java.command("Curator", "register", self.servers, "/services", "web"),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        ) as process:
            try:
                assert process.stdout is not None and process.stdin is not None
                self.assertEqual(process.stdout.readline(), "registered\n")
                data, _ = self.client.get("/services/web/c1")
                twistd = self.daemon(_WATCH)
                (written,) = self.wait(self.written, "the file has the instance")
            finally:
                process.communicate("\n", timeout=30)
        self.assertEqual(
            (written["id"], written["address"], written["port"], written["labels"]),
            ("c1", "127.0.0.44", 8040, {"az": "a"}),
        )
        self.end(twistd)
        expected = Instance(
            name="c1",
            address="127.0.0.44",
            port=8040,
            service="web",
            id="c1",
            created=1553592092.875,
            labels={"az": "a"},
            codec="curator-spring",
        )
        self.assertEqual(decode_instance("c1", data), expected)
