"""Partitions, for asyncio."""

from __future__ import annotations

import asyncio
import contextvars
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import Final, TypeVar

from txmirror import recipes as deferring
from txmirror.aio.calls import Call
from txmirror.aio.client import ZooKeeperClient
from txmirror.aio.mirror import Mirror
from txmirror.aio.recipes import begin_task
from txmirror.aio.running import current_reactor
from txmirror.aio.wrapping import Wrapper, at_exit, awaitable
from txmirror.recipes.partitioner import ShareChanges as _ShareChanges
from txmirror.types import ACL

_PartitionerT = TypeVar("_PartitionerT", bound="Partitioner")


class Partitioner(Wrapper[deferring.Partitioner]):
    """:class:`txmirror.recipes.Partitioner` for asyncio: the same parameters, but for the reactor, and the same methods.

    :param client: as for ``Lock``.
    :param job: called with a ``Share``; returns a coroutine, or another awaitable. It runs as a task, in the context in which this
        object was made.
    :raises RuntimeError: as for :class:`~txmirror.aio.Wrapper`.
    """

    def __init__(
        self,
        client: ZooKeeperClient | Mirror,
        path: str,
        items: Iterable[str],
        job: Callable[[deferring.Share], Awaitable[object]],
        *,
        name: str = "",
        delay: float = 1.0,
        acl: Sequence[ACL] | None = None,
    ) -> None:
        if not callable(job):
            raise TypeError(f"only a function can work on a share, not {job!r:.60}")
        context = contextvars.copy_context()
        super().__init__(
            deferring.Partitioner(
                client.wrapped,
                path,
                items,
                lambda share: context.run(begin_task, lambda: job(share)),
                name=name,
                delay=delay,
                acl=acl,
                reactor=current_reactor(),
            )
        )

    @property
    def path(self) -> str:
        """The group's node."""
        return self.wrapped.path

    @property
    def name(self) -> str:
        """Our name."""
        return self.wrapped.name

    @property
    def items(self) -> tuple[str, ...]:
        """The items."""
        return self.wrapped.items

    @property
    def shares(self) -> frozenset[str]:
        """The items that we hold at this moment. See :attr:`txmirror.recipes.Partitioner.shares`."""
        return self.wrapped.shares

    start: Final = awaitable(deferring.Partitioner.start)
    stop: Final = awaitable(deferring.Partitioner.stop)

    def changes(self) -> ShareChanges:
        """Return an asynchronous iterator over :attr:`shares`. See :meth:`txmirror.recipes.Partitioner.changes`."""
        return ShareChanges(self.wrapped.changes(), self._check_loop())

    async def __aenter__(self: _PartitionerT) -> _PartitionerT:
        await self.start()
        return self

    __aexit__: Final = at_exit(deferring.Partitioner.stop)


class ShareChanges:
    """One iteration over the shares.

    :param wrapped: the iterator for Twisted.
    :param loop: the running event loop.
    """

    def __init__(self, wrapped: _ShareChanges, loop: asyncio.AbstractEventLoop) -> None:
        self._wrapped = wrapped
        self._loop = loop

    def __aiter__(self) -> ShareChanges:
        return self

    def __anext__(self) -> Call[frozenset[str]]:
        return Call(self._wrapped.__anext__(), self._loop)
