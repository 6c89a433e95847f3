"""Codecs by name: those of this package, and plugins of Twisted's plugin system."""

from __future__ import annotations

import functools
from collections.abc import Mapping

import attrs
from twisted.plugin import getPlugins
from zope.interface import implementer

from txmirror.errors import UnsupportedInstanceError
from txmirror.interfaces import IInstanceCodec, IPayloadCodec
from txmirror.registry.codecs.shipped import CODECS
from txmirror.registry.codecs.texts import parse_address
from txmirror.types import Instance, Payload, Undecodable


def find_codec(name: str) -> IPayloadCodec:
    """Return the codec with a name: one of this package, or a plugin that provides :class:`~txmirror.interfaces.IPayloadCodec`.

    A plugin is an object in a module of ``twisted.plugins`` that also provides ``twisted.plugin.IPlugin``.

    :raises LookupError: there is none.
    """
    return CODECS[name] if name in CODECS else _find_plugin(name)


@functools.cache
def _find_plugin(name: str) -> IPayloadCodec:
    # A search reads files.
    for plugin in getPlugins(IPayloadCodec):
        if plugin.name == name:
            codec: IPayloadCodec = plugin
            return codec
    raise LookupError(f"there is no codec {name!r}")


def with_instances(codec: IPayloadCodec) -> IInstanceCodec:
    """Return a codec that writes and reads instances; it is the same one if it can.

    For another codec, the node's name has the address, and the data the other facts.
    """
    provided: IInstanceCodec | None = IInstanceCodec(codec, None)
    return _DataOnly(codec) if provided is None else provided


@implementer(IInstanceCodec)
@attrs.frozen
class _DataOnly:
    """A codec without instances, as one with instances."""

    _codec: IPayloadCodec
    node: str = "{address}:{port}"
    shares_parent: bool = True
    takes_facts: bool = True

    @property
    def name(self) -> str:
        """The codec's name."""
        return self._codec.name

    def encode(self, data: Mapping[str, object] | str | None, *, pid: int, created: float) -> bytes:
        """Encode data."""
        return self._codec.encode(data, pid=pid, created=created)

    def decode(self, data: bytes) -> Payload | Undecodable:
        """Decode a node's data."""
        return self._codec.decode(data)

    def says(self, stored: bytes, data: Mapping[str, object] | str | None) -> bool:
        """Return whether stored data equals ``data``."""
        return self._codec.says(stored, data)

    def facts(self, instance: Instance) -> Mapping[str, object] | str:
        """Return the other facts of an instance."""
        try:
            self._codec.encode(instance.data, pid=0, created=0.0)
        except (TypeError, ValueError):
            raise UnsupportedInstanceError("it cannot store its data", key="data") from None
        return instance.data

    def node_name(self, instance: Instance) -> str:
        """Return the instance's name."""
        return instance.name

    def read(self, name: str, data: bytes) -> Instance | Undecodable:
        """Return the instance that a node describes."""
        payload = self._codec.decode(data)
        if isinstance(payload, Undecodable):
            return payload
        address = parse_address(name)
        return Instance(
            name=name,
            address=None if address is None else address.address,
            port=None if address is None else address.port,
            data={} if payload is None else payload,
            codec=self.name,
        )
