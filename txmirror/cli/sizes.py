"""Numbers of bytes: read them from the text of an option, and show them to a reader."""

from __future__ import annotations

import re
from typing import Final

from txmirror.wire import HARD_FRAME_LIMIT

#: The bounds of ``--max-reply``, in bytes.
SMALLEST_REPLY: Final = 1024
LARGEST_REPLY: Final = HARD_FRAME_LIMIT

_SIZE = re.compile(r"([0-9]{1,12})([KMGkmg]?)")


def parse_size(text: str) -> int:
    """Return the bytes of ``--max-reply``; K, M and G stand for powers of 1024.

    :raises ValueError: the text is no number, or the number is out of bounds; the message quotes the text.
    """
    match = _SIZE.fullmatch(text)
    if match is None:
        raise ValueError(f"{text!r} is no number of bytes, such as 16M")
    size = int(match[1]) << 10 * " KMG".index(match[2].upper() or " ")
    if not SMALLEST_REPLY <= size <= LARGEST_REPLY:
        raise ValueError(f"{text!r} is not between 1K and {LARGEST_REPLY // 1024**2}M")
    return size


def show_bytes(count: int) -> str:
    """Return a number of bytes for a reader, as in ``1,024 bytes``."""
    return f"{count:,} byte{'' if count == 1 else 's'}"
