"""An index of the decoded data of a tree: the nodes that have a key, for any key that a function computes of them."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping
from types import MappingProxyType
from typing import Generic, TypeVar

from twisted.logger import Logger

from txmirror.printable import on_one_line

_T = TypeVar("_T")
_K = TypeVar("_K", bound=Hashable)


def describe(error: Exception) -> str:
    """Return the message of an exception on one line, after its class unless that is an ordinary one for bad data."""
    text = str(error)
    return on_one_line(text if text and isinstance(error, ValueError) else f"{type(error).__name__}: {text}")


def _distinct(keys: Iterable[_K]) -> tuple[_K, ...]:
    if isinstance(keys, (str, bytes)):
        # A list of characters is never meant.
        raise TypeError(f"the key function returned {keys!r:.60} in place of a list of keys")
    return tuple(dict.fromkeys(keys))


class Entries(Generic[_T, _K]):
    """The contents of an index. The nodes of each key are in a dict of their own.

    :param name: the name of the index, for the log.
    :param key: returns the keys of a node.
    :ivar nodes: the values of the nodes with a key, by path.
    :ivar errors: the nodes for which the function has raised.
    """

    _log = Logger()

    def __init__(self, name: str, key: Callable[[str, _T], Iterable[_K]]) -> None:
        self.nodes: dict[_K, dict[str, _T]] = {}
        self.errors: dict[str, Exception] = {}
        self._name = name
        self._key = key
        # A value may be changed after it was indexed. So its keys are not computed again to remove it.
        self._keys: dict[str, tuple[_K, ...]] = {}

    def put(self, path: str, value: _T) -> None:
        """Add a node, or replace its value."""
        try:
            keys = _distinct(self._key(path, value))
        except Exception as error:
            # The function is the program's.
            self.discard(path)
            self.errors[path] = error
            self._log.warn(
                "{path} is not in the index {name}: {reason}.",
                path=on_one_line(path),
                name=self._name,
                reason=describe(error),
            )
            return
        if keys != self._keys.get(path):
            self.discard(path)
        self.errors.pop(path, None)
        if keys:
            self._keys[path] = keys
        for each in keys:
            nodes = self.nodes.get(each)
            if nodes is None:
                nodes = self.nodes[each] = {}
            nodes[path] = value

    def discard(self, path: str) -> None:
        """Remove a node, if it is there."""
        self.errors.pop(path, None)
        for each in self._keys.pop(path, ()):
            nodes = self.nodes[each]
            del nodes[path]
            if not nodes:
                del self.nodes[each]


class Index(Mapping[_K, Mapping[str, _T]]):
    """The nodes of a :class:`Decoded` by a key, as a mapping of each key to the nodes that have it: their paths and values.
    :meth:`Decoded.index` makes it.

    A look-up costs the same for any number of nodes. It returns a view, which changes with the tree until the last node of the
    key is gone: look it up again after each change. A key without nodes is not in the mapping.

    :ivar name: its name.
    :ivar errors: the nodes for which the key function has raised, by path, with the exception. They are not in the index. Each is
        logged once.
    """

    def __init__(self, name: str, entries: Entries[_T, _K]) -> None:
        self.name = name
        self.errors: Mapping[str, Exception] = entries.errors
        self._nodes = entries.nodes

    def __repr__(self) -> str:
        return f"<Index {self.name!r} {len(self)} keys>"

    # It is mutable, so it is equal to itself only.
    def __eq__(self, other: object) -> bool:
        return self is other

    def __hash__(self) -> int:
        return id(self)

    def __getitem__(self, key: _K) -> Mapping[str, _T]:
        return MappingProxyType(self._nodes[key])

    def __contains__(self, key: object) -> bool:
        return key in self._nodes

    def __iter__(self) -> Iterator[_K]:
        return iter(self._nodes)

    def __len__(self) -> int:
        return len(self._nodes)
