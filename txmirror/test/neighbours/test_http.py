"""Prometheus discovers and scrapes instances by the daemon's HTTP API, and programs wait for changes there."""

from __future__ import annotations

import json
import sys
import threading
import time
import urllib.request
from typing import Any

from txmirror.test.neighbours.case import NeighboursTestCase, need
from txmirror.test.test_examples import find_examples
from txmirror.test.zookeeper import free_ports

_SERVICE = """
[[service]]
name = "{name}"
port = {port}
advertise = "{host}"
path = "/services/web"
node = "{{address}}:{{port}}"
[[service.check]]
type = "tcp"
host = "{host}"
"""
_HTTP = """
[http]
listen = "127.0.0.1:{port}"
"""
_PROMETHEUS = """
global:
  scrape_interval: 1s
scrape_configs:
  - job_name: web
    http_sd_configs: [{{url: "http://127.0.0.1:{port}/v1/prometheus/sd?service=web", refresh_interval: 1s}}]
  - job_name: daemon
    http_sd_configs: [{{url: "http://127.0.0.1:{port}/v1/prometheus/sd?service=daemon", refresh_interval: 1s}}]
    relabel_configs: [{{source_labels: [__meta_txmirror_service], target_label: service}}]
"""
#: Its names, and the addresses at which it runs.
_WEBS = {"one": "127.0.0.51", "two": "127.0.0.52"}


class HTTPTests(NeighboursTestCase):
    def fetch(self, path: str, *, port: int | None = None) -> Any:
        """Return the JSON of an answer, with its index; None while nobody answers, or the server refuses."""
        url = f"http://127.0.0.1:{port or self.port}{path}"
        try:
            with urllib.request.urlopen(url, timeout=40) as reply:
                return json.load(reply)
        except OSError:
            return None

    def targets(self, job: str) -> dict[str, dict[str, Any]]:
        """Return Prometheus's active targets of a job by address."""
        found = self.fetch("/api/v1/targets?state=active", port=self.prometheus_port)
        targets = [] if found is None else found["data"]["activeTargets"]
        return {each["discoveredLabels"]["__address__"]: each for each in targets if each["labels"]["job"] == job}

    def names(self, query: str = "") -> list[str] | None:
        """Return the names of the instances of the service."""
        found = self.fetch(f"/v1/services/web{query}")
        return None if found is None else [each["name"] for each in found["instances"]]

    def test_readers(self) -> None:
        """Prometheus finds, scrapes and drops instances; a query and a program that wait see each change at once."""
        prometheus = need("prometheus", "prometheus")
        self.connect("/test_http")
        self.port, self.prometheus_port = free_ports(2)
        webs = {name: self.web_server(name, host) for name, host in _WEBS.items()}
        names = {name: f"{each.host}:{each.port}" for name, each in webs.items()}
        services = [_SERVICE.format(name=name, host=web.host, port=web.port) for name, web in webs.items()]
        # The daemon's own metrics are there to be scraped.
        self.client.create(f"/services/daemon/127.0.0.1:{self.port}", b"{}", makepath=True)
        twistd = self.daemon(*services, _HTTP.format(port=self.port))
        self.wait(lambda: self.names() == sorted(names.values()) or None, "both instances are answered")
        example = str(find_examples() / "follow_service.py")
        self.run_program(sys.executable, example, f"http://127.0.0.1:{self.port}", "web", name="follow")
        (self.folder / "prometheus.yml").write_text(_PROMETHEUS.format(port=self.port))
        self.run_program(
            prometheus,
            "--config.file=prometheus.yml",
            "--storage.tsdb.path=data",
            f"--web.listen-address=127.0.0.1:{self.prometheus_port}",
            name="prometheus",
        )
        self.wait(lambda: set(self.targets("web")) == set(names.values()) or None, "both targets", "prometheus")
        labels = self.targets("web")[names["one"]]["discoveredLabels"]
        self.assertEqual(labels["__meta_txmirror_service"], "web")
        self.assertEqual(labels["__meta_txmirror_path"], f"/services/web/{names['one']}")

        def scraped() -> bool | None:
            return any(each["health"] == "up" for each in self.targets("daemon").values()) or None

        self.wait(scraped, "the daemon is scraped", "prometheus")
        (target,) = self.targets("daemon").values()
        self.assertEqual(target["labels"]["service"], "daemon")
        self.wait(lambda: self.followed(*names.values()), "the program has both", "follow")

        index = self.fetch("/v1/services/web")["index"]
        answers: list[tuple[list[str] | None, float]] = []
        waiting = threading.Thread(
            target=lambda: answers.append((self.names(f"?index={index}&wait=30s"), time.monotonic()))
        )
        waiting.start()
        begun = time.monotonic()
        webs["two"].stop()
        waiting.join(35)
        ((found, ended),) = answers
        self.assertEqual(found, [names["one"]])
        self.assertLess(ended - begun, 20.0)
        self.wait(lambda: self.followed(names["one"]), "the program has one", "follow")
        self.wait(lambda: set(self.targets("web")) == {names["one"]} or None, "the target is dropped", "prometheus")
        self.end(twistd)

    def followed(self, *names: str) -> bool | None:
        """Return True if the last line of the program that follows the service has these instances."""
        lines = (self.folder / "follow.log").read_text().splitlines()
        return lines[-1:] == [" ".join(sorted(names))] or None
