"""The client, mirrors and the registry in tasks of asyncio."""

from __future__ import annotations

import asyncio
import gc
import weakref
from typing import Any

from txmirror import aio
from txmirror.errors import (
    ClosingException,
    ConnectionLossException,
    NoInstanceException,
    NoNodeException,
    SessionExpiredException,
    TransactionFailedException,
)
from txmirror.mirror import Change, ChangeKind
from txmirror.test.aio.case import ServerCase, turns
from txmirror.types import EventType, ZnodeStat


class ClientTests(ServerCase):
    def test_requests(self) -> None:
        """Calls begin at once, in the order in which they are made, whether or not they are awaited."""

        async def main() -> None:
            async with aio.ZooKeeperClient(self.server.address) as client:
                client.create("/a", b"1")
                client.set("/a", b"2")
                first = client.get("/a")
                client.set("/a", b"3")
                data, stat = await client.get("/a")
                self.assertEqual((data, stat.version, (await first)[0]), (b"3", 2, b"2"))
                with self.assertRaises(NoNodeException) as caught:
                    await client.get("/missing")
                self.assertEqual(caught.exception.path, "/missing")
                self.assertEqual(await client.chroot("/a").exists("/b"), None)
                self.assertEqual(client.session_id, client.waiting().session_id)

        self.on_loop(main)

    def test_watch(self) -> None:
        """A pair of Deferreds is a pair of calls."""

        async def main() -> None:
            async with aio.ZooKeeperClient(self.server.address) as client:
                answer, watch = client.exists_and_watch("/a")
                self.assertIsNone(await answer)
                seen = asyncio.create_task(watch)
                await client.create("/a")
                event = await seen
                self.assertEqual((event.type, event.path), (EventType.CREATED, "/a"))

        self.on_loop(main)

    def test_transaction(self) -> None:
        """A transaction is committed, or refused as a whole."""

        async def main() -> None:
            async with aio.ZooKeeperClient(self.server.address) as client:
                transaction = client.transaction()
                transaction.create("/a")
                transaction.create("/b")
                self.assertEqual(await transaction.commit(), ["/a", "/b"])
                transaction = client.transaction()
                transaction.delete("/a")
                transaction.delete("/c")
                with self.assertRaises(TransactionFailedException):
                    await transaction.commit()
                self.assertIsNotNone(await client.exists("/a"))

        self.on_loop(main)

    def test_faults(self) -> None:
        """A lost connection, an expired session and the end of the client fail what is pending, and say so."""

        async def main() -> None:
            async with aio.ZooKeeperClient(self.server.address) as client:
                lost = client.create("/a")
                self.server.drop_connections()
                with self.assertRaises(ConnectionLossException) as caught:
                    await lost
                self.assertIsNone(caught.exception.applied)
                first = client.session_id
                self.assertIsNotNone(await client.get("/"))
                self.assertEqual(client.session_id, first)
                expired = asyncio.create_task(client.when_lease_expires())
                _, watch = client.get_and_watch("/")
                await client.sync()
                self.server.expire_session(first)
                with self.assertRaises(SessionExpiredException):
                    await watch
                await expired
                pending = client.get("/")
            with self.assertRaises(ClosingException):
                await pending

        self.on_loop(main)

    def test_never_connected(self) -> None:
        """A program that does not wait any longer for the first session leaves nothing behind."""

        async def main() -> None:
            await aio.Call(self.server.stop_listening(), asyncio.get_running_loop())
            client = aio.ZooKeeperClient(self.server.address)
            with self.assertRaises(asyncio.TimeoutError):
                await asyncio.wait_for(client.__aenter__(), 0.05)
            with self.assertRaises(ClosingException):
                await client.get("/")

        self.on_loop(main)


class MirrorTests(ServerCase):
    def test_node(self) -> None:
        """A node that is not known yet is awaited, and a known one too."""

        async def main() -> None:
            async with aio.Mirror(self.server.address) as mirror:
                node = mirror.get("/a")
                self.assertEqual(repr(node), "<aio <Node '/a' unknown>>")
                with self.assertRaises(NoNodeException):
                    await node.value()
                self.assertEqual(await node.create(b"1"), node)
                self.assertEqual({node, mirror.get("a")}, {node})
                self.assertNotEqual(node, mirror.get("/b"))
                self.assertEqual((await node.value())[0], b"1")
                await node.set(b"2", 0)
                self.assertEqual((node.state.value, await mirror.get("/").children()), (b"2", ["a", "zookeeper"]))
                below = await mirror.chroot("/a").create_r("/b/c", b"3")
                self.assertEqual((below.path, await mirror.get("/a/b").children()), ("/b/c", ["c"]))
                await node.delete(recursive=True)
                self.assertIsNone(await node.exists())

        self.on_loop(main)

    def test_shared_client(self) -> None:
        """Several mirrors use one client, which they leave open."""

        async def main() -> None:
            async with aio.ZooKeeperClient(self.server.address) as client:
                async with aio.Mirror(client=client) as mirror:
                    await mirror.ensure_exists("/a/b")
                self.assertEqual(await client.get_children("/a"), ["b"])
                self.assertEqual(len(self.server.sessions), 1)

        self.on_loop(main)

    def test_json(self) -> None:
        """The data of a JSON node is decoded."""

        async def main() -> None:
            async with aio.Mirror(self.server.address) as mirror:
                settings = mirror.get_json("/app/settings")
                await settings.update(lambda old: {**(old or {}), "debug": True}, makepath=True)
                self.assertEqual((await settings.value())[0], {"debug": True})
                self.assertEqual((await settings.node.value())[0], b'{"debug":true}')
                created = await mirror.get_json("/b").create([1])
                self.assertEqual((created.path, (await created.value())[0]), ("/b", [1]))

        self.on_loop(main)

    def test_values(self) -> None:
        """``async for`` goes over the values, until the mirror is closed."""

        async def main() -> None:
            mirror = aio.Mirror(self.server.address)
            node = mirror.get("/a")
            seen: list[bytes | None] = []
            async for state in node.values():
                seen.append(None if state is None else state[0])
                if state is None:
                    node.create(b"1")
                elif state[0] == b"1":
                    node.set(b"2", -1)
                else:
                    mirror.close()
            self.assertEqual(seen, [None, b"1", b"2"])
            await mirror.close()

        self.on_loop(main)

    def test_cancelled_step(self) -> None:
        """A step that is cancelled loses no value: the next one returns it."""

        async def main() -> None:
            async with aio.Mirror(self.server.address) as mirror:
                node = await mirror.get("/a").create(b"1")
                values = node.values()
                self.assertEqual((await values.__anext__() or b"")[0], b"1")
                with self.assertRaises(asyncio.TimeoutError):
                    await asyncio.wait_for(values.__anext__(), 0.01)
                step: asyncio.Task[tuple[bytes, ZnodeStat] | None] = asyncio.create_task(values.__anext__())
                await turns()
                # It is cancelled by the watcher: the value has arrived, and the task has not gone on.
                node.addValueWatcher("cancel", lambda _: step.cancel())
                await node.set(b"2", -1)
                with self.assertRaises(asyncio.CancelledError):
                    await step
                self.assertEqual((await asyncio.wait_for(values.__anext__(), 1) or b"")[0], b"2")

        self.on_loop(main)

    def test_abandoned_loop(self) -> None:
        """A loop that ends early, or whose task is cancelled, leaves no iterator behind."""

        async def main() -> None:
            async with aio.Mirror(self.server.address) as mirror:
                node = await mirror.get("/a").create(b"1")
                left: list[weakref.ref[object]] = []

                async def follow(steps: int) -> None:
                    values = node.values()
                    left.append(weakref.ref(values.wrapped))
                    async for _ in values:
                        steps -= 1
                        if not steps:
                            break

                await follow(1)
                task = asyncio.create_task(follow(2))
                await turns()
                task.cancel()
                with self.assertRaises(asyncio.CancelledError):
                    await task
                del task
                # Before Python 3.11, asyncio holds the exception, with its frames, in the turn in which it was raised.
                await turns()
                gc.collect()
                self.assertEqual([each() for each in left], [None, None])

        self.on_loop(main)

    def test_tree(self) -> None:
        """A tree is a live mapping, and its watchers are plain functions."""

        async def main() -> None:
            async with aio.Mirror(self.server.address) as mirror:
                await mirror.ensure_exists("/a/b")
                async with mirror.tree("/a") as tree:
                    self.assertEqual(sorted(tree), ["/a", "/a/b"])
                    self.assertEqual((tree.settled, tree.stale_since, tree.path), (True, None, "/a"))
                    changed: asyncio.Future[Change] = asyncio.get_running_loop().create_future()
                    tree.watch(changed.set_result)
                    await mirror.get("/a/c").create(b"1")
                    change = await changed
                    self.assertEqual((change.kind, change.path), (ChangeKind.ADDED, "/a/c"))
                    self.assertEqual((tree["/a/c"][0], tree.children("/a")), (b"1", ["b", "c"]))
                    self.assertEqual((len(tree), "/a/c" in tree, "/x" in tree), (3, True, False))
                    self.assertEqual(set(tree.keys()), set(dict(tree.items())))
                    self.assertEqual(len(tree.values()), 3)
                    lengths = tree.decoded(lambda _, data: len(data))
                    await lengths.ready()
                    by_length = lengths.index("length", lambda _, length: [length])
                    self.assertEqual(dict(lengths), {"/a": 0, "/a/b": 0, "/a/c": 1})
                    self.assertEqual(by_length[1], {"/a/c": 1})
                self.assertIn("closed", repr(tree))
                self.assertEqual(tree, tree)

        self.on_loop(main)


class RegistryTests(ServerCase):
    def test_registry(self) -> None:
        """A registry registers, finds, calls callbacks and locks."""

        async def main() -> None:
            answers: list[Any] = []
            async with aio.ServiceRegistry(self.server.address) as registry:
                self.assertTrue(await registry.set_node("/services/a", {"port": 1}))
                found = await registry.get("/services", answers.append)
                data: Any = found["children"]["a"]
                self.assertEqual(data["port"], 1)
                self.assertEqual(answers, [found])
                async with await registry.get_lock("/lock") as held:
                    self.assertTrue(held)
                    lock = await registry.get_lock("/lock")
                    self.assertTrue(lock.held)
                    self.assertGreater(lock.token, 0)
                self.assertFalse(lock.held)
                self.assertTrue(await registry.acquire_lock("/lock"))
                self.assertTrue(await registry.release_lock("/lock"))
                self.assertTrue(await registry.rebuild())

        self.on_loop(main)

    def test_wait_cancelled(self) -> None:
        """A cancelled wait for a registry's lock leaves it to others."""

        async def main() -> None:
            async with (
                aio.ServiceRegistry(self.server.address) as one,
                aio.ServiceRegistry(self.server.address) as other,
            ):
                async with await one.get_lock("/lock"):
                    theirs = await other.get_lock("/lock")
                    with self.assertRaises(asyncio.TimeoutError):
                        await asyncio.wait_for(theirs.__aenter__(), 0.05)
                async with await one.get_lock("/lock") as held:
                    self.assertTrue(held)
                self.assertFalse(theirs.held)

        self.on_loop(main)

    def test_cancelled_when_acquired(self) -> None:
        """A lock that is acquired in the moment in which its task is cancelled is released."""

        async def main() -> None:
            async with aio.ServiceRegistry(self.server.address) as registry:
                lock = await registry.get_lock("/lock")
                task = asyncio.create_task(lock.__aenter__())
                while not lock.held:
                    await asyncio.sleep(0)
                self.assertFalse(task.done())
                task.cancel()
                with self.assertRaises(asyncio.CancelledError):
                    await task
                self.assertFalse(lock.held)

        self.on_loop(main)

    def test_provider(self) -> None:
        """A provider picks an instance, and waits for one."""

        async def main() -> None:
            async with aio.ServiceRegistry(self.server.address) as registry:
                async with aio.ServiceProvider(registry, "/services/web", wait=0.01) as provider:
                    with self.assertRaises(NoInstanceException):
                        await provider.instance()
                    waiting = asyncio.create_task(provider.instance(wait=5))
                    await registry.set_node("/services/web/127.0.0.1:80")
                    instance = await waiting
                    self.assertEqual((instance.name, provider.instances()), ("127.0.0.1:80", [instance]))
                with self.assertRaises(NoInstanceException):
                    await provider.instance()

        self.on_loop(main)

    def test_registration(self) -> None:
        """A registration keeps its node while its context lasts."""

        async def main() -> None:
            async with aio.Mirror(self.server.address) as mirror:
                async with aio.Registration(mirror, "/services/a", "here") as registration:
                    await registration.when_registered()
                    self.assertEqual(await mirror.get("/services").children(), ["a"])
                self.assertEqual((await mirror.get("/services").children(), registration.wanted), ([], False))

        self.on_loop(main)
