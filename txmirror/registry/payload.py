"""What stands in a registered node: JSON, as nd_service_registry writes and reads it.

``pid`` and ``created`` come first, so that an operator sees who wrote it; the service's own facts follow, and may
replace them. A lone string is kept under ``string_value``.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import datetime

#: How ``created`` is written: local time without a zone, because that is what readers of this format expect.
_CREATED = "%Y-%m-%d %H:%M:%S"


def encode_payload(data: Mapping[str, object] | str | None, *, pid: int, created: float) -> bytes:
    """Make a node's data.

    :param data: facts for whoever finds the service.
    :param pid: the process that registers it.
    :param created: when, in seconds since the epoch.
    :raises TypeError: ``data`` is neither, or holds what JSON cannot.
    :raises ValueError: it holds a number that JSON cannot (not a number, infinite), or itself, or is nested too deeply.
    """
    record: dict[str, object] = {
        "pid": pid,
        "created": datetime.fromtimestamp(created).strftime(_CREATED),  # noqa: DTZ006 - the format has no zone
    }
    if isinstance(data, str):
        record["string_value"] = data
    elif isinstance(data, Mapping):
        record.update(data)
    elif data is not None:
        raise TypeError(f"data is a mapping or a string, not {data!r:.60}")
    try:
        return json.dumps(record, separators=(",", ":"), allow_nan=False, ensure_ascii=False).encode()
    except RecursionError:
        raise ValueError("data is nested too deeply") from None


def decode_payload(data: bytes) -> dict[str, object] | None:
    """Read a node's data, whoever wrote it. It never fails.

    :returns: None for no data; for anything that is not a JSON object, its text under ``string_value``.
    """
    if not data:
        return None
    text = data.decode(errors="surrogateescape").strip()
    if not text:
        return {}
    if text.startswith("{") and text.endswith("}"):
        try:
            record = json.loads(text)
        except (ValueError, RecursionError):
            record = None
        if isinstance(record, dict):
            return record
    return {"string_value": text}
