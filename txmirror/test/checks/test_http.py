"""A check by an HTTP request: in memory, and over TLS on loopback."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

from twisted.internet import ssl
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import ITransport
from twisted.trial.unittest import SynchronousTestCase, TestCase
from twisted.web.http import Request
from twisted.web.resource import IResource
from twisted.web.server import NOT_DONE_YET, Site
from zope.interface import implementer
from zope.interface.verify import verifyObject

from txmirror import checks
from txmirror.checks import HTTPCheck, ICheck, Result, Status
from txmirror.test.certificates import Authority
from txmirror.test.checks.case import ChecksTestCase, step
from txmirror.test.checks.test_tcp import ServerFactory
from txmirror.testing.reactor import MemoryReactor


@implementer(IResource)
class Pages:
    """The pages of a server.

    :ivar requests: the requests that arrived.
    """

    isLeaf = True
    server: Any = None

    def __init__(self) -> None:
        self.requests: list[Any] = []

    def render(self, request: Any) -> Any:
        self.requests.append(request)
        path = request.path.decode()
        if path == "/silent":
            return NOT_DONE_YET
        if path == "/endless":
            request.write(b"x" * 100_000)
            return NOT_DONE_YET
        if path == "/half":
            request.write(b"half")
            return NOT_DONE_YET
        if path.startswith("/to/"):
            request.setResponseCode(302)
            request.setHeader(b"location", path[3:].encode())
            return b""
        request.setResponseCode(int(path[1:] or 200))
        return b"status: \xff healthy"

    def putChild(self, path: bytes, child: IResource) -> None:
        raise NotImplementedError

    def getChildWithDefault(self, name: bytes, request: Request) -> IResource:
        raise NotImplementedError


def make_site(reactor: Any, pages: Pages) -> Any:
    """Return the factory of a server."""
    site: Any = Site(pages, reactor=reactor)
    site.noisy = False
    return site


class HTTPTests(ChecksTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.pages = Pages()
        self.port = self.reactor.listenTCP(80, make_site(self.reactor, self.pages))
        self.addCleanup(self.port.stopListening)

    def probe(self, path: str = "/", **options: Any) -> Result:
        """Return the result of one probe, which leaves no connection."""
        running = HTTPCheck(f"http://127.0.0.1{path}", reactor=self.reactor, **options).run()
        self.reactor.settle()
        result = self.successResultOf(running)
        self.assertEqual(self.reactor.links, [])
        return result

    def test_ok(self) -> None:
        check = HTTPCheck("http://127.0.0.1/", reactor=self.reactor)
        self.assertTrue(verifyObject(ICheck, check))
        self.assertEqual((check.kind, check.description), ("http", "http GET http://127.0.0.1/"))
        for self.reactor.piece in (None, 1):
            self.assertEqual(self.probe(), Result(Status.OK, "status 200\nstatus: \\xff healthy"))

    def test_statuses(self) -> None:
        """2xx is ok, 429 is a warning, and all else a failure, unless other statuses are expected."""
        for code, status in ((204, "ok"), (299, "ok"), (429, "warn"), (404, "fail"), (500, "fail"), (304, "fail")):
            self.assertEqual(self.probe(f"/{code}").status.value, status)
        self.assertEqual(self.probe("/404").line, "status 404")
        for code, status in ((200, "fail"), (401, "ok"), (429, "ok"), (503, "ok")):
            self.assertEqual(self.probe(f"/{code}", expect_status=["401", "429", "5XX"]).status.value, status)

    def test_body(self) -> None:
        """The body must contain a text, or match a regular expression."""
        self.assertIs(self.probe(expect_body="healthy").status, Status.OK)
        self.assertIs(self.probe(expect_body_regex="^status: .* h.a").status, Status.OK)
        self.assertEqual(self.probe(expect_body="sick").line, "status 200, but the body has no 'sick'")
        self.assertEqual(
            self.probe(expect_body_regex="s[i]ck").line, "status 200, but the body does not match 's[i]ck'"
        )

    def test_request(self) -> None:
        """The method and the headers are sent; each probe has a connection of its own, which the server may close."""
        self.probe("/", method="HEAD", headers={"x-check": "1", "Host": "example.org"})
        (request,) = self.pages.requests
        self.assertEqual(request.method, b"HEAD")
        self.assertEqual(request.getHeader(b"x-check"), b"1")
        self.assertEqual(request.getHeader(b"host"), b"example.org")
        self.assertEqual(request.getHeader(b"connection"), b"close")

    def test_redirects(self) -> None:
        """A redirect is a failure, unless it is to be followed."""
        self.assertEqual(self.probe("/to/200").line, "status 302")
        self.assertEqual(self.probe("/to/to/200", follow=True).line, "status 200")
        self.assertEqual(self.probe("/to/503", follow=True).line, "status 503")

    def test_ipv6(self) -> None:
        check = HTTPCheck("http://[::1]/", reactor=self.reactor)
        running = check.run()
        self.reactor.settle()
        self.assertIs(self.successResultOf(running).status, Status.OK)
        self.assertEqual(self.pages.requests[0].getHeader(b"host"), b"[::1]")

    def test_name(self) -> None:
        """A host with several addresses is reached at the one that listens."""
        self.reactor.nameResolver.names["web"] = ["127.0.0.2", "127.0.0.1"]  # type: ignore[attr-defined]
        self.reactor.black_hole("127.0.0.2", 80)
        running = HTTPCheck("http://web/", reactor=self.reactor).run()
        self.reactor.pass_time(1)
        self.assertIs(self.successResultOf(running).status, Status.OK)
        self.assertEqual(self.reactor.links, [])

    def test_large(self) -> None:
        """64 KiB of the body are read, and the connection is aborted."""
        result = self.probe("/endless", expect_body="y")
        self.assertIs(result.status, Status.FAIL)
        self.assertIs(self.probe("/endless", expect_body_regex="^x{65536}$").status, Status.OK)

    def test_no_response(self) -> None:
        self.port.stopListening()
        result = self.probe()
        self.assertIs(result.status, Status.FAIL)
        self.assertRegex(result.output, "^no response: .*refused")

    def test_connection_lost(self) -> None:
        """A connection that ends before the headers, or within the body, is a failure."""
        for path in ("/silent", "/half"):
            running = HTTPCheck(f"http://127.0.0.1{path}", reactor=self.reactor).run()
            self.reactor.settle()
            self.assertNoResult(running)
            self.reactor.links[0].cut()
            self.reactor.settle()
            result = self.successResultOf(running)
            self.assertIs(result.status, Status.FAIL)
            self.assertRegex(result.output, "^no response: .*[Cc]onnection")

    def test_cancelled(self) -> None:
        """Cancelled at any step, it leaves no connection."""
        for path in ("/silent", "/half", "/to/to/silent"):
            for steps in range(40):
                running = HTTPCheck(f"http://127.0.0.1{path}", follow=True, reactor=self.reactor).run()
                step(self.reactor, steps)
                running.cancel()
                self.reactor.settle()
                running.addErrback(lambda failure: failure.trap(CancelledError))
                self.successResultOf(running)
                self.assertEqual(self.reactor.links, [])

    def test_invalid(self) -> None:
        cases: tuple[tuple[str, dict[str, Any]], ...] = (
            ("ftp://127.0.0.1/", {}),
            ("http://", {}),
            ("http://[::1/", {}),
            ("http://127.0.0.1:x/", {}),
            ("http://127.0.0.1/a b", {}),
            ("http://user:secret@127.0.0.1/", {}),
            ("http://127.0.0.1/", {"expect_status": ["2x"]}),
            ("http://127.0.0.1/", {"expect_status": []}),
            ("http://127.0.0.1/", {"expect_status": "200"}),
            ("http://127.0.0.1/", {"expect_body_regex": "("}),
            ("https://127.0.0.1/", {"ca_file": "/no/such/file"}),
        )
        for url, options in cases:
            self.assertRaises(ValueError, HTTPCheck, url, reactor=self.reactor, **options)


class ExportTests(SynchronousTestCase):
    def test_names(self) -> None:
        """Every exported name is there, and another name raises AttributeError."""
        for name in checks.__all__:
            self.assertIsNotNone(getattr(checks, name))
        self.assertRaises(AttributeError, getattr, checks, "no_such_name")

    def test_missing_packages(self) -> None:
        """Without the packages of its extra, only the check by HTTP cannot be imported, and the message names the extra."""
        program = (
            "import sys; sys.modules['treq.client'] = sys.modules['OpenSSL'] = None\n"
            "from txmirror import checks; checks.TCPCheck\n"
            "try: checks.HTTPCheck\n"
            "except ImportError as error: print(error)"
        )
        done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60)
        self.assertEqual(done.stdout, "HTTP checks need more packages: pip install 'txmirror[daemon]'\n")

    def test_reactor(self) -> None:
        """A check makes nothing before it runs."""
        reactor = MemoryReactor()
        HTTPCheck("https://127.0.0.1/", reactor=reactor)
        self.assertEqual(reactor.getDelayedCalls(), [])


def _answer(transport: ITransport, received: bytes) -> None:
    if received.endswith(b"\r\n\r\n"):
        transport.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")


class TLSTests(TestCase):
    def setUp(self) -> None:
        from twisted.internet import reactor

        self.reactor: Any = reactor
        self.folder = Path(self.mktemp())
        self.folder.mkdir()
        self.authority = Authority(self.folder, "authority")

    def listen(self, file: Path) -> str:
        """Listen with a certificate, and return the URL without the host's part."""
        certificate = ssl.PrivateCertificate.loadPEM(file.read_bytes())
        # The oldest Twisted and a new pyOpenSSL cannot serve a Site.
        port = self.reactor.listenSSL(0, ServerFactory(_answer), certificate.options(), interface="127.0.0.1")
        self.addCleanup(port.stopListening)
        return f":{port.getHost().port}/"

    def test_certificates(self) -> Deferred[None]:
        """The certificate must be trusted, and be the one of the host."""
        return Deferred.fromCoroutine(self._test_certificates())

    async def _test_certificates(self) -> None:
        end = self.listen(self.authority.vouch("server", "localhost"))
        trusted = {"ca_file": str(self.authority.file), "reactor": self.reactor}
        good = await HTTPCheck(f"https://localhost{end}", **trusted).run()
        self.assertEqual(good.line, "status 200")
        for url, options in (
            (f"https://localhost{end}", {"reactor": self.reactor}),
            (f"https://127.0.0.1{end}", trusted),
        ):
            refused = await HTTPCheck(url, **options).run()
            self.assertIs(refused.status, Status.FAIL)
            self.assertRegex(refused.output, "^no response: ")
            accepted = await HTTPCheck(url, verify=False, reactor=self.reactor).run()
            self.assertIs(accepted.status, Status.OK)
