"""Plain text, which is any text, or ``host:port`` with a weight, as Armeria reads it."""

from __future__ import annotations

import codecs
import re
from collections.abc import Mapping

import attrs
from zope.interface import implementer

from txmirror.errors import UnsupportedInstanceError
from txmirror.interfaces import IInstanceCodec
from txmirror.printable import host_and_port
from txmirror.registry.codecs.nerve import BASE64
from txmirror.registry.codecs.parts import needed_endpoint
from txmirror.registry.codecs.texts import parse_address, to_text
from txmirror.types import Instance, Payload, Undecodable

_WEIGHT = re.compile(r"(?P<address>.+:[0-9]{1,5}):(?P<weight>[0-9]{1,10})", re.DOTALL)


@implementer(IInstanceCodec)
class PlainCodec:
    """Plain UTF-8 text. On reading, a byte order mark is ignored."""

    name = "plain"
    node = "{address}:{port}"
    shares_parent = True
    takes_facts = False

    def encode(self, data: Mapping[str, object] | str | None, *, pid: int, created: float) -> bytes:
        """Encode a ``str``, or None as an empty one. See :meth:`~txmirror.interfaces.IPayloadCodec.encode`."""
        if data is not None and not isinstance(data, str):
            raise TypeError(f"the plain codec writes a str, not {data!r:.60}")
        return (data or "").encode()

    def decode(self, data: bytes) -> Payload | Undecodable:
        """Decode a node's data. See :meth:`~txmirror.interfaces.IPayloadCodec.decode`."""
        return to_text(data) if data else None

    def says(self, stored: bytes, data: Mapping[str, object] | str | None) -> bool:
        """Return whether stored data equals ``data``. See :meth:`~txmirror.interfaces.IPayloadCodec.says`."""
        wanted = self.encode(data, pid=0, created=0.0)
        return stored.removeprefix(codecs.BOM_UTF8) == wanted or stored == wanted

    def facts(self, instance: Instance) -> str:
        """Return the instance's own text, or its address, port and weight. See :meth:`~txmirror.interfaces.IInstanceCodec.facts`."""
        if isinstance(instance.data, str):
            return instance.data
        if instance.data:
            raise UnsupportedInstanceError("it is a text, and no table", key="data")
        text = host_and_port(*needed_endpoint(instance))
        return text if instance.weight is None else f"{text}:{instance.weight}"

    def node_name(self, instance: Instance) -> str:
        """Return the instance's name. See :meth:`~txmirror.interfaces.IInstanceCodec.node_name`."""
        if instance.name.startswith(BASE64):
            raise UnsupportedInstanceError(f"readers of nerve look for a record in a name with {BASE64}", key="name")
        return instance.name

    def read(self, name: str, data: bytes) -> Instance | Undecodable:
        """Return the instance that a node describes. See :meth:`~txmirror.interfaces.IInstanceCodec.read`.

        If the text is no address, it is the other facts, and the node's name may have the address.
        """
        text = to_text(data)
        if isinstance(text, Undecodable):
            return text
        instance = parse_plain(name, text)
        if instance is not None:
            return instance
        address = parse_address(name)
        if address is None:
            return Instance(name=name, data=text, codec=self.name)
        return Instance(name=name, address=address.address, port=address.port, data=text, codec=self.name)


def parse_plain(name: str, text: str) -> Instance | None:
    """Return the instance of a text ``host:port`` or ``host:port:weight``; None for another text."""
    stripped, weight = text.strip(), None
    address = parse_address(stripped)
    if address is None:
        match = _WEIGHT.fullmatch(stripped)
        if match is None:
            return None
        address, weight = parse_address(match["address"]), int(match["weight"])
    if address is None:
        return None
    instance = Instance(name=name, address=address.address, port=address.port, codec="plain")
    return instance if weight is None else attrs.evolve(instance, weight=weight)
