"""Containers and nodes with a time to live go as those of ZooKeeper 3.8.0 do."""

from __future__ import annotations

from typing import Any, ClassVar

from txmirror.embedded.ephemeral_owners import CONTAINER, session_of, ttl_of, ttl_owner
from txmirror.errors import BadArgumentsException, NodeExistsException, UnimplementedException
from txmirror.test.embedded.peer import Event, ServerTestCase
from txmirror.testing import MemoryReactor, World
from txmirror.types import OPEN_ACL, EventType
from txmirror.wire import Create2Response, CreateContainerRequest, CreateRequest, CreateTTLRequest, Request


class ExpiringNodeTestCase(ServerTestCase):
    options: ClassVar[dict[str, Any]] = {"ttl_nodes": True, "container_check_interval": 10.0}

    def setUp(self) -> None:
        super().setUp()
        self.client = self.peer(10_000)

    def pass_time(self, seconds: float) -> None:
        """Let time pass while the client pings."""
        end = self.reactor.seconds() + seconds
        while self.reactor.seconds() < end:
            self.reactor.pass_time(min(1.0, end - self.reactor.seconds()))
            self.client.ping()

    def make(self, request: Request) -> Create2Response:
        return self.client.ask(request).read(Create2Response)

    def container(self, path: str, flags: int = 4) -> Create2Response:
        return self.make(CreateContainerRequest(path, b"x", OPEN_ACL, flags))

    def ttl(self, path: str, milliseconds: int, flags: int = 5) -> Create2Response:
        return self.make(CreateTTLRequest(path, b"x", OPEN_ACL, flags, milliseconds))


class ContainerTests(ExpiringNodeTestCase):
    def test_stat(self) -> None:
        """A container is answered with its stat, which shows no owner."""
        answer = self.container("/k")
        self.assertEqual((answer.path, answer.stat.ephemeralOwner, answer.stat.dataLength), ("/k", 0, 1))
        self.assertEqual(self.client.get("/k").stat, answer.stat)

    def test_goes(self) -> None:
        """The first check after its last child's deletion deletes it, and its watchers get the event."""
        self.container("/k")
        self.client.create("/k/1")
        self.pass_time(10)
        self.client.delete("/k/1")
        self.client.exists("/k", watch=True)
        before = self.server.zxid
        self.pass_time(9.5)
        self.assertEqual(self.client.events(), [])
        self.reactor.pass_time(0.5)
        self.assertEqual(self.client.events(), [Event(EventType.DELETED, "/k")])
        self.assertEqual(self.server.zxid, before + 1)

    def test_never_used(self) -> None:
        """It waits for its first child forever."""
        self.container("/k")
        self.pass_time(100)
        self.assertTrue(self.client.exists("/k"))

    def test_rounding(self) -> None:
        """A check that comes a moment too early, because of rounding, is not repeated at the same instant."""
        reactor = MemoryReactor()
        reactor.pass_time(8.1)
        self.assertLess(8.1 + 60 - 8.1, 60)
        with World(reactor=reactor, container_check_interval=60.0) as world:
            client = world.client()
            world.result(client.create_container("/k"))
            world.pass_time(60)
            world.result(client.create("/k/1"))
            world.result(client.delete("/k/1"))
            world.pass_time(59)
            self.assertIsNotNone(world.result(client.exists("/k")))
            world.pass_time(1)
            self.assertIsNone(world.result(client.exists("/k")))

    def test_nested(self) -> None:
        """The one around it goes at the next look."""
        self.container("/k")
        self.container("/k/k")
        self.client.create("/k/k/1")
        self.client.delete("/k/k/1")
        self.pass_time(10)
        self.assertEqual(self.client.children("/k").children, [])
        self.pass_time(10)
        self.assertFalse(self.client.exists("/k"))

    def test_flags(self) -> None:
        """The operation makes a container whatever the other flags are; the sequence flag adds a number to its name."""
        self.assertEqual(self.container("/k", 0).path, "/k")
        path = self.container("/k-", 3).path
        self.assertEqual(path, "/k-0000000001")
        for parent in ("/k", path):
            self.client.create(f"{parent}/1")
            self.client.delete(f"{parent}/1")
        self.pass_time(10)
        self.assertEqual(self.client.children("/").children, ["zookeeper"])

    def test_refused(self) -> None:
        """The server refuses a container that exists already, or that has invalid flags."""
        self.container("/k")
        for path, flags, error in (("/k", 4, NodeExistsException), ("/a", 5, BadArgumentsException)):
            self.assertEqual(self.client.ask(CreateContainerRequest(path, b"", OPEN_ACL, flags)).err, error.code)

    def test_stopped(self) -> None:
        """While the server is down it stays; then it is looked for from the start."""
        self.container("/k")
        self.client.create("/k/1")
        self.client.delete("/k/1")
        self.pass_time(5)
        self.settle(self.server.stop_listening())
        self.reactor.pass_time(60)
        self.server.listen(2181)
        self.client = self.peer(10_000, resume=self.client)
        self.pass_time(9.5)
        self.assertTrue(self.client.exists("/k"))
        self.pass_time(0.5)
        self.assertFalse(self.client.exists("/k"))

    def test_idle(self) -> None:
        """Without nodes that can expire, the only timer is that of the session."""
        self.client.create("/a")
        self.assertEqual(len(self.reactor.getDelayedCalls()), 1)
        self.container("/k")
        self.assertEqual(len(self.reactor.getDelayedCalls()), 2)
        self.client.delete("/k")
        self.pass_time(10)
        self.assertEqual(len(self.reactor.getDelayedCalls()), 1)


class TTLTests(ExpiringNodeTestCase):
    def test_goes(self) -> None:
        """The first check after its time to live has passed since its last change deletes it."""
        stat = self.ttl("/t", 12_000).stat
        self.assertEqual(stat.ephemeralOwner, 0)
        self.pass_time(9)
        self.client.set("/t")
        self.pass_time(11)
        self.assertTrue(self.client.exists("/t"))
        self.pass_time(10)
        self.assertFalse(self.client.exists("/t"))

    def test_exactly(self) -> None:
        """Its time has not passed at its very end."""
        self.ttl("/t", 10_000)
        self.pass_time(10)
        self.assertTrue(self.client.exists("/t"))

    def test_children(self) -> None:
        """It stays while it has children, and may go at once after them."""
        self.ttl("/t", 1000)
        self.client.create("/t/1")
        self.pass_time(15)
        self.client.delete("/t/1")
        self.pass_time(5)
        self.assertFalse(self.client.exists("/t"))

    def test_sequence(self) -> None:
        """It may be numbered."""
        self.assertEqual(self.ttl("/t-", 1000, flags=6).path, "/t-0000000000")

    def test_refused(self) -> None:
        """A time that is none is refused, one where none belongs, and none where one does."""
        for request in (
            CreateTTLRequest("/t", b"", OPEN_ACL, 5, 0),
            CreateTTLRequest("/t", b"", OPEN_ACL, 5, -1),
            CreateTTLRequest("/t", b"", OPEN_ACL, 5, 1 << 40),
            CreateTTLRequest("/t", b"", OPEN_ACL, 0, 1000),
            CreateTTLRequest("/t", b"", OPEN_ACL, 0, -1),
            CreateRequest("/t", b"", OPEN_ACL, 5),
        ):
            self.assertEqual(self.client.ask(request).err, BadArgumentsException.code)


class DisabledTests(ExpiringNodeTestCase):
    options: ClassVar[dict[str, Any]] = {}

    def test_ttl(self) -> None:
        """With ZooKeeper's default settings a node with a TTL is refused, and containers work."""
        for flags in (5, 6):
            request = CreateTTLRequest("/t", b"", OPEN_ACL, flags, 1000)
            self.assertEqual(self.client.ask(request).err, UnimplementedException.code)
        self.container("/k")

    def test_interval(self) -> None:
        """As ZooKeeper comes, it looks once a minute."""
        self.container("/k")
        self.client.create("/k/1")
        self.client.delete("/k/1")
        self.pass_time(59.5)
        self.assertTrue(self.client.exists("/k"))
        self.pass_time(0.5)
        self.assertFalse(self.client.exists("/k"))


class OwnerTests(ServerTestCase):
    def test_numbers(self) -> None:
        """The numbers are those of EphemeralType."""
        self.assertEqual(CONTAINER & 0xFFFFFFFFFFFFFFFF, 0x8000000000000000)
        self.assertEqual(ttl_owner(1) & 0xFFFFFFFFFFFFFFFF, 0xFF00000000000001)
        for ttl in (1, 1000, (1 << 40) - 1):
            self.assertEqual((ttl_of(ttl_owner(ttl)), session_of(ttl_owner(ttl))), (ttl, 0))
        for owner in (0, 1, 0x01_0000_0000_0001, 0xFE << 56 | 7):
            self.assertEqual((ttl_of(owner), session_of(owner)), (None, owner))
        self.assertEqual((ttl_of(CONTAINER), session_of(CONTAINER)), (None, 0))
