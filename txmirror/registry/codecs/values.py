"""Facts about a service, and copies of them."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

#: The types of values that need no copy.
_SCALARS = frozenset((str, int, float, bool, type(None)))


def to_facts(data: Mapping[str, object] | str | None) -> dict[str, object]:
    """Return data as a table of facts: a string becomes the fact ``string_value``.

    :raises TypeError: it is neither a mapping nor a string.
    """
    if data is None:
        return {}
    if isinstance(data, str):
        return {"string_value": data}
    if isinstance(data, (dict, Mapping)):
        return dict(data)
    raise TypeError(f"data is a mapping or a string, not {data!r:.60}")


def own_copy(data: Mapping[str, object] | str | None) -> Mapping[str, object] | str | None:
    """Return a copy of data that was encoded before, so that the caller cannot change it."""
    copied: dict[str, object] | str | None = copy_value(dict(data) if isinstance(data, Mapping) else data)
    return copied


def copy_value(value: Any) -> Any:
    """Return a copy of a value. Of the types that JSON has, this is much faster than :func:`copy.deepcopy`."""
    kind = type(value)
    if kind in _SCALARS:
        return value
    if kind is dict:
        copied = value.copy()
        for key, each in value.items():
            if type(each) not in _SCALARS:
                copied[key] = copy_value(each)
        return copied
    if kind is list:
        return [copy_value(each) for each in value]
    return copy.deepcopy(value)
