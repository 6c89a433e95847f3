"""aiozk finds the same at the embedded server as at the real one, also with its recipes."""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Awaitable, Callable, Coroutine
from typing import TYPE_CHECKING, Any, TypeVar

from aiozk import ACL, WatchEvent, ZKClient, exc
from aiozk.states import States
from twisted.trial.unittest import SynchronousTestCase

from txmirror.test.integration.servers import (
    PATIENCE,
    OnEmbedded,
    OnReal,
    ServerChoice,
    break_connection,
    end_session,
    janitor,
    visit,
)
from txmirror.types import OPEN_ACL
from txmirror.wire import CreateFlag, CreateRequest

#: How long to wait for what does not come, in seconds.
_BRIEFLY = 0.05

_T = TypeVar("_T")

if TYPE_CHECKING:

    class _Base(ServerChoice, SynchronousTestCase):
        pass
else:
    _Base = object


def run(test: Callable[[Any], Coroutine[Any, Any, None]]) -> Callable[[Any], None]:
    """Run a test on an event loop of its own, for so long only: some of aiozk's tasks would not be cancelled."""

    @functools.wraps(test)
    def running(self: AiozkCase) -> None:
        loop = asyncio.new_event_loop()
        try:
            loop.run_until_complete(bounded(self.conduct(functools.partial(test, self))))
        finally:
            loop.run_until_complete(loop.shutdown_default_executor())
            loop.close()

    return running


async def bounded(coroutine: Coroutine[Any, Any, None]) -> None:
    """Run a test, and cancel it after some time, with the tasks that it leaves behind."""
    task = asyncio.ensure_future(coroutine)
    await asyncio.wait({task}, timeout=3 * PATIENCE)
    left = asyncio.all_tasks() - {asyncio.current_task()}
    for other in left:
        other.cancel()
    if left:
        await asyncio.wait(left, timeout=_BRIEFLY)
    if not task.done() or task.cancelled():
        raise AssertionError(f"not within {3 * PATIENCE:g} s: the test")
    task.result()


async def within(awaitable: Awaitable[_T]) -> _T:
    """Wait for a result."""
    return await asyncio.wait_for(awaitable, PATIENCE)


async def until(look: Callable[[], Any]) -> None:
    """Look again and again, until something is so."""

    async def looking() -> None:
        while not look():
            await asyncio.sleep(0.01)

    await within(looking())


def permitted(**permissions: bool) -> ACL:
    """Permissions for everybody."""
    return ACL.make("world", "anyone", **permissions)


class AiozkCase(_Base):
    """Clients below a node of one test's own, where they see nothing else."""

    def setUp(self) -> None:
        self.address = self.server_address()
        self.root = "/aiozk-" + self.id().rpartition(".")[2]
        janitor(self.address).create(self.root)
        self.addCleanup(janitor(self.address).delete, self.root, recursive=True)

    async def conduct(self, test: Callable[[], Coroutine[Any, Any, None]]) -> None:
        self.clients: list[ZKClient] = []
        self.watching: list[Callable[[], None]] = []
        try:
            self.client = await self.make_client()
            await within(test())
        finally:
            for stop in self.watching:
                stop()
            # One that was told of its loss when the test had ended cannot close.
            await within(asyncio.gather(*(client.close() for client in self.clients), return_exceptions=True))

    async def make_client(self, session_timeout: float = 5.0) -> ZKClient:
        """Make a client that is connected, and ends with the test."""
        client = ZKClient(self.address, chroot=self.root, session_timeout=session_timeout)
        self.clients.append(client)
        await within(client.start())
        return client

    async def make_clients(self, count: int) -> list[ZKClient]:
        return [await self.make_client() for _ in range(count)]

    def recipe(self, client: ZKClient, kind: str, *arguments: Any, **options: Any) -> Any:
        return getattr(client.recipes, kind)(*arguments, **options)

    def watch(self, client: ZKClient, kind: str, path: str) -> asyncio.Queue[Any]:
        """Watch a node with a watcher, until the test ends."""
        told: asyncio.Queue[Any] = asyncio.Queue()
        watcher = self.recipe(client, kind)
        watcher.add_callback(path, told.put_nowait)
        self.watching.append(lambda: watcher.remove_callback(path, told.put_nowait))
        return told


class ClientContract(AiozkCase):
    """Operations, watches, transactions and sessions."""

    @run
    async def test_calls(self) -> None:
        """Nodes are created, read, changed and deleted."""
        client = self.client
        self.assertEqual(await client.create("/node", b"one"), "/node")
        self.assertEqual(await client.get_data("/node"), b"one")
        stat = await client.set("/node", b"second", 0)
        self.assertEqual((stat.version, stat.data_length, stat.num_children, stat.ephemeral_owner), (1, 6, 0, 0))
        await client.create("/node/child")
        data, stat = await client.get("/node")
        self.assertEqual((data, stat.child_version, stat.num_children), (b"second", 1, 1))
        self.assertEqual(await client.get_children("/node"), ["child"])
        self.assertEqual([await client.exists(path) for path in ("/node", "/missing")], [True, False])
        await client.deleteall("/node")
        self.assertEqual(await client.get_children("/"), [])

    @run
    async def test_refused(self) -> None:
        """Each refusal is an error of its own."""
        client = self.client
        await client.ensure_path("/node/child")
        await client.create("/mortal", ephemeral=True)
        await client.create("/closed", acl=[permitted(admin=True)])
        for error, asked in (
            (exc.NodeExists, client.create("/node")),
            (exc.NoNode, client.create("/missing/child")),
            (exc.NoNode, client.get("/missing")),
            (exc.NoNode, client.get_children("/missing")),
            (exc.NotEmpty, client.delete("/node", force=True)),
            (exc.BadVersion, client.set("/node", b"", 7)),
            (exc.NoChildrenForEphemerals, client.create("/mortal/child")),
            (exc.NoAuth, client.get("/closed")),
            (exc.NoAuth, client.create("/closed/child")),
            (exc.InvalidACL, client.create("/other", acl=[ACL.make("auth", "", read=True)])),
            (exc.BadArguments, client.create("/nul\0")),
        ):
            with self.assertRaises(error):
                await asked
        await client.set_acl("/closed", [permitted(read=True)])
        self.assertIsNone(await client.get_data("/closed"))

    @run
    async def test_acl(self) -> None:
        """A node's list is as it was set, and its changes are counted."""
        await self.client.create("/node")
        (acl,) = await self.client.get_acl("/node")
        self.assertEqual((acl.perms, acl.id.scheme, acl.id.id), (31, "world", "anyone"))
        await self.client.set_acl("/node", [permitted(read=True), ACL.make("ip", "127.0.0.1", write=True)])
        acls = [(acl.perms, acl.id.scheme, acl.id.id) for acl in await self.client.get_acl("/node")]
        self.assertEqual(sorted(acls), [(1, "world", "anyone"), (2, "ip", "127.0.0.1")])
        _, stat = await self.client.get("/node")
        self.assertEqual(stat.acl_version, 1)
        await self.client.set_data("/node", b"by address", force=True)

    @run
    async def test_kinds(self) -> None:
        """Nodes are numbered, go with their session, and are containers only where that is asked for as a server wants it."""
        other = await self.make_client()
        await self.client.create("/node")
        paths = [await self.client.create("/node/item-", sequential=True) for _ in range(3)]
        self.assertEqual(paths, [f"/node/item-000000000{number}" for number in range(3)])
        mortal = await other.create("/node/mortal-", ephemeral=True, sequential=True)
        _, stat = await self.client.get(mortal)
        self.assertEqual(stat.ephemeral_owner, other.session.session_id)
        gone = self.client.wait_for_events([WatchEvent.DELETED], mortal)
        await self.client.exists(mortal, watch=True)
        await other.close()
        await within(gone)
        # It sets a container's flag, but not the operation that makes one.
        await self.client.create("/container", container=True)
        _, stat = await self.client.get("/container")
        self.assertEqual(stat.ephemeral_owner, 0)

    @run
    async def test_watches(self) -> None:
        """Watches on data, existence and children fire once, for the events of their kind."""
        other = await self.make_client()
        kinds = (WatchEvent.CREATED, WatchEvent.DATA_CHANGED, WatchEvent.CHILDREN_CHANGED, WatchEvent.DELETED)

        def waiting() -> dict[int, Any]:
            return {kind: self.client.wait_for_events([kind], "/node") for kind in kinds}

        async def told(futures: dict[int, Any], kind: int) -> None:
            await within(futures[kind])
            await self.client.exists("/")
            self.assertEqual([known for known, future in futures.items() if future.done()], [kind])

        futures = waiting()
        self.assertFalse(await self.client.exists("/node", watch=True))
        await other.create("/node")
        await told(futures, WatchEvent.CREATED)
        futures = waiting()
        await self.client.get("/node", watch=True)
        await other.set_data("/node", b"new")
        await told(futures, WatchEvent.DATA_CHANGED)
        futures = waiting()
        await self.client.get_children("/node", watch=True)
        await other.create("/node/child")
        await told(futures, WatchEvent.CHILDREN_CHANGED)
        futures = waiting()
        await self.client.get("/node", watch=True)
        await other.deleteall("/node")
        await told(futures, WatchEvent.DELETED)

    @run
    async def test_transaction(self) -> None:
        """Several operations are done together, with a result for each."""
        await self.client.create("/old")
        await self.client.create("/gone")
        transaction = self.client.begin_transaction()
        transaction.check_version("/old", 0)
        transaction.create("/new", b"data")
        transaction.create("/new/child-", sequential=True)
        transaction.set_data("/old", b"changed", 0)
        transaction.delete("/gone")
        result = await transaction.commit()
        found = [sorted(paths) for paths in (result.checked, result.created, result.updated, result.deleted)]
        self.assertEqual(found, [["/old"], ["/new", "/new/child-"], ["/old"], ["/gone"]])
        self.assertEqual(sorted(await self.client.get_children("/")), ["new", "old"])
        self.assertEqual(await self.client.get_children("/new"), ["child-0000000000"])
        self.assertEqual(await self.client.get_data("/old"), b"changed")

    @run
    async def test_transaction_refused(self) -> None:
        """An operation that fails rolls the transaction back."""
        await self.client.create("/old", b"data")
        for fail in (
            lambda transaction: transaction.check_version("/old", 7),
            lambda transaction: transaction.create("/old"),
            lambda transaction: transaction.delete("/missing"),
            lambda transaction: transaction.set_data("/missing", b""),
        ):
            with self.assertRaises(exc.TransactionFailed):
                async with self.client.begin_transaction() as transaction:
                    transaction.create("/new")
                    transaction.set_data("/old", b"changed")
                    fail(transaction)
                    transaction.create("/later")
            self.assertEqual(await self.client.get_children("/"), ["old"])
            self.assertEqual(await self.client.get_data("/old"), b"data")

    @run
    async def test_connections(self) -> None:
        """A client whose connection breaks comes back to its session, and one whose session has ended has another.

        A session whose client is silent expires by itself. All this takes a second, so the test waits for everything
        together: aiozk notices a loss only when a ping is not answered.
        """
        request = CreateRequest(f"{self.root}/silent", b"", OPEN_ACL, CreateFlag.EPHEMERAL)
        silent, _ = visit(self.address, request, timeout=1.0)
        ended = self.client.wait_for_events([WatchEvent.DELETED], "/silent")
        _, stat = await self.client.get("/silent", watch=True)
        self.assertEqual(stat.ephemeral_owner, silent)
        # The least that a server grants.
        back, anew = await self.make_client(1.0), await self.make_client(1.0)
        await self.client.create("/node", b"one")
        seen = self.watch(back, "DataWatcher", "/node")
        self.assertEqual(await within(seen.get()), b"one")
        sessions = []
        for client, name in ((back, "/kept"), (anew, "/lost")):
            await client.create(name, ephemeral=True)
            sessions.append((client.session.session_id, client.session.password))
        holder = self.recipe(anew, "Lock", "/lock")
        await within(holder.acquire())
        acquiring = asyncio.ensure_future(self.recipe(self.client, "Lock", "/lock").acquire())
        gone = self.client.wait_for_events([WatchEvent.DELETED], "/lost")
        await self.client.exists("/lost", watch=True)
        # What it is asked before it notices is lost with the connection.
        noticed = [back.session.state.wait_for(States.SUSPENDED), anew.session.state.wait_for(States.LOST)]
        loop = asyncio.get_running_loop()
        await loop.run_in_executor(None, break_connection, self.address, sessions[0])
        await loop.run_in_executor(None, end_session, self.address, sessions[1])
        await self.client.set_data("/node", b"two")
        await within(gone)
        await within(acquiring)
        await within(asyncio.gather(*noticed))
        await within(asyncio.gather(*(client.session.state.wait_for(States.CONNECTED) for client in (back, anew))))
        self.assertEqual(await within(seen.get()), b"two")
        _, stat = await within(back.get("/kept"))
        self.assertEqual((stat.ephemeral_owner, back.session.session_id), (sessions[0][0], sessions[0][0]))
        self.assertFalse(await within(anew.exists("/lost")))
        self.assertNotEqual(anew.session.session_id, sessions[1][0])
        await within(anew.create("/lost", ephemeral=True))
        await within(ended)


class RecipeContract(AiozkCase):
    """Locks, elections, barriers, counters, parties, watchers and caches."""

    @run
    async def test_lock(self) -> None:
        """A lock is acquired by one contender after another; a contender that waits too long leaves the queue."""
        locks = [self.recipe(client, "Lock", "/lock") for client in await self.make_clients(3)]
        await within(locks[0].acquire())
        with self.assertRaises(exc.TimeoutError):
            await locks[1].acquire(timeout=_BRIEFLY)
        waiting = []
        for number, lock in enumerate(locks[1:]):
            waiting.append(asyncio.ensure_future(lock.acquire()))
            await self.wait_for_children("/lock", number + 2)
        for before, lock, task in zip(locks, locks[1:], waiting, strict=False):
            self.assertFalse(lock.locked())
            await before.release()
            await within(task)
            self.assertTrue(lock.locked())
        await locks[2].release()
        self.assertEqual(await self.client.get_children("/lock"), [])

    async def wait_for_children(self, path: str, count: int) -> None:
        async def looking() -> None:
            while not await self.client.exists(path) or len(await self.client.get_children(path)) != count:
                await asyncio.sleep(0.01)

        await within(looking())

    @run
    async def test_shared_lock(self) -> None:
        """Readers share, a writer waits for all of them, and later readers wait for the writer."""
        locks = [self.recipe(client, "SharedLock", "/lock") for client in await self.make_clients(4)]
        for lock in locks[:2]:
            await within(lock.reader_lock.acquire())
        writing = asyncio.ensure_future(locks[2].writer_lock.acquire())
        await self.wait_for_children("/lock", 3)
        reading = asyncio.ensure_future(locks[3].reader_lock.acquire())
        await self.wait_for_children("/lock", 4)
        await locks[0].reader_lock.release()
        await self.client.exists("/lock")
        self.assertFalse(writing.done())
        await locks[1].reader_lock.release()
        await within(writing)
        self.assertFalse(reading.done())
        await locks[2].writer_lock.release()
        await within(reading)

    @run
    async def test_election(self) -> None:
        """One candidate leads until it steps back, then the next."""
        first, second = (self.recipe(client, "LeaderElection", "/election") for client in await self.make_clients(2))
        await within(first.volunteer())
        await within(first.wait_for_leadership())
        await within(second.volunteer())
        with self.assertRaises(exc.TimeoutError):
            await second.wait_for_leadership(timeout=_BRIEFLY)
        self.assertEqual((first.has_leadership, second.has_leadership), (True, False))
        await first.resign()
        await within(second.wait_for_leadership())
        self.assertEqual((first.has_leadership, second.has_leadership), (False, True))

    @run
    async def test_barriers(self) -> None:
        """A barrier blocks its waiters until it is lifted; at a double one, all enter and leave together."""
        clients = await self.make_clients(2)
        barrier = self.recipe(self.client, "Barrier", "/barrier")
        await barrier.create()
        with self.assertRaises(exc.TimeoutError):
            await self.recipe(clients[1], "Barrier", "/barrier").wait(timeout=_BRIEFLY)
        waiting = asyncio.ensure_future(self.recipe(clients[0], "Barrier", "/barrier").wait())
        await barrier.lift()
        await within(waiting)
        first, second = (self.recipe(client, "DoubleBarrier", "/double", 2) for client in clients)
        entering = asyncio.ensure_future(first.enter())
        await self.wait_for_children("/double", 1)
        self.assertFalse(entering.done())
        await within(second.enter())
        await within(entering)
        leaving = asyncio.ensure_future(first.leave())
        await asyncio.sleep(_BRIEFLY)
        self.assertFalse(leaving.done())
        await within(second.leave())
        await within(leaving)
        self.assertEqual(await self.client.get_children("/double"), [])

    @run
    async def test_counter(self) -> None:
        """Concurrent additions of several clients add up."""
        counters = [self.recipe(client, "Counter", "/counter") for client in await self.make_clients(2)]
        for counter in counters:
            await counter.start()

        async def count(counter: Any) -> None:
            for _ in range(10):
                await counter.incr(3)
                await counter.decr(1)

        await within(asyncio.gather(*map(count, counters)))
        self.assertEqual([await counter.get_value() for counter in counters], [40, 40])

    @run
    async def test_party(self) -> None:
        """All members see each other, and each departure."""
        first, second = await self.make_clients(2)
        party = self.recipe(first, "Party", "/party", "first")
        await party.join()
        other = self.recipe(second, "Party", "/party", "second")
        await other.join()
        await until(lambda: sorted(party.members) == ["first", "second"])
        self.assertEqual(sorted(other.members), ["first", "second"])
        await other.leave()
        await until(lambda: party.members == ["first"])

    @run
    async def test_watchers(self) -> None:
        """Watchers of data and children get each change, and the deletion."""
        other = await self.make_client()
        await other.create("/node", b"one")
        data = self.watch(self.client, "DataWatcher", "/node")
        children = self.watch(self.client, "ChildrenWatcher", "/node")
        self.assertEqual([await within(data.get()), await within(children.get())], [b"one", []])
        await other.set_data("/node", b"two", force=True)
        self.assertEqual(await within(data.get()), b"two")
        await other.create("/node/child")
        self.assertEqual(await within(children.get()), ["child"])
        await other.delete("/node/child", force=True)
        self.assertEqual(await within(children.get()), [])
        await other.delete("/node", force=True)
        self.assertEqual([await within(data.get()), await within(children.get())], [exc.NoNode] * 2)

    @run
    async def test_tree_cache(self) -> None:
        """A subtree is kept in memory, as it changes."""
        writer = await self.make_client()
        await writer.create("/tree", b"root")
        await writer.create("/tree/one", b"1")
        await writer.create("/tree/branch")
        await writer.create("/tree/branch/leaf", b"2")
        cache = self.recipe(self.client, "TreeCache", "/tree")
        await within(cache.start())
        self.assertEqual(cache.as_dict(), {"one": b"1", "branch": {"leaf": b"2"}})
        await writer.set_data("/tree/branch/leaf", b"changed", force=True)
        await until(lambda: cache.as_dict() == {"one": b"1", "branch": {"leaf": b"changed"}})
        await writer.create("/tree/branch/new", b"3")
        await until(lambda: cache.as_dict() == {"one": b"1", "branch": {"leaf": b"changed", "new": b"3"}})
        await writer.delete("/tree/one", force=True)
        await until(lambda: cache.as_dict() == {"branch": {"leaf": b"changed", "new": b"3"}})
        self.assertEqual(cache.root.value, b"root")
        await within(cache.stop())


class EmbeddedClientTests(OnEmbedded, ClientContract, SynchronousTestCase):
    """At the embedded server."""


class ZooKeeperClientTests(OnReal, ClientContract, SynchronousTestCase):
    """At the real server."""


class EmbeddedRecipeTests(OnEmbedded, RecipeContract, SynchronousTestCase):
    """At the embedded server."""


class ZooKeeperRecipeTests(OnReal, RecipeContract, SynchronousTestCase):
    """At the real server."""
