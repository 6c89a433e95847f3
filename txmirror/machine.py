"""Facts about this machine and process that a configuration or an endpoint refers to."""

from __future__ import annotations

import fcntl
import ipaddress
import os
import socket
import struct
import uuid
from collections.abc import Callable, Mapping
from pathlib import Path

import attrs

from txmirror.client import parse_servers
from txmirror.placeholders import transform
from txmirror.printable import quote

_SIOCGIFADDR = 0x8915
#: Addresses that no machine has, of the networks for documentation: the default route leads to them.
_ELSEWHERE = ("192.0.2.1", "2001:db8::1")
_MACHINE_IDS = ("/etc/machine-id", "/var/lib/dbus/machine-id")
#: The namespace of the identifiers of instances.
_NAMESPACE = uuid.UUID("8f9f3e65-61a5-4c0b-9d6e-5f1a4f9b2a57")

INTERFACE = "interface:"
ROUTE = "route"


def find_route(servers: str) -> str:
    """Return the local address of the route to ZooKeeper, without sending a packet.

    If the first server is a name, it is that of the default route: nothing here waits for a resolver.

    :raises ValueError: there is no route.
    """
    targets = list(_ELSEWHERE)
    host = parse_servers(servers).servers[0].host
    if _is_address(host):
        targets.insert(0, host)
    for target in targets:
        with socket.socket(socket.AF_INET6 if ":" in target else socket.AF_INET, socket.SOCK_DGRAM) as sock:
            try:
                # For UDP this only selects the route.
                sock.connect((target, 9))
            except OSError:
                continue
            return str(sock.getsockname()[0])
    raise ValueError("this machine has no route to ZooKeeper")


def find_interface(name: str) -> str:
    """Return the IPv4 address of a network interface.

    :raises ValueError: there is no such interface, or it has none.
    """
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        try:
            answer = fcntl.ioctl(sock, _SIOCGIFADDR, struct.pack("256s", name.encode()[:15]))
        except (OSError, ValueError) as error:
            raise ValueError(f"the interface {quote(name)} has no IPv4 address: {error}") from None
    return socket.inet_ntoa(answer[20:24])


@attrs.frozen
class Machine:
    """The facts about this machine and process."""

    host_name: str
    machine_id: str
    """A text that distinguishes the machine from others, and stays."""
    pid: int
    environment: Mapping[str, str] = attrs.field(repr=False)
    find_route: Callable[[str], str] = find_route
    """Returns the local address of the route to the servers of a connection string."""
    find_interface: Callable[[str], str] = find_interface
    """Returns the address of a network interface."""

    @classmethod
    def this(cls) -> Machine:
        """Return the facts about this machine and process."""
        return cls(socket.gethostname(), _read_machine_id(), os.getpid(), os.environ)

    def instance_id(self, host: str, service: str) -> str:
        """Return a UUID that one service on this machine always has, and no other."""
        return str(uuid.uuid5(_NAMESPACE, f"{self.machine_id}\n{host}\n{service}"))

    @staticmethod
    def instance_number(instance_id: str) -> str:
        """Return ten digits for an instance's UUID, such as stand in a sequential znode's name. Two may have the same by chance."""
        return f"{uuid.UUID(instance_id).int % 10**10:010d}"

    def find_address(self, advertise: str, servers: str, *, allow_loopback: bool) -> str:
        """Return the address to publish, in brackets if it is one of IPv6.

        :param advertise: ``route``, ``interface:NAME``, or the address or name itself.
        :param servers: a connection string.
        :param allow_loopback: whether addresses are valid that other machines cannot reach.
        :raises ValueError: there is none, or other machines cannot reach it.
        """
        if advertise == ROUTE:
            address = self.find_route(servers)
        elif advertise.startswith(INTERFACE):
            address = self.find_interface(advertise.removeprefix(INTERFACE))
        else:
            address = transform(lambda text: text.removeprefix("[").removesuffix("]"), advertise)
        if not allow_loopback and not _is_reachable(address):
            raise ValueError(
                f"other machines cannot reach {address!r}: set advertise to an address of this machine, or allow_loopback"
            )
        return transform(lambda text: f"[{text}]", address) if ":" in address else address


def _is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True


def _is_reachable(address: str) -> bool:
    if not _is_address(address):
        name = address.lower().rstrip(".")
        return name != "localhost" and not name.endswith((".localhost", ".localdomain"))
    parsed = ipaddress.ip_address(address)
    mapped = getattr(parsed, "ipv4_mapped", None)
    parsed = parsed if mapped is None else mapped
    return not (parsed.is_loopback or parsed.is_unspecified or parsed.is_link_local or parsed.is_multicast)


def _read_machine_id() -> str:
    for name in _MACHINE_IDS:
        try:
            text = Path(name).read_text(encoding="ascii").strip()
        except (OSError, ValueError):
            continue
        if text:
            return text
    return ""
