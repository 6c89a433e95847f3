"""Side sessions: the handshake, the packets and the end of each, and how servers refuse one."""

from __future__ import annotations

from twisted.internet.defer import Deferred

from txmirror.client import Limits, ZooKeeperClient
from txmirror.errors import AuthFailedException, ClosingException, ConnectionLossException, UnimplementedException
from txmirror.test.client.peer import PASSWORD, STAT, ClientTestCase, Peer, S, hang_up, ignore
from txmirror.types import EventType, News, WatchedEvent
from txmirror.wire import (
    CloseSessionRequest,
    GetDataRequest,
    GetDataResponse,
    Operation,
    SetWatchesRequest,
)

#: More than the longest pause before a side session.
_JITTER = 0.3
_SIDE_SESSION = 0x77


class SideSessionTestCase(ClientTestCase):
    """A client with a session whose last reply had the zxid 500, and the side sessions that it opens."""

    def setUp(self) -> None:
        super().setUp()
        self.news: list[News] = []

    def make_seen(self, limits: Limits | None = None, chroot: str = "") -> tuple[ZooKeeperClient, Peer]:
        """Make a connected client that has seen the zxid 500."""
        client, peer = self.make_connected(limits, chroot)
        read = client.get("/seen")
        peer.answer(GetDataRequest, GetDataResponse(b"", STAT), zxid=500)
        self.successResultOf(read)
        return client, peer

    def ask(self, client: ZooKeeperClient, *data: str) -> Deferred[None]:
        """Request the changes since 300, and let the pause pass."""
        answer = client.report_changes(300, self.news.append, data or ["/a"], ["/b"], ["/a"])
        self.pass_time(_JITTER)
        return answer

    def side(self, server: int = 0, *, accept: bool = True) -> Peer:
        """Return the latest connection to a server, which is a side session's, with its handshake accepted."""
        peer = self.servers[server].peer
        if accept:
            peer.accept(_SIDE_SESSION, 1.0)
        return peer

    def finish(self, side: Peer) -> None:
        """Answer the requests that close a side session."""
        side.answer(CloseSessionRequest)
        self.assertTrue(side.lost)


class AskingTests(SideSessionTestCase):
    def test_handshake(self) -> None:
        """It opens a new session with a short timeout, at a server that has all that the client has seen."""
        client, _ = self.make_seen()
        ignore(self.ask(client))
        hello = self.side(accept=False).hello
        self.assertEqual((hello.lastZxidSeen, hello.timeOut, hello.sessionId), (500, 1000, 0))
        self.assertNotEqual(hello.passwd, PASSWORD)

    def test_shorter_timeout(self) -> None:
        """Its timeout is no longer than the client's."""
        client = self.make_client(session_timeout=0.4)
        ignore(client.connect())
        self.server.peer.accept(timeout=0.4)
        ignore(client.report_changes(300, self.news.append, ["/a"]))
        self.reactor.pass_time(0.1)
        ignore(client.close())
        self.assertEqual(self.server.peers[0].hello.timeOut, 400)

    def test_answered(self) -> None:
        """The answer comes when the server has answered, and the events before that; then the session is closed."""
        client, _ = self.make_seen()
        answer = self.ask(client)
        side = self.side()
        xid, request = side.take(SetWatchesRequest)
        self.assertEqual(request, SetWatchesRequest(300, ("/a",), ("/b",), ("/a",)))
        side.event(EventType.DELETED, "/a", zxid=700)
        self.assertNoResult(answer)
        side.reply(xid, zxid=700)
        self.successResultOf(answer)
        self.assertEqual([(each.type, each.path) for each in self.news], [(EventType.DELETED, "/a")])  # type: ignore[union-attr]
        self.finish(side)

    def test_feed(self) -> None:
        """Its events and zxids are not those of the client's session."""
        client, peer = self.make_seen()
        self.feed.clear()
        answer = self.ask(client)
        side = self.side()
        side.event(EventType.CHANGED, "/a", zxid=700)
        side.answer(SetWatchesRequest, zxid=700)
        self.successResultOf(answer)
        self.finish(side)
        self.assertEqual(self.feed, [])
        self.assertEqual(self.reconnect(peer).hello.lastZxidSeen, 500)

    def test_chroot(self) -> None:
        """A client with a chroot asks below it, and gets events with its own paths."""
        client, _ = self.make_seen(chroot="/root")
        answer = self.ask(client)
        side = self.side()
        xid, request = side.take(SetWatchesRequest)
        self.assertEqual(request.dataWatches, ("/root/a",))
        side.event(EventType.CHANGED, "/root/a")
        side.reply(xid)
        self.successResultOf(answer)
        self.assertEqual(self.news, [WatchedEvent(EventType.CHANGED, "/a", None)])
        self.finish(side)

    def test_identities(self) -> None:
        """It has the client's identities, before it asks."""
        client, peer = self.make_seen()
        ignore(client.add_auth("digest", b"bob:secret"))
        peer.answer_auth()
        answer = self.ask(client)
        side = self.side()
        self.assertEqual(side.answer_auth().auth, b"bob:secret")
        side.answer(SetWatchesRequest)
        self.successResultOf(answer)
        self.finish(side)

    def test_packets(self) -> None:
        """Many nodes go into packets of at most 128 KiB, of which two are in flight."""
        client, _ = self.make_seen()
        paths = [f"/{'long' * 20}{number:05}" for number in range(20_000)]
        answer = self.ask(client, *paths)
        side = self.side()
        asked: list[str] = []
        while True:
            packets = side.packets
            if not packets or packets[0].operation != Operation.SET_WATCHES:
                break
            self.assertLessEqual(len(packets), 2)
            self.assertLess(max(packet.length for packet in packets), 128 * 1024)
            self.assertNoResult(answer)
            asked += side.answer(SetWatchesRequest).dataWatches
        self.successResultOf(answer)
        self.assertEqual(asked, paths)
        self.finish(side)

    def test_short_packets(self) -> None:
        """No packet is over ``max_request``."""
        client, _ = self.make_seen(Limits(max_request=1000))
        answer = self.ask(client, *(f"/{number:05}" for number in range(500)))
        side = self.side()
        while side.packets[0].operation == Operation.SET_WATCHES:
            self.assertLessEqual(max(packet.length for packet in side.packets), 1000)
            side.answer(SetWatchesRequest)
        self.successResultOf(answer)
        self.finish(side)

    def test_slow(self) -> None:
        """It lasts as long as the server goes on answering, far longer than its timeout."""
        client, _ = self.make_seen()
        answer = self.ask(client, *(f"/{number:0500}" for number in range(2000)))
        side = self.side()
        count = 0
        while side.packets[0].operation == Operation.SET_WATCHES:
            self.assertNoResult(answer)
            self.pass_time(0.3)
            side.answer(SetWatchesRequest)
            count += 1
        self.assertGreater(count, 6)
        self.successResultOf(answer)
        self.finish(side)


class RefusedTests(SideSessionTestCase):
    def assert_refused(self, answer: Deferred[None], message: str = "") -> None:
        """Check that the client could not ask, and that it still has its own session."""
        self.settle()
        self.assertIn(message, str(self.failureResultOf(answer, ConnectionLossException).value))
        self.assertFalse(self.server.peers[0].lost)

    def test_next_server(self) -> None:
        """If the client's server closes the handshake, because it has too many connections for instance, the next one is tried."""
        self.add_server()
        client, _ = self.make_seen()
        self.server.on_handshake = hang_up
        answer = self.ask(client)
        side = self.side(1)
        self.assertEqual(side.hello.lastZxidSeen, 500)
        side.answer(SetWatchesRequest)
        self.successResultOf(answer)
        self.finish(side)

    def test_all_servers(self) -> None:
        """Each server is tried once: that a server with older data closes the handshake is a refusal too."""
        for _ in range(2):
            self.add_server()
        client, _ = self.make_seen()
        for server in self.servers:
            server.on_handshake = hang_up
        self.assert_refused(self.ask(client), "closed the connection")
        self.assertEqual([server.count for server in self.servers], [2, 1, 1])

    def test_no_connection(self) -> None:
        """A server that refuses connections is no reason to wait."""
        self.add_server().stop()
        client, _ = self.make_seen()
        self.server.on_handshake = hang_up
        self.assert_refused(self.ask(client))

    def test_black_hole(self) -> None:
        """A server that does not answer costs no more than an attempt to connect, a third of the session timeout at most."""
        client, _ = self.make_seen()
        answer = self.ask(client)
        side = self.side(accept=False)
        self.pass_time(S / 3 - _JITTER - 0.1)
        self.assertNoResult(answer)
        self.pass_time(_JITTER + 0.1)
        self.assert_refused(answer, "in time")
        self.assertTrue(side.lost)

    def test_no_session(self) -> None:
        """A server may answer the handshake without opening a session."""
        client, _ = self.make_seen()
        answer = self.ask(client)
        self.side(accept=False).accept(0, 0.0)
        self.assert_refused(answer)

    def test_keeper(self) -> None:
        """ClickHouse Keeper does not compare its data with the client's last zxid, and so no side session is opened
        there.
        """
        self.add_server()
        client, _ = self.make_seen()
        self.server.on_handshake = hang_up
        answer = self.ask(client)
        self.side(1, accept=False).accept(_SIDE_SESSION, 1.0, bytes(16))
        self.assert_refused(answer)

    def test_own_keeper(self) -> None:
        """A client of ClickHouse Keeper opens no side session."""
        client = self.make_client()
        ignore(client.connect())
        self.server.peer.accept(password=bytes(16))
        self.failureResultOf(self.ask(client), UnimplementedException)
        self.assertEqual(self.server.count, 1)

    def test_read_only(self) -> None:
        """No other server knows the session of a read-only server, and so no side session is opened."""
        client = self.make_client(read_only=True)
        ignore(client.connect())
        self.server.peer.accept(read_only=True)
        self.failureResultOf(self.ask(client), ConnectionLossException)
        # Another connection searches for a server that can write.
        self.assertEqual([peer.greeted for peer in self.server.peers].count(True), 1)

    def test_identity_refused(self) -> None:
        """If the server refuses an identity in the side session, nothing is answered; the client keeps the identity."""
        client, peer = self.make_seen()
        accepted = client.add_auth("digest", b"bob:secret")
        peer.answer_auth()
        self.successResultOf(accepted)
        answer = self.ask(client)
        side = self.side()
        side.answer_auth(AuthFailedException.code)
        side.close()
        self.assert_refused(answer)
        self.assertEqual(self.reconnect(peer).answer_auth().auth, b"bob:secret")

    def test_error(self) -> None:
        """An error in answer to the packet ends the session."""
        client, _ = self.make_seen()
        answer = self.ask(client)
        side = self.side()
        side.answer(SetWatchesRequest, err=UnimplementedException.code)
        self.assert_refused(answer)
        self.finish(side)

    def test_lost(self) -> None:
        """A lost connection ends it, and it is not retried."""
        client, _ = self.make_seen()
        answer = self.ask(client)
        self.side().drop()
        self.assert_refused(answer)
        self.pass_time(S / 3)
        self.assertEqual(self.server.count, 2)

    def test_silent(self) -> None:
        """A server that no longer answers is noticed by the side session's own timeout."""
        client, _ = self.make_seen()
        answer = self.ask(client)
        side = self.side()
        side.answers_pings = False
        self.pass_time(1.0)
        self.assert_refused(answer, "silent")

    def test_never_closed(self) -> None:
        """If the server does not answer closeSession, the connection is aborted after a second."""
        client, _ = self.make_seen()
        answer = self.ask(client)
        side = self.side()
        side.answer(SetWatchesRequest)
        self.successResultOf(answer)
        self.assertEqual(side.operations, [Operation.CLOSE_SESSION])
        self.pass_time(1.1)
        self.assertTrue(side.lost)

    def test_closed_client(self) -> None:
        """A client that was closed asks nothing."""
        client, peer = self.make_seen()
        closed = client.close()
        self.failureResultOf(self.ask(client), ClosingException)
        peer.answer(CloseSessionRequest)
        self.successResultOf(closed)
