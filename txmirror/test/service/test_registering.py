"""The service that twistd runs: it starts and stops in any state of ZooKeeper, and logs its actions."""

from __future__ import annotations

import json

from twisted.application.service import IService, MultiService
from twisted.internet.defer import Deferred
from twisted.logger import ILogObserver, LogEvent, LogLevel, formatEvent, globalLogPublisher
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer
from zope.interface.verify import verifyObject

from txmirror.access import Access, parse_acl
from txmirror.client import DigestMD5, ZooKeeperClient
from txmirror.configuration import from_options
from txmirror.embedded import EmbeddedServer
from txmirror.errors import NoNodeException
from txmirror.service import RegistrationService
from txmirror.service.report import describe_daemon
from txmirror.test.constant_random import ConstantRandom
from txmirror.testing import MemoryReactor
from txmirror.types import READ_ACL, digest_acl

PATHS = ("/services/ssh/server1:22", "/services/web/server1:80")


@implementer(ILogObserver)
class Log:
    """Keeps the lines that this package logs, from information upwards."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.worst = LogLevel.info

    def __call__(self, event: LogEvent) -> None:
        if event["log_namespace"].startswith("txmirror.") and event["log_level"] >= LogLevel.info:
            self.lines.append(formatEvent(event))
            self.worst = max(self.worst, event["log_level"])

    def about(self, text: str) -> list[str]:
        return [line for line in self.lines if text in line]


class ServiceTestCase(SynchronousTestCase):
    def setUp(self) -> None:
        self.reactor = MemoryReactor()
        self.chance = ConstantRandom(0.5)
        self.log = Log()
        globalLogPublisher.addObserver(self.log)
        self.addCleanup(globalLogPublisher.removeObserver, self.log)
        self.clients: list[ZooKeeperClient] = []

    def tearDown(self) -> None:
        for client in self.clients:
            client.close()
        self.reactor.pass_time(6)

    def service(self, servers: str | None = "127.0.0.1:2181", access: Access | None = None) -> RegistrationService:
        configuration = from_options(
            [("data", "foo=bar"), *(("register", path) for path in PATHS)],
            servers="localhost:2181" if servers is None else servers,
            session_timeout=4.0,
            access=access,
        )
        service = RegistrationService(configuration, embedded=servers is None, random=self.chance, reactor=self.reactor)
        self.assertTrue(verifyObject(IService, service))
        return service

    def client(self, address: str = "127.0.0.1:2181") -> ZooKeeperClient:
        client = ZooKeeperClient(address, random=self.chance, reactor=self.reactor)
        self.clients.append(client)
        connected = client.connect()
        self.reactor.settle()
        self.successResultOf(connected)
        return client

    def registered(self, client: ZooKeeperClient) -> dict[str, object]:
        """Return the data of each registered node."""
        reads = {path: client.get(path) for path in PATHS}
        self.reactor.settle()
        found: dict[str, object] = {}
        for path, read in reads.items():
            read.addErrback(lambda failure: failure.trap(NoNodeException) and None)
            answer = self.successResultOf(read)
            if answer is not None:
                found[path] = json.loads(answer[0])
        return found

    def stop(self, service: RegistrationService, seconds: float = 0.0) -> None:
        """Stop a service, which takes no longer than this."""
        stopped = service.stopService()
        self.reactor.pass_time(seconds)
        self.assertIsNone(self.successResultOf(stopped))
        self.assertFalse(service.running)


class RegistrationServiceTests(ServiceTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.server = EmbeddedServer(self.reactor)

    def tearDown(self) -> None:
        super().tearDown()
        self.server.stop()
        self.reactor.settle()
        self.assertEqual(self.reactor.getDelayedCalls(), [])
        self.assertEqual(self.reactor.links, [])

    def test_registers_and_withdraws(self) -> None:
        """Started, everything is registered with the data; stopped, it is withdrawn, and the session is over."""
        self.server.listen(2181)
        service = self.service()
        service.startService()
        client = self.client()
        found = self.registered(client)
        self.assertEqual(sorted(found), sorted(PATHS))
        for data in found.values():
            assert isinstance(data, dict)
            self.assertEqual(data["foo"], "bar")
        self.stop(service)
        self.assertEqual(self.registered(client), {})
        self.assertEqual(self.server.sessions, {client.session_id})

    def test_log(self) -> None:
        """The log has the servers, each registration, each withdrawal, and the stop."""
        self.server.listen(2181)
        service = self.service()
        service.startService()
        self.reactor.settle()
        self.stop(service)
        self.assertIn("127.0.0.1:2181", self.log.lines[0])
        for path in PATHS:
            self.assertEqual(self.log.about(path), [f"Registered {path}.", f"Withdrew {path}."])
        self.assertIn("Stopped.", self.log.lines)
        (connected,) = self.log.about("new session")
        self.assertIn("timeout 4 s", connected)
        self.assertIs(self.log.worst, LogLevel.info)

    def test_credentials(self) -> None:
        """With a user, only that user may write the registered nodes, and everybody may read them; also in a new
        session. The password is not logged.
        """
        self.server.listen(2181)
        service = self.service(access=Access("app", "hush-hush"))
        service.startService()
        client = self.client()
        client.add_auth("digest", b"app:hush-hush")
        for _ in range(2):
            self.assertEqual(len(self.registered(client)), 2)
            acl = client.get_acl(PATHS[0])
            self.reactor.settle()
            self.assertEqual(tuple(self.successResultOf(acl)[0]), (digest_acl("app", "hush-hush"), *READ_ACL))
            (session,) = self.server.sessions - {client.session_id}
            self.server.expire_session(session)
            self.reactor.pass_time(3)
        self.stop(service)
        self.assertEqual(self.registered(client), {})
        self.assertNotIn("hush", "".join(self.log.lines))

    def test_not_let_in(self) -> None:
        """If the servers refuse the credentials, the log has the reason and its result, no password, and no outage."""
        self.server.listen(2181)
        service = self.service(access=Access("bob", "hush-hush", DigestMD5("bob", "hush-hush")))
        service.startService()
        self.reactor.pass_time(300)
        self.assertEqual(self.log.worst, LogLevel.error)
        self.assertEqual(len(self.log.about("SASL")), 1)
        self.assertEqual(len(self.log.about("Nothing is registered until this program is restarted")), 1)
        self.assertEqual(self.log.about("out of reach"), [])
        self.assertNotIn("hush", "".join(self.log.lines))
        assert service.daemon is not None
        for each in service.daemon.supervisor.services.values():
            self.assertEqual(each.why(), "It has no checks, but ZooKeeper refuses the daemon's credentials.")
            self.assertEqual(each.next_action(), "none until the daemon is restarted with other credentials")
        self.assertTrue(self.successResultOf(Deferred.fromCoroutine(describe_daemon(service.daemon)))["refused"])
        self.stop(service, 3)

    def test_down_from_the_start(self) -> None:
        """The log of an outage from the start explains the effect on the services; that of a later one, the effect on
        the registrations.
        """
        service = self.service()
        service.startService()
        self.reactor.pass_time(10)
        (line,) = self.log.about("ZooKeeper is out of reach")
        self.assertIn("Services are registered as soon as it can be reached.", line)
        self.server.listen(2181)
        self.reactor.pass_time(10)
        self.assertEqual(len(self.log.about("Registered ")), len(PATHS))
        self.server.stop_listening()
        self.reactor.pass_time(1)
        self.assertIn("Registrations stay until the session expires", self.log.about("ZooKeeper is out of reach")[-1])
        assert service.daemon is not None
        self.assertFalse(self.successResultOf(Deferred.fromCoroutine(describe_daemon(service.daemon)))["refused"])
        self.stop(service, 8)

    def test_acl(self) -> None:
        """An ACL that is given stands on the nodes."""
        self.server.listen(2181)
        given = parse_acl("world:anyone:crd")
        service = self.service(access=Access(given_acl=given))
        service.startService()
        client = self.client()
        acl = client.get_acl(PATHS[0])
        self.reactor.settle()
        self.assertEqual(tuple(self.successResultOf(acl)[0]), given)
        self.stop(service)

    def test_connections_that_do_not_last(self) -> None:
        """If the connection is lost again and again, the log has few lines, and in the end one that ZooKeeper is in
        reach.
        """
        self.server.listen(2181)
        service = self.service()
        service.startService()
        self.reactor.pass_time(10)
        self.assertEqual(self.log.about("ZooKeeper is "), [])
        for _ in range(200):
            for connection in self.server.connections:
                connection.drop()
            self.reactor.pass_time(0.4)
        self.assertLess(len(self.log.about("ZooKeeper is ")), 6)
        self.assertLess(len(self.log.about("onnected")), 30)
        self.reactor.pass_time(10)
        self.assertIn("ZooKeeper is in reach again", self.log.about("ZooKeeper is ")[-1])
        self.stop(service, 1.0)

    def test_nothing_before_start(self) -> None:
        """Made, it does nothing yet."""
        self.service()
        self.assertEqual(self.reactor.getDelayedCalls(), [])
        self.assertEqual(self.log.lines, [])

    def test_zookeeper_down(self) -> None:
        """With ZooKeeper down it starts all the same, and registers when ZooKeeper comes."""
        service = self.service()
        service.startService()
        self.assertTrue(service.running)
        self.reactor.pass_time(100)
        self.server.listen(2181)
        self.reactor.pass_time(6)
        self.assertEqual(len(self.registered(self.client())), 2)
        self.stop(service)

    def test_stop_before_a_connection(self) -> None:
        """Stopped before ZooKeeper was ever reached, it has stopped at once."""
        service = self.service()
        service.startService()
        self.reactor.pass_time(10)
        self.stop(service)

    def test_stop_while_connecting(self) -> None:
        """Stopped while nobody answers, it has stopped at once."""
        self.reactor.black_hole("127.0.0.1", 2181)
        service = self.service()
        service.startService()
        self.reactor.pass_time(0.5)
        self.stop(service)

    def test_stop_out_of_reach(self) -> None:
        """With ZooKeeper out of reach the stop takes a bounded time, and the log explains the effect on the
        registrations.
        """
        self.server.listen(2181)
        service = self.service()
        service.startService()
        self.reactor.settle()
        self.server.stop_listening()
        self.reactor.settle()
        self.stop(service, 8)
        self.assertEqual(len(self.log.about("the services could not be withdrawn")), 1)
        self.assertIs(self.log.worst, LogLevel.warn)

    def test_stop_with_a_silent_server(self) -> None:
        """With a silent server the stop takes a bounded time too."""
        self.server.listen(2181)
        service = self.service()
        service.startService()
        self.reactor.settle()
        for link in self.reactor.links:
            link.stall()
        self.reactor.black_hole("127.0.0.1", 2181)
        self.stop(service, 8)
        for link in self.reactor.links:
            link.resume()

    def test_stop_during_a_short_outage(self) -> None:
        """With ZooKeeper back within a second of the stop, the registrations are withdrawn, not left behind."""
        self.server.listen(2181)
        client = self.client()
        service = self.service()
        service.startService()
        self.reactor.pass_time(5)
        self.server.stop_listening()
        self.reactor.settle()
        stopped = service.stopService()
        self.reactor.pass_time(0.5)
        self.server.listen(2181)
        self.reactor.pass_time(2)
        self.assertIsNone(self.successResultOf(stopped))
        self.reactor.pass_time(5)
        self.assertEqual(self.registered(client), {})
        self.assertEqual(self.server.sessions, {client.session_id})

    def test_outage(self) -> None:
        """An outage is logged once when it begins, and the nodes stay the same through it."""
        self.server.listen(2181)
        service = self.service()
        service.startService()
        self.reactor.settle()
        self.server.stop_listening()
        self.reactor.pass_time(60)
        self.assertEqual(len(self.log.about("ZooKeeper is out of reach")), 1)
        self.server.listen(2181)
        self.reactor.pass_time(6)
        self.assertEqual(len(self.registered(self.client())), 2)
        self.stop(service)
        self.assertEqual(len(self.log.about("ZooKeeper is out of reach")), 1)

    def test_back_is_said(self) -> None:
        """After an outage the log has that ZooKeeper is in reach again, and no line about services whose nodes were
        kept.
        """
        self.server.listen(2181)
        service = self.service()
        service.startService()
        self.reactor.settle()
        for outages in range(1, 3):
            self.server.stop_listening()
            self.reactor.pass_time(2)
            self.server.listen(2181)
            self.reactor.pass_time(3)
            self.assertEqual(len(self.log.about("ZooKeeper is in reach again.")), outages)
        for path in PATHS:
            self.assertEqual(len(self.log.about(f"Registered {path}.")), 1)
        self.stop(service)

    def test_as_a_child(self) -> None:
        """It may be part of an application: its stop is part of that one's stop."""
        self.server.listen(2181)
        application = MultiService()
        self.service().setServiceParent(application)
        application.startService()
        client = self.client()
        self.assertEqual(len(self.registered(client)), 2)
        stopped: Deferred[object] = application.stopService()
        self.reactor.settle()
        self.successResultOf(stopped)
        self.assertEqual(self.registered(client), {})


class EmbeddedTests(ServiceTestCase):
    def start(self) -> tuple[RegistrationService, ZooKeeperClient]:
        """Start a service with its own server, and a client at the address in the log."""
        service = self.service(None)
        service.startService()
        (line,) = self.log.about("listens on")
        address = line.partition("listens on ")[2].split()[0].rstrip(".")
        return service, self.client(address)

    def finish(self, service: RegistrationService) -> None:
        """Stop a service: no connection, no port and no timer is left of it and its server."""
        self.stop(service)
        for client in self.clients:
            client.close()
        self.reactor.pass_time(6)
        self.assertEqual(self.reactor.getDelayedCalls(), [])
        self.assertEqual(self.reactor.links, [])
        self.assertEqual(self.reactor.listeners(), {})

    def test_address(self) -> None:
        """The log has the address, at which any client sees the registered nodes, and on loopback only."""
        service, client = self.start()
        self.assertTrue(client.connect_string.startswith("127.0.0.1:"))
        self.assertEqual(len(self.registered(client)), 2)
        self.finish(service)

    def test_content_shown(self) -> None:
        """Registered services are shown in the log, with their data."""
        service, _ = self.start()
        for path in PATHS:
            (line,) = self.log.about(f"+ {path} ")
            self.assertIn('"foo":"bar"', line)
        self.finish(service)

    def test_changes_shown(self) -> None:
        """Nodes that clients add, change and remove are shown."""
        service, client = self.start()
        self.log.lines.clear()
        client.create("/services/other", b"one")
        self.reactor.settle()
        client.set("/services/other", b"two")
        self.reactor.settle()
        client.delete("/services/other")
        self.reactor.settle()
        expected = ["+ /services/other  one", "~ /services/other  two", "- /services/other"]
        self.assertEqual(self.log.about("registry: "), [f"registry: {line}" for line in expected])
        self.finish(service)

    def test_quiet(self) -> None:
        """From start to stop there is nothing to warn of."""
        service, client = self.start()
        closed = client.close()
        self.reactor.settle()
        self.successResultOf(closed)
        self.finish(service)
        self.assertIs(self.log.worst, LogLevel.info)
