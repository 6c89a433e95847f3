"""The work that a registry does on its connections: it registers and finds services."""

from __future__ import annotations

from collections.abc import Sequence

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime

from txmirror.mirror import Mirror
from txmirror.registry.connection import NodeOptions, RegistryConnection
from txmirror.registry.connections import Connections
from txmirror.registry.credentials import Credentials
from txmirror.registry.finding import Finder
from txmirror.registry.following import FollowingOptions
from txmirror.registry.rates import TokenBucket
from txmirror.registry.registering import Registrar
from txmirror.registry.registration import Registration


class Work:
    """Registers and finds services on the connections of a registry.

    :param connections: the connections.
    :param credentials: the user.
    :param following: how paths are followed; its codec encodes the data of nodes too.
    :param cachefile: as for :class:`Finder`.
    :param adopt_persistent: as for :class:`Registration`.
    :param rate: the number of writes in a number of seconds; None sets no limit.
    :ivar finder: finds services.
    :ivar registrar: registers them.
    """

    def __init__(
        self,
        connections: Connections[Work],
        credentials: Credentials,
        following: FollowingOptions,
        *,
        cachefile: str | None,
        adopt_persistent: bool,
        rate: tuple[int, float] | None,
    ) -> None:
        self.finder = Finder(connections, following, cachefile)
        self.registrar = Registrar(connections, self.finder, following.codec)
        self._connections = connections
        self._codec = following.codec
        self._credentials = credentials
        self._adopt_persistent = adopt_persistent
        self._rate = rate
        self._writes = self._new_bucket(connections.reactor)

    @property
    def busy(self) -> bool:
        """True if a connection is needed."""
        connection = self._connections.current
        return self.registrar.busy or self.finder.busy or (connection is not None and connection.locking)

    def connect(self, mirror: Mirror, *, owned: bool) -> RegistryConnection:
        """Return a new connection."""
        options = NodeOptions(self._codec, self._credentials.acl, self._adopt_persistent, self._writes)
        return RegistryConnection(mirror, owned=owned, timeout=self._connections.options.timeout, options=options)

    def opened(self, connection: RegistryConnection) -> None:
        """Register, write and follow paths on a new connection as before."""
        self.finder.load_cache()
        if self._credentials.complete:
            self._credentials.authenticate(connection.mirror).addErrback(lambda _: None)
        self.finder.follow(connection.mirror)
        self.registrar.opened(connection)

    def state_changed(self, connected: bool) -> None:
        """Note that a session was established, or that there is none any more."""
        if connected:
            self.finder.connected()

    def leave(self) -> Sequence[Registration]:
        """Stop using the connection, and return the registrations on it."""
        self.finder.leave()
        return self.registrar.leave()

    def closed(self) -> Deferred[None]:
        """Write the cache file."""
        return self.finder.closed()

    def abandon(self) -> object:
        """Forget the objects of the parent process, and return them."""
        return [self.registrar.abandon(), self.finder.abandon()]

    def change_reactor(self, reactor: IReactorTime) -> None:
        """Run on another reactor."""
        self._writes = self._new_bucket(reactor)
        self.finder.change_reactor(reactor)

    def _new_bucket(self, reactor: IReactorTime) -> TokenBucket | None:
        return None if self._rate is None else TokenBucket(reactor, *self._rate)
