"""Values as YAML and as JSON, a line at a time, and tables.

Values are what JSON has: dicts, lists, texts, numbers, true, false and nothing. They may be as deep as they like, and
hold any text: what does not print is escaped, in ways that a reader of the format undoes.

(PyYAML takes seventeen times as long as this, five times with its library in C, which counts for a tree of 100,000 nodes; and it
fails at 200 levels.)
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from txmirror.printable import on_one_line

#: What YAML takes as it stands for a text, and for nothing else.
_PLAIN = re.compile(r"[/A-Za-z_](?:[/\w.@+-]|:(?!\Z))*", re.ASCII)
#: But not these, which some of its versions take for something else.
_WORDS = frozenset(("y", "n", "yes", "no", "on", "off", "true", "false", "null"))
#: From this length on, YAML wants a key to be marked as one.
_LONG_KEY = 1000
#: A text for one line of a table or a tree is no longer than this.
_EXCERPT = 200

_Token = tuple[int, "str | None", Any, bool]


class _End:
    """Stands for the end of a mapping or a list."""

    def __init__(self, of: object) -> None:
        self.mapping = isinstance(of, dict)


def yaml_lines(value: object) -> Iterator[str]:
    """Give a value as YAML."""
    for depth, key, each, _ in _tokens(value):
        if isinstance(each, _End):
            continue
        pad = "  " * (depth - 1)
        text = "" if _is_full(each) else " " + _yaml_scalar(each)
        if key is not None:
            name = _yaml_text(key)
            if len(name) > _LONG_KEY:
                yield f"{pad}? {name}"
                name = ""
            yield f"{pad}{name}:{text}"
        elif depth:
            yield f"{pad}-{text}"
        elif text:
            yield text[1:]


def json_lines(value: object) -> Iterator[str]:
    """Give a value as JSON, in ASCII."""
    for depth, text in _json(value):
        yield "  " * depth + text


def json_line(value: object) -> str:
    """Give a value as JSON, in one line."""
    return "".join(text for _, text in _json(value))


def table_lines(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> Iterator[str]:
    """Give a table, its columns as wide as what is in them."""
    table = [heads, *rows]
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    for row in table:
        yield "  ".join(text.ljust(width) for text, width in zip(row, widths, strict=True)).rstrip()


def excerpt(data: bytes) -> str:
    """Give a node's data for one line: as text, with what does not print escaped, and not too long."""
    text = on_one_line(data[: 4 * _EXCERPT].decode(errors="backslashreplace"))
    return text if len(text) <= _EXCERPT else f"{text[:_EXCERPT]}... ({len(data)} bytes)"


def _tokens(value: object) -> Iterator[_Token]:
    """Walk through a value: give each part's depth, its key in a mapping, the part, and whether it is its parent's last."""
    yield 0, None, value, True
    levels: list[tuple[Iterator[tuple[str | None, Any, bool]], object, bool]] = []
    if _is_full(value):
        levels.append((_parts(value), value, True))
    while levels:
        parts, whole, whole_is_last = levels[-1]
        for key, part, last in parts:
            yield len(levels), key, part, last
            if _is_full(part):
                levels.append((_parts(part), part, last))
                break
        else:
            levels.pop()
            yield len(levels), None, _End(whole), whole_is_last


def _parts(value: Any) -> Iterator[tuple[str | None, Any, bool]]:
    pairs = value.items() if isinstance(value, dict) else ((None, each) for each in value)
    for number, (key, each) in enumerate(pairs, 1):
        yield key, each, number == len(value)


def _is_full(value: object) -> bool:
    """Tell whether there is something inside."""
    return isinstance(value, (dict, list)) and bool(value)


def _json(value: object) -> Iterator[tuple[int, str]]:
    for depth, key, each, last in _tokens(value):
        comma = "" if last else ","
        if isinstance(each, _End):
            yield depth, ("}" if each.mapping else "]") + comma
            continue
        name = "" if key is None else json.dumps(key) + ": "
        if _is_full(each):
            yield depth, name + ("{" if isinstance(each, dict) else "[")
        else:
            yield depth, name + _json_scalar(each) + comma


def _json_scalar(value: object) -> str:
    if type(value) is int:
        return str(value)
    if isinstance(value, float) and not math.isfinite(value):
        # JSON has no such numbers.
        return json.dumps(str(value))
    return json.dumps(value)


def _yaml_scalar(value: object) -> str:
    return _yaml_text(value) if isinstance(value, str) else _json_scalar(value)


def _yaml_text(text: str) -> str:
    if _PLAIN.fullmatch(text) and text.lower() not in _WORDS:
        return text
    # YAML knows JSON's escapes, and Python's.
    return on_one_line(json.dumps(text, ensure_ascii=False))
