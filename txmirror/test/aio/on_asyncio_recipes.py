"""The recipes in tasks of asyncio."""

from __future__ import annotations

import asyncio
import contextvars
from typing import Any

from twisted.internet.defer import CancelledError

from txmirror import aio
from txmirror.recipes import Share
from txmirror.test.aio.case import ServerCase, turns

_variable: contextvars.ContextVar[str] = contextvars.ContextVar("_variable", default="")


class LockTests(ServerCase):
    def test_lock(self) -> None:
        """``async with`` holds a lock, which others wait for."""

        async def main() -> None:
            async with aio.Mirror(self.server.address) as one, aio.ZooKeeperClient(self.server.address) as other:
                lock, theirs = aio.Lock(one, "/lock", name="one"), aio.Lock(other, "/lock", name="other")
                async with lock as same:
                    self.assertIs(same, lock)
                    self.assertTrue(lock.held)
                    self.assertFalse(await theirs.acquire(wait=0))
                    waiting = asyncio.create_task(theirs.acquire())
                    while await lock.contenders() != ["one", "other"]:
                        pass
                self.assertTrue(await waiting)
                self.assertGreater(theirs.token, lock.token)
                await theirs.release()

        self.on_loop(main)

    def test_lost(self) -> None:
        """A task can wait for the loss of a lock."""

        async def main() -> None:
            async with aio.ZooKeeperClient(self.server.address) as client:
                lock = aio.Lock(client, "/lock")
                await lock.acquire()
                lost = asyncio.create_task(lock.lost)
                await turns()
                self.assertFalse(lost.done())
                self.server.expire_session(client.session_id)
                await lost
                self.assertFalse(lock.held)
                await lock.release()

        self.on_loop(main)

    def test_timeout(self) -> None:
        """A wait that is cancelled leaves no node."""

        async def main() -> None:
            async with (
                aio.ZooKeeperClient(self.server.address) as one,
                aio.ZooKeeperClient(self.server.address) as other,
            ):
                async with aio.WriteLock(one, "/lock"):
                    reading = aio.ReadLock(other, "/lock", name="reader")
                    with self.assertRaises(asyncio.TimeoutError):
                        await asyncio.wait_for(reading.__aenter__(), 0.05)
                    await reading.release()
                    self.assertEqual(await reading.contenders(), [""])
                async with reading:
                    self.assertTrue(reading.held)

        self.on_loop(main)

    def test_cancelled_when_acquired(self) -> None:
        """A lock that is acquired in the moment in which its task is cancelled is released."""

        async def main() -> None:
            async with aio.ZooKeeperClient(self.server.address) as client:
                lock = aio.Lock(client, "/lock")
                for entering in (False, True):
                    task: asyncio.Task[Any] = asyncio.create_task(lock.__aenter__() if entering else lock.acquire())
                    while not lock.held:
                        await asyncio.sleep(0)
                    # The task has not got the result yet.
                    self.assertFalse(task.done())
                    task.cancel()
                    with self.assertRaises(asyncio.CancelledError):
                        await task
                    self.assertFalse(lock.held)
                    # It waits for the end of that release.
                    await lock.release()
                    self.assertEqual(await lock.contenders(), [])

        self.on_loop(main)

    def test_semaphore(self) -> None:
        """A semaphore has so many holders."""

        async def main() -> None:
            async with aio.Mirror(self.server.address) as mirror:
                desks = [aio.Semaphore(mirror, "/desks", leases=2, name=name) for name in "abc"]
                self.assertEqual([await desk.acquire(wait=0) for desk in desks], [True, True, False])
                self.assertEqual(sorted(await desks[2].holders()), ["a", "b"])
                for desk in desks:
                    await desk.release()

        self.on_loop(main)


class ElectionTests(ServerCase):
    def test_result(self) -> None:
        """The leader's coroutine runs as a task, in the context of the call, and its result is returned."""

        async def main() -> None:
            async def sweep() -> tuple[str, bool, object]:
                await asyncio.sleep(0)
                return _variable.get(), bool(election.leading), type(asyncio.current_task()).__name__

            async with aio.Mirror(self.server.address) as mirror:
                election = aio.Election(mirror, "/election")
                _variable.set("swept")
                leading = election.run(sweep)
                _variable.set("changed")
                self.assertEqual(await leading, ("swept", True, "Task"))
                self.assertFalse(election.leading)

        self.on_loop(main)

    def test_failure(self) -> None:
        """A failure of the leader's coroutine, or of its call, is raised."""

        async def main() -> None:
            async def fail() -> None:
                await asyncio.sleep(0)
                raise ValueError("dirty")

            async with aio.Mirror(self.server.address) as mirror:
                election = aio.Election(mirror, "/election")
                with self.assertRaisesRegex(ValueError, "dirty"):
                    await election.run(fail)
                wrong: Any = len
                with self.assertRaises(TypeError):
                    await election.run(wrong)
                no_function: Any = "sweep"
                with self.assertRaisesRegex(TypeError, "only a function can lead, not 'sweep'"):
                    election.run(no_function)

        self.on_loop(main)

    async def lead(self, mirror: aio.Mirror, ended: list[str]) -> tuple[aio.Election, asyncio.Task[None]]:
        """Lead with a coroutine that takes its time to end."""
        begun = asyncio.Event()

        async def serve() -> None:
            begun.set()
            try:
                await asyncio.sleep(100)
            except asyncio.CancelledError:
                await asyncio.sleep(0.01)
                ended.append("ended")
                raise

        election = aio.Election(mirror, "/election")
        leading = asyncio.create_task(election.run(serve))
        await begun.wait()
        return election, leading

    def test_stop(self) -> None:
        """Stopping cancels the leader's task and waits for its end; whoever awaits the election is not cancelled."""

        async def main() -> None:
            ended: list[str] = []
            async with aio.Mirror(self.server.address) as mirror:
                election, leading = await self.lead(mirror, ended)
                await election.stop()
                self.assertEqual(ended, ["ended"])
                with self.assertRaises(CancelledError):
                    await leading
                self.assertFalse(leading.cancelled())

        self.on_loop(main)

    def test_cancel(self) -> None:
        """Cancelling the task that awaits the election stops it."""

        async def main() -> None:
            ended: list[str] = []
            async with aio.Mirror(self.server.address) as mirror:
                election, leading = await self.lead(mirror, ended)
                leading.cancel()
                with self.assertRaises(asyncio.CancelledError):
                    await leading
                await election.stop()
                self.assertEqual((ended, await election.contenders()), (["ended"], []))

        self.on_loop(main)

    def test_lost(self) -> None:
        """A leader that has lost its session is cancelled, and stands again."""

        async def main() -> None:
            terms: list[str] = []

            async def serve() -> str:
                terms.append("begun")
                if len(terms) == 1:
                    try:
                        await asyncio.sleep(100)
                    finally:
                        terms.append("lost")
                return "served"

            async with aio.ZooKeeperClient(self.server.address) as client:
                election = aio.Election(client, "/election")
                leading = asyncio.create_task(election.run(serve))
                while not terms:
                    await asyncio.sleep(0.001)
                self.server.expire_session(client.session_id)
                self.assertEqual(await leading, "served")
                self.assertEqual(terms, ["begun", "lost", "begun"])

        self.on_loop(main)


class QueueTests(ServerCase):
    def test_queue(self) -> None:
        """A task waits for an entry that another client puts."""

        async def main() -> None:
            async with aio.Mirror(self.server.address) as one, aio.ZooKeeperClient(self.server.address) as other:
                queue, theirs = aio.Queue(one, "/queue"), aio.Queue(other, "/queue")
                waiting = asyncio.create_task(queue.get())
                await theirs.put_all([b"1", b"2"])
                self.assertEqual((await waiting, await theirs.peek(), await queue.length()), (b"1", b"2", 1))
                self.assertEqual((await queue.get(wait=5.0), await queue.get(wait=0)), (b"2", None))

        self.on_loop(main)

    def test_cancelled(self) -> None:
        """A task that is cancelled at any step does not lose an entry."""

        async def main() -> None:
            async with aio.ZooKeeperClient(self.server.address) as client:
                queue = aio.Queue(client, "/queue")
                await queue.put(b"1")
                number, cancelled = 0, True
                while cancelled:
                    task = asyncio.create_task(queue.get())
                    for _ in range(number):
                        await asyncio.sleep(0)
                    task.cancel()
                    try:
                        self.assertEqual(await task, b"1")
                        cancelled = False
                    except asyncio.CancelledError:
                        self.assertEqual(await queue.get(), b"1", number)
                        await queue.put(b"1")
                    number += 1
                self.assertGreater(number, 5)

        self.on_loop(main)

    def test_locking_queue(self) -> None:
        """An entry is consumed at the end of the block, and released after an exception."""

        async def main() -> None:
            async with aio.ZooKeeperClient(self.server.address) as one, aio.Mirror(self.server.address) as other:
                queue, theirs = aio.LockingQueue(one, "/queue", name="one"), aio.LockingQueue(other, "/queue")
                waiting = asyncio.create_task(queue.get())
                await theirs.put(b"1")
                entry = await waiting
                with self.assertRaises(ZeroDivisionError):
                    async with entry:
                        self.assertEqual((entry.data, entry.held, entry.consumed), (b"1", True, False))
                        raise ZeroDivisionError
                async with await theirs.get() as entry:
                    self.assertIsNone(await queue.get(wait=0))
                    self.assertEqual(entry.name, "entry-100-0000000000")
                self.assertEqual((entry.consumed, await queue.length()), (True, 0))

        self.on_loop(main)

    def test_locking_queue_cancelled(self) -> None:
        """A task that is cancelled at any step keeps no entry."""

        async def main() -> None:
            async with aio.ZooKeeperClient(self.server.address) as client:
                queue = aio.LockingQueue(client, "/queue")
                await queue.put(b"1")
                number, cancelled = 0, True
                while cancelled:
                    task = asyncio.create_task(queue.get())
                    for _ in range(number):
                        await asyncio.sleep(0)
                    task.cancel()
                    try:
                        entry = await task
                        cancelled = False
                    except asyncio.CancelledError:
                        entry = await queue.get()
                    self.assertEqual(entry.data, b"1", number)
                    await entry.release()
                    number += 1
                self.assertGreater(number, 5)

        self.on_loop(main)


class OthersTests(ServerCase):
    def test_counter(self) -> None:
        """A counter counts."""

        async def main() -> None:
            async with aio.Mirror(self.server.address) as mirror:
                counter = aio.Counter(mirror, "/counter")
                self.assertEqual(await asyncio.gather(counter.add(1), counter.value()), [1, 0])
                self.assertEqual(await aio.Counter(mirror, "/counter", default=0.5).add(0.5), 1.5)

        self.on_loop(main)

    def test_shared_value(self) -> None:
        """A value is replaced only if it is the expected one."""

        async def main() -> None:
            async with aio.ZooKeeperClient(self.server.address) as client:
                value = aio.SharedValue(client, "/value", default=b"0")
                self.assertEqual([await value.try_set(b"1", each) for each in (b"2", b"0")], [False, True])
                self.assertEqual(await value.update(lambda data: data + b"2"), b"12")
                self.assertTrue(await value.try_set(b"3", await value.get_versioned()))
                self.assertEqual(await value.get(), b"3")

        self.on_loop(main)

    def test_partitioner(self) -> None:
        """Two members share items; the task for an item is cancelled, and has ended before the other has the item."""

        async def main() -> None:
            working: dict[str, str] = {}

            async with aio.Mirror(self.server.address) as one, aio.ZooKeeperClient(self.server.address) as other:

                def member(client: aio.Mirror | aio.ZooKeeperClient, name: str) -> aio.Partitioner:
                    async def work(share: Share) -> None:
                        self.assertNotIn(share.item, working)
                        working[share.item] = name
                        try:
                            await asyncio.Event().wait()
                        finally:
                            await asyncio.sleep(0.01)
                            del working[share.item]

                    return aio.Partitioner(client, "/shared", list("uvwxyz"), work, name=name, delay=0.05)

                async with member(one, "a") as first:
                    changes = first.changes()
                    async for shares in changes:
                        if len(shares) == 6:
                            break
                    async with member(other, "b") as second:
                        while len(second.shares) + len(first.shares) < 6 or not second.shares:
                            await asyncio.sleep(0.01)
                        self.assertEqual(set(working), set("uvwxyz"))
                        self.assertEqual({item for item in working if working[item] == "b"}, second.shares)
                self.assertEqual(working, {})
                with self.assertRaises(StopAsyncIteration):
                    while True:
                        await changes.__anext__()

        self.on_loop(main)

    def test_barriers(self) -> None:
        """Tasks wait for each other."""

        async def main() -> None:
            async with aio.Mirror(self.server.address) as one, aio.ZooKeeperClient(self.server.address) as other:
                barriers = [aio.DoubleBarrier(client, "/both", count=2) for client in (one, other)]

                async def work(barrier: aio.DoubleBarrier) -> bool:
                    async with barrier:
                        return barrier.entered

                self.assertEqual(await asyncio.gather(*map(work, barriers)), [True, True])
                barrier = aio.Barrier(one, "/barrier")
                await barrier.create()
                waiting = asyncio.create_task(aio.Barrier(other, "/barrier").wait())
                self.assertFalse(await barrier.wait(timeout=0.01))
                self.assertTrue(await barrier.remove())
                self.assertTrue(await waiting)

        self.on_loop(main)

    def test_members(self) -> None:
        """Members see each other."""

        async def main() -> None:
            async with aio.Mirror(self.server.address) as mirror:
                party, members = aio.Party(mirror, "/party", name="a"), aio.Members(mirror, "/group", "a", b"1")
                async with party, members:
                    self.assertEqual((await party.members(), await party.length()), (["a"], 1))
                    self.assertEqual((await members.members(), members.joined), ({"a": b"1"}, True))
                self.assertEqual((await party.members(), await members.members()), ([], {}))

        self.on_loop(main)
