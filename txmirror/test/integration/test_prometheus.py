"""A real Prometheus scrapes a real daemon on a real ZooKeeper, evaluates the alerts, and answers the questions of the board.

Where ``prometheus`` is not installed, the test is skipped.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import re
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import Any
from unittest import SkipTest
from urllib.parse import urlencode

import yaml

from txmirror.service import METRICS
from txmirror.test.integration.test_twistd import Twistd, TwistdTestCase, wait_for
from txmirror.test.test_examples import find_examples
from txmirror.test.test_monitoring import board_expressions, labels_of_series
from txmirror.test.zookeeper import free_ports, shared_server

#: How long anything may take, in seconds.
_PATIENCE = 30.0
_CONFIGURATION = """
[zookeeper]
servers = "{servers}"
state_file = "state"
[host]
allow_loopback = true
[daemon]
control = "control"
metrics = "127.0.0.1:{port}"
[defaults]
path = "/monitored"
node = "{{name}}:1"
[[service]]
name = "web"
[[service.check]]
type = "command"
argv = ["true"]
interval = "1s"
rise = 1
[[watch]]
path = "/monitored"
output = "list"
format = "lines"
command = ["true"]
[[service]]
name = "db"
[[service.check]]
type = "command"
argv = ["sh", "-c", "exit 2"]
interval = "1s"
fall = 1
"""


class PrometheusTests(TwistdTestCase):
    def setUp(self) -> None:
        self.program = shutil.which("prometheus")
        if self.program is None:
            raise SkipTest("prometheus is not installed")
        self.address = shared_server().address
        # The path of a socket must be short.
        self.folder = Path(tempfile.mkdtemp(prefix="txmirror-prom-"))
        self.addCleanup(shutil.rmtree, self.folder, ignore_errors=True)
        self.port, self.prometheus_port = free_ports(2)

    def start_daemon(self) -> Twistd:
        (self.folder / "txmirror.toml").write_text(_CONFIGURATION.format(servers=self.address, port=self.port))
        daemon = Twistd("--config", "txmirror.toml", cwd=self.folder)
        self.addCleanup(daemon.cleanup)
        return daemon

    def start_prometheus(self) -> None:
        configuration = {
            "global": {"scrape_interval": "1s", "evaluation_interval": "1s"},
            "rule_files": [str(find_examples().absolute() / "alerts.yml")],
            "scrape_configs": [
                {"job_name": "txmirror", "static_configs": [{"targets": [f"127.0.0.1:{self.port}"]}]},
            ],
        }
        (self.folder / "prometheus.yml").write_text(yaml.safe_dump(configuration))
        with (self.folder / "prometheus.log").open("wb") as log:
            process = subprocess.Popen(
                [
                    str(self.program),
                    f"--config.file={self.folder}/prometheus.yml",
                    f"--storage.tsdb.path={self.folder}/data",
                    f"--web.listen-address=127.0.0.1:{self.prometheus_port}",
                ],
                stdout=log,
                stderr=subprocess.STDOUT,
            )
        self.addCleanup(process.wait, _PATIENCE)
        self.addCleanup(process.kill)

    def ask(self, path: str, **parameters: str) -> Any:
        """Return the answer of Prometheus's API; None if it does not answer yet."""
        connection = http.client.HTTPConnection("127.0.0.1", self.prometheus_port, timeout=_PATIENCE)
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

    def query(self, expression: str) -> list[tuple[dict[str, str], float]]:
        """Return the labels and the value of each series of an expression."""
        found = self.ask("query", query=expression)
        return [] if found is None else [(each["metric"], float(each["value"][1])) for each in found["result"]]

    def pending(self) -> set[str]:
        return {labels["alertname"] for labels, _ in self.query('ALERTS{alertstate="pending"}')}

    def test_scraped(self) -> None:
        """Prometheus has all series and their types, the alerts pend, and every panel of the board has data."""
        daemon = self.start_daemon()
        self.start_prometheus()
        daemon.wait_for("Service db is down", _PATIENCE)
        is_down = 'txmirror_service_condition{condition="down", service="db"} == 1'
        wait_for(lambda: self.query(is_down), f"db is down; the daemon's log:\n{daemon.log}", _PATIENCE)
        (target,) = self.ask("targets")["activeTargets"]
        self.assertEqual((target["health"], target["lastError"]), ("up", ""))
        # Each series that is documented has arrived.
        names = set(self.ask("label/__name__/values"))
        self.assertEqual(set(labels_of_series()) - names, set())
        # Prometheus prefers OpenMetrics, whose families have no such suffixes.
        types = {name: each[0]["type"] for name, each in self.ask("metadata").items() if name.startswith("txmirror")}
        suffix = re.compile(r"_(total|info)$")
        self.assertEqual(types, {suffix.sub("", metric.name): metric.kind.value for metric in METRICS})
        self.assertEqual([value for _, value in self.query("txmirror_zookeeper_connected")], [1])
        self.assertEqual([value for _, value in self.query('sum(txmirror_services{condition="registered"})')], [1])
        # Rates need two scrapes.
        wait_for(lambda: len(self.query("rate(txmirror_check_results_total[1m])")) == 8, "two scrapes", _PATIENCE)
        for expression in board_expressions():
            asked = expression.replace("$__rate_interval", "1m")
            for variable in ("job", "instance", "service"):
                asked = asked.replace(f"${variable}", ".*")
            self.assertNotEqual(self.query(asked), [], asked)
        wait_for(lambda: self.pending() == {"TxmirrorServiceDown"}, "only this alert is pending", _PATIENCE)
        # Without the daemon its series are stale.
        daemon.terminate()
        wait_for(lambda: [value for _, value in self.query("up")] == [0.0], "the target is down", _PATIENCE)
        self.assertEqual(self.query(is_down), [])
