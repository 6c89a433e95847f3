"""Connection strings: the addresses of the servers, and the chroot."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Sequence

import attrs

from txmirror import paths
from txmirror.errors import PathError

DEFAULT_PORT = 2181

#: A name before the port. Names with an underscore are not valid host names, but resolvers accept them.
_NAME = re.compile(r"[A-Za-z0-9_](?:[A-Za-z0-9_.-]*[A-Za-z0-9_.])?")
_SERVER = re.compile(r"(?:\[(?P<ipv6>[^\]]*)\]|(?P<name>[^:\[\]]*))(?::(?P<port>.*))?", re.DOTALL)


@attrs.frozen
class Server:
    """The address of one server of an ensemble."""

    host: str
    """A name, or an IP address without brackets."""
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


@attrs.frozen
class ConnectString:
    """The servers of an ensemble, and the node that all paths are below."""

    servers: tuple[Server, ...]
    chroot: str = ""
    """A path without a trailing slash; empty for the root itself."""

    def __str__(self) -> str:
        return ",".join(map(str, self.servers)) + self.chroot


def parse_servers(servers: str | Sequence[str | tuple[str, int]]) -> ConnectString:
    """Parse a connection string, or a list of servers.

    The chroot stands once, after the last server, or after every server. So a comma always separates two servers: a
    connection string has no place for a chroot with a comma in it (:meth:`txmirror.mirror.Mirror.chroot` has).

    :param servers: ``host:port,host:port/chroot``, where the ports (2181) and the chroot may be missing and IPv6 addresses
        stand in brackets; or a list of ``host:port`` strings, each with the same chroot or all without one, or
        (host, port) pairs.
    :raises ValueError: the servers are malformed, or have different chroots; the message quotes the offending part.
    :raises TypeError: an argument or an entry of the list has another type.
    """
    if isinstance(servers, str):
        entries: Sequence[object] = servers.split(",")
    elif isinstance(servers, Sequence):
        entries = servers
    else:
        raise TypeError(f"servers are a string or a list, not {servers!r}")
    if not entries:
        raise ValueError(f"no server in {servers!r}")
    parsed: list[Server] = []
    chroots: list[str | None] = []
    for entry in entries:
        server, chroot = _parse_entry(entry)
        parsed.append(server)
        chroots.append(chroot)
    if isinstance(servers, str) and all(chroot is None for chroot in chroots[:-1]):
        # The usual form: the chroot behind the last server is that of all servers.
        chroots = chroots[-1:]
    if len({chroot or "" for chroot in chroots}) > 1:
        raise ValueError(f"the servers of {servers!r} have different chroots: {_list_chroots(parsed, chroots)}")
    return ConnectString(tuple(parsed), chroots[0] or "")


def _parse_entry(entry: object) -> tuple[Server, str | None]:
    if isinstance(entry, str):
        address, slash, below = entry.partition("/")
        return _parse_address(address), _parse_chroot(slash + below, entry) if slash else None
    if isinstance(entry, tuple) and len(entry) == 2 and isinstance(entry[0], str) and isinstance(entry[1], int):
        return Server(_check_host(entry[0], entry), _check_port(str(entry[1]), entry)), None
    raise TypeError(f"a server is a 'host:port' string or a (host, port) pair, not {entry!r}")


def _parse_chroot(chroot: str, entry: str) -> str:
    try:
        return "" if chroot == "/" else paths.validate(chroot)
    except PathError as error:
        raise ValueError(f"the chroot of {entry!r} is invalid: {error}") from None


def _list_chroots(servers: Sequence[Server], chroots: Sequence[str | None]) -> str:
    pairs = zip(servers, chroots, strict=True)
    return ", ".join(f"{server} has {repr(chroot) if chroot else 'none'}" for server, chroot in pairs)


def _parse_address(text: str) -> Server:
    match = _SERVER.fullmatch(text.strip())
    if match is None:
        raise ValueError(f"{text!r} is no server address: expected host:port, with an IPv6 address in brackets")
    port = DEFAULT_PORT if match["port"] is None else _check_port(match["port"], text)
    if match["ipv6"] is None:
        return Server(_check_name(match["name"], text), port)
    return Server(_check_ipv6(match["ipv6"], text), port)


def _check_host(host: str, entry: object) -> str:
    return _check_ipv6(host, entry) if ":" in host else _check_name(host, entry)


def _check_name(host: str, entry: object) -> str:
    labels = host.removesuffix(".").split(".")
    # Check the limits of the domain name system: resolvers fail on longer names in different ways.
    if _NAME.fullmatch(host) is None or len(host) > 253 or not all(0 < len(label) < 64 for label in labels):
        raise ValueError(f"{entry!r} is no server address: {host!r} is no host name")
    return host


def _check_ipv6(host: str, entry: object) -> str:
    try:
        ipaddress.IPv6Address(host)
    except ValueError:
        raise ValueError(f"{entry!r} is no server address: {host!r} is no IPv6 address") from None
    return host


def _check_port(port: str, entry: object) -> int:
    if not (port.isascii() and port.isdigit() and len(port) < 9 and 0 < int(port) < 65536):
        raise ValueError(f"{entry!r:.300} is no server address: {port!r:.60} is no port from 1 to 65535")
    return int(port)
