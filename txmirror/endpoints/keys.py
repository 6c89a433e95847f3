"""The parts of an endpoint string, which Twisted has split: the path, and the keys with their values. Nothing here does I/O."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TypeVar

from twisted.internet.interfaces import IReactorTime

from txmirror import paths
from txmirror.durations import parse_seconds
from txmirror.endpoints.sessions import SharedSession
from txmirror.printable import on_one_line
from txmirror.registry import CODECS, find_codec

_T = TypeVar("_T")

#: The keys that all strings have: those of the session.
SESSION_KEYS = ("hosts", "credentials", "session_timeout")
_LONGEST = 86400.0
_SecondsT = TypeVar("_SecondsT", float, None)


class StringKeys:
    """The parts of the string of a client or a server.

    :param args: the positional parts: one, the path.
    :param kwargs: the values by their keys.
    :param known: the known keys. One that ends with a point, as ``data.``, is the beginning of keys.
    :ivar path: the path.
    :raises ValueError: the path is missing or invalid, there are other positional parts, or a key is unknown. The message quotes
        the part, and names the known keys.
    """

    def __init__(self, args: Sequence[str], kwargs: Mapping[str, str], known: Sequence[str]) -> None:
        self._values = dict(kwargs)
        keys = ", ".join(f"{key}KEY" if key.endswith(".") else key for key in known)
        if len(args) != 1 or not args[0]:
            shown = f"it has the further part {args[1]!r:.200}" if len(args) > 1 else "it has no path"
            raise ValueError(f"mirror: {shown}; it is mirror:PATH, and KEY=VALUE with the keys {keys}")
        for key, value in kwargs.items():
            beginning = key[: key.find(".") + 1]
            if (beginning or key) not in known or key == beginning:
                raise ValueError(f"mirror: the key of {f'{key}={value}'!r:.200} is unknown; the keys are {keys}")
        try:
            self.path: str = paths.normalise(args[0])
        except ValueError as error:
            raise ValueError(f"mirror: {error!s:.400}") from None

    def get(self, key: str, default: _T, read: Callable[[str], _T]) -> _T:
        """Return the value of a key.

        :param default: the value if the key is missing.
        :param read: returns the value of a text, or raises ValueError.
        :raises ValueError: the value is invalid; the message quotes it.
        """
        text = self._values.get(key)
        if text is None:
            return default
        try:
            return read(text)
        except (LookupError, ValueError) as error:
            reason = on_one_line(str(error))
            raise ValueError(f"mirror: {f'{key}={text}'!r:.200} is invalid: {reason:.400}") from None

    def seconds(self, key: str, default: _SecondsT, *, least: float = 0.0) -> float | _SecondsT:
        """Return the number of seconds of a key.

        :param default: the number if the key is missing.
        :param least: the least valid number.
        :raises ValueError: the value is invalid; the message quotes it.
        """
        return self.get(key, default, lambda text: parse_seconds(text, least, _LONGEST))

    def flag(self, key: str) -> bool | None:
        """Return whether a key is ``yes``; None if it is missing.

        :raises ValueError: it is neither ``yes`` nor ``no``; the message quotes it.
        """
        return self.get(key, None, _read_flag)

    def file(self, key: str) -> str | None:
        """Return the absolute name of the file of a key, because twistd changes the folder later; None if the key is missing.

        :raises ValueError: it is no name; the message quotes it.
        """
        return self.get(key, None, _absolute)

    def table(self, beginning: str) -> dict[str, str]:
        """Return the values of the keys with a beginning, by the rest of their keys."""
        return {key.removeprefix(beginning): value for key, value in self._values.items() if key.startswith(beginning)}

    def session(self, reactor: IReactorTime) -> SharedSession:
        """Return the session of the string: of ``hosts``, else of ``TXMIRROR_SERVERS``, else at localhost.

        :raises ValueError: a value is invalid; the message quotes it.
        """
        timeout = self.seconds("session_timeout", 10.0, least=0.001)
        credentials = self.file("credentials")

        def make(servers: str) -> SharedSession:
            return SharedSession(servers, credentials, timeout, reactor=reactor)

        if "hosts" in self._values:
            return self.get("hosts", SharedSession(reactor=reactor), make)
        servers = os.environ.get("TXMIRROR_SERVERS") or "localhost:2181"
        try:
            return make(servers)
        except ValueError as error:
            raise ValueError(f"mirror: TXMIRROR_SERVERS is invalid: {error!s:.400}") from None


def read_format(text: str) -> str:
    """Return the name of a format.

    :raises ValueError: there is no such format.
    """
    try:
        return find_codec(text).name
    except LookupError:
        raise ValueError(f"there is no such format; there are {', '.join(CODECS)}") from None


def read_count(text: str) -> int:
    """Return a whole number above 0.

    :raises ValueError: the text is none.
    """
    if not (text.isascii() and text.isdecimal() and len(text) <= 9 and int(text)):
        raise ValueError("it is no whole number above 0")
    return int(text)


def _read_flag(text: str) -> bool | None:
    if text not in ("yes", "no"):
        raise ValueError("it is neither yes nor no")
    return text == "yes"


def _absolute(name: str) -> str | None:
    if not name or "\0" in name:
        raise ValueError("it is no name of a file")
    return str(Path(name).absolute())
