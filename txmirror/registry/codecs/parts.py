"""The parts of a record: each knows some keys of a JSON object, how an instance is written there, and how it is read."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime, timezone
from typing import Any

import attrs

from txmirror.errors import UnsupportedInstanceError
from txmirror.registry.codecs.texts import is_port
from txmirror.types import Endpoint, Instance, InstanceStatus

#: The key, and the value, that mark an instance with a check that warns, in the formats that have no status of their own for it.
HEALTH, _WARNING = "health", "warning"

#: The format of ``created``: a time without a zone, as readers of ndsr expect it. The zone has a key of its own.
_CREATED, _UTC = "%Y-%m-%d %H:%M:%S", "UTC"

#: The most digits of a number that is read, so that programs can calculate with it.
_MOST_DIGITS = 10


def _anything(_: Any) -> None:
    pass


@attrs.frozen
class Part:
    """Some keys of a record."""

    keys: frozenset[str]
    """The keys. Other facts may not have them, nor keys that differ from them in case: Go's JSON parser, which Prometheus uses,
    treats these as equal."""
    write: Callable[[Instance, dict[str, Any]], dict[str, object]]
    """Returns the keys and values for an instance. It removes from the other facts, a copy, those that have a place here."""
    read: Callable[[Instance, dict[str, Any]], Instance]
    """Returns an instance with the contents of a record, and removes them from that. Raises ValueError if it is invalid."""
    check: Callable[[Mapping[str, object]], None] = _anything
    """Raises ValueError if a record that is to be written lacks something that readers need."""
    check_name: Callable[[str], None] = _anything
    """Raises UnsupportedInstanceError if readers refuse the name of a node."""


def process_facts(pid: int, created: float) -> dict[str, object]:
    """Return the facts about the registration that ndsr has, and the time's zone."""
    return {
        "pid": pid,
        "created": datetime.fromtimestamp(created, timezone.utc).strftime(_CREATED),
        "created_zone": _UTC,
    }


def process_first(facts: dict[str, object], added: dict[str, object]) -> dict[str, object]:
    """Return a record of facts behind those about the registration. A time of the service's own has no zone."""
    if "created" in facts:
        added = {key: value for key, value in added.items() if key != "created_zone"}
    return {**added, **facts}


def _write_process(instance: Instance, data: dict[str, Any]) -> dict[str, object]:
    return {} if instance.pid is None or "pid" in data else {"pid": instance.pid}


def _read_process(instance: Instance, record: dict[str, Any]) -> Instance:
    pid, created = record.get("pid"), None
    if type(pid) is int:
        del record["pid"]
    else:
        pid = None
    if record.get("created_zone") == _UTC:
        try:
            created = datetime.strptime(record["created"], _CREATED).replace(tzinfo=timezone.utc).timestamp()
        except (KeyError, TypeError, ValueError):
            # An application has replaced it.
            pass
        else:
            del record["created"], record["created_zone"]
    return attrs.evolve(instance, pid=pid, created=created)


#: The process, and the time.
PROCESS = Part(frozenset(), _write_process, _read_process)


def _write_extras(instance: Instance, data: dict[str, Any]) -> dict[str, object]:
    extras: dict[str, object] = {}
    if instance.weight is not None:
        extras["weight"] = instance.weight
    if instance.labels:
        extras["labels"] = dict(instance.labels)
    if instance.status is InstanceStatus.WARNING:
        extras[HEALTH] = _WARNING
    return {key: value for key, value in extras.items() if key not in data}


def _read_extras(instance: Instance, record: dict[str, Any]) -> Instance:
    labels = record.get("labels")
    if isinstance(labels, dict) and all(isinstance(each, str) for each in labels.values()):
        del record["labels"]
    else:
        labels = {}
    status = InstanceStatus.WARNING if record.get(HEALTH) == _WARNING else InstanceStatus.UP
    if status is InstanceStatus.WARNING:
        del record[HEALTH]
    return attrs.evolve(instance, weight=take_weight(record), labels=labels, status=status)


#: Weight, labels and status among the facts of a format without a place for them. Facts with these keys take precedence.
EXTRAS = Part(frozenset(), _write_extras, _read_extras)


def labels_of(instance: Instance) -> dict[str, str]:
    """Return the labels to write, with the mark of a warning."""
    marked = {HEALTH: _WARNING} if instance.status is InstanceStatus.WARNING else {}
    return {**instance.labels, **marked}


def read_labels(value: object, status: InstanceStatus) -> tuple[dict[str, str], InstanceStatus]:
    """Return the labels of a table, without the mark of a warning, and the status with it. Values that are no strings are left out."""
    labels = {key: each for key, each in value.items() if isinstance(each, str)} if isinstance(value, dict) else {}
    if labels.get(HEALTH) == _WARNING:
        del labels[HEALTH]
        if status is InstanceStatus.UP:
            status = InstanceStatus.WARNING
    return labels, status


def take_weight(record: dict[str, Any]) -> int | None:
    """Remove the weight from a record, and return it; None if there is none that is valid."""
    weight = to_number(record.get("weight"))
    if weight is None or weight < 0:
        return None
    del record["weight"]
    return weight


def to_number(value: object) -> int | None:
    """Return an integer, which may be written as a string, as by some programs; None for other values, and if it has more than
    ten digits.
    """
    if isinstance(value, str) and value.isascii() and value.isdecimal() and len(value) <= _MOST_DIGITS:
        return int(value)
    return value if type(value) is int and abs(value) < 10**_MOST_DIGITS else None


def needed_endpoint(instance: Instance) -> Endpoint:
    """Return the address and port of an instance.

    :raises UnsupportedInstanceError: it lacks one of them.
    """
    if not instance.address:
        raise UnsupportedInstanceError("it needs an address", key="address")
    if not is_port(instance.port):
        raise UnsupportedInstanceError("it needs a port", key="port")
    assert instance.port is not None
    return Endpoint(instance.address, instance.port)


def demand(fulfilled: bool, message: str) -> None:
    """Check that a record that is to be written fulfils something that readers need.

    :raises ValueError: it does not.
    """
    if not fulfilled:
        raise ValueError(message)


def check_text(record: Mapping[str, object], *keys: str) -> None:
    """Check that a record has texts.

    :raises ValueError: it lacks one.
    """
    for key in keys:
        demand(isinstance(record.get(key), str) and bool(record[key]), f"{key!r} is no text")


def check_texts(record: Mapping[str, object], key: str) -> None:
    """Check that a value, if there is one, is a table of texts.

    :raises ValueError: it is not.
    """
    table = record.get(key, {})
    texts = isinstance(table, Mapping) and all(isinstance(each, str) for each in table.values())
    demand(texts, f"{key!r} is no table of texts")
