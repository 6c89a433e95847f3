"""A call that has begun: the Deferred of a method, as a coroutine of asyncio."""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Callable, Coroutine, Generator
from typing import Any, TypeVar, cast

from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

_T_co = TypeVar("_T_co", covariant=True)

#: In place of a result, while there is none.
_NOTHING: Any = object()


class Call(Coroutine[Any, Any, _T_co]):
    """The result of a method, for asyncio. The work has begun when the method returns, whether or not this is awaited.

    It can be awaited, more than once too, and used where asyncio takes a coroutine, as in ``TaskGroup.create_task``.

    Cancelling the task that awaits it cancels the Deferred of the method, with the effect that the method documents. If the
    Deferred fails with Twisted's ``CancelledError`` for another reason, that is raised: it is an ordinary exception, and not
    asyncio's. asyncio logs a failure that nobody awaits.

    :param deferred: the Deferred.
    :param loop: the event loop.
    :param undo: called with a result that arrives just when the awaiting task is cancelled, so that the task does not receive it.
    """

    __slots__ = ("__weakref__", "_future", "_received", "_result", "_steps", "_undo")

    def __init__(
        self,
        deferred: Deferred[_T_co],
        loop: asyncio.AbstractEventLoop,
        undo: Callable[[_T_co], object] | None = None,
    ) -> None:
        self._undo = undo
        self._received = False
        self._steps: Generator[Any, Any, _T_co] | None = None
        # Most values are read from memory: a Deferred that has fired needs no future, and no turn of the loop.
        self._result: _T_co = _NOTHING
        self._future = cast("asyncio.Future[_T_co] | None", None)
        deferred.addCallbacks(self._succeeded, self._failed, errbackArgs=(loop,))
        if self._future is None and self._result is _NOTHING:
            self._future = loop.create_future()
            self._future.add_done_callback(functools.partial(_cancel, deferred))

    def __repr__(self) -> str:
        return f"<Call {self._result if self._future is None else self._future!r}>"

    def __await__(self) -> Generator[Any, Any, _T_co]:
        if self._future is None:
            result = self._result
        else:
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
        if future is None:
            result = self._result
        elif future.cancel() or future.cancelled() or self._received or self._undo is None or future.exception():
            return
        else:
            result = future.result()
        if self._undo is not None and not self._received:
            self._received = True
            self._undo(result)

    # The Deferred.

    def _succeeded(self, result: _T_co) -> None:  # type: ignore[misc]  # it is only called, with our result
        if self._future is None:
            self._result = result
        elif not self._future.cancelled():
            self._future.set_result(result)
        elif self._undo is not None:
            # The task was cancelled, and the Deferred is not cancelled yet.
            self._undo(result)

    def _failed(self, failure: Failure, loop: asyncio.AbstractEventLoop) -> None:
        if self._future is None:
            self._future = loop.create_future()
        if not self._future.cancelled():
            assert failure.value is not None
            self._future.set_exception(failure.value)


def _cancel(deferred: Deferred[Any], future: asyncio.Future[Any]) -> None:
    """Cancel a Deferred if its future was cancelled."""
    if future.cancelled():
        deferred.cancel()
