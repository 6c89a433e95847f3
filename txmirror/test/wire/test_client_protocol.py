"""The client's side of a connection, driven by bytes that are made by hand."""

from __future__ import annotations

import attrs
from twisted.trial.unittest import SynchronousTestCase

from txmirror.errors import ProtocolError
from txmirror.wire import (
    AUTH_XID,
    EVENT_XID,
    PING_XID,
    AuthAnswer,
    AuthRequest,
    ClientProtocol,
    ConnectRequest,
    ConnectResponse,
    Operation,
    Pong,
    ReceivedEvent,
    ReceivedReply,
    WatcherEvent,
    encode_frame,
    reply_frame,
)

LIMIT = 1000
CONNECT = ConnectRequest(0, 4000, 0, bytes(16))
RESPONSE = ConnectResponse(4000, 0x1234, bytes(16))


@attrs.define(eq=False)
class Asked:
    """A request."""

    operation: Operation = Operation.GET_DATA
    body: bytes = b"body"
    xid: int = 0


def make_protocol(requests: int = 4, size: int = 100, *, connected: bool = True) -> ClientProtocol[Asked]:
    """Return a protocol with a window of so many requests and bytes."""
    protocol: ClientProtocol[Asked] = ClientProtocol(CONNECT, LIMIT, requests, size)
    if connected:
        protocol.receive_data(encode_frame(RESPONSE.encode()))
        assert protocol.next_event() == RESPONSE
    return protocol


class HandshakeTests(SynchronousTestCase):
    def test_handshake(self) -> None:
        """The first frame is the handshake's answer."""
        protocol = make_protocol(connected=False)
        self.assertEqual(protocol.handshake(), encode_frame(CONNECT.encode()))
        self.assertEqual((protocol.connected, protocol.answered), (False, False))
        frame = encode_frame(RESPONSE.encode())
        protocol.receive_data(frame[:5])
        self.assertIsNone(protocol.next_event())
        self.assertEqual((protocol.connected, protocol.answered), (False, True))
        protocol.receive_data(frame[5:])
        self.assertEqual(protocol.next_event(), RESPONSE)
        self.assertTrue(protocol.connected)

    def test_too_long(self) -> None:
        """An answer over the limit is an error that shows its first bytes."""
        protocol = make_protocol(connected=False)
        protocol.receive_data(encode_frame(bytes(LIMIT + 1)))
        self.assertIn("1001 bytes long", str(self.assertRaises(ProtocolError, protocol.next_event)))


class ReplyTests(SynchronousTestCase):
    def reply(self, protocol: ClientProtocol[Asked], xid: int, *, zxid: int = 7, err: int = 0) -> Asked:
        protocol.receive_data(reply_frame(xid, zxid, err))
        event = protocol.next_event()
        assert isinstance(event, ReceivedReply)
        self.assertEqual((event.zxid, event.err, event.cursor.offset), (zxid, err, 16))
        return event.request

    def test_order(self) -> None:
        """Replies answer the requests in order."""
        protocol, asked = make_protocol(), [Asked(), Asked(), Asked()]
        for request in asked:
            protocol.send(request)
        self.assertEqual([request.xid for request in asked], [1, 2, 3])
        self.assertEqual([self.reply(protocol, xid) for xid in (1, 2, 3)], asked)

    def test_other_xid(self) -> None:
        """Another xid than that of the oldest request is an error that names both."""
        protocol = make_protocol()
        protocol.send(Asked())
        protocol.send(Asked())
        protocol.receive_data(reply_frame(2, 7))
        error = self.assertRaises(ProtocolError, protocol.next_event)
        self.assertEqual(str(error), "a reply has the xid 2; the next that is due: 1")

    def test_unimplemented(self) -> None:
        """The refusal of an unknown operation comes ahead of earlier replies."""
        protocol, first, second = make_protocol(), Asked(), Asked(Operation.MULTI_READ)
        protocol.send(first)
        protocol.send(second)
        self.assertIs(self.reply(protocol, 2, zxid=0, err=-6), second)
        self.assertEqual(protocol.unimplemented, {Operation.MULTI_READ})
        self.assertIs(self.reply(protocol, 1), first)
        self.assertEqual(protocol.unimplemented, set())

    def test_oversize(self) -> None:
        """A reply over the limit still answers its request, and has its length."""
        protocol, asked = make_protocol(), Asked()
        protocol.send(asked)
        protocol.receive_data(reply_frame(1, 7, 0, bytes(LIMIT)))
        event = protocol.next_event()
        assert isinstance(event, ReceivedReply)
        self.assertEqual((event.request, event.oversize), (asked, LIMIT + 16))

    def test_unanswered(self) -> None:
        """The requests in flight are left when the connection is lost."""
        protocol, asked = make_protocol(), [Asked(), Asked()]
        for request in asked:
            protocol.send(request)
        self.assertEqual(protocol.take_unanswered(), asked)
        self.assertEqual(protocol.take_unanswered(), [])

    def test_window(self) -> None:
        """The window is full at its bound, and has room again when half of it is free."""
        for protocol, count in ((make_protocol(requests=4), 4), (make_protocol(requests=100, size=48), 4)):
            for number in range(count):
                self.assertFalse(protocol.full)
                protocol.send(Asked())
                del number
            self.assertTrue(protocol.full)
            self.reply(protocol, 1)
            self.assertFalse(protocol.reopen_window())
            self.reply(protocol, 2)
            self.assertTrue(protocol.reopen_window())
            self.assertFalse(protocol.full)


class OtherEventTests(SynchronousTestCase):
    def test_event(self) -> None:
        """A watch event has no request."""
        protocol = make_protocol()
        protocol.receive_data(reply_frame(EVENT_XID, 9, 0, WatcherEvent(3, 3, "/a").encode()))
        self.assertEqual(protocol.next_event(), ReceivedEvent(3, "/a", 9))

    def test_wrong_path(self) -> None:
        """An event for something that is no path is an error."""
        protocol = make_protocol()
        protocol.receive_data(reply_frame(EVENT_XID, 9, 0, WatcherEvent(3, 3, "a").encode()))
        self.assertIn("no path", str(self.assertRaises(ProtocolError, protocol.next_event)))

    def test_pings_and_identities(self) -> None:
        """Each ping and each identity has one answer, and one more is an error."""
        protocol = make_protocol()
        for send, xid, answer in (
            (protocol.ping, PING_XID, Pong(9)),
            (lambda: protocol.authenticate(AuthRequest("digest", b"a:b")), AUTH_XID, AuthAnswer(0)),
        ):
            send()
            protocol.receive_data(reply_frame(xid, 9))
            self.assertEqual(protocol.next_event(), answer)
            protocol.receive_data(reply_frame(xid, 9))
            self.assertIn("not sent", str(self.assertRaises(ProtocolError, protocol.next_event)))

    def test_unknown_xid(self) -> None:
        """An xid that is reserved for nothing is an error."""
        protocol = make_protocol()
        protocol.receive_data(reply_frame(-3, 9))
        self.assertIn("unknown xid -3", str(self.assertRaises(ProtocolError, protocol.next_event)))

    def test_broken(self) -> None:
        """Frames before an invalid length are still returned; then the stream is broken."""
        protocol = make_protocol()
        protocol.ping()
        protocol.receive_data(reply_frame(PING_XID, 9) + b"\xff\xff\xff\xff")
        self.assertFalse(protocol.broken)
        self.assertEqual(protocol.next_event(), Pong(9))
        self.assertTrue(protocol.broken)
        self.assertRaises(ProtocolError, protocol.next_event)
