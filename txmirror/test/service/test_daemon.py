"""The daemon: services are registered while their checks pass; it stops in order, and applies only differences."""

from __future__ import annotations

from typing import Any

from twisted.application.service import IService
from twisted.internet.task import Clock
from twisted.logger import LogLevel
from zope.interface.verify import verifyObject

from txmirror.checks import Status, SteadyReactor
from txmirror.configuration import ConfigurationError, from_options
from txmirror.embedded import EmbeddedServer
from txmirror.service import Daemon
from txmirror.service.supervision import Condition
from txmirror.test.constant_random import ConstantRandom
from txmirror.test.service.case import DaemonTestCase, S, service
from txmirror.types import OPEN_ACL, digest_acl


class ChecksTests(DaemonTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.server.listen(2181)

    def test_out_until_proven(self) -> None:
        """A service with checks is out until they have passed, in while they do, and out when they fail."""
        daemon = self.daemon(service("web"), service("db", checks=0))
        self.assertTrue(verifyObject(IService, daemon))
        self.assertEqual(list(self.registered()), ["db"])
        self.push(daemon, "web")
        self.assertEqual(list(self.registered()), ["db", "web"])
        self.push(daemon, "web", Status.FAIL)
        self.assertEqual(list(self.registered()), ["db"])
        self.push(daemon, "web")
        self.assertEqual(list(self.registered()), ["db", "web"])

    def test_log(self) -> None:
        """Each change is one line with the reason."""
        daemon = self.daemon(service("web"))
        self.push(daemon, "web")
        daemon.supervisor.push("web", "c0", Status.FAIL, "no disk")
        self.reactor.settle()
        lines = [
            "Service web is up: check c0 passes.",
            "Registered /services/web:1.",
            "Service web is down: check c0 failed once (no disk).",
            "Withdrew /services/web:1.",
        ]
        self.assertEqual(self.log.about("web"), lines)
        self.assertIs(self.log.worst, LogLevel.info)

    def test_data_and_path_per_service(self) -> None:
        """Each service has its own data, with types."""
        self.daemon(service("a", checks=0, data__weight=3, data__on=True), service("b", checks=0, data__x="3"))
        found = self.registered()
        self.assertEqual((found["a"]["weight"], found["a"]["on"]), (3, True))
        self.assertEqual(found["b"]["x"], "3")
        self.assertNotIn("x", found["a"])

    def test_container(self) -> None:
        """The node above a service's is a container if that is configured: it goes some time after its last child."""
        daemon = self.daemon(service("web", checks=0), zookeeper='parent = "container"')
        self.assertEqual(list(self.registered()), ["web"])
        self.end(daemon)
        self.reactor.pass_time(130)
        reading = self.clients[0].exists("/services")
        self.reactor.settle()
        self.assertIsNone(self.successResultOf(reading))

    def test_depends(self) -> None:
        """A service that depends on another is in only while that one is."""
        daemon = self.daemon(service("web", checks=0, depends=["db"]), service("db"))
        self.assertEqual(list(self.registered()), [])
        web = daemon.supervisor.services["web"]
        self.assertIs(web.condition, Condition.WAITING)
        self.assertEqual(web.why(), "It depends on db, which is not registered.")
        self.push(daemon, "db")
        self.assertEqual(list(self.registered()), ["db", "web"])
        self.push(daemon, "db", Status.FAIL)
        self.assertEqual(list(self.registered()), [])

    def test_transitions(self) -> None:
        """The changes of a service are kept, with reasons; the latest 50."""
        daemon = self.daemon(service("web", flap_hold__downs=0))
        self.push(daemon, "web")
        changes = daemon.supervisor.services["web"].transitions
        conditions = [change.after for change in changes]
        self.assertEqual(conditions, [Condition.UNDECIDED, Condition.REGISTERING, Condition.REGISTERED])
        self.assertIn("/services/web:1 is in place", changes[-1].reason)
        for _ in range(40):
            self.push(daemon, "web", Status.FAIL)
            self.push(daemon, "web")
        self.assertEqual(len(daemon.supervisor.services["web"].transitions), 50)

    def test_blocked(self) -> None:
        """While another session owns the znode, the daemon waits, and the sentence explains that."""
        client = self.client()
        for path, ephemeral in (("/services", False), ("/services/web:1", True)):
            client.create(path, b"theirs", ephemeral=ephemeral)
        daemon = self.daemon(service("web", checks=0))
        web = daemon.supervisor.services["web"]
        self.assertIs(web.condition, Condition.BLOCKED)
        self.assertIn("Another session has registered /services/web:1", web.why())
        client.delete("/services/web:1")
        self.reactor.pass_time(1)
        self.assertIs(web.condition, Condition.REGISTERED)

    def test_outage_in_the_history(self) -> None:
        """An outage, and the end of it, are transitions, in the same session and in a new one."""
        daemon = self.daemon(service("web", checks=0))
        web = daemon.supervisor.services["web"]
        for seconds in (1, 4 * S):
            before = len(web.transitions)
            self.server.stop_listening()
            self.server.drop_connections()
            self.reactor.pass_time(seconds)
            self.assertIs(web.condition, Condition.REGISTERING)
            (lost,) = web.transitions[before:]
            self.assertIn("ZooKeeper is out of reach", lost.reason)
            self.server.listen(2181)
            self.reactor.pass_time(8)
            back = web.transitions[-1]
            self.assertEqual((len(web.transitions), back.after), (before + 2, Condition.REGISTERED))
            self.assertGreater(back.time, lost.time)

    def test_first_transition(self) -> None:
        """Before the first session the reason is that the service awaits it, not that ZooKeeper is out of reach."""
        self.server.stop_listening()
        daemon = self.daemon(service("web"), service("db", checks=0))
        self.push(daemon, "web")
        for name, ready in (("web", "Its checks pass"), ("db", "It has no checks")):
            reasons = [each.reason for each in daemon.supervisor.services[name].transitions]
            self.assertIn(f"{ready}: it is registered when the daemon has a session with ZooKeeper.", reasons)
            self.assertNotIn("out of reach", " ".join(reasons))

    def test_why_refused(self) -> None:
        """The reason of a service that ZooKeeper refuses explains that, until it is registered."""
        client = self.client()
        client.add_auth("digest", b"other:secret")
        client.create("/services", acl=[digest_acl("other", "secret")])
        daemon = self.daemon(service("web", checks=0))
        web = daemon.supervisor.services["web"]
        self.assertIs(web.condition, Condition.REGISTERING)
        self.assertIn("ZooKeeper refuses /services/web:1: ", web.why())
        self.reactor.pass_time(20)
        # It is retried, and not logged again by the registration.
        self.assertEqual(len(self.log.about("/services/web:1")), 1)
        client.set_acl("/services", OPEN_ACL)
        self.reactor.pass_time(120)
        self.assertIs(web.condition, Condition.REGISTERED)
        self.assertNotIn("refuses", web.why())

    def test_zookeeper_down(self) -> None:
        """With ZooKeeper down the checks continue, and the services that pass are registered when it is back."""
        self.server.stop_listening()
        daemon = self.daemon(service("web"), service("db"), service("mail"))
        self.push(daemon, "web")
        self.push(daemon, "db")
        self.push(daemon, "db", Status.FAIL)
        self.reactor.pass_time(100)
        self.assertIn("ZooKeeper is out of reach", daemon.supervisor.services["web"].why())
        self.assertEqual(len(self.log.about("ZooKeeper is out of reach")), 1)
        self.assertIn("for 1 min", self.log.about("ZooKeeper has been out of reach")[0])
        self.server.listen(2181)
        self.reactor.pass_time(8)
        self.assertEqual(list(self.registered()), ["web"])

    def test_steady(self) -> None:
        """In a minute of steady state nothing is written to ZooKeeper."""
        daemon = self.daemon(*(service(f"s{number}") for number in range(20)))
        for number in range(20):
            self.push(daemon, f"s{number}")
        before = self.server.zxid
        for _ in range(6):
            for number in range(20):
                self.push(daemon, f"s{number}")
            self.reactor.pass_time(10)
        self.assertEqual(self.server.zxid, before)

    def test_long_outage(self) -> None:
        """A long outage is logged again, at growing intervals."""
        self.daemon(service("web", checks=0))
        self.reactor.pass_time(5)
        self.server.stop_listening()
        self.reactor.pass_time(3600)
        again = self.log.about("ZooKeeper has been out of reach for")
        self.assertEqual(len(again), 5)
        self.assertIn("for 1 min", again[0])
        self.server.listen(2181)
        self.reactor.pass_time(10)
        self.assertEqual(len(self.log.about("ZooKeeper is in reach again.")), 1)

    def test_options(self) -> None:
        """Services that options name are the same, without files; then there is nothing to reload."""
        items = [("register", "/services/web:1"), ("data", "n=3")]
        configuration = from_options(items, servers="127.0.0.1:2181", session_timeout=S)
        daemon = self.make_daemon(configuration)
        daemon.startService()
        self.running.append(daemon)
        self.reactor.settle()
        self.assertEqual(self.registered()["web"]["n"], 3)
        self.failureResultOf(daemon.reload(), ConfigurationError)


class Drawn(ConstantRandom):
    """Random numbers that count how many were drawn."""

    count = 0

    def random(self) -> float:
        """Return the number."""
        self.count += 1
        return super().random()


class RandomTests(DaemonTestCase):
    def test_of_the_client(self) -> None:
        """The client draws its pauses from the daemon's random numbers, too."""
        self.chance = drawn = Drawn(0.5)
        self.daemon(service("web", checks=0))
        before = drawn.count
        self.reactor.pass_time(10)
        self.assertGreater(drawn.count, before)


class WallClockTests(DaemonTestCase):
    def test_set(self) -> None:
        """When the wall clock is set, in either direction, the session lives on, and the checks have their results."""
        steady = Clock()
        server = EmbeddedServer(SteadyReactor(self.reactor, steady))  # type: ignore[arg-type]
        server.listen(2181)
        self.write(service("web"))
        daemon = self.make_daemon(self.load(), clock=steady)
        daemon.startService()
        self.pass_time(steady, 1)
        sessions = server.sessions
        self.assertEqual(len(sessions), 1)
        for jump in (-3600.0, 3600.0):
            self.reactor.rightNow += jump
            self.pass_time(steady, 5 * S)
            self.assertEqual(server.sessions, sessions)
        self.assertEqual(self.log.about("isconnected"), [])
        daemon.supervisor.push("web", "c0", Status.OK, "")
        self.pass_time(steady, 1)
        self.assertEqual(daemon.supervisor.services["web"].condition, Condition.REGISTERED)
        stopped = daemon.stopService()
        self.pass_time(steady, 1)
        self.successResultOf(stopped)
        server.stop()
        self.pass_time(steady, 6)

    def pass_time(self, steady: Clock, seconds: float) -> None:
        for _ in range(round(seconds * 10)):
            steady.advance(0.1)
            self.reactor.pass_time(0.1)


class OldServerTests(DaemonTestCase):
    imitate = "3.4"

    def test_container(self) -> None:
        """On a server without containers the node above a service's is persistent."""
        self.server.listen(2181)
        self.daemon(service("web", checks=0), zookeeper='parent = "container"')
        # Such a server closes the connection on a request that it does not know.
        self.reactor.pass_time(5)
        self.assertEqual(list(self.registered()), ["web"])


class StopTests(DaemonTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.server.listen(2181)
        self.client()

    def test_in_order(self) -> None:
        """The znodes go first, then the drain is waited for, and then the session ends."""
        daemon = self.daemon(service("web", checks=0, drain="5s"), service("db", checks=0, drain="2s"))
        self.assertEqual(len(self.registered()), 2)
        stopped = daemon.stopService()
        self.running.clear()
        self.reactor.pass_time(1)
        self.assertEqual(self.registered(), {})
        self.assertEqual(len(self.server.sessions), 2)
        self.reactor.pass_time(3.9)
        self.assertNoResult(stopped)
        self.reactor.pass_time(0.2)
        self.assertIsNone(self.successResultOf(stopped))
        self.assertEqual(len(self.server.sessions), 1)
        self.assertEqual(len(self.log.about("Waiting 5 s for other programs")), 1)
        self.assertEqual(self.log.lines[-1], "Stopped.")

    def test_drain_of_what_is_registered(self) -> None:
        """A service that is not registered is not waited for."""
        daemon = self.daemon(service("web", drain="5s"))
        self.end(daemon)

    def test_hurry(self) -> None:
        """A second request to stop ends the waits."""
        daemon = self.daemon(service("web", checks=0, drain="20s"))
        stopped = daemon.stopService()
        self.running.clear()
        self.reactor.pass_time(1)
        self.assertNoResult(stopped)
        daemon.hurry()
        daemon.hurry()
        self.reactor.settle()
        self.assertIsNone(self.successResultOf(stopped))
        self.assertEqual(len(self.server.sessions), 1)
        self.assertEqual(len(self.log.about("Asked to stop again")), 1)

    def test_bounded(self) -> None:
        """With a silent server, the stop takes stop_timeout at the most."""
        daemon = self.daemon(service("web", checks=0, drain="1s"), daemon='stop_timeout = "4s"')
        for link in self.reactor.links:
            link.stall()
        self.reactor.black_hole("127.0.0.1", 2181)
        self.end(daemon, 4)
        for link in self.reactor.links:
            link.resume()
        self.reactor.pass_time(10)

    def test_stopped_twice(self) -> None:
        """Stopped before it has connected, it has stopped at once."""
        self.server.stop_listening()
        self.end(self.daemon(service("web")))


class ReloadTests(DaemonTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.server.listen(2181)
        self.client()

    def reload(self, running: Daemon, *parts: str, **keys: Any) -> None:
        self.write(*parts, **keys)
        reloaded = running.reload()
        self.reactor.settle()
        self.successResultOf(reloaded)

    def test_difference(self) -> None:
        """A service that was added comes, one that was removed goes, and for the others there is not one write."""
        keys = {"data__n": 1}
        daemon = self.daemon(service("a"), service("b", checks=0, **keys), service("c", checks=0))
        self.push(daemon, "a")
        before = {name: self.stat(name) for name in "ab"}
        zxid = self.server.zxid
        self.reload(daemon, service("d", checks=0), service("a"), service("b", checks=0, **keys))
        self.assertEqual(list(self.registered()), ["a", "b", "d"])
        self.assertEqual({name: self.stat(name) for name in "ab"}, before)
        # One created, one deleted.
        self.assertEqual(self.server.zxid, zxid + 2)
        self.assertIn("Reloaded the configuration: added d; removed c; changed none; 2 unchanged.", self.log.lines)

    def test_nothing(self) -> None:
        """A reload without a difference writes nothing, and the checks keep their state."""
        daemon = self.daemon(service("a"))
        self.push(daemon, "a")
        zxid = self.server.zxid
        self.reload(daemon, service("a"))
        self.assertIs(daemon.supervisor.services["a"].condition, Condition.REGISTERED)
        self.assertEqual(self.server.zxid, zxid)

    def test_data(self) -> None:
        """Other data is written to the same znode."""
        daemon = self.daemon(service("a", data__x=1))
        self.push(daemon, "a")
        before = self.stat("a")
        self.reload(daemon, service("a", data__x=2))
        after = self.stat("a")
        self.assertEqual((after.czxid, after.version), (before.czxid, before.version + 1))
        self.assertEqual(self.registered()["a"]["x"], 2)

    def test_codec(self) -> None:
        """Another codec, too."""
        daemon = self.daemon(service("a", checks=0, data__x=1))
        before = self.stat("a")
        self.reload(daemon, service("a", checks=0, data__x=2, codec="zczk"))
        after = self.stat("a")
        self.assertEqual((after.czxid, after.version), (before.czxid, before.version + 1))
        self.assertEqual(set(self.registered()["a"]), {"pid", "x"})

    def test_new_before_old(self) -> None:
        """A service that moves is at its new place before it leaves the old one."""
        daemon = self.daemon(service("a", checks=0))
        old = service("a", checks=0)
        _, watch = self.clients[0].exists_and_watch("/services/a:1")
        self.reactor.settle()
        self.write(old.replace("a:1", "z:1"))
        daemon.reload()
        self.reactor.settle()
        self.assertEqual(list(self.registered()), ["z"])
        deleted = self.successResultOf(watch)
        self.assertIsNotNone(deleted)
        self.assertLess(self.stat("z").czxid, self.server.zxid)
        self.assertEqual(self.log.about("Registered /services/z")[:1], ["Registered /services/z:1."])
        self.assertLess(
            self.log.lines.index("Registered /services/z:1."), self.log.lines.index("Withdrew /services/a:1.")
        )

    def test_exchanged(self) -> None:
        """Two services may exchange their places, and neither znode is deleted."""
        one, other = service("a", checks=0, data__n=1), service("b", checks=0, data__n=2)
        daemon = self.daemon(one, other)
        before = [self.stat(name).czxid for name in "ab"]
        self.reload(daemon, one.replace("a:1", "b:1"), other.replace("b:1", "a:1"))
        self.assertEqual([self.registered()[name]["n"] for name in "ab"], [2, 1])
        self.assertEqual([self.stat(name).czxid for name in "ab"], before)

    def test_checks(self) -> None:
        """With other checks a service stays until they have decided."""
        daemon = self.daemon(service("a"))
        self.push(daemon, "a")
        before = self.stat("a")
        self.reload(daemon, service("a", checks=2))
        self.assertEqual(self.stat("a"), before)
        self.push(daemon, "a", Status.FAIL, "c1")
        self.assertEqual(self.registered(), {})

    def test_invalid(self) -> None:
        """An invalid configuration changes nothing; all errors are logged."""
        daemon = self.daemon(service("a", checks=0))
        zxid = self.server.zxid
        self.write(service("b", checks=0, drian="5s"), service("c", checks=0, codec="xml"))
        self.failureResultOf(daemon.reload(), ConfigurationError)
        self.reactor.settle()
        self.assertEqual(len(self.log.about("Not reloaded: ")), 2)
        self.assertEqual(len(self.log.about("drian")), 1)
        self.assertEqual(list(self.registered()), ["a"])
        self.assertEqual(self.server.zxid, zxid)
        self.assertEqual(list(daemon.supervisor.services), ["a"])

    def test_needs_restart(self) -> None:
        """A change of the ensemble is named each time, and the rest is applied."""
        daemon = self.daemon(service("a", checks=0))
        for count in (1, 2):
            self.reload(daemon, service("a", checks=0), zookeeper='connect_timeout = "3s"', daemon='splay = "0s"')
            line = "These changes need a restart: zookeeper.connect_timeout."
            self.assertEqual(len(self.log.about(line)), count)
        self.assertEqual(list(self.registered()), ["a"])

    def test_while_down(self) -> None:
        """A reload during an outage is applied when it ends."""
        daemon = self.daemon(service("a", checks=0), service("b", checks=0))
        self.server.stop_listening()
        self.reactor.pass_time(1)
        self.reload(daemon, service("b", checks=0), service("c", checks=0))
        self.server.listen(2181)
        self.reactor.pass_time(5)
        self.assertEqual(list(self.registered()), ["b", "c"])


class MaintenanceTests(DaemonTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.server.listen(2181)
        self.client()
        self.file = self.folder.absolute() / "maintenance"

    def start(self) -> Daemon:
        return self.daemon(service("a", checks=0), service("b", checks=0), daemon=f'maintenance_file = "{self.file}"')

    def test_service(self) -> None:
        """A service in maintenance is out, until it is ended or over."""
        daemon = self.start()
        daemon.supervisor.maintenance.set("a", "new disk", None)
        self.reactor.settle()
        self.assertEqual(list(self.registered()), ["b"])
        self.assertEqual(daemon.supervisor.services["a"].why(), "It is in maintenance: new disk.")
        daemon.supervisor.maintenance.end("a")
        self.reactor.settle()
        self.assertEqual(list(self.registered()), ["a", "b"])
        daemon.supervisor.maintenance.set("*", "kernel", self.reactor.seconds() + 100)
        self.reactor.settle()
        self.assertEqual(self.registered(), {})
        self.assertIn("kernel, until 1970-01-01 00:", daemon.supervisor.services["b"].why())
        self.reactor.pass_time(99)
        self.assertEqual(self.registered(), {})
        self.reactor.pass_time(2)
        self.assertEqual(list(self.registered()), ["a", "b"])
        self.assertEqual(self.log.about("is over"), ["The maintenance of This host is over."])

    def test_survives(self) -> None:
        """It survives a restart, and the znode does not even blink."""
        daemon = self.start()
        daemon.supervisor.maintenance.set("a", "new disk", self.reactor.seconds() + 1000)
        self.end(daemon)
        daemon = self.start()
        self.assertEqual(list(self.registered()), ["b"])
        self.assertEqual(len(self.log.about("Service a is in maintenance: new disk.")), 1)
        self.end(daemon)
        self.reactor.pass_time(1000)
        self.start()
        self.reactor.settle()
        self.assertEqual(list(self.registered()), ["a", "b"])

    def test_damaged(self) -> None:
        """A damaged file is set aside."""
        self.file.write_text("{}")
        self.start()
        self.assertEqual(list(self.registered()), ["a", "b"])
        (line,) = self.log.about("Maintenance file: ")
        self.assertIn(".damaged", line)

    def test_cannot_be_written(self) -> None:
        """If the file cannot be written, that is logged, and the maintenance holds."""
        daemon = self.start()
        self.file.mkdir()
        daemon.supervisor.maintenance.set("a", "new disk", None)
        self.reactor.settle()
        self.assertEqual(list(self.registered()), ["b"])
        self.assertEqual(len(self.log.about("cannot be written")), 1)
        self.assertFalse(daemon.supervisor.maintenance.kept)
        self.file.rmdir()
        daemon.supervisor.maintenance.set("b", "new disk", None)
        self.reactor.settle()
        self.assertTrue(daemon.supervisor.maintenance.kept)

    def test_drain(self) -> None:
        """A drain withdraws everything, and can be undone."""
        daemon = self.start()
        drained = daemon.supervisor.drain()
        self.reactor.settle()
        self.successResultOf(drained)
        self.assertEqual(self.registered(), {})
        self.assertIs(daemon.supervisor.services["a"].condition, Condition.DRAINED)
        daemon.supervisor.undo_drain()
        self.reactor.settle()
        self.assertEqual(list(self.registered()), ["a", "b"])
