"""Nodes that were read, in the formats of the command's output."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import attrs

from txmirror import paths
from txmirror.cli.formats import excerpt, table_lines, value_lines
from txmirror.cli.statuses import message_of
from txmirror.errors import ZooKeeperException
from txmirror.printable import on_one_line, session_name
from txmirror.registry import CODECS
from txmirror.types import Payload, Undecodable, ZnodeStat

#: The output formats.
FORMATS = ("yaml", "json", "jsonl", "table", "dir")

#: The codec for the data of nodes.
_CODEC = CODECS["ndsr"]

Value = tuple[bytes, ZnodeStat]


def owner(stat: ZnodeStat) -> str:
    """Return the name of the session that owns a node; empty for a persistent one."""
    return session_name(stat.ephemeralOwner) if stat.ephemeralOwner else ""


def details(value: Value) -> dict[str, Any]:
    """Return a node's data, decoded as by the registry, and its stat."""
    data, stat = value
    return {"data": _read(data), "stat": stat._asdict()}


def _read(data: bytes) -> Payload:
    """Decode a node's data; if that fails, return it as text with escapes."""
    said = _CODEC.decode(data)
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

    def lines(self, output: str, *, data: bool, recursive: bool) -> Iterator[str]:
        """Return the nodes as lines in a format.

        :param output: one of :data:`FORMATS`.
        :param data: whether to include the data; the format dir never does.
        :param recursive: whether to include the children.
        """
        if output == "dir":
            return map(on_one_line, self.walk())
        if output == "table":
            heads = ("PATH", "VERSION", "OWNER", "DATA") if data else ("PATH",)
            return table_lines(heads, (self._row(path, data=data) for path in self.walk()))
        return value_lines(self.nested(data=data, recursive=recursive), output)

    def drawing(self, *, data: bool, ascii_only: bool) -> Iterator[str]:
        """Return the lines of a drawing of the tree."""
        tee, corner, bar = ("|-- ", "`-- ", "|   ") if ascii_only else ("├── ", "└── ", "│   ")
        below: dict[str, set[str]] = {}
        for path in self.unreadable:
            below.setdefault(paths.parent_of(path) or "", set()).add(paths.name_of(path))
        waiting = [(self.path, "", "")]
        while waiting:
            path, before, pad = waiting.pop()
            name = path if path == self.path else paths.name_of(path)
            yield before + on_one_line(name) + self._beside(path, data=data)
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
