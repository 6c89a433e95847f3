r"""Server endpoints by strings, such as ``mirror:/services/web:listen=tcp\:8080``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from twisted.internet.endpoints import serverFromString
from twisted.internet.interfaces import IReactorTime, IStreamServerEndpoint

from txmirror.endpoints.advertising import AUTO, parse_advertised
from txmirror.endpoints.keys import SESSION_KEYS, StringKeys, read_format
from txmirror.endpoints.server_endpoint import DRAIN, RegisteringEndpoint

KEYS = ("listen", "advertise", "data.", "format", "name", "weight", "drain", *SESSION_KEYS)


def parse_server(reactor: IReactorTime, args: Sequence[str], kwargs: Mapping[str, str]) -> RegisteringEndpoint:
    """Return the endpoint of a string that Twisted has split. No file is read, and nothing connects.

    :raises ValueError: a part is invalid; the message quotes it.
    """

    def listen(text: str) -> IStreamServerEndpoint | None:
        try:
            endpoint: IStreamServerEndpoint = serverFromString(reactor, text)
        except Exception as error:
            # For a missing part, Twisted raises a TypeError.
            raise ValueError(f"it is no string for a server: {error}") from None
        return endpoint

    keys = StringKeys(args, kwargs, KEYS)
    endpoint = keys.get("listen", None, listen)
    if endpoint is None:
        raise ValueError(r"mirror: the key listen is missing: a string for a server, such as listen=tcp\:8080")
    advertise = keys.get("advertise", AUTO, _advertise)
    codec = keys.get("format", "merged", read_format)
    weight = keys.get("weight", None, _weight)
    name = keys.get("name", None, _text)
    drain, session = keys.seconds("drain", DRAIN), keys.session(reactor)
    try:
        return RegisteringEndpoint(
            session,
            keys.path,
            endpoint,
            advertise=advertise,
            data=keys.table("data."),
            format=codec,
            name=name,
            weight=weight,
            drain=drain,
        )
    except ValueError as error:
        raise ValueError(f"mirror: {error}") from None


def _advertise(text: str) -> str:
    parse_advertised(text)
    return text


def _weight(text: str) -> int | None:
    if not (text.isascii() and text.isdecimal() and len(text) <= 9):
        raise ValueError("it is no whole number from 0")
    return int(text)


def _text(text: str) -> str | None:
    return text
