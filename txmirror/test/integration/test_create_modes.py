"""Every kind of node, and the queries of newer servers, on a real ZooKeeper server and on the embedded one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from twisted.trial.unittest import TestCase

from txmirror.test.integration.connected import Connected, OnEmbeddedServer, OnRealServer
from txmirror.types import EventType

ROOT = "/txmirror-create-modes"


class CreateModeContract(Connected):
    async def gone(self, path: str) -> None:
        """Wait until the server has deleted a node."""
        stat, watch = self.client.exists_and_watch(path)
        if await stat is not None:
            self.assertEqual(await watch, (EventType.DELETED, path, None))

    async def test_going_away(self) -> None:
        """A container goes after its last child, and a node with a time to live after that."""
        container, stat = await self.client.create_container(ROOT)
        self.assertEqual((container, stat.version), (ROOT, 0))
        self.assertEqual((await self.client.get(ROOT))[1].czxid, stat.czxid)
        path, _ = await self.client.create_with_ttl(f"{ROOT}/a-", b"x", ttl=0.2, sequence=True)
        self.assertEqual(path, f"{ROOT}/a-0000000000")
        await self.gone(path)
        await self.gone(ROOT)

    async def test_stat(self) -> None:
        """The stat that comes with a create is that of the node."""
        path, stat = await self.client.create_and_stat(ROOT, b"one", ephemeral=True)
        self.assertEqual((b"one", stat), await self.client.get(path))
        self.assertEqual(stat.ephemeralOwner, self.client.session_id)

    async def test_queries(self) -> None:
        """The server returns our ephemerals, the number of nodes, and our identities."""
        await self.client.add_auth("digest", b"user:password")
        await self.client.create(ROOT)
        await self.client.create(f"{ROOT}x", ephemeral=True)
        await self.client.create(f"{ROOT}/a", ephemeral=True)
        self.assertEqual(await self.client.get_ephemerals(ROOT), [f"{ROOT}/a"])
        self.assertEqual(sorted(await self.client.get_ephemerals()), [f"{ROOT}/a", f"{ROOT}x"])
        self.assertEqual(await self.client.count_below(ROOT), 1)
        self.assertCountEqual(await self.client.who_am_i(), [("ip", "127.0.0.1"), ("digest", "user")])
        await self.client.delete(f"{ROOT}/a")
        await self.client.delete(ROOT)


class RealServerTests(CreateModeContract, OnRealServer, TestCase):
    pass


class EmbeddedServerTests(CreateModeContract, OnEmbeddedServer, TestCase):
    zookeeper_settings: Mapping[str, Any] = {"ttl_nodes": True, "container_check_interval": 0.1}
