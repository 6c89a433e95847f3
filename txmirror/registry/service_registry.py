"""The service registry that programs use: what is wanted of it. How it comes to a connection stands in ``life.py``."""

from __future__ import annotations

import os
import platform
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
from txmirror.registry.cache_file import CacheFile
from txmirror.registry.codecs import NDCodec, own_copy
from txmirror.registry.discovery import Discovery
from txmirror.registry.life import Life
from txmirror.registry.link import Link
from txmirror.registry.rates import TokenBucket
from txmirror.registry.registration import RegistrationState
from txmirror.types import ACL, READ_ACL, Answer, NodeType, digest_acl

_Data = Mapping[str, object] | str | None
_Writing = Callable[[Link], Deferred[None]]

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
    """Services that are registered and found in ZooKeeper, and answers for as long as that is away.

    It provides :class:`~txmirror.interfaces.IServiceRegistry`, which says what its methods do, and is a Twisted service.

    Type checkers know from ``lazy`` what :meth:`get` fires with: with an answer, or, in a registry that is lazy or may be, with
    an answer or False. In annotations ``ServiceRegistry`` is a registry that is not lazy, and ``ServiceRegistry[bool]`` one
    that may be.

    :param servers: as for :class:`txmirror.client.ZooKeeperClient`; ``localhost:2181`` if None.
    :param session_timeout: the session timeout that is asked for, and how long it takes until ZooKeeper counts as out of reach,
        in seconds; 5 if None.
    :param server: nd_service_registry's name of ``servers``.
    :param timeout: nd_service_registry's name of ``session_timeout``.
    :param readonly: whether to refuse all that would write.
    :param lazy: whether calls go on without ZooKeeper.
    :param cachefile: where answers are kept for a start without ZooKeeper, for lazy registries; None keeps none. It is read
        when the registry begins to connect. A regular file of at most 64 MiB is used, or one that a symbolic link leads to, if
        it belongs to this user or to root and nobody else may write to it. Another one, and a damaged one, is renamed to
        ``NAME.damaged``, with a warning. Several processes of one user may share it.
    :param username: who this is, for the scheme ``digest``; together with ``password``.
    :param acl: the access control list of nodes that are made, those of locks among them, and of their parents. None: with a
        ``username``, all for that one and reading for everybody; without, all for everybody.
    :param rate_limit_calls: how many writes there may be in ``rate_limit_time`` seconds; more wait. None sets no limit.
    :param mirror: a mirror to use, in place of one of its own at ``server``; its session timeout counts then, and it is not closed.
        One with other :class:`~txmirror.client.Limits` takes longer replies, as for nodes of more than about 100,000 children.
    :param hold_for: for how many seconds after a reconnection a list of children is not believed that has shrunk to less than
        half: others may not have registered again yet.
    :param codec: how data stands in nodes; :class:`NDCodec` if None.
    :param adopt_persistent: whether :meth:`set_node` uses a persistent node that is there already.
    :param audit: how often, in seconds and varied by a quarter, to look at what servers send no event of, at each path that is
        followed: an ACL that was changed, and what it hides. Each time the path's node is read, the list of its children if
        that may be another, and a fifth of the children, at most 1,000. None never looks.
    :param random: varies ``audit``; one of its own if None.
    :param limits: as for :class:`txmirror.client.ZooKeeperClient`, but for pauses between attempts, which take at most 1.5
        seconds if None. Not used where ``mirror`` is given.
    :param reactor: the reactor; the mirror's, or the global one, if None.
    :ivar reactor: what it runs on.
    :raises ValueError: an argument is invalid; the message quotes it.
    :raises TypeError: an argument is given by both of its names.
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
        if type(hold_for) not in (int, float) or not 0 <= hold_for < float("inf"):
            raise ValueError(f"hold_for is {hold_for!r}: not a number of seconds from 0")
        if audit is not None and (type(audit) not in (int, float) or not 0 < audit < float("inf")):
            raise ValueError(f"audit is {audit!r}: not a number of seconds above 0, or None")
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
        #: What is registered, and looked after.
        self._wanted: dict[str, _Data] = {}
        #: What is asked for, and taken back if it fails.
        self._wishes: dict[str, _Wish] = {}
        #: What is still to be written to persistent nodes, and nobody waits for any more.
        self._promised: dict[str, _Writing] = {}
        self._discoveries: dict[str, Discovery] = {}
        self._make_helpers()

    # Life.

    def _make_helpers(self) -> None:
        self._writes = None if self._rate is None else TokenBucket(self.reactor, *self._rate)
        self._cache = None if self._cachefile is None else CacheFile(self._cachefile, self.reactor)

    def _make_link(self, mirror: Mirror, *, owned: bool) -> Link:
        return Link(
            mirror,
            owned=owned,
            timeout=self.timeout,
            codec=self._codec,
            acl=self._acl,
            adopt_persistent=self._adopt_persistent,
            writes=self._writes,
        )

    def _take_up(self, link: Link) -> None:
        if self._cache is not None:
            self._cache.load()
        if self._has_credentials:
            self._authenticate(link.mirror).addErrback(lambda _: None)
        for discovery in self._discoveries.values():
            discovery.follow(link.mirror)
        for path, data in self._wanted.items():
            if path not in self._wishes:
                link.restore(path, data)
        for path, begin in list(self._promised.items()):
            self._begin(link, path, begin).addErrback(self._not_written, path)

    def _leave(self) -> None:
        for discovery in self._discoveries.values():
            discovery.leave()

    def _closed(self) -> Deferred[None]:
        return succeed(None) if self._cache is None else self._cache.stop()

    def _abandon(self) -> object:
        self._wanted, self._wishes, self._promised = {}, {}, {}
        return [discovery.abandon() for discovery in self._discoveries.values()]

    @property
    def _busy(self) -> bool:
        kept = self._wanted or self._wishes or self._promised or self._discoveries
        return bool(kept) or (self._link is not None and self._link.locking)

    def _state_changed(self, connected: bool) -> None:
        if connected and not self._connected and self._cache is not None:
            self._cache.connected()
        super()._state_changed(connected)

    # Registering.

    def set_node(self, node: str, data: _Data = None, state: bool = True) -> Deferred[bool]:
        """See :meth:`~txmirror.interfaces.IServiceRegistry.set_node`."""
        path = self._to_write(node, data if state else None)
        if self.readonly:
            return fail(ReadOnly(path=path))
        return self._do(self._register(path, own_copy(data)) if state else self._withdraw(path))

    def set_data(self, node: str, data: _Data = None, state: bool = True) -> Deferred[bool]:
        """See :meth:`~txmirror.interfaces.IServiceRegistry.set_data`."""
        path = self._to_write(node, data if state else None)
        if self.readonly:
            return fail(ReadOnly(path=path))
        if not state:
            return self._do(self._write(path, lambda link: link.remove(path)))
        payload = self._codec.encode(data, pid=os.getpid(), created=self.reactor.seconds())
        data = own_copy(data)
        return self._do(self._write(path, lambda link: link.put(path, data, payload)))

    def set(self, node: str, data: _Data, state: bool, type: NodeType) -> Deferred[bool]:
        """See :meth:`~txmirror.interfaces.IServiceRegistry.set`.

        :raises ValueError: ``type`` is no :class:`~txmirror.types.NodeType`.
        """
        return (
            self.set_node(node, data, state)
            if NodeType(type) is NodeType.EPHEMERAL
            else self.set_data(node, data, state)
        )

    def unset(self, node: str) -> Deferred[bool]:
        """See :meth:`~txmirror.interfaces.IServiceRegistry.unset`."""
        path = self._to_write(node, None)
        if self.readonly:
            return fail(ReadOnly(path=path))
        ours = (
            path in self._wishes
            or path in self._wanted
            or (self._link is not None and self._link.registration(path) is not None)
        )
        return self._do(self._withdraw(path) if ours else self._write(path, lambda link: link.remove(path)))

    def _to_write(self, node: str, data: _Data) -> str:
        """Give the path of a node that is to be written, and see that data can be stored."""
        self._check_process()
        path = paths.normalise(node)
        if path == "/":
            raise PathError(f"{node!r} is the root, which always exists, and is nobody's to write")
        self._codec.encode(data, pid=0, created=0.0)
        return path

    async def _register(self, path: str, data: _Data) -> bool:
        wish = self._wishes[path] = _Wish(data)
        try:
            link = await self._standing()
            if self._wishes.get(path) is not wish:
                # Something else is wished by now, and whoever wishes it sees to it.
                return False
            outcome = await self._reached(link, link.register(path, data), f"the registration of {path!r}")
        except ClosingException:
            # It was withdrawn meanwhile.
            return False
        except ZooKeeperException:
            self._take_back(path, wish)
            raise
        except CancelledError:
            self._accept(path, wish)
            raise
        self._accept(path, wish)
        if outcome is not RegistrationState.REGISTERED:
            return False
        await self._shown(path)
        return True

    def _accept(self, path: str, wish: _Wish) -> None:
        """Look after what is wished from now on, whatever happens."""
        if self._wishes.get(path) is wish:
            del self._wishes[path]
            self._wanted[path] = wish.data

    def _take_back(self, path: str, wish: _Wish) -> None:
        """Let what was wanted before be so again, unless something else is wished by now."""
        if self._wishes.get(path) is not wish:
            return
        del self._wishes[path]
        if self._link is None:
            return
        if path in self._wanted:
            self._link.register(path, self._wanted[path]).addErrback(lambda _: None)
        else:
            self._link.withdraw(path).addErrback(lambda _: None)

    async def _withdraw(self, path: str) -> bool:
        self._wishes.pop(path, None)
        self._wanted.pop(path, None)
        if self._link is not None:
            gone = await self._reached(self._link, self._link.withdraw(path), f"the withdrawal of {path!r}")
            if gone is False:
                return False
            await self._shown(path)
        return True

    async def _write(self, path: str, begin: _Writing) -> bool:
        link = await self._standing()
        writing = self._begin(link, path, begin)
        try:
            if await self._reached(link, self._apart(path, writing), f"the writing of {path!r}") is False:
                self._promised[path] = begin
                return False
        except CancelledError:
            self._promised[path] = begin
            raise
        except NoConnection:
            writing.cancel()
            raise
        await self._shown(path)
        return True

    def _begin(self, link: Link, path: str, begin: _Writing) -> Deferred[None]:
        """Begin to write. What is promised and cut off by the end of the connection is done over the next one."""

        def over(result: Failure | None) -> Failure | None:
            cut_off = isinstance(result, Failure) and isinstance(result.value, CancelledError)
            if not cut_off and self._promised.get(path) is begin:
                del self._promised[path]
            return result

        return begin(link).addBoth(over)

    def _apart(self, path: str, awaited: Deferred[None]) -> Deferred[None]:
        """Wait for something that goes on when the wait ends."""

        def done(result: Failure | None) -> None:
            if not waiter.called:
                waiter.callback(result)
            elif isinstance(result, Failure):
                self._not_written(result, path)

        waiter: Deferred[None] = Deferred()
        awaited.addBoth(done)
        return waiter

    def _not_written(self, failure: Failure, path: str) -> None:
        if not isinstance(failure.value, CancelledError):
            self._log.warn("{path} could not be written: {reason}.", path=path, reason=failure.getErrorMessage())

    async def _shown(self, path: str) -> None:
        """Wait until what is followed shows what was written. For long it may lag only behind many who write."""
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
        """See :meth:`~txmirror.interfaces.IServiceRegistry.get`."""
        self._check_process()
        discovery = self._discover(paths.normalise(path))
        added = callback is not None and discovery.add_callback(callback)
        answer = discovery.current()
        if answer is not None:
            return succeed(answer)
        return self._do(self._find(discovery, callback if added else None))

    def add_callback(self, path: str, callback: Callable[[Answer], object]) -> Deferred[bool]:
        """See :meth:`~txmirror.interfaces.IServiceRegistry.add_callback`."""
        return self.get(path, callback).addCallback(lambda answer: answer is not False)

    def remove_callback(self, path: str, callback: Callable[[Answer], object]) -> None:
        """See :meth:`~txmirror.interfaces.IServiceRegistry.remove_callback`."""
        self._check_process()
        discovery = self._discoveries.get(paths.normalise(path))
        if discovery is not None:
            discovery.remove_callback(callback)

    def stale(self, path: str) -> bool:
        """See :meth:`~txmirror.interfaces.IServiceRegistry.stale`."""
        self._check_process()
        discovery = self._discoveries.get(paths.normalise(path))
        return discovery is None or discovery.stale

    def unreadable(self, path: str) -> dict[str, ZooKeeperException]:
        """See :meth:`~txmirror.interfaces.IServiceRegistry.unreadable`."""
        self._check_process()
        discovery = self._discoveries.get(paths.normalise(path))
        return {} if discovery is None else discovery.unreadable

    def _discover(self, path: str) -> Discovery:
        discovery = self._discoveries.get(path)
        if discovery is None:
            discovery = self._discoveries[path] = Discovery(
                path, self._codec, self._hold_for, self._learnt, audit=self._audit, random=self._random
            )
            if self._link is not None:
                discovery.follow(self._link.mirror)
        return discovery

    async def _find(self, discovery: Discovery, added: Callable[[Answer], object] | None) -> Answer | Literal[False]:
        try:
            link = await self._standing()
            if await self._reached(link, discovery.ready(), f"the reading of {discovery.path!r}") is False:
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

    def _learnt(self, discovery: Discovery) -> None:
        if self._cache is not None and discovery.live and discovery.answer is not None:
            self._cache.put(discovery.answer, discovery.unreadable)

    # Locking.

    def get_lock(
        self, path: str, name: str | None = None, simultaneous: int = 1, wait: float = 300
    ) -> Deferred[IRegistryLock]:
        """See :meth:`~txmirror.interfaces.IServiceRegistry.get_lock`."""
        path = self._to_lock(path, simultaneous, wait)
        if self._link is not None:
            self._link.check_lock(path, simultaneous)
        if self.readonly:
            return fail(ReadOnly(path=path))
        return self._do(self._lock(path, name, simultaneous, wait))

    def acquire_lock(
        self, path: str, name: str | None = None, simultaneous: int = 1, wait: float = 300
    ) -> Deferred[bool]:
        """See :meth:`~txmirror.interfaces.IServiceRegistry.acquire_lock`."""
        return self.get_lock(path, name, simultaneous, wait).addCallback(lambda lock: lock.acquire())

    def release_lock(self, path: str) -> Deferred[bool]:
        """See :meth:`~txmirror.interfaces.IServiceRegistry.release_lock`."""
        path = self._to_write(path, None)
        return succeed(True) if self._link is None else self._link.release(path)

    def _to_lock(self, path: str, simultaneous: int, wait: float) -> str:
        if type(simultaneous) is not int or simultaneous < 1:
            raise ValueError(f"simultaneous is {simultaneous!r}: not a whole number above 0")
        if isinstance(wait, bool) or not 0 <= wait < float("inf"):
            raise ValueError(f"wait is {wait!r}: not a number of seconds from 0")
        return self._to_write(path, None)

    async def _lock(self, path: str, name: str | None, simultaneous: int, wait: float) -> IRegistryLock:
        link = await self._standing()
        lock: IRegistryLock = link.lock(path, _own_name() if name is None else name, simultaneous, wait)
        return lock

    # Who this is.

    def username(self) -> Deferred[str | None]:
        """See :meth:`~txmirror.interfaces.IServiceRegistry.username`."""
        self._check_process()
        return succeed(self._username)

    def set_username(self, username: str | None) -> Deferred[bool]:
        """See :meth:`~txmirror.interfaces.IServiceRegistry.set_username`."""
        self._check_process()
        _check_user(username)
        changed, self._username = username != self._username, username
        return self._do(self._prove()) if changed else succeed(True)

    def password(self) -> Deferred[str | None]:
        """See :meth:`~txmirror.interfaces.IServiceRegistry.password`."""
        self._check_process()
        return succeed(self._password)

    def set_password(self, password: str | None) -> Deferred[bool]:
        """See :meth:`~txmirror.interfaces.IServiceRegistry.set_password`."""
        self._check_process()
        _check_password(password)
        changed, self._password = password != self._password, password
        return self._do(self._prove()) if changed else succeed(True)

    @property
    def _has_credentials(self) -> bool:
        return self._username is not None and self._password is not None

    async def _prove(self) -> bool:
        if self._link is None or not self._has_credentials:
            # It is used when that changes.
            return True
        taken = self._apart("the credentials", self._authenticate(self._link.mirror))
        return await self._reached(self._link, taken, "the authentication") is not False

    def _authenticate(self, mirror: Mirror) -> Deferred[None]:
        def refused(failure: Failure) -> Failure:
            if isinstance(failure.value, AuthFailedException):
                self._log.error(
                    "ZooKeeper refuses the credentials of {username!r}: only what is open to everybody can be read.",
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
class _Wish:
    """What somebody wants to be registered."""

    data: _Data


def _check_user(username: str | None) -> None:
    if username is not None and not isinstance(username, str):
        raise TypeError(f"a user's name is a str, not {username!r:.60}")
    if username is not None and (not username or ":" in username):
        raise ValueError(f"a user's name has letters and no colon: {username!r}")
    if username is not None and not _is_text(username):
        raise ValueError(f"a user's name cannot be sent as UTF-8: {username!r}")


def _check_password(password: str | None) -> None:
    # Errors stand in logs: they do not quote it.
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


def _own_name() -> str:
    return f"{platform.node()}:{os.getpid()}"


def _either(name: str, value: _T | None, other_name: str, other: _T | None, default: _T) -> _T:
    """Return the argument that was given by one of two names."""
    if value is not None and other is not None:
        raise TypeError(f"{name}={value!r} and {other_name}={other!r} are the same argument: give one of them")
    if value is None:
        value = other
    return default if value is None else value
