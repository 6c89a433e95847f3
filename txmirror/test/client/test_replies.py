"""Replies, events and other packets: their requests, their order, and violations of the protocol."""

from __future__ import annotations

from collections.abc import Callable

from twisted.logger import LogLevel

from txmirror.client import Limits
from txmirror.errors import (
    AuthFailedException,
    ConnectionLossException,
    InvalidStateException,
    NoNodeException,
    OperationTimeoutException,
    ProtocolError,
    QuotaExceededException,
    ReplyTooLargeException,
    RequestTimeoutException,
    RequestTooLargeException,
    SessionExpiredException,
    SessionMovedException,
    SystemErrorException,
    ThrottledOpException,
    UnknownServerException,
    ZooServerProblem,
)
from txmirror.test.client.peer import STAT, ClientTestCase, Peer, event, ignore, reply, write
from txmirror.types import EventType, SessionState, WatchedEvent
from txmirror.wire import (
    AUTH_XID,
    EVENT_XID,
    HARD_FRAME_LIMIT,
    LAST_XID,
    PING_XID,
    AuthRequest,
    CreateRequest,
    DeleteRequest,
    ExistsRequest,
    GetChildren2Request,
    GetDataRequest,
    GetDataResponse,
    SetDataRequest,
    SetWatchesRequest,
    StatResponse,
    WatcherEvent,
    client_protocol,
    encode_frame,
)
from txmirror.wire.jute import encode_int

DATA = GetDataResponse(b"data", STAT)
STAT_REPLY = StatResponse(STAT)


class OrderTests(ClientTestCase):
    def test_each_to_its_request(self) -> None:
        """Rule 2: each reply goes to the oldest request that has none."""
        client, peer = self.make_connected()
        answers = [client.get(f"/{number}") for number in range(5)]
        for number in range(5):
            peer.answer(GetDataRequest, GetDataResponse(b"%d" % number, STAT))
        self.assertEqual([self.successResultOf(answer)[0] for answer in answers], [b"0", b"1", b"2", b"3", b"4"])

    def test_requests_in_the_order_of_the_calls(self) -> None:
        """Requests are sent in the order in which the methods were called."""
        client, peer = self.make_connected()
        for number in range(5):
            ignore(client.get(f"/{number}"))
        taken = [peer.take(GetDataRequest) for _ in range(5)]
        self.assertEqual([request.path for _, request in taken], ["/0", "/1", "/2", "/3", "/4"])
        self.assertEqual([xid for xid, _ in taken], [1, 2, 3, 4, 5])

    def test_event_before_reply(self) -> None:
        """Rule 3: a watch fires before the reply that shows its change, when both arrive together (D1)."""
        client, peer = self.make_connected()
        order: list[str] = []
        read, watch = client.get_and_watch("/a")
        peer.answer(GetDataRequest, DATA)
        self.successResultOf(read)
        client.add_listener(lambda step: order.append("feed"))
        watch.addCallback(lambda _: order.append("watch"))
        client.get("/a").addCallback(lambda _: order.append("reply"))
        xid, _ = peer.take(GetDataRequest)
        peer.send(event(EventType.CHANGED, "/a"), reply(xid, DATA))
        self.assertEqual(order, ["watch", "feed", "reply"])

    def test_reply_before_event(self) -> None:
        """Rule 3: an event that arrives after a reply is reported after it (D1)."""
        client, peer = self.make_connected()
        order: list[str] = []
        client.add_listener(lambda step: order.append("feed"))
        client.read_data("/a").addCallback(lambda _: order.append("reply"))
        xid, _ = peer.take(GetDataRequest)
        peer.send(reply(xid, DATA), event(EventType.CHANGED, "/a"))
        self.assertEqual(order, ["reply", "feed"])

    def test_each_fully_before_the_next(self) -> None:
        """Rule 3: all that follows from one reply has happened before the next is looked at (D1)."""
        client, peer = self.make_connected()
        order: list[str] = []
        client.get("/a").addCallback(lambda _: order.append("first")).addCallback(lambda _: order.append("its end"))
        client.get("/b").addCallback(lambda _: order.append("second"))
        peer.send(reply(1, DATA), reply(2, DATA))
        self.assertEqual(order, ["first", "its end", "second"])

    def test_asking_from_a_callback(self) -> None:
        """Rule 3: a request that a callback makes goes behind those that were made before it."""
        client, peer = self.make_connected()
        answers: list[bytes] = []
        client.get("/a").addCallback(lambda _: client.get("/c")).addCallback(lambda result: answers.append(result[0]))
        client.get("/b").addCallback(lambda result: answers.append(result[0]))
        peer.send(reply(1, DATA), reply(2, GetDataResponse(b"b", STAT)))
        peer.take(GetDataRequest)
        peer.take(GetDataRequest)
        peer.answer(GetDataRequest, GetDataResponse(b"c", STAT))
        self.assertEqual(answers, [b"b", b"c"])

    def test_auth_out_of_order(self) -> None:
        """Rule 2: the answer to an identity comes when it comes, and takes no other's place (D3)."""
        client, peer = self.make_connected()
        read = client.get("/a")
        taken = client.add_auth("digest", b"user:secret")
        written = client.set("/a", b"x")
        peer.send(reply(AUTH_XID, zxid=0))
        self.successResultOf(taken)
        self.assertNoResult(read)
        peer.send(reply(1, DATA), reply(2, StatResponse(STAT)))
        self.assertEqual(self.successResultOf(read), (b"data", STAT))
        self.assertEqual(self.successResultOf(written), STAT)

    def test_late_auth(self) -> None:
        """Rule 2: the answer to an identity may come behind those to later requests (D3)."""
        client, peer = self.make_connected()
        taken = client.add_auth("digest", b"user:secret")
        read = client.get("/a")
        peer.send(reply(1, DATA))
        self.successResultOf(read)
        self.assertNoResult(taken)
        peer.send(reply(AUTH_XID, zxid=0))
        self.successResultOf(taken)

    def test_set_watches_in_order(self) -> None:
        """Rule 2: setWatches has an ordinary xid, and is answered in order."""
        client, peer = self.make_connected()
        first = client.get("/a")
        watches = client.set_watches(5, data=["/w"])
        second = client.get("/b")
        self.assertEqual([packet.xid for packet in peer.packets], [1, 2, 3])
        peer.send(reply(1, DATA), reply(2), reply(3, DATA))
        self.successResultOf(first)
        self.successResultOf(watches)
        self.successResultOf(second)

    def test_pong_between_replies(self) -> None:
        """Rule 2: the answer to a ping takes no request's place (D3)."""
        client, peer = self.make_connected()
        peer.answers_pings = False
        self.pass_time(4)
        read = client.get("/a")
        peer.send(reply(PING_XID), reply(1, DATA))
        self.successResultOf(read)


class XidTests(ClientTestCase):
    def test_wrap(self) -> None:
        """After the highest xid comes 1 again, and never one that is reserved (D4)."""
        self.assertEqual(LAST_XID, 2**31 - 1)
        self.patch(client_protocol, "LAST_XID", 3)
        client, peer = self.make_connected()
        answers = [client.get("/a") for _ in range(7)]
        self.assertEqual([packet.xid for packet in peer.packets], [1, 2, 3, 1, 2, 3, 1])
        for _ in range(7):
            peer.answer(GetDataRequest, DATA)
        for answer in answers:
            self.successResultOf(answer)

    def test_anew_on_each_connection(self) -> None:
        """Xids belong to a connection, so that a late reply of a former one cannot be mistaken."""
        client, peer = self.make_connected()
        self.show_zxid(client, peer, 5)
        again = self.reconnect(peer)
        ignore(client.get("/b"))
        self.assertEqual(again.take(GetDataRequest)[0], 1)


class ViolationTests(ClientTestCase):
    """A server's violation of the protocol ends its connection, and nothing else."""

    def assert_ends(self, *frames: bytes, log: str, act: Callable[[Peer], None] | None = None) -> None:
        """Assert that these bytes end the connection, with this in the log; pending requests fail, and the session
        continues.
        """
        client, peer = self.make_connected()
        if act is not None:
            act(peer)
        first, second = client.get("/a"), client.set("/b", b"")
        peer.send(*frames)
        self.assertTrue(peer.lost)
        self.assertIsNone(self.failureResultOf(first, ZooServerProblem).value.applied)
        self.assertIsNone(self.failureResultOf(second, ConnectionLossException).value.applied)
        self.assertIn(log, "\n".join(self.log_lines(LogLevel.warn)))
        self.assertEqual(self.reconnect(peer).hello.sessionId, client.session_id)
        self.assertIs(client.session.state, SessionState.CONNECTED)
        self.show_zxid(client, self.server.peer, 200)

    def test_other_xid(self) -> None:
        """Rule 2: a reply with another xid than that of the request whose turn it is ends the connection (D2)."""
        self.assert_ends(reply(2, DATA), log="a reply has the xid 2; the next that is due: 1")

    def test_one_reply_too_many(self) -> None:
        """Rule 2: a reply when nothing was asked ends the connection."""
        client, peer = self.make_connected()
        peer.send(reply(1, DATA))
        self.assertTrue(peer.lost)
        self.assertIs(client.session.state, SessionState.SUSPENDED)

    def test_nobodys_xid(self) -> None:
        """Rule 2: an xid that is nobody's ends the connection."""
        for xid in (0, -3, -8):
            self.assert_ends(reply(xid), log=f"{xid}")

    def test_auth_that_was_not_sent(self) -> None:
        """Rule 2: the answer to an identity that was not sent ends the connection."""
        self.assert_ends(reply(AUTH_XID), log="auth")

    def test_negative_length(self) -> None:
        """A frame with a negative length ends the connection, and the log has the length (A1)."""
        self.assert_ends(encode_int(-5), log="-5")

    def test_length_beyond_all_limits(self) -> None:
        """A frame longer than any may be ends the connection, before it has come (A1)."""
        self.assert_ends(encode_int(HARD_FRAME_LIMIT + 1), log=str(HARD_FRAME_LIMIT + 1))

    def test_too_short_for_a_header(self) -> None:
        """A frame that ends within its header ends the connection."""
        self.assert_ends(encode_frame(b"short"), log="too short")

    def test_empty_frame(self) -> None:
        """An empty frame ends the connection."""
        self.assert_ends(encode_frame(b""), log="too short")

    def test_truncated_reply(self) -> None:
        """A reply with a truncated record ends the connection, and its request fails with the reason."""
        client, peer = self.make_connected()
        first, second = client.get("/a"), client.get("/b")
        peer.send(reply(1, DATA.encode()[:-1]))
        error = self.failureResultOf(first, ProtocolError).value
        self.assertEqual((error.path, error.applied), ("/a", None))
        self.failureResultOf(second, ConnectionLossException)
        self.assertTrue(peer.lost)

    def test_reply_with_more_than_its_record(self) -> None:
        """A reply with bytes left over ends the connection."""
        self.assert_ends(reply(1, DATA.encode() + b"!"), log="left")

    def test_event_that_is_cut_short(self) -> None:
        """An event whose record is cut short ends the connection."""
        self.assert_ends(reply(EVENT_XID, b"\0\0\0\1"), log="ends within")

    def test_event_with_more_than_its_record(self) -> None:
        """An event with bytes left over ends the connection."""
        frame = reply(EVENT_XID, WatcherEvent(EventType.CHILD, 3, "/a").encode() + b"!")
        self.assert_ends(frame, log="left")

    def test_event_of_an_unknown_type(self) -> None:
        """An event of a type that nobody knows yet is logged, and changes nothing."""
        client, peer = self.make_connected()
        peer.send(event(99, "/a"))
        self.assertFalse(peer.lost)
        self.assertEqual(self.watch_events(), [])
        self.assertIn("unknown type 99", "\n".join(self.log_lines(LogLevel.warn)))
        self.show_zxid(client, peer, 7)

    def test_event_that_nobody_waits_for(self) -> None:
        """An event without a watch is reported on the feed, and does no harm (C11)."""
        client, peer = self.make_connected()
        peer.event(EventType.CHILD, "/stray")
        self.assertEqual(self.watch_events(), [WatchedEvent(EventType.CHILD, "/stray")])
        self.show_zxid(client, peer, 7)

    def test_zxid_of_an_event(self) -> None:
        """An event has the zxid that newer servers send with it."""
        _, peer = self.make_connected()
        peer.event(EventType.CHILD, "/a", zxid=55)
        self.assertEqual(self.watch_events(), [WatchedEvent(EventType.CHILD, "/a", 55)])

    def test_nothing_after_a_violation(self) -> None:
        """Frames behind a violation in the same bytes are ignored."""
        client, peer = self.make_connected()
        ignore(client.get("/a"))
        peer.send(reply(9, DATA), event(EventType.CHANGED, "/a"))
        self.assertEqual(self.watch_events(), [])

    def test_all_before_a_violation(self) -> None:
        """Frames before a violation in the same bytes are delivered."""
        client, peer = self.make_connected()
        read = client.get("/a")
        peer.send(reply(1, DATA), encode_int(-1))
        self.assertEqual(self.successResultOf(read), (b"data", STAT))
        self.assertTrue(peer.lost)


class ErrorCodeTests(ClientTestCase):
    def test_known_code(self) -> None:
        """A code that ZooKeeper documents becomes its exception, with the path and the reply's zxid."""
        client, peer = self.make_connected()
        read = client.get("/a")
        peer.answer(GetDataRequest, err=-101, zxid=33)
        error = self.failureResultOf(read, NoNodeException).value
        self.assertEqual((error.path, error.zxid, error.applied), ("/a", 33, False))

    def test_unknown_code(self) -> None:
        """A code that nobody knows goes to its request with its number, and ends nothing else (E6)."""
        client, peer = self.make_connected()
        read, other = client.get("/a"), client.get("/b")
        peer.answer(GetDataRequest, err=-4242)
        error = self.failureResultOf(read, UnknownServerException).value
        self.assertEqual((error.number, error.path, error.applied), (-4242, "/a", None))
        peer.answer(GetDataRequest, DATA)
        self.successResultOf(other)
        self.assertFalse(peer.lost)

    def test_positive_code(self) -> None:
        """A positive code is an unknown one too."""
        client, peer = self.make_connected()
        read = client.get("/a")
        peer.answer(GetDataRequest, err=7)
        self.assertEqual(self.failureResultOf(read, UnknownServerException).value.number, 7)

    def test_throttled(self) -> None:
        """A server that throttles fails the one request, which had no effect (E6)."""
        client, peer = self.make_connected()
        written = client.set("/a", b"")
        peer.answer(SetDataRequest, err=-127)
        self.assertIs(self.failureResultOf(written, ThrottledOpException).value.applied, False)
        self.assertFalse(peer.lost)

    def test_every_kind_of_trouble(self) -> None:
        """Codes that speak of the server, of its limits, or of nothing known are their request's own: the next is answered
        (E6)."""
        client, peer = self.make_connected()
        codes = {
            -1: SystemErrorException,
            -7: OperationTimeoutException,
            -9: InvalidStateException,
            -122: RequestTimeoutException,
            -125: QuotaExceededException,
            -127: ThrottledOpException,
            -(2**31): UnknownServerException,
            -126: UnknownServerException,
            1: UnknownServerException,
            2**31 - 1: UnknownServerException,
        }
        for code, kind in codes.items():
            failing, next_one = client.get("/a"), client.set("/b", b"")
            peer.send(reply(peer.take(GetDataRequest)[0], err=code), reply(peer.take(SetDataRequest)[0], STAT_REPLY))
            self.assertIs(type(self.failureResultOf(failing).value), kind)
            self.successResultOf(next_one)
        self.assertFalse(peer.lost)
        self.assertEqual(self.states(), [SessionState.CONNECTED])

    def test_session_moved(self) -> None:
        """A session that has moved is not over: its server closes, and it goes on at the next, with its watches (E5)."""
        client, peer = self.make_connected()
        watch = self.keep(client.get_and_watch("/a")[1])
        peer.answer(GetDataRequest, DATA)
        moved, other = client.set("/a", b"x"), client.get("/b")
        write(peer, reply(peer.take(SetDataRequest)[0], err=-118))
        self.settle()
        self.assertIs(self.failureResultOf(moved, SessionMovedException).value.applied, False)
        self.failureResultOf(other, ConnectionLossException)
        again = self.reconnect(peer)
        self.assertEqual(again.hello.sessionId, client.session_id)
        again.answer(SetWatchesRequest)
        self.assertNoResult(watch)
        self.assertEqual(self.states(), [SessionState.CONNECTED, SessionState.SUSPENDED, SessionState.CONNECTED])
        self.assertEqual(client.session.session_number, 1)

    def test_session_not_known(self) -> None:
        """A server that answers that the session has expired is not believed: the connection ends, and the session is presented
        to the next server, which decides."""
        client, peer = self.make_connected()
        watch = self.keep(client.get_and_watch("/a")[1])
        peer.answer(GetDataRequest, DATA)
        refused, other = client.set("/a", b"x"), client.get("/b")
        peer.answer(SetDataRequest, err=-112)
        error = self.failureResultOf(refused, ConnectionLossException).value
        self.assertIs(error.applied, False)
        self.assertIn("the session has expired", str(error))
        self.failureResultOf(other, ConnectionLossException)
        again = self.reconnect(peer)
        self.assertEqual(again.hello.sessionId, client.session_id)
        again.answer(SetWatchesRequest)
        self.assertNoResult(watch)
        self.assertEqual(self.states(), [SessionState.CONNECTED, SessionState.SUSPENDED, SessionState.CONNECTED])

    def test_session_expired_indeed(self) -> None:
        """If the next server reports the same at the handshake, the session has expired, with everything that belongs to it."""
        client, peer = self.make_connected()
        watch = client.get_and_watch("/a")[1]
        peer.answer(GetDataRequest, DATA)
        refused = client.get("/a")
        peer.answer(GetDataRequest, err=-112)
        self.failureResultOf(refused, ConnectionLossException)
        again = self.reconnect(peer, accept=False)
        again.expire()
        self.failureResultOf(watch, SessionExpiredException)


class AuthTests(ClientTestCase):
    def test_sent_at_once(self) -> None:
        """While connected, an identity is sent at once, and fires when the server has taken it."""
        client, peer = self.make_connected()
        taken = client.add_auth("digest", b"user:secret")
        self.assertEqual(peer.answer_auth(), AuthRequest("digest", b"user:secret"))
        self.successResultOf(taken)

    def test_every_new_connection(self) -> None:
        """Identities are sent on every new connection, of a new session too, in the order in which they were added."""
        client, peer = self.make_connected()
        ignore(client.add_auth("digest", b"one:1"))
        ignore(client.add_auth("digest", b"two:2"))
        peer.answer_auth()
        peer.answer_auth()
        again = self.reconnect(peer)
        self.assertEqual([again.answer_auth().auth, again.answer_auth().auth], [b"one:1", b"two:2"])
        self.reconnect(again, accept=False).expire()
        self.pass_time(0.5)
        self.server.peer.accept(session_id=9)
        self.assertEqual([self.server.peer.answer_auth().auth for _ in range(2)], [b"one:1", b"two:2"])

    def test_cut_off(self) -> None:
        """An identity whose answer was cut off is offered to the next server, and its Deferred waits for that."""
        client, peer = self.make_connected()
        taken = client.add_auth("digest", b"user:secret")
        again = self.reconnect(peer)
        self.assertNoResult(taken)
        again.answer_auth()
        self.successResultOf(taken)

    def test_before_the_connection(self) -> None:
        """An identity may be added before ``connect``."""
        client = self.make_client()
        taken = client.add_auth("digest", b"user:secret")
        ignore(client.connect())
        self.server.peer.accept()
        self.server.peer.answer_auth()
        self.successResultOf(taken)

    def test_refused(self) -> None:
        """A refused identity fails, is offered no more, and its server's closing does not end the session (F7)."""
        client, peer = self.make_connected()
        refused = client.add_auth("nonsense", b"x")
        taken = client.add_auth("digest", b"user:secret")
        peer.answer_auth(err=-115)
        self.assertIs(self.failureResultOf(refused, AuthFailedException).value.applied, False)
        again = self.reconnect(peer)
        self.assertEqual(again.answer_auth().scheme, "digest")
        self.assertEqual(again.packets, [])
        self.successResultOf(taken)
        self.assertEqual(len(self.log_lines(LogLevel.error)), 1)

    def test_refused_in_mid_session(self) -> None:
        """A refusal in mid-session ends that server's connection and no more: pending requests fail, the session
        continues with its watches and its other identities, and the refused one is not sent again (F7).
        """
        client, peer = self.make_connected()
        ignore(client.add_auth("digest", b"good:1"))
        peer.answer_auth()
        _, watch = client.get_and_watch("/a")
        peer.answer(GetDataRequest, DATA)
        before, refused, behind = client.get("/a"), client.add_auth("digest", b"bad:1"), client.set("/a", b"")
        # As servers do: the refusal overtakes what was asked before, and the connection is closed.
        write(peer, reply(AUTH_XID, zxid=0, err=-115))
        peer.close()
        self.failureResultOf(refused, AuthFailedException)
        for answer in (before, behind):
            self.assertIsNone(self.failureResultOf(answer, ConnectionLossException).value.applied)
        again = self.reconnect(peer)
        self.assertEqual(again.answer_auth().auth, b"good:1")
        again.answer(SetWatchesRequest)
        self.assertEqual(again.packets, [])
        self.assertEqual(client.session.session_number, 1)
        again.event(EventType.CHANGED, "/a")
        self.successResultOf(watch)

    def test_the_same_twice(self) -> None:
        """The same identity may be added twice; both are answered, and new connections begin with it once."""
        client, peer = self.make_connected()
        first, second = client.add_auth("digest", b"u:p"), client.add_auth("digest", b"u:p")
        while peer.packets:
            peer.answer_auth()
        self.successResultOf(first)
        self.successResultOf(second)
        again = self.reconnect(peer)
        again.answer_auth()
        self.assertEqual(again.packets, [])


class RequestSizeTests(ClientTestCase):
    def size_of(self, data: bytes, path: str = "/a") -> int:
        """The size of the frame, without its length, that creates a node with this data."""
        return 8 + len(CreateRequest(path, data, (), 0).encode())

    def assert_edge(self, limit: int, limits: Limits | None) -> None:
        client, peer = self.make_connected(limits=limits)
        room = limit - self.size_of(b"")
        fits = client.create("/a", bytes(room), ())
        error = self.failureResultOf(client.create("/a", bytes(room + 1), ()), RequestTooLargeException).value
        self.assertEqual((error.path, error.applied), ("/a", False))
        self.assertEqual([packet.length for packet in peer.packets], [limit])
        peer.reply(1, CreateRequest("/a", None, (), 0).encode()[:6])
        self.assertEqual(self.successResultOf(fits), "/a")
        self.show_zxid_after(peer)

    def show_zxid_after(self, peer: Peer) -> None:
        self.assertFalse(peer.lost)

    def test_default_edge(self) -> None:
        """Rule 11: a request of 0xfffff bytes is sent; one of a byte more is refused, and nothing of it is sent."""
        self.assert_edge(0xFFFFF, None)

    def test_edge(self) -> None:
        """Rule 11: the limit is the one that was given."""
        self.assert_edge(1000, Limits(max_request=1000))

    def test_while_disconnected(self) -> None:
        """Rule 11: a request over the limit is refused at once without a connection too."""
        client = self.make_client(limits=Limits(max_request=100))
        self.failureResultOf(client.set("/a", bytes(100)), RequestTooLargeException)

    def test_others_go_on(self) -> None:
        """Rule 11: requests before and after one over the limit are not affected."""
        client, peer = self.make_connected(limits=Limits(max_request=100))
        before = client.get("/a")
        self.failureResultOf(client.set("/a", bytes(100)), RequestTooLargeException)
        after = client.delete("/b")
        peer.answer(GetDataRequest, DATA)
        peer.answer(DeleteRequest)
        self.successResultOf(before)
        self.successResultOf(after)


class ReplySizeTests(ClientTestCase):
    def test_oversized(self) -> None:
        """A reply over the limit fails its request alone."""
        client, peer = self.make_connected(limits=Limits(max_reply=1000))
        before, large, after = client.get("/a"), client.get("/large"), client.get("/b")
        peer.answer(GetDataRequest, DATA)
        peer.answer(GetDataRequest, GetDataResponse(bytes(2000), STAT), zxid=44)
        error = self.failureResultOf(large, ReplyTooLargeException).value
        self.assertEqual((error.path, error.zxid, error.applied), ("/large", 44, None))
        size = len(reply(1, GetDataResponse(bytes(2000), STAT))) - 4
        self.assertEqual((error.size, error.limit), (size, 1000))
        self.assertEqual(str(error), f"the reply about '/large' is {size} bytes long, which is over the limit of 1000")
        peer.answer(GetDataRequest, DATA)
        self.successResultOf(before)
        self.assertEqual(self.successResultOf(after), (b"data", STAT))
        self.assertFalse(peer.lost)

    def test_edge(self) -> None:
        """A reply of just the limit is taken; one of a byte more is not."""
        size = len(reply(1, GetDataResponse(b"", STAT))) - 4
        client, peer = self.make_connected(limits=Limits(max_reply=size + 10))
        fits, large = client.get("/a"), client.get("/a")
        peer.answer(GetDataRequest, GetDataResponse(bytes(10), STAT))
        peer.answer(GetDataRequest, GetDataResponse(bytes(11), STAT))
        self.successResultOf(fits)
        self.failureResultOf(large, ReplyTooLargeException)

    def test_in_pieces(self) -> None:
        """A reply over the limit is discarded while it arrives, and the one behind it is found."""
        self.reactor.piece = 7
        client, peer = self.make_connected(limits=Limits(max_reply=100))
        large, after = client.get("/large"), client.get("/b")
        peer.send(reply(1, GetDataResponse(bytes(5000), STAT)), reply(2, GetDataResponse(b"b", STAT)))
        self.failureResultOf(large, ReplyTooLargeException)
        self.assertEqual(self.successResultOf(after)[0], b"b")

    def test_other_xid(self) -> None:
        """A frame over the limit whose xid is not the one whose turn it is ends the connection."""
        client, peer = self.make_connected(limits=Limits(max_reply=1000))
        read = client.get("/a")
        peer.send(reply(7, bytes(2000)))
        self.assertTrue(peer.lost)
        self.failureResultOf(read, ConnectionLossException)

    def test_oversized_event(self) -> None:
        """An event over the limit ends the connection."""
        _, peer = self.make_connected(limits=Limits(max_reply=1000))
        peer.send(reply(EVENT_XID, bytes(2000)))
        self.assertTrue(peer.lost)

    def test_zxid_counts(self) -> None:
        """The zxid of a reply over the limit has been seen like any other."""
        client, peer = self.make_connected(limits=Limits(max_reply=1000))
        ignore(client.get("/large"))
        peer.answer(GetDataRequest, GetDataResponse(bytes(2000), STAT), zxid=44)
        self.assertEqual(self.reconnect(peer, accept=False).hello.lastZxidSeen, 44)

    def test_its_watch_is_set(self) -> None:
        """A reply over the limit has left its watch at the server, which is set again like any other."""
        client, peer = self.make_connected(limits=Limits(max_reply=1000))
        ignore(client.read_data("/large"))
        peer.answer(GetDataRequest, GetDataResponse(bytes(2000), STAT))
        _, watches = self.reconnect(peer).take(SetWatchesRequest)
        self.assertEqual(watches.dataWatches, ("/large",))


class NullTests(ClientTestCase):
    def test_null_data(self) -> None:
        """A node whose data is null is one with no bytes."""
        client, peer = self.make_connected()
        read = client.get("/a")
        peer.answer(GetDataRequest, GetDataResponse(None, STAT))
        self.assertEqual(self.successResultOf(read), (b"", STAT))

    def test_null_children(self) -> None:
        """A null list of children is an empty one."""
        client, peer = self.make_connected()
        read = client.get_children("/a")
        peer.answer(GetChildren2Request, encode_int(-1) + StatResponse(STAT).encode())
        self.assertEqual(self.successResultOf(read), [])

    def test_missing_node(self) -> None:
        """For ``exists`` a missing node is a result, and no failure."""
        client, peer = self.make_connected()
        read = client.exists("/a")
        peer.answer(ExistsRequest, err=-101)
        self.assertIsNone(self.successResultOf(read))


class LongIdentityTests(ClientTestCase):
    def test_too_long(self) -> None:
        """Rule 11: an identity over the limit is refused at the call, and neither sent nor kept."""
        client, peer = self.make_connected(limits=Limits(max_request=1000))
        error = self.failureResultOf(client.add_auth("digest", b"user:" + b"s3cr3t" * 200), RequestTooLargeException)
        self.assertNotIn("s3cr3t", str(error.value))
        self.assertEqual(peer.packets, [])
        self.assertEqual(self.reconnect(peer).packets, [])
