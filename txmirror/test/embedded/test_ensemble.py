"""Several servers with one tree: the time at which each applies a change."""

from __future__ import annotations

from txmirror.embedded import EmbeddedEnsemble
from txmirror.test.embedded.peer import Event, Peer, Reply, ServerTestCase
from txmirror.types import OPEN_ACL, EventType
from txmirror.wire import (
    CreateRequest,
    ExistsRequest,
    GetDataRequest,
    PingRequest,
    SetDataRequest,
    SetWatchesRequest,
    SyncRequest,
)

_FIRST, _SECOND, _THIRD = HOSTS = ("10.0.0.1", "10.0.0.2", "10.0.0.3")


class EnsembleTestCase(ServerTestCase):
    """Three servers at addresses of their own."""

    def setUp(self) -> None:
        super().setUp()
        self.settle(self.server.stop())
        self.ensemble = EmbeddedEnsemble(self.reactor)
        for host, server in zip(HOSTS, self.ensemble.servers, strict=True):
            server.listen(2181, host)
        self.leader, self.second, self.third = self.ensemble.servers

    def clean_up(self) -> None:
        self.settle(self.ensemble.stop())
        super().clean_up()

    def errors(self, peer: Peer) -> list[int]:
        """Return the error codes of the replies that have arrived."""
        return [reply.err for reply in peer.take() if isinstance(reply, Reply)]


class SharingTests(EnsembleTestCase):
    def test_data(self) -> None:
        """A write at one server is read at the others, with the same stat."""
        one, two = self.peer(host=_FIRST), self.peer(host=_SECOND)
        one.create("/a", b"x")
        self.assertEqual(two.get("/a"), one.get("/a"))

    def test_watches(self) -> None:
        """A watch at one server fires for a write at another."""
        one, two = self.peer(host=_FIRST), self.peer(host=_SECOND)
        two.exists("/a", watch=True)
        one.create("/a")
        self.assertEqual(two.events(), [Event(EventType.CREATED, "/a")])

    def test_session_moves(self) -> None:
        """A session goes on at another server, with its ephemerals."""
        peer = self.peer(host=_FIRST)
        peer.create("/e", flags=1)
        self.leader.drop_connections()
        moved = self.peer(resume=peer, host=_SECOND)
        self.assertEqual(moved.session, peer.session)
        self.assertEqual(moved.get("/e").stat.ephemeralOwner, peer.session)

    def test_moved_away(self) -> None:
        """The former server does not notice the move: the client can read there, and is disconnected when it writes or
        syncs.
        """
        for request in (SyncRequest("/"), CreateRequest("/a", b"", OPEN_ACL, 0)):
            former = self.peer(host=_FIRST)
            latter = self.peer(resume=former, host=_SECOND)
            former.get("/")
            former.send(request)
            self.assertEqual(former.take(), [])
            self.assertIsNotNone(former.lost)
            self.assertFalse(latter.exists("/a"))

    def test_same_server(self) -> None:
        """At the same server its former connection is closed at once."""
        former = self.peer(host=_FIRST)
        self.peer(resume=former, host=_FIRST).ping()
        self.assertIsNotNone(former.lost)

    def test_session_ends(self) -> None:
        """When a session ends, so do all its connections."""
        former = self.peer(host=_FIRST)
        latter = self.peer(resume=former, host=_SECOND)
        latter.close()
        self.reactor.settle()
        self.assertIsNotNone(former.lost)
        self.assertEqual(self.ensemble.sessions, frozenset())

    def test_expire(self) -> None:
        """A session can be made to expire, whichever server its client is connected to."""
        peer = self.peer(host=_THIRD)
        self.ensemble.expire_session(peer.session)
        self.reactor.settle()
        self.assertIsNotNone(peer.lost)

    def test_one_stops(self) -> None:
        """When one server stops, sessions live on at the others, and end in time there."""
        peer, other = self.peer(host=_FIRST), self.peer(host=_SECOND)
        self.settle(self.leader.stop_listening())
        self.assertIsNotNone(peer.lost)
        for _ in range(6):
            self.reactor.pass_time(1.0)
            other.ping()
        self.assertEqual(self.ensemble.sessions, {other.session})
        self.leader.listen(2181, _FIRST)
        self.peer(resume=other, host=_FIRST).ping()

    def test_one_ends(self) -> None:
        """When one server stops, the sessions live on at the others, and end with the last of them."""
        peer = self.peer(host=_SECOND)
        self.settle(self.leader.stop())
        peer.ping()
        self.assertEqual(self.ensemble.sessions, {peer.session})
        self.settle(self.third.stop())
        self.settle(self.second.stop())
        self.assertEqual(self.ensemble.sessions, frozenset())
        self.assertEqual(self.reactor.getDelayedCalls(), [])

    def test_words(self) -> None:
        """Each server reports its mode, and its own connections and watches."""
        self.peer(host=_SECOND).exists("/a", watch=True)
        for host, mode, connections, watches in ((_FIRST, "leader", 1, 0), (_SECOND, "follower", 2, 1)):
            asker = self.connect(host)
            asker.raw(b"srvr")
            self.assertIn(f"Mode: {mode}\n", asker.text.decode())
            self.assertIn(f"Connections: {connections}\n", asker.text.decode())
            asker = self.connect(host)
            asker.raw(b"wchs")
            self.assertIn(f"Total watches:{watches}\n", asker.text.decode())

    def test_wipe(self) -> None:
        """Data that is wiped is gone everywhere, and so are the connections."""
        one, two = self.peer(host=_FIRST), self.peer(host=_SECOND)
        one.create("/a")
        self.third.lag()
        self.ensemble.wipe()
        self.reactor.settle()
        self.assertTrue(one.lost and two.lost)
        for host in HOSTS:
            self.assertFalse(self.peer(host=host).exists("/a"))

    def test_roll_back(self) -> None:
        """Data that is rolled back is so everywhere."""
        one = self.peer(host=_FIRST)
        snapshot = self.ensemble.snapshot()
        one.create("/a")
        self.ensemble.roll_back(snapshot)
        self.assertEqual(self.ensemble.zxid, snapshot.zxid)
        for host in HOSTS:
            self.assertFalse(self.peer(host=host).exists("/a"))

    def test_connect_string(self) -> None:
        """The addresses of all, as clients want them."""
        self.assertEqual(self.ensemble.connect_string, "10.0.0.1:2181,10.0.0.2:2181,10.0.0.3:2181")

    def test_listen(self) -> None:
        """All listen, at ports that are free; those that do already go on."""
        ensemble = EmbeddedEnsemble(self.reactor, 2)
        ensemble.servers[0].listen(2181, "10.0.0.9")
        ensemble.listen()
        self.assertRegex(ensemble.connect_string, r"^10\.0\.0\.9:2181,127\.0\.0\.1:\d+$")
        self.settle(ensemble.stop())

    def test_sizes(self) -> None:
        """A size that is none, and versions that do not fit it, are refused."""
        for size in (0, 10, -1):
            self.assertIn(str(size), str(self.assertRaises(ValueError, EmbeddedEnsemble, self.reactor, size)))
        with self.assertRaisesRegex(ValueError, "3 servers with 2 versions"):
            EmbeddedEnsemble(self.reactor, version=["3.8", "3.9"])
        with self.assertRaisesRegex(ValueError, "'4'"):
            EmbeddedEnsemble(self.reactor, 1, version="4")

    def test_versions(self) -> None:
        """Each may be of a version of its own."""
        ensemble = EmbeddedEnsemble(self.reactor, 2, version=["3.8", "3.9"])
        for number, server in enumerate(ensemble.servers, 5):
            server.listen(2181, f"10.0.0.{number}")
        old, new = self.peer(host="10.0.0.5"), self.peer(host="10.0.0.6")
        old.exists("/a", watch=True)
        new.exists("/a", watch=True)
        zxid = self.peer(host="10.0.0.5").create("/a").stat.czxid
        self.assertEqual((old.event_zxids, new.event_zxids), ([-1], [zxid]))
        self.settle(ensemble.stop())


class LaggingTests(EnsembleTestCase):
    """The third server lags."""

    def setUp(self) -> None:
        super().setUp()
        self.writer = self.peer(host=_FIRST)
        self.writer.create("/a", b"old")
        self.reader = self.peer(host=_THIRD)
        self.third.lag()

    def test_reads(self) -> None:
        """A lagging server replies with the old data and the old zxid."""
        zxid = self.third.zxid
        self.writer.set("/a", b"new")
        self.writer.create("/b")
        reply = self.reader.ask(GetDataRequest("/a", False))
        self.assertIn(b"old", reply.body)
        self.assertEqual((reply.zxid, self.third.zxid), (zxid, zxid))
        self.assertFalse(self.reader.exists("/b"))
        self.assertEqual(self.writer.get("/a").data, b"new")
        self.third.catch_up()
        self.assertEqual(self.reader.get("/a").data, b"new")
        self.assertEqual(self.third.zxid, self.leader.zxid)

    def test_events(self) -> None:
        """Events go out when it catches up, in order, each watch once."""
        self.reader.get("/a", watch=True)
        self.reader.children("/", watch=True)
        self.writer.set("/a", b"1")
        self.writer.create("/b")
        self.writer.set("/a", b"2")
        self.assertEqual(self.reader.events(), [])
        self.third.catch_up()
        self.assertEqual(self.reader.events(), [Event(EventType.CHANGED, "/a"), Event(EventType.CHILD, "/")])

    def test_watch_set_behind(self) -> None:
        """A watch on old data fires for the changes that the server did not know when the watch was set."""
        self.writer.set("/a", b"1")
        self.assertEqual(self.reader.get("/a", watch=True).data, b"old")
        self.third.catch_up()
        self.assertEqual(self.reader.events(), [Event(EventType.CHANGED, "/a")])

    def test_watches_set_again(self) -> None:
        """Watches that are set again are compared with the old data, and fire for later changes."""
        zxid = self.third.zxid
        self.writer.set("/a", b"1")
        self.assertEqual(self.reader.ask(SetWatchesRequest(zxid, ("/a",), (), ())).err, 0)
        self.third.catch_up()
        self.assertEqual(self.reader.events(), [Event(EventType.CHANGED, "/a")])

    def test_writes_wait(self) -> None:
        """A write at a lagging server is executed when it has caught up, and the reply follows the events of earlier changes."""
        self.reader.get("/a", watch=True)
        self.reader.send(SetDataRequest("/a", b"mine", -1))
        self.reader.send(GetDataRequest("/a", False))
        self.reader.send(PingRequest(), -2)
        self.writer.set("/a", b"theirs")
        self.assertEqual(self.reader.take(), [])
        self.third.catch_up()
        event, wrote, read, ping = self.reader.take()
        self.assertEqual(event, Event(EventType.CHANGED, "/a"))
        assert isinstance(wrote, Reply)
        assert isinstance(read, Reply)
        self.assertEqual((wrote.err, wrote.zxid), (0, self.leader.zxid))
        self.assertIn(b"mine", read.body)
        self.assertEqual(ping[0], -2)

    def test_several_writes(self) -> None:
        """Writes that wait are done in order."""
        for data in (b"1", b"2", b"3"):
            self.reader.send(SetDataRequest("/a", data, -1))
        self.third.catch_up()
        self.assertEqual(self.errors(self.reader), [0, 0, 0])
        self.assertEqual(self.writer.get("/a").data, b"3")

    def test_sync(self) -> None:
        """A sync waits until it has caught up, and so does the read behind it: it is not stale."""
        self.writer.set("/a", b"new")
        self.reader.send(SyncRequest("/a"))
        self.reader.send(GetDataRequest("/a", False))
        self.assertEqual(self.reader.take(), [])
        self.third.catch_up()
        _, read = self.reader.take()
        assert isinstance(read, Reply)
        self.assertIn(b"new", read.body)

    def test_session_lives(self) -> None:
        """A client that waits and sends pings keeps its session."""
        self.reader.send(SyncRequest("/a"))
        for _ in range(8):
            self.reactor.pass_time(1.0)
            self.reader.send(PingRequest(), -2)
            self.writer.ping()
        self.assertIn(self.reader.session, self.ensemble.sessions)

    def test_new_session(self) -> None:
        """Nobody gets a session there until it has caught up."""
        peer = self.peer(host=_THIRD)
        self.assertIsNone(peer.welcome)
        self.assertIsNone(peer.lost)
        self.third.catch_up()
        self.reactor.settle()
        self.assertIsNotNone(peer.welcome)
        peer.ping()

    def test_resumed(self) -> None:
        """A session that there is goes on there."""
        peer = self.peer(resume=self.writer, host=_THIRD)
        self.assertEqual(peer.get("/a").data, b"old")

    def test_seen_later(self) -> None:
        """A lagging server rejects a client that has seen a later transaction."""
        zxid = self.writer.set("/a", b"new").stat.mzxid
        peer = self.peer(resume=self.writer, host=_THIRD, zxid=zxid)
        self.assertIsNone(peer.welcome)
        self.assertIsNotNone(peer.lost)
        self.third.catch_up()
        self.assertIsNotNone(self.peer(resume=self.writer, host=_THIRD, zxid=zxid).welcome)

    def test_ended_session(self) -> None:
        """A lagging server notices a session's end when it catches up: until then its client continues to read."""
        self.ensemble.expire_session(self.reader.session)
        self.assertEqual(self.reader.get("/a").data, b"old")
        self.third.catch_up()
        self.reactor.settle()
        self.assertIsNotNone(self.reader.lost)

    def test_ended_with_a_write(self) -> None:
        """The server does not execute the waiting requests of a session that has ended."""
        self.reader.send(SetDataRequest("/a", b"mine", -1))
        self.ensemble.expire_session(self.reader.session)
        self.third.catch_up()
        self.reactor.settle()
        self.assertIsNotNone(self.reader.lost)
        self.assertEqual(self.writer.get("/a").data, b"old")

    def test_gone(self) -> None:
        """The server does not execute the waiting requests of a client that has disconnected."""
        self.reader.send(SetDataRequest("/a", b"mine", -1))
        self.third.drop_connections()
        self.third.catch_up()
        self.assertEqual(self.writer.get("/a").data, b"old")

    def test_stopped(self) -> None:
        """A lagging server may stop and listen again, and still lags."""
        self.writer.set("/a", b"new")
        self.settle(self.third.stop_listening())
        self.third.listen(2181, _THIRD)
        peer = self.peer(resume=self.reader, host=_THIRD)
        self.assertEqual(peer.get("/a").data, b"old")

    def test_fault(self) -> None:
        """A request that is to go wrong goes wrong when it is done."""
        fault = self.third.lose_reply("create")
        self.reader.send(CreateRequest("/b", b"", OPEN_ACL, 0))
        self.assertIsNone(self.reader.lost)
        self.third.catch_up()
        self.assertTrue(self.writer.exists("/b"))
        self.assertEqual((self.reader.take(), fault.happened), ([], True))
        self.assertIsNotNone(self.reader.lost)

    def test_others_do_not(self) -> None:
        """The others know all, and each server's faults are its own."""
        self.third.lose_reply("create")
        peer = self.peer(host=_SECOND)
        peer.create("/b")
        self.assertTrue(self.writer.exists("/b"))
        self.assertEqual(self.reader.ask(ExistsRequest("/b", False)).err, -101)

    def test_wrong_calls(self) -> None:
        """A lagging server cannot lag again, and an up-to-date one cannot catch up."""
        self.assertIn("lags already", str(self.assertRaises(ValueError, self.third.lag)))
        self.third.catch_up()
        self.assertIn("does not lag", str(self.assertRaises(ValueError, self.third.catch_up)))
