"""The HTML of the page: its frame, and a table of services for browsers that run no scripts."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Final

import attrs
from twisted.internet.defer import Deferred
from twisted.python.filepath import FilePath
from twisted.web.iweb import IRequest
from twisted.web.template import Element, Tag, XMLFile, flattenString, renderer, tags

from txmirror.printable import on_one_line

#: The most services in the table. The whole list is in ``/v1/services``.
MOST_ROWS: Final = 200
#: The most characters of a name in the table.
_LONGEST: Final = 200
_LOADER: Final = XMLFile(FilePath(str(Path(__file__).with_name("page.xml"))))


@attrs.frozen
class ServiceRow:
    """A service in the table."""

    name: str
    """Its name."""
    instances: int
    """The number of its instances."""
    usable: int
    """The number of those that can be used."""


@attrs.frozen
class PageContent:
    """The contents of the page for a browser that runs no scripts."""

    now: float
    """The time, in seconds since the Unix epoch."""
    known: bool
    """True if there is a list of services."""
    age: float
    """For how long the list may be old, in seconds; 0 while the daemon is connected to ZooKeeper."""
    services: Sequence[ServiceRow]
    """The first services in order of their names; at most :data:`MOST_ROWS` are shown."""
    total: int
    """The number of all services."""


def render_page(content: PageContent) -> Deferred[bytes]:
    """Return the page in HTML. All names in it are escaped and bounded."""
    rendered = flattenString(None, _Page(content))
    return rendered.addCallback(lambda html: b"<!DOCTYPE html>\n" + html)


class _Page(Element):
    loader = _LOADER

    def __init__(self, content: PageContent) -> None:
        super().__init__()
        self._content = content

    @renderer
    def whole(self, request: IRequest | None, tag: Tag) -> Tag:
        return tag.fillSlots(now=f"{self._content.now:.3f}", as_of=self._as_of())

    @renderer
    def services(self, request: IRequest | None, tag: Tag) -> Tag | str:
        content = self._content
        if not content.services:
            return ""
        heads = tags.tr(*(tags.th(each, scope="col") for each in ("Service", "Instances", "Usable")))
        shown = content.services[:MOST_ROWS]
        rows = [
            tags.tr(tags.td(_bounded(row.name)), tags.td(str(row.instances)), tags.td(str(row.usable))) for row in shown
        ]
        more = content.total - len(shown)
        table = tags.table(tags.thead(heads), tags.tbody(*rows))
        return tag(table, tags.p(f"{more} more are not shown.")) if more > 0 else tag(table)

    def _as_of(self) -> str:
        content = self._content
        if not content.known:
            return "The list of services is not known yet. Load the page again in some seconds."
        if content.age > 0:
            return f"ZooKeeper is out of reach: this list is {_duration(content.age)} old."
        if not content.total:
            return "Nothing is registered. This list was up to date when the page was loaded."
        return "This list was up to date when the page was loaded."


def _bounded(name: str) -> str:
    return on_one_line(name if len(name) <= _LONGEST else f"{name[:_LONGEST]}...")


def _duration(seconds: float) -> str:
    for unit, name in ((86400, "d"), (3600, "h"), (60, "min")):
        if seconds >= 2 * unit:
            return f"{seconds / unit:.0f} {name}"
    return f"{seconds:.0f} s"
