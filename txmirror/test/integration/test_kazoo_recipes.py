"""kazoo's recipes work at the embedded server as they do at the real one: locks, queues, elections, barriers, caches."""

from __future__ import annotations

import queue
import threading
from datetime import datetime, timedelta
from typing import Any

from kazoo.client import KazooClient
from kazoo.exceptions import CancelledError, LockTimeout
from kazoo.recipe.cache import TreeCache, TreeEvent
from kazoo.recipe.partitioner import PartitionState
from twisted.trial.unittest import SynchronousTestCase
from twisted.trial.util import suppress as trial_suppress

from txmirror.test.integration.kazoo_case import KazooCase, Thread
from txmirror.test.integration.servers import (
    PATIENCE,
    OnEmbedded,
    OnReal,
    break_connection,
    end_session,
    wait_for,
)

#: How long to wait for what does not come, in seconds.
_BRIEFLY = 0.05


class LockContract(KazooCase):
    """Lock, ReadLock, WriteLock and Semaphore."""

    # A semaphore has a lock whose name is bytes.
    suppress = (trial_suppress(category=BytesWarning),)

    def setUp(self) -> None:
        super().setUp()
        self.second, self.third = self.make_client(), self.make_client()

    def wait_for_contenders(self, *names: str) -> None:
        """Wait until a lock's contenders are these, in this order."""
        lock = self.client.Lock("/lock", extra_lock_patterns=["__rlock__"])
        wait_for(lambda: lock.contenders() == list(names), f"the contenders are {names}")

    def test_contention(self) -> None:
        """A lock goes from one to the next, in the order in which they came."""
        first = self.client.Lock("/lock", "first")
        self.assertTrue(first.acquire())
        line, waiting = ["first"], []
        for name, client in (("second", self.second), ("third", self.third)):
            lock = client.Lock("/lock", name)
            waiting.append((lock, Thread(lock.acquire)))
            line.append(name)
            self.wait_for_contenders(*line)
        before = first
        for lock, thread in waiting:
            self.assertFalse(lock.is_acquired)
            before.release()
            self.assertTrue(thread.result())
            before = lock
        self.wait_for_contenders("third")
        before.release()
        self.wait_for_contenders()

    def test_no_wait(self) -> None:
        """An attempt that does not wait returns at once, and leaves the queue."""
        with self.client.Lock("/lock", "first"):
            self.assertFalse(self.second.Lock("/lock", "second").acquire(blocking=False))
            self.wait_for_contenders("first")
        self.assertTrue(self.second.Lock("/lock", "second").acquire(blocking=False))

    def test_timeout(self) -> None:
        """An attempt with a timeout leaves the queue when it is over."""
        with self.client.Lock("/lock", "first"):
            lock = self.second.Lock("/lock", "second")
            with self.assertRaises(LockTimeout):
                lock.acquire(timeout=_BRIEFLY)
            self.wait_for_contenders("first")
        self.assertTrue(lock.acquire(timeout=PATIENCE))

    def test_cancel(self) -> None:
        """A waiting attempt may be cancelled, and the one behind it gets the lock in the end."""
        first = self.client.Lock("/lock", "first")
        first.acquire()
        second, third = self.second.Lock("/lock", "second"), self.third.Lock("/lock", "third")
        waiting = Thread(second.acquire)
        self.wait_for_contenders("first", "second")
        last = Thread(third.acquire)
        self.wait_for_contenders("first", "second", "third")
        second.cancel()
        with self.assertRaises(CancelledError):
            waiting.result()
        self.wait_for_contenders("first", "third")
        first.release()
        self.assertTrue(last.result())

    def test_session_ended(self) -> None:
        """A lock whose holder's session has ended goes to the next."""
        self.second.Lock("/lock", "second").acquire()
        waiting = Thread(self.client.Lock("/lock", "first").acquire)
        self.wait_for_contenders("second", "first")
        end_session(self.address, self.second.client_id)
        self.assertTrue(waiting.result())
        self.wait_for_contenders("first")

    def test_connection_lost(self) -> None:
        """A contender for a lock keeps its place over a reconnection, and acquires the lock."""
        first = self.client.Lock("/lock", "first")
        first.acquire()
        back = threading.Event()
        self.second.add_listener(lambda state: back.set() if state == "CONNECTED" else None)
        waiting = Thread(self.second.Lock("/lock", "second").acquire)
        self.wait_for_contenders("first", "second")
        last = Thread(self.third.Lock("/lock", "third").acquire)
        self.wait_for_contenders("first", "second", "third")
        break_connection(self.address, self.second.client_id)
        self.assertTrue(back.wait(PATIENCE))
        self.wait_for_contenders("first", "second", "third")
        first.release()
        self.assertTrue(waiting.result())
        end_session(self.address, self.second.client_id)
        self.assertTrue(last.result())

    def test_readers_and_writers(self) -> None:
        """Readers share, a writer waits for all of them, and later readers wait for the writer."""
        readers = [self.client.ReadLock("/lock", "reader"), self.second.ReadLock("/lock", "reader")]
        for reader in readers:
            self.assertTrue(reader.acquire(timeout=PATIENCE))
        writer, late = self.third.WriteLock("/lock", "writer"), self.client.ReadLock("/lock", "late")
        writing = Thread(writer.acquire)
        self.wait_for_contenders("reader", "reader", "writer")
        reading = Thread(late.acquire)
        self.wait_for_contenders("reader", "reader", "writer", "late")
        readers[0].release()
        with self.assertRaises(LockTimeout):
            self.second.WriteLock("/lock", "hasty").acquire(timeout=_BRIEFLY)
        self.assertFalse(writer.is_acquired)
        readers[1].release()
        self.assertTrue(writing.result())
        self.assertFalse(late.is_acquired)
        writer.release()
        self.assertTrue(reading.result())

    def test_semaphore(self) -> None:
        """As many hold it as it has leases; others wait for one to be given back."""
        holders = [client.Semaphore("/pool", name, 2) for client, name in ((self.client, "one"), (self.second, "two"))]
        for holder in holders:
            self.assertTrue(holder.acquire())
        self.assertEqual(self.client.get("/pool")[0], b"2")
        third = self.third.Semaphore("/pool", "three", 2)
        self.assertFalse(third.acquire(blocking=False))
        with self.assertRaises(LockTimeout):
            third.acquire(timeout=_BRIEFLY)
        waiting = Thread(third.acquire)
        wait_for(lambda: self.client.get_children("/pool-__lock__"), "it stands in line")
        self.assertEqual(sorted(third.lease_holders()), ["one", "two"])
        holders[0].release()
        self.assertTrue(waiting.result())
        self.assertEqual(sorted(third.lease_holders()), ["three", "two"])
        with self.assertRaises(ValueError):
            self.client.Semaphore("/pool", "four", 3).acquire()

    def test_semaphore_given_up(self) -> None:
        """A lease ends with its holder's session, and a waiting attempt may be cancelled."""
        self.second.Semaphore("/pool", "second").acquire()
        patient, impatient = self.client.Semaphore("/pool", "first"), self.third.Semaphore("/pool", "third")
        waiting = Thread(impatient.acquire)
        wait_for(lambda: self.client.get_children("/pool-__lock__"), "it stands in line")
        impatient.cancel()
        with self.assertRaises(CancelledError):
            waiting.result()
        waiting = Thread(patient.acquire)
        wait_for(lambda: self.client.get_children("/pool-__lock__"), "it stands in line")
        end_session(self.address, self.second.client_id)
        self.assertTrue(waiting.result())
        self.assertEqual(patient.lease_holders(), ["first"])

    def test_lease(self) -> None:
        """A lease that is timed by its holders' clocks belongs to one of them until then."""
        now = datetime(2024, 1, 1)  # noqa: DTZ001  # kazoo compares it with one that has no time zone either

        def lease(client: KazooClient, name: str, later: float = 0.0) -> bool:
            return bool(
                client.NonBlockingLease(
                    "/lease", timedelta(seconds=60), name, utcnow=lambda: now + timedelta(seconds=later)
                )
            )

        self.assertTrue(lease(self.client, "first"))
        self.assertFalse(lease(self.second, "second", 30.0))
        self.assertTrue(lease(self.client, "first", 30.0))
        self.assertFalse(lease(self.second, "second", 80.0))
        self.assertTrue(lease(self.second, "second", 100.0))


class QueueContract(KazooCase):
    """Queue and LockingQueue."""

    def setUp(self) -> None:
        super().setUp()
        self.other = self.make_client()

    def test_queue(self) -> None:
        """Entries come in the order of their priorities, and of their coming where these are the same."""
        entries = self.client.Queue("/queue")
        self.assertIsNone(entries.get())
        for value, priority in ((b"c", 100), (b"d", 100), (b"a", 1), (b"e", 999), (b"b", 20)):
            entries.put(value, priority)
        self.assertEqual(len(entries), 5)
        other = self.other.Queue("/queue")
        self.assertEqual([other.get() for _ in range(6)], [b"a", b"b", b"c", b"d", b"e", None])
        self.assertEqual(len(entries), 0)

    def test_many_consumers(self) -> None:
        """Each entry is given to one consumer or another, once."""
        entries = self.client.Queue("/queue")
        values = [b"%d" % number for number in range(20)]
        for value in values:
            entries.put(value)

        def consume(client: KazooClient) -> list[bytes]:
            mine = client.Queue("/queue")
            return list(iter(mine.get, None))

        threads = [Thread(consume, client) for client in (self.client, self.other)]
        taken = [value for thread in threads for value in thread.result()]
        # An entry may be read by both before one of them is told that the other took it away; then it tries another.
        self.assertEqual(sorted(taken), sorted(values))

    def test_locking(self) -> None:
        """An entry that is taken is nobody else's until it is given back, and gone when it is consumed."""
        entries, other = self.client.LockingQueue("/queue"), self.other.LockingQueue("/queue")
        entries.put_all([b"b", b"c"])
        entries.put(b"a", priority=1)
        self.assertEqual(entries.get(PATIENCE), b"a")
        self.assertEqual(other.get(PATIENCE), b"b")
        self.assertTrue(entries.holds_lock())
        self.assertEqual(len(entries), 3)
        self.assertTrue(entries.release())
        self.assertFalse(entries.holds_lock())
        self.assertTrue(other.consume())
        self.assertEqual(other.get(PATIENCE), b"a")
        self.assertTrue(other.consume())
        self.assertEqual(entries.get(PATIENCE), b"c")
        self.assertIsNone(other.get(_BRIEFLY))
        self.assertTrue(entries.consume())
        self.assertFalse(entries.consume())
        self.assertEqual(len(entries), 0)

    def test_locking_waits(self) -> None:
        """A client that waits for an entry gets it when it is put."""
        waiting = Thread(self.other.LockingQueue("/queue").get, PATIENCE)
        wait_for(lambda: self.client.exists("/queue/entries"), "it waits")
        self.client.LockingQueue("/queue").put(b"entry")
        self.assertEqual(waiting.result(), b"entry")

    def test_locking_session_ended(self) -> None:
        """An entry that was taken in an expired session is available again."""
        entries, other = self.client.LockingQueue("/queue"), self.other.LockingQueue("/queue")
        entries.put(b"entry")
        self.assertEqual(other.get(PATIENCE), b"entry")
        waiting = Thread(entries.get, PATIENCE)
        end_session(self.address, self.other.client_id)
        self.assertEqual(waiting.result(), b"entry")


class GroupContract(KazooCase):
    """Election, Barrier, DoubleBarrier, Party, Counter and SetPartitioner."""

    def setUp(self) -> None:
        super().setUp()
        self.other = self.make_client()

    def test_election(self) -> None:
        """One candidate leads until it is done, then the next; a candidate that is not elected yet may be cancelled."""
        elections = [self.client.Election("/election", "first"), self.other.Election("/election", "second")]
        led: queue.Queue[str] = queue.Queue()
        done = threading.Event()

        def lead(name: str) -> None:
            led.put(name)
            done.wait(PATIENCE)

        threads = [Thread(elections[0].run, lead, "first")]
        self.assertEqual(led.get(timeout=PATIENCE), "first")
        threads.append(Thread(elections[1].run, lead, "second"))
        wait_for(lambda: elections[0].contenders() == ["first", "second"], "both stand")
        third = self.make_client().Election("/election", "third")
        stepping_back = Thread(third.run, lead, "third")
        wait_for(lambda: len(third.contenders()) == 3, "the third stands")
        third.cancel()
        stepping_back.result()
        self.assertTrue(led.empty())
        done.set()
        self.assertEqual(led.get(timeout=PATIENCE), "second")
        for thread in threads:
            thread.result()
        self.assertEqual(elections[0].contenders(), [])
        self.assertTrue(led.empty())

    def test_leader_lost(self) -> None:
        """When the leader's session ends, the next one leads."""
        leading, done = threading.Event(), threading.Event()
        self.addCleanup(done.set)

        def lead() -> None:
            leading.set()
            done.wait(PATIENCE)

        Thread(self.other.Election("/election", "second").run, lead)
        self.assertTrue(leading.wait(PATIENCE))
        elected = threading.Event()
        thread = Thread(self.client.Election("/election", "first").run, elected.set)
        wait_for(lambda: len(self.client.get_children("/election")) == 2, "both stand")
        end_session(self.address, self.other.client_id)
        thread.result()
        self.assertTrue(elected.is_set())

    def test_barrier(self) -> None:
        """A barrier blocks its waiters until it is removed."""
        barrier = self.client.Barrier("/barrier")
        self.assertTrue(barrier.wait(PATIENCE))
        barrier.create()
        other = self.other.Barrier("/barrier")
        self.assertFalse(other.wait(_BRIEFLY))
        waiting = Thread(other.wait, PATIENCE)
        self.assertTrue(barrier.remove())
        self.assertTrue(waiting.result())
        self.assertFalse(barrier.remove())

    def test_double_barrier(self) -> None:
        """All enter together, and all leave together."""
        barriers = [client.DoubleBarrier("/barrier", 2, name) for name, client in self.named_clients()]
        entering = Thread(barriers[0].enter)
        wait_for(lambda: self.client.exists("/barrier") and self.client.get_children("/barrier"), "one is there")
        self.assertFalse(barriers[0].participating)
        barriers[1].enter()
        entering.result()
        self.assertEqual([barrier.participating for barrier in barriers], [True, True])
        leaving = Thread(barriers[0].leave)
        wait_for(lambda: not self.client.exists("/barrier/ready"), "one wants to leave")
        self.assertTrue(barriers[0].participating)
        barriers[1].leave()
        leaving.result()
        self.assertEqual([barrier.participating for barrier in barriers], [False, False])
        self.assertEqual(self.client.get_children("/barrier"), [])

    def named_clients(self) -> list[tuple[str, KazooClient]]:
        return [("first", self.client), ("second", self.other)]

    def test_party(self) -> None:
        """All members see each other; one that leaves is gone, and so is one whose session has expired."""
        for kind in ("Party", "ShallowParty"):
            third = self.make_client()
            members = [*self.named_clients(), ("third", third)]
            parties = [getattr(client, kind)(f"/{kind}", name) for name, client in members]
            self.assertEqual(len(parties[0]), 0)
            for party in parties:
                party.join()
                party.join()
            for party in parties:
                self.assertEqual(sorted(party), ["first", "second", "third"])
            parties[1].leave()
            end_session(self.address, third.client_id)
            self.assertEqual([list(parties[0]), len(parties[0])], [["first"], 1])

    def test_counter(self) -> None:
        """Concurrent additions of several clients add up."""
        counters = [self.client.Counter("/counter"), self.other.Counter("/counter")]

        def count(counter: Any) -> None:
            for _ in range(10):
                counter += 2
                counter -= 1

        for thread in [Thread(count, counter) for counter in counters]:
            thread.result()
        self.assertEqual([counter.value for counter in counters], [20, 20])
        self.assertEqual(self.client.get("/counter")[0], b"20")

    def test_counter_kinds(self) -> None:
        """Counters begin at a given value, with numbers of either kind, and in Curator's format too."""
        real = self.client.Counter("/real", 1.5)
        real += 0.25
        self.assertEqual((real.value, real.pre_value, real.post_value), (1.75, 1.5, 1.75))
        curator = self.client.Counter("/curator", support_curator=True)
        curator -= 3
        self.assertEqual(self.client.get("/curator")[0], b"\xff\xff\xff\xfd")

    def test_partitioner(self) -> None:
        """A set is partitioned among the members, and again when one leaves."""
        parts = [
            client.SetPartitioner("/set", "abcdef", identifier=name, time_boundary=_BRIEFLY, max_reaction_time=_BRIEFLY)
            for name, client in self.named_clients()
        ]
        self.addCleanup(parts[0].finish)

        def settled() -> bool:
            for part in parts:
                if part.release:
                    part.release_set()
            return all(part.acquired for part in parts) and sum(len(list(part)) for part in parts) == 6

        wait_for(settled, "the set is shared out")
        shares = [set(part) for part in parts]
        self.assertEqual((len(shares[0]), shares[0] & shares[1], shares[0] | shares[1]), (3, set(), set("abcdef")))
        gone = parts.pop()
        gone.finish()
        self.assertEqual(gone.state, PartitionState.FAILURE)
        wait_for(settled, "the first has all")
        self.assertEqual(set(parts[0]), set("abcdef"))


class TreeCacheContract(KazooCase):
    """A subtree that is kept in memory."""

    def setUp(self) -> None:
        super().setUp()
        self.writer = self.make_client()
        self.writer.create("/tree/one", b"1", makepath=True)
        self.events: queue.Queue[TreeEvent] = queue.Queue()
        self.cache = TreeCache(self.client, "/tree")
        self.cache.listen(self.events.put)
        self.cache.listen_fault(self.events.put)
        self.addCleanup(self.cache.close)
        self.cache.start()

    def collect(self, count: int) -> list[tuple[int, str | None, bytes | None]]:
        """Return the next events, in any order: only those of one node are ordered."""
        events = [self.events.get(timeout=PATIENCE) for _ in range(count)]
        told = [(kind, node and node.path, node and node.data) for kind, node in events]
        return sorted(told, key=str)

    def begin(self) -> None:
        expected = [
            (TreeEvent.NODE_ADDED, "/tree", b""),
            (TreeEvent.NODE_ADDED, "/tree/one", b"1"),
            (TreeEvent.INITIALIZED, None, None),
        ]
        self.assertEqual(self.collect(3), expected)

    def test_changes(self) -> None:
        """Existing nodes are reported first, then each change; reads are answered from memory."""
        self.begin()
        self.writer.create("/tree/one/two/three", b"3", makepath=True)
        self.assertEqual(
            self.collect(2),
            [(TreeEvent.NODE_ADDED, "/tree/one/two", b""), (TreeEvent.NODE_ADDED, "/tree/one/two/three", b"3")],
        )
        stat = self.writer.set("/tree/one", b"changed")
        self.assertEqual(self.collect(1), [(TreeEvent.NODE_UPDATED, "/tree/one", b"changed")])
        node = self.cache.get_data("/tree/one")
        self.assertEqual((node.data, node.stat.mzxid, node.stat.version), (b"changed", stat.mzxid, 1))
        self.assertEqual(self.cache.get_children("/tree/one"), {"two"})
        self.writer.delete("/tree/one", recursive=True)
        self.assertEqual(
            self.collect(3),
            [
                (TreeEvent.NODE_REMOVED, "/tree/one", b"changed"),
                (TreeEvent.NODE_REMOVED, "/tree/one/two", b""),
                (TreeEvent.NODE_REMOVED, "/tree/one/two/three", b"3"),
            ],
        )
        self.assertIsNone(self.cache.get_data("/tree/one"))
        self.assertEqual(self.cache.get_children("/tree"), set())

    def test_connection_lost(self) -> None:
        """Changes without a connection are reported after the reconnection."""
        self.begin()
        break_connection(self.address, self.client.client_id)
        transaction = self.writer.transaction()
        transaction.set_data("/tree/one", b"changed")
        transaction.create("/tree/two", b"2")
        transaction.commit()
        expected = [
            (TreeEvent.NODE_ADDED, "/tree/two", b"2"),
            (TreeEvent.NODE_UPDATED, "/tree/one", b"changed"),
            (TreeEvent.CONNECTION_SUSPENDED, None, None),
            (TreeEvent.CONNECTION_RECONNECTED, None, None),
        ]
        self.assertEqual(self.collect(4), expected)

    def test_session_ended(self) -> None:
        """A new session goes on where the one before has ended."""
        self.begin()
        end_session(self.address, self.client.client_id)
        kinds = list(iter(lambda: self.events.get(timeout=PATIENCE).event_type, TreeEvent.INITIALIZED))
        self.assertEqual(
            set(kinds), {TreeEvent.CONNECTION_SUSPENDED, TreeEvent.CONNECTION_LOST, TreeEvent.CONNECTION_RECONNECTED}
        )
        self.writer.set("/tree/one", b"changed")
        self.assertEqual(self.collect(1), [(TreeEvent.NODE_UPDATED, "/tree/one", b"changed")])


class EmbeddedLockTests(OnEmbedded, LockContract, SynchronousTestCase):
    """At the embedded server."""


class ZooKeeperLockTests(OnReal, LockContract, SynchronousTestCase):
    """At the real server."""


class EmbeddedQueueTests(OnEmbedded, QueueContract, SynchronousTestCase):
    """At the embedded server."""


class ZooKeeperQueueTests(OnReal, QueueContract, SynchronousTestCase):
    """At the real server."""


class EmbeddedGroupTests(OnEmbedded, GroupContract, SynchronousTestCase):
    """At the embedded server."""


class ZooKeeperGroupTests(OnReal, GroupContract, SynchronousTestCase):
    """At the real server."""


class EmbeddedTreeCacheTests(OnEmbedded, TreeCacheContract, SynchronousTestCase):
    """At the embedded server."""


class ZooKeeperTreeCacheTests(OnReal, TreeCacheContract, SynchronousTestCase):
    """At the real server."""
