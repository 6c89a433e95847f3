"""Instances as JSON, for the API and the events."""

from __future__ import annotations

from typing import Any, Final

from txmirror.catalog import Entry
from txmirror.json_text import JSONWriter
from txmirror.types import Instance

_WRITER: Final = JSONWriter(compact=True)
#: The key under which an entry keeps its JSON.
_FORMAT: Final = "json"


def instance_to_json(entry: Entry) -> dict[str, Any]:
    """Return an entry as JSON. All keys are always there; of an unreadable instance most values are null."""
    instance, stat = entry.instance or Instance(name=entry.name), entry.stat
    readable = entry.instance is not None
    return {
        "name": entry.name,
        "path": entry.path,
        "state": entry.state.value,
        "reason": entry.reason,
        "address": instance.address,
        "port": instance.port,
        "tls_port": instance.tls_port,
        "weight": instance.weight,
        "status": instance.status.value if readable else None,
        "labels": dict(instance.labels),
        "endpoints": {name: {"address": each.address, "port": each.port} for name, each in instance.endpoints.items()},
        "data": instance.data if isinstance(instance.data, str) else dict(instance.data),
        "codec": instance.codec if readable else None,
        "service": instance.service,
        "id": instance.id,
        "pid": instance.pid,
        "registered": instance.created,
        "owner": None if stat is None or not stat.ephemeralOwner else f"0x{stat.ephemeralOwner & _MASK:x}",
        "created": None if stat is None else stat.ctime / 1000,
        "changed": None if stat is None else stat.mtime / 1000,
        "version": None if stat is None else stat.version,
    }


#: Session ids are shown without a sign.
_MASK: Final = 2**64 - 1


def encode_entry(entry: Entry) -> bytes:
    """Return an entry as compact JSON in ASCII: encoded once, and kept with the entry."""
    encoded = entry.cache.get(_FORMAT)
    if encoded is None:
        value = instance_to_json(entry)
        try:
            text = _WRITER.write(value)
        except (TypeError, ValueError):
            # A codec of a program has read something that JSON does not have.
            text = _WRITER.write({**value, "data": {}})
        encoded = entry.cache[_FORMAT] = text.encode()
    return encoded


def encode_text(text: str) -> bytes:
    """Return a text as a JSON string in ASCII."""
    return _WRITER.write(text).encode()


def encode_value(value: object) -> bytes:
    """Return a value as compact JSON in ASCII.

    :raises TypeError: JSON has no such type.
    :raises ValueError: a number is not finite.
    """
    return _WRITER.write(value).encode()
