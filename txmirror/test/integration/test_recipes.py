"""Locks, semaphores and elections at a real ZooKeeper server, and together with kazoo's."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from kazoo.client import KazooClient
from twisted.internet.defer import Deferred
from twisted.internet.threads import deferToThread
from twisted.trial.unittest import TestCase
from twisted.trial.util import suppress as trial_suppress

from txmirror.client import ZooKeeperClient
from txmirror.errors import LockMismatchError
from txmirror.recipes import Election, Lock, ReadLock, Semaphore, WriteLock
from txmirror.test.client.contract import ContractServer, run
from txmirror.test.integration.servers import PATIENCE, OnEmbedded, OnReal, ServerChoice, end_session, janitor
from txmirror.test.integration.test_client_contract import Shared
from txmirror.test.recipes.contract import RecipesContract
from txmirror.test.recipes.contract_barriers import BarriersContract
from txmirror.test.recipes.contract_queues import QueuesContract
from txmirror.test.zookeeper import shared_server


class ZooKeeperRecipesTests(RecipesContract, QueuesContract, BarriersContract, TestCase):
    """The whole contract."""

    async def start_server(self) -> ContractServer:
        server = Shared(self.reactor, await deferToThread(shared_server))
        self.addCleanup(server.stop)
        return server

    def end_session(self) -> Deferred[Any]:
        ticket = self.client.session_ticket
        return deferToThread(end_session, self.server.direct_address, (ticket.session_id, ticket.password))


if TYPE_CHECKING:

    class _Base(ServerChoice, TestCase):
        pass
else:
    _Base = object


class KazooSide(_Base):
    """A client of ours and one of kazoo's, and one path for both."""

    timeout = 40
    # A semaphore of kazoo's has a lock whose name is bytes.
    suppress = (trial_suppress(category=BytesWarning),)

    def setUp(self) -> Deferred[None]:  # type: ignore[override]
        return Deferred.fromCoroutine(self._set_up())

    async def _set_up(self) -> None:
        address = await deferToThread(self.server_address)
        self.root = "/recipes-" + self.id().rpartition(".")[2]
        await deferToThread(lambda: janitor(address).delete(self.root, recursive=True))
        self.addCleanup(deferToThread, lambda: janitor(address).delete(self.root, recursive=True))
        self.path = f"{self.root}/one"
        self.ours = ZooKeeperClient(address)
        self.addCleanup(self.ours.close)
        self.address = address
        self.kazoo = KazooClient(address, timeout=5.0)
        self.addCleanup(self.end_kazoo)
        await deferToThread(self.kazoo.start, PATIENCE)
        await self.ours.connect()

    def end_kazoo(self) -> Deferred[None]:
        def end() -> None:
            self.kazoo.stop()
            self.kazoo.close()

        return deferToThread(end)

    async def until(self, contenders: Callable[[], Deferred[list[str]]], names: list[str]) -> None:
        """Wait until contenders are these, in this order; the test's timeout is the limit."""
        while await contenders() != names:
            pass


class KazooContract(KazooSide):
    """We and kazoo exclude one another on the same path."""

    @run
    async def test_lock(self) -> None:
        """A lock goes from kazoo to us and back, in the order in which each came; both know the contenders."""
        ours, theirs = Lock(self.ours, self.path, name="größe"), self.kazoo.Lock(self.path, "kazoo")
        await deferToThread(theirs.acquire)
        self.assertFalse(await ours.acquire(wait=0))
        acquired = ours.acquire()
        await self.until(ours.contenders, ["kazoo", "größe"])
        self.assertFalse(acquired.called)
        self.assertEqual(await deferToThread(theirs.contenders), ["kazoo", "größe"])
        await deferToThread(theirs.release)
        self.assertTrue(await acquired)
        self.assertFalse(await deferToThread(theirs.acquire, False))
        waiting = deferToThread(theirs.acquire, True, PATIENCE)
        await self.until(ours.contenders, ["größe", "kazoo"])
        await ours.release()
        self.assertTrue(await waiting)
        await deferToThread(theirs.release)
        self.assertEqual(await ours.contenders(), [])

    @run
    async def test_session_ended(self) -> None:
        """When kazoo's session ends, we acquire its lock, and vice versa."""
        ours, theirs = Lock(self.ours, self.path), self.kazoo.Lock(self.path)
        await deferToThread(theirs.acquire)
        acquired = ours.acquire()
        await self.until(ours.contenders, ["", ""])
        await deferToThread(end_session, self.address, self.kazoo.client_id)
        self.assertTrue(await acquired)
        other = self.kazoo.Lock(self.path)
        waiting = deferToThread(other.acquire, True, PATIENCE)
        await self.until(ours.contenders, ["", ""])
        ticket = self.ours.session_ticket
        assert ticket is not None
        await deferToThread(end_session, self.address, (ticket.session_id, ticket.password))
        self.assertTrue(await waiting)
        await ours.lost

    @run
    async def test_readers_and_writers(self) -> None:
        """Readers share with kazoo's, and exclude its writers, and ours its readers."""
        reader, writer = ReadLock(self.ours, self.path), WriteLock(self.ours, self.path)
        their_reader, their_writer = self.kazoo.ReadLock(self.path, "reader"), self.kazoo.WriteLock(self.path, "writer")
        self.assertTrue(await reader.acquire(wait=0))
        self.assertTrue(await deferToThread(their_reader.acquire, False))
        self.assertFalse(await writer.acquire(wait=0))
        writing = deferToThread(their_writer.acquire, True, PATIENCE)
        await self.until(reader.contenders, ["", "reader", "writer"])
        await deferToThread(their_reader.release)
        self.assertFalse(await deferToThread(their_reader.acquire, False))
        await reader.release()
        self.assertTrue(await writing)
        self.assertFalse(await reader.acquire(wait=0))
        reading = reader.acquire()
        await self.until(reader.contenders, ["writer", ""])
        self.assertFalse(reading.called)
        await deferToThread(their_writer.release)
        self.assertTrue(await reading)
        self.assertTrue(await deferToThread(their_reader.acquire, False))

    @run
    async def test_semaphore(self) -> None:
        """Both count one another's leases, and know how many there are."""
        ours, more = Semaphore(self.ours, self.path, leases=2, name="ours"), Semaphore(self.ours, self.path, leases=2)
        theirs = self.kazoo.Semaphore(self.path, "kazoo", 2)
        self.assertTrue(await ours.acquire())
        self.assertTrue(await deferToThread(theirs.acquire, False))
        self.assertEqual(sorted(await deferToThread(theirs.lease_holders)), ["kazoo", "ours"])
        self.assertEqual(sorted(await ours.holders()), ["kazoo", "ours"])
        self.assertFalse(await more.acquire(wait=0))
        self.assertFalse(await deferToThread(self.kazoo.Semaphore(self.path, "", 2).acquire, False))
        await self.assertFailure(Semaphore(self.ours, self.path, leases=3).acquire(), ValueError)
        acquired = more.acquire()
        await self.until(more.contenders, [""])
        await deferToThread(theirs.release)
        self.assertTrue(await acquired)
        waiting = deferToThread(theirs.acquire, True, PATIENCE)
        await self.until(more.contenders, ["b'kazoo'"])
        await ours.release()
        self.assertTrue(await waiting)

    @run
    async def test_semaphore_of_kazoo(self) -> None:
        """We understand the nodes of kazoo's semaphore, and kazoo understands ours."""
        await deferToThread(self.kazoo.Semaphore(self.path, "kazoo", 2).acquire)
        await self.assertFailure(Semaphore(self.ours, self.path).acquire(), ValueError)
        self.assertTrue(await Semaphore(self.ours, f"{self.root}/two").acquire())
        await self.assertFailure(deferToThread(self.kazoo.Semaphore(f"{self.root}/two", "", 2).acquire), ValueError)

    @run
    async def test_kinds(self) -> None:
        """While kazoo holds a lock, our semaphore fails and names the holder, and vice versa."""
        theirs = self.kazoo.Lock(self.path, "kazoo")
        await deferToThread(theirs.acquire)
        for leases in (1, 2):
            error = await self.assertFailure(
                Semaphore(self.ours, self.path, leases=leases).acquire(), LockMismatchError
            )
            self.assertIn("is used as a lock, held by 'kazoo' (session ", str(error))
        await deferToThread(theirs.release)
        pool = self.kazoo.Semaphore(self.path, "kazoo", 2)
        await deferToThread(pool.acquire)
        for kind in (Lock, ReadLock, WriteLock):
            error = await self.assertFailure(kind(self.ours, self.path).acquire(), LockMismatchError)
            self.assertIn("is used as a semaphore, held by 'kazoo' (session ", str(error))
        await deferToThread(pool.release)
        self.assertTrue(await Lock(self.ours, self.path).acquire(wait=0))

    @run
    async def test_election(self) -> None:
        """Leadership goes from us to kazoo."""
        ours, theirs = Election(self.ours, self.path, name="ours"), self.kazoo.Election(self.path, "kazoo")
        running: Deferred[str] = Deferred()
        led: list[str] = []
        leading = ours.run(lambda: running)
        await self.until(ours.contenders, ["ours"])
        waiting = deferToThread(theirs.run, led.append, "kazoo")
        await self.until(ours.contenders, ["ours", "kazoo"])
        self.assertEqual(await deferToThread(theirs.contenders), ["ours", "kazoo"])
        self.assertEqual(led, [])
        running.callback("done")
        self.assertEqual(await leading, "done")
        await waiting
        self.assertEqual(led, ["kazoo"])


class ZooKeeperKazooTests(OnReal, KazooContract, TestCase):
    """At the real server."""


class EmbeddedKazooTests(OnEmbedded, KazooContract, TestCase):
    """At the embedded server."""
