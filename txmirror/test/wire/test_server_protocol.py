"""The server's side of a connection, driven by bytes that are made by hand."""

from __future__ import annotations

from typing import Any

import attrs
from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from txmirror.embedded.cursor import RequestCursor
from txmirror.errors import ProtocolError
from txmirror.test.hypothesis_profiles import at_most
from txmirror.test.wire.test_framing import split
from txmirror.types import ZnodeStat
from txmirror.wire import (
    AUTH_XID,
    EVENT_XID,
    PING_XID,
    REQUESTS,
    AuthRequest,
    ConnectRequest,
    ConnectResponse,
    Cursor,
    DeleteRequest,
    ExistsRequest,
    FrameDecoder,
    GetDataRequest,
    GetDataResponse,
    IncomingRequest,
    Operation,
    PingRequest,
    ReplyHeader,
    Request,
    RequestHeader,
    SaslRequest,
    ServerProtocol,
    WatcherEvent,
    encode_frame,
    request_frame,
)
from txmirror.wire.jute import encode_int

LIMIT = 1000
CONNECT = ConnectRequest(0, 4000, 0, bytes(16))
RESPONSE = ConnectResponse(4000, 0x1234, bytes(16))

requests = st.one_of(
    st.builds(GetDataRequest, st.text("/ab", max_size=5), st.booleans()),
    st.builds(DeleteRequest, st.text("/ab", max_size=5), st.integers(-1, 5)),
    st.builds(PingRequest),
    st.builds(AuthRequest, st.just("digest"), st.binary(max_size=5)),
)


def framed(request: Request, xid: int) -> bytes:
    """Return the frame of a request."""
    return request_frame(xid, request.operation, request.encode())


def connected() -> ServerProtocol:
    """Return the server's side of a connection after its handshake."""
    protocol = ServerProtocol(LIMIT)
    protocol.receive_data(encode_frame(CONNECT.encode()))
    assert protocol.next_event() == CONNECT
    protocol.connected(RESPONSE)
    return protocol


def received(protocol: ServerProtocol, *stream: bytes) -> list[RequestHeader]:
    """Return the headers of the requests in a stream."""
    protocol.receive_data(b"".join(stream))
    headers = []
    while (event := protocol.next_event()) is not None:
        assert isinstance(event, IncomingRequest)
        headers.append(event.header)
    return headers


def body(frame: bytes) -> bytes:
    """Return the one frame in these bytes, without its length."""
    (only,) = FrameDecoder(LIMIT).feed(frame)
    assert isinstance(only, bytes)
    return only


def reply_header(frame: bytes) -> ReplyHeader:
    return ReplyHeader.decode(Cursor(body(frame)))


class RequestTests(SynchronousTestCase):
    """From bytes to requests."""

    def test_handshake(self) -> None:
        """The first frame is the request of the handshake, and its answer has no header."""
        protocol = ServerProtocol(LIMIT)
        stream = encode_frame(CONNECT.encode())
        protocol.receive_data(stream[:-1])
        self.assertIsNone(protocol.next_event())
        self.assertEqual(protocol.frames.buffered, len(stream) - 1)
        protocol.receive_data(stream[-1:])
        self.assertEqual(protocol.next_event(), CONNECT)
        self.assertEqual(ConnectResponse.decode(Cursor(body(protocol.connected(RESPONSE)))), RESPONSE)

    def test_requests_with_the_handshake(self) -> None:
        """Requests that arrive with the handshake wait until it is answered."""
        protocol = ServerProtocol(LIMIT)
        protocol.receive_data(encode_frame(CONNECT.encode()) + framed(ExistsRequest("/", False), 1))
        self.assertEqual(protocol.next_event(), CONNECT)
        protocol.connected(RESPONSE)
        event = protocol.next_event()
        assert isinstance(event, IncomingRequest)
        self.assertEqual(event.header, RequestHeader(1, Operation.EXISTS))

    @at_most(60)
    @given(st.lists(requests, max_size=12), st.lists(st.integers(0, 400), max_size=20))
    def test_any_pieces(self, sent: list[Any], places: list[int]) -> None:
        """A stream that is cut anywhere contains the same requests, in the same order."""
        protocol = ServerProtocol(LIMIT)
        stream = encode_frame(CONNECT.encode()) + b"".join(framed(each, xid) for xid, each in enumerate(sent))
        events = []
        for piece in split(stream, places):
            protocol.receive_data(piece)
            while (event := protocol.next_event()) is not None:
                events.append(event)
                if event == CONNECT:
                    protocol.connected(RESPONSE)
        self.assertEqual(events[0], CONNECT)
        found = [each for each in events if isinstance(each, IncomingRequest)]
        self.assertEqual([each.header.xid for each in found], list(range(len(sent))))
        self.assertEqual([REQUESTS[each.header.type].decode(each.cursor) for each in found], sent)
        self.assertEqual((len(protocol.frames), protocol.frames.size, protocol.frames.buffered), (0, 0, 0))

    def test_pending(self) -> None:
        """Requests wait until asked for, and are counted with the lengths of their frames."""
        protocol = connected()
        stream = framed(ExistsRequest("/", False), 1) + framed(ExistsRequest("/a", False), 2)
        protocol.receive_data(stream)
        self.assertEqual((len(protocol.frames), protocol.frames.size), (2, len(stream)))
        protocol.next_event()
        self.assertEqual(len(protocol.frames), 1)
        protocol.frames.clear()
        self.assertEqual((len(protocol.frames), protocol.frames.size), (0, 0))
        self.assertIsNone(protocol.next_event())

    def test_cursor(self) -> None:
        """A server may read more than a client: it chooses the cursor."""
        protocol = ServerProtocol(LIMIT, RequestCursor)
        odd_boolean = encode_frame(CONNECT.encode()[:-1] + b"\x07")
        protocol.receive_data(odd_boolean)
        self.assertEqual(protocol.next_event(), attrs.evolve(CONNECT, readOnly=True))
        strict = ServerProtocol(LIMIT)
        strict.receive_data(odd_boolean)
        self.assertRaises(ProtocolError, strict.next_event)

    def test_every_operation(self) -> None:
        """Every operation has a request, which names it, and reads its own reply."""
        self.assertEqual(set(REQUESTS), set(Operation))
        for operation, kind in REQUESTS.items():
            self.assertEqual(kind.operation, operation)
            if kind.response is not None:
                self.assertTrue(callable(kind.response.decode))


class FaultTests(SynchronousTestCase):
    """Errors of the client."""

    def test_too_long(self) -> None:
        """A request over the limit is an error as soon as its head has arrived, after the requests before it."""
        protocol = connected()
        protocol.receive_data(framed(ExistsRequest("/", False), 1) + encode_int(LIMIT + 1) + bytes(16))
        self.assertIsInstance(protocol.next_event(), IncomingRequest)
        error = self.assertRaises(ProtocolError, protocol.next_event)
        self.assertIn(str(LIMIT + 1), str(error))
        self.assertEqual(protocol.frames.size, 0)

    def test_faulty_length(self) -> None:
        """A length that no frame has breaks the stream, after the requests before it."""
        protocol = connected()
        protocol.receive_data(framed(ExistsRequest("/", False), 1) + encode_int(-1))
        self.assertIsNone(protocol.frames.error)
        protocol.next_event()
        self.assertIsInstance(protocol.frames.error, ProtocolError)
        for _ in range(2):
            self.assertRaises(ProtocolError, protocol.next_event)

    def test_short_header(self) -> None:
        """A frame that is too short for its header is an error."""
        protocol = connected()
        protocol.receive_data(encode_frame(b"1234567"))
        self.assertRaises(ProtocolError, protocol.next_event)

    def test_faulty_handshake(self) -> None:
        """A handshake that cannot be decoded is an error."""
        protocol = ServerProtocol(LIMIT)
        protocol.receive_data(framed(PingRequest(), 1))
        self.assertRaises(ProtocolError, protocol.next_event)


class ReplyTests(SynchronousTestCase):
    """From replies to bytes."""

    def test_reply(self) -> None:
        """A reply has its request's xid, the server's zxid, and the record."""
        protocol = connected()
        (header,) = received(protocol, framed(GetDataRequest("/", False), 7))
        record = GetDataResponse(b"data", ZnodeStat._make([0] * 11))
        cursor = Cursor(body(protocol.reply(header, 99, record=record.encode())))
        self.assertEqual(ReplyHeader.decode(cursor), ReplyHeader(7, 99, 0))
        self.assertEqual(REQUESTS[header.type].response.decode(cursor), record)
        cursor.finish()

    def test_error(self) -> None:
        """An error is a header without a record."""
        protocol = connected()
        (header,) = received(protocol, framed(GetDataRequest("/", False), 7))
        self.assertEqual(body(protocol.reply(header, 99, -101)), ReplyHeader(7, 99, -101).encode())

    def test_order(self) -> None:
        """A reply out of order is a mistake of the server."""
        protocol = connected()
        first, second = received(protocol, *(framed(ExistsRequest("/", False), xid) for xid in (1, 2)))
        self.assertRaises(ValueError, protocol.reply, second, 1)
        self.assertEqual(reply_header(protocol.reply(first, 1)).xid, 1)
        self.assertRaises(ValueError, protocol.reply, first, 1)
        self.assertEqual(reply_header(protocol.reply(second, 1)).xid, 2)
        self.assertRaises(ValueError, protocol.reply, second, 1)

    def test_no_reply(self) -> None:
        """A request may be left without a reply, in its turn."""
        protocol = connected()
        first, second = received(protocol, *(framed(ExistsRequest("/", False), xid) for xid in (1, 2)))
        self.assertRaises(ValueError, protocol.skip, second)
        protocol.skip(first)
        self.assertEqual(reply_header(protocol.reply(second, 1)).xid, 2)

    def test_authentication(self) -> None:
        """Authentication is answered at any time, and under its own xid."""
        protocol = connected()
        first, auth, sasl = received(
            protocol,
            framed(ExistsRequest("/", False), 1),
            framed(AuthRequest("digest", b"a:b"), AUTH_XID),
            framed(SaslRequest(b""), 2),
        )
        self.assertEqual(reply_header(protocol.reply(sasl, 0)).xid, 2)
        self.assertEqual(reply_header(protocol.reply(auth, 0)).xid, AUTH_XID)
        self.assertEqual(reply_header(protocol.reply(first, 1)).xid, 1)

    def test_ping(self) -> None:
        """The reply to a ping has the xid of pings, whichever xid the client wrote."""
        protocol = connected()
        (header,) = received(protocol, framed(PingRequest(), 5))
        self.assertEqual(body(protocol.reply(header, 3)), ReplyHeader(PING_XID, 3, 0).encode())

    def test_event(self) -> None:
        """An event comes at any time, under the xid of events."""
        protocol = connected()
        received(protocol, framed(ExistsRequest("/", True), 1))
        event = WatcherEvent(1, 3, "/")
        for zxid in (-1, 17):
            cursor = Cursor(body(protocol.event(event, zxid)))
            self.assertEqual(ReplyHeader.decode(cursor), ReplyHeader(EVENT_XID, zxid, 0))
            self.assertEqual(WatcherEvent.decode(cursor), event)
