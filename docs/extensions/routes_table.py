"""A Sphinx directive that lists the routes of the HTTP API, from their table."""

from __future__ import annotations

import re
from collections.abc import Iterator

from docutils import nodes
from docutils.statemachine import StringList
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

from txmirror.web.api import ROUTES


def routes_rst() -> Iterator[str]:
    """Yield the lines of a table of all routes."""
    yield from (".. list-table::", "   :header-rows: 1", "   :widths: 45 60 45", "   :class: routes", "")
    yield from ("   * - Route", "     - Answer", "     - Query")
    for route in ROUTES:
        keys = ", ".join(f"``{name}{'KEY' if name.endswith('.') else ''}``" for name in route.query)
        yield f"   * - ``{route.method} {route.path}``"
        yield f"     - {route.text}"
        yield f"     - {keys}"
    yield ""


class RoutesTable(SphinxDirective):
    """``.. routes-table::``"""

    def run(self) -> list[nodes.Node]:
        container = nodes.container()
        self.state.nested_parse(StringList(list(routes_rst()), source="routes"), self.content_offset, container)
        for literal in list(container.findall(nodes.literal)):
            break_after_slashes(literal)
        return container.children


def break_after_slashes(literal: nodes.literal) -> None:
    """Let a browser break a route after each slash. The style permits no other break in it."""
    first, *others = re.split(r"(?<=/)(?=.)", literal.astext())
    literal.children = []
    literal += nodes.Text(first)
    for part in others:
        literal += [nodes.raw("", "<wbr>", format="html"), nodes.Text(part)]


def setup(app: Sphinx) -> None:
    """Register the directive."""
    app.add_directive("routes-table", RoutesTable)
