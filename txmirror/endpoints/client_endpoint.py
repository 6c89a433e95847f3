"""The client endpoints: they connect to an instance of a service, which a provider picks."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Hashable, Mapping
from functools import partial
from itertools import chain
from weakref import WeakKeyDictionary, WeakValueDictionary, finalize

from twisted.internet.defer import Deferred, succeed
from twisted.internet.interfaces import IProtocol, IProtocolFactory, IReactorTime, IStreamClientEndpoint
from zope.interface import implementer

from txmirror import paths
from txmirror.client import TLS
from txmirror.discovery import ServiceProvider, check_limits, check_pick
from txmirror.endpoints.connecting import Connector
from txmirror.endpoints.sessions import SharedSession, keep_registry
from txmirror.interfaces import IPayloadCodec, IServiceProvider, IStrategy
from txmirror.registry import ServiceRegistry, find_codec
from txmirror.timers import reactor_or_global
from txmirror.types import Instance

#: The providers of endpoints by their arguments, so that endpoints with equal arguments share what they learn. The registry has the
#: references that keep them.
_providers: WeakKeyDictionary[ServiceRegistry[bool], WeakValueDictionary[object, ServiceProvider]] = WeakKeyDictionary()

#: The providers of endpoints that are gone, to be closed by the next endpoint. A finalizer runs in any thread, and in the middle of
#: anything, so it only notes them.
_abandoned: deque[ServiceProvider] = deque()


@implementer(IStreamClientEndpoint)
class RegistryClientEndpoint:
    """A client endpoint that connects to an instance of a service.

    It waits for the list of the instances, picks one, and connects to it; if that fails, to another one, and so on. Instances that
    fail ``down_after`` times in a row are left alone for ``down_for`` seconds. An attempt that fails is a failure of the instance.
    So is a connection that the instance ends within two seconds and without having sent a byte. Therefore a ``ClientService`` with this
    endpoint moves to another instance when its own one is gone.

    The service is followed from the first :meth:`connect` until the registry stops. Endpoints with equal arguments share the list of
    instances, the strategy's state and the failures, so that a program may make a new one for each connection. But an endpoint with
    a function or another object among these arguments (``pick``, ``where``, ``codec``) shares nothing: keep it, because the next one
    knows nothing of its failures.

    :param registry: the registry, or a shared session.
    :param path: the path of the service; its children are the instances.
    :param pick: the strategy, or its name, as for :class:`~txmirror.discovery.ServiceProvider`; likewise ``where``, ``zone``,
        ``codec``, ``least_in_zone``, ``hold_for``, ``down_after`` and ``down_for``.
    :param key: the key for the strategy ``sticky``.
    :param wait: the longest wait for an instance, in seconds.
    :param timeout: the time for all attempts together, in seconds. An instance that does not answer takes at most 5 seconds, and
        at most a third of the remaining time; if there is no other one, it gets the rest too.
    :param tls: the settings for TLS; None connects without TLS. With TLS the port is the ``tls_port`` of an instance, if it
        has one, and the connection is established when its handshake is complete.
    :param hostname: the name that the certificate of each instance must have; its own address if None.
    :param reactor: makes the connections; the registry's if None.
    :raises ValueError: an argument is invalid; the message quotes it.
    :raises TypeError: likewise.
    :raises LookupError: there is no codec of this name.
    """

    # It has more than 7 parameters, all but two of which are optional.

    def __init__(
        self,
        registry: ServiceRegistry[bool] | SharedSession,
        path: str,
        *,
        pick: str | IStrategy = "round-robin",
        where: Mapping[str, object] | Callable[[Instance], object] | None = None,
        zone: str | None = None,
        codec: str | IPayloadCodec | None = None,
        least_in_zone: int = 1,
        hold_for: float | None = None,
        down_after: int = 2,
        down_for: float = 30.0,
        key: Hashable | None = None,
        wait: float = 5.0,
        timeout: float = 30.0,
        tls: TLS | None = None,
        hostname: str | None = None,
        reactor: IReactorTime | None = None,
    ) -> None:
        check_pick(pick)
        check_limits(least_in_zone, hold_for, down_after, down_for)
        if isinstance(codec, str):
            find_codec(codec)
        self._registry = registry
        self._path = paths.normalise(path)
        self._make_provider = partial(
            ServiceProvider,
            path=self._path,
            pick=pick,
            where=where,
            zone=zone,
            codec=codec,
            least_in_zone=least_in_zone,
            hold_for=hold_for,
            down_after=down_after,
            down_for=down_for,
        )
        limits = (least_in_zone, hold_for, down_after, down_for)
        key_of_provider = _make_key(where, self._path, pick, zone, codec, *limits)
        self._shares = key_of_provider is not None
        self._key_of_provider = object() if key_of_provider is None else key_of_provider
        reactor = registry.reactor if reactor is None else reactor
        self._connector = Connector(key=key, wait=wait, timeout=timeout, tls=tls, hostname=hostname, reactor=reactor)

    def __repr__(self) -> str:
        return f"<RegistryClientEndpoint {self._path!r}>"

    def connect(self, protocolFactory: IProtocolFactory) -> Deferred[IProtocol]:
        """Connect to an instance.

        :param protocolFactory: makes the protocol; several in turn, if instances end connections before they are established.
        :returns: fires with the protocol. Fails with :exc:`~txmirror.errors.NoInstanceException`, which says why, if there is no
            instance in time, or if no instance accepts a connection: then its cause (``__cause__``) is the last failure. Fails with the
            exception of the factory; with ``ValueError`` if a file with credentials or for TLS cannot be used; and with
            :exc:`~txmirror.errors.ClosingException` when the reactor stops. Cancelling ends the attempt.
        """
        return self._connector.connect(keep_registry(self._registry).addCallback(self._provider), protocolFactory)

    def _provider(self, registry: ServiceRegistry[bool]) -> IServiceProvider:
        while _abandoned:
            _abandoned.popleft().close()
        providers = _providers.setdefault(registry, WeakValueDictionary())
        provider = providers.get(self._key_of_provider)
        if provider is None:
            provider = providers[self._key_of_provider] = self._make_provider(registry)
            if not self._shares:
                # The connector lives as long as the endpoint, and each of its attempts.
                finalize(self._connector, _abandoned.append, provider).atexit = False
        return provider


def _make_key(where: object, *others: object) -> Hashable | None:
    """Return the key of a provider: equal for equal arguments. None if they cannot be compared by their contents."""
    wanted = tuple(sorted(where.items())) if isinstance(where, Mapping) else where
    values = (*others, *(chain.from_iterable(wanted) if isinstance(wanted, tuple) else (wanted,)))
    if all(each is None or isinstance(each, (str, int, float)) for each in values):
        return (wanted, *others)
    return None


@implementer(IStreamClientEndpoint)
class ProviderClientEndpoint:
    """A client endpoint that connects to the instances of a provider, which the program has made, and closes.

    For the other parameters see :class:`RegistryClientEndpoint`.

    :param provider: picks the instances, and learns which of them fail.
    :param reactor: makes the connections; the global one if None.
    """

    # It has more than 7 parameters, all but one of which are optional.

    def __init__(
        self,
        provider: IServiceProvider,
        *,
        key: Hashable | None = None,
        wait: float = 5.0,
        timeout: float = 30.0,
        tls: TLS | None = None,
        hostname: str | None = None,
        reactor: IReactorTime | None = None,
    ) -> None:
        self._provider = provider
        reactor = reactor_or_global(reactor)
        self._connector = Connector(key=key, wait=wait, timeout=timeout, tls=tls, hostname=hostname, reactor=reactor)

    def __repr__(self) -> str:
        return f"<ProviderClientEndpoint {self._provider.path!r}>"

    def connect(self, protocolFactory: IProtocolFactory) -> Deferred[IProtocol]:
        """Connect to an instance. See :meth:`RegistryClientEndpoint.connect`."""
        return self._connector.connect(succeed(self._provider), protocolFactory)
