"""Read an instance from a node, in whichever format it is."""

from __future__ import annotations

from txmirror.interfaces import IInstanceCodec, IPayloadCodec
from txmirror.json_text import JSONWriter, read_json
from txmirror.registry.codecs.curator import SPRING_CLASS
from txmirror.registry.codecs.named import find_codec, with_instances
from txmirror.registry.codecs.nerve import BASE64
from txmirror.registry.codecs.plain import parse_plain
from txmirror.registry.codecs.shipped import CODECS
from txmirror.registry.codecs.texts import parse_address, to_text
from txmirror.types import Instance, Payload, Undecodable

_WRITER = JSONWriter(compact=True)


def decode(codec: IPayloadCodec, data: bytes) -> Payload | Undecodable:
    """Decode a node's data. If the codec raises, which it should not, the data counts as undecodable."""
    try:
        return codec.decode(data)
    except Exception as error:
        # A plugin's.
        return _raised(codec, error)


def decode_instance(name: str, data: bytes, codec: str | IPayloadCodec | None = None) -> Instance | Undecodable:
    """Return the instance that a node describes, which any program may have written.

    Without a codec, the format is recognised: by the name, if that has nerve's base64 record; else by the keys of a JSON object. An
    object of zc.zk looks like one of nd_service_registry, and is read as that. Other text is an address, as of ``plain``, or belongs
    to a node whose name is an address.

    :param name: the node's name.
    :param data: its data.
    :param codec: a codec, or the name of one; None recognises the format.
    :returns: the instance; its ``codec`` is the one that has read it. An :class:`~txmirror.types.Undecodable` if the data is in no
        such format, or lacks an address: one line says why.
    :raises LookupError: there is no codec of this name.
    """
    found = find_codec(codec) if isinstance(codec, str) else _recognise(name, data) if codec is None else codec
    if isinstance(found, Undecodable):
        return found
    instances = with_instances(found)
    try:
        return instances.read(name, data)
    except Exception as error:
        # A plugin's.
        return _raised(found, error)


def decode_payload(name: str, payload: Payload, codec: str | IPayloadCodec | None = None) -> Instance | Undecodable:
    """Return the instance of a node of which only the decoded data is known, as in an answer of the cache file.

    :param payload: its data, as ``ndsr`` or another codec for JSON or texts has decoded it.
    :param codec: as for :func:`decode_instance`.
    :raises LookupError: there is no codec of this name.
    """
    text = payload
    if isinstance(payload, dict):
        own = payload.get("string_value") if len(payload) == 1 else None
        try:
            text = own if isinstance(own, str) else _WRITER.write(payload) if payload else None
        except (TypeError, ValueError) as error:
            return Undecodable(f"its data cannot be written as JSON: {error}")
    return decode_instance(name, str(text or "").encode(errors="surrogatepass"), codec)


def _raised(codec: IPayloadCodec, error: Exception) -> Undecodable:
    return Undecodable(f"the codec {codec.name!r} raised {error!r:.200}")


def _recognise(name: str, data: bytes) -> IInstanceCodec | Undecodable:
    if name.startswith(BASE64):
        return CODECS["nerve-base64"]
    text = to_text(data)
    if isinstance(text, Undecodable):
        return text
    try:
        record = read_json(text)
    except ValueError:
        record = None
    if isinstance(record, dict):
        return CODECS[_format_of(record)]
    if parse_plain(name, text) is not None:
        return CODECS["plain"]
    if parse_address(name) is not None:
        return CODECS["ndsr"]
    return Undecodable("it has no address: neither in its data nor in its name")


def _format_of(record: dict[str, object]) -> str:
    if "serviceEndpoint" in record:
        # A record of ``merged`` has the keys of nerve too; as a member, it would lose its weight.
        return "merged" if "host" in record and "name" in record else "serverset"
    if "serviceType" in record and "address" in record:
        payload = record.get("payload")
        spring = isinstance(payload, dict) and payload.get("@class") == SPRING_CLASS
        return "curator-spring" if spring else "curator"
    if "host" in record and "port" in record and not ("pid" in record and "created" in record):
        return "nerve"
    return "ndsr"
