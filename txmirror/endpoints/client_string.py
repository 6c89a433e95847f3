"""The string of a client endpoint, such as ``mirror:/services/web:pick=random``."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Final

from twisted.internet.interfaces import IReactorTime

from txmirror.client import TLS
from txmirror.discovery import check_pick
from txmirror.endpoints.client_endpoint import RegistryClientEndpoint
from txmirror.endpoints.keys import SESSION_KEYS, StringKeys, read_count, read_format

_FOR_TLS: Final = ("hostname", "trust", "certificate", "private_key")
_LIMITS: Final = ("least_in_zone", "hold_for", "down_after", "down_for")
KEYS: Final = ("pick", "key", "where.", "zone", *_LIMITS, "format", "wait", "timeout", "tls", *_FOR_TLS, *SESSION_KEYS)
#: A name, or an address, which a certificate may have too.
_HOSTNAME: Final = re.compile(r"[\w.:-]+")


def parse_client(reactor: IReactorTime, args: Sequence[str], kwargs: Mapping[str, str]) -> RegistryClientEndpoint:
    """Return the endpoint of a string. Nothing is read or connected yet.

    :param reactor: makes the connections.
    :param args: the positional parts: one, the path.
    :param kwargs: the values by their keys.
    :raises ValueError: the string is invalid; the message quotes the part, and names the known keys.
    """
    keys = StringKeys(args, kwargs, KEYS)
    return RegistryClientEndpoint(
        keys.session(reactor),
        keys.path,
        pick=keys.get("pick", "round-robin", _read_pick),
        where=keys.table("where.") or None,
        zone=keys.get("zone", None, str),
        least_in_zone=keys.get("least_in_zone", 1, read_count),
        hold_for=keys.seconds("hold_for", None),
        down_after=keys.get("down_after", 2, read_count),
        down_for=keys.seconds("down_for", 30.0),
        codec=keys.get("format", None, read_format),
        key=keys.get("key", None, str),
        wait=keys.seconds("wait", 5.0),
        timeout=keys.seconds("timeout", 30.0, least=0.001),
        tls=_read_tls(keys, kwargs),
        hostname=keys.get("hostname", None, _read_hostname),
    )


def _read_pick(text: str) -> str:
    check_pick(text)
    return text


def _read_hostname(text: str) -> str | None:
    # In another form than ASCII too; that raises UnicodeError, which is a ValueError, for one that has none.
    if not _HOSTNAME.fullmatch(text) or not text.encode("idna"):
        raise ValueError("it is no name of a host")
    return text


def _read_tls(keys: StringKeys, kwargs: Mapping[str, str]) -> TLS | None:
    wanted = keys.flag("tls")
    needing = [f"{key}={kwargs[key]}" for key in _FOR_TLS if key in kwargs]
    if wanted is False and needing:
        raise ValueError(f"mirror: {needing[0]!r:.200} is of no use with 'tls=no'")
    if "private_key" in kwargs and "certificate" not in kwargs:
        raise ValueError(f"mirror: {'private_key=' + kwargs['private_key']!r:.200} is of no use without 'certificate'")
    tls = TLS(keys.file("trust"), keys.file("certificate"), keys.file("private_key"))
    return tls if wanted or needing else None
