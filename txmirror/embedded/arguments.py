"""Check arguments before they are used. The errors quote the value."""

from __future__ import annotations


def check_whole(name: str, value: object, least: int, most: int) -> None:
    """Check that a value is a whole number within bounds.

    :param name: the argument's name, for the message.
    :raises TypeError: it is no whole number.
    :raises ValueError: it is out of bounds.
    """
    if isinstance(value, bool) or not isinstance(value, int):
        raise TypeError(f"{name} is {value!r}: not a whole number")
    if not least <= value <= most:
        raise ValueError(f"{name} is {value!r}: not from {least} to {most}")


def check_kind(name: str, value: object, kind: type, wanted: str) -> None:
    """Check that a value has a type.

    :param name: the argument's name, for the message.
    :param wanted: the type in words, for the message.
    :raises TypeError: it has another type.
    """
    if not isinstance(value, kind):
        raise TypeError(f"{name} is {value!r}: not {wanted}")
