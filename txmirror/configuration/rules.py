"""The types of the values of a configuration file: each has a name for the documentation, and reads a value of TOML.

A class of the configuration names them in its annotations, as in ``interval: Annotated[float, Duration(0.1)]``.
"""

from __future__ import annotations

import ipaddress
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, Protocol

import attrs

from txmirror import paths
from txmirror.configuration.errors import InvalidValue, plain_key
from txmirror.durations import read_duration, show_seconds
from txmirror.placeholders import parse, transform
from txmirror.printable import quote, suggest
from txmirror.registry import CODECS, find_codec

#: A year, in seconds: the longest duration.
YEAR = 365 * 86400.0

_HOST_NAME = re.compile(r"[^\s:/\[\]\x00-\x1f\x7f-\x9f]{1,253}")


class Rule(Protocol):
    """A type of values."""

    @property
    def kind(self) -> str:
        """The name for the documentation, in reStructuredText."""

    def read(self, value: object, folder: Path) -> Any:
        """Convert a value of TOML to one of the configuration.

        :param folder: the absolute path of the folder that relative file names start from.
        :raises ValueError: the value is invalid; the message quotes it. For several errors: :exc:`InvalidValue`.
        """


@attrs.frozen
class Text:
    """A string."""

    kind: str = "string"
    empty: bool = False
    """True if it may be empty."""
    form: str = r"[^\x00]*"
    """A regular expression that it matches."""
    form_text: str = "a text without null characters"
    """The form in words."""
    check: Callable[[str], object] | None = None
    """Raises ValueError if the string is invalid."""
    secret: bool = False
    """True if no message may quote it."""

    def read(self, value: object, folder: Path) -> str:
        """Return the string. See :class:`Rule`."""
        if self.secret and not isinstance(value, str):
            raise ValueError("it is no string")
        text = _text(value)
        if not text and not self.empty:
            raise ValueError("it is empty")
        if re.fullmatch(self.form, text, re.DOTALL) is None:
            raise ValueError(f"{'it' if self.secret else quote(text)} is not {self.form_text}")
        if self.check is not None:
            parse(self.check, text)
        return text


#: A text that may be a password.
SECRET = Text(empty=True, secret=True)

#: The longest name of a UNIX socket: Linux has 108 bytes for it, with a null character at the end.
LONGEST_SOCKET: Final = 107

#: A name for commands and logs.
WORD = Text(kind="word", form=r"(?![-*])[^\s\x00-\x20\x7f-\x9f]{1,255}", form_text="one word of printable characters")


@attrs.frozen
class Flag:
    """A boolean."""

    kind: str = "boolean"

    def read(self, value: object, folder: Path) -> bool:
        """Return the boolean. See :class:`Rule`."""
        if not isinstance(value, bool):
            raise ValueError(f"{quote(value)} is neither true nor false")
        return value


@attrs.frozen
class Number:
    """A number within bounds."""

    least: float
    most: float
    whole: bool = False

    @property
    def kind(self) -> str:
        """The name for the documentation."""
        return f"{'integer' if self.whole else 'number'} from {self.least:g} to {self.most:g}"

    def read(self, value: object, folder: Path) -> Any:
        """Return the number, an ``int`` if it is to be whole, else a ``float``. See :class:`Rule`."""
        if isinstance(value, bool) or not isinstance(value, int if self.whole else (int, float)):
            raise ValueError(f"{quote(value)} is no {self.kind}")
        if not self.least <= value <= self.most:
            raise ValueError(f"{quote(value)} is not between {self.least:g} and {self.most:g}")
        return value if self.whole else float(value)


@attrs.frozen
class Duration:
    """A number of seconds, or a string with a unit."""

    least: float = 0.0
    most: float = YEAR
    kind: str = "duration"

    def read(self, value: object, folder: Path) -> float:
        """Return the number of seconds. See :class:`Rule`."""
        seconds = value
        if isinstance(value, str):
            seconds = read_duration(value)
        # NaN differs from itself.
        if isinstance(seconds, bool) or not isinstance(seconds, (int, float)) or seconds != seconds:  # noqa: PLR0124
            raise ValueError(
                f'{quote(value)} is no duration: it is a number of seconds, or a string such as "500ms", "1.5m" or "2h"'
            )
        if not self.least <= seconds <= self.most:
            raise ValueError(f"{quote(value)} is not between {show_seconds(self.least)} and {show_seconds(self.most)}")
        return float(seconds)


@attrs.frozen
class Choice:
    """One of several words."""

    words: tuple[str, ...]

    @property
    def kind(self) -> str:
        """The name for the documentation."""
        return " or ".join(f'``"{word}"``' for word in self.words)

    def read(self, value: object, folder: Path) -> str:
        """Return the word. See :class:`Rule`."""
        text = _text(value)
        if text not in self.words:
            words = ", ".join(map(repr, self.words))
            raise ValueError(f"{quote(text)} is not one of {words}{suggest(text, self.words)}")
        return str(text)


@attrs.frozen
class CodecName:
    """The name of a codec: one of txmirror's, or a plugin's; or another word."""

    kind: str = "name of a codec"
    other: str | None = None
    """The other word."""

    def read(self, value: object, folder: Path) -> str:
        """Return the name. See :class:`Rule`."""
        text = _text(value)
        if text == self.other:
            return text
        try:
            find_codec(text)
        except LookupError:
            words = ", ".join(map(repr, CODECS))
            reason = f"{quote(text)} is not one of {words}, and no plugin has this name{suggest(text, CODECS)}"
            raise ValueError(reason) from None
        return text


@attrs.frozen
class FileName:
    """The name of a file, relative to the folder of the configuration file."""

    kind: str = "file"
    longest: int | None = None
    """The greatest length of the absolute path, in bytes."""

    def read(self, value: object, folder: Path) -> str:
        """Return the absolute path. See :class:`Rule`."""
        if isinstance(value, str) and "\n" in value:
            # It may be a private key.
            raise ValueError("it has several lines: it is the name of a file, not its contents")
        text = Text().read(value, folder)
        path = transform(lambda part: os.path.join(folder, part), text)  # noqa: PTH118 - a str, and not normalised
        if self.longest is not None and len(os.fsencode(path)) > self.longest:
            raise ValueError(f"{quote(path)} is too long: more than {self.longest} bytes")
        return path


@attrs.frozen
class HostName:
    """A host name or an address, which may be in brackets; or one of other words."""

    kind: str = "host name or address"
    other: str | None = None
    """A regular expression for the other words."""

    def read(self, value: object, folder: Path) -> str:
        """Return the name, or the address without brackets. See :class:`Rule`."""
        text = Text().read(value, folder)
        if self.other is not None and re.fullmatch(self.other, text):
            return text
        if _HOST_NAME.fullmatch(text) is None:
            host = transform(lambda part: part.removeprefix("[").removesuffix("]"), text)
            try:
                ipaddress.IPv6Address(host)
            except ValueError:
                raise ValueError(f"{quote(text)} is no host name or address") from None
            return host
        return text


@attrs.frozen
class ZnodePath:
    """The path of a znode."""

    kind: str = "znode path"

    def read(self, value: object, folder: Path) -> str:
        """Return the path. See :class:`Rule`."""
        text = _text(value)
        parse(paths.validate, text)
        return text


@attrs.frozen
class NodeName:
    """The name of a znode in its parent's list of children."""

    kind: str = "name of a znode"

    def read(self, value: object, folder: Path) -> str:
        """Return the name. See :class:`Rule`."""
        text = _text(value)
        if not paths.are_names([text]):
            raise ValueError(
                f"{quote(text)} is no name of a znode: such a name has no slash, and is not empty, '.' or '..'"
            )
        return text


@attrs.frozen
class ArrayOf:
    """An array whose items have one type."""

    item: Rule
    least: int = 0
    """The least number of items."""

    @property
    def kind(self) -> str:
        """The name for the documentation."""
        return f"array, each item: {self.item.kind}"

    def read(self, value: object, folder: Path) -> tuple[Any, ...]:
        """Return the items. See :class:`Rule`."""
        if not isinstance(value, list):
            # Not quoted: it may have a password, as in a command.
            raise ValueError("it is no array")
        if len(value) < self.least:
            raise ValueError(f"it has {len(value)} items, and needs {self.least}")
        return tuple(_read_each(((f"[{index}]", each) for index, each in enumerate(value)), self.item, folder))


@attrs.frozen
class TableOf:
    """A table with any keys, and values of one type."""

    item: Rule
    key: Text = Text()
    """The type of the keys."""

    @property
    def kind(self) -> str:
        """The name for the documentation."""
        return f"table, each value: {self.item.kind}"

    def read(self, value: object, folder: Path) -> dict[str, Any]:
        """Return the table. See :class:`Rule`."""
        if not isinstance(value, dict):
            raise ValueError("it is no table")
        for key in value:
            self.key.read(key, folder)
        pairs = ((f".{plain_key(key)}", each) for key, each in value.items())
        return dict(zip(value, _read_each(pairs, self.item, folder), strict=True))


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise ValueError(f"{quote(value)} is no string")
    return value


def _read_each(pairs: Any, rule: Rule, folder: Path) -> list[Any]:
    values, errors = [], []
    for place, each in pairs:
        try:
            values.append(rule.read(each, folder))
        except InvalidValue as error:
            errors += [(place + inner, reason) for inner, reason in error.errors]
        except ValueError as error:
            errors.append((place, str(error)))
    if errors:
        raise InvalidValue(*errors)
    return values
