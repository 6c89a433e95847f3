"""The metrics of recipes: each operation and each period of holding is reported once, with its outcome and its time."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.internet.defer import Deferred
from zope.interface import implementer
from zope.interface.verify import verifyObject

from txmirror.errors import ClosingException, NoAuthException
from txmirror.interfaces import IMetrics, IMetricsHolder, IRecipeMetrics
from txmirror.recipes import (
    Barrier,
    Counter,
    DoubleBarrier,
    Election,
    Lock,
    LockingQueue,
    Members,
    MultiLock,
    Partitioner,
    Party,
    Queue,
    ReadLock,
    Semaphore,
    SharedValue,
    WriteLock,
)
from txmirror.test.recipes.case import Counts, RecipeCase
from txmirror.test.recipes.plain import PlainClient
from txmirror.types import READ_ACL, SessionEvent


@implementer(IMetrics, IRecipeMetrics)
class Notes:
    """Records the calls about recipes.

    :ivar calls: the calls: kind and path, the other arguments, and the time at the end.
    """

    def __init__(self) -> None:
        self.calls: list[tuple[Any, ...]] = []

    def operation_ended(self, kind: str, path: str, operation: str, outcome: str, seconds: float) -> None:
        self.calls.append((kind, path, operation, outcome, round(seconds, 1)))

    def holding_ended(self, kind: str, path: str, lost: bool, seconds: float) -> None:
        self.calls.append((kind, path, "lost" if lost else "released", round(seconds, 1)))

    def take(self) -> list[tuple[Any, ...]]:
        """Return the calls since the last call."""
        taken, self.calls = self.calls, []
        return taken

    def sent(self, operation: str, size: int) -> None: ...
    def answered(self, operation: str, seconds: float, error: int, size: int) -> None: ...
    def lost(self, operation: str, seconds: float) -> None: ...
    def received(self, size: int) -> None: ...
    def connected(self, event: SessionEvent) -> None: ...
    def disconnected(self, event: SessionEvent) -> None: ...


class _Broken(Notes):
    def operation_ended(self, kind: str, path: str, operation: str, outcome: str, seconds: float) -> None:
        raise ZeroDivisionError

    def holding_ended(self, kind: str, path: str, lost: bool, seconds: float) -> None:
        raise ZeroDivisionError


class RecipeMetricsTests(RecipeCase):
    path = "/app/one"

    def setUp(self) -> None:
        super().setUp()
        self.notes = Notes()
        self.ours = self.client(metrics=self.notes)

    def make(self, kind: Callable[..., Any], *arguments: Any, **options: Any) -> Any:
        return kind(self.ours, self.path, *arguments, reactor=self.world.reactor, **options)

    def assert_taken(self, *calls: tuple[Any, ...], kind: str) -> None:
        """Check the calls since the last time, without their kind and path, which are all the same."""
        taken = self.notes.take()
        self.assertEqual({each[:2] for each in taken}, {(kind, self.path)} if calls else set())
        self.assertEqual([each[2:] for each in taken], list(calls))

    def test_interfaces(self) -> None:
        """A client has the object itself, also in its other forms; one that does not count recipes is not called."""
        verifyObject(IRecipeMetrics, self.notes)
        for client in (self.ours, self.ours.waiting(), self.ours.chroot("/app")):
            verifyObject(IMetricsHolder, client)
            self.assertIs(client.metrics, self.notes)
        self.assertIsNone(self.client().metrics)
        counts: Any = Counts()
        others: list[Any] = [self.client(metrics=counts), PlainClient(self.ours)]
        for other in others:
            lock = Lock(other, self.path, reactor=self.world.reactor)
            self.done(lock.acquire())
            self.done(lock.release())
        self.assertEqual(self.notes.take(), [])

    def test_locks(self) -> None:
        """A lock's waiting, holding and loss; a semaphore is one recipe, without the lock of its queue."""
        kinds: list[Any] = [Lock, ReadLock, WriteLock, Semaphore]
        for kind in kinds:
            name = kind.__name__
            other, lock = self.lock(kind=Semaphore if kind is Semaphore else WriteLock), self.make(kind)
            self.done(other.acquire())
            self.assertFalse(self.done(lock.acquire(wait=0)))
            self.assert_taken(("acquire", "not_done", 0.0), kind=name)
            waiting = self.begin(lock, wait=2.0)
            self.pass_time(2.0)
            self.assertFalse(self.successResultOf(waiting))
            self.assert_taken(("acquire", "not_done", 2.0), kind=name)
            waiting = self.begin(lock)
            self.pass_time(1.5)
            waiting.cancel()
            self.assert_cancelled(waiting)
            self.settle()
            self.assert_taken(("acquire", "cancelled", 1.5), kind=name)
            waiting = self.begin(lock)
            self.pass_time(3.0)
            self.done(other.release())
            self.assertTrue(self.done(waiting))
            self.assert_taken(("acquire", "done", 3.0), kind=name)
            self.pass_time(4.0)
            self.done(lock.release())
            self.assert_taken(("released", 4.0), kind=name)
            self.done(lock.acquire())
            self.pass_time(1.0)
            self.notes.take()
            (node,) = self.nodes()
            self.done(self.observer.delete(f"{self.path}/{node}"))
            self.assert_taken(("lost", 1.0), kind=name)
            # The release of a lost one is no second end.
            self.done(lock.release())
            self.assert_taken(kind=name)

    def test_failures(self) -> None:
        """A refusal and a closed client are failures, and a lock that is held then is lost."""
        self.done(self.observer.create("/app"))
        self.done(self.observer.create(self.path, b"", READ_ACL))
        for begin in (
            self.make(Lock).acquire,
            lambda: self.make(Queue).put(b""),
            lambda: self.make(Counter).add(1),
        ):
            self.assertRaises(NoAuthException, self.done, begin())
            ((_, _, _, outcome, _),) = self.notes.take()
            self.assertEqual(outcome, "failed")
        held, waiting = (Lock(self.ours, "/app/two", reactor=self.world.reactor) for _ in range(2))
        self.done(held.acquire())
        acquired = self.begin(waiting)
        self.notes.take()
        self.done(self.ours.close())
        self.failureResultOf(acquired, ClosingException)
        calls = sorted(each[2:4] for each in self.notes.take())
        self.assertEqual(calls, [("acquire", "failed"), ("lost", 0.0)])

    def test_expired(self) -> None:
        """A session that expires is one loss, and one more election."""
        election = self.make(Election)
        leading = election.run(Deferred)
        self.settle()
        self.pass_time(1.0)
        self.expire(self.ours)
        self.settle()
        self.assertTrue(election.leading)
        taken = [each[2:4] for each in self.notes.calls]
        self.assertEqual(taken[0], ("acquire", "done"))
        self.assertEqual((taken[1][0], taken[2]), ("lost", ("acquire", "done")))
        self.assertEqual({each[:2] for each in self.notes.take()}, {("Election", self.path)})
        self.pass_time(2.0)
        self.done(election.stop())
        self.failureResultOf(leading)
        ((_, _, end, _),) = self.notes.take()
        self.assertEqual(end, "released")
        # One that does not lead.
        other = self.lock()
        self.done(other.acquire())
        leading = election.run(Deferred)
        self.pass_time(1.0)
        self.done(election.stop())
        self.failureResultOf(leading)
        self.assert_taken(("acquire", "cancelled", 1.0), kind="Election")

    def test_multi_lock(self) -> None:
        """The locks of several are reported each by itself."""
        locks = [Lock(self.ours, path, reactor=self.world.reactor) for path in ("/app/a", "/app/b")]
        both = MultiLock(locks, reactor=self.world.reactor)
        self.done(both.acquire())
        self.done(both.release())
        taken = [each[:3] for each in self.notes.take()]
        self.assertEqual(taken[:2], [("Lock", "/app/a", "acquire"), ("Lock", "/app/b", "acquire")])
        self.assertEqual(sorted(taken[2:]), [("Lock", "/app/a", "released"), ("Lock", "/app/b", "released")])

    def test_queue(self) -> None:
        """Puts and takes of a queue, and takers that get nothing."""
        queue = self.make(Queue)
        self.done(queue.put(b"1"))
        self.done(queue.put_all([b"2", b"3"]))
        self.done(queue.get())
        self.assert_taken(("put", "done", 0.0), ("put_all", "done", 0.0), ("get", "done", 0.0), kind="Queue")
        for _ in range(2):
            self.done(queue.get())
        self.notes.take()
        self.assertIsNone(self.done(queue.get(wait=0)))
        waiting = self.waiting(queue.get(wait=2.0))
        self.pass_time(2.0)
        self.assertIsNone(self.successResultOf(waiting))
        waiting = self.waiting(queue.get())
        self.pass_time(3.0)
        waiting.cancel()
        self.assert_cancelled(waiting)
        self.assert_taken(("get", "not_done", 0.0), ("get", "not_done", 2.0), ("get", "cancelled", 3.0), kind="Queue")

    def test_locking_queue(self) -> None:
        """An entry of a locking queue is held until it is consumed, released or lost."""
        queue = self.make(LockingQueue)
        self.done(queue.put_all([b"1", b"2"]))
        self.notes.take()
        entry = self.done(queue.get())
        self.pass_time(1.0)
        self.assertTrue(self.done(entry.consume()))
        self.assert_taken(("get", "done", 0.0), ("released", 1.0), ("consume", "done", 0.0), kind="LockingQueue")
        entry = self.done(queue.get())
        self.done(entry.release())
        self.assert_taken(("get", "done", 0.0), ("released", 0.0), kind="LockingQueue")
        entry = self.done(queue.get())
        self.notes.take()
        self.expire(self.ours)
        self.assertEqual([each[2] for each in self.notes.take()], ["lost"])
        self.assertFalse(self.done(entry.consume()))
        self.assert_taken(("consume", "not_done", 0.0), kind="LockingQueue")

    def test_values(self) -> None:
        """Changes of a counter and of a value; reads are not reported."""
        counter = self.make(Counter)
        self.done(counter.value())
        self.done(counter.add(1))
        self.assert_taken(("add", "done", 0.0), kind="Counter")
        value = self.make(SharedValue)
        self.done(value.get())
        self.done(value.update(lambda _: b"2"))
        self.assertFalse(self.done(value.try_set(b"3", b"1")))
        self.assertTrue(self.done(value.try_set(b"3", b"2")))
        self.assertRaises(ZeroDivisionError, self.done, value.update(lambda _: bytes(1 // 0)))
        self.assert_taken(
            ("update", "done", 0.0),
            ("try_set", "not_done", 0.0),
            ("try_set", "done", 0.0),
            ("update", "failed", 0.0),
            kind="SharedValue",
        )

    def test_barriers(self) -> None:
        """Waits at barriers; a participant of a double barrier is held from the time that its node is there."""
        barrier = self.make(Barrier)
        self.done(barrier.create())
        waiting = self.waiting(barrier.wait(timeout=2.0))
        self.pass_time(2.0)
        self.assertFalse(self.successResultOf(waiting))
        waiting = self.waiting(barrier.wait())
        self.pass_time(1.0)
        self.done(barrier.remove())
        self.done(waiting)
        self.assertFalse(self.done(barrier.remove()))
        taken = [("create", "done", 0.0), ("wait", "not_done", 2.0), ("remove", "done", 0.0), ("wait", "done", 1.0)]
        self.assertEqual(sorted(self.notes.calls[:4]), sorted(("Barrier", self.path, *each) for each in taken))
        self.assertEqual([each[2:] for each in self.notes.take()[4:]], [("remove", "not_done", 0.0)])
        double = self.make(DoubleBarrier, count=1)
        self.done(double.enter())
        self.pass_time(2.0)
        self.done(double.leave())
        self.assert_taken(("enter", "done", 0.0), ("released", 2.0), ("leave", "done", 0.0), kind="DoubleBarrier")
        double = self.make(DoubleBarrier, count=2)
        entering = self.waiting(double.enter(timeout=1.0))
        self.pass_time(1.0)
        self.assertFalse(self.successResultOf(entering))
        self.settle()
        self.assert_taken(("released", 1.0), ("enter", "not_done", 1.0), kind="DoubleBarrier")

    def test_members(self) -> None:
        """A membership is held while its node is there: its session's end is a loss, and the next session begins another period."""
        for make in (lambda: self.make(Party), lambda: self.make(Members, "one")):
            party = make()
            kind = type(party).__name__
            self.done(party.join())
            self.assert_taken(("join", "done", 0.0), kind=kind)
            self.pass_time(1.0)
            self.expire(self.ours)
            self.pass_time(1.0)
            self.assertTrue(party.joined)
            self.assertEqual([each[2] for each in self.notes.take()], ["lost"])
            self.done(party.leave())
            self.assertEqual([each[2] for each in self.notes.take()], ["released"])

    def test_partitioner(self) -> None:
        """The items of a partitioner are its own; its members and elections are not recipes of their own."""
        partitioner = self.make(Partitioner, ["a", "b"], lambda _: Deferred(), delay=0.0)
        self.done(partitioner.start())
        self.settle()
        self.assertEqual(partitioner.shares, {"a", "b"})
        self.assert_taken(
            ("start", "done", 0.0), ("acquire", "done", 0.0), ("acquire", "done", 0.0), kind="Partitioner"
        )
        self.pass_time(1.0)
        self.done(partitioner.stop())
        self.assert_taken(("released", 1.0), ("released", 1.0), kind="Partitioner")

    def test_broken(self) -> None:
        """Metrics that raise are logged, and have no other effect."""
        self.ours = self.client(metrics=_Broken())
        lock = self.make(Lock)
        self.assertTrue(self.done(lock.acquire()))
        self.done(lock.release())
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 2)
