"""The numbers that servers append to the names of sequential nodes.

They have ten digits, and are Java's ints: the largest is followed by the smallest, which is negative.
"""

from __future__ import annotations

#: A regular expression for the digits.
DIGITS = r"\d{10}|-\d{9,10}"
_MODULUS = 2**32


def is_number(number: int) -> bool:
    """Return whether a server can have appended a number."""
    return -_MODULUS // 2 <= number < _MODULUS // 2


def distance(reference: int, number: int) -> int:
    """Return the distance of a number from a reference, modulo 2**32; negative if it is before that."""
    return (number - reference + _MODULUS // 2) % _MODULUS - _MODULUS // 2
