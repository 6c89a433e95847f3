"""A server endpoint that registers its port."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from twisted.application.internet import StreamServerEndpointService
from twisted.internet.address import IPv4Address, IPv6Address
from twisted.internet.defer import Deferred, maybeDeferred
from twisted.internet.endpoints import UNIXServerEndpoint
from twisted.internet.interfaces import IListeningPort, IProtocolFactory, IStreamServerEndpoint
from zope.interface import implementer

from txmirror import paths
from txmirror.durations import check_seconds
from txmirror.endpoints.advertising import AUTO, Advertisement, parse_advertised
from txmirror.endpoints.connections import ConnectionsFactory
from txmirror.endpoints.publication import Publication
from txmirror.endpoints.registered_port import RegisteredPort, Retirement
from txmirror.endpoints.sessions import SharedSession, lease_registry
from txmirror.machine import Machine
from txmirror.registry import ServiceNode, ServiceRegistry, find_codec, with_instances

#: The default of ``drain``, in seconds.
DRAIN = 5.0
_UNIX = "others cannot connect to a UNIX socket by an address and a port: listen with TCP or TLS"


@implementer(IStreamServerEndpoint)
class RegisteringEndpoint:
    """Listens with another endpoint, and keeps the address and port of that registered.

    It listens whether or not ZooKeeper can be reached. An instance that cannot be registered yet is registered as soon as possible.

    :param registry: the registry, which the program stops itself; or a shared session.
    :param path: the path of the service. The instance is a node below it.
    :param endpoint: the endpoint to listen with, of TCP or TLS.
    :param advertise: the address to register: ``auto`` is the one at which the port listens; if that is every address, the local
        address of the route to ZooKeeper. Otherwise ``interface:NAME`` for that of a network interface, a name or an address,
        or ``host:port``.
    :param data: facts for programs that find the instance.
    :param format: the name of the codec that writes them.
    :param name: the name of the node, with the placeholders of the daemon's configuration; the codec's if None.
    :param weight: the share of the traffic; None for none.
    :param drain: the longest time that a stop waits after the withdrawal, in seconds: until all connections are closed, and for a
        second at least, while other programs learn of it. In the last third the port accepts no connections. Protocols that provide
        :class:`~txmirror.interfaces.IDraining` end theirs. 0 stops at once.
    :raises ValueError: an argument is invalid; the message quotes it.
    :raises LookupError: there is no codec of this name.
    """

    # More than 7 parameters: all but three are optional, and each is a key of the string.

    def __init__(
        self,
        registry: ServiceRegistry[bool] | SharedSession,
        path: str,
        endpoint: IStreamServerEndpoint,
        *,
        advertise: str = AUTO,
        data: Mapping[str, object] | str | None = None,
        format: str = "merged",
        name: str | None = None,
        weight: int | None = None,
        drain: float = DRAIN,
    ) -> None:
        check_seconds("drain", drain)
        if isinstance(endpoint, UNIXServerEndpoint):
            raise ValueError(_UNIX)  # noqa: TRY004 - of the string of an endpoint, the value is invalid
        self._registry = registry
        self._endpoint = endpoint
        self._drain = drain
        self._advertisement = Advertisement(
            paths.normalise(path), with_instances(find_codec(format)), parse_advertised(advertise), data, name, weight
        )

    def listen(self, protocolFactory: IProtocolFactory) -> Deferred[IListeningPort]:
        """Listen, and then register the port, once the reactor runs.

        :returns: fires with the port when it listens, and does not wait until it is registered. Its ``stopListening()`` withdraws
            the instance, waits as ``drain`` says, and then stops; it takes a bounded time, and may be called again. Fails as the
            other endpoint does, and with ``ValueError`` if that does not listen at a port. Cancelling cancels the other endpoint's
            attempt; nothing is registered.
        """
        connections = ConnectionsFactory(protocolFactory)
        return self._endpoint.listen(connections).addCallback(self._listening, connections)

    def _listening(
        self, port: IListeningPort, connections: ConnectionsFactory
    ) -> IListeningPort | Deferred[IListeningPort]:
        address = port.getHost()
        if not isinstance(address, (IPv4Address, IPv6Address)):
            return maybeDeferred(port.stopListening).addCallback(_refuse_unix)

        def describe(servers: str) -> ServiceNode:
            return self._advertisement.node(address, servers, Machine.this())

        reactor = self._registry.reactor

        def retire() -> Deferred[None]:
            return retirement.begin()

        lease = lease_registry(self._registry, retire)
        publication = Publication(self._advertisement.path, lease, describe, reactor)
        retirement = Retirement(publication, connections, self._drain, reactor)
        publication.start()
        return RegisteredPort(port, retirement, lease, reactor)


def _refuse_unix(_: object) -> IListeningPort:
    raise ValueError(_UNIX)


def bind(
    service: StreamServerEndpointService,
    registry: ServiceRegistry[bool] | SharedSession,
    path: str,
    **options: Any,
) -> StreamServerEndpointService:
    """Register the port of a service: replace its endpoint by a registering one.

    :param service: the service, which is not started.
    :param registry: as for :class:`RegisteringEndpoint`.
    :param path: as for :class:`RegisteringEndpoint`.
    :param options: further arguments of :class:`RegisteringEndpoint`.
    :returns: the same service.
    :raises ValueError: the service runs already, or an argument is invalid; the message quotes it.
    :raises LookupError: as :class:`RegisteringEndpoint` does.
    """
    if service.running:
        raise ValueError(f"{service!r} runs already: bind it before it starts")
    service.endpoint = RegisteringEndpoint(registry, path, service.endpoint, **options)
    return service
