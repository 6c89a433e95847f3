"""Histories as text: one line of JSON for each operation, watch, hold and reset."""

from __future__ import annotations

import enum
import json
from collections.abc import Iterable, Iterator
from typing import Any

import attrs

from txmirror.testing.history import calls
from txmirror.testing.history.operations import Fired, History, Hold, Operation, Outcome

_CLASSES: dict[str, Any] = {
    each.__name__: each
    for each in (Operation, Fired, Hold, Outcome, *vars(calls).values())
    if attrs.has(each) or (isinstance(each, type) and issubclass(each, enum.Enum))
}


def to_lines(history: History) -> Iterator[str]:
    """Yield the lines of a history."""
    for each in (*history.operations, *history.fired, *history.holds):
        yield json.dumps(_encode(each))
    yield json.dumps({"resets": history.resets, "pipelined": sorted(history.pipelined)})


def from_lines(lines: Iterable[str]) -> History:
    """Return the history of some lines.

    :raises ValueError: a line is invalid. It is quoted.
    """
    found: dict[type, list[Any]] = {Operation: [], Fired: [], Hold: []}
    resets: list[int] = []
    pipelined: set[str] = set()
    for line in lines:
        try:
            fields = json.loads(line)
            if "resets" in fields:
                resets += fields["resets"]
                pipelined.update(fields["pipelined"])
            else:
                record = _decode(fields)
                found[type(record)].append(record)
        except (KeyError, TypeError, ValueError) as error:
            raise ValueError(f"no line of a history: {line!r}") from error
    return History(
        tuple(found[Operation]), tuple(found[Fired]), tuple(found[Hold]), tuple(resets), frozenset(pipelined)
    )


def _encode(value: Any) -> Any:
    if attrs.has(type(value)):
        return {"class": type(value).__name__, **{name: _encode(each) for name, each in _fields(value)}}
    if isinstance(value, enum.Enum):
        return {"class": type(value).__name__, "value": value.value}
    if isinstance(value, frozenset):
        return {"class": "frozenset", "value": sorted(value)}
    if isinstance(value, tuple):
        return [_encode(each) for each in value]
    return value


def _fields(record: Any) -> Iterator[tuple[str, Any]]:
    for each in attrs.fields(type(record)):
        value = getattr(record, each.name)
        if value != each.default:
            yield each.name, value


def _decode(value: Any) -> Any:
    if isinstance(value, list):
        return tuple(_decode(each) for each in value)
    if not isinstance(value, dict):
        return value
    fields = {name: _decode(each) for name, each in value.items()}
    name = fields.pop("class")
    return frozenset(fields["value"]) if name == "frozenset" else _CLASSES[name](**fields)
