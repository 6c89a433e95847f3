"""One request as a handler sees it, its answer, and the exception that refuses it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import attrs
from twisted.web.server import Request

from txmirror.json_text import JSONWriter

JSON: Final = "application/json"
TEXT: Final = "text/plain; charset=utf-8"
#: The most characters of a client's text that an error quotes.
_QUOTED: Final = 60

_writer = JSONWriter()


class InvalidRequest(ValueError):
    """A request is refused. Each line says why, and quotes the fault.

    :param lines: the lines.
    :param status: the status of the answer.
    :param headers: more headers of the answer.
    """

    def __init__(self, *lines: str, status: int = 400, headers: Mapping[str, str] | None = None) -> None:
        super().__init__("; ".join(lines))
        self.lines = lines
        self.status = status
        self.headers: Mapping[str, str] | dict[str, str] = headers or {}


def quoted(text: str) -> str:
    """Return a client's text in quotes and on one line, cut after some characters."""
    return repr(text if len(text) <= _QUOTED else f"{text[:_QUOTED]}...")


@attrs.frozen
class Answer:
    """An answer that is not just a value of JSON with the status 200."""

    content: bytes
    """The body."""
    content_type: str = JSON
    """The value of the header ``Content-Type``."""
    status: int = 200
    """The status."""
    headers: Mapping[str, str] = attrs.field(factory=dict)
    """More headers. ``Cache-Control`` is ``no-store`` if it is not among them."""

    @classmethod
    def of(cls, value: object, *, status: int = 200, headers: Mapping[str, str] | None = None) -> Answer:
        """Return the answer with a value of JSON.

        :raises TypeError: JSON has no such type.
        :raises ValueError: a number is not finite.
        """
        return cls(_writer.write(value).encode() + b"\n", JSON, status, headers or {})

    @classmethod
    def of_errors(cls, *lines: str, status: int, headers: Mapping[str, str] | None = None) -> Answer:
        """Return the answer to a request that is refused: ``{"errors": [...]}``."""
        return cls.of({"errors": list(lines)}, status=status, headers=headers)

    @classmethod
    def of_text(cls, text: str, *, status: int = 200) -> Answer:
        """Return the answer with a plain text. Lone surrogates are escaped."""
        return cls(text.encode("utf-8", "backslashreplace"), TEXT, status)


@attrs.frozen
class Call:
    """One request.

    :ivar request: the request of ``twisted.web``, for its headers.
    :ivar query: the values of each key of the query, in order. Only the declared keys are there.
    :ivar body: the JSON object in the body; empty if there is no body.
    """

    request: Request
    query: Mapping[str, tuple[str, ...]]
    body: Mapping[str, Any]

    def header(self, name: str) -> str | None:
        """Return the value of a header; the last one if there are several, and None if there is none. It need not be UTF-8."""
        values = self.request.requestHeaders.getRawHeaders(name.encode("ascii"))
        return values[-1].decode("latin-1") if values else None

    def one(self, key: str) -> str | None:
        """Return the value of a key of the query; None if it is not there.

        :raises InvalidRequest: it is there more than once.
        """
        values = self.query.get(key, ())
        if len(values) > 1:
            raise InvalidRequest(f"the query has {quoted(key)} {len(values)} times: once is enough")
        return values[0] if values else None

    def only(self, *keys: str) -> None:
        """Refuse a body with other keys than these.

        :raises InvalidRequest: it has one; the message quotes it.
        """
        for key in self.body:
            if key not in keys:
                raise InvalidRequest(f"unknown key {quoted(key)} in the body")
