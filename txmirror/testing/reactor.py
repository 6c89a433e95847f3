"""The reactor of a world in memory: its time, host names, ports and connections."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

from twisted.internet import error
from twisted.internet.abstract import isIPAddress, isIPv6Address
from twisted.internet.address import IPv4Address, IPv6Address
from twisted.internet.base import BaseConnector
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import (
    IAddress,
    IConnector,
    IHostnameResolver,
    IHostResolution,
    IListeningPort,
    IReactorPluggableNameResolver,
    IReactorTCP,
    IResolutionReceiver,
)
from twisted.internet.protocol import ClientFactory, ServerFactory
from twisted.python.failure import Failure
from zope.interface import implementer

from txmirror.testing.clock import MemoryClock
from txmirror.testing.network import Link
from txmirror.testing.receiver import Address

#: The interfaces that match any address.
_ANY_INTERFACE = ("", "0.0.0.0", "::")  # noqa: S104
_FIRST_FREE_PORT = 49152


@implementer(IReactorTCP, IReactorPluggableNameResolver)
class MemoryReactor(MemoryClock):
    """A reactor for tests: it has no sockets, and the test controls the time.

    Whole programs run on it, clients and servers, if they take their reactor as an argument. Only delayed calls take time.
    Written data is delivered on a later turn of the same instant, never within the call that wrote it. :meth:`settle` runs
    these turns, and :meth:`pass_time` advances the time::

        reactor = MemoryReactor()
        server = EmbeddedServer(reactor)
        server.listen()
        client = ZooKeeperClient(server.address, reactor=reactor)
        connected = client.connect()
        reactor.settle()

    :cvar patience: the number of calls after which :meth:`settle` fails, because it takes them for an endless loop.
    :ivar links: the connections that are alive, the oldest first, for injecting faults.
    :ivar nameResolver: resolves host names by its ``names``, a dictionary of lists of IP addresses. ``localhost`` is in it from
        the start. IP addresses resolve to themselves, other names to nothing.
    """

    def __init__(self) -> None:
        super().__init__()
        self.links: list[Link] = []
        self.nameResolver: IHostnameResolver = MemoryResolver(self)
        self._piece: int | None = None
        self._listening: dict[tuple[str, int], MemoryPort] = {}
        self._black_holes: set[tuple[str, int]] = set()
        self._last_port = _FIRST_FREE_PORT

    @property
    def piece(self) -> int | None:
        """The most bytes that a protocol receives at once; None, the default, sets no limit.

        With 1, each message is split at every byte.

        :raises ValueError: it is set to less than 1.
        """
        return self._piece

    @piece.setter
    def piece(self, size: int | None) -> None:
        if size is not None and size < 1:
            raise ValueError(f"a piece has 1 byte or more, not {size!r}; None sets no limit")
        self._piece = size

    def black_hole(self, host: str, port: int) -> None:
        """Let new connections to an address neither succeed nor fail, until their timeout.

        Current connections are not affected (see :meth:`Link.stall`).

        :param host: the IP address.
        :param port: the port.
        """
        self._black_holes.add((host, port))

    def undo_black_hole(self, host: str, port: int) -> None:
        """Let new connections to an address succeed or fail again; pending ones still wait for their timeout."""
        self._black_holes.discard((host, port))

    def connectTCP(
        self,
        host: str,
        port: int,
        factory: ClientFactory[Any],
        timeout: float = 30.0,
        bindAddress: tuple[str, int] | None = None,
    ) -> IConnector:
        connector = MemoryConnector(self, host, port, factory, timeout, bindAddress)
        connector.connect()
        return connector

    def listenTCP(self, port: int, factory: ServerFactory, backlog: int = 50, interface: str = "") -> IListeningPort:
        listening = MemoryPort(self, port, factory, interface)
        listening.startListening()
        return listening

    def installNameResolver(self, resolver: IHostnameResolver) -> IHostnameResolver:
        former, self.nameResolver = self.nameResolver, resolver
        return former

    def take_port(self) -> int:
        """Return a port number that was not returned before."""
        self._last_port += 1
        return self._last_port

    def listeners(self) -> dict[tuple[str, int], MemoryPort]:
        """Return the listening ports by interface and port number; they add and remove themselves."""
        return self._listening

    def listener_at(self, host: str, port: int) -> MemoryPort | None:
        """Return the port that listens at an address, or None. All of 127.0.0.0/8 leads to 127.0.0.1."""
        for interface in (host, *(("127.0.0.1",) if host.startswith("127.") else ()), *_ANY_INTERFACE):
            listening = self._listening.get((interface, port))
            if listening is not None:
                return listening
        return None

    def is_black_hole(self, host: str, port: int) -> bool:
        """Return whether an address is a black hole."""
        return (host, port) in self._black_holes


@implementer(IHostResolution)
class _Resolution:
    """The resolution of a host name, which takes until the next turn."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.cancelled = False

    def cancel(self) -> None:
        self.cancelled = True


@implementer(IHostnameResolver)
class MemoryResolver:
    """A resolver of host names.

    :ivar names: the IP addresses of each name, in the order of the answer; a test may change it at any time.
    """

    def __init__(self, reactor: MemoryReactor) -> None:
        self._reactor = reactor
        self.names: dict[str, list[str]] = {"localhost": ["127.0.0.1"]}

    def resolveHostName(
        self,
        resolutionReceiver: IResolutionReceiver,
        hostName: str,
        portNumber: int = 0,
        addressTypes: Sequence[type[IAddress]] | None = None,
        transportSemantics: str = "TCP",
    ) -> IHostResolution:
        resolution = _Resolution(hostName)
        resolutionReceiver.resolutionBegan(resolution)

        def answer() -> None:
            if resolution.cancelled:
                return
            for host in self.addresses(hostName):
                address = make_address(host, portNumber)
                if addressTypes is None or isinstance(address, tuple(addressTypes)):
                    resolutionReceiver.addressResolved(address)
            resolutionReceiver.resolutionComplete()

        self._reactor.callLater(0, answer)
        return resolution

    def addresses(self, name: str) -> list[str]:
        """Return the IP addresses of a name; of an IP address, that address."""
        return [name] if isIPAddress(name) or isIPv6Address(name) else self.names.get(name, [])


@implementer(IListeningPort)
class MemoryPort:
    """A listening port."""

    def __init__(self, reactor: MemoryReactor, port: int, factory: ServerFactory, interface: str) -> None:
        self._reactor = reactor
        self._port = port or reactor.take_port()
        self._interface = interface
        self._listening = False
        self.factory = factory

    def startListening(self) -> None:
        key = (self._interface, self._port)
        if key in self._reactor.listeners():
            taken = OSError("address in use")
            raise error.CannotListenError(self._interface, self._port, taken)
        self._reactor.listeners()[key] = self
        self._listening = True
        self.factory.doStart()

    def stopListening(self) -> Deferred[None]:
        stopped: Deferred[None] = Deferred()
        if self._listening:
            self._listening = False
            del self._reactor.listeners()[self._interface, self._port]
            self._reactor.callLater(0, self.factory.doStop)
        self._reactor.callLater(0, stopped.callback, None)
        return stopped

    def getHost(self) -> Address:
        return make_address(self._interface or "0.0.0.0", self._port)  # noqa: S104


@implementer(IConnector)
class MemoryConnector(BaseConnector):
    """An attempt to connect, and then the connection. Twisted's own base class notifies the factory."""

    def __init__(
        self,
        reactor: MemoryReactor,
        host: str,
        port: int,
        factory: ClientFactory[Any],
        timeout: float,
        source: tuple[str, int] | None,
    ) -> None:
        # The base class's annotation is a whole reactor; it uses only callLater.
        super().__init__(factory, timeout, cast(Any, reactor))
        self.memory_reactor = reactor
        self.host = host
        self.port = port
        self.source = source

    def _makeTransport(self) -> Any:
        return _Attempt(self)

    def getDestination(self) -> Address:
        return make_address(self.host, self.port)


class _Attempt:
    """The placeholder for a transport during an attempt to connect."""

    def __init__(self, connector: MemoryConnector) -> None:
        self._connector = connector
        self._over = False
        self._reactor = connector.memory_reactor
        self._reactor.callLater(0, self._resolve)

    def failIfNotConnected(self, reason: Exception) -> None:
        """Fail the attempt. The base class calls it."""
        if not self._over:
            self._over = True
            self._connector.connectionFailed(Failure(reason))

    def _resolve(self) -> None:
        connector = self._connector
        resolver = self._reactor.nameResolver
        known = resolver.addresses(connector.host) if isinstance(resolver, MemoryResolver) else [connector.host]
        if not known:
            self.failIfNotConnected(error.DNSLookupError(f"{connector.host!r} has no address"))
        elif not self._reactor.is_black_hole(known[0], connector.port):
            self._connect(known[0])

    def _connect(self, host: str) -> None:
        connector = self._connector
        if self._over:
            return
        listening = self._reactor.listener_at(host, connector.port)
        if listening is None:
            self.failIfNotConnected(error.ConnectionRefusedError())
            return
        self._over = True
        local = "::1" if isIPv6Address(host) else "127.0.0.1"
        source, number = connector.source or (local, 0)
        link = Link(
            self._reactor,
            make_address(source or local, number or self._reactor.take_port()),
            make_address(host, connector.port),
        )
        accepted = listening.factory.buildProtocol(link.client_address)
        if accepted is None:
            link.server.loseConnection()
        else:
            link.server.begin(accepted)
        connector.transport = cast(Any, link.client)
        protocol = connector.buildProtocol(link.server_address)
        if protocol is None:
            link.client.loseConnection()
        else:
            link.client.begin(protocol, connector.connectionLost)


def make_address(host: str, port: int) -> Address:
    """Return the address object of an IP address and a port; a name that is not resolved yet counts as IPv4."""
    return IPv6Address("TCP", host, port) if isIPv6Address(host) else IPv4Address("TCP", host, port)
