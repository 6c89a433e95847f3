"""Errors of a configuration: all of them at once, each in one line that names its file and its place there."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator

import attrs

from txmirror.printable import on_one_line

#: The most errors to report. A file that is something else altogether may have one in each line.
_MOST = 200
#: The longest value that a message quotes, in characters.
_LONGEST_QUOTE = 60
#: The longest key for which to look for similar ones, which takes long for long ones.
_LONGEST_WORD = 64


class ConfigurationError(ValueError):
    """A configuration is invalid.

    :ivar lines: the errors, one line each. No line quotes a password or the value of an environment variable.
    """

    def __init__(self, lines: Iterable[str]) -> None:
        self.lines = tuple(lines)
        super().__init__("\n".join(self.lines))


class InvalidValue(ValueError):
    """A value is invalid, or several values within it are.

    :ivar errors: for each of them its place, relative to the whole value (``.timeout``, ``[2]``, or nothing for the value
        itself), and the reason.
    """

    def __init__(self, *errors: tuple[str, str]) -> None:
        self.errors = errors
        super().__init__("; ".join(f"{place}: {reason}" for place, reason in errors))


@attrs.frozen
class Place:
    """A place in a configuration."""

    source: str
    """The file's name."""
    path: str
    """The dotted path in it, as in ``service[2].check[0].interval``."""

    def __str__(self) -> str:
        return ": ".join(filter(None, (self.source, self.path)))

    def below(self, relative: str) -> Place:
        """Return a place within this one. ``relative`` begins with a point or a bracket, or is empty."""
        return Place(self.source, (self.path + relative).removeprefix("."))


class Problems:
    """Collects the errors of a configuration."""

    def __init__(self) -> None:
        # A dict, because the same error of a default may be found in every service.
        self._lines: dict[str, None] = {}

    def add(self, place: Place, reason: str) -> None:
        """Add an error.

        :raises ConfigurationError: there are too many.
        """
        self._lines[on_one_line(f"{place}: {reason}")] = None
        if len(self._lines) >= _MOST:
            raise ConfigurationError([*self._lines, f"These are the first {_MOST} errors; there are more."])

    def add_all(self, place: Place, error: InvalidValue) -> None:
        """Add the errors within the value at a place."""
        for relative, reason in error.errors:
            self.add(place.below(relative), reason)

    def raise_any(self) -> None:
        """Raise the errors, if there are any.

        :raises ConfigurationError: there are.
        """
        if self._lines:
            raise ConfigurationError(self._lines)


def quote(value: object) -> str:
    """Return a value for a message, shortened if it is long."""
    try:
        text = repr(value)
    except ValueError:
        # Python does not write integers of more than 4,300 digits, and hexadecimal ones may be longer.
        return "a number with too many digits"
    return text if len(text) <= _LONGEST_QUOTE else text[: _LONGEST_QUOTE - 3] + "..."


def suggest(word: str, known: Iterable[str]) -> str:
    """Return an addition to a message about an unknown word: the most similar known one, or nothing."""
    similar = difflib.get_close_matches(word, known, 1) if len(word) <= _LONGEST_WORD else []
    return f"; did you mean {similar[0]!r}?" if similar else ""


def unknown_keys(keys: Iterable[str], known: Iterable[str]) -> Iterator[tuple[str, str]]:
    """Yield an error for each key that is unknown."""
    known = list(known)
    for key in keys:
        if key not in known:
            yield f".{plain_key(key)}", f"unknown key{suggest(key, known)}"


def plain_key(key: str) -> str:
    """Return a key for a dotted path: quoted, unless it is a bare key of TOML."""
    bare = key.replace("-", "").replace("_", "")
    return key if bare.isascii() and bare.isalnum() else quote(key)
