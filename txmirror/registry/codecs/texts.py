"""The text of a node's data, and addresses in texts."""

from __future__ import annotations

import re

from txmirror.json_text import decode_text
from txmirror.types import Endpoint, Undecodable

#: The greatest port.
_LAST_PORT = 65535

_ADDRESS = re.compile(r"(?:\[(?P<ipv6>[0-9A-Fa-f:.]+(?:%[^\s/\[\]]+)?)\]|(?P<host>[^\s:/\[\]]+)):(?P<port>[0-9]{1,5})")


def to_text(data: bytes) -> str | Undecodable:
    """Return the text of a node's data."""
    try:
        return decode_text(data)
    except UnicodeDecodeError as error:
        return Undecodable(f"not UTF-8 at byte {error.start}: {data[error.start : error.start + 8]!r}")


def parse_address(text: str) -> Endpoint | None:
    """Return the address and port of ``host:port`` or ``[address]:port``; None for another text."""
    match = _ADDRESS.fullmatch(text)
    if match is None or not is_port(int(match["port"])):
        return None
    return Endpoint(match["ipv6"] or match["host"], int(match["port"]))


def is_port(value: object) -> bool:
    """Return whether a value is the number of a port to connect to."""
    return type(value) is int and 0 < value <= _LAST_PORT
