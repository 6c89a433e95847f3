"""The instances of Apache Curator's service discovery, and Spring Cloud's payload in them.

The format is that of ``ServiceInstance.java`` and ``details/JsonInstanceSerializer.java`` in Curator's x-discovery, and of
``ZookeeperInstance.java`` of Spring Cloud ZooKeeper. By default Curator writes no ``enabled``, because old readers refuse it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import attrs

from txmirror.errors import UnsupportedInstanceError
from txmirror.registry.codecs.parts import (
    Part,
    check_text,
    demand,
    labels_of,
    needed_endpoint,
    read_labels,
    take_weight,
)
from txmirror.registry.codecs.texts import is_port
from txmirror.types import Instance, InstanceStatus

_CLASS, _TIME, _PAYLOAD = "@class", "registrationTimeUTC", "payload"
#: The class of Spring Cloud's payload.
SPRING_CLASS = "org.springframework.cloud.zookeeper.discovery.ZookeeperInstance"
_STATUS, _UP = "instance_status", "UP"
#: ``{scheme}://{address}:{port}``, from which Spring Cloud builds the URI.
_URI_PARTS = (("scheme", True), ("://", False), ("address", True), (":", False), ("port", True))


def time_fact(_: int, created: float) -> dict[str, object]:
    """Return the fact about the registration."""
    return {_TIME: int(created * 1000)}


def in_curators_order(facts: dict[str, object], added: dict[str, object]) -> dict[str, object]:
    """Return a record with the time where Curator writes it."""
    record: dict[str, object] = {}
    for key, value in facts.items():
        record[key] = value
        if key == _PAYLOAD:
            record.update(added)
    return {**record, **added, **facts}


def _write(instance: Instance, payload: object, uri: object) -> dict[str, object]:
    if not instance.address:
        raise UnsupportedInstanceError("it needs an address", key="address")
    if instance.port is None and instance.tls_port is None:
        raise UnsupportedInstanceError("it needs a port", key="port")
    if not instance.service:
        raise UnsupportedInstanceError("it needs the service's name", key="service")
    return {
        "name": instance.service,
        # The node's name is the id.
        "id": instance.name,
        "address": instance.address,
        "port": instance.port,
        "sslPort": instance.tls_port,
        _PAYLOAD: payload,
        "serviceType": "DYNAMIC",
        "uriSpec": uri,
    }


def _write_plain(instance: Instance, data: dict[str, Any]) -> dict[str, object]:
    payload = dict(data) or None
    if payload is not None and not isinstance(payload.get(_CLASS), str):
        raise UnsupportedInstanceError(f"the payload needs the name of its Java class, {_CLASS!r}", key="data")
    data.clear()
    return _write(instance, payload, None)


def _write_spring(instance: Instance, data: dict[str, Any]) -> dict[str, object]:
    needed_endpoint(instance)
    if ":" in (instance.address or ""):
        raise UnsupportedInstanceError("Spring Cloud builds no valid URI from an IPv6 address", key="address")
    weight = {} if instance.weight is None else {"weight": str(instance.weight)}
    metadata = {_STATUS: _UP, **weight, **labels_of(instance), **data}
    if not all(isinstance(each, str) for each in metadata.values()):
        raise UnsupportedInstanceError("the metadata of Spring Cloud are texts", key="data")
    data.clear()
    payload = {_CLASS: SPRING_CLASS, "id": instance.name, "name": instance.service, "metadata": metadata}
    return _write(
        instance, payload, {"parts": [{"value": text, "variable": variable} for text, variable in _URI_PARTS]}
    )


def _check(record: Mapping[str, object]) -> None:
    check_text(record, "name", "id", "address", "serviceType")
    ports = [each for each in (record.get("port"), record.get("sslPort")) if each is not None]
    demand(bool(ports) and all(map(is_port, ports)), "'port' is no number of a port")
    payload = record.get(_PAYLOAD)
    typed = isinstance(payload, Mapping) and isinstance(payload.get(_CLASS), str)
    demand(payload is None or typed, f"{_PAYLOAD!r} has no {_CLASS!r}")


def _read(instance: Instance, record: dict[str, Any]) -> Instance:
    address, port, tls_port = (record.pop(key, None) for key in ("address", "port", "sslPort"))
    if not isinstance(address, str) or not address:
        raise ValueError("it has no address")
    if not all(each is None or is_port(each) for each in (port, tls_port)) or port is tls_port is None:
        raise ValueError("it has no port")
    service, identity = record.pop("name", None), record.pop("id", None)
    created = record.pop(_TIME, None)
    status = InstanceStatus.DOWN if record.pop("enabled", True) is False else InstanceStatus.UP
    payload = record.pop(_PAYLOAD, None)
    record.clear()
    weight: int | None = None
    labels: dict[str, str] = {}
    if isinstance(payload, dict) and payload.get(_CLASS) == SPRING_CLASS:
        metadata = payload.get("metadata")
        metadata = dict(metadata) if isinstance(metadata, dict) else {}
        word = metadata.pop(_STATUS, _UP)
        if not isinstance(word, str) or word.upper() != _UP:
            status = InstanceStatus.DOWN
        weight = take_weight(metadata)
        labels, status = read_labels(metadata, status)
    elif isinstance(payload, dict):
        record.update(payload)
    elif payload is not None:
        record[_PAYLOAD] = payload
    return attrs.evolve(
        instance,
        address=address,
        port=port,
        tls_port=tls_port,
        service=service if isinstance(service, str) and service else None,
        id=identity if isinstance(identity, str) and identity else None,
        created=created / 1000 if type(created) is int else None,
        weight=weight,
        labels=labels,
        status=status,
    )


#: The keys of an instance. The other facts are its payload.
CURATOR = Part(frozenset(), _write_plain, _read, _check)
#: The same with Spring Cloud's payload, whose metadata has the labels and the other facts.
SPRING = attrs.evolve(CURATOR, write=_write_spring)
