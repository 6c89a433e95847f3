"""What Prometheus and Envoy get: the same as in files for them, and what Envoy's own definitions can parse."""

from __future__ import annotations

import os
from typing import Any
from unittest import SkipTest

from twisted.logger import globalLogPublisher

from txmirror.catalog import Catalog
from txmirror.formats import LiveList, render_envoy, render_prometheus
from txmirror.test.service.case import Log
from txmirror.test.web.api.case import APITestCase

_EDS = "/v3/discovery:endpoints"
_TYPE = "type.googleapis.com/envoy.config.endpoint.v3.ClusterLoadAssignment"


def parse(content: bytes) -> dict[str, Any]:
    """Return Envoy's ClusterLoadAssignments by the names of their clusters, parsed strictly as a DiscoveryResponse.

    :raises SkipTest: Envoy's definitions are not installed.
    """
    try:
        from envoy.config.endpoint.v3 import endpoint_pb2
        from envoy.service.discovery.v3 import discovery_pb2
        from google.protobuf import json_format
    except ImportError:
        if os.environ.get("TXMIRROR_OPENAPI") == "require":
            raise
        raise SkipTest("xds-protos is not installed") from None
    response: Any = json_format.Parse(content, discovery_pb2.DiscoveryResponse())
    found = {}
    for each in response.resources:
        assignment: Any = endpoint_pb2.ClusterLoadAssignment()
        assert each.Unpack(assignment)
        found[assignment.cluster_name] = assignment
    return found


class FormatTestCase(APITestCase):
    def setUp(self) -> None:
        super().setUp()
        self.make("web", "10.0.0.2:80", "10.0.0.1:80", labels={"zone": "a"}, weight=3)
        self.make("db", "10.0.0.3:80")
        self.ask("/v1/services")

    def live(self, name: str) -> LiveList:
        """Return the list of a service, as an output file has it."""
        catalog = self.readers.catalog
        assert isinstance(catalog, Catalog)
        entries = sorted(catalog.services[name].entries.values(), key=lambda each: each.name)
        return LiveList(name, f"/services/{name}", [each.instance for each in entries if each.instance is not None])


class PrometheusTests(FormatTestCase):
    def test_targets(self) -> None:
        """The targets are those of a file, for all services or those that are named."""
        both = render_prometheus(self.live("db"), self.live("web"))
        response = self.ask("/v1/prometheus/sd")
        self.assertEqual((response.content, response.headers["content-type"]), (both.content, "application/json"))
        for query, lists in (
            ("service=web", ["web"]),
            ("service=web&service=db&service=web", ["web", "db"]),
            ("service=no", []),
        ):
            expected = render_prometheus(*map(self.live, lists))
            self.assertEqual(self.ask(f"/v1/prometheus/sd?{query}").content, expected.content, query)

    def test_changes(self) -> None:
        """A change is in the next answer."""
        for expected in (2, 3, 1):
            if expected == 3:
                self.make("web", "10.0.0.9:80")
            elif expected == 1:
                self.remove("web", "10.0.0.9:80")
                self.remove("web", "10.0.0.2:80")
            self.assertEqual(len(self.ask("/v1/prometheus/sd?service=web").value), expected)
        self.make("new", "10.0.0.9:80")
        self.assertEqual(len(self.ask("/v1/prometheus/sd").value), 3)
        self.use_catalog()
        self.assertEqual(len(self.ask("/v1/prometheus/sd").value), 3)

    def test_other_catalog(self) -> None:
        """Another catalog with the same indexes has answers of its own."""
        for path in ("/other", "/other/db", "/other/web", "/other/web/10.9.9.9:80"):
            self.world.result(self.other.create(path))
        found = []
        for root in ("/services", "/other"):
            catalog = self.readers.catalog = Catalog(self.mirror, root)
            self.addCleanup(catalog.close)
            found.append((len(self.ask("/v1/prometheus/sd?service=web").value), catalog.index_of("web")))
        self.assertEqual(found, [(2, found[0][1]), (1, found[0][1])])

    def test_omitted(self) -> None:
        """What cannot be expressed is left out, and counted."""
        self.make("web", "surrogate:80", x="\ud800")
        self.make("web", "nothing")
        response = self.ask("/v1/prometheus/sd?service=web")
        self.assertEqual((len(response.value), response.headers["x-txmirror-omitted"]), (2, "1"))

    def test_kept(self) -> None:
        """Only so many answers are kept."""
        for number in range(30):
            self.assertEqual(self.ask(f"/v1/prometheus/sd?service=no{number}").value, [])
        self.assertEqual(len(self.ask("/v1/prometheus/sd?service=web").value), 2)


class EnvoyTests(FormatTestCase):
    def discover(self, *names: str, **more: object) -> Any:
        return self.ask(_EDS, "POST", {"resource_names": list(names), "type_url": _TYPE, **more})

    def test_endpoints(self) -> None:
        """Envoy's definitions parse the clusters that it names."""
        response = self.discover("web", "db")
        found = parse(response.content)
        self.assertEqual(set(found), {"web", "db"})
        (locality,) = found["web"].endpoints
        self.assertEqual(locality.locality.zone, "a")
        sockets = [each.endpoint.address.socket_address for each in locality.lb_endpoints]
        self.assertEqual([(each.address, each.port_value) for each in sockets], [("10.0.0.1", 80), ("10.0.0.2", 80)])
        self.assertEqual([each.load_balancing_weight.value for each in locality.lb_endpoints], [3, 3])

    def test_file(self) -> None:
        """The file-source form has the same bytes as an output file."""
        self.assertEqual(self.ask("/v1/envoy/eds?service=web").content, render_envoy(self.live("web")).content)
        self.assertEqual(set(parse(self.ask("/v1/envoy/eds").content)), {"web", "db"})

    def test_spellings(self) -> None:
        """Keys may be in snake_case or in camelCase, as protocol buffers permit; other keys are ignored."""
        sent = {"resourceNames": ["db"], "typeUrl": _TYPE, "versionInfo": "", "node": {"id": "x", "extensions": []}}
        self.assertEqual(set(parse(self.ask(_EDS, "POST", sent).content)), {"db"})
        current = self.ask(_EDS, "POST", sent).value["version_info"]
        self.assertEqual(self.ask(_EDS, "POST", {**sent, "versionInfo": current}).status, 304)

    def test_version(self) -> None:
        """With the current version there is no content; after a change, or for other names, there is."""
        version = self.discover("web").value["version_info"]
        response = self.discover("web", version_info=version)
        self.assertEqual((response.status, response.content), (304, b""))
        self.assertEqual(self.discover("web", "db", version_info=version).status, 200)
        self.make("db", "10.0.0.4:80")
        self.assertEqual(self.discover("web", version_info=version).status, 304)
        self.make("web", "10.0.0.4:80")
        response = self.discover("web", version_info=version)
        self.assertEqual(response.status, 200)
        self.assertNotEqual(response.value["version_info"], version)

    def test_no_service(self) -> None:
        """A cluster without a service, or whose service is gone, has no endpoints: Envoy would keep the former ones."""
        for name in ("no", "a/b", "", "\xe4"):
            found = parse(self.discover(name).content)
            self.assertEqual((list(found), len(found[name].endpoints)), ([name], 0))
        for node in ("10.0.0.3:80", ""):
            self.remove("db", *filter(None, [node]))
            self.assertEqual(len(parse(self.discover("db").content)["db"].endpoints), 0)

    def test_all(self) -> None:
        """Without names there are all services."""
        self.assertEqual(set(parse(self.ask(_EDS, "POST").content)), {"web", "db"})

    def test_stale(self) -> None:
        """During an outage the version is the same."""
        version = self.discover("web").value["version_info"]
        self.world.disconnect(self.mirror)
        self.world.pass_time(70.0)
        response = self.discover("web", version_info=version)
        self.assertEqual((response.status, response.headers["age"]), (304, "70"))

    def test_invalid(self) -> None:
        """A request for something else is refused with one line."""
        for body, wrong in (
            ({"type_url": "type.googleapis.com/envoy.config.cluster.v3.Cluster"}, "type_url is 'type.googleapis.com/"),
            ({"resource_names": "web"}, "not an array of strings"),
            ({"resource_names": [1]}, "not an array of strings"),
            ({"resource_names": ["x"] * 1001}, "1001 names"),
            ({"resource_names": ["\ud800"]}, "lone surrogate"),
            ([], "not a JSON object"),
            (b"{", "not JSON"),
        ):
            self.assertIn(wrong, self.refusal(_EDS, 400, method="POST", body=body))
        self.assertEqual(self.begin(_EDS).response.status, 405)

    def test_rejected(self) -> None:
        """An error of Envoy is logged once, on one line."""
        log = Log()
        globalLogPublisher.addObserver(log)
        self.addCleanup(globalLogPublisher.removeObserver, log)
        for message in ("bad\nendpoint", "bad\nendpoint", "worse" * 1000, None):
            self.discover("web", error_detail={"code": 3, "message": message})
            self.world.pass_time(10.0)
        lines = [line for line in log.lines if "Envoy" in line]
        self.assertEqual(lines[0], r"Envoy has rejected an answer: bad\nendpoint.")
        self.assertEqual([len(line) < 600 for line in lines], [True] * 3)

    def test_many_rejected(self) -> None:
        """Whoever sends ever other errors does not fill the log."""
        log = Log()
        globalLogPublisher.addObserver(log)
        self.addCleanup(globalLogPublisher.removeObserver, log)
        for number in range(50):
            self.discover("web", error_detail={"message": f"error {number}"})
        self.assertEqual(len(log.about("Envoy has rejected")), 1)
        self.world.pass_time(10.0)
        self.discover("web", error_detail={"message": "error 49"})
        self.assertEqual(len(log.about("Envoy has rejected an answer: error 49")), 1)
