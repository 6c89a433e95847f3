"""Recoveries by a side session at real servers: the watches and sessions that remain, and the refusals of servers."""

from __future__ import annotations

import re
from typing import Any

from twisted.internet.defer import gatherResults
from twisted.internet.threads import deferToThread
from twisted.trial.unittest import TestCase

from txmirror.client import ZooKeeperClient
from txmirror.errors import ConnectionLossException
from txmirror.mirror import Mirror, MirrorState, Tree, recovery
from txmirror.test.client.contract import ContractServer, run
from txmirror.test.ensemble import ZooKeeperMember
from txmirror.test.integration.ensembles import EnsembleCase
from txmirror.test.integration.faults import HurtCase
from txmirror.test.integration.test_client_contract import Own
from txmirror.test.integration.test_secured import SecuredCase
from txmirror.test.mirror.world import record_log
from txmirror.test.zookeeper import JVM_OPTIONS, ZooKeeperProcess
from txmirror.testing import FaultProxy
from txmirror.types import EventType, News

_COUNT = 10_000


class MirroredCase(HurtCase):
    """A tree below the test's root, in a mirror that reaches one server through a proxy."""

    async def follow(self, port: int) -> None:
        """Make the tree, and wait until it is warm."""
        from twisted.internet import reactor

        self.proxy = FaultProxy(port)
        self.addCleanup(self.proxy.close)
        self.mirror = Mirror(self.proxy.address, session_timeout=self.session_timeout, reactor=reactor)
        self.addCleanup(self.mirror.close)
        self.log_lines = record_log(self)
        self.tree: Tree = self.mirror.tree(self.root)
        await self.within(self.tree.ready(), 30.0)
        await self.settled()

    async def settled(self) -> None:
        """Wait until the mirror is settled."""
        for _ in range(3000):
            if self.mirror.state is MirrorState.SETTLED:
                return
            await self.pause(0.01)
        self.fail("the mirror does not settle")

    async def recover(self) -> None:
        """Break the mirror's connection while something changes, and wait until it is settled on the next one."""
        self.proxy.hold()
        self.proxy.cut()
        while self.mirror.is_connected():
            await self.pause(0.01)
        await self.client.set(f"{self.root}/0", b"missed")
        self.proxy.open()
        while not self.mirror.is_connected():
            await self.pause(0.01)
        await self.settled()
        self.assertEqual(self.tree[f"{self.root}/0"], await self.client.get(f"{self.root}/0"))


class EnsembleTests(MirroredCase, EnsembleCase):
    session_timeout = 10.0
    timeout = 120

    def asked(self, server: ZooKeeperMember, word: str, pattern: str, base: int = 10) -> int:
        """Return a number in a server's answer to a four-letter word."""
        found = re.search(pattern, server.four_letter(word), re.MULTILINE)
        assert found is not None
        return int(found[1], base)

    async def watches(self) -> int:
        """Return the number of watches at all servers."""
        totals = [
            deferToThread(self.asked, server, "wchs", r"^Total watches:(\d+)$") for server in self.ensemble.members
        ]
        return sum(await gatherResults(totals))

    async def zxid(self) -> int:
        """Return the leader's last transaction."""
        zxid: int = await deferToThread(self.asked, self.leader, "srvr", r"^Zxid: 0x([0-9a-f]+)$", 16)
        return zxid

    @run
    async def test_watches(self) -> None:
        """M7: a tree of 10,000 nodes has as many watches at the servers after each of three recoveries as before, at once; and a
        recovery costs two transactions, besides the change.
        """
        paths = [f"{self.root}/{number}" for number in range(_COUNT)]
        for begin in range(0, _COUNT, 1000):
            await gatherResults([self.client.create(path) for path in paths[begin : begin + 1000]])
        before = await self.watches()
        await self.follow(self.followers[0].port)
        warm = await self.watches()
        self.assertLessEqual(warm - before, 2)
        for _ in range(3):
            zxid = await self.zxid()
            await self.recover()
            for _ in range(100):
                if await self.watches() == warm:
                    break
                await self.pause(0.1)
            self.assertEqual(await self.watches(), warm)
            self.assertEqual(await self.zxid(), zxid + 3)
        await self.mirror.close()
        for begin in range(0, _COUNT, 1000):
            await gatherResults([self.client.delete(path) for path in paths[begin : begin + 1000]])

    @run
    async def test_older_data(self) -> None:
        """Each server refuses a side session of a client that has seen a later transaction than the server has."""
        client: Any = self.client
        news: list[News] = []
        await client.create(f"{self.root}/a")
        zxid = client.session.zxid
        await client.set(f"{self.root}/a", b"new")
        credentials = client._session._core.credentials
        seen = credentials.seen_zxid
        credentials.seen_zxid += 1000
        await self.fails(ConnectionLossException, client.report_changes(zxid, news.append, [f"{self.root}/a"]))
        self.assertEqual(news, [])
        credentials.seen_zxid = seen
        await self.within(client.report_changes(zxid, news.append, [f"{self.root}/a"]))
        self.assertEqual([(each.type, each.path) for each in news], [(EventType.CHANGED, f"{self.root}/a")])  # type: ignore[union-attr]

    @run
    async def test_leader_killed(self) -> None:
        """M5: if the leader is killed during a recovery, the mirror is equal to the servers in the end."""
        self.patch(recovery, "SIDE_SESSION_FROM", 0)
        await gatherResults([self.client.create(f"{self.root}/{n}") for n in range(100)])
        await self.follow(self.followers[0].port)
        self.proxy.hold()
        self.proxy.cut()
        while self.mirror.is_connected():
            await self.pause(0.01)
        await self.client.set(f"{self.root}/7", b"missed")
        await self.client.delete(f"{self.root}/8")
        self.proxy.open()
        while not self.mirror.is_connected():
            await self.pause(0.005)
        await deferToThread(self.leader.kill)
        await deferToThread(self.ensemble.leader)
        for _ in range(2000):
            if self.mirror.state is MirrorState.SETTLED and self.tree.get(f"{self.root}/7", (b"",))[0] == b"missed":
                break
            await self.pause(0.01)
        await self.settled()
        self.assertEqual(self.tree[f"{self.root}/7"][0], b"missed")
        self.assertNotIn(f"{self.root}/8", self.tree)
        self.assertEqual(len(self.tree), 100)


class CrowdedTests(MirroredCase):
    """A server that takes two connections from an address: the mirror's, and that of another client."""

    async def start_server(self) -> ContractServer:
        self.process = ZooKeeperProcess(JVM_OPTIONS, ["maxClientCnxns=2"])
        self.addCleanup(deferToThread, self.process.cleanup)
        await deferToThread(self.process.start)
        return Own(self.process)

    @run
    async def test_refused(self) -> None:
        """M7: where the server has too many connections for a side session, the client's own session is asked."""
        self.patch(recovery, "SIDE_SESSION_FROM", 0)
        await gatherResults([self.client.create(f"{self.root}/{n}") for n in range(10)])
        await self.follow(self.process.port)
        for _ in range(2):
            await self.recover()
        self.assertEqual(len([line for line in self.log_lines() if "client's own session" in line]), 2)


class SecuredTests(SecuredCase, TestCase):
    """The side session has the TLS and SASL settings of the client."""

    async def ask(self, client: ZooKeeperClient) -> list[News]:
        """Return the events of a side session for a node that has changed."""
        path = f"{self.root}/changed"
        await self.within(client.connect())
        await client.create(path)
        zxid = client.session_ticket.zxid if client.session_ticket else 0
        await client.set(path, b"new")
        news: list[News] = []
        await self.within(client.report_changes(zxid, news.append, [path]))
        return news

    @run
    async def test_tls(self) -> None:
        """It connects with the client's certificate, which the server requires."""
        client = self.new_client(f"localhost:{self.secured.port}", tls=self.secured.tls())
        self.assertEqual(len(await self.ask(client)), 1)

    @run
    async def test_sasl(self) -> None:
        """It authenticates by SASL."""
        from txmirror.client import DigestMD5

        client = self.new_client(self.secured.process.address, sasl=DigestMD5("bob", "builder"))
        self.assertEqual(len(await self.ask(client)), 1)
