"""Curator's own group members, counters, values and barriers on one path with ours, at a real server."""

from __future__ import annotations

import atexit
import functools
import subprocess
from collections.abc import Callable
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.threads import deferToThread
from twisted.trial.unittest import TestCase

from txmirror.client import ZooKeeperClient
from txmirror.creating_paths import create_path
from txmirror.discovery import ServiceProvider
from txmirror.mirror import Mirror
from txmirror.recipes import Barrier, Counter, DoubleBarrier, Members, SharedValue
from txmirror.registry import CODECS, Registration, ServiceRegistry
from txmirror.test.client.contract import run
from txmirror.test.integration.servers import janitor
from txmirror.test.neighbours.curator_programs import curator_programs
from txmirror.test.zookeeper import shared_server
from txmirror.types import Instance


@functools.cache
def _curator(address: str) -> subprocess.Popen[str]:
    """Start the Java program once for all tests: each has paths of its own."""
    command = curator_programs().command("Recipes", address)
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def end() -> None:
        process.kill()
        process.communicate()

    atexit.register(end)
    return process


class CuratorRecipesTests(TestCase):
    timeout = 60

    def setUp(self) -> Deferred[None]:  # type: ignore[override]
        curator_programs()
        return Deferred.fromCoroutine(self._set_up())

    async def _set_up(self) -> None:
        address = (await deferToThread(shared_server)).address
        self.path = f"/curator-recipes/{self._testMethodName}"
        await deferToThread(lambda: janitor(address).delete(self.path, recursive=True))
        self.addCleanup(deferToThread, lambda: janitor(address).delete(self.path, recursive=True))
        self.client = ZooKeeperClient(address)
        self.addCleanup(self.client.close)
        await self.client.connect()
        self.process = await deferToThread(_curator, address)

    def ask(self, command: str, *arguments: object) -> Deferred[str]:
        """Send a command for our path, and wait for its answer. One at a time."""

        def ask() -> str:
            assert self.process.stdin is not None
            assert self.process.stdout is not None
            self.process.stdin.write(" ".join([command, self.path, *map(str, arguments)]) + "\n")
            self.process.stdin.flush()
            return self.process.stdout.readline().removesuffix("\n")

        return deferToThread(ask)

    @run
    async def test_members(self) -> None:
        """``GroupMember``: each sees the other and its data; one name is one member's."""
        ours = Members(self.client, self.path, "ours", b"1")
        self.assertEqual(await self.ask("join", "theirs", "2"), "joined")
        await ours.join()
        self.assertEqual(await self.ask("members", 2), "ours=1,theirs=2")
        self.assertEqual(await ours.members(), {"ours": b"1", "theirs": b"2"})
        await ours.leave()
        self.assertEqual(await self.ask("members", 1), "theirs=2")
        same = Members(self.client, self.path, "theirs", b"3")
        joining = same.join()
        self.assertEqual(await ours.members(), {"theirs": b"2"})
        self.assertFalse(joining.called)
        self.assertEqual(await self.ask("leave"), "left")
        await joining
        self.assertEqual(await ours.members(), {"theirs": b"3"})
        await same.leave()

    @run
    async def test_count(self) -> None:
        """``SharedCount`` and ``DistributedAtomicInteger`` count with ``Counter(curator=True)``."""
        ours = Counter(self.client, self.path, curator=True)
        self.assertEqual(await self.ask("count", 1), "true 41")
        self.assertEqual(await ours.value(), 41)
        self.assertEqual(await ours.add(-50), -9)
        self.assertEqual(await self.ask("count", 2), "true -7")
        self.assertEqual(await self.ask("integer", 8), "true 1")
        self.assertEqual(await ours.add(1), 2)

    @run
    async def test_count_created_here(self) -> None:
        """A counter that was created here is Curator's as well."""
        self.assertEqual(await Counter(self.client, self.path, curator=True).add(5), 5)
        self.assertEqual(await self.ask("integer", 1), "true 6")
        self.assertEqual(await self.ask("count", 1), "true 7")

    @run
    async def test_long(self) -> None:
        """``DistributedAtomicLong`` has eight bytes: it is refused with a sentence, and nothing is changed."""
        self.assertEqual(await self.ask("long", 5), "true 5")
        for counter in (Counter(self.client, self.path, curator=True), Counter(self.client, self.path)):
            failure = await self.assertFailure(counter.add(1), ValueError)
            self.assertIn(f"the counter {self.path!r} holds b'\\x00\\x00\\x00\\x00\\x00\\x00\\x00\\x05'", str(failure))
        self.assertEqual(await self.ask("long", 1), "true 6")

    @run
    async def test_value(self) -> None:
        """``SharedValue``: each replaces what the other has written."""
        ours = SharedValue(self.client, self.path)
        self.assertEqual(await self.ask("value", "theirs"), "true seed")
        self.assertEqual(await ours.get(), b"theirs")
        self.assertEqual(await ours.update(lambda value: value + b"+ours"), b"theirs+ours")
        self.assertEqual(await self.ask("value", "last"), "true theirs+ours")
        self.assertIs(await ours.try_set(b"late", b"theirs+ours"), False)
        self.assertEqual(await ours.get(), b"last")

    @run
    async def test_barrier(self) -> None:
        """``DistributedBarrier``: either creates it, waits at it and removes it."""
        ours = Barrier(self.client, self.path)
        self.assertEqual(await self.ask("set"), "set")
        waiting = ours.wait()
        self.assertIs(await ours.wait(timeout=0.1), False)
        self.assertEqual(await self.ask("remove"), "removed")
        self.assertIs(await waiting, True)
        await ours.create()
        self.assertEqual(await self.ask("wait", 100), "waited false")
        theirs = self.ask("wait", 30_000)
        self.assertIs(await ours.remove(), True)
        self.assertEqual(await theirs, "waited true")

    @run
    async def test_namespace(self) -> None:
        """``usingNamespace``: the same nodes as those of ``chroot``."""
        await create_path(self.client, self.path)
        below = self.client.chroot(self.path)
        await below.create("/ours", b"1")
        self.assertEqual(await self.ask("namespace", "2"), "1")
        self.assertEqual((await below.get("/theirs"))[0], b"2")

    @run
    async def test_protection(self) -> None:
        """``withProtection``: the names have the same form."""
        await create_path(self.client, self.path)
        names = [await self.ask("protected")]
        names.append(await self.client.create(f"{self.path}/job-", ephemeral=True, sequence=True, protect=True))
        for number, name in enumerate(names):
            self.assertRegex(
                name, rf"^{self.path}/_c_[0-9a-f]{{8}}(-[0-9a-f]{{4}}){{3}}-[0-9a-f]{{12}}-job-{number:010}$"
            )

    @run
    async def test_caches(self) -> None:
        """``CuratorCache``, ``PathChildrenCache`` and ``NodeCache`` have the nodes of our tree and watchers."""
        await create_path(self.client, self.path)
        await self.client.set(self.path, b"0")
        for name in ("a", "b"):
            await self.client.create(f"{self.path}/{name}", name.encode())
        mirror = Mirror(client=self.client)
        self.addCleanup(mirror.close)
        tree = mirror.tree(self.path)
        await tree.ready()
        self.addCleanup(tree.close)
        node = mirror.get(self.path)
        whole = sorted(f"{path}={tree[path][0].decode()}" for path in tree)
        children = [f"{self.path}/{name}={name}" for name in await node.children()]
        one = f"{self.path}={(await node.value())[0].decode()}"
        self.assertEqual(await self.ask("cached"), ",".join(sorted([*whole, *children, one])))

    @run
    async def test_persistent_node(self) -> None:
        """``PersistentNode``: a registration waits for it, and follows it."""
        await create_path(self.client, self.path.rpartition("/")[0])
        self.assertEqual(await self.ask("persist", "theirs"), "persists true")
        mirror = Mirror(client=self.client)
        self.addCleanup(mirror.close)
        ours = Registration(mirror, self.path, "ours")
        registered = ours.when_registered()
        ours.start()
        self.assertEqual((await self.client.get(self.path))[0], b"theirs")
        self.assertFalse(registered.called)
        self.assertEqual(await self.ask("unpersist"), "closed")
        await registered
        self.assertIn(b"ours", (await self.client.get(self.path))[0])
        await ours.stop()
        self.assertEqual(await self.ask("persist", "again"), "persists true")
        self.assertEqual((await self.client.get(self.path))[0], b"again")
        self.assertEqual(await self.ask("unpersist"), "closed")

    @run
    async def test_provider(self) -> None:
        """``ServiceProvider``: each finds the instances of both, and leaves one that has failed alone."""
        self.assertEqual(await self.ask("register"), "registered")
        mirror = Mirror(client=self.client)
        self.addCleanup(mirror.close)
        registry = ServiceRegistry(mirror=mirror, codec=CODECS["curator"])
        self.addCleanup(registry.stop)
        provider = ServiceProvider(registry, self.path, down_after=1, down_for=3600)
        self.addCleanup(provider.close)
        first = await provider.instance()
        self.assertEqual((first.address, first.port, first.codec), ("127.0.0.44", 8040, "curator"))
        service = self.path.rpartition("/")[2]
        ours = Instance(name="o1", id="o1", address="127.0.0.45", port=8041, service=service)
        await registry.set_node(f"{self.path}/o1", CODECS["curator"].facts(ours))
        provider.failed(first)
        second = await provider.instance()
        self.assertEqual((second.name, second.port), ("o1", 8041))
        self.assertEqual(await self.ask("provide"), "127.0.0.44:8040,127.0.0.45:8041 true")
        self.assertEqual(await self.ask("withdraw"), "withdrawn")

    @run
    async def test_double_barrier(self) -> None:
        """``DistributedDoubleBarrier``: both enter together, and leave together."""
        ours, members = DoubleBarrier(self.client, self.path, count=2), Members(self.client, self.path, "ours")
        for theirs_first in (True, False):
            begin: list[Callable[[], Deferred[Any]]] = [lambda: self.ask("enter", 30_000), ours.enter]
            first = begin.pop(0 if theirs_first else 1)()
            while len(await members.members()) != 1:
                pass
            self.assertFalse(first.called)
            entered = [await begin[0](), await first]
            self.assertEqual(sorted(entered, key=str), [True, "entered true"])
            begin = [lambda: self.ask("exit", 30_000), ours.leave]
            first = begin.pop(0 if theirs_first else 1)()
            left = [await begin[0](), await first]
            self.assertEqual(sorted(left, key=str), [True, "exited true"])
            # Curator created the path as a container: now that it is empty, the server may have deleted it.
            self.assertEqual(await members.members(), {})
