"""The records of nerve, which synapse and Prometheus read, and its base64 names.

The format is that of ``lib/nerve/reporter/base.rb`` and ``lib/nerve/reporter/zookeeper.rb`` of airbnb/nerve.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Mapping
from typing import Any

import attrs

from txmirror.errors import UnsupportedInstanceError
from txmirror.registry.codecs.parts import (
    Part,
    check_text,
    check_texts,
    demand,
    labels_of,
    needed_endpoint,
    read_labels,
    take_weight,
    to_number,
)
from txmirror.registry.codecs.texts import is_port
from txmirror.types import Instance

#: Names that begin so contain the record, and readers do not look at the data.
BASE64 = "base64_"
#: The longest record in a name, in characters. Then nerve uses the other form.
_LONGEST = 65536

_OPTIONS = "haproxy_server_options"
_SEQUENCE = re.compile(r"_[0-9]+\Z")


def _write(instance: Instance, data: dict[str, Any]) -> dict[str, object]:
    host, port = needed_endpoint(instance)
    record: dict[str, object] = {"host": host, "port": port, "name": instance.id or _SEQUENCE.sub("", instance.name)}
    if instance.weight is not None:
        record["weight"] = instance.weight
    if _OPTIONS in data:
        record[_OPTIONS] = data.pop(_OPTIONS)
    labels = labels_of(instance)
    if labels:
        record["labels"] = labels
    return record


def _check(record: Mapping[str, object]) -> None:
    check_text(record, "host", "name")
    demand(is_port(record.get("port")), "'port' is no number of a port")
    weight = record.get("weight", 0)
    demand(type(weight) is int and weight >= 0, "'weight' is no number")
    demand(isinstance(record.get(_OPTIONS, ""), str), f"{_OPTIONS!r} is no text")
    check_texts(record, "labels")


def _read(instance: Instance, record: dict[str, Any]) -> Instance:
    host, port = record.pop("host", None), to_number(record.pop("port", None))
    if not isinstance(host, str) or not host or not is_port(port):
        raise ValueError("it has no host, or no port")
    name = record.pop("name", None)
    labels, status = read_labels(record.pop("labels", None), instance.status)
    return attrs.evolve(
        instance,
        address=host,
        port=port,
        id=name if isinstance(name, str) and name else None,
        weight=take_weight(record),
        labels=labels,
        status=status,
    )


#: The keys of nerve.
NERVE = Part(frozenset({"host", "port", "name", "weight", _OPTIONS, "labels"}), _write, _read, _check)


def to_base64_name(instance: Instance, record: bytes) -> str:
    """Return the name of a node that contains its record; for a very long record, the other form.

    :raises UnsupportedInstanceError: the instance's name does not end in a sequence number.
    """
    sequence = _SEQUENCE.search(instance.name)
    if sequence is None:
        raise UnsupportedInstanceError("the name of its node does not end in an underscore and a number", key="name")
    encoded = base64.urlsafe_b64encode(record).decode("ascii")
    return f"{BASE64}{len(encoded)}_{encoded}{sequence[0]}" if len(encoded) <= _LONGEST else instance.name


def from_base64_name(name: str) -> bytes | None:
    """Return the record in the name of a node; None if the name has none.

    :raises ValueError: it has an invalid one.
    """
    if not name.startswith(BASE64):
        return None
    length, underscore, rest = name.removeprefix(BASE64).partition("_")
    number = to_number(length)
    if not underscore or number is None or not re.fullmatch(r"(_[0-9]*)?", rest[number:]) or len(rest) < number:
        raise ValueError("its name has no base64 record of the length that it states")
    try:
        return base64.b64decode(rest[:number], altchars=b"-_", validate=True)
    except (binascii.Error, ValueError):
        raise ValueError("the record in its name is no base64") from None
