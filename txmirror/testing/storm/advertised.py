"""The ways in which servers in a storm listen, and the addresses that they advertise."""

from __future__ import annotations

from random import Random
from typing import Any

import attrs
from twisted.internet.endpoints import TCP4ServerEndpoint
from twisted.internet.interfaces import IStreamServerEndpoint

from txmirror.testing.storm.listening import Address, Registered, Service
from txmirror.testing.storm.parts import Scene

_LOOPBACK = "127.0.0.1"
_WAYS = ("own", "own", "host", "host and port", "name")


@attrs.frozen
class Way:
    """A way to listen."""

    endpoint: IStreamServerEndpoint
    """The endpoint that listens."""
    advertise: str
    """The argument of the registering endpoint."""
    host: str
    """The address at which programs connect."""
    name: str
    """The address that is registered."""
    port: int
    """The port; 0 if it is not known before."""

    def registered(self, service: Service, port: int) -> tuple[Address, Registered]:
        """Return the address at which programs connect, and the address that must be registered, once the port is known."""
        return (self.host, port), Registered(service, self.name, port)


def choose_way(scene: Scene, service: Service, random: Random, *, known_port: bool) -> Way:
    """Choose a way to listen: at an address of its own, at every address, or at another one than it advertises.

    :param known_port: whether the port must be known before.
    """
    reactor: Any = scene.world.reactor
    host, way = scene.listening.host(service), random.choice(_WAYS)
    port = reactor.take_port() if known_port or way == "host and port" else 0
    if way == "own":
        return Way(TCP4ServerEndpoint(reactor, port, interface=host), "auto", host, host, port)
    if way == "host":
        return Way(TCP4ServerEndpoint(reactor, port), host, host, host, port)
    endpoint = TCP4ServerEndpoint(reactor, port, interface=_LOOPBACK)
    if way == "host and port":
        return Way(endpoint, f"{host}:{port}", host, host, port)
    name = f"{host.replace('.', '-')}.example"
    reactor.nameResolver.names[name] = [host]
    return Way(endpoint, name, host, name, port)
