"""The queries of the lists of instances: which of them are wanted, and whether to wait for a change."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import attrs

from txmirror.catalog import Entry
from txmirror.discovery import equals, says
from txmirror.durations import read_duration, show_seconds
from txmirror.types import InstanceStatus
from txmirror.web.calls import Call, InvalidRequest, quoted

#: The default time to wait, and the longest, in seconds.
DEFAULT_WAIT: Final = 300.0
LONGEST_WAIT: Final = 600.0
#: Indexes fit into a double, as JavaScript's numbers.
_MOST_INDEX: Final = 2**53

_LABEL, _DATA = "label.", "data."
_STATUSES: Final = {each.value: each for each in InstanceStatus}


@attrs.frozen
class Selection:
    """The instances that a query asks for."""

    passing: bool = False
    """Only those that can be used."""
    status: InstanceStatus | None = None
    """Only those with this status; None for any."""
    zone: str | None = None
    """Only those in this zone; None for any."""
    labels: Mapping[str, str] = attrs.field(factory=dict)
    """Only those with these labels."""
    data: Mapping[str, str] = attrs.field(factory=dict)
    """Only those whose data has these values."""

    @property
    def all(self) -> bool:
        """True if every instance is wanted."""
        return self is _ALL

    def has(self, entry: Entry) -> bool:
        """Return whether an entry is wanted. One that is unreadable is wanted if the query asks for nothing in particular."""
        if self is _ALL:
            return True
        if self.passing and not entry.usable:
            return False
        instance = entry.instance
        if instance is None:
            return False
        if self.status is not None and instance.status is not self.status:
            return False
        if self.zone is not None and not says(instance, "zone", self.zone):
            return False
        data = instance.data if isinstance(instance.data, Mapping) else {}
        return all(instance.labels.get(key) == value for key, value in self.labels.items()) and all(
            equals(data.get(key), value) for key, value in self.data.items()
        )


_ALL: Final = Selection()


@attrs.frozen
class Wait:
    """A query that waits for a change."""

    index: int
    """The index that the client knows."""
    seconds: float
    """The longest time to wait."""


def read_selection(call: Call) -> Selection:
    """Return the instances that a query asks for.

    :raises InvalidRequest: a value is invalid; the line quotes it.
    """
    status = call.one("status")
    if status is not None and status not in _STATUSES:
        raise InvalidRequest(f"status is {quoted(status)}: not {' or '.join(_STATUSES)}")
    selection = Selection(
        passing=_read_flag(call, "passing"),
        status=None if status is None else _STATUSES[status],
        zone=call.one("zone"),
        labels=_read_all(call, _LABEL),
        data=_read_all(call, _DATA),
    )
    return _ALL if selection == _ALL else selection


def read_wait(call: Call) -> Wait | None:
    """Return whether and how long a query waits; None if it is to be answered at once.

    :raises InvalidRequest: a value is invalid; the line quotes it.
    """
    index, wait = call.one("index"), call.one("wait")
    if index is None:
        if wait is not None:
            raise InvalidRequest("wait needs an index: that of the former answer")
        return None
    if not (index.isascii() and index.isdigit() and len(index) <= 16 and int(index) <= _MOST_INDEX):
        raise InvalidRequest(f"index is {quoted(index)}: not a whole number from 0 to {_MOST_INDEX}")
    seconds = DEFAULT_WAIT if wait is None else read_duration(wait)
    if seconds is None:
        raise InvalidRequest(f"wait is {quoted(wait or '')}: no duration, such as 30s, 500ms or 5m")
    if seconds > LONGEST_WAIT:
        raise InvalidRequest(f"wait is {quoted(wait or '')}: more than {show_seconds(LONGEST_WAIT)}")
    return Wait(int(index), seconds)


def _read_flag(call: Call, key: str) -> bool:
    value = call.one(key)
    if value not in (None, "", "1", "true"):
        raise InvalidRequest(f"{key} is {quoted(value)}: it takes no value, or 1 or true")
    return value is not None


def _read_all(call: Call, prefix: str) -> dict[str, str]:
    return {key.removeprefix(prefix): call.one(key) or "" for key in call.query if key.startswith(prefix)}
