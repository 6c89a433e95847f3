"""The HTTP connections of an agent: a pool for each instance."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable
from weakref import WeakKeyDictionary

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import deferLater
from twisted.web._newclient import HTTP11ClientProtocol
from twisted.web.client import HTTPConnectionPool

from txmirror.types import Instance

#: Servers end idle connections too, many after a minute: then a POST may fail that has just been sent.
_IDLE_CONNECTION = 30

#: Connections, the oldest first. (A set would have an order of its own in each run.)
Connections = WeakKeyDictionary[HTTP11ClientProtocol, None]
Key = tuple[str, str, "str | None", "int | None", "int | None"]


class InstancePool:
    """The connections to one instance.

    It keeps some idle ones. After :meth:`retire`, it keeps none: those in use end with their response.

    :param connections: the connections of all pools, to which it adds its own.
    :param idle: the most idle connections.
    """

    def __init__(self, reactor: IReactorTime, connections: Connections, idle: int) -> None:
        self.connections: Connections = connections
        self.http: HTTPConnectionPool = HTTPConnectionPool(reactor)
        self.http.maxPersistentPerHost = idle
        self.http.cachedConnectionTimeout = _IDLE_CONNECTION
        # The agent itself repeats requests, and counts the failures.
        self.http.retryAutomatically = False
        self._retired = False

    def close_idle(self) -> None:
        """Close the idle connections."""
        self.http.closeCachedConnections()

    def retire(self) -> None:
        """Close the idle connections, and keep none from now on."""
        self._retired = True
        self.close_idle()

    def released(self) -> None:
        """Note the end of a response, whose connection may be idle now."""
        if self._retired:
            self.close_idle()


class InstancePools:
    """The pools of the instances that an agent has used lately.

    :param most: the most pools. A further one takes the place of the one that was not used for the longest time.
    :param idle: the most idle connections of each.
    """

    def __init__(self, reactor: IReactorTime, most: int, idle: int) -> None:
        self._reactor = reactor
        self._most = most
        self._idle = idle
        self._pools: OrderedDict[Key, InstancePool] = OrderedDict()
        self._connections: Connections = WeakKeyDictionary()

    def __len__(self) -> int:
        return len(self._pools)

    def of(self, path: str, instance: Instance) -> InstancePool:
        """Return the pool of an instance of the service at a path."""
        key = _key(path, instance)
        pool = self._pools.get(key)
        if pool is None:
            pool = self._pools[key] = InstancePool(self._reactor, self._connections, self._idle)
            if len(self._pools) > self._most:
                self._pools.popitem(last=False)[1].retire()
        else:
            self._pools.move_to_end(key)
        return pool

    def retain(self, path: str, instances: Iterable[Instance]) -> None:
        """Retire the pools of all other instances of the service at a path."""
        kept = {_key(path, each) for each in instances}
        for key in [each for each in self._pools if each[0] == path and each not in kept]:
            self._pools.pop(key).retire()

    def close(self) -> Deferred[None]:
        """Retire all pools, and end all connections, also those in use.

        :returns: fires on a later turn of the reactor, when all have ended; it never fails.
        """
        while self._pools:
            self._pools.popitem()[1].retire()
        for connection in list(self._connections):
            if connection.state != "CONNECTION_LOST":
                connection.transport.abortConnection()  # type: ignore[union-attr]
        return deferLater(self._reactor, 0.0)


def _key(path: str, instance: Instance) -> Key:
    return path, instance.name, instance.address, instance.port, instance.tls_port
