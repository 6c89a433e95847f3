"""Bring the desired state of a registry into effect: register and withdraw nodes, over any number of connections."""

from __future__ import annotations

from collections.abc import Sequence

from twisted.internet.defer import CancelledError, Deferred, succeed
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure

from txmirror.errors import ClosingException, NodeExistsException, ZooKeeperException
from txmirror.interfaces import IPayloadCodec
from txmirror.mirror import Mirror
from txmirror.registry.codecs import own_copy
from txmirror.registry.connection import NodeOptions, RegistryConnection
from txmirror.registry.connections import Connections, shield
from txmirror.registry.credentials import Credentials
from txmirror.registry.desired import Call, Data, Desired, DesiredState
from txmirror.registry.finding import Finder
from txmirror.registry.outcomes import RegistrationState
from txmirror.registry.persistent_nodes import PersistentNodes
from txmirror.registry.rates import TokenBucket
from txmirror.registry.registration import Registration


class Registrar:
    """Registers and withdraws the nodes of a registry, and resumes all work of the registry on a new connection.

    :param connections: the connections of the registry.
    :param finder: follows paths.
    :param credentials: the user.
    :param codec: encodes the data of nodes.
    :param adopt_persistent: as for :class:`Registration`.
    :param rate: the number of writes in a number of seconds; None sets no limit.
    :ivar persistent: writes persistent nodes.
    """

    _log = Logger()

    def __init__(
        self,
        connections: Connections,
        finder: Finder,
        credentials: Credentials,
        codec: IPayloadCodec,
        *,
        adopt_persistent: bool,
        rate: tuple[int, float] | None,
    ) -> None:
        self._connections = connections
        self._finder = finder
        self._credentials = credentials
        self._codec = codec
        self._adopt_persistent = adopt_persistent
        self._rate = rate
        self.persistent: PersistentNodes = PersistentNodes(connections, finder, codec)
        self._desired = DesiredState()
        self._writes: TokenBucket | None = None
        self.change_reactor(connections.reactor)
        connections.user = self

    # The connections call these: see :class:`.ConnectionUser`.

    @property
    def busy(self) -> bool:
        """True if a connection is needed."""
        connection = self._connections.current
        locking = connection is not None and connection.locking
        return locking or self._desired.busy or self.persistent.busy or self._finder.busy

    def connect(self, mirror: Mirror, *, owned: bool) -> RegistryConnection:
        """Return a new connection."""
        options = NodeOptions(self._codec, self._credentials.acl, self._adopt_persistent, self._writes)
        return RegistryConnection(mirror, owned=owned, timeout=self._connections.options.timeout, options=options)

    def opened(self, connection: RegistryConnection) -> None:
        """Authenticate, follow paths, register and write on a new connection as before."""
        self._finder.load_cache()
        if self._credentials.complete:
            self._credentials.authenticate(connection.mirror).addErrback(lambda _: None)
        self._finder.follow(connection.mirror)
        for path, desired in self._desired:
            if desired.kept and desired.call is None:
                self._restore(connection, path, desired)
        self.persistent.opened(connection)

    def state_changed(self, connected: bool) -> None:
        """Note that a session was established, or that there is none any more."""
        if connected:
            self._finder.connected()

    def leave(self) -> Sequence[Registration]:
        """Stop using the connection, and return the registrations on it."""
        self._finder.leave()
        return self._desired.leave()

    def closed(self) -> Deferred[None]:
        """Write the cache file."""
        return self._finder.closed()

    def abandon(self) -> object:
        """Forget the objects of the parent process, and what it is to keep, and return them."""
        former, self._desired = self._desired, DesiredState()
        self.persistent.abandon()
        return former, self._finder.abandon()

    def change_reactor(self, reactor: IReactorTime) -> None:
        """Run on another reactor."""
        self._writes = None if self._rate is None else TokenBucket(reactor, *self._rate)
        self._finder.change_reactor(reactor)

    def _restore(self, connection: RegistryConnection, path: str, desired: Desired) -> None:
        registration = connection.new_registration(path, desired.data, desired.codec)
        try:
            registration.start()
        except NodeExistsException as error:
            self._log.error("{path} is not registered again: {reason}.", path=path, reason=str(error))
        else:
            desired.registration = registration

    # Registering.

    def check(self, data: Data, codec: IPayloadCodec | None = None) -> None:
        """Check that data can be stored.

        :param codec: encodes it; the registry's if None.
        :raises TypeError: it cannot.
        :raises ValueError: likewise.
        """
        (self._codec if codec is None else codec).encode(data, pid=0, created=0.0)

    def registered(self, path: str) -> bool:
        """Return whether a node is to be registered, or is being withdrawn."""
        desired = self._desired.get(path)
        return desired is not None and desired.registered

    def register(self, path: str, data: Data, codec: IPayloadCodec | None = None) -> Deferred[bool]:
        """Register a node, or change its data. See :meth:`~txmirror.interfaces.IServiceRegistry.set_node`.

        :raises TypeError: data cannot be stored; then nothing has changed.
        :raises ValueError: likewise.
        """
        call = self._new_call(path, data, self._codec if codec is None else codec)
        self._desired.call(path, call)
        return self._connections.do(self._register(path, call))

    def _new_call(self, path: str, data: Data, codec: IPayloadCodec) -> Call:
        desired, connection = self._desired.get(path), self._connections.current
        if connection is not None and (desired is None or desired.registration is None):
            # It checks, encodes and copies the data.
            registration = connection.new_registration(path, data, codec)
            return Call(registration.data, codec, registration)
        self.check(data, codec)
        return Call(own_copy(data), codec, None)

    async def _register(self, path: str, call: Call) -> bool:
        try:
            connection = await self._connections.established()
            desired = self._desired.get(path)
            if desired is None or desired.call is not call:
                # A later call for this path has superseded this one.
                return False
            if desired.registration is None:
                desired.registration = call.registration or connection.new_registration(path, call.data, call.codec)
            outcome = await self._connections.while_reachable(
                connection, desired.registration.keep(call.data, codec=call.codec), "the registration of {!r}", path
            )
        except ClosingException:
            # A later call has withdrawn it.
            return False
        except ZooKeeperException:
            self._roll_back(path, call)
            raise
        except CancelledError:
            self._desired.accept(path, call)
            raise
        self._desired.accept(path, call)
        if outcome is not RegistrationState.REGISTERED:
            return False
        await self._finder.until_shown(path)
        return True

    def _roll_back(self, path: str, call: Call) -> None:
        """Restore the former state of the path, unless a later call has superseded this one."""
        desired = self._desired.get(path)
        if desired is None or desired.call is not call:
            return
        desired.call = None
        if desired.kept and desired.registration is not None:
            desired.registration.keep(desired.data, codec=desired.codec).addErrback(lambda _: None)
        elif not desired.kept:
            self._stop(path, desired).addErrback(lambda _: None)

    def withdraw(self, path: str) -> Deferred[bool]:
        """Withdraw a node. See :meth:`~txmirror.interfaces.IServiceRegistry.set_node`."""
        return self._connections.do(self._withdraw(path))

    async def _withdraw(self, path: str) -> bool:
        desired, connection = self._desired.get(path), self._connections.current
        if desired is not None:
            desired.call, desired.kept, desired.data = None, False, None
            stopped = self._stop(path, desired)
            if connection is not None:
                gone = await self._connections.while_reachable(connection, stopped, "the withdrawal of {!r}", path)
                if gone is False:
                    return False
        if connection is not None:
            await self._finder.until_shown(path)
        return True

    def _stop(self, path: str, desired: Desired) -> Deferred[None]:
        """Withdraw a registration.

        :returns: fires when its node is gone, or when it is registered again; fails as :meth:`Registration.withdraw`. Cancelling
            ends the wait.
        """
        registration = desired.registration
        if registration is None:
            self._desired.prune(path)
            return succeed(None)

        def forget(_: None) -> None:
            if not registration.wanted and desired.registration is registration:
                desired.registration = None
                self._desired.prune(path)

        # The registration is forgotten when its node is gone, even if the caller no longer waits. The caller has a timeout of
        # its own.
        registration.stop(timeout=None).addCallback(forget)
        return registration.withdraw()

    # Credentials.

    def send_credentials(self) -> Deferred[bool]:
        """Authenticate with changed credentials, if they are complete and there is a connection."""
        connection = self._connections.current
        if connection is None or not self._credentials.complete:
            # The next connection, or the other setter, sends them.
            return succeed(True)
        return self._connections.do(self._authenticate(connection))

    async def _authenticate(self, connection: RegistryConnection) -> bool:
        taken = shield(self._credentials.authenticate(connection.mirror), self._not_authenticated)
        return await self._connections.while_reachable(connection, taken, "the authentication") is not False

    def _not_authenticated(self, failure: Failure) -> None:
        if not isinstance(failure.value, CancelledError):
            self._log.warn("The credentials could not be sent: {reason}.", reason=failure.getErrorMessage())
