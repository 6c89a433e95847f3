"""A server without a quorum: closed to all, or to be read by those that ask for no more."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from txmirror.errors import NotReadOnlyException
from txmirror.test.embedded.peer import Event, Peer, Reply, ServerTestCase
from txmirror.testing import World
from txmirror.types import OPEN_ACL, EventType, SessionState
from txmirror.wire import (
    CheckVersionRequest,
    CloseSessionRequest,
    ConnectRequest,
    CreateRequest,
    DeleteRequest,
    MultiRequest,
    Request,
    SetACLRequest,
    SetDataRequest,
    SetWatchesRequest,
    SyncRequest,
)

#: What a server refuses that can only be read, whether or not it would have been done.
REFUSED: tuple[Request, ...] = (
    CreateRequest("/b", b"", OPEN_ACL, 0),
    CreateRequest("bad", b"", OPEN_ACL, 0),
    SetDataRequest("/a", b"", -1),
    DeleteRequest("/none", -1),
    SetACLRequest("/a", OPEN_ACL, -1),
    SyncRequest("/a"),
    CheckVersionRequest("/a", -1),
    MultiRequest(()),
)


class QuorumTestCase(ServerTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.before = self.peer()
        self.before.create("/a", b"x")
        self.before.create("/e", flags=1)

    def word(self, word: bytes) -> str:
        asker = self.connect()
        asker.raw(word)
        return asker.text.decode()

    def assert_turned_away(self, peer: Peer) -> None:
        """Make sure that a handshake was not answered."""
        self.assertIsNone(peer.welcome)
        self.assertIsNotNone(peer.lost)

    def assert_ended(self, peer: Peer, read_only: bool) -> None:
        """Check that a client is notified that its session has expired."""
        assert peer.welcome is not None
        self.assertEqual((peer.welcome.timeOut, peer.welcome.sessionId, peer.welcome.readOnly), (0, 0, read_only))


class NoQuorumTests(QuorumTestCase):
    def test_nobody(self) -> None:
        """The server closes all connections and rejects every client, even one that allows a read-only server. Sessions are kept."""
        self.server.lose_quorum()
        self.reactor.settle()
        self.assertIsNotNone(self.before.lost)
        for peer in (self.peer(), self.peer(read_only=True), self.peer(resume=self.before, read_only=True)):
            self.assert_turned_away(peer)
        self.assertEqual(self.server.sessions, {self.before.session})

    def test_regained(self) -> None:
        """However long it took, sessions are there again, with their ephemerals, and then end in time."""
        self.server.lose_quorum()
        self.reactor.pass_time(3600.0)
        self.server.regain_quorum()
        again = self.peer(resume=self.before)
        self.assertTrue(again.exists("/e"))
        again.set("/a", b"y")
        self.server.connection_of(again.session).drop()
        self.reactor.pass_time(5.0)
        self.assertEqual(self.server.sessions, frozenset())

    def test_words(self) -> None:
        """The answer to nearly all four-letter words is that the server does not serve requests."""
        self.server.lose_quorum()
        self.assertEqual((self.word(b"isro"), self.word(b"ruok")), ("null", "imok"))
        self.assertIn("not currently serving requests", self.word(b"srvr"))

    def test_wrong_calls(self) -> None:
        """A quorum can be lost once, and regained once; without one there is nobody to catch up with."""
        self.assertRaises(ValueError, self.server.regain_quorum)
        self.assertRaises(TypeError, self.server.lose_quorum, read_only="no")
        self.assertTrue(self.server.has_quorum)
        self.server.lose_quorum()
        self.assertRaises(ValueError, self.server.lose_quorum)
        self.assertRaises(ValueError, self.server.lag)
        self.assertRaises(ValueError, self.server.catch_up)
        self.assertFalse(self.server.has_quorum)

    def test_restart(self) -> None:
        """It may be stopped and started meanwhile, and its data may be replaced, and it has no quorum still."""
        self.server.lose_quorum(read_only=True)
        self.peer(read_only=True)
        self.settle(self.server.stop_listening())
        self.assertEqual(self.reactor.getDelayedCalls(), [])
        self.server.wipe()
        self.server.listen(2181)
        self.assert_turned_away(self.peer())
        self.assertFalse(self.peer(read_only=True).exists("/a"))
        self.server.regain_quorum()
        self.peer().create("/a")


class ReadOnlyTests(QuorumTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.server.lose_quorum(read_only=True)

    def test_handshake(self) -> None:
        """A client that accepts a read-only server gets a session without a transaction; others are rejected."""
        zxid = self.server.zxid
        reader = self.peer(read_only=True)
        assert reader.welcome is not None
        self.assertEqual((reader.welcome.readOnly, reader.welcome.timeOut), (True, 4000))
        self.assertEqual(self.server.zxid, zxid)
        self.assertIn(reader.session, self.server.sessions)
        for peer in (self.peer(), self.peer(read_only=None), self.peer(read_only=True, zxid=zxid + 1)):
            self.assert_turned_away(peer)

    def test_reads(self) -> None:
        """The data can be read and watched."""
        reader = self.peer(read_only=True)
        self.assertEqual(reader.get("/a", watch=True).data, b"x")
        self.assertTrue(reader.exists("/e"))
        reader.ping()
        reader.send(SetWatchesRequest(0, ("/none", "/a"), (), ()))
        *events, reply = reader.take()
        self.assertEqual(events, [Event(EventType.DELETED, "/none"), Event(EventType.CHANGED, "/a")])
        assert isinstance(reply, Reply)
        self.assertEqual(reply.err, 0)

    def test_writes(self) -> None:
        """The server refuses requests that need a leader, before it decodes them."""
        reader = self.peer(read_only=True)
        for request in REFUSED:
            self.assertEqual(reader.ask(request).err, -119, request)
        reader.ping()

    def test_sessions(self) -> None:
        """A session of its own outlasts a connection, and ends when it is closed, or in time."""
        reader = self.peer(read_only=True)
        self.server.connection_of(reader.session).drop()
        again = self.peer(resume=reader, read_only=True)
        self.assertEqual(again.session, reader.session)
        self.assert_ended(self.peer(resume=reader, password=b"x" * 16, read_only=True), True)
        silent = self.peer(read_only=True)
        closing = self.peer(read_only=True)
        self.assertEqual(closing.ask(CloseSessionRequest()).err, 0)
        self.assertIsNotNone(closing.lost)
        self.reactor.pass_time(5.0)
        self.assertIsNotNone(silent.lost)
        self.assertEqual(self.server.sessions, {self.before.session})

    def test_expire(self) -> None:
        """Such a session can be made to expire, and be the one that a fault is for."""
        reader = self.peer(read_only=True)
        fault = self.server.lose_request("get", session_id=reader.session)
        fault.cancel()
        self.server.expire_session(reader.session)
        self.reactor.settle()
        self.assertIsNotNone(reader.lost)
        self.assert_ended(self.peer(resume=reader, read_only=True), True)

    def test_session_of_all(self) -> None:
        """A session of before is not gone on with here, and not hurt; one that never was has ended."""
        self.assert_turned_away(self.peer(resume=self.before, read_only=True))
        self.assert_turned_away(self.peer(resume=self.before, password=b"x" * 16, read_only=True))
        stranger = self.connect()
        stranger.shake(ConnectRequest(0, 4000, 0x1234, bytes(16), True))
        self.assert_ended(stranger, True)
        self.server.regain_quorum()
        self.assertTrue(self.peer(resume=self.before).exists("/e"))

    def test_regained(self) -> None:
        """With a quorum its own sessions have ended, and it is as any other server."""
        reader = self.peer(read_only=True)
        self.server.regain_quorum()
        self.reactor.settle()
        self.assertIsNotNone(reader.lost)
        self.assert_ended(self.peer(resume=reader, read_only=True), False)
        anybody = self.peer(read_only=True)
        assert anybody.welcome is not None
        self.assertIs(anybody.welcome.readOnly, False)
        anybody.create("/b")

    def test_words(self) -> None:
        """It reports its version."""
        self.assertEqual(self.word(b"isro"), "ro")
        self.assertIn("\nREAD-ONLY mode; serving only read-only clients\n", self.word(b"srvr"))
        self.assertIn("\nMode: read-only\n", self.word(b"srvr"))
        self.server.regain_quorum()
        self.assertEqual(self.word(b"isro"), "rw")


class ClientTests(SynchronousTestCase):
    def test_reader(self) -> None:
        """Our client reads, is refused its writes, and has a real session by itself when there can be one again."""
        with World() as world:
            holder = world.client()
            world.result(holder.create("/a", b"x"))
            session = holder.session_id
            world.server.lose_quorum(read_only=True)
            reader = world.client(read_only=True)
            self.assertIs(reader.session.read_only, True)
            self.assertEqual(world.result(reader.get("/a"))[0], b"x")
            error = self.assertRaises(NotReadOnlyException, world.result, reader.set("/a", b"y"))
            self.assertIs(error.applied, False)
            world.pass_time(60.0)
            self.assertIs(reader.session.read_only, True)
            self.assertIsNot(holder.session.state, SessionState.CONNECTED)
            world.server.regain_quorum()
            world.pass_time(10.0)
            self.assertEqual((reader.session.read_only, reader.session.session_number), (False, 2))
            world.result(reader.set("/a", b"y"))
            self.assertEqual(holder.session_id, session)
            self.assertEqual(world.result(holder.get("/a"))[0], b"y")

    def test_cut_off(self) -> None:
        """One server of an ensemble is partitioned: its clients read the old data, and then connect to another server."""
        with World(servers=2) as world:
            alone, other = world.servers
            writer = world.client(other.address)
            world.result(writer.create("/a", b"old"))
            alone.lose_quorum(read_only=True)
            world.result(writer.set("/a", b"new"))
            stuck = world.client(alone.address, read_only=True)
            self.assertEqual(world.result(stuck.get("/a"))[0], b"old")
            reader = world.client(read_only=True)
            world.pass_time(120.0)
            self.assertEqual(world.result(reader.get("/a"))[0], b"new")
            self.assertEqual(writer.session.session_number, 1)
            alone.regain_quorum()
            world.pass_time(10.0)
            self.assertEqual(world.result(stuck.get("/a"))[0], b"new")

    def test_closes(self) -> None:
        """A world in which a quorum was lost closes."""
        with World(servers=3) as world:
            world.client()
            for number, server in enumerate(world.servers):
                server.lose_quorum(read_only=bool(number % 2))
