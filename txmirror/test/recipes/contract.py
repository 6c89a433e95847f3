"""What locks, semaphores and elections must do on every server."""

from __future__ import annotations

from collections.abc import Awaitable
from typing import Any

from twisted.internet.defer import Deferred

from txmirror.client import ZooKeeperClient
from txmirror.recipes import Election, Lock, ReadLock, Semaphore, WriteLock
from txmirror.test.client.contract import ContractCase, run
from txmirror.types import SessionState


class RecipesContract(ContractCase):
    """Two contenders, one of which can be disconnected."""

    def make_client(self, servers: str, session_timeout: float) -> ZooKeeperClient:
        return ZooKeeperClient(servers, session_timeout=session_timeout)

    def end_session(self) -> Awaitable[Any]:
        """End the session of :attr:`client` at the server, which does not wait for its timeout."""
        return self.server.expire(self.client.session_id)

    async def begin(self) -> None:
        """Connect the other one, and name the thing that both contend for."""
        self.other, _ = await self.connect(direct=True)
        self.path = f"{self.root}/things/one"

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
    async def test_disconnected(self) -> None:
        """Who holds it and is disconnected for a moment holds it all the while; who waits gets it when it is back."""
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
        """Whose session ends has lost what it held, and others get it; what it waits for it gets in the next session."""
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
        """One leads until it stops, then the other."""
        await self.begin()
        led: list[int] = []

        def lead(number: int) -> Deferred[None]:
            led.append(number)
            return running[number]

        running: list[Deferred[None]] = [Deferred(), Deferred()]
        elections = [Election(client, self.path) for client in (self.client, self.other)]
        first = elections[0].lead(lambda: lead(0))
        while not led:
            await self.client.sync()
        second = elections[1].lead(lambda: lead(1))
        await self.other.sync()
        self.assertEqual(led, [0])
        running[0].callback(None)
        running[1].callback(None)
        await self.within(first)
        await self.within(second)
        self.assertEqual(led, [0, 1])
