"""Both sides of the protocol against each other: each receives the records that the other has sent, in any pieces."""

from __future__ import annotations

from collections import deque
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from txmirror.test.hypothesis_profiles import at_most
from txmirror.test.wire import strategies
from txmirror.types import EventType
from txmirror.wire import (
    REQUESTS,
    AuthAnswer,
    AuthRequest,
    ClientProtocol,
    ConnectRequest,
    ConnectResponse,
    Create2Request,
    Create2Response,
    DeleteRequest,
    GetChildren2Request,
    GetChildren2Response,
    GetDataRequest,
    GetDataResponse,
    IncomingRequest,
    MultiRequest,
    MultiResponse,
    Operation,
    PathResponse,
    Pong,
    ReceivedEvent,
    ReceivedReply,
    Request,
    ServerProtocol,
    SetWatchesRequest,
    StatResponse,
    SyncRequest,
    WatcherEvent,
)

CONNECT = ConnectRequest(0, 4000, 0, bytes(16))
RESPONSE = ConnectResponse(4000, 0x1234, bytes(16))
CREDENTIALS = AuthRequest("digest", b"user:password")
LIMIT = 2**16

paths = st.lists(st.sampled_from("ab"), max_size=3).map(lambda names: "/" + "/".join(names))
deletes = st.builds(DeleteRequest, paths, strategies.int32s)
#: Requests, each with the record of its reply; None is an empty one.
exchanges = st.one_of(
    st.tuples(
        st.builds(GetDataRequest, paths, st.booleans()),
        st.builds(GetDataResponse, strategies.buffers, strategies.stats),
    ),
    st.tuples(
        st.builds(GetChildren2Request, paths, st.booleans()),
        st.builds(GetChildren2Response, strategies.lists_of_texts, strategies.stats),
    ),
    st.tuples(
        st.builds(Create2Request, paths, strategies.buffers, strategies.tuples_of_acls, st.integers(0, 3)),
        st.builds(Create2Response, paths, strategies.stats),
    ),
    st.tuples(
        st.builds(MultiRequest, st.tuples(deletes)),
        st.builds(MultiResponse, st.lists(st.builds(StatResponse, strategies.stats), max_size=2)),
    ),
    st.tuples(st.builds(SyncRequest, paths), st.builds(PathResponse, paths)),
    st.tuples(deletes, st.none()),
    st.tuples(st.builds(SetWatchesRequest, strategies.int64s, *[strategies.tuples_of_texts] * 3), st.none()),
)
errors = st.sampled_from([0, 0, 0, -101, -110])
events = st.tuples(st.sampled_from(EventType), paths, st.integers(-1, 100))
#: What either side does, and how many bytes travel in each direction.
steps = st.lists(
    st.one_of(
        st.tuples(st.just("request"), exchanges, errors),
        st.tuples(st.just("event"), events),
        st.tuples(st.sampled_from(["ping", "authenticate", "answer"])),
        st.tuples(st.sampled_from(["up", "down"]), st.integers(1, 200)),
    ),
    max_size=40,
)


class Sent:
    """A request of the client, with the reply that it expects."""

    def __init__(self, request: Request, record: Any, err: int) -> None:
        self.xid = 0
        self.request = request
        self.record = None if err else record
        self.err = err

    @property
    def operation(self) -> Operation:
        return self.request.operation

    @property
    def body(self) -> bytes:
        return self.request.encode()


class Pair:
    """A client and a server, with the bytes between them."""

    def __init__(self) -> None:
        self.client: ClientProtocol[Sent] = ClientProtocol(CONNECT, LIMIT, 1000, LIMIT)
        self.server = ServerProtocol(LIMIT)
        self.up = bytearray(self.client.handshake())
        self.down = bytearray()
        #: Requests sent whose reply has not arrived, and those that the server has not answered.
        self.expected: deque[Sent] = deque()
        self.unanswered: deque[IncomingRequest] = deque()
        self.zxid = 1
        self.counts = {Pong: 0, AuthAnswer: 0, ReceivedReply: 0}
        self.sent_events: list[tuple[int, str, int]] = []
        self.events: list[tuple[int, str, int]] = []
        self.answers: dict[int, Sent] = {}

    def send(self, request: Request, record: Any, err: int) -> None:
        sent = Sent(request, record, err)
        self.up += self.client.send(sent)
        self.expected.append(sent)
        self.answers[sent.xid] = sent

    def move_up(self, size: int) -> None:
        """Deliver bytes to the server. It answers authentication at once, and keeps the other requests."""
        self.server.receive_data(bytes(self.up[:size]))
        del self.up[:size]
        while (event := self.server.next_event()) is not None:
            if isinstance(event, ConnectRequest):
                assert event == CONNECT
                self.down += self.server.connected(RESPONSE)
            elif event.header.type == Operation.AUTH:
                assert AuthRequest.decode(event.cursor) == CREDENTIALS
                self.down += self.server.reply(event.header, 0)
            else:
                self.unanswered.append(event)

    def answer(self) -> None:
        """Answer the oldest request, if there is one."""
        if self.unanswered:
            header, cursor = self.unanswered.popleft()
            request = REQUESTS[header.type].decode(cursor)
            cursor.finish()
            self.zxid += 1
            if header.type == Operation.PING:
                self.down += self.server.reply(header, self.zxid)
            else:
                sent = self.answers[header.xid]
                assert request == sent.request
                record = b"" if sent.record is None else sent.record.encode()
                self.down += self.server.reply(header, self.zxid, sent.err, record)

    def notify(self, kind: EventType, path: str, zxid: int) -> None:
        self.down += self.server.event(WatcherEvent(kind, 3, path), zxid)
        self.sent_events.append((kind, path, zxid))

    def move_down(self, size: int) -> None:
        """Deliver bytes to the client, and check the records in them."""
        self.client.receive_data(bytes(self.down[:size]))
        del self.down[:size]
        while (event := self.client.next_event()) is not None:
            if isinstance(event, ConnectResponse):
                assert event == RESPONSE
            elif isinstance(event, ReceivedEvent):
                self.events.append((event.type, event.path, event.zxid))
            else:
                self.counts[type(event)] += 1
                if isinstance(event, ReceivedReply):
                    self.check(event)

    def check(self, reply: ReceivedReply[Sent]) -> None:
        """Check that a reply is the next, and has the record that the server sent."""
        sent = self.expected.popleft()
        assert reply.request is sent
        assert reply.err == sent.err
        assert reply.oversize is None
        if sent.record is not None:
            assert sent.request.response is not None
            assert sent.request.response.decode(reply.cursor) == sent.record
        reply.cursor.finish()


class ProtocolsTests(SynchronousTestCase):
    """The two machines, without a transport."""

    @at_most(150)
    @given(steps)
    def test_any_steps(self, taken: list[tuple[Any, ...]]) -> None:
        """Replies come in the order of the requests, events in theirs, and nothing is lost or left over."""
        pair = Pair()
        # The client sends nothing before the handshake is answered.
        pair.move_up(len(pair.up))
        pair.move_down(len(pair.down))
        self.assertTrue(pair.client.connected)
        pings = identities = requests = 0
        for step in taken:
            match step:
                case ("request", (request, record), err):
                    pair.send(request, record, err)
                    requests += 1
                case ("event", event):
                    pair.notify(*event)
                case ("ping",):
                    pair.up += pair.client.ping()
                    pings += 1
                case ("authenticate",):
                    pair.up += pair.client.authenticate(CREDENTIALS)
                    identities += 1
                case ("answer",):
                    pair.answer()
                case ("up", size):
                    pair.move_up(size)
                case ("down", size):
                    pair.move_down(size)
        pair.move_up(len(pair.up))
        while pair.unanswered:
            pair.answer()
        pair.move_down(len(pair.down))
        self.assertEqual(pair.counts, {Pong: pings, AuthAnswer: identities, ReceivedReply: requests})
        self.assertEqual(pair.events, pair.sent_events)
        self.assertEqual(list(pair.client.in_flight), [])
        self.assertEqual((pair.client.buffered, pair.server.frames.buffered), (0, 0))
        self.assertFalse(pair.expected)

    def test_many_in_one_piece(self) -> None:
        """Many requests in one piece are answered in one piece."""
        pair = Pair()
        pair.move_up(len(pair.up))
        pair.move_down(len(pair.down))
        for number in range(2000):
            pair.send(SyncRequest(f"/{number}"), PathResponse(f"/{number}"), 0)
        pair.move_up(len(pair.up))
        for _ in range(2000):
            pair.answer()
        pair.move_down(len(pair.down))
        self.assertEqual(pair.counts[ReceivedReply], 2000)

    def test_every_handshake_cut(self) -> None:
        """The handshake may be cut anywhere, on both ways."""
        length = len(Pair().up)
        for place in range(length + 1):
            pair = Pair()
            pair.move_up(place)
            pair.move_up(length)
            pair.move_down(place)
            self.assertIs(pair.client.connected, place >= len(pair.down) + place)
            pair.move_down(length)
            self.assertTrue(pair.client.connected)
