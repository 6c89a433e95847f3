"""One attempt to send a request to an instance."""

from __future__ import annotations

import re
from typing import Any, Literal

import attrs
from twisted.internet.abstract import isIPv6Address
from twisted.internet.defer import Deferred, fail
from twisted.internet.endpoints import wrapClientTLS
from twisted.internet.error import TimeoutError as ConnectionTimeoutError
from twisted.internet.interfaces import IProtocol, IProtocolFactory, IReactorTime, IStreamClientEndpoint
from twisted.web._newclient import RequestNotSent
from twisted.web.client import URI, Agent, BrowserLikePolicyForHTTPS, RequestTransmissionFailed, ResponseFailed
from twisted.web.http_headers import Headers
from twisted.web.iweb import IAgentEndpointFactory, IBodyProducer, IPolicyForHTTPS, IResponse
from zope.interface import implementer

from txmirror.endpoints.instance_connection import InstanceConnectionFactory, Unreported
from txmirror.endpoints.instance_pools import InstancePool
from txmirror.endpoints.service_urls import ServiceURL
from txmirror.network import make_endpoint
from txmirror.types import Instance

_HOST = re.compile(rb"[A-Za-z0-9_.-]+")


@attrs.frozen
class AttemptSettings:
    """The settings of an agent's attempts."""

    connect_timeout: float
    """The longest time for a new connection, with TLS including the handshake, in seconds."""
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
        self._tls = url.scheme == b"https"
        self.host: str = instance.address or ""
        self.port: int = (self._tls and instance.tls_port) or instance.port or 0
        self.instance = instance
        self.pool = pool
        self._url = url
        self._settings = settings
        self._reactor = reactor
        self._uri: URI | None = None
        self.new: bool = False
        self._connected = True

    def send(self, method: bytes, headers: Headers | None, body: IBodyProducer | None) -> Deferred[IResponse]:
        """Send the request.

        :returns: see :meth:`twisted.web.client.Agent.request`. Cancelling ends the connection.
        """
        try:
            url = self._url.at(self._authority())
        except ValueError:
            # The instance has a wrong address, or no port.
            self.new, self._connected = True, False
            return fail()
        agent = Agent.usingEndpointFactory(self._reactor, self, self.pool.http)
        sent: Deferred[IResponse] = agent.request(method, url, headers, body)
        return sent

    def is_unsent(self, error: Exception) -> bool:
        """Return whether nothing was sent, because of an error of :meth:`send`."""
        return not self._connected or isinstance(error, RequestNotSent)

    def is_lost(self, error: Exception) -> bool:
        """Return whether an error means that the connection was lost, or unusable, before there was a response."""
        return isinstance(error, (RequestTransmissionFailed, ResponseFailed))

    def endpointForURI(self, uri: URI) -> IStreamClientEndpoint:
        """Return this object as the endpoint, which remembers the host of a URL for TLS."""
        self._uri = uri
        return self

    def connect(self, protocolFactory: IProtocolFactory) -> Deferred[IProtocol]:
        endpoint = self._endpoint()
        self.new, self._connected = True, False
        if self._tls:
            # No byte of the request is sent before the end of the handshake.
            waiting = InstanceConnectionFactory(protocolFactory, Unreported(), tls=True)
            connecting = endpoint.connect(waiting).addCallback(_until_ready)
        else:
            connecting = endpoint.connect(protocolFactory)
        connecting.addTimeout(self._settings.connect_timeout, self._reactor, _timed_out)
        return connecting.addCallback(self._note_connection)

    def _note_connection(self, connection: Any) -> Any:
        self._connected = True
        self.pool.connections[connection] = None
        return connection

    def _endpoint(self) -> IStreamClientEndpoint:
        endpoint = make_endpoint(self._reactor, self.host, self.port)
        if self._tls and self._uri is not None:
            policy = self._settings.tls_policy or BrowserLikePolicyForHTTPS()
            # This takes time: it may read the certificates of the system's authorities.
            endpoint = wrapClientTLS(policy.creatorForNetloc(self._uri.host, self._uri.port), endpoint)
        return endpoint

    def _authority(self) -> bytes:
        if not self.port:
            raise ValueError(f"{self.instance.name!r} has no port without TLS")
        if self._settings.authority == "service":
            return self._url.service
        host = self.host.partition("%")[0]
        if isIPv6Address(host):
            return f"[{host}]:{self.port}".encode()
        name = host.encode("idna")
        if not _HOST.fullmatch(name):
            raise UnicodeError(f"{host!r:.100} is no host")
        return b"%b:%d" % (name, self.port)


def _timed_out(_: object, seconds: float) -> IProtocol:
    # Some endpoints fail with errors of their own when they are cancelled, as if the program had cancelled the request.
    raise ConnectionTimeoutError(f"no connection within {seconds:.3g} s")


def _until_ready(connection: Any) -> Deferred[IProtocol]:
    ready: Deferred[IProtocol] = connection.ready
    return ready
