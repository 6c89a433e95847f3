"""Twisted's reactor on the event loop of asyncio: it runs while the loop's program needs it, and its end does not stop the loop."""

from __future__ import annotations

import asyncio
import contextlib
import sys
from collections.abc import AsyncIterator, Coroutine
from typing import Any, TypeVar

import twisted.internet
from twisted.internet.asyncioreactor import AsyncioSelectorReactor
from twisted.internet.error import ReactorNotRunning
from twisted.internet.main import installReactor
from twisted.internet.posixbase import PosixReactorBase

_T = TypeVar("_T")

_MODULE = "twisted.internet.reactor"
_ADVICE = "run the program with txmirror.aio.run(main()), or enter txmirror.aio.running_reactor() on its loop first"


class _Reactor(AsyncioSelectorReactor):
    """A reactor on a loop that the program or another library runs, and stops."""

    def crash(self) -> None:
        # AsyncioSelectorReactor stops the loop too.
        PosixReactorBase.crash(self)

    def close(self) -> None:
        """Close the pipe that wakes the reactor."""
        waker: Any = self.waker
        self.removeReader(waker)
        waker.connectionLost(None)


def current_loop() -> asyncio.AbstractEventLoop:
    """Return the running loop, on which the reactor runs too.

    :raises RuntimeError: there is none, or the reactor does not run on it; the message says how to run it.
    """
    return _loop_of(current_reactor())


def current_reactor() -> AsyncioSelectorReactor:
    """Return the reactor that runs on the running loop.

    :raises RuntimeError: as :func:`current_loop`.
    """
    try:
        loop = asyncio.get_running_loop()
    except RuntimeError:
        raise RuntimeError(f"no asyncio event loop is running here: {_ADVICE}") from None
    reactor: object = sys.modules.get(_MODULE)
    if isinstance(reactor, AsyncioSelectorReactor) and _loop_of(reactor) is loop and reactor.running:
        return reactor
    if reactor is None:
        problem = "does not run on this event loop"
    elif not isinstance(reactor, AsyncioSelectorReactor):
        problem = f"is {type(reactor).__name__}, not one for asyncio, because something has imported {_MODULE}"
    elif _loop_of(reactor) is not loop:
        problem = "runs on another event loop"
    else:
        problem = "is installed on this event loop, but was not started"
    raise RuntimeError(f"Twisted's reactor {problem}: {_ADVICE}")


@contextlib.asynccontextmanager
async def running_reactor() -> AsyncIterator[AsyncioSelectorReactor]:
    """Run Twisted's reactor on the running event loop, until the context ends.

    It installs a reactor, starts it, with its threads for name resolution and files, and at the end stops it: the triggers of
    its shutdown run, and the threads end. The loop goes on, and the signals stay those of the program. Another loop of the same process
    may have a reactor afterwards. If the reactor runs on this loop already, this does nothing.

    :raises RuntimeError: another reactor is installed; the message names it.
    """
    if _MODULE in sys.modules:
        # It must be one that runs here.
        yield current_reactor()
        return
    loop = asyncio.get_running_loop()
    reactor = _Reactor(loop)
    installReactor(reactor)
    stopped: asyncio.Future[None] = loop.create_future()
    reactor.addSystemEventTrigger("after", "shutdown", stopped.set_result, None)
    reactor.startRunning(installSignalHandlers=False)
    try:
        yield reactor
    finally:
        if not stopped.done():
            # If the program has stopped it, the triggers may still be running.
            with contextlib.suppress(ReactorNotRunning):
                reactor.stop()
        try:
            await _until(stopped)
        finally:
            reactor.close()
            del sys.modules[_MODULE], twisted.internet.reactor


def run(main: Coroutine[Any, Any, _T], *, debug: bool | None = None) -> _T:
    """Run a coroutine as ``asyncio.run`` does, with Twisted's reactor on the loop.

    When the coroutine has ended, the other tasks are cancelled, the reactor is stopped, and the loop is closed.

    :param main: the coroutine.
    :param debug: whether the loop is in debug mode; asyncio's default if None.
    :returns: the result of the coroutine.
    :raises RuntimeError: a loop is running in this thread, or another reactor is installed.
    :raises TypeError: it is no coroutine.
    """

    async def running() -> _T:
        async with running_reactor():
            try:
                return await main
            finally:
                # asyncio cancels them only after this, when the reactor does not run any more.
                await _cancel_others()

    if not asyncio.iscoroutine(main):
        raise TypeError(f"run takes a coroutine, as in run(main()), not {main!r:.80}")
    with contextlib.closing(main), contextlib.closing(running()) as whole:
        return asyncio.run(whole, debug=debug)


async def _until(ended: asyncio.Future[None]) -> None:
    """Wait for the end of something that must end. A cancellation takes effect after that."""
    cancelled: asyncio.CancelledError | None = None
    while not ended.done():
        try:
            await asyncio.shield(ended)
        except asyncio.CancelledError as error:
            cancelled = error
    if cancelled is not None:
        raise cancelled


async def _cancel_others() -> None:
    tasks = asyncio.all_tasks() - {asyncio.current_task()}
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    for task in tasks:
        if not task.cancelled() and task.exception() is not None:
            context = {"message": "a task failed after it was cancelled", "exception": task.exception(), "task": task}
            asyncio.get_running_loop().call_exception_handler(context)


def _loop_of(reactor: AsyncioSelectorReactor) -> asyncio.AbstractEventLoop:
    return reactor._asyncioEventloop
