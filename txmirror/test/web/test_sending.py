"""Answers to clients that read slowly or not at all: they cost little memory, and are ended."""

from __future__ import annotations

from typing import Any

from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.trial.unittest import SynchronousTestCase

from txmirror.test.web.exchange import Response, parse_response
from txmirror.web import Application
from txmirror.web.calls import Answer
from txmirror.web.site import AccessRules, AccessSite
from txmirror.web.site.sending import PIECE, WaitingAnswers

_LONG = b"x" * (10 * PIECE + 1)


class SlowTransport(StringTransport):
    """A transport whose client reads when the test says so. It pauses its producer as a socket does."""

    def __init__(self) -> None:
        super().__init__()
        self.received = b""

    def write(self, data: bytes) -> None:
        super().write(data)
        if len(self.value()) > PIECE and self.producer is not None:
            self.producer.pauseProducing()

    def writeSequence(self, data: Any) -> None:
        self.write(b"".join(data))

    def read(self) -> None:
        """Read all that was written."""
        self.received += self.value()
        self.clear()
        if self.producer is not None:
            self.producer.resumeProducing()


class SendingTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock: Any = Clock()
        application = Application()
        application.get("/long", lambda call: Answer(_LONG))
        application.get("/own", lambda call: Answer(bytes(bytearray(_LONG))))
        application.get("/short", lambda call: {"a": 1})
        self.site = AccessSite(application.resource(), AccessRules(hosts=None), reactor=self.clock)

    def tearDown(self) -> None:
        self.assertEqual(self.site.waiting_answers.size, 0)

    def connect(self, *paths: str, version: str = "1.1", method: str = "GET") -> tuple[Any, SlowTransport]:
        """Send requests at once."""
        protocol: Any = self.site.buildProtocol(None)
        transport = SlowTransport()
        protocol.makeConnection(transport)
        self.addCleanup(self.leave, protocol)
        protocol.dataReceived("".join(f"{method} {path} HTTP/{version}\r\nHost: a\r\n\r\n" for path in paths).encode())
        return protocol, transport

    def leave(self, protocol: Any) -> None:
        protocol.connectionLost(ConnectionError())

    def read_all(self, transport: SlowTransport) -> bytes:
        while transport.value():
            transport.read()
        return transport.received

    def response(self, transport: SlowTransport) -> Response:
        return parse_response(self.read_all(transport))

    def test_pieces(self) -> None:
        """A long answer is written as fast as the client reads: no more than a piece waits beyond the full buffer."""
        _, transport = self.connect("/long")
        most = 0
        while transport.value():
            most = max(most, len(transport.value()))
            transport.read()
        self.assertLess(most, 3 * PIECE)
        response = parse_response(transport.received)
        self.assertEqual((response.status, response.content), (200, _LONG))

    def test_pipelined(self) -> None:
        """Further requests of a client that does not read wait, also short ones, and their answers come in order."""
        _, transport = self.connect("/long", "/short", "/own", "/short")
        self.assertLess(len(transport.value()), 3 * PIECE)
        text = self.read_all(transport)
        self.assertEqual(text.count(b"HTTP/1.1 200 OK"), 4)
        self.assertEqual(text.count(_LONG), 2)
        self.assertTrue(text.endswith(b'{"a": 1}\n'), text[-40:])

    def test_head(self) -> None:
        """HEAD has no content."""
        response = self.response(self.connect("/long", method="HEAD")[1])
        self.assertEqual((response.headers["content-length"], response.content), (str(len(_LONG)), b""))

    def test_stalled(self) -> None:
        """A client that reads nothing of a long answer for a minute is disconnected; one that reads now and then is not."""
        _, transport = self.connect("/long")
        for _ in range(3):
            self.clock.advance(59)
            self.assertFalse(transport.disconnected)
            transport.read()
        self.clock.advance(60)
        self.assertTrue(transport.disconnected)

    def test_last_request(self) -> None:
        """A connection that is to be closed after the answer is cut if the client does not read the answer."""
        for path in ("/short", "/long"):
            _, transport = self.connect(path, version="1.0")
            for _ in range(20 if path == "/long" else 0):
                # The last piece is not read.
                if transport.disconnecting:
                    break
                transport.read()
            self.assertTrue(transport.disconnecting)
            self.assertFalse(transport.disconnected)
            self.clock.advance(30)
            self.clock.advance(15)
            self.assertTrue(transport.disconnected, path)

    def test_bound(self) -> None:
        """The answers that wait have a bound; an answer to many clients counts once, and clients that go make room."""
        self.site.waiting_answers = WaitingAnswers(3 * len(_LONG))
        shared = [self.connect("/long") for _ in range(10)]
        own = [self.connect("/own") for _ in range(3)]
        self.assertEqual(self.site.waiting_answers.size, 3 * len(_LONG))
        refused = self.response(own[2][1])
        self.assertEqual((refused.status, refused.headers["retry-after"]), (503, "5"))
        self.assertEqual(refused.errors, ["too many long answers wait for slow clients at the moment"])
        self.assertEqual(self.response(self.connect("/short")[1]).status, 200)
        self.leave(own[0][0])
        self.assertEqual(self.response(self.connect("/own")[1]).content, _LONG)
        for protocol, _ in shared:
            self.leave(protocol)
        self.assertEqual(self.site.waiting_answers.size, len(_LONG))
        self.assertEqual(self.response(own[1][1]).content, _LONG)

    def test_gone(self) -> None:
        """A client that goes in the middle of an answer leaves nothing behind."""
        protocol, transport = self.connect("/long")
        transport.read()
        self.leave(protocol)
        # The next turn, for further requests.
        self.clock.advance(0)
        self.assertEqual(self.site.waiting_answers.size, 0)
        self.assertEqual(self.clock.getDelayedCalls(), [])
