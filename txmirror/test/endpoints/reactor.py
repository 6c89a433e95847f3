"""A reactor in memory with system events, for tests of endpoints."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.internet.defer import Deferred, DeferredList
from twisted.internet.interfaces import IReactorCore
from zope.interface import alsoProvides

from txmirror.testing import MemoryReactor


class EventReactor(MemoryReactor):
    """A reactor in memory that can begin to run, and to stop.

    :ivar running: as of Twisted's reactors.
    """

    def __init__(self) -> None:
        super().__init__()
        # Of its methods, those that endpoints use.
        alsoProvides(self, IReactorCore)
        self.running = True
        self._when_running: list[Callable[[], object]] = []
        self._at_shutdown: dict[str, list[Callable[[], object]]] = {"before": [], "after": []}

    def callWhenRunning(self, function: Callable[..., object], *args: Any, **kwargs: Any) -> None:
        """Call a function at once if the reactor runs, or when it begins to."""
        if self.running:
            function(*args, **kwargs)
        else:
            self._when_running.append(lambda: function(*args, **kwargs))

    def addSystemEventTrigger(
        self, phase: str, event: str, function: Callable[..., object], *args: Any, **kwargs: Any
    ) -> None:
        """Call a function once, when the reactor stops."""
        assert event == "shutdown"
        self._at_shutdown[phase].append(lambda: function(*args, **kwargs))

    def begin(self) -> None:
        """Begin to run."""
        self.running = True
        for function in self._when_running:
            function()
        self.settle()

    def shut_down(self) -> Deferred[Any]:
        """Call the triggers before the shutdown, and those after it when the Deferreds of the first have fired.

        :returns: fires then.
        """
        results = [function() for function in self._take("before")]
        self.settle()
        before = DeferredList([each for each in results if isinstance(each, Deferred)], fireOnOneErrback=True)
        return before.addCallback(lambda _: [function() for function in self._take("after")])

    def _take(self, phase: str) -> list[Callable[[], object]]:
        triggers, self._at_shutdown[phase] = self._at_shutdown[phase], []
        return triggers
