"""Codecs for the data of registered nodes: they write facts about a service, and read other programs' data."""

from txmirror.registry.codecs.named import find_codec, with_instances
from txmirror.registry.codecs.plain import PlainCodec
from txmirror.registry.codecs.reading import decode, decode_instance, decode_payload
from txmirror.registry.codecs.shipped import CODECS
from txmirror.registry.codecs.values import copy_value, own_copy

__all__ = [
    "CODECS",
    "PlainCodec",
    "copy_value",
    "decode",
    "decode_instance",
    "decode_payload",
    "find_codec",
    "own_copy",
    "with_instances",
]
