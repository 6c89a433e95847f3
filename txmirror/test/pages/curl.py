"""The requests that command lines of curl in pages would send."""

from __future__ import annotations

import shlex
from collections.abc import Mapping

import attrs


@attrs.frozen
class Request:
    """A request.

    :ivar url: the whole URL.
    :ivar headers: its headers, by their names.
    :ivar body: its body; None if there is none.
    :ivar socket: the UNIX socket; None for TCP.
    """

    method: str
    url: str
    headers: Mapping[str, str]
    body: bytes | None
    socket: str | None

    @property
    def path(self) -> str:
        """The path and the query."""
        return "/" + self.url.split("/", 3)[3]


def parse_curl(command: str) -> Request:
    """Return the request of a command line, which may have the options ``-s``, ``-X``, ``-H``, ``-d`` and ``--unix-socket``.

    ``$(...)`` in a header stays as it is.

    :raises ValueError: it has another option, or is no command of curl.
    """
    name, *words = shlex.split(command.replace("\\\n", " "))
    if name != "curl":
        raise ValueError(f"{name} is not curl")
    method, url, headers, body, socket = "GET", "", dict[str, str](), None, None
    remaining = iter(words)
    for word in remaining:
        if word == "-X":
            method = next(remaining)
        elif word == "-H":
            header, _, value = next(remaining).partition(": ")
            headers[header] = value
        elif word == "-d":
            body = next(remaining).encode()
        elif word == "--unix-socket":
            socket = next(remaining)
        elif word != "-s":
            if word.startswith("-") or url:
                raise ValueError(f"{word} in {command!r}")
            url = word
    return Request(method, url, headers, body, socket)
