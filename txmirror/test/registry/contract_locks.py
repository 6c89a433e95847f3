"""The part of the registries' contract that is about locks. How they stand in nodes is no matter here."""

from __future__ import annotations

from typing import Any, TypeVar

from twisted.internet.defer import CancelledError, Deferred
from zope.interface.verify import verifyObject

from txmirror.errors import LockMismatchError, NoAuthException, ZooServerProblem
from txmirror.interfaces import IRegistryLock, IServiceRegistry
from txmirror.test.client.contract import run
from txmirror.test.registry.contract import TIMEOUT, RegistryCase, fired
from txmirror.types import Permission, digest_acl

_T = TypeVar("_T")
_N = TypeVar("_N")

LOCK = "/locks/one"


class LockCase(RegistryCase):
    """The base of the tests of locks."""

    async def two(self, **options: Any) -> tuple[IServiceRegistry, IServiceRegistry]:
        """Make two registries."""
        return await self.started(**options), await self.started(**options)

    def note(self, result: _T, notes: list[_N], note: _N) -> _T:
        """Note that something has come to its result."""
        notes.append(note)
        return result


class LockContract(LockCase):
    """The holders of a path."""

    async def lock(self, registry: IServiceRegistry, **options: Any) -> IRegistryLock:
        """Return a lock."""
        return await self.done(registry.get_lock(LOCK, **options))

    async def holding(self, registry: IServiceRegistry) -> IRegistryLock:
        """Return a lock that is held."""
        lock = await self.lock(registry)
        self.assertIs(await self.done(lock.acquire()), True)
        return lock

    @run
    async def test_exclusion(self) -> None:
        """One client holds it; a waiting one gets it when it is released."""
        first, second = await self.two()
        self.assertIs(await self.done(first.acquire_lock(LOCK)), True)
        waiting = second.acquire_lock(LOCK, wait=1000)
        await self.place.quiet()
        self.assertFalse(fired(waiting))
        self.assertIs(await self.done(first.release_lock(LOCK)), True)
        self.assertIs(await self.done(waiting), True)
        self.assertIs(await self.place.in_time(first.acquire_lock(LOCK, wait=0), 1), False)
        self.assertIs(await self.done(second.release_lock(LOCK)), True)
        self.assertIs(await self.done(first.acquire_lock(LOCK)), True)

    @run
    async def test_paths(self) -> None:
        """Other paths are other locks."""
        first, second = await self.two()
        self.assertIs(await self.done(first.acquire_lock(LOCK)), True)
        self.assertIs(await self.done(second.acquire_lock("/locks/two")), True)

    @run
    async def test_object(self) -> None:
        """A lock provides its interface, and is the same for the same path until it was released."""
        registry = await self.started()
        lock = await self.lock(registry, name="me")
        self.assertTrue(verifyObject(IRegistryLock, lock))
        self.assertEqual((lock.path, lock.held), (LOCK, False))
        self.assertIs(await self.lock(registry), lock)
        self.assertIs(await self.done(lock.acquire()), True)
        self.assertIs(await self.done(lock.acquire()), True)
        self.assertEqual((lock.held, lock.lost.called), (True, False))
        self.assertIs(await self.lock(registry), lock)
        lost = lock.lost
        self.assertIs(await self.done(registry.release_lock(LOCK)), True)
        await self.place.quiet()
        self.assertEqual((lock.held, lost.called), (False, False))

    @run
    async def test_release(self) -> None:
        """The release of a lock that is not held fires at once, and can be repeated."""
        registry = await self.started()
        self.assertIs(await self.done(registry.release_lock("/never/heard/of")), True)
        lock = await self.lock(registry)
        self.assertIs(await self.done(lock.release()), True)
        lock = await self.holding(registry)
        for _ in range(2):
            self.assertIs(await self.done(lock.release()), True)
        self.assertIs(await self.done(registry.release_lock(LOCK)), True)

    @run
    async def test_acquired_again(self) -> None:
        """After a release any client can acquire it again, with a greater token each time."""
        registry, other = await self.two()
        lock = await self.holding(registry)
        tokens = [lock.token]
        await self.done(lock.release())
        self.assertIs(await self.done(lock.acquire()), True)
        tokens.append(lock.token)
        self.assertFalse(lock.lost.called)
        await self.done(lock.release())
        tokens.append((await self.holding(other)).token)
        self.assertEqual(sorted(set(tokens)), tokens)

    @run
    async def test_async_with(self) -> None:
        """``async with`` acquires and releases, also when the body raises."""
        first, second = await self.two()
        lock = await self.lock(first, wait=0)
        self.assertIs(await self.done(lock.__aenter__()), True)
        self.assertTrue(lock.held)
        self.assertIs(await self.place.in_time(second.acquire_lock(LOCK, wait=0), 1), False)
        await self.done(lock.__aexit__(None, None, None))
        self.assertFalse(lock.held)
        self.assertIs(await self.done(second.acquire_lock(LOCK)), True)

        async def use() -> None:
            async with lock as status:
                self.assertIs(status, False)
                raise RuntimeError("what the body raises")

        with self.assertRaises(RuntimeError):
            await self.place.in_time(Deferred.fromCoroutine(use()), 1)

    @run
    async def test_wrong_arguments(self) -> None:
        """Numbers that make no sense are an error at the call; so is another number for a lock that is in use."""
        registry = await self.started()
        for take in (registry.get_lock, registry.acquire_lock):
            for wrong in (0, -1):
                self.assertRaises(ValueError, take, LOCK, None, wrong)
            for wait in (-1, -0.5, float("nan")):
                self.assertRaises(ValueError, take, LOCK, None, 1, wait)
        await self.done(registry.acquire_lock(LOCK))
        self.assertRaises(ValueError, registry.get_lock, LOCK, None, 2)
        self.assertRaises(ValueError, registry.acquire_lock, LOCK, simultaneous=2)
        self.assertIs(await self.done(registry.acquire_lock("/locks/two", simultaneous=2)), True)

    @run
    async def test_other_number(self) -> None:
        """Another number of holders is refused while the lock is used, and is accepted when it is free."""
        first, second = await self.two()
        self.assertIs(await self.done(first.acquire_lock(LOCK, "host1:17", 2)), True)
        for wait in (300, 0):
            error = await self.fails(LockMismatchError, second.acquire_lock(LOCK, None, 3, wait))
            self.assertIn(f"{LOCK!r} has 2 leases, not 3, and 'host1:17' (session ", str(error))
            self.assertEqual((error.path, isinstance(error, ValueError)), (LOCK, True))
        self.assertIs(await self.done(second.acquire_lock(LOCK, None, 2, 0)), True)
        for registry in (first, second):
            await self.done(registry.release_lock(LOCK))
        self.assertIs(await self.done(second.acquire_lock(LOCK, None, 3, 0)), True)
        await self.fails(LockMismatchError, first.acquire_lock(LOCK, None, 2, 0))

    @run
    async def test_other_number_here(self) -> None:
        """A lock that was asked for, and is not held nor waited for, may be asked for with another number."""
        registry = await self.started()
        await self.lock(registry, simultaneous=2)
        lock = await self.lock(registry, simultaneous=3)
        self.assertIs(await self.done(lock.acquire()), True)
        self.assertRaises(ValueError, registry.get_lock, LOCK, None, 2)
        other = await self.started()
        self.assertIs(await self.done(other.acquire_lock(LOCK, None, 3, 0)), True)

    @run
    async def test_other_kind(self) -> None:
        """Where another client holds a lock of another kind, with any number of holders, the error names it, and
        nothing is left.
        """
        registry = await self.started()
        node = f"{LOCK}/0123456789abcdef0123456789abcdef__lock__0000000000"
        await self.stranger.create(node, b"host1:17", ephemeral=True)
        for simultaneous in (1, 2):
            error = await self.fails(LockMismatchError, registry.acquire_lock(LOCK, None, simultaneous))
            self.assertIn(f"{LOCK!r} is used as a lock, held by 'host1:17' (session ", str(error))
        await self.stranger.delete(node)
        self.assertIs(await self.done(registry.acquire_lock(LOCK, wait=0)), True)

    @run
    async def test_acl(self) -> None:
        """A lock's nodes and their parent have the registry's ACL; the nodes above are open."""
        options = {"username": "bob", "password": "secret"}
        plain = await self.started()
        await self.fails(NoAuthException, self.in_turn(await self.started(**options), plain))
        # Who has the same identity uses the same lock.
        first, second = await self.two(**options)
        self.assertIs(await self.done(first.acquire_lock(LOCK)), True)
        self.assertIs(await self.done(second.acquire_lock(LOCK, wait=0)), False)
        await self.done(first.release_lock(LOCK))
        self.assertIs(await self.done(second.acquire_lock(LOCK, wait=0)), True)
        await self.stranger.create("/locks/theirs/one")
        # Once it says who it is, the plain one may.
        await self.done(second.release_lock(LOCK))
        await self.done(plain.set_username("bob"))
        await self.done(plain.set_password("secret"))
        self.assertIs(await self.done(plain.acquire_lock(LOCK, wait=0)), True)

    async def _refused(self, first: IServiceRegistry, second: IServiceRegistry) -> bool:
        await self.done(first.acquire_lock(LOCK))
        await self.done(first.release_lock(LOCK))
        return await second.acquire_lock(LOCK, wait=0)

    def in_turn(self, first: IServiceRegistry, second: IServiceRegistry) -> Deferred[bool]:
        """Let one registry hold the lock, and then another."""
        return Deferred.fromCoroutine(self._refused(first, second))

    @run
    async def test_acl_that_is_given(self) -> None:
        """An ACL that is given is the nodes' in place of that; one that changes counts from the next time on."""
        acl = [digest_acl("bob", "secret"), digest_acl("ann", "other", Permission.READ)]
        given = await self.started(username="bob", password="secret", acl=acl)
        self.assertIs(await self.done(given.acquire_lock(LOCK)), True)
        reader = await self.started(username="ann", password="other")
        await self.fails(NoAuthException, reader.acquire_lock(LOCK))
        registry = await self.started()
        lock = await self.done(registry.get_lock("/locks/two/deeper"))
        await self.done(registry.set_username("bob"))
        await self.done(registry.set_password("secret"))
        self.assertIs(await self.done(lock.acquire()), True)
        await self.fails(NoAuthException, (await self.started()).acquire_lock("/locks/two/deeper"))
        self.assertIs(await self.done((await self.started()).acquire_lock("/locks/two/other")), True)

    @run
    async def test_stop(self) -> None:
        """stop() releases held locks, and fails waiting calls."""
        first, second = await self.two()
        held = await self.holding(first)
        waiting = second.acquire_lock(LOCK, wait=1000)
        self.assertFalse(fired(waiting))
        third = first.acquire_lock("/locks/two")
        self.assertIs(await self.done(third), True)
        await self.place.in_time(first.stop(), TIMEOUT)
        self.assertFalse(held.held)
        self.assertIs(await self.done(waiting), True)
        last = await self.started()
        behind = last.acquire_lock(LOCK, wait=1000)
        await self.place.quiet()
        await self.place.in_time(last.stop(), TIMEOUT)
        # As with ZooKeeper out of reach, or because it is known that it will be.
        behind.addErrback(lambda failure: failure.trap(ZooServerProblem) and False)
        self.assertIs(await self.done(behind), False)


class LockWaitContract(LockCase):
    """Waiting for a lock."""

    @run
    async def test_wait(self) -> None:
        """After ``wait`` seconds it is not held, and nothing is left of the attempt."""
        first, second = await self.two()
        third = await self.started()
        await self.done(first.acquire_lock(LOCK))
        waiting = second.acquire_lock(LOCK, wait=0.5)
        self.assertFalse(fired(waiting))
        self.assertIs(await self.place.in_time(waiting, 1.5), False)
        await self.done(first.release_lock(LOCK))
        self.assertIs(await self.done(third.acquire_lock(LOCK, wait=1)), True)

    @run
    async def test_no_wait(self) -> None:
        """``wait`` may be 0: it is held at once, or not. It counts for each attempt by itself."""
        first, second = await self.two()
        self.assertIs(await self.done(first.acquire_lock(LOCK, wait=0)), True)
        self.assertIs(await self.place.in_time(second.acquire_lock(LOCK, wait=0), 0.5), False)
        waiting = second.acquire_lock(LOCK, wait=1000)
        await self.place.quiet()
        self.assertFalse(fired(waiting))
        await self.done(first.release_lock(LOCK))
        self.assertIs(await self.done(waiting), True)

    @run
    async def test_cancelled(self) -> None:
        """Cancelling leaves nothing."""
        first, second = await self.two()
        third = await self.started()
        await self.done(first.acquire_lock(LOCK))
        waiting = second.acquire_lock(LOCK)
        await self.place.quiet()
        waiting.cancel()
        with self.assertRaises(CancelledError):
            await self.done(waiting)
        await self.done(first.release_lock(LOCK))
        self.assertIs(await self.done(third.acquire_lock(LOCK, wait=1)), True)

    @run
    async def test_simultaneous(self) -> None:
        """So many hold it at once, and no more."""
        registries = [await self.started() for _ in range(3)]
        for registry in registries[:2]:
            self.assertIs(await self.done(registry.acquire_lock(LOCK, simultaneous=2)), True)
        waiting = registries[2].acquire_lock(LOCK, simultaneous=2)
        await self.place.quiet()
        self.assertFalse(fired(waiting))
        await self.done(registries[0].release_lock(LOCK))
        self.assertIs(await self.done(waiting), True)

    @run
    async def test_fair(self) -> None:
        """Contenders get the lock in the order in which they came."""
        registries = [await self.started() for _ in range(4)]
        await self.done(registries[0].acquire_lock(LOCK))
        order: list[int] = []
        for number in (2, 1, 3):
            registries[number].acquire_lock(LOCK).addCallback(self.note, order, number)
            await self.place.quiet()
        for registry in [registries[number] for number in (0, 2, 1)]:
            await self.done(registry.release_lock(LOCK))
            await self.place.quiet()
        self.assertEqual(order, [2, 1, 3])


class LockSessionContract(LockCase):
    """Locks, when the connection blinks or a session ends."""

    @run
    async def test_waits_through(self) -> None:
        """A contender that still waits after an outage gets the lock."""
        registry = await self.started()
        await self.place.leave(registry, session_ends=True)
        waiting = registry.acquire_lock(LOCK, wait=1000)
        await self.place.come_back(registry)
        self.assertIs(await self.place.in_time(waiting, TIMEOUT), True)

    @run
    async def test_session_ends(self) -> None:
        """When the session ends the lock is lost, and another client gets it; its holder is notified, and acquires it
        again.
        """
        registry = await self.started()
        other = await self.started()
        lock = await self.done(registry.get_lock(LOCK))
        await self.done(lock.acquire())
        first = lock.token
        lost = lock.lost
        told: list[str] = []
        waiting = other.acquire_lock(LOCK, wait=1000)
        waiting.addCallback(self.note, told, "held by the other")
        lost.addCallback(self.note, told, "lost")
        await self.place.leave(registry)
        await self.place.in_time(lost, TIMEOUT)
        await self.place.leave(registry, session_ends=True)
        await self.place.come_back(registry)
        self.assertIs(await self.place.in_time(waiting, TIMEOUT), True)
        self.assertEqual((lock.held, told), (False, ["lost", "held by the other"]))
        # There is nothing to release, but to say that one has understood.
        self.assertIs(await self.done(lock.release()), True)
        again = await self.done(registry.get_lock(LOCK, wait=1000))
        acquired = again.acquire()
        await self.place.quiet()
        self.assertFalse(fired(acquired))
        await self.done(other.release_lock(LOCK))
        self.assertIs(await self.done(acquired), True)
        self.assertGreater(again.token, first)

    @run
    async def test_waiting_in_a_blink(self) -> None:
        """A contender keeps waiting, and the holder keeps the lock, through a short disconnection."""
        registry = await self.started()
        other = await self.started()
        lock = await self.done(registry.get_lock(LOCK))
        await self.done(lock.acquire())
        waiting = other.acquire_lock(LOCK, wait=1000)
        await self.place.quiet()

        async def nothing() -> None: ...

        await self.place.blink(other, nothing)
        await self.place.quiet()
        self.assertFalse(fired(waiting))
        self.assertTrue(lock.held)
        await self.done(lock.release())
        self.assertIs(await self.place.in_time(waiting, TIMEOUT), True)


class LockOutageContract(LockCase):
    """Locks, with ZooKeeper out of reach for longer than they can be held: which takes its time."""

    @run
    async def test_out_of_reach(self) -> None:
        """With ZooKeeper out of reach it is not held after ``wait`` seconds, lazy or not; nor is it afterwards."""
        for lazy in (False, True):
            registry = self.place.make(lazy=lazy)
            await self.place.leave(registry)
            lock = await self.done(registry.get_lock(LOCK, wait=0.5))
            self.assertIs(await self.place.in_time(lock.acquire(), 1.5), False)
            self.assertIs(await self.place.in_time(registry.acquire_lock(LOCK, wait=0.5), 1.5), False)
            await self.place.come_back(registry)
            other = await self.started()
            self.assertIs(await self.done(other.acquire_lock(LOCK)), True)
            await self.done(other.stop())

    @run
    async def test_lost(self) -> None:
        """A holder without a connection for too long has lost the lock, and is notified before another client can have
        it; release() works.
        """
        registry = await self.started()
        other = await self.started()
        lock = await self.done(registry.get_lock(LOCK))
        await self.done(lock.acquire())
        waiting = other.acquire_lock(LOCK, wait=1000)
        lost = lock.lost
        told: list[bool] = []
        lost.addCallback(lambda _: told.append(fired(waiting)))
        await self.place.leave(registry)
        await self.place.in_time(lost, TIMEOUT)
        self.assertEqual((lock.held, told), (False, [False]))
        released = lock.release()
        await self.place.come_back(registry)
        self.assertIs(await self.place.in_time(released, TIMEOUT), True)
        self.assertIs(await self.place.in_time(waiting, TIMEOUT), True)
