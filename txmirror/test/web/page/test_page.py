"""The page as it is sent: its HTML, its files, and that nothing of it needs more than the Content-Security-Policy allows."""

from __future__ import annotations

import re
from typing import Any

from twisted.internet.error import ConnectionLost
from twisted.trial.unittest import SynchronousTestCase

from txmirror.catalog import Catalog
from txmirror.test.catalog.case import ROOT, CatalogTestCase
from txmirror.test.web.exchange import Response, ask, begin
from txmirror.web import Application
from txmirror.web.page import MOST_ROWS, PageContent, ServiceRow, mount_page
from txmirror.web.page.mounting import describe
from txmirror.web.page.static import StaticFile, read_static_files
from txmirror.web.page.template import render_page

HOSTILE = "<script>alert(1)</script>\"'&\u202e\n\x00"


def content(*services: ServiceRow, known: bool = True, age: float = 0.0, total: int | None = None) -> PageContent:
    return PageContent(1700000000.25, known, age, services, len(services) if total is None else total)


class HTMLTests(SynchronousTestCase):
    def render(self, shown: PageContent) -> str:
        return self.successResultOf(render_page(shown)).decode()

    def test_services(self) -> None:
        """Without the script there is a table of the services."""
        html = self.render(content(ServiceRow("web", 3, 2), ServiceRow("db", 1, 0)))
        self.assertTrue(html.startswith("<!DOCTYPE html>\n<html"), html[:60])
        self.assertIn("<tr><td>web</td><td>3</td><td>2</td></tr><tr><td>db</td><td>1</td><td>0</td></tr>", html)
        self.assertIn('data-now="1700000000.250"', html)
        self.assertIn("This list was up to date when the page was loaded.", html)
        self.assertNotIn("not shown", html)

    def test_noscript(self) -> None:
        """The table is only for browsers without the script."""
        html = self.render(content(ServiceRow("web", 3, 2)))
        self.assertRegex(html, r"(?s)<noscript>.*<td>web</td>.*</noscript>")

    def test_age(self) -> None:
        """A line says how old the list is."""
        for age, words in ((12.4, "12 s"), (119, "119 s"), (120, "2 min"), (7200, "2 h"), (900000, "10 d")):
            with self.subTest(age=age):
                self.assertIn(f"this list is {words} old", self.render(content(age=age)))

    def test_unknown(self) -> None:
        """A list that is not known is not shown as an empty one."""
        html = self.render(content(known=False))
        self.assertIn("not known yet", html)
        self.assertNotIn("<table", html)

    def test_empty(self) -> None:
        """Nothing is registered."""
        self.assertIn("Nothing is registered.", self.render(content()))

    def test_hostile_name(self) -> None:
        """A name is escaped, and cannot change the order of the characters around it."""
        html = self.render(content(ServiceRow(HOSTILE, 1, 1)))
        self.assertIn("<td>&lt;script&gt;alert(1)&lt;/script&gt;\"'&amp;\\u202e\\n\\x00</td>", html)

    def test_surrogate(self) -> None:
        """A name that UTF-8 does not have is escaped."""
        self.assertIn("<td>a\\udcff</td>", self.render(content(ServiceRow("a\udcff", 1, 1))))

    def test_long_name(self) -> None:
        """A long name is cut."""
        html = self.render(content(ServiceRow("n" * 100000, 1, 1)))
        self.assertIn(f"<td>{'n' * 200}...</td>", html)

    def test_many_services(self) -> None:
        """The table has a bound, and says how many it lacks."""
        rows = [ServiceRow(f"s{number}", 1, 1) for number in range(MOST_ROWS + 5)]
        html = self.render(content(*rows, total=1000))
        self.assertEqual(html.count("<td>s"), MOST_ROWS)
        self.assertIn(f"<p>{1000 - MOST_ROWS} more are not shown.</p>", html)

    def test_no_inline_code(self) -> None:
        """The page has neither scripts nor styles of its own, and loads nothing from elsewhere."""
        html = self.render(content(ServiceRow("web", 3, 2)))
        self.assertEqual(re.findall(r"<script\b[^>]*>", html), ['<script type="module" src="/static/page.js">'])
        self.assertNotRegex(html, r"(?i)<style|\sstyle=|\son[a-z]+=|javascript:")
        links = re.findall(r'(?:src|href|action)="([^"]*)"', html)
        self.assertEqual([each for each in links if not each.startswith(("/", "#", "data:image/"))], [])
        self.assertNotIn("<!--", html)


class FileTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.files = read_static_files()

    def test_safe_script(self) -> None:
        """The script has no way to make markup or code from a text."""
        script = self.files["page.js"].content.decode("ascii")
        for word in ("innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval(", "Function(", "srcdoc"):
            self.assertNotIn(word, script)

    def test_nothing_from_elsewhere(self) -> None:
        """The files name no other server."""
        for name, file in self.files.items():
            text = file.content.decode("ascii").replace("http://www.w3.org/2000/svg", "")
            self.assertNotRegex(text, r"//[a-z0-9.-]+\.[a-z]|@import|url\((?!#)", name)

    def test_etag(self) -> None:
        """The ETag changes with the contents."""
        one, two = StaticFile("text/css", b"one"), StaticFile("text/css", b"two")
        self.assertNotEqual(one.etag, two.etag)
        self.assertEqual(one.etag, StaticFile("text/css", b"one").etag)

    def test_current(self) -> None:
        """If-None-Match may have several tags, weak ones, or a star."""
        file = StaticFile("text/css", b"one")
        for header in (file.etag, f'"x", {file.etag}', f"W/{file.etag}", "*"):
            self.assertTrue(file.is_current(header), header)
        for other in (None, "", '"x"', file.etag.strip('"')):
            self.assertFalse(file.is_current(other), other)


class RouteTests(CatalogTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.shown: Catalog | None = self.catalog
        self.application = Application()
        mount_page(lambda: self.shown, self.world.reactor)(self.application)

    def ask(self, path: str, **options: Any) -> Response:
        return ask(self.application.resource(), "GET", path, **options)

    def test_page(self) -> None:
        """The page waits for the first list of services."""
        self.make("web", "a:1", "b:1")
        self.make("db", "c:1", weight=0)
        exchange = begin(self.application.resource(), "GET", "/")
        self.assertFalse(exchange.answered)
        self.world.settle()
        self.world.pass_time(0.1)
        response = exchange.response
        self.assertEqual((response.status, response.headers["content-type"]), (200, "text/html; charset=utf-8"))
        self.assertEqual(response.headers["cache-control"], "no-store")
        self.assertIn("<td>db</td><td>1</td><td>0</td></tr><tr><td>web</td><td>2</td><td>2</td>", response.text)

    def test_away(self) -> None:
        """While ZooKeeper is away, the page has the last known services, and their age."""
        self.make("web", "a:1")
        self.use()
        self.world.disconnect()
        self.world.pass_time(7.0)
        text = self.ask("/").text
        self.assertIn("<td>web</td>", text)
        self.assertRegex(text, r"this list is [67] s old")

    def test_slow(self) -> None:
        """A browser gets the page also while the first list takes long."""
        self.world.disconnect()
        exchange = begin(self.application.resource(), "GET", "/", reactor=self.world.reactor)
        self.world.pass_time(0.4)
        self.assertFalse(exchange.answered)
        self.world.pass_time(0.2)
        self.assertIn("not known yet", exchange.response.text)

    def test_client_gone(self) -> None:
        """A client that goes while the page waits for the first list leaves nothing behind."""
        exchange = begin(self.application.resource(), "GET", "/")
        exchange.leave(ConnectionLost())
        self.world.settle()
        self.world.pass_time(3.0)
        self.assertFalse(exchange.answered)

    def test_no_session(self) -> None:
        """The page is there before there is a session."""
        self.shown = None
        response = self.ask("/")
        self.assertEqual(response.status, 200)
        self.assertIn("not known yet", response.text)

    def test_bounded(self) -> None:
        """It shows the first services by name, and not more than there is place for."""
        for number in range(MOST_ROWS + 3):
            self.create(f"{ROOT}/s{number:04}")
        self.use()
        content = describe(self.catalog, 5.0)
        self.assertEqual((len(content.services), content.total), (MOST_ROWS, MOST_ROWS + 3))
        self.assertEqual([each.name for each in content.services[:2]], ["s0000", "s0001"])

    def test_files(self) -> None:
        for name, kind in (("page.css", "text/css"), ("page.js", "text/javascript")):
            with self.subTest(name=name):
                response = self.ask(f"/static/{name}")
                self.assertEqual((response.status, response.content), (200, read_static_files()[name].content))
                self.assertEqual(response.headers["content-type"], f"{kind}; charset=utf-8")
                self.assertEqual(response.headers["cache-control"], "no-cache")

    def test_not_changed(self) -> None:
        """A browser that has the file does not get it again."""
        etag = self.ask("/static/page.js").headers["etag"]
        response = self.ask("/static/page.js", headers=(f"If-None-Match: {etag}",))
        self.assertEqual((response.status, response.content, response.headers["etag"]), (304, b"", etag))
        self.assertEqual(self.ask("/static/page.js", headers=('If-None-Match: "old"',)).status, 200)

    def test_other_file(self) -> None:
        """No other file of the package is served."""
        for path in ("/static/page.xml", "/static/", "/static/..%2Ftemplate.py", "/static/__init__.py"):
            self.assertEqual(self.ask(path).status, 404, path)
