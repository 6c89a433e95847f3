"""Errors of a configuration: all of them at once, each in one line that names its file and its place there."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import attrs

from txmirror.printable import on_one_line, quote, suggest

#: The most errors to report. A file that is something else altogether may have one in each line.
_MOST = 200


class ConfigurationError(ValueError):
    """A configuration is invalid.

    :ivar lines: the errors, one line each. No line quotes a password or the value of an environment variable.
    """

    def __init__(self, lines: Iterable[str]) -> None:
        self.lines: tuple[str, ...] = tuple(lines)
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
