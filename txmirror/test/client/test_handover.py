"""A session is handed over from one client to another, without an end in between."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from txmirror.client import Limits, ZooKeeperClient
from txmirror.errors import ClosingException, ConnectionLossException
from txmirror.test.client.peer import PASSWORD, SESSION, STAT, ClientTestCase, Peer, S, hang_up, ignore, reply
from txmirror.types import SessionEvent, SessionState, SessionTicket
from txmirror.wire import (
    CloseSessionRequest,
    CreateRequest,
    DeleteRequest,
    ExistsRequest,
    GetDataRequest,
    GetDataResponse,
    Operation,
    SetDataRequest,
    SetWatchesRequest,
    StatResponse,
)

DATA = GetDataResponse(b"", STAT)
TICKET = SessionTicket(SESSION, PASSWORD, 77)
CONNECTED, SUSPENDED, ENDED = SessionState.CONNECTED, SessionState.SUSPENDED, SessionState.EXPIRED


class TicketTests(SynchronousTestCase):
    def test_text(self) -> None:
        """A ticket can be written down in one word, and read again; ids are signed and may be large."""
        for session_id in (1, SESSION, 2**63 - 1, -1, -(2**63), 0x100002FE4DE0000):
            for password in (PASSWORD, bytes(16), b"", bytes(range(256))):
                for zxid in (0, 77, 2**63 - 1):
                    ticket = SessionTicket(session_id, password, zxid)
                    text = ticket.to_text()
                    self.assertEqual(text.split(), [text])
                    self.assertTrue(text.isascii())
                    self.assertEqual(SessionTicket.from_text(text), ticket)
                    self.assertEqual(SessionTicket.from_text(f"  {text}\n"), ticket)

    def test_as_zookeeper_writes_ids(self) -> None:
        """The id is written as ZooKeeper's logs have it."""
        self.assertTrue(SessionTicket(-1, b"", 0).to_text().startswith("ffffffffffffffff."))
        self.assertTrue(SessionTicket(0x100002FE4DE0000, b"", 0).to_text().startswith("100002fe4de0000."))

    def test_no_ticket(self) -> None:
        """Anything else is refused, by a message that does not quote it: it may be a secret that was damaged."""
        for text in (
            "",
            "secret",
            "secret.00",
            "1.00.2.3",
            "1.0.2",
            "x.00.2",
            "1.secret.2",
            "1.00.secret",
            "11111111111111111.00.2",
            "1.00.",
            ".00.1.",
        ):
            error = self.assertRaises(ValueError, SessionTicket.from_text, text)
            self.assertIn("ticket", str(error))
            self.assertNotIn("secret", str(error))
            self.assertIsNone(error.__cause__)

    def test_password_is_not_shown(self) -> None:
        """The password is not in the ticket's ``repr``."""
        self.assertNotIn("16 b", repr(TICKET))
        self.assertIn(str(SESSION), repr(TICKET))

    def test_is_a_value(self) -> None:
        """Tickets cannot be changed."""
        self.assertRaises(AttributeError, setattr, TICKET, "zxid", 1)

    def test_numbers_that_are_none(self) -> None:
        """A ticket accepts only ints in range, and no session has the number 0."""
        for text in ("", ".00.1", "0.00.1", "1.00.-1", "1.00.1_0", "1.0 0.1", "1.00.+1", "1.00.1.1", "g.00.1"):
            error = self.assertRaises(ValueError, SessionTicket.from_text, text)
            self.assertNotIn("00", str(error))


class HoldingTests(ClientTestCase):
    """The properties of a client's session."""

    def test_ticket(self) -> None:
        """The ticket is that of the session as it is now; there is none without a session."""
        client = self.make_client()
        self.assertIsNone(client.session_ticket)
        ignore(client.connect())
        self.assertIsNone(client.session_ticket)
        peer = self.server.peer
        peer.accept()
        ticket = client.session_ticket
        assert ticket is not None
        self.assertEqual((ticket.session_id, ticket.password), (SESSION, PASSWORD))
        self.show_zxid(client, peer, 120)
        self.assertEqual(client.session_ticket, SessionTicket(SESSION, PASSWORD, 120))
        again = self.reconnect(peer, accept=False)
        self.assertEqual(client.session_ticket, SessionTicket(SESSION, PASSWORD, 120))
        again.expire()
        self.assertIsNone(client.session_ticket)
        self.pass_time(0.5)
        self.server.peer.accept(session_id=2, password=b"another password")
        ticket = client.session_ticket
        assert ticket is not None
        self.assertEqual((ticket.session_id, ticket.password), (2, b"another password"))
        self.close_fast(client, self.server.peer)
        self.assertIsNone(client.session_ticket)

    def test_nothing_in_the_log(self) -> None:
        """The password is never logged, nor shown by the client."""
        client, peer = self.make_connected(session=TICKET)
        peer = self.reconnect(peer)
        left = client.leave()
        peer.answer(ExistsRequest, StatResponse(STAT))
        self.successResultOf(left)
        said = "\n".join([*self.log_lines(), repr(client)])
        self.assertNotIn("16 b", said)
        self.assertNotIn(PASSWORD.hex(), said)
        self.assertNotIn(repr(PASSWORD), said)
        self.assertIn("0x1234", said)


class TakenOverTests(ClientTestCase):
    """A client is made with a session of another."""

    def begin(self, ticket: SessionTicket = TICKET) -> tuple[ZooKeeperClient, Peer]:
        client = self.make_client(session=ticket)
        ignore(client.connect())
        return client, self.server.peer

    def test_handshake(self) -> None:
        """The handshake has the session's id and password, and the last zxid seen as a floor (A2, A11)."""
        _, peer = self.begin()
        hello = peer.hello
        self.assertEqual((hello.sessionId, hello.passwd, hello.lastZxidSeen), (SESSION, PASSWORD, 77))

    def test_resumed(self) -> None:
        """A live session is resumed, and is the client's first."""
        client, peer = self.begin()
        connected = client.connect()
        self.assertEqual(client.session.state, SessionState.CONNECTING)
        peer.accept()
        self.successResultOf(connected)
        self.assertEqual(self.states(), [CONNECTED])
        self.assertEqual((client.session.session_number, client.session.data_generation), (1, 0))
        self.assertEqual((client.session_id, client.session_timeout), (SESSION, S))
        self.assertEqual(peer.packets, [])

    def test_refused(self) -> None:
        """If it has expired, the client reports this, and opens a new one by itself."""
        client, peer = self.begin()
        connected = client.connect()
        queued = client.delete("/a")
        peer.expire()
        self.pass_time(0.5)
        new = self.server.peer
        self.assertIsNot(new, peer)
        self.assertEqual((new.hello.sessionId, new.hello.passwd), (0, bytes(16)))
        new.accept(session_id=2)
        self.successResultOf(connected)
        steps = [(step.state, step.session_number) for step in self.feed if isinstance(step, SessionEvent)]
        self.assertEqual(steps, [(ENDED, 1), (CONNECTED, 2)])
        self.assertEqual(client.session_id, 2)
        # What was asked before belonged to the session that was taken over.
        self.failureResultOf(queued)
        self.assertEqual(new.packets, [])

    def test_another_session(self) -> None:
        """If the server answers with another session, the client reports the expiry, and uses the new one (A5)."""
        client, peer = self.begin()
        peer.accept(session_id=2)
        steps = [(step.state, step.session_number) for step in self.feed if isinstance(step, SessionEvent)]
        self.assertEqual(steps, [(ENDED, 1), (CONNECTED, 2)])
        self.assertEqual(client.session_id, 2)

    def test_queued(self) -> None:
        """Requests before the resumption are sent in the resumed session."""
        client, peer = self.begin()
        deleted = client.delete("/a")
        peer.accept()
        self.assertEqual(peer.answer(DeleteRequest).path, "/a")
        self.successResultOf(deleted)

    def test_floor_holds(self) -> None:
        """A server that is behind the zxid of the former client refuses, and the next one gets the same credentials."""
        other = self.add_server()
        self.server.on_handshake = hang_up
        client = self.make_client(session=TICKET)
        ignore(client.connect())
        self.assertTrue(self.server.peer.lost)
        hello = other.peer.hello
        self.assertEqual((hello.sessionId, hello.lastZxidSeen), (SESSION, 77))
        other.peer.accept()
        self.assertEqual(client.session_id, SESSION)

    def test_watches_relative_to_the_floor(self) -> None:
        """The first session event has the last zxid seen: ``set_watches`` may be relative to it."""
        client, peer = self.begin()
        peer.accept()
        self.assertEqual(client.session.zxid, 77)
        ignore(client.set_watches(client.session.zxid, ["/a"]))
        self.assertEqual(peer.take(SetWatchesRequest)[1], SetWatchesRequest(77, ("/a",), (), ()))

    def test_ticket_before_it_is_resumed(self) -> None:
        """The ticket can be had at once, and be handed on."""
        client, _ = self.begin()
        self.assertEqual(client.session_ticket, TICKET)
        self.assertEqual(client.session_id, SESSION)

    def test_reconnects(self) -> None:
        """A session that was taken over goes on on the next connection as any other."""
        client, peer = self.begin()
        peer.accept()
        again = self.reconnect(peer, accept=False)
        self.assertEqual((again.hello.sessionId, again.hello.passwd), (SESSION, PASSWORD))
        again.accept()
        self.assertEqual(self.states(), [CONNECTED, SUSPENDED, CONNECTED])
        self.assertEqual(client.session.session_number, 1)

    def test_close_ends_it(self) -> None:
        """close() closes a session that was taken over."""
        client, peer = self.begin()
        peer.accept()
        self.close_fast(client, peer)
        self.assertTrue(peer.lost)

    def test_close_before_connecting(self) -> None:
        """A client that is closed before it has begun takes a bounded time over it, and leaves nothing."""
        client = self.make_client(session=TICKET)
        closed = client.close()
        self.pass_time(5.0)
        self.successResultOf(closed)
        self.assert_nothing_left()

    def test_closed_before_it_began(self) -> None:
        """A client that has never connected does not end the session when it is closed."""
        client = self.make_client(session=SessionTicket(SESSION, PASSWORD, 7))
        self.successResultOf(client.close())
        self.assertEqual(self.server.count, 0)


class LeavingTests(ClientTestCase):
    """A client lets go of its session."""

    def setUp(self) -> None:
        super().setUp()
        self.client, self.peer = self.make_connected()

    def tearDown(self) -> None:
        """Assert that no client that leaves has closed the session."""
        for peer in self.server.peers:
            self.assertNotIn(Operation.CLOSE_SESSION, peer.operations)

    def answer_barrier(self, peer: Peer | None = None) -> None:
        """Answer the last request."""
        (peer or self.peer).answer(ExistsRequest, StatResponse(STAT), zxid=130)

    def assert_left(self, left: Deferred[SessionTicket | None], zxid: int | None = None) -> None:
        ticket = self.successResultOf(left)
        assert ticket is not None
        self.assertEqual((ticket.session_id, ticket.password), (SESSION, PASSWORD))
        if zxid is not None:
            self.assertEqual(ticket.zxid, zxid)
        self.assertIs(self.client.session.state, SessionState.CLOSED)
        self.assertEqual(self.client.session_id, 0)
        self.assert_nothing_left()

    def test_idle(self) -> None:
        """The connection is closed, and the session lives on (I4)."""
        left = self.client.leave()
        self.settle()
        if self.peer.packets:
            self.answer_barrier()
        self.assert_left(left)
        self.assertTrue(self.peer.lost)
        self.assertEqual(self.states(), [CONNECTED, SessionState.CLOSED])

    def test_taken_over(self) -> None:
        """The next client continues with the ticket that it returns."""
        self.show_zxid(self.client, self.peer, 120)
        left = self.client.leave()
        self.answer_barrier()
        ticket = self.successResultOf(left)
        assert ticket is not None
        next_client = self.make_client(session=SessionTicket.from_text(ticket.to_text()))
        ignore(next_client.connect())
        hello = self.server.peer.hello
        self.assertEqual((hello.sessionId, hello.passwd), (SESSION, PASSWORD))
        self.assertGreaterEqual(hello.lastZxidSeen, 120)
        self.server.peer.accept()
        self.assertEqual(next_client.session_id, SESSION)
        next_client_left = next_client.leave()
        self.answer_barrier(self.server.peer)
        self.successResultOf(next_client_left)

    def test_in_flight(self) -> None:
        """Earlier requests are answered first."""
        written = self.client.set("/a", b"x")
        left = self.client.leave()
        self.assertNoResult(left)
        self.peer.answer(SetDataRequest, StatResponse(STAT), zxid=120)
        self.assertEqual(self.successResultOf(written), STAT)
        self.assertNoResult(left)
        self.answer_barrier()
        self.assert_left(left, 130)

    def test_nothing_is_taken_after(self) -> None:
        """Nothing more is taken."""
        left = self.client.leave()
        self.assertIs(self.failureResultOf(self.client.delete("/a"), ClosingException).value.applied, False)
        self.failureResultOf(self.client.connect(), ClosingException)
        self.failureResultOf(self.client.when_connected(), ClosingException)
        self.answer_barrier()
        self.assert_left(left)
        self.failureResultOf(self.client.get("/a"), ClosingException)

    def test_silent_server(self) -> None:
        """With a server that is silent it takes the time that a close may take, and no longer."""
        pending = self.client.set("/a", b"x")
        left = self.client.leave()
        self.pass_time(4.9)
        self.assertNoResult(left)
        self.pass_time(0.1)
        self.assert_left(left)
        self.assertIs(self.failureResultOf(pending).value.applied, None)
        self.peer.packets.clear()

    def test_cut_off(self) -> None:
        """When the connection is lost meanwhile, the client has left; pending requests fail."""
        pending = self.client.set("/a", b"x")
        left = self.client.leave()
        self.peer.take(SetDataRequest)
        self.peer.drop()
        self.assert_left(left)
        self.failureResultOf(pending, ConnectionLossException)
        self.pass_time(30)
        self.assertEqual(self.server.count, 1)

    def test_expired_meanwhile(self) -> None:
        """If the connection is lost and the session expires, the client reports no expiry: the next client finds it out."""
        left = self.client.leave()
        self.peer.close()
        self.assert_left(left)

    def test_suspended(self) -> None:
        """Without a connection it fires at once: pending requests cannot be answered, and fail."""
        self.peer.drop()
        pending = self.client.set("/a", b"x")
        left = self.client.leave()
        self.pass_time(5.0)
        self.assert_left(left)
        self.assertIs(self.failureResultOf(pending, ClosingException).value.applied, False)

    def test_in_the_handshake(self) -> None:
        """In the middle of the next handshake it fires at once."""
        again = self.reconnect(self.peer, accept=False)
        self.assertTrue(again.greeted)
        left = self.client.leave()
        self.pass_time(5.0)
        self.assert_left(left)
        self.assertTrue(again.lost)

    def test_probably_expired(self) -> None:
        """A session that has probably expired may still be there: it is handed over."""
        self.server.on_connection = hang_up
        self.peer.drop()
        self.pass_time(2 * S)
        left = self.client.leave()
        self.pass_time(5.0)
        self.assert_left(left)

    def test_ended(self) -> None:
        """A session that has expired is not handed over."""
        self.reconnect(self.peer, accept=False).expire()
        left = self.client.leave()
        self.pass_time(5.0)
        self.assertIsNone(self.successResultOf(left))

    def test_twice(self) -> None:
        """It may be called twice; the second call returns the ticket too, or None, and never fails."""
        first, second = self.client.leave(), self.client.leave()
        self.answer_barrier()
        self.assert_left(second)
        self.assert_left(first)
        self.assertIsNone(self.successResultOf(self.client.leave()))

    def test_then_close(self) -> None:
        """A close that comes later does not end the session, but waits as well."""
        pending = self.client.set("/a", b"x")
        left = self.client.leave()
        closed = self.client.close()
        self.assertNoResult(closed)
        self.peer.answer(SetDataRequest, StatResponse(STAT))
        self.answer_barrier()
        self.assert_left(left)
        self.assertIsNone(self.successResultOf(closed))
        self.successResultOf(pending)
        self.assertIsNone(self.successResultOf(self.client.close()))

    def test_cancelling(self) -> None:
        """Cancelling leave() does nothing."""
        left = self.client.leave()
        left.cancel()
        self.settle()
        self.answer_barrier()
        left.addErrback(lambda _: None)
        self.successResultOf(left)
        self.assertIs(self.client.session.state, SessionState.CLOSED)

    def test_watches(self) -> None:
        """The Deferreds of pending watches fail; persistent watches and the lease are notified once."""
        _, watch = self.client.get_and_watch("/a")
        self.peer.answer(GetDataRequest, DATA)
        unsafe = self.client.when_lease_expires()
        left = self.client.leave()
        self.answer_barrier()
        self.assert_left(left)
        self.failureResultOf(watch, ClosingException)
        self.successResultOf(unsafe)

    def test_told_last(self) -> None:
        """When listeners are called, the client is closed, and the Deferred fires last."""
        order: list[Any] = []
        self.client.add_listener(lambda step: order.append(step.state if isinstance(step, SessionEvent) else step))
        left = self.client.leave()
        left.addCallback(order.append)
        self.answer_barrier()
        self.assertEqual(len(order), 2)
        self.assertIs(order[0], SessionState.CLOSED)

    def test_refused(self) -> None:
        """A server that refuses the last request has answered all earlier ones, and that suffices."""
        left = self.client.leave()
        self.peer.answer(ExistsRequest, err=-127)
        self.assertEqual(self.successResultOf(left), SessionTicket(SESSION, PASSWORD, 100))

    def test_cancelled_create(self) -> None:
        """A protected create that was cancelled just before may leave its node to the next owner of the session; the
        log has a warning.
        """
        made = self.client.create("/p/n", protect=True, ephemeral=True)
        self.peer.take(CreateRequest)
        ignore(made)
        made.cancel()
        left = self.client.leave()
        self.peer.drop()
        self.successResultOf(left)
        self.assertEqual(len([line for line in self.log_lines() if "abandoned create" in line]), 1)


class LeavingElsewhereTests(ClientTestCase):
    def test_before_connecting(self) -> None:
        """A client that has no session yet leaves none behind."""
        client = self.make_client()
        waiting = client.get("/a")
        self.assertIsNone(self.result_of(client.leave()))
        self.failureResultOf(waiting, ClosingException)
        self.assertEqual(self.server.count, 0)

    def test_while_connecting(self) -> None:
        """While the first session is being opened it leaves none behind."""
        client = self.make_client()
        connected = client.connect()
        self.assertTrue(self.server.peer.greeted)
        self.assertIsNone(self.result_of(client.leave()))
        self.failureResultOf(connected, ClosingException)
        self.assertTrue(self.server.peer.lost)

    def test_before_it_was_taken_over(self) -> None:
        """A session that was to be taken over, and was not yet, is handed on."""
        client = self.make_client(session=TICKET)
        self.assertEqual(self.result_of(client.leave()), TICKET)

    def test_queued(self) -> None:
        """Queued requests are sent and answered first, in order."""
        client, peer = self.make_connected(Limits(in_flight_requests=2))
        written = [client.set(f"/{number}", b"") for number in range(7)]
        left = client.leave()
        order = []
        while peer.packets and peer.packets[0].operation == Operation.SET_DATA:
            order.append(peer.answer(SetDataRequest, StatResponse(STAT)).path)
        self.assertEqual(order, [f"/{number}" for number in range(7)])
        for each in written:
            self.successResultOf(each)
        self.assertEqual(peer.operations, [Operation.EXISTS])
        peer.answer(ExistsRequest, StatResponse(STAT))
        ticket = self.result_of(left)
        self.assertIsNotNone(ticket)
        self.assertTrue(peer.lost)

    def test_after_close(self) -> None:
        """A client that is being closed ends its session: there is nothing to hand over."""
        client, peer = self.make_connected()
        closed = client.close()
        left = client.leave()
        peer.answer(CloseSessionRequest)
        self.successResultOf(closed)
        self.assertIsNone(self.successResultOf(left))

    def test_own_limit(self) -> None:
        """The time that it may take is the client's own limit."""
        client, _ = self.make_connected(Limits(close_time=1.5))
        left = client.leave()
        self.pass_time(1.4)
        self.assertNoResult(left)
        self.pass_time(0.1)
        self.assertIsNotNone(self.successResultOf(left))

    def test_from_a_callback(self) -> None:
        """A callback of a reply may call leave(), with further replies to come."""
        client, peer = self.make_connected()
        left: list[Deferred[SessionTicket | None]] = []
        client.get("/a").addCallback(lambda _: left.append(client.leave()))
        second = client.get("/b")
        first_xid, _ = peer.take(GetDataRequest)
        second_xid, _ = peer.take(GetDataRequest)
        peer.send(reply(first_xid, DATA), reply(second_xid, DATA))
        self.successResultOf(second)
        peer.answer(ExistsRequest, StatResponse(STAT))
        self.assertIsNotNone(self.successResultOf(left[0]))
