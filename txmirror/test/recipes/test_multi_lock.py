"""Several locks together."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred

from txmirror.client import ZooKeeperClient
from txmirror.errors import ClosingException, LockMismatchError
from txmirror.recipes import Lock, MultiLock, ReadLock, Semaphore
from txmirror.test.recipes.case import RecipeCase, S

_PATHS = ("/locks/a", "/locks/b", "/locks/c")


class MultiLockTests(RecipeCase):
    def one(self, path: str, client: ZooKeeperClient | None = None, **options: Any) -> Lock:
        return Lock(client or self.client(), path, reactor=self.world.reactor, **options)

    def several(self, client: ZooKeeperClient | None = None, paths: tuple[str, ...] = _PATHS) -> MultiLock:
        client = client or self.client()
        return MultiLock([self.one(path, client) for path in paths], reactor=self.world.reactor)

    def begun(self, several: MultiLock, **options: Any) -> Deferred[bool]:
        acquired = several.acquire(**options)
        self._begun.append(acquired)
        self.settle()
        return acquired

    def counts(self) -> list[int]:
        """Return the number of contenders for each lock."""
        return [len(self.nodes(path)) if self.done(self.observer.exists(path)) is not None else 0 for path in _PATHS]

    def test_all(self) -> None:
        """All are held, with a token each, until the release."""
        several = self.several(paths=_PATHS[::-1])
        self.assertEqual((several.held, several.tokens), (False, (0, 0, 0)))
        self.assertEqual([lock.path for lock in several.locks], list(_PATHS))
        self.assertTrue(self.done(several.acquire()))
        self.assertTrue(several.held)
        self.assertEqual(list(several.tokens), sorted(several.tokens))
        self.assertRegex(repr(several), r"\A<MultiLock '/locks/a' of .*, '/locks/b' of .*, '/locks/c' of .* held>\Z")
        with self.assertRaisesRegex(RuntimeError, "not re-entrant"):
            several.acquire()
        lost = several.lost
        self.done(several.release())
        self.assertNoResult(lost)
        self.assertEqual((self.counts(), several.held, repr(several)[-5:]), ([0, 0, 0], False, "free>"))
        self.assertTrue(self.done(several.acquire()))
        self.done(several.release())

    def test_none(self) -> None:
        """If one cannot be had, none is held, and no node is left: without waiting, and at the end of the time."""
        holder = self.one(_PATHS[1])
        self.done(holder.acquire())
        several = self.several()
        self.assertFalse(self.done(several.acquire(wait=0)))
        self.assertEqual((self.counts(), several.held), ([0, 1, 0], False))
        acquired = self.begun(several, wait=3.0)
        self.assertEqual(self.counts(), [1, 2, 0])
        self.pass_time(2.9)
        self.assertNoResult(acquired)
        self.pass_time(0.2)
        self.assertFalse(self.successResultOf(acquired))
        self.assertEqual(self.counts(), [0, 1, 0])

    def test_one_deadline(self) -> None:
        """The time is one limit for all of them together."""
        holders = [self.one(path) for path in _PATHS[:2]]
        for holder in holders:
            self.done(holder.acquire())
        acquired = self.begun(self.several(), wait=3.0)
        self.pass_time(2.0)
        self.done(holders[0].release())
        self.pass_time(0.9)
        self.assertNoResult(acquired)
        self.pass_time(0.2)
        self.assertFalse(self.successResultOf(acquired))

    def test_no_deadlock(self) -> None:
        """Two programs that name the same locks in other orders both get them, one after the other."""
        first, second = self.several(), self.several(paths=_PATHS[::-1])
        one, other = self.begun(first), self.begun(second)
        self.assertTrue(self.successResultOf(one))
        self.assertNoResult(other)
        self.done(first.release())
        self.assertTrue(self.done(other))
        self.done(second.release())

    def test_lost_meanwhile(self) -> None:
        """If one is lost while the next is waited for, all are released, and it begins again."""
        holder = self.one(_PATHS[1])
        self.done(holder.acquire())
        client = self.client()
        several = self.several(client)
        acquired = self.begun(several)
        (node,) = self.nodes(_PATHS[0])
        self.done(self.observer.delete(f"{_PATHS[0]}/{node}"))
        self.settle()
        self.assertNoResult(acquired)
        self.assertEqual(self.counts(), [1, 2, 0])
        self.expire(client)
        self.assertEqual(self.counts(), [1, 2, 0])
        self.done(holder.release())
        self.assertTrue(self.done(acquired))
        self.assertTrue(several.held)

    def test_lost(self) -> None:
        """``lost`` fires with the first of them, and the others stay until the release."""
        several = self.several()
        self.successResultOf(several.lost)
        self.done(several.acquire())
        lost, cancelled = several.lost, several.lost
        cancelled.cancel()
        self.assert_cancelled(cancelled)
        (node,) = self.nodes(_PATHS[2])
        self.done(self.observer.delete(f"{_PATHS[2]}/{node}"))
        self.settle()
        self.successResultOf(lost)
        self.assertEqual((several.held, self.counts(), repr(several)[-5:]), (False, [1, 1, 0], "lost>"))
        self.done(several.release())
        self.assertEqual(self.counts(), [0, 0, 0])

    def test_cancel(self) -> None:
        """Cancelling, and releasing, give up at each lock, and leave nothing."""
        for number, path in enumerate(_PATHS):
            holder = self.one(path)
            self.done(holder.acquire())
            for way in ("cancel", "release"):
                several = self.several()
                acquired = self.begun(several)
                self.assertEqual(self.counts()[number], 2)
                if way == "cancel":
                    acquired.cancel()
                else:
                    self.done(several.release())
                self.settle()
                self.assert_cancelled(acquired)
                self.assertEqual(sum(self.counts()), 1)
            self.done(holder.release())

    def test_cancel_after_loss(self) -> None:
        """A caller that gives up while a lost lock ends does not begin again."""
        holder = self.one(_PATHS[1])
        self.done(holder.acquire())
        client = self.client()
        semaphores = MultiLock(
            [self.one(_PATHS[0], client), Semaphore(client, _PATHS[1] + "s", reactor=self.world.reactor)],
            reactor=self.world.reactor,
        )
        other = Semaphore(self.client(), _PATHS[1] + "s", reactor=self.world.reactor)
        self.done(other.acquire())
        acquired = self.begun(semaphores)
        self.keep_away(client)
        self.pass_time(2 / 3 * S)
        acquired.cancel()
        self.assert_cancelled(acquired)
        self.let_in()
        self.pass_time(2 * S)
        self.assertEqual(self.counts(), [0, 1, 0])
        self.assertFalse(semaphores.held)

    def test_refused(self) -> None:
        """If a path is used in another way, it fails, and the others are released."""
        semaphore = Semaphore(self.client(), _PATHS[1], reactor=self.world.reactor)
        self.done(semaphore.acquire())
        several = self.several()
        failure = self.failureResultOf(self.begun(several), LockMismatchError)
        self.assertIn(_PATHS[1], str(failure.value))
        self.assertEqual(self.counts(), [0, 1, 0])
        self.done(several.release())

    def test_closed(self) -> None:
        """With the client closed, nothing is held, and waiting ends."""
        client = self.client()
        several = self.several(client)
        self.done(several.acquire())
        lost = several.lost
        self.done(client.close())
        self.successResultOf(lost)
        self.assertFalse(several.held)
        self.done(several.release())
        self.failureResultOf(self.begun(several), ClosingException)

    def test_context(self) -> None:
        async def use() -> None:
            async with self.several() as several:
                self.assertTrue(several.held)
                self.assertEqual(self.world.server._replica.watches.count() > 0, True)
                raise ZeroDivisionError

        self.failureResultOf(self._settled(Deferred.fromCoroutine(use())), ZeroDivisionError)
        self.assertEqual(self.counts(), [0, 0, 0])

    def test_bad_arguments(self) -> None:
        wrong: Any = ["/locks/a"]
        with self.assertRaisesRegex(TypeError, "'/locks/a'"):
            MultiLock(wrong)
        with self.assertRaisesRegex(ValueError, "at least one"):
            MultiLock([])
        with self.assertRaisesRegex(ValueError, "two locks at '/locks/a'"):
            self.several(paths=("/locks/a", "/locks/a"))
        with self.assertRaisesRegex(ValueError, "-1"):
            self.several().acquire(wait=-1)

    def _settled(self, deferred: Deferred[Any]) -> Deferred[Any]:
        self.settle()
        return deferred


class RevocationTests(RecipeCase):
    def test_asked(self) -> None:
        """Holders are asked by their nodes' data; the names of contenders stay."""
        first, second = self.lock(name="first"), self.lock(name="second")
        self.assertEqual(self.done(second.revoke()), [])
        self.assertNoResult(first.revocation)
        self.done(first.acquire())
        waiting, cancelled = first.revocation, first.revocation
        cancelled.cancel()
        self.assert_cancelled(cancelled)
        acquired = self.begin(second)
        self.assertNoResult(waiting)
        self.assertEqual(self.done(second.revoke()), ["first"])
        self.settle()
        self.successResultOf(waiting)
        self.successResultOf(first.revocation)
        self.assertTrue(first.held)
        self.assertEqual(self.done(second.revoke()), ["first"])
        self.assertEqual(self.done(first.contenders()), ["first", "second"])
        self.done(first.release())
        self.assertTrue(self.done(acquired))
        self.settle()
        self.assertNoResult(second.revocation)
        waiting = second.revocation
        self.done(second.release())
        self.assertNoResult(waiting)

    def test_readers(self) -> None:
        """All readers that hold the lock are asked, and nobody behind a writer."""
        readers = [self.lock(kind=ReadLock, name=name) for name in "ab"]
        for reader in readers:
            self.done(reader.acquire())
        writer, late = self.lock(name="w"), self.lock(kind=ReadLock, name="late")
        self.begin(writer)
        self.begin(late)
        self.assertEqual(self.done(writer.revoke()), ["a", "b"])
        self.settle()
        for reader in readers:
            self.successResultOf(reader.revocation)
        self.assertEqual(self.done(late.contenders()), ["a", "b", "w", "late"])

    def test_curators_form(self) -> None:
        """In Curator's styles the data is exactly what Curator's Revoker writes, and what it writes is understood."""
        lock = self.lock(name="ours", style="curator-mutex")
        self.done(lock.acquire())
        (node,) = self.nodes()
        self.assertEqual(self.done(self.lock(style="curator-mutex").revoke()), ["ours"])
        self.assertEqual(self.done(self.observer.get(f"{self.path}/{node}"))[0], b"__REVOKE__")
        self.successResultOf(lock.revocation)
        self.done(lock.release())
        self.done(lock.acquire())
        waiting = lock.revocation
        (node,) = self.nodes()
        self.done(self.observer.set(f"{self.path}/{node}", b"changed"))
        self.settle()
        self.assertNoResult(waiting)
        self.done(self.observer.set(f"{self.path}/{node}", b"__REVOKE__"))
        self.settle()
        self.successResultOf(waiting)

    def test_asked_before(self) -> None:
        """A contender that was asked before it held the lock knows so at once."""
        first, second = self.lock(), self.lock()
        self.done(first.acquire())
        acquired = self.begin(second)
        node = self.done(self.observer.get_children(self.path))
        for name in node:
            self.done(self.observer.set(f"{self.path}/{name}", b"__REVOKE__"))
        self.done(first.release())
        self.assertTrue(self.done(acquired))
        self.successResultOf(second.revocation)

    def test_disconnected(self) -> None:
        """A request that comes while the holder is not connected is noticed when it is back."""
        client = self.client()
        lock = self.lock(client)
        self.done(lock.acquire())
        waiting = lock.revocation
        self.drop(client)
        self.assertEqual(self.done(self.lock().revoke()), [""])
        self.pass_time(2.0)
        self.successResultOf(waiting)
        self.assertTrue(lock.held)
