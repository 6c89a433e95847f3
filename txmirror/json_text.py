"""JSON as this project reads and writes it.

It is RFC 8259 in UTF-8. Python's own ``json`` differs from that in ways that would let a program read what it cannot write again, or
fail with something else than a ``ValueError``:

- NaN and Infinity are no JSON, neither when read nor when written. A number that a float cannot hold (``1e999``) is refused likewise.
- A byte order mark before the text is ignored. UTF-16 and UTF-32 are not read.
- Text that is nested more deeply than a limit is refused. Without one, the result would depend on how deep the call stack is.

As in Python's own: if a key occurs twice in an object, the last one counts. Integers of more than 4,300 digits are refused
(``sys.set_int_max_str_digits``).
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable
from typing import Any, Final

#: How many levels of objects and arrays JSON may have, unless a caller sets another limit.
DEEPEST: Final = 100

_BOM: Final = "\ufeff"


class NestedTooDeeply(ValueError):
    """The JSON has too many levels of objects and arrays."""


def decode_text(data: bytes) -> str:
    """Return bytes as text. A byte order mark before it is no part of it.

    :raises UnicodeDecodeError: they are not UTF-8.
    """
    return without_mark(data.decode())


def without_mark(text: str) -> str:
    """Return a text without the byte order mark at its beginning, if there is one."""
    return text.removeprefix(_BOM)


class JSONReader:
    """Reads JSON.

    :param deepest: how many levels of objects and arrays to accept.
    :param in_thread: let other threads run while a long text is read. This takes a third more time.
    """

    def __init__(self, *, deepest: int = DEEPEST, in_thread: bool = False) -> None:
        self._deepest = deepest
        self._decoder = json.JSONDecoder(
            parse_constant=_refuse,
            parse_float=_parse_float,
            # The interpreter switches threads only where it runs code in Python.
            object_pairs_hook=_to_dict if in_thread else None,
        )

    def read(self, data: bytes | str) -> Any:
        """Return the value that a JSON text stands for.

        :raises ValueError: the data is not JSON; the message says why. :exc:`NestedTooDeeply` is one.
        """
        text = decode_text(data) if isinstance(data, bytes) else without_mark(data)
        try:
            value = self._decoder.decode(text)
        except RecursionError:
            raise self._too_deep() from None
        if text.count("{") + text.count("[") > self._deepest and _is_deeper(value, self._deepest):
            raise self._too_deep()
        return value

    def _too_deep(self) -> NestedTooDeeply:
        return NestedTooDeeply(f"nested too deeply: more than {self._deepest} levels")


class JSONWriter:
    """Writes JSON, in one style.

    :param compact: leave out the spaces after commas and colons.
    :param indent: how many spaces to indent each level by; None writes one line.
    :param sort_keys: order the keys of objects.
    :param ascii_only: escape everything that is not ASCII.
    """

    def __init__(
        self, *, compact: bool = False, indent: int | None = None, sort_keys: bool = False, ascii_only: bool = True
    ) -> None:
        self._encoder = json.JSONEncoder(
            separators=(",", ":") if compact else None,
            indent=indent,
            sort_keys=sort_keys,
            ensure_ascii=ascii_only,
            allow_nan=False,
        )

    def write(self, value: object, *, deepest: int | None = None) -> str:
        """Return a value as JSON.

        :param deepest: how many levels of objects and arrays to accept. None accepts as many as Python can write.
        :raises TypeError: JSON cannot hold it.
        :raises ValueError: likewise: a number that is not finite, an object that contains itself. :exc:`NestedTooDeeply` is one.
        """
        try:
            text = self._encoder.encode(value)
        except RecursionError:
            raise NestedTooDeeply("nested too deeply") from None
        if deepest is not None and text.count("{") + text.count("[") > deepest:
            # As JSON, where a tuple is a list.
            JSONReader(deepest=deepest).read(text)
        return text


def read_json(data: bytes | str) -> Any:
    """Return the value that a JSON text stands for, of :data:`DEEPEST` levels at most.

    :raises ValueError: the data is not JSON; the message says why. :exc:`NestedTooDeeply` is one.
    """
    return _DEFAULT_READER.read(data)


def _refuse(name: str) -> object:
    raise ValueError(f"JSON has no {name}")


def _parse_float(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(f"the number {text:.40} is out of range")
    return number


def _to_dict(pairs: Iterable[tuple[str, Any]]) -> dict[str, Any]:
    return dict(pairs)


def _is_deeper(value: object, deepest: int) -> bool:
    level = [value] if isinstance(value, (dict, list)) else []
    for _ in range(deepest):
        level = [
            each
            for container in level
            for each in (container.values() if isinstance(container, dict) else container)
            if isinstance(each, (dict, list))
        ]
        if not level:
            return False
    return bool(level)


_DEFAULT_READER: Final = JSONReader()
