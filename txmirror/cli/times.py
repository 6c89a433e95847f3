"""Times for people."""

from __future__ import annotations

from datetime import datetime, timezone
from typing import Final

_UNITS: Final = (("day", 86400), ("hour", 3600), ("minute", 60), ("second", 1))


def show_time(seconds: float, now: float) -> str:
    """Return a time for a reader, as in ``2026-11-30 07:06:01 UTC, 3 minutes ago``.

    :param seconds: the time, in seconds since the Unix epoch.
    :param now: the current time. The other time may be later: it is by another clock.
    """
    try:
        time = f"{datetime.fromtimestamp(seconds, timezone.utc):%Y-%m-%d %H:%M:%S} UTC"
    except (OverflowError, ValueError, OSError):
        return f"{seconds:g} s since 1970"
    return f"{time}, {_distance(now - seconds)}"


def _distance(seconds: float) -> str:
    size = abs(seconds)
    unit, length = next((each for each in _UNITS if size >= each[1]), ("second", 1))
    count = int(size / length)
    if count == 0:
        return "now"
    text = f"{count:,} {unit}{'' if count == 1 else 's'}"
    return f"{text} ago" if seconds > 0 else f"in {text}"
