"""Transactions are done wholly or not at all, and answered as ZooKeeper 3.8.0 answers them."""

from __future__ import annotations

from typing import Any, ClassVar

from txmirror.errors import (
    BadArgumentsException,
    BadVersionException,
    InvalidACLException,
    MarshallingErrorException,
    NoAuthException,
    NoChildrenForEphemeralsException,
    NodeExistsException,
    NoNodeException,
    RuntimeInconsistencyException,
    UnimplementedException,
)
from txmirror.test.embedded.peer import Event, Peer, Reply, ServerTestCase
from txmirror.types import ACL, OPEN_ACL, READ_ACL, EventType
from txmirror.wire import (
    AddWatchRequest,
    CheckVersionRequest,
    Create2Request,
    Create2Response,
    CreateContainerRequest,
    CreateRequest,
    CreateTTLRequest,
    DeleteRequest,
    DoneResult,
    ErrorResult,
    GetDataRequest,
    GetEphemeralsRequest,
    GetEphemeralsResponse,
    MultiRequest,
    MultiResponse,
    Operation,
    PathResponse,
    Request,
    SetDataRequest,
    StatResponse,
)

UNDONE = RuntimeInconsistencyException.code or 0


def create(path: str, flags: int = 0, acl: tuple[ACL, ...] = OPEN_ACL) -> CreateRequest:
    return CreateRequest(path, b"", acl, flags)


class TransactionTestCase(ServerTestCase):
    options: ClassVar[dict[str, Any]] = {"ttl_nodes": True}

    def setUp(self) -> None:
        super().setUp()
        self.client = self.peer()

    def ask(self, *requests: Request, peer: Peer | None = None) -> Reply:
        return (peer or self.client).ask(MultiRequest(requests))  # type: ignore[arg-type]  # wrong ones are tried too

    def do(self, *requests: Request, peer: Peer | None = None) -> list[object]:
        reply = self.ask(*requests, peer=peer)
        self.assertEqual(reply.err, 0)
        return [*reply.read(MultiResponse).results]

    def assert_refused(self, requests: list[Request], *codes: int | None, peer: Peer | None = None) -> None:
        """The transaction is answered with these codes, and has changed nothing but its number."""
        before = self.shown()
        zxid = self.server.zxid
        self.assertEqual(self.do(*requests, peer=peer), [ErrorResult(code or 0) for code in codes])
        self.assertEqual(self.server.zxid, zxid + 1)
        self.assertEqual(self.shown(), before)

    def shown(self) -> list[object]:
        """Everything that there is."""
        paths = ["/"]
        for path in paths:
            paths += [f"{path.rstrip('/')}/{name}" for name in sorted(self.client.children(path).children)]
        ephemerals = self.client.ask(GetEphemeralsRequest("/")).read(GetEphemeralsResponse)
        return [*((path, self.client.get(path)) for path in paths), ephemerals]


class DoneTests(TransactionTestCase):
    def test_results(self) -> None:
        """Each operation has the result of its kind; that of a create2 among several is that of a create."""
        made, also, stat, checked, deleted = self.do(
            create("/a"),
            Create2Request("/a/b", b"", OPEN_ACL, 0),
            SetDataRequest("/a", b"two", 0),
            CheckVersionRequest("/a", 1),
            DeleteRequest("/a/b", 0),
        )
        self.assertEqual((made, also), (PathResponse("/a"), PathResponse("/a/b")))
        assert isinstance(stat, StatResponse)
        self.assertEqual((stat.stat.version, stat.stat.numChildren), (1, 1))
        self.assertEqual((checked, deleted), (DoneResult(Operation.CHECK), DoneResult(Operation.DELETE)))

    def test_one_zxid(self) -> None:
        """All of it is one transaction, and so is nothing."""
        self.do(create("/a"), create("/a/b"), SetDataRequest("/a", b"", -1))
        stat = self.client.get("/a").stat
        self.assertEqual((stat.czxid, stat.mzxid, stat.pzxid), (self.server.zxid,) * 3)
        before = self.server.zxid
        self.assertEqual(self.do(), [])
        self.assertEqual(self.server.zxid, before + 1)

    def test_sequence(self) -> None:
        """Sequence numbers go on within a transaction, and a deletion frees none."""
        results = self.do(
            create("/a"), create("/a/", 2), DeleteRequest("/a/0000000000", -1), create("/a/", 3), create("/a/", 2)
        )
        paths = [result.path for result in results if isinstance(result, PathResponse)]
        self.assertEqual(paths, ["/a", "/a/0000000000", "/a/0000000001", "/a/0000000002"])
        self.assertEqual(self.client.get("/a/0000000001").stat.ephemeralOwner, self.client.session)

    def test_kinds(self) -> None:
        """The flags decide the kind of the node; the reply for containers and TTL nodes has the stat."""
        results = self.do(
            CreateContainerRequest("/a", b"", OPEN_ACL, 4),
            CreateContainerRequest("/b", b"", OPEN_ACL, 0),
            create("/c", 4),
            CreateTTLRequest("/d", b"", OPEN_ACL, 5, 1000),
            CreateTTLRequest("/e", b"", OPEN_ACL, 1, 1000),
        )
        kinds = [Create2Response, PathResponse, Create2Response, Create2Response, PathResponse]
        self.assertEqual([type(result) for result in results], kinds)
        self.assertEqual(self.client.get("/e").stat.ephemeralOwner, self.client.session)


class RefusedTests(TransactionTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.client.create("/a", b"one")
        self.client.create("/a/b", flags=1)
        self.client.create("/read-only", acl=READ_ACL)

    def test_every_change_is_undone(self) -> None:
        """The writes before the failed one are undone, and those after it are not tried."""
        self.assert_refused(
            [
                SetDataRequest("/a", b"two", 0),
                DeleteRequest("/a/b", -1),
                create("/a/b"),
                create("/a/c", 1),
                CreateContainerRequest("/k", b"", OPEN_ACL, 4),
                create("/k/1", 3),
                DeleteRequest("/none", -1),
                create("no path"),
            ],
            *[0] * 6,
            NoNodeException.code,
            UNDONE,
        )
        self.assertEqual(self.client.create("/a/s-", flags=2).path, "/a/s-0000000001")

    def test_reasons(self) -> None:
        """Each refusal is the one that the operation alone would get."""
        for request, error in (
            (create("/a"), NodeExistsException),
            (create("/none/a"), NoNodeException),
            (create("/a/b/c"), NoChildrenForEphemeralsException),
            (create("/b", 7), BadArgumentsException),
            (create("/b", acl=()), InvalidACLException),
            (create("/read-only/b"), NoAuthException),
            (CreateTTLRequest("/b", b"", OPEN_ACL, 5, 0), BadArgumentsException),
            (SetDataRequest("/a", b"", 7), BadVersionException),
            (SetDataRequest("/read-only", b"", -1), NoAuthException),
            (CheckVersionRequest("/a", 7), BadVersionException),
            (CheckVersionRequest("/none", -1), NoNodeException),
            (CheckVersionRequest("/a/", -1), BadArgumentsException),
            (DeleteRequest("/zookeeper", -1), BadArgumentsException),
        ):
            self.assert_refused([create("/x"), request, create("/y")], 0, error.code, UNDONE)

    def test_check_needs_read(self) -> None:
        """A check is a read, and may be forbidden as one."""
        self.client.create("/hidden", acl=(ACL(30, "world", "anyone"),))
        self.assertEqual(self.do(CheckVersionRequest("/hidden", 0)), [ErrorResult(NoAuthException.code or 0)])

    def test_unreadable(self) -> None:
        """A request that a transaction cannot contain makes all of it undecodable; it uses up a zxid all the same."""
        for wrong in (GetDataRequest("/a", False), create("/x/y", 5), create("/x/y", 6)):
            before = self.server.zxid
            reply = self.ask(create("/x"), wrong)
            self.assertEqual((reply.err, reply.body), (MarshallingErrorException.code, b""))
            self.assertFalse(self.client.exists("/x"))
            self.assertEqual(self.server.zxid, before + 1)

    def test_unreadable_too_late(self) -> None:
        """The writes after the failed one are not checked."""
        self.assert_refused([create("/a"), create("/x", 5)], NodeExistsException.code, UNDONE)


class DisabledTests(TransactionTestCase):
    options: ClassVar[dict[str, Any]] = {}

    def test_ttl(self) -> None:
        """Without TTL nodes, a TTL node among several creates is refused."""
        self.assert_refused(
            [create("/a"), CreateTTLRequest("/b", b"", OPEN_ACL, 5, 1000)], 0, UnimplementedException.code
        )


class EventTests(TransactionTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.client.create("/a")
        self.watcher = self.peer()

    def test_order(self) -> None:
        """Events come in the order of the operations."""
        self.watcher.exists("/b", watch=True)
        self.watcher.children("/", watch=True)
        self.watcher.get("/a", watch=True)
        self.do(SetDataRequest("/a", b"", -1), create("/b"), DeleteRequest("/a", -1))
        self.assertEqual(
            self.watcher.events(),
            [Event(EventType.CHANGED, "/a"), Event(EventType.CREATED, "/b"), Event(EventType.CHILD, "/")],
        )

    def test_persistent(self) -> None:
        """A persistent watch gets an event of each operation."""
        self.watcher.ask(AddWatchRequest("/a", 0))
        self.do(SetDataRequest("/a", b"", -1), SetDataRequest("/a", b"", -1), create("/a/b"), create("/a/c"))
        changed, child = Event(EventType.CHANGED, "/a"), Event(EventType.CHILD, "/a")
        self.assertEqual(self.watcher.events(), [changed, changed, child, child])

    def test_after_all(self) -> None:
        """A client that watches its own writes gets the events before the reply, and none of undone writes."""
        self.client.get("/a", watch=True)
        self.assertEqual(
            self.do(SetDataRequest("/a", b"", -1), create("/a")),
            [ErrorResult(0), ErrorResult(NodeExistsException.code or 0)],
        )
        self.client.send(MultiRequest((SetDataRequest("/a", b"", -1),)))
        event, reply = self.client.take()
        self.assertEqual(event, Event(EventType.CHANGED, "/a"))
        self.assertIsInstance(reply, Reply)
