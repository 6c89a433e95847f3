"""The contract of queues and counters on every server."""

from __future__ import annotations

from twisted.internet.defer import gatherResults

from txmirror.errors import NoAuthException
from txmirror.recipes import Counter, LockingQueue, Queue, SharedValue
from txmirror.test.client.contract import run
from txmirror.test.recipes.contract import RecipesCase
from txmirror.types import READ_ACL, digest_acl


class QueuesContract(RecipesCase):
    """Two programs that put and take, one of which can be disconnected."""

    @run
    async def test_queue(self) -> None:
        """Each entry is taken once, in the order of priorities, and then of puts."""
        await self.begin()
        queues = [Queue(client, self.path) for client in (self.client, self.other)]
        await self.within(queues[0].put(b"b"))
        await self.within(queues[1].put_all([b"c", b"d"]))
        await self.within(queues[1].put(b"a", 5))
        self.assertEqual(await self.within(queues[0].length()), 4)
        self.assertEqual(await self.within(queues[0].peek()), b"a")
        taken = [await self.within(queues[number % 2].get(wait=0)) for number in range(5)]
        self.assertEqual(taken, [b"a", b"b", b"c", b"d", None])
        self.assertIsNone(await self.within(queues[0].get(wait=0.05)))
        self.assertEqual(await self.within(queues[1].length()), 0)
        for path in (self.path, f"{self.path}-__taken__"):
            while await self.within(self.other.get_children(path)):
                pass

    @run
    async def test_queue_at_once(self) -> None:
        """Many takers and putters at once: each entry is taken by one."""
        await self.begin()
        queues = [Queue(client, self.path) for client in (self.client, self.other)]
        taking = [queues[number % 2].get() for number in range(20)]
        putting = [queues[number % 2].put(b"%d" % number) for number in range(20)]
        await self.within(gatherResults(putting))
        taken = await self.within(gatherResults(taking))
        self.assertEqual(sorted(taken), sorted(b"%d" % number for number in range(20)))

    @run
    async def test_queue_disconnected(self) -> None:
        """A taker that is disconnected gets the entry that was put meanwhile; one that waits survives the end of its session."""
        await self.begin()
        ours, theirs = Queue(self.client, self.path), Queue(self.other, self.path)
        taking = ours.get()
        await self.within(theirs.put(b"0"))
        self.assertEqual(await self.within(taking), b"0")
        for number in range(2):
            taking = ours.get()
            await self.interrupt(lambda: theirs.put(b"%d" % number))  # noqa: B023
            self.assertEqual(await self.within(taking), b"%d" % number)
        taking = ours.get()
        session = self.client.session_id
        await self.end_session()
        while self.client.session_id in (0, session):
            await self.pause(0.05)
        await self.within(theirs.put(b"2"))
        self.assertEqual(await self.within(taking), b"2")

    @run
    async def test_queue_acl(self) -> None:
        """Only clients with the identity can put and take."""
        await self.begin()
        acl = [digest_acl("app", "secret"), *READ_ACL]
        await self.within(self.other.add_auth("digest", b"app:secret"))
        queue, foreign = Queue(self.other, self.path, acl=acl), Queue(self.client, self.path)
        await self.within(queue.put(b"1"))
        await self.within(self.client.sync())
        self.assertEqual(await self.within(foreign.peek()), b"1")
        for refused in (foreign.put(b"2"), foreign.get()):
            with self.assertRaises(NoAuthException):
                await self.within(refused)
        self.assertEqual(await self.within(queue.get(wait=0)), b"1")
        await self.within(self.client.add_auth("digest", b"app:secret"))

    @run
    async def test_locking_queue(self) -> None:
        """A taken entry is kept from others; consumed, it is gone, and released, it is there again."""
        await self.begin()
        ours, theirs = LockingQueue(self.client, self.path), LockingQueue(self.other, self.path)
        await self.within(ours.put_all([b"1", b"2"]))
        entries = [await self.within(queue.get()) for queue in (ours, theirs)]
        self.assertEqual([entry.data for entry in entries], [b"1", b"2"])
        self.assertIsNone(await self.within(ours.get(wait=0)))
        self.assertEqual(await self.within(theirs.length()), 2)
        waiting = theirs.get()
        self.assertIs(await self.within(entries[1].consume()), True)
        self.assertFalse(waiting.called)
        await self.within(entries[0].release())
        entry = await self.within(waiting)
        self.assertEqual(entry.data, b"1")
        self.assertTrue(entry.held)
        async with entry:
            pass
        self.assertTrue(entry.consumed)
        self.assertEqual(await self.within(ours.length()), 0)

    @run
    async def test_locking_queue_session_ended(self) -> None:
        """When its consumer's session ends, an entry is there again for others, and not consumed by the first."""
        await self.begin()
        ours, theirs = LockingQueue(self.client, self.path), LockingQueue(self.other, self.path)
        await self.within(ours.put(b"1"))
        entry = await self.within(ours.get())
        waiting = theirs.get()
        await self.end_session()
        again = await self.within(waiting)
        self.assertEqual((again.data, again.held), (b"1", True))
        await self.within(entry.lost)
        self.assertFalse(entry.held)
        self.assertIs(await self.within(entry.consume()), False)
        self.assertIs(await self.within(again.consume()), True)

    @run
    async def test_counter(self) -> None:
        """Additions of two programs at once all count, and are read in one of them afterwards."""
        await self.begin()
        counters = [Counter(client, self.path) for client in (self.client, self.other)]
        self.assertEqual(await self.within(counters[0].value()), 0)
        added = await self.within(gatherResults([counters[number % 2].add(2) for number in range(10)]))
        self.assertEqual(sorted(added), list(range(2, 22, 2)))
        for counter in counters:
            self.assertEqual(await self.within(counter.value()), 20)
        self.assertEqual((await self.within(self.other.get(self.path)))[0], b"20")
        self.assertEqual(await self.within(counters[0].add(-30)), -10)
        while await self.within(self.other.get_children(self.path)):
            pass

    @run
    async def test_counter_disconnected(self) -> None:
        """An addition that is begun without a connection is done when there is one."""
        await self.begin()
        ours, theirs = Counter(self.client, self.path), Counter(self.other, self.path)
        adding = []

        async def add() -> None:
            adding.append(ours.add(1))
            await theirs.add(10)

        await self.interrupt(add)
        self.assertEqual(await self.within(adding[0]), 11)
        session = self.client.session_id
        await self.end_session()
        while self.client.session_id in (0, session):
            await self.pause(0.05)
        self.assertEqual(await self.within(ours.add(1)), 12)

    @run
    async def test_shared_value(self) -> None:
        """Changes of two programs at once all count; a compare-and-set begun without a connection sees another's change."""
        await self.begin()
        ours, theirs = (SharedValue(client, self.path, default=b"-") for client in (self.client, self.other))
        changing = [value.update(lambda data: data + b"1") for value in (ours, theirs) for _ in range(5)]
        await self.within(gatherResults(changing))
        self.assertEqual(await self.within(ours.get()), b"-" + b"1" * 10)
        read = await self.within(ours.get_versioned())
        trying = []

        async def change() -> None:
            trying.append(ours.try_set(b"ours", read))
            await theirs.update(lambda data: b"theirs")

        await self.interrupt(change)
        self.assertIs(await self.within(trying[0]), False)
        self.assertIs(await self.within(ours.try_set(b"ours", b"theirs")), True)
        self.assertEqual(await self.within(theirs.get()), b"ours")
        while await self.within(self.other.get_children(self.path)):
            pass
