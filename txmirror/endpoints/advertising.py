"""The instance that a server endpoint registers: the address, the name of its node, and the facts, in one format."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping

import attrs
from twisted.internet.address import IPv4Address, IPv6Address

from txmirror import paths
from txmirror.client import parse_servers
from txmirror.interfaces import IInstanceCodec
from txmirror.machine import INTERFACE, ROUTE, Machine
from txmirror.placeholders import Placeholders
from txmirror.printable import host_and_port, quote
from txmirror.registry import ServiceNode
from txmirror.types import Instance

#: The value of ``advertise`` for the address that the port listens at, or else that of the route to ZooKeeper.
AUTO = "auto"

_EVERY_ADDRESS = ("", "0.0.0.0", "::")  # noqa: S104 - they are compared


@attrs.frozen
class Advertised:
    """The address to register, and the port."""

    host: str
    """:data:`AUTO`, ``interface:NAME``, or a name or an address, without brackets."""
    port: int | None = None
    """The port; None for that at which the endpoint listens."""

    def find(self, bound: IPv4Address | IPv6Address, servers: str, machine: Machine) -> tuple[str, int]:
        """Return the address, without brackets, and the port.

        :param bound: the address at which the endpoint listens.
        :param servers: a connection string.
        :raises ValueError: there is none.
        """
        port = bound.port if self.port is None else self.port
        if self.host == AUTO and bound.host not in _EVERY_ADDRESS:
            return bound.host, port
        # An address of the loopback interface is found only if ZooKeeper is there, too.
        host = machine.find_address(ROUTE if self.host == AUTO else self.host, servers, allow_loopback=True)
        return host.removeprefix("[").removesuffix("]"), port


def parse_advertised(text: str) -> Advertised:
    """Parse ``auto``, ``interface:NAME``, a host, or ``host:port`` with an IPv6 address in brackets.

    :raises ValueError: it is invalid; the message quotes it.
    """
    if text == AUTO or (text.startswith(INTERFACE) and text != INTERFACE):
        return Advertised(text)
    parsed = parse_servers(text)
    if len(parsed.servers) != 1 or "/" in text:
        raise ValueError(f"{quote(text)} is no address: expected auto, interface:NAME, a host or host:port")
    server = parsed.servers[0]
    if server.host in _EVERY_ADDRESS:
        raise ValueError(f"{quote(text)} is every address, and none to connect to: expected auto, or one of them")
    return Advertised(server.host, server.port if ":" in text.rpartition("]")[2] else None)


@attrs.frozen
class Advertisement:
    """The settings of an instance, whose address and port are known when its endpoint listens.

    :raises ValueError: they are invalid, or the codec cannot write them; the message quotes the part.
    """

    path: str
    """The path of the service."""
    codec: IInstanceCodec
    """Writes the instance."""
    advertised: Advertised = Advertised(AUTO)
    """The address to register."""
    data: Mapping[str, object] | str | None = None
    """Facts for programs that find the instance."""
    name: str | None = None
    """The name of the node, with placeholders; None for the codec's."""
    weight: int | None = None
    """Its share of the traffic; None for none."""

    def __attrs_post_init__(self) -> None:
        if self.weight is not None and (type(self.weight) is not int or self.weight < 0):
            raise ValueError(f"the weight {quote(self.weight)} is not a whole number from 0")
        # Nothing is read to find out the facts of this machine yet.
        sample = self._node("192.0.2.1", 1, Machine("host", "", os.getpid(), os.environ))
        error = sample.find_error(str(sample.instance.service))
        if error is not None:
            key, reason = error
            raise ValueError(f"{key} {quote(getattr(self, key, None))}: {reason}")

    def node(self, bound: IPv4Address | IPv6Address, servers: str, machine: Machine) -> ServiceNode:
        """Return the node of the instance.

        :param bound: the address at which the endpoint listens.
        :param servers: a connection string.
        :raises ValueError: there is no address for it.
        """
        return self._node(*self.advertised.find(bound, servers, machine), machine)

    def _node(self, address: str, port: int, machine: Machine) -> ServiceNode:
        service = paths.split(self.path)[1]
        name = self._expand(self.codec.node if self.name is None else self.name, service, address, port, machine)
        if not paths.are_names([name]):
            raise ValueError(
                f"{quote(name)} is no name of a znode: such a name has no slash, and is not empty, '.' or '..'"
            )
        instance = Instance(
            name=name,
            address=address,
            port=port,
            weight=self.weight,
            service=service,
            data={} if self.data is None else self.data,
            codec=self.codec.name,
        )
        return ServiceNode("", self.path, self.codec, instance)

    @staticmethod
    def _expand(text: str, service: str, address: str, port: int, machine: Machine) -> str:
        # A machine can have several instances of a service: their ports differ.
        uuid = machine.instance_id(machine.host_name, host_and_port(service, port))
        values: dict[str, str] = {
            "name": service,
            "host": machine.host_name,
            "pid": str(machine.pid),
            "address": f"[{address}]" if ":" in address else address,
            "port": str(port),
            "uuid": uuid,
            "number": machine.instance_number(uuid),
        }

        def constant(value: str) -> Callable[[], str]:
            return lambda: value

        functions = {key: constant(value) for key, value in values.items()}
        return Placeholders(functions, machine.environment).expand(text)
