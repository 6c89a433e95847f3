"""A Sphinx directive: the table of recipes on one path with those of other projects, from the tests."""

from __future__ import annotations

import runpy
from collections.abc import Iterator
from pathlib import Path

from docutils import nodes
from docutils.statemachine import StringList
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

# The package of the tests needs hypothesis; this module of it needs nothing.
_TESTS = Path(__file__).parents[2] / "txmirror" / "test" / "recipes"
ROWS = runpy.run_path(str(_TESTS / "shared_paths.py"))["ROWS"]


def table_rst() -> Iterator[str]:
    """Yield the lines of the table."""
    yield from (".. list-table::", "   :header-rows: 1", "   :widths: 30 35 35", "")
    yield from ("   * - Theirs", "     - Ours", "     - On one path")
    for row in ROWS:
        yield from (f"   * - {row.theirs}", f"     - {row.ours}", f"     - {row.effect}")
    yield ""


class SharedPathsTable(SphinxDirective):
    """``.. shared-paths-table::``"""

    def run(self) -> list[nodes.Node]:
        container = nodes.container()
        self.state.nested_parse(StringList(list(table_rst()), source="shared paths"), self.content_offset, container)
        return container.children


def setup(app: Sphinx) -> None:
    """Register the directive."""
    app.add_directive("shared-paths-table", SharedPathsTable)
