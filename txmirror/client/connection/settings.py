"""The settings of a client that its connections use: the servers, the bounds and timeouts, and the program's metrics."""

from __future__ import annotations

import ipaddress
import math
import re
from collections.abc import Sequence
from typing import Any

import attrs
from twisted.logger import Logger
from zope.interface import implementer

from txmirror import paths
from txmirror.errors import PathError
from txmirror.interfaces import IMetrics
from txmirror.printable import host_and_port
from txmirror.types import SessionEvent
from txmirror.wire import DEFAULT_MAX_REPLY, DEFAULT_MAX_REQUEST

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
    """The port for clients."""

    def __str__(self) -> str:
        return host_and_port(self.host, self.port)


@attrs.frozen
class ConnectString:
    """The servers of an ensemble, and the node that all paths are below."""

    servers: tuple[Server, ...]
    """The servers, in the order of the string."""
    chroot: str = ""
    """A path without a trailing slash; empty for the root itself."""

    def __str__(self) -> str:
        return ",".join(map(str, self.servers)) + self.chroot


def parse_servers(servers: str | Sequence[str | tuple[str, int]]) -> ConnectString:
    """Parse a connection string, or a list of servers.

    The chroot follows the last server, or every server. So a comma always separates two servers: a
    connection string has no place for a chroot with a comma in it (:meth:`txmirror.mirror.Mirror.chroot` has).

    :param servers: ``host:port,host:port/chroot``, where the ports (2181) and the chroot may be missing and IPv6 addresses
        are in brackets; or a list of ``host:port`` strings, each with the same chroot or all without one, or
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


# More than 7 parameters: it is a table, and all are optional.
@attrs.frozen
class Limits:
    """The bounds and timeouts of a client. Times are in seconds, sizes in bytes.

    :raises ValueError: one of them is not above 0; the message names it.
    """

    max_request: int = DEFAULT_MAX_REQUEST
    """The longest request. A server closes the connection on a request over its own limit (``jute.maxbuffer``)."""
    max_reply: int = DEFAULT_MAX_REPLY
    """The longest reply. A longer one is discarded as it arrives, and only its request fails."""
    in_flight_requests: int = 10_000
    """The number of requests that may be in flight (sent and not answered). Further requests wait in the queue."""
    in_flight_bytes: int = 16 * 1024 * 1024
    """The total length of the requests in flight; one request may always be sent."""
    queued_requests: int = 10_000
    """The number of requests of the client's own methods that may wait in the queue, for a connection or for others to be
    answered. One more fails at once with :exc:`~txmirror.errors.TooManyRequestsException`. Requests of a mirror, a registry or
    the recipes are not counted: they wait."""
    queued_bytes: int = 64 * 1024 * 1024
    """The total length of those."""
    queued_time: float = 30.0
    """The timeout of a request that waits for a connection. It does not run while there is a connection."""
    queued_attempts: int = 10**9
    """The number of attempts to connect that may fail in succession. The last of them fails all requests that wait for a
    connection, and so does each failed attempt after it."""
    close_time: float = 5.0
    """The timeout of ``close()``."""
    max_backoff: float = 5.0
    """The longest backoff between attempts to connect while no session can expire by it. Each pause has a random length up to
    the current backoff, so that the clients of a restarted ensemble do not all connect at once."""
    attempt_time: float = 4.0
    """The timeout of one attempt (connect and handshake). It is never more than a third of the session timeout, so that the
    session does not expire because one server does not answer."""

    def __attrs_post_init__(self) -> None:
        for name, value in attrs.asdict(self).items():
            if not (isinstance(value, (int, float)) and 0 < value < math.inf):
                raise ValueError(f"the limit {name} is a number above 0, not {value!r}")

    def attempt(self, session_timeout: float) -> float:
        """Return the timeout of one attempt to connect, in seconds."""
        return min(session_timeout / 3, self.attempt_time)


@implementer(IMetrics)
class GuardedMetrics:
    """Passes every call on to a program's metrics, and logs the exceptions that those raise.

    :param metrics: the program's.
    :ivar metrics: as the parameter.
    """

    _log = Logger()

    def __init__(self, metrics: IMetrics) -> None:
        self.metrics = metrics

    def sent(self, operation: str, size: int) -> None:
        """Count a request. See :class:`~txmirror.interfaces.IMetrics`."""
        self._call("sent", operation, size)

    def answered(self, operation: str, seconds: float, error: int, size: int) -> None:
        """Count a reply. See :class:`~txmirror.interfaces.IMetrics`."""
        self._call("answered", operation, seconds, error, size)

    def lost(self, operation: str, seconds: float) -> None:
        """Count a request that was lost with its connection. See :class:`~txmirror.interfaces.IMetrics`."""
        self._call("lost", operation, seconds)

    def received(self, size: int) -> None:
        """Count received bytes. See :class:`~txmirror.interfaces.IMetrics`."""
        self._call("received", size)

    def connected(self, event: SessionEvent) -> None:
        """Count an established connection. See :class:`~txmirror.interfaces.IMetrics`."""
        self._call("connected", event)

    def disconnected(self, event: SessionEvent) -> None:
        """Count a lost connection. See :class:`~txmirror.interfaces.IMetrics`."""
        self._call("disconnected", event)

    def _call(self, name: str, *arguments: Any) -> None:
        try:
            getattr(self.metrics, name)(*arguments)
        except Exception:
            # The program's code may raise any exception.
            self._log.failure("The metrics {metrics} failed.", metrics=self.metrics)
