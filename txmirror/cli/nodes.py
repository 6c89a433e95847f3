"""Nodes that were read, in the formats of the command's output."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import chain
from typing import Any

import attrs

from txmirror import paths
from txmirror.cli.formats import data_fields, excerpt, json_line, shorten, table_lines, value_lines
from txmirror.cli.statuses import message_of
from txmirror.errors import ZooKeeperException
from txmirror.printable import on_one_line, session_name, stat_fields
from txmirror.types import Payload, Undecodable, ZnodeStat

#: The output formats.
FORMATS = ("yaml", "json", "jsonl", "table", "dir")

Value = tuple[bytes, ZnodeStat]


def owner(stat: ZnodeStat) -> str:
    """Return the name of the session that owns a node; empty for a persistent one."""
    return session_name(stat.ephemeralOwner) if stat.ephemeralOwner else ""


def details(value: Value) -> dict[str, Any]:
    """Return a node's data, unchanged, and its stat."""
    data, stat = value
    return {**data_fields(data), "stat": stat_fields(stat)}


def registered(value: Value) -> dict[str, Any]:
    """Return a node's data, decoded as by the registry, and its stat."""
    data, stat = value
    return {"data": _read(data), "stat": stat_fields(stat)}


def _read(data: bytes) -> Payload:
    """Decode a node's data; if that fails, return it as text with escapes."""
    from txmirror.registry import CODECS  # noqa: PLC0415 - it takes long

    said = CODECS["ndsr"].decode(data)
    return data.decode(errors="backslashreplace") if isinstance(said, Undecodable) else said


@attrs.frozen
class Nodes:
    """A node, and the nodes that were read below it."""

    path: str
    values: Mapping[str, Value]
    """Data and stat, by path."""
    names: Callable[[str], list[str]]
    """Returns the names of a node's children, sorted."""
    unreadable: Mapping[str, ZooKeeperException] = attrs.field(factory=dict)
    """The nodes that could not be read: the error by path."""

    def walk(self) -> Iterator[str]:
        """Return the paths in order, each before the paths below it."""
        waiting = [self.path]
        while waiting:
            path = waiting.pop()
            yield path
            waiting += [paths.join(path, name) for name in reversed(self.names(path))]

    def nested(self, *, data: bool, recursive: bool) -> dict[str, Any]:
        """Return the nodes as one value, in which each node contains its children by name.

        :param data: whether to include data and stats.
        :param recursive: whether to include the children.
        """
        whole: dict[str, Any] = {"path": self.path}
        waiting = [(self.path, whole)]
        while waiting:
            path, node = waiting.pop()
            if data:
                node |= details(self.values[path])
            if recursive:
                children: dict[str, Any] = {name: {} for name in self.names(path)}
                node["children"] = children
                waiting += [(paths.join(path, name), child) for name, child in children.items()]
        return whole

    def records(self, *, data: bool) -> Iterator[dict[str, Any]]:
        """Return a value for each node, in order.

        :param data: whether to include data and stats.
        """
        return ({"path": path, **(details(self.values[path]) if data else {})} for path in self.walk())

    def rows(self, *, data: bool) -> Iterator[tuple[str, ...]]:
        """Return a row of a table for each node, in order."""
        return (self._row(path, data=data) for path in self.walk())

    def drawing(self, *, data: bool, ascii_only: bool, width: int | None = None) -> Iterator[str]:
        """Return the lines of a drawing of the tree.

        :param data: whether to show data.
        :param ascii_only: whether to draw with ASCII characters.
        :param width: the width of the terminal; None if it is none.
        """
        tee, corner, bar = ("|-- ", "`-- ", "|   ") if ascii_only else ("├── ", "└── ", "│   ")
        below: dict[str, set[str]] = {}
        for path in self.unreadable:
            below.setdefault(paths.parent_of(path) or "", set()).add(paths.name_of(path))
        waiting = [(self.path, "", "")]
        while waiting:
            path, before, pad = waiting.pop()
            name = before + on_one_line(path if path == self.path else paths.name_of(path))
            beside = self._beside(path, data=data)
            # A name is never shortened.
            yield shorten(name + beside, None if width is None or not beside else max(width, len(name) + 5))
            names = sorted({*self.names(path), *below.get(path, ())}) if path in self.values else []
            for child in reversed(names):
                last = child == names[-1]
                waiting.append(
                    (paths.join(path, child), pad + (corner if last else tee), pad + ("    " if last else bar))
                )

    def error_lines(self) -> Iterator[str]:
        """Return one message for each node that could not be read."""
        return (message_of(self.unreadable[path]) for path in sorted(self.unreadable))

    def _row(self, path: str, *, data: bool) -> tuple[str, ...]:
        shown = on_one_line(path)
        if not data:
            return (shown,)
        content, stat = self.values[path]
        return shown, str(stat.version), owner(stat), excerpt(content)

    def _beside(self, path: str, *, data: bool) -> str:
        text = excerpt(self.values[path][0]) if data and path in self.values else ""
        reason = f"[{self.unreadable[path].meaning}]" if path in self.unreadable else ""
        return "".join(f"  {each}" for each in (text, reason) if each)


def nodes_lines(
    found: Sequence[Nodes], output: str, *, data: bool, recursive: bool, width: int | None = None
) -> Iterable[str]:
    """Return nodes as lines in a format.

    :param found: the nodes, each with those below it. A list of several is a list in JSON and YAML, too.
    :param output: one of :data:`FORMATS`.
    :param data: whether to include data and stats; the format dir never does.
    :param recursive: whether to include the children.
    :param width: the width of the terminal; None if it is none.
    """
    if output == "dir":
        return map(on_one_line, chain.from_iterable(each.walk() for each in found))
    if output == "jsonl":
        return map(json_line, chain.from_iterable(each.records(data=data) for each in found))
    if output == "table":
        heads = ("PATH", "VERSION", "OWNER", "DATA") if data else ("PATH",)
        rows = chain.from_iterable(each.rows(data=data) for each in found)
        return table_lines(heads, rows, width=width if data else None)
    values = [each.nested(data=data, recursive=recursive) for each in found]
    return value_lines(values[0] if len(values) == 1 else values, output)
