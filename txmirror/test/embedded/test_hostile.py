"""Clients that send invalid data of every kind: the log has the reason why they are closed, and other clients are not
affected.
"""

from __future__ import annotations

import itertools
import struct
from collections.abc import Sequence
from typing import Any, cast

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.logger import ILogObserver, LogEvent, LogLevel, formatEvent, globalLogPublisher
from twisted.trial.unittest import SynchronousTestCase

from txmirror.embedded import EmbeddedServer
from txmirror.errors import MarshallingErrorException, UnimplementedException
from txmirror.test.embedded.peer import Event, Factory, Peer, Reply, ServerTestCase
from txmirror.test.embedded.sizes import sizes
from txmirror.test.wire.strategies import CLAIMS, Damage, damages
from txmirror.testing import Link, MemoryReactor
from txmirror.types import ACL, OPEN_ACL, EventType, WatchKind
from txmirror.wire import (
    AddWatchRequest,
    AuthRequest,
    CheckVersionRequest,
    CheckWatchesRequest,
    CloseSessionRequest,
    ConnectRequest,
    Create2Request,
    CreateContainerRequest,
    CreateRequest,
    CreateTTLRequest,
    DeleteRequest,
    ExistsRequest,
    GetACLRequest,
    GetAllChildrenNumberRequest,
    GetChildren2Request,
    GetChildrenRequest,
    GetDataRequest,
    GetEphemeralsRequest,
    MultiReadRequest,
    MultiRequest,
    Operation,
    PingRequest,
    ReconfigRequest,
    RemoveWatchesRequest,
    Request,
    RequestHeader,
    SaslRequest,
    SetACLRequest,
    SetDataRequest,
    SetWatches2Request,
    SetWatchesRequest,
    SyncRequest,
    WhoAmIRequest,
    encode_frame,
)
from txmirror.wire.jute import encode_int

#: One of each, all of them good; what is to end the session stands last.
REQUESTS: tuple[Request, ...] = (
    CreateRequest("/a", b"data", OPEN_ACL, 0),
    Create2Request("/a/e", b"data", (ACL(31, "ip", "127.0.0.1"), *OPEN_ACL), 1),
    CreateContainerRequest("/c", b"", OPEN_ACL, 4),
    CreateTTLRequest("/t", b"", OPEN_ACL, 5, 1000),
    ExistsRequest("/a", True),
    GetDataRequest("/a", True),
    SetDataRequest("/a", b"more", 0),
    GetACLRequest("/a"),
    SetACLRequest("/a", OPEN_ACL, -1),
    GetChildrenRequest("/", True),
    GetChildren2Request("/a", True),
    SyncRequest("/"),
    MultiRequest((CheckVersionRequest("/a", -1), SetDataRequest("/a", b"", -1), CreateRequest("/m", b"", OPEN_ACL, 3))),
    MultiReadRequest((GetDataRequest("/a", False), GetChildrenRequest("/", False))),
    CheckVersionRequest("/a", 7),
    ReconfigRequest("server.2=host:1:2;3", None, None, -1),
    AddWatchRequest("/a", 1),
    CheckWatchesRequest("/a", WatchKind.ANY),
    RemoveWatchesRequest("/a", WatchKind.ANY),
    SetWatchesRequest(0, ("/a",), ("/b",), ("/",)),
    SetWatches2Request(0, ("/a",), ("/b",), ("/",), ("/p",), ("/r",)),
    GetEphemeralsRequest("/"),
    GetAllChildrenNumberRequest("/"),
    WhoAmIRequest(),
    AuthRequest("digest", b"user:password"),
    SaslRequest(b"token"),
    PingRequest(),
    DeleteRequest("/c", -1),
    CloseSessionRequest(),
)
HANDSHAKE = encode_frame(ConnectRequest(0, 4000, 0, bytes(16), False).encode())

#: A world takes a while to make, and more to be left alone in.
FEWER = settings(max_examples=max(1, settings().max_examples // 3))
pieces = st.lists(st.integers(0, 3000), max_size=6)


def framed(request: Request, xid: int = 1) -> bytes:
    return encode_frame(RequestHeader(xid, request.operation).encode() + request.encode())


class Hostile(Peer):
    """A client that sends any bytes, and ignores the replies."""

    def dataReceived(self, data: bytes) -> None:
        self.text += data


class World:
    """A server, a client that behaves, and how large the server's tables are with it."""

    def __init__(self) -> None:
        self.reactor = MemoryReactor()
        self.reactor.patience = 50_000
        self.case = _Case()
        self.case.reactor = self.reactor
        self.case.server = self.server = EmbeddedServer(self.reactor, ttl_nodes=True)
        self.server.listen(2181)
        self.witness = self.case.peer(10_000)
        self.witness.create("/witness")
        self.witness.create("/witness/e", flags=1)
        self.look()
        self.before = self.sizes()

    def hostile(self, said: bytes = HANDSHAKE) -> Hostile:
        """Connect a client that is not to be trusted, and let it say this."""
        peer = Hostile(self.reactor)
        self.reactor.connectTCP("127.0.0.1", 2181, Factory(peer))
        self.reactor.settle()
        peer.raw(said)
        return peer

    def look(self) -> None:
        """Check that the witness gets the events of other clients' writes."""
        self.witness.get("/witness", watch=True)
        changing = self.case.peer()
        changing.set("/witness")
        changing.close()
        assert self.witness.events() == [Event(EventType.CHANGED, "/witness")]

    def sizes(self) -> dict[str, int]:
        """Return the sizes of the tables from which a client and its session must vanish. Nodes may stay."""
        kept = {"nodes", "names", "expiring", "timers"}
        return {name: size for name, size in sizes(self.server, self.reactor).items() if name not in kept}

    def say(self, peer: Peer, stream: bytes, cuts: Sequence[int] = ()) -> None:
        """Let a client say this, in pieces."""
        places = [0, *sorted(cut % (len(stream) + 1) for cut in cuts), len(stream)]
        for start, stop in itertools.pairwise(places):
            if peer.lost is None:
                assert peer.transport is not None
                peer.transport.write(stream[start:stop])
                self.reactor.settle()
                for connection in self.server._connections.live:
                    assert connection._protocol.frames.buffered <= 4 + 0xFFFFF

    def end(self) -> None:
        """Make sure that the witness noticed nothing, and that nothing is left of anybody else once their time is over."""
        self.reactor.settle()
        self.look()
        witness = self.witness
        for link in self.reactor.links[1:]:
            link.client.loseConnection()
        for _ in range(3):
            self.reactor.pass_time(8.0)
            witness.ping()
        assert self.server.sessions == {witness.session}
        assert witness.exists("/witness/e")
        assert self.sizes() == self.before, (self.sizes(), self.before)
        witness.close()
        stopped = self.server.stop()
        self.reactor.settle()
        assert stopped.called
        assert self.reactor.getDelayedCalls() == []


class _Case(ServerTestCase):
    """Only the methods that connect peers."""

    def runTest(self) -> None: ...


class LoggedTestCase(SynchronousTestCase):
    """Collects the log.

    :ivar lines: the warnings.
    :ivar bugs: the lines that were logged with a traceback, or with a level above a warning.
    """

    def setUp(self) -> None:
        super().setUp()
        self.lines: list[str] = []
        self.bugs: list[LogEvent] = []
        observer = cast(ILogObserver, self.observe)
        globalLogPublisher.addObserver(observer)
        self.addCleanup(globalLogPublisher.removeObserver, observer)

    def observe(self, event: LogEvent) -> None:
        if event.get("log_failure") is not None or event["log_level"] in {LogLevel.error, LogLevel.critical}:
            self.bugs.append(event)
        elif event["log_level"] is LogLevel.warn:
            self.lines.append(formatEvent(event))


class HostileTestCase(LoggedTestCase):
    def begin(self) -> World:
        """Begin anew."""
        self.lines.clear()
        self.bugs.clear()
        return World()

    def end(self, world: World, peer: Peer) -> None:
        """Check the log: one line has the reason for each client that was rejected unasked."""
        world.reactor.settle()
        refusals = [line for line in self.lines if line.startswith("Refusing")]
        closings = [line for line in self.lines if line.startswith("Closing")]
        self.assertEqual(len(refusals) + len(closings), len(self.lines), self.lines)
        self.assertLessEqual(len(closings), 1)
        if peer.lost is None:
            self.assertEqual(closings, [])
        world.end()
        self.assertEqual([formatEvent(bug) for bug in self.bugs], [])


class FuzzTests(HostileTestCase):
    def test_unchanged(self) -> None:
        """The conversation itself is a good one: all is answered, and nothing is logged."""
        for cuts in ([], list(range(2000))):
            world = self.begin()
            peer = world.case.peer()
            world.say(peer, b"".join(framed(request) for request in REQUESTS), cuts)
            replies = [item for item in peer.received if isinstance(item, Reply)]
            self.assertEqual(len(replies), len(REQUESTS))
            codes = {-103: 1, 0: len(REQUESTS) - 2, -123: 1}
            self.assertEqual({code: [reply.err for reply in replies].count(code) for code in codes}, codes)
            self.assertEqual({request.operation for request in REQUESTS}, set(Operation))
            self.assertEqual(self.lines, [])
            self.end(world, peer)

    @FEWER
    @given(st.lists(st.binary(max_size=60), max_size=4))
    def test_before_the_handshake(self, said: list[bytes]) -> None:
        """Any bytes, before the handshake."""
        world = self.begin()
        peer = world.hostile(b"")
        world.say(peer, b"".join(said), [len(piece) for piece in said])
        self.end(world, peer)

    @FEWER
    @given(st.lists(damages, min_size=1, max_size=3), pieces)
    def test_handshake(self, changes: list[Damage], cuts: list[int]) -> None:
        """A handshake that was changed, with a request behind it."""
        world = self.begin()
        peer = world.hostile(b"")
        stream = HANDSHAKE
        for damage in changes:
            stream = damage.do(stream)
        world.say(peer, stream + framed(WhoAmIRequest()), cuts)
        self.end(world, peer)

    @FEWER
    @given(st.lists(damages, min_size=1, max_size=4), pieces)
    def test_stream(self, changes: list[Damage], cuts: list[int]) -> None:
        """A stream of requests that was changed anywhere, in any pieces."""
        world = self.begin()
        peer = world.hostile()
        stream = b"".join(framed(request) for request in REQUESTS)
        for damage in changes:
            stream = damage.do(stream)
        world.say(peer, stream, cuts)
        self.end(world, peer)

    @FEWER
    @given(st.lists(st.tuples(st.integers(0, 100), damages), min_size=1, max_size=8), pieces)
    def test_records(self, changes: list[tuple[int, Damage]], cuts: list[int]) -> None:
        """Requests with damaged records and correct lengths."""
        world = self.begin()
        peer = world.hostile()
        bodies = [framed(request)[4:] for request in REQUESTS]
        for which, damage in changes:
            body = bodies[which % len(bodies)]
            bodies[which % len(bodies)] = body[:8] + damage.do(body[8:])
        world.say(peer, b"".join(map(encode_frame, bodies)), cuts)
        self.end(world, peer)

    @FEWER
    @given(st.lists(st.sampled_from(REQUESTS), max_size=40), st.lists(st.integers(-(2**31), 2**31 - 1), min_size=1))
    def test_order(self, requests: list[Request], xids: list[int]) -> None:
        """Good requests in any order, any number of times, with xids that repeat, or that no client has."""
        world = self.begin()
        peer = world.hostile()
        stream = b"".join(framed(request, xids[at % len(xids)]) for at, request in enumerate(requests))
        world.say(peer, stream)
        self.end(world, peer)


#: What is said after the handshake by those who are turned away, and what the log has of it.
NONSENSE: dict[str, tuple[bytes, str]] = {
    "a negative length": (encode_int(-1), "announces a length of -1"),
    "the least length": (encode_int(-(2**31)), "announces a length of -2147483648"),
    "the greatest length": (encode_int(2**31 - 1), "announces a length of 2147483647"),
    "one byte too many": (encode_int(0x100000) + bytes(16), "1048576 bytes, with 1048575 allowed"),
    "an empty frame": (encode_frame(b""), "ends within an int"),
    "half a header": (encode_frame(bytes(7)), "ends within an int"),
    "the handshake again": (HANDSHAKE, "unknown operation 0"),
    "HTTP": (b"GET / HTTP/1.1\r\n\r\n", "announces a length of"),
    "a word": (b"ruok", "announces a length of"),
    "an unknown operation": (encode_frame(struct.pack(">ii", 1, 23)), "unknown operation 23"),
    "a negative operation": (encode_frame(struct.pack(">ii", 1, -1)), "unknown operation -1"),
    # A real server takes these two from a client, though only servers have a use for them.
    "a session for another": (encode_frame(struct.pack(">iii", 1, -10, 9000)), "unknown operation -10"),
    "a container's end": (encode_frame(struct.pack(">ii", 1, 20) + b"/witness"), "unknown operation 20"),
    "an identity cut short": (encode_frame(framed(AuthRequest("digest", b"u:p"))[4:-1]), "ends within a buffer"),
    "an unknown scheme": (framed(AuthRequest("kerberos", b"me"), -4), "scheme 'kerberos'"),
    "no credentials": (framed(AuthRequest("digest", None), -4), "scheme 'digest'"),
    "no token": (framed(SaslRequest(None)), "token is null"),
}
#: What is said in place of a handshake.
FOREIGN: dict[str, tuple[bytes, str]] = {
    "a request": (framed(CreateRequest("/a", b"", OPEN_ACL, 0)), "ends within a buffer"),
    "an empty frame": (encode_frame(b""), "ends within an int"),
    "a word that there is none": (b"help", "announces a length of"),
    "TLS": (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc", "announces a length of 369295618"),
    "a password of a negative length": (encode_frame(struct.pack(">iqiqi", 0, 0, 4000, 0, -2)), "the length -2"),
    "a password of the greatest length": (
        encode_frame(struct.pack(">iqiqi", 0, 0, 4000, 0, 2**31 - 1)),
        "a buffer of 2147483647 bytes",
    ),
    "a time that is to come": (
        encode_frame(ConnectRequest(2**63 - 1, 4000, 0, None, False).encode()),
        "has seen transaction 0x7fffffffffffffff",
    ),
}
#: Those whose frames are not answered where they cannot be read.
CLOSED_FOR = {Operation.AUTH, Operation.SASL}


class WorldTestCase(HostileTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.world = World()
        self.addCleanup(self.end_all)

    def end_all(self) -> None:
        self.world.end()
        self.assertEqual([formatEvent(bug) for bug in self.bugs], [])

    def assert_turned_away(self, peer: Peer, why: str, name: str) -> None:
        """Assert that the peer lost its connection, and that one line of the log has the reason."""
        self.assertIsNotNone(peer.lost, name)
        (line,) = self.lines
        self.assertTrue(line.startswith("Closing the connection from 127.0.0.1:"), line)
        self.assertIn(why, line)
        self.lines.clear()

    def refusals(self) -> int:
        """Count the lines about requests that were refused; there must be no others."""
        count = len(self.lines)
        self.assertTrue(all(line.startswith("Refusing") for line in self.lines), self.lines)
        self.lines.clear()
        return count


class NonsenseTests(WorldTestCase):
    def test_after_the_handshake(self) -> None:
        """An invalid request ends the connection, and no later request is executed."""
        for name, (said, why) in NONSENSE.items():
            zxid = self.world.server.zxid
            peer = self.world.hostile(HANDSHAKE + said + framed(CreateRequest("/a", b"", OPEN_ACL, 0)))
            self.assert_turned_away(peer, why, name)
            self.assertEqual(self.world.server.zxid, zxid + 1, name)

    def test_in_its_place(self) -> None:
        """An invalid handshake ends the connection, without a reply."""
        for name, (said, why) in FOREIGN.items():
            zxid = self.world.server.zxid
            peer = self.world.hostile(said + HANDSHAKE)
            self.assert_turned_away(peer, why, name)
            self.assertEqual((peer.text, self.world.server.zxid), (b"", zxid), name)

    def test_handshake_cut_short(self) -> None:
        """A handshake that ends early is none; one without its last byte is one as before 3.4."""
        body = HANDSHAKE[4:]
        for length in range(len(body) - 1):
            self.assert_turned_away(self.world.hostile(encode_frame(body[:length])), "ends within", str(length))
        self.assertEqual(len(self.world.hostile(encode_frame(body[:-1])).text), 4 + 36)

    def test_cut_short(self) -> None:
        """A request that ends early, at any byte, is refused, or the server closes the connection."""
        for request in REQUESTS:
            body = request.encode()
            peer = self.world.case.peer()
            for length in range(len(body)):
                peer.raw(encode_frame(RequestHeader(7, request.operation).encode() + body[:length]))
                if request.operation in CLOSED_FOR:
                    self.assert_turned_away(peer, "ends within", repr(request))
                    peer = self.world.case.peer()
                else:
                    (reply,) = peer.take()
                    code = MarshallingErrorException.code
                    self.assertEqual(reply, (7, self.world.server.zxid, code, b""), request)
                    self.assertEqual(self.refusals(), 1)

    def test_over_long(self) -> None:
        """The server ignores bytes after a request in its frame, as a real server does."""
        peer = self.world.case.peer()
        for request in REQUESTS:
            peer.raw(encode_frame(framed(request, 7)[4:] + b"!"))
        replies = [item for item in peer.take() if isinstance(item, Reply)]
        self.assertEqual(len(replies), len(REQUESTS))
        self.assertEqual(self.refusals(), 0)

    def test_claims(self) -> None:
        """No number that stands anywhere in a request is believed, nor trips the server."""
        for request in REQUESTS:
            body = framed(request, 7)[4:]
            peer = self.world.hostile()
            for place in range(8, len(body) - 3):
                claim = CLAIMS[place % len(CLAIMS)]
                peer.raw(encode_frame(body[:place] + encode_int(claim) + body[place + 4 :]))
                if peer.lost is not None:
                    self.assertIn(request.operation, CLOSED_FOR)
                    peer = self.world.hostile()
            lines = [line for line in self.lines if not line.startswith(("Refusing", "Closing"))]
            self.assertEqual(lines, [])
            self.lines.clear()

    def test_no_utf8(self) -> None:
        """A path that is not UTF-8 is refused."""
        peer = self.world.case.peer()
        for path in (b"/\xff", b"/\xc0\x80", b"/\xed\xa0\x80", b"/\xf4\x90\x80\x80"):
            body = encode_int(len(path)) + path
            for operation, rest in ((Operation.GET_DATA, b"\0"), (Operation.DELETE, encode_int(-1))):
                peer.raw(encode_frame(RequestHeader(7, operation).encode() + body + rest))
                (reply,) = peer.take()
                assert isinstance(reply, Reply)
                self.assertEqual(reply.err, MarshallingErrorException.code)
                self.assertEqual(self.refusals(), 1)

    def test_xids(self) -> None:
        """A client may count its requests as it likes: each is answered, with the number that it had."""
        peer = self.world.case.peer()
        for xid in (5, 5, 0, -3, -(2**31), 2**31 - 1, 4):
            self.assertEqual(peer.ask(ExistsRequest("/", False), xid).err, 0)

    def test_last_words(self) -> None:
        """A client gets the error before its connection is closed for an operation."""
        peer = self.world.hostile()
        answer = len(peer.text)
        peer.raw(encode_frame(struct.pack(">ii", 7, 99)))
        self.assertEqual(peer.text[answer:], encode_frame(struct.pack(">iqi", 7, -1, UnimplementedException.code or 0)))
        self.lines.clear()

    def test_half_closed(self) -> None:
        """A client that has closed its side gets nothing more."""
        peer = self.world.hostile()
        assert peer.transport is not None
        cast(Any, peer.transport).loseWriteConnection()
        self.world.reactor.settle()
        self.assertIsNotNone(peer.lost)
        self.assertEqual(len(self.world.server._connections.live), 1)

    def test_flood_of_handshakes(self) -> None:
        """Clients that shake hands and go, or stay and never look, leave their sessions, and these not for long."""
        for number in range(300):
            peer = self.world.hostile()
            if number % 2:
                assert peer.transport is not None
                cast(Any, peer.transport).abortConnection()
        self.assertEqual(len(self.world.server.sessions), 301)
        self.assertEqual(self.lines, [])


class SilenceTests(WorldTestCase):
    """Clients that say little, or that do not read."""

    def stop_reading(self, peer: Peer) -> Link:
        """Let nothing reach a client any more."""
        (link,) = (link for link in self.world.reactor.links if cast(Any, link.client) is peer.transport)
        link.stall(to_server=False)
        return link

    def waiting(self, link: Link) -> int:
        """Return the number of bytes that wait for a client to read them."""
        return link.server.undelivered

    def test_silent(self) -> None:
        """A connection without a handshake is closed after 10 to 20 s: so 3.8.0 does it."""
        for begun in (b"", HANDSHAKE[:3], HANDSHAKE[:-1]):
            peer = self.world.hostile(begun)
            self.pass_time(9.9)
            self.assertIsNone(peer.lost)
            self.pass_time(10.1)
            self.assert_turned_away(peer, "it has no session, and was silent for 10.0 s", repr(begun))

    def test_slow(self) -> None:
        """A client without a session that sends bytes now and then stays connected, as with 3.8.0; once a minute is too seldom."""
        peer = self.world.hostile(b"")
        for at in range(len(HANDSHAKE)):
            peer.raw(HANDSHAKE[at : at + 1])
            self.pass_time(4.0)
        self.assertNotEqual(peer.text, b"")
        peer = self.world.hostile(HANDSHAKE[:1])
        self.pass_time(60.0)
        self.assert_turned_away(peer, "silent", "once a minute")

    def test_never_reads(self) -> None:
        """The server keeps unread bytes up to a limit; then the client's requests wait, and its session ends."""
        reactor, server = self.world.reactor, self.world.server
        self.world.witness.create("/big", bytes(500_000))
        peer = self.world.hostile()
        session = server._state.sessions.find(max(server.sessions))
        assert session is not None
        link = self.stop_reading(peer)
        for _ in range(20):
            peer.raw(framed(GetDataRequest("/big", False)) * 1000)
        self.assertLess(self.waiting(link), 5_500_000)
        (line,) = self.lines
        self.assertIn("until it reads", line)
        self.lines.clear()
        # Pings are not heard any more either.
        for _ in range(5):
            peer.raw(framed(PingRequest(), -2))
            self.pass_time(1.0)
        self.assertNotIn(session.id, server.sessions)
        self.assertIsNone(session.connection)
        self.assertEqual(len(server._connections.live), 1)
        link.resume()
        reactor.settle()
        self.assertIsNotNone(peer.lost)

    def test_reads_late(self) -> None:
        """A client that reads in the end gets every reply, in order; its later requests are executed then."""
        self.world.witness.create("/big", bytes(500_000))
        peer = self.world.case.peer()
        link = self.stop_reading(peer)
        peer.raw(b"".join(framed(GetDataRequest("/big", False), xid) for xid in range(1, 40)))
        peer.raw(framed(CreateRequest("/late", b"", OPEN_ACL, 0), 40) + encode_int(-1))
        self.assertFalse(self.world.witness.exists("/late"))
        link.resume()
        self.world.reactor.settle()
        self.assertTrue(self.world.witness.exists("/late"))
        self.assertEqual([cast(Reply, item).xid for item in peer.received], list(range(1, 41)))
        self.assertIn("until it reads", self.lines.pop(0))
        self.assert_turned_away(peer, "length of -1", "late")

    def test_events_unread(self) -> None:
        """Events count like answers."""
        peer = self.world.hostile(HANDSHAKE + framed(AddWatchRequest("/", 1)))
        link = self.stop_reading(peer)
        path = "/" + "x" * 500_000
        self.world.witness.create(path)
        for _ in range(8):
            self.world.witness.set(path)
        (line,) = self.lines
        self.assertIn("until it reads", line)
        self.lines.clear()
        self.pass_time(5.0)
        self.assertEqual(len(self.world.server._connections.live), 1)
        self.assertEqual(self.waiting(link), 0)

    def test_events_for_ever(self) -> None:
        """The events for a client that does not read are bounded: when too many wait, the server closes the connection."""
        peer = self.world.hostile(HANDSHAKE + framed(AddWatchRequest("/", 1)))
        link = self.stop_reading(peer)
        path = "/" + "x" * 500_000
        self.world.witness.create(path)
        for _ in range(60):
            self.world.witness.set(path)
            self.assertLess(self.waiting(link), 18_000_000)
        self.assertIn("until it reads", self.lines.pop(0))
        (line,) = self.lines
        self.assertIn("does not read its events", line)
        self.lines.clear()
        self.assertEqual(len(self.world.server._connections.live), 1)
        self.pass_time(5.0)

    def test_stalled(self) -> None:
        """Bytes that a test holds are bounded too: above the limit the requests wait with the client, and all are executed in the end."""
        self.world.reactor.piece = 2**16
        self.world.witness.create("/big", bytes(900_000))
        for incoming in (True, False):
            peer = self.world.case.peer(20_000)
            connection = self.world.server.connection_of(peer.session)
            connection.stall(incoming=incoming, outgoing=not incoming)
            request: Request = SetDataRequest("/", bytes(500_000), -1) if incoming else GetDataRequest("/big", False)
            peer.raw(b"".join(framed(request, xid) for xid in range(1, 16)))
            self.assertLess(len(connection._held_input or b""), 4_500_000)
            self.assertLess(connection._output.held_bytes, 5_500_000)
            connection.resume()
            self.world.reactor.settle()
            self.assertEqual([cast(Reply, item).xid for item in peer.take()], list(range(1, 16)))
            peer.close()
        self.lines.clear()

    def test_blocked(self) -> None:
        """The requests behind a delayed one are bounded, in bytes and in number."""
        self.world.reactor.piece = 2**16
        for request, count in ((SetDataRequest("/", bytes(500_000), -1), 40), (ExistsRequest("/", False), 30_000)):
            peer = self.world.case.peer(20_000)
            connection = self.world.server.connection_of(peer.session)
            self.world.server.delay_next("exists", 5.0)
            peer.raw(framed(ExistsRequest("/", False), 1) + b"".join(framed(request, xid + 2) for xid in range(count)))
            self.assertEqual(peer.take(), [])
            self.assertLess(connection._protocol.frames.size, 5_500_000)
            self.assertLess(len(connection._protocol.frames), 14_000)
            self.pass_time(5.0)
            self.assertEqual([cast(Reply, item).xid for item in peer.take()], list(range(1, count + 2)))
            peer.close()

    def test_others_are_served(self) -> None:
        """However much one asks for at once, and whether or not it reads, others are served in between; nor is much kept for it."""
        world = self.world
        world.witness.create("/big", bytes(900_000))
        several = MultiReadRequest((GetDataRequest("/big", False),) * 4)
        for name, said in (
            ("large answers", framed(GetDataRequest("/big", False)) * 3000),
            ("small answers", framed(ExistsRequest("/", False)) * 50_000),
            ("much to look at", framed(GetAllChildrenNumberRequest("/")) * 3000),
            ("several at once", framed(several) * 300),
        ):
            for reads in (True, False):
                peer = world.hostile()
                link = self.stop_reading(peer)
                if reads:
                    # It keeps nothing of it.
                    cast(Any, peer).dataReceived = lambda data: None
                    link.resume()
                before = world.server._own_state.received
                cast(Any, peer.transport).write(said)
                cast(Any, world.witness.transport).write(framed(PingRequest(), -2))
                largest = 0
                for _ in range(100):
                    world.reactor.take_turns(1)
                    largest = max(largest, self.waiting(link))
                    if world.witness.received:
                        break
                self.assertEqual([cast(Reply, item).xid for item in world.witness.received], [-2], name)
                self.assertLess(world.server._own_state.received - before, 1000, name)
                world.reactor.take_turns(40)
                self.assertLess(max(largest, self.waiting(link)), 8_500_000, name)
                world.witness.received.clear()
                cast(Any, peer.transport).abortConnection()
                world.reactor.settle()
        self.lines.clear()

    def test_endless_answer(self) -> None:
        """A reply that is too long is refused, and the connection continues."""
        self.world.witness.create("/big", bytes(1_000_000))
        peer = self.world.case.peer()
        reads = [GetDataRequest("/big", False)] * 20_000
        for request in (MultiReadRequest(tuple(reads)), MultiReadRequest(tuple(reads[:170]))):
            self.assertEqual(peer.ask(request).err, MarshallingErrorException.code)
        self.assertEqual(self.refusals(), 2)
        self.assertGreater(len(peer.ask(MultiReadRequest(tuple(reads[:10]))).body), 10_000_000)
        self.lines.clear()

    def test_does_not_read_its_farewell(self) -> None:
        """A connection that is closing does not wait forever for a client that does not read the rest."""
        peer = self.world.hostile()
        link = self.stop_reading(peer)
        peer.raw(framed(CloseSessionRequest()))
        self.pass_time(9.9)
        self.assertEqual(len(self.world.server._connections.live), 2)
        self.pass_time(10.1)
        self.assertEqual(len(self.world.server._connections.live), 1)
        self.assertEqual(self.lines, [])
        link.cut()

    def test_word_unread(self) -> None:
        """A connection that is closing does not wait forever for a client that sends a four-letter word, and does not
        read the answer.
        """
        peer = self.world.hostile(b"")
        self.stop_reading(peer)
        peer.raw(b"mntr")
        self.pass_time(20.0)
        self.assertEqual(len(self.world.server._connections.live), 1)

    def pass_time(self, seconds: float) -> None:
        """Let time go by, in which the witness lives on."""
        while seconds > 0:
            self.world.witness.ping()
            step = min(seconds, 5.0)
            self.world.reactor.pass_time(step)
            seconds -= step
        self.world.witness.ping()
