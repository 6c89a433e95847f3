"""What a znode goes away with, in the one number that ``org.apache.zookeeper.server.EphemeralType`` makes of it.

Zero is nothing, and most numbers are sessions. One number stands for a container, which goes some time after its last
child, and those whose highest byte is 0xff hold a time to live in their lowest five.
"""

from __future__ import annotations

from typing import Final

#: The owner of a container.
CONTAINER: Final = -(1 << 63)

_TTL = -(1 << 56)
_LONGEST_TTL = (1 << 40) - 1


def ttl_owner(ttl: int) -> int:
    """Give the owner of a znode that lives for ``ttl`` milliseconds without changes and children.

    :raises ValueError: the time is not positive, or above some 34 years.
    """
    if not 0 < ttl <= _LONGEST_TTL:
        raise ValueError(f"a time to live of {ttl} ms")
    return _TTL | ttl


def ttl_of(owner: int) -> int | None:
    """Give the time to live in milliseconds, or None if this is something else."""
    return owner & _LONGEST_TTL if owner >> 56 == -1 else None


def session_of(owner: int) -> int:
    """Give the session, or 0 if this is something else: all that clients are shown of an owner."""
    return 0 if owner == CONTAINER or ttl_of(owner) is not None else owner
