"""The nodes of a service, as a list of instances reads them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Protocol

from twisted.internet.defer import Deferred

from txmirror.errors import ZooKeeperException
from txmirror.mirror import Change
from txmirror.types import ZnodeStat


class ServiceTree(Protocol):
    """The nodes of a service: a :class:`~txmirror.mirror.Tree` of depth one, or the part of a deeper one."""

    @property
    def unreadable(self) -> Mapping[str, ZooKeeperException]:
        """The nodes that cannot be read, by path, with the reason."""

    @property
    def stale_since(self) -> float | None:
        """When the connection was lost (in the reactor's seconds); None if there is one."""

    def __contains__(self, path: object, /) -> bool: ...

    def __iter__(self) -> Iterator[str]: ...

    def __getitem__(self, path: str, /) -> tuple[bytes, ZnodeStat]: ...

    def ready(self) -> Deferred[None]:
        """Wait until all were read for the first time."""

    def caught_up(self) -> Deferred[None]:
        """Wait until all were read that are known to have changed."""

    def watch(self, function: Callable[[Change], object]) -> None:
        """Call a function with each change from now on."""

    def unwatch(self, function: Callable[[Change], object]) -> None:
        """Call a function no longer."""
