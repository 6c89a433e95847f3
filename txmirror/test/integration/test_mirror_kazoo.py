"""The mirror shows the writes of another project's client on a real ZooKeeper, in spite of connection faults."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any, TypeVar

from kazoo.client import KazooClient
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import deferLater
from twisted.internet.threads import deferToThread
from twisted.trial.unittest import TestCase

from txmirror.mirror import Existence, Mirror, MirrorState, Node
from txmirror.test.zookeeper import ZooKeeperProcess, shared_server
from txmirror.testing import FaultProxy
from txmirror.types import ZnodeStat

# Its complaints about the server that is killed are no news.
logging.getLogger("kazoo").addHandler(logging.NullHandler())

#: How long anything may take, in seconds.
_PATIENCE = 10.0

_T = TypeVar("_T")


class MirrorTestCase(TestCase):
    """A mirror behind a proxy, and kazoo straight at the server."""

    timeout = 40

    async def begin(self, server: ZooKeeperProcess, session_timeout: float = 4.0) -> None:
        from twisted.internet import reactor

        self.clock = IReactorTime(reactor)
        self.server = server
        self.proxy = FaultProxy(server.port, reactor=reactor)
        self.addCleanup(self.proxy.close)
        self.kazoo = KazooClient(server.address, timeout=10.0)
        self.addCleanup(self.end_kazoo)
        await self.threaded(self.kazoo.start, 10)
        self.base = "/" + self.id().rpartition(".")[2]
        await self.threaded(self.kazoo.ensure_path, self.base)
        self.mirror = Mirror(self.proxy.address, session_timeout=session_timeout, reactor=self.clock)
        self.addCleanup(self.mirror.close)
        await self.mirror.connect()
        self.seen: list[bytes | None] = []
        self.lists: list[list[str] | None] = []

    def end_kazoo(self) -> Deferred[None]:
        def end() -> None:
            self.kazoo.stop()
            self.kazoo.close()

        return deferToThread(end)

    def threaded(self, function: Callable[..., _T], *args: Any, **kw: Any) -> Deferred[_T]:
        return deferToThread(function, *args, **kw)

    async def until(self, condition: Callable[[], bool], what: str) -> None:
        """Wait until something is so."""
        deadline = self.clock.seconds() + _PATIENCE
        while not condition():
            if self.clock.seconds() > deadline:
                self.fail(f"not in {_PATIENCE:g} s: {what}")
            await deferLater(self.clock, 0.01)

    async def mirrored(self, name: str, data: bytes | None = None) -> Node:
        """Make a node, if there is data, and mirror it with watchers."""
        path = f"{self.base}/{name}"
        if data is not None:
            await self.threaded(self.kazoo.create, path, data)
        node = self.mirror.get(path)
        await self.until(lambda: node.state.existence is not Existence.UNKNOWN, "the node is known")
        await self.until(lambda: self.mirror.state is MirrorState.SETTLED, "the mirror settles")
        node.addValueWatcher("test", self.value_seen)
        node.addChildWatcher("test", self.lists.append)
        return node

    def value_seen(self, value: tuple[bytes, ZnodeStat] | None) -> None:
        self.seen.append(None if value is None else value[0])

    async def cut(self) -> None:
        self.proxy.cut()
        await self.until(lambda: not self.mirror.is_connected(), "the mirror notices")

    async def reopen(self) -> None:
        self.proxy.open()
        await self.until(lambda: self.mirror.state is MirrorState.SETTLED, "the mirror settles again")

    def test_while_connected(self) -> Deferred[None]:
        """The mirror shows nodes that kazoo creates, changes and deletes, and calls the watchers for each."""

        async def test() -> None:
            await self.begin(shared_server())
            node = await self.mirrored("node")
            path = node.path
            await self.threaded(self.kazoo.create, path, b"one")
            await self.until(lambda: self.seen == [b"one"], "the creation is seen")
            await self.threaded(self.kazoo.set, path, b"two")
            await self.until(lambda: self.seen == [b"one", b"two"], "the change is seen")
            await self.threaded(self.kazoo.create, f"{path}/child")
            await self.until(lambda: self.lists == [[], ["child"]], "the child is seen")
            await self.threaded(self.kazoo.delete, path, recursive=True)
            await self.until(lambda: self.seen == [b"one", b"two", None], "the deletion is seen")
            self.assertIs(node.state.existence, Existence.ABSENT)

        return Deferred.fromCoroutine(test())

    def test_changed_while_away(self) -> Deferred[None]:
        """After a cut the mirror shows kazoo's changes once, those during the cut and those after it."""

        async def test() -> None:
            await self.begin(shared_server())
            node = await self.mirrored("node", b"one")
            await self.cut()
            await self.threaded(self.kazoo.set, node.path, b"two")
            self.assertEqual(node.state.value, b"one")
            await self.reopen()
            self.assertEqual((await node.value())[0], b"two")
            self.assertEqual(self.seen, [b"two"])
            await self.threaded(self.kazoo.set, node.path, b"three")
            await self.until(lambda: self.seen == [b"two", b"three"], "the change after it is seen")

        return Deferred.fromCoroutine(test())

    def test_recreated_while_away(self) -> Deferred[None]:
        """A deletion and re-creation while away is a change, even with the same data and version."""

        async def test() -> None:
            await self.begin(shared_server())
            node = await self.mirrored("node", b"same")
            before = node.state.stat
            await self.cut()
            await self.threaded(self.kazoo.delete, node.path)
            await self.threaded(self.kazoo.create, node.path, b"same")
            await self.reopen()
            after = node.state.stat
            assert before is not None
            assert after is not None
            self.assertEqual(after.version, before.version)
            self.assertGreater(after.czxid, before.czxid)
            self.assertEqual(self.seen[-1], b"same")
            self.assertIn(self.seen, ([b"same"], [None, b"same"]))
            self.seen.clear()
            await self.threaded(self.kazoo.set, node.path, b"new")
            await self.until(lambda: self.seen == [b"new"], "the change after it is seen")

        return Deferred.fromCoroutine(test())

    def test_deleted_while_away(self) -> Deferred[None]:
        """A deletion while away is seen on return, and so is a creation after that."""

        async def test() -> None:
            await self.begin(shared_server())
            node = await self.mirrored("node", b"one")
            await self.cut()
            await self.threaded(self.kazoo.delete, node.path)
            await self.reopen()
            self.assertEqual(self.seen, [None])
            self.assertIs(node.state.existence, Existence.ABSENT)
            await self.threaded(self.kazoo.create, node.path, b"two")
            await self.until(lambda: self.seen == [None, b"two"], "the creation is seen")

        return Deferred.fromCoroutine(test())

    def test_created_while_away(self) -> Deferred[None]:
        """A creation while away is seen on return, with its children, and so is a deletion after that."""

        async def test() -> None:
            await self.begin(shared_server())
            node = await self.mirrored("node")
            await self.cut()
            await self.threaded(self.kazoo.create, node.path, b"one")
            await self.threaded(self.kazoo.create, f"{node.path}/child")
            await self.reopen()
            self.assertEqual((self.seen, self.lists[-1]), ([b"one"], ["child"]))
            await self.threaded(self.kazoo.delete, node.path, recursive=True)
            await self.until(lambda: self.seen == [b"one", None], "the deletion is seen")

        return Deferred.fromCoroutine(test())

    def test_new_session(self) -> Deferred[None]:
        """After an outage in which the session expired the mirror shows the changes that were missed, and later ones."""

        async def test() -> None:
            await self.begin(shared_server(), session_timeout=1.0)
            changed = await self.mirrored("changed", b"one")
            recreated = await self.mirrored("recreated", b"same")
            kept = await self.mirrored("kept", b"kept")
            session = self.mirror.client.session_id
            czxid = recreated.state.stat
            await self.cut()
            await self.threaded(self.kazoo.set, changed.path, b"two")
            await self.threaded(self.kazoo.delete, recreated.path)
            await self.threaded(self.kazoo.create, recreated.path, b"same")
            await self.until(lambda: session not in self.server.sessions(), "the session ends")
            await self.reopen()
            self.assertNotEqual(self.mirror.client.session_id, session)
            self.assertNotIn(b"kept", self.seen)
            self.assertEqual(self.seen.count(b"two"), 1)
            self.assertEqual(self.seen.count(b"same"), 1)
            self.assertNotEqual(recreated.state.stat, czxid)
            for number, node in enumerate((changed, recreated, kept)):
                data = b"%d" % number
                await self.threaded(self.kazoo.set, node.path, data)
                await self.until(lambda data=data: data in self.seen, f"{node.path} is watched")  # type: ignore[misc]

        return Deferred.fromCoroutine(test())

    def test_server_killed(self) -> Deferred[None]:
        """With a crash and restart of the server, kazoo's writes before and after it are shown."""

        async def test() -> None:
            server = ZooKeeperProcess()
            self.addCleanup(deferToThread, server.cleanup)
            await self.threaded(server.start)
            await self.begin(server)
            node = await self.mirrored("node", b"one")
            await self.threaded(self.kazoo.set, node.path, b"two")
            await self.until(lambda: self.seen == [b"two"], "the change before it is seen")
            self.proxy.cut()
            await self.threaded(server.kill)
            await self.threaded(server.start)
            # Kazoo is back first: the node is another one by the time that the mirror is.
            await self.threaded(self.again, self.kazoo.delete, node.path)
            await self.threaded(self.again, self.kazoo.create, node.path, b"three")
            await self.reopen()
            self.assertEqual(self.seen[-1], b"three")
            await self.threaded(self.kazoo.set, node.path, b"four")
            await self.until(lambda: self.seen[-2:] == [b"three", b"four"], "the change after it is seen")

        return Deferred.fromCoroutine(test())

    def again(self, function: Callable[..., Any], *args: Any) -> None:
        """Do it with kazoo as soon as it is connected again."""
        self.kazoo.retry(function, *args)
