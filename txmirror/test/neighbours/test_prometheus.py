"""Prometheus discovers the daemon's services: by nerve_sd, serverset_sd and file_sd."""

from __future__ import annotations

import json
import urllib.error
import urllib.request

from txmirror.test.neighbours.case import NeighboursTestCase, WebServer, need
from txmirror.test.zookeeper import free_ports, shared_server

_ROOT = "/test_prometheus"
_SERVICE = """
[[service]]
name = "{name}"
port = {port}
advertise = "{host}"
path = "/merged"
codec = "merged"
labels = {{ az = "a" }}
weight = 3
endpoints = {{ admin = 8081 }}
data = {{ version = "1" }}
[[service.check]]
type = "tcp"
host = "{host}"

[[service.also]]
path = "/nerve"
codec = "nerve"

[[service.also]]
path = "/members"
codec = "serverset"
"""
_WATCH = """
[[watch]]
path = "/merged"
output = "targets.json"
format = "prometheus-file-sd"
settle = "100ms"
"""
_PROMETHEUS = """
global:
  scrape_interval: 1s
scrape_configs:
  - job_name: nerve
    nerve_sd_configs: [{{servers: ["{server}"], paths: ["{root}/nerve"]}}]
  - job_name: merged-nerve
    nerve_sd_configs: [{{servers: ["{server}"], paths: ["{root}/merged"]}}]
  - job_name: serverset
    serverset_sd_configs: [{{servers: ["{server}"], paths: ["{root}/members"]}}]
  - job_name: merged-serverset
    serverset_sd_configs: [{{servers: ["{server}"], paths: ["{root}/merged"]}}]
  - job_name: file
    file_sd_configs: [{{files: ["targets.json"]}}]
"""
_JOBS = ("nerve", "merged-nerve", "serverset", "merged-serverset", "file")


class PrometheusTests(NeighboursTestCase):
    def targets(self) -> dict[str, dict[str, dict[str, str]]]:
        """Return the labels of the targets by job and address, as they were discovered."""
        found: dict[str, dict[str, dict[str, str]]] = {job: {} for job in _JOBS}
        try:
            url = f"http://127.0.0.1:{self.port}/api/v1/targets?state=active"
            with urllib.request.urlopen(url, timeout=5) as reply:
                targets = json.load(reply)["data"]["activeTargets"]
        except OSError:
            return found
        for target in targets:
            labels = target["discoveredLabels"]
            found[labels["job"]][labels["__address__"]] = labels
        return found

    def has(self, *webs: WebServer) -> bool:
        """Return whether each job has these targets, and no other."""
        addresses = {f"{web.host}:{web.port}" for web in webs}
        return all(set(targets) == addresses for targets in self.targets().values())

    def test_discovers(self) -> None:
        """It finds the right targets and labels, and drops a target when its service is gone."""
        prometheus = need("prometheus", "prometheus")
        self.connect(_ROOT)
        one, two = self.web_server("one", "127.0.0.45"), self.web_server("two", "127.0.0.46")
        services = [
            _SERVICE.format(name=name, host=web.host, port=web.port) for name, web in (("one", one), ("two", two))
        ]
        twistd = self.daemon(*services, _WATCH)
        self.wait(lambda: self.client.exists("/members") and self.client.get_children("/members")[1:], "both are there")
        (self.port,) = free_ports(1)
        (self.folder / "prometheus.yml").write_text(_PROMETHEUS.format(server=shared_server().address, root=_ROOT))
        self.run_program(
            prometheus,
            "--config.file=prometheus.yml",
            "--storage.tsdb.path=data",
            f"--web.listen-address=127.0.0.1:{self.port}",
            name="prometheus",
        )
        self.wait(lambda: self.has(one, two), "all targets", "prometheus")
        self.check_labels(one)
        two.stop()
        self.wait(lambda: self.has(one), "the target is dropped", "prometheus")
        self.end(twistd)

    def check_labels(self, web: WebServer) -> None:
        """Check the labels of a target in each job."""
        address, targets = f"{web.host}:{web.port}", self.targets()
        for job in ("nerve", "merged-nerve"):
            labels = targets[job][address]
            self.assertEqual(labels["__meta_nerve_endpoint_host"], web.host)
            self.assertEqual(labels["__meta_nerve_endpoint_port"], str(web.port))
            self.assertTrue(labels["__meta_nerve_endpoint_name"])
        for job in ("serverset", "merged-serverset"):
            labels = targets[job][address]
            self.assertEqual(labels["__meta_serverset_status"], "ALIVE")
            self.assertEqual(labels["__meta_serverset_endpoint_host_admin"], web.host)
            self.assertEqual(labels["__meta_serverset_endpoint_port_admin"], "8081")
        self.assertTrue(targets["serverset"][address]["__meta_serverset_path"].startswith(f"{_ROOT}/members/member_"))
