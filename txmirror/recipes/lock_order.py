"""The order of contenders: by the sequence numbers in the names of their nodes.

The names are kazoo's: ``__lock__`` for exclusive locks and ``__rlock__`` for readers, and then a number. Other nodes are no
contenders. A semaphore's leases have kazoo's names too: 32 hexadecimal digits.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from txmirror.recipes.sequences import DIGITS, distance, is_number

EXCLUSIVE = "__lock__"
SHARED = "__rlock__"

_SEQUENCE = re.compile(rf"({EXCLUSIVE}|{SHARED})({DIGITS})\Z")
_LEASE = re.compile(r"[0-9a-f]{32}\Z")


def in_order(names: Iterable[str]) -> list[str]:
    """Return the names of contenders, the first in the queue first."""
    numbers = {name: place[1] for name in names if (place := _sequence(name)) is not None}
    reference = next(iter(numbers.values()), 0)
    return sorted(numbers, key=lambda name: distance(reference, numbers[name]))


def leases_in(names: Iterable[str]) -> list[str]:
    """Return the names of a semaphore's leases."""
    return sorted(name for name in names if _LEASE.match(name))


def predecessor(names: Iterable[str], own: str) -> str | None:
    """Return the contender that another has to wait for next: the last of those before it that exclude it; None if there is
    none.

    :param own: the contender's own name, one of ``names``. A reader does not wait for other readers.
    """
    place = _sequence(own)
    assert place is not None, own
    kind, number = place
    nearest, before = 0, None
    for name in names:
        other = _sequence(name)
        if other is not None and EXCLUSIVE in (kind, other[0]):
            away = distance(number, other[1])
            if away < 0 and (before is None or away > nearest):
                nearest, before = away, name
    return before


def _sequence(name: str) -> tuple[str, int] | None:
    match = _SEQUENCE.search(name)
    if match is None:
        return None
    number = int(match[2])
    return (match[1], number) if is_number(number) else None
