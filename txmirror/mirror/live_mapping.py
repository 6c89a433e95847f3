"""A read-only mapping of paths to values that change."""

from __future__ import annotations

from collections.abc import ItemsView, Iterator, KeysView, Mapping, ValuesView
from typing import TypeVar

_T = TypeVar("_T")


class LiveMapping(Mapping[str, _T]):
    """A mapping that shows the contents of another one, which changes. So it is equal to itself only.

    :param contents: the other one.
    """

    def __init__(self, contents: Mapping[str, _T]) -> None:
        self._contents = contents

    def __eq__(self, other: object) -> bool:
        return self is other

    def __hash__(self) -> int:
        return id(self)

    def __getitem__(self, path: str) -> _T:
        return self._contents[path]

    def __contains__(self, path: object) -> bool:
        return path in self._contents

    def __iter__(self) -> Iterator[str]:
        return iter(self._contents)

    def __len__(self) -> int:
        return len(self._contents)

    # As those of Mapping, but several times as fast.

    def keys(self) -> KeysView[str]:
        """Return a view of the paths."""
        return self._contents.keys()

    def values(self) -> ValuesView[_T]:
        """Return a view of the nodes' values: of a tree, each is ``(data, stat)``."""
        return self._contents.values()

    def items(self) -> ItemsView[str, _T]:
        """Return a view of the paths, each with its node's value."""
        return self._contents.items()
