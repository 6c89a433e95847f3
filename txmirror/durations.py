"""Numbers of seconds, and counts: check an argument, read a text, and show them to a reader."""

from __future__ import annotations

import math
import re
from typing import Final

_UNITS: Final = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_DURATION = re.compile(r"(?P<number>[0-9]{1,12}(?:\.[0-9]{1,9})?) ?(?P<unit>ms|s|m|h|d)")


def check_seconds(name: str, value: object, *, positive: bool = False, optional: bool = False) -> None:
    """Check that an argument is a finite number of seconds, from 0.

    :param name: the argument's name, for the message.
    :param positive: whether 0 is invalid.
    :param optional: whether None is valid.
    :raises TypeError: it is no number; the message quotes it.
    :raises ValueError: it is negative, infinite or not a number, or it is 0 and ``positive`` is set; the message quotes it.
    """
    if value is None and optional:
        return
    wanted = f"a number of seconds {'above' if positive else 'from'} 0{', or None' if optional else ''}"
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise TypeError(f"{name} is {value!r:.60}: not {wanted}")
    if not 0 <= value < math.inf or (positive and not value):
        raise ValueError(f"{name} is {value!r}: not {wanted}")


def check_count(name: str, value: object) -> None:
    """Check that an argument is a whole number above 0.

    :param name: the argument's name, for the message.
    :raises ValueError: it is none; the message quotes it.
    """
    if type(value) is not int or value < 1:
        raise ValueError(f"{name} is {value!r:.60}: not a whole number above 0")


def parse_seconds(text: str, least: float, most: float) -> float:
    """Read a number of seconds from the text of an option.

    :param least: the least valid number.
    :param most: the greatest valid number.
    :raises ValueError: the text is no number, or the number is out of bounds; the message quotes the text.
    """
    try:
        seconds = float(text)
    except ValueError:
        raise ValueError(f"{text!r} is no number of seconds") from None
    if not least <= seconds <= most:
        raise ValueError(f"{text!r} is not between {least:g} and {most:g} seconds")
    return seconds


def read_duration(text: str) -> float | None:
    """Return the seconds of a number with a unit, as in ``500ms``, ``1.5m`` or ``2h``; None if the text is something else."""
    match = _DURATION.fullmatch(text)
    return None if match is None else round(float(match["number"]) * _UNITS[match["unit"]], 9)


def show_seconds(seconds: float) -> str:
    """Return a duration for a reader, in the largest unit in which it is whole, as in ``90 s`` or ``2 h``."""
    for unit, factor in reversed(_UNITS.items()):
        if seconds and seconds % factor == 0:
            return f"{seconds / factor:g} {unit}"
    return f"{seconds:g} s" if not 0 < seconds < 1 else f"{seconds * 1000:g} ms"
