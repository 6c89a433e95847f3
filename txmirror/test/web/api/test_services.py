"""The lists of services and instances: what is in them, and what happens while ZooKeeper is away."""

from __future__ import annotations

import json

from txmirror.test.web.api.case import WEB, APITestCase
from txmirror.types import ACL, Permission


class ListTests(APITestCase):
    def test_services(self) -> None:
        """All services are listed in the order of their names, also those without instances."""
        self.make("web", "10.0.0.1:80", "10.0.0.2:80")
        self.make("web", "10.0.0.3:80", state="down", status="DEAD")
        self.make("db")
        response = self.ask("/v1/services")
        value = response.value
        self.assertEqual(
            [(each["name"], each["path"], each["instances"]) for each in value["services"]],
            [("db", "/services/db", 0), ("web", "/services/web", 3)],
        )
        self.assertEqual((value["stale"], value["age"], response.headers["age"]), (False, 0.0, "0"))
        self.assertEqual(response.headers["x-txmirror-index"], str(value["index"]))
        self.assertEqual(response.headers["cache-control"], "no-store")

    def test_service(self) -> None:
        """The instances of a service are listed in the order of their names."""
        self.make("web", "10.0.0.2:80", "10.0.0.1:80", labels={"version": "v1"}, x=1)
        response = self.ask(WEB)
        value = response.value
        self.assertEqual([each["name"] for each in value["instances"]], ["10.0.0.1:80", "10.0.0.2:80"])
        self.assertEqual((value["service"], value["path"], value["reason"]), ("web", "/services/web", None))
        self.assertEqual(response.headers["x-txmirror-index"], str(value["index"]))
        first = value["instances"][0]
        self.assertEqual((first["address"], first["port"], first["state"]), ("10.0.0.1", 80, "passing"))

    def test_empty(self) -> None:
        """A service without instances, and a root without services, are empty lists."""
        self.assertEqual(self.ask("/v1/services").value["services"], [])
        self.make("web")
        self.assertEqual(self.names(), [])

    def test_no_root(self) -> None:
        """Without the root there are no services."""
        self.world.result(self.other.delete("/services"))
        self.assertEqual(self.ask("/v1/services").value["services"], [])

    def test_missing(self) -> None:
        """A service that does not exist is a 404 that quotes its name, with an index to wait with."""
        response = self.ask("/v1/services/no%2Fthing")
        self.assertEqual((response.status, response.errors), (404, ["there is no service 'no/thing'"]))
        self.assertRegex(response.headers["x-txmirror-index"], "^[0-9]+$")

    def test_strange_names(self) -> None:
        """Names with any characters that ZooKeeper has are found, percent-encoded."""
        for name, sent in (
            ("a b", "a%20b"),
            ("\xe4\u4e2d", "%C3%A4%E4%B8%AD"),
            ("100%", "100%25"),
            ("a?b#c", "a%3Fb%23c"),
        ):
            self.make(name, "10.0.0.1:80")
            self.assertEqual(self.ask(f"/v1/services/{sent}").value["service"], name)

    def test_many(self) -> None:
        """A long list is encoded in steps."""
        self.make("web", *[f"10.0.{number // 250}.{number % 250}:80" for number in range(1000)])
        self.ask("/v1/services")
        self.world.pass_time(5.0)
        calls = len(self.world.reactor.getDelayedCalls())
        response = self.ask(WEB)
        self.assertEqual(len(response.value["instances"]), 1000)
        self.assertEqual(len(self.world.reactor.getDelayedCalls()), calls)

    def test_same_answer(self) -> None:
        """The answer changes with the list, and with nothing else."""
        self.make("web", "10.0.0.1:80")
        first = self.ask(WEB).content
        self.world.pass_time(60.0)
        self.assertEqual(self.ask(WEB).content, first)
        self.world.result(self.other.set("/services/web/10.0.0.1:80", b'{"x": 1}'))
        self.world.pass_time(0.1)
        # What a query chooses is not kept for others.
        self.assertEqual((self.names("?zone=no"), self.names()), ([], ["10.0.0.1:80"]))
        self.world.result(self.other.set("/services/web/10.0.0.1:80", b'{"x": 2}'))
        self.world.pass_time(0.1)
        self.assertEqual(self.ask(WEB).value["instances"][0]["data"], {"x": 2})


class SelectionTests(APITestCase):
    def setUp(self) -> None:
        super().setUp()
        self.make(
            "web", "a:1", labels={"zone": "a", "version": "v1", "a.b": "c"}, canary=True, weight=3, address="a", port=1
        )
        self.make("web", "b:1", zone="b", canary=False, count=5, labels={"version": "v2"})
        self.make("web", "bad")
        dead = {"host": "c", "port": 1}
        self.make("web", "member_1", serviceEndpoint=dead, additionalEndpoints={}, status="DEAD")

    def test_queries(self) -> None:
        """Each condition must hold."""
        for query, names in (
            ("", ["a:1", "b:1", "bad", "member_1"]),
            ("?passing", ["a:1", "b:1"]),
            ("?passing=true", ["a:1", "b:1"]),
            ("?zone=a", ["a:1"]),
            ("?zone=b", ["b:1"]),
            ("?zone=c", []),
            ("?status=up", ["a:1", "b:1"]),
            ("?status=down", ["member_1"]),
            ("?status=down&passing", []),
            ("?label.version=v2", ["b:1"]),
            ("?label.version=v2&zone=a", []),
            ("?label.a.b=c", ["a:1"]),
            ("?label.no=", []),
            ("?data.canary=true", ["a:1"]),
            ("?data.count=5&passing=1", ["b:1"]),
            ("?data.no=null", []),
            ("?label.version=v1&label.zone=a", ["a:1"]),
        ):
            self.assertEqual(self.names(query), names, query)

    def test_invalid(self) -> None:
        """An invalid query is refused with one line that quotes what is wrong."""
        for query, wrong in (
            ("pasing", "'pasing'"),
            ("passing=no", "'no'"),
            ("status=UP", "'UP'"),
            ("label=x", "'label'"),
            ("zone=a&zone=b", "'zone'"),
            ("label.x=1&label.x=2", "'label.x'"),
            ("index=x", "'x'"),
            ("index=-1", "'-1'"),
            ("index=%C2%B2", "'\xb2'"),
            ("index=" + "9" * 5000, "'9999"),
            ("index=99999999999999999", "'99999999999999999'"),
            ("wait=5s", "wait needs an index"),
            ("index=1&wait=5", "'5'"),
            ("index=1&wait=", "''"),
            ("index=1&wait=11m", "'11m'"),
            ("index=1&wait=%0a", r"'\n'"),
        ):
            self.assertIn(wrong, self.refusal(f"{WEB}?{query}", 400), query)
        for path in ("/v1/services?passing", f"{WEB}/history?index=1", "/v1/openapi.json?x", "/v1/nodes/?x=1"):
            self.assertIn("unknown key", self.refusal(path, 400))


class OutageTests(APITestCase):
    def test_stale(self) -> None:
        """During an outage the last known lists are answered, with their age."""
        self.make("web", "10.0.0.1:80")
        self.ask("/v1/services")
        self.world.disconnect(self.mirror)
        self.world.pass_time(100.0)
        for path in ("/v1/services", WEB, f"{WEB}/history"):
            response = self.ask(path)
            self.assertEqual(
                (response.status, response.value["stale"], response.headers["age"]), (200, True, "100"), path
            )
            self.assertEqual(response.value["age"], 100.0)
        self.assertEqual(self.names("?passing"), ["10.0.0.1:80"])
        for path in ("/v1/prometheus/sd", "/v1/envoy/eds"):
            response = self.ask(path)
            self.assertEqual((response.status, response.headers["age"]), (200, "100"))
            self.assertIn(b"10.0.0.1", response.content)
        self.world.reconnect(self.mirror)
        self.world.pass_time(15.0)
        self.assertEqual(self.ask(WEB).value["stale"], False)
        self.assertEqual(
            [each["event"] for each in self.ask(f"{WEB}/history").value["events"]][-2:], ["stale", "settled"]
        )

    def test_not_read_yet(self) -> None:
        """Before the first list there is a 503 after 2 seconds, and an answer as soon as there is one."""
        self.make("web", "10.0.0.1:80")
        self.world.disconnect(self.mirror)
        paths = ("/v1/services", WEB, f"{WEB}/history", "/v1/prometheus/sd", "/v1/envoy/eds")
        waiting = [self.begin(path) for path in paths]
        waiting.append(self.begin("/v3/discovery:endpoints", "POST", {"resource_names": ["web"]}))
        self.world.pass_time(1.9)
        self.assertFalse(any(each.answered for each in waiting))
        self.world.pass_time(0.2)
        for each in waiting:
            self.assertEqual((each.response.status, each.response.headers["retry-after"]), (503, "1"))
            self.assertEqual(each.response.errors, ["the services were not read from ZooKeeper yet"])
        self.world.reconnect(self.mirror)
        self.world.pass_time(15.0)
        self.assertEqual(self.names(), ["10.0.0.1:80"])

    def test_no_session(self) -> None:
        """While there is nothing to read from, there is a 503 at once."""
        self.readers.catalog = self.readers.mirror = None
        for path in ("/v1/services", WEB, f"{WEB}/history", "/v1/nodes/", "/v1/prometheus/sd", "/v1/envoy/eds"):
            self.refusal(path, 503)

    def test_closed(self) -> None:
        """After the end of the catalog the last known lists are answered, as old ones."""
        self.make("web", "10.0.0.1:80")
        self.ask("/v1/services")
        assert self.readers.catalog is not None
        self.readers.catalog.close()
        self.assertEqual((self.names(), self.ask(WEB).value["stale"]), (["10.0.0.1:80"], True))
        self.assertEqual(self.ask(f"{WEB}?index={self.ask(WEB).value['index']}").status, 200)

    def test_held(self) -> None:
        """Instances that are gone just after an outage are held for a while, and then gone."""
        self.make("web", "10.0.0.1:80", "10.0.0.2:80", "10.0.0.3:80")
        self.ask(WEB)
        self.world.disconnect(self.mirror)
        for node in ("10.0.0.1:80", "10.0.0.2:80", "10.0.0.3:80"):
            self.remove("web", node)
        self.world.pass_time(1.0)
        self.world.reconnect(self.mirror)
        self.world.pass_time(12.0)
        self.assertEqual([each["state"] for each in self.ask(f"{WEB}?passing").value["instances"]], ["held"] * 3)
        self.assertIn(b"10.0.0.1", self.ask("/v1/envoy/eds?service=web").content)
        self.world.pass_time(60.0)
        self.assertEqual(self.names(), [])
        self.assertNotIn(b"10.0.0.1", self.ask("/v1/envoy/eds?service=web").content)

    def test_forbidden(self) -> None:
        """A list that may not be read is a 403 with the reason, and does not hide the other services."""
        self.make("db", "10.0.0.1:80")
        nobody = (ACL(Permission.ALL, "digest", "a:b"),)
        self.world.result(self.other.create("/services/secret", b"", nobody))
        self.world.pass_time(0.1)
        listed = {each["name"]: each for each in self.ask("/v1/services").value["services"]}
        self.assertIn("not permitted", listed["secret"]["reason"])
        self.assertIn("not permitted", self.refusal("/v1/services/secret", 403))
        self.assertEqual(self.names(service="db"), ["10.0.0.1:80"])
        self.assertEqual(json.loads(self.ask("/v1/prometheus/sd?service=secret").content), [])

    def test_forbidden_root(self) -> None:
        """A root that may not be read is a 403 with the reason."""
        self.world.result(self.other.set_acl("/services", (ACL(Permission.ALL & ~Permission.READ, "world", "anyone"),)))
        for path in ("/v1/services", WEB, "/v1/prometheus/sd"):
            self.assertIn("not permitted", self.refusal(path, 403))


class HistoryTests(APITestCase):
    def test_events(self) -> None:
        """The events of a service are in order of time, also after its end."""
        self.ask("/v1/services")
        self.make("web", "10.0.0.1:80")
        self.remove("web", "10.0.0.1:80")
        value = self.ask(f"{WEB}/history").value
        events = [(each["instance"], each["event"], each["status"]) for each in value["events"]]
        self.assertEqual(events, [("10.0.0.1:80", "appeared", "passing"), ("10.0.0.1:80", "gone", None)])
        self.assertLessEqual(value["since"], value["events"][0]["time"])
        self.remove("web")
        self.assertEqual(len(self.ask(f"{WEB}/history").value["events"]), 2)

    def test_owner(self) -> None:
        """The owner of an ephemeral node is shown as ZooKeeper's tools show it."""
        self.make("web")
        self.ask("/v1/services")
        self.world.result(self.other.create("/services/web/10.0.0.1:80", b"", ephemeral=True))
        self.world.pass_time(0.1)
        (event,) = self.ask(f"{WEB}/history").value["events"]
        self.assertEqual(event["owner"], f"{self.other.session_id:#x}")

    def test_missing(self) -> None:
        """Nothing is known of a service that was never there."""
        self.assertIn("'no'", self.refusal("/v1/services/no/history", 404))
        self.make("web")
        self.assertEqual(self.ask(f"{WEB}/history").value["events"], [])
