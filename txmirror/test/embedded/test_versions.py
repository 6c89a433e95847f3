"""A server can be another version's: its operations and its events are those of that version."""

from __future__ import annotations

from typing import Any, ClassVar

from txmirror.embedded import EmbeddedServer
from txmirror.errors import (
    MarshallingErrorException,
    NoAuthException,
    NoNodeException,
    NoWatcherException,
    UnimplementedException,
)
from txmirror.test.embedded.peer import Event, Peer, Reply, ServerTestCase
from txmirror.types import CREATOR_ALL_ACL, OPEN_ACL, EventType
from txmirror.wire import (
    AddWatchRequest,
    AuthRequest,
    CheckVersionRequest,
    CheckWatchesRequest,
    CloseSessionRequest,
    ConnectRequest,
    ConnectResponse,
    Create2Request,
    Create2Response,
    CreateContainerRequest,
    CreateRequest,
    DeleteRequest,
    ExistsRequest,
    MultiRequest,
    MultiResponse,
    PathResponse,
    RemoveWatchesRequest,
    RequestHeader,
    SetWatches2Request,
    SetWatchesRequest,
    encode_frame,
)


class VersionTests(ServerTestCase):
    def test_unknown(self) -> None:
        """A version that cannot be imitated is refused, and quoted."""
        for version in ("3.5", "", "3.8.0"):
            error = self.assertRaises(ValueError, EmbeddedServer, self.reactor, version=version)
            self.assertIn(repr(version), str(error))

    def test_ordinary(self) -> None:
        """Events of 3.8 do not say which transaction they are about."""
        peer = self.peer()
        peer.get("/", watch=True)
        self.peer().set("/")
        self.assertEqual(peer.events(), [Event(EventType.CHANGED, "/")])
        self.assertEqual(peer.event_zxids, [-1])


class OldTests(ServerTestCase):
    options: ClassVar[dict[str, Any]] = {"version": "3.4"}

    def test_later_operations(self) -> None:
        """The reply to an operation that 3.4 does not know has no zxid, and the server closes the connection."""
        for operation in (15, 16, 17, 18, 19, 21, 22, 103, 104, 105, 106, 107):
            peer = self.peer()
            peer.raw(encode_frame(RequestHeader(7, operation).encode()))
            self.assertEqual(peer.take(), [Reply(7, -1, UnimplementedException.code, b"")])
            self.assertIsNotNone(peer.lost)

    def test_known_operations(self) -> None:
        """The operations that 3.4 knows work, transactions too."""
        peer = self.peer()
        self.assertEqual(peer.ask(CreateRequest("/a", b"", OPEN_ACL, 0)).err, 0)
        self.assertEqual(peer.ask(MultiRequest((DeleteRequest("/a", 0),))).err, 0)
        self.assertFalse(peer.exists("/a"))

    def test_later_operations_in_a_transaction(self) -> None:
        """A transaction with an operation that 3.4 does not know cannot be decoded."""
        peer = self.peer()
        request = MultiRequest((DeleteRequest("/a", 0), Create2Request("/a", b"", OPEN_ACL, 0)))
        self.assertEqual(peer.ask(request).err, MarshallingErrorException.code)

    def test_srvr(self) -> None:
        """The answer to srvr has a version 3.4."""
        peer = self.connect()
        peer.raw(b"srvr")
        self.assertTrue(peer.text.startswith(b"Zookeeper version: 3.4.14-"), peer.text)


class NewTests(ServerTestCase):
    options: ClassVar[dict[str, Any]] = {"version": "3.9"}

    def test_zxid(self) -> None:
        """Each event has the zxid of its transaction."""
        watcher, writer = self.peer(), self.peer()
        watcher.ask(AddWatchRequest("/", 1))
        first = writer.create("/a").stat.czxid
        second = writer.set("/a").stat.mzxid
        writer.delete("/a")
        self.assertEqual([event.type for event in watcher.events()], [EventType.CREATED, 3, 2])
        self.assertEqual(watcher.event_zxids, [first, second, second + 1])

    def test_exists(self) -> None:
        """A node's stat needs the permission to read it, and without it no watch is set. A missing node needs no
        permission.
        """
        owner, other = self.peer(), self.peer()
        owner.ask(AuthRequest("digest", b"user:secret"))
        owner.create("/a", acl=CREATOR_ALL_ACL)
        self.assertEqual(owner.ask(ExistsRequest("/a", False)).err, 0)
        self.assertEqual(other.ask(ExistsRequest("/a", True)).err, NoAuthException.code)
        self.assertEqual(other.ask(ExistsRequest("/none", True)).err, NoNodeException.code)
        owner.set("/a")
        owner.delete("/a")
        owner.create("/none")
        self.assertEqual(other.events(), [Event(EventType.CREATED, "/none")])

    def test_check_alone(self) -> None:
        """A check that stands alone is not known, and ends the connection; among several operations it is."""
        peer = self.peer()
        peer.create("/a")
        reply = peer.ask(MultiRequest((CheckVersionRequest("/a", 0), DeleteRequest("/a", 0))))
        self.assertEqual(reply.err, 0)
        peer.raw(encode_frame(RequestHeader(7, 13).encode() + CheckVersionRequest("/", -1).encode()))
        self.assertEqual(peer.take(), [Reply(7, -1, UnimplementedException.code, b"")])
        self.assertIsNotNone(peer.lost)

    def test_create2_among_several(self) -> None:
        """In a multi, too, each create is of its own kind: only ``create2`` is answered with the stat."""
        peer = self.peer()
        creates = (
            CreateRequest("/a", b"", OPEN_ACL, 0),
            Create2Request("/b", b"x", OPEN_ACL, 0),
            CreateContainerRequest("/c", b"", OPEN_ACL, 0),
        )
        results = peer.ask(MultiRequest(creates)).read(MultiResponse).results
        stats = [node.stat for node in (peer.get("/b"), peer.get("/c"))]
        expected = [PathResponse("/a"), Create2Response("/b", stats[0]), Create2Response("/c", stats[1])]
        self.assertEqual(results, expected)
        for flags in (-1, 5, 6, 7):
            wrong = CreateRequest("/d", b"", OPEN_ACL, flags)
            self.assertEqual(peer.ask(MultiRequest((creates[0], wrong))).err, MarshallingErrorException.code)

    def watched(self, peer: Peer) -> dict[int, int]:
        """Check for the watches of each kind on ``/a``, and return the error codes."""
        return {kind: peer.ask(CheckWatchesRequest("/a", kind)).err for kind in range(7)}

    def test_check_watches(self) -> None:
        """Each kind of watch is checked by itself: a persistent watch counts as none of data or children, and watches
        of other clients do not count.
        """
        peer, other = self.peer(), self.peer()
        peer.create("/a")
        none, no_kind = NoWatcherException.code, MarshallingErrorException.code
        nothing = {0: no_kind, 1: none, 2: none, 3: none, 4: none, 5: none, 6: no_kind}
        self.assertEqual(self.watched(peer), nothing)
        peer.ask(AddWatchRequest("/a", 0))
        self.assertEqual(self.watched(peer), {**nothing, 3: 0, 4: 0})
        peer.ask(AddWatchRequest("/a", 1))
        self.assertEqual(self.watched(peer), {**nothing, 3: 0, 4: 0, 5: 0})
        peer.get("/a", watch=True)
        self.assertEqual(self.watched(peer), {**nothing, 2: 0, 3: 0, 4: 0, 5: 0})
        self.assertEqual(self.watched(other), nothing)
        for path in ("", "t"):
            self.assertEqual(peer.ask(CheckWatchesRequest(path, 3)).err, none)

    def test_remove_watches(self) -> None:
        """Each kind of watch is removed by itself, and all of them by the kind that is any."""
        peer, writer = self.peer(), self.peer()
        peer.create("/a")
        none = NoWatcherException.code
        peer.ask(AddWatchRequest("/a", 0))
        for kind in (1, 2, 5):
            self.assertEqual(peer.ask(RemoveWatchesRequest("/a", kind)).err, none)
        peer.ask(AddWatchRequest("/a", 1))
        peer.get("/a", watch=True)
        self.assertEqual([peer.ask(RemoveWatchesRequest("/a", kind)).err for kind in (2, 2, 5, 5)], [0, none, 0, none])
        writer.set("/a")
        writer.set("/a")
        self.assertEqual(peer.events(), [Event(EventType.CHANGED, "/a")] * 2)
        peer.get("/a", watch=True)
        self.assertEqual([peer.ask(RemoveWatchesRequest("/a", kind)).err for kind in (3, 3)], [0, none])
        writer.set("/a")
        self.assertEqual(peer.events(), [])

    def test_modes_side_by_side(self) -> None:
        """A one-shot watch beside a persistent one is removed, and the other is not; a change sends one event."""
        peer, writer = self.peer(), self.peer()
        peer.create("/a")
        peer.get("/a", watch=True)
        peer.ask(AddWatchRequest("/a", 1))
        peer.ask(AddWatchRequest("/a", 0))
        peer.get("/a", watch=True)
        for _ in range(2):
            writer.set("/a")
            self.assertEqual(peer.events(), [Event(EventType.CHANGED, "/a")])
        self.assertEqual(self.watched(peer)[2], NoWatcherException.code)
        writer.create("/a/b")
        self.assertEqual(peer.events(), [Event(EventType.CREATED, "/a/b"), Event(EventType.CHILD, "/a")])

    def test_a_session_ends(self) -> None:
        """Ephemerals go in the transaction that ends their session."""
        watcher, owner = self.peer(), self.peer()
        owner.create("/e", flags=1)
        watcher.get("/e", watch=True)
        owner.close()
        self.assertEqual(
            (watcher.events(), watcher.event_zxids), ([Event(EventType.DELETED, "/e")], [self.server.zxid])
        )

    def test_missed(self) -> None:
        """Missed events have no zxid: there may have been many transactions."""
        peer = self.peer()
        peer.send(SetWatchesRequest(0, ("/none",), (), ()))
        self.assertEqual(peer.event_zxids, [-1])


class KeeperTests(ServerTestCase):
    options: ClassVar[dict[str, Any]] = {"version": "keeper"}

    def welcome(self, peer: Peer) -> ConnectResponse:
        assert peer.welcome is not None
        return peer.welcome

    def test_handshake(self) -> None:
        """Each session has a password of zeros, and the reply lacks the field for read-only servers."""
        peer = self.peer(timeout=4000)
        welcome = self.welcome(peer)
        self.assertEqual(welcome, ConnectResponse(4000, peer.session, bytes(16), None, 0))
        self.assertNotEqual(peer.session, 0)

    def test_no_resumption(self) -> None:
        """A client that presents a session gets another, even if it has seen a later transaction; the old one lives until its timeout."""
        first = self.peer()
        first.create("/e", flags=1)
        second = self.peer(resume=first, zxid=1000)
        self.assertNotIn(second.session, (0, first.session))
        self.assertIsNone(first.lost)
        self.assertEqual(self.server.sessions, {first.session, second.session})
        self.assertTrue(second.exists("/e"))
        first.raw(b"\xff\xff\xff\xff")
        self.assertIsNotNone(first.lost)
        for _ in range(6):
            second.ping()
            self.reactor.pass_time(1.0)
        self.assertEqual((self.server.sessions, second.exists("/e")), ({second.session}, False))

    def test_no_leader(self) -> None:
        """Without a quorum a handshake is refused, by the protocol version 42 and the session -1, and the connection closed."""
        first = self.peer()
        for read_only in (False, True):
            self.server.lose_quorum(read_only=read_only)
            for request in (
                ConnectRequest(0, 3000, 0, bytes(16), True),
                ConnectRequest(0, 3000, first.session, bytes(16)),
            ):
                peer = self.connect()
                peer.shake(request)
                self.assertEqual(self.welcome(peer), ConnectResponse(3000, -1, bytes(16), None, 42))
                self.assertIsNotNone(peer.lost)
            self.server.regain_quorum()
        self.assertEqual(self.welcome(self.peer()).protocolVersion, 0)

    def test_close(self) -> None:
        """A session that is to end ends, and the connection with it, without an answer."""
        peer = self.peer()
        peer.send(CloseSessionRequest())
        self.assertEqual((peer.take(), self.server.sessions), ([], frozenset()))
        self.assertIsNotNone(peer.lost)

    def test_unknown_operations(self) -> None:
        """It closes the connection on an unknown operation, without a reply. The session lives on."""
        for operation in (102, 103, 104, 107, 1000):
            peer = self.peer()
            peer.raw(encode_frame(RequestHeader(7, operation).encode() + bytes(4)))
            self.assertEqual(peer.take(), [], operation)
            self.assertIsNotNone(peer.lost)
            self.assertIn(peer.session, self.server.sessions)

    def test_set_watches(self) -> None:
        """The server sends missed events after the reply, and changed children as changed data. The other watches are set."""
        peer, writer = self.peer(), self.peer()
        for path in ("/data", "/list", "/both", "/same", "/gone"):
            writer.create(path)
        zxid = self.server.zxid
        writer.set("/data")
        writer.create("/list/a")
        writer.set("/both")
        writer.create("/both/a")
        writer.delete("/gone")
        paths = ("/data", "/list", "/both", "/same", "/gone")
        for request in (SetWatchesRequest(zxid, paths, (), paths), SetWatches2Request(zxid, paths, (), paths, (), ())):
            peer.send(request)
            answer, *events = peer.take()
            self.assertIsInstance(answer, Reply)
            changed, deleted = EventType.CHANGED, EventType.DELETED
            expected = [(changed, "/data"), (changed, "/both"), (deleted, "/gone")]
            expected += [(changed, "/list"), (changed, "/both"), (deleted, "/gone")]
            self.assertEqual(events, [Event(*event) for event in expected])
        writer.create("/same/a")
        self.assertEqual(peer.events(), [Event(EventType.CHILD, "/same")])

    def test_srvr(self) -> None:
        """It reports its version."""
        peer = self.connect()
        peer.raw(b"srvr")
        self.assertTrue(peer.text.startswith(b"Zookeeper version: ClickHouse Keeper-"), peer.text)
