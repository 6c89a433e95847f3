"""Which server is tried when: rounds, pauses, names."""

from __future__ import annotations

from random import Random

from twisted.logger import LogLevel

from txmirror.errors import ConnectionLossException
from txmirror.test.client.peer import (
    PASSWORD,
    SESSION,
    STAT,
    ClientTestCase,
    Peer,
    S,
    Server,
    hang_up,
    ignore,
    write,
)
from txmirror.testing.reactor import MemoryResolver
from txmirror.types import SessionState
from txmirror.wire import ConnectResponse, GetDataRequest, GetDataResponse, encode_frame

#: What accepts a handshake.
ACCEPTANCE = encode_frame(ConnectResponse(round(S * 1000), SESSION, PASSWORD, False).encode())


class RoundTests(ClientTestCase):
    def hosts(self) -> list[str]:
        """Which hosts were tried so far, in order."""
        attempts = [(moment, server.host) for server in self.servers for moment in server.times]
        return [host for _, host in sorted(attempts, key=lambda attempt: attempt[0])]

    def test_first_round(self) -> None:
        """Rule 10: in the first round each server is tried at once after the one before it (G1, G3)."""
        servers = [self.server, self.add_server(), self.add_server()]
        for server in servers:
            server.on_connection = hang_up
        ignore(self.make_client().connect())
        self.settle()
        self.assertEqual([server.times for server in servers], [[1000.0]] * 3)

    def test_refused_connections(self) -> None:
        """Rule 10: servers that refuse connections are passed within a tenth of a second."""
        self.server.stop()
        last = self.add_server()
        ignore(self.make_client().connect())
        self.settle()
        self.pass_time(0.1)
        self.assertEqual(len(last.times), 1)

    def test_pauses(self) -> None:
        """Rule 10: from the second round on there are pauses, which grow to five seconds when there is no session
        (G1)."""
        self.server.on_connection = hang_up
        ignore(self.make_client().connect())
        self.pass_time(30)
        moments = [round(moment - 1000, 3) for moment in self.server.times]
        self.assertEqual(moments, [0, 0.1, 0.3, 0.7, 1.5, 3.1, 6.3, 11.3, 16.3, 21.3, 26.3])

    def test_pauses_while_the_session_may_live(self) -> None:
        """Rule 10: while the session may live the pauses stay at most half a second; then they grow to five (G1)."""
        _, peer = self.make_connected()
        self.pass_time(2 * S)
        self.server.on_connection = hang_up
        peer.drop()
        began = self.reactor.seconds()
        self.pass_time(60)
        gaps = [later - earlier for earlier, later in zip(self.server.times[1:], self.server.times[2:], strict=False)]
        living = [gap for gap, moment in zip(gaps, self.server.times[2:], strict=False) if moment < began + S]
        self.assertLessEqual(max(living), 0.501)
        self.assertGreater(len(living), 20)
        self.assertGreater(max(gaps), 4.9)
        self.assertLessEqual(max(gaps), 5.001)

    def test_random_pauses(self) -> None:
        """Rule 10: the pauses are drawn from the client's own random numbers."""
        self.server.on_connection = hang_up
        ignore(self.make_client(random=Random(5)).connect())
        self.pass_time(30)
        again = Server(self.reactor, "10.0.0.9")
        again.on_connection = hang_up
        ignore(self.make_client("10.0.0.9", random=Random(5)).connect())
        self.pass_time(30)
        first = [round(moment - 1000, 6) for moment in self.server.times if moment < 1030]
        self.assertEqual(first, [round(moment - 1030, 6) for moment in again.times])
        self.assertGreater(len(first), 11)

    def test_shuffled(self) -> None:
        """Rule 10: which server comes first differs from client to client (G4)."""
        servers = [self.server, self.add_server(), self.add_server()]
        for seed in range(20):
            ignore(self.make_client(random=Random(seed)).connect())
        self.assertGreater(min(server.count for server in servers), 2)

    def test_at_once_after_a_connection_that_lived(self) -> None:
        """Rule 10: when a connection that lived is lost, the next server is tried without a pause."""
        other = self.add_server()
        _, peer = self.make_connected()
        self.pass_time(S)
        peer.drop()
        self.assertEqual(other.times, [self.reactor.seconds()])

    def test_not_reset_by_a_session_alone(self) -> None:
        """Rule 10: a server that accepts each handshake and closes then does not reset the pauses. They grow to a third of the
        session's timeout, as the session is kept alive by each handshake (G1)."""
        client, peer = self.make_connected()

        def accept_and_close(peer: Peer) -> None:
            write(peer, ACCEPTANCE)
            hang_up(peer)

        self.server.on_handshake = accept_and_close
        peer.drop()
        self.pass_time(60)
        self.assertEqual(client.session.session_number, 1)
        self.assertTrue(15 < self.server.count < 25, f"{self.server.count} connections in a minute")

    def test_reset_by_a_connection_that_lived(self) -> None:
        """Rule 10: after a connection that lived for a third of the timeout the pauses begin anew."""
        client, peer = self.make_connected()
        for _ in range(10):
            peer = self.reconnect(peer)
        self.pass_time(S / 3)
        peer.drop()
        self.settle()
        self.assertEqual(self.server.times[-1], self.reactor.seconds())
        self.assertEqual(client.session.session_number, 1)

    def test_cycle(self) -> None:
        """Rule 10: the servers are tried in turn, over and over (G3)."""
        servers = [self.server, self.add_server(), self.add_server()]
        for server in servers:
            server.on_connection = hang_up
        ignore(self.make_client().connect())
        self.pass_time(20)
        counts = [server.count for server in servers]
        self.assertLessEqual(max(counts) - min(counts), 1)
        self.assertGreater(min(counts), 4)

    def test_comes_back(self) -> None:
        """A server that comes back is found, and the session resumed, within half a second."""
        client, _ = self.make_connected()
        self.pass_time(S)
        self.server.stop()
        self.pass_time(5)
        self.server.start()
        self.pass_time(0.6)
        self.server.peer.accept()
        self.assertIs(client.session.state, SessionState.CONNECTED)
        self.assertEqual(client.session.session_number, 1)

    def test_no_flood_of_lines(self) -> None:
        """A server that fails in the same way for an hour is one line in the log."""
        self.server.on_connection = hang_up
        ignore(self.make_client().connect())
        self.pass_time(3600)
        self.assertEqual(len(self.log_lines(LogLevel.warn)), 1)


class NameTests(ClientTestCase):
    def setUp(self) -> None:
        super().setUp()
        resolver = self.reactor.nameResolver
        assert isinstance(resolver, MemoryResolver)
        self.names = resolver.names

    def test_resolved_at_every_try(self) -> None:
        """Rule 10: a name is resolved again at every try, so that a server may move (G5)."""
        self.names["zoo"] = ["10.0.0.1"]
        other = Server(self.reactor, "10.0.0.77")
        client = self.make_client("zoo:2181")
        ignore(client.connect())
        self.server.peer.accept()
        self.names["zoo"] = ["10.0.0.77"]
        self.server.peer.drop()
        self.pass_time(0.5)
        other.peer.accept()
        self.assertIs(client.session.state, SessionState.CONNECTED)

    def test_moved_while_connected(self) -> None:
        """A connection that stands stays where it is when the name comes to mean another address (G6)."""
        self.names["zoo"] = ["10.0.0.1"]
        other = Server(self.reactor, "10.0.0.77")
        client = self.make_client("zoo:2181")
        ignore(client.connect())
        self.server.peer.accept()
        self.names["zoo"] = ["10.0.0.77"]
        self.pass_time(10 * S)
        self.assertEqual((self.server.count, other.count), (1, 0))
        self.assertEqual(self.states(), [SessionState.CONNECTED])

    def test_all_addresses(self) -> None:
        """Rule 10: all addresses of a name are tried, IPv6 among them (G5)."""
        six = Server(self.reactor, "::5")
        self.names["zoo"] = ["10.9.9.9", "10.9.9.8", "::5"]
        client = self.make_client("zoo:2181")
        connected = client.connect()
        self.pass_time(1)
        six.peer.accept()
        self.successResultOf(connected)

    def test_black_hole_among_the_addresses(self) -> None:
        """Rule 10: an address that answers nothing does not keep the others from being tried."""
        self.reactor.black_hole("10.9.9.9", 2181)
        self.names["zoo"] = ["10.9.9.9", "10.0.0.1"]
        client = self.make_client("zoo:2181")
        connected = client.connect()
        self.pass_time(3)
        self.server.peer.accept()
        self.successResultOf(connected)
        self.assertEqual(len(self.reactor.links), 1)

    def test_black_hole_among_the_addresses_of_a_short_session(self) -> None:
        """Rule 10: an address that answers nothing does not keep the others from being tried, even if the session's
        timeout leaves little time for an attempt.
        """
        self.reactor.black_hole("10.9.9.9", 2181)
        self.names["zoo"] = ["10.9.9.9", "10.0.0.1"]
        client = self.make_client("zoo:2181", session_timeout=1.5)
        connected = client.connect()
        self.next_peer(self.server, within=3.0).accept()
        self.successResultOf(connected)

    def test_ipv6(self) -> None:
        """A server may be given by its IPv6 address."""
        six = Server(self.reactor, "::5")
        client = self.make_client("[::5]:2181")
        connected = client.connect()
        six.peer.accept()
        self.successResultOf(connected)

    def test_underscore(self) -> None:
        """A name with an underscore, as containers have it, is resolved like any other."""
        self.names["zoo_1"] = ["10.0.0.1"]
        client = self.make_client("zoo_1:2181")
        connected = client.connect()
        self.settle()
        self.assertEqual(self.server.count, 1, self.log_lines())
        self.server.peer.accept()
        self.successResultOf(connected)

    def test_no_name_resolvable(self) -> None:
        """``connect`` fails once no listed name can be resolved, and attempts go on all the same (G5)."""
        client = self.make_client("nowhere:1,nobody:2181")
        connected = client.connect()
        self.settle()
        self.assertIs(self.failureResultOf(connected, ConnectionLossException).value.applied, False)
        self.names["nobody"] = ["10.0.0.1"]
        self.pass_time(10)
        self.server.peer.accept()
        self.assertIs(client.session.state, SessionState.CONNECTED)

    def test_one_name_resolvable(self) -> None:
        """``connect`` waits while at least one listed name can be resolved."""
        client = self.make_client("nowhere:1,10.9.9.9:2181")
        connected = client.connect()
        self.pass_time(30)
        self.assertNoResult(connected)
        ignore(connected)

    def test_connect_again_when_unresolvable(self) -> None:
        """``connect`` may be called again after it has failed, and then fires when a session stands."""
        client = self.make_client("zoo:2181")
        self.settle()
        ignore(client.connect())
        self.settle()
        again = client.connect()
        self.assertNoResult(again)
        self.names["zoo"] = ["10.0.0.1"]
        self.pass_time(10)
        self.server.peer.accept()
        self.successResultOf(again)

    def test_said_in_the_log(self) -> None:
        """A name that cannot be resolved is one line in the log, with the name."""
        ignore(self.make_client("nowhere:1").connect())
        self.pass_time(60)
        (line,) = self.log_lines(LogLevel.warn)
        self.assertIn("nowhere:1", line)
        self.assertIn("cannot be resolved", line)

    def test_requests_wait_while_unresolvable(self) -> None:
        """Requests wait, and are sent once the name can be resolved."""
        client = self.make_client("zoo:2181")
        ignore(client.connect())
        answer = client.get("/a")
        self.pass_time(5)
        self.names["zoo"] = ["10.0.0.1"]
        self.pass_time(5)
        self.server.peer.accept()
        self.server.peer.answer(GetDataRequest, GetDataResponse(b"x", STAT))
        self.successResultOf(answer)


class ForeignServerTests(ClientTestCase):
    """A peer that is no ZooKeeper server: one line in the log about that, a pause, and no traceback."""

    def assert_refused(self, *reasons: str, most: int = 12) -> None:
        """Assert that the client logs the reason once, and retries with growing pauses for half a minute."""
        client = self.make_client()
        connected = client.connect()
        self.pass_time(30)
        self.assertNoResult(connected)
        ignore(connected)
        (line,) = self.log_lines(LogLevel.warn)
        for reason in ("10.0.0.1:2181", *reasons):
            self.assertIn(reason, line)
        self.assertEqual(len(line.splitlines()), 1)
        self.assertTrue(5 <= self.server.count <= most, f"{self.server.count} attempts in 30 s")
        self.assertIs(client.session.state, SessionState.CONNECTING)
        self.assertEqual(self.flushLoggedErrors(), [])
        # The real one in its place is found.
        self.server.on_connection = lambda peer: None
        self.server.on_handshake = lambda peer: write(peer, ACCEPTANCE)
        self.pass_time(10)
        self.assertIs(client.session.state, SessionState.CONNECTED)

    def answer_with(self, *chunks: bytes) -> None:
        """Let the server answer each handshake with these bytes."""

        def answer(peer: Peer) -> None:
            for chunk in chunks:
                write(peer, chunk)

        self.server.on_handshake = answer

    def test_closes_at_once(self) -> None:
        """A server that closes at once has closed the handshake without an answer."""
        self.server.on_connection = hang_up
        self.assert_refused("closed the handshake without an answer")

    def test_closes_after_the_handshake(self) -> None:
        """A server that closes after it has read the handshake has closed it without an answer."""
        self.server.on_handshake = hang_up
        self.assert_refused("closed the handshake without an answer")

    def test_silent(self) -> None:
        """A server that is silent has failed the handshake in time."""
        self.assert_refused("no answer to the handshake in time")

    def test_http(self) -> None:
        """The log shows the answer of an HTTP server."""
        self.answer_with(b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n")
        self.assert_refused("does not speak ZooKeeper's protocol", "HTTP/1.1 400")

    def test_http_in_pieces(self) -> None:
        """An answer of HTTP that arrives in pieces is recognised, too."""
        self.reactor.piece = 3
        self.answer_with(b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n")
        self.assert_refused("does not speak ZooKeeper's protocol", "1213486160 bytes")

    def test_ssh(self) -> None:
        """A server that sends data first is recognised by it."""
        self.server.on_connection = lambda peer: write(peer, b"SSH-2.0-OpenSSH_9.2\r\n")
        self.assert_refused("does not speak ZooKeeper's protocol", "SSH-2.0")

    def test_negative_length(self) -> None:
        """A negative length is no handshake's."""
        self.answer_with(b"\xff\xff\xff\xff")
        self.assert_refused("does not speak ZooKeeper's protocol", "-1")

    def test_tls_alert(self) -> None:
        """A TLS server's alert is no handshake."""
        self.answer_with(b"\x15\x03\x01\x00\x02\x02\x46")
        self.assert_refused("does not speak ZooKeeper's protocol")

    def test_short_answer(self) -> None:
        """A frame that is too short for an answer is none."""
        self.answer_with(b"\0\0\0\4\0\0\0\0")
        self.assert_refused("does not speak ZooKeeper's protocol", "ends within")

    def test_empty_answer(self) -> None:
        """An empty frame is no answer."""
        self.answer_with(b"\0\0\0\0")
        self.assert_refused("does not speak ZooKeeper's protocol")

    def test_long_answer(self) -> None:
        """A frame with more in it than an answer has is none."""
        self.answer_with(b"\0\0\0\x30" + bytes(4) + b"\0\0\x10\0" + bytes(7) + b"\1" + bytes(32))
        self.assert_refused("does not speak ZooKeeper's protocol", "left")

    def test_oversized_answer(self) -> None:
        """A frame of megabytes is no answer."""
        self.answer_with(b"\x01\0\0\0" + b"junk" * 10)
        self.assert_refused("does not speak ZooKeeper's protocol", "16777216 bytes")

    def test_half_an_answer(self) -> None:
        """A server that closes within its answer has failed the handshake."""

        def answer(peer: Peer) -> None:
            write(peer, b"\0\0\0\x25\0")
            hang_up(peer)

        self.server.on_handshake = answer
        self.assert_refused("failed the handshake")

    def test_new_session_refused(self) -> None:
        """A server that answers the wish for a new session as if one had ended has failed the handshake."""
        frame = encode_frame(ConnectResponse(0, 0, bytes(16), False).encode())
        self.server.on_handshake = lambda peer: write(peer, frame)
        self.assert_refused("failed the handshake", "a new session was refused")

    def test_next_to_a_real_one(self) -> None:
        """Something foreign in the list does not keep the client from the real server next to it."""
        self.server.on_connection = hang_up
        real = self.add_server()
        client = self.make_client()
        connected = client.connect()
        real.peer.accept()
        self.successResultOf(connected)

    def test_in_place_of_the_real_one(self) -> None:
        """When another service takes the place of a server, the session is kept, and is reported as lost in the end."""
        client, peer = self.make_connected()
        self.pass_time(S)
        self.answer_with(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        peer.drop()
        self.pass_time(2 * S)
        self.assertEqual(self.states()[1:], [SessionState.SUSPENDED, SessionState.LOST])
        self.assertEqual(client.session_id, 0x1234)
        self.assertLess(self.server.count, 80)


class TinyTimeoutTests(ClientTestCase):
    """A server that grants sessions which nobody can keep."""

    def test_no_spin(self) -> None:
        """Rule 10: however short, they make no client spin (G1)."""
        client = self.make_client()
        ignore(client.connect())
        granted = encode_frame(ConnectResponse(1, SESSION, PASSWORD, False).encode())
        self.server.on_connection = lambda peer: setattr(peer, "answers_pings", False)
        self.server.on_handshake = lambda peer: write(peer, granted)
        self.pass_time(10)
        self.server.on_handshake = lambda peer: None
        self.assertLess(self.server.count, 600)

    def test_lost(self) -> None:
        """Rule 10: once such a session has probably expired, an attempt may take as long as one for the session asked for."""
        client = self.make_client()
        ignore(client.connect())
        self.server.peer.accept(timeout=0.03)
        self.server.stop()
        self.pass_time(10)
        self.assertIs(client.session.state, SessionState.LOST)
        self.server.start()
        peer = self.next_peer(self.server)
        self.pass_time(1)
        self.assertFalse(peer.lost)
        peer.accept()
        self.assertIs(client.session.state, SessionState.CONNECTED)
