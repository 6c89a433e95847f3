"""A service registry in memory, for the tests of programs that use one: no server, no sockets, no reactor."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, Generic, Literal, overload

from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger
from zope.interface import implementer

from txmirror import paths
from txmirror.embedded import digest_identity
from txmirror.errors import NoAuthException, NoConnection, PathError, ReadOnly, ZooKeeperException
from txmirror.interfaces import IPayloadCodec, IRegistryLock, IServiceRegistry
from txmirror.registry import NDCodec
from txmirror.testing.found import Callbacks, Found
from txmirror.testing.locks import MemoryLock
from txmirror.testing.nodes import MemoryNodes, Session
from txmirror.testing.written import Data, Write, Written
from txmirror.types import ACL, OPEN_ACL, READ_ACL, Answer, NodeType, digest_acl

if TYPE_CHECKING:
    from typing_extensions import TypeVar

    _LazyT_co = TypeVar("_LazyT_co", bound=bool, covariant=True, default=Literal[False])
else:
    # As for the registry that this one stands for.
    from typing import TypeVar

    _LazyT_co = TypeVar("_LazyT_co", bound=bool, covariant=True)


@implementer(IServiceRegistry)
class MemoryRegistry(Generic[_LazyT_co]):
    """An :class:`~txmirror.interfaces.IServiceRegistry` in memory, which passes the same tests as the real one.

    Everything is done at once: returned Deferreds have fired, except those that wait for a lock, and a change by another
    program calls the callbacks before it returns. :meth:`disconnect`, :meth:`reconnect` and :meth:`end_session` inject faults;
    ``nodes``, or a second registry that shares them, act as other programs. There is no cache file, and ``timeout`` is over
    at once: a disconnected registry is out of reach.

    Its type depends on ``lazy`` as that of :class:`txmirror.registry.ServiceRegistry` does.

    :param shared: the nodes of the ensemble, which other registries may share; None makes new ones.
    :param lazy: whether calls go on without ZooKeeper.
    :param readonly: whether the registry never writes.
    :param timeout: in seconds; it has no effect.
    :param username: the user name for nodes with an ACL.
    :param password: the password, likewise.
    :param acl: the ACL of new nodes, also for locks, and of their parents if it has to create them. None: with ``username`` and
        ``password``, all permissions for that user and reading for everybody; without, all permissions for everybody.
    :param codec: the codec of nodes; None is nd_service_registry's.
    :param reactor: the clock for ``created`` and for waiting for locks; None is that of ``shared``.
    :ivar nodes: the shared nodes.
    :ivar clock: the clock.
    """

    _log = Logger()

    def __init__(
        self,
        *,
        shared: MemoryNodes | None = None,
        lazy: _LazyT_co = False,  # type: ignore[assignment]  # it is the type's default too
        readonly: bool = False,
        timeout: float = 5.0,
        username: str | None = None,
        password: str | None = None,
        acl: Sequence[ACL] | None = None,
        codec: IPayloadCodec | None = None,
        reactor: IReactorTime | None = None,
    ) -> None:
        self.nodes = MemoryNodes(reactor) if shared is None else shared
        self.clock: IReactorTime = self.nodes.clock if reactor is None else reactor
        self.lazy, self.readonly, self.timeout = lazy, readonly, timeout
        self._username, self._password = _checked_username(username), password
        self._given_acl = acl
        self._codec: IPayloadCodec = NDCodec() if codec is None else codec
        self._session: Session | None = None
        self._away = self._running = self._stopped = False
        self._written = Written(self.nodes, self._codec, self.acl, lambda: self.clock, self._say)
        self._found: dict[str, Found] = {}
        self._states: Callbacks[bool] = Callbacks("the state", lambda: self.reached)
        self._locks: dict[str, MemoryLock] = {}
        self._said: dict[str, object] = {}

    def __repr__(self) -> str:
        return f"<MemoryRegistry, {'connected' if self.reached else 'not connected'}>"

    # Faults.

    @property
    def reached(self) -> bool:
        """True if it has a session, and reaches ZooKeeper."""
        return self._in_reach is not None

    def disconnect(self) -> None:
        """Disconnect from ZooKeeper. The session lives on there until :meth:`end_session` is called."""
        self._away = True
        for lock in list(self._locks.values()):
            lock.lose()
        self._states.tell()

    def reconnect(self) -> None:
        """Reconnect to ZooKeeper. Pending writes are done, and callbacks are called with all changes since."""
        self._away = False
        if self._running:
            self._connect()

    def end_session(self) -> None:
        """End the session, which deletes its nodes and locks. Unless it is disconnected, it has a new one when this returns."""
        if self._session is not None:
            self._close()
            # A callback may have stopped this registry.
            if self._running and not self._away:
                self._connect()

    # IServiceRegistry.

    def start(self) -> Deferred[bool]:
        """Start to connect. See :meth:`~txmirror.interfaces.IServiceRegistry.start`."""
        self._stopped = False
        return self._when_reached(lambda _: True)

    def stop(self) -> Deferred[None]:
        """Withdraw all registrations, and end the session. See :meth:`~txmirror.interfaces.IServiceRegistry.stop`. All is gone when it returns."""
        self._running, self._stopped = False, True
        self._close()
        for lock in list(self._locks.values()):
            lock.stop()
        return succeed(None)

    def rebuild(self, reactor: IReactorTime | None = None) -> Deferred[bool]:
        """Open a new session, and restore the registrations. See :meth:`~txmirror.interfaces.IServiceRegistry.rebuild`."""
        if reactor is not None:
            self.clock = reactor
        self._close()
        return self.start()

    def set_node(self, node: str, data: Data = None, state: bool = True) -> Deferred[bool]:
        """Register a service and keep it registered. See :meth:`~txmirror.interfaces.IServiceRegistry.set_node`."""
        path, data = self._checked(node, data)
        if self.readonly:
            return fail(ReadOnly(path=path))
        if not state:
            return self._withdraw(path)
        return self._when_reached(
            partial(self._written.register, path, data), path, lambda: self._written.want(path, data)
        )

    def set_data(self, node: str, data: Data = None, state: bool = True) -> Deferred[bool]:
        """Write a persistent node once. See :meth:`~txmirror.interfaces.IServiceRegistry.set_data`."""
        path, data = self._checked(node, data)
        if self.readonly:
            return fail(ReadOnly(path=path))
        return self._write(path, partial(self._written.store, path, data) if state else self._deletion(path))

    def set(self, node: str, data: Data, state: bool, type: NodeType) -> Deferred[bool]:
        """Write a node of either type. See :meth:`~txmirror.interfaces.IServiceRegistry.set`."""
        return (self.set_node if NodeType(type) is NodeType.EPHEMERAL else self.set_data)(node, data, state)

    def unset(self, node: str) -> Deferred[bool]:
        """Withdraw a registration, or delete a persistent node. See :meth:`~txmirror.interfaces.IServiceRegistry.unset`."""
        path, _ = self._checked(node, None)
        if self.readonly:
            return fail(ReadOnly(path=path))
        return self._withdraw(path) if self._written.wants(path) else self._write(path, self._deletion(path))

    @overload
    def get(
        self: MemoryRegistry[Literal[False]], path: str, callback: Callable[[Answer], object] | None = None
    ) -> Deferred[Answer]: ...

    @overload
    def get(
        self, path: str, callback: Callable[[Answer], object] | None = None
    ) -> Deferred[Answer | Literal[False]]: ...

    def get(self, path: str, callback: Callable[[Answer], object] | None = None) -> Deferred[Any]:
        """Return the answer for a path, and follow the path. See :meth:`~txmirror.interfaces.IServiceRegistry.get`."""
        path = paths.normalise(path)

        def answer(_: bool) -> Answer | Literal[False]:
            latest = self._found[path].answer
            return False if latest is None else copy.deepcopy(latest)

        return self._follow(path, callback).addCallback(answer)

    def add_callback(self, path: str, callback: Callable[[Answer], object]) -> Deferred[bool]:
        """Call ``callback`` with each answer for a path. See :meth:`~txmirror.interfaces.IServiceRegistry.add_callback`."""
        return self._follow(paths.normalise(path), callback)

    def remove_callback(self, path: str, callback: Callable[[Answer], object]) -> None:
        """Stop calling ``callback``. See :meth:`~txmirror.interfaces.IServiceRegistry.remove_callback`."""
        found = self._found.get(paths.normalise(path))
        if found is not None:
            found.callbacks.remove(callback)

    def stale(self, path: str) -> bool:
        """Return whether the answer for a path may be old or incomplete. See :meth:`~txmirror.interfaces.IServiceRegistry.stale`."""
        found = self._found.get(paths.normalise(path))
        return found is None or found.answer is None or not self.reached or bool(found.unreadable)

    def unreadable(self, path: str) -> dict[str, ZooKeeperException]:
        """Return the nodes of an answer that cannot be read. See :meth:`~txmirror.interfaces.IServiceRegistry.unreadable`."""
        found = self._found.get(paths.normalise(path))
        return {} if found is None else dict(found.unreadable)

    def get_state(self, callback: Callable[[bool], object] | None = None) -> Deferred[bool]:
        """Return whether there is a session. See :meth:`~txmirror.interfaces.IServiceRegistry.get_state`."""
        if callback is not None:
            self._states.add(callback)
        return succeed(self.reached)

    def get_lock(
        self, path: str, name: str | None = None, simultaneous: int = 1, wait: float = 300
    ) -> Deferred[IRegistryLock]:
        """Return the lock at a path. See :meth:`~txmirror.interfaces.IServiceRegistry.get_lock`."""
        path = paths.normalise(path)
        lock = self._locks.get(path) or MemoryLock(self, path, name, simultaneous)
        lock.again(simultaneous, wait)
        if self.readonly:
            return fail(ReadOnly(path=path))
        self._locks[path] = lock
        return succeed(lock)

    def acquire_lock(
        self, path: str, name: str | None = None, simultaneous: int = 1, wait: float = 300
    ) -> Deferred[bool]:
        """Acquire the lock at a path. See :meth:`~txmirror.interfaces.IServiceRegistry.acquire_lock`."""
        return self.get_lock(path, name, simultaneous, wait).addCallback(lambda lock: lock.acquire())

    def release_lock(self, path: str) -> Deferred[bool]:
        """Release the lock at a path. See :meth:`~txmirror.interfaces.IServiceRegistry.release_lock`."""
        lock = self._locks.get(paths.normalise(path))
        return succeed(True) if lock is None else lock.release()

    def username(self) -> Deferred[str | None]:
        """Return the user name. See :meth:`~txmirror.interfaces.IServiceRegistry.username`."""
        return succeed(self._username)

    def set_username(self, username: str | None) -> Deferred[bool]:
        """Authenticate with another user name. See :meth:`~txmirror.interfaces.IServiceRegistry.set_username`."""
        self._username = _checked_username(username)
        return self._when_reached(self._identify)

    def password(self) -> Deferred[str | None]:
        """Return the password. See :meth:`~txmirror.interfaces.IServiceRegistry.password`."""
        return succeed(self._password)

    def set_password(self, password: str | None) -> Deferred[bool]:
        """Authenticate with another password. See :meth:`~txmirror.interfaces.IServiceRegistry.set_password`."""
        self._password = password
        return self._when_reached(self._identify)

    # Called by locks.

    def reach(self) -> Session | None:
        """Return the session, and open one if possible."""
        if self._stopped:
            return None
        self._running = True
        if not self._away and self._session is None:
            self._connect()
        return self._in_reach

    def acl(self) -> Sequence[ACL]:
        """Return the ACL of new nodes."""
        if self._given_acl is not None:
            return self._given_acl
        if self._username is None or self._password is None:
            return OPEN_ACL
        return (digest_acl(self._username, self._password), *READ_ACL)

    def forget_lock(self, path: str) -> None:
        """Note that a lock was released."""
        self._locks.pop(path, None)

    # The session.

    @property
    def _in_reach(self) -> Session | None:
        return None if self._away else self._session

    def _connect(self) -> None:
        if self._session is None:
            self._session = self.nodes.open_session()
        self._identify(self._session)
        self.nodes.follow(self._look)
        self._states.tell()
        if self._in_reach is not None:
            self._written.pay(self._in_reach)
            self.nodes.tell()

    def _close(self) -> None:
        session, self._session = self._session, None
        self.nodes.leave(self._look)
        for lock in list(self._locks.values()):
            lock.lose()
        if session is not None:
            self.nodes.end_session(session)
        for lock in list(self._locks.values()):
            lock.session_ended()
        self._states.tell()

    def _identify(self, session: Session) -> bool:
        if self._username is not None and self._password is not None:
            session.identities.append(digest_identity(f"{self._username}:{self._password}".encode()))
        return True

    def _look(self) -> None:
        """Handle a change of the nodes. A callback may end the session."""
        if self._in_reach is not None:
            self._written.look(self._in_reach)
        for lock in list(self._locks.values()):
            lock.look()
        for path, found in list(self._found.items()):
            if self._in_reach is not None:
                try:
                    found.read(self._in_reach)
                except NoAuthException as error:
                    self._say(path, "{path} cannot be read any more: {reason}.", str(error), 0)

    # Calls.

    def _when_reached(
        self, do: Write, path: str | None = None, later: Callable[[], object] = lambda: None
    ) -> Deferred[bool]:
        """Do something now, or fail if that is impossible."""
        session = self.reach()
        if session is not None:
            try:
                return succeed(do(session))
            except ZooKeeperException as error:
                return fail(error)
        if self._stopped or not self.lazy:
            return fail(NoConnection(path=path))
        later()
        self._log.warn("ZooKeeper is out of reach: what is asked for is done when it is back.")
        return succeed(False)

    def _write(self, path: str, write: Write) -> Deferred[bool]:
        return self._when_reached(write, path, lambda: self._written.owe(path, write))

    def _withdraw(self, path: str) -> Deferred[bool]:
        if not self._written.wants(path):
            return succeed(True)
        self._written.unwant(path)
        return self._when_reached(partial(self._written.withdraw, path), path)

    def _deletion(self, path: str) -> Write:
        return partial(self._written.delete, path)

    def _checked(self, node: str, data: Data) -> tuple[str, Data]:
        """Return the path, and a copy of the data.

        :raises ValueError: the path is invalid, or the root, or data cannot be stored.
        :raises TypeError: data cannot be stored.
        """
        path = paths.normalise(node)
        if path == "/":
            raise PathError("'/' cannot be registered: it always exists")
        self._written.encode(data)
        return path, copy.deepcopy(data)

    def _follow(self, path: str, callback: Callable[[Answer], object] | None) -> Deferred[bool]:
        found = self._found.get(path) or Found(self.nodes, path, self._codec, self._say)

        def follow() -> bool:
            self._found[path] = found
            if callback is not None:
                found.callbacks.add(callback)
            return True

        def read(session: Session) -> bool:
            found.read(session)
            return follow()

        return self._when_reached(read, path, follow) if found.answer is None else succeed(follow())

    def _say(self, path: str, format: str, reason: str, which: int) -> None:
        if self._said.get(path) != (format, reason, which):
            self._said[path] = format, reason, which
            self._log.warn(format, path=path, reason=reason)


def _checked_username(username: str | None) -> str | None:
    if username is not None and (not username or ":" in username):
        raise ValueError(f"a user's name has letters and no colon: {username!r}")
    return username
