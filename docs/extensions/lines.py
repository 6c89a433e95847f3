"""The Sphinx directive ``lines``: it draws how figures grow, as lines in panels with logarithmic axes, and shows them as a table.

The file begins with comments, as those of ``charts`` do. Its first two columns are numbers of nodes and of mirrors: the first line goes through
the rows with one mirror, the second one through those with as many nodes as in the first row. The place from left to right is the number of
all nodes.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from html import escape
from itertools import pairwise
from pathlib import Path
from typing import ClassVar

import attrs
from charts import captioned, figure, read
from docutils import nodes
from docutils.parsers.rst import directives
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

#: The places of the axes: across in percent of a panel's width, up and down in pixels. And the height of a panel.
_LEFT, _RIGHT, _TOP, _BOTTOM, _HEIGHT = 13, 94, 54, 214, 250
#: The space beside the outermost points, in powers of ten.
_SPACE = 0.1
#: The classes of the lines, and where the legend has their names, in percent of the width.
_LINES = (("ours", 0), ("other", 34))


@attrs.frozen
class Panel:
    """One drawing: lines through points, by name."""

    title: str
    """The quantity from below to above, with its unit."""
    across: str
    """The quantity from left to right."""
    lines: Mapping[str, Sequence[tuple[int, str]]]
    """The points, with the numbers as the file has them."""

    def svg(self, key: str) -> str:
        """Draw it. Places across are in percent, so that the text keeps its size in a narrow window.

        :param key: the prefix of the drawing's ids.
        """
        described = "; ".join(
            f"{name}: " + ", ".join(f"{figure} with {x:,} {self.across}" for x, figure in points)
            for name, points in self.lines.items()
        )
        return (
            f'<svg class="lines" role="img" width="100%" style="height: {_HEIGHT}px" aria-labelledby="{key}-title" '
            f'aria-describedby="{key}-desc"><title id="{key}-title">{escape(self.title)} by {escape(self.across)}</title>'
            f'<desc id="{key}-desc">{escape(described)}.</desc>{"".join(self._elements())}</svg>'
        )

    def _elements(self) -> Iterator[str]:
        across = _Axis.around([x for points in self.lines.values() for x, _ in points], _LEFT, _RIGHT)
        up = _Axis.around([float(y) for points in self.lines.values() for _, y in points], _BOTTOM, _TOP)
        yield f'<text class="group" x="0" y="14">{escape(self.title)}</text>'
        for decade in across.decades():
            x = f"{across.at(decade):.2f}%"
            yield f'<line class="grid" x1="{x}" x2="{x}" y1="{_TOP}" y2="{_BOTTOM}"/>'
            yield f'<text x="{x}" y="{_BOTTOM + 15}" text-anchor="middle">{decade:,g}</text>'
        for decade in up.decades():
            y = f"{up.at(decade):.1f}"
            yield f'<line class="grid" x1="{_LEFT}%" x2="{_RIGHT}%" y1="{y}" y2="{y}"/>'
            yield f'<text x="{_LEFT}%" dx="-5" y="{y}" dy="4" text-anchor="end">{decade:,g}</text>'
        yield f'<text x="{(_LEFT + _RIGHT) / 2}%" y="{_BOTTOM + 31}" text-anchor="middle">{escape(self.across)}</text>'
        for (kind, legend), (name, points) in zip(_LINES, self.lines.items(), strict=True):
            yield f'<svg class="mark" x="{legend}%" y="24"><circle class="{kind}" cx="6" cy="6" r="4"/></svg>'
            yield f'<text x="{legend}%" dx="16" y="34">{escape(name)}</text>'
            placed = [(f"{across.at(x):.2f}%", f"{up.at(float(y)):.1f}") for x, y in points]
            for (x1, y1), (x2, y2) in pairwise(placed):
                yield f'<line class="{kind}" x1="{x1}" x2="{x2}" y1="{y1}" y2="{y2}"/>'
            yield from (f'<circle class="{kind}" cx="{x}" cy="{y}" r="4"/>' for x, y in placed)


@attrs.frozen
class _Axis:
    """A logarithmic scale between two places. ``low`` and ``high`` are powers of ten."""

    low: float
    high: float
    first: float
    last: float

    @classmethod
    def around(cls, numbers: Sequence[float], first: float, last: float) -> _Axis:
        """Return a scale for these numbers, with some space beside them."""
        return cls(math.log10(min(numbers)) - _SPACE, math.log10(max(numbers)) + _SPACE, first, last)

    def decades(self) -> list[float]:
        """Return the powers of ten on it."""
        return [10.0**power for power in range(math.ceil(self.low), math.floor(self.high) + 1)]

    def at(self, number: float) -> float:
        """Return the place of a number."""
        share = (math.log10(number) - self.low) / (self.high - self.low)
        return self.first + share * (self.last - self.first)


class Lines(SphinxDirective):
    """``.. lines:: FILE``, relative to the folder of the documents. The option ``columns`` names the columns to draw, with semicolons."""

    required_arguments = 1
    option_spec: ClassVar = {"columns": directives.unchanged_required}

    def run(self) -> list[nodes.Node]:
        relative, path = self.env.relfn2path(self.arguments[0])
        self.env.note_dependency(relative)
        notes, (header, *rows) = read(Path(path))
        smallest = rows[0][0]
        lines = {
            "one mirror": [row for row in rows if row[1] == "1"],
            f"mirrors of {smallest} nodes": [row for row in rows if row[0] == smallest],
        }
        drawn = "".join(
            Panel(
                column[:1].upper() + column[1:],
                "nodes in all",
                {
                    name: [(_number(row[0]) * _number(row[1]), row[header.index(column)]) for row in chosen]
                    for name, chosen in lines.items()
                },
            ).svg(f"lines-{Path(path).stem}-{number}")
            for number, column in enumerate(self.options["columns"].split("; "))
        )
        table = [".. csv-table::", "   :header-rows: 1", ""]
        table += [f"   {line}" for line in Path(path).read_text("utf-8").splitlines() if not line.startswith("#")]
        return [
            figure(f'<div class="panels">{drawn}</div>', captioned(notes)),
            *self.parse_text_to_nodes("\n".join(table)),
        ]


def _number(text: str) -> int:
    return int(text.replace(",", ""))


def setup(app: Sphinx) -> None:
    """Register the directive."""
    app.add_directive("lines", Lines)
