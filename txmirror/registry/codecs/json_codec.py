"""The codec of all formats that are JSON: it is composed of the parts of a record."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import attrs
from zope.interface import implementer

from txmirror.errors import UnsupportedInstanceError
from txmirror.interfaces import IInstanceCodec
from txmirror.json_text import DEEPEST, JSONWriter, NestedTooDeeply, read_json
from txmirror.registry.codecs.nerve import BASE64
from txmirror.registry.codecs.parts import Part
from txmirror.registry.codecs.texts import parse_address, to_text
from txmirror.registry.codecs.values import to_facts
from txmirror.types import Instance, Payload, Undecodable

_TOO_DEEP = Undecodable("JSON that is nested too deeply")
_NO_OBJECT = Undecodable("it is no JSON object")

_WRITER = JSONWriter(compact=True, ascii_only=False)
_IN_ORDER = JSONWriter(sort_keys=True)

_Facts = dict[str, object]


def added_first(facts: _Facts, added: _Facts) -> _Facts:
    """Return a record of facts behind those about the registration."""
    return {**added, **facts}


def facts_first(facts: _Facts, added: _Facts) -> _Facts:
    """Return a record of facts before those about the registration."""
    return {**facts, **added, **facts}


@attrs.frozen
class Texts:
    """The treatment of data that is no JSON object: as the fact ``string_value``."""

    strip: bool
    """True removes the white space around it."""
    no_data: Payload
    """The decoded form of a node without data."""


@attrs.frozen
class Additions:
    """The facts about the registration."""

    make: Callable[[int, float], _Facts]
    """Returns them, by the process number and the time."""
    arrange: Callable[[_Facts, _Facts], _Facts] = added_first
    """Returns the record of the service's facts, and of these."""


@attrs.frozen
class Names:
    """The names of nodes."""

    default: str = "{address}:{port}"
    """The default in a configuration."""
    from_record: Callable[[Instance, bytes], str] | None = None
    """Returns the name for an instance and its data; None if it is ``instance.name``."""
    to_record: Callable[[str], bytes | None] | None = None
    """Returns the data in a name, or None. Raises ValueError if it is invalid."""


@implementer(IInstanceCodec)
@attrs.frozen(eq=False)
class JSONCodec:
    """A JSON object: the service's facts, and some about its registration, which the service's may replace.

    On reading, a byte order mark is ignored.
    """

    name: str
    """The codec's name in configurations."""
    parts: tuple[Part, ...]
    """The parts of the record."""
    texts: Texts | None = None
    """The treatment of other texts; None if they cannot be decoded."""
    additions: Additions = Additions(lambda pid, created: {})
    """The facts about the registration."""
    names: Names = Names()
    """The names of nodes."""
    shares_parent: bool = True
    """True if nodes in other formats may be beside its nodes."""
    takes_facts: bool = True
    """True if it has a place for any facts."""

    @property
    def node(self) -> str:
        """The default name of a node."""
        return self.names.default

    # Facts.

    def encode(self, data: Mapping[str, object] | str | None, *, pid: int, created: float) -> bytes:
        """Encode data. See :meth:`~txmirror.interfaces.IPayloadCodec.encode`."""
        facts = to_facts(data)
        for part in self.parts:
            part.check(facts)
        return _to_json(self.additions.arrange(facts, self.additions.make(pid, created))).encode()

    def says(self, stored: bytes, data: Mapping[str, object] | str | None) -> bool:
        """Return whether stored data equals ``data``. See :meth:`~txmirror.interfaces.IPayloadCodec.says`."""
        said, facts = self.decode(stored), to_facts(data)
        if not isinstance(said, dict):
            return False
        added = self.additions.make(0, 0.0).keys() - facts.keys()
        # Compared as JSON: there a tuple equals the list that it becomes, and True differs from 1.
        wanted: _Facts = read_json(_to_json(facts))
        return _IN_ORDER.write({key: said[key] for key in said.keys() - added}) == _IN_ORDER.write(wanted)

    def decode(self, data: bytes) -> Payload | Undecodable:
        """Decode a node's data. See :meth:`~txmirror.interfaces.IPayloadCodec.decode`."""
        text = to_text(data)
        if isinstance(text, Undecodable):
            return text
        stripped = text.strip()
        if not stripped:
            if self.texts is None:
                return None
            return {} if data else self.texts.no_data
        if stripped.startswith("{") and stripped.endswith("}"):
            try:
                record: Payload = read_json(stripped)
            except NestedTooDeeply:
                return _TOO_DEEP
            except ValueError:
                record = None
            if isinstance(record, dict):
                return record
        if self.texts is None:
            return _NO_OBJECT
        return {"string_value": stripped if self.texts.strip else text}

    # Instances.

    def facts(self, instance: Instance) -> Mapping[str, object] | str | None:
        """Return the facts of an instance. See :meth:`~txmirror.interfaces.IInstanceCodec.facts`."""
        if isinstance(instance.data, str) and self.texts is None:
            raise UnsupportedInstanceError("it has no place for a string", key="data")
        data: dict[str, Any] = to_facts(instance.data)
        record: _Facts = {}
        for part in self.parts:
            record.update(part.write(instance, data))
        reserved = {key.casefold() for part in self.parts for key in part.keys}
        for key in data:
            if str(key).casefold() in reserved:
                raise UnsupportedInstanceError(f"{key!r} has a meaning of its own there", key="data")
        record.update(data)
        try:
            for part in self.parts:
                part.check(record)
        except ValueError as error:
            raise UnsupportedInstanceError(str(error), key="data") from None
        return record

    def node_name(self, instance: Instance) -> str:
        """Return the name of the node. See :meth:`~txmirror.interfaces.IInstanceCodec.node_name`."""
        for part in self.parts:
            part.check_name(instance.name)
        if instance.name.startswith(BASE64):
            raise UnsupportedInstanceError(f"readers of nerve look for a record in a name with {BASE64}", key="name")
        if self.names.from_record is None:
            return instance.name
        return self.names.from_record(instance, self.encode(self.facts(instance), pid=0, created=0.0))

    def read(self, name: str, data: bytes) -> Instance | Undecodable:
        """Return the instance that a node describes. See :meth:`~txmirror.interfaces.IInstanceCodec.read`."""
        try:
            named = None if self.names.to_record is None else self.names.to_record(name)
            payload = self.decode(data if named is None else named)
            if isinstance(payload, Undecodable):
                return payload
            if not isinstance(payload, dict):
                if self.texts is None:
                    return Undecodable("it has no data")
                payload = {}
            record: dict[str, Any] = dict(payload)
            address = parse_address(name)
            instance = Instance(
                name=name,
                address=None if address is None else address.address,
                port=None if address is None else address.port,
                codec=self.name,
            )
            for part in self.parts:
                instance = part.read(instance, record)
        except ValueError as error:
            return Undecodable(str(error))
        text = record.get("string_value") if self.texts is not None and len(record) == 1 else None
        return attrs.evolve(instance, data=text if isinstance(text, str) else record)


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
