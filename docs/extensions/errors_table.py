"""A Sphinx directive that lists the exceptions with their codes and attributes, from the classes."""

from __future__ import annotations

from collections.abc import Iterator

from docutils import nodes
from docutils.statemachine import StringList
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

from txmirror import errors

_WORDS = {True: "yes", False: "no", None: "unknown"}


def errors_rst() -> Iterator[str]:
    """Yield the lines of a table of all exceptions of ZooKeeper."""
    yield from (".. list-table::", "   :header-rows: 1", "")
    yield from ("   * - Exception", "     - Code", "     - Applied", "     - Retryable", "     - Session over")
    for name, cls in vars(errors).items():
        if isinstance(cls, type) and issubclass(cls, errors.ZooKeeperException) and not name.startswith("_"):
            yield f"   * - :exc:`~txmirror.errors.{name}`"
            yield f"     - {'' if cls.code is None else cls.code}"
            yield from (f"     - {_WORDS[value]}" for value in (cls.applied, cls.retryable, cls.session_over))
    yield ""


class ErrorsTable(SphinxDirective):
    """``.. errors-table::``"""

    def run(self) -> list[nodes.Node]:
        container = nodes.container()
        self.state.nested_parse(StringList(list(errors_rst()), source="errors"), self.content_offset, container)
        return container.children


def setup(app: Sphinx) -> None:
    """Register the directive."""
    app.add_directive("errors-table", ErrorsTable)
