"""The example of alerts and the Grafana board use only metrics that exist, and the alerts fire when they should.

The files are among the examples (see ``test_examples``). Where Prometheus's ``promtool`` is not installed, its tests are skipped.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any
from unittest import SkipTest

import attrs
import yaml
from twisted.trial.unittest import SynchronousTestCase

from txmirror.checks import State, Status
from txmirror.output_files import OutputState
from txmirror.registry import RegistrationState
from txmirror.service import METRICS
from txmirror.service.metrics.definition import Kind
from txmirror.service.supervision import Condition
from txmirror.test.test_examples import find_examples

#: The series that Prometheus itself makes, and the labels that it adds.
_PROMETHEUS, _TARGET = {"up"}, {"job", "instance"}
#: The values of labels that are enumerations. A state is one of a check or a service, of a registration, or of a file.
_VALUES: Mapping[str, set[str]] = {
    "condition": {each.value for each in Condition},
    "status": {each.value for each in Status},
    "state": {each.value for each in (*State, *RegistrationState, *OutputState)},
}
_NAME = re.compile(r"\b(?:txmirror_\w+|up)\b")
_SELECTOR = re.compile(r"\b(\w+)\{([^}]*)\}")
_MATCHER = re.compile(r'(\w+)(=~|!=|=)"([^"]*)"')
_GROUPING = re.compile(r"\bby \(([^)]*)\)")


def labels_of_series() -> dict[str, set[str]]:
    """Return the labels of each series that the daemon has."""
    found: dict[str, set[str]] = {name: set(_TARGET) for name in _PROMETHEUS}
    for metric in METRICS:
        labels = {*metric.labels, *_TARGET}
        if metric.kind is Kind.HISTOGRAM:
            found[f"{metric.name}_bucket"] = {*labels, "le"}
            found[f"{metric.name}_sum"] = found[f"{metric.name}_count"] = labels
        else:
            found[metric.name] = labels
    return found


def check_expression(expression: str) -> Iterator[str]:
    """Yield the faults of an expression: series, labels and values that do not exist."""
    known = labels_of_series()
    names = _NAME.findall(re.sub(r'"[^"]*"', "", expression))
    if not names:
        yield f"{expression!r} has no metric"
    for name in names:
        if name not in known:
            yield f"{expression!r}: there is no {name}"
    for name, matchers in _SELECTOR.findall(expression):
        for label, _, values in _MATCHER.findall(matchers):
            if label not in known.get(name, ()):
                yield f"{expression!r}: {name} has no label {label}"
            for value in values.split("|"):
                if label in _VALUES and value not in _VALUES[label]:
                    yield f"{expression!r}: {label} is never {value}"
    available = {label for name in names for label in known.get(name, ())}
    for grouping in _GROUPING.findall(expression):
        for label in grouping.split(", "):
            if label not in available:
                yield f"{expression!r}: there is no label {label}"


def read_rules() -> list[dict[str, Any]]:
    """Return the alerts of the example."""
    document = yaml.safe_load((find_examples() / "alerts.yml").read_text("utf-8"))
    return [rule for group in document["groups"] for rule in group["rules"]]


def read_board() -> Any:
    """Return the Grafana board."""
    return json.loads((find_examples() / "board.json").read_text("utf-8"))


def board_expressions() -> list[str]:
    """Return the expressions of the panels."""
    return [target["expr"] for panel in read_board()["panels"] for target in panel.get("targets", ())]


@attrs.frozen
class Firing:
    """A series with which an alert fires, and one with which it does not, in the notation of promtool: one value a minute."""

    series: str
    fires: str
    silent: str
    minutes: int


_SERVICE = 'txmirror_service_condition{service="web", condition="%s"}'
_FIRING = {
    "TxmirrorDown": [Firing('up{job="txmirror"}', "0x9", "1x9", 3)],
    "TxmirrorDisconnected": [Firing("txmirror_zookeeper_connected", "0x9", "0 1x9", 4)],
    "TxmirrorConnectionUnstable": [Firing("txmirror_zookeeper_connections_total", "1+1x60", "1+0x60", 60)],
    "TxmirrorSessionExpired": [Firing("txmirror_zookeeper_sessions_expired_total", "0 0 1x20", "1x20", 10)],
    "TxmirrorServiceDown": [Firing(_SERVICE % "down", "1x20", "1 1 0x20", 7)],
    "TxmirrorServiceNotRegistered": [
        Firing(_SERVICE % condition, "1x20", "0x20", 12)
        for condition in ("undecided", "waiting", "registering", "blocked")
    ],
    "TxmirrorZnodeMissing": [Firing('txmirror_service_missing_znodes{service="web"}', "1x20", "0x20", 12)],
    "TxmirrorServiceFlaps": [Firing('txmirror_service_flap_holds_total{service="web"}', "0 0 1x20", "1x20", 10)],
    "TxmirrorRegistrationRefused": [Firing("txmirror_registrations_refused", "2x20", "0x20", 7)],
    "TxmirrorMaintenanceForgotten": [
        Firing(_SERVICE % condition, "1x1500", "0x1500", 1450) for condition in ("maintenance", "drained")
    ],
    "TxmirrorCheckStuck": [Firing("txmirror_checks_stuck", "1x20", "0x20", 7)],
    "TxmirrorManyWrites": [
        Firing('txmirror_zookeeper_writes_total{operation="set_data"}', "0+90x60", "0+1x60", 50),
    ],
    "TxmirrorFileNotWritten": [Firing('txmirror_output_file_state{file="/f", state="failed"}', "1x20", "1 0x20", 7)],
    "TxmirrorFileKept": [Firing('txmirror_output_file_state{file="/f", state="kept"}', "1x20", "0x20", 12)],
    "TxmirrorFileOmits": [Firing('txmirror_output_file_omitted_nodes{file="/f"}', "2x20", "0x20", 12)],
    "TxmirrorFileCommandFails": [Firing('txmirror_output_file_command_failed{file="/f"}', "1x20", "0x20", 7)],
    "TxmirrorReloadFailed": [Firing("txmirror_last_reload_failed", "1x20", "0x20", 7)],
    "TxmirrorStateFileFails": [Firing("txmirror_state_file_failures_total", "0 0 1x30", "1x30", 20)],
}


class NamesTests(SynchronousTestCase):
    def test_check(self) -> None:
        """A metric, a label or a value that does not exist is found."""
        good = 'sum by (service) (rate(txmirror_check_results_total{status="fail", job=~"$job"}[5m])) > up'
        self.assertEqual(list(check_expression(good)), [])
        for old, new, fault in (
            ("results", "outcomes", "there is no txmirror_check_outcomes_total"),
            ("status=", "verdict=", "txmirror_check_results_total has no label verdict"),
            ('"fail"', '"bad"', "status is never bad"),
            ("(service)", "(host)", "there is no label host"),
            ("[5m])) > up", "[5m])) > 3", None),
        ):
            changed = good.replace(old, new)
            faults = list(check_expression(changed))
            self.assertEqual(faults[:1], [] if fault is None else [f"{changed!r}: {fault}"])

    def test_alerts(self) -> None:
        """The alerts use existing metrics, and each has a summary and a severity."""
        rules = read_rules()
        self.assertEqual([fault for rule in rules for fault in check_expression(rule["expr"])], [])
        for rule in rules:
            self.assertIn(rule["labels"]["severity"], ("critical", "warning", "info"))
            self.assertTrue(rule["annotations"]["summary"].endswith("."), rule)

    def test_board(self) -> None:
        """The panels and variables of the board use existing metrics."""
        queries = [each["definition"] for each in read_board()["templating"]["list"] if each["type"] == "query"]
        self.assertEqual(len(queries), 3)
        self.assertEqual([fault for each in (*board_expressions(), *queries) for fault in check_expression(each)], [])

    def test_whole(self) -> None:
        """Every metric is on the board."""
        shown = {name for each in board_expressions() for name in _NAME.findall(each)}
        shown |= {name.removesuffix("_bucket") for name in shown}
        self.assertEqual([metric.name for metric in METRICS if metric.name not in shown], [])

    def test_panels(self) -> None:
        """No two panels have the same id, or lie upon each other."""
        panels = read_board()["panels"]
        self.assertEqual(len({panel["id"] for panel in panels}), len(panels))
        cells = [
            (column, line)
            for place in (panel["gridPos"] for panel in panels)
            for column in range(place["x"], place["x"] + place["w"])
            for line in range(place["y"], place["y"] + place["h"])
        ]
        self.assertEqual(len(set(cells)), len(cells))
        self.assertLess(max(column for column, _ in cells), 24)

    def test_document(self) -> None:
        """The page for operators has the table of metrics, the alerts and the board."""
        document = find_examples().parent / "operations/running.rst"
        if not document.exists():
            raise SkipTest(f"there is no {document}")
        text = document.read_text("utf-8")
        for part in (
            ".. metrics-table::",
            ".. literalinclude:: /examples/alerts.yml",
            ":download:`/examples/board.json`",
        ):
            self.assertTrue(part in text, part)


class PromtoolTests(SynchronousTestCase):
    """Prometheus's own tool reads the expressions."""

    def setUp(self) -> None:
        promtool = shutil.which("promtool")
        if promtool is None:
            raise SkipTest("promtool is not installed")
        self.promtool = promtool
        self.folder = Path(self.mktemp()).absolute()
        self.folder.mkdir()

    def run_promtool(self, *arguments: str) -> None:
        done = subprocess.run(
            [self.promtool, *arguments], cwd=self.folder, capture_output=True, text=True, check=False, timeout=120
        )
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)

    def write(self, name: str, document: object) -> str:
        (self.folder / name).write_text(yaml.safe_dump(document))
        return name

    def test_alerts(self) -> None:
        """The rules are valid."""
        self.run_promtool("check", "rules", str(find_examples() / "alerts.yml"))

    def test_board(self) -> None:
        """The expressions of the board are valid."""
        rules = [
            {"record": f"panel:{number}", "expr": each.replace("$__rate_interval", "5m")}
            for number, each in enumerate(board_expressions())
        ]
        self.run_promtool("check", "rules", self.write("rules.yml", {"groups": [{"name": "board", "rules": rules}]}))

    def test_firing(self) -> None:
        """Each alert fires with its symptom, and not without it."""
        self.assertEqual(sorted(_FIRING), sorted(rule["alert"] for rule in read_rules()))
        tests = [
            self.case(alert, firing, firing.fires, [{"labels": "{}", "value": 1}])
            for alert, each in _FIRING.items()
            for firing in each
        ]
        tests += [self.case(alert, firing, firing.silent, []) for alert, each in _FIRING.items() for firing in each]
        rules = str(find_examples().absolute() / "alerts.yml")
        self.run_promtool("test", "rules", self.write("test.yml", {"rule_files": [rules], "tests": tests}))

    def case(self, alert: str, firing: Firing, values: str, expected: Sequence[object]) -> Mapping[str, object]:
        """Return a test of promtool."""
        number = f'count(ALERTS{{alertname="{alert}", alertstate="firing"}})'
        return {
            "interval": "1m",
            "input_series": [{"series": firing.series, "values": values}],
            "promql_expr_test": [{"expr": number, "eval_time": f"{firing.minutes}m", "exp_samples": expected}],
        }
