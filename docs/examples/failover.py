"""A client that moves to another instance when its own goes.

Its argument is the address of a ZooKeeper server; the default is localhost:2181.
"""

import sys
from typing import Any

from twisted.application.internet import ClientService
from twisted.internet.defer import Deferred, DeferredQueue
from twisted.internet.endpoints import TCP4ServerEndpoint
from twisted.internet.protocol import Factory, Protocol
from twisted.internet.task import react
from twisted.protocols.basic import LineReceiver

from txmirror import ServiceRegistry
from txmirror.endpoints import RegistryClientEndpoint


class Greeter(Protocol):
    """A server that says its name, and waits."""

    def __init__(self, name: bytes) -> None:
        self.name = name

    def connectionMade(self) -> None:
        assert self.transport is not None
        self.transport.write(self.name + b"\r\n")


class Reader(LineReceiver):
    """A client that puts each name that it reads into a queue."""

    def __init__(self, names: DeferredQueue[bytes]) -> None:
        self.names = names

    def lineReceived(self, line: bytes) -> None:
        self.names.put(line)


async def serve(reactor: Any, registry: ServiceRegistry, name: bytes) -> Any:
    """Listen at a free port, and register it."""
    endpoint = TCP4ServerEndpoint(reactor, 0, interface="127.0.0.1")
    port = await endpoint.listen(Factory.forProtocol(lambda: Greeter(name)))
    await registry.set_node(f"/services/greeter/127.0.0.1:{port.getHost().port}")
    return port


async def main(reactor: Any, servers: str = "localhost:2181") -> None:
    registry = ServiceRegistry(servers)
    ports = {name: await serve(reactor, registry, name) for name in (b"Ada", b"Bob")}

    names: DeferredQueue[bytes] = DeferredQueue()
    endpoint = RegistryClientEndpoint(registry, "/services/greeter")
    factory = Factory.forProtocol(lambda: Reader(names))
    client = ClientService(endpoint, factory, retryPolicy=lambda _: 0.01)
    client.startService()
    first = await names.get()
    print("connected to one of two:", first in ports)

    # Its server crashes: it does not withdraw, and its node is still there. The client connects again, and finds the other.
    ports.pop(first).stopListening()
    reader: Any = await client.whenConnected()
    reader.transport.loseConnection()
    print("connected to the other one:", await names.get() in ports)

    await client.stopService()
    for port in ports.values():
        port.stopListening()
    await registry.stop()


if __name__ == "__main__":
    react(lambda reactor, *arguments: Deferred.fromCoroutine(main(reactor, *arguments)), sys.argv[1:])
