"""Hostile requests to a whole daemon's web application: no traceback, no bug, and all headers in every answer."""

from __future__ import annotations

import re
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from txmirror.service.daemon_application import make_root
from txmirror.test.service.case import DaemonTestCase, service
from txmirror.test.web.exchange import Exchange
from txmirror.web.site import AccessRules, AccessSite, TokenFile
from txmirror.web.site.requests import HEADERS

_STATUS = re.compile(rb"HTTP/1\.[01] ([0-9]{3}) [^\r\n]*\r\n((?:[^\r\n]*\r\n)*?)\r\n")
#: Names that are the daemon's own, or odd.
_SEGMENTS = st.sampled_from(
    [
        "v1", "v3", "services", "nodes", "daemon", "events", "history", "maintenance", "drain", "reload", "checks", "prometheus", "sd",
        "envoy", "eds", "discovery:endpoints", "openapi.json", "metrics", "healthz", "readyz", "static", "page.js", "web", "c0", "",
        ".", "..", "%2E%2E", "%2F", "%00", "%FF", "%C3%A4", "%", "%zz", "*", "a b", "\xff", "a" * 300, "%0d%0aX:1", "<script>", "+", ";",
    ]
)  # fmt: skip
_QUERIES = st.sampled_from(
    [
        "", "?", "?passing", "?index=1&wait=1s", "?index=-1&wait=-1", "?wait=1e999", "?index=" + "9" * 400, "?zone=%FF", "?label.=", "?label.a=b",
        "?service=web&service=web", "?x=1", "?after=0", "?after=%00", "?" + "&" * 2000, "?service=" + "a" * 5000, "?data.k=%7B", "?status=up",
    ]
)  # fmt: skip
_TARGETS = st.one_of(
    st.builds(lambda segments, query: "/" + "/".join(segments) + query, st.lists(_SEGMENTS, max_size=6), _QUERIES),
    st.sampled_from(
        ["*", "", "//", "http://localhost/v1/daemon", "http://evil/", "localhost:80", "/\x00", "?", "#", "/v1/daemon#x"]
    ),
    st.text(st.characters(max_codepoint=255, blacklist_characters="\r\n "), max_size=30),
)
_METHODS = st.sampled_from(
    [
        "GET",
        "GET",
        "GET",
        "HEAD",
        "PUT",
        "DELETE",
        "POST",
        "OPTIONS",
        "TRACE",
        "CONNECT",
        "PATCH",
        "get",
        "\xff",
        "G(T",
        "PRI",
    ]
)
_VERSIONS = st.sampled_from(["HTTP/1.1", "HTTP/1.1", "HTTP/1.0", "HTTP/2.0", "HTTP/0.9", "HTTP/1.1 x", "", "ICY"])
_HEADERS = st.lists(
    st.sampled_from(
        [
            "Host: localhost", "Host: localhost", "Host: evil.example", "Host: ", "Host: \xff", "Host: [::1]", "Origin: null", "Origin: \xff",
            "Origin: http://localhost", "Sec-Fetch-Site: cross-site", "Sec-Fetch-Site: same-origin", "Content-Type: text/plain",
            "Content-Type: multipart/form-data; boundary=\xff", "Content-Type: application/json", "Content-Length: 2", "Content-Length: 0",
            "Content-Length: 99999999999999999999", "Content-Length: -2", "Content-Length: 2, 2", "Transfer-Encoding: chunked",
            "Transfer-Encoding: identity, chunked", "Expect: 100-continue", "Expect: x", "Upgrade: websocket", "Connection: Upgrade",
            "Connection: close", "Upgrade: h2c", "Range: bytes=0-1", "Accept: application/openmetrics-text; version=1.0.0", "Accept: \xff",
            "If-None-Match: *", "If-None-Match: \xff", "Last-Event-ID: 1", "Last-Event-ID: \xff", "Authorization: Bearer x", "Cookie: =; \xff",
            "Authorization: Basic \xff", "Authorization: Basic eDp5", "Authorization: Bearer correct-horse-battery", " continued", "X", ": y",
            "X: " + "y" * 5000, "TE: trailers", "Accept-Encoding: gzip", "X-Forwarded-Host: evil",
        ]
    ),
    max_size=6,
)  # fmt: skip
_BODIES = st.sampled_from(
    [
        b"",
        b"{}",
        b"[]",
        b"2\r\n{}\r\n0\r\n\r\n",
        b"x\r\n",
        b"ffffffffff\r\n",
        b'{"reason": "x"}',
        b"\xff" * 50,
        b"[" * 5000,
        b'{"a": NaN}',
        b"0\r\nX: y\r\n\r\n",
    ]
)


@st.composite
def _requests(draw: st.DrawFn) -> bytes:
    """Return a request that is somewhat like one of HTTP."""
    lines = [f"{draw(_METHODS)} {draw(_TARGETS)} {draw(_VERSIONS)}", *draw(_HEADERS)]
    return "\r\n".join([*lines, "", ""]).encode("latin-1") + draw(_BODIES)


_STREAMS = st.one_of(st.lists(_requests(), min_size=1, max_size=3).map(b"".join), st.binary(max_size=300))


class FuzzTests(DaemonTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.server.listen(2181)
        self.client()
        self.web = self.daemon(service("web"), service("db", checks=0))
        self.root = make_root(self.web)
        token = self.folder / "token"
        token.write_text("correct-horse-battery")
        token.chmod(0o600)
        tokens = TokenFile(token, self.reactor)
        self.sites = [
            AccessSite(self.root, rules, reactor=self.reactor)
            for rules in (
                AccessRules(),
                AccessRules(hosts=None),
                AccessRules(reading=False, token=tokens),
                AccessRules(reading=False, certificates=True),
            )
        ]

    def check(self, site: AccessSite, pieces: list[bytes], *, goes: bool) -> bytes:
        """Send a connection's bytes in pieces, and check all answers."""
        exchange = Exchange(site, "")
        for piece in pieces:
            if not exchange.transport.disconnecting:
                exchange.protocol.dataReceived(piece)
        if goes:
            # In the middle of an answer.
            exchange.leave(ConnectionError())
        self.reactor.settle()
        if not goes:
            self.reactor.pass_time(3)
            exchange.leave(ConnectionError())
            self.reactor.settle()
        received: bytes = exchange.transport.value()
        self.assertEqual(self.flushLoggedErrors(), [])
        for found in _STATUS.finditer(received):
            status, head = int(found[1]), found[2].decode("latin-1").lower()
            self.assertNotEqual(status, 500, received[:500])
            if status >= 200:
                for name in HEADERS:
                    self.assertIn(f"{name.lower()}: ", head)
        return received

    def test_random(self) -> None:
        """Requests that are nearly right, cut into pieces, some of whose clients go at once."""

        @given(st.integers(0, 3), _STREAMS, st.lists(st.integers(0, 400), max_size=4), st.booleans())
        def run(number: int, data: bytes, cuts: list[int], goes: bool) -> None:
            places = [0, *sorted(cut for cut in cuts if cut < len(data)), len(data)]
            pieces = [data[begin:end] for begin, end in pairwise(places)]
            self.check(self.sites[number], pieces, goes=goes)
            # Nobody could change anything without the token.
            self.assertFalse(self.web.supervisor.drained and b"correct-horse" not in data)
            self.web.supervisor.undo_drain()

        run()

    def test_bytes(self) -> None:
        """Any bytes."""

        @given(st.binary(max_size=2000))
        def run(data: bytes) -> None:
            self.check(self.sites[0], [data], goes=False)

        run()

    def test_every_route(self) -> None:
        """Each method at each route, with each odd header."""
        paths = [
            "/", "/static/page.js", "/static/page.css", "/v1/services", "/v1/services/web", "/v1/services/%FF", "/v1/services/a%2Fb",
            "/v1/services/web/history", "/v1/nodes/", "/v1/nodes/services", "/v1/nodes/%00", "/v1/nodes/a%2Fb", "/v1/nodes//", "/v1/events",
            "/v1/daemon", "/v1/daemon/services/..", "/v1/daemon/services/web", "/v1/daemon/services/web/checks/c0", "/v1/daemon/maintenance",
            "/v1/daemon/maintenance/*", "/v1/daemon/drain", "/v1/daemon/reload", "/v1/prometheus/sd", "/v3/discovery:endpoints", "/v1/envoy/eds",
            "/v1/openapi.json", "/metrics", "/healthz", "/readyz",
        ]  # fmt: skip
        odd = (
            "Accept: \xff",
            "If-None-Match: \xff",
            "Last-Event-ID: \xff",
            "Range: bytes=0-",
            "Upgrade: websocket",
            "Cookie: \xff",
        )
        for path in paths:
            for method in ("GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "TRACE"):
                lines = [f"{method} {path} HTTP/1.1", "Host: localhost", "Content-Length: 2", *odd, "", "{}"]
                received = self.check(self.sites[0], ["\r\n".join(lines).encode("latin-1")], goes=False)
                self.assertNotEqual(received, b"", (method, path))
        self.assertFalse(self.web.supervisor.drained)
