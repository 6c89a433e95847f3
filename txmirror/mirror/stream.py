"""The values of a node, one after another, for ``async for``."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Hashable
from typing import Protocol

from twisted.internet.defer import Deferred

from txmirror.mirror.state import Existence, NodeState
from txmirror.types import ZnodeStat

_Value = tuple[bytes, ZnodeStat] | None


class WatchableNode(Protocol):
    """A node with watchers.

    :ivar state: a snapshot.
    """

    state: NodeState

    def addValueWatcher(self, key: Hashable, function: Callable[[_Value], object]) -> None:
        """Call a function with each new value."""

    def delValueWatcher(self, key: Hashable) -> None:
        """Remove it."""


class Values:
    """An asynchronous iterator over the latest values of a node; :meth:`Node.values` makes it.

    Only the loop references it: the node's watcher has a weak reference, and is removed with it.

    :param when_closed: returns a Deferred that fires when the mirror is closed.
    """

    def __init__(self, node: WatchableNode, when_closed: Callable[[], Deferred[None]]) -> None:
        self._node = node
        self._when_closed = when_closed
        self._latest: tuple[_Value] | None = None
        self._waiter: Deferred[bool] | None = None
        state = node.state
        if state.existence is Existence.PRESENT:
            assert state.value is not None
            assert state.stat is not None
            self._latest = ((state.value, state.stat),)
        elif state.existence is Existence.ABSENT:
            self._latest = (None,)
        key = object()
        itself = weakref.ref(self)

        def notified(value: _Value) -> None:
            values = itself()
            if values is not None:
                values._take(value)

        node.addValueWatcher(key, notified)
        self._leave = weakref.finalize(self, node.delValueWatcher, key)
        self._leave.atexit = False

    def __aiter__(self) -> Values:
        return self

    async def __anext__(self) -> _Value:
        if self._latest is None:
            await self._changed()
        latest, self._latest = self._latest, None
        assert latest is not None
        return latest[0]

    async def _changed(self) -> None:
        waiter: Deferred[bool] = Deferred()
        self._waiter = waiter
        # While the loop waits, the mirror references it; nothing else may.
        closed = self._when_closed()
        closed.addCallbacks(lambda _: None if waiter.called else waiter.callback(True), lambda _: None)
        try:
            over = await waiter
        finally:
            self._waiter = None
            closed.cancel()
        if over:
            self._leave()
            raise StopAsyncIteration

    def _take(self, value: _Value) -> None:
        self._latest = (value,)
        waiter, self._waiter = self._waiter, None
        if waiter is not None and not waiter.called:
            waiter.callback(False)
