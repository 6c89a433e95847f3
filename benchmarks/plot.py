"""Draws lines with logarithmic axes as SVG, with nothing but the standard library."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from html import escape

import attrs

_WIDTH, _HEIGHT = 360, 300
_LEFT, _RIGHT, _TOP, _BOTTOM = 56, 16, 64, 44
_COLOURS = ("#1b6ca8", "#c8553d", "#4f7942", "#7d5ba6")
_STYLE = "font-family: sans-serif; font-size: 12px"


@attrs.frozen
class Panel:
    """One drawing: lines through points, by name."""

    title: str
    """The quantity of the horizontal axis."""
    lines: Mapping[str, Sequence[tuple[float, float]]]

    def elements(self, left: float) -> Iterator[str]:
        """Return the elements to draw, from ``left`` on to the right."""
        across = _Axis([x for points in self.lines.values() for x, _ in points], left + _LEFT, left + _WIDTH - _RIGHT)
        up = _Axis([y for points in self.lines.values() for _, y in points], _HEIGHT - _BOTTOM, _TOP)
        for decade in across.decades():
            x = across.at(decade)
            yield _line(x, up.first, x, up.last, "#dddddd")
            yield _text(x, up.first + 16, f"{decade:,g}", "middle")
        for decade in up.decades():
            y = up.at(decade)
            yield _line(across.first, y, across.last, y, "#dddddd")
            yield _text(across.first - 6, y + 4, f"{decade:,g}", "end")
        yield _text((across.first + across.last) / 2, up.first + 34, self.title, "middle")
        for number, (name, points) in enumerate(self.lines.items()):
            colour = _COLOURS[number % len(_COLOURS)]
            placed = [(across.at(x), up.at(y)) for x, y in points]
            path = " ".join(f"{x:.1f},{y:.1f}" for x, y in placed)
            yield f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="2"/>'
            yield from (f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3" fill="{colour}"/>' for x, y in placed)
            yield _text(across.first, 16 + 15 * number, name, "start", colour)


class Plot:
    """Panels side by side."""

    def __init__(self, *panels: Panel) -> None:
        self._panels = panels

    def svg(self) -> str:
        """Return the whole file."""
        width = _WIDTH * len(self._panels)
        drawn = [each for number, panel in enumerate(self._panels) for each in panel.elements(_WIDTH * number)]
        head = (
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {_HEIGHT}" width="{width}" style="{_STYLE}">'
        )
        white = f'<rect width="{width}" height="{_HEIGHT}" fill="white"/>'
        return "\n".join([head, white, *drawn, "</svg>", ""])


class _Axis:
    """A logarithmic scale: the places of numbers between two places."""

    def __init__(self, numbers: Sequence[float], first: float, last: float) -> None:
        self.first, self.last = first, last
        self._low, self._high = math.floor(math.log10(min(numbers))), math.ceil(math.log10(max(numbers)))

    def decades(self) -> list[float]:
        """Return the powers of ten on it."""
        return [10.0**power for power in range(self._low, self._high + 1)]

    def at(self, number: float) -> float:
        """Return the place of a number."""
        share = (math.log10(number) - self._low) / (self._high - self._low)
        return self.first + share * (self.last - self.first)


def _line(x1: float, y1: float, x2: float, y2: float, colour: str) -> str:
    return f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" stroke="{colour}"/>'


def _text(x: float, y: float, text: str, anchor: str, colour: str = "#333333") -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" fill="{colour}">{escape(text)}</text>'
