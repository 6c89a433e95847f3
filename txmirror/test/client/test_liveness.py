"""Liveness: pings, silent servers, a reactor that stalls, and attempts that take too long."""

from __future__ import annotations

from twisted.logger import LogLevel

from txmirror.client import Limits
from txmirror.errors import ConnectionLossException
from txmirror.test.client.peer import (
    PASSWORD,
    SESSION,
    STAT,
    ClientTestCase,
    Peer,
    S,
    ignore,
    reply,
    write,
)
from txmirror.types import EventType, SessionState
from txmirror.wire import PING_XID, ConnectResponse, DeleteRequest, GetDataRequest, GetDataResponse, encode_frame

DATA = GetDataResponse(b"", STAT)


class PingTests(ClientTestCase):
    def since_start(self, peer: Peer) -> list[float]:
        """When pings came, in seconds since the test began."""
        return [round(moment - 1000, 3) for moment in peer.pings]

    def test_idle(self) -> None:
        """Rule 6: an idle client pings after each third of the session's timeout, and goes on for ever (B1)."""
        client, peer = self.make_connected()
        self.pass_time(5 * S)
        self.assertEqual(self.since_start(peer), [4.0 * number for number in range(1, 16)])
        self.assertIs(client.session.state, SessionState.CONNECTED)

    def test_negotiated(self) -> None:
        """Rule 6: the pings follow the negotiated timeout (A9)."""
        client = self.make_client(session_timeout=60.0)
        ignore(client.connect())
        peer = self.server.peer
        peer.accept(timeout=6.0)
        self.pass_time(6.1)
        self.assertEqual(self.since_start(peer), [2.0, 4.0, 6.0])

    def test_after_a_request(self) -> None:
        """Rule 6: a request replaces a ping, so that the next ping is a third of the timeout after it (B1)."""
        client, peer = self.make_connected()
        self.pass_time(3)
        self.show_zxid(client, peer, 5)
        self.pass_time(3.9)
        self.assertEqual(self.since_start(peer), [])
        self.pass_time(0.2)
        self.assertEqual(self.since_start(peer), [7.0])

    def test_busy(self) -> None:
        """Rule 6: a client that sends requests all the time sends no pings."""
        client, peer = self.make_connected()
        for _ in range(20):
            self.pass_time(1)
            self.show_zxid(client, peer, 5)
        self.assertEqual(self.since_start(peer), [])

    def test_while_events_come(self) -> None:
        """Rule 6: received events do not delay pings: the server counts the data that it receives, not the data that it
        sends (B5).
        """
        _, peer = self.make_connected()
        for _ in range(36):
            self.pass_time(1)
            peer.event(EventType.CHILD, "/busy")
        self.assertEqual(self.since_start(peer), [4.0 * number for number in range(1, 10)])

    def test_while_a_long_reply_comes(self) -> None:
        """Rule 6: a reply that takes long to arrive does not delay pings, nor does the data with it (B5)."""
        client, peer = self.make_connected()
        # Its answer stands behind the reply.
        peer.answers_pings = False
        answer = client.get("/large")
        frame = reply(peer.take(GetDataRequest)[0], GetDataResponse(bytes(7000), STAT))
        for start in range(0, len(frame), 1000):
            self.assertNoResult(answer)
            peer.send(frame[start : start + 1000])
            self.pass_time(0.9)
        self.assertEqual(len(self.successResultOf(answer)[0]), 7000)
        peer.pong()
        self.assertEqual(self.since_start(peer), [4.0])
        self.assertFalse(peer.lost)

    def test_while_requests_wait(self) -> None:
        """Rule 6: requests that wait for their replies do not delay pings: the server counts the data that it receives
        (B5).
        """
        client, peer = self.make_connected()
        ignore(client.get("/slow"))
        self.pass_time(4.1)
        self.assertEqual(self.since_start(peer), [4.0])

    def test_round_trip(self) -> None:
        """The time of the latest request or ping is known while there is a connection, and then why that was lost."""
        client, peer = self.make_connected()
        self.assertEqual((client.round_trip, client.loss), (None, None))
        read = client.get("/a")
        xid, _ = peer.take(GetDataRequest)
        self.pass_time(1.5)
        peer.reply(xid, DATA)
        self.successResultOf(read)
        self.assertAlmostEqual(client.round_trip or 0.0, 1.5)
        peer.answers_pings = False
        self.pass_time(3.5)
        peer.pong()
        self.assertEqual(self.since_start(peer), [4.0])
        self.assertAlmostEqual(client.round_trip or 0.0, 1.0)
        peer.close()
        self.pass_time(0.01)
        self.assertIsNone(client.round_trip)
        self.assertTrue((client.loss or "").isprintable() and client.loss)

    def test_with_a_slow_server(self) -> None:
        """Rule 6: a server that takes its time to answer pings gets them no less often."""
        _, peer = self.make_connected()
        peer.answers_pings = False
        for _ in range(4):
            self.pass_time(5)
            if peer.packets:
                peer.packets.clear()
                peer.pong()
        gaps = [later - earlier for earlier, later in zip(peer.pings, peer.pings[1:], strict=False)]
        self.assertLessEqual(max(gaps), 5.0)

    def test_one_at_a_time(self) -> None:
        """Rule 6: while one ping is unanswered no other is sent (B1)."""
        _, peer = self.make_connected()
        peer.answers_pings = False
        self.pass_time(7.9)
        self.assertEqual(len(peer.pings), 1)


class SilenceTests(ClientTestCase):
    def test_nothing_at_all(self) -> None:
        """Rule 6: a connection on which nothing at all came for two thirds of the timeout is dead (B1)."""
        client, peer = self.make_connected()
        peer.answers_pings = False
        self.pass_time(7.9)
        self.assertIs(client.session.state, SessionState.CONNECTED)
        self.pass_time(0.2)
        self.assertTrue(peer.lost)
        self.assertEqual(self.states()[:2], [SessionState.CONNECTED, SessionState.SUSPENDED])
        self.assertIn("silent for 8.0 s", "\n".join(self.log_lines(LogLevel.warn)))

    def test_half_open(self) -> None:
        """Rule 6: a half-open connection is dead after two thirds of the timeout, though nobody has closed it."""
        client, _ = self.make_connected()
        self.reactor.links[0].stall()
        self.pass_time(8.1)
        self.assertEqual(self.server.count, 2)
        self.server.peer.accept()
        self.assertIs(client.session.state, SessionState.CONNECTED)

    def test_unanswered_request(self) -> None:
        """Rule 6: a connection is dead when a request goes unanswered for two thirds of the timeout, while events
        come (B2)."""
        client, peer = self.make_connected()
        self.pass_time(2)
        answer = client.get("/a")
        for _ in range(15):
            self.pass_time(0.5)
            peer.event(EventType.CHILD, "/busy")
        self.assertNoResult(answer)
        self.assertFalse(peer.lost)
        self.pass_time(0.6)
        self.assertTrue(peer.lost)
        self.assertIsNone(self.failureResultOf(answer, ConnectionLossException).value.applied)

    def test_unanswered_ping(self) -> None:
        """Rule 6: a connection is dead when a ping goes unanswered for a third of the timeout, while events come."""
        _, peer = self.make_connected()
        peer.answers_pings = False
        for _ in range(15):
            self.pass_time(0.5)
            peer.event(EventType.CHILD, "/busy")
        self.assertFalse(peer.lost)
        self.pass_time(0.6)
        self.assertTrue(peer.lost)

    def test_steady_writer_on_a_half_open_link(self) -> None:
        """Rule 6: a client that keeps writing into a link that goes nowhere finds out just as soon (B2)."""
        client, _ = self.make_connected()
        self.reactor.links[0].stall()
        for _ in range(17):
            ignore(client.get("/a"))
            self.pass_time(0.5)
        self.assertIn(SessionState.SUSPENDED, self.states())

    def test_outbound_stalled(self) -> None:
        """Rule 6: a link that lets nothing out is dead two thirds of the timeout after it began to, though events keep coming in
        (B2)."""
        for ask in (True, False):
            client, peer = self.make_connected()
            began = self.reactor.seconds()
            self.reactor.links[-1].stall(to_client=False)
            answer = client.get("/a") if ask else None
            while self.reactor.seconds() < began + S * 2 / 3 - 0.2:
                self.assertIs(client.session.state, SessionState.CONNECTED)
                self.pass_time(0.1)
                peer.event(EventType.CHILD, "/busy")
            self.assertIs(client.session.state, SessionState.CONNECTED)
            self.pass_time(0.3)
            self.assertIs(client.session.state, SessionState.SUSPENDED)
            if answer is not None:
                self.assertIsNone(self.failureResultOf(answer, ConnectionLossException).value.applied)
            self.next_peer(self.server).accept()
            self.assertIs(client.session.state, SessionState.CONNECTED)
            self.close_fast(client, self.server.peer)

    def test_slow_but_alive(self) -> None:
        """Rule 6: a server that answers each request just in time is alive."""
        client, peer = self.make_connected()
        for _ in range(3):
            answer = client.get("/a")
            self.pass_time(7.5)
            peer.answer(GetDataRequest, DATA)
            self.successResultOf(answer)
        self.assertFalse(peer.lost)

    def test_many_in_flight(self) -> None:
        """Rule 6: the oldest unanswered request counts, and its answer makes the next one the oldest."""
        client, peer = self.make_connected()
        for _ in range(6):
            ignore(client.get("/a"))
            self.pass_time(3)
            if len(peer.packets) > 1:
                peer.answer(GetDataRequest, DATA)
        self.assertFalse(peer.lost)

    def test_next_server_at_once(self) -> None:
        """Rule 6: when a connection that lived is dead, the next server is tried at once."""
        other = self.add_server()
        client, peer = self.make_connected()
        self.pass_time(2 * S)
        peer.answers_pings = False
        last_heard = peer.pings[-1]
        self.pass_time(8.1)
        self.assertEqual(other.times, [last_heard + 8])
        other.peer.accept()
        self.assertIs(client.session.state, SessionState.CONNECTED)

    def test_in_time_for_the_session(self) -> None:
        """Rule 6: a server that falls silent, and a black hole next in the list, do not cost the session (B4)."""
        self.reactor.black_hole(self.add_server().host, 2181)
        third = self.add_server()
        _, peer = self.make_connected()
        self.pass_time(2 * S)
        self.reactor.links[0].stall()
        last_sent = peer.pings[-1]
        self.pass_time(S)
        self.assertLess(third.times[0], last_sent + S + 0.1)


class StallTests(ClientTestCase):
    """A reactor that was busy elsewhere: timers run before sockets are read."""

    def assert_survives(self, seconds: float) -> None:
        """The server's answers wait in the socket's buffer; the connection lives."""
        client, peer = self.make_connected()
        self.pass_time(1)
        answer = client.get("/a")
        xid, _ = peer.take(GetDataRequest)
        self.pass_time(0.1)
        # What the server says while the client is stuck arrives when the timers have run.
        self.stall_reactor(seconds)
        self.run_timers_before_reading(peer, reply(xid, DATA))
        self.successResultOf(answer)
        self.assertFalse(peer.lost)
        self.pass_time(2 * S)
        self.assertEqual(self.states(), [SessionState.CONNECTED])

    def run_timers_before_reading(self, peer: Peer, *frames: bytes) -> None:
        """Run overdue timers, and only then let these bytes arrive."""
        link = self.reactor.links[-1]
        link.stall()
        write(peer, *frames)
        self.settle()
        link.resume()
        self.settle()

    def test_half(self) -> None:
        """Rule 6: a reactor that was stuck for half of the timeout keeps its connection (B6)."""
        self.assert_survives(0.5 * S)

    def test_nine_tenths(self) -> None:
        """Rule 6: a reactor that was stuck for nine tenths of the timeout does not count its own sleep as the server's
        silence (B6).
        """
        self.assert_survives(0.9 * S)

    def test_more_than_the_timeout(self) -> None:
        """Rule 6: a reactor that was stuck for longer than the timeout does not count its own sleep, if the server
        still answers (B6).
        """
        self.assert_survives(1.5 * S)

    def test_idle(self) -> None:
        """Rule 6: an idle connection that has slept asks before it judges."""
        _, peer = self.make_connected()
        self.stall_reactor(1.5 * S)
        self.settle()
        self.assertEqual(len(peer.pings), 1)
        self.pass_time(S)
        self.assertFalse(peer.lost)

    def test_silent_all_the_same(self) -> None:
        """Rule 6: a server that is silent after the sleep too is dead a twelfth of the timeout later."""
        client, peer = self.make_connected()
        peer.answers_pings = False
        self.stall_reactor(1.5 * S)
        self.pass_time(0.9)
        self.assertFalse(peer.lost)
        self.pass_time(0.2)
        self.assertTrue(peer.lost)
        # The time without contact was the reactor's doing: one attempt is made before the session counts as expired.
        self.assertEqual(self.states(), [SessionState.CONNECTED, SessionState.SUSPENDED])
        self.pass_time(min(S / 3, 4.0))
        self.assertEqual(self.states(), [SessionState.CONNECTED, SessionState.SUSPENDED, SessionState.LOST])
        self.assertEqual(client.session.session_number, 1)

    def test_queue_after_a_stall(self) -> None:
        """Rule 8: requests that wait while the reactor stalls and the connection goes are sent when the session is resumed."""
        client, peer = self.make_connected(Limits(in_flight_requests=1))
        first, second = client.delete("/a"), client.delete("/b")
        self.stall_reactor(1.5 * S)
        again = self.reconnect(peer)
        self.failureResultOf(first, ConnectionLossException)
        again.answer(DeleteRequest)
        self.successResultOf(second)
        self.assertEqual(self.states(), [SessionState.CONNECTED, SessionState.SUSPENDED, SessionState.CONNECTED])

    def test_ended_meanwhile(self) -> None:
        """Rule 6: a server that has closed the connection meanwhile is gone, and the next handshake shows the session's
        state.
        """
        client, peer = self.make_connected()
        self.stall_reactor(1.5 * S)
        peer.close()
        self.pass_time(0.2)
        self.server.peer.expire()
        self.pass_time(0.2)
        self.server.peer.accept(session_id=2)
        self.assertEqual(client.session.session_number, 2)

    def test_handshake_in_the_buffer(self) -> None:
        """Rule 6: the answer to a handshake that came while the reactor was stuck is taken."""
        client = self.make_client()
        connected = client.connect()
        peer = self.server.peer
        self.assertTrue(peer.greeted)
        self.stall_reactor(0.5 * S)
        self.run_timers_before_reading(
            peer, encode_frame(ConnectResponse(round(S * 1000), SESSION, PASSWORD, False).encode())
        )
        self.successResultOf(connected)

    def test_pong_in_the_buffer(self) -> None:
        """Rule 6: the answer to a ping that was sent before the sleep counts."""
        _, peer = self.make_connected()
        peer.answers_pings = False
        self.pass_time(4.1)
        self.assertEqual(len(peer.pings), 1)
        peer.packets.clear()
        peer.answers_pings = True
        self.stall_reactor(S)
        self.run_timers_before_reading(peer, reply(PING_XID))
        self.pass_time(3 * S)
        self.assertFalse(peer.lost)


class AttemptTests(ClientTestCase):
    def test_black_hole(self) -> None:
        """Rule 6: an attempt at a host that answers nothing is over after a third of the timeout (B4)."""
        self.reactor.black_hole(self.server.host, 2181)
        other = self.add_server()
        ignore(self.make_client(session_timeout=6.0).connect())
        self.pass_time(1.9)
        self.assertEqual(other.times, [])
        self.pass_time(0.2)
        self.assertEqual(other.times, [1002.0])

    def test_black_hole_with_a_long_timeout(self) -> None:
        """Rule 6: an attempt is over after four seconds, however long the timeout."""
        self.reactor.black_hole(self.server.host, 2181)
        other = self.add_server()
        ignore(self.make_client(session_timeout=90.0).connect())
        self.pass_time(4.1)
        self.assertEqual(other.times, [1004.0])

    def test_black_hole_in_the_log(self) -> None:
        """Rule 6: the log has the host that could not be reached in time."""
        self.reactor.black_hole(self.server.host, 2181)
        ignore(self.make_client().connect())
        self.pass_time(30)
        lines = self.log_lines(LogLevel.warn)
        self.assertEqual(len(lines), 1)
        self.assertIn("10.0.0.1:2181", lines[0])
        self.assertIn("no connection in time", lines[0])

    def test_silent_host(self) -> None:
        """Rule 6: the time for the handshake is within the same limit: a host that accepts and sends nothing takes no
        longer (B4).
        """
        other = self.add_server()
        ignore(self.make_client().connect())
        self.pass_time(3.9)
        self.assertTrue(self.server.peer.greeted)
        self.pass_time(0.2)
        self.assertTrue(self.server.peer.lost)
        self.assertEqual(other.times, [1004.0])
        self.assertIn("no answer to the handshake in time", "\n".join(self.log_lines(LogLevel.warn)))

    def test_dribbling_host(self) -> None:
        """Rule 6: a host that dribbles its answer does not stretch the limit."""
        ignore(self.make_client().connect())
        peer = self.server.peer
        for byte in (0, 0, 0):
            self.pass_time(1)
            peer.send(bytes([byte]))
        self.pass_time(1.1)
        self.assertTrue(peer.lost)

    def test_no_limit_after_the_handshake(self) -> None:
        """Rule 6: the limit ends with the handshake."""
        client, _ = self.make_connected()
        self.pass_time(S)
        self.assertIs(client.session.state, SessionState.CONNECTED)


class OutboundTests(ClientTestCase):
    def test_idle_while_events_come(self) -> None:
        """Rule 6: where our data does not arrive, but events do, an idle client notices 2/3 S after it sent the last
        request that was answered: there is time left for another server (B2, B4).
        """
        _, peer = self.make_connected()
        self.pass_time(3 * S)
        heard_us = peer.pings[-1]
        self.reactor.links[-1].stall(to_client=False)
        while not peer.lost and self.reactor.seconds() < heard_us + 2 * S:
            self.pass_time(S / 120)
            if self.server.count == 1:
                peer.event(EventType.CHILD, "/busy")
            else:
                break
        noticed = self.server.times[-1] - heard_us
        self.assertGreaterEqual(noticed, S * 2 / 3)
        self.assertLess(noticed, S * 3 / 4)
