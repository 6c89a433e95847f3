"""The service registry, for asyncio."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from random import Random
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final, Generic, Literal, overload

from twisted.internet.defer import Deferred

from txmirror import registry as deferring
from txmirror.aio.calls import Call
from txmirror.aio.mirror import Mirror
from txmirror.aio.running import current_reactor
from txmirror.aio.wrapping import Wrapper, at_exit, awaitable, awaitable_as, passed
from txmirror.client import Limits
from txmirror.interfaces import IPayloadCodec, IRegistryLock
from txmirror.registry import RegistrationState
from txmirror.registry import ServiceRegistry as _Registry
from txmirror.registry.rates import IWriteLimit
from txmirror.types import ACL, Answer

if TYPE_CHECKING:
    from typing_extensions import TypeVar

    _LazyT_co = TypeVar("_LazyT_co", bound=bool, covariant=True, default=Literal[False])
else:
    # Type variables have defaults since Python 3.13, and only type checkers ask for them.
    from typing import TypeVar

    _LazyT_co = TypeVar("_LazyT_co", bound=bool, covariant=True)


class RegistryLock(Wrapper[IRegistryLock]):
    """:class:`txmirror.interfaces.IRegistryLock` for asyncio; ``ServiceRegistry.get_lock`` makes it."""

    @property
    def path(self) -> str:
        """The path."""
        return self.wrapped.path

    @property
    def held(self) -> bool:
        """True if the lock is held, and safe at this moment."""
        return self.wrapped.held

    @property
    def lost(self) -> Call[None]:
        """Wait until the lock is lost. See :attr:`~txmirror.interfaces.IRegistryLock.lost`."""
        loop = self._check_loop()
        return Call(self.wrapped.lost, loop)

    @property
    def token(self) -> int:
        """The fencing token. See :attr:`~txmirror.interfaces.IRegistryLock.token`."""
        return self.wrapped.token

    def acquire(self) -> Call[bool]:
        """Acquire the lock. See :meth:`~txmirror.interfaces.IRegistryLock.acquire`.

        The lock may have been acquired in the moment in which the task is cancelled: release it then.
        """
        loop = self._check_loop()
        return Call(self.wrapped.acquire(), loop)

    def release(self) -> Call[bool]:
        """Release the lock. See :meth:`~txmirror.interfaces.IRegistryLock.release`."""
        loop = self._check_loop()
        return Call(self.wrapped.release(), loop)

    async def __aenter__(self) -> bool:
        loop = self._check_loop()
        return await Call(self.wrapped.acquire(), loop, lambda _: self.wrapped.release())

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.release()


class Registration(Wrapper[deferring.Registration]):
    """:class:`txmirror.registry.Registration` for asyncio, with the same parameters and methods.

    As an asynchronous context manager it starts at once, and at the end it stops.

    :param mirror: a mirror for asyncio.
    :raises RuntimeError: as for :class:`~txmirror.aio.Wrapper`.
    """

    # More than 7 parameters: they are those of the wrapped class.

    def __init__(
        self,
        mirror: Mirror,
        path: str,
        data: Mapping[str, object] | str | None = None,
        *,
        codec: IPayloadCodec | None = None,
        acl: Sequence[ACL] | None = None,
        adopt_persistent: bool = False,
        writes: IWriteLimit | None = None,
        inherited: bool = False,
        container: bool = False,
    ) -> None:
        super().__init__(
            deferring.Registration(
                mirror.wrapped,
                path,
                data,
                codec=codec,
                acl=acl,
                adopt_persistent=adopt_persistent,
                writes=writes,
                inherited=inherited,
                container=container,
            )
        )

    async def __aenter__(self) -> Registration:  # noqa: PYI034 - Self came with Python 3.11
        self.start()
        return self

    __aexit__: Final = at_exit(deferring.Registration.stop)

    @property
    def path(self) -> str:
        """The path."""
        return self.wrapped.path

    @property
    def state(self) -> RegistrationState:
        """The state."""
        return self.wrapped.state

    @property
    def wanted(self) -> bool:
        """True between start and stop: the node is to exist."""
        return self.wrapped.wanted

    @property
    def data(self) -> Mapping[str, object] | str | None:
        """The facts about the service."""
        return self.wrapped.data

    keep: Final = awaitable(deferring.Registration.keep)
    start: Final = passed(deferring.Registration.start)
    stop: Final = awaitable(deferring.Registration.stop)
    withdraw: Final = awaitable(deferring.Registration.withdraw)
    when_registered: Final = awaitable(deferring.Registration.when_registered)


def _lock(lock: IRegistryLock) -> RegistryLock:
    return RegistryLock(lock)


class ServiceRegistry(Wrapper[_Registry[bool]], Generic[_LazyT_co]):
    """:class:`txmirror.registry.ServiceRegistry` for asyncio: the same parameters, but for the reactor, and the same methods.

    It is no Twisted service. As an asynchronous context manager it starts, and at the end it stops.

    :param mirror: a mirror for asyncio to use in place of one of its own.
    :raises RuntimeError: as for :class:`~txmirror.aio.Wrapper`.
    """

    # More than 7 parameters: they are those of the wrapped class.

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
    ) -> None:
        super().__init__(
            _Registry(
                servers,
                session_timeout=session_timeout,
                server=server,
                timeout=timeout,
                readonly=readonly,
                lazy=lazy,
                cachefile=cachefile,
                username=username,
                password=password,
                acl=acl,
                rate_limit_calls=rate_limit_calls,
                rate_limit_time=rate_limit_time,
                mirror=None if mirror is None else mirror.wrapped,
                hold_for=hold_for,
                codec=codec,
                adopt_persistent=adopt_persistent,
                audit=audit,
                random=random,
                limits=limits,
                reactor=current_reactor(),
            )
        )

    async def __aenter__(self) -> ServiceRegistry[_LazyT_co]:
        try:
            await self.start()
        except BaseException:
            await self.stop()
            raise
        return self

    __aexit__: Final = at_exit(_Registry.stop)

    @property
    def readonly(self) -> bool:
        """True if all writes are refused. It may be set."""
        return self.wrapped.readonly

    @readonly.setter
    def readonly(self, readonly: bool) -> None:
        self.wrapped.readonly = readonly

    @property
    def servers(self) -> str:
        """The servers and the chroot, as in ``host:port,host:port/chroot``."""
        return self.wrapped.servers

    @property
    def lazy(self) -> bool:
        """True if calls succeed while ZooKeeper is out of reach, and are done later."""
        return self.wrapped.lazy

    @property
    def timeout(self) -> float:
        """The number of seconds without a session after which ZooKeeper is out of reach."""
        return self.wrapped.timeout

    @property
    def hold_for(self) -> float:
        """The number of seconds for which a list that has shrunk is held back."""
        return self.wrapped.hold_for

    # Connections.

    start: Final = awaitable(_Registry.start)
    stop: Final = awaitable(_Registry.stop)
    get_state: Final = awaitable(_Registry.get_state)

    def rebuild(self) -> Call[bool]:
        """Reconnect with a new session. See :meth:`~txmirror.interfaces.IServiceRegistry.rebuild`."""
        loop = self._check_loop()
        return Call(self.wrapped.rebuild(), loop)

    # Registering.

    set_node: Final = awaitable(_Registry.set_node)
    set_data: Final = awaitable(_Registry.set_data)
    set: Final = awaitable(_Registry.set)
    unset: Final = awaitable(_Registry.unset)

    # Finding.

    @overload
    def get(
        self: ServiceRegistry[Literal[False]], path: str, callback: Callable[[Answer], object] | None = None
    ) -> Call[Answer]: ...

    @overload
    def get(self, path: str, callback: Callable[[Answer], object] | None = None) -> Call[Answer | Literal[False]]: ...

    def get(self, path: str, callback: Callable[[Answer], object] | None = None) -> Call[Any]:
        """Return the children of a path, and their data. See :meth:`~txmirror.interfaces.IServiceRegistry.get`."""
        loop = self._check_loop()
        found: Deferred[Any] = self.wrapped.get(path, callback)
        return Call(found, loop)

    add_callback: Final = awaitable(_Registry.add_callback)
    remove_callback: Final = passed(_Registry.remove_callback)
    stale: Final = passed(_Registry.stale)
    unreadable: Final = passed(_Registry.unreadable)

    # Locking.

    get_lock: Final = awaitable_as(_Registry.get_lock, _lock)
    acquire_lock: Final = awaitable(_Registry.acquire_lock)
    release_lock: Final = awaitable(_Registry.release_lock)

    # Credentials.

    username: Final = awaitable(_Registry.username)
    set_username: Final = awaitable(_Registry.set_username)
    password: Final = awaitable(_Registry.password)
    set_password: Final = awaitable(_Registry.set_password)
