"""Queues, counters and values, for asyncio."""

from __future__ import annotations

from collections.abc import Sequence
from types import TracebackType
from typing import Any, Final, Generic, TypeVar, overload

from txmirror import recipes as deferring
from txmirror.aio.calls import Call
from txmirror.aio.client import ZooKeeperClient
from txmirror.aio.mirror import Mirror
from txmirror.aio.running import current_reactor
from txmirror.aio.wrapping import Wrapper, awaitable
from txmirror.recipes.counter import NumberT
from txmirror.recipes.queue import Taking as _Taking
from txmirror.types import ACL

_TakenT = TypeVar("_TakenT", bound="TakenEntry")


class Queue(Wrapper[deferring.Queue]):
    """:class:`txmirror.recipes.Queue` for asyncio: the same parameters, but for the reactor, and the same methods.

    :param client: as for ``Lock``.
    :raises RuntimeError: as for :class:`~txmirror.aio.Wrapper`.
    """

    def __init__(self, client: ZooKeeperClient | Mirror, path: str, *, acl: Sequence[ACL] | None = None) -> None:
        super().__init__(deferring.Queue(client.wrapped, path, acl=acl, reactor=current_reactor()))

    @property
    def path(self) -> str:
        """The queue's node."""
        return self.wrapped.path

    put: Final = awaitable(deferring.Queue.put)
    put_all: Final = awaitable(deferring.Queue.put_all)

    @overload
    def get(self, *, wait: None = None) -> Call[bytes]: ...

    @overload
    def get(self, *, wait: float | None) -> Call[bytes | None]: ...

    def get(self, *, wait: float | None = None) -> Call[Any]:
        """Take the first entry, and wait until there is one. See :meth:`txmirror.recipes.Queue.get`.

        Cancelling gives up, and an entry that was taken is put back, at its place: also if it is taken in that very moment.
        """
        loop = self._check_loop()
        taken: list[_Taking] = []

        def keep(taking: _Taking | None) -> bytes | None:
            taken.extend([] if taking is None else [taking])
            return None if taking is None else taking.data

        def put_back(_: bytes | None) -> None:
            for taking in taken:
                self.wrapped._put_back(taking)

        return Call(self.wrapped._get(wait).addCallback(keep), loop, put_back)

    peek: Final = awaitable(deferring.Queue.peek)
    length: Final = awaitable(deferring.Queue.length)


class TakenEntry(Wrapper[deferring.TakenEntry]):
    """:class:`txmirror.recipes.TakenEntry` for asyncio: the same methods."""

    @property
    def data(self) -> bytes:
        """Its value."""
        return self.wrapped.data

    @property
    def name(self) -> str:
        """The name of its node."""
        return self.wrapped.name

    @property
    def consumed(self) -> bool:
        """True if it was certainly consumed by us."""
        return self.wrapped.consumed

    @property
    def held(self) -> bool:
        """True if nobody else can take it at this moment. See :attr:`txmirror.recipes.TakenEntry.held`."""
        return self.wrapped.held

    @property
    def lost(self) -> Call[None]:
        """Wait until another can soon take it. See :attr:`txmirror.recipes.TakenEntry.lost`."""
        loop = self._check_loop()
        return Call(self.wrapped.lost, loop)

    @property
    def token(self) -> int:
        """The fencing token. See :attr:`txmirror.recipes.TakenEntry.token`."""
        return self.wrapped.token

    consume: Final = awaitable(deferring.TakenEntry.consume)
    release: Final = awaitable(deferring.TakenEntry.release)

    async def __aenter__(self: _TakenT) -> _TakenT:
        self._check_loop()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        loop = self._check_loop()
        await Call(self.wrapped.__aexit__(kind, error, traceback), loop)


class LockingQueue(Wrapper[deferring.LockingQueue]):
    """:class:`txmirror.recipes.LockingQueue` for asyncio: the same parameters, but for the reactor, and the same methods.

    :param client: as for ``Lock``.
    :raises RuntimeError: as for :class:`~txmirror.aio.Wrapper`.
    """

    def __init__(
        self, client: ZooKeeperClient | Mirror, path: str, *, name: str = "", acl: Sequence[ACL] | None = None
    ) -> None:
        super().__init__(deferring.LockingQueue(client.wrapped, path, name=name, acl=acl, reactor=current_reactor()))

    @property
    def path(self) -> str:
        """The queue's node."""
        return self.wrapped.path

    @property
    def name(self) -> str:
        """Our name, which others see."""
        return self.wrapped.name

    put: Final = awaitable(deferring.LockingQueue.put)
    put_all: Final = awaitable(deferring.LockingQueue.put_all)

    @overload
    def get(self, *, wait: None = None) -> Call[TakenEntry]: ...

    @overload
    def get(self, *, wait: float | None) -> Call[TakenEntry | None]: ...

    def get(self, *, wait: float | None = None) -> Call[Any]:
        """Take the first free entry, and wait until there is one. See :meth:`txmirror.recipes.LockingQueue.get`.

        Cancelling gives up, and an entry that was taken is released: also if it is taken in that very moment.
        """
        loop = self._check_loop()

        def wrap(entry: deferring.TakenEntry | None) -> TakenEntry | None:
            return None if entry is None else TakenEntry.wrap(entry)

        def give_back(entry: TakenEntry | None) -> None:
            if entry is not None:
                # A failure is logged by the entry.
                entry.wrapped.release().addErrback(lambda _: None)

        return Call(self.wrapped.get(wait=wait).addCallback(wrap), loop, give_back)

    length: Final = awaitable(deferring.LockingQueue.length)


class Counter(Wrapper[deferring.Counter[NumberT]], Generic[NumberT]):
    """:class:`txmirror.recipes.Counter` for asyncio: the same parameters, but for the reactor, and the same methods.

    :param client: as for ``Lock``.
    :raises RuntimeError: as for :class:`~txmirror.aio.Wrapper`.
    """

    @overload
    def __init__(
        self: Counter[int],
        client: ZooKeeperClient | Mirror,
        path: str,
        *,
        default: int = 0,
        curator: bool = False,
        acl: Sequence[ACL] | None = None,
    ) -> None: ...

    @overload
    def __init__(
        self: Counter[float],
        client: ZooKeeperClient | Mirror,
        path: str,
        *,
        default: float,
        curator: bool = False,
        acl: Sequence[ACL] | None = None,
    ) -> None: ...

    def __init__(
        self,
        client: ZooKeeperClient | Mirror,
        path: str,
        *,
        default: Any = 0,
        curator: bool = False,
        acl: Sequence[ACL] | None = None,
    ) -> None:
        super().__init__(
            deferring.Counter(
                client.wrapped, path, default=default, curator=curator, acl=acl, reactor=current_reactor()
            )
        )

    @property
    def path(self) -> str:
        """The counter's node."""
        return self.wrapped.path

    def value(self) -> Call[NumberT]:
        """Return the number. See :meth:`txmirror.recipes.Counter.value`."""
        loop = self._check_loop()
        return Call(self.wrapped.value(), loop)

    def add(self, amount: NumberT) -> Call[NumberT]:
        """Add to the number, once. See :meth:`txmirror.recipes.Counter.add`."""
        loop = self._check_loop()
        return Call(self.wrapped.add(amount), loop)


class SharedValue(Wrapper[deferring.SharedValue]):
    """:class:`txmirror.recipes.SharedValue` for asyncio: the same parameters, but for the reactor, and the same methods.

    :param client: as for ``Lock``.
    :raises RuntimeError: as for :class:`~txmirror.aio.Wrapper`.
    """

    def __init__(
        self,
        client: ZooKeeperClient | Mirror,
        path: str,
        *,
        default: bytes = b"",
        acl: Sequence[ACL] | None = None,
    ) -> None:
        super().__init__(
            deferring.SharedValue(client.wrapped, path, default=default, acl=acl, reactor=current_reactor())
        )

    @property
    def path(self) -> str:
        """The value's node."""
        return self.wrapped.path

    get: Final = awaitable(deferring.SharedValue.get)
    get_versioned: Final = awaitable(deferring.SharedValue.get_versioned)
    try_set: Final = awaitable(deferring.SharedValue.try_set)
    update: Final = awaitable(deferring.SharedValue.update)
