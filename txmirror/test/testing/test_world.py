"""A world in memory: its objects, its time, and its errors about objects that are left open."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.protocol import ServerFactory
from twisted.trial.unittest import SynchronousTestCase

from txmirror.client import Limits, ZooKeeperClient
from txmirror.errors import ConnectionLossException, NoNodeException
from txmirror.testing import MemoryReactor, World


class WorldTestCase(SynchronousTestCase):
    def world(self, **settings: Any) -> World:
        """Make a world of which nothing may be left."""
        world = World(**settings)
        self.addCleanup(world.close)
        return world


class MakingTests(WorldTestCase):
    def test_listens(self) -> None:
        """The server listens at the connection string, and any client can connect to it."""
        world = self.world()
        self.assertEqual(world.servers, (world.server,))
        self.assertEqual(world.connect_string, world.server.address)
        client = ZooKeeperClient(world.connect_string, reactor=world.reactor)
        self.assertIsNone(world.result(client.connect()))
        world.result(client.close())

    def test_settings(self) -> None:
        """Settings are passed to the server; an unknown one is refused."""
        client = self.world(tick_time=2.0).client(session_timeout=0.1)
        self.assertEqual(client.session_timeout, 4.0)
        self.assertRaises(ValueError, World, version="2.0")
        self.assertRaises(TypeError, World, no_such_setting=1)

    def test_reactor(self) -> None:
        """A reactor that was prepared is taken as it is."""
        reactor = MemoryReactor()
        reactor.advance(77.0)
        world = self.world(reactor=reactor)
        self.assertIs(world.reactor, reactor)
        world.pass_time(1.5)
        self.assertEqual(reactor.seconds(), 78.5)


class SeveralServersTests(WorldTestCase):
    def test_servers(self) -> None:
        """There are as many as were asked for, each at an address of its own, and the first is ``server``."""
        world = self.world(servers=3)
        self.assertIs(world.server, world.servers[0])
        addresses = [server.address for server in world.servers]
        self.assertEqual(len(set(addresses)), 3)
        self.assertEqual(world.connect_string, ",".join(addresses))

    def test_one_ensemble(self) -> None:
        """They have the same data and the same sessions, and a client is at one of them."""
        world = self.world(servers=2)
        one, two = (world.client(server.address) for server in world.servers)
        world.result(one.create("/a", b"1"))
        self.assertEqual(world.result(two.get("/a"))[0], b"1")
        for server, client in zip(world.servers, (one, two), strict=True):
            self.assertEqual([each.session_id for each in server.connections], [client.session_id])
            self.assertEqual(server.sessions, {one.session_id, two.session_id})

    def test_failover(self) -> None:
        """When its server goes, a client goes on at another, in the same session and at the same instant."""
        world = self.world(servers=2)
        client = world.client()
        world.result(client.create("/e", ephemeral=True))
        (gone,) = [server for server in world.servers if server.connections]
        world.result(gone.stop_listening())
        self.assertIsNotNone(world.result(client.exists("/e")))
        self.assertEqual(world.reactor.seconds(), 0.0)

    def test_settings(self) -> None:
        """Settings are the ensemble's."""
        client = self.world(servers=2, tick_time=2.0, version=["3.8", "3.9"]).client(session_timeout=0.1)
        self.assertEqual(client.session_timeout, 4.0)
        self.assertRaises(ValueError, World, servers=2, version=["3.8"])
        self.assertRaises(TypeError, World, servers=2, no_such_setting=1)

    def test_wrong_number(self) -> None:
        """A world has one to nine servers; the error for any other number contains it."""
        for number in (0, -1, 10):
            self.assertIn(repr(number), str(self.assertRaises(ValueError, World, servers=number)))
        for value in ("2", 2.0, None, True):
            self.assertIn(repr(value), str(self.assertRaises(TypeError, World, servers=value)))

    def test_closes(self) -> None:
        """All of it is closed, in no time, though a server lags and a connection at another is stalled."""
        world = World(servers=3)
        lagging, stalled = world.client(world.servers[1].address), world.client(world.servers[2].address)
        world.servers[1].lag()
        world.servers[2].connection_of(stalled.session_id).stall()
        world.close()
        self.assertEqual((lagging.session_id, stalled.session_id, world.reactor.seconds()), (0, 0, 0.0))
        self.assertEqual([server.sessions for server in world.servers], [frozenset()] * 3)
        self.assertEqual((world.reactor.links, world.reactor.listeners()), ([], {}))


class ClientTests(WorldTestCase):
    def test_connected(self) -> None:
        """A client has its session when it is returned, and each has its own."""
        world = self.world()
        first, second = world.client(), world.client(session_timeout=4.0)
        self.assertEqual(world.server.sessions, {first.session_id, second.session_id})
        self.assertEqual(second.session_timeout, 4.0)
        self.assertEqual(world.reactor.seconds(), 0.0)

    def test_not_connected(self) -> None:
        """With connect=False the client is returned before it connects."""
        world = self.world()
        client = world.client(connect=False)
        world.settle()
        self.assertEqual(client.session_id, 0)
        world.result(client.connect())
        self.assertEqual(world.server.sessions, {client.session_id})

    def test_servers(self) -> None:
        """A client may be given an address, or a chroot, of its own."""
        world = self.world()
        world.result(world.client().create("/app"))
        client = world.client(f"{world.connect_string}/app")
        world.result(client.create("/a"))
        self.assertEqual(world.result(client.get_children("/")), ["a"])

    def test_cannot_connect(self) -> None:
        """If it cannot get its session there is an error at once, and it is still closed at the end."""
        world = self.world()
        world.result(world.server.stop_listening())
        error = self.assertRaises(AssertionError, world.client)
        self.assertIn("no session at this instant: <ZooKeeperClient 127.0.0.1:", str(error))

    def test_refused(self) -> None:
        """If the servers refuse it, the failure is raised."""
        self.assertRaises(ValueError, self.world().client, session_timeout=-1)

    def test_no_chance(self) -> None:
        """Random choices are the same in each world, and differ between two clients."""
        names = []
        for _ in range(2):
            world = self.world()
            names.append([world.result(world.client().create("/a-", protect=True)) for _ in range(2)])
        self.assertEqual(names[0], names[1])
        self.assertNotEqual(*names[0])


class ResultTests(WorldTestCase):
    def test_result(self) -> None:
        """The result of a Deferred or a coroutine at this instant is returned."""
        world = self.world()
        client = world.client()

        async def work() -> int:
            await client.create("/a", b"1")
            return int((await client.get("/a"))[0]) + 1

        self.assertEqual(world.result(work()), 2)
        self.assertEqual(world.result(client.get("/a"))[0], b"1")
        self.assertIsNone(world.result(succeed(None)))

    def test_failure(self) -> None:
        """A failure is raised, and is no unhandled error any more."""
        world = self.world()
        self.assertRaises(NoNodeException, world.result, world.client().get("/a"))
        self.assertRaises(KeyError, world.result, fail(KeyError()))

    def test_later(self) -> None:
        """Without a result there is a clear error, and the Deferred goes on as if nobody had asked."""
        world = self.world()
        for outcome in ("good", ValueError("bad")):
            later: Deferred[Any] = Deferred()
            world.reactor.callLater(3.0, later.callback if isinstance(outcome, str) else later.errback, outcome)
            error = self.assertRaises(AssertionError, world.result, later)
            self.assertIn("no result yet", str(error))
            self.assertIn(repr(later), str(error))
            world.pass_time(3.0)
            if isinstance(outcome, str):
                self.assertEqual(world.result(later), outcome)
                self.assertEqual(world.result(later), outcome)
            else:
                self.assertRaises(ValueError, world.result, later)


class TimeTests(WorldTestCase):
    def test_passes(self) -> None:
        """Time passes for servers and clients together: a session lives as long as its client, and then its timeout."""
        world = self.world()
        client = world.client(session_timeout=4.0)
        world.pass_time(60.0)
        self.assertEqual(world.server.sessions, {client.session_id})
        (link,) = world.reactor.links
        world.reactor.black_hole("127.0.0.1", int(world.connect_string.split(":")[1]))
        link.cut()
        world.pass_time(5.0)
        self.assertEqual(world.server.sessions, frozenset())

    def test_settles(self) -> None:
        """settle() takes no time."""
        world = self.world()
        created = world.client().create("/a")
        self.assertNoResult(created)
        world.settle()
        self.assertEqual(self.successResultOf(created), "/a")
        self.assertEqual(world.reactor.seconds(), 0.0)


class ClosingTests(SynchronousTestCase):
    def test_all_gone(self) -> None:
        """close() removes sessions, connections, timers and ports, in any state of the clients; a second call is
        harmless.
        """
        world = World()
        idle, away, busy = world.client(), world.client(connect=False), world.client()
        cut_off = busy.create("/a")
        cut_off.addErrback(lambda failure: failure.trap(ConnectionLossException))
        world.close()
        world.close()
        for client in (idle, away, busy):
            self.assertEqual(client.session_id, 0)
        self.assertEqual(world.server.sessions, frozenset())
        self.assertEqual(world.reactor.getDelayedCalls(), [])
        self.assertEqual((world.reactor.links, world.reactor.listeners()), ([], {}))

    def test_through_faults(self) -> None:
        """Faults that were not healed do not keep it from closing."""
        world = World()
        for _ in range(2):
            world.client(limits=Limits(close_time=20.0))
        world.reactor.links[0].stall()
        world.reactor.black_hole("127.0.0.1", int(world.connect_string.split(":")[1]))
        world.reactor.links[1].cut()
        world.client("10.0.0.1", connect=False).connect().addErrback(lambda _: None)
        world.settle()
        world.result(world.server.stop_listening())
        world.close()
        self.assertEqual(world.reactor.getDelayedCalls(), [])

    def test_stalled(self) -> None:
        """Connections that are stalled go on first, so that to close them takes no time, and ends sessions as it should."""
        world = World()
        client = world.client()
        world.reactor.links[0].stall()
        world.close()
        self.assertEqual((client.session_id, world.reactor.seconds()), (0, 0.0))

    def test_delayed_call(self) -> None:
        """A delayed call that is left is named, with its time."""

        def tick() -> None:
            pass

        world = World()
        world.reactor.callLater(7.5, tick)
        error = self.assertRaises(AssertionError, world.close)
        self.assertEqual(str(error), f"left in the world: a delayed call of {tick.__qualname__} in 7.5 s")

    def test_client_of_its_own(self) -> None:
        """A client that the program has made itself, and not closed, is found by its timers."""
        world = World()
        client = ZooKeeperClient(world.connect_string, reactor=world.reactor)
        world.result(client.connect())
        error = self.assertRaises(AssertionError, world.close)
        self.assertIn("a delayed call of ", str(error))

    def test_port(self) -> None:
        """A port that is left is named."""
        world = World()
        world.reactor.listenTCP(80, ServerFactory())
        error = self.assertRaises(AssertionError, world.close)
        self.assertEqual(str(error), "left in the world: a port any:80")

    def test_context(self) -> None:
        """As a context manager a world closes itself, and raises for open objects; the exception of the test's own
        takes precedence.
        """
        with World() as world:
            world.client()
        self.assertEqual(world.reactor.getDelayedCalls(), [])

        def leave(error: Exception | None) -> None:
            with World() as world:
                world.reactor.callLater(1.0, list)
                if error is not None:
                    raise error

        self.assertRaises(AssertionError, leave, None)
        self.assertRaises(KeyError, leave, KeyError())
