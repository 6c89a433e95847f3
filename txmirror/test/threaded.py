"""The threads of a reactor in tests, for code that calls blocking functions in threads."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from twisted.internet.interfaces import IReactorThreads
from twisted.internet.task import Clock
from twisted.python.failure import Failure
from zope.interface import implementer

Call = Callable[[Callable[..., object], Sequence[Any], Mapping[str, Any]], object]


def _call(function: Callable[..., object], args: Sequence[Any], named: Mapping[str, Any]) -> object:
    return function(*args, **named)


class ThreadPool:
    """A thread pool whose functions run as a whole, when the test wants.

    :param schedule: called with each function to run.
    :param call: calls the function of the program, with its arguments.
    """

    def __init__(self, schedule: Callable[[Callable[[], None]], object], call: Call = _call) -> None:
        self._schedule = schedule
        self._call = call

    def callInThreadWithCallback(
        self, done: Callable[[bool, object], object], function: Callable[..., object], *args: Any, **named: Any
    ) -> None:
        """Run a function as if in a thread."""

        def run() -> None:
            try:
                result = self._call(function, args, named)
            except Exception:
                done(False, Failure())
            else:
                done(True, result)

        self._schedule(run)


@implementer(IReactorThreads)
class ThreadedClock(Clock):
    """A clock with a pool of threads that run when the test runs them.

    :ivar waiting: the functions that wait for a thread.
    """

    def __init__(self) -> None:
        super().__init__()
        self.waiting: list[Callable[[], None]] = []

    def getThreadPool(self) -> Any:
        return ThreadPool(self.waiting.append)

    def callFromThread(self, callable: Callable[..., Any], *args: object, **kwargs: object) -> None:
        callable(*args, **kwargs)

    def callInThread(self, callable: Callable[..., Any], *args: object, **kwargs: object) -> None:
        raise NotImplementedError

    def suggestThreadPoolSize(self, size: int) -> None:
        raise NotImplementedError

    def run_thread(self) -> None:
        """Call the function that waits longest."""
        self.waiting.pop(0)()

    def run_threads(self) -> None:
        """Call all functions that wait, and those that follow from them."""
        while self.waiting:
            self.run_thread()
