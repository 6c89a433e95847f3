"""A Sphinx directive that lists the daemon's metrics, from their definitions."""

from __future__ import annotations

from collections.abc import Iterator

from docutils import nodes
from docutils.statemachine import StringList
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

from txmirror.service import METRICS


def metrics_rst() -> Iterator[str]:
    """Yield the lines of a table of all metrics."""
    yield from (".. list-table::", "   :header-rows: 1", "   :widths: 50 14 22 60", "")
    yield from ("   * - Metric", "     - Type", "     - Labels", "     - Meaning")
    for metric in METRICS:
        yield f"   * - ``{metric.name}``"
        yield f"     - {metric.kind.value}"
        yield f"     - {', '.join(f'``{label}``' for label in metric.labels)}"
        yield f"     - {metric.help}"
    yield ""


class MetricsTable(SphinxDirective):
    """``.. metrics-table::``"""

    def run(self) -> list[nodes.Node]:
        container = nodes.container()
        self.state.nested_parse(StringList(list(metrics_rst()), source="metrics"), self.content_offset, container)
        return container.children


def setup(app: Sphinx) -> None:
    """Register the directive."""
    app.add_directive("metrics-table", MetricsTable)
