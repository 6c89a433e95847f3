"""A world with instances in memory, each registered by a registry of its own."""

from __future__ import annotations

import os
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IStreamClientEndpoint
from twisted.internet.protocol import Factory, Protocol
from twisted.trial.unittest import SynchronousTestCase

from txmirror.registry import ServiceRegistry
from txmirror.test.endpoints.case import PORT, Greeter, RecorderFactory
from txmirror.test.endpoints.reactor import EventReactor
from txmirror.testing import World

PATH = "/services/web"
A, B, C = "10.0.0.1", "10.0.0.2", "10.0.0.3"


class RegistryCase(SynchronousTestCase):
    """A test with instances at 10.0.0.1 and so on, each registered by a registry of its own."""

    def setUp(self) -> None:
        self.reactor = EventReactor()
        self.world = World(reactor=self.reactor)
        self.addCleanup(self.world.close)
        self.addCleanup(self.end_all)
        self.factory = RecorderFactory()
        self.patch(os, "environ", {})

    def serve(self, host: str, protocol: type[Protocol] = Greeter, **facts: Any) -> ServiceRegistry:
        """Start an instance, and return its registry."""
        factory: Any = Factory.forProtocol(protocol)
        self.reactor.listenTCP(PORT, factory, interface=host)
        registry: ServiceRegistry = self.world.registry()
        self.world.result(registry.set_node(f"{PATH}/{host}:{PORT}", facts))
        return registry

    def kill(self, host: str, registry: ServiceRegistry) -> None:
        """Kill an instance, as SIGKILL does: its port is closed, its connections break, and its session expires later."""
        self.world.disconnect(registry)
        self.end(host)

    def end(self, host: str) -> None:
        """Close an instance's port, and cut its connections."""
        self.reactor.listeners()[host, PORT].stopListening()
        for link in list(self.reactor.links):
            if link.server_address.host == host:
                link.cut()
        self.reactor.settle()

    def end_all(self) -> None:
        for host, port in list(self.reactor.listeners()):
            if port == PORT:
                self.end(host)

    def note_attempts(self) -> list[str]:
        """Return the hosts of all attempts to connect from now on; the list grows."""
        hosts: list[str] = []
        connect = self.reactor.connectTCP

        def note(host: str, *rest: Any, **options: Any) -> Any:
            hosts.append(host)
            return connect(host, *rest, **options)

        self.patch(self.reactor, "connectTCP", note)
        return hosts

    def connect(self, endpoint: IStreamClientEndpoint) -> Deferred[Any]:
        connecting: Deferred[Any] = endpoint.connect(self.factory)
        self.reactor.settle()
        return connecting

    def connected(self, endpoint: IStreamClientEndpoint) -> str:
        """Connect, and return the host of the instance."""
        protocol = self.successResultOf(self.connect(endpoint))
        self.reactor.settle()
        return str(protocol.tcp.getPeer().host)
