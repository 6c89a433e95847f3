"""Encode and decode a znode's ephemeral owner, as ``org.apache.zookeeper.server.EphemeralType`` does.

Zero is a persistent node, and most other numbers are session ids. One number marks a container, which is deleted some time
after its last child. A number with the highest byte 0xff is a TTL node: its lowest five bytes are the time to live.
"""

from __future__ import annotations

from typing import Final

#: The owner of a container.
CONTAINER: Final = -(1 << 63)

_TTL = -(1 << 56)
_LONGEST_TTL = (1 << 40) - 1


def ttl_owner(ttl: int) -> int:
    """Return the owner of a TTL node, which lives for ``ttl`` milliseconds without changes and children.

    :raises ValueError: the time is not positive, or above some 34 years.
    """
    if not 0 < ttl <= _LONGEST_TTL:
        raise ValueError(f"a time to live of {ttl} ms is invalid")
    return _TTL | ttl


def ttl_of(owner: int) -> int | None:
    """Return a TTL node's time to live in milliseconds, or None for other owners."""
    return owner & _LONGEST_TTL if owner >> 56 == -1 else None


def session_of(owner: int) -> int:
    """Return the session's id, or 0 for other owners. Stats show clients only this."""
    return 0 if owner == CONTAINER or ttl_of(owner) is not None else owner
