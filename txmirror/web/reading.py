"""Read the parts of a request: its path, its query and its body."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping
from typing import Any, Final
from urllib.parse import unquote_to_bytes

from twisted.web.server import Request
from werkzeug.routing import BaseConverter, ValidationError

from txmirror.json_text import read_json
from txmirror.web.calls import InvalidRequest, quoted

#: The longest body of a request, in bytes; and of a question by POST: Envoy describes itself in each, with all its extensions.
LONGEST_BODY: Final = 64 * 1024
LONGEST_QUESTION: Final = 2**20
#: The most parameters of a query.
_MOST_PARAMETERS: Final = 1000
#: The bytes that a target must not have.
_INVALID: Final = re.compile(rb"[^\x21-\x7e]")


class SegmentConverter(BaseConverter):
    """One segment of a path, decoded: ``<name>`` in a rule.

    The rules match the path as it was sent. So a segment may have any character: a slash is ``%2F`` there.
    """

    def to_python(self, value: str) -> str:
        """Return the decoded segment.

        :raises ValidationError: it is not UTF-8.
        """
        return _decode_segment(value)


class PathConverter(BaseConverter):
    """The rest of a path, with its slashes, decoded: ``<path:name>`` in a rule. It may be empty."""

    regex = ".*?"
    weight = 200
    part_isolating = False

    def to_python(self, value: str) -> str:
        """Return the decoded path.

        :raises ValidationError: a segment is not UTF-8, or has a slash of its own, so that it is another path.
        """
        segments = [_decode_segment(segment) for segment in value.split("/")]
        if any("/" in segment for segment in segments):
            raise ValidationError
        return "/".join(segments)


def _decode_segment(text: str) -> str:
    try:
        return unquote_to_bytes(text).decode()
    except UnicodeDecodeError:
        raise ValidationError from None


def read_target(uri: bytes) -> tuple[bytes, bytes]:
    """Return the path and the query of a request's target, both as they were sent.

    :raises InvalidRequest: the target is no path that begins with a slash, or has a character that must be encoded.
    """
    path, _, query = uri.partition(b"?")
    if not path.startswith(b"/"):
        raise InvalidRequest(f"the target {quoted(uri.decode('latin-1'))} does not begin with a slash")
    if _INVALID.search(uri) is not None:
        raise InvalidRequest("the target has a character that must be percent-encoded")
    return path, query


def read_query(query: bytes, known: Collection[str]) -> Mapping[str, tuple[str, ...]]:
    """Return the values of each key of a query, in order.

    :param query: as it was sent.
    :param known: the keys that it may have. One that ends in a dot stands for all keys that begin with it.
    :raises InvalidRequest: it has another key, or is not UTF-8. The line quotes the key.
    """
    found: dict[str, tuple[str, ...]] = {}
    for key, value in _parameters(query):
        if not _is_known(key, known):
            hint = f"known are {', '.join(sorted(known))}" if known else "there are none here"
            raise InvalidRequest(f"unknown key {quoted(key)} in the query: {hint}")
        found[key] = (*found.get(key, ()), value)
    return found


def _parameters(query: bytes) -> Iterator[tuple[str, str]]:
    parts = query.split(b"&", _MOST_PARAMETERS)
    if len(parts) > _MOST_PARAMETERS:
        raise InvalidRequest(f"the query has more than {_MOST_PARAMETERS} parameters")
    for part in filter(None, parts):
        key, _, value = part.replace(b"+", b" ").partition(b"=")
        try:
            yield unquote_to_bytes(key).decode(), unquote_to_bytes(value).decode()
        except UnicodeDecodeError:
            raise InvalidRequest(f"{quoted(part.decode('latin-1'))} in the query is not UTF-8") from None


def _is_known(key: str, known: Collection[str]) -> bool:
    prefix, dot, rest = key.partition(".")
    return prefix + dot in known if dot and rest else not dot and key in known


def longest_body(method: bytes) -> int:
    """Return the longest body of a request with a method, in bytes."""
    return LONGEST_QUESTION if method == b"POST" else LONGEST_BODY


def read_body(request: Request) -> Mapping[str, Any]:
    """Return the JSON object in the body of a request; an empty one if there is no body.

    :raises InvalidRequest: the body is too long, or is no JSON object.
    """
    if request.content is None:
        return {}
    most = longest_body(request.method)
    content = request.content.read(most + 1)
    if len(content) > most:
        raise InvalidRequest(f"the body has more than {most} bytes", status=413)
    if not content:
        return {}
    try:
        body = read_json(content)
    except ValueError as error:
        raise InvalidRequest(f"the body is not JSON: {error}") from None
    if not isinstance(body, dict):
        raise InvalidRequest("the body is not a JSON object")
    return body
