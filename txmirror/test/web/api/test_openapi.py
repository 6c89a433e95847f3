"""The OpenAPI description: it is valid, it has every route, and each answer that it describes is given so.

All other tests of the API compare each answer with it, too.
"""

from __future__ import annotations

from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from txmirror.test.web.api.case import WEB, APITestCase
from txmirror.test.web.api.described import need_description
from txmirror.test.web.exchange import ask
from txmirror.types import digest_acl
from txmirror.web import Application
from txmirror.web.api import ROUTES, describe
from txmirror.web.api.routes import REGISTERED
from txmirror.web.api.schemas import SCHEMAS

_EDS = "/v3/discovery:endpoints"


def references(value: Any) -> set[str]:
    """Return the names of all schemas to which a part of the description refers."""
    if isinstance(value, dict):
        found = {value["$ref"].rpartition("/")[2]} if "$ref" in value else set()
        return found.union(*map(references, value.values()))
    return set().union(*map(references, value)) if isinstance(value, (list, tuple)) else set()


class DescriptionTests(SynchronousTestCase):
    def test_valid(self) -> None:
        """It is valid OpenAPI 3.1."""
        need_description()
        self.assertEqual(describe(ROUTES)["openapi"], "3.1.0")

    def test_names(self) -> None:
        """Each route has a name of its own, each path and method is there once, and each schema is used and known."""
        self.assertEqual(len({each.name for each in ROUTES}), len(ROUTES))
        self.assertEqual(len({(each.method, each.path) for each in ROUTES}), len(ROUTES))
        self.assertEqual(references(describe(ROUTES)), {*SCHEMAS, "Description"})

    def test_parameters(self) -> None:
        """Each part of a path is described."""
        for route in ROUTES:
            named = {each.name for each in route.parameters if each.where == "path"}
            self.assertEqual({part[1:-1] for part in route.path.split("/") if part.startswith("{")}, named, route.path)

    def test_rules(self) -> None:
        """The parts of a path become those of a rule, and a znode's path may have slashes."""
        application = Application()
        for route in ROUTES:
            add = getattr(application, route.method.lower())
            add(route.rule, lambda call, name=route.name, **parts: {"name": name, **parts}, query=route.query)
        for method, path, expected in (
            ("GET", "/v1/services/a%2Fb", {"name": "a/b"}),
            ("GET", "/v1/nodes/a/b", {"name": "getNode", "path": "a/b"}),
            ("PUT", "/v1/daemon/services/a/checks/b", {"name": "pushResult", "id": "a", "check": "b"}),
        ):
            self.assertEqual(ask(application.resource(), method, path).value, expected)


class AnswerTests(APITestCase):
    def test_served(self) -> None:
        """It is served."""
        response = self.ask("/v1/openapi.json")
        self.assertEqual((response.value, response.headers["content-type"]), (describe(ROUTES), "application/json"))

    def test_answers(self) -> None:
        """Each described answer is given, and is as described; and no other one is."""
        need_description()
        self.make("web", "10.0.0.1:80", labels={"a": "b"})
        self.make("web", "bad")
        self.world.result(self.other.create("/services/secret", b"", (digest_acl("user", "password"),)))
        self.world.pass_time(0.1)
        version = self.ask(_EDS, "POST", {}).value["version_info"]
        seen: set[tuple[str, int]] = set()

        def note(name: str, path: str, method: str = "GET", body: object = None) -> None:
            seen.add((name, self.ask(path, method, body).status))

        for name, path in (
            ("listServices", "/v1/services"),
            ("getService", WEB),
            ("getHistory", f"{WEB}/history"),
            ("getNode", "/v1/nodes/services/web/10.0.0.1:80"),
            ("getPrometheusTargets", "/v1/prometheus/sd"),
            ("getEnvoyEndpoints", "/v1/envoy/eds"),
            ("getDescription", "/v1/openapi.json"),
        ):
            note(name, path)
            note(name, f"{path}?unknown=1")
        note("getService", "/v1/services/no")
        note("getService", "/v1/services/secret")
        note("getHistory", "/v1/services/no/history")
        note("getNode", "/v1/nodes/no")
        note("getNode", "/v1/nodes/services/secret")
        for body in ({}, {"version_info": version}, {"type_url": "x"}, b"x" * (2**20 + 1)):
            note("discoverEndpoints", _EDS, "POST", body)
        self.readers.catalog = self.readers.mirror = None
        for route in REGISTERED:
            if 503 in route.replies:
                path = route.path.replace("{name}", "web").replace("{path}", "a")
                note(route.name, path, route.method, {} if route.method == "POST" else None)
        self.world.result(self.other.set_acl("/services", (digest_acl("user", "password"),)))
        self.readers.mirror = self.mirror
        self.use_catalog()
        for route in REGISTERED:
            if 403 in route.replies and route.name != "getNode":
                path = route.path.replace("{name}", "web")
                note(route.name, path, route.method, {} if route.method == "POST" else None)
        self.assertEqual(seen, {(route.name, status) for route in REGISTERED for status in route.replies})
