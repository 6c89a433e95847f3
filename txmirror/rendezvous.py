"""The numbers of rendezvous hashing: each pair of a key and a candidate has a score, and the highest one wins the key.

The scores are the same in every process. So a candidate that comes takes keys from others, and one that goes gives its own away, and
no other key moves.
"""

from __future__ import annotations

import hashlib
from typing import Final

_MASK: Final = 2**64 - 1
#: Odd numbers of 64 bits, to mix the bits of a product: those of splitmix64.
_FIRST, _SECOND = 0xBF58476D1CE4E5B9, 0x94D049BB133111EB


def hash_bytes(data: bytes) -> int:
    """Return a number of 64 bits for some bytes."""
    return int.from_bytes(hashlib.blake2b(data, digest_size=8).digest(), "big")


def hash_text(text: str) -> int:
    """Return a number of 64 bits for a text."""
    return hash_bytes(text.encode(errors="surrogatepass"))


def mix(number: int) -> int:
    """Return a number of 52 bits, all of which depend on all bits of another of 64."""
    product = number * _FIRST & _MASK
    return ((product ^ product >> 31) * _SECOND & _MASK) >> 12
