"""What stands in a registered node: how the facts about a service are written, and read whoever wrote them."""

from __future__ import annotations

import copy
import json
import math
from collections.abc import Mapping
from datetime import datetime
from typing import cast

from zope.interface import implementer

from txmirror.interfaces import IPayloadCodec
from txmirror.types import Payload, Undecodable

#: How ``created`` is written: local time without a zone, because that is what readers of this format expect.
_CREATED = "%Y-%m-%d %H:%M:%S"

#: How many levels of mappings and lists data may have. What can be parsed may still be too deep to be copied or written.
_DEEPEST = 100
_TOO_DEEP = Undecodable("JSON that is nested too deeply")


class _Json:
    """A JSON object: something about who wrote it, then the service's own facts, which may replace that.

    A lone string is kept under ``string_value``; so is, on reading, any text that is no JSON object.
    """

    name: str

    def encode(self, data: Mapping[str, object] | str | None, *, pid: int, created: float) -> bytes:
        """See :meth:`~txmirror.interfaces.IPayloadCodec.encode`."""
        return _to_json(self._record(_facts(data), self._added(pid, created))).encode()

    def says(self, stored: bytes, data: Mapping[str, object] | str | None) -> bool:
        """See :meth:`~txmirror.interfaces.IPayloadCodec.says`."""
        said, facts = self.decode(stored), _facts(data)
        if not isinstance(said, dict):
            return False
        added = self._added(0, 0.0).keys() - facts.keys()
        # As JSON, where a tuple is the list that it becomes, and True is not 1.
        wanted: dict[str, object] = json.loads(_to_json(facts))
        return _in_order({key: said[key] for key in said.keys() - added}) == _in_order(wanted)

    def decode(self, data: bytes) -> Payload | Undecodable:
        """See :meth:`~txmirror.interfaces.IPayloadCodec.decode`."""
        text = _to_text(data)
        if isinstance(text, Undecodable):
            return text
        stripped = text.strip()
        if not stripped:
            return self._blank(data)
        if stripped.startswith("{") and stripped.endswith("}"):
            try:
                record = json.loads(stripped, parse_constant=_refuse, parse_float=_parse_float)
            except RecursionError:
                return _TOO_DEEP
            except ValueError:
                record = None
            if isinstance(record, dict):
                return _TOO_DEEP if _is_deep(record) else record
        return {"string_value": self._plain(text)}

    def _added(self, pid: int, created: float) -> dict[str, object]:
        raise NotImplementedError

    def _record(self, facts: dict[str, object], added: dict[str, object]) -> dict[str, object]:
        return {**added, **facts}

    def _blank(self, data: bytes) -> Payload:
        raise NotImplementedError

    def _plain(self, text: str) -> str:
        return text


@implementer(IPayloadCodec)
class NDCodec(_Json):
    """JSON as nd_service_registry writes and reads it: ``pid`` and ``created`` come first.

    No data is read as None, blank data as ``{}``, other text without the spaces around it.
    """

    name = "nd"

    def _added(self, pid: int, created: float) -> dict[str, object]:
        return {"pid": pid, "created": datetime.fromtimestamp(created).strftime(_CREATED)}  # noqa: DTZ006 - without zone

    def _blank(self, data: bytes) -> Payload:
        return {} if data else None

    def _plain(self, text: str) -> str:
        return text.strip()


@implementer(IPayloadCodec)
class ZcZkCodec(_Json):
    """JSON as zc.zk writes and reads a server's properties: ``pid`` is among them.

    No data, and blank data, is read as ``{}``.
    """

    name = "zc.zk"

    def _added(self, pid: int, created: float) -> dict[str, object]:
        return {"pid": pid}

    def _record(self, facts: dict[str, object], added: dict[str, object]) -> dict[str, object]:
        # The facts come first.
        return {**facts, **added, **facts}

    def _blank(self, data: bytes) -> Payload:
        return {}


@implementer(IPayloadCodec)
class PlainCodec:
    """A text, and nothing else: UTF-8."""

    name = "plain"

    def encode(self, data: Mapping[str, object] | str | None, *, pid: int, created: float) -> bytes:
        """See :meth:`~txmirror.interfaces.IPayloadCodec.encode`; data is a ``str``, or None for an empty one."""
        if data is not None and not isinstance(data, str):
            raise TypeError(f"the plain codec writes a str, not {data!r:.60}")
        return (data or "").encode()

    def decode(self, data: bytes) -> Payload | Undecodable:
        """See :meth:`~txmirror.interfaces.IPayloadCodec.decode`."""
        return _to_text(data) if data else None

    def says(self, stored: bytes, data: Mapping[str, object] | str | None) -> bool:
        """See :meth:`~txmirror.interfaces.IPayloadCodec.says`."""
        return stored == self.encode(data, pid=0, created=0.0)


#: The codecs by name, for configurations.
CODECS: Mapping[str, IPayloadCodec] = {codec.name: codec for codec in (NDCodec(), ZcZkCodec(), PlainCodec())}


def own_copy(data: Mapping[str, object] | str | None) -> Mapping[str, object] | str | None:
    """Copy data that was encoded before, so that nobody else can change it."""
    return copy.deepcopy(dict(data)) if isinstance(data, Mapping) else data


def _facts(data: Mapping[str, object] | str | None) -> dict[str, object]:
    if data is None:
        return {}
    if isinstance(data, str):
        return {"string_value": data}
    if isinstance(data, Mapping):
        return dict(data)
    raise TypeError(f"data is a mapping or a string, not {data!r:.60}")


def _to_json(record: Mapping[str, object]) -> str:
    """Write a record without spaces, letters as they are.

    :raises TypeError: it holds what JSON cannot.
    :raises ValueError: likewise: infinity, itself, half of a surrogate pair.
    """
    try:
        text = json.dumps(record, separators=(",", ":"), allow_nan=False, ensure_ascii=False)
    except RecursionError:
        raise ValueError("data is nested too deeply") from None
    if _is_deep(json.loads(text)):
        raise ValueError(f"data is nested too deeply: more than {_DEEPEST} levels")
    text.encode()
    return text


def _refuse(name: str) -> object:
    raise ValueError(f"JSON has no {name}")


def _parse_float(text: str) -> float:
    number = float(text)
    return number if math.isfinite(number) else cast(float, _refuse(text))


def _in_order(record: dict[str, object]) -> str:
    return json.dumps(record, sort_keys=True)


def _is_deep(record: dict[str, object]) -> bool:
    level: list[object] = [record]
    for _ in range(_DEEPEST):
        level = [
            value
            for each in level
            for value in (each.values() if isinstance(each, dict) else each if isinstance(each, list) else ())
            if isinstance(value, (dict, list))
        ]
        if not level:
            return False
    return True


def _to_text(data: bytes) -> str | Undecodable:
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        return Undecodable(f"not UTF-8 at byte {error.start}: {data[error.start : error.start + 8]!r}")
