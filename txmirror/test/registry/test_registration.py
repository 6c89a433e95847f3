"""A registration stays in place, whatever happens to its node, its session, its server and its replies."""

from __future__ import annotations

import gc
import os
import weakref
from collections.abc import Callable, Mapping
from itertools import pairwise
from random import Random
from typing import Any, ClassVar, TypeVar

from twisted.internet.defer import CancelledError, Deferred, succeed
from twisted.internet.protocol import ServerFactory
from twisted.logger import ILogObserver, LogEvent, LogLevel, formatEvent, globalLogPublisher
from zope.interface import implementer

from txmirror.client import ZooKeeperClient
from txmirror.client import client as client_module
from txmirror.errors import ClosingException, NoAuthException, NodeExistsException, PathError, SystemErrorException
from txmirror.mirror import Existence, Mirror, MirrorState
from txmirror.registry import CODECS, Registration, RegistrationState
from txmirror.test.embedded.peer import ServerTestCase
from txmirror.testing import Link
from txmirror.types import ACL, OPEN_ACL, READ_ACL, EventType, Permission, WatchedEvent, ZnodeStat
from txmirror.wire import CreateFlag

PATH = "/services/ssh/server1:22"
DATA = {"foo": "bar"}
#: The session timeout of the mirror whose registrations are tested, in seconds.
TIMEOUT = 4.0

_T = TypeVar("_T")


@implementer(ILogObserver)
class Log:
    """Keeps the lines that are logged by this package, from information upwards."""

    def __init__(self) -> None:
        self.lines: list[tuple[object, str]] = []

    def __call__(self, event: LogEvent) -> None:
        if event["log_namespace"].startswith("txmirror.") and event["log_level"] >= LogLevel.info:
            self.lines.append((event["log_level"], formatEvent(event)))

    def texts(self, level: object = None, about: str = "") -> list[str]:
        """Return the lines of one level, or of all, that contain something."""
        return [text for its_level, text in self.lines if level in (None, its_level) and about in text]


class Refusing(ServerFactory):
    """Closes every connection as soon as it is made."""

    noisy = False

    def buildProtocol(self, addr: object) -> None:
        return None


class RegistrationTestCase(ServerTestCase):
    """A mirror on a server, and another client that looks at the nodes and changes them."""

    def setUp(self) -> None:
        super().setUp()
        # A fight without pauses has no end: do not wait for it.
        self.reactor.patience = 20_000
        self.log = Log()
        globalLogPublisher.addObserver(self.log)
        self.addCleanup(globalLogPublisher.removeObserver, self.log)
        # The pauses between attempts are the same in every run: a long one could outlast a session.
        self.patch(client_module, "Random", lambda: Random(1))
        self.clients: list[ZooKeeperClient] = []
        self.other = self.client()
        self.mirror = Mirror(self.server.address, session_timeout=TIMEOUT, reactor=self.reactor)

    def clean_up(self) -> None:
        """End everything, and find no timer and no connection left."""
        self.reactor.undo_black_hole("127.0.0.1", 2181)
        closed = [self.mirror.close(), *(client.close() for client in self.clients)]
        self.reactor.pass_time(10)
        for done in closed:
            self.successResultOf(done)
        super().clean_up()

    # The world.

    def ask(self, deferred: Deferred[_T]) -> _T:
        """Return the result of a Deferred that fires within this instant."""
        self.reactor.settle()
        return self.successResultOf(deferred)

    def client(self) -> ZooKeeperClient:
        """Connect another client, to the present address of the server."""
        client = ZooKeeperClient(self.server.address, reactor=self.reactor)
        self.clients.append(client)
        self.ask(client.connect())
        return client

    def link(self) -> Link:
        """Return the connection of the mirror that was made last."""
        assert self.mirror.is_connected()
        return self.reactor.links[-1]

    def stop_server(self) -> None:
        self.ask(self.server.stop_listening())

    def start_server(self) -> None:
        """Let the server come back, and everybody to it."""
        self.server.listen(2181)
        self.reactor.pass_time(6)

    def disconnect(self) -> None:
        """Cut the mirror off from the server. Others that are connected stay so, but nobody new can connect."""
        self.reactor.black_hole("127.0.0.1", 2181)
        self.link().cut()
        self.reactor.settle()
        self.assertFalse(self.mirror.is_connected())

    def reconnect(self, seconds: float = 2.0) -> None:
        """Let the mirror get at the server again, which takes as long as an attempt takes that nobody answers."""
        self.reactor.undo_black_hole("127.0.0.1", 2181)
        self.reactor.pass_time(seconds)
        self.assertIs(self.mirror.state, MirrorState.SETTLED)

    # What is registered.

    def register(self, path: str = PATH) -> Registration:
        """Make a registration, and see it in place."""
        registration = Registration(self.mirror, path, DATA)
        registration.start()
        self.reactor.settle()
        self.assert_in_place(registration)
        return registration

    def at(self, path: str) -> tuple[bytes, ZnodeStat]:
        return self.ask(self.other.get(path))

    def stat(self) -> ZnodeStat:
        return self.at(PATH)[1]

    def assert_absent(self, path: str = PATH) -> None:
        self.assertIsNone(self.ask(self.other.exists(path)))

    def assert_in_place(self, registration: Registration) -> None:
        data, stat = self.at(registration.path)
        facts = CODECS["ndsr"].decode(data)
        assert isinstance(facts, dict)
        self.assertEqual((facts["foo"], facts["pid"]), ("bar", os.getpid()))
        self.assertEqual(stat.ephemeralOwner, self.mirror.client.session_id)
        self.assertIs(registration.state, RegistrationState.REGISTERED)

    def history(self, path: str = PATH) -> list[EventType]:
        """Return a list to which the events of a node are added from now on."""
        happened: list[EventType] = []

        def watch() -> None:
            existence, event = self.other.exists_and_watch(path)
            existence.addErrback(lambda _: None)
            event.addCallbacks(note, lambda _: None)

        def note(event: WatchedEvent) -> None:
            happened.append(event.type)
            watch()

        watch()
        self.reactor.settle()
        return happened

    def make_services(self) -> None:
        """Make the nodes above the one that is registered."""
        for path in ("/services", "/services/ssh"):
            self.ask(self.other.create(path))


class InheritedTests(RegistrationTestCase):
    """A node that another process has left in our session."""

    def setUp(self) -> None:
        super().setUp()
        self.make_services()
        self.ask(self.mirror.connect())

    def inherit(self, data: Mapping[str, object]) -> None:
        payload = CODECS["ndsr"].encode(data, pid=1, created=0.0)
        self.ask(self.mirror.client.create(PATH, payload, ephemeral=True))

    def start(self) -> Registration:
        registration = Registration(self.mirror, PATH, DATA, inherited=True)
        registration.start()
        return registration

    def test_right(self) -> None:
        """If it has our data, nothing is sent that writes."""
        self.inherit(DATA)
        zxid, before = self.server.zxid, self.stat()
        registration = self.start()
        self.reactor.pass_time(5)
        self.assertIs(registration.state, RegistrationState.REGISTERED)
        self.assertEqual((self.server.zxid, self.stat()), (zxid, before))

    def test_other_data(self) -> None:
        """If it has other data, that is replaced."""
        self.inherit({"foo": "other"})
        before = self.stat()
        registration = self.start()
        self.reactor.settle()
        self.assert_in_place(registration)
        self.assertEqual(self.stat().czxid, before.czxid)

    def test_missing(self) -> None:
        """If there is none, it is created."""
        registration = self.start()
        self.reactor.settle()
        self.assert_in_place(registration)

    def test_stopped_at_once(self) -> None:
        """Stopped before it was read, it is deleted all the same."""
        self.inherit(DATA)
        stopped = self.start().stop()
        self.reactor.settle()
        self.successResultOf(stopped)
        self.assert_absent()


class StartTests(RegistrationTestCase):
    def test_registers(self) -> None:
        """The node is made, in the mirror's session, with the data, and those above it that are missing."""
        registration = self.register()
        for parent in ("/services", "/services/ssh"):
            self.assertEqual(self.at(parent)[1].ephemeralOwner, 0)
            self.assertEqual(self.ask(self.other.get_acl(parent))[0], list(OPEN_ACL))
        self.assertEqual(self.log.texts(LogLevel.info, PATH), [f"Registered {PATH}."])
        self.assertIn("registered", repr(registration))
        self.assertIn(PATH, repr(registration))

    def test_before_start(self) -> None:
        """Nothing is done, nor even connected, before it is started."""
        registration = Registration(self.mirror, PATH, DATA)
        self.reactor.pass_time(5)
        self.assertIs(registration.state, RegistrationState.WITHDRAWN)
        self.assert_absent("/services")
        self.assertFalse(self.mirror.is_connected())

    def test_twice(self) -> None:
        """A second start does nothing."""
        registration = self.register()
        before = self.stat()
        registration.start()
        self.reactor.pass_time(5)
        self.assertEqual(self.stat(), before)

    def test_zookeeper_down(self) -> None:
        """With ZooKeeper out of reach it is registered when ZooKeeper comes."""
        self.stop_server()
        registration = Registration(self.mirror, PATH, DATA)
        registration.start()
        self.reactor.pass_time(100)
        self.assertIs(registration.state, RegistrationState.PENDING)
        self.start_server()
        self.assert_in_place(registration)

    def test_parents_exist(self) -> None:
        """Nodes above it that exist already are left as they are."""
        self.make_services()
        before = self.at("/services")
        self.register()
        self.assertEqual(self.at("/services"), before)

    def test_data_copied(self) -> None:
        """Later changes of the caller's data do not matter."""
        data: dict[str, object] = {"foo": "bar"}
        registration = Registration(self.mirror, PATH, data)
        data["foo"] = "other"
        registration.start()
        self.reactor.settle()
        self.assert_in_place(registration)

    def test_several(self) -> None:
        """Registrations on one mirror do not disturb one another."""
        registrations = [self.register(f"/services/ssh/server{number}:22") for number in range(5)]
        self.ask(registrations[2].stop())
        left = self.ask(self.other.get_children("/services/ssh"))
        self.assertEqual(sorted(left), [f"server{number}:22" for number in (0, 1, 3, 4)])

    def test_wrong_path(self) -> None:
        """An invalid path is refused at once, with a message that quotes it, and so is the root."""
        for path in ("services/x", "/services//x", "/services/", "/services/../x", "", "/"):
            error = self.assertRaises(PathError, Registration, self.mirror, path)
            self.assertIn(repr(path), str(error))

    def test_wrong_data(self) -> None:
        """Data that JSON cannot hold is refused at once."""
        self.assertRaises(TypeError, Registration, self.mirror, PATH, {"a": b"bytes"})
        self.assertRaises(ValueError, Registration, self.mirror, PATH, {"a": float("nan")})


class OldServerTests(RegistrationTestCase):
    """A server that does not know ``create2``, and closes the connection when it is asked for it."""

    options: ClassVar[dict[str, Any]] = {"version": "3.4"}

    def test_registers(self) -> None:
        """A registration is made there too, at the cost of one connection; the log has the missing operation once."""
        registrations = [Registration(self.mirror, f"{PATH}{number}", DATA) for number in range(3)]
        states: list[MirrorState] = []
        self.mirror.addStateWatcher("test", states.append)
        for registration in registrations:
            registration.start()
        self.reactor.pass_time(TIMEOUT)
        for registration in registrations:
            self.assert_in_place(registration)
        self.reactor.pass_time(600)
        self.assertEqual(states.count(MirrorState.DISCONNECTED), 1)
        (line,) = self.log.texts(LogLevel.warn, "does not support")
        self.assertIn("CREATE2", line)

    def test_comes_back(self) -> None:
        """After an outage it is registered again, and the missing operation is not logged again."""
        registration = Registration(self.mirror, PATH, DATA)
        registration.start()
        self.reactor.pass_time(TIMEOUT)
        for _ in range(3):
            self.reactor.pass_time(60)
            session = self.mirror.client.session_id
            self.disconnect()
            self.reactor.pass_time(3 * TIMEOUT)
            self.assertNotIn(session, self.server.sessions)
            self.reconnect(2 * TIMEOUT)
            self.assert_in_place(registration)
        self.assertEqual(len(self.log.texts(LogLevel.warn, "does not support")), 1)


class UnreadableTests(RegistrationTestCase):
    """A server that returns the stat of a node only with the permission to read it."""

    options: ClassVar[dict[str, Any]] = {"version": "3.9"}

    def test_withdrawn(self) -> None:
        """The node of a registration is withdrawn also where it may not be read any more."""
        registration = self.register()
        self.ask(self.other.set_acl(PATH, [ACL(Permission.WRITE | Permission.ADMIN, "world", "anyone")]))
        self.assertIsInstance(self.failureResultOf(self.settled(self.other.exists(PATH))).value, NoAuthException)
        self.assertIsNone(self.ask(registration.stop()))
        self.ask(self.other.create(PATH))

    def test_of_another_session(self) -> None:
        """Another session's node that may not be read is left alone."""
        self.make_services()
        registration = Registration(self.mirror, PATH, DATA)
        self.ask(self.other.create(PATH, b"", [ACL(Permission.WRITE, "world", "anyone")], ephemeral=True))
        registration.start()
        self.reactor.pass_time(10)
        self.assertIsNone(self.ask(registration.stop()))
        self.ask(self.other.set(PATH, b"there"))

    def test_own_node(self) -> None:
        """A node that we create and may not read is registered, looked at from time to time, and withdrawn. That is
        logged once.
        """
        self.make_services()
        hidden = [ACL(Permission.ALL & ~Permission.READ, "world", "anyone")]
        registration = Registration(self.mirror, PATH, DATA, acl=hidden)
        registration.start()
        self.reactor.pass_time(600)
        self.assertIs(registration.state, RegistrationState.REGISTERED)
        (warning,) = self.log.texts(LogLevel.warn, PATH)
        self.assertIn("checked every 60 s", warning)
        self.ask(self.other.delete(PATH))
        self.assertEqual(self.ask(self.other.get_children("/services/ssh")), [])
        self.reactor.pass_time(61)
        self.assertEqual(self.ask(self.other.get_children("/services/ssh")), ["server1:22"])
        self.ask(registration.keep({"foo": "other"}))
        self.ask(self.other.set_acl(PATH, OPEN_ACL))
        self.assertIn(b"other", self.at(PATH)[0])
        self.assertIsNone(self.ask(registration.stop()))
        self.assert_absent()

    def settled(self, deferred: Deferred[_T]) -> Deferred[_T]:
        self.reactor.settle()
        return deferred


class WhenRegisteredTests(RegistrationTestCase):
    def test_waits(self) -> None:
        """when_registered() fires once the node is in place."""
        self.stop_server()
        registration = Registration(self.mirror, PATH, DATA)
        waiter = registration.when_registered()
        registration.start()
        self.reactor.pass_time(10)
        self.assertNoResult(waiter)
        self.start_server()
        self.assertIsNone(self.successResultOf(waiter))
        self.assert_in_place(registration)

    def test_at_once(self) -> None:
        """when_registered() fires at once when the node is in place."""
        self.assertIsNone(self.successResultOf(self.register().when_registered()))

    def test_node_seen(self) -> None:
        """When the Deferred fires, the mirror has the node, cached before or not."""
        held = self.mirror.get(PATH)
        self.reactor.pass_time(1)
        for registration in (Registration(self.mirror, PATH, DATA), Registration(self.mirror, PATH + "1", DATA)):
            read = registration.when_registered().addCallback(
                lambda _, path: self.mirror.get(path).value(), registration.path
            )
            registration.start()
            self.assertEqual(self.ask(read), self.at(registration.path))
        self.assertIs(held.state.existence, Existence.PRESENT)

    def test_disconnected(self) -> None:
        """when_registered() waits without a connection: the state of the node is unknown."""
        registration = self.register()
        self.disconnect()
        waiter = registration.when_registered()
        self.assertNoResult(waiter)
        self.reconnect()
        self.assertIsNone(self.successResultOf(waiter))

    def test_cancel(self) -> None:
        """Cancelling ends one wait, and nothing else."""
        registration = Registration(self.mirror, PATH, DATA)
        cancelled, other = registration.when_registered(), registration.when_registered()
        cancelled.cancel()
        self.failureResultOf(cancelled, CancelledError)
        registration.start()
        self.assertIsNone(self.ask(other))
        self.assert_in_place(registration)

    def test_mirror_closed(self) -> None:
        """when_registered() fails when the mirror is closed before the node was in place, and at once after that."""
        self.stop_server()
        registration = Registration(self.mirror, PATH, DATA)
        registration.start()
        waiter = registration.when_registered()
        closed = self.mirror.close()
        self.reactor.pass_time(10)
        self.successResultOf(closed)
        self.failureResultOf(waiter, ClosingException)
        self.failureResultOf(registration.when_registered(), ClosingException)

    def test_withdrawn(self) -> None:
        """when_registered() fails when the registration is stopped before the node was in place."""
        self.stop_server()
        registration = Registration(self.mirror, PATH, DATA)
        registration.start()
        waiter = registration.when_registered()
        self.successResultOf(registration.stop())
        self.failureResultOf(waiter, ClosingException)

    def test_one_cancels_another(self) -> None:
        """The callback of one wait may cancel another."""
        registration = Registration(self.mirror, PATH, DATA)
        waiters = [registration.when_registered() for _ in range(2)]
        waiters[1].addCallback(lambda _: waiters[0].cancel())
        waiters[0].addCallback(lambda _: waiters[1].cancel())
        registration.start()
        self.reactor.settle()
        outcomes = [
            self.successResultOf(waiter.addBoth(lambda result: getattr(result, "type", None))) for waiter in waiters
        ]
        self.assertCountEqual(outcomes, [None, CancelledError])

    def test_stops_when_told(self) -> None:
        """A callback may stop the registration at once; it still takes one step at a time."""
        registration = Registration(self.mirror, PATH, DATA)
        stopped = registration.when_registered().addCallback(lambda _: registration.stop())
        registration.start()
        self.reactor.settle()
        self.disconnect()
        self.reconnect()
        self.assertIsNone(self.successResultOf(stopped))
        self.assertIs(registration.state, RegistrationState.WITHDRAWN)
        self.assertIsNone(self.ask(self.other.exists(PATH)))


class LogTests(RegistrationTestCase):
    def test_not_withdrawn(self) -> None:
        """No withdrawal is logged for a node that still exists, or never did."""
        self.register()
        absent = Registration(self.mirror, "/never/there:1", DATA)
        self.successResultOf(absent.stop())
        self.disconnect()
        closed = self.mirror.close()
        self.reactor.pass_time(10)
        self.successResultOf(closed)
        self.assertEqual(self.log.texts(about="Withdrew"), [])

    def test_nothing_to_withdraw(self) -> None:
        """No withdrawal is logged for a node that could not be created, or that another's has replaced."""
        mirror = Mirror(self.server.address + "/missing", session_timeout=TIMEOUT, reactor=self.reactor)
        refused = Registration(mirror, PATH, DATA)
        refused.start()
        replaced = self.register()
        transaction = self.other.transaction()
        transaction.delete(PATH)
        transaction.create(PATH, b"another's")
        self.ask(transaction.commit())
        self.reactor.pass_time(2)
        self.assertIs(replaced.state, RegistrationState.BLOCKED)
        for registration in (refused, replaced):
            self.ask(registration.stop())
        self.assertEqual(self.log.texts(about="Withdrew"), [])
        self.assertEqual(self.ask(self.other.get(PATH))[0], b"another's")
        self.ask(mirror.close())

    def test_former_sessions(self) -> None:
        """A node of any session that this program had before is known to be our own."""
        registration = self.register()
        first = self.stat().ephemeralOwner
        for _ in range(2):
            self.server.expire_session(self.mirror.client.session_id)
            self.reactor.pass_time(2)
            self.assert_in_place(registration)
        self.assertIn(first, registration._keeper._events.sessions)
        self.assertIn(self.stat().ephemeralOwner, registration._keeper._events.sessions)

    def test_missing_chroot(self) -> None:
        """A missing chroot is logged, and not created; once another client has created it, the node is registered
        there.
        """
        for chroot in ("/one", "/two/levels"):
            mirror = Mirror(self.server.address + chroot, session_timeout=TIMEOUT, reactor=self.reactor)
            registration = Registration(mirror, PATH, DATA)
            registration.start()
            self.reactor.pass_time(20)
            (line,) = [line for line in self.log.texts(LogLevel.warn, PATH) if chroot in line]
            self.assertIn("chroot that does not exist", line)
            self.assertIsNone(self.ask(self.other.exists("/" + chroot.split("/")[1])))
            if chroot == "/two/levels":
                self.ask(self.other.create("/two"))
            self.ask(self.other.create(chroot))
            self.reactor.pass_time(60)
            self.assertIs(registration.state, RegistrationState.REGISTERED)
            closed = mirror.close()
            self.reactor.pass_time(10)
            self.successResultOf(closed)

    def test_never_fits(self) -> None:
        """Data over the limit is logged once, and not tried again."""
        registration = Registration(self.mirror, PATH, {"much": "x" * 1_100_000})
        registration.start()
        self.reactor.pass_time(300)
        (line,) = self.log.texts(LogLevel.warn, PATH)
        self.assertIn("over the limit", line)
        self.assertNotIn("Retrying", line)
        self.assertFalse(registration._keeper._loop.pausing)


class GivenClientTests(RegistrationTestCase):
    def test_client_closed(self) -> None:
        """stop() fires when the program closes the mirror's client."""
        client = self.client()
        mirror = Mirror(client=client, reactor=self.reactor)
        registration = Registration(mirror, PATH, DATA)
        registration.start()
        self.ask(registration.when_registered())
        closed = client.close()
        self.ask(closed)
        self.assertIs(mirror.state, MirrorState.CLOSED)
        self.assertIsNone(self.ask(registration.stop()))
        self.successResultOf(mirror.close())


class DisconnectionTests(RegistrationTestCase):
    def test_pending(self) -> None:
        """While disconnected it does not claim to be registered."""
        registration = self.register()
        self.disconnect()
        self.assertIs(registration.state, RegistrationState.PENDING)

    def test_same_session(self) -> None:
        """When the session has survived, nothing is written (H6)."""
        registration = self.register()
        before, happened = self.stat(), self.history()
        self.disconnect()
        self.reactor.pass_time(1)
        self.reconnect()
        self.assert_in_place(registration)
        self.assertEqual(self.stat(), before)
        self.assertEqual(happened, [])

    def test_again_and_again(self) -> None:
        """However often the connection breaks, nothing is written."""
        registration = self.register()
        before = self.stat()
        for _ in range(20):
            self.link().cut()
            self.reactor.pass_time(1.5)
            self.assert_in_place(registration)
        self.assertEqual(self.stat(), before)
        self.assertEqual(self.log.texts(about="Registered"), [f"Registered {PATH}."])

    def test_watches_refused(self) -> None:
        """After a reconnection on which the server has refused to set the watches again, it still notices a deletion."""
        registration = self.register()
        fault = self.server.fail_next("set_watches", SystemErrorException(), session_id=self.mirror.client.session_id)
        self.link().cut()
        self.reactor.pass_time(1)
        self.assertTrue(fault.happened)
        self.ask(self.other.delete(PATH))
        self.assert_in_place(registration)

    def test_reported_again(self) -> None:
        """A node that was deleted, overwritten, or lost with its session, is reported as registered again, once each."""
        registration = self.register()
        self.disconnect()
        self.ask(self.other.delete(PATH))
        self.reconnect()
        self.assertEqual(len(self.log.texts(about="Registered")), 2)
        self.disconnect()
        self.reactor.pass_time(3 * TIMEOUT)
        self.reconnect(8)
        self.assertEqual(len(self.log.texts(about="Registered")), 3)
        self.ask(registration.stop())
        registration.start()
        self.reactor.settle()
        self.assert_in_place(registration)
        self.assertEqual(len(self.log.texts(about="Registered")), 4)

    def test_server_restart(self) -> None:
        """When the server was restarted and has kept the session, nothing is written."""
        registration = self.register()
        before = self.stat()
        self.stop_server()
        self.reactor.pass_time(2)
        self.start_server()
        self.assert_in_place(registration)
        self.assertEqual(self.stat(), before)

    def test_server_long_away(self) -> None:
        """A session that was presumed lost, but that the server has kept, keeps its node untouched."""
        registration = self.register()
        before = self.stat()
        self.stop_server()
        self.reactor.pass_time(120)
        self.start_server()
        self.assert_in_place(registration)
        self.assertEqual(self.stat(), before)

    def test_data_lost(self) -> None:
        """When the server has lost all data, the node is made again, with those above it."""
        registration = self.register()
        self.stop_server()
        self.server.wipe()
        self.start_server()
        self.reactor.pass_time(30)
        self.other = self.client()
        self.assert_in_place(registration)

    def test_session_ended_while_connected(self) -> None:
        """When the session ends, the node is made again in the next one."""
        registration = self.register()
        before = self.stat()
        self.server.expire_session(self.mirror.client.session_id)
        self.reactor.pass_time(1)
        self.assert_in_place(registration)
        self.assertNotEqual(self.stat().ephemeralOwner, before.ephemeralOwner)

    def test_session_ended_while_disconnected(self) -> None:
        """When the session has ended while we were away, the node is made again in the next one."""
        registration = self.register()
        before = self.stat()
        self.disconnect()
        self.reactor.pass_time(3 * TIMEOUT)
        self.assert_absent()
        self.reconnect(6)
        self.assert_in_place(registration)
        self.assertNotEqual(self.stat().ephemeralOwner, before.ephemeralOwner)

    def test_session_after_session(self) -> None:
        """However often the session ends, the node is back, without another's help and without a warning of ours."""
        registration = self.register()
        for _ in range(10):
            self.server.expire_session(self.mirror.client.session_id)
            # Each connection lives, and so the next one is made at once.
            self.reactor.pass_time(TIMEOUT / 2)
            self.assert_in_place(registration)
        self.assertEqual(self.log.texts(LogLevel.warn, PATH), [])

    def refuse(self, seconds: float, meanwhile: Callable[[ZooKeeperClient], Deferred[object]]) -> None:
        """Let handshakes be closed unanswered for a while, as by a server that does not serve yet. Then let another do
        something, and the mirror return after that."""
        self.stop_server()
        refusing = self.reactor.listenTCP(2181, Refusing(), interface="127.0.0.1")
        self.reactor.pass_time(seconds)
        self.server.listen(2182)
        self.ask(meanwhile(self.client()))
        self.stop_server()
        refusing.stopListening()
        self.server.listen(2181)
        self.reactor.pass_time(10)

    def test_overwritten_while_refused(self) -> None:
        """Our data is restored on return, whatever the client did to find out why it was refused."""
        registration = self.register()
        for number in range(12):
            self.refuse(TIMEOUT + 1 + number, lambda client: client.set(PATH, b"theirs").addCallback(lambda _: None))
            self.assert_in_place(registration)

    def test_session_ended_while_refused(self) -> None:
        """The node is created again in the next session, whatever the client did to find out why it was refused."""
        registration = self.register()
        for number in range(8):
            before = self.stat()

            def end(client: ZooKeeperClient, owner: int = before.ephemeralOwner) -> Deferred[object]:
                self.server.expire_session(owner)
                return succeed(None)

            self.refuse(TIMEOUT + 1 + number, end)
            self.assert_in_place(registration)
            self.assertNotEqual(self.stat().ephemeralOwner, before.ephemeralOwner)

    def test_deleted_while_disconnected(self) -> None:
        """If another client has deleted it during a disconnection, it is created again on return."""
        registration = self.register()
        session = self.mirror.client.session_id
        self.disconnect()
        self.ask(self.other.delete(PATH))
        self.reconnect()
        self.assert_in_place(registration)
        self.assertEqual(self.stat().ephemeralOwner, session)

    def test_parents_deleted_while_disconnected(self) -> None:
        """If another client has deleted the nodes above it too, they are created again on return."""
        registration = self.register()
        self.disconnect()
        for path in (PATH, "/services/ssh", "/services"):
            self.ask(self.other.delete(path))
        self.reconnect()
        self.assert_in_place(registration)

    def test_overwritten_while_disconnected(self) -> None:
        """If another client has overwritten it during a disconnection, our data is restored on return, in the same node
        (H6).
        """
        registration = self.register()
        before = self.stat()
        self.disconnect()
        self.ask(self.other.set(PATH, b"theirs"))
        self.reconnect()
        self.assert_in_place(registration)
        self.assertEqual(self.stat().czxid, before.czxid)

    def test_replaced_while_disconnected(self) -> None:
        """When another has put a node of its own there while we were away, it is waited for."""
        registration = self.register()
        self.disconnect()
        self.ask(self.other.delete(PATH))
        self.ask(self.other.create(PATH, b"theirs", ephemeral=True))
        self.reconnect()
        self.assertIs(registration.state, RegistrationState.BLOCKED)
        self.assertEqual(self.at(PATH)[0], b"theirs")
        self.ask(self.other.delete(PATH))
        self.assert_in_place(registration)

    def test_silence(self) -> None:
        """A server that goes silent for longer than the session lives costs the session, and the node comes back."""
        registration = self.register()
        self.link().stall()
        self.reactor.black_hole("127.0.0.1", 2181)
        self.reactor.pass_time(3 * TIMEOUT)
        self.reconnect(6)
        self.assert_in_place(registration)


class MeddlingTests(RegistrationTestCase):
    def test_deleted(self) -> None:
        """A node that another client deletes is restored at once."""
        registration = self.register()
        before = self.stat()
        self.ask(self.other.delete(PATH))
        self.assert_in_place(registration)
        self.assertNotEqual(self.stat().czxid, before.czxid)

    def test_overwritten(self) -> None:
        """Data that another client overwrites is restored at once, in the same node."""
        registration = self.register()
        before = self.stat()
        self.ask(self.other.set(PATH, b"theirs"))
        self.assert_in_place(registration)
        self.assertEqual(self.stat().czxid, before.czxid)

    def test_deleted_with_parents(self) -> None:
        """The nodes above it are put back too."""
        registration = self.register()
        for path in (PATH, "/services/ssh", "/services"):
            self.other.delete(path).addErrback(lambda failure: failure.trap(Exception))
        self.reactor.pass_time(5)
        self.assert_in_place(registration)

    def test_now_and_then(self) -> None:
        """Deletions a minute apart are corrected at once each time, without a warning."""
        registration = self.register()
        for _ in range(5):
            self.reactor.pass_time(61)
            self.ask(self.other.delete(PATH))
            self.assert_in_place(registration)
        self.assertEqual(self.log.texts(LogLevel.warn, PATH), [])

    def fight(self, undo: Callable[[], Deferred[_T]], seconds: float) -> list[float]:
        """Let another client undo each write, at once; return the times at which it was restored."""
        moments: list[float] = []

        def look() -> None:
            found, _ = self.other.get_and_watch(PATH)
            found.addCallbacks(undo_ours, lambda _: None)
            existence, event = self.other.exists_and_watch(PATH)
            existence.addErrback(lambda _: None)
            event.addCallbacks(lambda _: look(), lambda _: None)

        def undo_ours(found: tuple[bytes, ZnodeStat]) -> None:
            if found[0] != b"theirs":
                moments.append(self.reactor.seconds())
                undo().addErrback(lambda _: None)

        look()
        self.reactor.pass_time(seconds)
        return moments

    def assert_ever_slower(self, moments: list[float], seconds: float) -> None:
        pauses = [after - before for before, after in pairwise(moments)]
        self.assertEqual(pauses, sorted(pauses))
        self.assertTrue(30 < pauses[-1] < 61, pauses)
        self.assertTrue(seconds / 60 < len(moments) < seconds / 60 + 15, pauses)

    def test_fight_over_existence(self) -> None:
        """Against a client that always deletes it, it is restored ever more slowly, but for ever."""
        self.register()
        moments = self.fight(lambda: self.other.delete(PATH), 600)
        self.assert_ever_slower(moments, 600)

    def test_fight_over_data(self) -> None:
        """Against a client that always overwrites it, it is restored ever more slowly, but for ever."""
        self.register()
        moments = self.fight(lambda: self.other.set(PATH, b"theirs"), 600)
        self.assert_ever_slower(moments, 600)

    def test_fight_said_once(self) -> None:
        """A fight is logged once, as a warning."""
        self.register()
        self.fight(lambda: self.other.delete(PATH), 600)
        self.assertEqual(len(self.log.texts(LogLevel.warn, PATH)), 1)

    def test_after_a_fight(self) -> None:
        """When a fight has been over for a while, the next deletion is put right at once again."""
        registration = self.register()
        for _ in range(5):
            self.ask(self.other.delete(PATH))
            self.reactor.pass_time(10)
        self.assert_in_place(registration)
        self.reactor.pass_time(120)
        self.ask(self.other.delete(PATH))
        self.assert_in_place(registration)


class ForeignNodeTests(RegistrationTestCase):
    def occupy(self, *, ephemeral: bool = True) -> ZooKeeperClient:
        """Let another have a node there."""
        stranger = self.client()
        self.make_services()
        self.ask(stranger.create(PATH, b"theirs", ephemeral=ephemeral))
        return stranger

    def start(self) -> Registration:
        registration = Registration(self.mirror, PATH, DATA)
        registration.start()
        self.reactor.settle()
        return registration

    def test_waits(self) -> None:
        """The node of another session is left alone, and replaced at once when that session ends (F5, H2)."""
        stranger = self.occupy()
        before = self.at(PATH)
        registration = self.start()
        self.reactor.pass_time(100)
        self.assertIs(registration.state, RegistrationState.BLOCKED)
        self.assertEqual(self.at(PATH), before)
        self.ask(stranger.close())
        self.assert_in_place(registration)

    def test_said_once(self) -> None:
        """A node of another session is logged once, with its owner, however often its data changes."""
        stranger = self.occupy()
        self.start()
        for number in range(10):
            self.ask(stranger.set(PATH, b"%d" % number))
            self.reactor.pass_time(10)
        (warning,) = self.log.texts(LogLevel.warn, PATH)
        self.assertIn(f"{stranger.session_id & 0xFFFFFFFFFFFFFFFF:#x}", warning)

    def test_said_once_over_disconnections(self) -> None:
        """A node of another session is not logged again after each disconnection."""
        self.occupy()
        self.start()
        for _ in range(3):
            self.link().cut()
            self.reactor.pass_time(3)
        self.assertEqual(len(self.log.texts(LogLevel.warn, PATH)), 1)

    def test_another_stranger(self) -> None:
        """When a node of another owner takes the place, that is logged too."""
        stranger = self.occupy()
        registration = self.start()
        self.disconnect()
        self.ask(stranger.close())
        self.ask(self.other.create(PATH, b"too", ephemeral=True))
        self.reconnect()
        self.assertIs(registration.state, RegistrationState.BLOCKED)
        self.assertEqual(len(self.log.texts(LogLevel.warn, PATH)), 2)

    def test_former_program(self) -> None:
        """The node of a program that died is replaced as soon as that one's session has timed out, and not before
        (F5, H2)."""
        former = self.peer(timeout=4000)
        self.make_services()
        former.create(PATH, b"theirs", CreateFlag.EPHEMERAL)
        self.reactor.links[-1].cut()
        registration = self.start()
        self.reactor.pass_time(3.5)
        self.assertIs(registration.state, RegistrationState.BLOCKED)
        self.assertEqual(self.stat().ephemeralOwner, former.session)
        self.reactor.pass_time(1.5)
        self.assert_in_place(registration)
        self.assertEqual(len(self.log.texts(LogLevel.warn, PATH)), 1)

    def test_persistent(self) -> None:
        """A persistent node is left alone, and that it is in the way is logged once."""
        self.occupy(ephemeral=False)
        before = self.at(PATH)
        registration = self.start()
        self.reactor.pass_time(300)
        self.assertIs(registration.state, RegistrationState.BLOCKED)
        self.assertEqual(self.at(PATH), before)
        (warning,) = self.log.texts(LogLevel.warn, PATH)
        self.assertIn("persistent", warning)

    def test_persistent_in_its_place(self) -> None:
        """When a persistent node has replaced ours, to keep it is refused, each time, until that node is gone."""
        registration = self.register()
        for _ in range(2):
            # The second time there is a pause in which another can be faster.
            self.ask(self.other.delete(PATH))
        self.ask(self.other.create(PATH, b"theirs"))
        self.reactor.pass_time(5)
        self.assertIs(registration.state, RegistrationState.BLOCKED)
        for data in (DATA, DATA, {"foo": "other"}):
            error = self.failureResultOf(registration.keep(data), NodeExistsException).value
            self.assertEqual(error.path, PATH)
            self.assertIn("persistent", str(error))
        self.assertEqual(self.at(PATH)[0], b"theirs")
        kept = registration.keep(DATA)
        self.failureResultOf(kept, NodeExistsException)
        self.ask(self.other.delete(PATH))
        self.reactor.pass_time(60)
        self.assertIs(self.ask(registration.keep(DATA)), RegistrationState.REGISTERED)
        self.assert_in_place(registration)

    def test_not_known_in_an_outage(self) -> None:
        """In an outage a registration does not report another session's node; after it, it looks again."""
        stranger = self.occupy()
        registration = self.start()
        self.disconnect()
        kept = registration.keep(DATA)
        self.assertNoResult(kept)
        self.assertIs(registration.state, RegistrationState.PENDING)
        self.ask(stranger.delete(PATH))
        self.reconnect()
        self.assertIs(self.successResultOf(kept), RegistrationState.REGISTERED)
        self.assert_in_place(registration)

    def test_persistent_deleted(self) -> None:
        """When another client deletes the persistent node, ours is registered at once."""
        self.occupy(ephemeral=False)
        registration = self.start()
        self.ask(self.other.delete(PATH))
        self.assert_in_place(registration)

    def create_own(self, data: bytes) -> ZnodeStat:
        """Make the node in the mirror's own session, behind the registration's back."""
        self.make_services()
        self.ask(self.mirror.connect())
        self.ask(self.mirror.client.create(PATH, data, ephemeral=True))
        return self.stat()

    def test_own_node_adopted(self) -> None:
        """A node of our own session with our data is adopted as it is, and withdrawn like any other."""
        before = self.create_own(CODECS["ndsr"].encode(DATA, pid=os.getpid(), created=self.reactor.seconds()))
        registration = self.start()
        self.assert_in_place(registration)
        self.assertEqual(self.stat(), before)
        self.assertIsNone(self.ask(registration.stop()))
        self.assert_absent()

    def test_tolerated_data(self) -> None:
        """A node of our own session with facts that are tolerated stays as it is, until the facts are stated without these."""
        before = self.create_own(CODECS["ndsr"].encode({"foo": "baz"}, pid=1, created=0.0))
        registration = Registration(self.mirror, PATH, DATA, inherited=True)
        self.assertIs(self.ask(registration.keep(DATA, tolerated=[{"foo": "baz"}])), RegistrationState.REGISTERED)
        self.assertEqual(self.stat(), before)
        self.assertIs(self.ask(registration.keep({"foo": "baz"})), RegistrationState.REGISTERED)
        self.assertEqual(self.stat(), before)
        self.assertIs(self.ask(registration.keep(DATA)), RegistrationState.REGISTERED)
        self.assert_in_place(registration)
        self.assertEqual(self.stat().version, before.version + 1)
        self.assertIsNone(self.ask(registration.stop()))

    def test_own_node_with_other_data(self) -> None:
        """A node of our own session with other data gets ours, and is withdrawn like any other (H4)."""
        before = self.create_own(b"other")
        registration = self.start()
        self.assert_in_place(registration)
        self.assertEqual(self.stat().czxid, before.czxid)
        self.assertIsNone(self.ask(registration.stop()))
        self.assert_absent()


class RefusalTests(RegistrationTestCase):
    def start(self, data: str = "") -> Registration:
        registration = Registration(self.mirror, PATH, data or DATA)
        registration.start()
        self.reactor.settle()
        return registration

    def forbid(self) -> None:
        """Let nobody create anything where it is to be registered."""
        self.ask(self.other.create("/services", acl=[ACL(Permission.READ | Permission.ADMIN, "world", "anyone")]))

    def allow(self) -> None:
        self.ask(self.other.set_acl("/services", OPEN_ACL))

    def test_said_once(self) -> None:
        """A refusal by ZooKeeper is logged once, and not as a bug."""
        self.forbid()
        registration = self.start()
        self.reactor.pass_time(600)
        self.assertIs(registration.state, RegistrationState.PENDING)
        (warning,) = self.log.texts(LogLevel.warn, PATH)
        self.assertIn("not permitted by the ACL", warning)

    def test_reported(self) -> None:
        """A refusal that a Deferred has failed with is not logged as well; the next one, for another reason, is."""
        self.forbid()
        registration = Registration(self.mirror, PATH, DATA)
        refused = registration.keep(DATA)
        self.reactor.pass_time(60)
        self.failureResultOf(refused, NoAuthException)
        self.assertEqual(self.log.texts(LogLevel.warn, PATH), [])
        self.allow()
        self.ask(self.other.create("/services/ssh"))
        self.ask(self.other.create(PATH))
        self.reactor.pass_time(200)
        self.assertEqual(len(self.log.texts(LogLevel.warn, f"{PATH} is a persistent node")), 1)

    def test_tried_again_soon(self) -> None:
        """A refusal that is soon over delays it by a moment (H4)."""
        self.forbid()
        registration = self.start()
        self.allow()
        self.reactor.pass_time(0.6)
        self.assert_in_place(registration)

    def test_tried_again_ever_more_slowly(self) -> None:
        """After a minute of refusals the pauses are of about a minute (H4)."""
        self.forbid()
        registration = self.start()
        self.reactor.pass_time(64)
        self.allow()
        self.reactor.pass_time(50)
        self.assert_absent()
        self.reactor.pass_time(15)
        self.assert_in_place(registration)

    def test_unreadable(self) -> None:
        """An unreadable node in the way is logged once, and ours is registered some time after it was deleted."""
        self.make_services()
        self.ask(self.other.create(PATH, b"", [ACL(Permission.WRITE, "world", "anyone")], ephemeral=True))
        registration = self.start()
        self.reactor.pass_time(200)
        self.assertEqual(len(self.log.texts(LogLevel.warn, f"{PATH} cannot be registered")), 1)
        self.ask(self.other.delete(PATH))
        self.reactor.pass_time(130)
        self.assert_in_place(registration)

    def test_too_large(self) -> None:
        """Data over the limit of a request is logged once, and does not affect other registrations."""
        large = self.start("x" * 2_000_000)
        self.reactor.pass_time(200)
        self.assertIs(large.state, RegistrationState.PENDING)
        self.assertEqual(len(self.log.texts(LogLevel.warn, PATH)), 1)
        self.register("/services/ssh/server2:22")

    def test_below_an_ephemeral_node(self) -> None:
        """If the parent can have no children, that is logged once."""
        self.ask(self.other.create("/services"))
        self.ask(self.other.create("/services/ssh", ephemeral=True))
        registration = self.start()
        self.reactor.pass_time(200)
        self.assertIs(registration.state, RegistrationState.PENDING)
        (warning,) = self.log.texts(LogLevel.warn, PATH)
        self.assertIn("ephemeral", warning)


class LostReplyTests(RegistrationTestCase):
    def prepare(self) -> None:
        """Let the mirror know that there is no node, so that the first thing that a registration does is to create it."""
        self.make_services()
        self.mirror.get(PATH)
        self.reactor.pass_time(1)
        self.assertIs(self.mirror.state, MirrorState.SETTLED)

    def test_adopted(self) -> None:
        """When the reply to the create is lost, the node that was made is adopted, and not written again (H1)."""
        self.prepare()
        link = self.link()
        link.stall(to_server=False)
        registration = Registration(self.mirror, PATH, DATA)
        registration.start()
        made = self.stat()
        self.assertIs(registration.state, RegistrationState.PENDING)
        link.cut()
        self.reactor.pass_time(3)
        self.assert_in_place(registration)
        self.assertEqual(self.stat(), made)

    def test_never_arrived(self) -> None:
        """When the create itself is lost, it is done again (H1)."""
        self.prepare()
        link = self.link()
        link.stall(to_client=False)
        registration = Registration(self.mirror, PATH, DATA)
        registration.start()
        self.assert_absent()
        link.cut()
        self.reactor.pass_time(3)
        self.assert_in_place(registration)

    def test_session_ended(self) -> None:
        """When the reply is lost and the session too, the node is made in the next one."""
        self.prepare()
        link = self.link()
        link.stall(to_server=False)
        registration = Registration(self.mirror, PATH, DATA)
        registration.start()
        made = self.stat()
        self.server.expire_session(made.ephemeralOwner)
        link.cut()
        self.reactor.pass_time(3)
        self.assert_in_place(registration)
        self.assertNotEqual(self.stat().ephemeralOwner, made.ephemeralOwner)

    def test_lost_write(self) -> None:
        """Wherever the connection breaks while our data is restored, it is written once."""
        registration = self.register()
        for count in range(0, 300, 9):
            # Now and then is no fight.
            self.reactor.pass_time(61)
            before = self.stat()
            self.link().cut_after(to_client=count)
            self.ask(self.other.set(PATH, b"theirs"))
            self.reactor.pass_time(5)
            self.assert_in_place(registration)
            self.assertEqual(self.stat().version, before.version + 2, f"cut after {count} bytes")

    def test_any_cut(self) -> None:
        """Wherever the connection breaks while replies arrive, one node is created, and it stays the same."""
        self.make_services()
        self.mirror.get("/")
        self.reactor.pass_time(5)
        for count in range(0, 500, 9):
            path = f"/services/ssh/server{count}:22"
            self.link().cut_after(to_client=count)
            happened = self.history(path)
            registration = Registration(self.mirror, path, DATA)
            registration.start()
            self.reactor.pass_time(5)
            self.assert_in_place(registration)
            self.assertEqual(happened, [EventType.CREATED], f"cut after {count} bytes")

    def test_any_cut_on_the_way_out(self) -> None:
        """Wherever the connection breaks while requests are sent, one node is created, and it stays the same."""
        self.make_services()
        self.mirror.get("/")
        self.reactor.pass_time(5)
        for count in range(0, 400, 9):
            path = f"/services/ssh/server{count}:22"
            self.link().cut_after(to_server=count)
            happened = self.history(path)
            registration = Registration(self.mirror, path, DATA)
            registration.start()
            self.reactor.pass_time(5)
            self.assert_in_place(registration)
            self.assertEqual(happened, [EventType.CREATED], f"cut after {count} bytes")


class StopTests(RegistrationTestCase):
    def assert_withdrawn(self, registration: Registration, path: str = PATH) -> None:
        self.assert_absent(path)
        self.assertIs(registration.state, RegistrationState.WITHDRAWN)

    def after_turns(self, turns: int, call: Callable[[], object]) -> None:
        """Call something when the world has taken so many turns."""
        if turns:
            self.reactor.callLater(0, self.after_turns, turns - 1, call)
        else:
            call()

    def test_registered(self) -> None:
        """The node goes, the stop fires, and nothing brings it back."""
        registration = self.register()
        stopped = registration.stop()
        self.assertNoResult(stopped)
        self.assertIsNone(self.ask(stopped))
        self.reactor.pass_time(100)
        self.assert_withdrawn(registration)
        self.assertEqual(self.log.texts(about=PATH), [f"Registered {PATH}.", f"Withdrew {PATH}."])

    def test_fires_after_the_deletion(self) -> None:
        """When it fires, the mirror reads that the node is gone, held before or not."""
        for path in (PATH, PATH + "1"):
            registration = self.register(path)
            held = self.mirror.get(path) if path == PATH else None
            self.reactor.pass_time(1)
            read = registration.stop().addCallback(lambda _, path: self.mirror.get(path).exists(), path)
            self.assertIsNone(self.ask(read))
            self.assertTrue(held is None or held.state.existence is Existence.ABSENT)

    def test_before_start(self) -> None:
        """stop() before a start fires at once, and does not connect."""
        registration = Registration(self.mirror, PATH, DATA)
        self.assertIsNone(self.successResultOf(registration.stop()))
        self.assertFalse(self.mirror.is_connected())

    def test_before_a_connection(self) -> None:
        """With ZooKeeper never reached it fires at once, and nothing is registered when ZooKeeper comes."""
        self.stop_server()
        registration = Registration(self.mirror, PATH, DATA)
        registration.start()
        self.reactor.pass_time(5)
        self.assertIsNone(self.successResultOf(registration.stop()))
        happened = self.history()
        self.start_server()
        self.reactor.pass_time(30)
        self.assert_withdrawn(registration)
        self.assertEqual(happened, [])

    def test_during_the_create(self) -> None:
        """Stopped while the create is on its way, it takes the node away when that is done, and fires after that."""
        self.make_services()
        self.mirror.get(PATH)
        self.reactor.pass_time(1)
        link = self.link()
        link.stall(to_server=False)
        registration = Registration(self.mirror, PATH, DATA)
        registration.start()
        self.stat()
        stopped = registration.stop()
        self.reactor.settle()
        self.assertNoResult(stopped)
        link.resume()
        self.assertIsNone(self.ask(stopped))
        self.assert_withdrawn(registration)

    def test_during_the_create_and_refused(self) -> None:
        """A node whose creation was not awaited, and which may be neither deleted nor created, is found by the next start."""
        self.make_services()
        self.mirror.get(PATH)
        self.reactor.pass_time(1)
        link = self.link()
        link.stall(to_server=False)
        registration = Registration(self.mirror, PATH, DATA)
        registration.start()
        before = self.stat()
        stopped = registration.stop()
        self.ask(self.other.set_acl("/services/ssh", [ACL(Permission.READ | Permission.ADMIN, "world", "anyone")]))
        link.resume()
        self.reactor.settle()
        self.assertNoResult(stopped)
        registration.start()
        self.reactor.settle()
        self.assertIs(registration.state, RegistrationState.REGISTERED)
        self.assertEqual(self.stat(), before)
        self.ask(self.other.set_acl("/services/ssh", OPEN_ACL))

    def test_during_a_create_that_is_lost(self) -> None:
        """When the reply to that create is lost, the registration finds out its outcome on return, and fires after
        that.
        """
        self.make_services()
        self.mirror.get(PATH)
        self.reactor.pass_time(1)
        self.link().stall(to_server=False)
        registration = Registration(self.mirror, PATH, DATA)
        registration.start()
        self.stat()
        stopped = registration.stop()
        self.disconnect()
        self.assertNoResult(stopped)
        self.reconnect()
        self.assertIsNone(self.successResultOf(stopped))
        self.assert_withdrawn(registration)

    def test_at_any_turn(self) -> None:
        """Stopped at any turn of its start, it leaves nothing behind."""
        for turns in range(40):
            path = f"/services/{turns}/server1:22"
            registration = Registration(self.mirror, path, DATA)
            stopped: list[None] = []
            registration.start()
            self.after_turns(turns, lambda: registration.stop().addCallback(stopped.append))  # noqa: B023
            self.reactor.settle()
            self.assertEqual(stopped, [None], f"after {turns} turns")
            self.assert_withdrawn(registration, path)

    def test_any_cut(self) -> None:
        """Wherever the connection breaks during the withdrawal, the node is deleted, and is not created again."""
        for count in range(0, 300, 9):
            path = f"/services/ssh/server{count}:22"
            registration = self.register(path)
            happened = self.history(path)
            self.link().cut_after(to_client=count)
            stopped = registration.stop()
            self.reactor.pass_time(5)
            self.assertIsNone(self.successResultOf(stopped))
            self.assert_withdrawn(registration, path)
            self.assertEqual(happened, [EventType.DELETED], f"cut after {count} bytes")

    def test_disconnected(self) -> None:
        """Stopped while disconnected, it waits, and takes the node away on return."""
        registration = self.register()
        happened = self.history()
        self.disconnect()
        stopped = registration.stop()
        self.reactor.pass_time(1)
        self.assertNoResult(stopped)
        self.reconnect()
        self.assertIsNone(self.successResultOf(stopped))
        self.reactor.pass_time(100)
        self.assert_withdrawn(registration)
        self.assertEqual(happened, [EventType.DELETED])

    def test_outage(self) -> None:
        """stop() does not wait longer than five seconds. A warning explains that the node is deleted on return, if the
        session lives so long.
        """
        self.reactor.pass_time(1)
        registration = self.register()
        self.disconnect()
        stopped = registration.stop()
        self.reactor.pass_time(4.9)
        self.assertNoResult(stopped)
        self.reactor.pass_time(0.2)
        self.assertIsNone(self.successResultOf(stopped))
        (warning,) = self.log.texts(LogLevel.warn, PATH)
        self.assertIn("within 5 s: ZooKeeper is out of reach. The node is deleted when ZooKeeper is back", warning)
        self.assertIn(f"the session, which expires {TIMEOUT:g} s after", warning)

    def test_outage_of_own_length(self) -> None:
        """stop() waits for the given time, also for none. The withdrawal continues, and the node is deleted on return."""
        registration = self.register()
        happened = self.history()
        self.disconnect()
        stopped = registration.stop(timeout=1), registration.stop(timeout=0), registration.stop(timeout=None)
        self.reactor.settle()
        self.assertNoResult(stopped[0])
        self.assertIsNone(self.successResultOf(stopped[1]))
        self.reactor.pass_time(1)
        self.assertIsNone(self.successResultOf(stopped[0]))
        self.assertNoResult(stopped[2])
        self.reconnect()
        self.assertIsNone(self.successResultOf(stopped[2]))
        self.reactor.pass_time(100)
        self.assert_withdrawn(registration)
        self.assertEqual(happened, [EventType.DELETED])

    def test_without_limit(self) -> None:
        """Without a limit it waits until the outage is over, and logs nothing about it."""
        registration = self.register()
        self.disconnect()
        stopped = registration.stop(timeout=None)
        self.reactor.pass_time(1000)
        self.assertNoResult(stopped)
        self.assertEqual(self.log.texts(LogLevel.warn, PATH), [])
        self.reconnect(8)
        self.assertIsNone(self.successResultOf(stopped))

    def test_in_time(self) -> None:
        """Nothing is warned of that was done in time, nor is a timer left."""
        registration = self.register()
        self.assertIsNone(self.ask(registration.stop()))
        self.reactor.pass_time(10)
        self.assertEqual(self.log.texts(LogLevel.warn, PATH), [])

    def test_not_deleted(self) -> None:
        """If a connected server does not delete it in time, the warning has that."""
        registration = self.register()
        self.link().stall(to_client=False)
        stopped = registration.stop(timeout=1)
        self.reactor.pass_time(1)
        self.assertIsNone(self.successResultOf(stopped))
        (warning,) = self.log.texts(LogLevel.warn, PATH)
        self.assertIn("within 1 s: the server has not deleted it", warning)
        self.link().resume()
        self.reactor.settle()
        self.assert_withdrawn(registration)

    def test_nothing_written(self) -> None:
        """Stopped while nothing of its own is there, it fires at once, even while it waits for an answer in an outage."""
        self.make_services()
        self.ask(self.other.create(PATH, b"theirs", ephemeral=True))
        registration = Registration(self.mirror, PATH, DATA)
        registration.start()
        self.reactor.settle()
        self.assertIs(registration.state, RegistrationState.BLOCKED)
        self.link().stall(to_client=False)
        # It asks for what is there now, and then creates its own.
        self.ask(self.other.set(PATH, b"others"))
        self.assertIsNone(self.successResultOf(registration.stop()))
        self.disconnect()
        self.reconnect()
        self.reactor.pass_time(10)
        self.assertIs(registration.state, RegistrationState.WITHDRAWN)
        self.assertEqual(self.at(PATH)[0], b"others")

    def test_wrong_timeout(self) -> None:
        """An invalid number of seconds is refused, with a message that quotes it, and the node stays."""
        registration = self.register()
        wrong: tuple[tuple[Any, type[Exception]], ...]
        wrong = (
            (-1, ValueError),
            (float("nan"), ValueError),
            (float("inf"), ValueError),
            ("5", TypeError),
            (True, TypeError),
        )
        for timeout, kind in wrong:
            error = self.assertRaises(kind, registration.stop, timeout)
            self.assertIn(repr(timeout), str(error))
        self.reactor.pass_time(5)
        self.assert_in_place(registration)

    def test_disconnected_and_session_ended(self) -> None:
        """When the session has ended meanwhile, the node stays away in the next one."""
        registration = self.register()
        happened = self.history()
        self.disconnect()
        stopped = registration.stop()
        self.reactor.pass_time(3 * TIMEOUT)
        self.reconnect(6)
        self.assertIsNone(self.successResultOf(stopped))
        self.reactor.pass_time(100)
        self.assert_withdrawn(registration)
        self.assertEqual(happened, [EventType.DELETED])

    def test_disconnected_and_deleted(self) -> None:
        """If another client has deleted the node meanwhile, it stays away on return."""
        registration = self.register()
        happened = self.history()
        self.disconnect()
        stopped = registration.stop()
        self.ask(self.other.delete(PATH))
        self.reconnect()
        self.assertIsNone(self.successResultOf(stopped))
        self.assertEqual(happened, [EventType.DELETED])

    def test_at_any_turn_of_a_reconnection(self) -> None:
        """Stopped at any turn of a reconnection, it is never created again, whether or not the session survived."""
        for turns in range(0, 60, 2):
            path = f"/services/ssh/server{turns}:22"
            registration = self.register(path)
            happened = self.history(path)
            if turns % 4:
                self.server.expire_session(self.mirror.client.session_id)
            else:
                self.link().cut()
            stopped: list[int] = []

            def stop(
                registration: Registration = registration,
                happened: list[EventType] = happened,
                stopped: list[int] = stopped,
            ) -> None:
                registration.stop().addCallback(lambda _: stopped.append(len(happened)))

            self.after_turns(turns, stop)
            self.reactor.pass_time(3)
            self.assert_withdrawn(registration, path)
            (before,) = stopped
            self.assertNotIn(EventType.CREATED, happened[before:], f"after {turns} turns")

    def test_foreign_node(self) -> None:
        """Stopped while another's node is in the way, it fires at once, and leaves that node alone."""
        self.make_services()
        self.ask(self.other.create(PATH, b"theirs", ephemeral=True))
        registration = Registration(self.mirror, PATH, DATA)
        registration.start()
        self.reactor.settle()
        self.assertIsNone(self.ask(registration.stop()))
        self.assertEqual(self.at(PATH)[0], b"theirs")
        self.ask(self.other.delete(PATH))
        self.assert_withdrawn(registration)

    def test_replaced_node(self) -> None:
        """A node that another has put in the place of ours while we were away is left alone."""
        registration = self.register()
        self.disconnect()
        self.ask(self.other.delete(PATH))
        self.ask(self.other.create(PATH, b"theirs", ephemeral=True))
        stopped = registration.stop()
        self.reconnect()
        self.assertIsNone(self.successResultOf(stopped))
        self.assertEqual(self.at(PATH)[0], b"theirs")

    def test_overwritten_node(self) -> None:
        """Our node is deleted even if others have overwritten it."""
        registration = self.register()
        self.disconnect()
        self.ask(self.other.set(PATH, b"theirs"))
        stopped = registration.stop()
        self.reconnect()
        self.assertIsNone(self.successResultOf(stopped))
        self.assert_withdrawn(registration)

    def test_refused(self) -> None:
        """Stopped between two attempts that ZooKeeper refuses, it leaves no timer behind."""
        self.ask(self.other.create("/services", acl=READ_ACL))
        registration = Registration(self.mirror, PATH, DATA)
        registration.start()
        self.reactor.pass_time(64)
        self.assertIsNone(self.ask(registration.stop()))
        self.assertIs(registration.state, RegistrationState.WITHDRAWN)

    def test_forgotten(self) -> None:
        """Once it is withdrawn, the mirror does not hold on to it."""
        registration = self.register()
        self.ask(registration.stop())
        reference = weakref.ref(registration)
        del registration
        gc.collect()
        self.assertIsNone(reference())

    def test_during_a_fight(self) -> None:
        """Stopped in the pause before it is put back, it stays away."""
        registration = self.register()
        for _ in range(2):
            self.ask(self.other.delete(PATH))
        self.assert_absent()
        happened = self.history()
        self.assertIsNone(self.ask(registration.stop()))
        self.reactor.pass_time(100)
        self.assert_withdrawn(registration)
        self.assertEqual(happened, [])

    def test_twice(self) -> None:
        """Stopped twice, both fire."""
        registration = self.register()
        first, second = registration.stop(), registration.stop()
        self.assertIsNone(self.ask(first))
        self.assertIsNone(self.successResultOf(second))
        self.assertIsNone(self.successResultOf(registration.stop()))

    def test_cancelled(self) -> None:
        """Cancelling a stop ends the wait, not the withdrawal."""
        registration = self.register()
        self.disconnect()
        cancelled, other = registration.stop(), registration.stop()
        cancelled.cancel()
        self.failureResultOf(cancelled, CancelledError)
        self.reconnect()
        self.assertIsNone(self.successResultOf(other))
        self.assert_withdrawn(registration)

    def test_mirror_closed(self) -> None:
        """Stopped while disconnected, it fires when the mirror is closed."""
        registration = self.register()
        self.disconnect()
        stopped = registration.stop()
        closed = self.mirror.close()
        self.reactor.pass_time(10)
        self.assertIsNone(self.successResultOf(closed))
        self.assertIsNone(self.successResultOf(stopped))

    def test_after_the_mirror_was_closed(self) -> None:
        """Stopped after the mirror was closed, it fires at once."""
        registration = self.register()
        self.ask(self.mirror.close())
        self.assert_absent()
        self.assertIsNone(self.ask(registration.stop()))
        self.assertIs(registration.state, RegistrationState.WITHDRAWN)

    def test_started_again(self) -> None:
        """A stopped registration can be started again."""
        registration = self.register()
        for _ in range(3):
            self.ask(registration.stop())
            self.assert_absent()
            registration.start()
            self.reactor.settle()
            self.assert_in_place(registration)

    def test_taken_back(self) -> None:
        """Started again while a stop is under way, the stop fires at once and the node is in place in the end."""
        registration = self.register()
        stopped = registration.stop()
        registration.start()
        self.assertIsNone(self.successResultOf(stopped))
        self.reactor.settle()
        self.assert_in_place(registration)

    def test_taken_back_while_disconnected(self) -> None:
        """Stopped and started again while disconnected, the node is not touched."""
        registration = self.register()
        before, happened = self.stat(), self.history()
        self.disconnect()
        stopped = registration.stop()
        registration.start()
        self.assertIsNone(self.successResultOf(stopped))
        self.reconnect()
        self.assert_in_place(registration)
        self.assertEqual((self.stat(), happened), (before, []))

    def test_back_and_forth(self) -> None:
        """Stopped and started at any turns, it ends as in the last call."""
        for turns in range(20):
            path = f"/services/ssh/server{turns}:22"
            registration = self.register(path)
            for step in range(6):
                self.after_turns(turns * step, registration.start if step % 2 else registration.stop)
            self.reactor.pass_time(3)
            self.assert_in_place(registration)
            self.after_turns(turns, registration.stop)
            self.reactor.settle()
            self.assert_withdrawn(registration, path)
