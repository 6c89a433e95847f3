"""When a session expires, when it has probably expired, and the effect on its requests and watches."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import CancelledError, Deferred
from twisted.logger import LogLevel

from txmirror.client import ZooKeeperClient
from txmirror.errors import ConnectionLossException, SessionExpiredException
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
from txmirror.types import EventType, SessionEvent, SessionState
from txmirror.wire import (
    CloseSessionRequest,
    ConnectResponse,
    CreateRequest,
    DeleteRequest,
    GetDataRequest,
    GetDataResponse,
    Operation,
    PathResponse,
    SetWatchesRequest,
    encode_frame,
)

DATA = GetDataResponse(b"", STAT)


class EndTests(ClientTestCase):
    def test_timeout_of_zero(self) -> None:
        """Rule 8: a server that answers with a timeout of 0 has ended the session, and a new one is opened unasked
        (A4)."""
        client, peer = self.make_connected()
        self.reconnect(peer, accept=False).expire()
        self.pass_time(0.5)
        self.server.peer.accept(session_id=2)
        self.assertEqual(
            self.states(),
            [SessionState.CONNECTED, SessionState.SUSPENDED, SessionState.EXPIRED, SessionState.CONNECTED],
        )
        self.assertEqual((client.session_id, client.session.session_number, client.session.data_generation), (2, 2, 0))

    def test_session_numbers_in_the_feed(self) -> None:
        """Rule 8: every session event in the feed has the number of its session (F6)."""
        _, peer = self.make_connected()
        self.reconnect(peer, accept=False).expire()
        self.pass_time(0.5)
        self.server.peer.accept(session_id=2)
        epochs = [step.session_number for step in self.feed if isinstance(step, SessionEvent)]
        self.assertEqual(epochs, [1, 1, 1, 2])

    def test_negative_timeout(self) -> None:
        """Rule 8: the answer to a handshake with a timeout below 0 means that the session has expired (A4)."""
        client, peer = self.make_connected()
        self.reconnect(peer, accept=False).accept(0, -1.0)
        self.assertIn(SessionState.EXPIRED, self.states())
        self.assertEqual(client.session_id, 0)

    def test_session_id_of_zero(self) -> None:
        """Rule 8: an answer with the session id 0 means that the session has expired, whatever the timeout (A4)."""
        client, peer = self.make_connected()
        self.reconnect(peer, accept=False).accept(0, S)
        self.assertIn(SessionState.EXPIRED, self.states())
        self.assertEqual(client.session_id, 0)

    def test_another_session_id(self) -> None:
        """Rule 8: another session id than the one asked for is a new session, and the old one has ended (A5)."""
        client, peer = self.make_connected()
        _, watch = client.get_and_watch("/a")
        peer.answer(GetDataRequest, DATA)
        queued = self.ask_when_dropped(client, peer)
        again = self.reconnect(peer, accept=False)
        again.accept(session_id=2)
        self.assertEqual(
            self.states(),
            [SessionState.CONNECTED, SessionState.SUSPENDED, SessionState.EXPIRED, SessionState.CONNECTED],
        )
        self.assertEqual((client.session_id, client.session.session_number), (2, 2))
        self.failureResultOf(watch, SessionExpiredException)
        self.failureResultOf(queued, SessionExpiredException)
        self.assertFalse(again.lost)
        self.assertEqual(again.packets, [])

    def ask_when_dropped(self, client: ZooKeeperClient, peer: Peer) -> Deferred[None]:
        peer.drop()
        return client.delete("/queued")

    def test_queue(self) -> None:
        """Rule 7: queued requests of an expired session fail, without effect, and never run (E4)."""
        client, peer = self.make_connected()
        queued = self.ask_when_dropped(client, peer)
        ephemeral = client.create("/mine", b"", ephemeral=True)
        self.reconnect(peer, accept=False).expire()
        for answer, path in ((queued, "/queued"), (ephemeral, "/mine")):
            error = self.failureResultOf(answer, SessionExpiredException).value
            self.assertEqual((error.applied, error.path), (False, path))
        self.pass_time(0.5)
        self.server.peer.accept(session_id=2)
        self.assertEqual(self.server.peer.packets, [])

    def test_told_before_it_fails(self) -> None:
        """Rule 7: listeners get a session event before the requests fail because of it, and find the client in that
        state (E3).
        """
        order: list[object] = []
        client, peer = self.make_connected()

        def failing(deferred: Deferred[Any], name: str) -> None:
            deferred.addErrback(lambda _: order.append((name, client.session.state)))

        client.add_listener(lambda step: order.append(step.state) if isinstance(step, SessionEvent) else None)
        failing(client.get_and_watch("/a")[1], "watch")
        peer.answer(GetDataRequest, DATA)
        failing(client.delete("/sent"), "sent")
        self.settle()
        self.server.on_connection = hang_up
        peer.drop()
        self.assertEqual(order, [SessionState.SUSPENDED, ("sent", SessionState.SUSPENDED)])
        order.clear()
        failing(client.delete("/queued"), "queued")
        self.pass_time(2 * S)
        self.assertEqual(order, [SessionState.LOST, ("queued", SessionState.LOST)])
        order.clear()
        failing(client.delete("/again"), "again")
        self.server.on_connection = lambda peer: None
        self.next_peer(self.server).expire()
        ended = SessionState.EXPIRED
        self.assertEqual(order, [ended, ("again", ended), ("watch", ended)])

    def test_asked_again(self) -> None:
        """Rule 7: a request after the session's expiry is known belongs to the next session, and runs there."""
        client, peer = self.make_connected()
        queued = self.ask_when_dropped(client, peer)
        queued.addErrback(lambda _: client.delete("/again"))
        client.add_listener(
            lambda step: (
                ignore(client.create("/listener", b""))
                if isinstance(step, SessionEvent) and step.state is SessionState.EXPIRED
                else None
            )
        )
        self.reconnect(peer, accept=False).expire()
        self.pass_time(0.5)
        self.server.peer.accept(session_id=2)
        self.assertEqual(self.server.peer.answer(CreateRequest, PathResponse("/listener")).path, "/listener")
        self.assertEqual(self.server.peer.answer(DeleteRequest).path, "/again")
        self.successResultOf(queued)

    def test_at_once(self) -> None:
        """Rule 8: the new session is asked for at once, of the server that has ended the old one."""
        other = self.add_server()
        _, peer = self.make_connected()
        self.pass_time(S)
        peer.drop()
        self.settle()
        other.peer.expire()
        self.settle()
        self.assertEqual(len(other.times), 2)
        self.assertEqual(other.times[0], other.times[1])

    def test_new_password(self) -> None:
        """Rule 8: the new session is resumed with its own id and password."""
        _, peer = self.make_connected()
        self.reconnect(peer, accept=False).expire()
        self.pass_time(0.5)
        self.server.peer.accept(session_id=2, password=b"another password")
        hello = self.reconnect(self.server.peer, accept=False).hello
        self.assertEqual((hello.sessionId, hello.passwd), (2, b"another password"))

    def test_one_ends_after_another(self) -> None:
        """Rule 8: sessions that end as soon as they are there are opened again with growing pauses: there is no spin."""
        client, peer = self.make_connected()
        number = [SESSION]

        def answer(peer: Peer) -> None:
            number[0] += 1
            write(peer, encode_frame(ConnectResponse(round(S * 1000), number[0], PASSWORD, False).encode()))
            hang_up(peer)

        self.server.on_handshake = answer
        peer.drop()
        self.pass_time(60)
        self.assertLess(self.server.count, 140)
        self.assertEqual(client.session.session_number, self.server.count)

    def test_expired_over_and_over(self) -> None:
        """Rule 8: a server that grants sessions and knows none of them afterwards is not stormed."""
        _, peer = self.make_connected()

        def answer(peer: Peer) -> None:
            known = 0 if peer.hello_now().sessionId else SESSION
            write(peer, encode_frame(ConnectResponse(round(S * 1000), known, PASSWORD, False).encode()))
            hang_up(peer)

        self.server.on_handshake = answer
        peer.drop()
        self.pass_time(60)
        self.assertLess(self.server.count, 280)

    def test_in_the_log(self) -> None:
        """Rule 8: the expiry of a session is logged, with its id as in ZooKeeper's own logs."""
        client = self.make_client()
        ignore(client.connect())
        self.server.peer.accept(session_id=-2)
        self.reconnect(self.server.peer, accept=False).expire()
        self.assertIn("Session 0xfffffffffffffffe has expired.", self.log_lines(LogLevel.warn))


class LostTests(ClientTestCase):
    def lose(self) -> tuple[ZooKeeperClient, Peer]:
        """Have a session, and let its only server go away."""
        client, peer = self.make_connected()
        self.pass_time(S)
        self.server.stop()
        return client, peer

    def test_probably_expired(self) -> None:
        """Rule 8: a session has probably expired after 4/3 of its timeout without contact, and not before (F2)."""
        client, peer = self.lose()
        heard = peer.pings[-1]
        self.pass_time(heard + 15.9 - self.reactor.seconds())
        self.assertIs(client.session.state, SessionState.SUSPENDED)
        self.pass_time(0.2)
        self.assertEqual(self.states(), [SessionState.CONNECTED, SessionState.SUSPENDED, SessionState.LOST])
        self.assertEqual(client.session.session_number, 1)
        self.assertEqual(client.session_id, SESSION)

    def test_counts_from_the_last_word(self) -> None:
        """Rule 8: the time counts from the server's last data, not from the moment when the connection was given up
        (F3).
        """
        client, peer = self.make_connected()
        self.pass_time(S)
        heard = peer.pings[-1]
        self.reactor.links[0].stall()
        self.reactor.black_hole(self.server.host, 2181)
        self.pass_time(heard + 15.9 - self.reactor.seconds())
        self.assertIs(client.session.state, SessionState.SUSPENDED)
        self.pass_time(0.2)
        self.assertIs(client.session.state, SessionState.LOST)

    def test_servers_that_close(self) -> None:
        """Rule 8: attempts that come to nothing do not put the time off (F3)."""
        client, peer = self.make_connected()
        self.server.on_connection = hang_up
        peer.drop()
        self.pass_time(16.1)
        self.assertIs(client.session.state, SessionState.LOST)

    def test_once(self) -> None:
        """Rule 8: a probably expired session is reported once, however long the outage is."""
        self.lose()
        self.pass_time(20 * S)
        self.assertEqual(self.states().count(SessionState.LOST), 1)
        self.assertEqual(len([line for line in self.log_lines() if "probably expired" in line]), 1)

    def test_pending(self) -> None:
        """Rule 8: requests that wait for a connection fail when the session has probably expired, without effect."""
        client, _ = self.lose()
        queued = client.delete("/a")
        self.pass_time(10)
        self.assertNoResult(queued)
        self.pass_time(6.1)
        self.assertIs(self.failureResultOf(queued, ConnectionLossException).value.applied, False)

    def test_asks_for_the_old_one_first(self) -> None:
        """Rule 8: the old id and password are still offered when a server is back (F1)."""
        _, _ = self.lose()
        self.pass_time(3 * S)
        self.server.start()
        hello = self.next_peer(self.server).hello
        self.assertEqual((hello.sessionId, hello.passwd), (SESSION, PASSWORD))

    def test_resumed(self) -> None:
        """Rule 8: a session that is resumed after all keeps its session_number and its watches (F1)."""
        client, peer = self.make_connected()
        _, watch = client.get_and_watch("/a")
        peer.answer(GetDataRequest, DATA)
        self.server.stop()
        self.pass_time(3 * S)
        asked_meanwhile = client.get("/b")
        self.server.start()
        again = self.next_peer(self.server)
        again.accept()
        self.assertEqual(self.states()[2:], [SessionState.LOST, SessionState.CONNECTED])
        self.assertEqual((client.session.session_number, client.session.data_generation), (1, 0))
        self.assertEqual(again.operations, [Operation.SET_WATCHES, Operation.GET_DATA])
        again.answer(SetWatchesRequest)
        again.answer(GetDataRequest, DATA)
        self.successResultOf(asked_meanwhile)
        self.assertNoResult(watch)
        again.event(EventType.CHANGED, "/a")
        self.successResultOf(watch)

    def test_ended(self) -> None:
        """Rule 8: a session that has expired meanwhile ends when a server reports it, and its queued requests fail."""
        client, _ = self.lose()
        self.pass_time(3 * S)
        asked_meanwhile = client.delete("/a")
        self.server.start()
        self.next_peer(self.server).expire()
        self.failureResultOf(asked_meanwhile, SessionExpiredException)
        self.pass_time(0.5)
        self.server.peer.accept(session_id=2)
        self.assertEqual(self.states()[2:], [SessionState.LOST, SessionState.EXPIRED, SessionState.CONNECTED])
        self.assertEqual(client.session.session_number, 2)
        self.assertEqual(self.server.peer.packets, [])

    def test_never_had(self) -> None:
        """Rule 8: a session that was never established is not lost (F4)."""
        self.server.on_connection = hang_up
        client = self.make_client()
        ignore(client.connect())
        self.pass_time(10 * S)
        self.assertEqual(self.states(), [])
        self.assertIs(client.session.state, SessionState.CONNECTING)

    def test_back_in_time(self) -> None:
        """Rule 8: a session that was resumed in time does not count as probably expired later."""
        _, peer = self.make_connected()
        self.pass_time(S)
        self.reconnect(peer)
        self.pass_time(3 * S)
        self.assertNotIn(SessionState.LOST, self.states())


class WipedTests(ClientTestCase):
    """All servers close handshakes without a reply: their data may be behind the last zxid seen."""

    def setUp(self) -> None:
        super().setUp()
        self.hellos: list[tuple[int, int]] = []
        self.refused_by: list[Server] = []
        self.opened = 0

    def begin(self, seen: int = 500) -> None:
        """Have a session that has seen a zxid, and a watch, and lose the connection."""
        self.client, peer = self.make_connected()
        self.watch = self.keep(self.client.get_and_watch("/a")[1])
        peer.answer(GetDataRequest, DATA, zxid=seen)
        self.pass_time(S)
        self.lost_at = self.reactor.seconds()
        self.peer = peer

    def serve(self, server: Server, zxid: int, *, sessions: tuple[int, ...] = ()) -> None:
        """Let a server behave as one does whose last transaction is ``zxid``, and that knows these sessions."""

        def answer(peer: Peer) -> None:
            hello = peer.hello_now()
            self.hellos.append((hello.sessionId, hello.lastZxidSeen))
            peer.ping_zxid = zxid
            if hello.lastZxidSeen > zxid:
                hang_up(peer)
                return
            if hello.sessionId == 0:
                self.opened += 1
                granted = ConnectResponse(round(S * 1000), 0x9000 + self.opened, PASSWORD, False)
            elif hello.sessionId in sessions:
                granted = ConnectResponse(round(S * 1000), hello.sessionId, PASSWORD, False)
            else:
                granted = ConnectResponse(0, 0, bytes(16), False)
            write(peer, encode_frame(granted.encode()))

        server.on_handshake = answer

    def refuse_all(self) -> None:
        """Let the servers close every handshake, with any zxid."""
        for server in self.servers:
            self.refuse(server)

    def refuse(self, server: Server) -> None:
        def refuse(peer: Peer) -> None:
            self.hellos.append((peer.hello_now().sessionId, peer.hello_now().lastZxidSeen))
            self.refused_by.append(server)
            hang_up(peer)

        server.on_handshake = refuse

    def test_wiped(self) -> None:
        """Rule 8: when every server has refused for the session's timeout, and is behind, a new data generation begins (A3)."""
        self.begin()
        queued: list[Deferred[None]] = []
        self.serve(self.server, 3)
        self.peer.drop()
        queued.append(self.client.delete("/queued"))
        self.pass_time(S + 1)
        self.assertIs(self.client.session.state, SessionState.CONNECTED)
        self.assertEqual((self.client.session.session_number, self.client.session.data_generation), (2, 1))
        self.assertEqual(self.client.session.zxid, 0)
        self.assertEqual(self.client.session_id, 0x9001)
        self.failureResultOf(self.watch, SessionExpiredException)
        self.failureResultOf(queued[0], SessionExpiredException)
        self.assertIn("wiped or restored", "\n".join(self.log_lines(LogLevel.warn)))

    def test_told_in_order(self) -> None:
        """Rule 8: the old session's expiry is reported with the new data generation, and then the new session."""
        self.begin()
        self.serve(self.server, 3)
        self.peer.drop()
        self.pass_time(S + 1)
        steps = [
            (step.state, step.session_number, step.data_generation)
            for step in self.feed
            if isinstance(step, SessionEvent)
        ]
        self.assertEqual(
            steps[1:],
            [(SessionState.SUSPENDED, 1, 0), (SessionState.EXPIRED, 1, 1), (SessionState.CONNECTED, 2, 1)],
        )

    def test_floor_given_up(self) -> None:
        """Rule 8: in the new data generation the zxid that is offered is one of that data generation."""
        self.begin()
        self.serve(self.server, 3)
        self.peer.drop()
        self.pass_time(S + 1)
        self.show_zxid(self.client, self.server.peer, 4)
        self.serve(self.server, 10, sessions=(0x9001,))
        self.server.peer.drop()
        self.pass_time(0.6)
        self.assertEqual(self.hellos[-1], (0x9001, 4))

    def test_not_before(self) -> None:
        """Rule 8: before the session's timeout is over the floor is not given up (A3)."""
        self.begin()
        self.serve(self.server, 3)
        self.peer.drop()
        self.pass_time(S - 0.1)
        self.assertEqual(set(self.hellos), {(SESSION, 500)})
        self.assertEqual(self.opened, 0)

    def test_not_when_one_cannot_be_reached(self) -> None:
        """Rule 8: a server that cannot be reached may still have our data, and the floor stays (A3)."""
        away = self.add_server()
        self.begin()
        self.serve(self.server, 3)
        away.stop()
        self.peer.drop()
        self.pass_time(5 * S)
        self.assertEqual(set(self.hellos), {(SESSION, 500)})
        self.assertEqual(self.opened, 0)
        self.assertIs(self.client.session.state, SessionState.LOST)

    def test_only_once_the_last_refuses(self) -> None:
        """Rule 8: the time counts from when the last of the servers began to refuse."""
        away = self.add_server()
        self.begin()
        self.serve(self.server, 3)
        self.serve(away, 3)
        away.stop()
        self.peer.drop()
        self.pass_time(2 * S)
        away.start()
        self.pass_time(S - 0.1)
        self.assertEqual(self.opened, 0)
        self.pass_time(2 * S)
        self.assertEqual(self.opened, 1)
        self.assertEqual(self.client.session.data_generation, 1)

    def test_another_server_has_it(self) -> None:
        """Rule 8: while one server is behind and the next is not, the session goes on at the next (A2)."""
        good = self.add_server()
        self.begin()
        self.serve(self.server, 3)
        self.serve(good, 600, sessions=(SESSION,))
        self.peer.drop()
        self.pass_time(1)
        self.assertEqual(self.client.session.session_number, 1)
        self.assertEqual(self.client.session_id, SESSION)

    def test_first_is_behind(self) -> None:
        """A host that is behind closes without a word. That is neither an end nor a doubt: the next one is tried at once,
        with the same claims, and all goes on there (A2, G3)."""
        good = self.add_server()
        self.begin()
        # Both in the order in which they are tried now.
        self.serve(good, 499)
        self.serve(self.server, 600, sessions=(SESSION,))
        queued = self.client.delete("/queued")
        self.settle()
        self.peer.packets.clear()
        self.peer.drop()
        self.failureResultOf(queued, ConnectionLossException)
        self.assertEqual(self.hellos, [(SESSION, 500), (SESSION, 500)])
        self.assertEqual([round(server.times[-1], 6) for server in (good, self.server)], [self.reactor.seconds()] * 2)
        self.assertEqual(self.states(), [SessionState.CONNECTED, SessionState.SUSPENDED, SessionState.CONNECTED])
        self.assertEqual((self.client.session.session_number, self.client.session.data_generation), (1, 0))
        self.assertEqual(self.server.peer.answer(SetWatchesRequest), SetWatchesRequest(500, ("/a",), (), ()))
        self.assertNoResult(self.watch)
        self.assertEqual(self.log_lines(LogLevel.error, LogLevel.critical), [])

    def not_serving(self, zxid: int) -> None:
        """All handshakes are closed for longer than the timeout, and then the server serves again, as it was."""
        self.refuse_all()
        self.peer.drop()
        self.pass_time(S + 2)
        self.serve(self.server, zxid, sessions=(SESSION,))
        self.pass_time(1)

    def test_only_not_serving(self) -> None:
        """Rule 8: servers that have our data after all, and only were not serving, go on with the old session."""
        self.begin()
        self.not_serving(600)
        self.assertIs(self.client.session.state, SessionState.CONNECTED)
        self.assertEqual((self.client.session.session_number, self.client.session.data_generation), (1, 0))
        self.assertEqual(self.client.session_id, SESSION)
        self.assertNoResult(self.watch)

    def find_probe(self) -> Peer:
        """Let the server serve again for one handshake without a zxid only, and return that connection."""
        probes: list[Peer] = []

        def answer(peer: Peer) -> None:
            if peer.hello_now().sessionId:
                hang_up(peer)
                return
            probes.append(peer)
            peer.answers_pings = False
            write(peer, encode_frame(ConnectResponse(round(S * 1000), 0x9001, PASSWORD, False).encode()))

        self.server.on_handshake = answer
        self.peer.drop()
        self.pass_time(S + 1)
        (probe,) = probes
        return probe

    def test_probe_is_ended_at_the_server(self) -> None:
        """Rule 8: the session that was opened to ask how far a server is is closed there again."""
        self.begin()
        probe = self.find_probe()
        self.assertEqual(len(probe.pings), 1)
        probe.packets.clear()
        probe.pong(zxid=600)
        probe.answer(CloseSessionRequest, zxid=601)
        self.assertTrue(probe.lost)
        self.assertIs(self.client.session.session_number, 1)

    def test_probe_does_not_move_the_watches(self) -> None:
        """Rule 5: replies in the session of a blank attempt move no zxid: the events since then still come."""
        self.begin(seen=500)
        probe = self.find_probe()
        probe.packets.clear()
        probe.pong(zxid=600)
        probe.answer(CloseSessionRequest, zxid=601)
        self.server.on_handshake = lambda peer: None
        self.pass_time(1)
        again = self.server.peer
        self.assertEqual(again.hello.sessionId, SESSION)
        again.accept()
        self.assertEqual(again.take(SetWatchesRequest)[1].relativeZxid, 500)

    def test_probe_that_is_cut(self) -> None:
        """Rule 8: a server that is lost before its zxid is known has decided nothing."""
        self.begin()
        probe = self.find_probe()
        probe.drop()
        self.pass_time(0.1)
        self.assertEqual((self.client.session.session_number, self.client.session.data_generation), (1, 0))
        self.assertEqual(self.client.session_id, SESSION)

    def test_probe_that_is_silent(self) -> None:
        """Rule 8: a server that never sends its zxid takes no longer than any attempt."""
        self.begin()
        probe = self.find_probe()
        self.pass_time(S / 3 + 0.1)
        self.assertTrue(probe.lost)
        self.assertEqual(self.client.session.session_number, 1)

    def test_both_kinds_in_turn(self) -> None:
        """Rule 8: when the time is over each server gets handshakes with the claims and without them in turn."""
        self.begin()
        self.refuse_all()
        self.peer.drop()
        self.pass_time(S)
        self.hellos.clear()
        self.pass_time(5)
        self.assertIn((SESSION, 500), self.hellos)
        self.assertIn((0, 0), self.hellos)
        pairs = zip(self.hellos, self.hellos[1:], strict=False)
        self.assertEqual([pair for pair in pairs if pair[0] == pair[1]], [])

    def test_both_kinds_at_each_server(self) -> None:
        """Rule 8: with several servers both kinds of attempts alternate at each of them."""
        self.add_server()
        self.begin()
        self.refuse_all()
        self.peer.drop()
        self.pass_time(S)
        self.hellos.clear()
        self.refused_by.clear()
        self.pass_time(6)
        for server in self.servers:
            claims = {hello for hello, by in zip(self.hellos, self.refused_by, strict=True) if by is server}
            self.assertEqual(claims, {(SESSION, 500), (0, 0)})

    def test_nothing_seen(self) -> None:
        """Rule 8: without a last zxid seen there is no floor to give up: refusals remain refusals."""
        self.server.on_connection = hang_up
        client = self.make_client()
        ignore(client.connect())
        self.pass_time(5 * S)
        self.assertEqual((client.session.session_number, client.session.data_generation), (0, 0))

    def test_wiped_with_no_session(self) -> None:
        """Rule 8: data that was wiped after the session had ended begins a new data generation too."""
        self.begin()
        self.peer.drop()
        self.settle()
        self.server.peer.expire()
        ignore(self.watch)
        self.serve(self.server, 3)
        for peer in self.server.peers:
            if not peer.lost:
                peer.drop()
        self.pass_time(3 * S)
        self.assertIs(self.client.session.state, SessionState.CONNECTED)
        self.assertEqual((self.client.session.session_number, self.client.session.data_generation), (2, 1))


class HoldingTests(ClientTestCase):
    """Until when a lock may be held."""

    def test_no_session(self) -> None:
        """Rule 9: without a session nothing may be held."""
        self.successResultOf(self.make_client().when_lease_expires())

    def test_idle(self) -> None:
        """Rule 9: while pings are answered the lease does not end."""
        client, _ = self.make_connected()
        told = client.when_lease_expires()
        self.pass_time(10 * S)
        self.assertNoResult(told)

    def test_busy_with_events(self) -> None:
        """Rule 9: the lease does not end while events arrive all the time and pings are answered slowly."""
        client, peer = self.make_connected()
        peer.answers_pings = False
        told = client.when_lease_expires()
        for _ in range(200):
            self.pass_time(0.25)
            answerable = bool(peer.packets)
            self.pass_time(0.25)
            peer.event(EventType.CHILD, "/busy")
            if answerable:
                peer.packets.clear()
                peer.pong()
        self.assertNoResult(told)
        self.assertFalse(peer.lost)

    def test_counts_from_the_sending(self) -> None:
        """Rule 9: the lease lasts until two thirds of the timeout after the latest answered request was sent (F2)."""
        client, peer = self.make_connected()
        peer.answers_pings = False
        told = client.when_lease_expires()
        self.pass_time(1)
        answer = client.get("/a")
        self.pass_time(2)
        peer.answer(GetDataRequest, DATA)
        self.successResultOf(answer)
        self.pass_time(5.9)
        self.assertNoResult(told)
        self.pass_time(0.2)
        self.successResultOf(told)

    def test_ping_counts_from_its_sending(self) -> None:
        """Rule 9: an answered ping counts from when it was sent, too."""
        client, peer = self.make_connected()
        peer.answers_pings = False
        told = client.when_lease_expires()
        self.pass_time(6)
        peer.packets.clear()
        peer.pong()
        self.pass_time(5.9)
        self.assertNoResult(told)
        self.pass_time(0.2)
        self.successResultOf(told)

    def test_events_do_not_count(self) -> None:
        """Rule 9: events do not show that the server has received our data."""
        client, peer = self.make_connected()
        peer.answers_pings = False
        told = client.when_lease_expires()
        for _ in range(16):
            self.pass_time(0.5)
            peer.event(EventType.CHILD, "/busy")
        self.pass_time(0.1)
        self.successResultOf(told)

    def test_handshake_counts_from_its_sending(self) -> None:
        """Rule 9: the handshake is a request too."""
        client = self.make_client()
        ignore(client.connect())
        self.settle()
        self.pass_time(3)
        self.server.peer.answers_pings = False
        self.server.peer.accept()
        told = client.when_lease_expires()
        self.pass_time(4.9)
        self.assertNoResult(told)
        self.pass_time(0.2)
        self.successResultOf(told)

    def test_disconnected(self) -> None:
        """Rule 9: without a connection it is safe for as long as it would have been with a silent one."""
        client, peer = self.make_connected()
        self.pass_time(2)
        self.show_zxid(client, peer, 5)
        told = client.when_lease_expires()
        self.server.stop()
        self.pass_time(7.9)
        self.assertNoResult(told)
        self.pass_time(0.2)
        self.successResultOf(told)

    def test_back_in_time(self) -> None:
        """Rule 9: after a reconnection in time, in the same session, the lease does not end."""
        client, peer = self.make_connected()
        told = client.when_lease_expires()
        self.pass_time(7)
        self.reconnect(peer)
        self.pass_time(3 * S)
        self.assertNoResult(told)

    def test_before_any_server_gives_up(self) -> None:
        """Rule 9: the lease ends before a server could have expired the session (F2)."""
        client, peer = self.make_connected()
        moments: list[float] = []
        client.when_lease_expires().addCallback(lambda _: moments.append(self.reactor.seconds()))
        self.pass_time(3 * S)
        self.reactor.links[0].stall()
        last_heard_by_server = peer.pings[-1]
        self.reactor.black_hole(self.server.host, 2181)
        self.pass_time(3 * S)
        self.assertLess(moments[0], last_heard_by_server + S)

    def test_end(self) -> None:
        """Rule 9: the session's end fires all Deferreds at once."""
        client, peer = self.make_connected()
        told = client.when_lease_expires()
        self.reconnect(peer, accept=False).accept(session_id=2)
        self.successResultOf(told)

    def test_holds_the_next_session_anew(self) -> None:
        """Rule 9: the next session has a lease of its own."""
        client, peer = self.make_connected()
        self.reconnect(peer, accept=False).accept(session_id=2)
        told = client.when_lease_expires()
        self.pass_time(3 * S)
        self.assertNoResult(told)

    def test_stalled_reactor(self) -> None:
        """Rule 9: when the reactor was stuck for too long, the lease ends at once, though the session may be alive
        (B6).
        """
        client, peer = self.make_connected()
        told = client.when_lease_expires()
        self.stall_reactor(0.9 * S)
        self.settle()
        self.successResultOf(told)
        self.assertFalse(peer.lost)

    def test_cancelled(self) -> None:
        """Rule 12: cancelling unhooks, and leaves no timer."""
        client, peer = self.make_connected()
        timers = len(self.reactor.getDelayedCalls())
        told = client.when_lease_expires()
        told.cancel()
        self.failureResultOf(told, CancelledError)
        self.assertEqual(len(self.reactor.getDelayedCalls()), timers)
        self.assertFalse(peer.lost)


class ProbeTests(ClientTestCase):
    def test_event(self) -> None:
        """Rule 8: a server that answers a blank attempt is not trusted yet: its events are discarded."""
        client, peer = self.make_connected()
        self.show_zxid(client, peer, 500)
        _, watch = client.get_and_watch("/a")
        peer.answer(GetDataRequest, GetDataResponse(b"", STAT))
        probes: list[Peer] = []

        def answer(peer: Peer) -> None:
            if peer.hello_now().sessionId:
                hang_up(peer)
            else:
                probes.append(peer)
                peer.answers_pings = False
                write(peer, encode_frame(ConnectResponse(12000, 9, PASSWORD, False).encode()))

        self.server.on_handshake = answer
        peer.drop()
        self.pass_time(S + 1)
        probes[0].event(EventType.CHANGED, "/a")
        self.assertEqual(self.watch_events(), [])
        self.assertNoResult(watch)
        self.server.on_handshake = lambda peer: None
        ignore(watch)

    def test_without_a_pause(self) -> None:
        """Rule 8: servers that have refused for S get a blank attempt at once."""
        client, peer = self.make_connected()
        self.show_zxid(client, peer, 500)
        claims: list[tuple[float, int]] = []

        def refuse(peer: Peer) -> None:
            claims.append((self.reactor.seconds(), peer.hello_now().sessionId))
            hang_up(peer)

        self.server.on_handshake = refuse
        peer.drop()
        self.pass_time(3 * S)
        unclaimed = [index for index, (_, session_id) in enumerate(claims) if not session_id]
        self.assertNotEqual(unclaimed, [])
        for index in unclaimed:
            self.assertEqual(claims[index][0], claims[index - 1][0])
            self.assertEqual(claims[index - 1][1], SESSION)
        self.server.on_handshake = lambda peer: None
