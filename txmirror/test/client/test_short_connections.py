"""Servers that accept the session and then drop the connection, over and over: few attempts, and few lines in the log."""

from __future__ import annotations

from collections.abc import Callable

from twisted.logger import LogLevel

from txmirror.client import ZooKeeperClient
from txmirror.test.client.peer import PASSWORD, SESSION, ClientTestCase, Peer, S, Server, hang_up, ignore, reply, write
from txmirror.types import SessionState
from txmirror.wire import ConnectResponse, encode_frame

GRANT = encode_frame(ConnectResponse(round(S * 1000), SESSION, PASSWORD, False).encode())
#: Of a session that a server grants anew each time.
EXPIRED = encode_frame(ConnectResponse(0, 0, bytes(16), False).encode())


class ShortConnectionTests(ClientTestCase):
    def close(self, peer: Peer) -> None:
        """Accept the session and close the connection."""
        write(peer, GRANT)
        hang_up(peer)

    def garble(self, peer: Peer) -> None:
        """Accept the session and send garbage, another each time."""
        write(peer, GRANT, reply(1000 + self.server.count))

    def reset(self, peer: Peer) -> None:
        """Accept the session and break the connection off after 0.4 s."""
        write(peer, GRANT)
        self.reactor.callLater(0.4, peer.drop)

    def alternate(self, peer: Peer) -> None:
        """Do something else each time."""
        ways = (self.close, self.garble, self.reset)
        ways[len(self.server.peers) % 3](peer)

    def renew(self, peer: Peer) -> None:
        """Grant a session, close the connection, and say then that the session has expired."""
        if peer.hello_now().sessionId:
            write(peer, EXPIRED)
            hang_up(peer)
        else:
            self.close(peer)

    def begin(self, *servers: Server, on_handshake: Callable[[Peer], object]) -> ZooKeeperClient:
        for server in servers:
            server.on_handshake = on_handshake
        client = self.make_client()
        ignore(client.connect())
        return client

    def count(self, *servers: Server) -> int:
        return sum(server.count for server in servers)

    def assert_bounded(self, *servers: Server, each: int = 1) -> None:
        """In the first minute there are few attempts and lines, and still fewer in the third.

        :param each: how many connections each attempt takes.
        """
        self.pass_time(60)
        first = self.count(*servers)
        lines = len(self.log_lines())
        self.assertGreater(first, 15)
        self.assertLess(first, 26 * each + 10 * (len(servers) - 1))
        self.assertLess(lines, 14 + 4 * len(servers))
        self.pass_time(60)
        before, lines = self.count(*servers), len(self.log_lines())
        self.pass_time(60)
        self.assertLessEqual(self.count(*servers) - before, 16 * each)
        self.assertLess(len(self.log_lines()) - lines, 4)
        self.assertEqual(self.flushLoggedErrors(), [])

    def assert_recovers(self, client: ZooKeeperClient, server: Server) -> None:
        """Assert that a server that serves again is found soon, and that the log has it once the connection has lasted."""
        server.on_handshake = lambda peer: write(peer, GRANT)
        self.pass_time(5)
        self.assertIs(client.session.state, SessionState.CONNECTED)
        self.pass_time(S / 3)
        self.assertIs(client.session.state, SessionState.CONNECTED)
        self.assertIn(f"Connected to {server.address}", self.log_lines(LogLevel.info)[-1])
        # From now on each is said again.
        lines = len(self.log_lines(LogLevel.warn))
        server.peer.drop()
        self.assertIn(f"Disconnected from {server.address}", self.log_lines(LogLevel.warn)[lines])

    def test_bounded(self) -> None:
        """A server that drops each connection behind its handshake is tried with growing pauses, however it drops them; the
        session is kept, and the server is found when it serves again."""
        for way in (self.close, self.garble, self.reset, self.alternate):
            self.server.peers.clear()
            self._log_events.clear()
            client = self.begin(self.server, on_handshake=way)
            self.assert_bounded(self.server)
            self.assertEqual(client.session.session_number, 1)
            self.assertNotIn(SessionState.LOST, self.states())
            self.assert_recovers(client, self.server)
            closed = client.close()
            self.pass_time(10)
            self.successResultOf(closed)

    def test_new_sessions(self) -> None:
        """A server that opens a new session each time, and has forgotten it at the next handshake, is tried with
        growing pauses, too.
        """
        client = self.begin(self.server, on_handshake=self.renew)
        self.assert_bounded(self.server, each=2)
        self.assert_recovers(client, self.server)

    def test_several(self) -> None:
        """Of several such servers the first round goes without a pause; then the pauses are those behind a single one. The log
        names each of them."""
        servers = [self.server, self.add_server(), self.add_server()]
        client = self.begin(*servers, on_handshake=self.close)
        self.settle()
        self.assertEqual([server.count for server in servers], [1, 1, 1])
        self.assert_bounded(*servers)
        self.assertLessEqual(max(map(self.count, servers)) - min(map(self.count, servers)), 1)
        for server in servers:
            self.assertIn(f"Disconnected from {server.address}", "\n".join(self.log_lines(LogLevel.warn)))
        self.assert_recovers(client, servers[1])

    def test_good_one_among_them(self) -> None:
        """A server that serves is reached at once, however many do not."""
        bad = [self.server, self.add_server(), self.add_server(), self.add_server()]
        good = self.add_server()
        good.on_handshake = lambda peer: write(peer, GRANT)
        client = self.begin(*bad, on_handshake=self.close)
        self.settle()
        self.assertIs(client.session.state, SessionState.CONNECTED)
        self.assertEqual(good.count, 1)
        # And again when its connection is lost after it has lived.
        for _ in range(3):
            self.pass_time(S)
            good.peer.drop()
            self.settle()
            self.assertIs(client.session.state, SessionState.CONNECTED)
            self.assertFalse(good.peer.lost)

    def test_good_one_comes_back(self) -> None:
        """A server that serves again is found within one round among those that do not, before the session may be lost."""
        bad = [self.server, self.add_server()]
        good = self.add_server()
        good.stop()
        client = self.begin(*bad, on_handshake=self.close)
        self.pass_time(60)
        good.on_handshake = lambda peer: write(peer, GRANT)
        good.start()
        self.pass_time(2 * S / 3 + 1)
        self.assertIs(client.session.state, SessionState.CONNECTED)
        self.assertEqual((good.count, client.session.session_number), (1, 1))

    def test_bad_one_among_unreachable_ones(self) -> None:
        """A server that drops its connections keeps the session alive while the others cannot be reached."""
        self.add_server().stop()
        self.add_server().stop()
        client = self.begin(self.server, on_handshake=self.close)
        self.pass_time(180)
        self.assertNotIn(SessionState.LOST, self.states())
        self.assertEqual(client.session.session_number, 1)
        self.assertLess(self.server.count, 60)
