"""Codecs for the data of registered nodes: they write facts about a service, and read other programs' data."""

from __future__ import annotations

import codecs
import copy
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from zope.interface import implementer

from txmirror.interfaces import IPayloadCodec
from txmirror.json_text import DEEPEST, JSONWriter, NestedTooDeeply, decode_text, read_json
from txmirror.types import Payload, Undecodable

#: The format of ``created``: local time without a zone, as readers of this format expect.
_CREATED = "%Y-%m-%d %H:%M:%S"

#: The types of values that need no copy.
_SCALARS = frozenset((str, int, float, bool, type(None)))

_TOO_DEEP = Undecodable("JSON that is nested too deeply")

_WRITER = JSONWriter(compact=True, ascii_only=False)
_IN_ORDER = JSONWriter(sort_keys=True)


class _Json:
    """A JSON object: fields about the writing process, then the service's facts, which may replace those fields.

    A lone string is stored under ``string_value``; on reading, so is any text that is not a JSON object. A byte order mark is
    ignored.
    """

    name: str

    def encode(self, data: Mapping[str, object] | str | None, *, pid: int, created: float) -> bytes:
        """Encode data. See :meth:`~txmirror.interfaces.IPayloadCodec.encode`."""
        return _to_json(self._record(_facts(data), self._added(pid, created))).encode()

    def says(self, stored: bytes, data: Mapping[str, object] | str | None) -> bool:
        """Return whether stored data equals ``data``. See :meth:`~txmirror.interfaces.IPayloadCodec.says`."""
        said, facts = self.decode(stored), _facts(data)
        if not isinstance(said, dict):
            return False
        added = self._added(0, 0.0).keys() - facts.keys()
        # Compared as JSON: there a tuple equals the list that it becomes, and True differs from 1.
        wanted: dict[str, object] = read_json(_to_json(facts))
        return _IN_ORDER.write({key: said[key] for key in said.keys() - added}) == _IN_ORDER.write(wanted)

    def decode(self, data: bytes) -> Payload | Undecodable:
        """Decode a node's data. See :meth:`~txmirror.interfaces.IPayloadCodec.decode`."""
        text = _to_text(data)
        if isinstance(text, Undecodable):
            return text
        stripped = text.strip()
        if not stripped:
            return self._blank(data)
        if stripped.startswith("{") and stripped.endswith("}"):
            try:
                record: Payload = read_json(stripped)
            except NestedTooDeeply:
                return _TOO_DEEP
            except ValueError:
                record = None
            if isinstance(record, dict):
                return record
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

    No data decodes to None, blank data to ``{}``, other text is stripped.
    """

    name = "ndsr"

    def _added(self, pid: int, created: float) -> dict[str, object]:
        return {"pid": pid, "created": datetime.fromtimestamp(created).strftime(_CREATED)}  # noqa: DTZ006 - without zone

    def _blank(self, data: bytes) -> Payload:
        return {} if data else None

    def _plain(self, text: str) -> str:
        return text.strip()


@implementer(IPayloadCodec)
class ZcZkCodec(_Json):
    """JSON as zc.zk writes and reads a server's properties: ``pid`` is among them.

    No data, and blank data, decodes to ``{}``.
    """

    name = "zczk"

    def _added(self, pid: int, created: float) -> dict[str, object]:
        return {"pid": pid}

    def _record(self, facts: dict[str, object], added: dict[str, object]) -> dict[str, object]:
        # The facts come first.
        return {**facts, **added, **facts}

    def _blank(self, data: bytes) -> Payload:
        return {}


@implementer(IPayloadCodec)
class PlainCodec:
    """Plain UTF-8 text. On reading, a byte order mark is ignored."""

    name = "plain"

    def encode(self, data: Mapping[str, object] | str | None, *, pid: int, created: float) -> bytes:
        """Encode a ``str``, or None as an empty one. See :meth:`~txmirror.interfaces.IPayloadCodec.encode`."""
        if data is not None and not isinstance(data, str):
            raise TypeError(f"the plain codec writes a str, not {data!r:.60}")
        return (data or "").encode()

    def decode(self, data: bytes) -> Payload | Undecodable:
        """Decode a node's data. See :meth:`~txmirror.interfaces.IPayloadCodec.decode`."""
        return _to_text(data) if data else None

    def says(self, stored: bytes, data: Mapping[str, object] | str | None) -> bool:
        """Return whether stored data equals ``data``. See :meth:`~txmirror.interfaces.IPayloadCodec.says`."""
        wanted = self.encode(data, pid=0, created=0.0)
        return stored.removeprefix(codecs.BOM_UTF8) == wanted or stored == wanted


#: The codecs by name, for configurations.
CODECS: Mapping[str, IPayloadCodec] = {codec.name: codec for codec in (NDCodec(), ZcZkCodec(), PlainCodec())}


def decode(codec: IPayloadCodec, data: bytes) -> Payload | Undecodable:
    """Decode a node's data. If the codec raises, which it should not, the data counts as undecodable."""
    try:
        return codec.decode(data)
    except Exception as error:
        return Undecodable(f"the codec {codec.name!r} raised {error!r:.200}")


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


def _facts(data: Mapping[str, object] | str | None) -> dict[str, object]:
    if data is None:
        return {}
    if isinstance(data, str):
        return {"string_value": data}
    if isinstance(data, (dict, Mapping)):
        return dict(data)
    raise TypeError(f"data is a mapping or a string, not {data!r:.60}")


def _to_json(record: Mapping[str, object]) -> str:
    """Encode a record without spaces, and without escapes for letters.

    :raises TypeError: it has a value that JSON cannot hold.
    :raises ValueError: likewise: infinity, a reference to itself, half of a surrogate pair.
    """
    try:
        text = _WRITER.write(record, deepest=DEEPEST)
    except NestedTooDeeply:
        raise ValueError(f"data is nested too deeply: more than {DEEPEST} levels") from None
    text.encode()
    return text


def _to_text(data: bytes) -> str | Undecodable:
    try:
        return decode_text(data)
    except UnicodeDecodeError as error:
        return Undecodable(f"not UTF-8 at byte {error.start}: {data[error.start : error.start + 8]!r}")
