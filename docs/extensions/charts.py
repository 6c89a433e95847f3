"""A Sphinx directive that draws measured figures as bars.

The file is CSV. Its first lines are comments: ``# title: ...``, ``# measured: ...`` (the machine and the date) and ``# command: ...``.
The first column is the group, the second one the bar's name. One or two columns of numbers follow, whose headers have the unit in
parentheses. Of two numbers, the smaller one is drawn over the larger one.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator
from html import escape
from pathlib import Path
from typing import ClassVar

import attrs
from docutils import nodes
from docutils.parsers.rst import directives
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

#: The heights of a group's heading and of a bar, in pixels.
_HEADING, _ROW = 26, 20
#: The horizontal places of the bars and of their ends, in percent of the width.
_LEFT, _RIGHT = 27, 66
_TIMES = "\N{MULTIPLICATION SIGN}"


@attrs.frozen
class Bar:
    """One bar: its name, and one or two numbers as the file has them."""

    name: str
    figures: tuple[str, ...]

    @property
    def length(self) -> float:
        """The largest number."""
        return max(map(float, self.figures))


@attrs.frozen
class Figures:
    """The figures of a file."""

    notes: dict[str, str]
    """The comments by their names: title, measured, command."""
    quantities: tuple[str, ...]
    """The headers of the columns of numbers, with their units."""
    groups: dict[str, list[Bar]]

    @classmethod
    def read(cls, path: Path) -> Figures:
        """Read a file."""
        lines = path.read_text("utf-8").splitlines()
        notes = dict(re.findall(r"^# (\w+): (.+)$", "\n".join(lines), re.MULTILINE))
        (_, _, *quantities), *rows = csv.reader(line for line in lines if not line.startswith("#"))
        groups: dict[str, list[Bar]] = {}
        for group, name, *figures in rows:
            groups.setdefault(group, []).append(Bar(name, tuple(figures)))
        return cls(notes, tuple(quantities), groups)

    @property
    def unit(self) -> str:
        """The unit of all numbers."""
        (unit,) = {re.search(r"\(([^)]+)\)", each)[1] for each in self.quantities}  # type: ignore[index]
        return unit

    def label(self, bar: Bar, first: Bar) -> str:
        """Return the text at the end of a bar: its numbers, and the ratio of the first one to that of the first bar."""
        text = f"{bar.figures[0]} {self.unit}" + "".join(f" ({each})" for each in bar.figures[1:])
        return text if bar is first or not self.notes.get("ratios") else f"{text} {_ratio(bar, first)}"

    def described(self) -> str:
        """Return all figures as text."""
        groups = (
            f"{group}: " + ", ".join(f"{bar.name} {self.label(bar, bars[0])}" for bar in bars)
            for group, bars in self.groups.items()
        )
        return f"{', then '.join(self.quantities)}. " + "; ".join(groups) + "."


def _ratio(bar: Bar, first: Bar) -> str:
    ratio = float(bar.figures[0]) / float(first.figures[0])
    return f"{_TIMES}{ratio:.0f}" if ratio >= 10 else f"{_TIMES}{ratio:.2g}"


def bars_svg(figures: Figures, key: str) -> str:
    """Draw the bars. Lengths are in percent, so that the text keeps its size in a narrow window.

    :param key: the prefix of the drawing's ids.
    """
    height = sum(_HEADING + _ROW * len(bars) for bars in figures.groups.values()) + 4
    drawn = "".join(_groups(figures))
    return (
        f'<svg class="bars" role="img" width="100%" style="height: {height}px" aria-labelledby="{key}-title" '
        f'aria-describedby="{key}-desc"><title id="{key}-title">{escape(figures.notes["title"])}</title>'
        f'<desc id="{key}-desc">{escape(figures.described())}</desc>{drawn}</svg>'
    )


def _groups(figures: Figures) -> Iterator[str]:
    y = 0
    for group, bars in figures.groups.items():
        yield f'<text class="group" x="0" y="{y + 18}">{escape(group)}</text>'
        y += _HEADING
        longest = max(bar.length for bar in bars)
        for bar in bars:
            ours = " ours" if bar is bars[0] else ""
            yield f'<text x="0" y="{y + 13}">{escape(bar.name)}</text>'
            for number, figure in enumerate(sorted(map(float, bar.figures), reverse=True)):
                width = (_RIGHT - _LEFT) * figure / longest
                shade = "part" if number else "whole" if len(bar.figures) > 1 else "part"
                yield (
                    f'<rect class="{shade}{ours}" x="{_LEFT}%" y="{y + 2}" width="{width:.2f}%" height="{_ROW - 5}"/>'
                )
            end = _LEFT + (_RIGHT - _LEFT) * bar.length / longest
            text = escape(figures.label(bar, bars[0]))
            yield f'<text x="{end:.2f}%" dx="5" y="{y + 13}">{text}</text>'
            y += _ROW


def figure(svg: str, caption: str) -> nodes.raw:
    """Return a drawing with a caption, both in HTML. A drawing that is wider than the window can be scrolled."""
    html = f'<figure class="chart"><div tabindex="0">{svg}</div><figcaption>{caption}</figcaption></figure>'
    return nodes.raw("", html, format="html")


class Bars(SphinxDirective):
    """``.. bars:: FILE``, relative to the folder of the documents. The option ``colours`` says what the two shades mean."""

    required_arguments = 1
    option_spec: ClassVar = {"colours": directives.unchanged}

    def run(self) -> list[nodes.Node]:
        relative, path = self.env.relfn2path(self.arguments[0])
        self.env.note_dependency(relative)
        figures = Figures.read(Path(path))
        notes = [figures.notes["title"], self.options.get("colours", ""), figures.notes["measured"]]
        caption = " ".join(f"{escape(each.rstrip('.'))}." for each in notes if each)
        if figures.notes.get("command"):
            caption += f" Repeat it with <code>{escape(figures.notes['command'])}</code>"
        return [figure(bars_svg(figures, f"bars-{Path(path).stem}"), caption)]


def setup(app: Sphinx) -> None:
    """Register the directive."""
    app.add_directive("bars", Bars)
