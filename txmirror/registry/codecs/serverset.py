"""The members of a serverset, which Finagle, twitter.commons, Aurora and Prometheus read.

The format is that of ``Entry.scala`` and ``ServerSetImpl.java`` of twitter/finagle, and of ``serverset/endpoint.py`` of
twitter/commons.
"""

from __future__ import annotations

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
)
from txmirror.registry.codecs.texts import is_port
from txmirror.types import Endpoint, Instance, InstanceStatus

_PRIMARY, _ADDITIONAL = "serviceEndpoint", "additionalEndpoints"
_STATUSES = {"ALIVE": InstanceStatus.UP, "WARNING": InstanceStatus.WARNING}
_MEMBER = re.compile(r"member_[0-9]{10}")


def _write(instance: Instance, data: dict[str, Any]) -> dict[str, object]:
    record: dict[str, object] = {
        _PRIMARY: _to_table(needed_endpoint(instance)),
        # The Python and Java readers need it, even if it is empty.
        _ADDITIONAL: {name: _to_table(each) for name, each in instance.endpoints.items()},
        # Finagle uses no instance with another status: a service that is not to be used has no node.
        "status": "ALIVE",
    }
    if "shard" in data:
        record["shard"] = data.pop("shard")
    labels = labels_of(instance)
    if labels:
        record["metadata"] = labels
    return record


def _check(record: Mapping[str, object]) -> None:
    additional = record.get(_ADDITIONAL)
    demand(isinstance(additional, Mapping), f"{_ADDITIONAL!r} is no table")
    for each in (record.get(_PRIMARY), *(additional.values() if isinstance(additional, Mapping) else ())):
        table = each if isinstance(each, Mapping) else {}
        demand(is_port(table.get("port")), "an endpoint has no port that is a number")
        check_text(table, "host")
    check_text(record, "status")
    demand(type(record.get("shard", 0)) is int, "'shard' is no number")
    check_texts(record, "metadata")


def _check_name(name: str) -> None:
    if _MEMBER.fullmatch(name) is None:
        raise UnsupportedInstanceError("the name of its node is not member_ and ten digits", key="name")


def _read(instance: Instance, record: dict[str, Any]) -> Instance:
    primary = record.pop(_PRIMARY, None)
    endpoint = _from_table(primary)
    if endpoint is None:
        # Aurora writes 0 as long as it has allocated no port.
        unallocated = isinstance(primary, dict) and primary.get("port") == 0
        raise ValueError("its port is not allocated" if unallocated else "it has no endpoint with a host and a port")
    additional = record.pop(_ADDITIONAL, None)
    tables = additional if isinstance(additional, dict) else {}
    endpoints = {name: each for name, table in tables.items() if (each := _from_table(table)) is not None}
    word = record.pop("status", None)
    status = _STATUSES.get(word, InstanceStatus.DOWN) if isinstance(word, str) else InstanceStatus.DOWN
    labels, status = read_labels(record.pop("metadata", None), status)
    return attrs.evolve(
        instance, address=endpoint.address, port=endpoint.port, endpoints=endpoints, labels=labels, status=status
    )


def _to_table(endpoint: Endpoint) -> dict[str, object]:
    return {"host": endpoint.address, "port": endpoint.port}


def _from_table(table: object) -> Endpoint | None:
    if not isinstance(table, dict):
        return None
    host, port = table.get("host"), table.get("port")
    return Endpoint(host, port) if isinstance(host, str) and host and type(port) is int and is_port(port) else None


#: The keys of a member, in any node.
SERVERSET = Part(frozenset({_PRIMARY, _ADDITIONAL, "status", "shard", "metadata"}), _write, _read, _check)
#: The same in a node whose name must be that of a member, for Finagle and twitter.commons.
MEMBER = attrs.evolve(SERVERSET, check_name=_check_name)
