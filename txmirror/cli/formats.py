"""Format values as YAML and JSON, and rows as tables.

Values have JSON's types: dicts, lists, texts, numbers, true, false and null. Characters that do not print are escaped as the
format defines.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

import yaml

from txmirror.cli.statuses import CommandError, Status
from txmirror.json_text import JSONWriter, NestedTooDeeply
from txmirror.printable import on_one_line

#: The longest text in a line of a table or a tree, in characters.
_EXCERPT = 200

_INDENTED = JSONWriter(indent=2)
_ONE_LINE = JSONWriter()


def yaml_lines(value: object) -> Iterator[str]:
    """Return a value as lines of YAML, in ASCII.

    :raises CommandError: it is nested too deeply.
    """
    try:
        # Split at "\n" only: a text may have other line separators in it.
        return iter(yaml.safe_dump(value, sort_keys=False, width=2**31).rstrip("\n").removesuffix("\n...").split("\n"))
    except RecursionError:
        raise _too_deep("yaml") from None


def json_lines(value: object) -> Iterator[str]:
    """Return a value as lines of JSON, in ASCII.

    :raises CommandError: it is nested too deeply.
    """
    try:
        return iter(_INDENTED.write(value).split("\n"))
    except NestedTooDeeply:
        raise _too_deep("json") from None


def json_line(value: object) -> str:
    """Return a value as one line of JSON."""
    return _ONE_LINE.write(value)


def table_lines(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> Iterator[str]:
    """Return the lines of a table, with columns as wide as their longest text."""
    table = [heads, *rows]
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    for row in table:
        yield "  ".join(text.ljust(width) for text, width in zip(row, widths, strict=True)).rstrip()


def excerpt(data: bytes) -> str:
    """Return a node's data as text for one line: shortened, with unprintable characters escaped."""
    text = on_one_line(data[: 4 * _EXCERPT].decode(errors="backslashreplace"))
    return text if len(text) <= _EXCERPT else f"{text[:_EXCERPT]}... ({len(data)} bytes)"


def _too_deep(output: str) -> CommandError:
    return CommandError(
        f"nested too deeply for {output!r}: 'dir', 'table' and the command tree show it", Status.REFUSED
    )
