"""One attempt to send a request to an instance."""

from __future__ import annotations

from typing import Any, Literal

import attrs
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import wrapClientTLS
from twisted.internet.interfaces import IProtocol, IProtocolFactory, IReactorTime, IStreamClientEndpoint
from twisted.web._newclient import RequestNotSent
from twisted.web.client import URI, Agent, BrowserLikePolicyForHTTPS, RequestTransmissionFailed, ResponseFailed
from twisted.web.http_headers import Headers
from twisted.web.iweb import IAgentEndpointFactory, IBodyProducer, IPolicyForHTTPS, IResponse
from zope.interface import implementer

from txmirror.endpoints.instance_pools import InstancePool
from txmirror.endpoints.service_urls import ServiceURL
from txmirror.network import make_endpoint
from txmirror.types import Instance


@attrs.frozen
class AttemptSettings:
    """The settings of an agent's attempts."""

    connect_timeout: float
    """The longest time for a new connection, in seconds."""
    authority: Literal["service", "instance"]
    """The host for the ``Host`` header and TLS."""
    tls_policy: IPolicyForHTTPS | None
    """The TLS settings for a host; None for those of a browser."""


@implementer(IAgentEndpointFactory, IStreamClientEndpoint)
class Attempt:
    """An attempt to send a request on an idle connection, or on a new one.

    :param instance: the instance, which has an address.
    :param pool: the connections to it.
    :param url: the URL of the request.
    :ivar host: the address.
    :ivar port: the port, for the URL's scheme.
    :ivar new: whether it has opened a connection, or tried to.
    """

    def __init__(
        self, instance: Instance, pool: InstancePool, url: ServiceURL, settings: AttemptSettings, reactor: IReactorTime
    ) -> None:
        tls = url.scheme == b"https"
        self.host = instance.address or ""
        self.port = (tls and instance.tls_port) or instance.port or 0
        self.instance = instance
        self.pool = pool
        self._url = url
        self._settings = settings
        self._reactor = reactor
        self._endpoint = make_endpoint(reactor, self.host, self.port)
        self.new = False
        self._connected = True

    def send(self, method: bytes, headers: Headers | None, body: IBodyProducer | None) -> Deferred[IResponse]:
        """Send the request.

        :returns: see :meth:`twisted.web.client.Agent.request`. Cancelling ends the connection.
        """
        agent = Agent.usingEndpointFactory(self._reactor, self, self.pool.http)
        sent: Deferred[IResponse] = agent.request(method, self._url.at(self._authority()), headers, body)
        return sent

    def is_unsent(self, error: Exception) -> bool:
        """Return whether nothing was sent, because of an error of :meth:`send`."""
        return not self._connected or isinstance(error, RequestNotSent)

    def is_lost(self, error: Exception) -> bool:
        """Return whether an error means that the connection was lost, or unusable, before there was a response."""
        return isinstance(error, (RequestTransmissionFailed, ResponseFailed))

    def endpointForURI(self, uri: URI) -> IStreamClientEndpoint:
        """Return an endpoint for the instance, with the TLS settings for the host of a URL."""
        if uri.scheme == b"https":
            policy = self._settings.tls_policy or BrowserLikePolicyForHTTPS()
            self._endpoint = wrapClientTLS(policy.creatorForNetloc(uri.host, uri.port), self._endpoint)
        return self

    def connect(self, protocolFactory: IProtocolFactory) -> Deferred[IProtocol]:
        self.new, self._connected = True, False
        connecting = self._endpoint.connect(protocolFactory)
        connecting.addTimeout(self._settings.connect_timeout, self._reactor)
        return connecting.addCallback(self._have)

    def _have(self, connection: Any) -> Any:
        self._connected = True
        self.pool.connections.add(connection)
        return connection

    def _authority(self) -> bytes:
        if self._settings.authority == "service":
            return self._url.service
        host = self.host.partition("%")[0]
        return f"[{host}]:{self.port}".encode() if ":" in host else host.encode("idna") + b":%d" % self.port
