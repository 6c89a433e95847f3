"""Sphinx directives that draw measured figures as bars, and recorded states as a timeline.

A file is CSV. For bars, its first lines are comments: ``# title: ...``, ``# measured: ...`` (the machine and the date) and ``# command: ...``.
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


#: States that are drawn strongly: all is well.
_WELL = frozenset({"there", "settled", "held", "registered", "exists"})
#: The width that a letter needs, in percent of a narrow window, and the height of an object's states, in pixels.
_LETTER, _STATES = 1.8, 22


def timeline_svg(rows: list[list[str]], key: str, title: str) -> str:
    """Draw the states of objects over time, an object below the other.

    :param rows: the object, the start and the end of a state in seconds, and the state.
    :param key: the prefix of the drawing's ids.
    """
    lanes: dict[str, list[tuple[float, float, str]]] = {}
    for name, start, end, state in rows:
        lanes.setdefault(name, []).append((float(start), float(end), state))
    total = max(end for states in lanes.values() for _, end, _ in states)
    bottom = len(lanes) * (_HEADING + _STATES)
    described = "; ".join(
        f"{name}: " + ", ".join(f"{state} from {start:g} s to {end:g} s" for start, end, state in states)
        for name, states in lanes.items()
    )
    drawn = "".join([*_lanes(lanes, total), *_seconds(total, bottom)])
    return (
        f'<svg class="timeline" role="img" width="100%" style="height: {bottom + 26}px" aria-labelledby="{key}-title" '
        f'aria-describedby="{key}-desc"><title id="{key}-title">{escape(title)}</title>'
        f'<desc id="{key}-desc">{escape(described)}.</desc>{drawn}</svg>'
    )


def _lanes(lanes: dict[str, list[tuple[float, float, str]]], total: float) -> Iterator[str]:
    y = 0
    for name, states in lanes.items():
        yield f'<text class="group" x="0" y="{y + 18}">{escape(name)}</text>'
        y += _HEADING
        for start, end, state in states:
            left, width = 100 * start / total, 100 * (end - start) / total
            kind = "ours" if state in _WELL else "whole"
            yield f'<rect class="{kind}" x="{left:.2f}%" y="{y}" width="{width:.2f}%" height="{_STATES - 2}"/>'
            if width > _LETTER * len(state):
                yield f'<text class="on-{kind}" x="{left:.2f}%" dx="4" y="{y + 14}">{escape(state)}</text>'
        y += _STATES


def _seconds(total: float, bottom: int) -> Iterator[str]:
    for second in range(0, round(total), 5):
        x = f"{100 * second / total:.2f}%"
        unit = " s" if second else ""
        yield f'<line x1="{x}" x2="{x}" y1="{_HEADING}" y2="{bottom + 6}"/>'
        yield f'<text x="{x}" y="{bottom + 20}">{second}{unit}</text>'


class Timeline(SphinxDirective):
    """``.. timeline:: FILE``, with the caption as content."""

    required_arguments = 1
    has_content = True

    def run(self) -> list[nodes.Node]:
        relative, path = self.env.relfn2path(self.arguments[0])
        self.env.note_dependency(relative)
        with Path(path).open(encoding="utf-8") as file:
            _, *rows = csv.reader(file)
        caption = " ".join(self.content)
        return [figure(timeline_svg(rows, f"timeline-{Path(path).stem}", caption), escape(caption))]


def setup(app: Sphinx) -> None:
    """Register the directives."""
    app.add_directive("bars", Bars)
    app.add_directive("timeline", Timeline)
