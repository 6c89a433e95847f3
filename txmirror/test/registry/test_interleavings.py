"""A registry when things come at an awkward moment, in an awkward order, or with awkward arguments."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from types import MappingProxyType
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.python.failure import Failure

from txmirror.errors import InvalidStateException, NoAuthException, NoConnection
from txmirror.mirror import Mirror
from txmirror.registry import ServiceRegistry, stored_answers
from txmirror.test.registry.case import NODE, PATH, RegistryTestCase
from txmirror.types import ACL, Answer, Permission


class GivenMirrorCase(RegistryTestCase):
    """Registries on a mirror of the program's own."""

    def given(self, session_timeout: float = 30.0, **options: Any) -> tuple[Mirror, ServiceRegistry]:
        """Make a mirror that is connected, and a registry on it."""
        mirror = Mirror(self.world.connect_string, session_timeout=session_timeout, reactor=self.reactor)
        self.world.result(mirror.connect())
        registry = ServiceRegistry(mirror=mirror, timeout=self.timeout, **options)
        self.mirrors.append(mirror)
        self.registries.append(registry)
        return mirror, registry

    def setUp(self) -> None:
        self.mirrors: list[Mirror] = []
        super().setUp()

    def end(self) -> None:
        self.come_back()
        stopped = [registry.stop() for registry in self.registries]
        self.world.pass_time(10)
        closed = [mirror.close() for mirror in self.mirrors]
        self.world.settle()
        for each in stopped + closed:
            self.successResultOf(each)
        self.world.close()


class StateCallbackTests(GivenMirrorCase):
    """State callbacks that start and stop the registry."""

    def test_stop(self) -> None:
        """A callback of the connection may stop the registry, which is disconnected then, and follows nothing."""
        _, registry = self.given()
        stopped: list[Deferred[None]] = []
        registry.get_state(lambda up: stopped.append(registry.stop()) if up else None)
        self.failure(registry.get(PATH), NoConnection)
        self.successResultOf(stopped[0])
        self.make(NODE)
        self.world.settle()
        self.assertTrue(registry.stale(PATH))


class CancelledTests(RegistryTestCase):
    """Cancelling ends a wait, and nothing else."""

    def cancel(self, waiting: Deferred[Any]) -> None:
        """End a wait that is not over yet."""
        self.assertNoResult(waiting)
        waiting.addErrback(lambda _: None)
        waiting.cancel()
        self.world.settle()

    def test_stop(self) -> None:
        """A stop goes on: the cache file is written, and no timer is left."""
        path = self.mktemp()
        registry = self.started(cachefile=path)
        self.world.result(registry.get("/"))
        self.cancel(registry.stop())
        self.assertTrue(Path(path).exists())
        self.world.result(self.other.close())
        self.assertEqual([call for call in self.reactor.getDelayedCalls() if call.getTime() > 30], [])

    def test_rebuild(self) -> None:
        """A cancelled ``rebuild`` leaves the node registered."""
        registry = self.started()
        self.world.result(registry.set_node(NODE))
        self.cancel(registry.rebuild())
        self.assertIsNotNone(self.stat())

    def test_start(self) -> None:
        """A cancelled start, when the last connection is closed, leaves the node registered."""
        registry = self.started()
        self.world.result(registry.set_node(NODE))
        registry.stop()
        self.cancel(registry.start())
        self.assertIsNotNone(self.stat())


class PromisedTests(RegistryTestCase):
    """The writes that a lazy registry has still to do."""

    def promised(self) -> ServiceRegistry:
        """Make a registry that has promised to write a node, and to delete another, with ZooKeeper away."""
        self.make("/old")
        registry = self.started(lazy=True)
        self.go_away()
        written, deleted = registry.set_data("/a", {"a": 1}), registry.unset("/old")
        self.world.pass_time(self.timeout + 1)
        self.assertIs(self.successResultOf(written), False)
        self.assertIs(self.successResultOf(deleted), False)
        return registry

    def check(self) -> None:
        """Check that both writes are done when ZooKeeper is back, and not again after that."""
        self.come_back()
        self.world.pass_time(10)
        self.assertEqual((self.says("/a"), self.stat("/old")), ({"a": 1}, None))
        self.world.result(self.other.delete("/a"))
        self.world.result(self.registries[0].rebuild())
        self.world.pass_time(10)
        self.assertIsNone(self.stat("/a"))

    def test_rebuild(self) -> None:
        """A postponed write is completed although the registry is rebuilt meanwhile."""
        registry = self.promised()
        registry.rebuild()
        self.world.pass_time(10)
        registry.rebuild()
        self.world.pass_time(10)
        self.check()

    def test_stop(self) -> None:
        """A postponed write is completed when the registry is started again."""
        registry = self.promised()
        registry.stop()
        self.world.pass_time(10)
        registry.start()
        self.check()

    def test_cut_off(self) -> None:
        """Calls just before the registry is rebuilt are completed when ZooKeeper is back."""
        registry = self.started(lazy=True)
        self.make("/old")
        self.go_away()
        self.world.pass_time(1)
        written, deleted = registry.set_data("/a", {"a": 1}), registry.unset("/old")
        registry.rebuild()
        self.assertIs(self.successResultOf(written), False)
        self.assertIs(self.successResultOf(deleted), False)
        self.check()

    def test_last_wish(self) -> None:
        """The last call counts."""
        registry = self.promised()
        registry.rebuild()
        written = registry.set_data("/a", {"a": 2})
        self.come_back()
        self.world.pass_time(10)
        self.assertTrue(written.called)
        self.assertEqual(self.says("/a"), {"a": 2})

    def test_refused(self) -> None:
        """A refused write is not tried again, and logged once."""
        registry = self.started(lazy=True)
        self.make("/a", ephemeral=True)
        self.go_away()
        registry.set_data("/a", {"a": 1})
        self.world.pass_time(self.timeout + 1)
        registry.rebuild()
        self.come_back()
        self.world.pass_time(10)
        self.world.result(registry.rebuild())
        self.world.pass_time(1)
        self.assertEqual(len([text for text in self.warnings.texts if "could not be written" in text]), 1)


class LockTests(GivenMirrorCase):
    """Locks, where something else fails."""

    def test_waits(self) -> None:
        """A wait for a lock goes on when a write has failed."""
        registry = self.registry()
        self.go_away()
        acquired = registry.acquire_lock("/lock", wait=60)
        written = registry.set_data("/a")
        self.world.pass_time(self.timeout + 1)
        self.failure(written, NoConnection)
        self.assertNoResult(acquired)
        self.come_back()
        self.world.pass_time(30)
        self.assertIs(self.successResultOf(acquired), True)

    def test_held(self) -> None:
        """A lock stays held, as its session does."""
        _, registry = self.given()
        lock = self.world.result(registry.get_lock("/lock"))
        self.assertIs(self.world.result(lock.acquire()), True)
        (name,) = self.world.result(self.other.get_children("/lock"))
        self.go_away()
        written = registry.set_data("/a")
        self.world.pass_time(self.timeout + 1)
        self.failure(written, NoConnection)
        self.come_back()
        self.world.pass_time(10)
        self.assertIn(name, self.world.result(self.other.get_children("/lock")))


class ClosedMirrorTests(GivenMirrorCase):
    """A mirror that its owner has closed."""

    def test_closed(self) -> None:
        """With it ZooKeeper is out of reach, for every call."""
        mirror, registry = self.given()
        self.world.result(mirror.close())
        for call in (registry.start, lambda: registry.get(PATH), lambda: registry.set_node(NODE)):
            self.failure(call(), NoConnection)
        self.failure(registry.set_data(NODE), NoConnection)

    def test_closed_meanwhile(self) -> None:
        """Calls from before the mirror was closed fail, too."""
        self.timeout = 1000.0
        mirror, registry = self.given()
        self.go_away()
        asked: list[Deferred[Any]] = [registry.get(PATH), registry.set_node(NODE), registry.set_data("/a")]
        mirror.close()
        self.world.pass_time(20)
        for each in asked:
            self.failure(each, NoConnection)


class RefusedTests(RegistryTestCase):
    """Paths that may not be read."""

    def test_asked_again(self) -> None:
        """A path that an errback asks for again stays followed when the next caller is refused, too."""
        self.world.result(self.other.create("/secret", acl=[ACL(Permission.WRITE, "world", "anyone")]))
        registry = self.started()
        told: list[Answer] = []

        def again(failure: Failure) -> None:
            failure.trap(NoAuthException)
            registry.get("/secret", told.append).addErrback(lambda _: None)
            followed.append(registry._finder._discoveries["/secret"])

        followed: list[object] = []
        first, second = registry.get("/secret"), registry.get("/secret")
        first.addErrback(again)
        second.addErrback(lambda failure: followed.append(registry._finder._discoveries.get("/secret")))
        self.world.settle()
        self.assertIsNotNone(followed[0])
        self.assertIs(followed[0], followed[1])


class RegistrationTests(RegistryTestCase):
    """Registrations, and the Deferreds that wait for them."""

    def test_told(self) -> None:
        """All waiting calls get the result as it was, in order, whatever the first callback does."""
        registry = self.started()
        told: list[object] = []

        def change(outcome: bool) -> None:
            told.append(("first", outcome))
            registry.set_node(NODE, {"a": 2})

        registry.set_node(NODE, {"a": 1}).addCallback(change)
        registry.set_node(NODE, {"a": 1}).addCallback(lambda outcome: told.append(("second", outcome)))
        self.world.settle()
        self.assertEqual((told, self.says()), ([("first", True), ("second", True)], {"a": 2}))

    def test_unreadable(self) -> None:
        """A client that may no longer read the node, and gets no event of it, can delete it all the same."""
        registry = self.started()
        self.world.result(registry.set_node(NODE))
        self.world.result(self.other.set_acl(NODE, [ACL(Permission.WRITE, "world", "anyone")]))
        self.world.result(self.other.set(NODE, b"{}"))
        self.world.pass_time(1)
        self.assertIs(self.world.result(registry.unset(NODE)), True)
        self.assertIsNone(self.stat())

    def test_session_ends_and_unset(self) -> None:
        """A service withdrawn just after a new session has begun is gone, whichever session created the node."""
        for first in (0, 2, 4, 6):
            for then in range(8):
                registry = self.started()
                registry.set_node(NODE).addErrback(lambda _: None)
                self.turns(first)
                self.world.server.expire_session(self.session_of(registry))
                self.turns(then)
                gone = registry.unset(NODE)
                self.world.pass_time(3)
                self.assertIs(self.successResultOf(gone), True)
                self.assertIsNone(self.stat(), f"{first} turns, {then} turns")
                self.world.result(registry.stop())

    def turns(self, count: int) -> None:
        """Let the reactor turn so many times."""
        for _ in range(count):
            self.reactor.advance(0)

    def test_not_to_be_deleted(self) -> None:
        """A node that may not be deleted is reported as not withdrawn: to the caller, and so not in the log too."""
        registry = self.started()
        self.world.result(registry.set_node(NODE))
        acl = [ACL(Permission.READ | Permission.CREATE, "world", "anyone")]
        self.world.result(self.other.set_acl(PATH, acl))
        self.assertIn(repr(NODE), self.failure(registry.unset(NODE), NoAuthException))
        self.world.pass_time(100)
        self.assertEqual(self.warnings.texts, [])

    def test_withdrawn_unawaited(self) -> None:
        """A withdrawal that nobody waited for to its end does not stand for a later one."""
        registry = self.started(lazy=True)
        self.world.result(registry.set_node(NODE))
        self.go_away()
        gone = registry.unset(NODE)
        self.world.pass_time(self.timeout + 1)
        self.assertIs(self.successResultOf(gone), False)
        self.come_back()
        self.world.pass_time(10)
        self.make(NODE)
        self.assertIs(self.world.result(registry.unset(NODE)), True)
        self.assertIsNone(self.stat())


class DataTests(RegistryTestCase):
    """Data of other kinds."""

    def test_mapping(self) -> None:
        """Any mapping will do."""
        registry = self.started()
        facts = MappingProxyType({"a": [1]})
        self.assertIs(self.world.result(registry.set_node(NODE, facts)), True)
        self.assertIs(self.world.result(registry.set_data("/a", facts)), True)
        facts["a"].append(2)
        self.world.result(self.other.delete(NODE))
        self.world.settle()
        self.assertEqual((self.says(), self.says("/a")), ({"a": [1]}, {"a": [1]}))

    def test_true(self) -> None:
        """True is not 1, nor is 1.0: not all readers are written in Python."""
        registry = self.started()
        for value in (1, True, 1.0, [0], [False]):
            self.world.result(registry.set_node(NODE, {"a": value}))
            self.world.result(registry.set_data("/a", {"a": value}))
            self.assertEqual(repr((self.says(), self.says("/a"))), repr(({"a": value}, {"a": value})))


class ArgumentTests(RegistryTestCase):
    """Arguments that will not do."""

    def wrong(self, **options: Any) -> str:
        """Return the message of a registry for wrong arguments."""
        with self.assertRaises((TypeError, ValueError)) as caught:
            ServiceRegistry(self.world.connect_string, **{"reactor": self.reactor, **options})
        return str(caught.exception)

    def test_credentials(self) -> None:
        """Credentials are text that can be encoded; no error quotes a password."""
        self.assertIn("b'me'", self.wrong(username=b"me", password="secret"))
        self.assertIn("'\\ud800'", self.wrong(username="\ud800", password="secret"))
        for password in (b"secret", ["secret"], "secret\ud800"):
            self.assertNotIn("secret", self.wrong(username="me", password=password))
        registry = self.registry(username="me", password="secret")
        with self.assertRaises(TypeError):
            registry.set_password(b"secret")  # type: ignore[arg-type]
        self.assertEqual(self.world.result(registry.password()), "secret")

    def test_acl(self) -> None:
        """An ACL has entries."""
        self.assertIn("'o'", self.wrong(acl="open"))
        self.assertIn("('r', 'world', 'anyone')", self.wrong(acl=[("r", "world", "anyone")]))

    def test_reactor(self) -> None:
        """A mirror that is given has its reactor."""
        mirror = Mirror(self.world.connect_string, reactor=self.reactor)
        self.assertIn("Clock", self.wrong(mirror=mirror, reactor=Clock()))

    def test_wait(self) -> None:
        """A lock is waited for so long, and not for ever."""
        registry = self.registry()
        with self.assertRaises(ValueError):
            registry.acquire_lock("/lock", wait=float("inf"))

    def test_forked(self) -> None:
        """In a forked child every call is an error, also those that need no connection."""
        registry = self.registry()
        self.patch(os, "getpid", lambda: 1)
        calls: list[Callable[[], object]] = [
            registry.username,
            registry.password,
            lambda: registry.stale(PATH),
            lambda: registry.remove_callback(PATH, print),
        ]
        for call in calls:
            with self.assertRaises(InvalidStateException):
                call()
        self.registries.remove(registry)


class CacheFileTests(RegistryTestCase):
    """The cache file in bad times."""

    def test_clock_set_back(self) -> None:
        """An answer with a time in the future, from before the clock was set back, is replaced by the present one."""
        path = Path(self.mktemp())
        registry = self.started(cachefile=str(path))
        self.world.result(registry.get("/"))
        self.world.result(registry.stop())
        content = json.loads(path.read_text("utf-8"))
        content["paths"]["/"].update(time=self.reactor.seconds() + 1e6, children={"old": None})
        path.write_text(json.dumps(content), "utf-8")
        self.world.result(registry.rebuild())
        self.make("/new")
        self.world.result(registry.stop())
        self.assertEqual(list(json.loads(path.read_text("utf-8"))["paths"]["/"]["children"]), ["new", "zookeeper"])

    def test_not_writable(self) -> None:
        """A file that cannot be written is tried again now and then, and written when it can be."""
        folder = Path(self.mktemp())
        registry = self.started(cachefile=str(folder / "cache"))
        tries: list[object] = []
        merge = stored_answers.merge

        def counted(*arguments: Any) -> stored_answers.Outcome:
            tries.append(arguments)
            return merge(*arguments)

        self.patch(stored_answers, "merge", counted)
        self.world.result(registry.get("/"))
        self.world.pass_time(100)
        self.assertEqual((len(tries), len(self.warnings.texts)), (2, 1))
        folder.mkdir()
        self.world.pass_time(60)
        self.assertTrue((folder / "cache").exists())
