"""Format values as YAML and JSON, and rows as tables.

Values have JSON's types: dicts, lists, texts, numbers, true, false and null. Characters that do not print are escaped as the
format defines.
"""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

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
    import yaml  # noqa: PLC0415 - it takes long, and most output is not YAML

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
    """Return a value as one line of JSON, in ASCII.

    :raises CommandError: it is nested too deeply.
    """
    try:
        return _ONE_LINE.write(value)
    except NestedTooDeeply:
        raise _too_deep("jsonl") from None


def value_lines(value: object, output: str) -> Iterator[str]:
    """Return a value as lines of a format.

    :param output: ``json``, ``yaml`` or ``jsonl``, which is one line.
    :raises CommandError: it is nested too deeply.
    """
    if output == "jsonl":
        return iter((json_line(value),))
    return json_lines(value) if output == "json" else yaml_lines(value)


def record_lines(
    records: Iterable[Mapping[str, Any]],
    output: str,
    heads: Sequence[str],
    row: Callable[[Mapping[str, Any]], Sequence[str]],
    *,
    width: int | None = None,
) -> Iterator[str]:
    """Return records as lines of a format.

    :param output: ``table``; ``jsonl``, one record a line; ``json`` or ``yaml``, a list of all records.
    :param heads: the heads of the table's columns.
    :param row: returns the texts of a record's row in the table.
    :param width: as for :func:`table_lines`.
    :raises CommandError: a record is nested too deeply.
    """
    if output == "table":
        return table_lines(heads, map(row, records), width=width)
    if output == "jsonl":
        return map(json_line, records)
    return value_lines(list(records), output)


def table_lines(heads: Sequence[str], rows: Iterable[Sequence[str]], *, width: int | None = None) -> Iterator[str]:
    """Return the lines of a table, with columns as wide as their longest text.

    :param width: the width of the terminal: the last column is shortened to it. None shortens nothing.
    """
    table = [heads, *rows]
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    for row in table:
        yield shorten("  ".join(text.ljust(each) for text, each in zip(row, widths, strict=True)).rstrip(), width)


def shorten(line: str, width: int | None) -> str:
    """Return a line that is not wider than a terminal; None is no terminal."""
    return line if width is None or len(line) <= width else f"{line[: max(0, width - 3)]}..."


def data_fields(data: bytes) -> dict[str, str]:
    """Return a node's data for JSON and YAML, unchanged: as ``data`` if they are UTF-8, else as ``data_base64``."""
    try:
        return {"data": data.decode()}
    except UnicodeDecodeError:
        return {"data_base64": b64encode(data).decode()}


def excerpt(data: bytes) -> str:
    """Return a node's data as text for one line: shortened, with unprintable characters escaped."""
    text = on_one_line(data[: 4 * _EXCERPT].decode(errors="backslashreplace"))
    return text if len(text) <= _EXCERPT else f"{text[:_EXCERPT]}... ({len(data)} bytes)"


def _too_deep(output: str) -> CommandError:
    return CommandError(
        f"nested too deeply for {output!r}: 'dir', 'table' and the command tree show it", Status.REFUSED
    )
