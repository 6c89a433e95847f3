"""A call that has begun: the Deferred of a method, as a coroutine of asyncio."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Generator
from typing import Any, TypeVar

from twisted.internet.defer import Deferred

_T_co = TypeVar("_T_co", covariant=True)


class Call(Coroutine[Any, Any, _T_co]):
    """The result of a method, for asyncio. The work has begun when the method returns, whether or not this is awaited.

    It can be awaited, more than once too, and used where asyncio takes a coroutine, as in ``TaskGroup.create_task``.

    Cancelling the task that awaits it cancels the Deferred of the method, and its documentation says what that means. If the
    Deferred fails with Twisted's ``CancelledError`` for another reason, that is raised: it is an ordinary exception, and not
    asyncio's. asyncio logs a failure that nobody awaits.

    :param deferred: the Deferred.
    :param loop: the event loop.
    :param undo: called with the result if that arrives in the moment in which the awaiting task is cancelled, so that nobody gets
        it.
    """

    __slots__ = ("__weakref__", "_future", "_received", "_steps", "_undo")

    def __init__(
        self,
        deferred: Deferred[_T_co],
        loop: asyncio.AbstractEventLoop,
        undo: Callable[[_T_co], object] | None = None,
    ) -> None:
        self._undo = undo
        self._received = False
        self._steps: Generator[Any, Any, _T_co] | None = None
        self._future: asyncio.Future[_T_co] | None = None
        if undo is not None:
            deferred.addCallback(self._arrived)
        self._future = deferred.asFuture(loop)

    def __repr__(self) -> str:
        return f"<Call {self._future!r}>"

    def __await__(self) -> Generator[Any, Any, _T_co]:
        assert self._future is not None
        try:
            result = yield from self._future.__await__()
        except asyncio.CancelledError:
            self.close()
            raise
        self._received = True
        return result

    # The methods of a coroutine, which a task calls.

    def send(self, value: Any) -> Any:
        """Take the next step. See :meth:`generator.send`."""
        if self._steps is None:
            self._steps = self.__await__()
        return self._steps.send(value)

    def throw(self, kind: Any, value: Any = None, traceback: Any = None) -> Any:
        """Raise an exception where it waits. See :meth:`generator.throw`."""
        if self._steps is not None:
            error = kind if value is None else value
            return self._steps.throw(error() if isinstance(error, type) else error)
        # The task was cancelled before its first step.
        self.close()
        return super().throw(kind, value, traceback)

    def close(self) -> None:
        """Cancel the call, unless it is done. It may be called at any time, and twice."""
        future = self._future
        assert future is not None
        if future.cancel() or self._undo is None or self._received or future.cancelled() or future.exception():
            return
        self._received = True
        self._undo(future.result())

    def _arrived(self, result: _T_co) -> _T_co:  # type: ignore[misc]  # it is only called, with our result
        # The future may be cancelled already, and the Deferred not yet.
        if self._future is not None and self._future.cancelled():
            assert self._undo is not None
            self._undo(result)
        return result
