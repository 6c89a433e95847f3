"""The contract of locks, semaphores and elections on every server."""

from __future__ import annotations

from collections.abc import Awaitable
from typing import Any

from twisted.internet.defer import Deferred, succeed

from txmirror.client import ZooKeeperClient
from txmirror.errors import LockMismatchError, NoAuthException
from txmirror.mirror import Mirror
from txmirror.recipes import Election, Lock, ReadLock, Semaphore, WriteLock
from txmirror.test.client.contract import ContractCase, run, where_sessions_resume
from txmirror.types import OPEN_ACL, READ_ACL, SessionState, digest_acl


class RecipesCase(ContractCase):
    """Two clients, one of which can be disconnected."""

    def make_client(self, servers: str, session_timeout: float) -> Any:
        return ZooKeeperClient(servers, session_timeout=session_timeout)

    def end_session(self) -> Awaitable[Any]:
        """End the session of :attr:`client` at the server, which does not wait for its timeout."""
        return self.server.expire(self.client.session_id)

    async def begin(self) -> None:
        """Connect the other one, and name the thing that both contend for."""
        self.other, _ = await self.connect(direct=True)
        self.path = f"{self.root}/things/one"


class RecipesContract(RecipesCase):
    """Two contenders."""

    @run
    async def test_lock(self) -> None:
        """A lock is one's at a time, in the order in which they came, and leaves nothing behind."""
        await self.begin()
        locks = [Lock(client, self.path, name=str(number)) for number, client in enumerate((self.client, self.other))]
        self.assertTrue(await self.within(locks[0].acquire()))
        self.assertFalse(await self.within(locks[1].acquire(wait=0)))
        self.assertFalse(await self.within(locks[1].acquire(wait=0.05)))
        await locks[1].release()
        acquired = locks[1].acquire(wait=5.0)
        await self.other.sync()
        while await self.within(locks[0].contenders()) != ["0", "1"]:
            await self.client.sync()
        self.assertFalse(acquired.called)
        token = locks[0].token
        await self.within(locks[0].release())
        self.assertTrue(await self.within(acquired))
        self.assertEqual([lock.held for lock in locks], [False, True])
        self.assertGreater(locks[1].token, token)
        await self.within(locks[1].release())
        await self.client.sync()
        self.assertEqual(await self.client.get_children(self.path), [])

    @run
    async def test_readers_and_writers(self) -> None:
        """Readers share, writers do not."""
        await self.begin()
        readers = [ReadLock(client, self.path) for client in (self.client, self.other)]
        for reader in readers:
            self.assertTrue(await self.within(reader.acquire()))
        writer = WriteLock(self.other, self.path)
        writing = writer.acquire()
        for reader in readers:
            self.assertFalse(writing.called)
            await self.within(reader.release())
        self.assertTrue(await self.within(writing))
        self.assertFalse(await self.within(readers[0].acquire(wait=0)))
        await self.within(writer.release())

    @run
    async def test_semaphore(self) -> None:
        """A semaphore has so many leases."""
        await self.begin()
        clients = (self.client, self.other, self.client)
        semaphores = [Semaphore(client, self.path, leases=2) for client in clients]
        for semaphore in semaphores[:2]:
            self.assertTrue(await self.within(semaphore.acquire()))
        self.assertFalse(await self.within(semaphores[2].acquire(wait=0)))
        acquired = semaphores[2].acquire()
        await self.within(semaphores[1].release())
        self.assertTrue(await self.within(acquired))
        for semaphore in semaphores:
            await self.within(semaphore.release())
        await self.client.sync()
        self.assertEqual(await self.client.get_children(self.path), [])
        self.assertEqual(await self.client.get_children(f"{self.path}-__lock__"), [])

    @run
    async def test_kinds(self) -> None:
        """A contender of the other kind that comes second is refused, and leaves nothing behind; then the first is
        undisturbed.
        """
        await self.begin()
        semaphore, lock = (
            Semaphore(self.client, self.path, leases=2, name="pool"),
            Lock(self.other, self.path, name="job"),
        )
        for first, second, name in ((semaphore, lock, "pool"), (lock, semaphore, "job")):
            await self.within(first.acquire())
            for wait in (None, 0):
                with self.assertRaises(LockMismatchError) as caught:
                    await self.within(second.acquire(wait=wait))
                self.assertIn(f"held by '{name}' (session ", str(caught.exception))
            await self.client.sync()
            self.assertEqual(len(await self.client.get_children(self.path)), 1)
            self.assertEqual(await self.client.get_children(f"{self.path}-__lock__"), [])
            self.assertTrue(first.held)
            await self.within(first.release())
            self.assertTrue(await self.within(second.acquire(wait=0)))
            await self.within(second.release())

    @run
    async def test_number_of_leases(self) -> None:
        """Another number of leases is refused while the semaphore is used, and is written when it is free."""
        await self.begin()
        two, three = Semaphore(self.client, self.path, leases=2, name="two"), Semaphore(self.other, self.path, leases=3)
        await self.within(two.acquire())
        for wait in (None, 0):
            with self.assertRaises(LockMismatchError) as caught:
                await self.within(three.acquire(wait=wait))
            self.assertIn("has 2 leases, not 3, and 'two' (session ", str(caught.exception))
        await self.within(two.release())
        self.assertTrue(await self.within(three.acquire(wait=0)))
        await self.client.sync()
        self.assertEqual((await self.client.get(self.path))[0], b"3")
        with self.assertRaises(LockMismatchError):
            await self.within(two.acquire())
        await self.within(three.release())

    @run
    async def test_lease_and_the_next(self) -> None:
        """A contender that comes just when a lease is held gets a free one, without waiting."""
        await self.begin()
        for _ in range(10):
            semaphores = [Semaphore(client, self.path, leases=2) for client in (self.client, self.other)]
            self.assertTrue(await self.within(semaphores[0].acquire(wait=0)))
            self.assertTrue(await self.within(semaphores[1].acquire(wait=0)))
            for semaphore in semaphores:
                await self.within(semaphore.release())

    @run
    async def test_acl(self) -> None:
        """All nodes but the parents have the ACL; contenders with the identity work, and others are refused."""
        await self.begin()
        acl = [digest_acl("app", "secret"), *READ_ACL]
        makers: list[Any] = [Lock, ReadLock, WriteLock, Semaphore]
        for number, make in enumerate(makers):
            path = f"{self.root}/acl/{number}"
            with self.assertRaises(NoAuthException):
                await self.within(self.client.create(f"{await self.acl_held(make, path, acl)}/x"))
            with self.assertRaises(NoAuthException):
                await self.within(make(self.other, path).acquire(wait=0))
            self.assertIs(await self.within(self.mine(make, path, acl).acquire(wait=0)), make is ReadLock)
            await self.within(self.held.release())
            self.assertTrue(await self.within(self.mine(make, path, acl).acquire(wait=0)))
        entries, _ = await self.within(self.other.get_acl(f"{self.root}/acl"))
        self.assertEqual(entries, list(OPEN_ACL))

    def mine(self, make: Any, path: str, acl: Any) -> Any:
        return make(self.insider, path, acl=acl)

    async def acl_held(self, make: Any, path: str, acl: Any) -> str:
        """Acquire something with an ACL, check the ACL of its nodes, and return its path."""
        self.insider, _ = await self.connect(direct=True)
        await self.within(self.insider.add_auth("digest", b"app:secret"))
        self.addCleanup(self.insider.close)
        self.held = self.mine(make, path, acl)
        self.assertTrue(await self.within(self.held.acquire()))
        (node,) = await self.within(self.insider.get_children(path))
        parents = [path, f"{path}-__lock__"] if make is Semaphore else [path]
        for each in (*parents, f"{path}/{node}"):
            self.assertEqual((await self.within(self.insider.get_acl(each)))[0], acl)
        return path

    @run
    async def test_not_connected(self) -> None:
        """A client that nobody has connected is connected, and so is a mirror in place of one."""
        await self.begin()
        makers: list[Any] = [Lock, Semaphore]
        for make in makers:
            path = f"{self.path}-{make.__name__}"
            for client in (self.client_of(self.server.address), self.mirror()):
                claim = make(client, path)
                self.assertTrue(await self.within(claim.acquire()))
                self.assertFalse(await self.within(make(self.other, path).acquire(wait=0)))
                await self.within(claim.release())
        self.assertEqual(await self.within(Election(self.mirror(), self.path).run(lambda: succeed(1))), 1)

    def mirror(self) -> Mirror:
        """Make a mirror that nobody has connected."""
        mirror = Mirror(client=self.client_of(self.server.address))
        self.addCleanup(mirror.close)
        return mirror

    @run
    @where_sessions_resume
    async def test_disconnected(self) -> None:
        """A holder that is disconnected for a moment keeps the lock; a contender that waits gets it after the reconnection."""
        await self.begin()
        held, mine, theirs = (
            Lock(self.client, f"{self.path}-held"),
            Lock(self.client, self.path),
            Lock(self.other, self.path),
        )
        await self.within(held.acquire())
        await self.within(theirs.acquire())
        acquired = mine.acquire()
        await self.client.sync()
        await self.interrupt(theirs.release)
        self.assertTrue(await self.within(acquired))
        self.assertTrue(held.held)
        self.assertFalse(held.lost.called)
        for lock in (held, mine):
            await self.within(lock.release())

    @run
    async def test_session_ended(self) -> None:
        """A lock is lost with its session, and another client gets it; a contender that waits gets its turn in the next
        session.
        """
        await self.begin()
        held, theirs = Lock(self.client, f"{self.path}-held"), Lock(self.other, f"{self.path}-held")
        kept, mine = Lock(self.other, self.path), Lock(self.client, self.path)
        await self.within(held.acquire())
        await self.within(kept.acquire())
        next_one, in_line = theirs.acquire(), mine.acquire()
        await self.client.sync()
        await self.other.sync()
        lost = held.lost
        renewed = self.feed.when_state(SessionState.CONNECTED)
        await self.end_session()
        self.assertTrue(await self.within(next_one))
        await self.within(renewed)
        await self.within(lost)
        self.assertFalse(held.held)
        await self.within(held.release())
        await self.within(kept.release())
        self.assertTrue(await self.within(in_line))
        for lock in (theirs, mine):
            await self.within(lock.release())

    @run
    async def test_election(self) -> None:
        """One candidate leads until it stops, then the other."""
        await self.begin()
        led: list[int] = []

        def lead(number: int) -> Deferred[None]:
            led.append(number)
            return running[number]

        running: list[Deferred[None]] = [Deferred(), Deferred()]
        elections = [Election(client, self.path) for client in (self.client, self.other)]
        first = elections[0].run(lambda: lead(0))
        while not led:
            await self.client.sync()
        second = elections[1].run(lambda: lead(1))
        await self.other.sync()
        self.assertEqual(led, [0])
        running[0].callback(None)
        running[1].callback(None)
        await self.within(first)
        await self.within(second)
        self.assertEqual(led, [0, 1])
