"""Locks without faults: holders, contenders, and the nodes and watches at the server."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred

from txmirror.errors import ClosingException, NoAuthException, NoChrootException, NoNodeException, PathError
from txmirror.printable import session_name
from txmirror.recipes import Lock, ReadLock, WriteLock
from txmirror.test.recipes.case import Counts, RecipeCase
from txmirror.types import ACL, Permission


class LockTests(RecipeCase):
    def test_acquire(self) -> None:
        """A lock is held when its Deferred has fired; the nodes above it are made, open to everybody."""
        lock = self.lock(name="me")
        self.assertFalse(lock.held)
        self.assertIs(self.done(lock.acquire()), True)
        self.assertTrue(lock.held)
        self.assertNoResult(lock.lost)
        for path in ("/locks", "/locks/one"):
            (entries, stat) = self.done(self.observer.get_acl(path))
            self.assertEqual((entries, stat.ephemeralOwner), ([ACL(Permission.ALL, "world", "anyone")], 0))

    def test_node(self) -> None:
        """Our node is named as kazoo's, holds our name, goes with the session, and its czxid is the token."""
        client = self.client()
        lock = self.lock(client, name="größe")
        self.done(lock.acquire())
        (node,) = self.nodes()
        self.assertRegex(node, r"\A[0-9a-f]{32}__lock__\d{10}\Z")
        data, stat = self.done(self.observer.get(f"{self.path}/{node}"))
        self.assertEqual(data.decode(), "größe")
        self.assertEqual(stat.ephemeralOwner, client.session_id)
        self.assertEqual(lock.token, stat.czxid)

    def test_release(self) -> None:
        """After a release the lock is free, and its node is gone when the Deferred fires. ``lost`` never fires."""
        lock = self.lock()
        self.done(lock.acquire())
        lost = lock.lost
        released = lock.release()
        self.assertEqual((lock.held, lock.token), (False, 0))
        self.assertNoResult(released)
        self.done(released)
        self.assert_clear()
        self.pass_time(60.0)
        self.assertNoResult(lost)
        self.successResultOf(lock.lost)

    def test_nothing_kept(self) -> None:
        """A lock that was released, or lost, leaves no timer and no callback with the client."""
        client = self.client()
        timers = len(self.world.reactor.getDelayedCalls())
        lock = self.lock(client)
        for _ in range(3):
            self.done(lock.acquire(wait=10.0))
            self.done(lock.release())
        self.assertEqual(len(self.world.reactor.getDelayedCalls()), timers)
        self.done(lock.acquire())
        (node,) = self.nodes()
        self.done(self.observer.delete(f"{self.path}/{node}"))
        self.successResultOf(lock.lost)
        self.assertEqual(len(self.world.reactor.getDelayedCalls()), timers)

    def test_release_of_nothing(self) -> None:
        """The release of a lock that is not held does nothing, and sends no request."""
        lock = self.lock()
        self.successResultOf(lock.release())
        self.done(lock.acquire())
        self.done(lock.release())
        self.successResultOf(lock.release())

    def test_released_twice(self) -> None:
        """Two calls of release both fire when it is done; one of them may be cancelled."""
        lock = self.lock()
        self.done(lock.acquire())
        first, second, third = lock.release(), lock.release(), lock.release()
        second.cancel()
        self.assert_cancelled(second)
        self.assertNoResult(first)
        self.done(first)
        self.done(third)

    def test_again(self) -> None:
        """The lock can be acquired again and again, each time with a node of its own and a larger token."""
        lock = self.lock()
        seen: list[tuple[int, list[str]]] = []
        for _ in range(3):
            self.done(lock.acquire())
            seen.append((lock.token, self.nodes()))
            lock.release()
        tokens, nodes = zip(*seen, strict=True)
        self.assertEqual(list(tokens), sorted(set(tokens)))
        self.assertEqual(len({node for (node,) in nodes}), 3)

    def test_not_waiting_for_itself(self) -> None:
        """Acquiring again at once after a release waits until the release is done, without a limit or with none."""
        lock = self.lock()
        for wait in (None, 0, 1.0):
            self.done(lock.acquire())
            lock.release()
            self.assertTrue(self.done(lock.acquire(wait=wait)))
            self.done(lock.release())

    def test_not_reentrant(self) -> None:
        """A second acquire() raises an error that names the lock."""
        lock = self.lock()
        acquired = lock.acquire()
        error = self.assertRaises(RuntimeError, lock.acquire)
        self.assertIn(f"{lock!r} is not re-entrant", str(error))
        self.assertIn(" being acquired>", str(error))
        self.done(acquired)
        error = self.assertRaises(RuntimeError, lock.acquire, wait=0)
        self.assertIn(" held>", str(error))
        self.assertEqual(len(self.nodes()), 1)

    def test_context(self) -> None:
        """``async with`` holds it meanwhile, and has released it afterwards, with or without an exception."""
        lock = self.lock()

        async def hold(error: Exception | None = None) -> None:
            async with lock as same:
                self.assertIs(same, lock)
                self.assertTrue(lock.held)
                if error is not None:
                    raise error

        self.done(hold())
        self.assert_clear()
        self.assertRaises(ZeroDivisionError, self.done, hold(ZeroDivisionError()))
        self.assert_clear()

    def test_context_waits(self) -> None:
        """``async with`` waits for its turn."""
        first, second = self.lock(), self.lock()
        self.done(first.acquire())
        entered: list[bool] = []

        async def hold() -> None:
            async with second:
                entered.append(second.held)

        holding = Deferred.fromCoroutine(hold())
        self.settle()
        self.assertEqual(entered, [])
        self.done(first.release())
        self.done(holding)
        self.assertEqual(entered, [True])

    def test_bad_arguments(self) -> None:
        """Invalid arguments raise at the call, and are quoted."""
        client = self.client()
        for path in ("locks", "/locks/", "/"):
            error = self.assertRaises(PathError, Lock, client, path, reactor=self.world.reactor)
            self.assertIn(repr(path), str(error))
        wrong: Any = b"me"
        self.assertIn("b'me'", str(self.assertRaises(TypeError, Lock, client, "/a", name=wrong)))
        lock = self.lock(client)
        for wait in (-1, float("nan"), float("inf")):
            self.assertIn(repr(wait), str(self.assertRaises(ValueError, lock.acquire, wait=wait)))
        for other in ("1", True):
            self.assertIn(repr(other), str(self.assertRaises(TypeError, lock.acquire, wait=other)))
        self.assertEqual(repr(lock)[-6:], " free>")

    def test_repr(self) -> None:
        """The repr shows the session, our name and the state; a lost lock is not held, and must still be released."""
        client = self.client()
        lock = self.lock(client, name="host1")
        beginning = f"<Lock '/locks/one' of session {session_name(client.session_id)} 'host1'"
        acquired = lock.acquire()
        self.assertEqual(repr(lock), f"{beginning} being acquired>")
        self.done(acquired)
        self.assertEqual(repr(lock), f"{beginning} held>")
        self.done(client.close())
        self.assertEqual(repr(lock), "<Lock '/locks/one' of no session 'host1' lost>")
        self.assertIn("lost", str(self.assertRaises(RuntimeError, lock.acquire)))
        self.done(lock.release())
        self.assertEqual(repr(lock), "<Lock '/locks/one' of no session 'host1' free>")


class LineTests(RecipeCase):
    def test_order(self) -> None:
        """The lock passes from one contender to the next in the order in which they came; their tokens grow."""
        locks = [self.lock(name=str(number)) for number in range(5)]
        acquired = [self.begin(lock) for lock in locks]
        tokens = []
        for number, lock in enumerate(locks):
            self.assertTrue(self.done(acquired[number]))
            self.assertEqual(self.held(*locks), [each is lock for each in locks])
            self.assertEqual(self.done(lock.contenders()), [str(each) for each in range(number, 5)])
            tokens.append(lock.token)
            self.done(lock.release())
        self.assertEqual(tokens, sorted(set(tokens)))
        self.assert_clear()

    def test_same_client(self) -> None:
        """Two objects of one client are two contenders."""
        client = self.client()
        first, second = self.lock(client), self.lock(client)
        self.done(first.acquire())
        acquired = self.waiting(second.acquire())
        first.release()
        self.assertTrue(self.done(acquired))

    def test_one_in_the_middle_gives_up(self) -> None:
        """When a contender in the middle of the queue is cancelled, nobody gets the lock, and the ones behind it
        continue to wait.
        """
        locks = [self.lock() for _ in range(3)]
        self.done(locks[0].acquire())
        second, third = self.waiting(locks[1].acquire()), self.waiting(locks[2].acquire())
        second.cancel()
        self.assert_cancelled(second)
        self.waiting(third)
        self.assertEqual(len(self.nodes()), 2)
        self.done(locks[0].release())
        self.assertTrue(self.done(third))

    def test_no_herd(self) -> None:
        """A waiting contender has one watch and sends no requests; when the lock is released, only the next one does."""
        counts = [Counts() for _ in range(6)]
        locks = [self.lock(self.client(metrics=count)) for count in counts]
        acquired = [self.begin(lock) for lock in locks]
        self.settle()
        for count in counts:
            count.take()
        # Of the holder, its own node's; of each other, that of the one before.
        self.assertEqual(self.watches(), 6)
        self.pass_time(60.0)
        self.assertEqual([count.take() for count in counts], [[]] * 6)
        self.done(locks[0].release())
        self.assertTrue(self.done(acquired[1]))
        self.assertEqual(
            [count.take() for count in counts], [["DELETE"], ["GET_CHILDREN2", "GET_DATA"], [], [], [], []]
        )
        self.assertEqual(self.watches(), 5)

    def test_cost(self) -> None:
        """A lock that is free costs three round trips, and its release one. No watch is left."""
        count = Counts()
        lock = self.lock(self.client(metrics=count))
        self.done(self.observer.create("/locks"))
        self.done(self.observer.create("/locks/one"))
        self.done(lock.acquire())
        self.assertEqual(count.take(), ["CREATE", "GET_CHILDREN2", "GET_DATA"])
        self.done(lock.release())
        self.assertEqual(count.take(), ["DELETE"])
        self.assertEqual(self.watches(), 0)

    def test_predecessor_goes_meanwhile(self) -> None:
        """Where the one before goes between our look and our watch, no watch stays behind, and the lock is ours (C15)."""
        first, client = self.lock(), self.client()
        self.done(first.acquire())
        self.server.delay_next("get", 1.0, session_id=client.session_id)
        lock = self.lock(client)
        acquired = self.waiting(lock.acquire())
        self.done(first.release())
        self.pass_time(1.0)
        self.assertTrue(self.done(acquired))
        self.assertEqual(self.watches(), 1)

    def test_contenders(self) -> None:
        """contenders() returns the names in order; without a lock it is empty."""
        self.assertEqual(self.done(self.lock().contenders()), [])
        locks = [self.lock(name="first"), self.lock(), self.lock(kind=ReadLock, name="third")]
        for lock in locks:
            self.begin(lock)
        self.done(self.observer.create(f"{self.path}/stranger", b"no contender"))
        self.assertEqual(self.done(self.lock().contenders()), ["first", "", "third"])

    def test_contenders_that_go(self) -> None:
        """Contenders that go meanwhile are left out; an unreadable node is an error; bytes that are no text are not."""
        client = self.client()
        self.done(self.observer.create("/locks"))
        self.done(self.observer.create(self.path))
        for data in (b"first", b"\xff", b"third"):
            self.done(self.observer.create(f"{self.path}/x__lock__", data, sequence=True))
        lock = self.lock(client)
        self.assertEqual(self.done(lock.contenders()), ["first", "\N{REPLACEMENT CHARACTER}", "third"])
        self.server.fail_next("get", NoNodeException(), session_id=client.session_id)
        self.assertEqual(self.done(lock.contenders()), ["\N{REPLACEMENT CHARACTER}", "third"])
        self.server.fail_next("get", NoAuthException(), session_id=client.session_id)
        self.assertRaises(NoAuthException, self.done, lock.contenders())

    def test_touched(self) -> None:
        """A write to the node of the holder, or of a predecessor, changes nothing."""
        first, second = self.lock(), self.lock()
        self.done(first.acquire())
        acquired = self.waiting(second.acquire())
        (node, _) = self.nodes()
        for number in range(3):
            for each in self.nodes():
                self.done(self.observer.set(f"{self.path}/{each}", b"%d" % number))
            self.waiting(acquired)
            self.assertTrue(first.held)
        self.done(first.release())
        self.assertTrue(self.done(acquired))
        self.assertTrue(second.held, node)

    def test_unreadable_predecessor(self) -> None:
        """A contender that may not read its predecessor's node notices its deletion all the same, also an immediate one."""
        self.done(self.observer.create("/locks"))
        self.done(self.observer.create(self.path))
        secret = [ACL(Permission.ALL, "digest", "x:y")]
        for delayed in (False, True):
            client = self.client()
            before = self.done(
                self.observer.create(f"{self.path}/x__lock__", b"", secret, sequence=True, ephemeral=True)
            )
            if delayed:
                self.server.delay_next("get_children", 0.0, session_id=client.session_id)
                self.server.delay_next("get_children", 1.0, session_id=client.session_id)
            lock = self.lock(client)
            acquired = self.waiting(lock.acquire())
            self.done(self.observer.delete(before))
            self.pass_time(1.0)
            self.assertTrue(self.done(acquired))
            if delayed:
                # Nobody is left who waits for what the session had.
                self.expire(client)
            self.done(lock.release())


class WaitTests(RecipeCase):
    def test_no_wait(self) -> None:
        """An attempt that does not wait takes a free lock, and leaves nothing if it is held."""
        first, second = self.lock(), self.lock()
        self.assertTrue(self.done(first.acquire(wait=0)))
        self.assertIs(self.done(second.acquire(wait=0)), False)
        self.assertEqual(self.held(first, second), [True, False])
        self.assertEqual(len(self.nodes()), 1)
        self.assertEqual(self.watches(), 1)
        self.done(first.release())
        self.assertTrue(self.done(second.acquire(wait=0)))

    def test_no_wait_is_bounded(self) -> None:
        """With 0, servers that do not answer are waited for no longer than for a session timeout."""
        client = self.client()
        lock = self.lock(client)
        self.keep_away(client)
        acquired = lock.acquire(wait=0)
        self.pass_time(client.session_timeout - 0.1)
        self.waiting(acquired)
        self.pass_time(0.1)
        self.assertIs(self.successResultOf(acquired), False)
        self.let_in()
        self.pass_time(10.0)
        self.assertIsNone(self.done(self.observer.exists("/locks")))

    def test_time_is_over(self) -> None:
        """When the time is over it is not held, and our place in the line is given up. No timer is left."""
        first, second = self.lock(), self.lock()
        self.done(first.acquire())
        acquired = self.waiting(second.acquire(wait=7.5))
        self.pass_time(7.4)
        self.waiting(acquired)
        self.assertEqual(len(self.nodes()), 2)
        self.pass_time(0.1)
        self.assertIs(self.successResultOf(acquired), False)
        self.assertEqual(len(self.nodes()), 1)
        self.assertFalse(second.held)
        self.done(first.release())
        self.pass_time(60.0)
        self.assert_clear()
        self.assertFalse(second.held)

    def test_one_limit_for_all(self) -> None:
        """All steps together have one limit, however often the line moves (C17)."""
        locks = [self.lock() for _ in range(4)]
        self.done(locks[0].acquire())
        others = [self.begin(lock) for lock in locks[1:3]]
        last = self.waiting(locks[3].acquire(wait=5.0))
        for other in others:
            self.pass_time(2.0)
            other.cancel()
            self.assert_cancelled(other)
            self.waiting(last)
        self.pass_time(1.0)
        self.assertIs(self.successResultOf(last), False)

    def test_in_time(self) -> None:
        """Held in time, it stays held when the time is over."""
        lock = self.lock()
        self.done(lock.acquire(wait=1.0))
        self.pass_time(10.0)
        self.assertTrue(lock.held)

    def test_cancel(self) -> None:
        """A cancelled contender fails at once, and leaves the queue."""
        first, second = self.lock(), self.lock()
        self.done(first.acquire())
        acquired = self.waiting(second.acquire())
        acquired.cancel()
        self.assert_cancelled(acquired)
        self.assertEqual(len(self.nodes()), 1)
        self.done(first.release())
        self.assert_clear()
        self.assertTrue(self.done(second.acquire()))

    def test_release_while_acquiring(self) -> None:
        """release() during the acquisition cancels it."""
        first, second = self.lock(), self.lock()
        self.done(first.acquire())
        acquired = self.waiting(second.acquire())
        released = second.release()
        self.assert_cancelled(acquired)
        self.assertNoResult(released)
        self.done(released)
        self.assertEqual(len(self.nodes()), 1)

    def test_from_within(self) -> None:
        """A callback of acquire() may release the lock at once, and acquire it again."""
        lock = self.lock()
        acquired = lock.acquire().addCallback(lambda _: lock.release()).addCallback(lambda _: lock.acquire(wait=0))
        self.assertTrue(self.done(acquired))

    def test_closed(self) -> None:
        """When the client is closed, waiting contenders fail, and held locks are lost."""
        first, second, third = self.lock(), self.lock(), self.lock()
        self.done(first.acquire())
        acquired = self.waiting(second.acquire(wait=100.0))
        self.done(second._contender.client.close())
        self.failureResultOf(acquired, ClosingException)
        self.done(second.release())
        lost = first.lost
        self.done(first._contender.client.close())
        self.successResultOf(lost)
        self.assertFalse(first.held)
        self.done(first.release())
        self.assertRaises(ClosingException, self.done, second.acquire())
        self.assert_clear()
        self.assertTrue(self.done(third.acquire(wait=0)))

    def test_refused(self) -> None:
        """A refusal of the server fails the attempt, and leaves nothing behind; the lock may be tried again."""
        lock = self.lock()
        self.done(self.observer.create("/locks"))
        for kind, error in (("create", NoAuthException), ("get_children", NoAuthException), ("get", NoAuthException)):
            self.server.fail_next(kind, error())
            if kind == "get_children":
                self.done(self.observer.exists("/locks"))
            self.assertRaises(error, self.done, lock.acquire())
            self.assertFalse(lock.held)
            self.assert_clear()
        self.assertTrue(self.done(lock.acquire()))

    def test_no_chroot(self) -> None:
        """If the client's chroot is missing, the acquisition fails with NoChrootException."""
        client = self.client().chroot("/missing")
        lock = self.lock(client)
        error = self.assertRaises(NoChrootException, self.done, lock.acquire())
        self.assertEqual(str(error), f"{client.connect_string!r} has a chroot that does not exist")

    def test_deep(self) -> None:
        """A path may have more levels than Python can nest calls."""
        self.path = "/d" * 1_100
        self.assertTrue(self.done(self.lock().acquire()))

    def test_parents_that_may_not_be_written(self) -> None:
        """The parents need not be writable if the lock's node exists and is."""
        self.done(self.observer.create("/locks"))
        self.done(self.observer.create(self.path))
        self.done(self.observer.set_acl("/locks", [ACL(Permission.READ, "world", "anyone")]))
        self.assertTrue(self.done(self.lock().acquire()))


class ReadersAndWritersTests(RecipeCase):
    def test_readers_share(self) -> None:
        """Readers share the lock; a writer waits for all of them, and later readers wait for the writer."""
        readers = [self.lock(kind=ReadLock) for _ in range(3)]
        for reader in readers:
            self.assertTrue(self.done(reader.acquire(wait=0)))
        self.assertEqual(self.held(*readers), [True] * 3)
        writer, late = self.lock(kind=WriteLock), self.lock(kind=ReadLock)
        writing, reading = self.waiting(writer.acquire()), self.waiting(late.acquire())
        for reader in (readers[2], readers[0]):
            self.done(reader.release())
            self.waiting(writing)
        self.done(readers[1].release())
        self.assertTrue(self.done(writing))
        self.waiting(reading)
        self.assertFalse(self.done(self.lock(kind=ReadLock).acquire(wait=0)))
        self.done(writer.release())
        self.assertTrue(self.done(reading))

    def test_plain_lock(self) -> None:
        """A plain lock writes."""
        reader, lock = self.lock(kind=ReadLock), self.lock()
        self.done(reader.acquire())
        self.assertFalse(self.done(lock.acquire(wait=0)))
        self.done(reader.release())
        self.done(lock.acquire())
        self.assertFalse(self.done(reader.acquire(wait=0)))

    def test_names(self) -> None:
        """Their nodes are named as kazoo's."""
        self.done(self.lock(kind=ReadLock).acquire())
        (node,) = self.nodes()
        self.assertRegex(node, r"\A[0-9a-f]{32}__rlock__\d{10}\Z")
        self.done(self.observer.create("/other"))
        lock = WriteLock(self.client(), "/other/lock", reactor=self.world.reactor)
        self.done(lock.acquire())
        (node,) = self.nodes("/other/lock")
        self.assertRegex(node, r"\A[0-9a-f]{32}__lock__\d{10}\Z")

    def test_readers_wait_for_the_last_writer_only(self) -> None:
        """A reader has one watch, on the last writer before it, and does not react when other readers go."""
        writer, reader = self.lock(), self.lock(kind=ReadLock)
        self.done(writer.acquire())
        waiting = self.waiting(reader.acquire())
        count = Counts()
        last = self.lock(self.client(metrics=count), ReadLock)
        acquired = self.waiting(last.acquire())
        count.take()
        waiting.cancel()
        self.assert_cancelled(waiting)
        self.settle()
        self.assertEqual(count.take(), [])
        self.done(writer.release())
        self.assertTrue(self.done(acquired))
