"""The service registry for applications: its public methods. ``registering.py`` and ``finding.py`` do the work, on the connections of ``connections.py``."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from random import Random
from typing import TYPE_CHECKING, Any, Generic, Literal, overload

from twisted.application.service import Service
from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger
from zope.interface import implementer

from txmirror import paths
from txmirror.client import Limits
from txmirror.durations import check_count, check_seconds
from txmirror.errors import PathError, ReadOnly, ZooKeeperException
from txmirror.interfaces import IPayloadCodec, IRegistryLock, IServiceRegistry
from txmirror.mirror import Mirror
from txmirror.printable import process_name
from txmirror.registry.codecs import CODECS
from txmirror.registry.connections import ConnectionOptions, Connections
from txmirror.registry.credentials import Credentials
from txmirror.registry.discovery import Follower
from txmirror.registry.finding import Finder
from txmirror.registry.following import FollowingOptions
from txmirror.registry.registering import Registrar
from txmirror.types import ACL, Answer, NodeType

_Data = Mapping[str, object] | str | None

if TYPE_CHECKING:
    from typing_extensions import TypeVar

    _LazyT_co = TypeVar("_LazyT_co", bound=bool, covariant=True, default=Literal[False])
else:
    # Type variables have defaults since Python 3.13, and only type checkers ask for them.
    from typing import TypeVar

    _LazyT_co = TypeVar("_LazyT_co", bound=bool, covariant=True)

_T = TypeVar("_T")


@implementer(IServiceRegistry)
class ServiceRegistry(Service, Generic[_LazyT_co]):
    """Registers and finds services in ZooKeeper, and answers from its cache while ZooKeeper is out of reach.

    It provides :class:`~txmirror.interfaces.IServiceRegistry`, which documents its methods, and is a Twisted service.

    Type checkers derive the result of :meth:`get` from ``lazy``: an answer, or, in a registry that is lazy or may be,
    an answer or False. In annotations ``ServiceRegistry`` is a registry that is not lazy, and ``ServiceRegistry[bool]`` one
    that may be.

    :param servers: as for :class:`txmirror.client.ZooKeeperClient`; ``localhost:2181`` if None.
    :param session_timeout: the requested session timeout, and the time without a session after which ZooKeeper is out of reach,
        in seconds; 5 if None.
    :param server: nd_service_registry's name of ``servers``.
    :param timeout: nd_service_registry's name of ``session_timeout``.
    :param readonly: whether to refuse all writes.
    :param lazy: whether calls succeed while ZooKeeper is out of reach, and are done later.
    :param cachefile: the file with the latest answers, for a start without ZooKeeper, for lazy registries; None keeps none. It is
        read when the registry starts to connect. A regular file of at most 64 MiB is used, or one that a symbolic link leads
        to, if it belongs to this user or to root and nobody else may write to it. Another file, and a damaged one, is renamed
        to ``NAME.damaged``, with a warning. Several processes of one user may share it.
    :param username: the user to authenticate as, with the scheme ``digest``; together with ``password``.
    :param acl: the access control list of new nodes, also those of locks, and of their parents. None: with a
        ``username``, that user may do everything and everybody may read; without, everybody may do everything.
    :param rate_limit_calls: the number of writes in ``rate_limit_time`` seconds; further ones wait. None sets no limit.
    :param mirror: a mirror to use, in place of one of its own at ``servers``; then its session timeout counts, and it is not
        closed. One with other :class:`~txmirror.client.Limits` accepts longer replies, as for nodes of more than about 100,000
        children.
    :param hold_for: the number of seconds after a reconnection during which a list of children that has shrunk to less than
        half is held back: other services may not have registered again yet.
    :param codec: encodes and decodes the data of nodes; that of nd_service_registry if None.
    :param adopt_persistent: whether :meth:`set_node` uses an existing persistent node.
    :param audit: the interval, in seconds and varied by a quarter, at which each followed path is audited for changes without
        events: a changed ACL, and changes that it hides. An audit reads the path's node, the list of its children if that may
        have changed, and a fifth of the children, at most 1,000. None for no audits.
    :param random: as for :class:`txmirror.client.ZooKeeperClient`; it varies ``audit`` too.
    :param limits: as for :class:`txmirror.client.ZooKeeperClient`, except that pauses between attempts take at most 1.5
        seconds if None. Not used with ``mirror``.
    :param reactor: the reactor; the mirror's, or the global one, if None.
    :raises ValueError: an argument is invalid; the message quotes it.
    :raises TypeError: an argument is passed by both of its names.
    """

    # It has more than 25 methods, more than 7 parameters, and the module more than 350 lines: they are those of the ancestor, which
    # its users know, and optional.

    _log = Logger()

    def __init__(
        self,
        servers: str | Sequence[str | tuple[str, int]] | None = None,
        *,
        session_timeout: float | None = None,
        server: str | Sequence[str | tuple[str, int]] | None = None,
        timeout: float | None = None,
        readonly: bool = False,
        lazy: _LazyT_co = False,  # type: ignore[assignment]  # it is the type's default too
        cachefile: str | None = None,
        username: str | None = None,
        password: str | None = None,
        acl: Sequence[ACL] | None = None,
        rate_limit_calls: int | None = None,
        rate_limit_time: float | None = None,
        mirror: Mirror | None = None,
        hold_for: float = 0.0,
        codec: IPayloadCodec | None = None,
        adopt_persistent: bool = False,
        audit: float | None = 120.0,
        random: Random | None = None,
        limits: Limits | None = None,
        reactor: IReactorTime | None = None,
    ) -> None:
        if (rate_limit_calls is None) != (rate_limit_time is None):
            raise ValueError(
                f"rate_limit_calls={rate_limit_calls!r} and rate_limit_time={rate_limit_time!r} go together"
            )
        rate = None if rate_limit_calls is None or rate_limit_time is None else (rate_limit_calls, rate_limit_time)
        options = ConnectionOptions(
            _either("servers", servers, "server", server, "localhost:2181"),
            _either("session_timeout", session_timeout, "timeout", timeout, 5.0),
            lazy,
            mirror,
            limits,
            random or Random(),
        )
        reactor = options.check(reactor)
        codec = CODECS["ndsr"] if codec is None else codec
        following = FollowingOptions(codec, hold_for, audit, options.random)
        self.readonly = readonly
        self._credentials = Credentials(username, password, acl)
        self._connections = Connections(options, reactor)
        self._finder = Finder(self._connections, following, cachefile)
        self._registrar = Registrar(
            self._connections, self._finder, self._credentials, codec, adopt_persistent=adopt_persistent, rate=rate
        )

    @property
    def reactor(self) -> IReactorTime:
        """The reactor."""
        return self._connections.reactor

    @property
    def servers(self) -> str:
        """The servers and the chroot, as in ``host:port,host:port/chroot``."""
        return self._connections.options.connect_string

    @property
    def lazy(self) -> bool:
        """True if calls succeed while ZooKeeper is out of reach, and are done later."""
        return self._connections.options.lazy

    @property
    def hold_for(self) -> float:
        """The number of seconds after a reconnection during which a list that has collapsed is held back."""
        return self._finder.options.hold_for

    @property
    def timeout(self) -> float:
        """The number of seconds without a session after which ZooKeeper is out of reach."""
        return self._connections.options.timeout

    # Connections.

    def start(self) -> Deferred[bool]:
        """Connect to ZooKeeper. See :meth:`~txmirror.interfaces.IServiceRegistry.start`."""
        return self._connections.start()

    def stop(self) -> Deferred[None]:
        """Withdraw registrations and disconnect. See :meth:`~txmirror.interfaces.IServiceRegistry.stop`."""
        return self._connections.stop()

    def rebuild(self, reactor: IReactorTime | None = None) -> Deferred[bool]:
        """Reconnect with a new session, also after a fork. See :meth:`~txmirror.interfaces.IServiceRegistry.rebuild`.

        :raises ValueError: another reactor is named, and the mirror was passed by the application.
        """
        return self._connections.rebuild(reactor)

    def startService(self) -> None:
        """Start. If ZooKeeper is out of reach, log a warning."""
        super().startService()
        self.start().addErrback(
            lambda failure: self._log.warn(
                "The service registry could not be started: {reason}.", reason=failure.getErrorMessage()
            )
        )

    def stopService(self) -> Deferred[None]:
        """Stop."""
        super().stopService()
        return self.stop()

    def get_state(self, callback: Callable[[bool], object] | None = None) -> Deferred[bool]:
        """Return whether there is a session. See :meth:`~txmirror.interfaces.IServiceRegistry.get_state`."""
        return self._connections.get_state(callback)

    # Registering.

    def set_node(
        self, node: str, data: _Data = None, state: bool = True, *, codec: IPayloadCodec | None = None
    ) -> Deferred[bool]:
        """Register a service, or withdraw it. See :meth:`~txmirror.interfaces.IServiceRegistry.set_node`."""
        path = self._to_write(node)
        if self.readonly:
            return self._refuse(path, data if state else None, codec)
        return self._registrar.register(path, data, codec) if state else self._registrar.withdraw(path)

    def set_data(self, node: str, data: _Data = None, state: bool = True) -> Deferred[bool]:
        """Write a persistent node, or delete it. See :meth:`~txmirror.interfaces.IServiceRegistry.set_data`."""
        path = self._to_write(node)
        if self.readonly:
            return self._refuse(path, data if state else None)
        persistent = self._registrar.persistent
        return persistent.put(path, data) if state else persistent.remove(path)

    def set(self, node: str, data: _Data, state: bool, type: NodeType) -> Deferred[bool]:
        """Write an ephemeral or a persistent node. See :meth:`~txmirror.interfaces.IServiceRegistry.set`.

        :raises ValueError: ``type`` is no :class:`~txmirror.types.NodeType`.
        """
        return (
            self.set_node(node, data, state)
            if NodeType(type) is NodeType.EPHEMERAL
            else self.set_data(node, data, state)
        )

    def unset(self, node: str) -> Deferred[bool]:
        """Withdraw a service, or delete a persistent node. See :meth:`~txmirror.interfaces.IServiceRegistry.unset`."""
        path = self._to_write(node)
        if self.readonly:
            return self._refuse(path, None)
        registrar = self._registrar
        return registrar.withdraw(path) if registrar.registered(path) else registrar.persistent.remove(path)

    def _to_write(self, node: str) -> str:
        """Return the normalised path of a node to write."""
        self._connections.check_process()
        path = paths.normalise(node)
        if path == "/":
            raise PathError(f"{node!r} is the root, which always exists, and cannot be written")
        return path

    def _refuse(self, path: str, data: _Data, codec: IPayloadCodec | None = None) -> Deferred[bool]:
        """Refuse a write in read-only mode, after the same checks as in others."""
        self._registrar.check(data, codec)
        return fail(ReadOnly(path=path))

    # Finding.

    @overload
    def get(
        self: ServiceRegistry[Literal[False]], path: str, callback: Callable[[Answer], object] | None = None
    ) -> Deferred[Answer]: ...

    @overload
    def get(
        self, path: str, callback: Callable[[Answer], object] | None = None
    ) -> Deferred[Answer | Literal[False]]: ...

    def get(self, path: str, callback: Callable[[Answer], object] | None = None) -> Deferred[Any]:
        """Return the children of a path, and their data. See :meth:`~txmirror.interfaces.IServiceRegistry.get`."""
        return self._finder.find(self._to_read(path), callback)

    def add_callback(self, path: str, callback: Callable[[Answer], object]) -> Deferred[bool]:
        """Call a function at each change of a path. See :meth:`~txmirror.interfaces.IServiceRegistry.add_callback`."""
        return self.get(path, callback).addCallback(lambda answer: answer is not False)

    def remove_callback(self, path: str, callback: Callable[[Answer], object]) -> None:
        """Remove a callback. See :meth:`~txmirror.interfaces.IServiceRegistry.remove_callback`."""
        discovery = self._finder.get(self._to_read(path))
        if discovery is not None:
            discovery.remove_callback(callback)

    def stale(self, path: str) -> bool:
        """Return whether an answer may be old. See :meth:`~txmirror.interfaces.IServiceRegistry.stale`."""
        discovery = self._finder.get(self._to_read(path))
        return discovery is None or discovery.stale

    def unreadable(self, path: str) -> dict[str, ZooKeeperException]:
        """Return the nodes that cannot be read. See :meth:`~txmirror.interfaces.IServiceRegistry.unreadable`."""
        discovery = self._finder.get(self._to_read(path))
        return {} if discovery is None else discovery.unreadable

    def follow_nodes(self, path: str, follower: Follower) -> Callable[[], None]:
        """Let a follower read the nodes of a path, until the returned function is called. See :meth:`.Finder.follow_nodes`.

        :meta private:
        """
        return self._finder.follow_nodes(self._to_read(path), follower)

    def _to_read(self, path: str) -> str:
        self._connections.check_process()
        return paths.normalise(path)

    # Locking.

    def get_lock(
        self, path: str, name: str | None = None, simultaneous: int = 1, wait: float = 300
    ) -> Deferred[IRegistryLock]:
        """Return a lock. See :meth:`~txmirror.interfaces.IServiceRegistry.get_lock`."""
        path = self._to_lock(path, simultaneous, wait)
        if self._connections.current is not None:
            self._connections.current.check_lock(path, simultaneous)
        if self.readonly:
            return fail(ReadOnly(path=path))
        return self._connections.do(self._lock(path, name, simultaneous, wait))

    def acquire_lock(
        self, path: str, name: str | None = None, simultaneous: int = 1, wait: float = 300
    ) -> Deferred[bool]:
        """Acquire a lock. See :meth:`~txmirror.interfaces.IServiceRegistry.acquire_lock`."""
        return self.get_lock(path, name, simultaneous, wait).addCallback(lambda lock: lock.acquire())

    def release_lock(self, path: str) -> Deferred[bool]:
        """Release a lock. See :meth:`~txmirror.interfaces.IServiceRegistry.release_lock`."""
        path = self._to_write(path)
        return succeed(True) if self._connections.current is None else self._connections.current.release(path)

    def _to_lock(self, path: str, simultaneous: int, wait: float) -> str:
        check_count("simultaneous", simultaneous)
        check_seconds("wait", wait)
        return self._to_write(path)

    async def _lock(self, path: str, name: str | None, simultaneous: int, wait: float) -> IRegistryLock:
        connection = await self._connections.established()
        lock: IRegistryLock = connection.lock(path, process_name() if name is None else name, simultaneous, wait)
        return lock

    # Credentials.

    def username(self) -> Deferred[str | None]:
        """Return the user's name. See :meth:`~txmirror.interfaces.IServiceRegistry.username`."""
        self._connections.check_process()
        return succeed(self._credentials.username)

    def set_username(self, username: str | None) -> Deferred[bool]:
        """Change the user's name. See :meth:`~txmirror.interfaces.IServiceRegistry.set_username`."""
        self._connections.check_process()
        return self._registrar.send_credentials() if self._credentials.set_username(username) else succeed(True)

    def password(self) -> Deferred[str | None]:
        """Return the password. See :meth:`~txmirror.interfaces.IServiceRegistry.password`."""
        self._connections.check_process()
        return succeed(self._credentials.password)

    def set_password(self, password: str | None) -> Deferred[bool]:
        """Change the password. See :meth:`~txmirror.interfaces.IServiceRegistry.set_password`."""
        self._connections.check_process()
        return self._registrar.send_credentials() if self._credentials.set_password(password) else succeed(True)


def _either(name: str, value: _T | None, other_name: str, other: _T | None, default: _T) -> _T:
    """Return the argument that was passed by one of two names, or the default."""
    if value is not None and other is not None:
        raise TypeError(f"{name}={value!r} and {other_name}={other!r} are the same argument: give one of them")
    if value is None:
        value = other
    return default if value is None else value
