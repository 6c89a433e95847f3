"""Trees and their decoded data, for asyncio: live mappings."""

from __future__ import annotations

from collections.abc import Callable, Hashable, ItemsView, Iterable, Iterator, KeysView, Mapping, ValuesView
from typing import Any, Final, TypeVar

from txmirror import mirror as deferring
from txmirror.aio.wrapping import Wrapper, at_exit, awaitable, passed
from txmirror.errors import ZooKeeperException
from txmirror.mirror import Index
from txmirror.mirror.changes import Value

_T = TypeVar("_T")
_MappingT_co = TypeVar("_MappingT_co", bound=Mapping[str, Any], covariant=True)
_K = TypeVar("_K", bound=Hashable)


class MappingWrapper(Wrapper[_MappingT_co], Mapping[str, _T]):
    """The methods of a live mapping of paths to values."""

    __eq__: Final = Wrapper.__eq__
    __hash__: Final = Wrapper.__hash__

    def __getitem__(self, path: str) -> _T:
        value: _T = self.wrapped[path]
        return value

    def __contains__(self, path: object) -> bool:
        return path in self.wrapped

    def __iter__(self) -> Iterator[str]:
        return iter(self.wrapped)

    def __len__(self) -> int:
        return len(self.wrapped)

    def keys(self) -> KeysView[str]:
        """Return a view of the paths."""
        return self.wrapped.keys()

    def values(self) -> ValuesView[_T]:
        """Return a view of the values."""
        return self.wrapped.values()

    def items(self) -> ItemsView[str, _T]:
        """Return a view of the paths, each with its node's value."""
        return self.wrapped.items()


class Decoded(MappingWrapper[deferring.Decoded[_T], _T]):
    """:class:`txmirror.mirror.Decoded` for asyncio; ``Tree.decoded`` makes it."""

    @property
    def path(self) -> str:
        """The tree's path."""
        return self.wrapped.path

    @property
    def errors(self) -> dict[str, Exception]:
        """The nodes that cannot be decoded, by path, with the exception."""
        return self.wrapped.errors

    @property
    def indexes(self) -> dict[str, Index[Hashable, _T]]:
        """The indexes, by name."""
        return self.wrapped.indexes

    @property
    def settled(self) -> bool:
        """True if it shows the server's state, as :attr:`Tree.settled`."""
        return self.wrapped.settled

    @property
    def closed(self) -> bool:
        """True if it, its tree or the mirror was closed: it does not change any more."""
        return self.wrapped.closed

    @property
    def stale_since(self) -> float | None:
        """When the connection was lost (in the reactor's seconds); None if there is one."""
        return self.wrapped.stale_since

    def index(self, name: str, key: Callable[[str, _T], Iterable[_K]]) -> Index[_K, _T]:
        """Keep the nodes findable by a key, or by several. See :meth:`txmirror.mirror.Decoded.index`."""
        self._check_loop()
        return self.wrapped.index(name, key)

    ready: Final = awaitable(deferring.Decoded[_T].ready)
    watch: Final = passed(deferring.Decoded[_T].watch)
    unwatch: Final = passed(deferring.Decoded[_T].unwatch)
    close: Final = passed(deferring.Decoded[_T].close)


class Tree(MappingWrapper[deferring.Tree, Value]):
    """:class:`txmirror.mirror.Tree` for asyncio; ``Mirror.tree`` makes it.

    As an asynchronous context manager it waits until the tree is ready, and closes it at the end.
    """

    async def __aenter__(self) -> Tree:  # noqa: PYI034 - Self came with Python 3.11
        try:
            await self.ready()
        except BaseException:
            self.close()
            raise
        return self

    __aexit__: Final = at_exit(deferring.Tree.close)

    @property
    def path(self) -> str:
        """The root's path."""
        return self.wrapped.path

    @property
    def unreadable(self) -> dict[str, ZooKeeperException]:
        """The nodes that cannot be read, by path, with the reason."""
        return self.wrapped.unreadable

    @property
    def settled(self) -> bool:
        """True if it shows the server's state, except for its unreadable nodes, as far as is known."""
        return self.wrapped.settled

    @property
    def closed(self) -> bool:
        """True if it or its mirror was closed: it does not change any more."""
        return self.wrapped.closed

    @property
    def stale_since(self) -> float | None:
        """When the connection was lost (in the reactor's seconds); None if there is one."""
        return self.wrapped.stale_since

    def decoded(self, decode: Callable[[str, bytes], _T]) -> Decoded[_T]:
        """Return a view of the tree that keeps the decoded data of each node. See :meth:`txmirror.mirror.Tree.decoded`."""
        self._check_loop()
        return Decoded(self.wrapped.decoded(decode))

    children: Final = passed(deferring.Tree.children)
    ready: Final = awaitable(deferring.Tree.ready)
    caught_up: Final = awaitable(deferring.Tree.caught_up)
    watch: Final = passed(deferring.Tree.watch)
    unwatch: Final = passed(deferring.Tree.unwatch)
    close: Final = passed(deferring.Tree.close)
