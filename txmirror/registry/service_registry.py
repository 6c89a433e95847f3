"""The service registry for applications: the desired state, and discovery. Its connections are in ``life.py``."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from random import Random
from typing import TYPE_CHECKING, Any, Generic, Literal, overload

import attrs
from twisted.internet.defer import CancelledError, Deferred, fail, succeed
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

from txmirror import paths
from txmirror.client import Limits
from txmirror.durations import check_seconds
from txmirror.errors import (
    AuthFailedException,
    ClosingException,
    NoConnection,
    PathError,
    ReadOnly,
    ZooKeeperException,
)
from txmirror.interfaces import IPayloadCodec, IRegistryLock, IServiceRegistry
from txmirror.mirror import Mirror
from txmirror.printable import process_name
from txmirror.registry.cache_file import CacheFile
from txmirror.registry.codecs import NDCodec, own_copy
from txmirror.registry.connection import RegistryConnection
from txmirror.registry.discovery import Discovery
from txmirror.registry.life import Life, shield
from txmirror.registry.outcomes import RegistrationState
from txmirror.registry.rates import TokenBucket
from txmirror.types import ACL, READ_ACL, Answer, NodeType, digest_acl

_Data = Mapping[str, object] | str | None
_Write = Callable[[RegistryConnection], Deferred[None]]

if TYPE_CHECKING:
    from typing_extensions import TypeVar

    _LazyT_co = TypeVar("_LazyT_co", bound=bool, covariant=True, default=Literal[False])
else:
    # Type variables have defaults since Python 3.13, and only type checkers ask for them.
    from typing import TypeVar

    _LazyT_co = TypeVar("_LazyT_co", bound=bool, covariant=True)

_T = TypeVar("_T")


@implementer(IServiceRegistry)
class ServiceRegistry(Life, Generic[_LazyT_co]):
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
    :param codec: encodes and decodes the data of nodes; :class:`NDCodec` if None.
    :param adopt_persistent: whether :meth:`set_node` uses an existing persistent node.
    :param audit: the interval, in seconds and varied by a quarter, at which each followed path is audited for changes without
        events: a changed ACL, and changes that it hides. An audit reads the path's node, the list of its children if that may
        have changed, and a fifth of the children, at most 1,000. None for no audits.
    :param random: varies ``audit``; one of its own if None.
    :param limits: as for :class:`txmirror.client.ZooKeeperClient`, except that pauses between attempts take at most 1.5
        seconds if None. Not used with ``mirror``.
    :param reactor: the reactor; the mirror's, or the global one, if None.
    :ivar reactor: the reactor.
    :raises ValueError: an argument is invalid; the message quotes it.
    :raises TypeError: an argument is passed by both of its names.
    """

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
        super().__init__(
            _either("servers", servers, "server", server, "localhost:2181"),
            _either("session_timeout", session_timeout, "timeout", timeout, 5.0),
            lazy,
            mirror,
            limits,
            reactor,
        )
        check_seconds("hold_for", hold_for)
        check_seconds("audit", audit, positive=True, optional=True)
        if (rate_limit_calls is None) != (rate_limit_time is None):
            raise ValueError(
                f"rate_limit_calls={rate_limit_calls!r} and rate_limit_time={rate_limit_time!r} go together"
            )
        _check_user(username)
        _check_password(password)
        for each in acl or ():
            if not isinstance(each, ACL):
                raise TypeError(f"acl has {each!r:.60}: not an ACL")
        self.readonly = readonly
        self._cachefile = cachefile
        self._username = username
        self._password = password
        self._given_acl = None if acl is None else tuple(acl)
        self._rate = (
            None if rate_limit_calls is None or rate_limit_time is None else (rate_limit_calls, rate_limit_time)
        )
        self._hold_for = hold_for
        self._audit = audit
        self._random = Random() if random is None else random
        self._codec: IPayloadCodec = NDCodec() if codec is None else codec
        self._adopt_persistent = adopt_persistent
        #: The data of the paths to keep registered.
        self._wanted: dict[str, _Data] = {}
        #: The calls of set_node without a result yet, which are rolled back if they fail.
        self._pending_registrations: dict[str, _PendingRegistration] = {}
        #: The writes to persistent nodes that are still to be done, without a caller that waits.
        self._pending_writes: dict[str, _Write] = {}
        self._discoveries: dict[str, Discovery] = {}
        self._make_helpers()

    # The connection.

    def _make_helpers(self) -> None:
        self._writes = None if self._rate is None else TokenBucket(self.reactor, *self._rate)
        self._cache = None if self._cachefile is None else CacheFile(self._cachefile, self.reactor)

    def _make_connection(self, mirror: Mirror, *, owned: bool) -> RegistryConnection:
        return RegistryConnection(
            mirror,
            owned=owned,
            timeout=self.timeout,
            codec=self._codec,
            acl=self._acl,
            adopt_persistent=self._adopt_persistent,
            writes=self._writes,
        )

    def _restore(self, connection: RegistryConnection) -> None:
        if self._cache is not None:
            self._cache.load()
        if self._has_credentials:
            self._authenticate(connection.mirror).addErrback(lambda _: None)
        for discovery in self._discoveries.values():
            discovery.follow(connection.mirror)
        for path, data in self._wanted.items():
            if path not in self._pending_registrations:
                connection.restore(path, data)
        for path, begin in list(self._pending_writes.items()):
            self._begin(connection, path, begin).addErrback(self._not_written, path)

    def _leave(self) -> None:
        for discovery in self._discoveries.values():
            discovery.leave()

    def _closed(self) -> Deferred[None]:
        return succeed(None) if self._cache is None else self._cache.stop()

    def _abandon(self) -> object:
        self._wanted, self._pending_registrations, self._pending_writes = {}, {}, {}
        return [discovery.abandon() for discovery in self._discoveries.values()]

    @property
    def _busy(self) -> bool:
        kept = self._wanted or self._pending_registrations or self._pending_writes or self._discoveries
        return bool(kept) or (self._connection is not None and self._connection.locking)

    def _state_changed(self, connected: bool) -> None:
        if connected and not self._connected and self._cache is not None:
            self._cache.connected()
        super()._state_changed(connected)

    # Registering.

    def set_node(self, node: str, data: _Data = None, state: bool = True) -> Deferred[bool]:
        """Register a service, or withdraw it. See :meth:`~txmirror.interfaces.IServiceRegistry.set_node`."""
        path = self._to_write(node, data if state else None)
        if self.readonly:
            return fail(ReadOnly(path=path))
        return self._do(self._register(path, own_copy(data)) if state else self._withdraw(path))

    def set_data(self, node: str, data: _Data = None, state: bool = True) -> Deferred[bool]:
        """Write a persistent node, or delete it. See :meth:`~txmirror.interfaces.IServiceRegistry.set_data`."""
        path = self._to_write(node, data if state else None)
        if self.readonly:
            return fail(ReadOnly(path=path))
        if not state:
            return self._do(self._write(path, lambda connection: connection.remove(path)))
        payload = self._codec.encode(data, pid=os.getpid(), created=self.reactor.seconds())
        data = own_copy(data)
        return self._do(self._write(path, lambda connection: connection.put(path, data, payload)))

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
        path = self._to_write(node, None)
        if self.readonly:
            return fail(ReadOnly(path=path))
        ours = (
            path in self._pending_registrations
            or path in self._wanted
            or (self._connection is not None and self._connection.registration(path) is not None)
        )
        return self._do(self._withdraw(path) if ours else self._write(path, lambda connection: connection.remove(path)))

    def _to_write(self, node: str, data: _Data) -> str:
        """Return the normalised path of a node to write, and check that data can be stored."""
        self._check_process()
        path = paths.normalise(node)
        if path == "/":
            raise PathError(f"{node!r} is the root, which always exists, and cannot be written")
        self._codec.encode(data, pid=0, created=0.0)
        return path

    async def _register(self, path: str, data: _Data) -> bool:
        pending = self._pending_registrations[path] = _PendingRegistration(data)
        try:
            connection = await self._established()
            if self._pending_registrations.get(path) is not pending:
                # A later call for this path has superseded this one.
                return False
            outcome = await self._while_reachable(
                connection, connection.register(path, data), f"the registration of {path!r}"
            )
        except ClosingException:
            # A later call has withdrawn it.
            return False
        except ZooKeeperException:
            self._roll_back(path, pending)
            raise
        except CancelledError:
            self._accept(path, pending)
            raise
        self._accept(path, pending)
        if outcome is not RegistrationState.REGISTERED:
            return False
        await self._wait_until_shown(path)
        return True

    def _accept(self, path: str, pending: _PendingRegistration) -> None:
        """Keep the path registered from now on, unless a later call has superseded this one."""
        if self._pending_registrations.get(path) is pending:
            del self._pending_registrations[path]
            self._wanted[path] = pending.data

    def _roll_back(self, path: str, pending: _PendingRegistration) -> None:
        """Restore the former state of the path, unless a later call has superseded this one."""
        if self._pending_registrations.get(path) is not pending:
            return
        del self._pending_registrations[path]
        if self._connection is None:
            return
        if path in self._wanted:
            self._connection.register(path, self._wanted[path]).addErrback(lambda _: None)
        else:
            self._connection.withdraw(path).addErrback(lambda _: None)

    async def _withdraw(self, path: str) -> bool:
        self._pending_registrations.pop(path, None)
        self._wanted.pop(path, None)
        if self._connection is not None:
            gone = await self._while_reachable(
                self._connection, self._connection.withdraw(path), f"the withdrawal of {path!r}"
            )
            if gone is False:
                return False
            await self._wait_until_shown(path)
        return True

    async def _write(self, path: str, begin: _Write) -> bool:
        connection = await self._established()
        writing = self._begin(connection, path, begin)
        try:
            if await self._while_reachable(connection, self._apart(path, writing), f"the writing of {path!r}") is False:
                self._pending_writes[path] = begin
                return False
        except CancelledError:
            self._pending_writes[path] = begin
            raise
        except NoConnection:
            writing.cancel()
            raise
        await self._wait_until_shown(path)
        return True

    def _begin(self, connection: RegistryConnection, path: str, begin: _Write) -> Deferred[None]:
        """Start to write. A pending write that the end of the connection cancels is repeated on the next connection."""

        def over(result: Failure | None) -> Failure | None:
            cut_off = isinstance(result, Failure) and isinstance(result.value, CancelledError)
            if not cut_off and self._pending_writes.get(path) is begin:
                del self._pending_writes[path]
            return result

        return begin(connection).addBoth(over)

    def _apart(self, path: str, awaited: Deferred[None]) -> Deferred[None]:
        """Wait for a Deferred that continues when the wait is cancelled."""
        return shield(awaited, lambda failure: self._not_written(failure, path))

    def _not_written(self, failure: Failure, path: str) -> None:
        if not isinstance(failure.value, CancelledError):
            self._log.warn("{path} could not be written: {reason}.", path=path, reason=failure.getErrorMessage())

    async def _wait_until_shown(self, path: str) -> None:
        """Wait until the followed paths show the write, but no longer than the timeout: other writers may be ahead."""
        for each in (path, paths.parent_of(path)):
            discovery = self._discoveries.get(each or "")
            if discovery is not None:
                await discovery.caught_up().addTimeout(self.timeout, self.reactor, lambda _result, _timeout: None)

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
        self._check_process()
        discovery = self._discover(paths.normalise(path))
        added = callback is not None and discovery.add_callback(callback)
        answer = discovery.current()
        if answer is not None:
            return succeed(answer)
        return self._do(self._find(discovery, callback if added else None))

    def add_callback(self, path: str, callback: Callable[[Answer], object]) -> Deferred[bool]:
        """Call a function at each change of a path. See :meth:`~txmirror.interfaces.IServiceRegistry.add_callback`."""
        return self.get(path, callback).addCallback(lambda answer: answer is not False)

    def remove_callback(self, path: str, callback: Callable[[Answer], object]) -> None:
        """Remove a callback. See :meth:`~txmirror.interfaces.IServiceRegistry.remove_callback`."""
        self._check_process()
        discovery = self._discoveries.get(paths.normalise(path))
        if discovery is not None:
            discovery.remove_callback(callback)

    def stale(self, path: str) -> bool:
        """Return whether an answer may be old. See :meth:`~txmirror.interfaces.IServiceRegistry.stale`."""
        self._check_process()
        discovery = self._discoveries.get(paths.normalise(path))
        return discovery is None or discovery.stale

    def unreadable(self, path: str) -> dict[str, ZooKeeperException]:
        """Return the nodes that cannot be read. See :meth:`~txmirror.interfaces.IServiceRegistry.unreadable`."""
        self._check_process()
        discovery = self._discoveries.get(paths.normalise(path))
        return {} if discovery is None else discovery.unreadable

    def _discover(self, path: str) -> Discovery:
        discovery = self._discoveries.get(path)
        if discovery is None:
            discovery = self._discoveries[path] = Discovery(
                path, self._codec, self._hold_for, self._answer_changed, audit=self._audit, random=self._random
            )
            if self._connection is not None:
                discovery.follow(self._connection.mirror)
        return discovery

    async def _find(self, discovery: Discovery, added: Callable[[Answer], object] | None) -> Answer | Literal[False]:
        try:
            connection = await self._established()
            if (
                await self._while_reachable(connection, discovery.ready(), f"the reading of {discovery.path!r}")
                is False
            ):
                cached = None if self._cache is None else await self._cache.get(discovery.path)
                if cached is not None:
                    discovery.remember(cached)
        except ZooKeeperException:
            if added is not None:
                discovery.remove_callback(added)
            if not discovery.used:
                discovery.leave()
                if self._discoveries.get(discovery.path) is discovery:
                    del self._discoveries[discovery.path]
            raise
        answer = discovery.current()
        return False if answer is None else answer

    def _answer_changed(self, discovery: Discovery) -> None:
        if self._cache is not None and discovery.live and discovery.answer is not None:
            self._cache.put(discovery.answer, discovery.unreadable)

    # Locking.

    def get_lock(
        self, path: str, name: str | None = None, simultaneous: int = 1, wait: float = 300
    ) -> Deferred[IRegistryLock]:
        """Return a lock. See :meth:`~txmirror.interfaces.IServiceRegistry.get_lock`."""
        path = self._to_lock(path, simultaneous, wait)
        if self._connection is not None:
            self._connection.check_lock(path, simultaneous)
        if self.readonly:
            return fail(ReadOnly(path=path))
        return self._do(self._lock(path, name, simultaneous, wait))

    def acquire_lock(
        self, path: str, name: str | None = None, simultaneous: int = 1, wait: float = 300
    ) -> Deferred[bool]:
        """Acquire a lock. See :meth:`~txmirror.interfaces.IServiceRegistry.acquire_lock`."""
        return self.get_lock(path, name, simultaneous, wait).addCallback(lambda lock: lock.acquire())

    def release_lock(self, path: str) -> Deferred[bool]:
        """Release a lock. See :meth:`~txmirror.interfaces.IServiceRegistry.release_lock`."""
        path = self._to_write(path, None)
        return succeed(True) if self._connection is None else self._connection.release(path)

    def _to_lock(self, path: str, simultaneous: int, wait: float) -> str:
        if type(simultaneous) is not int or simultaneous < 1:
            raise ValueError(f"simultaneous is {simultaneous!r}: not a whole number above 0")
        check_seconds("wait", wait)
        return self._to_write(path, None)

    async def _lock(self, path: str, name: str | None, simultaneous: int, wait: float) -> IRegistryLock:
        connection = await self._established()
        lock: IRegistryLock = connection.lock(path, process_name() if name is None else name, simultaneous, wait)
        return lock

    # Credentials.

    def username(self) -> Deferred[str | None]:
        """Return the user's name. See :meth:`~txmirror.interfaces.IServiceRegistry.username`."""
        self._check_process()
        return succeed(self._username)

    def set_username(self, username: str | None) -> Deferred[bool]:
        """Change the user's name. See :meth:`~txmirror.interfaces.IServiceRegistry.set_username`."""
        self._check_process()
        _check_user(username)
        changed, self._username = username != self._username, username
        return self._do(self._send_credentials()) if changed else succeed(True)

    def password(self) -> Deferred[str | None]:
        """Return the password. See :meth:`~txmirror.interfaces.IServiceRegistry.password`."""
        self._check_process()
        return succeed(self._password)

    def set_password(self, password: str | None) -> Deferred[bool]:
        """Change the password. See :meth:`~txmirror.interfaces.IServiceRegistry.set_password`."""
        self._check_process()
        _check_password(password)
        changed, self._password = password != self._password, password
        return self._do(self._send_credentials()) if changed else succeed(True)

    @property
    def _has_credentials(self) -> bool:
        return self._username is not None and self._password is not None

    async def _send_credentials(self) -> bool:
        if self._connection is None or not self._has_credentials:
            # The next connection, or the other setter, sends them.
            return True
        taken = self._apart("the credentials", self._authenticate(self._connection.mirror))
        return await self._while_reachable(self._connection, taken, "the authentication") is not False

    def _authenticate(self, mirror: Mirror) -> Deferred[None]:
        def refused(failure: Failure) -> Failure:
            if isinstance(failure.value, AuthFailedException):
                self._log.error(
                    "Authentication failed: ZooKeeper refuses the credentials of {username!r}. Only nodes that are open to"
                    " everybody can be read.",
                    username=self._username,
                )
            return failure

        return mirror.add_auth("digest", f"{self._username}:{self._password}".encode()).addErrback(refused)

    def _acl(self) -> Sequence[ACL] | None:
        if self._given_acl is not None:
            return self._given_acl
        if self._username is None or self._password is None:
            return None
        return (digest_acl(self._username, self._password), *READ_ACL)


@attrs.frozen(eq=False)
class _PendingRegistration:
    """A call of set_node without a result yet. Compared by identity."""

    data: _Data


def _check_user(username: str | None) -> None:
    if username is not None and not isinstance(username, str):
        raise TypeError(f"a user's name is a str, not {username!r:.60}")
    if username is not None and (not username or ":" in username):
        raise ValueError(f"a user's name has letters and no colon: {username!r}")
    if username is not None and not _is_text(username):
        raise ValueError(f"a user's name cannot be sent as UTF-8: {username!r}")


def _check_password(password: str | None) -> None:
    # Errors are logged, so they do not quote the password.
    if password is not None and not isinstance(password, str):
        raise TypeError(f"a password is a str, not {type(password).__name__}")
    if password is not None and not _is_text(password):
        raise ValueError("this password cannot be sent as UTF-8")


def _is_text(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _either(name: str, value: _T | None, other_name: str, other: _T | None, default: _T) -> _T:
    """Return the argument that was passed by one of two names, or the default."""
    if value is not None and other is not None:
        raise TypeError(f"{name}={value!r} and {other_name}={other!r} are the same argument: give one of them")
    if value is None:
        value = other
    return default if value is None else value
