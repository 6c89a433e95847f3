"""The registries and mirrors of a world: real ones, in memory, which a test can cut off from ZooKeeper."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase
from typing_extensions import assert_type

from txmirror.client import Limits
from txmirror.errors import ClosingException, NoConnection, NoNodeException
from txmirror.mirror import Mirror, MirrorState
from txmirror.registry import ServiceRegistry
from txmirror.testing import World
from txmirror.types import Answer

PATH = "/services/web"
NODE = PATH + "/host1:80"


class WorldTestCase(SynchronousTestCase):
    def setUp(self) -> None:
        self.world = World()
        self.addCleanup(self.world.close)

    def names(self, registry: ServiceRegistry[bool], path: str = PATH) -> list[str]:
        """Return the names in a registry's answer."""
        answer = self.world.result(registry.get(path))
        assert answer is not False
        return list(answer["children"])


class MirrorTests(WorldTestCase):
    def test_connected(self) -> None:
        """A mirror is a connected Mirror on the world's reactor, and shows the nodes of others."""
        mirror = self.world.mirror(session_timeout=4.0)
        self.assertIs(type(mirror), Mirror)
        self.assertIs(mirror.reactor, self.world.reactor)
        self.assertTrue(mirror.is_connected())
        self.assertEqual(self.world.server.sessions, {mirror.client.session_id})
        node = mirror.get("/a")
        self.assertRaises(NoNodeException, self.world.result, node.value())
        self.world.result(self.world.client().create("/a", b"1"))
        self.assertEqual(node.state.value, b"1")

    def test_not_connected(self) -> None:
        """With ``connect=False`` it is not connected yet."""
        mirror = self.world.mirror(connect=False)
        self.world.settle()
        self.assertEqual(self.world.server.sessions, frozenset())
        self.world.result(mirror.connect())
        self.assertTrue(mirror.is_connected())

    def test_servers(self) -> None:
        """It can have servers of its own, such as a chroot; then it has no address that can be cut off."""
        self.world.result(self.world.client().create("/app"))
        mirror = self.world.mirror(f"{self.world.connect_string}/app")
        self.world.result(mirror.create("/a"))
        self.assertIn("app", self.world.result(self.world.client().get_children("/")))
        error = self.assertRaises(ValueError, self.world.disconnect, mirror)
        self.assertIn(repr(mirror), str(error))
        self.assertRaises(ValueError, self.world.reconnect, mirror)

    def test_no_session(self) -> None:
        """If it has no session at this instant, there is an error at once, and it is closed with the world."""
        self.world.result(self.world.server.stop_listening())
        error = self.assertRaises(AssertionError, self.world.mirror)
        self.assertRegex(str(error), r"no session at this instant: <Mirror 127\.1\.0\.1:\d+ .*connect=False")

    def test_ensemble(self) -> None:
        """It connects to any server of an ensemble, and to another one when its server stops."""
        world = World(servers=3)
        self.addCleanup(world.close)
        mirror = world.mirror()
        (used,) = [server for server in world.servers if server.connections]
        world.result(used.stop_listening())
        world.pass_time(1.0)
        self.assertTrue(mirror.is_connected())
        world.disconnect(mirror)
        world.pass_time(60.0)
        self.assertEqual(world.server.sessions, frozenset())

    def test_program_closes_it(self) -> None:
        """The program may close it before the world does."""
        mirror = self.world.mirror()
        self.world.result(mirror.close())
        self.assertEqual(self.world.server.sessions, frozenset())

    def test_no_chance(self) -> None:
        """Random choices are the same in each world: the time of a reconnection too."""
        times = []
        for _ in range(2):
            with World() as world:
                mirror = world.mirror()
                world.disconnect()
                world.pass_time(60.0)
                world.reconnect()
                while not mirror.is_connected():
                    world.pass_time(0.01)
                times.append(world.reactor.seconds())
        self.assertEqual(*times)


class RegistryTests(WorldTestCase):
    def test_started(self) -> None:
        """A registry is a started ServiceRegistry on the world's reactor; each has a session of its own."""
        first, second = self.world.registry(), self.world.registry()
        self.assertIs(type(first), ServiceRegistry)
        self.assertIs(first.reactor, self.world.reactor)
        self.assertIs(self.world.result(first.get_state()), True)
        self.assertEqual(len(self.world.server.sessions), 2)
        self.world.result(first.set_node(NODE, {"version": 3}))
        self.assertEqual(self.names(second), ["host1:80"])
        self.assertEqual(self.world.reactor.seconds(), 0.0)

    def test_types(self) -> None:
        """The type checker derives the type of an answer from ``lazy``."""
        assert_type(self.world.result(self.world.registry().get(PATH)), Answer)
        assert_type(self.world.registry(lazy=True), ServiceRegistry[bool])

    def test_not_started(self) -> None:
        """With ``start=False`` it is not started yet, and its first call connects it."""
        registry = self.world.registry(start=False)
        self.world.settle()
        self.assertEqual(self.world.server.sessions, frozenset())
        self.assertEqual(self.names(registry), [])
        self.assertIs(self.world.result(registry.get_state()), True)

    def test_options(self) -> None:
        """Other arguments are the registry's."""
        registry = self.world.registry(readonly=True, session_timeout=7.0, limits=Limits(close_time=1.0))
        self.assertTrue(registry.readonly)
        self.assertEqual(registry.timeout, 7.0)
        self.assertRaises(ValueError, self.world.registry, hold_for=-1.0)
        self.assertRaises(TypeError, self.world.registry, no_such_option=1)

    def test_mirror(self) -> None:
        """A registry may use a mirror of the world."""
        mirror = self.world.mirror()
        registry = self.world.registry(mirror=mirror)
        self.world.result(registry.set_node(NODE))
        self.assertEqual(self.world.server.sessions, {mirror.client.session_id})

    def test_another_process(self) -> None:
        """Callbacks see the registrations of another process appear, and disappear when it stops or is cut off."""
        seen: list[list[str]] = []
        self.world.result(self.world.registry().get(PATH, lambda answer: seen.append(list(answer["children"]))))
        other, third = self.world.registry(), self.world.registry()
        self.world.result(other.set_node(NODE))
        self.world.pass_time(1.0)
        self.world.result(third.set_node(PATH + "/host2:80"))
        self.world.result(other.stop())
        self.world.disconnect(third)
        self.world.pass_time(10.0)
        # The path itself is created first.
        self.assertEqual(seen, [[], [], ["host1:80"], ["host1:80", "host2:80"], ["host2:80"], []])

    def test_lock(self) -> None:
        """One of two registries holds a lock; the other waits for it, for so long, and acquires it when it is released."""
        first, second = self.world.registry(), self.world.registry()
        self.assertIs(self.world.result(first.acquire_lock("/lock")), True)
        waiting = second.acquire_lock("/lock", wait=60.0)
        self.world.pass_time(59.0)
        self.assertNoResult(waiting)
        self.world.pass_time(1.0)
        self.assertIs(self.world.result(waiting), False)
        waiting = second.acquire_lock("/lock")
        self.world.settle()
        self.world.result(first.release_lock("/lock"))
        self.assertIs(self.world.result(waiting), True)

    def test_lock_of_a_lost_session(self) -> None:
        """A registry that is cut off loses its lock when its session expires."""
        first, second = self.world.registry(), self.world.registry()
        self.world.result(first.acquire_lock("/lock"))
        waiting = second.acquire_lock("/lock")
        self.world.disconnect(first)
        self.world.pass_time(10.0)
        self.assertIs(self.world.result(waiting), True)

    def test_expired_session(self) -> None:
        """A registry whose session expires registers again."""
        registry, client = self.world.registry(), self.world.client()
        self.world.result(registry.set_node(NODE))
        _, before = self.world.result(client.get(NODE))
        self.world.server.expire_session(before.ephemeralOwner)
        self.world.pass_time(5.0)
        _, after = self.world.result(client.get(NODE))
        self.assertNotEqual(after.ephemeralOwner, before.ephemeralOwner)


class OutageTests(WorldTestCase):
    def test_one(self) -> None:
        """One registry is cut off: it answers from memory, and its calls fail after its timeout; others notice nothing."""
        registry, other = self.world.registry(), self.world.registry()
        self.assertEqual(self.names(registry), [])
        self.world.disconnect(registry)
        self.world.result(other.set_node(NODE))
        self.assertEqual(self.names(registry), [])
        failing = registry.set_node(PATH + "/host2:80")
        self.world.pass_time(6.0)
        self.assertRaises(NoConnection, self.world.result, failing)
        self.world.reconnect(registry)
        self.world.pass_time(5.0)
        self.assertEqual(self.names(registry), ["host1:80"])

    def test_brief(self) -> None:
        """In a short outage the session stays."""
        registry, other = self.world.registry(), self.world.registry()
        self.world.result(registry.set_node(NODE))
        sessions = self.world.server.sessions
        self.world.disconnect(registry)
        self.world.pass_time(1.0)
        self.world.reconnect(registry)
        self.world.pass_time(4.0)
        self.assertEqual(self.world.server.sessions, sessions)
        self.assertEqual(self.names(other), ["host1:80"])

    def test_everybody(self) -> None:
        """Everybody is cut off: clients, mirrors and registries, and those that are made meanwhile."""
        client, mirror, registry = self.world.client(), self.world.mirror(), self.world.registry()
        self.world.disconnect()
        late = self.world.registry(start=False, lazy=True)
        starting = late.start()
        self.assertRaises(AssertionError, self.world.mirror)
        self.world.pass_time(60.0)
        self.assertEqual(self.world.server.sessions, frozenset())
        self.assertFalse(mirror.is_connected())
        self.assertIs(self.world.result(starting), False)
        self.world.reconnect()
        self.world.pass_time(10.0)
        self.assertIsNotNone(self.world.result(client.exists("/")))
        self.assertTrue(mirror.is_connected())
        for each in (registry, late):
            self.assertIs(self.world.result(each.get_state()), True)

    def test_one_of_all(self) -> None:
        """After an outage for everybody, one can be in reach again."""
        mirror, registry = self.world.mirror(), self.world.registry()
        self.world.disconnect()
        self.world.reconnect(mirror)
        self.world.pass_time(10.0)
        self.assertTrue(mirror.is_connected())
        self.assertIs(self.world.result(registry.get_state()), False)

    def test_restart(self) -> None:
        """A server that stops and starts again has its data and its sessions."""
        registry, other = self.world.registry(), self.world.registry()
        self.world.result(registry.set_node(NODE))
        port = int(self.world.server.address.rpartition(":")[2])
        self.world.result(self.world.server.stop_listening())
        self.world.pass_time(60.0)
        self.world.server.listen(port)
        self.world.pass_time(5.0)
        self.assertEqual(self.names(other), ["host1:80"])

    def test_strangers(self) -> None:
        """A mirror of another world cannot be cut off."""
        with World() as another:
            self.assertRaises(ValueError, self.world.disconnect, another.mirror())


class ClosingTests(SynchronousTestCase):
    def test_closes(self) -> None:
        """A world closes its mirrors and registries, which ends their sessions and withdraws their registrations."""
        world = World()
        mirror, registry, shared = world.mirror(), world.registry(), world.registry(mirror=world.mirror())
        world.result(registry.set_node(NODE))
        world.result(shared.set_node(PATH + "/host2:80"))
        world.close()
        self.assertIs(mirror.state, MirrorState.CLOSED)
        self.assertEqual((world.server.sessions, world.reactor.seconds()), (frozenset(), 0.0))
        self.assertRaises(ClosingException, world.result, mirror.get("/a").value())

    def test_in_an_outage(self) -> None:
        """It ends an outage first."""
        world = World()
        mirror, registry = world.mirror(), world.registry()
        world.result(registry.set_node(NODE))
        world.disconnect()
        world.disconnect(registry)
        asked: Deferred[Any] = registry.set_node(PATH + "/host2:80")
        asked.addErrback(lambda failure: failure.trap(NoConnection))
        world.pass_time(3.0)
        world.close()
        self.assertIs(mirror.state, MirrorState.CLOSED)
        self.assertEqual(world.reactor.getDelayedCalls(), [])

    def test_without_a_server(self) -> None:
        """Without a server it takes some time, and closes all the same."""
        world = World()
        registry = world.registry()
        world.result(registry.set_node(NODE))
        world.result(world.server.stop_listening())
        world.close()
        self.assertEqual(world.reactor.getDelayedCalls(), [])
