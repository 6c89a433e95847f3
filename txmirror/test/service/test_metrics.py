"""The metrics: their numbers, their names, and the formats in which they are read."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from typing import Any
from unittest import SkipTest

from prometheus_client import REGISTRY, CollectorRegistry, generate_latest
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families as parse_text
from twisted.internet.error import ConnectionLost
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from txmirror import __version__
from txmirror.checks import Status
from txmirror.service import METRICS, make_root, state_file
from txmirror.service.clients import client_maker
from txmirror.service.metrics import make_registry, routes
from txmirror.service.metrics.definition import Kind
from txmirror.test.service.case import S, service
from txmirror.test.service.metrics_case import MetricsTestCase
from txmirror.types import digest_acl

_OPENMETRICS = "application/openmetrics-text;version=1.0.0"
_COMMAND = '[[service.check]]\ntype = "command"\nargv = ["true"]\nname = "c1"\n'


class NumberTests(MetricsTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.server.listen(2181)

    def test_build(self) -> None:
        """The versions and the time of the start are there."""
        daemon = self.daemon(service("web", checks=0))
        samples = self.samples(daemon)
        (labels,) = [key for key in samples if key[0] == "txmirror_build_info"]
        self.assertIn(__version__, labels)
        self.assertEqual(samples["txmirror_start_time_seconds",], daemon.started_at)

    def test_conditions(self) -> None:
        """A service has one condition, one state of its registration, and counted changes."""
        daemon = self.daemon(service("web", flap_hold__downs=0), service("db", checks=0))
        condition = "txmirror_service_condition"
        self.assertEqual(self.ones(daemon, condition, "web"), ["undecided"])
        self.assertEqual(self.ones(daemon, condition, "db"), ["registered"])
        for _ in range(3):
            self.push(daemon, "web")
            self.push(daemon, "web", Status.FAIL)
        samples = self.samples(daemon)
        self.assertEqual(self.ones(daemon, condition, "web"), ["down"])
        self.assertEqual(self.ones(daemon, "txmirror_service_health", "web"), ["down"])
        changes = "txmirror_service_condition_changes_total"
        self.assertEqual((samples[changes, "down", "web"], samples[changes, "registered", "web"]), (3, 3))
        # It has never been there, and is 0 all the same.
        self.assertEqual(samples[changes, "blocked", "web"], 0)
        self.assertEqual((samples["txmirror_services", "down"], samples["txmirror_services", "registered"]), (1, 1))
        states = {state: samples["txmirror_registrations", state] for state in ("pending", "registered", "withdrawn")}
        self.assertEqual(states, {"pending": 0, "registered": 1, "withdrawn": 1})

    def test_holds(self) -> None:
        """A service that flaps is held, and that is counted."""
        daemon = self.daemon(service("web", flap_hold__downs=1))
        self.push(daemon, "web")
        held, holds = ("txmirror_service_flap_held", "web"), ("txmirror_service_flap_holds_total", "web")
        samples = self.samples(daemon)
        self.assertEqual((samples[held], samples[holds]), (0, 0))
        self.push(daemon, "web", Status.FAIL)
        self.push(daemon, "web")
        samples = self.samples(daemon)
        self.assertEqual((samples[held], samples[holds]), (1, 1))

    def test_refused(self) -> None:
        """A registration that ZooKeeper refuses is counted while it is refused."""
        client = self.client()
        client.add_auth("digest", b"other:secret")
        client.create("/services", acl=[digest_acl("other", "secret")])
        samples = self.samples(self.daemon(service("web", checks=0), service("db")))
        self.assertEqual(samples["txmirror_registrations_refused",], 1)
        self.assertEqual(samples["txmirror_registrations", "pending"], 1)

    def test_further_znodes(self) -> None:
        """The further znodes of a service count among the registrations, and those that are not in place are counted."""
        client = self.client()
        for path in ("/services", "/other"):
            client.create(path)
        client.create("/other/web:1", b"theirs", ephemeral=True)
        also = '[[service.also]]\npath = "/{}"\nnode = "web:1"\ncodec = "ndsr"\n'
        daemon = self.daemon(service("web", checks=0) + also.format("other") + also.format("third"))
        samples = self.samples(daemon)
        self.assertEqual(self.ones(daemon, "txmirror_service_condition", "web"), ["registered"])
        states = [samples["txmirror_registrations", state] for state in ("registered", "blocked", "pending")]
        self.assertEqual(states, [2, 1, 0])
        self.assertEqual(samples["txmirror_service_missing_znodes", "web"], 1)
        client.delete("/other/web:1")
        self.reactor.pass_time(1)
        self.assertEqual(self.samples(daemon)["txmirror_service_missing_znodes", "web"], 0)

    def test_checks(self) -> None:
        """Results, states and times of checks are there; of pushed checks there are no durations."""
        daemon = self.daemon(service("web") + _COMMAND)
        check = daemon.supervisor.services["web"].health.checks[1]
        self.push(daemon, "web", Status.WARN)
        check.counts.durations.add(0.2)
        samples = self.samples(daemon)
        self.assertEqual(self.ones(daemon, "txmirror_check_state", "web", "c0"), ["warn"])
        self.assertEqual(self.ones(daemon, "txmirror_check_state", "web", "c1"), ["unknown"])
        results = "txmirror_check_results_total"
        self.assertEqual((samples[results, "c0", "web", "warn"], samples[results, "c0", "web", "fail"]), (1, 0))
        times = "txmirror_check_last_result_timestamp_seconds"
        self.assertEqual(samples[times, "c0", "web"], self.reactor.seconds())
        self.assertNotIn((times, "c1", "web"), samples)
        bucket = "txmirror_check_duration_seconds_bucket"
        self.assertEqual((samples[bucket, "c1", "0.1", "web"], samples[bucket, "c1", "0.25", "web"]), (0, 1))
        self.assertEqual(samples[bucket, "c1", "+Inf", "web"], 1)
        self.assertEqual(samples["txmirror_check_duration_seconds_sum", "c1", "web"], 0.2)
        self.assertNotIn((bucket, "c0", "+Inf", "web"), samples)

    def test_zookeeper(self) -> None:
        """The session, its time without a connection, the writes and the watches are there."""
        daemon = self.daemon(service("web", checks=0))
        prefix = "txmirror_zookeeper"
        samples = self.samples(daemon)
        numbers = {
            "connected": 1,
            "session_established": 1,
            "session_timeout_seconds": S,
            "sessions_total": 1,
            "sessions_expired_total": 0,
            "connections_total": 1,
            "watches": 1,
            "requests_lost_total": 0,
        }
        self.assertEqual({name: samples[f"{prefix}_{name}",] for name in numbers}, numbers)
        writes = {key[1]: value for key, value in samples.items() if key[0] == f"{prefix}_writes_total" and value}
        requests = {key[1]: value for key, value in samples.items() if key[0] == f"{prefix}_requests_total"}
        self.assertEqual(sum(writes.values()), 3)
        # Those that were never sent are 0, and not missing.
        for operation in ("create", "create2", "create_container", "delete", "multi", "set_data"):
            self.assertIn((f"{prefix}_writes_total", operation), samples)
        self.assertEqual({operation: requests[operation] for operation in writes}, writes)
        self.assertEqual(samples[f"{prefix}_request_duration_seconds_count",], sum(requests.values()))
        self.assertGreater(samples[f"{prefix}_sent_bytes_total",], 0)
        self.assertGreater(samples[f"{prefix}_received_bytes_total",], 0)
        self.server.stop_listening()
        self.server.drop_connections()
        self.reactor.pass_time(1)
        before, samples = samples, self.samples(daemon)
        self.assertEqual((samples[f"{prefix}_connected",], samples[f"{prefix}_session_established",]), (0, 1))
        seconds = f"{prefix}_disconnected_seconds_total"
        self.assertAlmostEqual(samples[seconds,] - before[seconds,], 1, places=3)

    def test_other_client(self) -> None:
        """With a client that counts nothing, its metrics are left out, and not 0."""
        self.write(service("web", checks=0))
        configuration = self.load()
        maker = client_maker(configuration.zookeeper, self.reactor, random=self.chance)
        daemon = self.make_daemon(configuration, make_client=maker)
        self.running.append(daemon)
        daemon.startService()
        self.reactor.settle()
        names = {key[0] for key in self.samples(daemon)}
        self.assertNotIn("txmirror_zookeeper_writes_total", names)
        self.assertNotIn("txmirror_zookeeper_request_duration_seconds_count", names)
        self.assertIn("txmirror_zookeeper_sessions_total", names)

    def test_before_the_session(self) -> None:
        """Before the start, too, the metrics can be read."""
        self.write(service("web", checks=0))
        daemon = self.make_daemon(self.load())
        samples = self.samples(daemon)
        self.assertEqual(samples["txmirror_zookeeper_connected",], 0)
        self.assertNotIn(("txmirror_zookeeper_watches",), samples)

    def test_work(self) -> None:
        """Reloads, their failures, and those of the files are there."""
        self.patch(state_file, "write", self.refuse)
        daemon = self.daemon(service("web", checks=0), state=True, daemon='maintenance_file = "missing/m"')
        self.write("[[servise]]")
        self.failureResultOf(daemon.reload())
        self.successResultOf(daemon.supervisor.maintenance.set("web", "disk", None))
        samples = self.samples(daemon)
        numbers = {
            "reloads_total": 1,
            "reload_failures_total": 1,
            "last_reload_failed": 1,
            "state_file_failures_total": 1,
            "maintenance_file_failures_total": 1,
            "checks_stuck": 0,
        }
        self.assertEqual({name: samples[f"txmirror_{name}",] for name in numbers}, numbers)

    def refuse(self, path: object, saved: object) -> None:
        raise OSError(28, "No space left on device")

    def test_output_files(self) -> None:
        """The state of each output file is there, its instances, the nodes that are left out, and the failures."""
        good, bad = (
            f'[[watch]]\npath = "/services"\noutput = "{name}"\nformat = "lines"\nsettle = 0\n{more}\n'
            for name, more in (("list", ""), ("missing/list", 'command = ["true"]'))
        )
        client = self.client()
        daemon = self.daemon(service("web", checks=0), good, bad)
        client.create("/services/odd", b"\xff")
        self.reactor.pass_time(1)
        samples = self.samples(daemon)
        self.assertEqual((self.folder / "list").read_text(), "web:1\n")
        one, other = (str(self.folder.absolute() / name) for name in ("list", "missing/list"))
        prefix = "txmirror_output_file"
        self.assertEqual(self.ones(daemon, f"{prefix}_state", one), ["current"])
        self.assertEqual(self.ones(daemon, f"{prefix}_state", other), ["failed"])
        numbers = [samples[f"{prefix}_{name}", one] for name in ("instances", "omitted_nodes", "failures_total")]
        self.assertEqual(numbers, [1, 1, 0])
        self.assertGreater(samples[f"{prefix}_writes_total", one], 0)
        self.assertGreater(samples[f"{prefix}_failures_total", other], 0)
        self.assertEqual(samples[f"{prefix}_writes_total", other], 0)
        # Only one of them has a command.
        for name in ("command_failures_total", "command_failed"):
            self.assertNotIn((f"{prefix}_{name}", one), samples)
            self.assertEqual(samples[f"{prefix}_{name}", other], 0)

    def test_no_state_file(self) -> None:
        """Without a state file there is no number of its failures."""
        samples = self.samples(self.daemon(service("web", checks=0)))
        self.assertNotIn(("txmirror_state_file_failures_total",), samples)

    def test_removed(self) -> None:
        """The series of a service that a reload has removed are gone: their number is bounded by the configuration."""
        daemon = self.daemon(service("web"), service("db"))
        self.assertTrue(any("db" in key for key in self.samples(daemon)))
        self.write(service("web"))
        self.successResultOf(daemon.reload())
        self.reactor.settle()
        self.assertFalse(any("db" in key for key in self.samples(daemon)))


class FormatTests(MetricsTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.server.listen(2181)
        self.web = self.daemon(service("web") + _COMMAND, service("db", checks=0), state=True)

    def test_negotiated(self) -> None:
        """The header Accept chooses the format, and one that is invalid gets Prometheus's own."""
        plain = "text/plain; version=0.0.4"
        for accept, expected in (
            (None, plain),
            ("*/*", plain),
            (_OPENMETRICS, "application/openmetrics-text; version="),
            (f"{_OPENMETRICS};q=0.9,text/plain;version=0.0.4;q=0.5,*/*;q=0.1", "application/openmetrics-text;"),
            # The oldest version of prometheus_client does not look at the version.
            ("application/openmetrics-text; version=x.y", ""),
            ("text/plain; version=" + "9" * 5000, "text/plain; version="),
            ("\u00ff;;,=", plain),
        ):
            response = self.read(self.web, "/metrics", accept=accept)
            self.assertEqual(response.status, 200)
            self.assertTrue(response.headers["content-type"].startswith(expected), (accept, response.headers))
            openmetrics = "openmetrics" in response.headers["content-type"]
            self.assertEqual(response.text.endswith("# EOF\n"), openmetrics)
            families = list((parse_openmetrics if openmetrics else parse_text)(response.text))
            self.assertEqual(len(families), len(METRICS))

    def test_pieces(self) -> None:
        """In small pieces the text is the same as in one."""
        whole = {accept: self.read(self.web, "/metrics", accept=accept).text for accept in (None, _OPENMETRICS)}
        self.assertEqual(whole[None].encode(), generate_latest(make_registry(self.web)))
        self.patch(routes, "_AT_ONCE", 3)
        for accept, text in whole.items():
            self.assertEqual(self.read(self.web, "/metrics", accept=accept).text, text)

    def test_works_meanwhile(self) -> None:
        """Each piece has a turn of the reactor to itself, and a client that goes away ends the work."""
        turns: list[object] = []
        later = self.reactor.callLater

        def count(delay: float, call: Any, *arguments: Any) -> Any:
            turns.append(call)
            return later(delay, call, *arguments)

        self.patch(self.reactor, "callLater", count)
        self.read(self.web, "/metrics")
        self.assertGreaterEqual(len(turns), len(METRICS))
        turns.clear()
        protocol, transport = self.begin(self.web, "/metrics")
        protocol.connectionLost(Failure(ConnectionLost()))
        self.reactor.settle()
        self.assertEqual((transport.value(), len(turns) < 3), (b"", True))

    def test_fault(self) -> None:
        """An exception of a metric is logged, and the answer names it."""

        def fail(self: object) -> Any:
            raise ZeroDivisionError

        self.patch(CollectorRegistry, "collect", fail)
        response = self.read(self.web, "/metrics")
        self.assertEqual(response.status, 500)
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)

    def test_control_socket(self) -> None:
        """The control socket has the same pages, and further ones below them are missing."""
        root = make_root(self.web)

        def lines(text: str) -> list[str]:
            # The first request is counted in the second.
            return [each for each in text.splitlines() if not each.startswith("txmirror_http")]

        self.assertEqual(lines(self.read(root, "/metrics").text), lines(self.read(self.web, "/metrics").text))
        self.assertEqual(self.read(root, "/healthz").status, 200)
        self.assertEqual(self.read(root, "/readyz").status, 503)
        for path in ("/metrics/", "/metrics/x", "/readyz/x"):
            response = self.read(root, path)
            self.assertEqual((response.status, response.headers["content-type"]), (404, "application/json"))

    def test_methods(self) -> None:
        """HEAD is answered without a body, and other methods are refused."""
        for path in ("/metrics", "/healthz", "/readyz"):
            response = self.read(self.web, path, "HEAD")
            self.assertEqual((response.text, int(response.headers["content-length"]) > 0), ("", True))
            for method in ("PUT", "POST", "DELETE", "OPTIONS", "NONSENSE"):
                response = self.read(self.web, path, method)
                self.assertEqual((response.status, response.headers["allow"]), (405, "GET, HEAD"))

    def test_no_control(self) -> None:
        """Without the control socket, nothing of it is there."""
        for method, path in (
            ("GET", "/"),
            ("GET", "/v1/daemon"),
            ("PUT", "/v1/daemon/drain"),
            ("PUT", "/v1/daemon/reload"),
        ):
            self.assertEqual(self.read(self.web, path, method).status, 404)
        self.assertFalse(self.web.supervisor.drained)

    def test_labels(self) -> None:
        """The value of a label may have any characters, also bytes from the environment that are not UTF-8."""
        supervisor = self.web.supervisor
        odd = 'a"b\\c\u00e4\udce4'
        supervisor._services[odd] = supervisor._services.pop("db")
        samples = self.samples(self.web)
        self.assertIn(("txmirror_service_flap_held", 'a"b\\c\u00e4\\udce4'), samples)
        supervisor._services["db"] = supervisor._services.pop(odd)

    def test_own_registry(self) -> None:
        """The metrics of two daemons are apart, and none is in the global registry of prometheus_client."""
        other = self.daemon(service("mail"))
        self.assertIn(("txmirror_service_flap_held", "mail"), self.samples(other))
        self.assertNotIn(("txmirror_service_flap_held", "mail"), self.samples(self.web))
        self.assertNotIn(b"txmirror", generate_latest(REGISTRY))

    def test_no_files(self) -> None:
        """To read the metrics opens no file."""
        self.read(self.web, "/metrics")
        seen: list[str] = []
        watching = True

        def audit(event: str, arguments: object) -> None:
            if watching and event in ("open", "os.listdir", "os.scandir", "socket.connect"):
                seen.append(event)

        sys.addaudithook(audit)
        self.read(self.web, "/metrics")
        self.read(self.web, "/readyz")
        watching = False
        self.assertEqual(seen, [])

    def test_promtool(self) -> None:
        """Prometheus's own tool has no complaint."""
        promtool = shutil.which("promtool")
        if promtool is None:
            raise SkipTest("promtool is not installed")
        text = self.read(self.web, "/metrics").text
        done = subprocess.run(
            [promtool, "check", "metrics"], input=text, capture_output=True, text=True, check=False, timeout=60
        )
        self.assertEqual((done.returncode, done.stdout + done.stderr), (0, ""))


class NameTests(SynchronousTestCase):
    """The names follow Prometheus's conventions."""

    def test_names(self) -> None:
        """Names are unique and well-formed, counters end in total, units are base units, and a help is sentences."""
        names = [metric.name for metric in METRICS]
        self.assertEqual(len(set(names)), len(names))
        for metric in METRICS:
            self.assertRegex(metric.name, r"^txmirror(_[a-z]+)+$")
            self.assertEqual(metric.name.endswith("_total"), metric.kind is Kind.COUNTER, metric.name)
            self.assertEqual(metric.name.endswith("_info"), metric.kind is Kind.INFO, metric.name)
            words = set(metric.name.split("_"))
            self.assertEqual(words & {"ms", "milliseconds", "minutes", "kilobytes", "percent", "count"}, set())
            self.assertRegex(metric.help, r"^[A-Z0-9].*\.$")
            if re.search(r"[Dd]urations?\b|\btimes? (from|without|of)", metric.help):
                self.assertIn("seconds", words, metric.name)

    def test_labels(self) -> None:
        """Only these labels exist: the configuration or an enumeration bounds the number of their values."""
        labels = {label for metric in METRICS for label in metric.labels}
        known = {
            "version",
            "python",
            "twisted",
            "service",
            "check",
            "condition",
            "state",
            "status",
            "operation",
            "file",
            "code",
            "route",
        }
        self.assertEqual(labels, known)
