"""Calls: Deferreds that are coroutines of asyncio, and their cancellation."""

from __future__ import annotations

import asyncio
import gc
import sys
from collections import Counter
from collections.abc import Callable
from itertools import product
from typing import Any

from twisted.internet.defer import CancelledError, Deferred, fail, succeed
from twisted.logger import globalLogPublisher
from twisted.python.failure import Failure

from txmirror.aio import Call
from txmirror.errors import NoNodeException
from txmirror.test.aio.case import LoopCase, turns


class CallTests(LoopCase):
    def setUp(self) -> None:
        self.cancelled: list[str] = []
        self.undone: list[object] = []

    def call(self, deferred: Deferred[Any] | None = None) -> Call[Any]:
        self.deferred = Deferred(lambda _: self.cancelled.append("cancelled")) if deferred is None else deferred
        return Call(self.deferred, asyncio.get_running_loop(), self.undone.append)

    def test_awaiting(self) -> None:
        """It can be awaited before and after it is done, and again."""

        async def main() -> None:
            call = self.call()
            asyncio.get_running_loop().call_soon(self.deferred.callback, 7)
            self.assertEqual([await call, await call], [7, 7])
            self.assertEqual(await self.call(succeed(8)), 8)
            self.assertEqual(self.undone, [])

        self.on_loop(main)

    def test_as_coroutine(self) -> None:
        """asyncio takes it wherever it takes a coroutine."""

        async def main() -> None:
            task = asyncio.create_task(self.call())
            await turns()
            self.deferred.callback(1)
            self.assertEqual(await task, 1)
            self.assertEqual(await asyncio.gather(self.call(succeed(2)), self.call(succeed(3))), [2, 3])
            self.assertEqual(await asyncio.wait_for(self.call(succeed(4)), 5), 4)
            self.assertEqual(await asyncio.shield(self.call(succeed(5))), 5)
            if sys.version_info >= (3, 11):
                async with asyncio.TaskGroup() as group:
                    tasks = [group.create_task(self.call(succeed(number))) for number in (6, 7)]
                self.assertEqual([each.result() for each in tasks], [6, 7])

        self.on_loop(main)

    def test_eager_tasks(self) -> None:
        """Tasks that begin at once, since Python 3.12, take it too."""

        async def main() -> None:
            if sys.version_info >= (3, 12):
                asyncio.get_running_loop().set_task_factory(asyncio.eager_task_factory)
                self.assertEqual(await asyncio.create_task(self.call(succeed(1))), 1)
                task = asyncio.create_task(self.call())
                self.deferred.callback(2)
                self.assertEqual(await task, 2)

        self.on_loop(main)

    def test_failures(self) -> None:
        """A failure is the same exception."""

        async def main() -> None:
            error = NoNodeException(path="/a")
            for call in (self.call(fail(error)), asyncio.create_task(self.call(fail(error)))):
                with self.assertRaises(NoNodeException) as caught:
                    await call
                self.assertIs(caught.exception, error)

        self.on_loop(main)

    def test_task_cancelled(self) -> None:
        """A cancelled task cancels the Deferred before it goes on, and its exception is asyncio's."""

        async def main() -> None:
            seen: list[str] = []

            async def wait() -> None:
                try:
                    await self.call()
                except asyncio.CancelledError:
                    seen.extend(self.cancelled)
                    raise

            for make in (wait, self.call):
                task = asyncio.create_task(make())
                await turns()
                task.cancel()
                with self.assertRaises(asyncio.CancelledError):
                    await task
                self.assertTrue(task.cancelled())
            self.assertEqual(seen, ["cancelled"])
            self.assertEqual(self.cancelled, ["cancelled"] * 2)
            self.assertEqual(self.undone, [])

        self.on_loop(main)

    def test_cancelled_at_once(self) -> None:
        """A task that is cancelled before its first step cancels the Deferred too."""

        async def main() -> None:
            task = asyncio.create_task(self.call())
            task.cancel()
            with self.assertRaises(asyncio.CancelledError):
                await task
            await turns()
            self.assertEqual(self.cancelled, ["cancelled"])

        self.on_loop(main)

    def test_timeout(self) -> None:
        """asyncio's timeouts cancel the Deferred."""

        async def main() -> None:
            with self.assertRaises(asyncio.TimeoutError):
                await asyncio.wait_for(self.call(), 0.01)
            if sys.version_info >= (3, 11):
                with self.assertRaises(TimeoutError):
                    async with asyncio.timeout(0.01):
                        await self.call()
                self.assertEqual(self.cancelled.pop(), "cancelled")
            self.assertEqual(self.cancelled, ["cancelled"])

        self.on_loop(main)

    def test_cancelled_by_others(self) -> None:
        """A Deferred that somebody else has cancelled is an ordinary failure: the task is not cancelled."""

        async def main() -> None:
            task = asyncio.create_task(self.call())
            await turns()
            self.deferred.cancel()
            with self.assertRaises(CancelledError):
                await task
            self.assertFalse(task.cancelled())

        self.on_loop(main)

    def test_close(self) -> None:
        """Closing abandons it, once and at any time."""

        async def main() -> None:
            call = self.call()
            call.close()
            call.close()
            await turns()
            self.assertEqual(self.cancelled, ["cancelled"])
            call = self.call(succeed(1))
            await call
            call.close()
            self.assertEqual(self.undone, [])
            self.call(succeed(2)).close()
            self.assertEqual(self.undone, [2])

        self.on_loop(main)

    def test_unreceived(self) -> None:
        """A result that arrives in the moment of a cancellation is undone, once."""

        async def main() -> None:
            for cancelled_first in (True, False):
                for make in (self.call, self.awaiting):
                    task = asyncio.create_task(make())
                    await turns()
                    if cancelled_first:
                        task.cancel()
                    self.deferred.callback("lock")
                    if not cancelled_first:
                        task.cancel()
                    with self.assertRaises(asyncio.CancelledError):
                        await task
                    self.assertEqual(self.undone, ["lock"], (cancelled_first, make))
                    self.undone.clear()
            self.assertEqual(self.cancelled, [])

        self.on_loop(main)

    def test_all_orders(self) -> None:
        """Whenever the result and the cancellation come, the result is received or undone, once; or the Deferred is cancelled."""

        async def main() -> None:
            outcomes: Counter[str] = Counter()

            def fire() -> None:
                if not self.deferred.called:
                    self.deferred.callback("lock")

            # Before its first step, a coroutine has not made the call yet.
            begun = [(self.call, 0), *product((self.call, self.awaiting), range(1, 4))]
            for (make, before), between, fire_first in product(begun, range(4), (True, False)):
                self.setUp()
                task: asyncio.Task[object] = asyncio.create_task(make())
                await turns(before)
                steps: list[Callable[[], object]] = [fire, task.cancel] if fire_first else [task.cancel, fire]
                for step in steps:
                    step()
                    await turns(between)
                received = (await asyncio.gather(task, return_exceptions=True))[0] == "lock"
                await turns()
                ends = (received, self.undone == ["lock"], self.cancelled == ["cancelled"])
                self.assertEqual(sum(ends), 1, (ends, make, before, between, fire_first))
                self.assertLessEqual(len(self.undone) + len(self.cancelled), 1)
                outcomes[("received", "undone", "cancelled")[ends.index(True)]] += 1
            self.assertEqual(set(outcomes), {"received", "undone", "cancelled"})

        self.on_loop(main)

    async def awaiting(self) -> object:
        return await self.call()

    def test_failed_in_that_moment(self) -> None:
        """There is nothing to undo after a failure."""

        async def main() -> None:
            task = asyncio.create_task(self.call())
            await turns()
            self.deferred.errback(Failure(NoNodeException()))
            task.cancel()
            with self.assertRaises(asyncio.CancelledError):
                await task
            self.assertEqual(self.undone, [])

        self.on_loop(main)

    def test_nobody_awaits(self) -> None:
        """A failure that nobody awaits is logged, once, by asyncio; one that was awaited is not."""

        async def main() -> None:
            logged: list[dict[str, Any]] = []
            loop = asyncio.get_running_loop()
            loop.set_exception_handler(lambda _, context: logged.append(context))
            events: list[Any] = []
            observer: Any = events.append
            globalLogPublisher.addObserver(observer)
            try:
                with self.assertRaises(NoNodeException):
                    await self.call(fail(NoNodeException()))
                self.call(succeed(1))
                self.deferred = succeed(None)
                await turns()
                gc.collect()
                self.assertEqual(logged, [])
                self.call(fail(NoNodeException(path="/a")))
                self.deferred = succeed(None)
                await turns()
                gc.collect()
            finally:
                globalLogPublisher.removeObserver(observer)
            self.assertEqual([str(each["exception"]) for each in logged], ["no such znode: '/a'"])
            self.assertEqual([event for event in events if "log_failure" in event], [])

        self.on_loop(main)
