"""The servers for readers: what they show by which session, reloads, and the stop."""

from __future__ import annotations

import json
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectionLost
from twisted.internet.testing import StringTransport
from twisted.names import dns
from twisted.python.failure import Failure

from txmirror.catalog import Catalog
from txmirror.checks import Status
from txmirror.client import ZooKeeperClient
from txmirror.dns import service as dns_service
from txmirror.mirror import Mirror
from txmirror.service import Daemon, event_states, make_root
from txmirror.service.event_states import EventStates, _is_same_connection
from txmirror.test.dns.case import ask, decode, show
from txmirror.test.service.case import DaemonTestCase, service
from txmirror.test.web.api.described import check_answer, need_description
from txmirror.test.web.exchange import parse_response
from txmirror.types import ACL, READ_ACL, digest_acl
from txmirror.web.site import AccessRules, AccessSite

_ACCESS = '[zookeeper.access]\nusername = "app"\npassword_file = "password"\n'


class ReadersTestCase(DaemonTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.server.listen(2181)
        password = self.folder / "password"
        password.write_text("secret-word")
        password.chmod(0o600)
        self.protocols: list[Any] = []
        # The reactor in memory has no datagrams.
        self.patch(dns_service._Listener, "listen", lambda _: None)

    def tearDown(self) -> None:
        self.lose_all()
        super().tearDown()

    def lose_all(self) -> None:
        """Let the connections of all clients go."""
        for protocol in self.protocols:
            protocol.connectionLost(Failure(ConnectionLost()))
        self.protocols.clear()

    def daemon(self, *parts: str, settle: bool = True, **keys: Any) -> Daemon:
        daemon = super().daemon(*parts, settle=settle, **keys)
        states = EventStates(daemon, self.reactor)
        states.start()
        self.addCleanup(states.stop)
        daemon.readers.http.serve(make_root(daemon))
        return daemon

    def add(self, path: str, acl: tuple[ACL, ...] = READ_ACL, data: bytes = b"") -> None:
        """Create a znode as the user of the daemon."""
        client = self.clients[0] if self.clients else self.client()
        added = client.add_auth("digest", b"app:secret-word")
        created = client.create(path, data, acl=(digest_acl("app", "secret-word"), *acl))
        self.reactor.settle()
        self.successResultOf(added)
        self.successResultOf(created)

    def begin(self, daemon: Daemon, path: str, method: str = "GET", **headers: str) -> StringTransport:
        """Send a request, and return the transport of its answer."""
        site = AccessSite(make_root(daemon), AccessRules(hosts=None, changing=True), reactor=self.reactor)
        protocol: Any = site.buildProtocol(None)
        transport = StringTransport()
        self.protocols.append(protocol)
        protocol.makeConnection(transport)
        more = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
        protocol.dataReceived(f"{method} {path} HTTP/1.0\r\nHost: localhost\r\n{more}\r\n".encode())
        self.reactor.settle()
        return transport

    def get(self, daemon: Daemon, path: str) -> tuple[int, Any]:
        """Return the status and the value of JSON of an answer."""
        received, _, content = self.begin(daemon, path).value().partition(b"\r\n\r\n")
        return int(received.split()[1]), json.loads(content)

    def names(self, daemon: Daemon) -> list[str]:
        """Return the names of all services by HTTP."""
        status, found = self.get(daemon, "/v1/services")
        self.assertEqual(status, 200, found)
        return [each["name"] for each in found["services"]]

    def resolve(self, daemon: Daemon, name: str) -> Any:
        """Return the code, and the records of the answer by DNS."""
        waiting = daemon.readers.dns._responder.respond(ask(name), by_tcp=False)
        # A list that cannot be read is waited for.
        self.reactor.pass_time(2.5)
        reply = self.successResultOf(waiting)
        assert reply is not None
        return decode(reply).rCode, show(decode(reply).answers)

    def sessions(self) -> int:
        """Return the number of sessions at the server."""
        return len(self.server.state.sessions.live)  # type: ignore[attr-defined]


class CredentialsTests(ReadersTestCase):
    """A znode that only the daemon may read is not shown, unless that is said."""

    def setUp(self) -> None:
        super().setUp()
        self.add("/services")
        self.add("/services/open")
        self.add("/services/secret", ())
        self.add("/services/open/10.0.0.1:80")
        self.add("/services/secret/10.0.0.2:80", ())

    def start(self, *tables: str) -> Daemon:
        return self.daemon(*tables, zookeeper=_ACCESS)

    def test_hidden(self) -> None:
        """By default, readers see only what everybody may read, by HTTP and DNS."""
        daemon = self.start('[dns]\nlisten = "127.0.0.1:1"')
        self.assertEqual(self.resolve(daemon, "open.service.mirror"), (dns.OK, ["open.service.mirror 10.0.0.1"]))
        _, records = self.resolve(daemon, "secret.service.mirror")
        self.assertEqual(records, [])
        status, found = self.get(daemon, "/v1/services/secret")
        self.assertIn(status, (403, 200))
        self.assertNotIn("10.0.0.2", json.dumps(found))
        self.assertEqual(self.get(daemon, "/v1/nodes/services/secret")[0], 403)
        self.assertEqual(self.get(daemon, "/v1/nodes/services/open")[0], 200)
        self.assertNotIn(b"10.0.0.2", self.begin(daemon, "/v1/events").value())
        self.assertNotIn(b"10.0.0.2", self.begin(daemon, "/").value())

    def test_shown(self) -> None:
        """With credentials = true, they see all that the daemon may read; a reload switches that, for each server by itself."""
        daemon = self.start('[http]\ncredentials = true\nlisten = "127.0.0.1:1"', '[dns]\nlisten = "127.0.0.1:2"')
        self.assertEqual(self.get(daemon, "/v1/nodes/services/secret")[0], 200)
        self.assertEqual(self.resolve(daemon, "secret.service.mirror")[1], [])
        stream = self.begin(daemon, "/v1/events")
        self.assertIn(b"10.0.0.2", stream.value())
        self.write(
            '[http]\nlisten = "127.0.0.1:1"', '[dns]\ncredentials = true\nlisten = "127.0.0.1:2"', zookeeper=_ACCESS
        )
        self.successResultOf(daemon.reload())
        self.reactor.pass_time(1)
        # The stream has ended, and its client connects again.
        self.assertTrue(stream.disconnecting)
        self.assertEqual(self.get(daemon, "/v1/nodes/services/secret")[0], 403)
        self.assertEqual(self.resolve(daemon, "secret.service.mirror")[1], ["secret.service.mirror 10.0.0.2"])

    def test_one_session(self) -> None:
        """The session without credentials is opened at the first use, shared, and closed when it is no longer used."""
        daemon = self.start()
        own = daemon.registrations.session
        assert own is not None
        self.assertIsNone(daemon.readers.session.mirror)
        self.names(daemon)
        mirror = daemon.readers.session.mirror
        assert mirror is not None and mirror is not own.mirror
        self.write("[dns]", zookeeper=_ACCESS)
        self.successResultOf(daemon.reload())
        self.assertIs(daemon.readers.session.mirror, mirror)
        self.write(zookeeper=_ACCESS)
        self.successResultOf(daemon.reload())
        self.assertIs(daemon.readers.session.mirror, mirror)
        self.reactor.pass_time(1000)
        self.assertIsNone(daemon.readers.session.mirror)
        self.assertEqual(mirror.client.session_id, 0)
        self.assertEqual(self.names(daemon), ["open", "secret"])

    def test_stream_holds(self) -> None:
        """While somebody follows the events, the session stays."""
        daemon = self.start()
        stream = self.begin(daemon, "/v1/events")
        self.reactor.pass_time(2000)
        self.assertIsNotNone(daemon.readers.session.mirror)
        self.assertFalse(stream.disconnecting)

    def test_expired(self) -> None:
        """The session expires, and the readers get another one."""
        daemon = self.start()
        self.names(daemon)
        mirror = daemon.readers.session.mirror
        assert mirror is not None
        before = mirror.client.session_id
        self.server.expire_session(before)
        self.reactor.pass_time(5)
        self.assertNotEqual(mirror.client.session_id, before)
        self.add("/services/new")
        self.reactor.pass_time(1)
        self.assertIn("new", self.names(daemon))

    def test_stop_at_any_time(self) -> None:
        """The stop closes the session, also one that is not open yet, or is being closed."""
        for seconds in (None, 0.0, 3.0, 903.0):
            daemon = self.start("[dns]") if seconds == 3.0 else self.start()
            if seconds is not None:
                self.begin(daemon, "/v1/services")
                self.reactor.pass_time(seconds)
            self.end(daemon, 6)
            self.assertIsNone(daemon.readers.session.mirror)

    def test_out_of_reach(self) -> None:
        """While ZooKeeper is away, the stop is bounded all the same, and nobody is blamed."""
        daemon = self.start("[dns]")
        self.names(daemon)
        self.server.stop()
        self.reactor.pass_time(60)
        self.assertEqual(self.log.about("accepts no session without credentials"), [])
        self.end(daemon, 40)

    def test_refused(self) -> None:
        """If ZooKeeper accepts only sessions with credentials, that is logged once, with the key that helps."""
        made: list[ZooKeeperClient] = []

        def make() -> ZooKeeperClient:
            # Nobody listens there.
            made.append(ZooKeeperClient("127.0.0.1:1", random=self.chance, reactor=self.reactor))
            return made[-1]

        daemon = self.start()
        daemon.readers.session._make_client = make
        self.begin(daemon, "/v1/services")
        self.reactor.pass_time(60)
        (line,) = self.log.about("accepts no session without credentials")
        self.assertIn("Set credentials = true in [http] and [dns]", line)
        self.assertTrue(self.get(daemon, "/v1/daemon")[1]["readers"]["refused"])


class WithoutCredentialsTests(ReadersTestCase):
    def test_own_session(self) -> None:
        """Without credentials, readers read by the daemon's session."""
        daemon = self.daemon(service("10.0.0.1", checks=0), '[http]\nroot = "/"\nlisten = "127.0.0.1:1"')
        self.reactor.pass_time(1)
        self.assertEqual(self.names(daemon), ["services", "zookeeper"])
        self.assertIsNone(daemon.readers.session.mirror)

    def test_before_the_session(self) -> None:
        """Before the daemon has a session, the answer is 503; a stream too."""
        daemon = self.daemon(settle=False)
        daemon.readers._own.mirror = None
        for path in ("/v1/services", "/v1/nodes/services", "/v1/events"):
            status, found = self.get(daemon, path)
            self.assertEqual((status, len(found["errors"])), (503, 1), path)
        self.assertIn(b" 200 ", self.begin(daemon, "/").value())

    def test_stop(self) -> None:
        """In a stop, streams and waits end, what was known is still answered, and the port closes with the rest."""
        daemon = self.daemon(service("web", checks=0, drain=5))
        self.reactor.pass_time(1)
        stream = self.begin(daemon, "/v1/events")
        _, found = self.get(daemon, "/v1/services")
        waiting = self.begin(daemon, f"/v1/services?index={found['index']}&wait=10m")
        self.assertEqual(waiting.value(), b"")
        stopped: Deferred[None] = daemon.stopService()
        self.running.remove(daemon)
        self.reactor.pass_time(1)
        self.assertIn(b'"stopping": true', stream.value().replace(b'"stopping":true', b'"stopping": true'))
        self.reactor.pass_time(10)
        self.successResultOf(stopped)
        self.assertTrue(stream.disconnecting)
        self.assertIn(b" 200 ", waiting.value())
        status, found = self.get(daemon, "/v1/services")
        self.assertEqual((status, found["stale"]), (200, True))
        self.assertEqual(self.get(daemon, "/v1/events")[0], 503)


class SharedCatalogTests(ReadersTestCase):
    """HTTP and DNS use one catalog where they show the same."""

    HTTP, DNS = '[http]\nlisten = "127.0.0.1:1"\n', '[dns]\nlisten = "127.0.0.1:2"\n'

    def setUp(self) -> None:
        super().setUp()
        for path in ("/services", "/services/web", "/services/web/10.0.0.1:80", "/other", "/other/db"):
            self.add(path)

    def catalogs(self, daemon: Daemon) -> dict[tuple[Mirror, str], Catalog]:
        """Return the open catalogs."""
        return daemon.readers._catalogs._catalogs

    def reload(self, daemon: Daemon, *tables: str) -> None:
        self.write(*tables)
        self.successResultOf(daemon.reload())
        self.reactor.pass_time(1)

    def test_shared(self) -> None:
        """The same root has one catalog, another root has another; one that nobody uses is closed."""
        daemon = self.daemon(self.HTTP, self.DNS)
        self.reactor.pass_time(1)
        self.assertEqual([root for _, root in self.catalogs(daemon)], ["/services"])
        self.assertEqual(self.names(daemon), ["web"])
        (first,) = self.catalogs(daemon).values()
        self.assertIs(daemon.readers.web.catalog, first)
        self.reload(daemon, self.HTTP, self.DNS + 'root = "/other"\n')
        self.assertEqual(sorted(root for _, root in self.catalogs(daemon)), ["/other", "/services"])
        self.assertEqual(self.resolve(daemon, "web.service.mirror")[0], dns.ENAME)
        self.assertEqual(self.resolve(daemon, "db.service.mirror")[0], dns.OK)
        self.assertEqual(self.names(daemon), ["web"])
        self.reload(daemon, self.HTTP + 'root = "/other"\n', self.DNS + 'root = "/other"\n')
        self.assertEqual(self.names(daemon), ["db"])
        self.assertEqual([root for _, root in self.catalogs(daemon)], ["/other"])
        self.assertTrue(first.stale)
        self.reload(daemon, self.HTTP + 'root = "/other"\n')
        self.assertEqual(self.names(daemon), ["db"])
        self.reactor.pass_time(1000)
        self.assertEqual(self.catalogs(daemon), {})

    def test_waits(self) -> None:
        """If HTTP shows something else, its waits end, although DNS still uses the catalog."""
        daemon = self.daemon(self.HTTP, self.DNS)
        self.reactor.pass_time(1)
        _, found = self.get(daemon, "/v1/services")
        waiting = self.begin(daemon, f"/v1/services?index={found['index']}&wait=10m")
        self.assertEqual(waiting.value(), b"")
        self.reload(daemon, self.HTTP + 'root = "/other"\n', self.DNS)
        self.assertIn(b" 200 ", waiting.value())
        self.assertEqual(self.resolve(daemon, "web.service.mirror")[0], dns.OK)

    def test_stop(self) -> None:
        """A stop closes all of them."""
        daemon = self.daemon(self.HTTP, self.DNS + 'root = "/other"\n')
        self.names(daemon)
        self.assertEqual(len(self.catalogs(daemon)), 2)
        self.end(daemon, 6)
        self.assertEqual(self.catalogs(daemon), {})

    def test_outage(self) -> None:
        """A service that nobody has asked for has an answer in an outage."""
        daemon = self.daemon(self.DNS)
        self.reactor.pass_time(1)
        self.server.stop()
        self.reactor.pass_time(60)
        self.assertEqual(self.resolve(daemon, "web.service.mirror"), (dns.OK, ["web.service.mirror 10.0.0.1"]))


class StateTests(ReadersTestCase):
    """The states in the stream of events."""

    def test_states(self) -> None:
        """The snapshot has the daemon and ZooKeeper; a change follows within a second, and no event without one."""
        daemon = self.daemon(service("web"))
        self.reactor.pass_time(1)
        stream = self.begin(daemon, "/v1/events")
        text = stream.value()
        self.assertIn(b'"topic": "daemon"'.replace(b": ", b":"), text.replace(b": ", b":"))
        self.assertIn(b'"topic":"zookeeper"', text.replace(b": ", b":"))
        self.reactor.pass_time(3)
        stream.clear()
        self.push(daemon, "web")
        self.reactor.pass_time(1.1)
        changed = stream.value().replace(b": ", b":")
        self.assertEqual(changed.count(b'"topic":"daemon"'), 1, changed)
        self.assertIn(b'"condition":"registered"', changed)
        self.assertEqual(self.get(daemon, "/v1/daemon")[1]["services"][0]["condition"], "registered")
        self.lose_all()
        self.reactor.pass_time(2)
        self.assertEqual(daemon.readers.web.streams, 0)
        # Nobody reads the states any longer: they are not made.
        described: list[object] = []
        self.patch(event_states, "describe_daemon", described.append)
        self.reactor.pass_time(5)
        self.assertEqual(described, [])

    def test_idle(self) -> None:
        """While nothing of interest changes, a stream gets comments only, whatever others ask for, and however ZooKeeper answers pings."""
        daemon = self.daemon(service("web"), '[http]\nlisten = "127.0.0.1:1"', "[dns]")
        self.push(daemon, "web")
        self.reactor.pass_time(1)
        stream = self.begin(daemon, "/v1/events")
        self.assertNotIn(b"replies", stream.value())
        self.reactor.pass_time(20)
        stream.clear()
        for _ in range(60):
            self.names(daemon)
            self.resolve(daemon, "web.service.mirror")
        self.assertEqual(stream.value().replace(b":\n\n", b""), b"")
        self.assertEqual(stream.value().count(b":\n\n"), 10)
        self.assertGreater(self.get(daemon, "/v1/daemon")[1]["readers"]["dns"]["replies"], 59)

    def test_results_of_checks(self) -> None:
        """Results that state the same as before are sent every 5 s, another state within a second; new streams have the latest."""
        daemon = self.daemon(service("web"))
        self.reactor.pass_time(1)
        self.push(daemon, "web")
        stream = self.begin(daemon, "/v1/events")
        self.reactor.pass_time(7)
        stream.clear()
        for _ in range(30):
            self.push(daemon, "web")
            self.reactor.pass_time(1)
        text = stream.value()
        self.assertEqual(text.count(b'"topic":"daemon"'), 6)
        self.assertEqual(text.count(b'"topic":"zookeeper"'), 0)
        last = self.get(daemon, "/v1/daemon")[1]["services"][0]["checks"][0]["time"]
        self.assertIn(b'"time":%d' % last, self.begin(daemon, "/v1/events").value())
        stream.clear()
        self.push(daemon, "web", Status.FAIL)
        self.reactor.pass_time(1.1)
        self.assertEqual(stream.value().count(b'"topic":"daemon"'), 1)

    def test_latency(self) -> None:
        """A latency is sent when it is at least twice or half of the one that was sent."""
        sent = {"session": "0x1", "age": 0.0, "latency": 0.02}
        for latency, is_same in ((0.011, True), (0.039, True), (0.001, False), (0.05, False), (None, False)):
            self.assertEqual(_is_same_connection(sent, {**sent, "latency": latency, "age": 1.0}), is_same, latency)
        self.assertTrue(_is_same_connection({**sent, "latency": 0.0001}, {**sent, "latency": 0.009}))
        self.assertFalse(_is_same_connection(sent, {**sent, "session": "0x2"}))

    def test_many_services(self) -> None:
        """Many services are described in several turns of the reactor, for a request and for the streams."""
        count = 250
        daemon = self.daemon(*(service(f"s{number}", checks=0) for number in range(count)))
        self.reactor.pass_time(2)
        self.assertEqual(len(self.get(daemon, "/v1/daemon")[1]["services"]), count)
        stream = self.begin(daemon, "/v1/events")
        self.assertEqual(stream.value().count(b'"condition":"registered"'), count)
        self.lose_all()

    def test_interval_of_many(self) -> None:
        """Many services are described less often than once a second, in proportion to their number."""
        daemon = self.daemon(service("web"), *(service(f"s{number}", checks=0) for number in range(599)))
        self.reactor.pass_time(5)
        stream = self.begin(daemon, "/v1/events")
        self.reactor.pass_time(3.1)
        stream.clear()
        self.push(daemon, "web")
        self.reactor.pass_time(1.5)
        self.assertNotIn(b'"topic":"daemon"', stream.value())
        self.reactor.pass_time(1.7)
        self.assertIn(b'"topic":"daemon"', stream.value())

    def test_described(self) -> None:
        """The description of the API has all that the daemon answers."""
        need_description()
        daemon = self.daemon(service("web"), '[http]\nlisten = "127.0.0.1:1"', "[dns]")
        self.reactor.pass_time(1)
        self.server.drop_connections()
        self.reactor.pass_time(3)
        for path in ("/v1/daemon", "/v1/daemon/services/web", "/v1/daemon/services/none", "/v1/services"):
            check_answer("GET", path, None, parse_response(self.begin(daemon, path).value()))

    def test_outages(self) -> None:
        """An outage is described with its times and its reason, and ends."""
        daemon = self.daemon()
        self.reactor.pass_time(1)
        self.assertEqual(self.get(daemon, "/v1/daemon")[1]["zookeeper"]["outages"], [])
        self.server.drop_connections()
        self.reactor.pass_time(3)
        found = self.get(daemon, "/v1/daemon")[1]["zookeeper"]
        (outage,) = found["outages"]
        self.assertTrue(outage["reason"].startswith("the connection was lost: "), outage)
        self.assertIsNotNone(outage["ended"])
        self.assertEqual((found["connected"], found["stale"], found["age"]), (True, False, 0.0))
        self.assertEqual(found["server"], "127.0.0.1:2181")
        self.assertIsNotNone(found["latency"])


class MetricsTests(ReadersTestCase):
    def test_http(self) -> None:
        """Answers are counted by their routes and statuses; streams and waits while they are open."""
        daemon = self.daemon(service("web", checks=0), '[http]\nlisten = "127.0.0.1:1"')
        self.reactor.pass_time(1)
        _, found = self.get(daemon, "/v1/services")
        self.get(daemon, "/v1/services/nope")
        self.begin(daemon, "/v1/nope")
        self.begin(daemon, "/v1/daemon", "POST")
        self.begin(daemon, "/v1/events")
        self.begin(daemon, f"/v1/services?index={found['index']}&wait=10m")
        text = self.begin(daemon, "/metrics").value().decode()
        for line in (
            'txmirror_http_replies_total{route="/v1/services",status="200"} 1.0',
            'txmirror_http_replies_total{route="/v1/services/<name>",status="404"} 1.0',
            'txmirror_http_replies_total{route="none",status="404"} 1.0',
            'txmirror_http_replies_total{route="none",status="405"} 1.0',
            'txmirror_http_replies_total{route="/v1/events",status="200"} 1.0',
            "txmirror_http_open_streams 1.0",
            "txmirror_http_streams_total 1.0",
            "txmirror_http_snapshots_total 1.0",
            "txmirror_http_waiting 1.0",
            "txmirror_http_listening 1.0",
            "txmirror_http_duration_seconds_count 5.0",
        ):
            self.assertIn(f"{line}\n", text)
        self.lose_all()
        text = self.begin(daemon, "/metrics").value().decode()
        self.assertIn("txmirror_http_open_streams 0.0\n", text)
        self.assertIn("txmirror_http_waiting 0.0\n", text)
