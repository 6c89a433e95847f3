"""Servers that say every kind of garbage: it is said what was wrong, nothing waits for ever, and nothing spins."""

from __future__ import annotations

import itertools
import struct
from typing import Any

from twisted.internet.defer import Deferred
from twisted.logger import LogLevel

from txmirror.client import Limits, ZooKeeperClient
from txmirror.errors import ConnectionLossException, ProtocolError
from txmirror.test.client.peer import (
    PASSWORD,
    SESSION,
    STAT,
    ClientTestCase,
    S,
    event,
    ignore,
    reply,
    write,
)
from txmirror.types import EventType, SessionState
from txmirror.wire import (
    AUTH_XID,
    EVENT_XID,
    HARD_FRAME_LIMIT,
    PING_XID,
    ConnectResponse,
    ExistsRequest,
    GetDataRequest,
    GetDataResponse,
    SetWatchesRequest,
    StatResponse,
    encode_frame,
)
from txmirror.wire.jute import encode_int

GRANT = ConnectResponse(round(S * 1000), SESSION, PASSWORD, False)
DATA = GetDataResponse(b"data", STAT).encode()
STAT_BYTES = StatResponse(STAT).encode()

#: What a server says that has two requests to answer, a ``get`` and a ``set``; what of it must be in the log; and whether
#: it is the first request's own reply.
GARBAGE: dict[str, tuple[bytes, str, bool]] = {
    "a negative length": (encode_int(-5), "-5 bytes", False),
    "the least length": (encode_int(-(2**31)), "-2147483648 bytes", False),
    "a length over all limits": (encode_int(HARD_FRAME_LIMIT + 1), f"{HARD_FRAME_LIMIT + 1} bytes", False),
    "the greatest length": (encode_int(2**31 - 1), "2147483647 bytes", False),
    "an empty frame": (encode_frame(b""), "too short", False),
    "half a header": (encode_frame(bytes(15)), "too short", False),
    "the handshake again": (encode_frame(GRANT.encode()), "xid 0", False),
    "an HTTP answer": (b"HTTP/1.1 400 Bad Request\r\n\r\n", "1213486160", False),
    "the xid 0": (reply(0), "xid 0", False),
    "an xid that is reserved": (reply(-8), "xid -8", False),
    "the least xid": (reply(-(2**31)), "xid -2147483648", False),
    "the second reply first": (reply(2, STAT_BYTES), "xid 2; the next that is due: 1", False),
    "the greatest xid": (reply(2**31 - 1), "xid 2147483647", False),
    "the same reply twice": (reply(1, DATA) + reply(1, DATA), "xid 1; the next that is due: 2", False),
    "one reply too many": (
        reply(1, DATA) + reply(2, STAT_BYTES) + reply(3),
        "xid 3; the next that is due: none",
        False,
    ),
    "the answer to no ping": (reply(PING_XID), "a ping was answered", False),
    "the answer to no identity": (reply(AUTH_XID), "an auth packet was answered", False),
    "a reply without its record": (reply(1), "ends within", True),
    "a reply that is cut short": (reply(1, DATA[:-1]), "ends within", True),
    "a reply with more than its record": (reply(1, DATA + b"!"), "1 bytes of its frame are left", True),
    "data of a negative length": (reply(1, encode_int(-2) + STAT_BYTES), "the length -2", True),
    "data of the greatest length": (reply(1, encode_int(2**31 - 1) + DATA), "2147483647 bytes", True),
    "an event that is cut short": (reply(EVENT_XID, encode_int(1)), "ends within", False),
    "an event with more than its record": (
        reply(EVENT_XID, struct.pack(">iii", 3, 3, 2) + b"/a!"),
        "1 bytes of its frame are left",
        False,
    ),
    "an event whose path is null": (reply(EVENT_XID, struct.pack(">iii", 3, 3, -1)), "null", False),
    "an event whose path is no UTF-8": (reply(EVENT_XID, struct.pack(">iii", 3, 3, 2) + b"/\xff"), "not UTF-8", False),
    "an event that is too long": (reply(EVENT_XID, bytes(5000)), "longer than any has reason to be", False),
    "a long reply with another's xid": (reply(7, bytes(5000)), "xid 7; the next that is due: 1", False),
}
#: What it says in place of an answer to the handshake.
FOREIGN: dict[str, bytes] = {
    "a negative length": encode_int(-1),
    "the greatest length": encode_int(2**31 - 1),
    "an empty frame": encode_frame(b""),
    "an answer that is cut short": encode_frame(GRANT.encode()[:30]),
    "an answer with more than its record": encode_frame(GRANT.encode() + b"!"),
    "a boolean that is none": encode_frame(GRANT.encode()[:-1] + b"\2"),
    "a password of a negative length": encode_frame(struct.pack(">iiqi", 0, 12_000, 1, -2)),
    "a password of the greatest length": encode_frame(struct.pack(">iiqi", 0, 12_000, 1, 2**31 - 1)),
    "an event": event(EventType.CHANGED, "/a"),
    "megabytes": encode_int(2**24) + bytes(100),
    "HTTP": b"HTTP/1.1 400 Bad Request\r\n\r\n",
    "ssh": b"SSH-2.0-OpenSSH_9.2\r\n",
}


#: How many of the two requests are answered before the garbage comes, where any is.
ANSWERED = {"the same reply twice": 1, "one reply too many": 2}


class HostileTestCase(ClientTestCase):
    def setUp(self) -> None:
        super().setUp()
        # What spins is found out soon.
        self.reactor.patience = 20_000

    def assert_pauses(self, longest: float) -> None:
        """Those between connections grow from a tenth of a second to the longest, and stay there."""
        times = self.server.times
        gaps = [round(later - earlier, 6) for earlier, later in itertools.pairwise(times)]
        self.assertEqual(gaps, sorted(gaps))
        self.assertEqual((gaps[0], gaps[-1]), (0.1, longest))
        self.assertGreater(len(gaps), 60 / longest)
        self.assertLess(len(gaps), 60 / longest + 10)

    def answer_with(self, said: bytes) -> None:
        """Let the server say this to every handshake."""
        self.server.on_handshake = lambda peer: write(peer, said)

    def assert_recovers(self, client: ZooKeeperClient) -> None:
        """With a server that makes sense again, everything goes on."""
        self.answer_with(encode_frame(GRANT.encode()))
        self.pass_time(5.0)
        self.assertIs(client.session.state, SessionState.CONNECTED)
        read = client.get("/a")
        self.server.peer.answer(GetDataRequest, DATA)
        self.successResultOf(read)
        self.close_fast(client, self.server.peer)

    def forget(self) -> None:
        """Begin to count connections and lines anew."""
        self.server.times.clear()
        self.server.peers.clear()
        self._log_events.clear()


class ReplyTests(HostileTestCase):
    def test_what_was_wrong(self) -> None:
        """Garbage in place of a reply ends the connection, and the log has what was wrong; the request that it answers fails
        with that, the others with the connection; and the session goes on at the next (A1, D2)."""
        for name, (said, wrong, own) in GARBAGE.items():
            self.forget()
            self.answer_with(b"")
            client, peer = self.make_connected(limits=Limits(max_reply=2000))
            answers: list[Deferred[Any]] = [client.get("/a"), client.set("/b", b"")]
            peer.send(said)
            self.assertTrue(peer.lost, name)
            for number, answer in enumerate(answers):
                if number < ANSWERED.get(name, 0):
                    self.successResultOf(answer)
                    continue
                error = self.failureResultOf(answer, ProtocolError if own and not number else ConnectionLossException)
                self.assertIsNone(error.value.applied, name)
                self.assertIn(wrong, str(error.value))
            self.assertIn(wrong, "\n".join(self.log_lines(LogLevel.warn)))
            self.assertEqual(self.states(), [SessionState.CONNECTED, SessionState.SUSPENDED], name)
            self.assertEqual(self.reconnect(peer).hello.sessionId, SESSION)
            self.assert_recovers(client)

    def test_over_and_over(self) -> None:
        """Where each connection brings the same garbage the pauses grow as far as a session that may live allows: half a
        second. The session is not given up for it (G1)."""
        for said, _, _ in GARBAGE.values():
            self.forget()
            client = self.make_client(limits=Limits(max_reply=2000))
            ignore(client.connect())
            self.answer_with(encode_frame(GRANT.encode()) + said)
            self.pass_time(60)
            self.assert_pauses(0.5)
            self.assertEqual(client.session.epoch, 1)
            self.assertTrue(all(peer.lost for peer in self.server.peers[:-1]))
            self.assert_recovers(client)


class HandshakeTests(HostileTestCase):
    def test_over_and_over(self) -> None:
        """Garbage in place of the answer to the handshake ends each attempt, with pauses that grow to five seconds, and one
        line in the log; no session is said to begin, and what waits goes on waiting (A1, G1)."""
        for name, said in FOREIGN.items():
            self.forget()
            client = self.make_client()
            connected = client.connect()
            read = client.get("/waits")
            self.answer_with(said)
            self.pass_time(29.9)
            self.assertNoResult(read)
            self.pass_time(30.1)
            self.assertIs(self.failureResultOf(read, ConnectionLossException).value.applied, False)
            self.assert_pauses(5.0)
            self.assertEqual(self.states(), [], name)
            (line,) = self.log_lines(LogLevel.warn)
            self.assertIn("No session with 10.0.0.1:2181", line)
            self.assertNoResult(connected)
            self.assert_recovers(client)
            self.successResultOf(connected)

    def test_session_that_stood(self) -> None:
        """In place of an answer to its return, garbage does not end a session either: it is presumed lost in time, and still
        offered (F1, G1)."""
        for name, said in FOREIGN.items():
            self.answer_with(b"")
            client, peer = self.make_connected()
            watch = client.exists_and_watch("/w")[1]
            ignore(watch)
            peer.answer(ExistsRequest, StatResponse(STAT), zxid=50)
            self.answer_with(said)
            peer.drop()
            self.forget()
            self.pass_time(60)
            self.assertEqual(self.states(), [SessionState.CONNECTED, SessionState.SUSPENDED, SessionState.LOST], name)
            self.assertLess(self.server.count, 60)
            hellos = {(each.hello.sessionId, each.hello.lastZxidSeen) for each in self.server.peers if each.greeted}
            self.assertEqual(hellos, {(SESSION, 50)})
            self.answer_with(encode_frame(GRANT.encode()))
            self.pass_time(5.0)
            self.server.peer.answer(SetWatchesRequest)
            self.assertNoResult(watch)
            self.assertEqual(client.session.epoch, 1)
            self.assert_recovers(client)
