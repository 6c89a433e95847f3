"""The built site: its pages fit the window, its links lead somewhere, and its reference is complete.

``tox -e docs`` builds the site, and runs these tests on it. ``TXMIRROR_SITE`` names its folder.
"""

from __future__ import annotations

import csv
import importlib
import inspect
import os
import re
import runpy
from collections import Counter
from collections.abc import Iterator
from functools import cache
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import attrs
from sphinx.util.inventory import InventoryFile
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.interface import InterfaceClass

from txmirror.test.neighbours.browser import shared_browser

SITE = Path(os.environ["TXMIRROR_SITE"])
DOCS = Path(__file__).resolve().parent.parent / "docs"
#: The widths of a phone and of a small screen.
NARROW, WIDE = 420, 1280
#: The packages with names for users.
PUBLIC = (
    "txmirror",
    "txmirror.aio",
    "txmirror.checks",
    "txmirror.client",
    "txmirror.discovery",
    "txmirror.embedded",
    "txmirror.endpoints",
    "txmirror.errors",
    "txmirror.interfaces",
    "txmirror.mirror",
    "txmirror.recipes",
    "txmirror.registry",
    "txmirror.testing",
    "txmirror.types",
)
#: Names that the packages export for one another.
INTERNAL = {
    "txmirror.discovery": {
        "InstanceList",
        "Judge",
        "ListUser",
        "Listed",
        "Omissions",
        "Verdict",
        "Where",
        "check_limits",
        "equals",
        "says",
    },
    "txmirror.checks": {"Durations", "ResultCounts"},
    "txmirror.embedded": {"CannotListenExit", "EmbeddedOptions", "EmbeddedService"},
    "txmirror.endpoints": {"parse_client", "parse_server"},
    "txmirror.errors": {"exception_for", "missing_node"},
    "txmirror.interfaces": {"urgent_client", "waiting_client"},
    "txmirror.registry": {"CODECS"},
}
#: Members that the library itself uses, or Twisted: by their class.
INTERNAL_MEMBERS = {
    "txmirror.aio.Call": {"send", "throw"},
    "txmirror.checks.CheckHealth": {"start", "stop"},
    "txmirror.checks.ServiceHealth": {"start", "stop"},
    "txmirror.embedded.Connection": {
        "abort",
        "close",
        "connectionLost",
        "connectionMade",
        "dataReceived",
        "identities",
        "pauseProducing",
        "resumeProducing",
        "send",
        "send_event",
        "stopProducing",
        "time_out",
    },
    "txmirror.interfaces.IRegistryLock": {"__aenter__", "__aexit__"},
    "txmirror.mirror.Decoded": {"items", "keys", "values"},
    "txmirror.mirror.Tree": {"items", "keys", "values"},
    "txmirror.recipes.Leadership": {"stop"},
    "txmirror.testing.EmbeddedServerMixin": {"setUp"},
    "txmirror.testing.Link": {"client", "ended", "server"},
    "txmirror.testing.MemoryReactor": {
        "callLater",
        "connectTCP",
        "installNameResolver",
        "is_black_hole",
        "listenTCP",
        "listener_at",
        "listeners",
        "take_port",
    },
}
#: The most bytes of a page.
REFERENCE_SIZE, PAGE_SIZE = 155_000, 195_000
#: The most of each word in 1,000 words of the pages, as in docstrings.
WORDS = {r"what(ever)?": 4.0, r"who(ever|m)?": 2.0, r"tells?|told": 0.5, r"gives?|gave": 1.0}

_OVERFLOW = """
const found = [], width = document.documentElement.clientWidth;
const scrolls = (each) => {
  for (; each && each !== document.body; each = each.parentElement)
    if (['auto', 'scroll', 'hidden'].includes(getComputedStyle(each).overflowX)) return true;
  return false;
};
if (document.documentElement.scrollWidth > width) found.push('the page is ' + document.documentElement.scrollWidth);
for (const each of document.querySelectorAll('article *')) {
  const box = each.getBoundingClientRect();
  if (box.width && box.right > width + 1 && !scrolls(each))
    found.push(each.tagName + ' to ' + Math.round(box.right) + ': ' + each.textContent.trim().slice(0, 60));
}
if (arguments[0])
  for (const each of document.querySelectorAll('article pre'))
    if (each.scrollWidth > each.clientWidth + 1)
      found.push('code is cut off: ' + each.scrollWidth + ' in ' + each.clientWidth + ': '
        + each.textContent.split('\\n').sort((a, b) => b.length - a.length)[0]);
return found.slice(0, 5);
"""

#: Drawings with a ``viewBox`` can be scrolled.
_CHART_TEXTS = """
const found = [];
for (const svg of document.querySelectorAll('figure.chart svg[role=img]:not([viewBox])')) {
  const outer = svg.closest('div').getBoundingClientRect();
  const texts = [...svg.querySelectorAll('text')].map((each) => [each.textContent, each.getBoundingClientRect()]);
  for (const [index, [text, box]] of texts.entries()) {
    if (box.left < outer.left - 1 || box.right > outer.right + 1) found.push(text + ' is cut off');
    for (const [other, place] of texts.slice(index + 1))
      if (box.left < place.right && place.left < box.right && box.top < place.bottom - 2 && place.top < box.bottom - 2)
        found.push(text + ' is on ' + other);
  }
}
return found;
"""


class Page(HTMLParser):
    """The ids, links, text and pictures of a page."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.ids: set[str] = set()
        self.links: list[str] = []
        self.text = ""
        #: The text alternatives of the pictures of the article, by what they are.
        self.pictures: list[tuple[str, str]] = []
        self._svg = ""
        self.feed(path.read_text("utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note the id and the target of an element."""
        values = dict(attrs)
        if tag == "img":
            self.pictures.append((values.get("src") or "", values.get("alt") or ""))
        elif tag == "svg" and values.get("role") == "img":
            self.pictures.append((tag, ""))
        elif tag in {"title", "desc"} and self.pictures and self.pictures[-1][0] == "svg":
            self._svg = tag
        for name, value in attrs:
            if name == "id" and value:
                self.ids.add(value)
            elif name in {"href", "src", "data"} and value:
                self.links.append(value)

    def handle_data(self, data: str) -> None:
        """Note text."""
        self.text += data
        if self._svg:
            kind, text = self.pictures[-1]
            self.pictures[-1] = (kind, text + data)

    def handle_endtag(self, tag: str) -> None:
        """Note the end of a drawing's text."""
        if tag == self._svg:
            self._svg = ""


@cache
def pages() -> dict[str, Page]:
    """Return all pages by their addresses in the site."""
    return {
        str(path.relative_to(SITE)): Page(path) for path in sorted(SITE.rglob("*.html")) if "_static" not in path.parts
    }


@cache
def documented() -> frozenset[str]:
    """Return the full names of all objects that the reference has."""
    with (SITE / "objects.inv").open("rb") as file:
        inventory = InventoryFile.load(file, "", lambda base, name: name)
    return frozenset(name for kind, names in inventory.items() if kind.startswith("py:") for name in names)


def names_of(package: str) -> Iterator[str]:
    """Yield the names that a package has for users."""
    module = importlib.import_module(package)
    own = (
        name for name, each in vars(module).items() if getattr(each, "__module__", None) == package and name[0] != "_"
    )
    yield from sorted(set(getattr(module, "__all__", own)) - INTERNAL.get(package, set()) - {"__version__"})


def members_of(cls: type | InterfaceClass) -> Iterator[str]:
    """Yield the public members of a class that have a place in the reference: methods, properties, fields, attributes."""
    if isinstance(cls, InterfaceClass):
        yield from cls.names()
        return
    for each in cls.__mro__:
        if each.__module__.startswith("txmirror"):
            for name, member in vars(each).items():
                if ":meta private:" in (member.__doc__ or ""):
                    continue
                if name[0] != "_" and (
                    inspect.isroutine(member) or isinstance(member, (property, classmethod, staticmethod))
                ):
                    yield name
    if attrs.has(cls):
        yield from (field.name for field in attrs.fields(cls) if field.name[0] != "_")
    yield from getattr(cls, "_fields", ())


class ReferenceTests(SynchronousTestCase):
    def test_names(self) -> None:
        """The reference has every public name."""
        # The lazy names of the package itself are those of its parts.
        missing = [
            f"{package}.{name}"
            for package in PUBLIC
            for name in names_of(package)
            if package != "txmirror" and f"{package}.{name}" not in documented()
        ]
        self.assertEqual(missing, [])

    def test_members(self) -> None:
        """The reference has every public member of each class."""
        missing = set()
        for package in PUBLIC[1:]:
            for name in names_of(package):
                cls = getattr(importlib.import_module(package), name)
                if isinstance(cls, (type, InterfaceClass)) and not issubclass_of_exception(cls):
                    full = f"{package}.{name}"
                    members = set(members_of(cls)) - INTERNAL_MEMBERS.get(full, set())
                    missing |= {f"{full}.{member}" for member in members if f"{full}.{member}" not in documented()}
        self.assertEqual(sorted(missing), [])

    def test_where_it_stands(self) -> None:
        """No member's description is only a reference to another one, or the name of a tuple's field."""
        for name, page in pages().items():
            self.assertNotIn("Alias for field", page.text, name)
            self.assertEqual(re.findall(r"\bSee [\w.]+\(\)\.", page.text), [], name)

    def test_sizes(self) -> None:
        """No page is too long to load and to read."""
        sizes = {name: (SITE / name).stat().st_size for name in pages()}
        large = {
            name: size
            for name, size in sizes.items()
            if size > (REFERENCE_SIZE if name.startswith("reference/") else PAGE_SIZE)
        }
        self.assertEqual(large, {})


def issubclass_of_exception(cls: type | InterfaceClass) -> bool:
    """Return whether a class is an exception: these share their attributes, which stand on the page once."""
    # mypy-zope takes an interface for a type.
    return isinstance(cls, type) and issubclass(cls, BaseException)  # type: ignore[redundant-expr]


class LinkTests(SynchronousTestCase):
    def test_links(self) -> None:
        """Every link within the site leads to a file, and to an element of it."""
        broken = []
        count = 0
        for name, page in pages().items():
            for link in page.links:
                target = urlsplit(link)
                if target.scheme or target.netloc:
                    continue
                count += 1
                path = os.path.normpath(Path(name).parent / unquote(target.path)) if target.path else name
                if not (SITE / path).exists() or (
                    target.fragment and path in pages() and unquote(target.fragment) not in pages()[path].ids
                ):
                    broken.append(f"{name}: {link}")
        self.assertGreater(count, 1000)
        self.assertEqual(broken, [])

    def test_examples(self) -> None:
        """A page that shows a program, or a part of one, has a link to the whole file."""
        shown = set()
        for path in DOCS.rglob("*.rst"):
            page = str(path.relative_to(DOCS).with_suffix(".html"))
            names = re.findall(r"^\.\. literalinclude:: /examples/(?:.*/)?(.+)$", path.read_text("utf-8"), re.MULTILINE)
            files = {Path(link).name for link in pages()[page].links if link.count("_downloads/")}
            shown |= set(names)
            self.assertEqual(set(names) - files, set(), page)
        self.assertGreater(len(shown), 40)

    def test_questions(self) -> None:
        """A test stands behind each answer to a common question."""
        text = (DOCS / "faq.rst").read_text("utf-8")
        tests = re.findall(r"^\.\. tested-by: (.+)$", text, re.MULTILINE)
        self.assertEqual(len(tests), len(re.findall(r"^~+$", text, re.MULTILINE)))
        for name in tests:
            module, case, *test = re.split(r"\.(?=[A-Z]|(?<=Tests\.)test_)", name)
            cls = getattr(importlib.import_module(module), case)
            self.assertTrue(all(hasattr(cls, each) for each in test), name)


class TextTests(SynchronousTestCase):
    def test_words(self) -> None:
        """The pages are in plain English: clauses with "what" and "who" are rare."""
        text = "\n".join(path.read_text("utf-8") for path in DOCS.rglob("*.rst"))
        thousands = len(re.findall(r"[A-Za-z][\w'-]*", text)) / 1000
        for word, most in WORDS.items():
            count = len(re.findall(rf"\b({word})\b", text, re.IGNORECASE))
            self.assertLess(count / thousands, most, word)


class PictureTests(SynchronousTestCase):
    def test_alternatives(self) -> None:
        """Each picture has a text that says as much, and no page has a drawing that cannot take the colours of its page."""
        count = 0
        for name, page in pages().items():
            for picture, text in page.pictures:
                count += 1
                self.assertGreater(len(text.split()), 4, f"{name}: {picture} {text}")
            self.assertNotIn("<object", (SITE / name).read_text("utf-8"), name)
        self.assertGreater(count, 10)

    def test_figures(self) -> None:
        """Each file of figures says where they come from, and is drawn."""
        text = "".join(path.read_text("utf-8") for path in DOCS.rglob("*.rst"))
        for path in (DOCS / "speed").glob("*.csv"):
            self.assertRegex(text, rf"\.\. (bars|lines):: /speed/{path.name}\n")
            self.assertIn("# measured: ", path.read_text("utf-8"), path.name)

    def test_growth(self) -> None:
        """The drawings of the growth have each figure of three columns in their text."""
        drawn = " ".join(text for _, text in pages()["explanation/speed.html"].pictures)
        with (DOCS / "speed" / "growth.csv").open() as file:
            rows = list(csv.DictReader(line for line in file if not line.startswith("#")))
        self.assertEqual(len(rows), 5)
        for row in rows:
            count = int(row["nodes"].replace(",", "")) * int(row["mirrors"])
            for column in ("CPU until warm (s)", "CPU of the recovery (s)", "peak of memory (MiB)"):
                self.assertIn(f"{row[column]} with {count:,} nodes in all", drawn)

    def test_outage(self) -> None:
        """The recorded outage is that of the code as it is."""
        recorded = runpy.run_path(str(DOCS.parent / "benchmarks" / "outage.py"))["record"]()
        self.assertEqual((DOCS / "explanation" / "outage.csv").read_text("utf-8"), recorded)

    def test_registration(self) -> None:
        """The drawing of a registration's life has each state, and the events as the code handles them."""
        drawn = " ".join(text for _, text in pages()["guides/registry.html"].pictures)
        for before, after, cause in (
            ("withdrawn", "pending", "start()"),
            ("registered", "pending", "the connection is lost, others delete the node"),
            ("pending", "blocked", "another session's node is there"),
            ("blocked", "registered", "that node is gone"),
            ("registered", "withdrawn", "stop()"),
        ):
            self.assertIn(f"{before} to {after}: {cause}", drawn)

    def test_states(self) -> None:
        """The timeline has a label for each state, however short it is."""
        page = (SITE / "explanation" / "outage.html").read_text("utf-8")
        with (DOCS / "explanation" / "outage.csv").open() as file:
            rows = csv.DictReader(line for line in file if not line.startswith("#"))
            states = Counter(row["state"] for row in rows)
        self.assertEqual(states["withdrawn"], 2)
        self.assertEqual(Counter({state: page.count(f">{state}</text>") for state in states}), states)

    def test_ensemble(self) -> None:
        """The bars of the ensemble's cost have the figures of the table below the command."""
        text = (DOCS / "explanation" / "speed.rst").read_text("utf-8")
        rows = re.findall(r"^([\d,]+) +(own|side) +\S+ +\S+ +\S+ +(\S+) ", text, re.MULTILINE)
        table = {(f"{nodes} nodes", f"{way} session", figure) for nodes, way, figure in rows}
        with (DOCS / "speed" / "ensemble.csv").open() as file:
            drawn = {tuple(row) for row in csv.reader(file) if row[0].endswith(" nodes")}
        self.assertEqual(len(drawn), 6)
        self.assertEqual(drawn - table, set())


class BrowserTests(SynchronousTestCase):
    def setUp(self) -> None:
        """Use one browser for all pages."""
        self.browser = shared_browser()

    def test_widths(self) -> None:
        """In a narrow window and on a small screen, light and dark, nothing overflows. Code is cut off at no line there."""
        found = []
        for name in pages():
            self.browser.open((SITE / name).as_uri(), width=NARROW)
            for width, dark in ((NARROW, False), (NARROW, True), (WIDE, True), (WIDE, False)):
                self.browser.appear(width=width, dark=dark)
                found += [f"{name} at {width}: {each}" for each in self.browser.run(_OVERFLOW, width == WIDE)]
        self.assertEqual(sorted(set(found)), [])

    def test_routes(self) -> None:
        """In a narrow window a route breaks only at a space or after a slash."""
        self.browser.open((SITE / "operations" / "http.html").as_uri(), width=NARROW)
        routes = self.browser.lines("table.routes td:first-child code")
        self.assertIn("PUT /v1/daemon/services/{id}/checks/{check}", ["".join(lines) for lines in routes])
        self.assertEqual([lines for lines in routes if not all(line.endswith(("/", " ")) for line in lines[:-1])], [])

    def test_charts(self) -> None:
        """In a narrow window and on a small screen, no text of a chart is cut off or lies on another one."""
        found = []
        charts = [name for name in pages() if 'class="chart"' in (SITE / name).read_text("utf-8")]
        self.assertIn("explanation/speed.html", charts)
        for name in charts:
            for width in (NARROW, WIDE):
                self.browser.open((SITE / name).as_uri(), width=width)
                found += [f"{name} at {width}: {each}" for each in self.browser.run(_CHART_TEXTS)]
        self.assertEqual(found, [])

    def test_accessible(self) -> None:
        """The first page, a guide and a page of the reference follow the rules of axe, light and dark."""
        for name in ("index.html", "guides/discovery.html", "reference/discovery.html"):
            for dark in (False, True):
                self.browser.open((SITE / name).as_uri(), width=WIDE, dark=dark)
                self.assertEqual(self.browser.violations(), [], name)
