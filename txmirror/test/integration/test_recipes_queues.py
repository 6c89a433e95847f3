"""Queues and counters together with kazoo's, on one path."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.threads import deferToThread
from twisted.trial.unittest import TestCase

from txmirror.recipes import Counter, LockingQueue, Queue
from txmirror.test.client.contract import run
from txmirror.test.integration.servers import PATIENCE, OnEmbedded, OnReal
from txmirror.test.integration.test_recipes import KazooSide


class KazooQueuesContract(KazooSide):
    """We and kazoo put and take entries of one queue."""

    @run
    async def test_queue(self) -> None:
        """Entries of both come in the same order to both."""
        ours, theirs = Queue(self.ours, self.path), self.kazoo.Queue(self.path)
        await ours.put(b"c")
        await deferToThread(theirs.put, b"d")
        await deferToThread(theirs.put, b"a", 7)
        await ours.put_all([b"b"], 7)
        self.assertEqual(await ours.length(), 4)
        self.assertEqual(await deferToThread(len, theirs), 4)
        self.assertEqual(await deferToThread(theirs.get), b"a")
        self.assertEqual(await ours.peek(), b"b")
        self.assertEqual([await ours.get(wait=0) for _ in range(2)], [b"b", b"c"])
        # It keeps a list of names for several calls.
        self.assertEqual(await deferToThread(self.kazoo.Queue(self.path).get), b"d")
        self.assertIsNone(await ours.get(wait=0))
        self.assertIsNone(await deferToThread(self.kazoo.Queue(self.path).get))

    @run
    async def test_takers(self) -> None:
        """Takers of both kinds at once: each entry is taken by one."""
        ours = Queue(self.ours, self.path)
        await ours.put_all([b"%d" % number for number in range(40)])

        def take() -> list[bytes]:
            queue, taken = self.kazoo.Queue(self.path), []
            while (value := queue.get()) is not None:
                taken.append(value)
            return taken

        taking: Deferred[list[bytes]] = deferToThread(take)
        taken = []
        while (value := await ours.get(wait=0)) is not None:
            taken.append(value)
        theirs = await taking
        self.assertEqual(sorted(taken + theirs), sorted(b"%d" % number for number in range(40)))
        self.assertNotEqual(taken, [])

    @run
    async def test_waiting(self) -> None:
        """We wait for an entry that kazoo puts."""
        taking = Queue(self.ours, self.path).get()
        await deferToThread(self.kazoo.Queue(self.path).put, b"1")
        self.assertEqual(await taking, b"1")

    @run
    async def test_locking_queue(self) -> None:
        """Entries that one has taken are kept from the other, and come to it when they are released."""
        ours, theirs = LockingQueue(self.ours, self.path), self.kazoo.LockingQueue(self.path)
        await deferToThread(theirs.put_all, [b"1", b"2"])
        await ours.put(b"0", 5)
        entry = await ours.get()
        self.assertEqual(await deferToThread(theirs.get, PATIENCE), b"1")
        second = await ours.get()
        self.assertEqual((entry.data, second.data), (b"0", b"2"))
        self.assertIsNone(await ours.get(wait=0))
        self.assertEqual((await ours.length(), await deferToThread(len, theirs)), (3, 3))
        waiting = ours.get()
        self.assertTrue(await deferToThread(theirs.release))
        freed = await waiting
        self.assertEqual(freed.data, b"1")
        self.assertEqual([await each.consume() for each in (entry, freed)], [True, True])
        taking = deferToThread(theirs.get, PATIENCE)
        await second.release()
        self.assertEqual(await taking, b"2")
        self.assertTrue(await deferToThread(theirs.consume))
        self.assertEqual(await ours.length(), 0)

    @run
    async def test_counter(self) -> None:
        """Additions of both count, of ints, floats, and as Curator stores them."""
        kinds: list[tuple[dict[str, Any], dict[str, Any], Any, bytes]] = [
            ({}, {}, 2, b"6"),
            ({"default": 0.5}, {"default": 0.5}, 0.25, b"1.25"),
            ({"curator": True}, {"support_curator": True}, -2, b"\xff\xff\xff\xfa"),
        ]
        for number, (options, their_options, amount, stored) in enumerate(kinds):
            path = f"{self.root}/{number}"
            ours, theirs = Counter(self.ours, path, **options), self.kazoo.Counter(path, **their_options)
            await deferToThread(theirs.__add__, amount)
            first = await ours.value()
            self.assertEqual(await ours.add(amount), first + amount)
            self.assertEqual(await deferToThread(lambda: theirs.value), first + amount)  # noqa: B023
            await deferToThread(theirs.__add__, amount)
            self.assertEqual((await self.ours.get(path))[0], stored)

    @run
    async def test_adding_at_once(self) -> None:
        """Additions of both at once all count."""
        theirs = self.kazoo.Counter(self.path)

        def add() -> None:
            for _ in range(20):
                theirs.__add__(1)

        adding = deferToThread(add)
        ours = Counter(self.ours, self.path)
        for _ in range(20):
            await ours.add(1)
        await adding
        self.assertEqual(await ours.value(), 40)


class ZooKeeperKazooQueuesTests(OnReal, KazooQueuesContract, TestCase):
    """At the real server."""


class EmbeddedKazooQueuesTests(OnEmbedded, KazooQueuesContract, TestCase):
    """At the embedded server."""
