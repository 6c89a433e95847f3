"""Servers that send invalid data of every kind: the error has the reason, no request waits for ever, and the client
does not spin.
"""

from __future__ import annotations

import itertools
import struct
from collections.abc import Callable
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
    Peer,
    S,
    event,
    ignore,
    reply,
    write,
)
from txmirror.types import OPEN_ACL, EventType, SessionState
from txmirror.wire import (
    AUTH_XID,
    EVENT_XID,
    HARD_FRAME_LIMIT,
    PING_XID,
    ConnectResponse,
    Create2Response,
    ExistsRequest,
    GetChildren2Response,
    GetChildrenResponse,
    GetDataRequest,
    GetDataResponse,
    GetEphemeralsResponse,
    MultiResponse,
    PathResponse,
    SetWatchesRequest,
    StatResponse,
    encode_frame,
)
from txmirror.wire.jute import encode_int

GRANT = ConnectResponse(round(S * 1000), SESSION, PASSWORD, False)
DATA = GetDataResponse(b"data", STAT).encode()
STAT_BYTES = StatResponse(STAT).encode()

#: What is no znode's path, and no child's name.
WRONG_PATHS = (
    "",
    "t",
    "/t/",
    "//",
    "/t//a",
    "/.",
    "/t/..",
    "/t/../a",
    "/t\0",
    "/t\x1f/a",
    "/\x7f",
    "/\ue000",
    "/\U0001f600",
)
WRONG_NAMES = ("", ".", "..", "/", "a/b", "a/", "\0", "a\n", "\x7f", "\x9f", "é\0", "\uf8ff", "\U0001f600")

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
    "the answer to no ping": (reply(PING_XID), "answered a ping that was not sent", False),
    "the answer to no identity": (reply(AUTH_XID), "answered an auth packet that was not sent", False),
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
    **{
        f"an event for {path!r}": (event(EventType.CHANGED, path), f"an event is for {path!r}", False)
        for path in WRONG_PATHS
    },
    "an event that is too long": (reply(EVENT_XID, bytes(5000)), "longer than the limit", False),
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
    "a refusal, as Keeper's without a leader": encode_frame(
        ConnectResponse(round(S * 1000), -1, bytes(16), None, 42).encode()
    ),
    "a refusal with a session": encode_frame(
        ConnectResponse(round(S * 1000), SESSION + 1, PASSWORD, False, 1).encode()
    ),
    "a refusal without one": encode_frame(ConnectResponse(0, 0, bytes(16), False, -1).encode()),
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
        """The pauses between connections grow from a tenth of a second to the longest, and stay there."""
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
        """Invalid data in place of a reply ends the connection, and the log has the reason; the request that it answers
        fails with that, the others with the connection; and the session continues at the next one (A1, D2).
        """
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
        """If each connection brings the same garbage, behind a handshake that keeps the session alive, the pauses grow to a third
        of the session timeout. The client keeps the session, and the log has few lines (G1)."""
        for said, _, _ in GARBAGE.values():
            self.forget()
            client = self.make_client(limits=Limits(max_reply=2000))
            ignore(client.connect())
            self.answer_with(encode_frame(GRANT.encode()) + said)
            self.pass_time(60)
            self.assert_pauses(S / 3)
            self.assertLess(len(self.log_lines()), 12)
            self.assertEqual(client.session.session_number, 1)
            self.assertTrue(all(peer.lost for peer in self.server.peers[:-1]))
            self.assert_recovers(client)


class NameTests(HostileTestCase):
    """Names and paths in replies that no znode can have: a program would use them in requests."""

    def assert_refused(
        self, ask: Callable[[ZooKeeperClient], Deferred[Any]], answer: bytes, wrong: str, chroot: str = ""
    ) -> None:
        """Assert that a reply ends the connection, that its request fails, and that the log has the reason."""
        self.forget()
        self.answer_with(b"")
        client, peer = self.make_connected(chroot=chroot)
        asked = ask(client)
        peer.send(reply(1, answer))
        self.assertTrue(peer.lost, wrong)
        error = self.failureResultOf(asked, ProtocolError).value
        self.assertIsNone(error.applied)
        self.assertIn(repr(wrong), str(error))
        self.assertIn(repr(wrong), "\n".join(self.log_lines(LogLevel.warn)))
        self.reconnect(peer)
        self.assert_recovers(client)

    def test_children(self) -> None:
        """Among the names of children, at any index of the list."""
        asks: tuple[Callable[[ZooKeeperClient], Deferred[Any]], ...] = (
            lambda client: client.get_children("/"),
            lambda client: client.get_children_and_stat("/"),
            lambda client: client.get_children_and_watch("/")[0],
            lambda client: client.read_children("/"),
        )
        for number, wrong in enumerate(WRONG_NAMES):
            names = ["good", "é", "..."]
            names.insert(number % 4, wrong)
            answer = GetChildren2Response(names, STAT).encode()
            self.assert_refused(asks[number % len(asks)], answer, wrong)

    def test_batches(self) -> None:
        """Among those of one of several nodes."""
        for wrong in WRONG_NAMES:
            results = [GetChildrenResponse(["good"]), GetChildrenResponse([wrong])]
            self.assert_refused(
                lambda client: client.get_children_many(["/a", "/b"]), MultiResponse(list(results)).encode(), wrong
            )

    def test_paths(self) -> None:
        """The paths of created nodes, of the session's ephemerals, and of a sync."""
        asks: tuple[tuple[Callable[[ZooKeeperClient], Deferred[Any]], Callable[[str], bytes]], ...] = (
            (lambda client: client.create("/t"), lambda path: PathResponse(path).encode()),
            (lambda client: client.create_and_stat("/t"), lambda path: Create2Response(path, STAT).encode()),
            (
                lambda client: client.write_create("/t", b"", OPEN_ACL, 0),
                lambda path: Create2Response(path, STAT).encode(),
            ),
            (_create_in_transaction, lambda path: MultiResponse([PathResponse(path)]).encode()),
            (lambda client: client.get_ephemerals(), lambda path: GetEphemeralsResponse(["/a", path]).encode()),
            (lambda client: client.sync(), lambda path: PathResponse(path).encode()),
        )
        for number, wrong in enumerate(WRONG_PATHS * 2):
            ask, answer = asks[number % len(asks)]
            self.assert_refused(ask, answer(wrong), wrong)
            self.assert_refused(ask, answer(f"/root{wrong}x/"), f"/root{wrong}x/", chroot="/root")

    def test_good(self) -> None:
        """Names that servers allow are accepted."""
        client, peer = self.make_connected()
        names = ["...", "..a", "a..", ".a", " ", "\x7e", "\xa0", "\ud7ff", "\uf900", "\uffef", "日本", "a%00", "\\"]
        asked = client.get_children("/")
        peer.reply(1, GetChildren2Response(names, STAT))
        self.assertEqual(self.successResultOf(asked), names)
        for number, name in enumerate(names, 2):
            created = client.create(f"/a/{name}")
            peer.reply(number, PathResponse(f"/a/{name}"))
            self.assertEqual(self.successResultOf(created), f"/a/{name}")
            peer.event(EventType.CREATED, f"/a/{name}")
        self.assertEqual([told.path for told in self.watch_events()], [f"/a/{name}" for name in names])
        self.close_fast(client, self.forget_packets(peer))

    def forget_packets(self, peer: Peer) -> Peer:
        """Remove the packets that were answered already."""
        peer.packets.clear()
        return peer


def _create_in_transaction(client: ZooKeeperClient) -> Deferred[Any]:
    transaction = client.transaction()
    transaction.create("/t")
    return transaction.commit()


class HandshakeTests(HostileTestCase):
    def test_over_and_over(self) -> None:
        """Invalid data in place of the answer to the handshake ends each attempt, with pauses that grow to five
        seconds, and one line in the log; no session begins, and waiting requests continue to wait (A1, G1).
        """
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
            self.assertIn("Could not connect to 10.0.0.1:2181", line)
            self.assertNoResult(connected)
            self.assert_recovers(client)
            self.successResultOf(connected)

    def test_session_that_stood(self) -> None:
        """In place of an answer to its return, garbage does not end a session either: in time it counts as probably expired, and still
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
            self.assertEqual(client.session.session_number, 1)
            self.assert_recovers(client)
