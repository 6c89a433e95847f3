"""Run what blocks, such as the work on a file, in one of the reactor's threads."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ParamSpec, TypeVar

from twisted.internet.defer import Deferred, execute
from twisted.internet.interfaces import IReactorThreads, IReactorTime
from twisted.internet.threads import deferToThreadPool

_P = ParamSpec("_P")
_T = TypeVar("_T")


def run_in_thread(
    reactor: IReactorTime, function: Callable[_P, _T], *args: _P.args, **kwargs: _P.kwargs
) -> Deferred[_T]:
    """Call a function in a thread of the reactor's pool; at once, if the reactor has none, as in tests.

    :returns: fires with the function's result, or fails with its exception. The function runs to its end even if the Deferred is
        cancelled.
    """
    threads: Any = IReactorThreads(reactor, None)
    if threads is None:
        return execute(function, *args, **kwargs)
    return deferToThreadPool(threads, threads.getThreadPool(), function, *args, **kwargs)
