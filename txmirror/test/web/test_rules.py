"""Rules of access: hosts, origins, tokens and their files, changes, and the headers of every answer."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectionLost
from twisted.internet.task import Clock
from twisted.logger import LogLevel, globalLogPublisher
from twisted.trial.unittest import SynchronousTestCase

from txmirror.test.service.case import Log
from txmirror.test.web.exchange import Exchange, Response, begin
from txmirror.web import make_application
from txmirror.web.site import AccessRules, AccessSite, TokenFile, read_token
from txmirror.web.site import tokens as tokens_module
from txmirror.web.site.requests import HEADERS

_TOKEN = "correct-horse-battery"


class RulesTestCase(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock: Any = Clock()
        self.log = Log()
        globalLogPublisher.addObserver(self.log)
        self.addCleanup(globalLogPublisher.removeObserver, self.log)
        self.file = Path(self.mktemp())
        self.write(_TOKEN)
        self.changes = 0

    def write(self, content: str | bytes, mode: int = 0o600) -> None:
        self.file.unlink(missing_ok=True)
        self.file.write_bytes(content if isinstance(content, bytes) else content.encode())
        self.file.chmod(mode)

    def site(self, **rules: Any) -> AccessSite:
        def change(call: object) -> object:
            self.changes += 1
            return {}

        application = make_application(
            lambda app: app.get("/a", lambda call: {"secret": 1}),
            lambda app: app.post("/a", lambda call: {"secret": 1}),
            lambda app: app.put("/a", change),
            lambda app: app.delete("/a", change),
        )
        return AccessSite(application.resource(), AccessRules(**rules), reactor=self.clock)

    def ask(self, site: AccessSite, method: str = "GET", *headers: str, host: str = "localhost") -> Response:
        response = begin(site, method, "/a", headers=headers, host=host).response
        for name, value in HEADERS.items():
            self.assertEqual(response.headers[name.lower()], value)
        return response

    def with_token(self, **rules: Any) -> AccessSite:
        return self.site(reading=False, token=TokenFile(self.file, self.clock), **rules)


class HostTests(RulesTestCase):
    def test_known(self) -> None:
        """Loopback names, IP addresses and the given hosts are accepted, with any port."""
        site = self.site(hosts=("web.example", "Other.example"))
        for host in (
            "localhost",
            "LOCALHOST:8580",
            "localhost.",
            "127.0.0.1:8580",
            "[::1]:8580",
            "[::1]",
            "10.1.2.3",
            "web.example:80",
            "WEB.example.",
            "other.example",
        ):
            self.assertEqual(self.ask(site, host=host).status, 200, host)

    def test_rebinding(self) -> None:
        """A name of another site is refused, even if it leads to this address."""
        site = self.site(hosts=("web.example",))
        for host in (
            "evil.example",
            "evil.example:8580",
            "localhost.evil.example",
            "127.0.0.1.evil.example",
            "xweb.example",
        ):
            response = self.ask(site, host=host)
            self.assertEqual(response.status, 403, host)
            self.assertEqual(response.errors, [f"the host {host.partition(':')[0]!r} is not one of the server's hosts"])
            self.assertEqual(self.ask(site, "PUT", host=host).status, 403)

    def test_invalid(self) -> None:
        """A header that is no name and port is refused."""
        for host in ("", "a b", "a/b", "[::1", "localhost@evil", "localhost:x", "\xff", "localhost:999999", "a,b"):
            self.assertEqual(self.ask(self.site(), host=host).status, 400, host)

    def test_two(self) -> None:
        """Two headers are refused, even if they agree, and so is none."""
        self.assertEqual(self.ask(self.site(), "GET", "Host: localhost").errors, ["there is more than one Host header"])
        self.assertEqual(self.ask(self.site(hosts=None), "GET", "Host: localhost").status, 400)
        rules: tuple[tuple[dict[str, Any], int], ...] = (({}, 400), ({"hosts": None}, 200))
        for options, status in rules:
            self.assertEqual(Exchange(self.site(**options), "GET /a HTTP/1.0\r\n\r\n").response.status, status)

    def test_any(self) -> None:
        """Without a list of hosts, any name is accepted, as at a UNIX socket."""
        for host in ("evil.example", "", "\xff", "a" * 300 + ".example", "xn--a"):
            self.assertEqual(self.ask(self.site(hosts=None), host=host).status, 200, host)


class OriginTests(RulesTestCase):
    def test_same(self) -> None:
        """The same origin is accepted, also if a proxy has the certificate."""
        for origin in ("http://localhost:8580", "https://localhost:8580", "HTTP://LOCALHOST:8580"):
            site = self.site(changing=True)
            self.assertEqual(self.ask(site, "PUT", f"Origin: {origin}", host="localhost:8580").status, 200, origin)

    def test_other(self) -> None:
        """Another origin is refused, whatever the method, and changes nothing."""
        site = self.site(changing=True)
        for origin in (
            "null",
            "http://evil.example",
            "http://localhost",
            "http://localhost:8581",
            "file://localhost:8580",
            "",
        ):
            for method in ("GET", "POST", "PUT", "DELETE"):
                response = self.ask(site, method, f"Origin: {origin}", host="localhost:8580")
                self.assertEqual(response.status, 403, origin)
                self.assertEqual(response.errors, [f"requests from other sites are refused: the origin is {origin!r}"])
        self.assertEqual(self.changes, 0)

    def test_fetch_site(self) -> None:
        """A browser says that the request is for another site's page. Only a link that the user follows is accepted."""
        site = self.site(changing=True)
        for found, status in (("same-origin", 200), ("none", 200), ("cross-site", 403), ("same-site", 403), ("x", 403)):
            self.assertEqual(self.ask(site, "GET", f"Sec-Fetch-Site: {found}").status, status, found)
            self.assertEqual(self.ask(site, "PUT", f"Sec-Fetch-Site: {found}").status, status, found)
        link = ("Sec-Fetch-Site: cross-site", "Sec-Fetch-Mode: navigate", "Sec-Fetch-Dest: document")
        self.assertEqual(self.ask(site, "GET", *link).status, 200)
        self.assertEqual(self.ask(site, "POST", *link).status, 403)
        self.assertEqual(self.ask(site, "GET", *link[:2], "Sec-Fetch-Dest: iframe").status, 403)

    def test_forms(self) -> None:
        """A body that another site's form can send is refused."""
        for kind in (
            "text/plain",
            "Text/Plain; charset=utf-8",
            "application/x-www-form-urlencoded",
            "multipart/form-data; boundary=a",
        ):
            for method in ("POST", "PUT"):
                response = self.ask(self.site(changing=True), method, f"Content-Type: {kind}")
                self.assertEqual(response.status, 415, kind)
        self.assertEqual(self.ask(self.site(), "POST", "Content-Type: application/json").status, 200)
        self.assertEqual(self.ask(self.site(hosts=None, changing=True), "PUT", "Content-Type: text/plain").status, 200)


class ChangeTests(RulesTestCase):
    def test_reading_alone(self) -> None:
        """Where everybody may read, nobody may change anything."""
        site = self.site()
        for method, status in (
            ("GET", 200),
            ("HEAD", 200),
            ("POST", 200),
            ("PUT", 403),
            ("DELETE", 403),
            ("PATCH", 403),
        ):
            self.assertEqual(self.ask(site, method).status, status, method)
        self.assertIn("changes are allowed at the control socket", self.ask(site, "PUT").errors[0])
        self.assertEqual(self.changes, 0)

    def test_token(self) -> None:
        """With a token, also where everybody may read."""
        site = self.site(token=TokenFile(self.file, self.clock))
        self.assertEqual(self.ask(site).status, 200)
        self.assertEqual(self.ask(site, "PUT").status, 401)
        self.assertEqual(self.ask(site, "PUT", "Authorization: Bearer wrong-token-wrong").status, 401)
        self.assertEqual(self.changes, 0)
        self.assertEqual(self.ask(site, "PUT", f"Authorization: Bearer {_TOKEN}").status, 200)
        self.assertEqual(self.changes, 1)

    def test_control_socket(self) -> None:
        """At the control socket everybody who may connect may change."""
        self.assertEqual(self.ask(self.site(hosts=None, changing=True), "PUT", host="").status, 200)

    def test_certificate(self) -> None:
        """Without a certificate of the client, reading is refused, too."""
        response = self.ask(self.site(reading=False, certificates=True))
        self.assertEqual((response.status, response.errors), (403, ["a client's certificate is needed"]))


class TokenTests(RulesTestCase):
    def basic(self, text: str) -> str:
        return f"Authorization: Basic {base64.b64encode(text.encode()).decode()}"

    def test_right(self) -> None:
        """The token is accepted as Bearer, and as the password of any user."""
        site = self.with_token()
        for header in (
            f"Authorization: Bearer {_TOKEN}",
            f"authorization: bearer  {_TOKEN} ",
            self.basic(f"me:{_TOKEN}"),
            self.basic(f":{_TOKEN}"),
        ):
            self.assertEqual(self.ask(site, "GET", header).status, 200, header)
            self.assertEqual(self.ask(site, "PUT", header).status, 200, header)

    def test_none(self) -> None:
        """Without one, a browser asks for it, and nothing is shown."""
        site = self.with_token()
        for headers in ((), ("Authorization: Digest x",), ("Authorization:",), (self.basic(_TOKEN),)):
            response = self.ask(site, "GET", *headers)
            self.assertEqual((response.status, response.errors), (401, ["a token is needed"]))
            self.assertTrue(response.headers["www-authenticate"].startswith("Basic realm="))

    def test_guessed(self) -> None:
        """Wrong tokens are refused, and logged now and then, without the token."""
        site = self.with_token()
        for guess in ("", "x", _TOKEN[:-1], _TOKEN + "x", _TOKEN.upper(), "\xff\xfe", "x" * 9000):
            response = self.ask(site, "GET", f"Authorization: Bearer {guess}")
            self.assertEqual((response.status, response.errors), (401, ["the token is wrong"]))
        (line,) = self.log.about("wrong token")
        self.assertTrue(line.startswith("1 request with a wrong token"), line)
        self.clock.advance(60)
        self.ask(site, "GET", "Authorization: Bearer secret-guess-here")
        _, second = self.log.about("wrong token")
        self.assertTrue(second.startswith("7 requests with a wrong token"), second)
        self.assertEqual(self.log.about("secret-guess"), [])

    def test_malformed(self) -> None:
        """Headers that contradict each other, or are not base64, are refused."""
        site = self.with_token()
        right = f"Authorization: Bearer {_TOKEN}"
        self.assertEqual(self.ask(site, "GET", right, right).errors, ["there is more than one Authorization header"])
        self.assertEqual(self.ask(site, "GET", "Authorization: Basic a").status, 400)

    def test_changed(self) -> None:
        """The file is read again within a second."""
        site = self.with_token()
        self.assertEqual(self.ask(site, "GET", f"Authorization: Bearer {_TOKEN}").status, 200)
        self.write("another-token-entirely\n")
        self.clock.advance(1)
        self.assertEqual(self.ask(site, "GET", f"Authorization: Bearer {_TOKEN}").status, 401)
        self.assertEqual(self.ask(site, "GET", "Authorization: Bearer another-token-entirely").status, 200)

    def test_invalid_files(self) -> None:
        """An invalid file is one line in the log, and no token is right."""
        site = self.with_token()
        # The token that was right before is not right any longer.
        self.assertEqual(self.ask(site, "GET", f"Authorization: Bearer {_TOKEN}").status, 200)
        for content, mode, reason in (
            ("", 0o600, "is empty"),
            ("short", 0o600, "has 5 characters: 16 to 4096 are allowed"),
            ("\n", 0o600, "is empty"),
            (b"\xff" * 20, 0o600, "has a space, or a character that is not printable ASCII"),
            ("x" * 5000, 0o600, "cannot be read: it has 5000 bytes"),
            ("two words in the file", 0o600, "has a space, or"),
            (_TOKEN, 0o644, "cannot be read: everybody may read it (mode 0644)"),
            (_TOKEN, 0o620, "cannot be read: others may write to it (mode 0620)"),
        ):
            self.log.lines.clear()
            self.write(content, mode)
            self.clock.advance(1)
            for given in (content if isinstance(content, str) else "", _TOKEN, ""):
                response = self.ask(site, "GET", f"Authorization: Bearer {given.strip()}")
                self.assertEqual(response.status, 503, content)
                self.assertIn("no token is accepted at the moment", response.errors[0])
            (line,) = self.log.lines
            self.assertIn(reason, line)
            self.assertIn(str(self.file), line)
            self.assertIs(self.log.worst, LogLevel.error)
        self.log.lines.clear()
        self.write(_TOKEN)
        self.clock.advance(1)
        self.assertEqual(self.ask(site, "GET", f"Authorization: Bearer {_TOKEN}").status, 200)
        (line,) = self.log.lines
        self.assertIn("is valid again", line)

    def test_missing_file(self) -> None:
        """Likewise, if there is no file, or a folder in its place."""
        site = self.with_token()
        self.file.unlink()
        self.assertEqual(self.ask(site, "GET", f"Authorization: Bearer {_TOKEN}").status, 503)
        self.file.mkdir()
        self.clock.advance(1)
        self.assertEqual(self.ask(site, "GET", f"Authorization: Bearer {_TOKEN}").status, 503)
        first, second = self.log.lines
        self.assertIn("No such file or directory", first)
        self.assertIn("it is a directory", second)

    def test_read_token(self) -> None:
        """A line break at the end does not count."""
        self.write(f"{_TOKEN}\r\n")
        self.assertEqual(read_token(self.file), _TOKEN.encode())
        self.write("x")
        self.assertRaisesRegex(ValueError, "has 1 characters", read_token, self.file)


class SlowFileTests(RulesTestCase):
    """A token file that takes long to be read."""

    def setUp(self) -> None:
        super().setUp()
        self.readings: list[Any] = []

        def later(reactor: object, function: Any, *args: object) -> Any:
            reading: Any = Deferred()
            reading.addCallback(lambda _: function(*args))
            self.readings.append(reading)
            return reading

        self.patch(tokens_module, "run_in_thread", later)
        self.tokens = TokenFile(self.file, self.clock)

    def begin(self) -> Any:
        return begin(self.slow_site, "GET", "/a", headers=(f"Authorization: Bearer {_TOKEN}",))

    @property
    def slow_site(self) -> AccessSite:
        return self.site(reading=False, token=self.tokens)

    def test_one_reading(self) -> None:
        """Requests wait for one reading, and the reactor does not."""
        first, second = self.begin(), self.begin()
        self.assertEqual((first.answered, second.answered, len(self.readings)), (False, False, 1))
        self.readings[0].callback(None)
        self.assertEqual((first.response.status, second.response.status), (200, 200))
        self.assertEqual((self.begin().response.status, len(self.readings)), (200, 1))

    def test_client_goes(self) -> None:
        """A client that goes meanwhile ends only its own wait."""
        first, second = self.begin(), self.begin()
        first.leave(ConnectionLost())
        self.readings[0].callback(None)
        self.assertEqual((first.answered, second.response.status), (False, 200))
        self.assertEqual(self.flushLoggedErrors(), [])

    def test_too_slow(self) -> None:
        """After some seconds the request is refused, with one line in the log. Later the file may be read after all."""
        first = self.begin()
        self.clock.advance(5)
        self.assertEqual(first.response.status, 503)
        self.assertEqual(len(self.log.about("it takes too long")), 1)
        self.readings[0].callback(None)
        self.assertEqual(self.begin().response.status, 200)
