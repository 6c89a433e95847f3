"""The web application: routes, what handlers get, answers, refusals, and clients that go."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.error import ConnectionLost
from twisted.trial.unittest import SynchronousTestCase
from twisted.web.static import Data

from txmirror.errors import ConnectionLossException, NoAuthException, NoNodeException
from txmirror.test.web.exchange import Response, ask, begin
from txmirror.web import Answer, Application, Call, InvalidRequest, make_application


def fail_with(error: BaseException) -> Any:
    def handler(call: Call) -> None:
        raise error

    return handler


class ApplicationTestCase(SynchronousTestCase):
    def setUp(self) -> None:
        self.application = Application()

    def ask(self, method: str, path: str, body: object = None, **options: Any) -> Response:
        return ask(self.application.resource(), method, path, body, **options)


class AnswerTests(ApplicationTestCase):
    def test_value(self) -> None:
        """A value is answered as JSON that no cache keeps."""
        self.application.get("/v1/number", lambda call: {"number": 1})
        response = self.ask("GET", "/v1/number")
        self.assertEqual((response.status, response.value), (200, {"number": 1}))
        self.assertEqual(response.headers["content-type"], "application/json")
        self.assertEqual(response.headers["cache-control"], "no-store")
        self.assertEqual(response.headers["content-length"], str(len(response.content)))

    def test_answer(self) -> None:
        """An answer has its own status, type and headers."""
        found = Answer(b"<p>", "text/html", 201, {"Cache-Control": "max-age=5", "X-More": "1"})
        self.application.get("/", lambda call: found)
        response = self.ask("GET", "/")
        self.assertEqual((response.status, response.content), (201, b"<p>"))
        self.assertEqual(response.headers["content-type"], "text/html")
        self.assertEqual((response.headers["cache-control"], response.headers["x-more"]), ("max-age=5", "1"))

    def test_head(self) -> None:
        """HEAD is answered as GET, without the content."""
        self.application.get("/a", lambda call: {"number": 1})
        get, head = self.ask("GET", "/a"), self.ask("HEAD", "/a")
        self.assertEqual((head.status, head.content), (200, b""))
        self.assertEqual(head.headers["content-length"], get.headers["content-length"])

    def test_not_modified(self) -> None:
        """An answer with the status 304 has no content."""
        self.application.get("/a", lambda call: Answer(b"", status=304))
        response = self.ask("GET", "/a")
        self.assertEqual((response.status, response.content), (304, b""))
        self.assertNotIn("content-length", response.headers)

    def test_later(self) -> None:
        """A Deferred and a coroutine are answered when they have a value."""
        waiting: Deferred[object] = Deferred()

        async def handler(call: Call) -> object:
            return {"found": await waiting}

        self.application.get("/a", handler)
        exchange = begin(self.application.resource(), "GET", "/a")
        self.assertFalse(exchange.answered)
        waiting.callback(5)
        self.assertEqual(exchange.response.value, {"found": 5})

    def test_resource(self) -> None:
        """A resource of twisted.web answers by itself."""
        self.application.get("/a", lambda call: Data(b"text", "text/plain"))
        response = self.ask("GET", "/a")
        self.assertEqual((response.content, response.headers["content-type"]), (b"text", "text/plain"))

    def test_mounts(self) -> None:
        """Parts add their routes to one application."""
        application = make_application(
            lambda app: app.get("/a", lambda call: {"part": 1}), lambda app: app.put("/b", lambda call: {"part": 2})
        )
        self.assertEqual(ask(application.resource(), "GET", "/a").value, {"part": 1})
        self.assertEqual(ask(application.resource(), "PUT", "/b").value, {"part": 2})


class PathTests(ApplicationTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.application.get("/v1/things/<name>", lambda call, name: {"name": name})
        self.application.get("/v1/things/<name>/parts/<part>", lambda call, name, part: {"name": name, "part": part})
        self.application.get("/v1/nodes/<path:path>", lambda call, path: {"path": path})

    def test_segments(self) -> None:
        """A segment may have any character, if it is percent-encoded: also a slash, and dots alone."""
        for sent, name in (
            ("a", "a"),
            ("a%2Fb", "a/b"),
            ("a%2fparts%2fb", "a/parts/b"),
            ("%25", "%"),
            ("%252F", "%2F"),
            ("..", ".."),
            ("%2E%2E", ".."),
            (".", "."),
            ("%00", "\0"),
            ("%C3%A4%F0%9F%98%80", "\xe4\U0001f600"),
            ("a+b", "a+b"),
            ("a;b=1", "a;b=1"),
            ("%", "%"),
            ("%zz", "%zz"),
            ("%3F%23", "?#"),
        ):
            self.assertEqual(self.ask("GET", f"/v1/things/{sent}").value, {"name": name}, sent)
            two = self.ask("GET", f"/v1/things/{sent}/parts/{sent}")
            self.assertEqual(two.value, {"name": name, "part": name}, sent)

    def test_paths(self) -> None:
        """The rest of a path keeps its slashes, and may be empty."""
        for sent, path in (
            ("", ""),
            ("a", "a"),
            ("a/b%25/..", "a/b%/.."),
            ("a//b/", "a//b/"),
            ("%C3%A4/%00", "\xe4/\0"),
        ):
            self.assertEqual(self.ask("GET", f"/v1/nodes/{sent}").value, {"path": path}, sent)

    def test_slash_in_segment(self) -> None:
        """A slash inside a segment does not become one between segments."""
        self.assertEqual(self.ask("GET", "/v1/nodes/a%2Fb").status, 404)

    def test_missing(self) -> None:
        """A path that there is not is quoted. There are no redirects to similar ones."""
        for path in (
            "/",
            "/v1",
            "/v1/things",
            "/v1/things/",
            "/v1/things/a/",
            "/v1//things/a",
            "//v1/things/a",
            "/V1/things/a",
        ):
            response = self.ask("GET", path)
            self.assertEqual((response.status, response.errors), (404, [f"there is no such resource: {path!r}"]), path)

    def test_not_utf8(self) -> None:
        """A path that is not UTF-8 is not there, and one that is not encoded is invalid."""
        self.assertEqual(self.ask("GET", "/v1/things/%FF").status, 404)
        self.assertEqual(self.ask("GET", "/v1/nodes/a/%C3").status, 404)
        self.assertEqual(self.ask("GET", "/v1/things/\xe4").status, 400)

    def test_target(self) -> None:
        """A target that is no path is refused, and quoted."""
        response = self.ask("GET", "http://localhost/v1/things/a")
        self.assertEqual(response.status, 400)
        self.assertEqual(response.errors, ["the target 'http://localhost/v1/things/a' does not begin with a slash"])

    def test_method(self) -> None:
        """Another method is refused, with those that there are."""
        response = self.ask("PUT", "/v1/things/a")
        self.assertEqual((response.status, response.errors), (405, ["only GET, HEAD is allowed here"]))
        self.assertEqual(response.headers["allow"], "GET, HEAD")

    def test_unknown_method(self) -> None:
        """An unknown method is refused, and quoted."""
        for method in ("TRACE", "OPTIONS", "CONNECT", "PATCH", "X"):
            self.assertEqual(self.ask(method, "/v1/things/a").headers["allow"], "GET, HEAD")
        for method in ("get", "GET1", "X" * 21, "G-T"):
            response = self.ask(method, "/v1/things/a")
            self.assertEqual((response.status, response.errors), (501, [f"the method {method!r} is unknown"]), method)


class QueryTests(ApplicationTestCase):
    def setUp(self) -> None:
        super().setUp()
        handler = lambda call: {key: list(values) for key, values in call.query.items()}  # noqa: E731
        self.application.get("/a", handler, query=("zone", "label."))
        self.application.get("/one", lambda call: {"zone": call.one("zone")}, query=("zone",))

    def test_values(self) -> None:
        """The values of a key are in order, and decoded."""
        found = self.ask("GET", "/a?zone=a&zone=b%20c+d&label.k%3D=%26&zone&&").value
        self.assertEqual(found, {"zone": ["a", "b c d", ""], "label.k=": ["&"]})

    def test_unknown(self) -> None:
        """An unknown key is quoted, with those that are known."""
        for query, key in (("x=1", "'x'"), ("label=1", "'label'"), ("label.=1", "'label.'"), ("=1", "''")):
            response = self.ask("GET", f"/a?{query}")
            expected = f"unknown key {key} in the query: known are label., zone"
            self.assertEqual((response.status, response.errors), (400, [expected]), query)

    def test_long(self) -> None:
        """A long key is cut, and there are not too many."""
        self.assertEqual(self.ask("GET", "/a?" + "x" * 500).errors[0][:77], f"unknown key '{'x' * 60}...'")
        self.assertIn("more than 1000", self.ask("GET", "/a?" + "&" * 1001).errors[0])

    def test_not_utf8(self) -> None:
        """A query that is not UTF-8 is refused."""
        self.assertEqual(self.ask("GET", "/a?zone=%FF").errors, ["'zone=%FF' in the query is not UTF-8"])

    def test_one(self) -> None:
        """A key that has one value is refused if it comes twice."""
        self.assertEqual(self.ask("GET", "/one").value, {"zone": None})
        self.assertEqual(self.ask("GET", "/one?zone=a").value, {"zone": "a"})
        response = self.ask("GET", "/one?zone=a&zone=a")
        self.assertEqual(response.errors, ["the query has 'zone' 2 times: once is enough"])


class BodyTests(ApplicationTestCase):
    def setUp(self) -> None:
        super().setUp()

        def echo(call: Call) -> object:
            call.only("a")
            return call.body

        self.application.put("/a", echo)
        self.application.get("/a", lambda call: call.body)

    def test_body(self) -> None:
        """The body is a JSON object, and empty if there is none. GET has none."""
        self.assertEqual(self.ask("PUT", "/a", {"a": 1}).value, {"a": 1})
        self.assertEqual(self.ask("PUT", "/a").value, {})
        self.assertEqual(self.ask("GET", "/a", b"{").value, {})

    def test_invalid(self) -> None:
        """Another body is refused."""
        for body, line in (
            (b"{", "the body is not JSON: "),
            (b"\xff", "the body is not JSON: "),
            (b"[" * 30_000 + b"]" * 30_000, "the body is not JSON: nested too deeply"),
            (b'{"a": NaN}', "the body is not JSON: JSON has no NaN"),
            (b"[]", "the body is not a JSON object"),
            (b'{"b": 1}', "unknown key 'b' in the body"),
        ):
            response = self.ask("PUT", "/a", body)
            self.assertEqual(response.status, 400)
            self.assertEqual(response.errors[0][: len(line)], line)

    def test_long(self) -> None:
        """A long body is refused."""
        response = self.ask("PUT", "/a", b" " * (64 * 1024 + 1))
        self.assertEqual((response.status, response.errors), (413, ["the body has more than 65536 bytes"]))


class FailureTests(ApplicationTestCase):
    def test_invalid_request(self) -> None:
        """A handler refuses with lines, a status and headers."""
        error = InvalidRequest("one", "two", status=503, headers={"Retry-After": "5"})
        self.application.get("/a", fail_with(error))
        response = self.ask("GET", "/a")
        self.assertEqual((response.status, response.errors), (503, ["one", "two"]))
        self.assertEqual(response.headers["retry-after"], "5")

    def test_zookeeper(self) -> None:
        """Failures of ZooKeeper have their own statuses."""
        for error, status in (
            (NoNodeException("/a"), 404),
            (NoAuthException("/a"), 403),
            (ConnectionLossException(), 503),
        ):
            application = Application()
            application.get("/a", fail_with(error))
            response = ask(application.resource(), "GET", "/a")
            self.assertEqual((response.status, response.errors), (status, [str(error)]))

    def test_bug(self) -> None:
        """A bug is logged. The client learns nothing of it."""
        for handler in (fail_with(RuntimeError("secret")), lambda call: {"value": object()}):
            application = Application()
            application.get("/a", handler)
            response = ask(application.resource(), "GET", "/a")
            self.assertEqual(response.status, 500)
            self.assertNotIn(b"secret", response.content)
            self.assertEqual(len(self.flushLoggedErrors()), 1)

    def test_client_goes(self) -> None:
        """A client that goes cancels the handler, and nothing is logged, whatever the handler does then."""
        cancelled = []

        async def handler(call: Call, end: str) -> object:
            try:
                await waiting
            except CancelledError:
                cancelled.append(end)
                if end == "raise":
                    raise
                if end == "refuse":
                    raise InvalidRequest("too late") from None
            return {}

        self.application.get("/a/<end>", handler)
        for end in ("raise", "refuse", "answer"):
            waiting: Deferred[None] = Deferred()
            exchange = begin(self.application.resource(), "GET", f"/a/{end}")
            exchange.leave(ConnectionLost())
        self.assertEqual(cancelled, ["raise", "refuse", "answer"])
        self.assertEqual(self.flushLoggedErrors(), [])

    def test_late_answer(self) -> None:
        """An answer after the client has gone is dropped."""
        waiting: Deferred[object] = Deferred(lambda waiting: None)
        self.application.get("/a", lambda call: waiting)
        exchange = begin(self.application.resource(), "GET", "/a")
        exchange.leave(ConnectionLost())
        self.assertFalse(exchange.answered)
        self.assertEqual(self.flushLoggedErrors(), [])

    def test_cancelled_elsewhere(self) -> None:
        """A handler whose work is cancelled by somebody else is answered, too."""
        waiting: Deferred[object] = Deferred()
        self.application.get("/a", lambda call: waiting)
        exchange = begin(self.application.resource(), "GET", "/a")
        waiting.cancel()
        self.assertEqual((exchange.response.status, exchange.response.errors), (503, ["the request was cancelled"]))
