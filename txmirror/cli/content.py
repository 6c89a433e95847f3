"""The data of nodes for people: text as it is, and a description of data that are not text."""

from __future__ import annotations

import re
from typing import Final

from txmirror.cli.sizes import show_bytes
from txmirror.json_text import JSONReader

#: The kinds of data that are known by their first bytes.
_KINDS: Final = (
    (b"\x1f\x8b", "gzip"),
    (b"BZh", "bzip2"),
    (b"\xfd7zXZ\0", "xz"),
    (b"\x28\xb5\x2f\xfd", "zstd"),
    (b"\x04\x22\x4d\x18", "lz4"),
    (b"\xff\x06\0\0sNaPpY", "snappy"),
    (b"PK\x03\x04", "zip"),
    (b"\x89PNG\r\n", "PNG"),
    (b"\xff\xd8\xff", "JPEG"),
    (b"%PDF-", "PDF"),
    (b"\xac\xed\0\x05", "a serialized Java object"),
    (b"\x80\x02", "a Python pickle"),
    (b"\x80\x03", "a Python pickle"),
    (b"\x80\x04", "a Python pickle"),
    (b"\x80\x05", "a Python pickle"),
    (b"SQLite format 3\0", "SQLite"),
    (b"\x7fELF", "ELF"),
    (b"\xff\xfe", "UTF-16"),
    (b"\xfe\xff", "UTF-16"),
    (b"\x78\x01", "zlib"),
    (b"\x78\x9c", "zlib"),
    (b"\x78\xda", "zlib"),
)
#: Control characters that texts do not have; some move the cursor of a terminal, or change its settings.
_CONTROL: Final = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]")


def is_text(data: bytes) -> bool:
    """Return whether data are text: UTF-8, without control characters other than tabs and line ends."""
    try:
        return _CONTROL.search(data.decode()) is None
    except UnicodeDecodeError:
        return False


def describe_content(data: bytes) -> str:
    """Return the size and kind of data that are not text, as in ``1,024 bytes, gzip``."""
    kind = next((kind for start, kind in _KINDS if data.startswith(start)), None)
    return show_bytes(len(data)) + ("" if kind is None else f", {kind}")


def is_json(data: bytes) -> bool:
    """Return whether data are an object or an array of JSON."""
    if not data.lstrip().startswith((b"{", b"[")):
        return False
    try:
        JSONReader().read(data)
    except ValueError:
        return False
    return True
