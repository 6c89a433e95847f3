"""Strict JSON: RFC 8259 in UTF-8.

With Python's own ``json`` a program could read values that it cannot write again, or fail with other exceptions than a
``ValueError``. This module differs from it:

- NaN and Infinity are invalid, both when read and when written, and so is a number that a float cannot hold (``1e999``).
- A byte order mark before the text is ignored. UTF-16 and UTF-32 are invalid.
- Text that is nested more deeply than a limit is invalid. Without a limit, the result would depend on the depth of the call stack.

As in Python's own: if a key occurs twice in an object, the last one counts. Integers of more than 4,300 digits are invalid
(``sys.set_int_max_str_digits``).
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable
from typing import Any, Final

#: The most levels of objects and arrays in JSON, unless a caller sets another limit.
DEEPEST: Final = 100

_BOM: Final = "\ufeff"


class NestedTooDeeply(ValueError):
    """The JSON has too many levels of objects and arrays."""


def decode_text(data: bytes) -> str:
    """Return the text of UTF-8 bytes, without a byte order mark.

    :raises UnicodeDecodeError: the bytes are not UTF-8.
    """
    return without_mark(data.decode())


def without_mark(text: str) -> str:
    """Return a text without the byte order mark at its beginning, if there is one."""
    return text.removeprefix(_BOM)


class JSONReader:
    """A JSON reader.

    :param deepest: the most levels of objects and arrays to accept.
    :param in_thread: let other threads run while a long text is read. This takes a third more time.
    """

    def __init__(self, *, deepest: int = DEEPEST, in_thread: bool = False) -> None:
        self._deepest = deepest
        self._decoder = json.JSONDecoder(
            parse_constant=_refuse,
            parse_float=_parse_float,
            # The interpreter switches threads only while it runs Python code.
            object_pairs_hook=_to_dict if in_thread else None,
        )

    def read(self, data: bytes | str) -> Any:
        """Return the value of a JSON text.

        :raises ValueError: the data is not JSON; the message says why. :exc:`NestedTooDeeply` is a subclass.
        """
        text = data.decode() if isinstance(data, bytes) else data
        try:
            if text.startswith("{"):
                # This saves two searches for white space in short texts.
                value, end = self._decoder.raw_decode(text)
                if end != len(text):
                    value = self._decoder.decode(text)
            else:
                text = without_mark(text)
                value = self._decoder.decode(text)
        except RecursionError:
            raise self._too_deep() from None
        deepest = self._deepest
        if len(text) > deepest and text.count("{") + text.count("[") > deepest and _is_deeper(value, deepest):
            raise self._too_deep()
        return value

    def _too_deep(self) -> NestedTooDeeply:
        return NestedTooDeeply(f"nested too deeply: more than {self._deepest} levels")


class JSONWriter:
    """A JSON writer with a style.

    :param compact: leave out the spaces after commas and colons.
    :param indent: the spaces by which to indent each level; None writes one line.
    :param sort_keys: sort the keys of objects.
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

        :param deepest: the most levels of objects and arrays to accept. None accepts as many as Python can write.
        :raises TypeError: JSON has no such type.
        :raises ValueError: a number is not finite, or an object contains itself. :exc:`NestedTooDeeply` is a subclass.
        """
        try:
            text = self._encoder.encode(value)
        except RecursionError:
            raise NestedTooDeeply("nested too deeply") from None
        if deepest is not None and text.count("{") + text.count("[") > deepest:
            # Count the levels of the JSON text: a tuple is an array there.
            JSONReader(deepest=deepest).read(text)
        return text


def read_json(data: bytes | str) -> Any:
    """Return the value of a JSON text with at most :data:`DEEPEST` levels.

    :raises ValueError: the data is not JSON; the message says why. :exc:`NestedTooDeeply` is a subclass.
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
