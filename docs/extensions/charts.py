"""Sphinx directives that draw measured figures as bars, and recorded states as a timeline.

A file is CSV. Its first lines are comments: ``# title: ...``, ``# measured: ...`` (the machine and the date) and ``# command: ...``.
For bars, the first column is the group, the second one the bar's name. One or two columns of numbers follow, whose headers have the unit in
parentheses. Of two numbers, the smaller one is drawn over the larger one. With a comment
``# ratios: yes``, the first bar of a group is compared with the others; otherwise all are alike.
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
_LEFT, _RIGHT = 27, 65
_TIMES = "\N{MULTIPLICATION SIGN}"


def read(path: Path) -> tuple[dict[str, str], list[list[str]]]:
    """Return the comments of a file by their names, and its rows: the first one is the header."""
    lines = path.read_text("utf-8").splitlines()
    notes = dict(re.findall(r"^# (\w+): (.+)$", "\n".join(lines), re.MULTILINE))
    return notes, list(csv.reader(line for line in lines if not line.startswith("#")))


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
        notes, ((_, _, *quantities), *rows) = read(path)
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
            ours = " ours" if bar is bars[0] or not figures.notes.get("ratios") else ""
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


def captioned(notes: dict[str, str], text: str = "") -> str:
    """Return a caption in HTML: the title, a text of the page, how the figures were measured, and the command."""
    parts = (notes.get("title"), text, notes.get("measured"))
    caption = " ".join(f"{escape(each.rstrip('.'))}." for each in parts if each)
    if notes.get("command"):
        caption += f" Repeat it with <code>{escape(notes['command'])}</code>"
    return caption


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
        caption = captioned(figures.notes, self.options.get("colours", ""))
        return [figure(bars_svg(figures, f"bars-{Path(path).stem}"), caption)]


#: States that are drawn strongly: all is well.
_WELL = frozenset({"there", "settled", "held", "registered", "exists"})
#: The width that a letter needs, in percent of a narrow window; the heights of an object's states and of a label below, in pixels.
_LETTER, _STATES, _LABEL = 1.8, 22, 15


def timeline_svg(rows: list[list[str]], key: str, title: str) -> str:
    """Draw the states of objects over time, an object below the other.

    :param rows: the object, the start and the end of a state in seconds, and the state.
    :param key: the prefix of the drawing's ids.
    """
    lanes: dict[str, list[tuple[float, float, str]]] = {}
    for name, start, end, state in rows:
        lanes.setdefault(name, []).append((float(start), float(end), state))
    total = max(end for states in lanes.values() for _, end, _ in states)
    labels = {name: _labels(states, total) for name, states in lanes.items()}
    bottom = sum(_HEADING + _STATES + _below(placed) for placed in labels.values())
    described = "; ".join(
        f"{name}: " + ", ".join(f"{state} from {start:g} s to {end:g} s" for start, end, state in states)
        for name, states in lanes.items()
    )
    drawn = "".join([*_seconds(total, bottom), *_lanes(lanes, labels, total)])
    return (
        f'<svg class="timeline" role="img" width="100%" style="height: {bottom + 26}px" aria-labelledby="{key}-title" '
        f'aria-describedby="{key}-desc"><title id="{key}-title">{escape(title)}</title>'
        f'<desc id="{key}-desc">{escape(described)}.</desc>{drawn}</svg>'
    )


@attrs.frozen
class _Label:
    """The label below a state that is too short for it: a line leads there from the middle of the state."""

    state: str
    x: float
    """The line's place, in percent of the width."""
    row: int = 0

    @property
    def to_left(self) -> bool:
        """Whether the text is left of the line: at the right end there is no space."""
        return self.x + self.width > 100

    @property
    def width(self) -> float:
        """The width of the text in a narrow window, in percent."""
        return _needed(self.state)

    def overlaps(self, other: _Label) -> bool:
        """Return whether the texts need different rows."""
        (left, right), (left2, right2) = (
            (each.x - each.width, each.x) if each.to_left else (each.x, each.x + each.width) for each in (self, other)
        )
        return left < right2 and left2 < right

    def elements(self, y: int) -> Iterator[str]:
        """Draw it below states that end at ``y``."""
        end = y + _LABEL * (self.row + 1)
        x, anchor, away = f"{self.x:.2f}%", *(("end", -4) if self.to_left else ("start", 4))
        yield f'<line class="leader" x1="{x}" x2="{x}" y1="{y}" y2="{end - 1}"/>'
        yield f'<text x="{x}" dx="{away}" y="{end - 2}" text-anchor="{anchor}">{escape(self.state)}</text>'


def _needed(text: str) -> float:
    """Return the width that a text needs in a narrow window, with its distance from an edge, in percent."""
    return _LETTER * (len(text) + 1)


def _labels(states: list[tuple[float, float, str]], total: float) -> list[_Label]:
    """Return the labels of the short states. No line crosses a text: of two that overlap, the one farther outside is in a lower row."""
    short = [
        _Label(state, 50 * (start + end) / total)
        for start, end, state in states
        if 100 * (end - start) / total <= _needed(state)
    ]
    placed: list[_Label] = []
    for label in [*(each for each in reversed(short) if not each.to_left), *(each for each in short if each.to_left)]:
        row = max((other.row + 1 for other in placed if label.overlaps(other)), default=0)
        placed.append(attrs.evolve(label, row=row))
    return placed


def _below(labels: list[_Label]) -> int:
    return max((_LABEL * (label.row + 1) for label in labels), default=0)


def _lanes(
    lanes: dict[str, list[tuple[float, float, str]]], labels: dict[str, list[_Label]], total: float
) -> Iterator[str]:
    y = 0
    for name, states in lanes.items():
        yield f'<text class="group" x="0" y="{y + 18}">{escape(name)}</text>'
        y += _HEADING
        for start, end, state in states:
            left, width = 100 * start / total, 100 * (end - start) / total
            kind = "ours" if state in _WELL else "whole"
            yield f'<rect class="{kind}" x="{left:.2f}%" y="{y}" width="{width:.2f}%" height="{_STATES - 2}"/>'
            if width > _needed(state):
                yield f'<text class="on-{kind}" x="{left:.2f}%" dx="4" y="{y + 14}">{escape(state)}</text>'
        for label in labels[name]:
            yield from label.elements(y + _STATES - 2)
        y += _STATES + _below(labels[name])


def _seconds(total: float, bottom: int) -> Iterator[str]:
    for second in range(0, round(total), 5):
        x = f"{100 * second / total:.2f}%"
        unit = " s" if second else ""
        anchor = "middle" if 0 < second < 0.95 * total else "end" if second else "start"
        yield f'<line x1="{x}" x2="{x}" y1="{_HEADING}" y2="{bottom + 6}"/>'
        yield f'<text x="{x}" y="{bottom + 20}" text-anchor="{anchor}">{second}{unit}</text>'


class Timeline(SphinxDirective):
    """``.. timeline:: FILE``, with the caption as content."""

    required_arguments = 1
    has_content = True

    def run(self) -> list[nodes.Node]:
        relative, path = self.env.relfn2path(self.arguments[0])
        self.env.note_dependency(relative)
        notes, (_, *rows) = read(Path(path))
        caption = " ".join(self.content)
        return [figure(timeline_svg(rows, f"timeline-{Path(path).stem}", caption), captioned(notes, caption))]


def setup(app: Sphinx) -> None:
    """Register the directives."""
    app.add_directive("bars", Bars)
    app.add_directive("timeline", Timeline)
