"""The decoded data of a tree's nodes: decoded once for each change, and findable by any key."""

from __future__ import annotations

from collections.abc import Callable, Hashable, ItemsView, Iterable
from typing import Generic, Protocol, TypeVar

import attrs
from twisted.internet.defer import Deferred, fail, succeed
from twisted.logger import Logger

from txmirror.deferreds import Waiters
from txmirror.errors import ClosingException
from txmirror.mirror.changes import Change, ChangeKind, Value
from txmirror.mirror.index import Entries, Index, describe
from txmirror.mirror.live_mapping import LiveMapping
from txmirror.observers import Observers
from txmirror.printable import on_one_line

_T = TypeVar("_T")
_K = TypeVar("_K", bound=Hashable)

#: The kinds of changes after which a node is decoded again, or removed.
_OF_DATA = (ChangeKind.ADDED, ChangeKind.CHANGED, ChangeKind.REMOVED)


class WatchedTree(Protocol):
    """A tree, as far as a view of it needs it."""

    path: str

    @property
    def settled(self) -> bool:
        """True if it shows the server's state."""

    @property
    def closed(self) -> bool:
        """True if it was closed."""

    @property
    def stale_since(self) -> float | None:
        """When the connection was lost."""

    def items(self) -> ItemsView[str, Value]:
        """Return the paths, each with its node's data and stat."""

    def ready(self) -> Deferred[None]:
        """Wait until it has settled for the first time."""

    def watch(self, function: Callable[[Change], object]) -> None:
        """Call a function with each change from now on."""

    def unwatch(self, function: Callable[[Change], object]) -> None:
        """Remove it."""


@attrs.frozen
class DecodedChange(Generic[_T]):
    """One change of a node whose data is decoded."""

    path: str
    """The node's path."""
    old: _T | None
    """The value before; None if the node did not exist, was not known, or could not be decoded."""
    new: _T | None
    """The value now; None if the node was deleted, or cannot be decoded."""
    error: Exception | None = None
    """The exception of the decoding function; None if it has raised none."""


class Decoded(LiveMapping[_T]):
    """The decoded data of a tree's nodes, as a mapping of paths to values. :meth:`Tree.decoded` makes it.

    It is live, as the tree is, and shows the nodes that can be decoded. Each node is decoded once for each change of it: when it is
    added, when its data is written (the same data too), and when it was deleted and created again. Without a connection it shows
    the last known state. After a reconnection, in a new session too, only the nodes that have changed are decoded.

    All reads of it are from memory. A closed one stays readable, and does not change. The tree stays open, and has to be closed by
    itself. A view whose tree was closed does not change either.

    :ivar path: the tree's path.
    :ivar errors: the nodes that cannot be decoded, by path, with the exception. Each is logged once.
    :ivar indexes: the indexes, by name.
    """

    _log = Logger()

    def __init__(self, tree: WatchedTree, decode: Callable[[str, bytes], _T]) -> None:
        self._values: dict[str, _T] = {}
        super().__init__(self._values)
        self.path: str = tree.path
        self.errors: dict[str, Exception] = {}
        self.indexes: dict[str, Index[Hashable, _T]] = {}
        self._tree = tree
        self._decode = decode
        self._entries: list[Entries[_T, Hashable]] = []
        self._observers: Observers[DecodedChange[_T]] = Observers(
            lambda function, change: self._log.failure(
                "A watcher of the decoded tree {path}, {function}, failed on {change}.",
                path=self.path,
                function=function,
                change=change,
            )
        )
        self._closed = False
        self._ready: Waiters[None] = Waiters()
        for path, (data, _) in list(tree.items()):
            self._update(path, data)
        tree.watch(self._changed)
        self._tree_ready = tree.ready()
        was_ready: list[None] = []
        self._tree_ready.addCallbacks(was_ready.append, lambda _: self._fail())
        # Later it is ready when it has processed the changes before that.
        self._was_ready = bool(was_ready)

    def __repr__(self) -> str:
        state = "closed" if self.closed else "settled" if self.settled else "not settled"
        return f"<Decoded {self.path!r} {len(self)} nodes {state}>"

    def index(self, name: str, key: Callable[[str, _T], Iterable[_K]]) -> Index[_K, _T]:
        """Keep the nodes findable by a key, or by several.

        :param name: a name that no other index of this view has. ``indexes`` has the index by it.
        :param key: called with a node's path and value; returns a list of its keys, which may be empty. When it raises, the node is
            not in the index, but in its ``errors``.
        :returns: the index. It shows a change before the functions of :meth:`watch` are called with that.
        :raises ValueError: there is an index of this name.
        """
        if name in self.indexes:
            raise ValueError(f"there is an index {name!r} already")
        entries = Entries(name, key)
        index = Index(name, entries)
        self.indexes[name] = index  # type: ignore[assignment]
        self._entries.append(entries)  # type: ignore[arg-type]
        for path, value in list(self._values.items()):
            entries.put(path, value)
        return index

    @property
    def settled(self) -> bool:
        """True if it shows the server's state, as :attr:`Tree.settled`."""
        return not self._closed and self._tree.settled

    @property
    def closed(self) -> bool:
        """True if it, its tree or the mirror was closed: it does not change any more."""
        return self._closed or self._tree.closed

    @property
    def stale_since(self) -> float | None:
        """When the connection was lost (in the reactor's seconds); None if there is one."""
        return self._tree.stale_since

    def ready(self) -> Deferred[None]:
        """Wait until all nodes were read and decoded for the first time.

        :returns: fires at once if they were. Fails with :exc:`~txmirror.errors.ClosingException` when this view, its tree or the
            mirror is closed before. Cancelling ends the wait.
        """
        if self._was_ready:
            return succeed(None)
        if self.closed:
            return fail(ClosingException(path=self.path))
        return self._ready.wait()

    def watch(self, function: Callable[[DecodedChange[_T]], object]) -> None:
        """Call ``function`` with each change of a node from now on, in order, each once. Several changes of a node in quick
        succession may be notified as one.

        Adding a function is no change; existing nodes can be looked up at once. When a function is called, the view and its indexes
        show this change and no later one. No function is called with change N+1 before all were called with change N. One that
        raises is logged, and stays. It may call anything.

        A change to data that cannot be decoded is notified too, with the exception.
        """
        self._observers.add(function, lambda change: None if self.closed else function(change))

    def unwatch(self, function: Callable[[DecodedChange[_T]], object]) -> None:
        """Remove a function; silent if it was not added."""
        self._observers.remove(function)

    def close(self) -> None:
        """Follow the tree no longer. It may be called at any time, and twice."""
        if not self._closed:
            self._closed = True
            self._tree.unwatch(self._changed)
            self._tree_ready.cancel()
            self._fail()

    def _fail(self) -> None:
        self._ready.fail(lambda: ClosingException(path=self.path))

    def _changed(self, change: Change) -> None:
        if change.kind is ChangeKind.SETTLED:
            self._was_ready = True
            self._ready.fire(None)
        elif change.kind in _OF_DATA:
            self._update(change.path, None if change.new is None else change.new[0])

    def _update(self, path: str, data: bytes | None) -> None:
        """Decode a node, or remove it, and then notify."""
        value: _T | None = None
        error: Exception | None = None
        if data is not None:
            try:
                value = self._decode(path, data)
            except Exception as problem:
                # The function is the program's.
                error = problem
                self._log.warn(
                    "{path} cannot be decoded, and is left out: {reason}.",
                    path=on_one_line(path),
                    reason=describe(error),
                )
            if self._closed:
                return
        old = self._values.get(path)
        self.errors.pop(path, None)
        if data is None or error is not None:
            self._values.pop(path, None)
            for entries in self._entries:
                entries.discard(path)
            if error is not None:
                self.errors[path] = error
        else:
            self._values[path] = value  # type: ignore[assignment]
            for entries in list(self._entries):
                entries.put(path, value)  # type: ignore[arg-type]
        if self._observers:
            self._observers.notify(DecodedChange(path, old, value, error))
