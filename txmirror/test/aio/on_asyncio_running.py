"""The reactor on asyncio's loop: its start and end, its threads, and the errors without it."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
import threading
from typing import Any

from twisted.internet import threads
from twisted.internet.asyncioreactor import AsyncioSelectorReactor
from twisted.internet.main import installReactor

from txmirror import Mirror, ServiceRegistry, aio
from txmirror.client import ZooKeeperClient
from txmirror.test.aio.case import LoopCase, turns
from txmirror.testing import MemoryReactor


def installed() -> bool:
    return "twisted.internet.reactor" in sys.modules


class RunningTests(LoopCase):
    def setUp(self) -> None:
        self.assertFalse(installed())

    def tearDown(self) -> None:
        self.assertEqual(threading.enumerate(), [threading.main_thread()])

    def test_result(self) -> None:
        """``run`` returns the result, or raises the exception."""

        async def add(number: int) -> int:
            await asyncio.sleep(0)
            return number + 1 // (number - 1)

        self.assertEqual(aio.run(add(2)), 3)
        self.assertRaises(ZeroDivisionError, aio.run, add(1))

    def test_whole_reactor(self) -> None:
        """Timers, threads, name resolution and the triggers work, and the global reactor is this one."""
        done: list[object] = []

        async def main() -> None:
            from twisted.internet import reactor as global_reactor

            reactor: Any = global_reactor
            loop = asyncio.get_running_loop()
            started = loop.create_future()
            reactor.callWhenRunning(started.set_result, "running")
            done.append(await started)
            ticked = loop.create_future()
            reactor.callLater(0.001, ticked.set_result, "later")
            done.append(await ticked)
            done.append(await aio.Call(threads.deferToThread(threading.current_thread), loop))
            done.append(await aio.Call(reactor.resolve("localhost"), loop))
            reactor.addSystemEventTrigger("before", "shutdown", self.wait_a_moment, reactor, done)

        self.on_loop(main)
        self.assertEqual([done[0], done[1], done[3], done[4]], ["running", "later", "127.0.0.1", "shut down"])
        self.assertIsNot(done[2], threading.main_thread())

    def wait_a_moment(self, reactor: Any, done: list[object]) -> Any:
        from twisted.internet.task import deferLater

        return deferLater(reactor, 0.001, done.append, "shut down")

    def test_again(self) -> None:
        """A process can do it again, and leaks no file descriptors."""

        async def main() -> None:
            await asyncio.sleep(0)

        self.on_loop(main)
        before = len(os.listdir("/proc/self/fd"))  # noqa: PTH208 - there are no paths to make
        for _ in range(3):
            self.on_loop(main)
        self.assertEqual(len(os.listdir("/proc/self/fd")), before)  # noqa: PTH208

    def test_asyncio_run(self) -> None:
        """On a loop that asyncio runs, the reactor runs within a context, which may be entered again."""

        async def main() -> None:
            async with aio.running_reactor() as reactor:
                async with aio.running_reactor() as same:
                    self.assertIs(same, reactor)
                self.assertTrue(reactor.running)
                aio.Mirror("127.0.0.1:1")
            self.assertFalse(reactor.running)
            self.assertFalse(installed())
            # The loop goes on.
            await asyncio.sleep(0.001)
            async with aio.running_reactor() as other:
                self.assertIsNot(other, reactor)

        asyncio.run(main(), debug=True)
        if sys.version_info >= (3, 11):
            with asyncio.Runner(debug=True) as runner:
                runner.run(main())
                runner.run(main())

    def test_reactor_in_charge(self) -> None:
        """Under ``reactor.run`` of Twisted's own reactor for asyncio, nothing need be entered."""
        loop = asyncio.new_event_loop()
        self.addCleanup(loop.close)
        reactor = AsyncioSelectorReactor(loop)
        installReactor(reactor)
        self.addCleanup(sys.modules.pop, "twisted.internet.reactor")
        seen: list[object] = []

        async def main() -> None:
            try:
                async with aio.running_reactor() as same:
                    seen.append(same)
                seen.append(reactor.running)
                seen.append(aio.Mirror("127.0.0.1:1").state.value)
            finally:
                reactor.stop()

        async def before() -> None:
            aio.Mirror("127.0.0.1:1")

        with self.assertRaisesRegex(RuntimeError, "was not started: run the program with txmirror.aio.run"):
            loop.run_until_complete(before())
        tasks: list[object] = []
        reactor.callWhenRunning(lambda: tasks.append(loop.create_task(main())))
        reactor.run(installSignalHandlers=False)
        self.assertEqual(seen, [reactor, True, "disconnected"])

    def test_no_reactor(self) -> None:
        """Without the reactor, the error says how to run it."""

        async def main() -> None:
            aio.Mirror()

        with self.assertRaisesRegex(
            RuntimeError,
            r"^Twisted's reactor does not run on this event loop: run the program with txmirror.aio.run\(main",
        ):
            asyncio.run(main())

    def test_other_loop(self) -> None:
        """An object refuses calls from another loop and from none, and starts nothing."""
        errors: list[str] = []

        async def main() -> None:
            node = aio.Mirror("127.0.0.1:1").get("/a")

            async def elsewhere() -> None:
                try:
                    node.value()
                except RuntimeError as error:
                    errors.append(str(error))
                try:
                    aio.Mirror()
                except RuntimeError as error:
                    errors.append(str(error))

            await asyncio.to_thread(asyncio.run, elsewhere())
            with self.assertRaisesRegex(RuntimeError, "belongs to another event loop"):
                await asyncio.to_thread(node.addValueWatcher, "a", print)

        self.on_loop(main)
        self.assertEqual(
            errors[0],
            "<aio <Node '/a' unknown>> belongs to another event loop than the one that is running here, if any",
        )
        self.assertRegex(errors[1], "^Twisted's reactor runs on another event loop: ")

    def test_stopped_by_program(self) -> None:
        """A program may stop the reactor itself."""

        async def main() -> None:
            async with aio.running_reactor() as reactor:
                reactor.stop()

        async def later() -> None:
            async with aio.running_reactor() as reactor:
                reactor.stop()
                await turns(20)
                self.assertFalse(reactor.running)

        self.on_loop(main)
        self.on_loop(later)

    def test_cancelled_at_end(self) -> None:
        """A program that is cancelled while the reactor stops still waits for that, and is cancelled then."""
        done: list[object] = []

        async def stopping() -> None:
            async with aio.running_reactor() as reactor:
                reactor.addSystemEventTrigger("before", "shutdown", self.wait_a_moment, reactor, done)

        async def main() -> None:
            task = asyncio.create_task(stopping())
            for _ in range(2):
                await turns(3)
                task.cancel()
            with self.assertRaises(asyncio.CancelledError):
                await task
            self.assertEqual(done, ["shut down"])
            self.assertFalse(installed())

        asyncio.run(main())

    def test_no_coroutine(self) -> None:
        """``run`` refuses all but a coroutine, and a call within a running loop."""
        wrong: Any = turns
        with self.assertRaisesRegex(TypeError, r"^run takes a coroutine, as in run\(main\(\)\), not <function turns"):
            aio.run(wrong)

        async def main() -> None:
            with self.assertRaisesRegex(RuntimeError, "running event loop"):
                aio.run(turns())

        asyncio.run(main())

    def test_other_tasks(self) -> None:
        """Other tasks are cancelled while the reactor still runs; what they raise then is reported."""
        ended: list[object] = []

        async def other() -> None:
            from twisted.internet import reactor

            try:
                await asyncio.sleep(100)
            finally:
                await asyncio.sleep(0)
                ended.append(reactor.running)
                raise ValueError("in the end")

        async def main() -> None:
            loop = asyncio.get_running_loop()
            loop.set_exception_handler(lambda _, context: ended.append(str(context["exception"])))
            ended.append(asyncio.create_task(other()))
            await turns()

        self.on_loop(main)
        self.assertEqual(ended[1:], [True, "in the end"])

    def test_interrupt(self) -> None:
        """Ctrl-C cancels the program, which can still clean up, and stops the reactor."""
        ended: list[object] = []

        async def main() -> None:
            async with aio.running_reactor() as reactor:
                loop = asyncio.get_running_loop()
                loop.call_later(0.01, os.kill, os.getpid(), signal.SIGINT)
                try:
                    await asyncio.sleep(5)
                finally:
                    with contextlib.suppress(asyncio.CancelledError):
                        await aio.Call(threads.deferToThread(ended.append, "cleaned up"), loop)
                    ended.append(reactor.running)

        self.assertRaises(KeyboardInterrupt, aio.run, main())
        self.assertEqual(ended, ["cleaned up", True])

    def test_terminated(self) -> None:
        """A program that cancels its main task at SIGTERM closes its objects on the running reactor, and ends without an exception."""
        ended: list[object] = []

        async def main() -> None:
            loop, task = asyncio.get_running_loop(), asyncio.current_task()
            assert task is not None
            loop.add_signal_handler(signal.SIGTERM, task.cancel)
            async with aio.Mirror("127.0.0.1:1") as mirror:
                loop.call_later(0.01, os.kill, os.getpid(), signal.SIGTERM)
                try:
                    await asyncio.sleep(5)
                finally:
                    ended.append(mirror)

        with contextlib.suppress(asyncio.CancelledError):
            aio.run(main())
        (mirror,) = ended
        assert isinstance(mirror, aio.Mirror)
        self.assertEqual(mirror.state.value, "closed")

    def test_wrap(self) -> None:
        """An object with another reactor is refused: in memory, or of another loop."""

        async def main() -> None:
            memory = MemoryReactor()
            refused: tuple[tuple[Any, Any], ...] = (
                (aio.ZooKeeperClient, ZooKeeperClient("127.0.0.1:1", reactor=memory)),
                (aio.Mirror, Mirror("127.0.0.1:1", reactor=memory)),
                (aio.ServiceRegistry, ServiceRegistry("127.0.0.1:1", reactor=memory)),
            )
            for wrapper, wrapped in refused:
                with self.assertRaisesRegex(
                    RuntimeError, r"^<.*> has another reactor than this event loop: MemoryReactor$"
                ):
                    wrapper.wrap(wrapped)
            async with aio.running_reactor() as reactor:
                mirror = Mirror("127.0.0.1:1", reactor=reactor)
                self.assertIs(aio.Mirror.wrap(mirror).wrapped, mirror)

        self.on_loop(main)
