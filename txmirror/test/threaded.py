"""A clock with a thread pool, for code that calls blocking functions in threads."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.internet.interfaces import IReactorThreads
from twisted.internet.task import Clock
from twisted.python.failure import Failure
from zope.interface import implementer


@implementer(IReactorThreads)
class ThreadedClock(Clock):
    """A clock with a pool of threads that run when the test runs them.

    :ivar waiting: the functions that wait for a thread.
    """

    def __init__(self) -> None:
        super().__init__()
        self.waiting: list[Callable[[], object]] = []

    def getThreadPool(self) -> Any:
        return self

    def callInThreadWithCallback(
        self, done: Callable[[bool, object], object], function: Callable[..., object], *args: Any, **named: Any
    ) -> None:
        def run() -> None:
            try:
                result = function(*args, **named)
            except Exception:
                done(False, Failure())
            else:
                done(True, result)

        self.waiting.append(run)

    def callFromThread(self, callable: Callable[..., Any], *args: object, **kwargs: object) -> None:
        callable(*args, **kwargs)

    def callInThread(self, callable: Callable[..., Any], *args: object, **kwargs: object) -> None:
        raise NotImplementedError

    def suggestThreadPoolSize(self, size: int) -> None:
        raise NotImplementedError

    def run_threads(self) -> None:
        """Call all functions that wait."""
        while self.waiting:
            self.waiting.pop(0)()
