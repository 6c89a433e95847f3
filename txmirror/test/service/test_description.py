"""The daemon's own routes are as the OpenAPI description says: all of them, and each answer."""

from __future__ import annotations

import json
from typing import Any

from txmirror.checks import Status
from txmirror.service import Daemon, make_root
from txmirror.service.daemon_routes import mount_daemon
from txmirror.service.metrics import mount_metrics
from txmirror.test.service.case import DaemonTestCase, service
from txmirror.test.web.api.described import check_answer, need_description
from txmirror.test.web.exchange import begin
from txmirror.web import Application
from txmirror.web.api import API, ROUTES
from txmirror.web.api.routes import DAEMON

#: These depend on the rules of access, which come before the application.
_BY_RULES = {401, 403}


class _Rules(Application):
    """Keeps the methods and rules of its routes."""

    def __init__(self) -> None:
        super().__init__()
        self.routes: set[tuple[str, str]] = set()

    def _add(self, method: str, rule: str, *others: Any) -> None:
        self.routes.add((method, rule))


class DescriptionTests(DaemonTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.server.listen(2181)

    def send(self, daemon: Daemon, method: str, path: str, body: object = None) -> tuple[int, Any]:
        """Send a request, and return the status and the value of the answer, which is as described."""
        exchange = begin(make_root(daemon), method, path, body, reactor=self.reactor)
        self.reactor.pass_time(5.0)
        response = exchange.response
        content = body if isinstance(body, bytes) else None if body is None else json.dumps(body).encode()
        check_answer(method, path, content, response)
        return response.status, response.text

    def test_routes(self) -> None:
        """Each route is described, and each described one is there."""
        daemon, rules = self.daemon(), _Rules()
        for mount in (
            API(daemon.readers.web, random=daemon.random, reactor=self.reactor).mount,
            daemon.readers.web.mount,
            mount_daemon(daemon),
            mount_metrics(daemon),
        ):
            mount(rules)
        self.assertEqual(rules.routes, {(each.method, each.rule) for each in ROUTES})

    def test_answers(self) -> None:
        """Each described answer is given, and is as described; and no other one is."""
        need_description()
        daemon = self.daemon(service("web"), service("db"), '[http]\nlisten = "127.0.0.1:8580"\n')
        self.push(daemon, "web", Status.WARN)
        seen: set[tuple[str, int]] = set()
        for name, method, path, body in (
            ("pushResult", "PUT", "/services/web/checks/c0", {"status": "ok", "note": "x"}),
            ("pushResult", "PUT", "/services/web/checks/c0", None),
            ("pushResult", "PUT", "/services/web/checks/c0", {"status": "x"}),
            ("pushResult", "PUT", "/services/web/checks/no", {}),
            ("pushResult", "PUT", "/services/web/checks/c0", b" " * 70_000),
            ("beginMaintenance", "PUT", "/maintenance", {"reason": "x", "for": 60}),
            ("getDaemon", "GET", "", None),
            ("beginMaintenance", "PUT", "/maintenance", {"reason": ""}),
            ("beginMaintenance", "PUT", "/maintenance", b" " * 70_000),
            ("endMaintenance", "DELETE", "/maintenance", None),
            ("endMaintenance", "DELETE", "/maintenance", {"x": 1}),
            ("endMaintenance", "DELETE", "/maintenance", b" " * 70_000),
            ("beginMaintenanceOfService", "PUT", "/maintenance/web", {"reason": "x", "until": None}),
            ("beginMaintenanceOfService", "PUT", "/maintenance/web", {"reason": 1}),
            ("beginMaintenanceOfService", "PUT", "/maintenance/no", {"reason": "x"}),
            ("beginMaintenanceOfService", "PUT", "/maintenance/web", b" " * 70_000),
            ("getDaemon", "GET", "", None),
            ("endMaintenanceOfService", "DELETE", "/maintenance/web", None),
            ("endMaintenanceOfService", "DELETE", "/maintenance/web", {"x": 1}),
            ("endMaintenanceOfService", "DELETE", "/maintenance/no", None),
            ("endMaintenanceOfService", "DELETE", "/maintenance/web", b" " * 70_000),
            ("getLocalService", "GET", "/services/web", None),
            ("getLocalService", "GET", "/services/no", None),
            ("getLocalService", "GET", "/services/no?x=1", None),
            ("drain", "PUT", "/drain", None),
            ("drain", "PUT", "/drain", {"x": 1}),
            ("getDaemon", "GET", "", None),
            ("getDaemon", "GET", "?x=1", None),
            ("undoDrain", "DELETE", "/drain", None),
            ("undoDrain", "DELETE", "/drain", {"x": 1}),
            ("reload", "PUT", "/reload", None),
            ("reload", "PUT", "/reload", {"x": 1}),
            ("drain", "PUT", "/drain", b" " * 70_000),
            ("undoDrain", "DELETE", "/drain", b" " * 70_000),
            ("reload", "PUT", "/reload", b" " * 70_000),
        ):
            seen.add((name, self.send(daemon, method, f"/v1/daemon{path}", body)[0]))
        self.write("nonsense")
        seen.add(("reload", self.send(daemon, "PUT", "/v1/daemon/reload")[0]))
        expected = {(route.name, status) for route in DAEMON for status in route.replies if status not in _BY_RULES}
        self.assertEqual(seen, expected)

    def test_outage(self) -> None:
        """The daemon is described before its first session, and with its outages."""
        self.server.stop_listening()
        daemon = self.daemon(service("web", checks=0))
        self.assertEqual(self.send(daemon, "GET", "/v1/daemon")[0], 200)
        self.server.listen(2181)
        self.reactor.pass_time(30.0)
        _, text = self.send(daemon, "GET", "/v1/daemon")
        self.assertEqual(len(json.loads(text)["zookeeper"]["outages"]), 1)

    def test_others(self) -> None:
        """The metrics and the state are answered as text."""
        daemon = self.daemon()
        for path in ("/metrics", "/healthz", "/readyz"):
            status, text = self.send(daemon, "GET", path)
            self.assertEqual((status, text.startswith("{")), (200, False), path)
