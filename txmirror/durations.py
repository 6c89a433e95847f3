"""Numbers of seconds, and counts: check an argument, and read an option's text."""

from __future__ import annotations

import math


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
