"""One node of an export, as an object and as a line of JSON."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping, Sequence
from typing import Any, Final, Protocol

import attrs

from txmirror import paths
from txmirror.access import PERMISSIONS, show_acl
from txmirror.cli.formats import data_fields
from txmirror.json_text import JSONWriter, read_json
from txmirror.printable import quote, suggest
from txmirror.types import ACL

#: The names from the root of the subtree to a node; empty for the root itself.
Place = tuple[str, ...]

_WRITER: Final = JSONWriter()
#: The longest time to live that a server accepts, in seconds.
_LONGEST_TTL: Final = (2**40 - 1) / 1000


@attrs.frozen
class Record:
    """One node."""

    place: Place
    data: bytes = b""
    acl: tuple[ACL, ...] | None = None
    """Its access control list; None if it is unknown."""
    ephemeral: str | None = None
    """The name of the session that owned it; None for a node that is not ephemeral."""
    container: bool = False
    """True if it is to be created as a container. Servers do not show this kind to clients."""
    ttl: float | None = None
    """The time to live with which it is to be created, in seconds; None for none. Servers do not show it to clients."""
    children: Sequence[str] = attrs.field(default=(), eq=False, repr=False)
    """The names of its children when it was read from ZooKeeper, sorted."""

    @property
    def size(self) -> int:
        """About how many bytes it takes."""
        return len(self.data) + sum(map(len, self.place)) + 64


@attrs.frozen
class Unreadable:
    """A node that could not be read. Nothing is known about the nodes below it."""

    place: Place
    reason: str
    error: Exception | None = attrs.field(default=None, eq=False)
    """The failure; None if it comes from a file."""


Item = Record | Unreadable


class Source(Protocol):
    """An ordered stream of nodes."""

    async def next(self) -> Item | None:
        """Return the next node; None at the end."""

    def close(self) -> None:
        """Stop."""


def path_of(root: str, place: Place) -> str:
    """Return the path of a node below a root."""
    if not place:
        return root
    return ("" if root == "/" else root) + "/" + "/".join(place)


def place_of(path: str) -> Place:
    """Return the place of a path that is relative to the root of a subtree, with a leading slash.

    :raises ValueError: it is not a path; the message quotes it.
    """
    paths.validate(path)
    return () if path == "/" else tuple(path[1:].split("/"))


def read_entry(text: object) -> ACL:
    """Parse an entry of an ACL.

    :raises ValueError: it is invalid.
    """
    if isinstance(text, str):
        scheme, colon, rest = text.partition(":")
        identity, second, letters = rest.rpartition(":")
        if (
            scheme
            and colon
            and second
            and letters
            and len(set(letters)) == len(letters)
            and set(letters) <= set(PERMISSIONS)
        ):
            return ACL(sum(PERMISSIONS[letter] for letter in letters), scheme, identity)
    raise ValueError(
        f"{quote(text)} is not scheme:id:permissions, with permissions of the letters {''.join(PERMISSIONS)}"
    )


def attributes_of(record: Record) -> dict[str, Any]:
    """Return all of a node but its path and data, as JSON has it."""
    value: dict[str, Any] = {}
    if record.acl is not None:
        value["acl"] = show_acl(record.acl)
    if record.ephemeral is not None:
        value["ephemeral"] = record.ephemeral
    if record.container:
        value["container"] = True
    if record.ttl is not None:
        value["ttl"] = record.ttl
    return value


def read_attributes(value: Mapping[str, Any]) -> dict[str, Any]:
    """Return the attributes of a :class:`Record` from their JSON.

    :raises ValueError: one is invalid.
    """
    known = ("acl", "ephemeral", "container", "ttl")
    for key in value:
        if key not in known:
            raise ValueError(f"{key!r:.60} is not a known key{suggest(key, ('path', 'data', 'data_base64', *known))}")
    read: dict[str, Any] = {}
    if "acl" in value:
        entries = value["acl"]
        if not isinstance(entries, list) or not entries:
            raise ValueError(f"the ACL is {quote(entries)}, and not a list of entries")
        read["acl"] = tuple(map(read_entry, entries))
    if "ephemeral" in value:
        if not isinstance(value["ephemeral"], str):
            raise _invalid(f"'ephemeral' is {quote(value['ephemeral'])}, and not the name of a session")
        read["ephemeral"] = value["ephemeral"]
    if "container" in value:
        if not isinstance(value["container"], bool):
            raise _invalid(f"'container' is {quote(value['container'])}, and neither true nor false")
        read["container"] = value["container"]
    if "ttl" in value:
        ttl = value["ttl"]
        if isinstance(ttl, bool) or not isinstance(ttl, (int, float)) or not 0.001 <= ttl <= _LONGEST_TTL:
            raise ValueError(f"'ttl' is {quote(ttl)}, and not a number of seconds from 0.001")
        read["ttl"] = float(ttl)
    if sum((read.get("container", False), "ttl" in read, "ephemeral" in read)) > 1:
        raise ValueError("a node is only one of 'ephemeral', 'container' and 'ttl'")
    return read


def write_line(item: Item) -> str:
    """Return a node as one line of JSON in ASCII, without the line end. Data that is UTF-8 is text, and other data is base64."""
    value: dict[str, Any] = {"path": path_of("/", item.place)}
    if isinstance(item, Unreadable):
        value["error"] = item.reason
        return _WRITER.write(value)
    return _WRITER.write(value | data_fields(item.data) | attributes_of(item))


def write_value(value: object) -> str:
    """Return another line of an export."""
    return _WRITER.write(value)


def read_object(line: bytes) -> dict[str, Any]:
    """Return the object of JSON in one line.

    :raises ValueError: it is none; the message says why.
    """
    try:
        value = read_json(line)
    except UnicodeDecodeError:
        raise ValueError("it is not UTF-8") from None
    except ValueError as error:
        raise ValueError(f"it is not JSON: {error}") from None
    if not isinstance(value, dict):
        raise _invalid(f"it is not an object of JSON: {quote(value)}")
    return value


def read_item(value: dict[str, Any]) -> Item:
    """Return a node from the object in its line.

    :raises ValueError: it is invalid; the message says why.
    """
    value = dict(value)
    path = value.pop("path", None)
    if not isinstance(path, str):
        raise _invalid("it has no 'path'" if path is None else f"its path is {quote(path)}, and not a text")
    place = place_of(path)
    if "error" in value:
        return Unreadable(place, str(value["error"]))
    if ("data" in value) == ("data_base64" in value):
        raise ValueError(f"{path!r:.200} must have one of 'data' and 'data_base64'")
    data = _text(value.pop("data")) if "data" in value else _base64(value.pop("data_base64"))
    return Record(place, data, **read_attributes(value))


def _invalid(reason: str) -> ValueError:
    """Return the error for a value of a wrong type."""
    return ValueError(reason)


def _text(text: object) -> bytes:
    if not isinstance(text, str):
        raise _invalid(f"'data' is {quote(text)}, and not a text")
    try:
        return text.encode()
    except UnicodeEncodeError:
        raise ValueError("'data' has half of a surrogate pair, which is no character") from None


def _base64(text: object) -> bytes:
    if not isinstance(text, str):
        raise _invalid(f"'data_base64' is {quote(text)}, and not a text")
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise ValueError("'data_base64' is no base64") from None


class Order:
    """Checks that nodes come in the order of an export: each after its parent, siblings by name, and none twice."""

    def __init__(self) -> None:
        self._last: Item | None = None

    def check(self, item: Item) -> None:
        """Check the next node.

        :raises ValueError: it is out of order; the message says why.
        """
        last, self._last = self._last, item
        shown = f"{path_of('/', item.place)!r:.200}"
        if last is None:
            if item.place:
                raise ValueError(f"{shown} comes before '/', which must be the first")
            return
        if item.place == last.place:
            raise ValueError(f"{shown} is there twice")
        before = f"{path_of('/', last.place)!r:.200}"
        if item.place < last.place:
            raise ValueError(
                f"{shown} is there twice, or out of order: it must not come after {before}."
                " A node comes before the nodes below it, and siblings are sorted by name"
            )
        parent = item.place[:-1]
        if last.place[: len(parent)] != parent:
            raise ValueError(f"the parent of {shown} is missing before it")
        if isinstance(last, Unreadable) and last.place == parent:
            raise ValueError(f"the parent of {shown} is a node that could not be read")
