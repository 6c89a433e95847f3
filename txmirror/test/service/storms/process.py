"""A process on a reactor in memory, which a test can kill at any moment."""

from __future__ import annotations

import errno
import gc
import os
from collections.abc import Callable, Mapping, Sequence
from random import Random
from typing import Any

from twisted.internet.interfaces import (
    IConnector,
    IDelayedCall,
    IReactorPluggableNameResolver,
    IReactorTCP,
    IReactorThreads,
    IReactorTime,
)
from twisted.internet.protocol import ClientFactory, Protocol
from twisted.internet.task import Clock
from zope.interface import implementer

from txmirror.test.threaded import ThreadPool
from txmirror.testing import MemoryReactor
from txmirror.testing.network import Link
from txmirror.testing.reactor import MemoryConnector
from txmirror.timers import Timer

#: The functions that write a file, and fail if the disk is full.
_WRITERS = ("write", "replace_file", "put")
#: How long a function takes in a thread, in seconds.
_DURATIONS = (0.0, 0.0, 0.0, 0.01, 0.3, 2.0)
#: The killed processes. If they were collected in a storm, what waits in them would be interrupted, and log that.
_KILLED: list[object] = []


def bury() -> None:
    """Forget the killed processes, whose last errors are then logged."""
    _KILLED.clear()
    gc.collect()


class Disk:
    """The disk of a machine.

    :ivar full: whether nothing can be written.
    """

    def __init__(self, reactor: MemoryReactor) -> None:
        self.full: bool = False
        self._emptied = Timer(reactor, self._empty)

    def fill(self, seconds: float) -> None:
        """Let nothing be written for some time, in seconds."""
        self.full = True
        self._emptied.start(seconds)

    def _empty(self) -> None:
        self.full = False

    def stop(self) -> None:
        """Stop the timer."""
        self._emptied.stop()


@implementer(IReactorTCP, IReactorTime, IReactorThreads, IReactorPluggableNameResolver)
class Process:
    """The reactor of one process: its delayed calls, connections and threads end with it.

    A function in a thread runs as a whole at some later time.

    :param reactor: the reactor of all processes.
    :param disk: the disk for the functions in threads.
    :param random: chooses the duration of each.
    """

    def __init__(self, reactor: MemoryReactor, disk: Disk, random: Random) -> None:
        self._reactor = reactor
        self._disk = disk
        self._random = random
        self._killed = False
        self._calls: list[IDelayedCall] = []
        self._connectors: list[Any] = []
        #: Where the calls of a killed process go: its time never passes.
        self._void = Clock()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._reactor, name)

    def kill(self, program: object) -> None:
        """End as with SIGKILL: nothing of this process runs any more, and the other sides see its connections break.

        :param program: the program that ran; it is kept until :func:`bury`.
        """
        self._killed = True
        _KILLED.append((self, program))
        for call in self._calls:
            if call.active():
                call.cancel()
        for link in self._links():
            link.client._receiver.begin(Protocol(), None)
            link.cut()
        for connector in self._connectors:
            if connector.state == "connecting":
                connector.transport._over = True
                connector.cancelTimeout()

    def _links(self) -> list[Link]:
        transports = [getattr(connector, "transport", None) for connector in self._connectors]
        return [link for link in self._reactor.links if link.client in transports]

    def seconds(self) -> float:
        """Return the time."""
        return self._reactor.seconds()

    def callLater(self, delay: float, callable: Callable[..., object], *args: object, **kw: object) -> IDelayedCall:
        """Call a function later, if the process still lives."""
        if self._killed:
            return self._void.callLater(delay, callable, *args, **kw)
        call = self._reactor.callLater(delay, callable, *args, **kw)
        self._calls = [each for each in self._calls if each.active()]
        self._calls.append(call)
        return call

    def connectTCP(
        self,
        host: str,
        port: int,
        factory: ClientFactory[Any],
        timeout: float = 30.0,
        bindAddress: tuple[str, int] | None = None,
    ) -> IConnector:
        """Connect, if the process still lives."""
        if self._killed:
            return MemoryConnector(self._reactor, host, port, factory, timeout, bindAddress)
        connector = self._reactor.connectTCP(host, port, factory, timeout, bindAddress)
        self._connectors = [each for each in self._connectors if each.state != "disconnected"]
        self._connectors.append(connector)
        return connector

    # Threads.

    def getThreadPool(self) -> Any:
        """Return a thread pool whose functions run at some later time, unless the process is killed before."""
        return ThreadPool(lambda run: self.callLater(self._random.choice(_DURATIONS), run), self._call)

    def _call(self, function: Callable[..., object], args: Sequence[Any], named: Mapping[str, Any]) -> object:
        if self._disk.full and getattr(function, "__name__", "") in _WRITERS:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return function(*args, **named)

    def callFromThread(self, callable: Callable[..., Any], *args: Any, **kwargs: Any) -> None:
        """Call a function in the reactor's thread."""
        callable(*args, **kwargs)

    def callInThread(self, callable: Callable[..., Any], *args: Any, **kwargs: Any) -> None:
        raise NotImplementedError

    def suggestThreadPoolSize(self, size: int) -> None:
        raise NotImplementedError

    def listenTCP(self, *args: Any, **kwargs: Any) -> Any:
        raise NotImplementedError
