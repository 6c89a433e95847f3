"""Prometheus scrapes the daemon, evaluates the alerts of the documentation, and answers the questions of the Grafana board."""

from __future__ import annotations

import contextlib
import http.client
import json
import re
import socket
from typing import Any
from urllib.parse import urlencode

import yaml
from twisted.names import dns

from txmirror.service import METRICS
from txmirror.test.neighbours.case import PATIENCE, NeighboursTestCase, need
from txmirror.test.test_examples import find_examples
from txmirror.test.test_monitoring import board_expressions, labels_of_series
from txmirror.test.zookeeper import free_ports

_SERVICES = """
[[service]]
name = "web"
path = "/services"
node = "web:1"
[[service.check]]
type = "command"
argv = ["true"]
[[service]]
name = "db"
path = "/services"
node = "db:1"
[[service.check]]
type = "command"
argv = ["sh", "-c", "exit 2"]
[[watch]]
path = "/services"
output = "list"
format = "lines"
command = ["true"]
"""


class ScrapingTests(NeighboursTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.program = need("prometheus", "prometheus")
        self.connect("/test_scraping")
        self.port, self.prometheus_port, self.http_port, self.dns_port = free_ports(4)

    def start_prometheus(self) -> None:
        configuration = {
            "global": {"scrape_interval": "1s", "evaluation_interval": "1s"},
            "rule_files": [str(find_examples().absolute() / "alerts.yml")],
            "scrape_configs": [
                {"job_name": "txmirror", "static_configs": [{"targets": [f"127.0.0.1:{self.port}"]}]},
            ],
        }
        (self.folder / "prometheus.yml").write_text(yaml.safe_dump(configuration))
        listen = f"--web.listen-address=127.0.0.1:{self.prometheus_port}"
        # Debian's Prometheus would keep its data in /var/lib.
        storage = "--storage.tsdb.path=data"
        self.run_program(self.program, "--config.file=prometheus.yml", storage, listen, name="prometheus")

    def ask(self, path: str, **parameters: str) -> Any:
        """Return the answer of Prometheus's API; None if it does not answer yet."""
        connection = http.client.HTTPConnection("127.0.0.1", self.prometheus_port, timeout=PATIENCE)
        with contextlib.closing(connection):
            try:
                connection.request("GET", f"/api/v1/{path}?{urlencode(parameters)}")
                response = connection.getresponse()
                content = response.read()
            except OSError:
                return None
            if response.status == 503:
                return None
            answer = json.loads(content)
            self.assertEqual(answer["status"], "success", answer)
            return answer["data"]

    def ask_servers(self) -> bool | None:
        """Ask the daemon by HTTP and by DNS, so that there are replies to count; return None if one does not answer yet."""
        connection = http.client.HTTPConnection("127.0.0.1", self.http_port, timeout=PATIENCE)
        question = dns.Message(id=1, recDes=0)
        question.addQuery("web.service.mirror", dns.A)
        with contextlib.closing(connection), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as datagrams:
            datagrams.settimeout(PATIENCE)
            datagrams.connect(("127.0.0.1", self.dns_port))
            try:
                connection.request("GET", "/healthz")
                connection.getresponse().read()
                datagrams.send(question.toStr())
                return bool(datagrams.recv(4096))
            except OSError:
                return None

    def query(self, expression: str) -> list[tuple[dict[str, str], float]]:
        """Return the labels and the value of each series of an expression."""
        found = self.ask("query", query=expression)
        return [] if found is None else [(each["metric"], float(each["value"][1])) for each in found["result"]]

    def targets(self) -> list[tuple[str, str]]:
        """Return the health of each target, and its last error."""
        found = self.ask("targets") or {"activeTargets": []}
        return [(each["health"], each["lastError"]) for each in found["activeTargets"]]

    def pending(self) -> set[str]:
        return {labels["alertname"] for labels, _ in self.query('ALERTS{alertstate="pending"}')}

    def test_scraped(self) -> None:
        """Prometheus has all series and their types, the alerts pend, and every panel of the board has data."""
        servers = f'[http]\nlisten = "127.0.0.1:{self.http_port}"\n[dns]\nlisten = "127.0.0.1:{self.dns_port}"\n'
        daemon = self.daemon(
            _SERVICES, servers, session='state_file = "state"', settings=f'metrics = "127.0.0.1:{self.port}"'
        )
        self.wait(self.ask_servers, "HTTP and DNS have answered")
        self.start_prometheus()
        is_down = 'txmirror_service_condition{condition="down", service="db"} == 1'
        self.wait(lambda: self.query(is_down), "db is down", "prometheus")
        is_up = 'txmirror_service_condition{condition="registered", service="web"} == 1'
        self.wait(lambda: self.query(is_up), "web is registered", "prometheus")
        self.wait(lambda: self.targets() == [("up", "")], "the target is up, without an error", "prometheus")
        # Each series that is documented has arrived.
        names = set(self.ask("label/__name__/values"))
        self.assertEqual(set(labels_of_series()) - names, set())
        # Prometheus prefers OpenMetrics, whose families have no such suffixes.
        types = {name: each[0]["type"] for name, each in self.ask("metadata").items() if name.startswith("txmirror")}
        suffix = re.compile(r"_(total|info)$")
        self.assertEqual(types, {suffix.sub("", metric.name): metric.kind.value for metric in METRICS})
        self.assertEqual([value for _, value in self.query("txmirror_zookeeper_connected")], [1])
        # Rates need two scrapes.
        rates = "rate(txmirror_check_results_total[1m])"
        self.wait(lambda: len(self.query(rates)) == 8, "two scrapes", "prometheus")
        for expression in board_expressions():
            asked = expression.replace("$__rate_interval", "1m")
            for variable in ("job", "instance", "service"):
                asked = asked.replace(f"${variable}", ".*")
            self.assertNotEqual(self.query(asked), [], asked)
        self.wait(lambda: self.pending() == {"TxmirrorServiceDown"}, "only this alert is pending", "prometheus")
        # Without the daemon its series are stale.
        daemon.terminate()
        self.wait(lambda: [value for _, value in self.query("up")] == [0.0], "the target is down", "prometheus")
        self.assertEqual(self.query(is_down), [])
