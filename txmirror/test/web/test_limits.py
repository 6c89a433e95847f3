"""The limits of a site's connections: sizes, times, requests at once, and malformed requests."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.logger import globalLogPublisher
from twisted.trial.unittest import SynchronousTestCase

from txmirror.test.service.case import Log
from txmirror.test.web.exchange import Exchange, Response
from txmirror.web import Application
from txmirror.web.site import AccessRules, AccessSite
from txmirror.web.site.limits import ConnectionLimit
from txmirror.web.site.requests import HEADERS

_GET = "GET /a HTTP/1.1\r\nHost: a\r\n\r\n"
_LIMIT = 64 * 1024


class LimitsTestCase(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock: Any = Clock()
        self.waiting: list[Deferred[object]] = []
        application = Application()
        application.get("/a", lambda call: {})
        application.put("/a", lambda call: {"keys": len(call.body)})
        application.post("/a", lambda call: {"keys": len(call.body)})
        application.get("/wait", self.wait)
        self.site = AccessSite(application.resource(), AccessRules(hosts=None, changing=True), reactor=self.clock)

    def wait(self, call: object) -> Deferred[object]:
        self.waiting.append(Deferred())
        return self.waiting[-1]

    def connect(self, head: str = "", body: bytes = b"") -> Exchange:
        return Exchange(self.site, head, body)

    def send(self, exchange: Exchange, data: bytes) -> None:
        """Send bytes, as long as the connection is open."""
        if not exchange.transport.disconnecting:
            exchange.protocol.dataReceived(data)

    def refused(self, exchange: Exchange, status: int) -> Response:
        """Check that there is one answer, with all headers, and that the connection is closed."""
        response = exchange.response
        self.assertEqual(response.status, status)
        for name, value in HEADERS.items():
            self.assertEqual(response.headers[name.lower()], value)
        self.assertEqual(response.headers["content-length"], str(len(response.content)))
        self.assertTrue(exchange.transport.disconnecting)
        self.assertEqual(len(response.errors), 1)
        return response


class HeaderTests(LimitsTestCase):
    def test_policy(self) -> None:
        """A browser runs only the site's own scripts and styles, none of which is inline, and shows them in no other page."""
        policy = self.connect(_GET).response.headers["content-security-policy"]
        directives = dict(each.strip().split(" ", 1) for each in policy.split(";"))
        own, none = "'self'", "'none'"
        self.assertEqual(
            directives,
            {
                "default-src": none,
                "script-src": own,
                "style-src": own,
                "connect-src": own,
                "img-src": "'self' data:",
                "base-uri": none,
                "form-action": none,
                "frame-ancestors": none,
            },
        )

    def test_others(self) -> None:
        """An answer has the type that it says, is not for other sites, and links to others do not name the page."""
        headers = self.connect(_GET).response.headers
        for name, value in (
            ("x-content-type-options", "nosniff"),
            ("referrer-policy", "no-referrer"),
            ("cross-origin-resource-policy", "same-origin"),
            ("cross-origin-opener-policy", "same-origin"),
        ):
            self.assertEqual(headers[name], value)


class BodyTests(LimitsTestCase):
    def put(self, length: int, *headers: str) -> str:
        lines = ["PUT /a HTTP/1.1", "Host: a", f"Content-Length: {length}", *headers]
        return "\r\n".join(lines) + "\r\n\r\n"

    def test_longest(self) -> None:
        """A body of the longest length is read, and one more byte is refused. The connection goes on."""
        body = b'{"a": "' + b"x" * (_LIMIT - 9) + b'"}'
        self.assertEqual(self.connect(self.put(_LIMIT), body).response.value, {"keys": 1})
        exchange = self.connect(self.put(_LIMIT + 1), body + b" ")
        self.assertEqual(exchange.response.status, 413)
        exchange.transport.clear()
        self.send(exchange, _GET.encode())
        self.assertEqual(exchange.response.status, 200)

    def test_question(self) -> None:
        """A question by POST may be longer: Envoy describes itself in it."""
        body = b'{"a": "' + b"x" * (2**20 - 9) + b'"}'
        head = self.put(2**20).replace("PUT", "POST", 1)
        self.assertEqual(self.connect(head, body).response.value, {"keys": 1})
        longer = head.replace(str(2**20), str(2**20 + 1))
        self.assertEqual(self.connect(longer, body + b" ").response.status, 413)
        self.refused(self.connect(longer.replace("Host: a", "Host: a\r\nExpect: 100-continue")), 413)

    def test_kept(self) -> None:
        """No more than the limit is kept in memory."""
        exchange = self.connect(self.put(2**20))
        for _ in range(15):
            self.send(exchange, b"x" * 2**16)
        self.assertFalse(exchange.answered)
        kept = exchange.protocol.requests[0].content
        self.assertEqual(len(kept.getvalue()), _LIMIT + 1)

    def test_far_too_long(self) -> None:
        """A client that goes on for ever is disconnected."""
        for head, chunk in (
            (self.put(2**40), b"x" * 2**16),
            ("PUT /a HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n", b"10000\r\n" + b"x" * 2**16 + b"\r\n"),
        ):
            exchange = self.connect(head)
            for _ in range(40):
                self.send(exchange, chunk)
            response = self.refused(exchange, 413)
            self.assertEqual(response.errors, ["the body has more than 65536 bytes"])

    def test_long_questions(self) -> None:
        """A question by POST may be longer, but there are only some such bodies in memory at a time, on all connections."""
        head = "POST /a HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000\r\n\r\n"
        exchanges = [self.connect(head, b" " * 100_000) for _ in range(17)]
        response = self.refused(exchanges[16], 503)
        self.assertEqual(response.errors, ["there are too many long bodies at the moment"])
        self.assertFalse(any(exchange.answered for exchange in exchanges[:16]))
        exchanges[0].leave(ConnectionError())
        self.send(exchanges[1], b" " * 899_998 + b"{}")
        self.assertEqual(exchanges[1].response.status, 200)
        self.assertEqual(self.site.large_bodies, 14)
        self.assertFalse(self.connect(head, b" " * 100_000).answered)

    def test_expect(self) -> None:
        """A client that asks first gets permission, or the refusal."""
        allowed = self.connect(self.put(2, "Expect: 100-continue"))
        self.assertEqual(allowed.transport.value(), b"HTTP/1.1 100 Continue\r\n\r\n")
        allowed.transport.clear()
        self.send(allowed, b"{}")
        self.assertEqual(allowed.response.status, 200)
        self.refused(self.connect(self.put(_LIMIT + 1, "Expect: 100-continue")), 413)

    def test_chunked(self) -> None:
        """A body in chunks is read."""
        exchange = self.connect("PUT /a HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n")
        for chunk in (b'3\r\n{"a', b'\r\n4;x=y\r\n":1}\r\n0\r\n', b"\r\n"):
            self.send(exchange, chunk)
        self.assertEqual(exchange.response.value, {"keys": 1})


class MalformedTests(LimitsTestCase):
    def test_malformed(self) -> None:
        """Malformed requests are refused with all headers."""
        for request in (
            "GET\r\n\r\n",
            "GET /a\r\n\r\n",
            "GET /a HTTP/1.1 x\r\n\r\n",
            "GET /a HTTP/1.1\r\nHost\r\n\r\n",
            "GET /a HTTP/1.1\r\n: a\r\n\r\n",
            "PUT /a HTTP/1.1\r\nHost: a\r\nContent-Length: -1\r\n\r\n",
            "PUT /a HTTP/1.1\r\nHost: a\r\nContent-Length: x\r\n\r\n",
            "PUT /a HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
            "PUT /a HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
            "PUT /a HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip\r\n\r\n",
            "PUT /a HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nx\r\n",
        ):
            self.refused(self.connect(request), 400)

    def test_long_headers(self) -> None:
        """Headers of more than 16 KiB or 100 lines are refused, and so is a line without end."""
        for request in (
            f"GET /{'a' * 20_000} HTTP/1.1\r\nHost: a\r\n\r\n",
            "GET /a HTTP/1.1\r\nHost: a\r\n" + "X: y\r\n" * 101 + "\r\n",
            "GET /a HTTP/1.1\r\nHost: a\r\n" + f"X: {'y' * 1000}\r\n" * 17 + "\r\n",
            "x" * 20_000,
        ):
            self.refused(self.connect(request), 400)


class TimeTests(LimitsTestCase):
    def test_slow_headers(self) -> None:
        """A request must be complete 30 s after its first byte, however often a byte comes."""
        exchange = self.connect("GET")
        for _ in range(29):
            self.clock.advance(1)
            self.send(exchange, b" ")
        self.assertFalse(exchange.transport.disconnecting)
        self.clock.advance(1)
        self.assertTrue(exchange.transport.disconnecting)
        self.assertFalse(exchange.answered)

    def test_slow_body(self) -> None:
        """Likewise with its body."""
        exchange = self.connect("PUT /a HTTP/1.1\r\nHost: a\r\nContent-Length: 1000\r\n\r\n")
        for _ in range(30):
            self.clock.advance(1)
            self.send(exchange, b" ")
        self.assertTrue(exchange.transport.disconnecting)

    def test_idle(self) -> None:
        """Between two requests there are 30 s, and then 30 s for the next one."""
        exchange = self.connect(_GET)
        for _ in range(3):
            self.clock.advance(29)
            self.send(exchange, b"GET /a")
            self.clock.advance(29)
            self.send(exchange, b" HTTP/1.1\r\nHost: a\r\n\r\n")
            self.assertFalse(exchange.transport.disconnecting)
        self.clock.advance(30)
        self.assertTrue(exchange.transport.disconnecting)

    def test_never_a_byte(self) -> None:
        """A client that sends nothing is disconnected; one that does not go then is cut."""
        exchange = self.connect()
        self.clock.advance(30)
        self.assertTrue(exchange.transport.disconnecting)
        self.assertFalse(exchange.transport.disconnected)
        self.clock.advance(15)
        self.assertTrue(exchange.transport.disconnected)

    def test_answer(self) -> None:
        """An answer may take long, as a stream does."""
        exchange = self.connect("GET /wait HTTP/1.1\r\nHost: a\r\n\r\n")
        self.clock.advance(3600)
        self.assertFalse(exchange.transport.disconnecting)
        self.waiting[0].callback({})
        self.assertEqual(exchange.response.status, 200)
        self.clock.advance(30)
        self.assertTrue(exchange.transport.disconnecting)


class AtOnceTests(LimitsTestCase):
    def test_pipelined(self) -> None:
        """Some requests may come at once. A client with more is disconnected, so that a turn of the reactor stays short."""
        exchange = self.connect(_GET * 15)
        self.assertEqual(exchange.transport.value().count(b"HTTP/1.1 200"), 15)
        self.assertFalse(exchange.transport.disconnecting)
        self.clock.advance(0)
        many = self.connect(_GET * 1000)
        self.assertEqual(many.transport.value().count(b"HTTP/1.1 200"), 16)
        self.assertTrue(many.transport.disconnecting)

    def test_behind_a_slow_one(self) -> None:
        """Requests behind one that is not answered yet wait in bounded memory."""
        exchange = self.connect("GET /wait HTTP/1.1\r\nHost: a\r\n\r\n")
        self.send(exchange, _GET.encode() * 1000)
        self.assertEqual(exchange.transport.producerState, "paused")
        self.waiting[0].callback({})
        self.assertEqual(exchange.transport.value().count(b"HTTP/1.1 200"), 1 + 16)
        self.assertTrue(exchange.transport.disconnecting)

    def test_connections(self) -> None:
        """More connections than the limit are closed, with one line in the log until most are gone."""
        log = Log()
        globalLogPublisher.addObserver(log)
        self.addCleanup(globalLogPublisher.removeObserver, log)
        limit = ConnectionLimit(self.site, 4, "The page")
        for _ in range(2):
            log.lines.clear()
            exchanges = [Exchange(limit, _GET) for _ in range(4)]
            self.assertIsNone(limit.buildProtocol(None))
            self.assertIsNone(limit.buildProtocol(None))
            self.assertEqual(len(log.about("The page: there are 4 connections")), 1)
            for exchange in exchanges:
                self.assertEqual(exchange.response.status, 200)
                exchange.leave(ConnectionError())
            self.assertEqual(len(limit.protocols), 0)
