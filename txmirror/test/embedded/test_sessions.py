"""Sessions begin, live, move between connections and end as those of ZooKeeper 3.8.0."""

from __future__ import annotations

from twisted.internet.error import ConnectionDone

from txmirror.errors import AuthFailedException
from txmirror.test.embedded.peer import Event, Peer, ServerTestCase
from txmirror.test.mirror.world import record_log
from txmirror.types import EventType
from txmirror.wire import CloseSessionRequest


class SessionTestCase(ServerTestCase):
    def granted(self, peer: Peer) -> tuple[int, int, int]:
        assert peer.welcome is not None
        assert peer.welcome.passwd is not None
        return peer.welcome.timeOut, peer.welcome.sessionId, len(peer.welcome.passwd)

    def keep(self, *peers: Peer, seconds: float) -> None:
        """Let time pass while these peers ping."""
        for _ in range(int(seconds / 0.25)):
            self.reactor.pass_time(0.25)
            for peer in peers:
                peer.ping()


class HandshakeTests(SessionTestCase):
    def test_new(self) -> None:
        """A new session has an id, a password of 16 bytes and the timeout asked for, and is a transaction."""
        timeout, session, password = self.granted(self.peer(timeout=3000))
        self.assertEqual((timeout, password), (3000, 16))
        self.assertEqual(self.server.sessions, {session})
        self.assertEqual(self.server.zxid, 1)

    def test_timeout_is_negotiated(self) -> None:
        """A timeout is between 2 and 20 ticks."""
        self.assertEqual([self.granted(self.peer(timeout))[0] for timeout in (-1, 1, 10**9)], [1000, 1000, 10000])

    def test_old_client(self) -> None:
        """A client whose handshake lacks the field for read-only servers gets a reply without it."""
        peer = self.peer(read_only=None)
        assert peer.welcome is not None
        self.assertIsNone(peer.welcome.readOnly)

    def test_read_only(self) -> None:
        """The reply to a client that accepts a read-only server has that this server is not read-only."""
        peer = self.peer(read_only=True)
        assert peer.welcome is not None
        self.assertIs(peer.welcome.readOnly, False)
        peer.create("/a")

    def test_client_ahead(self) -> None:
        """The server rejects a client that has seen a later transaction, without a reply."""
        peer = self.peer(zxid=1)
        self.assertIsNone(peer.welcome)
        self.assertIsNotNone(peer.lost)
        self.assertEqual(self.server.sessions, frozenset())

    def test_client_stays_ahead(self) -> None:
        """The log has one line for a client that tries again and again, as after a restart of the server."""
        first, second = self.peer(), self.peer()
        lines = record_log(self)
        for _ in range(3):
            self.assertIsNotNone(self.peer(zxid=9, resume=first).lost)
        (line,) = lines()
        self.assertIn("its client has seen transaction 0x9, and the last one here is 0x2, as after a restart", line)
        self.assertIsNotNone(self.peer(zxid=9, resume=second).lost)
        self.assertEqual(len(lines()), 2)

    def test_client_level(self) -> None:
        """A client that has seen all that there is is welcome."""
        self.peer()
        self.assertNotEqual(self.granted(self.peer(zxid=1))[0], 0)


class ResumptionTests(SessionTestCase):
    def lose(self, peer: Peer) -> None:
        assert peer.transport is not None
        peer.transport.loseConnection()
        self.reactor.settle()

    def assert_refused(self, peer: Peer) -> None:
        assert peer.welcome is not None
        self.assertEqual((peer.welcome.timeOut, peer.welcome.sessionId, peer.welcome.passwd), (0, 0, bytes(16)))
        assert peer.lost is not None
        peer.lost.trap(ConnectionDone)

    def test_resumed(self) -> None:
        """A session goes on over another connection, with its ephemerals, and without a transaction."""
        first = self.peer()
        first.create("/e", flags=1)
        self.lose(first)
        self.reactor.pass_time(3)
        second = self.peer(resume=first)
        self.assertEqual(second.session, first.session)
        self.assertEqual(second.get("/e").stat.ephemeralOwner, first.session)
        self.assertEqual(self.server.zxid, 2)

    def test_taken_over(self) -> None:
        """If the old connection is still open, the server closes it."""
        first = self.peer()
        second = self.peer(resume=first)
        self.assertIsNotNone(first.lost)
        second.ping()

    def test_timeout_is_negotiated_again(self) -> None:
        """Each connection brings its own timeout."""
        first = self.peer(timeout=1000)
        second = self.peer(timeout=5000, resume=first)
        self.assertEqual(self.granted(second)[0], 5000)
        self.reactor.pass_time(4.5)
        self.assertIn(first.session, self.server.sessions)

    def test_wrong_password(self) -> None:
        """A wrong password is refused; the session lives on, but its connection is gone: so 3.8.0 has it."""
        first = self.peer()
        self.assert_refused(self.peer(resume=first, password=b"x" * 16))
        self.assertIsNotNone(first.lost)
        self.assertIn(first.session, self.server.sessions)

    def test_ended(self) -> None:
        """A session that has ended is refused."""
        first = self.peer()
        first.close()
        self.assert_refused(self.peer(resume=first))

    def test_identities_are_the_connections(self) -> None:
        """Credentials apply to one connection."""
        first = self.peer()
        self.assertEqual(first.auth(b"a:b").err, 0)
        second = self.peer(resume=first)
        self.assertEqual(second.auth(b"a:b").err, 0)


class EndTests(SessionTestCase):
    def test_closed(self) -> None:
        """A closed session's ephemerals go at once; it gets its reply, and then the end of the connection."""
        owner, watcher = self.peer(), self.peer()
        owner.create("/e", flags=1)
        watcher.exists("/e", watch=True)
        owner.send(CloseSessionRequest())
        (reply,) = owner.take()
        self.assertEqual(reply[:3], (2, 4, 0))
        assert owner.lost is not None
        owner.lost.trap(ConnectionDone)
        self.assertEqual(watcher.events(), [Event(EventType.DELETED, "/e")])
        self.assertEqual(self.server.sessions, {watcher.session})

    def test_silent(self) -> None:
        """A session ends at the first tick after its timeout without a word, with its ephemerals and its connection."""
        silent, watcher = self.peer(timeout=1000), self.peer()
        silent.create("/e", flags=1)
        watcher.exists("/e", watch=True)
        self.reactor.pass_time(1.49)
        self.assertIsNone(silent.lost)
        self.reactor.pass_time(0.02)
        self.assertIsNotNone(silent.lost)
        self.assertEqual(watcher.events(), [Event(EventType.DELETED, "/e")])

    def test_requests_keep_it_alive(self) -> None:
        """A client that pings keeps its session."""
        peer = self.peer(timeout=1000)
        self.keep(peer, seconds=10)
        self.assertIsNone(peer.lost)

    def test_short_beside_long(self) -> None:
        """A session with a short timeout ends in time although others live longer."""
        long, short = self.peer(timeout=10000), self.peer(timeout=1000)
        self.reactor.pass_time(2)
        self.assertEqual(self.server.sessions, {long.session})
        self.assertIsNotNone(short.lost)

    def test_without_connection(self) -> None:
        """A session whose connection is closed lives until its timeout."""
        peer = self.peer(timeout=2000)
        self.server.drop_connections()
        self.reactor.pass_time(1.9)
        self.assertEqual(self.server.sessions, {peer.session})
        self.reactor.pass_time(0.7)
        self.assertEqual(self.server.sessions, frozenset())


class AuthTests(SessionTestCase):
    def test_accepted(self) -> None:
        """Credentials are taken with a reply that has no zxid."""
        self.assertEqual(self.peer().auth(b"user:secret"), (-4, 0, 0, b""))

    def test_other_scheme(self) -> None:
        """A scheme that the server does not know is refused, and the connection closed; the session lives on."""
        peer = self.peer()
        reply = peer.auth(b"x", "sasl")
        self.assertEqual((reply.xid, reply.err), (-4, AuthFailedException.code))
        self.assertIsNotNone(peer.lost)
        self.assertEqual(self.server.sessions, {peer.session})
