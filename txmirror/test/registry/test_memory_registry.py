"""The registry in memory keeps the contract of registries, and does what only it does."""

from __future__ import annotations

import gc
import subprocess
import sys
import weakref
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, TypeVar

from twisted.internet.defer import CancelledError, Deferred, succeed
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase, TestCase

from txmirror.errors import NoAuthException, NodeExistsException, NoNodeException, NotEmptyException
from txmirror.interfaces import IServiceRegistry
from txmirror.registry.codecs import CODECS
from txmirror.test.mirror.world import record_log
from txmirror.test.registry.contract import NODE, TIMEOUT, Place, RegistryCase, fired
from txmirror.test.registry.contract_locks import (
    LockContract,
    LockOutageContract,
    LockSessionContract,
    LockWaitContract,
)
from txmirror.test.registry.contract_nodes import FindingContract, RegisteringContract, StoringContract
from txmirror.test.registry.contract_outages import OutageContract, SessionContract
from txmirror.testing import MemoryNodes, MemoryRegistry
from txmirror.types import ACL, Answer, ZnodeStat, digest_acl

_T = TypeVar("_T")


class _Stranger:
    def __init__(self, nodes: MemoryNodes) -> None:
        self._nodes = nodes

    async def create(
        self, path: str, data: bytes = b"", *, ephemeral: bool = False, acl: Sequence[ACL] | None = None
    ) -> None:
        self._nodes.create(path, data, ephemeral=ephemeral, acl=acl)

    async def set(self, path: str, data: bytes) -> None:
        self._nodes.set(path, data)

    async def delete(self, path: str) -> None:
        self._nodes.delete(path)

    async def set_acl(self, path: str, acl: Sequence[ACL]) -> None:
        self._nodes.set_acl(path, acl)

    async def get(self, path: str) -> tuple[bytes, ZnodeStat]:
        return self._nodes.get(path)


class MemoryPlace:
    """Registries in memory that share nodes."""

    step, patience = 0.1, 0.0

    def __init__(self) -> None:
        self.clock = Clock()
        self.nodes = MemoryNodes(self.clock)
        self.stranger = _Stranger(self.nodes)
        self.registries: list[MemoryRegistry] = []

    def make(self, **options: Any) -> IServiceRegistry:
        options.setdefault("timeout", TIMEOUT)
        # It knows of every change at once.
        options.pop("audit", None)
        registry = MemoryRegistry(shared=self.nodes, **options)
        self.registries.append(registry)
        return registry

    async def done(self, awaited: Awaitable[_T]) -> _T:
        if isinstance(awaited, Deferred):
            assert fired(awaited), "it takes time"
        return await awaited

    async def in_time(self, awaited: Deferred[_T], seconds: float) -> _T:
        if not fired(awaited):
            self.clock.advance(seconds)
        return await self.done(awaited)

    async def pass_time(self, seconds: float) -> None:
        self.clock.advance(seconds)

    async def quiet(self) -> None:
        self.clock.advance(20)

    async def leave(self, registry: IServiceRegistry, *, session_ends: bool = False) -> None:
        memory = _memory(registry)
        memory.disconnect()
        if session_ends:
            memory.end_session()

    async def come_back(self, registry: IServiceRegistry, *, connects: bool = True) -> None:
        _memory(registry).reconnect()

    async def blink(self, registry: IServiceRegistry, meanwhile: Callable[[], Awaitable[object]]) -> None:
        _memory(registry).disconnect()
        await meanwhile()
        _memory(registry).reconnect()

    async def end_session(self, registry: IServiceRegistry) -> None:
        _memory(registry).end_session()


def _memory(registry: IServiceRegistry) -> MemoryRegistry:
    assert isinstance(registry, MemoryRegistry)
    return registry


class InMemory(RegistryCase):
    """Where the tests take place. Each part of the contract is a case of its own: their tests may have the same names."""

    def make_place(self) -> Deferred[Place]:
        place = MemoryPlace()

        async def stop() -> None:
            for registry in place.registries:
                await registry.stop()
            self.assertEqual(place.clock.getDelayedCalls(), [])

        self.addCleanup(lambda: Deferred.fromCoroutine(stop()))
        return succeed(place)


class RegisteringTests(InMemory, RegisteringContract, TestCase):
    pass


class StoringTests(InMemory, StoringContract, TestCase):
    pass


class FindingTests(InMemory, FindingContract, TestCase):
    pass


class OutageTests(InMemory, OutageContract, TestCase):
    pass


class SessionTests(InMemory, SessionContract, TestCase):
    pass


class LockTests(InMemory, LockContract, TestCase):
    pass


class LockOutageTests(InMemory, LockOutageContract, TestCase):
    pass


class LockSessionTests(InMemory, LockSessionContract, TestCase):
    pass


class LockWaitTests(InMemory, LockWaitContract, TestCase):
    pass


class OwnTests(SynchronousTestCase):
    """What the contract does not say."""

    def setUp(self) -> None:
        self.nodes = MemoryNodes()
        self.registry = MemoryRegistry(shared=self.nodes)

    def test_alone(self) -> None:
        """It needs nothing: not even a reactor is installed, and ``created`` is as the clock says."""
        program = (
            "import sys; from txmirror.testing import MemoryRegistry; registry = MemoryRegistry(); told = []\n"
            "registry.get('/s', lambda answer: told.append(list(answer['children'])))\n"
            "registry.set_node('/s/a'); registry.acquire_lock('/l'); registry.stop()\n"
            "print(told, 'twisted.internet.reactor' in sys.modules, registry)"
        )
        done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60)
        self.assertEqual(done.stdout, "[[], ['a']] False <MemoryRegistry, not connected>\n")

    def test_clock(self) -> None:
        """Times are the clock's: those of the nodes, and ``created``."""
        clock = Clock()
        clock.advance(1_000_000_000)
        registry = MemoryRegistry(reactor=clock)
        registry.set_node(NODE)
        data, stat = registry.nodes.get(NODE)
        self.assertEqual((stat.ctime, stat.mtime), (1_000_000_000_000, 1_000_000_000_000))
        self.assertIn(b'"created":"2001-09-09 ', data)
        self.assertIs(registry.clock, clock)
        self.assertIs(registry.nodes.clock, clock)

    def test_another_clock(self) -> None:
        """Built anew it may have another clock: what it makes from now on, and its waiting, go by that."""
        other, clock = MemoryRegistry(shared=self.nodes), Clock()
        other.acquire_lock("/lock")
        self.assertIs(self.successResultOf(self.registry.rebuild(clock)), True)
        clock.advance(1_000_000_000)
        self.registry.set_node(NODE)
        self.assertIn(b'"created":"2001-09-09 ', self.nodes.get(NODE)[0])
        waiting = self.registry.acquire_lock("/lock", wait=5)
        clock.advance(5)
        self.assertIs(self.successResultOf(waiting), False)

    def test_stopped_is_forgotten(self) -> None:
        """Nothing keeps a registry that was stopped, whatever was done with it."""
        self.registry.set_node(NODE)
        self.registry.get(NODE)
        self.registry.acquire_lock("/lock")
        self.registry.stop()
        left = weakref.ref(self.registry)
        del self.registry
        gc.collect()
        self.assertIsNone(left())

    def test_nodes(self) -> None:
        """Somebody else's nodes have the stats of a server's, and are refused as there."""
        self.nodes.create("/a/b", b"data")
        data, stat = self.nodes.get("/a/b")
        self.assertEqual(data, b"data")
        self.assertEqual(stat, ZnodeStat(stat.czxid, stat.czxid, 0, 0, 0, 0, 0, 0, 4, 0, stat.czxid))
        self.nodes.set("a/b/", b"")
        _, changed = self.nodes.get("/a/b")
        self.assertEqual((changed.mzxid, changed.version, changed.dataLength), (stat.mzxid + 1, 1, 0))
        self.nodes.create("/a/c", ephemeral=True)
        self.assertNotEqual(self.nodes.get("/a/c")[1].ephemeralOwner, 0)
        self.assertEqual(self.nodes.children("/a"), ["b", "c"])
        self.assertRaises(NodeExistsException, self.nodes.create, "/a/b")
        self.assertRaises(NotEmptyException, self.nodes.delete, "/a")
        self.nodes.delete("/a/b")
        for call in (self.nodes.get, self.nodes.children, self.nodes.delete):
            self.assertRaises(NoNodeException, call, "/a/b")
        self.assertRaises(NoNodeException, self.nodes.set, "/a/b", b"")
        self.assertRaises(ValueError, self.nodes.create, "/a/../b")

    def test_codec(self) -> None:
        """Data stand in nodes as a codec says."""
        registry = MemoryRegistry(shared=self.nodes, codec=CODECS["plain"])
        registry.set_node(NODE, "as it is")
        self.assertEqual(self.nodes.get(NODE)[0], b"as it is")
        self.assertRaises(TypeError, registry.set_node, NODE, {"foo": "bar"})

    def test_acl_of_a_user(self) -> None:
        """Whoever has a name and a password keeps what they make for themselves, and lets everybody read it."""
        MemoryRegistry(shared=self.nodes, username="bob", password="secret").set_node(NODE)
        self.assertIsNotNone(self.successResultOf(self.registry.get(NODE)))
        for write in (self.registry.set_data, self.registry.unset):
            self.failureResultOf(write(NODE), NodeExistsException)
        self.failureResultOf(self.registry.set_data(f"{NODE}2"), NoAuthException)
        self.assertRaises(NoAuthException, self.nodes.set, NODE, b"theirs")

    def test_half_a_user(self) -> None:
        """A name without a password is nobody's, and so is a password without a name."""
        self.nodes.create("/hidden", acl=[digest_acl(each, "None") for each in ("bob", "None")])
        for username, password in (("bob", None), (None, "None")):
            registry = MemoryRegistry(shared=self.nodes, username=username, password=password)
            registry.set_node(NODE)
            self.nodes.set(NODE, b"open to everybody")
            self.failureResultOf(registry.get("/hidden"), NoAuthException)
            registry.stop()

    def test_nothing_connects_it(self) -> None:
        """What was never started, nor asked for anything, does not connect when it can."""
        self.registry.disconnect()
        self.registry.end_session()
        self.registry.reconnect()
        self.assertIs(self.successResultOf(self.registry.get_state()), False)
        self.registry.start()
        self.assertIs(self.successResultOf(self.registry.get_state()), True)
        self.registry.disconnect()
        self.registry.disconnect()
        self.registry.reconnect()
        self.registry.reconnect()
        self.assertIs(self.successResultOf(self.registry.get_state()), True)

    def test_ended_while_away(self) -> None:
        """A session can end while it is away: then there is a new one on its return, not before."""
        self.registry.set_node(NODE)
        self.registry.disconnect()
        self.nodes.get(NODE)
        self.registry.end_session()
        self.assertRaises(NoNodeException, self.nodes.get, NODE)
        self.assertIs(self.successResultOf(self.registry.get_state()), False)
        self.registry.reconnect()
        self.nodes.get(NODE)

    def test_stopped_when_told(self) -> None:
        """Who is told that the session has ended may stop the registry; then it has no other."""
        self.registry.start()
        told: list[bool] = []

        def stop(state: bool) -> None:
            told.append(state)
            if not state:
                self.registry.stop()

        self.registry.get_state(stop)
        self.registry.end_session()
        self.assertEqual(told, [True, False])
        self.assertFalse(self.registry.reached)

    def test_refused_later(self) -> None:
        """What a lazy registry puts off may be refused then: that is warned of, and the rest is done."""
        registry = MemoryRegistry(shared=self.nodes, lazy=True)
        registry.disconnect()
        registry.set_data("/a/b")
        registry.set_data("/c")
        self.nodes.create("/a/b", ephemeral=True)
        lines = record_log(self)
        registry.reconnect()
        (line,) = [line for line in lines() if "/a/b" in line]
        self.assertIn("an ephemeral node is there already", line)
        self.nodes.get("/c")

    def test_cannot_be_registered_any_more(self) -> None:
        """A persistent node in the place of a registered one is warned of once, and nothing else is disturbed."""
        self.registry.set_node(NODE)
        self.registry.disconnect()
        self.registry.end_session()
        self.nodes.create(NODE, b"theirs")
        lines = record_log(self)
        self.registry.reconnect()
        self.nodes.create("/elsewhere")
        self.assertEqual(len([line for line in lines() if NODE in line]), 1)
        self.assertEqual(self.nodes.get(NODE)[0], b"theirs")
        self.nodes.delete(NODE)
        self.assertNotEqual(self.nodes.get(NODE)[0], b"theirs")

    def test_not_readable_any_more(self) -> None:
        """What may not be read any more is shown as it was; a child that may not be read is left out. Both are said once."""
        self.nodes.create("/s/a")
        answer = self.successResultOf(self.registry.get("/s"))
        lines = record_log(self)
        acl = [digest_acl("bob", "secret")]
        self.nodes.create("/s/hidden", acl=acl)
        self.nodes.create("/s/b")
        self.assertIsNot(answer, False)
        self.assertEqual(self.children("/s"), ["a", "b"])
        for path in ("/s/a", "/s/b", "/s/hidden", "/s"):
            self.nodes.delete(path)
        self.nodes.create("/s", acl=acl)
        self.nodes.create("/elsewhere")
        self.assertEqual(self.children("/s"), [])
        self.assertEqual(len([line for line in lines() if "not permitted" in line]), 2)

    def children(self, path: str) -> list[str]:
        answer = self.successResultOf(self.registry.get(path))
        self.assertIsNot(answer, False)
        return list(answer["children"])

    def test_callback_takes_it_all_away(self) -> None:
        """A callback may do anything to the registry that calls it: those that are called after it are told of what is then."""
        for take_away in (self.registry.stop, self.registry.disconnect, self.registry.end_session):
            told: list[list[str]] = []

            def bad(answer: Answer, take_away: Callable[[], object] = take_away) -> None:
                if answer["children"]:
                    take_away()

            self.registry.reconnect()
            self.registry.start()
            self.registry.get("/s", bad)
            self.registry.get("/s", lambda answer, told=told: told.append(list(answer["children"])))  # type: ignore[misc]
            self.nodes.create("/s/a")
            self.assertEqual(told[-1], ["a"])
            self.registry.remove_callback("/s", bad)
            self.registry.reconnect()
            self.registry.start()
            self.nodes.delete("/s/a")
            self.assertEqual(told[-1], [])

    def test_lock_is_a_node(self) -> None:
        """Who looks sees who holds a lock, or waits for it; and what somebody deletes is lost."""
        other = MemoryRegistry(shared=self.nodes)
        self.registry.acquire_lock("/lock", name="me")
        waiting = other.acquire_lock("/lock", name="other")
        names = {self.nodes.get(f"/lock/{name}")[0]: name for name in self.nodes.children("/lock")}
        self.assertEqual(sorted(names), [b"me", b"other"])
        lock = self.successResultOf(self.registry.get_lock("/lock"))
        self.nodes.delete(f"/lock/{names[b'me']}")
        self.assertFalse(lock.held)
        self.successResultOf(lock.lost)
        self.assertIs(self.successResultOf(waiting), True)

    def test_place_in_line_is_deleted(self) -> None:
        """Whose place in line somebody deletes stands in line anew."""
        other = MemoryRegistry(shared=self.nodes)
        self.registry.acquire_lock("/lock", name="me")
        waiting = other.acquire_lock("/lock", name="other")
        (name,) = (name for name in self.nodes.children("/lock") if self.nodes.get(f"/lock/{name}")[0] == b"other")
        self.nodes.delete(f"/lock/{name}")
        self.assertNoResult(waiting)
        self.assertEqual(len(self.nodes.children("/lock")), 2)
        self.registry.release_lock("/lock")
        self.assertIs(self.successResultOf(waiting), True)

    def test_no_wait(self) -> None:
        """Who does not want to wait is told at once; and what is released may have another number of holders."""
        other = MemoryRegistry(shared=self.nodes)
        other.acquire_lock("/lock")
        self.assertIs(self.successResultOf(self.registry.acquire_lock("/lock", wait=0)), False)
        self.assertEqual(len(self.nodes.children("/lock")), 1)
        other.release_lock("/lock")
        self.assertIs(self.successResultOf(self.registry.acquire_lock("/lock", simultaneous=2)), True)

    def test_two_of_one_registry_wait(self) -> None:
        """Who waits for a lock in one registry waits together; that one gives up costs the other no place in line."""
        other = MemoryRegistry(shared=self.nodes)
        other.acquire_lock("/lock")
        one, two = self.registry.acquire_lock("/lock"), self.registry.acquire_lock("/lock")
        before = self.nodes.children("/lock")
        one.cancel()
        self.failureResultOf(one, CancelledError)
        self.assertEqual((self.nodes.children("/lock"), len(before)), (before, 2))
        three = self.registry.acquire_lock("/lock")
        other.release_lock("/lock")
        self.assertEqual([self.successResultOf(each) for each in (two, three)], [True, True])

    def test_lock_may_not_be_made(self) -> None:
        """Where ZooKeeper refuses it, to acquire a lock fails, and nothing is left of it."""
        self.nodes.create("/lock", acl=[digest_acl("bob", "secret")])
        self.failureResultOf(self.registry.acquire_lock("/lock"), NoAuthException)
        self.assertEqual(self.nodes.children("/lock"), [])
        clock = self.nodes.clock
        assert isinstance(clock, Clock)
        self.assertEqual(clock.getDelayedCalls(), [])

    def test_released_while_away(self) -> None:
        """A place that cannot be given up now is when it can; the wait for that can be cancelled, and ends with a stop."""
        for end in (self.registry.reconnect, self.registry.end_session, self.registry.stop):
            self.registry.reconnect()
            self.registry.start()
            self.registry.acquire_lock("/lock")
            self.registry.disconnect()
            cancelled, released = self.registry.release_lock("/lock"), self.registry.release_lock("/lock")
            cancelled.cancel()
            self.failureResultOf(cancelled, CancelledError)
            self.assertNoResult(released)
            end()
            self.assertIs(self.successResultOf(released), True)
            self.assertEqual(self.nodes.children("/lock"), [])
            self.successResultOf(self.registry.get_lock("/lock", simultaneous=2))
            self.registry.release_lock("/lock")
