"""A mirror that is closed while its trees read and follow large data: nothing recurses, and soon nothing is left to do."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import attrs
from twisted.internet.defer import Deferred, fail
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from txmirror.errors import (
    ClosingException,
    ConnectionLossException,
    NoAuthException,
    UnimplementedException,
    ZooKeeperException,
)
from txmirror.mirror import Mirror
from txmirror.mirror.refresher import Refresher
from txmirror.mirror.store import DATA, NAMES, Store, TreeIndex
from txmirror.test.hypothesis_profiles import stride
from txmirror.test.mirror.world import S
from txmirror.test.models import record_complaints, run_next
from txmirror.testing import World

#: So many that one call within another for each of them would be too many for Python.
_NODES = 600

#: After how many calls of the reactor the mirror is closed.
_MOMENTS = (0, 1, 2, 3, 4, 5, 6, 8, 9, 11, 13, 16, 20, 25, 30, 40, 60)

#: How many calls of the reactor it takes, at most, to close a mirror, whatever its trees were doing.
_CALLS = 40

#: How many seconds it takes: a server before 3.5 hangs up on a request of a tree's, and the client connects once more.
_SECONDS = 0.2


class _World(World):
    """A server with many nodes, and a mirror with a session that is about to read them.

    :param version: the server's.
    :param nodes: how many there are.
    :param own: whether the mirror has a client of its own.
    """

    def __init__(self, version: str, *, nodes: int = _NODES, own: bool = True) -> None:
        super().__init__(version=version)
        self.other = self.client()
        self.other.create("/wide")
        for number in range(nodes):
            self.other.create(f"/wide/{number}")
        self.settle()
        self.given = None if own else self.client(session_timeout=S)
        self.its_mirror = Mirror(self.connect_string, client=self.given, session_timeout=S, reactor=self.reactor)
        self.result(self.its_mirror.connect())
        self.tree = self.its_mirror.tree("/wide")
        self.view_tree = self.its_mirror.chroot("/wide").tree("/")

    def run(self, calls: int) -> None:
        """Run so many calls of the reactor."""
        for _ in range(calls):
            run_next(self.reactor)


class ClosingTests(SynchronousTestCase):
    """Trees of hundreds of nodes, with an old and a new server."""

    def setUp(self) -> None:
        self.complaints = record_complaints(self)

    def close_at_each_moment(
        self,
        close: Callable[[_World], Deferred[Any]],
        *,
        own: bool = True,
        begin: Callable[[_World], object] | None = None,
    ) -> None:
        for version in ("3.4", "3.8"):
            for moment in _MOMENTS[:: stride()]:
                with _World(version, own=own) as world:
                    if begin is not None:
                        world.settle()
                        begin(world)
                    world.run(moment)
                    begun = world.reactor.seconds()
                    self.complaints.clear()
                    closed = close(world)
                    calls = 0
                    while not closed.called and calls <= _CALLS:
                        world.run(1)
                        calls += 1
                    self.assertTrue(closed.called, f"{version}: {calls} calls after {moment}")
                    self.assertLessEqual(world.reactor.seconds() - begun, _SECONDS)
                    self.successResultOf(world.its_mirror.close())
                    self.successResultOf(closed)
                    world.settle()
                    self.assertEqual(self.unexpected(), [], f"{version}: closed after {moment} calls")
                    self.assertEqual(self.flushLoggedErrors(), [])

    def unexpected(self) -> list[str]:
        """Return the warnings, without those about operations that a server before 3.5 does not know."""
        expected = ("Closing the connection from", "Disconnected from")
        return [line for line in self.complaints if not line.startswith(expected) and "does not support" not in line]

    def test_own_client(self) -> None:
        """A mirror with a client of its own is closed while its trees are being read."""
        self.close_at_each_moment(lambda world: world.its_mirror.close())

    def test_given_client(self) -> None:
        """A mirror on a client that others use is closed while its trees are being read. Its watches are then removed."""
        self.close_at_each_moment(lambda world: world.its_mirror.close(), own=False)

    def test_client_closed(self) -> None:
        """The program closes the client that it has passed to the mirror, while trees are being read."""

        def close(world: _World) -> Deferred[Any]:
            assert world.given is not None
            return world.given.close()

        self.close_at_each_moment(close, own=False)

    def test_watches_being_removed(self) -> None:
        """Watches of hundreds of nodes are still being removed when the mirror is closed."""
        self.close_at_each_moment(lambda world: world.its_mirror.close(), begin=lambda world: world.tree.close())

    def test_nodes_still_created(self) -> None:
        """Others create nodes without end: the mirror reads none of them from the moment at which it is closed."""
        for version in ("3.4", "3.8"):
            with _World(version) as world:
                world.settle()
                known = len(world.tree)
                counter = 0
                closed = world.its_mirror.close()
                for _ in range(2 * _CALLS):
                    if not closed.called:
                        for _ in range(10):
                            counter += 1
                            world.other.create(f"/wide/later{counter}")
                        world.run(1)
                self.successResultOf(closed)
                self.assertEqual(len(world.tree), known)


class FromWithinTests(SynchronousTestCase):
    """A mirror that one of its callbacks closes."""

    def setUp(self) -> None:
        self.complaints = record_complaints(self)

    def close_at(self, number: int, *, own: bool) -> bool:
        """Close the mirror in its Nth callback; return whether there were so many."""
        told = 0
        closed: list[Deferred[None]] = []

        with _World("3.8", nodes=20, own=own) as world:
            mirror = world.its_mirror

            def tell(_: object = None) -> None:
                nonlocal told
                told += 1
                if told == number:
                    closed.append(mirror.close())

            mirror.addStateWatcher(self, tell)
            mirror.get("/wide").addValueWatcher(self, tell)
            mirror.get("/wide").addChildWatcher(self, tell)
            for tree in (world.tree, world.view_tree):
                tree.watch(tell)
                tree.ready().addBoth(tell)
            mirror.get("/wide").value().addBoth(tell)
            mirror.get("/wide").set(b"").addBoth(tell)
            mirror.chroot("/wide").get("/1").children().addBoth(tell)
            world.settle()
            for connection in world.server.connections:
                connection.drop()
            world.pass_time(1.0)
            for session_id in world.server.sessions - {world.other.session_id}:
                world.server.expire_session(session_id)
            world.pass_time(1.0)
            if not closed:
                closed.append(mirror.close())
                world.settle()
            self.successResultOf(closed[0])
        expected = ("Disconnected from", "Session 0x", "Could not connect to")
        self.assertEqual(
            [line for line in self.complaints if not line.startswith(expected)], [], f"told {number} times"
        )
        return told >= number

    def test_each(self) -> None:
        """By a state watcher, by watchers of nodes and trees, and by a callback of a read, a write or a tree, each
        time.
        """
        for own in (True, False):
            number = 1
            while self.close_at(number, own=own):
                number += stride()
            self.assertGreater(number, 50)


@attrs.define(eq=False)
class _Refusing:
    """A feed and a sink: every request fails at once, with one error."""

    error: ZooKeeperException
    covered: bool
    store: Store
    requests: int = 0
    unread: dict[tuple[int, str], ZooKeeperException] = attrs.field(factory=dict)
    troubled: list[tuple[int, str]] = attrs.field(factory=list)

    def read_data(self, path: str) -> Deferred[Any]:
        self.requests += 1
        return fail(self.error)

    read_existence = read_children = read_data

    def read_many(self, data: object, names: object) -> Deferred[Any]:
        return self.read_data("")

    def set_watches(self, zxid: int, paths: object) -> Deferred[Any]:
        return fail(self.error)

    def watches_refused(self) -> None:
        pass

    def covers(self, path: str) -> bool:
        return self.covered

    def wants(self, path: str) -> bool:
        return True

    def refused(self, part: int, path: str, error: ZooKeeperException) -> None:
        self.unread[part, path] = error
        self.store.refuse(part, path)

    def failed(self, part: int, path: str, error: ZooKeeperException) -> None:
        self.troubled.append((part, path))
        self.store.postpone(part, path)

    def read_finished(self) -> None:
        pass


class FailingAtOnceTests(SynchronousTestCase):
    """A refresher whose requests fail before the methods that send them have returned."""

    def make(self, error: ZooKeeperException, covered: bool) -> tuple[Store, _Refusing, Clock]:
        """Make a refresher that is to read hundreds of nodes, and let it begin."""
        store, clock = Store(TreeIndex()), Clock()
        server = _Refusing(error, covered, store)
        refresher = Refresher(server, server, clock, store, server, lambda: True)  # type: ignore[arg-type]
        self.wanted = [(DATA, str(number)) for number in range(_NODES)] + [(NAMES, "a"), (DATA, "b")]
        store.maybe_absent.add("b")
        for part, path in self.wanted:
            store.invalidate(part, path)
        refresher.start()
        clock.advance(0)
        return store, server, clock

    def test_refused(self) -> None:
        """Refusals of the server are reported, once for each part of a node."""
        for covered in (True, False):
            store, server, clock = self.make(NoAuthException(), covered)
            self.assertEqual(sorted(server.unread), sorted(self.wanted))
            self.assertEqual(store.unsettled, 0)
            self.assertEqual(clock.getDelayedCalls(), [])

    def test_unknown_request(self) -> None:
        """Where reads of several nodes are unknown, each node is asked for once by itself."""
        store, server, _ = self.make(UnimplementedException(), True)
        self.assertLessEqual(server.requests, _NODES + 3)
        self.assertEqual(store.unsettled, 0)

    def test_closing(self) -> None:
        """Once the client is closing, no request is sent, but the parts that are wanted remain so."""
        for covered in (True, False):
            store, server, clock = self.make(ClosingException(), covered)
            self.assertEqual(server.requests, 1)
            self.assertEqual(store.unsettled, len(self.wanted))
            self.assertEqual(clock.getDelayedCalls(), [])

    def test_lost(self) -> None:
        """Where requests are lost although the connection stands, each node is reported once, and nothing is asked again."""
        for covered in (True, False):
            store, server, clock = self.make(ConnectionLossException(applied=False), covered)
            self.assertLessEqual(server.requests, _NODES + 2)
            self.assertEqual(sorted(server.troubled), sorted(self.wanted))
            self.assertEqual(server.unread, {})
            self.assertEqual(store.unsettled, len(self.wanted))
            self.assertEqual(clock.getDelayedCalls(), [])
