"""Values as YAML and as JSON, and tables.

Values are what JSON has: dicts, lists, texts, numbers, true, false and nothing. What does not print is escaped, in ways that a
reader of the format undoes.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

import yaml

from txmirror.cli.statuses import CannotDo, Status
from txmirror.json_text import JSONWriter, NestedTooDeeply
from txmirror.printable import on_one_line

#: A text for one line of a table or a tree is no longer than this.
_EXCERPT = 200

_INDENTED = JSONWriter(indent=2)
_ONE_LINE = JSONWriter()


def yaml_lines(value: object) -> Iterator[str]:
    """Give a value as YAML, in ASCII.

    :raises CannotDo: it is nested too deeply.
    """
    try:
        # PyYAML's own lines: a text may have ends of lines of other kinds in it.
        return iter(yaml.safe_dump(value, sort_keys=False, width=2**31).rstrip("\n").removesuffix("\n...").split("\n"))
    except RecursionError:
        raise _too_deep("yaml") from None


def json_lines(value: object) -> Iterator[str]:
    """Give a value as JSON, in ASCII.

    :raises CannotDo: it is nested too deeply.
    """
    try:
        return iter(_INDENTED.write(value).split("\n"))
    except NestedTooDeeply:
        raise _too_deep("json") from None


def json_line(value: object) -> str:
    """Give a value as JSON, in one line."""
    return _ONE_LINE.write(value)


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


def _too_deep(output: str) -> CannotDo:
    return CannotDo(f"nested too deeply for {output!r}: 'dir', 'table' and the command tree show it", Status.REFUSED)
