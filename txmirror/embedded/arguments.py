"""What callers give, looked at before anything is done with it: an error quotes it."""

from __future__ import annotations


def check_whole(what: str, value: object, least: int, most: int) -> None:
    """Make sure of a whole number.

    :param what: what the number is, for the message.
    :raises TypeError: it is none.
    :raises ValueError: it is out of bounds.
    """
    if isinstance(value, bool) or not isinstance(value, int):
        raise TypeError(f"{what} is {value!r}: not a whole number")
    if not least <= value <= most:
        raise ValueError(f"{what} is {value!r}: not from {least} to {most}")


def check_seconds(what: str, value: object, *, positive: bool = False) -> None:
    """Make sure of a number of seconds that come to an end.

    :param what: what the number is, for the message.
    :param positive: whether it must be more than none.
    :raises TypeError: it is no number.
    :raises ValueError: it is negative, infinite or not a number, or it is 0 and must not be.
    """
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise TypeError(f"{what} is {value!r}: not a number of seconds")
    if not 0 <= value < float("inf") or (positive and not value):
        raise ValueError(f"{what} is {value!r}: not a {'positive ' if positive else ''}number of seconds")


def check_kind(what: str, value: object, kind: type, wanted: str) -> None:
    """Make sure that something is of a type.

    :param what: what it is, for the message.
    :param wanted: what it has to be, in words.
    :raises TypeError: it is not.
    """
    if not isinstance(value, kind):
        raise TypeError(f"{what} is {value!r}: not {wanted}")
