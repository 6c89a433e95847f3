"""The line in which contenders stand: their nodes, ordered by the sequence numbers in their names.

The names are kazoo's: ``__lock__`` for who wants to be alone, ``__rlock__`` for who reads, and a number. Others are nobody's
place. A semaphore's leases have kazoo's names too: 32 hexadecimal digits.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

EXCLUSIVE = "__lock__"
SHARED = "__rlock__"

#: The numbers have ten places, and are Java's ints: after the largest comes the smallest, which is negative.
_SEQUENCE = re.compile(rf"({EXCLUSIVE}|{SHARED})(\d{{10}}|-\d{{9,10}})\Z")
_MODULUS = 2**32
_LEASE = re.compile(r"[0-9a-f]{32}\Z")


def in_order(names: Iterable[str]) -> list[str]:
    """Give the names of contenders, the first in line first."""
    numbers = {name: place[1] for name in names if (place := _sequence(name)) is not None}
    reference = next(iter(numbers.values()), 0)
    return sorted(numbers, key=lambda name: _after(reference, numbers[name]))


def leases_in(names: Iterable[str]) -> list[str]:
    """Return the names that a semaphore's leases have."""
    return sorted(name for name in names if _LEASE.match(name))


def predecessor(names: Iterable[str], own: str) -> str | None:
    """Give whom one contender has to wait for next: the last of those that are before it and in its way.

    :param own: the contender's own name, one of ``names``. Who reads does not wait for others who read.
    """
    place = _sequence(own)
    assert place is not None, own
    kind, number = place
    nearest, before = 0, None
    for name in names:
        other = _sequence(name)
        if other is not None and EXCLUSIVE in (kind, other[0]):
            distance = _after(number, other[1])
            if distance < 0 and (before is None or distance > nearest):
                nearest, before = distance, name
    return before


def _sequence(name: str) -> tuple[str, int] | None:
    match = _SEQUENCE.search(name)
    if match is None:
        return None
    number = int(match[2])
    return (match[1], number) if -_MODULUS // 2 <= number < _MODULUS // 2 else None


def _after(reference: int, number: int) -> int:
    """Tell how far a number is behind another, where they go round; it is negative if it is before it."""
    return (number - reference + _MODULUS // 2) % _MODULUS - _MODULUS // 2
