"""Whole streams of a server, changed on their way: only documented exceptions, no traceback, no hang, no memory claimed."""

from __future__ import annotations

import itertools
import tracemalloc
from collections.abc import Sequence
from random import Random
from typing import Any, cast

from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.defer import Deferred
from twisted.logger import ILogObserver, LogEvent, LogLevel, globalLogPublisher
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from txmirror.client import Limits, ZooKeeperClient
from txmirror.errors import ZooKeeperException
from txmirror.test.client.operations import OPERATIONS, ZXID
from txmirror.test.client.peer import (
    PASSWORD,
    SESSION,
    STAT,
    ClientTestCase,
    LongestPauses,
    Peer,
    S,
    Server,
    event,
    reply,
)
from txmirror.test.wire.strategies import CLAIMS, Damage, damages
from txmirror.testing import MemoryReactor
from txmirror.types import EventType, SessionEvent, SessionState, WatchedEvent
from txmirror.wire import (
    AUTH_XID,
    HARD_FRAME_LIMIT,
    PING_XID,
    ConnectResponse,
    GetDataRequest,
    GetDataResponse,
    encode_frame,
)
from txmirror.wire.jute import encode_int

MAX_REPLY = 300
GRANT = encode_frame(ConnectResponse(round(S * 1000), SESSION, PASSWORD, False).encode())
#: More calls at one instant than any of these conversations takes.
PATIENCE = 20_000

chunks = st.lists(st.integers(0, 3000), max_size=12)


class Conversation:
    """A client with a request of every kind in flight, and the server that answers.

    :ivar frames: the frames of a real server: a reply to each, the answers to a ping and to an identity, and events in
        between.
    :ivar told: the results of the Deferreds.
    """

    def __init__(self) -> None:
        self.reactor = MemoryReactor()
        self.reactor.patience = PATIENCE
        self.server = Server(self.reactor, "10.0.0.1")
        self.client = ZooKeeperClient(
            "10.0.0.1",
            session_timeout=S,
            limits=Limits(max_reply=MAX_REPLY),
            random=LongestPauses(),
            reactor=self.reactor,
        )
        self.feed: list[SessionEvent | WatchedEvent] = []
        self.client.add_listener(self.feed.append)
        self.told: list[Any] = []
        self.asked = 0
        self.expect(self.client.connect())
        self.peer = self.server.peer
        self.peer.answers_pings = False

    def expect(self, deferred: Deferred[Any]) -> None:
        self.asked += 1
        deferred.addBoth(self.told.append)

    def begin(self) -> list[bytes]:
        """Complete the handshake, send all requests, and return the frames that answer them."""
        self.peer.send(GRANT)
        self.reactor.pass_time(S / 3)
        frames = [reply(PING_XID)]
        for xid, asked in enumerate(OPERATIONS.values(), start=1):
            self.expect(asked.ask(self.client))
            frames.append(reply(xid, asked.answer, zxid=ZXID))
        self.expect(self.client.add_auth("digest", b"u:p"))
        frames.insert(5, reply(AUTH_XID, zxid=0))
        for place, kind in enumerate(EventType):
            frames.insert(4 * place + 7, event(kind, "/a", zxid=ZXID))
        large = len(OPERATIONS) + 1
        self.expect(self.client.get("/large"))
        frames.append(reply(large, GetDataResponse(bytes(MAX_REPLY), STAT), zxid=ZXID))
        self.expect(self.client.get("/small"))
        frames.append(reply(large + 1, GetDataResponse(b"", STAT), zxid=ZXID))
        self.reactor.settle()
        return frames

    def say(self, stream: bytes, cuts: Sequence[int]) -> None:
        """Let the server say this, in pieces."""
        places = [0, *sorted(cut % (len(stream) + 1) for cut in cuts), len(stream)]
        for start, stop in itertools.pairwise(places):
            if not self.peer.lost:
                self.peer.send(stream[start:stop])
                self.check_buffer()

    def check_buffer(self) -> None:
        connection = self.client._session._core.connection
        if connection is not None:
            assert connection.protocol.buffered < 4 + MAX_REPLY, "more is kept than a reply may be long"

    def end(self) -> None:
        """Let time go by, with a server that makes sense again; then close."""
        self.server.on_handshake = lambda peer: peer.transport.write(GRANT)  # type: ignore[union-attr]
        self.reactor.pass_time(S)
        self.expect(self.client.close())
        self.reactor.pass_time(5.0)


class FuzzTests(SynchronousTestCase):
    failures: list[LogEvent]

    def setUp(self) -> None:
        observer = cast(ILogObserver, self.observe)
        globalLogPublisher.addObserver(observer)
        self.addCleanup(globalLogPublisher.removeObserver, observer)

    def converse(self) -> Conversation:
        """Begin anew."""
        self.failures = []
        return Conversation()

    def observe(self, logged: LogEvent) -> None:
        if logged.get("log_failure") is not None or logged.get("log_level") is LogLevel.critical:
            self.failures.append(logged)

    def assert_sound(self, conversation: Conversation) -> None:
        """Assert that each Deferred has fired once, with a documented result, that nothing is left, and that no bug was
        logged.
        """
        self.assertEqual(len(conversation.told), conversation.asked)
        for result in conversation.told:
            if isinstance(result, Failure):
                self.assertIsInstance(result.value, ZooKeeperException, result.getTraceback())
        self.assertEqual(conversation.reactor.getDelayedCalls(), [])
        self.assertIs(conversation.client.session.state, SessionState.CLOSED)
        self.assertEqual(self.failures, [])
        # What was cut off is tried again with pauses, in the time that went by: never more often than every tenth of a second.
        self.assertLess(conversation.server.count, 60)

    def test_unchanged(self) -> None:
        """The conversation itself is a good one: everything is answered, in one piece and byte by byte."""
        for cuts in ([], list(range(20_000))):
            conversation = self.converse()
            frames = conversation.begin()
            conversation.say(b"".join(frames), cuts)
            results = [result for result in conversation.told if not isinstance(result, Failure)]
            self.assertEqual(len(results), conversation.asked - 1)
            self.assertEqual(len(conversation.feed), 1 + len(EventType))
            self.assertFalse(conversation.peer.lost)
            conversation.end()
            self.assert_sound(conversation)

    @given(st.lists(damages, min_size=1, max_size=4), chunks)
    def test_stream(self, changes: list[Damage], cuts: list[int]) -> None:
        """A stream that was changed anywhere, in any pieces."""
        conversation = self.converse()
        stream = b"".join(conversation.begin())
        for damage in changes:
            stream = damage.do(stream)
        conversation.say(stream, cuts)
        conversation.end()
        self.assert_sound(conversation)

    @given(st.lists(st.tuples(st.integers(0, 100), damages), min_size=1, max_size=4), chunks)
    def test_records(self, changes: list[tuple[int, Damage]], cuts: list[int]) -> None:
        """Frames with changed records and correct lengths: the error is inside the frame."""
        conversation = self.converse()
        frames = conversation.begin()
        for which, damage in changes:
            body = frames[which % len(frames)][4:]
            # Behind the header, most of the time.
            head = 16 if damage.size % 8 else 0
            frames[which % len(frames)] = encode_frame(body[:head] + damage.do(body[head:]))
        conversation.say(b"".join(frames), cuts)
        conversation.end()
        self.assert_sound(conversation)

    @given(
        st.lists(st.tuples(st.sampled_from(["twice", "gone", "moved"]), st.integers(0, 100), st.integers(0, 100))),
        chunks,
    )
    def test_order(self, changes: list[tuple[str, int, int]], cuts: list[int]) -> None:
        """Frames that come twice, never, or in another's place."""
        conversation = self.converse()
        frames = conversation.begin()
        for what, which, where in changes:
            source = which % max(1, len(frames))
            moved = frames[source : source + 1]
            if what != "twice":
                del frames[source : source + 1]
            if what != "gone":
                target = where % (len(frames) + 1)
                frames[target:target] = moved
        conversation.say(b"".join(frames), cuts)
        conversation.end()
        self.assert_sound(conversation)

    def test_numbers(self) -> None:
        """The first numbers of each record, mostly types and lengths, replaced by dangerous values."""
        for which in range(len(self.converse().begin())):
            for place in (16, 20):
                for claim in CLAIMS:
                    conversation = self.converse()
                    frames = conversation.begin()
                    body = frames[which][4:]
                    if place + 4 <= len(body):
                        frames[which] = encode_frame(body[:place] + encode_int(claim) + body[place + 4 :])
                        conversation.say(b"".join(frames), [])
                        conversation.end()
                        self.assert_sound(conversation)

    @given(st.lists(damages, max_size=3), st.binary(max_size=60), chunks)
    def test_handshake(self, changes: list[Damage], behind: bytes, cuts: list[int]) -> None:
        """A changed answer to the handshake, followed by any data."""
        conversation = self.converse()
        stream = GRANT + behind
        for damage in changes:
            stream = damage.do(stream)
        conversation.say(stream, cuts)
        conversation.end()
        self.assert_sound(conversation)

    @given(st.lists(st.binary(max_size=80), max_size=8))
    def test_anything(self, pieces: list[bytes]) -> None:
        """Arbitrary bytes after the handshake."""
        conversation = self.converse()
        conversation.begin()
        conversation.say(b"".join(pieces), [len(piece) for piece in pieces])
        conversation.end()
        self.assert_sound(conversation)


class MemoryTests(ClientTestCase):
    def assert_little(self, *pieces: bytes) -> Peer:
        """Assert that much less memory is allocated for these frames than their lengths claim."""
        client, peer = self.make_connected()
        for deferred in (client.get("/a"), client.get_children("/b"), client.get_acl("/c"), client.who_am_i()):
            deferred.addErrback(lambda _: None)
        self.settle()
        peer.packets.clear()
        tracemalloc.start()
        try:
            for piece in pieces:
                peer.send(piece)
            peak = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
        self.assertLess(peak, 2_000_000)
        return peer

    def test_frame(self) -> None:
        """A frame's length is believed for no byte that has not come: below the limits it waits, above them it ends (A1)."""
        for length in (2**31 - 1, HARD_FRAME_LIMIT + 1):
            self.assertTrue(self.assert_little(encode_int(length), bytes(1000)).lost)
        for length in (Limits().max_reply, HARD_FRAME_LIMIT):
            peer = self.assert_little(encode_int(length) + reply(1)[4:], bytes(1000))
            self.assertFalse(peer.lost)

    def test_oversized(self) -> None:
        """Nothing is kept of a frame that is over the limit, as it comes in (A1)."""
        piece = bytes(65536)
        client, peer = self.make_connected()
        large = client.get("/a")
        large.addErrback(lambda _: None)
        peer.take(GetDataRequest)
        peer.send(encode_int(HARD_FRAME_LIMIT) + reply(1)[4:])
        tracemalloc.start()
        try:
            for _ in range(200):
                peer.send(piece)
            peak = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
        self.assertTrue(large.called)
        self.assertFalse(peer.lost)
        self.assertLess(peak, 1_000_000)

    def test_records(self) -> None:
        """No memory is allocated for a length within a record, of any field (A1)."""
        for claim in CLAIMS:
            for xid in (1, 2, 3, 4):
                frames = [reply(before, asked) for before, asked in zip(range(1, xid), ANSWERS, strict=False)]
                self.assert_little(*frames, reply(xid, encode_int(claim) + Random(1).randbytes(200)))


#: To what is asked in ``assert_little``.
ANSWERS = [OPERATIONS[name].answer for name in ("get", "get_children", "get_acl")]
