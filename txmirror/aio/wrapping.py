"""Wrappers of the objects for Twisted programs: each method is declared in one line, and has the signature of the wrapped one.

``awaitable`` is for methods that return a Deferred, ``pair`` for those that return two, and ``passed`` for all others. Those that
end in ``_as`` convert the result. ``at_exit`` makes the end of an asynchronous context manager.
"""

from __future__ import annotations

import functools
import inspect
from asyncio import AbstractEventLoop, get_running_loop
from collections.abc import Callable, Coroutine
from types import TracebackType
from typing import Any, Concatenate, Generic, ParamSpec, TypeVar

from twisted.internet.defer import Deferred

from txmirror.aio.calls import Call
from txmirror.aio.running import current_loop, current_reactor

_P = ParamSpec("_P")
_T = TypeVar("_T")
_U = TypeVar("_U")
_WrappedT_co = TypeVar("_WrappedT_co", covariant=True)
_WrapperT = TypeVar("_WrapperT", bound="Wrapper[Any]")


class Wrapper(Generic[_WrappedT_co]):
    """An object for asyncio that wraps one for Twisted. Two are equal if they wrap the same object.

    It belongs to the event loop that was running when it was made: use it only there.

    :param wrapped: the wrapped object.
    :ivar wrapped: the wrapped object, for code that uses Deferreds.
    :raises RuntimeError: no loop is running, or Twisted's reactor does not run on it; the message says how to run it.
    """

    def __init__(self, wrapped: _WrappedT_co) -> None:
        self.wrapped = wrapped
        self._loop = current_loop()

    @classmethod
    def wrap(cls: type[_WrapperT], wrapped: _WrappedT_co) -> _WrapperT:  # type: ignore[misc]  # it makes a wrapper of that type
        """Return a wrapper of an object that exists already, with the reactor of this loop.

        :raises RuntimeError: as for the class; or a client, a mirror or a registry has another reactor, as one in memory.
        """
        here = current_reactor()
        reactor = getattr(wrapped, "reactor", here)
        if reactor is not here:
            raise RuntimeError(f"{wrapped!r:.100} has another reactor than this event loop: {type(reactor).__name__}")
        wrapper = cls.__new__(cls)
        Wrapper.__init__(wrapper, wrapped)
        return wrapper

    def __repr__(self) -> str:
        return f"<aio {self.wrapped!r}>"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Wrapper) and type(other) is type(self) and other.wrapped is self.wrapped

    def __hash__(self) -> int:
        return hash(self.wrapped)

    def _check_loop(self) -> AbstractEventLoop:
        """Return the loop, which is running here.

        :raises RuntimeError: it is not.
        """
        try:
            here = get_running_loop() is self._loop
        except RuntimeError:
            here = False
        if not here:
            raise RuntimeError(f"{self!r} belongs to another event loop than the one that is running here, if any")
        return self._loop


def awaitable(
    method: Callable[Concatenate[_WrappedT_co, _P], Deferred[_T]],
) -> Callable[Concatenate[Wrapper[_WrappedT_co], _P], Call[_T]]:
    """Make a method for asyncio of one that returns a Deferred."""
    name = method.__name__

    def call(self: Wrapper[_WrappedT_co], /, *args: _P.args, **kwargs: _P.kwargs) -> Call[_T]:
        loop = self._check_loop()
        return Call(getattr(self.wrapped, name)(*args, **kwargs), loop)

    return _like(method, call)


def awaitable_as(
    method: Callable[Concatenate[_WrappedT_co, _P], Deferred[_T]], convert: Callable[[_T], _U]
) -> Callable[Concatenate[Wrapper[_WrappedT_co], _P], Call[_U]]:
    """Make a method for asyncio of one that returns a Deferred, and convert its result."""
    name = method.__name__

    def call(self: Wrapper[_WrappedT_co], /, *args: _P.args, **kwargs: _P.kwargs) -> Call[_U]:
        loop = self._check_loop()
        deferred: Deferred[_T] = getattr(self.wrapped, name)(*args, **kwargs)
        return Call(deferred.addCallback(convert), loop)

    return _like(method, call)


def pair(
    method: Callable[Concatenate[_WrappedT_co, _P], tuple[Deferred[_T], Deferred[_U]]],
) -> Callable[Concatenate[Wrapper[_WrappedT_co], _P], tuple[Call[_T], Call[_U]]]:
    """Make a method for asyncio of one that returns two Deferreds."""
    name = method.__name__

    def call(self: Wrapper[_WrappedT_co], /, *args: _P.args, **kwargs: _P.kwargs) -> tuple[Call[_T], Call[_U]]:
        loop = self._check_loop()
        first, second = getattr(self.wrapped, name)(*args, **kwargs)
        return Call(first, loop), Call(second, loop)

    return _like(method, call)


def passed(
    method: Callable[Concatenate[_WrappedT_co, _P], _T],
) -> Callable[Concatenate[Wrapper[_WrappedT_co], _P], _T]:
    """Make a method for asyncio of one that returns no Deferred."""
    name = method.__name__

    def call(self: Wrapper[_WrappedT_co], /, *args: _P.args, **kwargs: _P.kwargs) -> _T:
        self._check_loop()
        result: _T = getattr(self.wrapped, name)(*args, **kwargs)
        return result

    return _like(method, call)


def passed_as(
    method: Callable[Concatenate[_WrappedT_co, _P], _T], convert: Callable[[_T], _U]
) -> Callable[Concatenate[Wrapper[_WrappedT_co], _P], _U]:
    """Make a method for asyncio of one that returns no Deferred, and convert its result."""
    name = method.__name__

    def call(self: Wrapper[_WrappedT_co], /, *args: _P.args, **kwargs: _P.kwargs) -> _U:
        self._check_loop()
        return convert(getattr(self.wrapped, name)(*args, **kwargs))

    return _like(method, call)


def at_exit(
    method: Callable[[_WrappedT_co], object],
) -> Callable[
    [Wrapper[_WrappedT_co], type[BaseException] | None, BaseException | None, TracebackType | None],
    Coroutine[Any, Any, None],
]:
    """Make an ``__aexit__`` that calls a method, and awaits its Deferred if it returns one."""
    name = method.__name__

    async def leave(
        self: Wrapper[_WrappedT_co],
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        loop = self._check_loop()
        result: object = getattr(self.wrapped, name)()
        if isinstance(result, Deferred):
            await Call(result, loop)

    return leave


def _like(method: Callable[..., object], function: Callable[_P, _T]) -> Callable[_P, _T]:
    """Return the function with the name, the docstring and the parameters of a method."""
    functools.update_wrapper(function, method)
    signature = inspect.signature(method)
    returned = str(signature.return_annotation).replace("Deferred[", "Call[")
    function.__signature__ = signature.replace(return_annotation=returned)  # type: ignore[attr-defined]
    return function
