"""The contract of trees over txzookeeper. Tests of weaker guarantees than the native client's override those of the
same name.
"""

from __future__ import annotations

from typing import Any

from twisted.internet.threads import deferToThread
from twisted.trial.unittest import TestCase

from txmirror.compat import TxZooKeeperClient
from txmirror.errors import NodeExistsException, NoNodeException, UnimplementedException
from txmirror.test.client.contract import ContractServer, run
from txmirror.test.client.test_contract_embedded import Embedded
from txmirror.test.compat.available import install_or_skip
from txmirror.test.integration.servers import end_session
from txmirror.test.integration.test_client_contract import Shared
from txmirror.test.mirror.contract import CHANGED, SETTLED, STALE, TreeContract, WatchesLeftContract
from txmirror.test.zookeeper import shared_server


class OverTxZooKeeper(TreeContract, WatchesLeftContract):
    """The whole contract, and where it is weaker."""

    def make_client(self, servers: str, session_timeout: float) -> Any:
        from txzookeeper.client import ZookeeperClient

        return TxZooKeeperClient(ZookeeperClient(servers, round(session_timeout * 1000)))

    async def no_watch_left(self, *but: str) -> None:
        """Weaker: watches stay until they fire, or the session ends. Those that are needed are among them."""
        self.assertLessEqual({self.root + path for path in but}, await self.watched())

    @run
    async def test_watches_stay(self) -> None:
        """Weaker: a closed tree leaves its watches at the server, and each is removed by its event."""
        tree, _ = await self.follow()
        self.witnesses.clear()
        tree.close()
        everything = {self.root + path for path in ("", "/a", "/a/x", "/b")}
        self.assertEqual(await self.watched(), everything)
        await self.other.delete(f"{self.root}/a/x")
        await self.client.sync(self.root)
        self.assertEqual(await self.watched(), everything - {f"{self.root}/a/x"})

    @run
    async def test_everything_read_again(self) -> None:
        """Weaker: in a new session all nodes are read again, and unchanged ones are not reported."""
        tree, witness = await self.follow()
        node = await self.live("/b")
        await self.told(witness)
        await self.session_ended(lambda: self.other.set(f"{self.root}/b", b"new"))
        told = await self.told(witness)
        self.assertEqual([kind for kind, _ in told], [STALE, CHANGED, SETTLED])
        await self.assert_complete(tree)
        self.assertEqual(node.state.value, b"new")

    @run
    async def test_created_is_read_back(self) -> None:
        """Weaker: a new node is read back, and is shown as it was created or as it was changed later."""
        node = await (await self.live("/n")).create(b"mine")
        self.assertEqual((node.state.value, node.state.children), (b"mine", ()))
        stat = await self.other.exists(node.path)
        self.assertEqual(node.state.stat, stat)
        await self.assert_equal()
        for number in range(10):
            path = f"{self.root}/r{number}"
            if number % 2:
                await self.live(f"/r{number}")
            creating = self.mirror.get(path).create(b"mine")
            self.other.delete(path).addErrback(lambda failure: failure.trap(NoNodeException))
            self.other.create(path, b"theirs").addErrback(lambda failure: failure.trap(NodeExistsException))
            await creating.addErrback(lambda failure: failure.trap(NodeExistsException))
            # Who watches from here on is told of what is not known yet; of the two halves of a node, one may be.
            await self.within(self.mirror.get(path).exists())
            await self.live(f"/r{number}")
        await self.assert_equal()

    @run
    async def test_other_kinds_of_nodes(self) -> None:
        """Weaker: containers, nodes with a time to live and GUIDs are not made."""
        for options in ({"container": True}, {"ttl": 1.0}, {"protect": True}):
            error = await self.fails(UnimplementedException, self.mirror.get(f"{self.root}/k").create(**options))
            self.assertEqual((error.path, error.applied), (f"{self.root}/k", False))

    @run
    async def test_chroot(self) -> None:
        """A mirror with a chroot uses the same session."""
        view = self.mirror.chroot(f"{self.root}/a")
        self.assertEqual((await self.within(view.get("/x").value()))[0], b"a/x")
        node = await self.within(view.create("/y", b"1"))
        self.assertEqual(node.path, "/y")
        self.assertEqual((await self.other.get(f"{self.root}/a/y"))[0], b"1")


class EmbeddedTreeTests(OverTxZooKeeper, TestCase):
    """On the embedded server."""

    async def start_server(self) -> ContractServer:
        install_or_skip()
        server = Embedded(self.reactor)
        self.addCleanup(server.stop)
        return server


class ZooKeeperTreeTests(OverTxZooKeeper, TestCase):
    """On a real server."""

    async def start_server(self) -> ContractServer:
        install_or_skip()
        server = Shared(self.reactor, await deferToThread(shared_server))
        self.addCleanup(server.stop)
        return server

    async def end_session(self) -> None:
        import zookeeper

        # Not to wait until its time is over.
        session = zookeeper.client_id(self.client._reconnecting._inner.handle)
        await deferToThread(
            end_session, self.server.direct_address, (session[0], session[1].encode("utf-8", "surrogateescape"))
        )
