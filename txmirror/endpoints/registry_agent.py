"""An agent for treq and twisted.web whose URLs name services in place of hosts."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping
from functools import partial
from typing import Literal

from twisted.internet.defer import Deferred, fail, gatherResults
from twisted.internet.interfaces import IReactorTime
from twisted.web.error import SchemeNotSupported
from twisted.web.http_headers import Headers
from twisted.web.iweb import IAgent, IBodyProducer, IPolicyForHTTPS, IResponse
from zope.interface import implementer

from txmirror.discovery import ServiceProvider, check_pick
from txmirror.durations import check_count, check_seconds
from txmirror.endpoints.attempt import AttemptSettings
from txmirror.endpoints.exchange import Exchange, ExchangeSettings, Request
from txmirror.endpoints.instance_pools import InstancePools
from txmirror.endpoints.provider_table import MakeProvider, ProviderTable
from txmirror.endpoints.service_urls import ServiceURLs
from txmirror.endpoints.sessions import SharedSession, lease_registry
from txmirror.errors import ClosingException
from txmirror.interfaces import IStrategy
from txmirror.registry import ServiceRegistry
from txmirror.types import Instance


@implementer(IAgent)
class RegistryAgent:
    """Sends HTTP requests to instances of services: ``http+mirror://web/path`` is ``/path`` at an instance of ``web``.

    Use it as any agent, as with ``treq.client.HTTPClient(RegistryAgent(registry))``.

    The host of a URL is the name of a service below ``root``, in lower case, as host names have no case. It has no port: the
    registry has the ports. ``https+mirror`` uses TLS, at the instance's port for TLS if it has one.

    *Retries.* A request to which there was no response is sent to the next instance, within ``timeout`` seconds:

    - if certainly nothing was sent, because the connection was refused, could not be made in time, or was lost in the handshake of
      TLS: with any method;
    - if the connection was lost before the response, and the method is idempotent (GET, HEAD, OPTIONS, TRACE, PUT, DELETE): if it
      has no body, or one of a known length up to 1 MiB, which is then read into memory before the first attempt.

    A response is never a reason to retry, with any status. A program that wants to repeat a request after a 503 can do so.

    *Feedback.* A lost or refused connection counts as a failure of the instance, but for an idle one, which the server may have
    closed. A response counts as a success. Those with status 502, 503 or 504 count as neither.

    *Connections.* It keeps idle connections to each instance, for at most 30 seconds. When an instance leaves, or is down,
    its idle connections are closed at once, and those in use after the response.

    :param registry: the registry, which the program stops; or a shared session, which is opened for the first request. After
        :func:`~txmirror.endpoints.close_sessions` each request fails with :exc:`~txmirror.errors.ClosingException`: use another agent.
    :param root: the path above the services.
    :param services: the paths of further services by their names in URLs: for those elsewhere, and for those whose names have
        capitals or signs that a host name cannot have.
    :param pick: the strategy, as for :class:`~txmirror.discovery.ServiceProvider`.
    :param where: the filter, likewise.
    :param provider: makes the provider from the registry and a path, in place of ``pick`` and ``where``.
    :param key: makes the key for the strategy from a request: from its path with the query, and its headers.
    :param authority: the host in the ``Host`` header, and with TLS the name that the certificate must have: ``service``, the name in
        the URL, or ``instance``, the instance's address (and in the header the port). A ``Host`` header of the program's stays.
    :param tls_policy: the TLS settings for that host; those of a browser if None.
    :param others: the agent for URLs with other schemes, as in a redirect. If None, they fail with ``SchemeNotSupported``.
    :param timeout: the time in which an attempt may begin, in seconds, including the wait for an instance. It does not limit the
        time for a response.
    :param connect_timeout: the longest time for a new connection, with TLS including the handshake, in seconds.
    :param idle: the time in seconds after which a service that is not used is followed no longer.
    :param idle_connections: the most idle connections to an instance, at least 1.
    :param most_pools: the most instances to which connections are kept.
    :param reactor: the reactor; the registry's if None.
    :raises ValueError, TypeError: an argument is invalid; the message quotes it.
    """

    # It has more than 7 parameters because programs make it: all but one are optional.

    def __init__(
        self,
        registry: ServiceRegistry[bool] | SharedSession,
        *,
        root: str = "/services",
        services: Mapping[str, str] | None = None,
        pick: str | IStrategy = "round-robin",
        where: Mapping[str, object] | Callable[[Instance], object] | None = None,
        provider: MakeProvider | None = None,
        key: Callable[[bytes, Headers], Hashable] | None = None,
        authority: Literal["service", "instance"] = "service",
        tls_policy: IPolicyForHTTPS | None = None,
        others: IAgent | None = None,
        timeout: float = 10.0,
        connect_timeout: float = 3.0,
        idle: float = 300.0,
        idle_connections: int = 2,
        most_pools: int = 100,
        reactor: IReactorTime | None = None,
    ) -> None:
        if authority not in ("service", "instance"):
            raise ValueError(f"authority is {authority!r}: not 'service' or 'instance'")
        check_count("idle_connections", idle_connections)
        check_count("most_pools", most_pools)
        for name, value in (("timeout", timeout), ("connect_timeout", connect_timeout), ("idle", idle)):
            check_seconds(name, value, positive=True)
        check_pick(pick)
        self._reactor = reactor = registry.reactor if reactor is None else reactor
        self._urls = ServiceURLs(root, services or {})
        self._others = others
        self._settings = ExchangeSettings(timeout, AttemptSettings(connect_timeout, authority, tls_policy), key)
        self._pools = InstancePools(reactor, most_pools, idle_connections)
        self._lease = lease_registry(registry)
        make = provider or partial(ServiceProvider, pick=pick, where=where, reactor=reactor)
        self._providers = ProviderTable(make, self._pools.retain, idle, reactor)
        self._exchanges: dict[Exchange, None] = {}
        self._closed = False

    def request(
        self,
        method: bytes,
        uri: bytes,
        headers: Headers | None = None,
        bodyProducer: IBodyProducer | None = None,
    ) -> Deferred[IResponse]:
        """Send a request to an instance of the service that a URL names.

        :returns: fires with the first response. Fails with :exc:`~txmirror.errors.NoInstanceException` if there is no instance
            in time; with the error of the last attempt, as of :class:`twisted.web.client.Agent`; with
            :exc:`~txmirror.errors.ClosingException` if the agent is closed, or the reactor stops with a shared session; with
            ``ValueError`` if the file with that session's credentials cannot be used; with ``SchemeNotSupported`` if the URL has another
            scheme. If the request may have reached an instance, it fails with that loss rather than with a later refusal.
            Cancelling ends the attempt and its connection, and fails it with ``CancelledError``.
        :raises ValueError: the URL names no service; the message quotes it.
        """
        url = self._urls.read(uri)
        if self._closed:
            return fail(_closed())
        if url is None:
            if self._others is None:
                return fail(SchemeNotSupported(f"Unsupported scheme: {uri.partition(b':')[0]!r}"))
            return self._others.request(method, uri, headers, bodyProducer)
        exchange = Exchange(
            Request(method, url, headers, bodyProducer),
            lambda: self._lease.registry().addCallback(self._providers.use, url.path),
            self._pools,
            self._settings,
            lambda ended: self._exchanges.pop(ended, None),
            self._reactor,
        )
        self._exchanges[exchange] = None
        return exchange.start()

    def close(self) -> Deferred[None]:
        """End all requests and connections, and follow the services no longer. It may be called again.

        Requests without a response fail with :exc:`~txmirror.errors.ClosingException`, and bodies that are still being received
        are cut off. A registry of the program's own stays as it is.

        :returns: fires in a bounded time, when all has ended, with a shared session that nothing else uses; it never fails.
        """
        self._closed = True
        for exchange in list(self._exchanges):
            exchange.end(_closed())
        self._providers.close()
        return gatherResults([self._pools.close(), self._lease.release()]).addCallback(lambda _: None)


def _closed() -> ClosingException:
    return ClosingException("the agent is closed")
