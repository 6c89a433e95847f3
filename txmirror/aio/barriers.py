"""Barriers, parties and members, for asyncio."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, TypeVar

from txmirror import recipes as deferring
from txmirror.aio.client import ZooKeeperClient
from txmirror.aio.mirror import Mirror
from txmirror.aio.running import current_reactor
from txmirror.aio.wrapping import Wrapper, at_exit, awaitable
from txmirror.recipes.membership import Membership as _Membership
from txmirror.types import ACL

_DoubleT = TypeVar("_DoubleT", bound="DoubleBarrier")
_MembershipT = TypeVar("_MembershipT", bound="Membership[_Membership]")
_WrappedT_co = TypeVar("_WrappedT_co", bound=_Membership, covariant=True)


class Barrier(Wrapper[deferring.Barrier]):
    """:class:`txmirror.recipes.Barrier` for asyncio: the same parameters, but for the reactor, and the same methods.

    :param client: as for ``Lock``.
    :raises RuntimeError: as for :class:`~txmirror.aio.Wrapper`.
    """

    def __init__(self, client: ZooKeeperClient | Mirror, path: str, *, acl: Sequence[ACL] | None = None) -> None:
        super().__init__(deferring.Barrier(client.wrapped, path, acl=acl, reactor=current_reactor()))

    @property
    def path(self) -> str:
        """The barrier's node."""
        return self.wrapped.path

    create: Final = awaitable(deferring.Barrier.create)
    remove: Final = awaitable(deferring.Barrier.remove)
    wait: Final = awaitable(deferring.Barrier.wait)


class DoubleBarrier(Wrapper[deferring.DoubleBarrier]):
    """:class:`txmirror.recipes.DoubleBarrier` for asyncio: the same parameters, but for the reactor, and the same methods.

    :param client: as for ``Lock``.
    :raises RuntimeError: as for :class:`~txmirror.aio.Wrapper`.
    """

    def __init__(
        self,
        client: ZooKeeperClient | Mirror,
        path: str,
        *,
        count: int,
        name: str = "",
        acl: Sequence[ACL] | None = None,
    ) -> None:
        super().__init__(
            deferring.DoubleBarrier(client.wrapped, path, count=count, name=name, acl=acl, reactor=current_reactor())
        )

    @property
    def path(self) -> str:
        """The barrier's node."""
        return self.wrapped.path

    @property
    def count(self) -> int:
        """The number of participants."""
        return self.wrapped.count

    @property
    def name(self) -> str:
        """Our name."""
        return self.wrapped.name

    @property
    def entered(self) -> bool:
        """True from the end of :meth:`enter` to the begin of :meth:`leave`."""
        return self.wrapped.entered

    enter: Final = awaitable(deferring.DoubleBarrier.enter)
    leave: Final = awaitable(deferring.DoubleBarrier.leave)

    async def __aenter__(self: _DoubleT) -> _DoubleT:
        await self.enter()
        return self

    __aexit__: Final = at_exit(deferring.DoubleBarrier.leave)


class Membership(Wrapper[_WrappedT_co]):
    """The methods of parties and members."""

    @property
    def path(self) -> str:
        """The parent of the members' nodes."""
        return self.wrapped.path

    @property
    def joined(self) -> bool:
        """True if our node was there in our session when we looked last."""
        return self.wrapped.joined

    join: Final = awaitable(_Membership.join)
    leave: Final = awaitable(_Membership.leave)

    async def __aenter__(self: _MembershipT) -> _MembershipT:
        await self.join()
        return self

    __aexit__: Final = at_exit(_Membership.leave)


class Party(Membership[deferring.Party]):
    """:class:`txmirror.recipes.Party` for asyncio: the same parameters, but for the reactor, and the same methods.

    :param client: as for ``Lock``.
    :raises RuntimeError: as for :class:`~txmirror.aio.Wrapper`.
    """

    def __init__(
        self, client: ZooKeeperClient | Mirror, path: str, *, name: str = "", acl: Sequence[ACL] | None = None
    ) -> None:
        super().__init__(deferring.Party(client.wrapped, path, name=name, acl=acl, reactor=current_reactor()))

    @property
    def name(self) -> str:
        """Our name, which others see."""
        return self.wrapped.name

    members: Final = awaitable(deferring.Party.members)
    length: Final = awaitable(deferring.Party.length)


class Members(Membership[deferring.Members]):
    """:class:`txmirror.recipes.Members` for asyncio: the same parameters, but for the reactor, and the same methods.

    :param client: as for ``Lock``.
    :raises RuntimeError: as for :class:`~txmirror.aio.Wrapper`.
    """

    def __init__(
        self,
        client: ZooKeeperClient | Mirror,
        path: str,
        name: str,
        data: bytes = b"",
        *,
        acl: Sequence[ACL] | None = None,
    ) -> None:
        super().__init__(deferring.Members(client.wrapped, path, name, data, acl=acl, reactor=current_reactor()))

    @property
    def name(self) -> str:
        """Our name."""
        return self.wrapped.name

    @property
    def data(self) -> bytes:
        """Our data."""
        return self.wrapped.data

    members: Final = awaitable(deferring.Members.members)
