"""The error of a world that is not closed properly: it names the objects that a program has left open, and the places
that made them.
"""

from __future__ import annotations

import gc
import inspect
from types import FrameType
from typing import Any

from twisted.internet.defer import CancelledError, Deferred
from twisted.trial.unittest import SynchronousTestCase

from txmirror.client import ZooKeeperClient
from txmirror.mirror import Mirror, Tree
from txmirror.recipes import (
    Barrier,
    DoubleBarrier,
    Election,
    Lock,
    LockingQueue,
    Members,
    MultiLock,
    Partitioner,
    Party,
    Queue,
    ReadLock,
    Semaphore,
)
from txmirror.registry import Registration, ServiceRegistry
from txmirror.testing import World
from txmirror.testing.origins import describe


def here() -> str:
    """Return the place of the caller, as a complaint names it."""
    frame = inspect.currentframe()
    assert frame is not None and isinstance(frame.f_back, FrameType)
    return f"{frame.f_back.f_code.co_filename}:{frame.f_back.f_lineno}"


class Program:
    """A program that opens a mirror with a tree."""

    def __init__(self, world: World) -> None:
        # On one line, so that all have one place.
        self.mirror, self.place = Mirror(world.connect_string, reactor=world.reactor), here()
        self.tree, self.tree_place = self.mirror.tree("/a"), here()


class OpenTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.world = World()
        self.kept: list[object] = []

    def complaint(self) -> list[str]:
        """Close the world, and return the descriptions of the open objects."""
        error = self.assertRaises(AssertionError, self.world.close)
        prefix, _, left = str(error).partition(": ")
        self.assertEqual(prefix, "left in the world")
        return [each for each in left.split("; ") if ", made at " in each]

    def test_nothing(self) -> None:
        """A program that closes everything is not named, nor are the parts of the world."""
        mirror = Mirror(self.world.connect_string, reactor=self.world.reactor)
        tree = mirror.tree("/")
        client = self.world.client()
        self.world.result(Lock(client, "/lock", reactor=self.world.reactor).acquire())
        self.world.mirror().tree("/")
        self.world.settle()
        tree.close()
        self.world.result(mirror.close())
        self.world.close()

    def test_client(self) -> None:
        """A client is named, and one that is closed or was never connected is not."""
        for number in range(3):
            client = ZooKeeperClient(self.world.connect_string, reactor=self.world.reactor)
            self.kept.append(client)
            if number < 2:
                self.world.result(client.connect())
            if number == 0:
                self.world.result(client.close())
            if number == 1:
                place = here()
        (line,) = self.complaint()
        self.assertRegex(line, r"\A<ZooKeeperClient 127\.0\.0\.1:\d+ suspended>, made at ")
        self.assertEqual(line.rpartition(":")[0].rpartition(" ")[2], place.rpartition(":")[0])

    def test_connecting_client(self) -> None:
        """A client that has never had a session, and still tries, is named."""
        client, place = ZooKeeperClient("10.0.0.1", reactor=self.world.reactor), here()
        client.connect().addErrback(lambda _: None)
        self.world.settle()
        self.assertEqual(self.complaint(), [f"{client!r}, made at {place}"])

    def test_program(self) -> None:
        """A program's mirror and its tree are named, each at its own place, and its closed tree is not."""
        program = Program(self.world)
        closed = program.mirror.tree("/b")
        self.world.settle()
        closed.close()
        mirror, tree = self.complaint()
        self.assertEqual(mirror, f"{program.mirror!r}, made at {program.place}")
        self.assertEqual(tree, f"{program.tree!r}, made at {program.tree_place}")

    def test_closed_mirror_of_an_open_program(self) -> None:
        """An object that is closed is not named because a callback of an open one refers to it."""
        program = Program(self.world)
        self.world.settle()
        self.world.result(program.mirror.close())
        client, place = ZooKeeperClient(self.world.connect_string, reactor=self.world.reactor), here()
        client.add_listener(lambda _: program.mirror)
        self.world.result(client.connect())
        self.assertEqual(self.complaint(), [f"{client!r}, made at {place}"])

    def test_registry(self) -> None:
        """A registry is named, without the parts that it has made; one that was stopped is not."""
        stopped = ServiceRegistry(self.world.connect_string, reactor=self.world.reactor)
        self.world.result(stopped.start())
        self.world.result(stopped.stop())
        registry, place = ServiceRegistry(self.world.connect_string, reactor=self.world.reactor), here()
        self.world.result(registry.set_node("/services/web/host1:80"))
        self.world.result(registry.get("/services/web"))
        self.assertEqual(self.complaint(), [f"<ServiceRegistry>, made at {place}"])

    def test_registration(self) -> None:
        """A registration is named, unless it was withdrawn."""
        mirror, place = Mirror(self.world.connect_string, reactor=self.world.reactor), here()
        withdrawn = Registration(mirror, "/b", {})
        registration, registration_place = Registration(mirror, "/a", {}), here()
        for each in (withdrawn, registration):
            each.start()
        self.world.settle()
        self.world.result(withdrawn.stop())
        lines = self.complaint()
        self.assertEqual(lines, [f"{mirror!r}, made at {place}", f"{registration!r}, made at {registration_place}"])

    def test_recipes(self) -> None:
        """A lock, a semaphore and an election are named if they are held or waited for."""
        reactor = self.world.reactor
        mirror = Mirror(self.world.connect_string, reactor=reactor)
        made: list[Any] = [
            kind(mirror, f"/{kind.__name__}", reactor=reactor) for kind in (Lock, ReadLock, Semaphore) for _ in range(2)
        ]
        for released, held in zip(made[::2], made[1::2], strict=True):
            self.world.result(released.acquire())
            self.world.result(released.release())
            self.world.result(held.acquire())
        idle = Election(mirror, "/idle", reactor=reactor)
        election, place = Election(mirror, "/election", reactor=reactor), here()
        leading: Deferred[None] = election.run(Deferred)
        leading.addErrback(lambda _: None)
        self.world.settle()
        lines = self.complaint()
        self.assertEqual(len(lines), 5)
        self.assertEqual(lines[-1], f"{election!r}, made at {place}")
        for released, held, line in zip(made[::2], made[1::2], lines[1:4], strict=True):
            self.assertTrue(line.startswith(repr(held)), line)
            self.assertNotEqual(repr(held), repr(released))
        self.assertNotIn(repr(idle), lines[-1])

    def test_members(self) -> None:
        """Members, participants and those that share a set are named while they are that, and several locks while they are held."""
        reactor = self.world.reactor
        mirror = Mirror(self.world.connect_string, reactor=reactor)

        def job(_: object) -> Deferred[None]:
            return Deferred()

        makers: list[Any] = [
            lambda: (Party(mirror, "/party", reactor=reactor), here()),
            lambda: (Members(mirror, "/members", f"name{len(self.kept)}", reactor=reactor), here()),
            lambda: (DoubleBarrier(mirror, "/double", count=1, reactor=reactor), here()),
            lambda: (MultiLock([Lock(mirror, "/one", reactor=reactor)], reactor=reactor), here()),
            lambda: (Partitioner(mirror, "/sharing", ["one"], job, reactor=reactor, delay=0.0), here()),
        ]
        names = [("join", "leave"), ("join", "leave"), ("enter", "leave"), ("acquire", "release"), ("start", "stop")]
        expected = []
        for make, (begin, end) in zip(makers, names, strict=True):
            ended, _ = make()
            self.world.result(getattr(ended, begin)())
            self.world.settle()
            self.world.result(getattr(ended, end)())
            left, place = make()
            self.kept += [ended, left]
            self.world.result(getattr(left, begin)())
            expected.append((left, place))
        self.world.settle()
        lines = self.complaint()
        found = {
            place: [
                line
                for line in lines
                if line.endswith(f", made at {place}") and line.startswith(f"<{type(left).__name__}")
            ]
            for left, place in expected
        }
        self.assertEqual(
            {place: len(each) for place, each in found.items()}, {place: 1 for _, place in expected}, lines
        )

    def test_queues(self) -> None:
        """An entry that was taken is named until it is consumed or released, and a call that waits until it has ended."""
        reactor, result = self.world.reactor, self.world.result
        mirror = Mirror(self.world.connect_string, reactor=reactor)
        queue = LockingQueue(mirror, "/jobs", reactor=reactor)
        result(queue.put_all([b"1", b"2", b"3", b"4"]))
        consumed, released = (result(queue.get()) for _ in range(2))
        result(consumed.consume())
        result(released.release())

        async def use() -> None:
            async with await queue.get():
                pass

        result(Deferred.fromCoroutine(use()))
        taken, place = result(queue.get()), here()
        first, first_place = Queue(mirror, "/first", reactor=reactor).get(), here()
        second, second_place = LockingQueue(mirror, "/second", reactor=reactor).get(), here()
        result(Barrier(mirror, "/third", reactor=reactor).create())
        third, third_place = Barrier(mirror, "/third", reactor=reactor).wait(), here()
        cancelled = Queue(mirror, "/first", reactor=reactor).get()
        self.world.settle()
        for waiting in (first, second, third, cancelled):
            waiting.addErrback(lambda failure: failure.trap(CancelledError))
        cancelled.cancel()
        self.world.settle()
        lines = self.complaint()
        self.assertEqual(lines[1], f"{taken!r}, made at {place}")
        names = ["get() of <Queue '/first'", "get() of <LockingQueue '/second'", "wait() of <Barrier '/third'"]
        self.assertEqual(len(lines), 5)
        for line, name, where in zip(lines[2:], names, (first_place, second_place, third_place), strict=True):
            self.assertTrue(line.startswith(f"<a pending {name}"), line)
            self.assertTrue(line.endswith(f", made at {where}"), line)
        # Otherwise the garbage collector ends the calls, within some other test.
        for waiting in (first, second, third):
            waiting.cancel()
            self.world.settle()
            self.assertTrue(waiting.called)

    def test_never_used(self) -> None:
        """Objects that were made and never opened are not named, nor is a registry that was stopped and has no mirror."""
        mirror, place = Mirror(self.world.connect_string, reactor=self.world.reactor), here()
        self.kept += [
            Registration(mirror, "/a", {}),
            Lock(mirror, "/lock", reactor=self.world.reactor),
            Election(mirror, "/election", reactor=self.world.reactor),
            ServiceRegistry(self.world.connect_string, reactor=self.world.reactor),
        ]
        self.world.result(mirror.connect())
        self.assertEqual(self.complaint(), [f"{mirror!r}, made at {place}"])

    def test_opened_again(self) -> None:
        """A registry that was stopped and started again is named."""
        registry, place = ServiceRegistry(self.world.connect_string, reactor=self.world.reactor), here()
        for _ in range(2):
            self.world.result(registry.start())
            self.world.result(registry.stop())
        self.world.result(registry.start())
        self.assertEqual(self.complaint(), [f"<ServiceRegistry>, made at {place}"])

    def test_parts_of_the_world(self) -> None:
        """A lock that a program makes on the world's own client goes with that client."""
        self.world.result(Lock(self.world.client(), "/lock", reactor=self.world.reactor).acquire())
        self.world.reactor.callLater(1.0, list)
        self.assertEqual(self.complaint(), [])

    def test_subclass(self) -> None:
        """A subclass of a program is named at the call of the constructor here."""

        class Ours(ZooKeeperClient):
            pass

        client, place = Ours(self.world.connect_string, reactor=self.world.reactor), here()
        self.world.result(client.connect())
        (line,) = self.complaint()
        self.assertTrue(line.endswith(place), line)

    def test_not_closed_in_time(self) -> None:
        """An object of the world that does not close is named too."""
        client, place = self.world.client(), here()
        self.patch(client, "close", Deferred)
        error = self.assertRaises(AssertionError, self.world.close)
        self.assertEqual(str(error), f"not closed in time: {client!r}, made at {place}")

    def test_nothing_is_kept(self) -> None:
        """An object that was closed is not kept alive by the note of its place."""
        mirror = self.world.mirror()
        self.assertIn(", made at ", describe(mirror))
        self.world.close()
        before = len([each for each in gc.get_objects() if isinstance(each, (Mirror, Tree))])
        del mirror, self.world
        gc.collect()
        self.assertLess(len([each for each in gc.get_objects() if isinstance(each, (Mirror, Tree))]), before)
